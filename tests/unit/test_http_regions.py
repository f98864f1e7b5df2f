"""Regions and recognitions over HTTP: what is public, who sees what, and the check of what people show."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from contracts.recognitions import recognition_id
from contracts.records import CertificateState
from contracts.region_records import Recognition, RecognitionState, Region, RegionState
from ledger.receipts import trust_from_json
from tests.suites import suite_under_test
from tests.unit import http_world as w
from tests.unit.contracts_world import DAY_MS, DEGREE
from tests.unit.regions_world import CERTIFICATE, FIELDS, ISSUER, Home, commitment, field_proof
from zhenglian import certificate_proofs

HOME = Home("sm")
ID = recognition_id(suite_under_test(), HOME.chain_id, CERTIFICATE)
PATH = f"/v1/recognitions/{ID.hex()}"


def region(**changes: object) -> Region:
    made = Region(
        trust=HOME.trust,
        types=(DEGREE,),
        proof_age_ms_max=600_000,
        recognition_life_ms=DAY_MS,
        state=RegionState.TRUSTED,
        state_since_ms=w.NOW_MS,
        term=1,
        voted_ms=w.NOW_MS,
        followed_ms=0,
        forked_epoch=0,
    )
    return replace(made, **changes)


def recognition(**changes: object) -> Recognition:
    made = Recognition(
        recognition_id=ID,
        region=HOME.chain_id,
        term=1,
        epoch=1,
        certificate_id=CERTIFICATE,
        certificate_type=DEGREE,
        type_version=1,
        issuer=ISSUER,
        issuer_name="邻省教育厅",
        commitment_root=commitment(HOME),
        fields=tuple(FIELDS),
        attachments=(),
        valid_from_ms=0,
        valid_until_ms=0,
        home_states=(),
        state=RecognitionState.ACTIVE,
        state_since_ms=w.NOW_MS,
        home_height=7,
        home_time_ms=w.NOW_MS,
        recognized_by=w.BANK.account,
        officer=w.BANK.key_id,
        recognized_ms=w.NOW_MS,
        lawful_basis="consent",
        consent_hash=bytes(32),
        refreshed_by=w.BANK.account,
        refreshed_ms=w.NOW_MS,
    )
    return replace(made, **changes)


async def recognized(world: w.World, **changes: object) -> None:
    world.chain.records.other_networks[HOME.chain_id] = region()
    world.chain.records.recognitions[ID] = recognition(**changes)
    signed = world.chain.transaction(w.BANK, "recognitions", "recognize")
    event = w.event("recognitions.recognized", ID, ID, w.BANK.account, HOME.chain_id, CERTIFICATE)
    await world.finalize((signed, (event,)))


def shown(*names: str, **values: Any) -> dict[str, Any]:
    fields = []
    for name in names:
        proof = field_proof(HOME, name)
        fields.append(
            {
                "name": name,
                "value": values.get(name, FIELDS[name]),
                "salt": proof.salt.hex(),
                "proof": {
                    "index": proof.proof.index,
                    "size": proof.proof.size,
                    "siblings": [one.hex() for one in proof.proof.siblings],
                },
            }
        )
    return {
        "format": "zhenglian-disclosure-1",
        "chain_id": HOME.chain_id.hex(),
        "certificate_id": CERTIFICATE.hex(),
        "fields": fields,
        "attachments": [],
    }


async def get(world: w.World, path: str, actor: w.Actor | None = None) -> Any:
    answer = await world.request("GET", path, actor=actor)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_regions_are_public_with_the_trust_point_that_is_held(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert await get(world, "/v1/regions") == []
        await recognized(world)
        (listed,) = await get(world, "/v1/regions")
        path = f"/v1/regions/{HOME.chain_id.hex()}"
        assert await get(world, path) == listed
        assert (listed["suite"], listed["epoch"], listed["followed"], listed["forked_epoch"]) == (
            "sm",
            1,
            None,
            None,
        )
        answer = await world.request("GET", f"{path}/trust")
        assert trust_from_json(await answer.read()) == HOME.trust
        assert (await world.request("GET", f"/v1/regions/{'00' * 32}")).status == 404


async def test_a_list_has_what_the_own_organisation_asked_for_and_everything_for_overseers(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        await recognized(world)
        region_only = f"/v1/recognitions?region={HOME.chain_id.hex()}"
        both = f"{region_only}&certificate={CERTIFICATE.hex()}"
        for path in ("/v1/recognitions", region_only, f"/v1/recognitions?certificate={CERTIFICATE.hex()}"):
            for actor in (w.BANK, w.OPERATOR, w.AUDITOR):
                assert [one["recognition_id"] for one in await get(world, path, actor)] == [ID.hex()]
            assert await get(world, path, w.OTHER_BANK) == []
        assert [one["recognition_id"] for one in await get(world, both, w.OTHER_BANK)] == [ID.hex()]
        nobodys = f"/v1/recognitions?region={'00' * 32}&certificate={CERTIFICATE.hex()}"
        assert await get(world, nobodys, w.BANK) == []
        assert await get(world, f"/v1/recognitions?region={'00' * 32}", w.OPERATOR) == []
        for path in ("/v1/recognitions", PATH):
            assert (await world.request("GET", path, actor=w.PERSON)).status == 403
            assert (await world.request("GET", path)).status == 401


async def test_whether_a_recognition_holds_is_said_as_of_now(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await recognized(world)
        view = await get(world, PATH, w.OTHER_BANK)
        assert (view["holds"], view["reason"], view["recognized_by_name"]) == (True, "", "bank")
        assert view["region_network"] == HOME.trust.network
        world.chain.records.recognitions[ID] = recognition(home_time_ms=0)
        assert (await get(world, PATH, w.BANK))["reason"] == "proof_needed"
        world.chain.records.recognitions[ID] = recognition(
            state=RecognitionState.REVOKED, home_states=(CertificateState.REVOKED,)
        )
        assert (await get(world, PATH, w.BANK))["reason"] == "revoked"
        world.chain.records.other_networks[HOME.chain_id] = region(state=RegionState.FORKED)
        assert (await get(world, PATH, w.BANK))["reason"] == "region_forked"
        assert (await world.request("GET", f"/v1/recognitions/{'00' * 16}", actor=w.BANK)).status == 404


async def check(world: w.World, body: object) -> Any:
    answer = await world.request("POST", f"{PATH}/check", actor=w.BANK, json=body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_disclosed_fields_are_accepted_when_true_and_the_recognition_holds(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await recognized(world)
        good = await check(world, shown("name", "major"))
        assert (good["accepted"], good["proven"], good["disproven"]) == (True, ["name", "major"], [])
        lie = await check(world, shown("name", "major", name="李四"))
        assert (lie["accepted"], lie["proven"], lie["disproven"]) == (False, ["major"], ["name"])
        twice = await check(
            world, {**shown(), "fields": shown("name")["fields"] + shown("name", name="李四")["fields"]}
        )
        assert (twice["accepted"], twice["proven"], twice["disproven"]) == (False, [], ["name", "name"])
        nothing = await check(world, shown())
        assert (nothing["accepted"], nothing["holds"]) == (False, True)
        huge = await check(world, shown("name", name=2**60))
        assert huge["disproven"] == ["name"]
        world.chain.records.recognitions[ID] = recognition(state=RecognitionState.SUSPENDED)
        ended = await check(world, shown("name"))
        assert (ended["accepted"], ended["holds"], ended["reason"]) == (False, False, "suspended")


async def test_a_check_refuses_what_is_not_a_disclosure_of_this_certificate(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await recognized(world)
        good = shown("name")
        deep = good["fields"][0] | {"proof": {"index": 0, "size": 1, "siblings": ["00" * 32] * 65}}
        bodies: tuple[object, ...] = (
            {**good, "certificate_id": "00" * 16},
            {**good, "chain_id": "00" * 32},
            {**good, "format": "zhenglian-disclosure-2"},
            {**good, "fields": good["fields"] * 65},
            {**good, "fields": [deep]},
            {**good, "more": 1},
            [],
        )
        for body in bodies:
            answer = await world.request("POST", f"{PATH}/check", actor=w.BANK, json=body)
            assert answer.status in {400, 422}, await answer.text()
        too_large = {**good, "fields": [good["fields"][0] | {"value": "x" * (3 * 1024 * 1024)}]}
        body = io.BytesIO(json.dumps(too_large).encode())
        headers = {"Content-Type": "application/json"}
        answer = await world.request("POST", f"{PATH}/check", actor=w.BANK, data=body, headers=headers)
        assert answer.status == 413
        assert (await world.request("POST", f"{PATH}/check", actor=w.PERSON, json=good)).status == 403


async def test_what_is_disclosed_is_in_no_log(tmp_path: Path, capsys: Any) -> None:
    async with w.served(tmp_path) as world:
        await recognized(world)
        await check(world, shown("name"))
    printed = capsys.readouterr()
    assert FIELDS["name"] not in printed.out + printed.err
    assert field_proof(HOME, "name").salt.hex() not in printed.out + printed.err


async def test_what_this_network_proves_for_others_is_given_to_who_sees_the_certificate(
    tmp_path: Path,
) -> None:
    path = f"/v1/certificates/{w.CERTIFICATE_ID.hex()}/home-proof"
    async with w.served(tmp_path) as world:
        await world.finalize()
        absent = await world.request("GET", path, actor=w.STRANGER)
        proof = certificate_proofs.from_json(await absent.read())
        assert (proof.evidence.certificate.value, proof.evidence.issuer) == (None, None)
        world.chain.records.certificates[w.CERTIFICATE_ID] = w.certificate()
        for actor in (w.PERSON, w.DEPARTMENT, w.OPERATOR, w.AUDITOR):
            assert (await world.request("GET", path, actor=actor)).status == 200
        for actor in (w.STRANGER, w.OTHER_BANK):
            assert (await world.request("GET", path, actor=actor)).status == 404
        assert (await world.request("GET", path)).status == 401
        beyond = await world.request("GET", f"{path}?height=99", actor=w.PERSON)
        assert (await beyond.json())["code"] == "height_not_final"
