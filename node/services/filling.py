"""Filling in a form from the files of one release, and saying why a line stays empty.

Rule: pure functions of the files and the ledger. A value is filled in only where every source says the same; nothing
is chosen for the applicant. What a line says of certificates that the grant does not cover is that it is not granted,
whatever the holder has.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from contracts.certificates import why_not_valid
from contracts.form_records import Form, FormEntry
from contracts.records import Certificate, ConsentMode, Grant
from ledger.commitments import FieldValue
from ledger.decoders import decode_json
from ledger.errors import VerificationFailed
from zhenglian.api_questions import SOURCES_MAX
from zhenglian.api_regions import DisclosedProof
from zhenglian.catalogue import CertificateTypeSpec
from zhenglian.dictionary import fields_of

NOT_GRANTED: Final = "not_granted"
DECLINED: Final = "declined"
NONE_HELD: Final = "none_held"
NOT_VALID: Final = "not_valid"
NOT_REQUESTED: Final = "not_requested"
ANSWERS_ONLY: Final = "answers_only"
CONFLICTING: Final = "conflicting_sources"


class _ReleasedProof(msgspec.Struct, frozen=True):
    salt: str
    proof: DisclosedProof


class _Released(msgspec.Struct, frozen=True):
    """What is read of a JSON file of a release."""

    certificate_id: str
    fields: dict[str, Any]
    proofs: dict[str, _ReleasedProof]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A released field that says what a line asks for."""

    certificate: Certificate
    spec: CertificateTypeSpec
    field: str
    value: FieldValue
    salt: str
    proof: DisclosedProof


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A filled line: either a value, or a reason; with every source that was looked at."""

    entry: FormEntry
    value: FieldValue | None
    reason: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What the ledger knows that bears on a form.

    Attributes:
        grant: under which it is filled in.
        certificates: the holder's, of the types that the grant names.
        specs: of these certificates, and of the grant's types, by (code, version); version 0 is the one in use.
        time_ms: block time at which validity is judged.
    """

    grant: Grant
    certificates: Sequence[Certificate]
    specs: Mapping[tuple[str, int], CertificateTypeSpec]
    time_ms: int

    def spec_of(self, certificate: Certificate) -> CertificateTypeSpec:
        return self.specs[certificate.certificate_type, certificate.type_version]


def fill(form: Form, files: Sequence[bytes], held: Holdings) -> tuple[Line, ...]:
    """Every line of a form.

    Args:
        form: the form.
        files: the JSON files of the release.
        held: what the ledger knows.

    Raises:
        VerificationFailed: a file is none of a release.
    """
    sources = [source for data in files for source in _sources(data, held)]
    return tuple(_line(entry, sources, held) for entry in form.entries)


def _sources(data: bytes, held: Holdings) -> list[Source]:
    try:
        released = decode_json(data, _Released)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise VerificationFailed(reason="a file of the release is not JSON with proofs") from None
    certificate = next(
        (one for one in held.certificates if one.certificate_id.hex() == released.certificate_id), None
    )
    if certificate is None:
        raise VerificationFailed(reason="a file of the release is of another certificate")
    return [
        Source(
            certificate=certificate,
            spec=held.spec_of(certificate),
            field=name,
            value=value,
            salt=released.proofs[name].salt,
            proof=released.proofs[name].proof,
        )
        for name, value in released.fields.items()
        if name in released.proofs
    ]


def _line(entry: FormEntry, sources: Sequence[Source], held: Holdings) -> Line:
    found = tuple(source for source in sources if source.field in fields_of(source.spec, entry.term))
    found = found[:SOURCES_MAX]
    if not found:
        return Line(entry=entry, value=None, reason=_why_empty(entry.term, held), sources=())
    if len({_compared(source.value) for source in found}) > 1:
        return Line(entry=entry, value=None, reason=CONFLICTING, sources=found)
    return Line(entry=entry, value=found[0].value, reason="", sources=found)


def _why_empty(term: str, held: Holdings) -> str:
    if held.grant.consent_mode is ConsentMode.QUERY:
        return ANSWERS_ONLY
    reasons = {_why_item_empty(position, term, held) for position in range(len(held.grant.items))}
    # What would help most, first: the release can be repeated, a certificate renewed, another grant asked for.
    for reason in (NOT_REQUESTED, NOT_VALID, NONE_HELD, DECLINED):
        if reason in reasons:
            return reason
    return NOT_GRANTED


def _why_item_empty(position: int, term: str, held: Holdings) -> str:
    """Why one item of the grant gave nothing for a term."""
    item = held.grant.items[position]
    spec = held.specs.get((item.certificate_type, 0))
    names = [] if spec is None else fields_of(spec, term)
    open_names = [name for name in names if name in item.fields]
    if not open_names:
        return DECLINED if any(name in item.declined for name in names) else NOT_GRANTED
    having = [
        certificate
        for certificate in held.certificates
        if certificate.certificate_type == item.certificate_type
        and item.certificate in {b"", certificate.certificate_id}
        and any(name in certificate.fields for name in open_names)
    ]
    if not having:
        return NONE_HELD
    valid = [one for one in having if not why_not_valid(one, held.time_ms)]
    return NOT_REQUESTED if valid else NOT_VALID


def _compared(value: FieldValue) -> str:
    """What two sources must have alike: text without regard to width and space, everything else as it is."""
    if isinstance(value, str):
        return "".join(unicodedata.normalize("NFKC", value).split())
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
