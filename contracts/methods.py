"""What a method of a contract is: who may call it, what it costs, whom it concerns, and what it does.

Rule: default deny. A method names every pair of account kind and key role that may call it; any other caller
is refused before the method's body runs. A body reads and writes only through its `CallContext` and ends by
raising `Denied` or by returning its output; what it wrote before `Denied` is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from contracts.calls import CALLS, Args
from contracts.denials import Denied
from contracts.records import Account, AccountKind, Key, KeyRole
from contracts.state import Draft, StateReader, Table
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.domains import Domain
from ledger.errors import DecodeError, InvariantViolation, LimitExceeded
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, EVENT_SUBJECTS_MAX, RESULT_EVENTS_MAX, Event, Limits

if TYPE_CHECKING:
    from contracts.versions import InForce, Reading

Output = bytes | int | None
A = TypeVar("A", bound=Args)
K = TypeVar("K")
V = TypeVar("V")

ORGANIZATIONS: Final = (AccountKind.DEPARTMENT, AccountKind.ENTERPRISE, AccountKind.AUDITOR)
HOLDERS: Final = (AccountKind.PERSON, AccountKind.ENTERPRISE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContext:
    """What a call may know about the block it is in.

    Attributes:
        chain_id: the network's identity.
        suite: its cryptography.
        height: of this block.
        time_ms: block time, the only time there is.
        epoch: whose validators vote on it.
        proposer: account of the validator that proposed it.
        limits: from genesis.
    """

    chain_id: bytes
    suite: CryptoSuite
    height: int
    time_ms: int
    epoch: int
    proposer: bytes
    limits: Limits


@dataclass(frozen=True, slots=True)
class Caller:
    """A kind of account acting by a key of this role."""

    kind: AccountKind
    role: KeyRole


OPERATOR_ADMIN: Final = (Caller(AccountKind.OPERATOR, KeyRole.ADMIN),)
OPERATOR_NODE: Final = (Caller(AccountKind.OPERATOR, KeyRole.NODE),)
NODE: Final = tuple(
    Caller(kind, role)
    for kind in (AccountKind.OPERATOR, AccountKind.READER)
    for role in (KeyRole.ADMIN, KeyRole.NODE)
)
ORGANIZATION_ADMIN: Final = tuple(Caller(kind, KeyRole.ADMIN) for kind in ORGANIZATIONS)
DEPARTMENT_OFFICER: Final = (Caller(AccountKind.DEPARTMENT, KeyRole.OFFICER),)
GRANTEE_OFFICER: Final = (*DEPARTMENT_OFFICER, Caller(AccountKind.ENTERPRISE, KeyRole.OFFICER))
# With the agent, which names the officer for whom it acts (`agents.py`).
ISSUER: Final = (
    *GRANTEE_OFFICER,
    *(Caller(kind, KeyRole.AGENT) for kind in (AccountKind.DEPARTMENT, AccountKind.ENTERPRISE)),
)
RECIPIENT: Final = ISSUER
AUDITOR_OFFICER: Final = (Caller(AccountKind.AUDITOR, KeyRole.OFFICER),)
PERSON: Final = (Caller(AccountKind.PERSON, KeyRole.HOLDER),)
# An enterprise that holds certificates consents by an admin key: its officers ask for other people's data,
# and must not be able to give away the enterprise's own.
HOLDER: Final = (*PERSON, Caller(AccountKind.ENTERPRISE, KeyRole.ADMIN))


class CallContext:
    """One call while it runs.

    Attributes:
        state: the transaction's own draft.
        block: the block around it.
        contracts: the versions of contracts that hold in it.
        account, key: who acts, already authenticated.
        officer: key of the officer for whom an agent acts (`agents.py`); empty otherwise.
        events: what happened so far.
    """

    __slots__ = ("_transaction_id", "account", "block", "contracts", "events", "key", "officer", "state")

    def __init__(
        self,
        *,
        state: Draft,
        block: BlockContext,
        contracts: InForce,
        transaction_id: bytes,
        account: Account,
        key: Key,
    ) -> None:
        self.state = state
        self.block = block
        self.contracts = contracts
        self.account = account
        self.key = key
        self.officer = b""
        self.events: list[Event] = []
        self._transaction_id = transaction_id

    @property
    def time_ms(self) -> int:
        """Block time."""
        return self.block.time_ms

    def record(self, table: Table[K, V], key: K) -> V | None:
        """A record of another contract, wherever the version that holds keeps it."""
        return self.contracts.record(self.state, table, key)

    def new_id(self, records: Table[bytes, V], domain: Domain, size_bytes: int) -> bytes:
        """An id that only this transaction can give, free in the table of `records`.

        Raises:
            Denied: id_taken.
        """
        derived = self.block.suite.hash(domain, self._transaction_id)[:size_bytes]
        if records.get(self.state, derived) is not None:
            raise Denied("id_taken", id=derived.hex())
        return derived

    def emit(self, kind: str, object_id: bytes, subjects: Iterable[bytes], **data: str | int | bytes) -> None:
        """Record that something happened; the acting account becomes a subject, its key a fact.

        Args:
            kind: "<contract>.<past participle>".
            object_id: id of what it happened to.
            subjects: ids it concerns; empty and repeated ones are left out.
            data: small public facts; bytes are written in hex.
        """
        if len(self.events) >= RESULT_EVENTS_MAX:
            raise Denied("too_many_events", maximum=RESULT_EVENTS_MAX)
        self.events.append(
            make_event(
                kind,
                object_id,
                (object_id, self.account.account_id, *subjects),
                {**data, **acting(self.key, self.officer)},
            )
        )


def acting(key: Key, officer: bytes) -> dict[str, str | int | bytes]:
    """Who acted, as facts of an event: the key that signed, and the officer if it was an agent that did."""
    return {"key_id": key.key_id, "officer": officer} if officer else {"key_id": key.key_id}


def make_event(
    kind: str, object_id: bytes, subjects: Iterable[bytes], data: dict[str, str | int | bytes]
) -> Event:
    """An event: subjects once each in order of appearance, data sorted by key with bytes in hex."""
    once = tuple(subject for subject in dict.fromkeys(subjects) if subject)
    facts = ((name, value.hex() if isinstance(value, bytes) else value) for name, value in data.items())
    return Event(
        kind=kind, object_id=object_id, subjects=once[:EVENT_SUBJECTS_MAX], data=tuple(sorted(facts))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A registered method.

    Attributes:
        contract, name: how a call names it.
        callers: who may call it.
        cost: deterministic cost units, a few µs each (at most about 10 on the reference machine).
        extra_cost: what these arguments cost above that; None if they never do.
        args: its argument struct.
        concerns: ids that a call with these arguments concerns, for the record of a refused attempt.
        run: the body.
    """

    contract: str
    name: str
    callers: tuple[Caller, ...]
    cost: int
    args: type[Args]
    concerns: Callable[[Reading, Args], tuple[bytes, ...]]
    run: Callable[[CallContext, Args], Output]
    extra_cost: Callable[[Args], int] | None = None

    def parse(self, data: bytes) -> Args:
        """The arguments.

        Raises:
            Denied: malformed_call.
        """
        try:
            return codec.decode(data, self.args, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
        except (DecodeError, LimitExceeded):
            # The decoder's own words are left out: a result is hashed, and they may change with the library.
            raise Denied("malformed_call", contract=self.contract, method=self.name) from None

    def authorize(self, account: Account, key: Key) -> None:
        """Raise Denied unless an account of this kind may call this method by a key of this role."""
        if Caller(account.kind, key.role) in self.callers:
            return
        if any(caller.kind is account.kind for caller in self.callers):
            raise Denied("wrong_role", method=f"{self.contract}.{self.name}", role=key.role.value)
        raise Denied("wrong_account_kind", method=f"{self.contract}.{self.name}", kind=account.kind.value)


def nobody(_state: StateReader, _args: Args) -> tuple[bytes, ...]:
    """The call concerns nobody but its sender."""
    return ()


def method(
    args: type[A],
    *,
    callers: tuple[Caller, ...],
    cost: int,
    concerns: Callable[[Reading, A], tuple[bytes, ...]] = nobody,
    extra_cost: Callable[[A], int] | None = None,
    named: tuple[str, str] | None = None,
) -> Callable[[Callable[[CallContext, A], Output]], Method]:
    """Make a `Method` of a function.

    Args:
        args: its argument struct.
        callers, cost, concerns, extra_cost: as in `Method`.
        named: contract and name; those that `calls.CALLS` gives to `args` if left out. A later version of a contract that
            has other arguments under the same name says them.
    """
    contract, name = named or next(names for names, kind in CALLS.items() if kind is args)

    def narrow(value: Args) -> A:
        if not isinstance(value, args):
            raise InvariantViolation(f"{contract}.{name} was run with the arguments of another method")
        return value

    def register(body: Callable[[CallContext, A], Output]) -> Method:
        return Method(
            contract=contract,
            name=name,
            callers=callers,
            cost=cost,
            args=args,
            concerns=lambda state, value: concerns(state, narrow(value)),
            run=lambda context, value: body(context, narrow(value)),
            extra_cost=None if extra_cost is None else lambda value: extra_cost(narrow(value)),
        )

    return register
