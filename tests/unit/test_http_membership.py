"""Validators, nodes, evidence and protocol versions over HTTP: public, in pages, and as the ledger has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from contracts.actions import ChangeValidators, RemoveValidator, RotateVoteKey, SetProtocolVersion
from contracts.calls import Action
from contracts.records import EvidenceRecord, Proposal, ProposalState
from contracts.registry import REGISTRY
from contracts.upgrade_actions import UpgradeContract
from contracts.upgrade_records import (
    ChangeOutcome,
    ContractChange,
    ContractMigration,
    ContractSchedule,
    MigrationStep,
)
from contracts.upgrades import ContractStatus
from ledger import codec
from ledger.types import Vote, VoteKind
from tests.unit import http_world as w
from tests.unit.http_world import World
from tests.unit.ledger_world import fixed
from zhenglian import api, api_network
from zhenglian.api_network import ProposalView

T = TypeVar("T")


async def get(world: World, path: str, kind: type[T]) -> T:
    answer = await world.request("GET", path)
    body = await answer.read()
    assert answer.status == 200, body
    return msgspec.json.decode(body, type=kind)


async def pages(world: World, path: str) -> list[list[dict[str, Any]]]:
    found = []
    while path:
        answer = await world.request("GET", path)
        assert answer.status == 200
        found.append(await answer.json())
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    return found


def proof(number: int) -> EvidenceRecord:
    def vote(kind: VoteKind, digest: bytes) -> Vote:
        return Vote(kind=kind, epoch=1, view=number, digest=digest, validator=1, signature=b"s")

    return EvidenceRecord(
        epoch=1,
        view=number,
        validator=w.OPERATOR.account,
        first=vote(VoteKind.NULLIFY, bytes(32)),
        second=vote(VoteKind.FINALIZE, fixed("block")),
        reporter=w.OPERATOR.account,
        height=number + 10,
        time_ms=w.NOW_MS,
    )


async def test_validators_are_those_of_the_present_epoch_or_of_the_one_asked_for(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        present = await get(world, "/v1/validators", api_network.ValidatorSetView)
        voters = world.chain.validators
        assert (present.epoch, present.quorum) == (1, 3)
        assert [one.account for one in present.validators] == [one.account.hex() for one in voters.validators]
        assert await get(world, "/v1/validators?epoch=1", api_network.ValidatorSetView) == present
        assert (await world.request("GET", "/v1/validators?epoch=2")).status == 404
        assert (await world.request("GET", "/v1/validators?epoch=0")).status == 400


async def test_nodes_come_with_what_this_one_sees_of_them(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        every = await get(world, "/v1/nodes", list[api_network.NodeView])
        own, second, *others = every
        records = world.chain.nodes()
        assert [node.account for node in every] == [record.account.hex() for record in records]
        assert (own.connected, own.height) == (True, world.chain.height)
        assert (second.connected, second.height) == (True, 3)
        assert {(node.connected, node.height) for node in others} == {(None, None)}
        assert own.certificates == [records[0].certificates[0].hex()]
        assert [len(page) for page in await pages(world, "/v1/nodes?limit=3")] == [3, 1]
        assert await (await world.request("GET", "/v1/nodes?cursor=99")).json() == []


async def test_evidence_is_listed_newest_first_over_pages_that_meet(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert await get(world, "/v1/evidence", list[api_network.EvidenceView]) == []
        world.chain.proofs.extend(proof(number) for number in range(5))
        found = await pages(world, "/v1/evidence?limit=2")
        assert [[one["number"] for one in page] for page in found] == [[4, 3], [2, 1], [0]]
        (newest, *_) = await get(world, "/v1/evidence", list[api_network.EvidenceView])
        assert (newest.validator_name, newest.view, newest.height) == ("operator", 4, 14)
        assert (newest.first.kind, newest.first.digest) == ("nullify", None)
        assert (newest.second.kind, newest.second.digest) == ("finalize", fixed("block").hex())


async def test_a_protocol_version_to_come_is_announced(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        none = await get(world, "/v1/protocol", api_network.ProtocolView)
        assert (none.version, none.next_version, none.next_height) == (1, None, None)
        world.chain.protocol_to_come = (2, 500)
        some = await get(world, "/v1/protocol", api_network.ProtocolView)
        assert (some.version, some.next_version, some.next_height) == (1, 2, 500)


async def test_the_versions_of_contracts_are_public_with_what_became_of_them(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        none = await get(world, "/v1/contracts", list[api_network.ContractView])
        assert {one.name: (one.version, one.supported) for one in none} == {
            name: (0, version) for name, version in REGISTRY.known.items()
        }
        schedule = ContractSchedule(version=1, next_version=2, next_height=900, changes=1)
        failed = ContractChange(
            version=2, outcome=ChangeOutcome.FAILED, height=7, time_ms=w.NOW_MS, entries=3, reason="why"
        )
        migration = ContractMigration(version=2, step=MigrationStep.COPYING, entries=12)
        grants = ContractStatus(name="grants", schedule=schedule, migration=migration, changes=(failed,))
        foreign = ContractStatus(
            name="other", schedule=ContractSchedule(version=0), migration=None, changes=()
        )
        world.chain.contracts_there = (grants, foreign)
        some = await get(world, "/v1/contracts", list[api_network.ContractView])
        assert [one.name for one in some[:2]] == ["grants", "other"]
        shown, lacked = some[:2]
        assert (shown.version, shown.supported, shown.next_version, shown.next_height) == (1, 1, 2, 900)
        assert shown.migration == api_network.MigrationView(version=2, step="copying", entries=12)
        (change,) = shown.changes
        assert (change.outcome, change.height, change.entries, change.reason) == ("failed", 7, 3, "why")
        assert (lacked.version, lacked.supported, lacked.next_version) == (0, 0, None)
        status = await get(world, "/v1/status", api.NodeStatus)
        assert status.upgrades == [api.UpgradeView(contract="grants", version=2, height=900, supported=1)]
        world.chain.protocol_to_come = (2, 500)
        status = await get(world, "/v1/status", api.NodeStatus)
        assert status.upgrades[0] == api.UpgradeView(contract=None, version=2, height=500, supported=1)


@pytest.mark.parametrize(
    ("action", "name", "expected"),
    [
        (
            ChangeValidators(
                changes=(
                    RemoveValidator(account=b"a" * 16),
                    RotateVoteKey(account=b"b" * 16, vote_key=b"k" * 48, possession=b"p"),
                )
            ),
            "change_validators",
            {
                "changes": [
                    {"type": "remove_validator", "account": (b"a" * 16).hex()},
                    {
                        "type": "rotate_vote_key",
                        "account": (b"b" * 16).hex(),
                        "vote_key": (b"k" * 48).hex(),
                        "possession": b"p".hex(),
                    },
                ]
            },
        ),
        (SetProtocolVersion(version=2, height=9), "set_protocol_version", {"version": 2, "height": 9}),
        (
            UpgradeContract(contract="grants", version=2, height=9),
            "upgrade_contract",
            {"contract": "grants", "version": 2, "height": 9},
        ),
    ],
)
async def test_a_proposal_about_the_network_is_shown_in_full(
    tmp_path: Path, action: Action, name: str, expected: dict[str, Any]
) -> None:
    proposal = Proposal(
        proposal_id=w.PROPOSAL_ID,
        proposer=w.OPERATOR.account,
        action=codec.encode(action),
        approvals=(w.OPERATOR.account,),
        state=ProposalState.OPEN,
        proposed_ms=w.NOW_MS,
        expires_ms=w.NOW_MS + 1,
    )
    async with w.served(tmp_path) as world:
        world.chain.records.proposals[w.PROPOSAL_ID] = proposal
        view = await get(world, f"/v1/proposals/{w.PROPOSAL_ID.hex()}", ProposalView)
        assert view.action == name
        assert {key: value for key, value in view.summary.items() if key != "type"} == expected
