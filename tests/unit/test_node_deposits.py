"""What may be deposited: exactly what the type's schema says, sealed, replicated, and as its issuer committed to it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.calls import RegisterCertificateTypes
from contracts.records import AccountKind, KeyRole
from contracts.state import CERTIFICATES
from ledger import commitments
from ledger.errors import LedgerError, LimitExceeded, NotFound
from node.holders.errors import KeyRefused
from node.services.deposits import NotIssuer, check_attachments
from node.services.ports import AttachmentInput, Caller, DepositInput, FieldValue
from node.vault.keys import Authority, AuthorityKind, PartKind, PartName
from node.vault.records import FIELD_SIZE_BYTES_MAX
from tests.unit.contracts_world import BANK, LI, SUITE, identity
from tests.unit.node_replica import CARD, OFFICER, spec_of, type_of
from tests.unit.node_world import Node, card, card_fields, payments, running
from zhenglian.api import ATTACHMENT_SIZE_BYTES_MAX, AttachmentUpload, DepositRequest
from zhenglian.catalogue import CatalogueInvalid, FieldKind
from zhenglian.deposits import commitment_of
from zhenglian.field_checks import TEXT_LENGTH_MAX, DepositInvalid, check_fields
from zhenglian.identifiers import IdentityNumberInvalid, OrganizationCodeInvalid

SPEC = spec_of(CARD)
PDF = AttachmentInput(name="document", media_type="application/pdf", data=b"%PDF-1.7 a document")
PNG = AttachmentInput(name="card", media_type="image/png", data=b"\x89PNG\r\n\x1a\n a card")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with running(tmp_path, populated=True) as node:
        yield node


def named(kind: FieldKind) -> str:
    return next(field.name for field in SPEC.fields if field.kind is kind)


# --- the client's side and ours ---


def request_of(content: DepositInput) -> DepositRequest:
    return DepositRequest(
        certificate_id=content.certificate_id.hex(),
        certificate_type=content.certificate_type,
        holder=content.holder.hex(),
        fields=content.fields,
        salt_seed=content.salt_seed.hex(),
        attachments=[
            AttachmentUpload(
                name=upload.name,
                media_type=upload.media_type,  # type: ignore[arg-type]
                data=base64.b64encode(upload.data).decode(),
            )
            for upload in content.attachments
        ],
    )


async def test_the_draft_commits_to_what_the_client_computes_from_its_own_data(here: Node) -> None:
    for content in (card(rows=3, attachments=(PNG, PDF)), card("other", rows=0), card("third", rows=500)):
        draft = await here.deposits.prepare(content, OFFICER)
        assert draft.commitment_root == commitment_of(SUITE, request_of(content))
        shuffled = replace(content, fields=dict(reversed(content.fields.items())))
        assert commitment_of(SUITE, request_of(shuffled)) == draft.commitment_root


async def test_the_draft_says_what_the_issuer_signs(here: Node) -> None:
    content = card(attachments=(PNG, PDF))
    draft = await here.deposits.prepare(content, OFFICER)
    assert draft.certificate_id == content.certificate_id
    assert (draft.certificate_type, draft.type_version) == (CARD, 1)
    assert draft.fields == tuple(field.name for field in SPEC.fields if field.name in content.fields)
    assert draft.attachments == ("document", "card")
    assert draft.expires_ms == here.now_ms + 3_600_000
    assert here.blobs.has(draft.payload_hash)


async def test_nothing_is_on_the_ledger_until_the_officer_signs_and_nothing_opens_before_a_release(
    here: Node,
) -> None:
    content = card()
    draft = await here.deposits.prepare(content, OFFICER)
    assert here.chain.records.certificate(draft.certificate_id) is None
    await here.deposit(content)
    certificate = CERTIFICATES.get(here.execution.state(), content.certificate_id)
    assert certificate is not None
    assert certificate.commitment_root == draft.commitment_root
    part = PartName(certificate_id=draft.certificate_id, kind=PartKind.FIELD, name=draft.fields[0])
    nothing = Authority(kind=AuthorityKind.RELEASE, record_id=bytes(8))
    with pytest.raises(KeyRefused):
        await here.reader.unlock(nothing, (certificate,), (part,))


async def test_no_value_lies_in_the_blobs_in_the_clear(here: Node, tmp_path: Path) -> None:
    content = card(attachments=(PDF,))
    await here.deposits.prepare(content, OFFICER)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    assert stored
    for value in ("11010519491231002X", "石油装备", "a document"):
        assert value.encode() not in stored


# --- who, for whom, of what ---


async def refused(
    here: Node, error: type[LedgerError], content: DepositInput, caller: Caller = OFFICER
) -> dict[str, str | int]:
    with pytest.raises(error) as caught:
        await here.deposits.prepare(content, caller)
    return caught.value.fields


async def test_only_a_department_that_may_issue_the_type_deposits_it(here: Node) -> None:
    bank = Caller(account=BANK.account, key_id=BANK.key_id, kind=AccountKind.ENTERPRISE, role=KeyRole.OFFICER)
    await refused(here, NotIssuer, card(), bank)
    await refused(here, NotIssuer, card(), replace(bank, account=bytes(16)))
    here.vote(RegisterCertificateTypes(types=(type_of(spec_of("degree_proof")),)))
    await refused(here, NotIssuer, replace(card(), certificate_type="degree_proof"))


async def test_type_holder_and_id_are_checked(here: Node) -> None:
    await refused(here, NotFound, replace(card(), certificate_type="nothing_of_ours"))
    await refused(here, NotFound, replace(card(), certificate_type="证照" * 32))
    await refused(here, NotFound, replace(card(), holder=bytes(16)))
    assert (await refused(here, DepositInvalid, replace(card(), holder=BANK.account)))["member"] == "holder"
    await here.deposit(card())
    assert (await refused(here, DepositInvalid, card()))["member"] == "certificate_id"
    assert LI.account == card().holder


async def test_a_type_whose_schema_and_record_differ_takes_no_deposit(here: Node) -> None:
    kind = type_of(SPEC)
    here.vote(
        RegisterCertificateTypes(
            types=(msgspec.structs.replace(kind, version=2, fields=(*kind.fields, "more")),)
        )
    )
    await refused(here, CatalogueInvalid, card())


# --- fields ---


def bad_fields(changes: dict[str, Any]) -> dict[str, str | int]:
    with pytest.raises(DepositInvalid) as caught:
        check_fields(SPEC, {**card_fields(), **changes})
    return caught.value.fields


def test_the_cards_of_these_tests_are_right() -> None:
    check_fields(SPEC, card_fields())
    check_fields(SPEC, card_fields(rows=0))


def test_an_unknown_field_is_named() -> None:
    assert bad_fields({"shoe_size": 42})["member"] == "fields.shoe_size"


def test_every_required_field_must_be_there_and_others_need_not() -> None:
    for field in SPEC.fields:
        fields = card_fields()
        del fields[field.name]
        if field.required:
            with pytest.raises(DepositInvalid) as caught:
                check_fields(SPEC, fields)
            assert caught.value.fields["member"] == f"fields.{field.name}"
        else:
            check_fields(SPEC, fields)


@pytest.mark.parametrize("value", [1, True, None, 1.5, [], {}, b"x"])
def test_text_must_be_text(value: object) -> None:
    assert bad_fields({"name": value})["member"] == "fields.name"


@pytest.mark.parametrize(
    "value",
    [
        "a\0b",
        "a\tb",
        "zero\u200bwidth",
        "line\nand\u200bzero width",
        "\u202eright to left",
        "\ufeff",
        "\r\n",
        "\x1b[31m",
        "\ud800",
        "a\u2028b",
    ],
)
def test_control_and_invisible_characters_are_refused_beside_a_line_break_too(value: str) -> None:
    assert bad_fields({"name": value})["member"] == "fields.name"


@pytest.mark.parametrize(
    "value", ["张三", "欧阳\u3000娜娜", "two\nlines", "𠮷野家", "\U000323b0", "\ue863", "=1+1", "é", "🙂"]
)
def test_any_other_text_is_taken_rare_characters_included(value: str) -> None:
    check_fields(SPEC, {**card_fields(), "name": value})


def test_text_has_a_largest_length() -> None:
    check_fields(SPEC, {**card_fields(), "name": "长" * TEXT_LENGTH_MAX})
    with pytest.raises(LimitExceeded):
        check_fields(SPEC, {**card_fields(), "name": "长" * (TEXT_LENGTH_MAX + 1)})


@pytest.mark.parametrize(
    "value",
    [
        "2023-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-01-32",
        "20240101",
        "2024-1-1",
        "",
        "2024-01-01 ",
        "２０２４-01-01",
        "٢٠٢٤-01-01",
        "0000-01-01",
        "2024-W01-1",
    ],
)
def test_a_date_is_a_day_of_the_calendar(value: str) -> None:
    assert "YYYY-MM-DD" in str(bad_fields({named(FieldKind.DATE): value})["reason"])


def test_a_leap_day_is_a_day() -> None:
    check_fields(SPEC, {**card_fields(), named(FieldKind.DATE): "2024-02-29"})


def test_an_identity_number_is_checked_and_never_repeated() -> None:
    number = "110105194912310021"
    with pytest.raises(IdentityNumberInvalid) as caught:
        check_fields(SPEC, {**card_fields(), named(FieldKind.IDENTITY_NUMBER): number})
    assert number not in str(caught.value)
    licence = spec_of("business_licence")
    with pytest.raises(OrganizationCodeInvalid):
        check_fields(licence, {licence.fields[0].name: "91370502MA3C0000XX"})


def test_numbers_are_checked() -> None:
    spec = spec_of("health_certificate")
    age = next(field.name for field in spec.fields if field.kind is FieldKind.INTEGER)
    fields: dict[str, FieldValue] = {}
    for field in spec.fields:
        fields[field.name] = (
            3
            if field.kind is FieldKind.INTEGER
            else "2024-01-01"
            if field.kind is FieldKind.DATE
            else "11010519491231002X"
            if field.kind is FieldKind.IDENTITY_NUMBER
            else "某"
        )
    check_fields(spec, fields)
    for good in (0, -5, 2**53 - 1, 1 - 2**53):
        check_fields(spec, {**fields, age: good})
    for bad in ("3", True, 2**53, -(2**53), 10**30, 1.0, None):
        with pytest.raises(DepositInvalid):
            check_fields(spec, {**fields, age: bad})  # type: ignore[dict-item]


# --- tables ---


def with_cell(column: str, cell: object) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [*payments(3)]
    rows[1] = {**rows[1], column: cell}
    return {"payments": rows}


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("base", "1.0"),
        ("base", "1"),
        ("base", "1.000"),
        ("base", "01.00"),
        ("base", "1e2"),
        ("base", ".50"),
        ("base", "１.00"),
        ("base", "1１.00"),
        ("base", "1.0０"),
        ("base", "+1.00"),
        ("base", "NaN"),
        ("base", " 1.00"),
        ("base", 100),
        ("arrival_date", "2023-02-30"),
        ("month", 202401),
        ("month", True),
        ("employer", "某\u200b公司"),
        ("employer", None),
    ],
)
def test_a_cell_is_named_by_row_and_column(column: str, cell: object) -> None:
    assert bad_fields(with_cell(column, cell))["member"] == f"fields.payments[1].{column}"


def test_negative_decimals_are_decimals() -> None:
    check_fields(SPEC, {**card_fields(), **with_cell("interest_estimate", "-0.50")})


def test_whole_numbers_in_tables_are_bounded() -> None:
    spec = spec_of("blood_donation_certificate")
    table = spec.field("donations")
    assert table is not None
    row: dict[str, str | int] = {
        "row_reference": "r",
        "donation_date": "2024-01-01",
        "donation_kind": "全血",
        "volume_ml": 2**53,
        "place": "东营",
    }
    with pytest.raises(DepositInvalid) as caught:
        check_fields(replace_fields(spec, "donations"), {"donations": [row]})
    assert caught.value.fields["member"] == "fields.donations[0].volume_ml"
    check_fields(replace_fields(spec, "donations"), {"donations": [{**row, "volume_ml": 400}]})


def replace_fields(spec: Any, name: str) -> Any:
    return msgspec.structs.replace(spec, fields=(spec.field(name),))


def test_a_row_has_exactly_the_columns() -> None:
    row = payments(1)[0]
    fewer = {name: cell for name, cell in row.items() if name != "month"}
    wrong: list[dict[str, str | int]] = [fewer, {**row, "more": "1"}, {}]
    for bad in wrong:
        assert bad_fields({"payments": [bad]})["member"] == "fields.payments[0]"
    for value in ("rows", 3, {"a": "b"}):
        assert bad_fields({"payments": value})["member"] == "fields.payments"


def test_a_table_has_a_largest_number_of_rows() -> None:
    assert commitments.ROWS_PER_VALUE_MAX == 10_000
    assert commitments.VALUE_SIZE_BYTES_MAX == FIELD_SIZE_BYTES_MAX == 1024 * 1024
    rows = payments(1) * 10_001
    check_fields(SPEC, {**card_fields(), "payments": rows[:-1]})
    with pytest.raises(LimitExceeded):
        check_fields(SPEC, {**card_fields(), "payments": rows})


async def test_a_table_of_many_rows_but_too_many_bytes_is_refused(here: Node) -> None:
    content = card()
    await here.deposits.prepare(
        replace(content, fields={**content.fields, "payments": payments(3000)}), OFFICER
    )
    rows: list[dict[str, str | int]] = [{**row, "employer": "长" * 200} for row in payments(3000)]
    await refused(here, LimitExceeded, replace(content, fields={**content.fields, "payments": rows}))


# --- attachments ---


def bad_files(*files: AttachmentInput) -> str:
    with pytest.raises(DepositInvalid) as caught:
        check_attachments(SPEC, files)
    return str(caught.value.fields["member"])


def test_files_are_held_against_the_type_and_their_own_first_bytes() -> None:
    check_attachments(SPEC, ())
    check_attachments(SPEC, (PNG, PDF))
    assert bad_files(replace(PDF, name="passport")) == "attachments.passport"
    assert bad_files(PDF, PDF) == "attachments.document"
    assert bad_files(replace(PDF, media_type="image/png", data=PNG.data)) == "attachments.document"
    assert bad_files(replace(PDF, data=PNG.data)) == "attachments.document"
    assert bad_files(replace(PDF, data=b"")) == "attachments.document"
    assert bad_files(replace(PNG, data=b"%PDF-1.7")) == "attachments.card"
    assert bad_files(replace(PDF, media_type="text/html")) == "attachments.document"


def test_a_media_type_that_nobody_can_mark_is_refused_even_where_the_schema_asks_for_it() -> None:
    odd = msgspec.structs.replace(
        SPEC,
        attachments=(msgspec.structs.replace(SPEC.attachments[0], media_type="application/ofd"),),
    )
    with pytest.raises(DepositInvalid):
        check_attachments(odd, (replace(PDF, media_type="application/ofd"),))


def test_a_file_has_a_largest_size() -> None:
    largest = PDF.data.ljust(ATTACHMENT_SIZE_BYTES_MAX, b"\n")
    check_attachments(SPEC, (replace(PDF, data=largest),))
    with pytest.raises(LimitExceeded):
        check_attachments(SPEC, (replace(PDF, data=largest + b"\n"),))


async def test_the_largest_file_can_be_sealed_and_kept(here: Node) -> None:
    largest = PDF.data + identity("noise", 32) * (ATTACHMENT_SIZE_BYTES_MAX // 32 - 1)
    draft = await here.deposits.prepare(card(attachments=(replace(PDF, data=largest),)), OFFICER)
    assert draft.attachments == ("document",)
