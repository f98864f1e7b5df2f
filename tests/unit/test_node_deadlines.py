"""However many deadlines have come at once, they are all carried out in one turn; and what is refused is not tried for ever."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.calls import Args, DeadlinesTick
from contracts.deadlines import DEADLINES_PER_TICK_MAX
from contracts.schedule import due, schedule
from contracts.state import DeadlineKind, Draft
from ledger.errors import Unavailable
from node.services.deadlines import TICKS_AT_ONCE, carry_out_due
from tests.unit.contracts_world import LI, NODES, World


@dataclass
class Chain:
    """What a node reads of the finalized chain."""

    records: World

    @property
    def head_time_ms(self) -> int:
        return self.records.time_ms


@dataclass
class Node:
    """Ticks of a node, each in a block of its own."""

    world: World
    refuses: bool = False
    ticks: list[str] = field(default_factory=list)

    async def submit(self, args: Args) -> None:
        assert isinstance(args, DeadlinesTick)
        if self.refuses:
            self.ticks.append("refused")
            raise Unavailable(what="finality", reason="test")
        self.ticks.append(self.world.run(NODES[0], args).code)


def crowded(number: int) -> World:
    """A world with so many deadlines at one minute, all of them over."""
    world = World().populate()
    grant = world.grant()
    draft = Draft(world)
    for _ in range(number):
        schedule(draft, world.time_ms - 1, DeadlineKind.GRANT, grant)
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    world.time_ms += 120_000
    return world


async def test_all_that_is_due_is_carried_out_in_one_turn() -> None:
    world = crowded(20 * DEADLINES_PER_TICK_MAX)
    node = Node(world)
    await carry_out_due(Chain(world), node)  # type: ignore[arg-type]
    assert not due(world, world.time_ms)
    assert set(node.ticks) == {"ok"}
    assert len(node.ticks) <= 20 + 2 * TICKS_AT_ONCE
    assert world.grant_record(world.grant()).pii_principal_id == LI.account


async def test_one_deadline_takes_one_tick() -> None:
    world = crowded(1)
    node = Node(world)
    await carry_out_due(Chain(world), node)  # type: ignore[arg-type]
    assert node.ticks == ["ok"]


async def test_a_tick_that_is_not_carried_out_ends_the_turn() -> None:
    world = crowded(3 * DEADLINES_PER_TICK_MAX)
    node = Node(world, refuses=True)
    await carry_out_due(Chain(world), node)  # type: ignore[arg-type]
    assert node.ticks == ["refused"]
    assert due(world, world.time_ms)
