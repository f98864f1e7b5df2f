"""Asking the holders for the use of their shares, and putting the threshold of them together.

Rule: all holders are asked at once, this node among them, and the first t whose shares hold are enough. A share that
does not hold names its node and spoils nothing. Who refuses or lies is not asked again; who is busy, behind or silent is,
with longer and longer pauses, until the deadline. Shares of different renewals are never mixed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from msgspec.structs import replace

from ledger import codec
from ledger.crypto.threshold.group import Element
from ledger.crypto.threshold.shares import Share
from ledger.errors import LedgerError, Unavailable, invariant
from network.tasks import end
from node.holders.channel import ShareMessage, framed
from node.holders.errors import KeyRefused
from node.holders.ports import (
    BareShares,
    HeldKey,
    Permitted,
    ShareAnswer,
    ShareAsk,
    SharedKeys,
    ShareRefusal,
    ShareRenewed,
)
from node.holders.server import ShareServer, decode_answer
from node.holders.work import ShareWork

COLLECT_S: Final = 20.0
ASK_TIMEOUT_S: Final = 8.0
RETRY_FIRST_S: Final = 0.05
RETRY_LONGEST_S: Final = 2.0
# So many collections run at once; what a holder serves one peer is bounded by `server.ASKS_PER_PEER_MAX`.
COLLECTIONS_AT_ONCE: Final = 24

PeerRequest = Callable[[bytes, bytes, float], Awaitable[bytes]]
BadShare = Callable[[bytes], None]

log = structlog.get_logger()


@dataclass(slots=True)
class _Progress:
    """What has come so far, of one renewal of the key.

    Attributes:
        key: the key at that renewal.
        proven: whether the shares are to be handed on, so that this node's own needs a proof too.
        shares: by holder, those that hold; without this node's own unless `proven`.
        checked: elements by holder, from shares that hold.
        refused: the reason by holder.
        bad: holders that gave a share which does not hold.
        silent: what came instead of an answer, by holder.
    """

    key: HeldKey
    proven: bool
    shares: dict[int, tuple[Share, ...]] = field(default_factory=dict)
    checked: dict[int, tuple[Element, ...]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)
    silent: dict[int, str] = field(default_factory=dict)

    @property
    def threshold(self) -> int:
        return self.key.holders.keys.threshold

    @property
    def complete(self) -> bool:
        return len(self.checked) >= self.threshold

    @property
    def hopeless(self) -> bool:
        """Whether so many refuse that the threshold cannot be reached."""
        return len(self.refused) > len(self.key.accounts) - self.threshold

    def to_ask(self) -> list[int]:
        done = self.checked.keys() | self.refused.keys() | self.bad
        return [holder for holder in range(1, len(self.key.accounts) + 1) if holder not in done]


class Collector:
    """Implements `node.holders.ports.ShareCollector`.

    Args:
        account: this node's own.
        keys: the keys in force, by this node's replica.
        server: this node as a holder.
        work: where shares are checked.
        request: sends a request on the shares channel: (peer, payload, timeout in seconds) -> answer.
        bad_share: is told the account of a node whose share does not hold.
    """

    def __init__(
        self,
        *,
        account: bytes,
        keys: SharedKeys,
        server: ShareServer,
        work: ShareWork,
        request: PeerRequest,
        bad_share: BadShare = lambda _account: None,
        collect_s: float = COLLECT_S,
    ) -> None:
        self._account = account
        self._keys = keys
        self._server = server
        self._work = work
        self._request = request
        self._bad_share = bad_share
        self._collect_s = collect_s
        self._at_once = asyncio.Semaphore(COLLECTIONS_AT_ONCE)

    async def collect(self, ask: ShareAsk, permitted: Permitted) -> tuple[Element, ...]:
        """Implements the port."""
        async with self._at_once:
            progress = await self._gather(ask, permitted, proven=False)
            return await self._work.combine(progress.key, progress.checked)

    async def collect_shares(
        self, ask: ShareAsk, permitted: Permitted
    ) -> tuple[HeldKey, Mapping[int, tuple[Share, ...]]]:
        """The key, and by holder the shares that hold, each with its proof: for a client that checks and combines itself.

        Arguments and errors as for `collect`.
        """
        async with self._at_once:
            progress = await self._gather(ask, permitted, proven=True)
            return progress.key, progress.shares

    async def _gather(self, ask: ShareAsk, permitted: Permitted, *, proven: bool) -> _Progress:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._collect_s
        progress = _Progress(self._key(ask), proven)
        pause_s = RETRY_FIRST_S
        while True:
            key = self._key(ask)
            if key.renewal != progress.key.renewal:
                progress = _Progress(key, proven)
            await self._round(replace(ask, renewal=key.renewal), permitted, progress, deadline - loop.time())
            if progress.complete:
                return progress
            if progress.hopeless:
                raise KeyRefused(reason=next(iter(progress.refused.values())))
            if loop.time() + pause_s >= deadline or not progress.to_ask():
                raise Unavailable(what="key shares", reason=self._shortage(progress))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_LONGEST_S)

    async def _round(
        self, ask: ShareAsk, permitted: Permitted, progress: _Progress, remaining_s: float
    ) -> None:
        """Ask everybody who is to be asked; over as soon as it is decided, or all have answered."""
        progress.silent.clear()
        timeout_s = max(min(ASK_TIMEOUT_S, remaining_s), RETRY_FIRST_S)
        tasks = [
            asyncio.ensure_future(self._ask(holder, ask, permitted, progress, timeout_s))
            for holder in progress.to_ask()
        ]
        try:
            for task in asyncio.as_completed(tasks):
                await task
                if progress.complete or progress.hopeless:
                    return
        finally:
            await end(tasks)

    async def _ask(
        self, holder: int, ask: ShareAsk, permitted: Permitted, progress: _Progress, timeout_s: float
    ) -> None:
        account = progress.key.accounts[holder - 1]
        try:
            if account == self._account:
                await self._own(ask, permitted, progress)
            else:
                payload = framed(ShareMessage.ASK, codec.encode(ask))
                answer = await self._request(account, payload, timeout_s)
                await self._take(holder, answer, ask, permitted, progress)
        except LedgerError as error:
            progress.silent[holder] = error.message("en")

    async def _own(self, ask: ShareAsk, permitted: Permitted, progress: _Progress) -> None:
        if progress.proven:
            holder, shares = await self._server.own_shares(progress.key, ask, permitted)
            elements = await self._work.check(progress.key, holder, permitted, shares)
            invariant(elements is not None, "this node's own shares hold")
            progress.shares[holder] = shares
        else:
            holder, elements = await self._server.own(progress.key, ask, permitted)
        progress.checked[holder] = elements or ()

    async def _take(
        self, holder: int, body: bytes, ask: ShareAsk, permitted: Permitted, progress: _Progress
    ) -> None:
        answer = decode_answer(body)
        match answer:
            case BareShares(elements=encoded) if ask.bare:
                decoded = await self._work.decode(permitted, encoded)
                if decoded is None:
                    self._accuse(holder, progress)
                else:
                    progress.checked[holder] = decoded
            case ShareAnswer(shares=shares) if not ask.bare:
                elements = await self._work.check(progress.key, holder, permitted, shares)
                if elements is None:
                    self._accuse(holder, progress)
                else:
                    progress.checked[holder] = elements
                    progress.shares[holder] = shares
            case ShareRefusal(reason=reason):
                progress.refused[holder] = reason
            case ShareRenewed(renewal=renewal):
                progress.silent[holder] = f"its shares are of renewal {renewal}"
            case _:
                self._accuse(holder, progress)

    def _accuse(self, holder: int, progress: _Progress) -> None:
        account = progress.key.accounts[holder - 1]
        progress.bad.add(holder)
        log.error("a node gave a share that does not hold", peer=account, holder=holder)
        self._bad_share(account)

    def _key(self, ask: ShareAsk) -> HeldKey:
        key = self._keys.version(ask.purpose, ask.version)
        if key is None:
            raise KeyRefused(reason="unknown_key")
        return key

    def _shortage(self, progress: _Progress) -> str:
        def name(holder: int) -> str:
            return progress.key.accounts[holder - 1].hex()

        parts = [f"{len(progress.checked)} of {progress.threshold} good shares"]
        parts += [f"{name(holder)} gave a bad share" for holder in sorted(progress.bad)]
        parts += [f"{name(holder)} refuses: {why}" for holder, why in sorted(progress.refused.items())]
        parts += [f"{name(holder)} gave none: {why}" for holder, why in sorted(progress.silent.items())]
        return "; ".join(parts)
