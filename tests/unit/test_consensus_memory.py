"""A validator that may have forgotten votes listens before it votes, and falls silent when others hold one that it lacks."""

from __future__ import annotations

from consensus.core.effects import Broadcast, Effect, Send, SetTimer, SilenceKey
from consensus.core.events import Timer, WorkNoticed
from consensus.core.messages import Certificates, Status
from consensus.core.settings import NO_BLOCK
from ledger.types import QuorumCertificate, VoteKind
from tests.simulation.harness.node import account_of
from tests.unit.consensus_desk import Desk, votes_in

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def status(epoch: int = 1) -> Status:
    return Status(epoch=epoch, view=1, height=0, finalization=None)


def signed_by_all(desk: Desk, kind: VoteKind, view: int, digest: bytes = NO_BLOCK) -> QuorumCertificate:
    votes = tuple(desk.vote(one, kind, view, digest) for one in range(desk.size))
    return desk.scheme.aggregate(desk.cluster.validators, votes)


def silenced(effects: list[Effect]) -> list[bytes]:
    return [effect.vote_key for effect in effects if isinstance(effect, SilenceKey)]


def test_a_restarted_validator_votes_only_when_a_quorum_with_itself_has_said_where_it_is() -> None:
    desk = Desk(me=1, wary=True)
    block, _ = desk.block(1)
    assert votes_in(desk.start() + desk.propose(block)) == []
    assert votes_in(desk.hear(2, status())) == []
    assert votes_in(desk.hear(2, status())) == []
    assert votes_in(desk.hear(0, status())) == [("NOTARIZE", 1)]


def test_it_asks_for_status_at_once_and_often_and_is_answered() -> None:
    desk = Desk(me=1, wary=True)
    asked = [
        effect.message.asks
        for effect in desk.start()
        if isinstance(effect, Broadcast) and isinstance(effect.message, Status)
    ]
    assert asked == [True]
    assert SetTimer(timer=Timer.STATUS, delay_ms=250) in desk.fire(Timer.STATUS)
    desk.hear(0, status())
    desk.hear(2, status())
    assert SetTimer(timer=Timer.STATUS, delay_ms=2000) in desk.fire(Timer.STATUS)
    other = Desk(me=2)
    asking = Status(epoch=1, view=1, height=0, finalization=None, asks=True)
    answers = [effect for effect in other.hear(1, asking) if isinstance(effect, Send)]
    assert [(one.peer, isinstance(one.message, Status) and one.message.asks) for one in answers] == [
        (account_of(1), False)
    ]


def test_status_of_strangers_of_other_epochs_and_of_itself_is_not_what_it_waits_for() -> None:
    desk = Desk(me=1, wary=True)
    for peer, epoch in ((7, 1), (8, 1), (0, 2), (2, 2), (3, 0)):
        desk.hear(peer, status(epoch))
    assert votes_in(desk.propose(desk.block(1)[0])) == []


def test_what_was_notarized_while_it_listened_it_finalizes_afterwards() -> None:
    desk = Desk(me=1, wary=True)
    _, digest = desk.block(1)
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    desk.hear(0, status())
    assert votes_in(desk.hear(2, status())) == [("FINALIZE", 1)]


def test_a_new_validator_does_not_wait() -> None:
    desk = Desk(me=1)
    assert votes_in(desk.start() + desk.propose(desk.block(1)[0])) == [("NOTARIZE", 1)]


def test_a_certificate_with_a_vote_that_this_validator_does_not_remember_silences_its_key_for_good() -> None:
    for kind in VoteKind:
        desk = Desk(me=1)
        _, digest = desk.block(1)
        subject = NO_BLOCK if kind is NULLIFY else digest
        effects = desk.hear(0, Certificates(certificates=(signed_by_all(desk, kind, 5, subject),)))
        assert silenced(effects) == [desk.cluster.signer(1).public_key]
        assert not desk.machine.voting
        effects = desk.put(WorkNoticed(pending=True)) + desk.fire(Timer.ADVANCE)
        effects += desk.hear(0, Certificates(certificates=(signed_by_all(desk, NULLIFY, 7),)))
        assert votes_in(effects) == []
        assert silenced(effects) == [], "it is told once"


def test_a_vote_for_another_block_of_the_same_view_is_a_forgotten_one() -> None:
    desk = Desk(me=1)
    desk.propose(desk.block(1)[0])
    other = desk.block(1, transactions=(1,))[1]
    assert silenced(desk.hear(0, Certificates(certificates=(signed_by_all(desk, NOTARIZE, 1, other),))))


def test_own_votes_are_remembered_across_restarts_and_below_the_last_finalized_view_nothing_is_asked() -> (
    None
):
    desk = Desk(me=1)
    block, digest = desk.block(1)
    desk.propose(block)
    again = desk.restarted()
    effects = again.start()
    effects += again.hear(0, Certificates(certificates=(signed_by_all(again, NOTARIZE, 1, digest),)))
    effects += again.hear(0, Certificates(certificates=(signed_by_all(again, FINALIZE, 1, digest),)))
    last = again.restarted()
    effects += last.start()
    late = signed_by_all(last, NULLIFY, 1)
    effects += last.hear(0, Certificates(certificates=(late,)))
    assert silenced(effects) == []
    assert last.machine.voting


def test_certificates_without_this_validator_and_forged_ones_with_it_silence_nobody() -> None:
    desk = Desk(me=1)
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 5),)))
    votes = tuple(desk.vote(one, NULLIFY, 9) for one in (0, 2, 3))
    forged = desk.scheme.aggregate(desk.cluster.validators, votes)
    named = QuorumCertificate(
        kind=NULLIFY, epoch=1, view=9, digest=NO_BLOCK, signers=b"\x0f", signature=forged.signature
    )
    effects += desk.hear(3, Certificates(certificates=(named,)))
    assert silenced(effects) == []
