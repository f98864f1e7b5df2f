"""Whatever is done to a grant while its contract goes over to another version, nothing opens that the design does not open.

And whatever the order of calls and switch, however blocks are cut and nodes are stopped: every replica has the same state.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from contracts import migrations
from contracts.calls import Args, DeadlinesTick, GrantsPause, GrantsResume, GrantsRevoke
from contracts.registry import REGISTRY
from contracts.runtime import BlockOutcome
from contracts.state import GRANTS
from contracts.upgrade_actions import UpgradeContract
from contracts.upgrades import CONTRACT_NOTICE_BLOCKS_MIN, contracts
from ledger.hashing import transaction_id
from ledger.types import Transaction
from tests.releases import grants_v2
from tests.releases.grants_v2 import BY_HOLDER, GRANTS_V2
from tests.unit.contracts_world import BANK, LI, NODES, SUITE, Actor, World, asking_release, identity, json_of
from tests.unit.grants_model import POPULATED
from tests.unit.test_contracts_grant_machine import GrantMachine

SECOND = REGISTRY.with_versions(grants_v2.CONTRACT)


class UpgradedGrantMachine(GrantMachine):
    """The same grants, and somewhere in between their contract's next version."""

    scheduled = False

    @precondition(lambda self: not self.scheduled)
    @rule()
    def upgrade(self) -> None:
        world = self.world
        world.registry = SECOND
        height = world.height + CONTRACT_NOTICE_BLOCKS_MIN + 3
        world.vote(UpgradeContract(contract="grants", version=2, height=height))
        while world.height < height:
            world.block(())
        self.scheduled = True
        for grant_id, told in self.told.items():
            assert GRANTS.get(world, grant_id) is None
            record = GRANTS_V2.get(world, grant_id)
            assert record is not None
            assert record.uses.made == len(told.prepared)


TestUpgradedGrantMachine = UpgradedGrantMachine.TestCase
TestUpgradedGrantMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "approve", "pause", "resume", "revoke", "use", "tick", "block")),
        st.integers(0, 5),
    ),
    max_size=30,
)


def _fresh() -> World:
    world = World()
    world.entries = dict(POPULATED.entries)
    world.time_ms, world.height, world.sent = POPULATED.time_ms, POPULATED.height, POPULATED.sent
    world.registry = SECOND
    return world


def _call(world: World, step: str, grant_id: bytes) -> tuple[Actor, Args]:
    match step:
        case "ask":
            return BANK, world.asking()
        case "approve":
            return LI, world.approval(grant_id)
        case "pause":
            return LI, GrantsPause(grant_id=grant_id)
        case "resume":
            return LI, GrantsResume(grant_id=grant_id)
        case "revoke":
            return LI, GrantsRevoke(grant_id=grant_id)
        case "use":
            return BANK, asking_release(grant_id, json_of(identity("degree of li"), "name"))
        case _:
            return NODES[0], DeadlinesTick()


class _Leader:
    """Makes the blocks of a story: what is done, and when blocks are cut."""

    def __init__(self) -> None:
        self.world = _fresh()
        self.blocks: list[tuple[int, tuple[Transaction, ...], BlockOutcome]] = []
        self.waiting: list[Transaction] = []

    def block(self) -> None:
        time_ms, chosen = self.world.time_ms, tuple(self.waiting)
        self.blocks.append((time_ms, chosen, self.world.block(chosen)))
        self.waiting.clear()
        self.world.time_ms += 1000

    def tell(self, grants: list[bytes], steps: list[Step]) -> None:
        for step, which in steps:
            if step == "block":
                for _ in range(which + 1):
                    self.block()
            else:
                who, args = _call(self.world, step, grants[which % len(grants)])
                self.waiting.append(self.world.sign(who, args))


@given(before=STEPS, after=STEPS, budget=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_any_interleaving_of_calls_and_switch_is_the_same_on_every_replica(
    before: list[Step], after: list[Step], budget: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATION_RECORDS_PER_BLOCK_MAX", budget)
        leader = _Leader()
        grants = [leader.world.grant() for _ in range(4)]
        height = leader.world.height + CONTRACT_NOTICE_BLOCKS_MIN + 3
        leader.world.vote(UpgradeContract(contract="grants", version=2, height=height))
        start = dict(leader.world.entries), leader.world.height
        leader.tell(grants, [*before, *[("block", 5)] * 5, *after, *[("block", 5)] * 3])
        follower = _fresh()
        follower.entries, follower.height = start
        for time_ms, chosen, outcome in leader.blocks:
            follower.time_ms = time_ms
            rejected = follower.execution()  # a proposal that does not become final leaves nothing
            for transaction in chosen[:1]:
                rejected.add(transaction, transaction_id(SUITE, transaction.body))
            assert follower.block(chosen) == outcome
        assert follower.entries == leader.world.entries
        found = next(one for one in contracts(follower) if one.name == "grants")
        assert (found.schedule.version, found.migration) == (2, None)
        shown = {
            key
            for key in follower.entries
            if key.startswith((GRANTS.prefix, GRANTS_V2.prefix, BY_HOLDER.prefix))
        }
        assert not any(key.startswith(GRANTS.prefix) for key in shown)
        assert sum(key.startswith(GRANTS_V2.prefix) for key in shown) == len(shown) // 2
