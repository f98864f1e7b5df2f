"""Asking holders for the use of their shares: t good ones are enough, a bad one names its node, a renewal is followed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.crypto.threshold.group import Element
from ledger.crypto.threshold.polynomials import interpolate
from ledger.crypto.threshold.shares import check_share, combine, make_share
from ledger.errors import Busy, DecodeError, LedgerError, LimitExceeded, Unavailable
from node.holders import collector as collecting
from node.holders import server as serving
from node.holders.channel import ShareChannel, ShareMessage, framed
from node.holders.collector import Collector
from node.holders.errors import KeyRefused
from node.holders.ports import (
    ASK_PAYLOAD_BYTES_MAX,
    BASES_PER_ASK_MAX,
    Permitted,
    ShareAnswer,
    ShareAsk,
    ShareRefusal,
    ShareRenewed,
)
from node.holders.server import ShareServer, decode_answer
from node.holders.work import ShareWork
from tests.unit.contracts_world import SUITE
from tests.unit.vault_world import ACCOUNTS, GROUP, THRESHOLD, DealtKeys, HolderShares, dealt

HERE, SECOND, THIRD, FOURTH = ACCOUNTS
CONTEXT = b"in whose name and for what"


@dataclass
class Says:
    """A permit that says what a test wants; the elements are in the payload."""

    refuses: str = ""
    behind: bool = False
    asked: int = 0
    gate: asyncio.Event | None = None
    context: bytes = CONTEXT
    given: asyncio.Event | None = None
    revoked: str = ""

    def again(self) -> None:
        if self.revoked:
            raise KeyRefused(reason=self.revoked)

    async def permit(self, sender: bytes, ask: ShareAsk) -> Permitted:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.refuses:
            raise KeyRefused(reason=self.refuses)
        if self.behind:
            raise Unavailable(what="replica", reason="not yet")
        if self.given is not None:
            self.given.set()
        bases = permitted(len(ask.payload)).bases
        return Permitted(bases=bases, context=self.context, again=self.again)


def permitted(count: int = 2) -> Permitted:
    bases = tuple(GROUP.generator.times(n + 2) for n in range(count))
    return Permitted(bases=bases, context=CONTEXT)


class World:
    """Four holders with keys and permits of their own; the first one asks."""

    def __init__(self) -> None:
        self.keys = [DealtKeys() for _ in ACCOUNTS]
        self.shares = [HolderShares(account) for account in ACCOUNTS]
        self.permits = [Says() for _ in ACCOUNTS]
        self.work = ShareWork(GROUP, SUITE.hash)
        self.servers = [
            ShareServer(account=account, keys=keys, shares=shares, permits={"test": permit}, work=self.work)
            for account, keys, shares, permit in zip(
                ACCOUNTS, self.keys, self.shares, self.permits, strict=True
            )
        ]
        self.forge: dict[bytes, object] = {}
        self.away: dict[bytes, int] = {}
        self.requests: list[bytes] = []
        self.accused: list[bytes] = []

    async def request(self, peer: bytes, payload: bytes, _timeout_s: float) -> bytes:
        self.requests.append(peer)
        if self.away.get(peer, 0) > 0:
            self.away[peer] -= 1
            raise Unavailable(what="peer", reason="it is away")
        channel = ShareChannel({ShareMessage.ASK: self.servers[ACCOUNTS.index(peer)].serve})
        answer = await channel.serve(HERE, payload)
        forge = self.forge.get(peer)
        return forge(answer) if callable(forge) else answer

    def collector(self, collect_s: float = 5.0) -> Collector:
        return Collector(
            account=HERE,
            keys=self.keys[0],
            server=self.servers[0],
            work=self.work,
            request=self.request,
            bad_share=self.accused.append,
            collect_s=collect_s,
        )

    async def collect(self, count: int = 2, collect_s: float = 5.0) -> tuple[Element, ...]:
        ask = ask_for(count)
        return await self.collector(collect_s).collect(ask, await self.servers[0].permitted(ask))


def ask_for(count: int = 2, **changes: object) -> ShareAsk:
    ask = ShareAsk(
        kind="test",
        record_id=b"record",
        purpose=KeyPurpose.VAULT,
        version=1,
        renewal=0,
        payload=bytes(count),
    )
    return replace(ask, **changes)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.work.close()


def secret() -> int:
    """What nobody holds in life: the shared secret, from the threshold of dealt shares."""
    secrets = dealt(1, 0).secrets
    return interpolate(GROUP.order, {holder: secrets[holder - 1] for holder in range(1, THRESHOLD + 1)})


def is_right(elements: tuple[Element, ...]) -> bool:
    wanted = [base.times(secret()).encode() for base in permitted(len(elements)).bases]
    return [element.encode() for element in elements] == wanted


def altered(answer: bytes, **changes: object) -> bytes:
    """The answer with its second share altered."""
    given = decode_answer(answer)
    assert isinstance(given, ShareAnswer)
    first, second, *rest = given.shares
    return codec.encode(replace(given, shares=(first, replace(second, **changes), *rest)))


# --- the way it should be ---


async def test_the_first_threshold_of_good_shares_are_enough(world: World) -> None:
    assert is_right(await world.collect())
    world.away = {FOURTH: 99}
    assert is_right(await world.collect())
    assert is_right(await world.collect(BASES_PER_ASK_MAX))


async def test_a_node_that_has_lost_its_share_still_opens_with_the_others(world: World) -> None:
    world.shares[0].lost = True
    assert is_right(await world.collect())


async def test_who_is_away_for_a_moment_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "RETRY_FIRST_S", 0.0001)
    world.away = {SECOND: 2, THIRD: 3, FOURTH: 99}
    assert is_right(await world.collect())
    assert world.requests.count(SECOND) == 3


async def test_too_few_holders_are_named_with_what_they_said(world: World) -> None:
    world.away = {THIRD: 99}
    world.permits[3].behind = True
    with pytest.raises(Unavailable) as caught:
        await world.collect(collect_s=0.01)
    said = caught.value.message("en")
    assert "2 of 3 good shares" in said
    assert f"{THIRD.hex()} gave none" in said
    assert f"{FOURTH.hex()} gave none" in said
    assert "not yet" in said


async def test_shares_for_a_client_are_handed_on_with_their_proofs(world: World) -> None:
    ask = ask_for()
    asked = await world.servers[0].permitted(ask)
    key, shares = await world.collector().collect_shares(ask, asked)
    assert len(shares) >= THRESHOLD
    combined = []
    for index, base in enumerate(asked.bases):
        checked = {
            holder: check_share(GROUP, SUITE.hash, key.holders, base, given[index], CONTEXT)
            for holder, given in shares.items()
        }
        assert all(element is not None for element in checked.values())
        combined.append(
            combine(GROUP, key.holders, {holder: one for holder, one in checked.items() if one is not None})
        )
    assert is_right(tuple(combined))


# --- liars ---


def other_element(answer: bytes) -> bytes:
    return altered(answer, element=GROUP.generator.times(99).encode())


def no_element(answer: bytes) -> bytes:
    return altered(answer, element=bytes(48))


def another_holders(answer: bytes) -> bytes:
    return altered(answer, holder=1)


def fewer(answer: bytes) -> bytes:
    given = decode_answer(answer)
    assert isinstance(given, ShareAnswer)
    return codec.encode(replace(given, shares=given.shares[:1]))


def swapped(answer: bytes) -> bytes:
    given = decode_answer(answer)
    assert isinstance(given, ShareAnswer)
    return codec.encode(replace(given, shares=given.shares[::-1]))


def other_proof(answer: bytes) -> bytes:
    given = decode_answer(answer)
    assert isinstance(given, ShareAnswer)
    return altered(answer, proof=given.shares[0].proof)


@pytest.mark.parametrize("forge", [other_element, no_element, another_holders, fewer, swapped, other_proof])
async def test_a_forged_share_names_its_node_and_spoils_nothing(world: World, forge: object) -> None:
    world.forge = {SECOND: forge}
    world.away = {FOURTH: 1}
    assert is_right(await world.collect())
    assert world.accused == [SECOND]
    assert world.requests.count(SECOND) == 1


async def test_a_holder_that_passes_anothers_true_share_for_its_own_is_a_liar(world: World) -> None:
    """Its proof holds, under the other's key; weighted as this one's it would spoil everything."""
    asked = permitted()
    third = dealt(1, 0).secrets[2]

    def relayed(_answer: bytes) -> bytes:
        shares = tuple(
            make_share(
                GROUP,
                SUITE.hash,
                base,
                holder=3,
                secret=third,
                context=CONTEXT,
                draw=GROUP.random_scalar,
            )
            for base in asked.bases
        )
        return codec.encode(ShareAnswer(shares=shares))

    world.forge = {SECOND: relayed}
    world.away = {FOURTH: 1}
    assert is_right(await world.collect())
    assert world.accused == [SECOND]


async def test_when_liars_and_absent_ones_leave_too_few_the_liar_is_named_in_the_error(world: World) -> None:
    world.forge = {SECOND: other_element}
    world.away = {THIRD: 99}
    with pytest.raises(Unavailable) as caught:
        await world.collect(collect_s=0.01)
    assert f"{SECOND.hex()} gave a bad share" in caught.value.message("en")


async def test_an_answer_in_another_context_is_a_bad_share(world: World) -> None:
    """A holder's true share, asked for something else, is none for this."""
    world.permits[1].context = b"another release"
    world.away = {FOURTH: 1}
    assert is_right(await world.collect())
    assert world.accused == [SECOND]


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", codec.encode(ShareRefusal(reason="no"))[:-1]])
async def test_an_answer_that_is_none_is_no_share(world: World, body: bytes) -> None:
    world.forge = {SECOND: lambda _answer: body}
    assert is_right(await world.collect())


# --- refusals ---


async def test_more_refusals_than_the_threshold_can_bear_end_it_with_their_reason(world: World) -> None:
    world.permits[1].refuses = "grant_paused"
    assert is_right(await world.collect())
    world.permits[2].refuses = "grant_paused"
    with pytest.raises(KeyRefused) as caught:
        await world.collect()
    assert caught.value.reason == "grant_paused"


async def test_ones_own_replica_refuses_before_anybody_is_asked(world: World) -> None:
    world.permits[0].refuses = "grant_revoked"
    with pytest.raises(KeyRefused):
        await world.collect()
    assert world.requests == []


async def test_a_key_that_is_not_in_force_is_used_by_nobody(world: World) -> None:
    ask = ask_for(version=2)
    asked = await world.servers[0].permitted(ask)
    with pytest.raises(KeyRefused):
        await world.collector().collect(ask, asked)
    answer = decode_answer(await world.servers[1].serve(HERE, codec.encode(ask)))
    assert answer == ShareRefusal(reason="unknown_key")


@pytest.mark.parametrize("bare", [False, True])
async def test_what_is_stopped_while_a_share_is_made_does_not_leave(world: World, bare: bool) -> None:
    """A revocation that came while the share waited for its turn was seen by nobody."""
    permit = world.permits[1]
    entered, go_on = threading.Event(), threading.Event()

    def busy() -> None:
        entered.set()
        assert go_on.wait(10)

    queue = asyncio.get_running_loop().run_in_executor(world.work._thread, busy)
    await asyncio.to_thread(entered.wait, 10)
    permit.given = asyncio.Event()
    ask = asyncio.ensure_future(world.servers[1].serve(HERE, codec.encode(ask_for(bare=bare))))
    await permit.given.wait()
    permit.revoked = "grant_revoked"
    go_on.set()
    assert decode_answer(await ask) == ShareRefusal(reason="grant_revoked")
    await queue


async def test_a_kind_that_nobody_decides_about_is_refused(world: World) -> None:
    answer = decode_answer(await world.servers[1].serve(HERE, codec.encode(ask_for(kind="other"))))
    assert answer == ShareRefusal(reason="unknown_kind")


# --- renewals ---


async def test_a_renewal_midway_is_asked_for_again_and_shares_never_mix(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "RETRY_FIRST_S", 0.0001)
    for index in (2, 3):
        world.keys[index].renewal = 1

    def renewed_here(answer: bytes) -> bytes:
        for keys in world.keys:
            keys.renewal = 1
        return answer

    world.forge = {FOURTH: renewed_here}
    assert is_right(await world.collect())
    assert world.requests.count(SECOND) == 2


async def test_a_share_asked_under_a_stale_renewal_is_not_given(world: World) -> None:
    world.keys[1].renewal = 1
    answer = decode_answer(await world.servers[1].serve(HERE, codec.encode(ask_for())))
    assert answer == ShareRenewed(renewal=1)
    ahead = decode_answer(await world.servers[2].serve(HERE, codec.encode(ask_for(renewal=1))))
    assert ahead == ShareRenewed(renewal=0)


async def test_a_share_of_an_old_renewal_does_not_pass_for_one_of_the_new(world: World) -> None:
    """A holder that kept its old share, or whose disk was stolen before the renewal."""
    for keys in world.keys:
        keys.renewal = 1
    old = dealt(1, 0)
    asked = permitted()

    def replayed(answer: bytes) -> bytes:
        given = decode_answer(answer)
        assert isinstance(given, ShareAnswer)
        made = tuple(
            replace(share, element=base.times(old.secrets[1]).encode())
            for share, base in zip(given.shares, asked.bases, strict=True)
        )
        return codec.encode(ShareAnswer(shares=made))

    world.forge = {SECOND: replayed}
    assert is_right(await world.collect())
    assert world.accused in ([SECOND], [])
    world.away = {FOURTH: 1}
    assert is_right(await world.collect())
    assert SECOND in world.accused


# --- bounds ---


async def test_one_peer_has_only_so_many_asks_under_way_and_all_together_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "ASKS_PER_PEER_MAX", 2)
    monkeypatch.setattr(serving, "ASKS_MAX", 3)
    gate = world.permits[1].gate = asyncio.Event()
    body = codec.encode(ask_for())
    under_way = [asyncio.ensure_future(world.servers[1].serve(HERE, body)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await world.servers[1].serve(HERE, body)
    under_way.append(asyncio.ensure_future(world.servers[1].serve(THIRD, body)))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await world.servers[1].serve(FOURTH, body)
    gate.set()
    answers = await asyncio.gather(*under_way)
    assert all(isinstance(decode_answer(answer), ShareAnswer) for answer in answers)
    assert isinstance(decode_answer(await world.servers[1].serve(FOURTH, body)), ShareAnswer)


async def test_more_elements_than_an_ask_may_have_are_refused(world: World) -> None:
    for count in (0, BASES_PER_ASK_MAX + 1):
        with pytest.raises(LimitExceeded):
            await world.servers[1].serve(HERE, codec.encode(ask_for(count)))
    most = decode_answer(await world.servers[1].serve(HERE, codec.encode(ask_for(BASES_PER_ASK_MAX))))
    assert isinstance(most, ShareAnswer)
    assert len(most.shares) == BASES_PER_ASK_MAX


async def test_what_is_no_ask_is_told_so(world: World) -> None:
    good = codec.encode(ask_for())
    for body in (b"", good[:-1], good + b"\0", b"\xc1", framed(ShareMessage.ASK, good)):
        with pytest.raises(DecodeError):
            await world.servers[1].serve(HERE, body)
    large = codec.encode(ask_for(ASK_PAYLOAD_BYTES_MAX))
    assert len(large) > ASK_PAYLOAD_BYTES_MAX
    with pytest.raises(LedgerError):
        await world.servers[1].serve(HERE, large + bytes(2048))


async def test_the_channel_hands_each_kind_to_who_answers_it() -> None:
    async def asks(sender: bytes, body: bytes) -> bytes:
        return sender + body

    channel = ShareChannel({ShareMessage.ASK: asks})
    assert await channel.serve(b"p", framed(ShareMessage.ASK, b"x")) == b"px"
    for payload in (b"", b"\x00x", bytes([ShareMessage.PIECES]) + b"x", b"\xffx"):
        with pytest.raises(DecodeError):
            await channel.serve(b"p", payload)


def test_a_share_and_what_holds_it_show_no_secret() -> None:
    own = HolderShares(HERE).share(KeyPurpose.VAULT, 1, 0)
    assert own is not None
    assert str(own.secret) not in repr(own)
