"""A seeded network on virtual time, with the faults of real ones: loss, duplication, delay, reordering, partitions.

Rule: nothing here reads a clock or a source of randomness of its own; the same seed gives the same run, message for message.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random


class Alarm:
    """A scheduled call; `cancel` makes it never happen."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class VirtualTime:
    """Calls at virtual times, in order of time and then of scheduling."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._queue: list[tuple[int, int, Alarm]] = []
        self._count = 0

    def after(self, delay_ms: int, call: Callable[[], None]) -> Alarm:
        """Have `call` made in `delay_ms` (≥ 0) of virtual time."""
        alarm = Alarm(call)
        self._count += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._count, alarm))
        return alarm

    def run_until(self, time_ms: int, *, stop: Callable[[], bool] | None = None) -> None:
        """Let virtual time pass up to `time_ms`, or until `stop()` holds after some call."""
        while self._queue and self._queue[0][0] <= time_ms:
            self.now_ms, _, alarm = heapq.heappop(self._queue)
            call, alarm.call = alarm.call, None
            if call is not None:
                call()
                if stop is not None and stop():
                    return
        self.now_ms = max(self.now_ms, time_ms)


@dataclass(slots=True, kw_only=True)
class LinkFaults:
    """How every link behaves.

    Attributes:
        loss: probability that a message is lost, 0 to 1.
        duplication: probability that it arrives twice.
        delay_ms_min, delay_ms_max: bounds of its delay; uniform in between, so that messages overtake each other.
    """

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms_min: int = 100
    delay_ms_max: int = 100


@dataclass(slots=True, kw_only=True)
class SimulatedNetwork:
    """Delivers bytes between endpoints. Several endpoints may share one index (two machines with one key).

    Attributes:
        time: the virtual time.
        random: seeded.
        faults: how links behave now.
        cut: directed links (from, to) that carry nothing now.
    """

    time: VirtualTime
    random: Random
    faults: LinkFaults = field(default_factory=LinkFaults)
    cut: set[tuple[int, int]] = field(default_factory=set)
    _endpoints: dict[int, list[Callable[[int, bytes], None]]] = field(default_factory=dict)

    def attach(self, index: int, deliver: Callable[[int, bytes], None]) -> None:
        """Have messages to `index` handed to `deliver(from, bytes)`."""
        self._endpoints.setdefault(index, []).append(deliver)

    def send(self, sender: int, receiver: int, data: bytes) -> None:
        """Send, subject to the faults."""
        faults = self.faults
        if (sender, receiver) in self.cut:
            return
        for deliver in self._endpoints.get(receiver, ()):
            copies = 1
            if faults.loss and self.random.random() < faults.loss:
                copies = 0
            elif faults.duplication and self.random.random() < faults.duplication:
                copies = 2
            for _ in range(copies):
                delay_ms = faults.delay_ms_min
                if faults.delay_ms_max > delay_ms:
                    delay_ms = self.random.randint(delay_ms, faults.delay_ms_max)
                self.time.after(delay_ms, partial(self._arrive, deliver, sender, receiver, data))

    def _arrive(self, deliver: Callable[[int, bytes], None], sender: int, receiver: int, data: bytes) -> None:
        if (sender, receiver) not in self.cut:
            deliver(sender, data)

    def heal(self) -> None:
        """No partitions and no faults, 100 ms links."""
        self.cut.clear()
        self.faults = LinkFaults()
