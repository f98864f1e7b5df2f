"""Commitments to a certificate's fields and attachments, one by one, so that a single field can be disclosed.

Rule: the ledger sees only the root; a leaf hides its value behind 16 random bytes of salt, and whoever is
shown a field gets its salt and a Merkle proof, and learns nothing of the others but how many there are.

A field's value is text, an integer of at most 53 bits and sign, or a list of rows, each a mapping of names to
text or integers. It is committed as `codec.encode` writes it: MessagePack, shortest forms, the members of a
row sorted by name. Text is taken code point by code point; bringing it to one normal form is the issuer's
part. Booleans, floats, null and deeper nesting are no values.

    field leaf       = hash(FIELD, encode([salt, name, encode(value)]))
    attachment leaf  = hash(ATTACHMENT, encode([salt, name, media type, content hash]))
    root             = counted Merkle root over field leaves by name, then attachment leaves by name
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from msgspec import Meta

from ledger import codec, merkle
from ledger.crypto.suite import CryptoSuite
from ledger.domains import ATTACHMENT, FIELD
from ledger.errors import DecodeError, LimitExceeded, invariant
from ledger.types import MerkleProof, Wire

SALT_SIZE_BYTES: Final = 16
VALUE_SIZE_BYTES_MAX: Final = 1024 * 1024
ROWS_PER_VALUE_MAX: Final = 10_000
INTEGER_MAX: Final = 2**53 - 1

Row = Mapping[str, str | int]
FieldValue = str | int | Sequence[Row]

_Integer = Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
_Rows = Annotated[list[dict[str, str | _Integer]], Meta(max_length=ROWS_PER_VALUE_MAX)]


class FieldProof(Wire):
    """What discloses one field: its salt and its place under the commitment root."""

    salt: Annotated[bytes, Meta(min_length=SALT_SIZE_BYTES, max_length=SALT_SIZE_BYTES)]
    proof: MerkleProof


class _ValueBox(Wire):
    """Gives the decoder a type for a value that stands alone."""

    value: str | _Integer | _Rows


def encode_value(value: FieldValue) -> bytes:
    """The bytes that a field's leaf commits to.

    Raises:
        DecodeError: not text, integer or rows of such, or an integer out of range.
        LimitExceeded: more than `VALUE_SIZE_BYTES_MAX`.
    """
    try:
        data = codec.encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DecodeError(what="field value", reason=str(error)) from None
    decode_value(data)
    return data


def decode_value(data: bytes) -> FieldValue:
    """The value whose encoding this is.

    Raises:
        DecodeError: not the canonical encoding of a field value.
        LimitExceeded: more than `VALUE_SIZE_BYTES_MAX`.
    """
    if len(data) > VALUE_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="field value bytes", maximum=VALUE_SIZE_BYTES_MAX, actual=len(data))
    array_of_one = b"\x91" + data
    return codec.decode(array_of_one, _ValueBox, size_bytes_max=len(array_of_one), what="field value").value


def leaf(suite: CryptoSuite, salt: bytes, name: str, value: bytes) -> bytes:
    """Leaf of a field.

    Args:
        suite: the network's suite.
        salt: 16 random bytes, another for each field.
        name: the field's name.
        value: `encode_value` of its value.
    """
    invariant(len(salt) == SALT_SIZE_BYTES, "a salt has 16 bytes")
    return suite.hash(FIELD, codec.encode((salt, name, value)))


def attachment_leaf(
    suite: CryptoSuite, salt: bytes, name: str, media_type: str, content_hash: bytes
) -> bytes:
    """Leaf of an attachment.

    Args:
        suite: the network's suite.
        salt: 16 random bytes, another for each attachment.
        name: the attachment's name.
        media_type: e.g. "application/pdf".
        content_hash: `suite.digest` of the original's bytes.
    """
    invariant(len(salt) == SALT_SIZE_BYTES, "a salt has 16 bytes")
    return suite.hash(ATTACHMENT, codec.encode((salt, name, media_type, content_hash)))


def ordered_leaves(fields: Mapping[str, bytes], attachments: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """The leaves in canonical order: fields by name in code-point order, then attachments likewise.

    Args:
        fields: leaf by field name.
        attachments: leaf by attachment name.
    """
    return tuple(leaves[name] for leaves in (fields, attachments) for name in sorted(leaves))


def commitment_root(suite: CryptoSuite, leaves: Sequence[bytes]) -> bytes:
    """What goes on the ledger, over `ordered_leaves`."""
    return merkle.counted_root(suite.digest, leaves)


def prove_field(suite: CryptoSuite, leaves: Sequence[bytes], index: int, salt: bytes) -> FieldProof:
    """Proof that discloses the leaf at `index` of `ordered_leaves`; serves attachments too.

    Args:
        suite: the network's suite.
        leaves: all leaves, in order.
        index: which one.
        salt: its salt.
    """
    return FieldProof(salt=salt, proof=merkle.prove(suite.digest, leaves, index))


def verify_field(suite: CryptoSuite, root: bytes, name: str, value: bytes, proof: FieldProof) -> bool:
    """Whether the commitment `root` holds the encoded `value` under the field `name`."""
    return merkle.verify_counted(suite.digest, root, leaf(suite, proof.salt, name, value), proof.proof)


def verify_attachment(
    suite: CryptoSuite, root: bytes, name: str, media_type: str, content_hash: bytes, proof: FieldProof
) -> bool:
    """Whether the commitment `root` holds an attachment of that name, media type and content."""
    shown = attachment_leaf(suite, proof.salt, name, media_type, content_hash)
    return merkle.verify_counted(suite.digest, root, shown, proof.proof)
