"""Send lanes: what waits to be written to one peer, most urgent first.

    lane          full: messages              full: requests, responses
    control       newest refused              (pings, pongs and error answers only)
    VOTES         oldest dropped              refused
    BLOCKS        oldest dropped              refused
    SHARES        newest refused              refused
    TRANSACTIONS  newest refused              refused
    SYNC          newest refused              refused
    BLOBS         newest refused              refused
    SNAPSHOT      newest refused              refused

Rule: pure, and bounded in frames and in bytes. Of votes and proposals the newest are worth most, since
consensus repeats what still matters, so there the oldest messages go; elsewhere the sender learns at once
that there is no room (back-pressure). Every frame that goes unsent is reported to the caller, who counts it. What is taken is
a fragment at a time, the most urgent lane first; a frame of which a fragment has gone is never dropped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from network.frames import HEADER_SIZE_BYTES, Channel, Fragment, Frame, FrameKind, next_fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimit:
    """What one lane may hold.

    Attributes:
        frames_max: number of frames.
        bytes_max: their size on the wire; one frame always fits into an empty lane.
        drops_oldest: whether a full lane makes room by dropping its oldest messages.
    """

    frames_max: int
    bytes_max: int
    drops_oldest: bool


_MIB: Final = 1024 * 1024
CONTROL_LANE: Final = 0
LANE_LIMITS: Final[tuple[LaneLimit, ...]] = (
    LaneLimit(frames_max=256, bytes_max=_MIB, drops_oldest=False),
    LaneLimit(frames_max=2048, bytes_max=8 * _MIB, drops_oldest=True),
    LaneLimit(frames_max=64, bytes_max=32 * _MIB, drops_oldest=True),
    LaneLimit(frames_max=256, bytes_max=16 * _MIB, drops_oldest=False),
    LaneLimit(frames_max=4096, bytes_max=16 * _MIB, drops_oldest=False),
    LaneLimit(frames_max=64, bytes_max=32 * _MIB, drops_oldest=False),
    LaneLimit(frames_max=64, bytes_max=16 * _MIB, drops_oldest=False),
    LaneLimit(frames_max=16, bytes_max=8 * _MIB, drops_oldest=False),
)


def lane_of(frame: Frame) -> int:
    """Index of the lane that a frame waits in."""
    if frame.channel is None or frame.kind is FrameKind.ERROR:
        return CONTROL_LANE
    return int(frame.channel)


def lane_name(lane: int) -> str:
    """Its name in metrics and messages."""
    return "control" if lane == CONTROL_LANE else Channel(lane).name.lower()


class SendLanes:
    """The frames that wait for one connection."""

    __slots__ = ("_bytes", "_lanes", "_limits", "_starts")

    def __init__(self, limits: tuple[LaneLimit, ...] = LANE_LIMITS) -> None:
        self._limits = limits
        self._lanes: tuple[deque[Frame], ...] = tuple(deque() for _ in limits)
        self._bytes = [0] * len(limits)
        # How much of each lane's first frame has been taken.
        self._starts = [0] * len(limits)

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes)

    @property
    def size_bytes(self) -> int:
        """Bytes that wait, over all lanes."""
        return sum(self._bytes)

    def push(self, frame: Frame) -> tuple[Frame, ...]:
        """Queue a frame.

        Args:
            frame: at most one frame's bound in size.

        Returns:
            The frames that will not be sent: empty, older messages that made room, or `frame` itself.
        """
        lane = lane_of(frame)
        dropped: list[Frame] = []
        while self._is_full(lane, frame):
            waiting = self._lanes[lane]
            # The oldest of which nothing has been taken.
            place = 1 if self._starts[lane] else 0
            if not self._limits[lane].drops_oldest or place >= len(waiting):
                return (*dropped, frame)
            oldest = waiting[place]
            if {frame.kind, oldest.kind} != {FrameKind.MESSAGE}:
                return (*dropped, frame)
            del waiting[place]
            self._bytes[lane] -= oldest.size_bytes
            dropped.append(oldest)
        self._lanes[lane].append(frame)
        self._bytes[lane] += frame.size_bytes
        return tuple(dropped)

    def pop(self, size_bytes: int) -> list[Fragment]:
        """Take the most urgent fragments, at least one if any waits, until they come to `size_bytes`."""
        fragments: list[Fragment] = []
        taken_bytes = 0
        for lane, waiting in enumerate(self._lanes):
            while waiting and taken_bytes < size_bytes:
                fragment = self._take(lane)
                fragments.append(fragment)
                taken_bytes += HEADER_SIZE_BYTES + fragment.end - fragment.start
        return fragments

    def _is_full(self, lane: int, frame: Frame) -> bool:
        limit, waiting = self._limits[lane], self._lanes[lane]
        if not waiting:
            return False
        return len(waiting) >= limit.frames_max or self._bytes[lane] + frame.size_bytes > limit.bytes_max

    def _take(self, lane: int) -> Fragment:
        fragment = next_fragment(self._lanes[lane][0], self._starts[lane])
        self._bytes[lane] -= fragment.end - fragment.start
        self._starts[lane] = fragment.end
        if fragment.is_last:
            self._lanes[lane].popleft()
            self._bytes[lane] -= HEADER_SIZE_BYTES
            self._starts[lane] = 0
        return fragment
