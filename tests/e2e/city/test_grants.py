"""Grants in full on real nodes: uses and frequency over several nodes, acting for others, access without consent, deletion."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from contracts.calls import RegisterPurposes
from contracts.grant_actions import SetGrantRules
from contracts.grant_records import Frequency, FrequencyUnit, GrantRules, PurposeTemplate, TemplateItem
from contracts.records import AccountKind, GrantItem, OutputFormat
from ledger.errors import Category
from tests.e2e.cities import DAY_MS, IDENTITY, City, Holder, decide, found, seen, until
from zhenglian import ApiError, Client, Denied
from zhenglian.api_grants import AuthorizationDetail

NAME = GrantItem(certificate_type=IDENTITY, certificate=b"", fields=("name", "sex"), attachments=())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def holder(city: City) -> Iterator[Holder]:
    decide(
        city.devnet,
        RegisterPurposes(
            purposes=(
                PurposeTemplate(
                    code="inquiry",
                    name_zh="调查",
                    name_en="Inquiry",
                    items=(TemplateItem(certificate_type=IDENTITY, fields=("name", "sex"), attachments=()),),
                    uses_max=10,
                    period_ms_max=100 * DAY_MS,
                    data_life_ms_max=10 * DAY_MS,
                    without_consent=True,
                    emergency=True,
                ),
            )
        ),
    )
    made = Holder(city)
    yield made
    made.client.close()


def asked(bank: Client, holder: Holder, **changes: object) -> str:
    values: dict[str, object] = {
        "person": holder.account,
        "purpose": "inquiry",
        "items": (NAME,),
        "uses_max": 5,
        "consent_expiry_ms": now_ms() + DAY_MS,
    }
    grant_id = bank.request_grant(**{**values, **changes})  # type: ignore[arg-type]
    seen(holder.client, grant_id)
    return grant_id


def test_releases_at_four_nodes_at_once_cannot_have_more_than_the_frequency(
    city: City, holder: Holder
) -> None:
    bank = city.banks[0]
    twice = Frequency(unit=FrequencyUnit.DAY, value=2)
    grant_id = asked(bank.client, holder, frequency=twice)
    holder.client.approve_grant(grant_id)
    output = holder.output(IDENTITY, OutputFormat.JSON, "name")

    def ask(n: int) -> str:
        with Client(city.devnet.urls[n], bank.officer) as client:
            try:
                client.request_release(grant_id, [output], node=city.devnet.account(n + 1))
            except (Denied, ApiError) as error:
                return error.code
        return "ok"

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(ask, range(4)))
    assert codes.count("ok") == 2, codes
    assert codes.count("frequency_exceeded") == 2, codes


def test_a_request_in_the_wire_form_is_asked_given_used_and_stated_as_deleted(
    city: City, holder: Holder, folder: Path
) -> None:
    bank = city.banks[0].client
    detail = msgspec.convert(
        {
            "type": "urn:zhenglian:grant:2",
            "identifier": holder.account,
            "actions": ["store"],
            "purpose": {"code": "inquiry"},
            "items": [{"certificate_type": IDENTITY, "fields": ["name"]}],
            "consent_expiry": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
            "data_life_ms": DAY_MS,
        },
        AuthorizationDetail,
    )
    over = replace(detail, uses_max=11)
    assert bank.preview_grant([over]).previews[0].code == "over_ask"
    grant_id = bank.request_grant_as(detail)
    seen(holder.client, grant_id)
    holder.client.approve_grant(grant_id)
    got = bank.retrieve(grant_id, [holder.output(IDENTITY, OutputFormat.JSON, "name")], folder)
    (owed,) = until_some(lambda: bank.deletions(grant_id))
    assert (owed.release_id, owed.stated) == (got.release.release_id, None)
    bank.state_deletion(grant_id, statement=b"s" * 32)
    assert holder.client.grant(grant_id).deletions.open == 0  # type: ignore[union-attr]
    renewed = bank.renew_grant(grant_id, consent_expiry_ms=now_ms() + DAY_MS)
    seen(holder.client, renewed)
    holder.client.approve_grant(renewed)
    assert bank.grant(grant_id).renewed_by == renewed


def until_some(ask: object) -> list:  # type: ignore[type-arg]
    found_now: list = []  # type: ignore[type-arg]

    def some() -> bool:
        found_now[:] = ask()  # type: ignore[operator]
        return bool(found_now)

    until(some, "the index has caught up")
    return found_now


def test_a_representative_gives_for_the_holder_and_a_clerk_helps(city: City, holder: Holder) -> None:
    other = Holder(city)
    mandate = holder.client.appoint(
        principal=holder.account, representative=other.account, until_ms=now_ms() + 10 * DAY_MS
    )
    other.client.accept_mandate(mandate)
    grant_id = asked(city.banks[1].client, holder)
    with pytest.raises(Denied) as caught:
        other.client.revoke_grant(grant_id)
    assert caught.value.code == "not_holder"
    until(lambda: bool(other.client.mandates()), "the representative sees his mandate")
    other.client.approve_grant(grant_id, mandate=mandate)
    given = holder.client.grant(grant_id).representation
    assert given is not None
    assert (given.basis, given.by) == ("mandate", other.account)
    holder.client.end_mandate(mandate)
    with pytest.raises(Denied) as caught:
        other.client.pause_grant(grant_id, mandate=mandate)
    assert caught.value.code == "mandate_not_active"
    other.client.close()


def test_access_without_consent_needs_another_organisation_and_is_silent_for_its_time(
    city: City, holder: Holder
) -> None:
    court = found(city.devnet, "法院", AccountKind.DEPARTMENT)
    approvers = GrantRules(
        approvers=(bytes.fromhex(court.admin.account),),
        emergency=(bytes.fromhex(city.police.admin.account),),
    )
    decide(city.devnet, SetGrantRules(rules=approvers))  # type: ignore[arg-type]
    police = city.police.client
    common = {
        "person": holder.account,
        "purpose": "inquiry",
        "items": (NAME,),
        "lawful_basis": "legal_obligation",
        "legal_ref": "第五十四条",
        "case_commitment": bytes(32),
        "uses_max": 2,
        "data_life_ms": DAY_MS,
    }
    secret = police.request_access(
        **common, consent_expiry_ms=now_ms() + DAY_MS, notice_after_ms=now_ms() + 30 * DAY_MS
    )
    with pytest.raises(ApiError) as caught:
        holder.client.grant(secret)
    assert caught.value.category is Category.MISSING
    until(
        lambda: [one.grant_id for one in court.client.grants(role="approver")] == [secret],
        "the approver finds the request",
    )
    court.client.decide_access(secret, approve=True)
    output = holder.output(IDENTITY, OutputFormat.JSON, "name")
    police.request_release(secret, [output])
    assert secret not in {one.grant_id for one in holder.client.grants()}
    assert not [
        event
        for event in holder.client.events(subject=holder.account).items
        if secret in {event.object_id, *event.subjects}
    ]
    opened = police.request_access(**common, consent_expiry_ms=now_ms() + 3_600_000, emergency=True)
    seen(holder.client, opened)
    shown = holder.client.grant(opened).access
    assert shown is not None
    assert (shown.kind, shown.reviewed) == ("emergency", False)
    city.auditor.client.review_access(opened, justified=True)
    assert holder.client.grant(opened).access.reviewed is True  # type: ignore[union-attr]
    court.client.close()
