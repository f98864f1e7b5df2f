"""Every call of every contract test once more, slightly different: by somebody else, about something else, later.

Rule: a contract test's call meets a state that somebody thought of. Beside each, some neighbours of it are executed on that
same state and forgotten: whatever they are, they succeed or are denied, do the same twice, and change nothing when denied; and
after any of them deadlines go on being carried out.

    python -m tests.fuzz.neighbours --each 20 --seed 7 [pytest arguments]
"""

from __future__ import annotations

import argparse
import sys
from random import Random
from typing import Any, Final

import msgspec
import pytest

from contracts.calls import DeadlinesTick
from contracts.calls import call as call_of
from contracts.registry import METHODS
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call
from tests.fuzz.target import require
from tests.fuzz.targets.contracts import ACTORS, execute, judge
from tests.unit import contracts_world
from tests.unit.contracts_world import DAY_MS, NODES, Actor, World

EXTREMES: Final = (0, 1, -1, 2, 17, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**64 - 1)
TICKED: Final = 0.3
LATER_MS: Final = (0, 0, 0, 1, 60_000, 3_600_000, DAY_MS, 8 * DAY_MS, 91 * DAY_MS, 4000 * DAY_MS)


class Neighbours:
    """Executes them.

    Args:
        each: how many beside every call.
        random: chooses them.
    """

    def __init__(self, each: int, random: Random) -> None:
        self.each = each
        self.random = random
        self.count = 0
        self.actors: dict[bytes, Actor] = {one.key_id: one for one in ACTORS}
        self.words: dict[Any, None] = {}

    def beside(self, world: World, who: Actor, call: Call) -> None:
        """Some neighbours of a call that is about to be run."""
        self.actors.setdefault(who.key_id, who)
        try:
            tree = msgspec.msgpack.decode(call.args)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return
        self._learn(tree)
        for _ in range(self.each):
            self._one(world, who, call, tree)

    def _one(self, world: World, who: Actor, call: Call, tree: Any) -> None:
        here = World.__new__(type(world))
        here.__dict__.update(world.__dict__)
        here.entries = dict(world.entries)
        here.time_ms += self.random.choice(LATER_MS)
        actor = self.random.choice(list(self.actors.values())) if self.random.random() < 0.3 else who
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            tree = self._changed(tree, here)
        try:
            args = msgspec.msgpack.encode(tree)
        except OverflowError:
            return
        contract, name = call.contract, call.method
        if self.random.random() < 0.1:
            contract, name = self.random.choice(sorted(METHODS))
        if len(args) > CALL_ARGS_SIZE_BYTES_MAX:
            return
        changed = Call(contract=contract, method=name, args=args)
        self.count += 1
        try:
            judge(here, contracts_world.World.sign(here, actor, changed))
            if self.random.random() < TICKED:
                self._tick(here)
        except BaseException as error:
            sys.stderr.write(
                f"\nNEIGHBOUR {contract}.{name} {tree!r} by {actor} at {here.time_ms}: {error!r}\n"
            )
            raise

    def _tick(self, here: World) -> None:
        """Whatever has become of the state: a tick of any later moment is carried out, for one that is denied would be for ever."""
        here.time_ms += self.random.choice(LATER_MS)
        for _ in range(3):
            outcome = execute(here, contracts_world.World.sign(here, NODES[1], DeadlinesTick()))
            if outcome is None:
                return
            code = outcome.results[0].code
            require(code in {"ok", "membership_ended"}, f"a tick is denied: {code}")
            here.apply(outcome)
            here.time_ms += self.random.choice(LATER_MS)

    def _learn(self, tree: Any) -> None:
        match tree:
            case list():
                for one in tree:
                    self._learn(one)
            case bytes() | str() | int():
                self.words[tree] = None
            case _:
                pass
        while len(self.words) > 4000:
            del self.words[next(iter(self.words))]

    def _changed(self, tree: Any, here: World) -> Any:
        """The tree with one leaf or list changed."""
        if isinstance(tree, list) and tree and self.random.random() < 0.85:
            at = self.random.randrange(len(tree))
            return [*tree[:at], self._changed(tree[at], here), *tree[at + 1 :]]
        match tree:
            case list():
                return self._other_list(tree)
            case bool():
                return not tree
            case int():
                near = (tree + 1, tree - 1, -tree, here.time_ms, here.time_ms + DAY_MS)
                return self.random.choice((*EXTREMES, *near))
            case bytes():
                alike = [one for one in self.words if isinstance(one, bytes) and len(one) == len(tree)]
                keys = [key[-len(tree) :] for key in self.random.sample(sorted(here.entries), 3) if tree]
                return self.random.choice((*alike, *keys, b"", bytes(len(tree)), tree[:-1], tree + b"\0"))
            case str():
                texts = [one for one in self.words if isinstance(one, str)]
                return self.random.choice((*texts, "", "\0", "证" * 300, "a" * 65, tree + " ", tree.upper()))
            case _:
                return self.random.choice((None, 0, b"", "", []))

    def _other_list(self, tree: list[Any]) -> list[Any]:
        match self.random.randrange(5):
            case 0:
                return []
            case 1:
                return [*tree, *tree]
            case 2:
                return tree[::-1]
            case 3:
                return tree[1:]
            case _:
                return tree * 40


def main(arguments: list[str]) -> int:
    """Command line; the exit status is pytest's."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.neighbours")
    parser.add_argument("--each", type=int, default=10, help="neighbours of every call")
    parser.add_argument("--seed", type=int, default=1)
    given, rest = parser.parse_known_args(arguments)
    neighbours = Neighbours(given.each, Random(given.seed))
    run = World.run

    def run_beside(world: World, who: Actor, what: Any) -> Any:
        meant = what if isinstance(what, Call) else call_of(what)
        if len(meant.args) <= CALL_ARGS_SIZE_BYTES_MAX:
            neighbours.beside(world, who, meant)
        return run(world, who, what)

    World.run = run_beside  # type: ignore[method-assign, assignment]
    status = pytest.main(
        ["-W", "ignore::pytest.PytestAssertRewriteWarning", *(rest or ["tests/unit", "-k", "contracts"])]
    )
    sys.stdout.write(f"{neighbours.count} neighbours\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
