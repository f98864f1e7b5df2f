"""Codes of copies: what the QR code on a copy says, signed by the node that made it.

    ZL1.<release id>.<signature, base32>

Rule: pure functions. A code says which release a copy is of, and nothing of what is in it; whose node signed it is found among the
operators' keys. It proves that this operator made a copy for this release, not that the paper it stands on is that copy: a code can
be cut out. All characters are of QR's alphanumeric set (ISO/IEC 18004, 7.4.4), and few, which makes the code small.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import DecodeError
from zhenglian.api import AccountView, KeyView

CODE_CHARS_MAX: Final = 400
_CODE: Final = re.compile(r"ZL1\.([0-9A-F]{16})\.([A-Z2-7]{8,320})", re.ASCII)
_NODE: Final = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCode:
    """What a code says.

    Attributes:
        release_id: 8 bytes.
        signature: by the node that made the copy.
    """

    release_id: bytes
    signature: bytes


def code_message(chain_id: bytes, release_id: bytes) -> bytes:
    """What a node signs, under `COPY_CODE`."""
    return codec.encode((chain_id, release_id))


def code_text(code: CopyCode) -> str:
    """The text of the QR code."""
    signature = base64.b32encode(code.signature).decode().rstrip("=")
    return f"ZL1.{code.release_id.hex().upper()}.{signature}"


def read_code(text: str) -> CopyCode:
    """What a scanned text says; nothing of it is proven yet.

    Raises:
        DecodeError: it is no code of a copy.
    """
    found = _CODE.fullmatch(text.strip()) if len(text) <= CODE_CHARS_MAX else None
    if found is None:
        raise DecodeError(what="code of a copy", reason="not of the form ZL1.RELEASE.SIGNATURE")
    release_id, signature = found.groups()
    try:
        plain = base64.b32decode(signature + "=" * (-len(signature) % 8))
    except binascii.Error as error:
        raise DecodeError(what="code of a copy", reason=str(error)) from None
    return CopyCode(release_id=bytes.fromhex(release_id), signature=plain)


def maker_of(
    suite: CryptoSuite, chain_id: bytes, code: CopyCode, operators: Iterable[AccountView]
) -> AccountView | None:
    """The operator whose node has signed the code, None if none has. Revoked keys count, for copies outlive them.

    Args:
        suite: the network's.
        chain_id: of the network.
        code: as it was read.
        operators: of the network.
    """
    message = code_message(chain_id, code.release_id)

    def signed(key: KeyView) -> bool:
        public_key = bytes.fromhex(key.public_key)
        return suite.verify(key.scheme, public_key, domains.COPY_CODE, message, code.signature)

    return next((one for one in operators if any(signed(key) for key in one.keys if key.role == _NODE)), None)
