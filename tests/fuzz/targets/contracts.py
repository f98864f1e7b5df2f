"""Calls of clients: their arguments, and what running them does to a populated ledger.

Rule: a call of anybody about anything succeeds or is denied. It raises nothing, does the same every time, and when it is denied it
changes nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from contracts.calls import CALLS, DeadlinesTick, TracesRequest
from contracts.denials import Denied
from contracts.registry import METHODS, REGISTRY
from contracts.runtime import BlockExecution, BlockFull, BlockOutcome, Inadmissible, ReleaseLacksContract
from contracts.state import STATE_VALUE_SIZE_BYTES_MAX
from contracts.versions import Reading
from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call, Result, Transaction
from tests.fuzz.shapes import encodings, values
from tests.fuzz.target import Grammar, Target, read_script, require
from tests.unit import contracts_world as world

NAMES: Final = sorted(CALLS)
ACTORS: Final = (
    *world.OPERATORS,
    *world.NODES,
    world.DEPARTMENT_ADMIN,
    world.DEPARTMENT,
    world.BANK_ADMIN,
    world.BANK,
    world.SHOP,
    world.AUDITOR,
    world.LI,
    world.WANG,
)
CALLS_MAX: Final = 12
WORDS: Final = (
    "degree",
    "business_licence",
    "hiring",
    "name",
    "school",
    "scan",
    "consent",
    "clerk",
    "zh",
    "leak",
)
RESULT_SIZE_BYTES_MAX: Final = 64 * 1024


def run_args(data: bytes) -> None:
    """The first byte chooses the method."""
    method = METHODS[NAMES[(data[0] if data else 0) % len(NAMES)]]
    args = method.parse(data[1:])
    require(codec.encode(args) == data[1:], "arguments re-encode to other bytes")
    ledger = populated()
    method.concerns(Reading(ledger, REGISTRY.in_force(ledger)), args)


def args_seeds() -> list[bytes]:
    return [bytes([NAMES.index((call.contract, call.method))]) + call.args for _, call in recorded()]


def drawn_args() -> st.SearchStrategy[bytes]:
    return st.one_of(
        *(encodings(CALLS[name]).map(bytes([index]).__add__) for index, name in enumerate(NAMES))
    )


class Recorder(world.World):
    """A world that remembers who called what."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Call]] = []
        super().__init__()

    def sign(self, who: world.Actor, what: Any, **changes: object) -> Transaction:
        signed = super().sign(who, what, **changes)
        if who in ACTORS:
            self.calls.append((ACTORS.index(who), signed.body.call))
        return signed


@lru_cache(maxsize=1)
def populated() -> Recorder:
    """Certificates, grants, releases and traces in every state that is quick to reach."""
    made = Recorder()
    made.populate()
    degree = made.issue("degree of li")
    made.issue("licence", world.BANK, certificate_type=world.LICENCE, fields=("title",), attachments=())
    grant = made.grant()
    first = made.release(grant, degree)
    made.prepare(first)
    made.release(made.grant(uses_max=1), degree)
    made.done(world.BANK, made.asking())
    leak = TracesRequest(
        file_hash=bytes(32), reason="leak", certificates=(degree,), performed_by=world.NODES[1].account
    )
    made.done(world.AUDITOR, leak)
    made.done(world.NODES[2], DeadlinesTick())
    return made


@lru_cache(maxsize=1)
def recorded() -> tuple[tuple[int, Call], ...]:
    return tuple(populated().calls)


@lru_cache(maxsize=1)
def identities() -> tuple[bytes, ...]:
    """16-byte ids that mean something there."""
    found: dict[bytes, None] = dict.fromkeys(actor.account for actor in ACTORS)
    for _, call in recorded():
        _collect(msgspec.msgpack.decode(call.args), found)
    for key in populated().entries:
        if len(key) >= 16:
            found[key[-16:]] = None
    return tuple(found)[:120]


def _collect(tree: Any, found: dict[bytes, None]) -> None:
    if isinstance(tree, bytes) and len(tree) == 16:
        found[tree] = None
    elif isinstance(tree, list):
        for one in tree:
            _collect(one, found)


def meant(tree: Any) -> Any:
    """Stand-ins resolved: 16 bytes of an index and zeros are the id of that index."""
    match tree:
        case bytes() if len(tree) == 16 and not any(tree[1:]) and tree[0] < len(identities()):
            return identities()[tree[0]]
        case list():
            return [meant(one) for one in tree]
        case _:
            return tree


def run_calls(data: bytes) -> None:
    """A list of [actor, method, arguments, milliseconds until then] is run, each in a block of its own."""
    script = read_script(data, list[tuple[int, int, Any, int]])
    base = populated()
    here = world.World.__new__(world.World)
    here.__dict__.update(base.__dict__)
    here.entries = dict(base.entries)
    for actor, method, tree, later_ms in script[:CALLS_MAX]:
        here.time_ms += abs(later_ms) % (40 * world.DAY_MS)
        contract, name = NAMES[method % len(NAMES)]
        args = msgspec.msgpack.encode(meant(tree))
        if len(args) <= CALL_ARGS_SIZE_BYTES_MAX:
            call = Call(contract=contract, method=name, args=args)
            judge(here, here.sign(ACTORS[actor % len(ACTORS)], call))


def judge(here: world.World, transaction: Transaction) -> None:
    """Run one transaction twice, compare, and apply."""
    first, second = execute(here, transaction), execute(here, transaction)
    require(first == second, "a call does different things on the same state")
    if first is None:
        return
    result = first.results[0]
    encoded = codec.encode(result)
    require(len(encoded) <= RESULT_SIZE_BYTES_MAX, f"a result of {len(encoded)} bytes")
    require(
        codec.decode(encoded, Result, size_bytes_max=len(encoded)) == result,
        "a result that no client can read",
    )
    require(bool(result.events) or result.code == "ok", "a refused attempt leaves no record")
    for key, value in first.writes.items():
        require(
            value is None or len(value) <= STATE_VALUE_SIZE_BYTES_MAX, f"a value of {len(value or b'')} bytes"
        )
        bookkeeping = key.startswith(
            (b"included", b"contract")
        )  # a block begins with what versions have to do
        require(result.code == "ok" or bookkeeping, f"a denied call wrote {key!r}")
    here.apply(first)


def execute(here: world.World, transaction: Transaction) -> BlockOutcome | None:
    try:
        execution = BlockExecution(here, here.context(), lambda *_question: True)
        execution.add(transaction, transaction_id(world.SUITE, transaction.body))
    except (Inadmissible, BlockFull, ReleaseLacksContract):
        return None
    return execution.finish()


def calls_seeds() -> list[bytes]:
    """Each method alone as it was called, and the course of a release."""
    steps = [
        [actor, NAMES.index((call.contract, call.method)), msgspec.msgpack.decode(call.args), 1000]
        for actor, call in recorded()
    ]
    alone = {step[1]: step for step in steps}
    groups = [[step] for step in alone.values()] + [steps[-8:]]
    return [msgspec.msgpack.encode(group, order="deterministic") for group in groups]


def drawn_calls() -> st.SearchStrategy[bytes]:
    steps = st.one_of(
        *(
            st.tuples(
                st.integers(0, len(ACTORS) - 1),
                st.just(index),
                _trees(name),
                st.sampled_from((0, 1000, 2**31)),
            )
            for index, name in enumerate(NAMES)
        )
    )
    return st.lists(steps, min_size=1, max_size=3).map(
        lambda some: msgspec.msgpack.encode(some, order="deterministic")
    )


def _trees(name: tuple[str, str]) -> st.SearchStrategy[Any]:
    return values(CALLS[name]).map(lambda args: _meaningful(msgspec.msgpack.decode(codec.encode(args))))


def _meaningful(tree: Any) -> Any:
    """Mostly ids and words that mean something on that ledger."""
    match tree:
        case bytes() if len(tree) == 16 and tree[1] % 4:
            return bytes([tree[0] % len(identities())]) + bytes(15)
        case str() if tree and sum(map(ord, tree)) % 3 == 0:
            return WORDS[ord(tree[0]) % len(WORDS)]
        case list():
            return [_meaningful(one) for one in tree]
        case _:
            return tree


TARGETS = (
    Target(
        name="contracts.args",
        run=run_args,
        seeds=args_seeds,
        examples=drawn_args,
        errors=(Denied,),
    ),
    Target(
        name="contracts.calls",
        run=run_calls,
        seeds=calls_seeds,
        examples=drawn_calls,
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
    ),
)
