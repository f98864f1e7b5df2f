"""Building, verifying and finalizing blocks: every replica sees the same chain, and only what is final."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consensus.application import ProposalContext
from contracts.actions import AdmitReader, ChangeValidators, RemoveValidator, SetProtocolVersion
from contracts.admission import admit
from contracts.calls import (
    DeadlinesTick,
    EvidenceReport,
    GovernanceApprove,
    GovernancePropose,
    NodesSetAddress,
    RegisterPurposes,
    SuspendOrganization,
    call,
)
from contracts.protocol_versions import PROTOCOL_NOTICE_BLOCKS_MIN
from contracts.records import AccountKind
from contracts.registry import CALL_COST_MAX, call_cost
from contracts.state import ACCOUNTS, INCLUDED, PROPOSALS
from ledger import codec, domains
from ledger.errors import InvariantViolation
from ledger.hashing import block_digest, results_root, transaction_id, transactions_root, validators_hash
from ledger.types import Block, Limits, Transaction, Vote, VoteKind
from node.upgrades import ReleaseTooOld
from tests.unit.contracts_world import (
    BANK_ADMIN,
    LI,
    NODES,
    OPERATORS,
    SUITE,
    VOTERS,
    actor,
    newcomer,
    operator_of,
    registration,
    rotation,
)
from tests.unit.node_replica import QUORUM, Replica, finalization, make_genesis

TICK_COST = call_cost(call(DeadlinesTick()))
TICK_SIZE_BYTES = 190
Make = Callable[..., Replica]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Replica] = []

    def build(name: str, limits: Limits | None = None, at: int = 0, protocol_version_max: int = 1) -> Replica:
        made.append(Replica(tmp_path / name, limits, at=at, protocol_version_max=protocol_version_max))
        return made[-1]

    yield build
    for replica in made:
        replica.close()


def tick(replica: Replica, who: int = 0) -> Transaction:
    return replica.sign(NODES[who], DeadlinesTick())


def name_of(transaction: Transaction) -> bytes:
    return transaction_id(SUITE, transaction.body)


def with_header(block: Block, **changes: object) -> tuple[Block, bytes]:
    header = replace(block.header, **changes)
    return Block(header=header, transactions=block.transactions), block_digest(SUITE, header)


def included(replica: Replica, transaction: Transaction) -> bool:
    return INCLUDED.get(replica.execution.state(), name_of(transaction)) is not None


def test_the_certificates_of_these_tests_are_real(make: Make) -> None:
    here = make("a")
    block, _ = here.propose()
    certificate = finalization(here.store.chain_id, block).certificate
    assert QUORUM.verify_certificate(here.store.chain_id, make_genesis().validators, certificate)


def test_what_one_replica_builds_every_other_verifies_with_equal_roots(make: Make) -> None:
    here, there = make("a"), make("b")
    here.populate()
    for final in here.finalized:
        assert there.execution.verify(final.finalized.block, final.executed.digest)
        there.execution.finalize(final.finalized, final.executed.digest)
    assert there.execution.head() == here.execution.head()
    assert [final.executed.results for final in there.finalized] == [
        final.executed.results for final in here.finalized
    ]
    assert ACCOUNTS.get(there.execution.state(), LI.account) is not None


def test_of_two_blocks_on_one_parent_only_the_final_ones_state_is_seen(make: Make) -> None:
    here, there = make("a"), make("b", at=1)
    ours, theirs = tick(here), tick(here, who=1)
    here.pool(ours)
    there.pool(theirs)
    (block_a, digest_a), (block_b, digest_b) = here.propose(view=1), there.propose(view=2)
    assert here.execution.verify(block_b, digest_b)
    assert there.execution.verify(block_a, digest_a)
    assert not included(here, ours)
    assert not included(here, theirs)
    for replica in (here, there):
        replica.finalize(block_b)
        assert included(replica, theirs)
        assert not included(replica, ours)
        assert replica.execution.head()[0] == digest_b
    assert name_of(ours) in here.mempool
    assert name_of(theirs) not in there.mempool


def test_nothing_is_built_on_a_branch_that_lost(make: Make) -> None:
    here, there = make("a"), make("b", at=1)
    there.pool(tick(here))
    (winner, _), (loser, loser_digest) = here.propose(view=1), there.propose(view=2)
    child, child_digest = there.propose(loser_digest, view=3)
    grandchild, grandchild_digest = there.propose(child_digest, view=4)
    assert here.execution.verify(loser, loser_digest)
    assert here.execution.verify(child, child_digest)
    here.finalize(winner)
    context = ProposalContext(epoch=1, view=5, height=3, time_ms=2**40, proposer=OPERATORS[0].account)
    assert here.execution.propose(child_digest, context) is None
    assert not here.execution.verify(grandchild, grandchild_digest)


def test_a_chain_of_unfinalized_blocks_is_executed_on_top_of_each_other(make: Make) -> None:
    here, there = make("a"), make("b")
    parent = here.execution.head()[0]
    blocks = []
    for view in range(1, 6):
        here.pool(tick(here))
        block, parent = here.propose(parent, view=view)
        assert len(block.transactions) == 1
        blocks.append(block)
        assert there.execution.verify(block, parent)
    for replica in (here, there):
        assert replica.execution.finalized_height() == 0
        for block in blocks:
            replica.finalize(block)
        assert replica.execution.head() == (parent, blocks[-1].header)
        assert all(included(replica, block.transactions[0]) for block in blocks)


def test_blocks_follow_each_other_whether_their_parents_are_durable_or_not(make: Make) -> None:
    here = make("a")
    seen: list[Transaction] = []
    for height in range(1, 8):
        seen.append(tick(here))
        here.done(seen[-1])
        assert all(included(here, transaction) for transaction in seen)
        assert [here.execution.locate(name_of(transaction)) for transaction in seen] == [
            (n, 0) for n in range(1, height + 1)
        ]
        if height in {3, 4}:
            assert here.commit(blocks_max=2) > 0
    assert here.execution.durable_height() == 4
    assert here.execution.finalized_height() == 7
    for height in range(1, 8):
        finalized, results = here.execution.block(height), here.execution.results(height)
        assert finalized is not None
        assert results is not None
        assert finalized.block.header.height == height
        assert results_root(SUITE, results) == finalized.block.header.results_root
    assert here.execution.block(8) is None
    assert here.execution.results(8) is None
    assert here.execution.locate(bytes(32)) is None


def test_a_store_reopened_after_a_group_commit_has_the_same_head_and_state_root(
    make: Make, tmp_path: Path
) -> None:
    here = make("a")
    here.populate()
    assert here.commit(blocks_max=4) == 4
    while here.commit():
        pass
    head = here.execution.head()
    here.close()
    again = make("a")
    assert again.execution.head() == head
    assert again.execution.durable_height() == again.execution.finalized_height() == head[1].height
    again.done(tick(again))
    assert ACCOUNTS.get(again.execution.state(), LI.account) is not None


def test_blocks_that_were_final_but_not_durable_are_executed_again_after_a_crash(make: Make) -> None:
    here = make("a")
    here.populate()
    here.commit(blocks_max=2)
    finals = list(here.finalized)
    here.close()
    again = make("a")
    assert again.execution.finalized_height() == 2
    for final in finals:
        again.execution.finalize(final.finalized, final.executed.digest)
    assert again.execution.head() == (finals[-1].executed.digest, finals[-1].executed.header)


def test_a_final_block_that_was_never_executed_here_is_executed(make: Make) -> None:
    here, there = make("a"), make("b")
    here.done(sent := tick(here))
    final = here.finalized[-1]
    there.pool(sent)
    there.execution.finalize(final.finalized, final.executed.digest)
    assert included(there, sent)
    assert not there.execution.has_work()
    assert len(there.finalized) == 1


def test_blocks_with_a_broken_promise_are_refused(make: Make) -> None:
    here, there = make("a"), make("b")
    here.done(old := tick(here))
    there.execution.finalize(here.finalized[-1].finalized, here.finalized[-1].executed.digest)
    here.pool(tick(here), tick(here, who=1))
    block, digest = here.propose()

    def refused(changed: tuple[Block, bytes]) -> None:
        assert not there.execution.verify(*changed)

    wrong = b"\x01" * 32
    for root in (
        "transactions_root",
        "results_root",
        "state_root",
        "validators_hash",
        "next_validators_hash",
    ):
        refused(with_header(block, **{root: wrong}))
    refused(with_header(block, parent=wrong))
    refused(with_header(block, parent=block.header.chain_id))
    refused(with_header(block, chain_id=wrong))
    refused(with_header(block, height=block.header.height + 1))
    refused(with_header(block, time_ms=here.execution.head()[1].time_ms))
    refused(with_header(block, proposer=LI.account))
    refused(with_header(block, version=2))
    refused(with_header(block, epoch=2))

    def with_body(*transactions: Transaction) -> tuple[Block, bytes]:
        header = replace(block.header, transactions_root=transactions_root(SUITE, transactions))
        return Block(header=header, transactions=transactions), block_digest(SUITE, header)

    first, second = block.transactions
    refused(with_body(first, first))
    refused(with_body(first, old))
    refused(with_body(second, first))
    refused(with_body(first))
    refused(with_body(first, Transaction(body=second.body, signature=first.signature)))
    assert there.execution.verify(block, digest)
    assert there.execution.verify(block, digest)


def test_a_known_header_does_not_vouch_for_another_body(make: Make) -> None:
    here, there = make("a"), make("b")
    here.pool(tick(here), tick(here, who=1))
    block, digest = here.propose()
    for replica in (here, there):
        assert replica.execution.verify(block, digest)
        swapped = Block(header=block.header, transactions=block.transactions[::-1])
        assert not replica.execution.verify(swapped, digest)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(block_transactions_max=2),
        Limits(account_transactions_per_block_max=2),
        Limits(block_bytes_max=1024),
        Limits(block_cost_max=CALL_COST_MAX),
    ],
)
def test_a_block_over_a_limit_is_refused(make: Make, limits: Limits) -> None:
    greedy, here = make("a", limits), make("b", limits)
    # A proposer that ignores what genesis says, on the same chain.
    greedy.execution._genesis = replace(greedy.store.genesis, limits=Limits())
    transactions = [tick(greedy) for _ in range(CALL_COST_MAX // TICK_COST + 5)]
    greedy.pool(*transactions)
    block, digest = greedy.propose()
    assert block.transactions == tuple(transactions)
    assert greedy.execution.verify(block, digest)
    assert not here.execution.verify(block, digest)


def test_the_bytes_of_a_block_are_those_of_its_header_too(make: Make) -> None:
    limits = Limits(block_bytes_max=1024)
    greedy, here = make("a", limits), make("b", limits)
    greedy.execution._genesis = replace(greedy.store.genesis, limits=Limits())
    greedy.pool(*(tick(greedy) for _ in range(5)))
    block, digest = greedy.propose()
    assert sum(len(codec.encode(transaction)) for transaction in block.transactions) < 1024
    assert len(codec.encode(block)) > 1024
    assert not here.execution.verify(block, digest)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(block_transactions_max=3), 3),
        (Limits(account_transactions_per_block_max=2), 2),
        (Limits(block_bytes_max=1024 + 2 * TICK_SIZE_BYTES), 2),
        (Limits(block_cost_max=CALL_COST_MAX), CALL_COST_MAX // TICK_COST),
    ],
)
def test_the_proposer_stops_at_each_limit(make: Make, limits: Limits, expected: int) -> None:
    here, there = make("a", limits), make("b", limits)
    here.pool(*(tick(here) for _ in range(expected + 5)))
    block, digest = here.propose()
    assert len(block.transactions) == expected
    assert len(codec.encode(block)) <= limits.block_bytes_max
    assert there.execution.verify(block, digest)


def test_the_proposer_goes_on_past_an_account_that_has_used_its_share(make: Make) -> None:
    here = make("a", Limits(account_transactions_per_block_max=2))
    here.pool(*(tick(here, who=0) for _ in range(4)), tick(here, who=1))
    block, _ = here.propose()
    accounts = [transaction.body.account for transaction in block.transactions]
    assert accounts == [OPERATORS[0].account] * 2 + [OPERATORS[1].account]


def test_what_fits_into_no_block_does_not_keep_out_what_does(make: Make) -> None:
    here = make("a", Limits(block_bytes_max=1600))
    big = here.sign(
        OPERATORS[0],
        GovernancePropose(
            action=replace(registration(BANK_ADMIN, AccountKind.DEPARTMENT), issues=("a" * 64,) * 10)
        ),
    )
    here.pool(big, small := tick(here))
    block, _ = here.propose()
    assert block.transactions == (small,)


def test_the_inadmissible_stays_in_the_pool_and_out_of_blocks(make: Make) -> None:
    here = make("a")
    stranger = here.sign(LI, DeadlinesTick())
    late = here.sign(NODES[0], DeadlinesTick(), lifetime_ms=10)
    here.pool(stranger, late, fine := tick(here))
    final = here.step()
    assert final.finalized.block.transactions == (fine,)
    assert here.execution.has_work()
    assert name_of(stranger) in here.mempool


def test_a_denied_call_is_in_the_block_with_its_reason_and_changes_nothing_else(make: Make) -> None:
    here = make("a")
    suspend = here.sign(
        OPERATORS[0], GovernancePropose(action=SuspendOrganization(account_id=LI.account, reason="x"))
    )
    (result,) = here.run(suspend)
    assert result.code != "ok"
    proposal_id = SUITE.hash(domains.PROPOSAL_ID, name_of(suspend))[:16]
    assert PROPOSALS.get(here.execution.state(), proposal_id) is None
    assert here.execution.locate(name_of(suspend)) == (1, 0)


def test_a_certified_block_with_other_roots_stops_the_node(make: Make) -> None:
    here, there = make("a"), make("b")
    here.pool(tick(here))
    block, _ = here.propose()
    for root in ("state_root", "results_root"):
        changed, _ = with_header(block, **{root: b"\x07" * 32})
        with pytest.raises(InvariantViolation):
            there.finalize(changed)
    assert there.execution.finalized_height() == 0
    assert there.finalized == []


def test_two_final_blocks_of_one_height_stop_the_node_and_one_twice_does_not(make: Make) -> None:
    here, there = make("a"), make("b")
    here.done(tick(here))
    there.done(tick(here, who=1))
    ours, theirs = here.finalized[-1].finalized.block, there.finalized[-1].finalized.block
    for durable in (False, True):
        here.finalize(ours)
        with pytest.raises(InvariantViolation):
            here.finalize(theirs)
        if not durable:
            here.commit()
    assert len(here.finalized) == 1


def test_final_blocks_come_one_height_after_the_other(make: Make) -> None:
    here, there = make("a"), make("b")
    here.done(tick(here))
    here.done(tick(here))
    with pytest.raises(InvariantViolation):
        there.finalize(here.finalized[1].finalized.block)


def test_readers_see_what_is_final_at_once_and_never_what_is_not(make: Make) -> None:
    here = make("a")
    seen: list[bool] = []
    sent = tick(here)

    class Watch(list[object]):
        def append(self, item: object) -> None:
            seen.append(included(here, sent))
            super().append(item)

    here.finalized = Watch()  # type: ignore[assignment]
    here.pool(sent)
    block, _ = here.propose()
    assert not included(here, sent)
    assert here.execution.locate(name_of(sent)) is None
    here.finalize(block)
    assert seen == [True]


def test_records_and_codes_are_read_through_overlays_and_store_alike(make: Make) -> None:
    here = make("a")
    here.populate()
    for _ in range(2):
        records = here.chain.records
        assert [kind.code for kind in records.certificate_types()] == ["social_security_card"]
        assert [purpose.code for purpose in records.purposes()] == ["loan"]
        assert records.account(LI.account) is not None
        assert records.certificate_type("nothing") is None
        while here.commit():
            pass
    assert here.chain.height == here.store.height


def test_a_block_without_a_known_parent_is_refused_whatever_it_says(make: Make) -> None:
    here = make("a")
    made_up = replace(here.execution.head()[1], height=2**50, view=9)
    block = Block(header=made_up, transactions=())
    assert not here.execution.verify(block, block_digest(SUITE, made_up))
    context = ProposalContext(epoch=1, view=5, height=3, time_ms=2**40, proposer=OPERATORS[0].account)
    assert here.execution.propose(b"\x09" * 32, context) is None


def test_an_empty_block_becomes_final_and_durable_like_any_other(make: Make) -> None:
    here = make("a")
    block, _ = here.propose()
    assert block.transactions == ()
    here.finalize(block)
    assert here.commit() == 1
    assert here.store.head == block.header


def test_purposes_can_be_replaced_before_they_are_durable(make: Make) -> None:
    here = make("a")
    here.populate()
    purpose = here.chain.records.purpose("loan")
    assert purpose is not None
    here.vote(RegisterPurposes(purposes=(replace(purpose, uses_max=7),)))
    found = here.chain.records.purpose("loan")
    assert found is not None
    assert found.uses_max == 7


# --- epochs -------------------------------------------------------------------------------------------------


def follow(there: Replica, here: Replica) -> None:
    """Verify and finalize what `here` has and `there` has not."""
    for final in here.finalized[there.execution.finalized_height() :]:
        assert there.execution.verify(final.finalized.block, final.executed.digest)
        there.execution.finalize(final.finalized, final.executed.digest)


def test_a_changed_set_votes_from_the_block_after_the_seal_on(make: Make) -> None:
    here, there = make("a"), make("b")
    first = here.chain.validators
    here.vote(ChangeValidators(changes=(rotation(OPERATORS[3].account, "second vote"), newcomer("fifth"))))
    seal = here.execution.head()[1]
    second = here.chain.validators
    assert second == here.execution.validators()
    assert (second.epoch, len(second.validators)) == (2, 5)
    assert (seal.epoch, seal.validators_hash) == (1, validators_hash(SUITE, first))
    assert seal.next_validators_hash == validators_hash(SUITE, second)
    here.done(tick(here))
    next_header = here.execution.head()[1]
    assert (next_header.epoch, next_header.parent) == (2, here.finalized[-2].executed.digest)
    assert next_header.validators_hash == next_header.next_validators_hash == seal.next_validators_hash
    follow(there, here)
    assert there.chain.validators == second
    assert there.chain.trust().validators == first
    assert [there.chain.validator_set(epoch) for epoch in (1, 2, 3)] == [first, second, None]
    assert [node.account for node in there.chain.nodes()] == [one.account for one in second.validators]


def test_the_set_is_that_of_the_parent_whether_it_is_final_durable_or_neither(make: Make) -> None:
    here = make("a")
    action = ChangeValidators(changes=(rotation(OPERATORS[3].account, "second vote"),))
    here.vote(action)
    while here.commit():
        pass
    head = here.execution.head()
    here.close()
    again = make("a")
    assert again.execution.head() == head
    assert again.chain.validators.epoch == 2
    block, digest = again.propose()
    assert block.header.epoch == 2
    context = ProposalContext(epoch=2, view=9, height=0, time_ms=2**40, proposer=OPERATORS[0].account)
    child = again.execution.propose(digest, context)
    assert child is not None
    assert child.header.validators_hash == head[1].next_validators_hash


def test_only_the_epoch_of_the_parents_state_is_built_and_voted_for(make: Make) -> None:
    here, there = make("a"), make("b")
    here.vote(ChangeValidators(changes=(rotation(OPERATORS[3].account, "second vote"),)))
    follow(there, here)
    head, header = here.execution.head()
    context = ProposalContext(
        epoch=1, view=9, height=0, time_ms=header.time_ms + 1, proposer=OPERATORS[0].account
    )
    assert here.execution.propose(head, context) is None
    block, digest = here.propose()
    for changes in (
        {"epoch": 1},
        {"validators_hash": header.validators_hash},
        {"next_validators_hash": header.validators_hash},
    ):
        assert not there.execution.verify(*with_header(block, **changes))
    assert there.execution.verify(block, digest)


def test_a_seal_that_names_the_old_set_is_refused(make: Make) -> None:
    here, there = make("a"), make("b")
    action = ChangeValidators(changes=(rotation(OPERATORS[3].account, "second vote"),))
    sent = here.sign(OPERATORS[0], GovernancePropose(action=action))
    here.done(sent)
    name = SUITE.hash(domains.PROPOSAL_ID, name_of(sent))[:16]
    follow(there, here)
    here.pool(*(here.sign(OPERATORS[n], GovernanceApprove(proposal_id=name)) for n in (1, 2)))
    block, digest = here.propose()
    assert block.header.next_validators_hash != block.header.validators_hash
    assert not there.execution.verify(*with_header(block, next_validators_hash=block.header.validators_hash))
    assert there.execution.verify(block, digest)


def test_a_removed_validator_proposes_nothing_any_more(make: Make) -> None:
    here, there = make("a", at=3), make("b")
    here.vote(ChangeValidators(changes=(RemoveValidator(account=OPERATORS[3].account), newcomer("fifth"))))
    follow(there, here)
    block, digest = here.propose()
    assert not there.execution.verify(block, digest)
    there.now_ms = here.now_ms
    assert there.execution.verify(*there.propose())


# --- protocol versions --------------------------------------------------------------------------------------


def test_blocks_have_the_version_that_was_set_from_its_height_on(make: Make) -> None:
    here, there = make("a", protocol_version_max=2), make("b", protocol_version_max=2)
    height = 2 + PROTOCOL_NOTICE_BLOCKS_MIN
    here.vote(SetProtocolVersion(version=2, height=height))
    assert here.execution.pending_protocol() == here.chain.pending_protocol() == (2, height)
    while here.execution.finalized_height() < height - 1:
        here.done(tick(here))
    assert here.execution.pending_protocol() == (2, height)
    follow(there, here)
    block, digest = here.propose()
    assert (here.execution.head()[1].version, block.header.version) == (1, 2)
    assert not there.execution.verify(*with_header(block, version=1))
    assert there.execution.verify(block, digest)
    here.finalize(block)
    assert here.execution.pending_protocol() is None


def test_a_release_that_is_too_old_judges_no_block_of_the_new_version(make: Make) -> None:
    here, old = make("a", protocol_version_max=2), make("b")
    height = 2 + PROTOCOL_NOTICE_BLOCKS_MIN
    here.vote(SetProtocolVersion(version=2, height=height))
    while here.execution.finalized_height() < height - 1:
        here.done(tick(here))
    old.execution.check_release()
    follow(old, here)
    block, digest = here.propose()
    final = finalization(here.store.chain_id, block)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: old.execution.verify(block, digest),
        lambda: old.execution.finalize(final, digest),
        old.propose,
        old.execution.check_release,
    )
    for attempt in attempts:
        with pytest.raises(ReleaseTooOld) as stopped:
            attempt()
        assert stopped.value.fields == {"version": 2, "supported": 1, "height": height}
        assert "升级" in stopped.value.message("zh")
        assert "Upgrade" in stopped.value.message("en")
    assert old.execution.finalized_height() == height - 1


# --- work ---------------------------------------------------------------------------------------------------


def test_work_is_what_a_block_may_hold_or_must_decide(make: Make) -> None:
    here = make("a")
    assert not here.execution.has_work()
    stranger = here.sign(LI, DeadlinesTick(), lifetime_ms=30_000)
    here.pool(stranger)
    assert not here.execution.has_work(), "no block can take it, and its time is not over"
    here.pool(fine := tick(here))
    assert here.execution.has_work()
    here.step()
    assert name_of(fine) not in here.mempool
    assert not here.execution.has_work()
    here.now_ms = stranger.body.valid_until_ms
    assert not here.execution.has_work()
    here.now_ms += 1
    assert here.execution.has_work(), "a block decides that it has expired"
    here.step()
    assert here.mempool.remove_expired(here.execution.head()[1].time_ms)
    assert not here.execution.has_work()


def test_what_became_inadmissible_after_it_was_accepted_is_no_work(make: Make) -> None:
    here = make("a")
    here.vote(AdmitReader(reader=operator_of("reader")))
    reader = actor("reader", "node")
    here.done(kept := here.sign(reader, NodesSetAddress(host="a.test", port=1)))
    here.pool(kept)
    assert not here.execution.has_work(), "it is in a block already"
    here.step()
    assert here.finalized[-1].finalized.block.transactions == ()


def test_a_transaction_that_fits_into_no_block_is_no_work(make: Make) -> None:
    here = make("a", Limits(block_bytes_max=1600))
    action = replace(registration(BANK_ADMIN, AccountKind.DEPARTMENT), issues=("a" * 64,) * 10)
    here.pool(here.sign(OPERATORS[0], GovernancePropose(action=action)))
    assert not here.execution.has_work()


def test_a_transaction_waiting_on_an_unfinalized_block_is_work_until_that_is_final(make: Make) -> None:
    here = make("a")
    here.pool(tick(here))
    block, _ = here.propose()
    assert here.execution.has_work()
    here.finalize(block)
    assert not here.execution.has_work()


def test_asking_for_work_judges_each_transaction_once_a_head(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make("a")
    judged: list[bytes] = []
    real = admit

    def counting(state: Any, transaction: Transaction, name: bytes, *rest: Any) -> object:
        judged.append(name)
        return real(state, transaction, name, *rest)

    monkeypatch.setattr("node.execution.admit", counting)
    strangers = [here.sign(LI, DeadlinesTick(), lifetime_ms=30_000) for _ in range(5)]
    here.pool(*strangers)
    for _ in range(10):
        assert not here.execution.has_work()
    assert judged == [name_of(stranger) for stranger in strangers]
    here.pool(tick(here), tick(here))
    for _ in range(10):
        assert here.execution.has_work()
    assert len(judged) == len(strangers) + 1
    here.step()
    assert not here.execution.has_work()
    assert len(judged) == 2 * len(strangers) + 1


def test_what_can_never_be_included_is_not_judged_again_by_later_heads(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make("a")
    forged = here.sign(OPERATORS[0], DeadlinesTick())
    forged = Transaction(body=forged.body, signature=bytes(64))
    here.pool(forged)
    assert not here.execution.has_work()
    here.step()
    monkeypatch.setattr("node.execution.admit", None)
    assert not here.execution.has_work()


def test_a_lifetime_that_is_too_long_for_this_clock_is_judged_again_later(make: Make) -> None:
    here = make("a")
    early = here.sign(NODES[0], DeadlinesTick(), lifetime_ms=600_500)
    here.pool(early)
    assert not here.execution.has_work()
    here.now_ms += 2_000
    assert here.execution.has_work()
    here.now_ms -= 3_600_000
    assert here.execution.has_work(), "found admissible on this head"


def test_evidence_is_read_by_number(make: Make) -> None:
    here = make("a")
    for view in (1, 2, 3):
        votes = [
            signed_vote(here.store.chain_id, 1, view, kind) for kind in (VoteKind.NULLIFY, VoteKind.FINALIZE)
        ]
        here.done(here.sign(NODES[0], EvidenceReport(first=votes[0], second=votes[1])))
    assert here.chain.evidence_count() == 3
    assert [record.view for record in here.chain.evidence(0, 100)] == [1, 2, 3]
    assert [record.view for record in here.chain.evidence(1, 1)] == [2]
    assert here.chain.evidence(3, 10) == here.chain.evidence(-5, 0) == ()


def signed_vote(chain_id: bytes, index: int, view: int, kind: VoteKind) -> Vote:
    digest = bytes(32) if kind is VoteKind.NULLIFY else b"\x05" * 32
    vote = Vote(kind=kind, epoch=1, view=view, digest=digest, validator=index, signature=b"-")
    return replace(vote, signature=VOTERS[index].sign_vote(chain_id, vote))
