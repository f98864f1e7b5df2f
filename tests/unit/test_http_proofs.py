"""Proofs of the state over HTTP: whose they are, for which heights, and what absence looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.state import CERTIFICATES, GRANTS, RELEASES
from ledger import codec
from ledger.receipts import StateReceipt, state_receipt_from_json
from tests.unit import http_world as w


async def _blocks(world: w.World, count: int) -> None:
    for index in range(count):
        await world.finalize((world.chain.transaction(w.BANK, "grants", "request", index), ()))


def _records(world: w.World) -> None:
    records = world.chain.records
    records.certificates[w.CERTIFICATE_ID] = w.certificate()
    records.grants[w.GRANT_ID] = w.grant()
    records.releases[w.RELEASE_ID] = w.release()
    world.chain.state[CERTIFICATES.key(w.CERTIFICATE_ID)] = codec.encode(w.certificate())


async def _proof(world: w.World, path: str, actor: w.Actor) -> StateReceipt:
    answer = await world.request("GET", path, actor=actor)
    assert answer.status == 200, await answer.text()
    return state_receipt_from_json(await answer.read())


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"/v1/certificates/{w.CERTIFICATE_ID.hex()}/proof", {w.PERSON, w.DEPARTMENT, w.BANK}),
        (f"/v1/grants/{w.GRANT_ID.hex()}/proof", {w.PERSON, w.BANK}),
        (f"/v1/releases/{w.RELEASE_ID.hex()}/proof", {w.PERSON, w.BANK}),
        (f"/v1/state/{GRANTS.key(w.GRANT_ID).hex()}", set()),
    ],
)
async def test_who_sees_a_record_may_have_it_proven_and_nobody_else(
    tmp_path: Path, path: str, allowed: set[w.Actor]
) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 2)
        _records(world)
        signed = world.chain.transaction(w.BANK, "grants", "request", "granted")
        requested = w.event("grants.requested", w.GRANT_ID, w.PERSON.account, w.BANK.account)
        await world.finalize((signed, (requested,)))
        statuses = {actor: (await world.request("GET", path, actor=actor)).status for actor in w.ACTORS}
        seers = allowed | {w.OPERATOR, w.AUDITOR}
        refused = 403 if path.startswith("/v1/state/") else 404
        assert statuses == {actor: 200 if actor in seers else refused for actor in w.ACTORS}


async def test_a_proof_is_of_the_wanted_height_and_of_the_newest_by_default(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 3)
        _records(world)
        path = f"/v1/certificates/{w.CERTIFICATE_ID.hex()}/proof"
        newest = await _proof(world, path, w.PERSON)
        assert newest.header.height == 3
        assert newest.key == CERTIFICATES.key(w.CERTIFICATE_ID)
        assert newest.value == codec.encode(w.certificate())
        assert (await _proof(world, path + "?height=2", w.PERSON)).header.height == 2


async def test_that_an_id_stands_for_nothing_is_proven_to_anybody(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 1)
        nothing = await _proof(world, f"/v1/releases/{w.RELEASE_ID.hex()}/proof", w.STRANGER)
        assert nothing.key == RELEASES.key(w.RELEASE_ID)
        assert nothing.value is None


@pytest.mark.parametrize(
    ("height", "status", "code"),
    [
        ("4", 410, "height_not_provable"),
        ("7", 404, "height_not_final"),
        ("0", 400, "parameter_invalid"),
        ("x", 400, "parameter_invalid"),
        (str(2**53), 400, "parameter_invalid"),
    ],
)
async def test_a_height_that_cannot_be_proven_is_told_with_those_that_can(
    tmp_path: Path, height: str, status: int, code: str
) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 6)
        world.chain.first_proven = 5
        answer = await world.request("GET", f"/v1/state/6c?height={height}", actor=w.AUDITOR)
        problem = await answer.json()
        assert (answer.status, problem["code"]) == (status, code)
        if status == 410:
            assert problem["fields"] == {"height": 4, "first_height": 5, "last_height": 6}
            assert "5" in problem["detail_zh"]
            assert "5 to 6" in problem["detail_en"]


@pytest.mark.parametrize("key", ["", "6", "6C", "zz", "00" * 512])
async def test_a_state_key_is_hex_of_1_to_511_bytes(tmp_path: Path, key: str) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 1)
        answer = await world.request("GET", f"/v1/state/{key}", actor=w.AUDITOR)
        assert answer.status in {400, 404}
        assert (await world.request("GET", "/v1/state/" + "00" * 511, actor=w.AUDITOR)).status == 200
