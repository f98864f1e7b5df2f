"""Whether the pool gives consensus anything to do.

Rule: work is a transaction that a block on the finalized head may hold, or one whose expiry a block would decide now. What was
admissible when it was accepted and is not any more waits for its expiry in silence: leaders must not make empty
blocks for it until then. Asked often, so that what was found out about one head is found out once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contracts.admission import (
    Duplicate,
    Inadmissible,
    KeyRevoked,
    TooLarge,
    TransactionSignatureInvalid,
    WrongNetwork,
)
from node.mempool import Mempool, Pending

# A verdict may change with the clock alone: a lifetime that is too long is not so for ever.
REJUDGE_AFTER_MS: Final = 1_000
# What holds at a finalized head and at every later one. (A full account forgets revoked keys and could add one again; what was
# signed with it before expires.)
FOR_EVER: Final = (Duplicate, KeyRevoked, TooLarge, TransactionSignatureInvalid, WrongNetwork)


class Prospects:
    """What becomes of the transactions in a pool, as far as the finalized head tells.

    Args:
        mempool: the pool; what is in it mostly leaves only when the head changes.
    """

    def __init__(self, mempool: Mempool) -> None:
        self._mempool = mempool
        self._head = b""
        self._judged_ms = 0
        self._admissible: bytes | None = None
        self._not_now: set[bytes] = set()
        self._hopeless: set[bytes] = set()

    def hopeless(self, transaction_id: bytes) -> bool:
        """Whether no later block can hold it; known only of what `any` has met."""
        return transaction_id in self._hopeless

    def any(self, head: bytes, now_ms: int, judge: Callable[[Pending], None]) -> bool:
        """Whether there is work.

        Args:
            head: digest of the finalized head.
            now_ms: the time that a block made now would have, later than the head's.
            judge: raises Inadmissible if no block on the head may hold the transaction at that time.
        """
        due_ms = self._mempool.next_expiry_ms
        if due_ms is None or due_ms < now_ms:
            return due_ms is not None
        self._refresh(head, now_ms)
        if self._admissible is not None and self._admissible in self._mempool:
            return True
        if len(self._mempool) == len(self._not_now) + len(self._hopeless):
            return False
        for entry in self._mempool:
            name = entry.transaction_id
            if name in self._hopeless or name in self._not_now:
                continue
            try:
                judge(entry)
            except FOR_EVER:
                self._hopeless.add(name)
            except Inadmissible:
                self._not_now.add(name)
            else:
                self._admissible = name
                return True
        return False

    def _refresh(self, head: bytes, now_ms: int) -> None:
        """Forget what another head or an earlier time has told, and what has left the pool."""
        if head != self._head:
            self._admissible = None
        if head != self._head or abs(now_ms - self._judged_ms) >= REJUDGE_AFTER_MS:
            self._hopeless = {name for name in self._hopeless if name in self._mempool}
            self._not_now.clear()
            self._judged_ms = now_ms
        self._head = head
