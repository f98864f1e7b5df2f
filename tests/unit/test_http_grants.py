"""Grants over HTTP: every field, who sees what, deletions, mandates, and requests in the wire form of RFC 9396."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from contracts.grant_calls import GrantsRequest
from contracts.grant_records import (
    Access,
    AccessKind,
    ConsentMode,
    Deletion,
    DeletionDuty,
    Frequency,
    FrequencyUnit,
    GrantRules,
    PurposeTemplate,
    Representation,
    RepresentationBasis,
    TemplateItem,
)
from contracts.grant_rules import template_id
from contracts.representation_records import Mandate, MandateState
from ledger import codec
from ledger.errors import DecodeError
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from tests.suites import suite_under_test
from tests.unit import http_world as w
from tests.unit.http_world import fixed
from zhenglian import api
from zhenglian.api_grants import AuthorizationDetail, DeletionView, GrantPreview, MandateView
from zhenglian.grant_bodies import BODY_SIZE_BYTES_MAX, GrantBody
from zhenglian.grant_details import request_of, same_request

SUITE = suite_under_test()
LOAN = PurposeTemplate(
    code="loan",
    name_zh="贷款",
    name_en="Loan",
    items=(TemplateItem(certificate_type="id_card", fields=("name",), attachments=()),),
    uses_max=5,
    period_ms_max=90 * 86_400_000,
    data_life_ms_max=86_400_000,
    ref_uri="https://w3id.org/dpv#CreditChecking",
)


async def get(world: w.World, path: str, kind: Any, actor: w.Actor, status: int = 200) -> Any:
    answer = await world.request("GET", path, actor=actor)
    assert answer.status == status, await answer.text()
    return msgspec.json.decode(await answer.read(), type=kind) if status == 200 else None


async def add(world: w.World, grant: Any, kind: str = "grants.requested") -> None:
    world.chain.records.grants[grant.grant_id] = grant
    made = world.chain.transaction(w.BANK, "grants", kind, grant.grant_id.hex())
    event = w.event(kind, grant.grant_id, grant.pii_principal_id, grant.grantee)
    await world.finalize((made, (event,)))


def secret_access(now_ms: int, **changes: object) -> Any:
    access = Access(
        kind=AccessKind.LEGAL,
        case_commitment=bytes(32),
        approvers=(),
        approver_keys=(),
        notice_after_ms=now_ms + 86_400_000,
        review_until_ms=0,
    )
    return replace(w.grant("secret", grantee=w.DEPARTMENT), access=replace(access, **changes))


async def test_a_grant_is_shown_with_every_field_of_its_record(tmp_path: Path) -> None:
    shown = replace(
        w.grant(),
        frequency=Frequency(unit=FrequencyUnit.HOUR, value=2),
        retention_period_ms=5,
        template_id=fixed("template", size=16),
        purpose_ref_uri="https://w3id.org/dpv#CreditChecking",
        body_commitment=fixed("body"),
        renewed_by=fixed("next", size=16),
        representation=Representation(
            basis=RepresentationBasis.ASSISTED,
            credential=fixed("help", size=16),
            depth=0,
            depth_max=0,
            until_ms=0,
            by=w.DEPARTMENT.account,
            key_id=w.DEPARTMENT.key_id,
            place="hall.window-3",
        ),
    )
    async with w.served(tmp_path) as world:
        world.chain.records.duties[shown.grant_id] = DeletionDuty(open=2, overdue=1)
        await add(world, shown)
        view = await get(world, f"/v1/grants/{shown.grant_id.hex()}", api.GrantView, w.PERSON)
    assert (view.frequency.unit, view.frequency.value, view.retention_period_ms) == ("hour", 2, 5)
    assert (view.template_id, view.body_commitment) == (shown.template_id.hex(), shown.body_commitment.hex())
    assert (view.purpose_ref_uri, view.renewed_by) == (shown.purpose_ref_uri, shown.renewed_by.hex())
    assert (view.representation.place, view.representation.by_name) == ("hall.window-3", "department")
    assert (view.deletions.open, view.deletions.late) == (2, True)
    assert view.items[0].certificate_state_required == api.AS_EVER
    record_only = {"requested_ms", "consent_start_ms", "consent_expiry_ms", "state_since_ms", "used_recently"}
    left_out = set(shown.__struct_fields__) - set(view.__struct_fields__) - record_only
    assert left_out == set()


async def test_a_grant_whose_end_has_come_is_shown_and_listed_as_ended_before_a_tick(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        ended = replace(w.grant(), consent_expiry_ms=world.chain.head_time_ms)
        await add(world, ended)
        view = await get(world, f"/v1/grants/{ended.grant_id.hex()}", api.GrantView, w.PERSON)
        assert view.state == "expired"
        kind = list[api.GrantView]
        assert len(await get(world, "/v1/grants?state=expired", kind, w.PERSON)) == 1
        assert await get(world, "/v1/grants?state=active", kind, w.PERSON) == []


async def test_lists_are_complete_by_party_state_and_purpose_over_all_pages(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for number in range(7):
            purpose = "loan" if number % 2 else "hiring"
            await add(world, replace(w.grant(f"grant {number}"), purpose=purpose))
        path, seen = "/v1/grants?purpose=loan&role=grantee&limit=1", []
        while path:
            answer = await world.request("GET", path, actor=w.BANK)
            seen += [one["grant_id"] for one in await answer.json()]
            path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
        assert seen == [fixed(f"grant {number}", size=16).hex() for number in (5, 3, 1)]


async def test_a_silent_access_is_not_there_for_the_person_and_listed_for_approvers(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        now_ms = world.chain.head_time_ms
        secret = secret_access(now_ms)
        await add(world, secret, "grants.access_requested")
        path, kind = f"/v1/grants/{secret.grant_id.hex()}", list[api.GrantView]
        await get(world, path, None, w.PERSON, status=404)
        await get(world, f"{path}/deletions", None, w.PERSON, status=404)
        assert await get(world, "/v1/grants", kind, w.PERSON) == []
        (own,) = await get(world, "/v1/grants?role=grantee", kind, w.DEPARTMENT)
        assert (own.access.kind, own.access.reviewed) == ("legal", None)
        assert await get(world, "/v1/grants?role=approver", kind, w.AUDITOR) == []
        world.chain.records.rules = GrantRules(approvers=(w.AUDITOR.account,))
        assert len(await get(world, "/v1/grants?role=approver", kind, w.AUDITOR)) == 1
        world.chain.records.grants[secret.grant_id] = secret_access(now_ms, notice_after_ms=now_ms)
        assert len(await get(world, "/v1/grants", kind, w.PERSON)) == 1


async def test_an_emergency_that_nobody_reviewed_is_shown_as_unreviewed(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        opened = secret_access(0, kind=AccessKind.EMERGENCY, notice_after_ms=0, review_until_ms=5)
        await add(world, opened, "grants.emergency_opened")
        (view,) = await get(world, "/v1/grants", list[api.GrantView], w.PERSON)
        assert (view.access.reviewed, view.access.review) == (False, None)


async def test_deletions_of_a_grant_are_for_who_sees_the_grant(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await add(world, w.grant())
        deletion = Deletion(release_id=w.RELEASE_ID, grant_id=w.GRANT_ID, due_ms=10, overdue=True)
        world.chain.records.deletions[w.RELEASE_ID] = deletion
        made = world.chain.transaction(w.OPERATOR, "releases", "prepare", 1)
        await world.finalize((made, (w.event("releases.prepared", w.RELEASE_ID, w.GRANT_ID),)))
        path = f"/v1/grants/{w.GRANT_ID.hex()}/deletions"
        (view,) = await get(world, path, list[DeletionView], w.PERSON)
        assert (view.release_id, view.late, view.stated) == (w.RELEASE_ID.hex(), True, None)
        await get(world, path, None, w.OTHER_BANK, status=404)


async def test_a_mandate_is_for_its_parties_and_overseers(tmp_path: Path) -> None:
    mandate = Mandate(
        mandate_id=fixed("mandate", size=16),
        principal=w.PERSON.account,
        representative=w.STRANGER.account,
        basis=RepresentationBasis.MANDATE,
        appointed_by=w.PERSON.account,
        key_id=w.PERSON.key_id,
        credential=b"",
        purposes=("loan",),
        parent=b"",
        depth=0,
        depth_max=1,
        appointed_ms=1,
        until_ms=2,
        state=MandateState.ACTIVE,
        state_since_ms=1,
    )
    async with w.served(tmp_path) as world:
        world.chain.records.mandates[mandate.mandate_id] = mandate
        made = world.chain.transaction(w.PERSON, "representation", "appoint", 1)
        event = w.event("representation.appointed", mandate.mandate_id, w.PERSON.account, w.STRANGER.account)
        await world.finalize((made, (event,)))
        path = f"/v1/mandates/{mandate.mandate_id.hex()}"
        for actor in (w.PERSON, w.STRANGER, w.AUDITOR):
            assert (await get(world, path, MandateView, actor)).state == "expired"
            assert len(await get(world, "/v1/mandates", list[MandateView], actor)) == 1
        await get(world, path, None, w.BANK, status=404)
        assert await get(world, "/v1/mandates", list[MandateView], w.BANK) == []
        await get(world, f"/v1/mandates/{fixed('none', size=16).hex()}", None, w.PERSON, status=404)


# --- the wire form ------------------------------------------------------------------------------------------


def detail(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "type": "urn:zhenglian:grant:2",
        "identifier": w.PERSON.account.hex(),
        "actions": ["view"],
        "purpose": {"code": "loan"},
        "items": [{"certificate_type": "id_card", "fields": ["name"]}],
        "consent_expiry": (datetime.fromtimestamp(w.NOW_MS / 1000, UTC) + timedelta(days=3)).isoformat(),
        "uses_max": 3,
        "frequency": {"unit": "day", "value": 1},
    }
    return {**values, **changes}


async def ask(world: w.World, *details: dict[str, Any]) -> Any:
    body = {"authorization_details": list(details)}
    return await world.request("POST", "/v1/grants/preview", actor=w.BANK, json=body)


async def test_the_wire_form_becomes_the_call_to_sign(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.templates["loan"] = LOAN
        answer = await ask(world, detail(), detail(uses_max=6))
        assert answer.status == 200, await answer.text()
        made, over = msgspec.json.decode(await answer.read(), type=GrantPreview).previews
    assert (made.call.contract, made.call.method, made.code) == ("grants", "request", "")
    args = codec.decode(bytes.fromhex(made.call.args), GrantsRequest, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
    assert (args.consent_mode, args.uses_max) == (ConsentMode.VIEW, 3)
    assert args.frequency == Frequency(unit=FrequencyUnit.DAY, value=1)
    assert args.template_id == template_id(SUITE, LOAN)
    assert made.call.meaning["purpose"] == "loan"
    assert (over.code, "uses_max" in over.over_en) == ("over_ask", True)
    assert same_request(msgspec.convert(detail(), AuthorizationDetail), args)
    assert not same_request(msgspec.convert(detail(uses_max=4), AuthorizationDetail), args)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"type": "urn:other"}, 422),
        ({"purpose": {"code": "none"}}, 404),
        ({"purpose": {"code": "loan", "ref_uri": "https://example.org/other"}}, 400),
        ({"datatypes": ["passport"]}, 400),
        ({"consent_expiry": "2027-01-01T00:00:00"}, 400),
        ({"questions": [{"certificate_type": "id_card", "name": "none"}]}, 400),
        ({"items": [{"certificate_type": "Bad Type", "fields": ["name"]}]}, 400),
        (
            {"items": [{"certificate_type": "id_card", "certificate_state_required": {"stopped_by": ["x"]}}]},
            400,
        ),
        ({"unknown": 1}, 422),
        ({"frequency": {"unit": "day", "value": 0}}, 422),
    ],
)
async def test_a_wire_form_that_contradicts_itself_is_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], status: int
) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.templates["loan"] = LOAN
        answer = await ask(world, detail(**changes))
        assert answer.status in {status, 400}, await answer.text()
        problem = await answer.json()
        assert problem["detail_zh"]
        assert problem["detail_en"]


def test_a_request_and_its_wire_form_say_the_same_in_every_member() -> None:
    wire = msgspec.convert(
        detail(
            actions=["store"],
            datatypes=["id_card"],
            items=[
                {
                    "certificate_type": "id_card",
                    "certificate": "ab" * 16,
                    "fields": ["name"],
                    "certificate_state_required": {"stopped_by": ["mortgaged"], "within_dates": False},
                }
            ],
            retention_period_ms=7,
            data_life_ms=6,
            body_commitment="cd" * 32,
            renews="ef" * 16,
            revocable=False,
            lawful_basis="contract",
        ),
        AuthorizationDetail,
    )
    args = request_of(wire)
    assert (args.retention_period_ms, args.data_life_ms, args.revocable) == (7, 6, False)
    assert (args.body_commitment, args.renews) == (b"\xcd" * 32, b"\xef" * 16)
    assert args.items[0].certificate_state_required.within_dates is False
    for name in ("uses_max", "data_life_ms", "retention_period_ms", "lawful_basis", "jurisdiction"):
        other = getattr(args, name)
        changed = replace(args, **{name: f"{other}x" if isinstance(other, str) else other + 1})
        assert not same_request(wire, changed)


# --- the body off the ledger --------------------------------------------------------------------------------


def test_a_body_is_committed_to_with_its_salt_and_read_back_from_its_file() -> None:
    body = GrantBody({"case_number": "（2026）鲁01刑初1号"}, b"s" * 32)
    again = GrantBody.from_json(body.to_json())
    assert again.commitment(SUITE) == body.commitment(SUITE)
    assert GrantBody(body.texts, b"t" * 32).commitment(SUITE) != body.commitment(SUITE)
    assert GrantBody({"case_number": "other"}, body.salt).commitment(SUITE) != body.commitment(SUITE)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[" * 9999, b'{"format":"x","salt":"","texts":{}}', b"x" * (3 * BODY_SIZE_BYTES_MAX)],
)
def test_what_is_no_body_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        GrantBody.from_json(data)
    with pytest.raises(DecodeError):
        GrantBody({"note": "x" * BODY_SIZE_BYTES_MAX}, b"s" * 32)
    with pytest.raises(DecodeError):
        GrantBody({}, b"short")
    half = GrantBody({"note": "x"}, b"s" * 32).to_json().replace(b'"x"', b'"\\ud800"')
    with pytest.raises(DecodeError):
        GrantBody.from_json(half)
