"""The city's certificate types (证照目录): what each certificate says, who issues it, who may hold it.

Rule: the catalogue is data. `data/certificate_types.json` holds the 60 types of the city's list; this module
gives them types, refuses a catalogue that contradicts itself, and knows no certificate type by name. A
network is told its types through the ledger (`encode_schema`), so another city brings another file and no
other code.

Values of fields, by kind: `text`, `date` (YYYY-MM-DD), `identity_number`, `organization_code` and `decimal`
(plain digits with exactly `decimals` places) are text; `integer` is an integer; `rows` is a list of objects,
one key a column.

Class of data, questions and partitions are filled in by rule where a type says nothing itself (`catalogue_rules.py`).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from contracts.class_records import Grade, Sensitivity
from contracts.question_records import PARTITIONS_PER_TYPE_MAX, QUESTIONS_PER_TYPE_MAX
from contracts.records import ATTACHMENTS_PER_TYPE_MAX, FIELDS_PER_TYPE_MAX, SCHEMA_SIZE_BYTES_MAX
from ledger.decoders import decode_json
from ledger.errors import LedgerError, LimitExceeded
from zhenglian import catalogue_rules
from zhenglian.catalogue_checks import why_partition_invalid, why_question_invalid
from zhenglian.catalogue_questions import PartitionSpec, QuestionSpec

CATALOGUE_SIZE_BYTES_MAX: Final = 1024 * 1024
TYPES_MAX: Final = 512
COLUMNS_MAX: Final = 64

T = TypeVar("T")

AsciiName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Decimals = Annotated[int, Meta(ge=0, le=9)]
Tolerance = Annotated[str, Meta(max_length=16, pattern=r"^(0|[1-9][0-9]*)(\.[0-9]{1,9})?$")]
ClassLevel = Annotated[int, Meta(ge=1, le=4)]
MediaType = Annotated[str, Meta(max_length=64, pattern=r"^(application|image|text)/[a-z0-9.+-]+$")]


class CatalogueInvalid(LedgerError):
    """A catalogue or type description that cannot be read or contradicts itself. Fields: where, reason."""

    code = "catalogue_invalid"
    zh = "证照目录有误（{where}）：{reason}"
    en = "Invalid certificate catalogue at {where}: {reason}"


class Holder(StrEnum):
    """Who a certificate belongs to."""

    PERSON = "person"
    ORGANIZATION = "organization"


class FieldKind(StrEnum):
    """How a field's value is written (see the module's docstring)."""

    TEXT = "text"
    DATE = "date"
    INTEGER = "integer"
    DECIMAL = "decimal"
    IDENTITY_NUMBER = "identity_number"
    ORGANIZATION_CODE = "organization_code"
    ROWS = "rows"


class ColumnKind(StrEnum):
    """How a value in a table is written; as in `FieldKind`."""

    TEXT = "text"
    DATE = "date"
    INTEGER = "integer"
    DECIMAL = "decimal"


class _Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of what the catalogue is made of."""


class ColumnSpec(_Spec, frozen=True):
    """One column of a `rows` field.

    Attributes:
        name, name_zh: identifier and heading.
        kind: how its values are written.
        decimals: places after the point of a decimal.
        reference: the value is an opaque row reference that means nothing outside the issuing system.
        tolerance: how far, in the column's own unit, a value may differ and still be right: an instrument's
            accuracy or an estimate's margin. Absent where the value is legal, counted or paid.
    """

    name: AsciiName
    name_zh: Label
    kind: ColumnKind
    decimals: Decimals = 0
    reference: bool = False
    tolerance: Tolerance | None = None


class FieldSpec(_Spec, frozen=True):
    """One field of a certificate type.

    Attributes:
        name, name_zh: identifier and printed label.
        kind: how its value is written.
        class_level: 1 public, 2 internal, 3 sensitive, 4 core (分类分级).
        sensitivity, grade: whether it is about a person, and how grave a leak is (`contracts/class_records.py`);
            None: not said yet.
        required: every certificate of the type has it.
        decimals: places after the point of a decimal.
        columns: the table's columns, for kind `rows` only.
        natural_key: columns that together tell the rows of one table apart without the reference.
        unordered: the order of the rows means nothing.
    """

    name: AsciiName
    name_zh: Label
    kind: FieldKind
    class_level: ClassLevel
    required: bool
    sensitivity: Sensitivity | None = None
    grade: Grade | None = None
    decimals: Decimals = 0
    natural_key: Annotated[tuple[AsciiName, ...], Meta(max_length=COLUMNS_MAX)] = ()
    unordered: bool = False
    columns: Annotated[tuple[ColumnSpec, ...], Meta(max_length=COLUMNS_MAX)] = ()


# Names of `watermark.Channel`, which a catalogue is read without.
MarkChannel = Literal[
    "pixels",
    "page_chips",
    "glyph_offsets",
    "word_offsets",
    "numbers",
    "reference",
    "row_order",
    "key_order",
    "zero_width",
    "variation",
]
MARK_CHANNELS: Final[tuple[MarkChannel, ...]] = get_args(MarkChannel)


class MarksSpec(_Spec, frozen=True):
    """How copies are marked (水印策略).

    Attributes:
        strength: 0.5 to 2, of marks in pixels; more survives more, and shows more.
        channels: the ways in which a copy may differ from the original; empty for all that its medium has.
        visible: whether words and a code are drawn on copies that are pictures or PDF (可见水印).
    """

    strength: Annotated[float, Meta(ge=0.5, le=2)] = 1.0
    channels: Annotated[tuple[MarkChannel, ...], Meta(max_length=len(MARK_CHANNELS))] = ()
    visible: bool = False


class AttachmentSpec(_Spec, frozen=True):
    """One file that belongs to a certificate: name in the record, label, media type, class as of a field, marks of its own."""

    name: AsciiName
    name_zh: Label
    media_type: MediaType
    class_level: ClassLevel
    sensitivity: Sensitivity | None = None
    grade: Grade | None = None
    marks: MarksSpec | None = None


class CertificateTypeSpec(_Spec, frozen=True):
    """A kind of certificate (证照类型).

    Attributes:
        number: its number in the city's list.
        code: stable ASCII identifier.
        name_zh, name_en: what people call it.
        issuers_zh: departments that may issue it.
        level_zh: level of government that answers for the data.
        holder: who it belongs to.
        validity_years: years from issue to expiry; null where it does not expire.
        certificate_number_field: the field that holds the certificate's own number.
        fields, attachments: in the order in which they are printed.
        questions, partitions: what may be asked and counted without the data leaving.
        marks: how copies of its fields are marked, and of attachments that say nothing else.
    """

    number: Annotated[int, Meta(ge=1, le=TYPES_MAX)]
    code: AsciiName
    name_zh: Label
    name_en: Annotated[str, Meta(min_length=1, max_length=256)]
    issuers_zh: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=16)]
    level_zh: Label
    holder: Holder
    validity_years: Annotated[int, Meta(ge=1, le=100)] | None
    certificate_number_field: AsciiName
    fields: Annotated[tuple[FieldSpec, ...], Meta(min_length=1, max_length=FIELDS_PER_TYPE_MAX)]
    attachments: Annotated[tuple[AttachmentSpec, ...], Meta(max_length=ATTACHMENTS_PER_TYPE_MAX)]
    questions: Annotated[tuple[QuestionSpec, ...], Meta(max_length=QUESTIONS_PER_TYPE_MAX)] = ()
    partitions: Annotated[tuple[PartitionSpec, ...], Meta(max_length=PARTITIONS_PER_TYPE_MAX)] = ()
    marks: MarksSpec = MarksSpec()

    def marks_of(self, attachment: str) -> MarksSpec:
        """How copies of an attachment are marked; of fields where its name is empty."""
        found = self.attachment(attachment) if attachment else None
        return self.marks if found is None or found.marks is None else found.marks

    def field(self, name: str) -> FieldSpec | None:
        """The field of that name, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def attachment(self, name: str) -> AttachmentSpec | None:
        """The attachment of that name, or None."""
        return next((attachment for attachment in self.attachments if attachment.name == name), None)


def decode_catalogue(data: bytes) -> tuple[CertificateTypeSpec, ...]:
    """Read a catalogue: a JSON array of types, in the order of their numbers.

    Args:
        data: UTF-8 JSON, at most `CATALOGUE_SIZE_BYTES_MAX` bytes.

    Returns:
        The types.

    Raises:
        LimitExceeded: too many bytes or types.
        CatalogueInvalid: not such JSON, or a catalogue that contradicts itself.
    """
    if len(data) > CATALOGUE_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="catalogue bytes", maximum=CATALOGUE_SIZE_BYTES_MAX, actual=len(data))
    types = _decode(data, tuple[CertificateTypeSpec, ...], "$")
    if len(types) > TYPES_MAX:
        raise LimitExceeded(limit="certificate types", maximum=TYPES_MAX, actual=len(types))
    for spec in types:
        _check_type(spec)
    _check_unique("$", "number", [str(spec.number) for spec in types])
    _check_unique("$", "code", [spec.code for spec in types])
    _check_unique("$", "name_zh", [spec.name_zh for spec in types])
    return types


def encode_schema(spec: CertificateTypeSpec) -> bytes:
    """The JSON form of a type that goes on the ledger: keys in declared order, no defaults, no spaces."""
    return msgspec.json.encode(spec)


def decode_schema(data: bytes) -> CertificateTypeSpec:
    """Read what `encode_schema` wrote.

    Raises:
        LimitExceeded: more than `SCHEMA_SIZE_BYTES_MAX` bytes.
        CatalogueInvalid: not such JSON, or a type that contradicts itself.
    """
    if len(data) > SCHEMA_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="schema bytes", maximum=SCHEMA_SIZE_BYTES_MAX, actual=len(data))
    spec = _decode(data, CertificateTypeSpec, "$")
    _check_type(spec)
    return spec


@cache
def load_catalogue() -> tuple[CertificateTypeSpec, ...]:
    """The city's 60 certificate types, as shipped with the SDK and completed by its rules, in the order of their numbers."""
    types = decode_catalogue((resources.files("zhenglian") / "data" / "certificate_types.json").read_bytes())
    completed = tuple(catalogue_rules.completed(spec) for spec in types)
    for spec in completed:
        _check_type(spec)
    return completed


def _decode(data: bytes, kind: type[T], where: str) -> T:
    try:
        return decode_json(data, kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise CatalogueInvalid(where=where, reason=str(error) or type(error).__name__) from None


def _check_type(spec: CertificateTypeSpec) -> None:
    _check_unique(spec.code, "field", [field.name for field in spec.fields])
    _check_unique(spec.code, "attachment", [attachment.name for attachment in spec.attachments])
    number = spec.field(spec.certificate_number_field)
    if number is None or not number.required or number.kind is FieldKind.ROWS:
        raise CatalogueInvalid(where=spec.code, reason="certificate_number_field names no required field")
    for field in spec.fields:
        _check_field(f"{spec.code}.{field.name}", field)
    declared = [one.name for one in spec.questions] + [one.name for one in spec.partitions]
    _check_unique(spec.code, "question or partition", declared)
    for question in spec.questions:
        _check_said(spec.code, question.name, why_question_invalid(question, spec.field(question.field)))
    for partition in spec.partitions:
        _check_said(spec.code, partition.name, why_partition_invalid(partition, spec.field(partition.field)))


def _check_said(code: str, name: str, reason: str) -> None:
    if reason:
        raise CatalogueInvalid(where=f"{code}.{name}", reason=reason)


def _check_field(where: str, field: FieldSpec) -> None:
    if (field.kind is FieldKind.ROWS) != bool(field.columns):
        raise CatalogueInvalid(where=where, reason="columns belong to kind rows, and to no other")
    if field.decimals and field.kind is not FieldKind.DECIMAL:
        raise CatalogueInvalid(where=where, reason="decimals belong to kind decimal")
    names = [column.name for column in field.columns]
    _check_unique(where, "column", names)
    _check_unique(where, "natural_key column", list(field.natural_key))
    if not set(field.natural_key) <= set(names):
        raise CatalogueInvalid(where=where, reason="natural_key names a column that is not there")
    for column in field.columns:
        _check_column(f"{where}.{column.name}", column, in_key=column.name in field.natural_key)


def _check_column(where: str, column: ColumnSpec, *, in_key: bool) -> None:
    if column.decimals and column.kind is not ColumnKind.DECIMAL:
        raise CatalogueInvalid(where=where, reason="decimals belong to kind decimal")
    if column.tolerance is not None and column.kind not in {ColumnKind.DECIMAL, ColumnKind.INTEGER}:
        raise CatalogueInvalid(where=where, reason="only a number has a tolerance")
    if in_key and (column.reference or column.tolerance is not None):
        raise CatalogueInvalid(where=where, reason="a key column is neither a reference nor tolerant")


def _check_unique(where: str, what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CatalogueInvalid(where=where, reason=f"{what} {name} appears twice")
        seen.add(name)
