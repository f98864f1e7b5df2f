"""Disclosures: chosen parts of a certificate with their salts and proofs, to be checked against its commitment.

Rule: pure functions. A disclosure proves itself against a commitment root that comes from somewhere else: the ledger
of the certificate's home, or a recognition of it in another region. Whoever has one holds personal data; what is not
needed is taken out of it before it is handed on (`selected`), and the rest still proves itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from ledger.commitments import (
    FieldProof,
    FieldValue,
    attachment_leaf,
    encode_value,
    leaf,
    ordered_leaves,
    prove_field,
    verify_attachment,
    verify_field,
)
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import DecodeError, LedgerError, LimitExceeded
from ledger.types import MerkleProof
from zhenglian.api import DepositRequest
from zhenglian.api_regions import (
    DISCLOSURE_FORMAT,
    DisclosedAttachment,
    DisclosedField,
    DisclosedProof,
    Disclosure,
    DisclosureCheckView,
    RecognitionView,
)
from zhenglian.deposits import attachment_salt, content_of, field_salt

DISCLOSURE_FILE_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024


def disclosure_of(suite: CryptoSuite, chain_id: bytes, deposit: DepositRequest) -> Disclosure:
    """Every part of a deposited certificate, disclosed; made by whoever has the deposit's seed.

    Raises:
        DecodeError, LimitExceeded: as for `deposits.commitment_of`.
    """
    seed = bytes.fromhex(deposit.salt_seed)
    fields = {
        name: leaf(suite, field_salt(suite, seed, name), name, encode_value(value))
        for name, value in deposit.fields.items()
    }
    hashes = {item.name: suite.digest(content_of(item.data)) for item in deposit.attachments}
    types = {item.name: item.media_type for item in deposit.attachments}
    attachments = {
        name: attachment_leaf(suite, attachment_salt(suite, seed, name), name, types[name], content_hash)
        for name, content_hash in hashes.items()
    }
    leaves = ordered_leaves(fields, attachments)
    places = {name: at for at, name in enumerate(sorted(fields))}
    after = {name: len(fields) + at for at, name in enumerate(sorted(attachments))}
    return Disclosure(
        format=DISCLOSURE_FORMAT,
        chain_id=chain_id.hex(),
        certificate_id=deposit.certificate_id,
        fields=[
            disclosed_field(
                name, deposit.fields[name], prove_field(suite, leaves, at, field_salt(suite, seed, name))
            )
            for name, at in places.items()
        ],
        attachments=[
            disclosed_attachment(
                name,
                types[name],
                hashes[name],
                prove_field(suite, leaves, at, attachment_salt(suite, seed, name)),
            )
            for name, at in after.items()
        ],
    )


def disclosed_field(name: str, value: FieldValue, proof: FieldProof) -> DisclosedField:
    """A field as it is shown, with what proves it."""
    plain = value if isinstance(value, str | int) else [dict(row) for row in value]
    return DisclosedField(name=name, value=plain, salt=proof.salt.hex(), proof=_shown(proof.proof))


def disclosed_attachment(
    name: str, media_type: str, content_hash: bytes, proof: FieldProof
) -> DisclosedAttachment:
    """An attachment as it is shown, by its hash, with what proves it."""
    return DisclosedAttachment(
        name=name,
        media_type=media_type,
        content_hash=content_hash.hex(),
        salt=proof.salt.hex(),
        proof=_shown(proof.proof),
    )


def part_names(disclosure: Disclosure) -> list[str]:
    """Names of the parts that are shown, in their order."""
    return [field.name for field in disclosure.fields] + [one.name for one in disclosure.attachments]


def selected(disclosure: Disclosure, names: Collection[str]) -> Disclosure:
    """The same with these parts only.

    Raises:
        DecodeError: it has no part of one of the names.
    """
    missing = sorted(set(names) - set(part_names(disclosure)))
    if missing:
        raise DecodeError(what="disclosure", reason=f"it has no {', '.join(missing)}")
    return msgspec.structs.replace(
        disclosure,
        fields=[part for part in disclosure.fields if part.name in names],
        attachments=[part for part in disclosure.attachments if part.name in names],
    )


def check(suite: CryptoSuite, view: RecognitionView, disclosure: Disclosure) -> DisclosureCheckView:
    """Hold a disclosure against a recognition.

    Args:
        suite: the suite that `view.suite` names, that of the certificate's home.
        view: the recognition as a node shows it now.
        disclosure: any, however hostile.

    Raises:
        DecodeError: it is about another certificate.
    """
    if (disclosure.chain_id, disclosure.certificate_id) != (view.region, view.certificate_id):
        raise DecodeError(what="disclosure", reason="it is about another certificate")
    root = bytes.fromhex(view.commitment_root)
    names = part_names(disclosure)
    disproven = unproven(suite, root, disclosure)
    proven = [name for name in names if name not in disproven]
    return DisclosureCheckView(
        recognition_id=view.recognition_id,
        certificate_id=view.certificate_id,
        accepted=view.holds and bool(names) and not disproven,
        holds=view.holds,
        reason=view.reason,
        proven=proven,
        disproven=disproven,
    )


def unproven(suite: CryptoSuite, root: bytes, disclosure: Disclosure) -> list[str]:
    """Names of the parts that are not what the commitment `root` is of; a name that comes twice is never proven."""
    names = part_names(disclosure)
    proven = [part.name for part in disclosure.fields if _field_holds(suite, root, part)]
    proven += [part.name for part in disclosure.attachments if _attachment_holds(suite, root, part)]
    return [name for name in names if name not in proven or names.count(name) > 1]


def to_json(disclosure: Disclosure) -> bytes:
    """The file form."""
    return msgspec.json.format(msgspec.json.encode(disclosure), indent=2) + b"\n"


def from_json(data: bytes) -> Disclosure:
    """Read a disclosure's file. It proves nothing yet.

    Raises:
        LimitExceeded: more than 16 MiB.
        DecodeError: not a disclosure.
    """
    if len(data) > DISCLOSURE_FILE_SIZE_BYTES_MAX:
        raise LimitExceeded(
            limit="disclosure bytes", maximum=DISCLOSURE_FILE_SIZE_BYTES_MAX, actual=len(data)
        )
    try:
        return decode_json(data, Disclosure)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(what="disclosure", reason=str(error)) from None


def _shown(proof: MerkleProof) -> DisclosedProof:
    return DisclosedProof(index=proof.index, size=proof.size, siblings=[one.hex() for one in proof.siblings])


def _proof(part: DisclosedField | DisclosedAttachment) -> FieldProof:
    siblings = tuple(bytes.fromhex(one) for one in part.proof.siblings)
    return FieldProof(
        salt=bytes.fromhex(part.salt),
        proof=MerkleProof(index=part.proof.index, size=part.proof.size, siblings=siblings),
    )


def _field_holds(suite: CryptoSuite, root: bytes, part: DisclosedField) -> bool:
    try:
        return verify_field(suite, root, part.name, encode_value(part.value), _proof(part))
    except LedgerError:
        return False  # no value that can be committed to


def _attachment_holds(suite: CryptoSuite, root: bytes, part: DisclosedAttachment) -> bool:
    content_hash = bytes.fromhex(part.content_hash)
    return verify_attachment(suite, root, part.name, part.media_type, content_hash, _proof(part))
