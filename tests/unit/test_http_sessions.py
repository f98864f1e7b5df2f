"""Logging in, and what ends a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.records import AccountStatus
from ledger import domains
from node.http.config import HttpConfig
from node.http.sessions import CHALLENGE_SIZE_BYTES
from tests.unit import http_world as w
from tests.unit.ledger_world import fixed


async def _challenge(world: w.World, actor: w.Actor = w.BANK) -> bytes:
    body = {"account": actor.account.hex(), "key_id": actor.key_id.hex()}
    answer = await world.request("POST", "/v1/sessions/challenges", json=body)
    assert answer.status == 201
    return bytes.fromhex((await answer.json())["challenge"])


async def _log_in(
    world: w.World, challenge: bytes, actor: w.Actor = w.BANK, signature: bytes | None = None
) -> tuple[int, dict[str, str]]:
    signed = actor.signer.sign(domains.SESSION, challenge) if signature is None else signature
    body = {
        "account": actor.account.hex(),
        "key_id": actor.key_id.hex(),
        "challenge": challenge.hex(),
        "signature": signed.hex(),
    }
    answer = await world.request("POST", "/v1/sessions", json=body)
    return answer.status, await answer.json()


async def _status_of(world: w.World, token: str) -> int:
    return (await world.request("GET", "/v1/grants", headers={"Authorization": f"Bearer {token}"})).status


async def test_a_signed_challenge_opens_a_session_and_logging_out_ends_it(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        status, session = await _log_in(world, await _challenge(world))
        assert status == 201
        assert (session["account"], session["kind"], session["role"]) == (
            w.BANK.account.hex(),
            "enterprise",
            "officer",
        )
        assert await _status_of(world, session["token"]) == 200
        headers = {"Authorization": f"Bearer {session['token']}"}
        assert (await world.request("DELETE", "/v1/sessions", headers=headers)).status == 204
        assert await _status_of(world, session["token"]) == 401
        assert (await world.request("DELETE", "/v1/sessions", headers=headers)).status == 401


async def test_a_challenge_names_network_node_account_and_key(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        challenge = await _challenge(world)
        node = world.chain.status().account
        assert len(challenge) == CHALLENGE_SIZE_BYTES
        assert challenge.startswith(world.chain.chain_id + node + w.BANK.account + w.BANK.key_id)


async def test_a_challenge_serves_once(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        challenge = await _challenge(world)
        assert (await _log_in(world, challenge))[0] == 201
        status, problem = await _log_in(world, challenge)
        assert (status, problem["code"]) == (401, "challenge_invalid")


async def test_a_challenge_expires_at_its_time_and_not_before(tmp_path: Path) -> None:
    config = HttpConfig(challenge_lifetime_ms=1000)
    async with w.served(tmp_path, config=config) as world:
        early, late = await _challenge(world), await _challenge(world)
        world.clock.now_ms += 999
        assert (await _log_in(world, early))[0] == 201
        world.clock.now_ms += 1
        assert (await _log_in(world, late))[1]["code"] == "challenge_invalid"


async def test_a_challenge_that_was_changed_or_is_anothers_is_refused(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        challenge = await _challenge(world)
        for position in range(0, CHALLENGE_SIZE_BYTES, 7):
            changed = bytearray(challenge)
            changed[position] ^= 1
            status, problem = await _log_in(world, bytes(changed))
            assert (status, problem["code"]) == (401, "challenge_invalid"), position
        for wrong in (b"", challenge[:-1], challenge + b"\0"):
            assert (await _log_in(world, wrong))[1]["code"] == "challenge_invalid"
        assert (await _log_in(world, await _challenge(world, w.PERSON)))[1]["code"] == "challenge_invalid"


async def test_a_challenge_of_another_node_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with w.served(tmp_path / "a") as one, w.served(tmp_path / "b") as other:
        assert (await _log_in(other, await _challenge(one)))[1]["code"] == "challenge_invalid"


async def test_a_wrong_signature_an_unknown_key_and_an_unknown_account_are_refused_alike(
    tmp_path: Path,
) -> None:
    nobody = w.Actor(name="nobody", kind=w.BANK.kind, role=w.BANK.role)
    async with w.served(tmp_path) as world:
        challenge = await _challenge(world)
        forged = w.OTHER_BANK.signer.sign(domains.SESSION, challenge)
        wrong_domain = w.BANK.signer.sign(domains.TRANSACTION_SIGN, challenge)
        answers = [
            await _log_in(world, challenge, signature=forged),
            await _log_in(world, challenge, signature=wrong_domain),
            await _log_in(world, challenge, signature=b""),
            await _log_in(world, await _challenge(world, nobody), nobody),
        ]
        w.change_key(world, w.BANK, key_id=fixed("another", size=16))
        answers.append(await _log_in(world, challenge))
        assert {(status, problem["code"]) for status, problem in answers} == {(401, "login_refused")}
        assert len({problem["detail_en"] for _, problem in answers}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"revoked_ms": w.NOW_MS - 1},
        {"valid_until_ms": w.NOW_MS},
        {"valid_from_ms": w.NOW_MS + 1},
        {"key_id": b"x" * 16},
    ],
    ids=["revoked", "ended", "not yet valid", "replaced"],
)
async def test_a_key_that_may_no_longer_act_ends_its_session_at_once(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    async with w.served(tmp_path) as world:
        _, session = await _log_in(world, await _challenge(world))
        assert await _status_of(world, session["token"]) == 200
        w.change_key(world, w.BANK, **changes)
        assert await _status_of(world, session["token"]) == 401
        assert len(world.site.sessions) == 0


async def test_a_suspended_account_has_no_sessions(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        _, session = await _log_in(world, await _challenge(world))
        accounts = world.chain.records.accounts
        before = accounts[w.BANK.account]
        fields = {name: getattr(before, name) for name in before.__struct_fields__}
        accounts[w.BANK.account] = type(before)(**{**fields, "status": AccountStatus.SUSPENDED})
        assert await _status_of(world, session["token"]) == 401
        assert (await _log_in(world, await _challenge(world)))[1]["code"] == "login_refused"


async def test_a_session_expires_at_its_time_and_not_before(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=HttpConfig(session_lifetime_ms=5000)) as world:
        _, session = await _log_in(world, await _challenge(world))
        world.clock.now_ms += 4999
        assert await _status_of(world, session["token"]) == 200
        world.clock.now_ms += 1
        assert await _status_of(world, session["token"]) == 401


async def test_of_one_key_the_oldest_session_ends_when_there_are_too_many(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=HttpConfig(sessions_per_key_max=2)) as world:
        tokens = [(await _log_in(world, await _challenge(world)))[1]["token"] for _ in range(3)]
        assert [await _status_of(world, token) for token in tokens] == [401, 200, 200]


async def test_a_full_session_table_says_when_to_come_back_and_empties_with_time(tmp_path: Path) -> None:
    config = HttpConfig(sessions_max=2, session_lifetime_ms=5000, challenge_lifetime_ms=5000)
    async with w.served(tmp_path, config=config) as world:
        for actor in (w.BANK, w.PERSON):
            assert (await _log_in(world, await _challenge(world, actor), actor))[0] == 201
        status, problem = await _log_in(world, await _challenge(world, w.AUDITOR), w.AUDITOR)
        assert (status, problem["code"]) == (429, "busy")
        world.clock.now_ms += 5000
        assert (await _log_in(world, await _challenge(world, w.AUDITOR), w.AUDITOR))[0] == 201
        assert len(world.site.sessions) == 1


async def test_asking_for_challenges_takes_no_memory_and_tokens_are_not_kept(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for _ in range(20):
            challenge = await _challenge(world)
        _, session = await _log_in(world, challenge)
        sessions = world.site.sessions
        assert len(sessions) == 1
        assert len(sessions._used) == 1
        assert session["token"] not in repr(vars(sessions))
