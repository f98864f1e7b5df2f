"""Everything that can happen to the core.

Rule: an event is a fact, complete in itself; the core never asks back.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from consensus.core.messages import Message
from ledger.types import Block, Vote


class Timer(Enum):
    """The core's timers; at most one of each kind runs at a time."""

    LEADER = "leader"
    ADVANCE = "advance"
    REPEAT = "repeat"
    EMPTY = "empty"
    STANDSTILL = "standstill"
    STATUS = "status"


class Started(Struct, frozen=True, kw_only=True, gc=False):
    """The journal has been replayed; begin."""


class Received(Struct, frozen=True, kw_only=True, gc=False):
    """A decoded message came from the authenticated peer of that account, be it a validator or not."""

    peer: bytes
    message: Message


class TimerFired(Struct, frozen=True, kw_only=True, gc=False):
    """A timer set by SetTimer ran out."""

    timer: Timer


class VoteSigned(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to SignVote."""

    vote: Vote


class BlockBuilt(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to BuildBlock; None when the application cannot build."""

    view: int
    block: Block | None


class BlockExecuted(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to ExecuteBlock."""

    digest: bytes
    valid: bool


class WorkNoticed(Struct, frozen=True, kw_only=True, gc=False):
    """Whether the application has work: a valid pending transaction or an undecided expiry."""

    pending: bool


Event = Started | Received | TimerFired | VoteSigned | BlockBuilt | BlockExecuted | WorkNoticed
