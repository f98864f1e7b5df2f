"""Using this node's share for somebody who asks in the name of a record on the ledger.

Rule: this node's own replica says yes first (`Permit`), for this sender and for exactly these elements; only then is
anything multiplied. Asks are bounded in size, for each peer and altogether. Every use is recorded: what for, for whom, how
many elements.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from ledger import codec
from ledger.crypto.threshold.group import Element
from ledger.crypto.threshold.shares import Share
from ledger.errors import Busy, LimitExceeded, Unavailable
from node.holders.errors import KeyRefused
from node.holders.ports import (
    ASK_PAYLOAD_BYTES_MAX,
    BASES_PER_ASK_MAX,
    BareShares,
    HeldKey,
    OwnShare,
    OwnShares,
    Permit,
    Permitted,
    ShareAnswer,
    ShareAsk,
    SharedKeys,
    ShareRefusal,
    ShareRenewed,
)
from node.holders.work import ShareWork

ASK_SIZE_BYTES_MAX: Final = ASK_PAYLOAD_BYTES_MAX + 1024
ANSWER_SIZE_BYTES_MAX: Final = BASES_PER_ASK_MAX * 512 + 1024
# One peer may have so many asks under way here, and all of them together so many.
ASKS_PER_PEER_MAX: Final = 32
ASKS_MAX: Final = 128
BUSY_RETRY_AFTER_S: Final = 1

Answer = ShareAnswer | BareShares | ShareRefusal | ShareRenewed
Recorded = Callable[[str, str, float], None]

log = structlog.get_logger()


def decode_ask(body: bytes) -> ShareAsk:
    """An ask as a peer sent it. Raises DecodeError, LimitExceeded."""
    return codec.decode(body, ShareAsk, size_bytes_max=ASK_SIZE_BYTES_MAX, what="share ask")


def decode_answer(body: bytes) -> Answer:
    """An answer as a peer sent it. Raises DecodeError, LimitExceeded."""
    kinds: Any = Answer
    answer: Answer = codec.decode(body, kinds, size_bytes_max=ANSWER_SIZE_BYTES_MAX, what="share answer")
    return answer


class ShareServer:
    """This node as a holder.

    Args:
        account: this node's own.
        keys: the keys in force, by this node's replica.
        shares: this node's shares.
        permits: who decides, by the ask's kind.
        work: where shares are computed.
        recorded: is told kind, outcome and duration in seconds of every ask.
    """

    def __init__(
        self,
        *,
        account: bytes,
        keys: SharedKeys,
        shares: OwnShares,
        permits: Mapping[str, Permit],
        work: ShareWork,
        recorded: Recorded = lambda _kind, _outcome, _seconds: None,
    ) -> None:
        self._account = account
        self._keys = keys
        self._shares = shares
        self._permits = permits
        self._work = work
        self._recorded = recorded
        self._serving: Counter[bytes] = Counter()

    async def serve(self, sender: bytes, body: bytes) -> bytes:
        """Answer a peer's ask; a refusal is an answer too.

        Raises:
            LedgerError: malformed, too much at once, or this node cannot say yet.
        """
        ask = decode_ask(body)
        begun = time.perf_counter()
        async with self._counted(sender):
            answer = await self._answer(sender, ask)
        kind = ask.kind if ask.kind in self._permits else "unknown"
        self._recorded(kind, _OUTCOMES[type(answer)], time.perf_counter() - begun)
        return codec.encode(answer)

    async def permitted(self, ask: ShareAsk) -> Permitted:
        """What this node's own replica says of its own ask. Raises what the permit raises."""
        return await self._permit(self._account, ask)

    async def own(self, key: HeldKey, ask: ShareAsk, permitted: Permitted) -> tuple[int, tuple[Element, ...]]:
        """This node's holder number and its share of every base, for itself.

        Raises:
            Unavailable: this node holds no share of this key.
        """
        own = self._own_share(key)
        elements = await self._work.own(own, permitted)
        self._log(self._account, ask, len(elements))
        return own.holder, elements

    async def own_shares(
        self, key: HeldKey, ask: ShareAsk, permitted: Permitted
    ) -> tuple[int, tuple[Share, ...]]:
        """As `own`, each with its proof: for whoever this node hands them on to."""
        own = self._own_share(key)
        shares = await self._work.make(key, own, permitted)
        self._log(self._account, ask, len(shares))
        return own.holder, shares

    async def _answer(self, sender: bytes, ask: ShareAsk) -> Answer:
        try:
            return await self._use(sender, ask)
        except KeyRefused as refused:
            log.warning(
                "share refused", kind=ask.kind, record=ask.record_id, peer=sender, reason=refused.reason
            )
            return ShareRefusal(reason=refused.reason)

    async def _use(self, sender: bytes, ask: ShareAsk) -> Answer:
        permitted = await self._permit(sender, ask)
        # The permit has waited for this replica: only now the key's renewal is looked at.
        key = self._keys.version(ask.purpose, ask.version)
        if key is None:
            return ShareRefusal(reason="unknown_key")
        if key.renewal != ask.renewal:
            return ShareRenewed(renewal=key.renewal)
        own = self._own_share(key)
        if ask.bare:
            elements = await self._work.own(own, permitted)
            permitted.again()
            self._log(sender, ask, len(elements))
            return BareShares(elements=tuple(element.encode() for element in elements))
        shares = await self._work.make(key, own, permitted)
        # There may have been a queue, in which this replica has seen a pause, a revocation or an erasure.
        permitted.again()
        self._log(sender, ask, len(shares))
        return ShareAnswer(shares=shares)

    async def _permit(self, sender: bytes, ask: ShareAsk) -> Permitted:
        permit = self._permits.get(ask.kind)
        if permit is None:
            raise KeyRefused(reason="unknown_kind")
        permitted = await permit.permit(sender, ask)
        if not 0 < len(permitted.bases) <= BASES_PER_ASK_MAX:
            raise LimitExceeded(
                limit="BASES_PER_ASK_MAX", maximum=BASES_PER_ASK_MAX, actual=len(permitted.bases)
            )
        return permitted

    def _own_share(self, key: HeldKey) -> OwnShare:
        own = self._shares.share(key.purpose, key.version, key.renewal)
        if own is None:
            raise Unavailable(what="key share", reason="this node holds no share of this key")
        return own

    @asynccontextmanager
    async def _counted(self, sender: bytes) -> AsyncIterator[None]:
        if self._serving[sender] >= ASKS_PER_PEER_MAX or self._serving.total() >= ASKS_MAX:
            raise Busy(what="key shares", retry_after_s=BUSY_RETRY_AFTER_S)
        self._serving[sender] += 1
        try:
            yield
        finally:
            self._serving[sender] -= 1
            self._serving = +self._serving

    def _log(self, receiver: bytes, ask: ShareAsk, count: int) -> None:
        log.info(
            "share used",
            kind=ask.kind,
            record=ask.record_id,
            peer=receiver,
            purpose=ask.purpose.value,
            version=ask.version,
            renewal=ask.renewal,
            elements=count,
        )


_OUTCOMES: Final[Mapping[type, str]] = {
    ShareAnswer: "given",
    BareShares: "given",
    ShareRefusal: "refused",
    ShareRenewed: "renewed",
}
