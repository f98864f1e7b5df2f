"""Runs transactions on state, a block at a time.

Rule: the same transactions in the same order on the same state give the same results and writes on every
node. A call either changes the state as a whole or, denied, not at all; either way its id is kept, so that no
transaction is included twice, and either way its result carries an event, so that a refused attempt is on
record.

The order of checks for one transaction: may it be included at all (`admission.py`); does it fit into the
block; is there such a method in the version of the contract that holds; can its arguments be read; is the contract
being migrated; is the account in good standing; may this kind of
account with this kind of key call it; and then whatever the method itself asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from contracts.admission import Inadmissible, Sender, SignatureVerifier, admit
from contracts.calls import Args
from contracts.denials import Denied
from contracts.genesis import GenesisInvalid, genesis_state
from contracts.methods import BlockContext, CallContext, Method, Output, acting, make_event
from contracts.migrations import begin_block
from contracts.records import Account, AccountStatus
from contracts.registry import REGISTRY, cost_of
from contracts.state import (
    INCLUDED,
    INCLUDED_BLOCKS,
    INCLUDED_CURSOR,
    Draft,
    IncludedBlock,
    OrderedState,
)
from contracts.versions import Reading, Registry, ReleaseLacksContract
from ledger import codec
from ledger.errors import Category, LedgerError, invariant
from ledger.types import RESULT_OK, Call, Event, Result, Transaction

INCLUDED_BLOCKS_PRUNED_PER_BLOCK_MAX: Final = 64


class BlockFull(LedgerError):
    """The transaction does not fit into this block; a later one may take it. Fields: limit, maximum."""

    code = "block_full"
    category = Category.BUSY
    zh = "本区块已满（{limit}，上限 {maximum}）"
    en = "This block is full ({limit}, at most {maximum})"


class AccountQuotaUsed(BlockFull):
    """This account has its share of this block; transactions of others still fit. Fields: limit, maximum."""

    code = "account_quota_used"
    zh = "该账户在本区块的份额已用完（{limit}，上限 {maximum}）"
    en = "The account has used its share of this block ({limit}, at most {maximum})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOutcome:
    """What executing a block gave.

    Attributes:
        results: one for each transaction, in order.
        writes: new values by state key, sorted; None deletes.
        cost: deterministic cost units in all.
    """

    results: tuple[Result, ...]
    writes: dict[bytes, bytes | None]
    cost: int


class BlockExecution:
    """One block while it is executed.

    The proposer adds transactions until one does not fit; a verifier adds all of a block's and takes any
    exception for an invalid block. Nothing outside is changed: to give a block up, forget the object.

    Args:
        state: as the parent block left it.
        context: the block.
        verify: checks signatures.
        registry: the versions of contracts that this release has.

    Raises:
        ReleaseLacksContract: a version that takes over in this block is not among them.
    """

    def __init__(
        self,
        state: OrderedState,
        context: BlockContext,
        verify: SignatureVerifier,
        registry: Registry = REGISTRY,
    ) -> None:
        self._draft = Draft(state)
        begin_block(registry, state, self._draft, context)
        self._contracts = registry.in_force(self._draft)
        self._context = context
        self._verify = verify
        self._results: list[Result] = []
        self._transaction_ids: list[bytes] = []
        self._until_ms = 0
        self._size_bytes = 0
        self._cost = 0
        self._by_account: dict[bytes, int] = {}
        self._finished = False

    def add(self, transaction: Transaction, transaction_id: bytes) -> Result:
        """Execute the next transaction.

        Args:
            transaction: decoded.
            transaction_id: its id.

        Returns:
            Its result; `code` is "ok" or that of the denial.

        Raises:
            Inadmissible: no block may include it; this execution is as before.
            BlockFull: it does not fit into this block; this execution is as before.
            ReleaseLacksContract: the version of its contract that holds is not among those of this release.
        """
        invariant(not self._finished, "a transaction was added to a finished block")
        sender = admit(self._draft, transaction, transaction_id, self._context, self._verify)
        method = self._method(transaction.body.call)
        self._take_room(transaction, method)
        result = self._run(transaction.body.call, method, transaction_id, sender)
        INCLUDED.put(self._draft, transaction_id, self._context.height)
        self._transaction_ids.append(transaction_id)
        self._until_ms = max(self._until_ms, transaction.body.valid_until_ms)
        self._results.append(result)
        return result

    def finish(self) -> BlockOutcome:
        """Close the block: keep the included ids for pruning, and prune those whose time is over."""
        invariant(not self._finished, "a block was finished twice")
        self._finished = True
        if self._transaction_ids:
            included = IncludedBlock(until_ms=self._until_ms, transaction_ids=tuple(self._transaction_ids))
            INCLUDED_BLOCKS.put(self._draft, self._context.height, included)
        self._prune()
        return BlockOutcome(results=tuple(self._results), writes=self._draft.net_writes(), cost=self._cost)

    def _method(self, call: Call) -> Method | None:
        """What a call asks for in the version of its contract that holds; None if there is no such method."""
        contract = self._contracts.find(call.contract)
        return None if contract is None else contract.method(call.method)

    def _take_room(self, transaction: Transaction, method: Method | None) -> None:
        limits = self._context.limits
        account = transaction.body.account
        of_account = self._by_account.get(account, 0) + 1
        size_bytes = self._size_bytes + len(codec.encode(transaction))
        cost = self._cost + cost_of(method, transaction.body.call)
        for limit, actual, maximum in (
            ("block_transactions_max", len(self._results) + 1, limits.block_transactions_max),
            ("block_bytes_max", size_bytes, limits.block_bytes_max),
            ("block_cost_max", cost, limits.block_cost_max),
        ):
            if actual > maximum:
                raise BlockFull(limit=limit, maximum=maximum)
        if of_account > limits.account_transactions_per_block_max:
            maximum = limits.account_transactions_per_block_max
            raise AccountQuotaUsed(limit="account_transactions_per_block_max", maximum=maximum)
        self._by_account[account] = of_account
        self._size_bytes = size_bytes
        self._cost = cost

    def _run(self, call: Call, method: Method | None, transaction_id: bytes, sender: Sender) -> Result:
        draft = Draft(self._draft)
        context = CallContext(
            state=draft,
            block=self._context,
            contracts=self._contracts,
            transaction_id=transaction_id,
            account=sender.account,
            key=sender.key,
        )
        args: Args | None = None
        try:
            if method is None:
                raise Denied("unknown_method", contract=call.contract, method=call.method)
            args = method.parse(call.args)
            self._contracts.usable(call.contract)
            _check_standing(sender.account)
            method.authorize(sender.account, sender.key)
            output = method.run(context, args)
        except Denied as denial:
            event = self._refused(call, context, method, args, denial)
            fields = tuple(sorted(denial.fields.items()))
            return Result(transaction_id=transaction_id, code=denial.code, fields=fields, events=(event,))
        self._draft.merge(draft)
        return Result(
            transaction_id=transaction_id,
            code=RESULT_OK,
            output=_encode_output(output),
            events=tuple(context.events),
        )

    def _refused(
        self, call: Call, context: CallContext, method: Method | None, args: Args | None, denial: Denied
    ) -> Event:
        """The record of a refused attempt, found by everyone whom it concerns as far as the ledger knows."""
        reading = Reading(self._draft, self._contracts)
        concerned = method.concerns(reading, args) if method is not None and args is not None else ()
        return make_event(
            "access.refused" if method is None else f"{method.contract}.refused",
            concerned[0] if concerned else context.account.account_id,
            (context.account.account_id, *concerned),
            {
                "code": denial.code,
                "contract": call.contract,
                "method": call.method,
                **acting(context.key, context.officer),
            },
        )

    def _prune(self) -> None:
        """Forget ids that have expired, oldest block first, at most about twice a full block's worth.

        A block adds one entry and at most `block_transactions_max` ids, and the loop stops only after taking
        more than one entry or that many ids; so what has to be kept is bounded by the lifetime of
        transactions.
        """
        start = cursor = INCLUDED_CURSOR.get(self._draft, None) or 0
        ids_left = self._context.limits.block_transactions_max
        last = min(self._context.height, start + INCLUDED_BLOCKS_PRUNED_PER_BLOCK_MAX)
        while cursor < last and ids_left > 0:
            included = INCLUDED_BLOCKS.get(self._draft, cursor)
            if included is not None:
                if self._context.time_ms <= included.until_ms:
                    break
                for transaction_id in included.transaction_ids:
                    INCLUDED.delete(self._draft, transaction_id)
                INCLUDED_BLOCKS.delete(self._draft, cursor)
                ids_left -= len(included.transaction_ids)
            cursor += 1
        if cursor != start:
            INCLUDED_CURSOR.put(self._draft, None, cursor)


def _check_standing(account: Account) -> None:
    match account.status:
        case AccountStatus.ACTIVE:
            return
        case AccountStatus.SUSPENDED:
            raise Denied("organization_suspended", account=account.account_id.hex())
        case AccountStatus.REMOVED:
            raise Denied("membership_ended", account=account.account_id.hex())
        case _:
            assert_never(account.status)


def _encode_output(output: Output) -> bytes:
    return b"" if output is None else codec.encode(output)


__all__ = [
    "AccountQuotaUsed",
    "BlockContext",
    "BlockExecution",
    "BlockFull",
    "BlockOutcome",
    "GenesisInvalid",
    "Inadmissible",
    "ReleaseLacksContract",
    "Sender",
    "SignatureVerifier",
    "admit",
    "genesis_state",
]
