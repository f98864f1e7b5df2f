"""From granted parts to a file: the same bytes every time, and nothing in them that was not granted."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.assets import asset_of
from contracts.records import Output, OutputFormat
from ledger.commitments import FieldValue, decode_value, encode_value
from ledger.errors import VerificationFailed
from node.services.rendering import (
    COPY_REFERENCE,
    COPY_REFERENCE_OF_ORIGINAL,
    Rendering,
    render_attachment,
    render_fields,
)
from tests.unit.node_replica import CARD, spec_of
from tests.unit.node_world import card_fields, payments

SPEC = spec_of(CARD)
ID = b"c" * 16
PLAIN = ("name", "identity_number", "sex")


def output(kind: OutputFormat, *fields: str, attachment: str = "") -> Output:
    return Output(certificate=ID, format=kind, fields=fields, attachment=attachment)


def rendered(kind: OutputFormat, *fields: str, **changed: FieldValue) -> Rendering:
    values = {name: value for name, value in {**card_fields(), **changed}.items() if name in fields}
    return render_fields(SPEC, ID, output(kind, *fields), values)


def lines(rendering: Rendering) -> list[list[str]]:
    return list(csv.reader(io.StringIO(rendering.data.decode(), newline="")))


def test_json_has_exactly_the_granted_fields_in_the_order_of_the_schema() -> None:
    fields = ("payments", "sex", "name")
    document = json.loads(rendered(OutputFormat.JSON, *fields).data)
    assert list(document["fields"]) == [field.name for field in SPEC.fields if field.name in fields]
    assert document["fields"] == {name: card_fields()[name] for name in fields}
    assert document["certificate_id"] == ID.hex()
    assert document["certificate_type"] == CARD
    assert document[COPY_REFERENCE] == COPY_REFERENCE_OF_ORIGINAL
    assert "11010519491231002X" not in rendered(OutputFormat.JSON, *fields).data.decode()


def test_csv_of_plain_fields_is_a_header_and_a_line() -> None:
    header, line = lines(rendered(OutputFormat.CSV, *PLAIN))
    assert header == ["certificate_id", *PLAIN, COPY_REFERENCE]
    assert line == [ID.hex(), *(str(card_fields()[name]) for name in PLAIN), COPY_REFERENCE_OF_ORIGINAL]


def test_csv_of_one_table_is_the_table() -> None:
    table = lines(rendered(OutputFormat.CSV, "payments"))
    assert table[0] == list(payments(1)[0])
    assert table[1:] == [[str(cell) for cell in row.values()] for row in payments(3)]
    assert len(lines(rendered(OutputFormat.CSV, "payments", payments=[]))) == 1


def test_csv_of_a_table_among_fields_keeps_the_table_in_a_cell() -> None:
    header, line = lines(rendered(OutputFormat.CSV, "name", "payments"))
    assert json.loads(line[header.index("payments")]) == payments(3)


def test_marking_may_change_what_the_schema_declares_and_nothing_else() -> None:
    table = rendered(OutputFormat.CSV, "payments").policy.table
    assert table.keys == ("month", "insurance")
    assert table.tolerances == {
        "interest_estimate": Decimal("0.05"),
        "indexed_base_estimate": Decimal("0.50"),
    }
    assert table.reference == "row_reference"
    assert table.unordered
    assert table.free_text == ()
    for kind in (OutputFormat.JSON, OutputFormat.CSV):
        assert rendered(kind, *PLAIN).policy.table.carriers == {COPY_REFERENCE}


@pytest.mark.parametrize("kind", [OutputFormat.JSON, OutputFormat.CSV])
@pytest.mark.parametrize("fields", [PLAIN, ("payments",), ("name", "payments")])
def test_the_same_parts_give_the_same_bytes_in_whatever_order_they_come(
    kind: OutputFormat, fields: tuple[str, ...]
) -> None:
    once, again = rendered(kind, *fields), rendered(kind, *fields[::-1])
    values = {name: decode_value(encode_value(card_fields()[name])) for name in reversed(fields)}
    sealed = render_fields(SPEC, ID, output(kind, *fields), values)
    assert once.data == again.data == sealed.data
    assert once.asset == again.asset == sealed.asset
    assert (once.media_type, once.policy) == (again.media_type, again.policy)


def test_equal_content_is_one_asset_and_other_content_another() -> None:
    outputs = [
        output(OutputFormat.JSON, "name"),
        output(OutputFormat.JSON, "name", "sex"),
        output(OutputFormat.CSV, "name"),
        output(OutputFormat.PDF, attachment="document"),
        output(OutputFormat.PNG, attachment="document"),
    ]
    assert len({asset_of(one) for one in outputs}) == len(outputs)
    assert asset_of(output(OutputFormat.JSON, "sex", "name")) == asset_of(outputs[1])


def test_an_attachment_is_what_was_deposited() -> None:
    wanted = output(OutputFormat.PDF, attachment="document")
    assert render_attachment(wanted, "application/pdf", b"%PDF-").data == b"%PDF-"


def test_an_attachment_is_not_handed_out_as_something_else() -> None:
    with pytest.raises(VerificationFailed):
        render_attachment(output(OutputFormat.PDF, attachment="card"), "image/png", b"\x89PNG")


def test_values_that_do_not_fit_the_type_are_refused() -> None:
    with pytest.raises(VerificationFailed):
        render_fields(SPEC, ID, output(OutputFormat.JSON, "name"), {"name": "x", "sex": "y"})
    with pytest.raises(VerificationFailed):
        render_fields(SPEC, ID, output(OutputFormat.JSON, "name", "sex"), {"name": "x"})
    with pytest.raises(VerificationFailed):
        render_fields(SPEC, ID, output(OutputFormat.JSON, "shoe_size"), {"shoe_size": 42})
    with pytest.raises(VerificationFailed):
        rendered(OutputFormat.CSV, "payments", payments="no table")
    for row in ({}, {**payments(1)[0], "more": "1"}):
        for kind in (OutputFormat.CSV, OutputFormat.JSON):
            with pytest.raises(VerificationFailed):
                rendered(kind, "payments", payments=[row])


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(value=cells)
def test_every_value_comes_out_as_it_went_in(value: str) -> None:
    """Formula-like ones too: a legal value is never changed, whatever a spreadsheet makes of it."""
    header, line = lines(rendered(OutputFormat.CSV, "name", "sex", name=value))
    assert line[header.index("name")] == value
    assert json.loads(rendered(OutputFormat.JSON, "name", name=value).data)["fields"]["name"] == value
    rows = [{**payments(1)[0], "employer": value}]
    header, line = lines(rendered(OutputFormat.CSV, "payments", payments=rows))
    assert line[header.index("employer")] == value


@pytest.mark.parametrize("value", ["=1+1", "+86", "-0.50", "@SUM(A1)", '=HYPERLINK("x")', "\t=1"])
def test_cells_that_look_like_formulas_stay_as_they_are(value: str) -> None:
    header, line = lines(rendered(OutputFormat.CSV, "name", "sex", name=value))
    assert line[header.index("name")] == value
