"""Blocks: what is never included, what bounds a block, duplicates and their pruning, and determinism."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from contracts.calls import (
    Args,
    GrantsPause,
    GrantsRevoke,
    OrganizationsAddKey,
    OrganizationsRevokeKey,
    PeopleAddKey,
)
from contracts.genesis import GenesisInvalid
from contracts.records import Account, KeyRole
from contracts.registry import CALL_COST_MAX, call_cost
from contracts.runtime import (
    INCLUDED_BLOCKS_PRUNED_PER_BLOCK_MAX,
    AccountQuotaUsed,
    BlockFull,
    Inadmissible,
    admit,
    genesis_state,
)
from contracts.state import ACCOUNTS, INCLUDED, INCLUDED_BLOCKS, INCLUDED_CURSOR, Draft
from ledger import codec
from ledger.errors import InvariantViolation
from ledger.hashing import transaction_id
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Call, Genesis, Limits, Transaction
from tests.suites import OTHER
from tests.unit.contracts_world import (
    BANK,
    BANK_ADMIN,
    LI,
    OPERATORS,
    SUITE,
    WANG,
    World,
    actor,
    asking_release,
    genesis,
    identity,
    json_of,
    new_key,
    verify,
)

NOTHING = Call(contract="no", method="such", args=b"")


def name_of(transaction: Transaction) -> bytes:
    return transaction_id(SUITE, transaction.body)


def included(world: World) -> set[bytes]:
    prefix = b"included/"
    return {key.removeprefix(prefix) for key in world.entries if key.startswith(prefix)}


def inadmissible(world: World, transaction: Transaction) -> str:
    """The code with which both a block and the mempool refuse; the block stays as it was."""
    execution = world.execution()
    with pytest.raises(Inadmissible) as refused:
        execution.add(transaction, name_of(transaction))
    assert execution.finish().results == ()
    with pytest.raises(Inadmissible) as by_pool:
        admit(world, transaction, name_of(transaction), world.context(), verify)
    assert by_pool.value.code == refused.value.code
    assert "{" not in refused.value.message("zh") + refused.value.message("en")
    return refused.value.code


# --- what is never included ---


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda world: {"chain_id": bytes(32)}, "wrong_network"),
        (lambda world: {"valid_until_ms": world.time_ms - 1}, "expired"),
        (lambda world: {"valid_until_ms": world.time_ms + 600_001}, "lifetime_too_long"),
        (lambda world: {"account": identity("nobody")}, "unknown_account"),
        (lambda world: {"key_id": WANG.key_id}, "unknown_key"),
    ],
)
def test_what_cannot_be_authenticated_is_never_included(
    change: Callable[[World], dict[str, object]], code: str
) -> None:
    world = World().populate()
    assert inadmissible(world, world.sign(LI, NOTHING, **change(world))) == code


def test_the_time_window_includes_both_its_ends() -> None:
    world = World().populate()
    for until_ms in (world.time_ms, world.time_ms + 600_000):
        world.block([world.sign(LI, NOTHING, valid_until_ms=until_ms)])


def test_a_wrong_signature_is_never_included() -> None:
    world = World().populate()
    transaction = world.sign(LI, NOTHING)
    forged = Transaction(body=transaction.body, signature=world.sign(WANG, NOTHING).signature)
    assert inadmissible(world, forged) == "signature_invalid"


def test_a_transaction_is_bounded_to_the_byte() -> None:
    world = World().populate()

    def sized(args: int) -> Transaction:
        return world.sign(LI, Call(contract="no", method="such", args=bytes(args)))

    size_bytes_max = len(codec.encode(sized(1000)))
    world.limits = Limits(block_bytes_max=size_bytes_max)
    world.block([sized(1000)])
    assert inadmissible(world, sized(1001)) == "too_large"
    world.limits = Limits()
    over = TRANSACTION_SIZE_BYTES_MAX - size_bytes_max + 1000 + 1
    world.block([sized(over - 1)])
    assert inadmissible(world, sized(over)) == "too_large"


def test_a_duplicate_is_never_included_in_the_same_block_or_a_later_one() -> None:
    world = World().populate()
    transaction = world.sign(LI, NOTHING)
    execution = world.execution()
    execution.add(transaction, name_of(transaction))
    with pytest.raises(Inadmissible, match="duplicate"):
        execution.add(transaction, name_of(transaction))
    world.apply(execution.finish())
    assert inadmissible(world, transaction) == "duplicate"


def test_a_key_counts_from_its_addition_to_its_revocation_or_end() -> None:
    world = World().populate()
    clerk = actor("bank", "clerk")
    signed_before = world.sign(clerk, NOTHING)
    assert inadmissible(world, signed_before) == "unknown_key"
    end_ms = world.time_ms + 10_000
    world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(clerk, KeyRole.OFFICER, until_ms=end_ms)))
    world.block([world.sign(clerk, NOTHING)])
    world.time_ms = end_ms
    assert inadmissible(world, world.sign(clerk, NOTHING)) == "key_not_valid"
    world.time_ms = end_ms - 1
    world.done(BANK_ADMIN, OrganizationsRevokeKey(key_id=clerk.key_id))
    assert inadmissible(world, world.sign(clerk, NOTHING)) == "key_revoked"


def test_a_revocation_counts_for_the_rest_of_its_own_block() -> None:
    world = World().populate()
    execution = world.execution()
    revocation = world.sign(BANK_ADMIN, OrganizationsRevokeKey(key_id=BANK.key_id))
    execution.add(revocation, name_of(revocation))
    late = world.sign(BANK, NOTHING)
    with pytest.raises(Inadmissible, match="key_revoked"):
        execution.add(late, name_of(late))


# --- what bounds a block ---


def fill(world: World, transactions: list[Transaction]) -> tuple[int, BlockFull]:
    """How many fit, and what the first that did not raised."""
    execution = world.execution()
    for count, transaction in enumerate(transactions):
        try:
            execution.add(transaction, name_of(transaction))
        except BlockFull as full:
            outcome = execution.finish()
            assert len(outcome.results) == count
            return count, full
    raise AssertionError("everything fitted")


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(block_transactions_max=3), "block_transactions_max"),
        (Limits(block_cost_max=3 * call_cost(NOTHING) + call_cost(NOTHING) - 1), "block_cost_max"),
    ],
)
def test_a_block_takes_what_its_limits_allow_and_not_one_more(limits: Limits, limit: str) -> None:
    world = World().populate()
    world.limits = limits
    count, full = fill(world, [world.sign(LI, NOTHING) for _ in range(4)])
    assert (count, full.fields["limit"], type(full)) == (3, limit, BlockFull)


def test_a_block_is_bounded_in_bytes() -> None:
    world = World().populate()
    transactions = [world.sign(LI, NOTHING) for _ in range(4)]
    size_bytes = len(codec.encode(transactions[0]))
    world.limits = Limits(block_bytes_max=4 * size_bytes - 1)
    count, full = fill(world, transactions)
    assert (count, full.fields["limit"]) == (3, "block_bytes_max")


def test_one_account_gets_its_share_and_others_still_fit() -> None:
    world = World().populate()
    world.limits = Limits(account_transactions_per_block_max=2)
    execution = world.execution()
    transactions = [world.sign(LI, NOTHING) for _ in range(3)]
    for transaction in transactions[:2]:
        execution.add(transaction, name_of(transaction))
    with pytest.raises(AccountQuotaUsed):
        execution.add(transactions[2], name_of(transactions[2]))
    other = world.sign(WANG, NOTHING)
    execution.add(other, name_of(other))
    outcome = execution.finish()
    assert len(outcome.results) == 3
    assert outcome.cost == 3 * call_cost(NOTHING)


def test_a_finished_block_takes_nothing_more() -> None:
    world = World().populate()
    execution = world.execution()
    execution.finish()
    transaction = world.sign(LI, NOTHING)
    with pytest.raises(InvariantViolation):
        execution.add(transaction, name_of(transaction))
    with pytest.raises(InvariantViolation):
        execution.finish()


def test_cost_grows_with_the_arguments() -> None:
    small, large = Call(contract="a", method="b", args=b"1"), Call(contract="a", method="b", args=bytes(33))
    assert call_cost(large) == call_cost(small) + 1 == call_cost(NOTHING) + 2


# --- pruning ---


def test_an_included_id_is_kept_until_it_has_expired_and_then_forgotten() -> None:
    world = World().populate()
    transaction = world.sign(LI, NOTHING)
    world.block([transaction])
    assert INCLUDED.get(world, name_of(transaction)) == world.height
    world.time_ms = transaction.body.valid_until_ms
    world.block([])
    assert inadmissible(world, transaction) == "duplicate"
    world.time_ms += 1
    world.block([])
    assert included(world) == set()
    assert inadmissible(world, transaction) == "expired"
    assert INCLUDED_BLOCKS.get(world, world.height - 2) is None


def test_a_longer_lived_transaction_keeps_its_whole_block_and_later_ones() -> None:
    world = World().populate()
    long_lived = world.sign(LI, NOTHING, valid_until_ms=world.time_ms + 600_000)
    brief = world.sign(WANG, NOTHING, valid_until_ms=world.time_ms)
    world.block([long_lived, brief])
    world.time_ms += 300_000
    world.block([])
    assert included(world) == {name_of(long_lived), name_of(brief)}


def test_pruning_is_bounded_in_each_block_and_catches_up() -> None:
    world = World().populate()
    for _ in range(INCLUDED_BLOCKS_PRUNED_PER_BLOCK_MAX + 10):
        world.block([world.sign(LI, NOTHING)])
    blocks = world.height
    start = INCLUDED_CURSOR.get(world, None) or 0
    world.time_ms += 1_000_000
    world.block([])
    assert INCLUDED_CURSOR.get(world, None) == start + INCLUDED_BLOCKS_PRUNED_PER_BLOCK_MAX
    assert len(included(world)) == blocks + 1 - start - INCLUDED_BLOCKS_PRUNED_PER_BLOCK_MAX
    world.block([])
    assert included(world) == set()


def test_pruning_stops_after_a_full_blocks_worth_of_ids() -> None:
    world = World().populate()
    world.time_ms += 1_000_000
    world.block([])
    world.limits = Limits(block_transactions_max=4)
    for _ in range(4):
        world.block([world.sign(LI, NOTHING) for _ in range(3)])
    world.time_ms += 1_000_000
    world.block([])
    assert len(included(world)) == 6
    world.block([])
    assert len(included(world)) == 0


# --- determinism ---


def busy_block(world: World) -> list[Transaction]:
    certificate = world.issue("degree of li")
    grant_id = world.grant()
    asked: list[tuple[object, Args | Call]] = [
        (BANK, asking_release(grant_id, json_of(certificate, "name"))),
        (BANK, asking_release(grant_id, json_of(certificate, "grade"))),
        (LI, PeopleAddKey(key=new_key(actor("li", "tablet"), KeyRole.HOLDER))),
        (WANG, GrantsRevoke(grant_id=grant_id)),
        (LI, GrantsPause(grant_id=grant_id)),
        (BANK, asking_release(grant_id, json_of(certificate, "name"))),
        (LI, NOTHING),
    ]
    return [world.sign(who, what) for who, what in asked]  # type: ignore[arg-type]


def test_the_same_block_gives_the_same_bytes_every_time() -> None:
    outcomes = []
    for seed in (1, 2):
        world = World().populate()
        transactions = busy_block(world)
        shuffled = list(world.entries.items())
        random.Random(seed).shuffle(shuffled)
        world.entries = dict(shuffled)
        outcomes.append(world.block(transactions))
    first, second = outcomes
    assert codec.encode(first.results) == codec.encode(second.results)
    assert list(first.writes.items()) == list(second.writes.items())
    assert list(first.writes) == sorted(first.writes)
    assert first.cost == second.cost
    assert [result.code for result in first.results] == [
        "ok",
        "field_not_granted",
        "ok",
        "not_holder",
        "ok",
        "grant_not_active",
        "unknown_method",
    ]


def test_one_block_leaves_the_state_that_one_block_each_leaves() -> None:
    def business(world: World) -> dict[bytes, bytes]:
        return {key: value for key, value in world.entries.items() if not key.startswith(b"included")}

    together, apart = World().populate(), World().populate()
    together.block(busy_block(together))
    for transaction in busy_block(apart):
        apart.block([transaction])
    assert business(together) == business(apart)


def test_a_denied_call_leaves_nothing_but_its_id_and_result() -> None:
    world = World().populate()
    transaction = world.sign(LI, NOTHING)
    outcome = world.block([transaction])
    assert set(outcome.writes) == {INCLUDED.key(name_of(transaction)), INCLUDED_BLOCKS.key(world.height)}
    assert outcome.results[0].output == b""


def test_results_keep_their_encoding() -> None:
    world = World().populate()
    for result in world.block(busy_block(world)).results:
        assert codec.decode(codec.encode(result), type(result), size_bytes_max=100_000) == result


# --- overlays and genesis ---


def test_a_draft_reads_through_and_drops_what_changes_nothing() -> None:
    base = Draft(World())
    base.put(b"kept", b"1")
    draft = Draft(base)
    draft.put(b"new", b"2")
    draft.delete(b"kept")
    draft.put(b"fleeting", b"3")
    draft.delete(b"fleeting")
    assert (draft.get(b"kept"), draft.get(b"new"), base.get(b"kept")) == (None, b"2", b"1")
    assert list(draft.net_writes().items()) == [(b"kept", None), (b"new", b"2")]
    base.merge(draft)
    assert (base.get(b"kept"), base.get(b"new")) == (None, b"2")


def test_unreadable_state_stops_the_node() -> None:
    world = World()
    world.entries[ACCOUNTS.key(LI.account)] = b"\xc1"
    with pytest.raises(InvariantViolation):
        ACCOUNTS.get(world, LI.account)


def test_genesis_gives_every_operator_its_account() -> None:
    world = World()
    account = ACCOUNTS.get(world, OPERATORS[2].account)
    assert isinstance(account, Account)
    assert [key.role for key in account.keys] == [KeyRole.ADMIN, KeyRole.NODE]


def _broken(change: Callable[[Genesis], Genesis]) -> str:
    with pytest.raises(GenesisInvalid) as refused:
        genesis_state(SUITE, change(genesis()))
    return str(refused.value.fields["reason"])


def test_a_genesis_that_contradicts_itself_is_refused() -> None:
    swap = msgspec.structs.replace

    def operator(document: Genesis, **changes: object) -> Genesis:
        return swap(document, operators=(swap(document.operators[0], **changes), *document.operators[1:]))

    def key(document: Genesis, **changes: object) -> Genesis:
        admin, node = document.operators[0].keys
        return operator(document, keys=(swap(admin, **changes), node))

    assert "suite" in _broken(lambda document: swap(document, suite=OTHER))
    assert "same accounts" in _broken(lambda document: swap(document, operators=document.operators[::-1]))
    assert "same accounts" in _broken(lambda document: operator(document, account=bytes(16)))
    assert "no node key" in _broken(lambda document: operator(document, keys=document.operators[0].keys[:1]))
    assert "role" in _broken(lambda document: key(document, role="officer"))
    assert "key id" in _broken(lambda document: key(document, key_id=bytes(16)))
    assert "scheme" in _broken(lambda document: key(document, scheme="rsa"))
    assert "block_cost_max" in _broken(lambda d: swap(d, limits=Limits(block_cost_max=CALL_COST_MAX - 1)))
    assert "block_bytes_max" in _broken(lambda d: swap(d, limits=Limits(block_bytes_max=2**40)))
    assert "block_transactions_max" in _broken(lambda d: swap(d, limits=Limits(block_transactions_max=0)))
    assert genesis_state(SUITE, genesis(Limits(block_cost_max=CALL_COST_MAX)))
