"""From a certificate's data to the commitment that the ledger keeps of it, the same in client and node.

Rule: a salt is derived from the client's seed and the part's name, so that the client can compute the
commitment root by itself before it signs, and a node cannot have other data signed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from ledger import domains
from ledger.commitments import (
    SALT_SIZE_BYTES,
    attachment_leaf,
    commitment_root,
    encode_value,
    leaf,
    ordered_leaves,
)
from ledger.crypto.suite import CryptoSuite
from ledger.errors import DecodeError, LimitExceeded
from zhenglian.api import DepositRequest

__all__ = [
    "attachment_salt",
    "commitment_of",
    "content_of",
    "deposit_leaves",
    "encode_value",
    "field_salt",
    "require_attachment_size",
]


def field_salt(suite: CryptoSuite, salt_seed: bytes, name: str) -> bytes:
    """16-byte salt of the field `name` under a 32-byte seed."""
    return suite.mac(salt_seed, domains.FIELD, b"field:" + name.encode())[:SALT_SIZE_BYTES]


def attachment_salt(suite: CryptoSuite, salt_seed: bytes, name: str) -> bytes:
    """16-byte salt of the attachment `name` under a 32-byte seed."""
    return suite.mac(salt_seed, domains.ATTACHMENT, b"attachment:" + name.encode())[:SALT_SIZE_BYTES]


def deposit_leaves(
    suite: CryptoSuite,
    fields: Sequence[tuple[str, bytes, bytes]],
    attachments: Sequence[tuple[str, bytes, str, bytes]],
) -> tuple[bytes, ...]:
    """The commitment's leaves in canonical order, whatever the order of the arguments.

    Args:
        suite: crypto suite.
        fields: (name, salt, encoded value).
        attachments: (name, salt, media type, content).
    """
    return ordered_leaves(
        {name: leaf(suite, salt, name, value) for name, salt, value in fields},
        {
            name: attachment_leaf(suite, salt, name, media_type, suite.digest(content))
            for name, salt, media_type, content in attachments
        },
    )


def commitment_of(suite: CryptoSuite, request: DepositRequest) -> bytes:
    """The 32-byte commitment root of a deposit.

    Raises:
        DecodeError: a value is none that can be committed to, or an attachment's data is not base64.
        LimitExceeded: a value is too large.
    """
    seed = bytes.fromhex(request.salt_seed)
    leaves = deposit_leaves(
        suite,
        [
            (name, field_salt(suite, seed, name), encode_value(value))
            for name, value in request.fields.items()
        ],
        [
            (item.name, attachment_salt(suite, seed, item.name), item.media_type, content_of(item.data))
            for item in request.attachments
        ],
    )
    return commitment_root(suite, leaves)


def content_of(text: str) -> bytes:
    """The bytes of an attachment. Raises DecodeError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError(what="attachment", reason="not base64") from None


def require_attachment_size(name: str, size_bytes: int, size_bytes_max: int) -> None:
    """Raises LimitExceeded for a file above the bound."""
    if size_bytes > size_bytes_max:
        raise LimitExceeded(
            limit=f"ATTACHMENT_SIZE_BYTES_MAX of {name}", maximum=size_bytes_max, actual=size_bytes
        )
