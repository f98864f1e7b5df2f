"""The field dictionary (数据元字典): one standard term for what many certificates say under their own field names.

Rule: the dictionary is data (`data/dictionary.json`), with a version of its own. A field is written as "<type>.<field>", or as
"person:<field>" and "organization:<field>" for that field of every type with such a holder; the exact one wins. A field without an
entry has the term "<type>.<field>" and is nobody else's.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ledger.decoders import decode_json
from ledger.errors import LedgerError, LimitExceeded
from zhenglian.catalogue import CertificateTypeSpec, load_catalogue

DICTIONARY_SIZE_BYTES_MAX: Final = 256 * 1024
TERMS_MAX: Final = 1024
FIELDS_PER_TERM_MAX: Final = 128

TermCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.-]*$")]
FieldPattern = Annotated[
    str, Meta(max_length=132, pattern=r"^(person:|organization:|[a-z][a-z0-9_]*\.)[a-z][a-z0-9_]*$")
]


class DictionaryInvalid(LedgerError):
    """A dictionary that cannot be read or contradicts itself. Fields: reason."""

    code = "dictionary_invalid"
    zh = "数据元字典有误：{reason}"
    en = "Invalid field dictionary: {reason}"


class _Data(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what the dictionary is made of."""


class Term(_Data, frozen=True):
    """A standard term.

    Attributes:
        term: stable code.
        name_zh, name_en: what people call it.
        reference: the standard's element it is, or empty.
        mask: how it is shown where it must not be read (`zhenglian.masking`), or empty.
        fields: where it is found.
    """

    term: TermCode
    name_zh: Annotated[str, Meta(min_length=1, max_length=64)]
    name_en: Annotated[str, Meta(min_length=1, max_length=128)]
    reference: Annotated[str, Meta(max_length=128)] = ""
    mask: Annotated[str, Meta(max_length=32)] = ""
    fields: Annotated[tuple[FieldPattern, ...], Meta(max_length=FIELDS_PER_TERM_MAX)] = ()


class Dictionary(_Data, frozen=True):
    """The whole of it; `version` grows by one whenever a term changes or goes away."""

    version: Annotated[int, Meta(ge=1)]
    terms: Annotated[tuple[Term, ...], Meta(max_length=TERMS_MAX)]


def decode_dictionary(data: bytes) -> Dictionary:
    """Read a dictionary.

    Raises:
        LimitExceeded: too many bytes.
        DictionaryInvalid: not such JSON, a term twice, or a field with two terms.
    """
    if len(data) > DICTIONARY_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="dictionary bytes", maximum=DICTIONARY_SIZE_BYTES_MAX, actual=len(data))
    try:
        found = decode_json(data, Dictionary)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise DictionaryInvalid(reason=str(error)) from None
    seen: set[str] = set()
    for name in [term.term for term in found.terms] + [name for term in found.terms for name in term.fields]:
        if name in seen:
            raise DictionaryInvalid(reason=f"{name} appears twice")
        seen.add(name)
    return found


@cache
def load_dictionary() -> Dictionary:
    """The dictionary as shipped with the SDK."""
    return decode_dictionary((resources.files("zhenglian") / "data" / "dictionary.json").read_bytes())


@cache
def _by_field() -> dict[str, Term]:
    return {field: term for term in load_dictionary().terms for field in term.fields}


@cache
def _by_term() -> dict[str, Term]:
    return {term.term: term for term in load_dictionary().terms}


def term_code(certificate_type: str, holder: str, field: str) -> str:
    """The term of a field.

    Args:
        certificate_type: code of the type.
        holder: "person" or "organization".
        field: its name.
    """
    found = _by_field().get(f"{certificate_type}.{field}") or _by_field().get(f"{holder}:{field}")
    return found.term if found is not None else f"{certificate_type}.{field}"[:64]


def term(code: str) -> Term | None:
    """The standard term of that code, or None; a field's own term is none of them."""
    return _by_term().get(code)


def is_term(code: str) -> bool:
    """Whether a form may ask for it: a standard term, or the own term of a field of the shipped catalogue."""
    return code in _by_term() or any(
        term_code(spec.code, spec.holder.value, field.name) == code
        for spec in load_catalogue()
        for field in spec.fields
    )


def fields_of(spec: CertificateTypeSpec, code: str) -> list[str]:
    """Names of the type's fields that say what the term means."""
    return [
        field.name for field in spec.fields if term_code(spec.code, spec.holder.value, field.name) == code
    ]
