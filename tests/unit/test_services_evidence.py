"""Reports of conflicting votes: each proof once, and none that the ledger would refuse."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from contracts import membership
from contracts.calls import Args, EvidenceReport
from contracts.evidence import EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX
from contracts.state import EVIDENCE_COUNTS, EVIDENCE_KNOWN, Draft
from ledger.types import Vote, VoteKind
from node.chain import Chain
from node.services import evidence
from node.services.evidence import EvidenceReporter
from node.services.node_account import NodeAccount
from tests.unit.contracts_world import World


@dataclass
class Ledger:
    """The finalized chain and the node's account, as far as the reporter knows them."""

    records: World
    account: bytes
    reported: list[Args] = field(default_factory=list)

    async def submit(self, args: Args) -> None:
        self.reported.append(args)
        assert isinstance(args, EvidenceReport)
        self.note(args.first)

    def note(self, vote: Vote) -> None:
        """The ledger has a record of it."""
        accused = self.accused(vote)
        key = (vote.epoch, accused)
        draft = Draft(self.records)
        EVIDENCE_KNOWN.put(draft, (vote.epoch, vote.view, accused), 0)
        EVIDENCE_COUNTS.put(draft, key, (EVIDENCE_COUNTS.get(self.records, key) or 0) + 1)
        self.records.entries.update(
            {name: value for name, value in draft.writes.items() if value is not None}
        )

    def accused(self, vote: Vote) -> bytes:
        return membership.validators(self.records).validators[vote.validator].account


def pair(view: int) -> tuple[Vote, Vote]:
    def vote(digest: bytes) -> Vote:
        return Vote(kind=VoteKind.NOTARIZE, epoch=1, view=view, digest=digest, validator=3, signature=b"s")

    return vote(b"a" * 32), vote(b"b" * 32)


async def reports(ledger: Ledger, *views: int) -> list[int]:
    """Views that are reported when conflicts in these are noticed."""
    reporter = EvidenceReporter(cast("Chain", ledger), cast("NodeAccount", ledger))
    for view in views:
        reporter.noticed(*pair(view))
    running = asyncio.create_task(reporter.run())
    for _ in range(10 * len(views)):
        await asyncio.sleep(0)
    running.cancel()
    return [args.first.view for args in ledger.reported if isinstance(args, EvidenceReport)]


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(evidence, "TURN_S", 0)
    world = World()
    return Ledger(world, membership.operators(world)[0])


async def test_what_another_node_has_reported_is_not_reported_again(ledger: Ledger) -> None:
    ledger.note(pair(5)[0])
    assert await reports(ledger, 5, 6) == [6]


async def test_who_contradicts_itself_in_every_view_does_not_fill_the_chain_with_refused_reports(
    ledger: Ledger,
) -> None:
    """Beyond the ledger's bound every conflict made each node submit a report that was denied, block after block."""
    most = EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX
    assert await reports(ledger, *range(1, most + 10)) == list(range(1, most + 1))
