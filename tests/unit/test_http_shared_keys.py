"""What the API says of keys that operators hold together, and readiness that waits for them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import Complaint, RoundPhase, SharedKeyRound
from tests.unit import http_world as w
from zhenglian import api, api_keys


def a_round(world: w.World, **changes: object) -> SharedKeyRound:
    accounts = tuple(one.account for one in world.chain.validators.validators)
    fields: dict[str, object] = {
        "round_id": bytes(16),
        "purpose": KeyPurpose.MARKS,
        "version": 1,
        "renewal": 0,
        "attempt": 2,
        "group": "bls12-381-g1",
        "dealers": accounts,
        "expected": (1, 2, 3, 4),
        "holders": accounts,
        "threshold": 3,
        "needed": 3,
        "dealt": (1, 2, 3, 4),
        "until_ms": w.NOW_MS,
    }
    return SharedKeyRound(**{**fields, **changes})  # type: ignore[arg-type]


async def shown(world: w.World) -> api_keys.SharedKeysView:
    answer = await world.request("GET", "/v1/shared-keys")
    assert answer.status == 200
    return msgspec.json.decode(await answer.read(), type=api_keys.SharedKeysView)


async def test_keys_in_force_are_shown_with_their_holders_and_no_secret(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        view = await shown(world)
        assert (view.ready, view.rounds, view.missing_here) == (True, [], [])
        assert {key.purpose for key in view.keys} == set(KeyPurpose)
        validators = world.chain.validators.validators
        for key in view.keys:
            assert (key.threshold, key.version, key.renewal, key.in_use) == (3, 1, 0, True)
            assert [holder.number for holder in key.holders] == [1, 2, 3, 4]
            assert [holder.account for holder in key.holders] == [one.account.hex() for one in validators]
            assert len({holder.share_key for holder in key.holders} | {key.public_key}) == 5


async def test_a_node_is_ready_once_the_operators_have_made_every_key(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert (await world.request("GET", "/readyz")).status == 200
        world.chain.keys_there = (KeyPurpose.VAULT, KeyPurpose.MARKS)
        not_ready = await world.request("GET", "/readyz")
        assert not_ready.status == 503
        assert (await not_ready.json())["fields"]["what"] == "shared keys"
        answer = await world.request("GET", "/v1/status")
        status = msgspec.json.decode(await answer.read(), type=api.NodeStatus)
        assert not status.keys_ready
        assert not (await shown(world)).ready


@pytest.mark.parametrize(
    ("changes", "awaited"),
    [
        ({"phase": RoundPhase.DEALING, "dealt": (2, 4)}, (0, 2)),
        ({"phase": RoundPhase.CHECKING, "checked": (1,), "excluded": (3,)}, (1, 3)),
        (
            {
                "phase": RoundPhase.ANSWERING,
                "complaints": (
                    Complaint(dealer=2, holder=1),
                    Complaint(dealer=2, holder=3),
                    Complaint(dealer=4, holder=1, answered=True),
                ),
            },
            (1,),
        ),
        ({"phase": RoundPhase.REVEALING, "qualified": (1, 2, 4), "revealed": (1,)}, (1, 3)),
        ({"phase": RoundPhase.CONFIRMING, "checked": (1, 2, 3), "confirmed": (3,)}, (0, 1)),
        ({"phase": RoundPhase.OPENING, "disputed": (1,)}, ()),
        ({"phase": RoundPhase.CONCLUDING, "until_ms": 0}, ()),
    ],
    ids=lambda value: str(value.get("phase")) if isinstance(value, dict) else "",
)
async def test_a_round_says_whom_it_waits_for(
    tmp_path: Path, changes: dict[str, object], awaited: tuple[int, ...]
) -> None:
    async with w.served(tmp_path) as world:
        names = [one.name for one in world.chain.validators.validators]
        for one in world.chain.validators.validators:
            known = replace(w.OPERATOR.record(), account_id=one.account, name=one.name)
            world.chain.records.accounts[one.account] = known
        world.chain.key_rounds = (a_round(world, **changes),)
        (view,) = (await shown(world)).rounds
        assert view.phase == changes["phase"]
        assert view.waiting_for == [names[number] for number in awaited]
        assert view.excluded == ([names[2]] if "excluded" in changes else [])
        assert (view.until is None) == (changes.get("until_ms") == 0)
