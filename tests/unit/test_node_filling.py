"""A form is filled in from what a release gave, and says why where it is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from contracts.calls import GrantsApprove, GrantsRequest, RegisterPurposes
from contracts.form_records import Form, FormEntry
from contracts.grant_records import ConsentMode, FetchType, GrantItem, PurposeTemplate, TemplateItem
from contracts.question_calls import FormsRegister
from contracts.records import Certificate, Grant, Output, OutputFormat
from contracts.state import CERTIFICATES
from ledger import domains
from ledger.errors import DecodeError, NotFound, VerificationFailed
from ledger.hashing import transaction_id
from ledger.receipts import state_receipt_to_json, trust_to_json
from node.cli import app
from node.http.views import questions as views
from node.http.views.common import Names
from node.services.filling import Holdings, fill
from node.services.prefill import FormNotReady, FormOutputs, FormPurpose, Prefill
from tests.unit.contracts_world import BANK, DAY_MS, DEPARTMENT, LI, START_MS, SUITE, identity
from tests.unit.node_world import Node, card, running
from tests.unit.test_questions_answers import certificate as bare
from zhenglian import disclosures, presentations
from zhenglian.api_regions import Disclosure
from zhenglian.catalogue import load_catalogue

SPECS = {spec.code: spec for spec in load_catalogue()}
CARD, LICENCE, DEGREE = "resident_identity_card", "driving_licence", "education_certificate"
NOW_MS = START_MS


def entry(name: str, term: str, *, required: bool = True) -> FormEntry:
    return FormEntry(name=name, label_zh=name, label_en="", term=term, required=required)


FORM = Form(
    code="enrolment",
    version=1,
    owner=identity("school"),
    registered_by=identity("key"),
    registered_ms=0,
    name_zh="登记表",
    name_en="",
    purpose="loan",
    dictionary=1,
    entries=(entry("name", "person.name"), entry("birth", "person.birth_date")),
)


def held(label: str, kind: str, **changes: object) -> Certificate:
    fields = tuple(field.name for field in SPECS[kind].fields)
    values: dict[str, object] = {
        "certificate_id": identity(label),
        "certificate_type": kind,
        "holder": LI.account,
        "fields": fields,
        "valid_from_ms": START_MS - DAY_MS,
    }
    return replace(bare(), **{**values, **changes})


def grant(*items: GrantItem, **changes: object) -> Grant:
    values: dict[str, object] = {
        "grant_id": identity("grant"),
        "schema_version": 1,
        "pii_principal_id": LI.account,
        "grantee": BANK.account,
        "requested_by": identity("key"),
        "purpose": "loan",
        "lawful_basis": "consent",
        "legal_ref": "",
        "privacy_notice_hash": bytes(32),
        "language": "zh",
        "items": items,
        "requested_items": items,
        "consent_mode": ConsentMode.STORE,
        "fetch_type": FetchType.PERIODIC,
        "uses_max": 9,
        "uses_left": 9,
        "requested_ms": 0,
        "consent_start_ms": 0,
        "consent_expiry_ms": START_MS + DAY_MS,
        "data_life_ms": 0,
        "jurisdiction": "cn",
        "revocable": True,
        "state": "active",
        "state_since_ms": 0,
        "renews": b"",
    }
    return Grant(**{**values, **changes})  # type: ignore[arg-type]


def item(kind: str, *fields: str, certificate: bytes = b"", declined: tuple[str, ...] = ()) -> GrantItem:
    return GrantItem(
        certificate_type=kind, certificate=certificate, fields=fields, attachments=(), declined=declined
    )


def holdings(given: Grant, *certificates: Certificate) -> Holdings:
    specs = {(one.certificate_type, 1): SPECS[one.certificate_type] for one in certificates}
    specs |= {(one.certificate_type, 0): SPECS[one.certificate_type] for one in given.items}
    return Holdings(grant=given, certificates=certificates, specs=specs, time_ms=NOW_MS)


def file_of(certificate: Certificate, **values: object) -> bytes:
    proofs = {name: {"salt": "00" * 16, "proof": {"index": 0, "size": 1, "siblings": []}} for name in values}
    document = {
        "certificate_id": certificate.certificate_id.hex(),
        "chain_id": "00" * 32,
        "fields": values,
        "proofs": proofs,
    }
    return json.dumps(document).encode()


def reasons(given: Grant, *certificates: Certificate, files: tuple[bytes, ...] = ()) -> dict[str, str]:
    return {line.entry.name: line.reason for line in fill(FORM, files, holdings(given, *certificates))}


def test_sources_that_agree_fill_a_line_and_are_all_named() -> None:
    first, second = held("card", CARD), held("licence", LICENCE)
    given = grant(item(CARD, "name", "birth_date"), item(LICENCE, "name"))
    files = (file_of(first, name="王明", birth_date="1990-01-01"), file_of(second, name="王 明"))
    name, birth = fill(FORM, files, holdings(given, first, second))
    assert (name.value, name.reason) == ("王明", "")
    assert [source.certificate for source in name.sources] == [first, second]
    assert birth.value == "1990-01-01"


def test_sources_that_differ_fill_nothing_and_are_shown() -> None:
    first, second = held("card", CARD), held("licence", LICENCE)
    given = grant(item(CARD, "name"), item(LICENCE, "name"))
    files = (file_of(first, name="王明"), file_of(second, name="王铭"))
    line = fill(FORM, files, holdings(given, first, second))[0]
    assert (line.value, line.reason) == (None, "conflicting_sources")
    assert [source.value for source in line.sources] == ["王明", "王铭"]


def test_a_line_says_why_it_is_empty() -> None:
    card_ = held("card", CARD)
    ended = held("card", CARD, valid_until_ms=START_MS - 1)
    without = held("card", CARD, fields=("name",))
    open_ = grant(item(CARD, "name", "birth_date"))
    assert reasons(open_, card_)["birth"] == "not_requested"
    assert reasons(open_, ended)["birth"] == "not_valid"
    assert reasons(open_, without)["birth"] == "none_held"
    assert reasons(open_)["birth"] == "none_held"
    assert reasons(grant(item(CARD, "name", declined=("birth_date",))), card_)["birth"] == "declined"
    assert reasons(grant(item(CARD, "name")), card_)["birth"] == "not_granted"
    assert reasons(grant(item(CARD, "birth_date"), consent_mode=ConsentMode.QUERY), card_)["birth"] == (
        "answers_only"
    )


def test_what_is_not_granted_tells_nothing_of_what_the_holder_has() -> None:
    """Whether Li has a licence, and whether it is valid, is not for one who was given her card."""
    given = grant(item(CARD, "name"))
    answers = [
        reasons(given, held("card", CARD), *more)["birth"]
        for more in (
            (),
            (held("licence", LICENCE),),
            (held("licence", LICENCE, valid_until_ms=START_MS - 1),),
        )
    ]
    assert answers == ["not_granted"] * 3


def test_another_certificate_than_the_granted_one_does_not_count() -> None:
    first, second = held("card", CARD), held("second card", CARD, valid_until_ms=START_MS - 1)
    given = grant(item(CARD, "birth_date", certificate=second.certificate_id))
    assert reasons(given, first, second)["birth"] == "not_valid"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"certificate_id": 1}'])
def test_a_file_that_is_none_of_a_release_is_refused(data: bytes) -> None:
    with pytest.raises(VerificationFailed):
        fill(FORM, (data,), holdings(grant(item(CARD, "name")), held("card", CARD)))


# --- with a node ---


@dataclass
class Filled:
    node: Node
    service: Prefill
    grant_id: bytes
    certificate: bytes

    def request(self, *outputs: Output) -> object:
        return self.node.request_of(BANK, self.grant_id, *outputs)


def json_of(certificate: bytes, *fields: str) -> Output:
    return Output(certificate=certificate, format=OutputFormat.JSON, fields=fields, attachment="")


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Filled]:
    async with running(tmp_path, populated=True) as node:
        draft = await node.deposit(card())
        grant_id = await node.grant(BANK, draft)
        await node.send(
            DEPARTMENT,
            FormsRegister(
                code="loan_form",
                name_zh="贷款申请表",
                name_en="",
                purpose="loan",
                dictionary=1,
                entries=(
                    entry("name", "person.name"),
                    entry("number", "person.identity_number"),
                    entry("school", "person.school_name", required=False),
                ),
            ),
        )
        service = Prefill(chain=node.chain, index=node.index, releases=node.releases)
        await node.index.wait_height(node.chain.height, 30)
        yield Filled(node, service, grant_id, draft.certificate_id)


async def test_a_form_comes_back_filled_with_source_and_proof(filled: Filled) -> None:
    node = filled.node
    request = node.request_of(BANK, filled.grant_id, json_of(filled.certificate, "name", "identity_number"))
    found = await filled.service.fill("loan_form", request, wait_s=30)
    view = views.filled(found, Names(node.chain.records), display=False)
    name, number, school = view.entries
    assert view.complete
    assert view.unfilled == ["school"]
    assert (name.value, number.value) == ("某name", "11010519491231002X")
    assert school.reason == "not_granted"
    source = number.sources[0]
    assert source.certificate_id == filled.certificate.hex()
    # A third party checks the value against the commitment on the ledger.
    record = node.chain.records.certificate(filled.certificate)
    assert record is not None
    data = (await node.releases.file(found.release.release_id, 0)).data
    shown = disclosures.selected(presentations.disclosure_of_release(data), ["identity_number"])
    assert disclosures.unproven(SUITE, record.commitment_root, shown) == []
    assert (shown.fields[0].salt, shown.fields[0].proof) == (source.salt, source.proof)


async def test_a_form_for_a_screen_is_masked_and_has_no_proofs(filled: Filled) -> None:
    node = filled.node
    request = node.request_of(BANK, filled.grant_id, json_of(filled.certificate, "name", "identity_number"))
    found = await filled.service.fill("loan_form", request, wait_s=30)
    view = views.filled(found, Names(node.chain.records), display=True)
    assert [one.value for one in view.entries] == ["某****", "110105********002X", None]
    assert all(source.proof is None for one in view.entries for source in one.sources)


async def test_the_same_request_again_costs_no_second_use(filled: Filled) -> None:
    node = filled.node
    request = node.request_of(BANK, filled.grant_id, json_of(filled.certificate, "name"))
    first = await filled.service.fill("loan_form", request, wait_s=30)
    again = await filled.service.fill("loan_form", request, wait_s=30)
    assert first == again
    record = node.chain.records.grant(filled.grant_id)
    assert record is not None
    assert record.uses_left == 8


async def test_a_request_that_does_not_fit_the_form_is_not_sent(filled: Filled) -> None:
    node = filled.node
    csv = replace(json_of(filled.certificate, "name"), format=OutputFormat.CSV)
    with pytest.raises(FormOutputs):
        await filled.service.fill("loan_form", node.request_of(BANK, filled.grant_id, csv), wait_s=30)
    good = json_of(filled.certificate, "name")
    with pytest.raises(NotFound):
        await filled.service.fill("other", node.request_of(BANK, filled.grant_id, good), wait_s=30)
    with pytest.raises(NotFound):
        await filled.service.fill("loan_form", node.request_of(BANK, bytes(16), good), wait_s=30)
    other = PurposeTemplate(
        code="other",
        name_zh="他用",
        name_en="",
        items=(TemplateItem(certificate_type="social_security_card", fields=("name",), attachments=()),),
        uses_max=9,
        period_ms_max=DAY_MS,
        data_life_ms_max=DAY_MS,
    )
    node.vote(RegisterPurposes(purposes=(other,)))
    asked = node.sign(
        BANK,
        GrantsRequest(
            pii_principal_id=LI.account,
            purpose="other",
            lawful_basis="consent",
            legal_ref="",
            privacy_notice_hash=bytes(32),
            language="zh",
            items=(item("social_security_card", "name"),),
            consent_mode=ConsentMode.VIEW,
            fetch_type=FetchType.PERIODIC,
            uses_max=2,
            consent_expiry_ms=node.now_ms + DAY_MS // 2,
            data_life_ms=0,
            jurisdiction="cn",
            revocable=True,
            renews=b"",
        ),
    )
    await node.submission.submit(asked, wait_s=30)
    grant_id = SUITE.hash(domains.GRANT_ID, transaction_id(SUITE, asked.body))[:16]
    await node.send(
        LI,
        GrantsApprove(
            grant_id=grant_id,
            items=(item("social_security_card", "name"),),
            uses_max=2,
            consent_expiry_ms=node.now_ms + DAY_MS // 4,
        ),
    )
    with pytest.raises(FormPurpose):
        await filled.service.fill("loan_form", node.request_of(BANK, grant_id, good), wait_s=30)
    assert FormNotReady.code == "form_not_ready"


async def test_a_presentation_of_one_released_field_holds_offline_and_no_other_does(filled: Filled) -> None:
    node = filled.node
    request = node.request_of(BANK, filled.grant_id, json_of(filled.certificate, "name", "sex"))
    found = await filled.service.fill("loan_form", request, wait_s=30)
    data = (await node.releases.file(found.release.release_id, 0)).data
    shown = presentations.disclosure_of_release(data)
    assert sorted(disclosures.part_names(shown)) == ["name", "sex"]
    one = disclosures.selected(shown, ["sex"])
    record = node.chain.records.certificate(filled.certificate)
    assert record is not None
    assert disclosures.unproven(SUITE, record.commitment_root, one) == []
    changed = replace(one, fields=[replace(one.fields[0], value="女")])
    assert disclosures.unproven(SUITE, record.commitment_root, changed) == ["sex"]
    renamed = replace(one, fields=[replace(one.fields[0], name="name")])
    assert disclosures.unproven(SUITE, record.commitment_root, renamed) == ["name"]


@dataclass
class Shown:
    """What is handed on, and what it is checked against."""

    disclosure: Disclosure
    receipt: str
    trust: str

    def file(self, *names: str) -> bytes:
        return presentations.to_json(presentations.present(self.disclosure, names, self.receipt))


@pytest.fixture
async def shown(filled: Filled) -> Shown:
    node = filled.node
    request = node.request_of(BANK, filled.grant_id, json_of(filled.certificate, "name", "sex"))
    found = await filled.service.fill("loan_form", request, wait_s=30)
    data = (await node.releases.file(found.release.release_id, 0)).data
    while node.commit():
        pass
    receipt = node.chain.state_receipt(CERTIFICATES.key(filled.certificate))
    return Shown(
        disclosure=presentations.read_disclosure(data),
        receipt=state_receipt_to_json(receipt),
        trust=trust_to_json(node.chain.trust()),
    )


async def test_one_field_is_handed_on_and_checked_offline(shown: Shown) -> None:
    data = shown.file("sex")
    assert "某name" not in data.decode()
    verified = presentations.verify_presentation(data, shown.trust)
    assert [(part.name, part.value) for part in verified.disclosure.fields] == [("sex", "某sex")]
    assert verified.certificate.certificate_id.hex() == shown.disclosure.certificate_id
    assert verified.why_not_valid == ""


async def test_nothing_about_a_presentation_can_be_changed(shown: Shown) -> None:
    data = shown.file("sex").decode()
    whole = shown.file("sex", "name").decode()
    other = identity("another certificate").hex()
    # By name: a mark may lie in the order of the members.
    salts = {part.name: part.salt for part in shown.disclosure.fields}
    for changed in (
        data.replace("某sex", "某sey"),
        data.replace('"sex"', '"name"'),
        data.replace(shown.disclosure.certificate_id, other),
        data.replace(shown.disclosure.chain_id, "00" * 32),
        data.replace(salts["sex"], "00" * 16),
        whole.replace(salts["name"], salts["sex"]),
    ):
        assert changed not in {data, whole}
        with pytest.raises((VerificationFailed, DecodeError)):
            presentations.verify_presentation(changed.encode(), shown.trust)


async def test_a_presentation_of_nothing_is_none(shown: Shown) -> None:
    with pytest.raises(DecodeError):
        presentations.present(shown.disclosure, [], shown.receipt)
    empty = replace(shown.disclosure, fields=[])
    made = presentations.Presentation(
        format="zhenglian-presentation-1", disclosure=empty, receipt=shown.receipt
    )
    with pytest.raises(VerificationFailed):
        presentations.verify_presentation(presentations.to_json(made), shown.trust)


async def test_the_command_checks_a_presentation(shown: Shown, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_text(shown.trust)
    (tmp_path / "shown.json").write_bytes(shown.file("sex"))
    done = CliRunner().invoke(app, ["--json", "verify", str(tmp_path / "shown.json")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["fields"] == {"sex": "某sex"}
    (tmp_path / "shown.json").write_bytes(shown.file("sex").replace("某sex".encode(), "某男".encode()))
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "shown.json")]).exit_code == 1
