"""An accepted transaction reaches every node that can take it, or is decided, whatever links, heads and restarts do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.admission import UnknownAccount
from contracts.calls import DeadlinesTick, GrantsPause, OrganizationsRevokeKey
from ledger import codec
from ledger.hashing import transaction_id
from ledger.types import Transaction, WebAuthn
from node.gossip import MUTE_MS, GossipFault
from node.gossip_messages import Offer, Push, encode
from node.services import submission
from node.services.ports import Standing
from tests.unit.contracts_world import BANK, BANK_ADMIN, LI, NODES, SUITE
from tests.unit.gossip_world import Member, Town


def name_of(transaction: Transaction) -> bytes:
    return transaction_id(SUITE, transaction.body)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path)
    yield made
    await made.close()


def populated(town: Town, *indexes: int) -> list[Member]:
    """Nodes that share the story of `Replica.populate`, all heads equal."""
    first, *others = town.join(*indexes)
    first.populate()
    for other in others:
        town.catch_up(other, first)
    return [first, *others]


async def test_a_transaction_of_an_account_that_peers_do_not_know_yet_reaches_them(town: Town) -> None:
    """Found in CI: sent once to peers that were a block behind, it was known to one node of four, and nobody moved."""
    one, two, three = town.join(0, 1, 2)
    one.populate()
    for height in range(1, one.chain.height):
        for behind in (two, three):
            final = one.execution.block(height)
            assert final is not None
            behind.finalize(final.block)
            behind.now_ms = one.now_ms
    sent = one.sign(LI, GrantsPause(grant_id=bytes(16)))
    with pytest.raises(UnknownAccount):
        await two.submission.submit(sent, wait_s=0)
    await town.submit(one, sent)
    town.pass_ms(50)
    assert town.holders(name_of(sent)) == [0]
    for behind in (two, three):
        town.catch_up(behind, one)
    town.pass_ms(50)
    assert town.holders(name_of(sent)) == [0, 1, 2]


async def test_who_has_a_transaction_is_not_sent_it_again_however_long_it_waits(town: Town) -> None:
    one, *_ = populated(town, 0, 1, 2, 3)
    sent = one.sign(LI, GrantsPause(grant_id=bytes(16)))
    await town.submit(one, sent)
    town.pass_ms(30_000, step_ms=10)
    assert sorted(town.pushes) == sorted((one.name, name, 1) for name in town.nodes if name != one.name)
    posted = town.posted
    town.pass_ms(30_000, step_ms=10)
    assert town.posted == posted


async def test_the_acceptor_may_be_lost_once_one_honest_peer_has_the_transaction(town: Town) -> None:
    one, two = populated(town, 0, 1)
    sent = one.sign(LI, GrantsPause(grant_id=bytes(16)))
    await town.submit(one, sent)
    town.pass_ms(10)
    await town.leave(one)
    three, four = town.join(2, 3)
    for late in (three, four):
        town.catch_up(late, two)
    town.pass_ms(100)
    assert town.holders(name_of(sent)) == [1, 2, 3]


async def test_after_a_connect_only_what_is_lacking_is_sent(town: Town) -> None:
    one, two = populated(town, 0, 1)
    both = [one.sign(LI, GrantsPause(grant_id=bytes([n]) * 16)) for n in range(5)]
    for sent in both:
        await town.submit(one, sent)
    town.pass_ms(100)
    one.submission.disconnected(two.name)
    two.submission.disconnected(one.name)
    lacking = one.sign(LI, GrantsPause(grant_id=b"6" * 16))
    await town.submit(one, lacking)
    town.pushes.clear()
    one.submission.connected(two.name)
    two.submission.connected(one.name)
    town.pass_ms(100)
    assert town.pushes == [(one.name, two.name, 1)]
    assert name_of(lacking) in two.mempool


async def test_what_was_promised_is_offered_again_after_a_restart_of_its_node(town: Town) -> None:
    (one,) = populated(town, 0)
    sent = one.sign(LI, GrantsPause(grant_id=bytes(16)))
    await town.submit(one, sent)
    await town.leave(one)
    one, two = town.join(0, 1)
    town.catch_up(two, one)
    town.pass_ms(1_000)
    assert town.holders(name_of(sent)) == [0, 1]


async def test_a_peer_is_sent_again_what_it_forgot_by_a_restart(town: Town) -> None:
    one, two = populated(town, 0, 1)
    sent = one.sign(LI, GrantsPause(grant_id=bytes(16)))
    await town.submit(one, sent)
    town.pass_ms(10)
    await town.leave(two)
    (two,) = town.join(1)
    assert name_of(sent) not in two.mempool
    town.pass_ms(100)
    assert name_of(sent) in two.mempool


async def test_an_officers_transaction_whose_key_is_revoked_meanwhile_expires_on_an_idle_chain(
    town: Town,
) -> None:
    """Every node that carries it says when its time is over, and says nothing before: the chain rests meanwhile."""
    members = populated(town, 0, 1, 2, 3)
    one = members[0]
    one.pool(one.sign(BANK_ADMIN, OrganizationsRevokeKey(key_id=BANK.key_id)))
    block, _ = one.propose()
    sent = one.sign(BANK, GrantsPause(grant_id=bytes(16)), lifetime_ms=5_000)
    await town.submit(one, sent)
    town.pass_ms(10)
    for member in members:
        member.finalize(block)
        assert member.submission.status(name_of(sent)).standing is Standing.PENDING
        member.wakes = 0
    town.pass_ms(2_000, step_ms=100)
    assert [member.wakes for member in members] == [0, 0, 0, 0]
    for member in members:
        member.now_ms = sent.body.valid_until_ms + 1
    town.pass_ms(100, step_ms=100)
    assert all(member.wakes for member in members)
    deciding, _ = one.propose()
    assert deciding.transactions == ()
    for member in members:
        member.finalize(deciding)
        assert member.submission.status(name_of(sent)).standing is Standing.EXPIRED
        assert len(member.mempool) == 0


async def test_a_node_that_sees_it_after_the_revocation_carries_it_and_puts_it_into_no_block(
    town: Town,
) -> None:
    one, two = town.join(0, 1)
    one.populate()
    town.catch_up(two, one)
    sent = one.sign(BANK, GrantsPause(grant_id=bytes(16)), lifetime_ms=5_000)
    forged = Transaction(body=sent.body, signature=b"\1" * 64)
    one.submission.disconnected(two.name)
    await town.submit(one, sent)
    two.pool(two.sign(BANK_ADMIN, OrganizationsRevokeKey(key_id=BANK.key_id)))
    town.finalize(two)
    with pytest.raises(GossipFault):
        two.submission.receive(one.name, encode(Push(transactions=(codec.encode(forged),))))
    town.now_ms += MUTE_MS
    one.submission.connected(two.name)
    town.pass_ms(100)
    assert name_of(sent) in two.mempool
    block, _ = two.propose()
    assert block.transactions == ()


async def test_what_has_expired_is_still_known_after_a_restart_and_after_a_rewrite(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = populated(town, 0)
    late = one.sign(NODES[0], DeadlinesTick(), lifetime_ms=500)
    await town.submit(one, late)
    town.finalize(one)
    assert one.submission.status(name_of(late)).standing is Standing.EXPIRED
    monkeypatch.setattr("node.poollog.LOG_SIZE_BYTES_BEFORE_REWRITE", 0)
    for _ in range(8):
        await town.submit(one, one.sign(NODES[0], DeadlinesTick()))
    await town.leave(one)
    (one,) = town.join(0)
    assert one.submission.status(name_of(late)).standing is Standing.EXPIRED
    assert len(one.mempool) == 8


async def test_how_many_expired_ones_are_remembered_has_a_bound(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = populated(town, 0)
    monkeypatch.setattr(submission, "EXPIRED_REMEMBERED_MAX", 3)
    monkeypatch.setattr(submission, "EXPIRED_LOGGED_BYTES_MAX", 600)
    late = [one.sign(NODES[0], DeadlinesTick(), lifetime_ms=500) for _ in range(5)]
    for item in late:
        await town.submit(one, item)
    town.finalize(one)
    known = [item for item in late if name_of(item) in one.submission._expired]
    assert len(known) == 3
    assert 0 < one.submission._expired_logged_bytes <= 600


async def test_nobody_says_expired_before_block_time_does(town: Town) -> None:
    """A client that hears it signs the request anew, and would be served twice if a block held the first one."""
    (one,) = populated(town, 0)
    sent = one.sign(NODES[0], DeadlinesTick(), lifetime_ms=500)
    one.now_ms += 60_000
    status = await one.submission.submit(sent, wait_s=0)
    assert status.standing is Standing.PENDING
    town.finalize(one)
    assert (await one.submission.submit(sent, wait_s=0)).standing is Standing.EXPIRED


@pytest.mark.parametrize("seed", range(6))
async def test_under_loss_doubling_lag_and_restarts_everybody_gets_what_was_promised(
    tmp_path: Path, seed: int
) -> None:
    town = Town(tmp_path, seed=seed, loss=0.3, doubling=0.2)
    members = populated(town, 0, 1, 2, 3)
    promised: list[Transaction] = []
    for round_ in range(12):
        leader = members[town.random.randrange(4)]
        for other in members:
            town.catch_up(leader, other)
        sent = leader.sign(LI, GrantsPause(grant_id=bytes([round_]) * 16))
        await town.submit(leader, sent)
        promised.append(sent)
        town.pass_ms(town.random.randrange(200), step_ms=7)
        if town.random.random() < 0.4:
            town.finalize(leader)
        if town.random.random() < 0.3:
            at = town.random.randrange(4)
            await town.leave(members[at])
            (members[at],) = town.join(at)
    town.loss = 0.0
    ahead = max(members, key=lambda member: member.chain.height)
    for member in members:
        town.catch_up(member, ahead)
    town.pass_ms(12_000, step_ms=20)
    for sent in promised:
        name = name_of(sent)
        assert all(name in member.mempool or member.chain.locate(name) is not None for member in members), (
            f"seed {seed}"
        )
    await town.close()


async def test_a_forger_is_not_listened_to_for_a_while_and_costs_one_signature_check(town: Town) -> None:
    one, two = populated(town, 0, 1)
    good = one.sign(LI, GrantsPause(grant_id=bytes(16)))
    checks = 0
    verify = two.submission._verify

    def counting(scheme: str, key: bytes, transaction: Transaction, webauthn: WebAuthn) -> bool:
        nonlocal checks
        checks += 1
        return verify(scheme, key, transaction, webauthn)

    two.submission._verify = counting  # type: ignore[assignment]
    forged = [codec.encode(Transaction(body=good.body, signature=bytes([n]) * 64)) for n in range(1, 50)]
    with pytest.raises(GossipFault):
        two.submission.receive(one.name, encode(Push(transactions=tuple(forged))))
    for item in forged:
        two.submission.receive(one.name, encode(Push(transactions=(item,))))
    assert checks == 1
    assert two.submission.gossip_counts.muted == 1
    town.now_ms += MUTE_MS
    two.submission.receive(one.name, encode(Push(transactions=(codec.encode(good),) * 500)))
    assert checks == 2
    two.submission.receive(one.name, encode(Offer(ids=(name_of(good),))))
    assert name_of(good) in two.mempool
