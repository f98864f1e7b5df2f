"""The arithmetic of shares, off the event loop.

Rule: one thread, one task after the other; between two elements it lets everything else run. The library holds the
interpreter while it multiplies, so that a second thread would only make both late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from ledger.crypto.threshold.encryption import SealedKey, check_sealed
from ledger.crypto.threshold.group import Element, Group, Hash
from ledger.crypto.threshold.shares import Share, check_share, combine, make_share
from ledger.domains import Domain
from node.holders.ports import HeldKey, OwnShare, Permitted

T = TypeVar("T")
STEPS: Final = ("header", "hash", "make", "own", "check", "decode", "combine")


class ShareWork:
    """Everything that multiplies.

    Args:
        group: of all elements.
        hash_: the suite's domain-separated hash.
        measured: is told each step's name and the processor time that it took, in seconds.
    """

    def __init__(
        self, group: Group, hash_: Hash, measured: Callable[[str, float], None] = lambda _step, _seconds: None
    ) -> None:
        self._group = group
        self._hash = hash_
        self._measured = measured
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shares")

    def close(self) -> None:
        """Let the thread end; what was under way is finished, what waits is not begun."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def check_headers(self, headers: Sequence[tuple[SealedKey, bytes]]) -> tuple[Element | None, ...]:
        """The element to multiply of each (sealed key, label); None where it was not made for that label."""

        def one(header: tuple[SealedKey, bytes]) -> Element | None:
            return check_sealed(self._group, self._hash, *header)

        return await self._run("header", one, headers)

    async def make(self, key: HeldKey, own: OwnShare, permitted: Permitted) -> tuple[Share, ...]:
        """This holder's share of every base, each with its proof."""
        share_key = key.holders.share_keys[own.holder - 1]

        def one(base: Element) -> Share:
            return make_share(
                self._group,
                self._hash,
                base,
                holder=own.holder,
                secret=own.secret,
                context=permitted.context,
                draw=self._group.random_scalar,
                share_key=share_key,
            )

        return await self._run("make", one, permitted.bases)

    async def own(self, own: OwnShare, permitted: Permitted) -> tuple[Element, ...]:
        """This holder's share of every base for itself, who needs no proof."""
        return await self._run("own", lambda base: base.times(own.secret), permitted.bases)

    async def check(
        self, key: HeldKey, holder: int, permitted: Permitted, shares: Sequence[Share]
    ) -> tuple[Element, ...] | None:
        """The elements of a holder's shares if every one is its own and holds, else None."""
        if len(shares) != len(permitted.bases) or any(share.holder != holder for share in shares):
            return None
        pairs = list(zip(permitted.bases, shares, strict=True))

        def one(pair: tuple[Element, Share]) -> Element | None:
            return check_share(self._group, self._hash, key.holders, *pair, permitted.context)

        checked = await self._run("check", one, pairs)
        elements = tuple(element for element in checked if element is not None)
        return elements if len(elements) == len(checked) else None

    async def decode(self, permitted: Permitted, encoded: Sequence[bytes]) -> tuple[Element, ...] | None:
        """The elements of bare shares, one a base; None if there are others or one is none of the group."""
        if len(encoded) != len(permitted.bases):
            return None
        decoded = await self._run("decode", self._group.decode, encoded)
        elements = tuple(element for element in decoded if element is not None)
        return elements if len(elements) == len(decoded) else None

    async def hash_to_elements(self, domain: Domain, messages: Sequence[bytes]) -> tuple[Element, ...]:
        """Elements of which nobody knows a logarithm, one a message."""
        return await self._run("hash", lambda message: self._group.hash_to_element(domain, message), messages)

    async def combine(self, key: HeldKey, checked: dict[int, tuple[Element, ...]]) -> tuple[Element, ...]:
        """Each base times the shared secret, from at least the threshold of holders' elements."""

        def one(index: int) -> Element:
            return combine(
                self._group, key.holders, {holder: elements[index] for holder, elements in checked.items()}
            )

        count = len(next(iter(checked.values())))
        return await self._run("combine", one, range(count))

    async def _run(self, step: str, one: Callable[..., T], items: Sequence[object]) -> tuple[T, ...]:
        def work() -> tuple[T, ...]:
            begun = time.thread_time()
            results = []
            for item in items:
                results.append(one(item))
                time.sleep(0)
            self._measured(step, time.thread_time() - begun)
            return tuple(results)

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
