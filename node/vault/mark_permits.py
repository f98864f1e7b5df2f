"""What a holder multiplies for the seeds of marks: bases of copies that its own replica says are being made or were handed out.

Rule: as in `permits.py`. The asker sends ids of releases and no elements; what is multiplied follows from the ledger.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from contracts.shared_key_records import KeyPurpose
from contracts.state import RELEASES, TRACES
from ledger import domains
from ledger.crypto.threshold.group import Element
from ledger.domains import Domain
from ledger.errors import LimitExceeded
from node.holders.errors import KeyRefused
from node.holders.ports import BASES_PER_ASK_MAX, Permitted, ShareAsk
from node.holders.waiting import wait_final
from node.vault.mark_seeds import Copy, MarksAsk, copies_of, copy_name, decode_marks_ask, marks_context
from node.vault.opening import OpenParts
from node.vault.permits import HeaderChecks, ReleasePermit, Replica, TracePermit, _PartsPermit


class MarksWork(HeaderChecks, Protocol):
    """Off the event loop (`node.holders.work.ShareWork`)."""

    async def hash_to_elements(self, domain: Domain, messages: Sequence[bytes]) -> tuple[Element, ...]: ...


class _MarksPermit(_PartsPermit):
    """What releases and traces have in common; who may have parts of a record opened may have its marks' seeds.

    Args:
        replica: this node's.
        work: hashes to elements.
    """

    def __init__(self, replica: Replica, work: MarksWork) -> None:
        super().__init__(replica, work)
        self._marks_work = work

    async def permit(self, sender: bytes, ask: ShareAsk) -> Permitted:
        """Implements `node.holders.ports.Permit`."""
        asked = decode_marks_ask(ask.payload)
        if ask.purpose is not KeyPurpose.MARKS:
            raise KeyRefused(reason="wrong_key")
        if len(set(asked.releases)) != len(asked.releases):
            raise KeyRefused(reason="release_named_twice")
        await wait_final(self._replica.chain, asked.height)
        height = self._look()
        names = self._names(sender, ask.record_id, asked)
        if len(names) > BASES_PER_ASK_MAX:
            raise LimitExceeded(limit="BASES_PER_ASK_MAX", maximum=BASES_PER_ASK_MAX, actual=len(names))
        bases = await self._marks_work.hash_to_elements(domains.MARK_SEED, names)

        def again() -> None:
            if self._look() != height:
                self._names(sender, ask.record_id, asked)

        # That took a moment, in which this replica may have seen a revocation.
        again()
        return Permitted(bases=bases, context=marks_context(self._suite, self._chain_id, ask), again=again)

    def _names(self, sender: bytes, record_id: bytes, asked: MarksAsk) -> list[bytes]:
        self._allowed(sender, record_id, OpenParts(height=0, manifests=(), parts=(), releases=asked.releases))
        return [copy_name(self._chain_id, copy) for copy in self._copies(record_id, asked)]

    @abstractmethod
    def _copies(self, record_id: bytes, asked: MarksAsk) -> list[Copy]:
        """The copies whose seeds are asked for, after `_allowed` has said yes. Raises KeyRefused."""
        ...


class ReleaseMarksPermit(_MarksPermit, ReleasePermit):
    """For a release: its own copies', while it is requested or waits for its recipient."""

    def _copies(self, record_id: bytes, asked: MarksAsk) -> list[Copy]:
        release = self._state.record(RELEASES, record_id)
        if release is None or asked.releases != (record_id,):
            raise KeyRefused(reason="release_unrelated")
        return list(copies_of(release))


class TraceMarksPermit(_MarksPermit, TracePermit):
    """For a trace: those of every copy of its certificates that was handed out before it."""

    def _copies(self, record_id: bytes, asked: MarksAsk) -> list[Copy]:
        trace = self._state.record(TRACES, record_id)
        certificates = () if trace is None else trace.certificates
        return [
            copy
            for release_id in asked.releases
            if (release := self._state.record(RELEASES, release_id)) is not None
            for copy in copies_of(release)
            if copy.output.certificate in certificates
        ]
