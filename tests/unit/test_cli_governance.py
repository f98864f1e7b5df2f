"""`zhenglian gov`: a network changes its own validators by its operators' commands, against a real node's API."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from typer.testing import CliRunner

from contracts import membership
from contracts.actions import ChangeValidators
from contracts.calls import GovernanceApprove
from contracts.records import AccountStatus, NodeRole
from contracts.registry import REGISTRY
from contracts.state import ACCOUNTS
from ledger.errors import NotFound
from node.cards import NodeCard
from node.commands import gov
from node.commands.context import Settings
from node.commands.preflight import (
    HEAD_LAG_BLOCKS_MAX,
    QuorumNotLive,
    ReleaseLacksContractVersion,
    ReleaseLacksVersion,
    readiness,
    require_live_quorum,
)
from node.home import Home
from node.http.app import build_app
from node.http.config import HttpConfig
from node.identity import create_identity, load_identity
from node.newcomers import CardRefused, addition, check_card, operator_of
from node.observability import Metrics
from node.services.facts import NodeFacts, PeerFacts
from node.services.ports import Services
from tests.suites import OTHER
from tests.unit.contracts_world import OPERATORS, START_MS, SUITE
from tests.unit.http_world import FakePeople
from tests.unit.node_replica import SIGNERS
from tests.unit.node_world import Node, running
from tests.unit.test_http_membership import proof
from zhenglian import api


def make_card(folder: Path, name: str, *, network: str = "test", port: int = 7100) -> NodeCard:
    card = create_identity(
        Home(folder),
        network=network,
        name=name,
        suite=SUITE,
        peer_host="127.0.0.1",
        peer_port=port,
        http_host="127.0.0.1",
        http_port=port + 1,
        now_ms=START_MS,
    )
    signer = load_identity(Home(folder), SUITE).vote_signer
    SIGNERS[signer.public_key] = signer
    return card


@dataclass
class City:
    """A running node, its API, and the home of an operator that has joined it."""

    node: Node
    home: Path
    url: str = ""
    away: set[bytes] = field(default_factory=set)
    contracts: dict[str, int] = field(default_factory=dict)

    def facts(self) -> NodeFacts:
        peers = tuple(
            PeerFacts(
                account=record.account,
                name=record.name,
                connected=record.account not in self.away,
                height=self.node.chain.height,
                round_trip_ms=1.0,
                release="0.2.0" if self.contracts else "",
                contracts=self.contracts,
            )
            for record in self.node.chain.nodes()
            if record.account != OPERATORS[0].account
        )
        return NodeFacts(
            account=OPERATORS[0].account,
            release="0.1.0",
            view=1,
            leader=OPERATORS[0].account,
            peers=peers,
            pending_transactions=0,
            syncing=False,
            voting=True,
            started_ms=START_MS,
            clock_ms=self.node.now_ms,
        )

    async def run(self, *arguments: object, language: str = "en") -> Any:
        """One command by the joined operator's admin; its JSON."""

        def work() -> Any:
            options = Settings(
                json=True,
                language=language,
                nodes=(self.url,),
                key_path=self.home / "keys" / "admin.json",
            )
            result = CliRunner().invoke(gov.app, [str(item) for item in arguments], obj=options)
            if result.exception is not None:
                raise result.exception
            # The node in this process logs to the same place.
            (answer,) = (line for line in result.stdout.splitlines() if line[:1] in {"{", "["})
            return json.loads(answer)

        return await asyncio.to_thread(work)

    async def approve(self, proposal: str) -> None:
        for who in OPERATORS[:3]:
            await self.node.send(who, GovernanceApprove(proposal_id=bytes.fromhex(proposal)))


@asynccontextmanager
async def city(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    async with running(folder / "node") as node:
        clock = SimpleNamespace(**vars(time))
        clock.time_ns = lambda: node.now_ms * 1_000_000
        monkeypatch.setattr("zhenglian.client.time", clock)
        card = make_card(folder / "fifth", "fifth")
        node.vote(ChangeValidators(changes=(addition(card, SUITE),)))
        made = City(node=node, home=folder / "fifth")
        monkeypatch.setattr(node.chain, "_facts", made.facts)
        services = Services(
            chain=node.chain,
            submission=node.submission,
            deposits=node.deposits,
            people=FakePeople(),
            releases=node.releases,
            traces=node.traces,
            index=node.index,
        )
        application = build_app(
            services,
            HttpConfig(),
            metrics=Metrics(),
            idempotency_path=folder / "idempotency.sqlite",
            fatal=lambda error: None,
        )
        async with TestServer(application) as server:
            made.url = str(server.make_url("")).rstrip("/")
            yield made


async def test_a_validator_is_added_by_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with city(tmp_path, monkeypatch) as here:
        card = make_card(tmp_path / "sixth", "sixth", port=7200)
        path = tmp_path / "sixth" / "card.json"
        made = await here.run("propose", "add-validator", path)
        await here.approve(made["proposal_id"])
        account = bytes.fromhex(card.account)
        assert membership.operators(here.node.chain.records)[-1] == account
        listed = await here.run("validators")
        assert (listed["epoch"], len(listed["validators"])) == (3, 6)
        assert len((await here.run("validators", "--epoch", "1"))["validators"]) == 4
        nodes = await here.run("nodes")
        assert [one["name"] for one in nodes][-2:] == ["fifth", "sixth"]
        assert nodes[0]["connected"] is True


async def test_a_set_without_a_quorum_that_runs_is_not_proposed_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch) as here:
        make_card(tmp_path / "sixth", "sixth", port=7200)
        path = tmp_path / "sixth" / "card.json"
        here.away = {OPERATORS[2].account, OPERATORS[3].account}
        command = ("propose", "add-validator", path)
        with pytest.raises(QuorumNotLive) as refused:
            await here.run(*command)
        assert refused.value.fields["live"] == 3
        assert refused.value.fields["needed"] == 5
        for name in ("op2", "op3", "sixth"):
            assert name in refused.value.message("en")
        with pytest.raises(QuorumNotLive) as refused:
            await here.run(*command, language="zh")
        assert "未连接" in refused.value.message("zh")
        made = await here.run(*command, "--force")
        assert len(made["proposal_id"]) == 32


async def test_one_validator_is_replaced_removed_and_given_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch) as here:
        state = here.node.chain.records
        sixth = make_card(tmp_path / "sixth", "sixth", port=7200)
        path = tmp_path / "sixth" / "card.json"
        made = await here.run("propose", "replace-validator", "op3", path)
        await here.approve(made["proposal_id"])
        members = membership.operators(state)
        assert OPERATORS[3].account not in members
        assert members[-1] == bytes.fromhex(sixth.account)
        signer = SUITE.generate_vote_signer()[1]
        SIGNERS[signer.public_key] = signer
        account = bytes.fromhex(sixth.account)
        renewed = {
            **json.loads(path.read_text()),
            "vote_key": signer.public_key.hex(),
            "possession": signer.prove_possession("test", account).hex(),
        }
        path.write_text(json.dumps(renewed))
        made = await here.run("propose", "rotate-key", path)
        await here.approve(made["proposal_id"])
        assert membership.validators(state).validators[-1].vote_key == signer.public_key
        made = await here.run("propose", "remove-validator", sixth.account)
        await here.approve(made["proposal_id"])
        gone = ACCOUNTS.get(state, account)
        assert gone is not None
        assert gone.status is AccountStatus.REMOVED
        with pytest.raises(NotFound):
            await here.run("propose", "remove-validator", "sixth")


async def test_a_reader_is_admitted_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with city(tmp_path, monkeypatch) as here:
        state = here.node.chain.records
        card = make_card(tmp_path / "county", "county", port=7200)
        made = await here.run("propose", "admit-reader", tmp_path / "county" / "card.json")
        await here.approve(made["proposal_id"])
        record = membership.node(state, bytes.fromhex(card.account))
        assert record is not None
        assert record.role is NodeRole.READER
        made = await here.run("propose", "remove-node", "county")
        await here.approve(made["proposal_id"])
        assert membership.node(state, record.account) is None


async def test_a_protocol_version_that_a_node_does_not_know_is_not_proposed_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch) as here:
        with pytest.raises(ReleaseLacksVersion):
            await here.run("propose", "protocol-version", "2", "--at", "1000")
        made = await here.run("propose", "protocol-version", "2", "--at", "1000", "--force")
        await here.approve(made["proposal_id"])
        assert here.node.chain.pending_protocol() == (2, 1000)
        made = await here.run("propose", "withdraw-protocol-version", "2")
        await here.approve(made["proposal_id"])
        assert here.node.chain.pending_protocol() is None


async def test_a_contracts_version_that_a_node_lacks_is_not_proposed_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch) as here:
        known = dict(REGISTRY.known)
        wanted = ("propose", "upgrade-contract", "grants", "2", "--height", "1000")
        with pytest.raises(ReleaseLacksContractVersion) as refused:
            await here.run(*wanted)
        lacking = str(refused.value.fields["missing"])
        assert here.url in lacking, "the node that was asked"
        assert "op1 (?)" in lacking, "a validator whose release nobody knows"
        monkeypatch.setattr(type(here.node.chain), "contract_versions", known | {"grants": 2})
        here.contracts = known
        with pytest.raises(ReleaseLacksContractVersion) as refused:
            await here.run(*wanted)
        assert "op1 (0.2.0)" in str(refused.value.fields["missing"]), "a peer says that it lacks it"
        here.contracts = known | {"grants": 2}
        made = await here.run(*wanted)
        await here.approve(made["proposal_id"])
        shown = await here.run("contracts")
        (contract,) = (one for one in shown["contracts"] if one["name"] == "grants")
        assert (contract["version"], contract["next_version"], contract["next_height"]) == (1, 2, 1000)
        assert (contract["supported"], contract["migration"], contract["changes"]) == (2, None, [])
        made = await here.run("propose", "withdraw-contract-upgrade", "grants", "2")
        await here.approve(made["proposal_id"])
        shown = await here.run("contracts")
        (contract,) = (one for one in shown["contracts"] if one["name"] == "grants")
        assert contract["next_version"] is None
        assert [one["outcome"] for one in contract["changes"]] == ["withdrawn"]
        made = await here.run("propose", "upgrade-contract", "grants", "2", "--height", "1000", "--force")
        assert made["proposal_id"]


async def test_an_action_from_a_file_is_proposed_with_or_without_the_word_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = {"type": "set_protocol_version", "version": 2, "height": 500}
    (tmp_path / "action.json").write_text(json.dumps(action))
    async with city(tmp_path, monkeypatch) as here:
        for words in (("propose",), ("propose", "file")):
            made = await here.run(*words, tmp_path / "action.json")
            shown = await here.run("show", made["proposal_id"])
            assert shown["action"] == "set_protocol_version"


async def test_evidence_is_shown_with_the_validators_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch) as here:
        assert await here.run("evidence") == []
        monkeypatch.setattr(here.node.chain, "evidence_count", lambda: 1)
        record = replace(proof(3), validator=OPERATORS[2].account)
        monkeypatch.setattr(here.node.chain, "evidence", lambda *_: (record,))
        (shown,) = await here.run("evidence")
        assert (shown["validator_name"], shown["view"]) == ("op2", 3)


# --- cards and readiness, without a node ----------------------------------------------------------------------


def test_a_card_for_another_network_or_without_its_proof_is_refused(tmp_path: Path) -> None:
    card = make_card(tmp_path / "a", "a")
    check_card(card, "test", SUITE)
    other = make_card(tmp_path / "b", "b", network="elsewhere", port=7300)
    for bad, network in (
        (other, "test"),
        (replace(card, suite=OTHER), "test"),
        (replace(card, possession=other.possession), "test"),
    ):
        with pytest.raises(CardRefused) as refused:
            check_card(bad, network, SUITE)
        assert refused.value.message("zh") != refused.value.message("en")
    for broken in (replace(card, certificate_pem="none"), replace(card, wrap_key="00" * 32)):
        with pytest.raises(CardRefused):
            operator_of(broken, SUITE)


def status(
    account: str, height: int, peers: Sequence[tuple[str, bool, int | None]] = (), **changes: object
) -> Any:
    moment = "2027-01-15T08:00:00Z"
    return msgspec.convert(
        {
            "network": "test",
            "chain_id": "00" * 32,
            "account": account,
            "name": account,
            "release": "1",
            "height": height,
            "block_time": moment,
            "head": "00" * 32,
            "view": 1,
            "leader": "",
            "validators": 4,
            "quorum": 3,
            "peers": [
                {"account": peer, "name": peer, "connected": up, "height": at, "round_trip_ms": None}
                for peer, up, at in peers
            ],
            "pending_transactions": 0,
            "syncing": False,
            "voting": True,
            "started": moment,
            "clock": moment,
            **changes,
        },
        api.NodeStatus,
    )


def test_who_is_connected_and_level_is_ready_whoever_sees_it() -> None:
    a, b, c, d = ("0" * 31 + digit for digit in "abcd")
    members = {account: account[-1] for account in (a, b, c, d)}
    seen = readiness(members, [status(a, 100, [(b, True, 100), (c, False, 100), (d, True, None)])])
    assert [one.ready for one in seen] == [True, True, False, False]
    assert (seen[2].en, seen[3].en) == ("not connected", "behind (0/100)")
    with pytest.raises(QuorumNotLive) as refused:
        require_live_quorum(seen, "en")
    assert refused.value.fields == {
        "live": 2,
        "needed": 3,
        "missing": "c (not connected), d (behind (0/100))",
    }
    also = readiness(members, [status(a, 100, [(b, True, 100)]), status(c, 100 - HEAD_LAG_BLOCKS_MAX)])
    require_live_quorum(also, "en")
    assert not readiness({c: "c"}, [status(a, 100), status(c, 99 - HEAD_LAG_BLOCKS_MAX)])[0].ready
    assert not readiness({c: "c"}, [status(c, 100, syncing=True)])[0].ready
    with pytest.raises(QuorumNotLive):
        require_live_quorum(readiness(members, []), "zh")
