"""Keeping a connection to one peer: dial, and dial again for ever.

Rule: pauses between attempts grow, are bounded and jittered, so that a network that comes back does not dial in step; a
connection that was good for a while sets them back. Of two nodes the one with the lower id dials at once, the other only
if that does not come about.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from network.admission import Door
from network.links import PeerLink
from network.logs import Logger
from network.tcp import NetworkTimings, PeerConnection


class Backoff:
    """Growing pauses between attempts.

    Args:
        timings: the shortest and the longest pause.
        jitter: gives a number from 0 to 1; spreads a pause over its upper half.
    """

    def __init__(self, timings: NetworkTimings, jitter: Callable[[], float]) -> None:
        self._timings = timings
        self._jitter = jitter
        self._pause_ms = timings.redial_min_ms

    def next_s(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause_ms = self._pause_ms
        self._pause_ms = min(2 * pause_ms, self._timings.redial_max_ms)
        return pause_ms * (0.5 + 0.5 * self._jitter()) / 1000

    def reset(self) -> None:
        """Things went well: begin with the shortest pause again."""
        self._pause_ms = self._timings.redial_min_ms


async def keep_connected(
    door: Door, link: PeerLink, timings: NetworkTimings, logger: Logger, *, grace_ms: int, redial: bool
) -> None:
    """Run for ever.

    Args:
        door: opens connections.
        link: the peer.
        timings: pauses.
        logger: hears of a peer that cannot be reached, once a reason.
        grace_ms: how much later this side dials than the other.
        redial: dial once even if there is a connection, for the peer has moved; the new one takes its place.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(timings, secrets.SystemRandom().random)
    grace_s = grace_ms / 1000
    await asyncio.sleep(grace_s)
    if redial:
        await _dial(door, link, logger)
    while True:
        connection = link.connection or await _dial(door, link, logger)
        if connection is not None:
            began_s = loop.time()
            await asyncio.wait([connection.closed])
            if loop.time() - began_s >= timings.stable_after_ms / 1000:
                backoff.reset()
        if link.connection is None:
            await asyncio.sleep(backoff.next_s() + grace_s)


async def _dial(door: Door, link: PeerLink, logger: Logger) -> PeerConnection | None:
    result = await door.dial(link)
    if isinstance(result, PeerConnection):
        return result
    if link.connection is None and link.last_error != result.code:
        logger.info("peer.unreachable", peer=link.address.name, reason=str(result))
        link.last_error = result.code
    return None
