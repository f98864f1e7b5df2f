"""From opened parts of a record to the file that an output asks for, before it is marked.

Rule: the same parts give the same bytes, because a trace renders the file again to compare the leak with it. What may be
changed in the file by marking is declared by the type's schema and nothing else.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from contracts.assets import asset_of
from contracts.records import Output, OutputFormat
from ledger.commitments import FieldProof, FieldValue
from ledger.errors import VerificationFailed
from watermark import Policy
from watermark.policy import TableSchema
from zhenglian.catalogue import CertificateTypeSpec, FieldKind, FieldSpec

COPY_REFERENCE: Final = "copy_reference"
COPY_REFERENCE_OF_ORIGINAL: Final = "0" * 16
MEDIA_TYPES: Final[Mapping[OutputFormat, str]] = {
    OutputFormat.JSON: "application/json",
    OutputFormat.CSV: "text/csv",
    OutputFormat.PDF: "application/pdf",
    OutputFormat.PNG: "image/png",
    OutputFormat.JPEG: "image/jpeg",
    OutputFormat.ANSWER: "application/json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """An unmarked file, and what marking may do to it.

    Attributes:
        data: the bytes.
        media_type: of the file.
        policy: for the watermark engine.
        asset: which asset of the certificate this is; watermark keys derive from it.
    """

    data: bytes
    media_type: str
    policy: Policy
    asset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProofs:
    """What proves the opened fields of one certificate.

    Attributes:
        chain_id: the network whose ledger has the commitment.
        proofs: by field.
    """

    chain_id: bytes
    proofs: Mapping[str, FieldProof]


def render_attachment(output: Output, media_type: str, content: bytes) -> Rendering:
    """An attachment as it was deposited.

    Args:
        output: what was asked for.
        media_type: what the attachment was deposited as.
        content: its bytes.

    Raises:
        VerificationFailed: the output asks for another format than the attachment has.
    """
    if output.format is OutputFormat.ORIGINAL:
        return Rendering(data=content, media_type=media_type, policy=Policy(), asset=asset_of(output))
    if MEDIA_TYPES[output.format] != media_type:
        raise VerificationFailed(
            reason=f"attachment {output.attachment} is {media_type}, not {output.format}"
        )
    return Rendering(
        data=content, media_type=MEDIA_TYPES[output.format], policy=Policy(), asset=asset_of(output)
    )


def render_fields(
    spec: CertificateTypeSpec,
    certificate_id: bytes,
    output: Output,
    values: Mapping[str, FieldValue],
    proofs: FieldProofs | None = None,
) -> Rendering:
    """Fields as JSON, or as CSV.

    JSON is one object: certificate id and type, the fields in the schema's order, what proves each of them against
        the certificate's commitment on the ledger, and an opaque copy reference. CSV is the table itself when the
        output names exactly one `rows` field, and one line with a header otherwise. Cells that begin with `=`, `+`,
        `-` or `@` stay as they are, although a spreadsheet may take them for formulas: a legal value is never
        changed, and a negative number is one of them. Whoever opens such a file imports it as text.

    Args:
        spec: the certificate's type.
        certificate_id: 16 bytes.
        output: what was asked for.
        values: the value of each field that the output names.
        proofs: of these fields, for JSON.

    Raises:
        VerificationFailed: the certificate's type does not have just these fields.
    """
    chosen = [field for field in spec.fields if field.name in values]
    if {field.name for field in chosen} != set(output.fields) or set(values) != set(output.fields):
        raise VerificationFailed(reason=f"{spec.code} does not have just the fields of the release")
    if output.format is OutputFormat.JSON:
        data, policy = _json(spec, certificate_id, chosen, values, proofs)
    elif len(chosen) == 1 and chosen[0].kind is FieldKind.ROWS:
        data, policy = _table(chosen[0], values[chosen[0].name])
    else:
        data, policy = _line(certificate_id, chosen, values)
    return Rendering(data=data, media_type=MEDIA_TYPES[output.format], policy=policy, asset=asset_of(output))


def _json(
    spec: CertificateTypeSpec,
    certificate_id: bytes,
    chosen: list[FieldSpec],
    values: Mapping[str, FieldValue],
    proofs: FieldProofs | None,
) -> tuple[bytes, Policy]:
    document: dict[str, object] = {
        "certificate_id": certificate_id.hex(),
        "certificate_type": spec.code,
        "certificate_type_name": spec.name_zh,
        "fields": {field.name: _in_order(field, values[field.name]) for field in chosen},
    }
    if proofs is not None:
        document["chain_id"] = proofs.chain_id.hex()
        document["proofs"] = {field.name: _proof(proofs.proofs[field.name]) for field in chosen}
    document[COPY_REFERENCE] = COPY_REFERENCE_OF_ORIGINAL
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    return data, Policy(table=TableSchema(reference=COPY_REFERENCE))


def _proof(proof: FieldProof) -> dict[str, object]:
    """As `zhenglian.api_regions.DisclosedField` has it."""
    place = proof.proof
    return {
        "salt": proof.salt.hex(),
        "proof": {
            "index": place.index,
            "size": place.size,
            "siblings": [sibling.hex() for sibling in place.siblings],
        },
    }


def _table(field: FieldSpec, rows: FieldValue) -> tuple[bytes, Policy]:
    names = [column.name for column in field.columns]
    lines = [[str(cell) for cell in row.values()] for row in _rows_in_order(field, rows)]
    reference = next((column.name for column in field.columns if column.reference), None)
    schema = TableSchema(
        keys=tuple(field.natural_key),
        tolerances={
            column.name: Decimal(column.tolerance)
            for column in field.columns
            if column.tolerance is not None and Decimal(column.tolerance) > 0
        },
        reference=reference,
        unordered=field.unordered,
    )
    return _csv(names, lines), Policy(table=schema)


def _line(
    certificate_id: bytes, chosen: list[FieldSpec], values: Mapping[str, FieldValue]
) -> tuple[bytes, Policy]:
    names = ["certificate_id", *(field.name for field in chosen), COPY_REFERENCE]
    cells = [
        certificate_id.hex(),
        *(_cell(_in_order(field, values[field.name])) for field in chosen),
        COPY_REFERENCE_OF_ORIGINAL,
    ]
    return _csv(names, [cells]), Policy(table=TableSchema(keys=("certificate_id",), reference=COPY_REFERENCE))


def _in_order(field: FieldSpec, value: FieldValue) -> FieldValue:
    """The value, the members of its rows in the schema's order: a committed value has them sorted by name."""
    return _rows_in_order(field, value) if field.kind is FieldKind.ROWS else value


def _rows_in_order(field: FieldSpec, rows: FieldValue) -> list[dict[str, str | int]]:
    if isinstance(rows, str | int):
        raise VerificationFailed(reason=f"field {field.name} is not a table")
    names = [column.name for column in field.columns]
    if any(set(row) != set(names) for row in rows):
        raise VerificationFailed(reason=f"a row of {field.name} does not have just the columns of the type")
    return [{name: row[name] for name in names} for row in rows]


def _cell(value: FieldValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _csv(names: list[str], lines: list[list[str]]) -> bytes:
    """RFC 4180."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows(lines)
    return text.getvalue().encode()
