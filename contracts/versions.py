"""What a version of a contract is, which versions a release has, and which of them hold on a state.

Rule: a version never changes once a network has run it, and never goes away: history is executed again by the versions of its
time. Which version holds is what the state says, never what the release has; a release that lacks it stops. Other contracts
and readers reach a contract only through what its `Contract` offers: they read its records as `record` gives them, and ask for its
behaviour by `face`, so that a version may keep its records as it likes.

Tables that no contract lists as its own (accounts, validators, nodes, certificate types, deadlines, regions, …) are the network's
ground: they keep their layout for ever, or until a protocol version changes it, and no migration touches them. So who votes, and
which versions hold, is read alike before, during and after any migration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from contracts.denials import Denied
from contracts.methods import CallContext, Method
from contracts.state import CONTRACT_INDEX, CONTRACTS, MIGRATIONS, StateReader, Table, ground_prefixes
from contracts.upgrade_records import MigrationStep
from ledger.errors import Category, LedgerError, invariant

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
F = TypeVar("F")

# What converting one record of a former version may write: it may be split, and given an index.
WRITES_PER_RECORD_MAX: Final = 16

# Gets the typed part of a state key and the value, gives whole state keys of the new version's tables and their values.
Convert = Callable[[bytes, bytes], Mapping[bytes, bytes]]


class ReleaseLacksContract(LedgerError):
    """The network has gone over to a version of a contract that this release does not have.

    Fields: contract, version, supported, height.
    """

    code = "release_lacks_contract"
    category = Category.UNAVAILABLE
    zh = (
        "网络自区块 {height} 起使用合约 {contract} 的版本 {version}，本软件最高支持版本 {supported}；"
        "请升级 zhenglian 后重新启动，账本数据无须改动"
    )
    en = (
        "From block {height} on the network has version {version} of the contract {contract}; this release knows "
        "{supported} at most. Upgrade zhenglian and start it again; the ledger on disk stays as it is"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How the records of one table of the former version become records of the new one.

    Attributes:
        source: the former version's table; it is emptied after the switch.
        convert: a pure function of one record. Whatever it raises cancels the switch on every node alike; so does a key
            outside the new version's own tables, or one that another record gave.
    """

    source: Table[Any, Any]
    convert: Convert


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift(Generic[K, W, V]):
    """How others read records that a later version keeps elsewhere.

    Attributes:
        wanted: the table that they ask for.
        table: the one that has the record under the same key.
        lift: what they get for it.
    """

    wanted: Table[K, V]
    table: Table[K, W]
    lift: Callable[[W], V]

    def get(self, state: StateReader, key: K) -> V | None:
        """The record as they know it."""
        record = self.table.get(state, key)
        return None if record is None else self.lift(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of a contract.

    Attributes:
        name, version: versions count from 1.
        methods: every method there is in this version.
        tables: tables that are this version's alone to write; a later version may move them.
        moves: how it takes over from the version before; every table of that version which it does not keep.
        lifts: for each table that a former version had and this one has not, how others read it.
        on_deadline: what is done about its record when a deadline has come.
        face: what other contracts may ask of it, a frozen dataclass of functions; None if nothing.
    """

    name: str
    version: int = 1
    methods: tuple[Method, ...]
    tables: tuple[Table[Any, Any], ...] = ()
    moves: tuple[Move, ...] = ()
    lifts: tuple[Lift[Any, Any, Any], ...] = ()
    on_deadline: Callable[[CallContext, bytes], None] | None = None
    face: object | None = None
    _methods: Mapping[str, Method] = field(init=False, repr=False)
    _lifts: Mapping[bytes, Lift[Any, Any, Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_methods", {method.name: method for method in self.methods})
        object.__setattr__(self, "_lifts", {lift.wanted.prefix: lift for lift in self.lifts})

    def method(self, name: str) -> Method | None:
        """The method of that name."""
        return self._methods.get(name)

    def lift(self, wanted: Table[K, V]) -> Lift[K, Any, V] | None:
        """How a former version's table is read now; None if as ever."""
        return self._lifts.get(wanted.prefix)

    @property
    def prefixes(self) -> tuple[bytes, ...]:
        """What the keys of its tables begin with."""
        return tuple(table.prefix for table in self.tables)


class Registry:
    """The versions of contracts that a release has.

    Args:
        versions: each contract's versions from 1 on without a gap, in any order.
        cost_max: what no method may cost more than, so that every call fits into a block of every network.
    """

    def __init__(self, versions: Iterable[Contract], *, cost_max: int) -> None:
        self._versions = {(contract.name, contract.version): contract for contract in versions}
        self._latest: dict[str, int] = {}
        for name, version in sorted(self._versions):
            invariant(version == self._latest.get(name, 0) + 1, f"{name} has no version before {version}")
            self._latest[name] = version
        self._owners: dict[bytes, str] = {}
        for _, contract in sorted(self._versions.items()):
            self._check(contract, cost_max)
        self.cost_max: Final = cost_max

    def with_versions(self, *versions: Contract) -> Registry:
        """These versions too."""
        return Registry((*self._versions.values(), *versions), cost_max=self.cost_max)

    def find(self, name: str, version: int) -> Contract | None:
        """That version, if this release has it."""
        return self._versions.get((name, version))

    def require(self, name: str, version: int, height: int) -> Contract:
        """That version, which holds from `height` on.

        Raises:
            ReleaseLacksContract: this release does not have it.
        """
        contract = self.find(name, version)
        if contract is None:
            raise ReleaseLacksContract(
                contract=name, version=version, supported=self.latest(name), height=height
            )
        return contract

    def latest(self, name: str) -> int:
        """The latest version of a contract that this release has; 0 if it has none."""
        return self._latest.get(name, 0)

    @property
    def known(self) -> dict[str, int]:
        """The latest version of every contract."""
        return dict(self._latest)

    @property
    def tables(self) -> tuple[Table[Any, Any], ...]:
        """Every table of every version, for reading what is under a bare key."""
        found = {table.prefix: table for contract in self._versions.values() for table in contract.tables}
        return tuple(found.values())

    def owner(self, table: Table[K, V]) -> str | None:
        """Name of the contract whose table it is; None if it belongs to the ground."""
        return self._owners.get(table.prefix)

    def in_force(self, state: StateReader) -> InForce:
        """The versions that hold on a state."""
        return InForce(self, state)

    def _check(self, contract: Contract, cost_max: int) -> None:
        what = f"{contract.name} {contract.version}"
        invariant(len(contract.methods) == len(contract._methods), f"{what} has two methods of one name")
        for method in contract.methods:
            invariant(method.contract == contract.name, f"{what} has a method of {method.contract}")
            invariant(method.cost <= cost_max, f"{what}.{method.name} costs more than a call may")
        for prefix in contract.prefixes:
            invariant(
                self._owners.get(prefix, contract.name) == contract.name, f"{what}: {prefix!r} is another's"
            )
            others = {*self._owners, *ground_prefixes(), *contract.prefixes} - {prefix}
            clash = [one for one in others if one.startswith(prefix) or prefix.startswith(one)]
            invariant(
                not clash and prefix not in ground_prefixes(), f"{what}: {prefix!r} is not its own table's"
            )
            invariant(prefix.endswith(b"/"), f"{what}: {prefix!r} does not end with a slash")
        former = self._versions.get((contract.name, contract.version - 1))
        before = former.prefixes if former is not None else ()
        moved = tuple(move.source.prefix for move in contract.moves)
        left = tuple(prefix for prefix in before if prefix not in contract.prefixes)
        invariant(sorted(moved) == sorted(left), f"{what} moves other tables than those that it gives up")
        gone = {prefix for prefix, owner in self._owners.items() if owner == contract.name}
        for prefix in gone.difference(contract.prefixes):
            invariant(prefix in contract._lifts, f"{what} does not say how {prefix!r} is read")
        fresh = set(contract.prefixes).difference(before)
        invariant(not fresh & gone, f"{what} uses a table again that a former version gave up")
        self._owners |= dict.fromkeys(contract.prefixes, contract.name)


class InForce:
    """The versions of contracts that hold on a state, looked up once each.

    Args:
        registry: what this release has.
        state: says what holds; it must not change that while this is in use.
    """

    __slots__ = ("_copying", "_found", "_registry", "_state")

    def __init__(self, registry: Registry, state: StateReader) -> None:
        self._registry = registry
        self._state = state
        self._found: dict[str, Contract | None] = {}
        self._copying: frozenset[str] | None = None

    def version(self, name: str) -> int:
        """The version that holds; 0 if the contract is not there."""
        schedule = CONTRACTS.get(self._state, name)
        return 0 if schedule is None else schedule.version

    def find(self, name: str) -> Contract | None:
        """The contract as it holds; None if the network has none of that name.

        Raises:
            ReleaseLacksContract: this release does not have that version.
        """
        if name not in self._found:
            schedule = CONTRACTS.get(self._state, name)
            if schedule is None or schedule.version == 0:
                self._found[name] = None
            else:
                self._found[name] = self._registry.require(name, schedule.version, schedule.since_height)
        return self._found[name]

    def usable(self, name: str) -> Contract | None:
        """As `find`, for who wants to call it.

        Raises:
            Denied: contract_migrating.
        """
        contract = self.find(name)
        if contract is not None and name in self._frozen():
            raise Denied("contract_migrating", contract=name)
        return contract

    def face(self, name: str, kind: type[F]) -> F:
        """What another contract offers.

        Raises:
            Denied: contract_migrating.
        """
        contract = self.usable(name)
        face = contract.face if contract is not None else None
        invariant(isinstance(face, kind), f"the contract {name} offers no {kind.__name__}")
        assert isinstance(face, kind)  # noqa: S101  # for the type checker
        return face

    def carry_out_deadline(self, name: str, context: CallContext, object_id: bytes) -> None:
        """Have a contract look at a record of its whose deadline has come.

        Raises:
            Denied: contract_migrating.
        """
        contract = self.usable(name)
        act = contract.on_deadline if contract is not None else None
        invariant(act is not None, f"the contract {name} has deadlines and does nothing about them")
        assert act is not None  # noqa: S101  # for the type checker
        act(context, object_id)

    def record(self, state: StateReader, table: Table[K, V], key: K) -> V | None:
        """A record of whichever contract, in the shape of `table`, wherever the version that holds keeps it."""
        lift = self._lift(table)
        return table.get(state, key) if lift is None else lift.get(state, key)

    def key(self, table: Table[K, V], key: K) -> bytes:
        """The state key under which the version that holds keeps that record."""
        lift = self._lift(table)
        return table.key(key) if lift is None else lift.table.key(key)

    def _lift(self, table: Table[K, V]) -> Lift[K, Any, V] | None:
        owner = self._registry.owner(table)
        contract = None if owner is None else self.find(owner)
        return None if contract is None else contract.lift(table)

    def _frozen(self) -> frozenset[str]:
        """Contracts whose records are being copied."""
        if self._copying is None:
            index = CONTRACT_INDEX.get(self._state, None)
            names = () if index is None else index.changing
            migrations = ((name, MIGRATIONS.get(self._state, name)) for name in names)
            self._copying = frozenset(
                name
                for name, migration in migrations
                if migration is not None and migration.step is MigrationStep.COPYING
            )
        return self._copying


class Reading:
    """State with the versions of contracts that hold on it.

    Attributes:
        contracts: those versions.
    """

    __slots__ = ("_state", "contracts")

    def __init__(self, state: StateReader, contracts: InForce) -> None:
        self._state = state
        self.contracts = contracts

    def get(self, key: bytes) -> bytes | None:
        """Implements `StateReader`."""
        return self._state.get(key)

    def record(self, table: Table[K, V], key: K) -> V | None:
        """A record of whichever contract; see `InForce.record`."""
        return self.contracts.record(self._state, table, key)
