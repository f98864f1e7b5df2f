"""Effects in words, for traces that are read by people.

Rule: one short line each; what a line leaves out, the effect itself has.
"""

from __future__ import annotations

from consensus.core.effects import (
    Blame,
    Broadcast,
    BuildBlock,
    CancelTimer,
    ClockApart,
    Effect,
    Evidence,
    ExecuteBlock,
    Finalize,
    Persist,
    Send,
    SetTimer,
    SignVote,
    SilenceKey,
    WantBlock,
    WantCertificates,
    WantFinalized,
)
from consensus.core.messages import Certificates, FinalizedRange, Message, Propose, Status, Votes
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from tests.simulation.harness.node import index_of

LISTED_MAX = 6


def _name(record: Record) -> str:
    match record:
        case BlockRecord(block=block):
            return f"block {block.header.height}"
        case VoteRecord(vote=vote):
            return f"{vote.kind.name.lower()} {vote.view}"
        case CertificateRecord(certificate=certificate) | FinalizationRecord(certificate=certificate):
            return f"{certificate.kind.name.lower()} certificate {certificate.view}"


def _listed(things: list[tuple[str, int]]) -> str:
    if len(things) > LISTED_MAX:
        return f"{len(things)} votes or certificates, views {things[0][1]} to {things[-1][1]}"
    return ", ".join(f"{name} {view}" for name, view in things)


def _words(message: Message) -> str:
    match message:
        case Propose(block=block):
            return f"propose block {block.header.height} in view {block.header.view}"
        case Votes(votes=votes, admitted_by=admitted_by):
            said = _listed([(vote.kind.name.lower(), vote.view) for vote in votes])
            return said + (" with what admitted here" if admitted_by is not None else "")
        case Certificates(certificates=certificates):
            return _listed([(f"{one.kind.name.lower()} certificate", one.view) for one in certificates])
        case Status(view=view, height=height):
            return f"status view {view} height {height}"
        case FinalizedRange(first_height=first_height, blocks=blocks):
            return f"{len(blocks)} finalized blocks from {first_height}"
        case _:
            return type(message).__name__


def in_words(effect: Effect) -> str:
    """One line."""
    match effect:
        case Persist(record=record):
            return f"persist {_name(record)}"
        case Broadcast(message=message):
            return f"broadcast {_words(message)}"
        case Send(peer=peer, message=message):
            return f"send to {index_of(peer)} {_words(message)}"
        case SetTimer(timer=timer, delay_ms=delay_ms):
            return f"set {timer.value} {delay_ms}"
        case CancelTimer(timer=timer):
            return f"cancel {timer.value}"
        case SignVote(kind=kind, view=view):
            return f"sign {kind.name.lower()} {view}"
        case BuildBlock(context=context):
            return f"build block {context.height} in view {context.view}"
        case ExecuteBlock(block=block):
            return f"execute block {block.header.height}"
        case Finalize(finalized=finalized):
            return f"finalize block {finalized.block.header.height}"
        case Evidence(first=first, second=second):
            return f"evidence against {first.validator}: {first.kind.name} and {second.kind.name}"
        case WantBlock(digest=digest):
            return f"want block {digest.hex()[:8]}"
        case WantCertificates(first_view=first, last_view=last):
            return f"want certificates {first} to {last}"
        case WantFinalized(first_height=first):
            return f"want finalized blocks from {first}"
        case Blame(peer=peer, reason=reason):
            return f"blame {index_of(peer)}: it {reason}"
        case ClockApart(leader=leader, apart_ms=apart_ms):
            return f"clock of {index_of(leader)} is {apart_ms} ms ahead"
        case SilenceKey(certificate=one):
            return f"silence own key: forgot {one.kind.name.lower()} {one.view}"
