"""A contract's migration over records of any bytes, by a conversion that does anything: at every height one version is whole.

Rule: before the switch the former version's records are as they were; after it the new version's are what they became, each once; a
failure leaves the records, and nothing else. It ends within the blocks that its budget allows, and two replicas find the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.structs import replace

from contracts import migrations
from contracts.genesis import genesis_state
from contracts.methods import BlockContext
from contracts.migrations import begin_block
from contracts.registry import REGISTRY
from contracts.state import CONTRACT_INDEX, CONTRACTS, MIGRATIONS, TRACES, Draft, Table, present
from contracts.upgrade_records import ChangeOutcome, ContractSchedule
from contracts.upgrades import contracts
from contracts.versions import WRITES_PER_RECORD_MAX, Contract, Lift, Move, Registry
from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from ledger.types import Wire
from tests.fuzz.target import Grammar, Target, require
from tests.unit import contracts_world as world

FIRST: Final = Table[bytes, bytes]("traces_v2/", bytes, lambda key: key)
SECOND: Final = Table[bytes, bytes]("traces_by/", bytes, lambda key: key)
RECORDS_MAX: Final = 40
KINDS: Final = 8
SWITCH_HEIGHT: Final = 3

Record = tuple[
    Annotated[bytes, Meta(max_length=64)], Annotated[bytes, Meta(max_length=64)], Annotated[int, Meta(ge=0)]
]


class Script(Wire):
    """Records with what their conversion does, and what a block may move of them."""

    records: Annotated[tuple[Record, ...], Meta(max_length=RECORDS_MAX)]
    budget: Annotated[int, Meta(ge=1, le=RECORDS_MAX)]


def convert(name: bytes, value: bytes) -> Mapping[bytes, bytes]:
    """The last byte of the value says what becomes of it."""
    kind, body = value[-1], value[:-1]
    match kind:
        case 0 | 1 | 2:
            return {FIRST.key(name): body, SECOND.key(body[:8] + name): b""}
        case 3:
            return {FIRST.key(name): body}
        case 4:
            return {}
        case 5:
            return {FIRST.key(body): name}
        case 6:
            return {TRACES.key(name): body}
        case _:
            return {FIRST.key(bytes([n])): body for n in range(len(value) % (2 * WRITES_PER_RECORD_MAX))}


@lru_cache(maxsize=1)
def scene() -> tuple[Registry, Mapping[bytes, bytes]]:
    second = Contract(
        name="traces",
        version=2,
        methods=(),
        tables=(FIRST, SECOND),
        moves=(Move(source=TRACES, convert=convert),),
        lifts=(Lift(wanted=TRACES, table=FIRST, lift=lambda record: record),),
    )
    state = dict(genesis_state(world.SUITE, world.genesis()))
    draft = Draft(_State(state))
    CONTRACTS.put(draft, "traces", ContractSchedule(version=1, next_version=2, next_height=SWITCH_HEIGHT))
    index = present(CONTRACT_INDEX.get(draft, None), "the contracts")
    CONTRACT_INDEX.put(draft, None, replace(index, changing=("traces",)))
    state.update({key: value for key, value in draft.writes.items() if value is not None})
    return REGISTRY.with_versions(second), state


class _State:
    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.entries = entries

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        keys = sorted(key for key in self.entries if key.startswith(prefix) and key >= start)
        return [(key, self.entries[key]) for key in keys[:limit]]

    def under(self, *tables: Table[Any, Any]) -> dict[bytes, bytes]:
        prefixes = tuple(table.prefix for table in tables)
        return {key: value for key, value in self.entries.items() if key.startswith(prefixes)}

    def block(self, registry: Registry, height: int) -> dict[bytes, bytes | None]:
        draft = Draft(self)
        context = BlockContext(
            chain_id=bytes(32),
            suite=world.SUITE,
            height=height,
            time_ms=height,
            epoch=1,
            proposer=b"",
            limits=world.genesis().limits,
        )
        begin_block(registry, self, draft, context)
        return draft.net_writes()

    def apply(self, writes: Mapping[bytes, bytes | None]) -> None:
        for key, value in writes.items():
            if value is None:
                del self.entries[key]
            else:
                self.entries[key] = value


def expected(records: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    """What the records become; None if they cannot."""
    found: dict[bytes, bytes] = {}
    for key, value in sorted(records.items()):
        became = convert(key.removeprefix(TRACES.prefix), value)
        foreign = any(not new.startswith((FIRST.prefix, SECOND.prefix)) for new in became)
        if foreign or len(became) > WRITES_PER_RECORD_MAX or found.keys() & became.keys():
            return None
        found |= became
    return found


def run(data: bytes) -> None:
    script = codec.decode(data, Script, size_bytes_max=SIZE_BYTES_MAX)
    registry, base = scene()
    state = _State(dict(base))
    for name, value, kind in script.records:
        state.entries[TRACES.key(name)] = value + bytes([kind % KINDS])
    records = state.under(TRACES)
    wanted = expected(records)
    limit, migrations.MIGRATION_RECORDS_PER_BLOCK_MAX = (
        migrations.MIGRATION_RECORDS_PER_BLOCK_MAX,
        script.budget,
    )
    try:
        last = 6 + 4 * (WRITES_PER_RECORD_MAX + 1) * (len(records) // script.budget + 1)
        for height in range(1, last):
            writes = state.block(registry, height)
            require(writes == _State(dict(state.entries)).block(registry, height), "two replicas differ")
            state.apply(writes)
            judge(state, records, wanted)
            if height > SWITCH_HEIGHT and not writes:
                break
    finally:
        migrations.MIGRATION_RECORDS_PER_BLOCK_MAX = limit
    require(MIGRATIONS.get(state, "traces") is None, "the migration does not end")
    found = next(one for one in contracts(state) if one.name == "traces")
    require(found.schedule.version == (1 if wanted is None else 2), "it ended otherwise than it had to")
    require(
        state.under(TRACES, FIRST, SECOND) == (records if wanted is None else wanted), "records are wrong"
    )
    (change,) = found.changes
    require((change.outcome is ChangeOutcome.FAILED) is (wanted is None), "the note is wrong")


def judge(state: _State, records: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes] | None) -> None:
    schedule = present(CONTRACTS.get(state, "traces"), "the schedule")
    if schedule.version == 1:
        require(state.under(TRACES) == records, "a record of the version in force is not as it was")
    else:
        require(state.under(FIRST, SECOND) == wanted, "a record of the version in force is missing")


def seeds() -> list[bytes]:
    kinds = [(0,) * 9, (3,) * 5, (4, 3, 0), (0, 0, 6), (5, 5), (0, 7, 0), (), (0, 3, 4, 5)]
    scripts = [
        Script(
            records=tuple((bytes([n]) * 16, b"value %d" % n, kind) for n, kind in enumerate(each)),
            budget=budget,
        )
        for each in kinds
        for budget in (1, 4, 40)
    ]
    return [codec.encode(script) for script in scripts]


def drawn() -> st.SearchStrategy[bytes]:
    record = st.tuples(
        st.binary(max_size=4), st.binary(max_size=20), st.sampled_from((0, 0, 0, 3, 3, 4, 5, 6, 7))
    )
    scripts = st.tuples(st.lists(record, max_size=12), st.integers(1, 6))
    return scripts.map(lambda drawn: msgspec.msgpack.encode(list(drawn)))


SIZE_BYTES_MAX: Final = 4096
TARGETS = (
    Target(
        name="contracts.migration",
        run=run,
        seeds=seeds,
        examples=drawn,
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=SIZE_BYTES_MAX,
    ),
)
