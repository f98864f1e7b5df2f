"""From a Finalization to finalized blocks: commit in height order, each block once, with a proof of its own.

Rule: a block is handed on only after it was executed here and its body and proof were given to the journal. Blocks become provable
in two ways: by a Finalization whose ancestry is here, or by a range of finalized blocks that a peer sent.
"""

from __future__ import annotations

from collections.abc import Callable

from consensus.core.bodies import Bodies
from consensus.core.chain import Entry, Gap
from consensus.core.effects import Effect, Finalize, Persist
from consensus.core.finality import why_not_final
from consensus.core.records import BlockRecord, FinalizationRecord
from consensus.core.settings import Committee, Hashing
from consensus.core.view import Rounds
from ledger.errors import invariant
from ledger.types import FinalizedBlock, Header, QuorumCertificate


class Finalizer:
    """Keeps the proofs of blocks above the root, and commits those whose turn it is."""

    def __init__(
        self, bodies: Bodies, rounds: Rounds, committee: Committee, hashing: Hashing, out: list[Effect]
    ) -> None:
        self._bodies = bodies
        self._committee = committee
        self._tree = bodies.tree
        self._rounds = rounds
        self._hashing = hashing
        self._out = out
        self._proven: dict[int, FinalizedBlock] = {}
        self._tip: tuple[bytes, Header] = (self._tree.root_digest, self._tree.root_header)
        # Asked at every event, and told by the root alone.
        self._root = self._tree.root_header
        self._root_seals = committee.seals(self._root)

    @property
    def sealed(self) -> bool:
        """Whether the epoch's last block is committed."""
        header = self._tree.root_header
        if header is not self._root:
            self._root, self._root_seals = header, self._committee.seals(header)
        return self._root_seals

    @property
    def behind(self) -> bool:
        """Whether a block of this epoch is known to be final that is not committed yet."""
        return not self.sealed and self._rounds.finalized.digest != self._tree.root_digest

    @property
    def next_height(self) -> int:
        """Of the first block that is not proven final here."""
        return self._tip[1].height + 1

    def commit(self) -> None:
        """Commit as many blocks as are proven, here and executed; set out to get the next."""
        while not self.sealed and (self.behind or self._proven):
            entry = self._next()
            if entry is None:
                return
            if not entry.executed:
                self._bodies.execute(entry, certified=True)
                return
            self._finalize(entry)

    def _next(self) -> Entry | None:
        height = self._tree.root_header.height + 1
        if height not in self._proven and not self._prove_lineage():
            return None
        finalized = self._proven[height]
        return self._tree.add(finalized.block, self._hashing.block_digest(finalized.block.header))

    def _prove_lineage(self) -> bool:
        """Prove the ancestors of the newest Finalization, if they are all here."""
        final = self._rounds.finalized
        if final.certificate is None:
            return False
        lineage = self._tree.lineage(final.digest)
        invariant(lineage is not None, "a finalized block does not descend from the one committed before")
        if lineage is None or isinstance(lineage, Gap):
            self._bodies.want_finalized(self.next_height)
            return False
        # All of them before the first is handed on: its proof goes through the headers of the others, fillers among them.
        for entry in lineage:
            self._persist(entry)
        self._prove(lineage, (), final.certificate)
        return True

    def _persist(self, entry: Entry) -> None:
        if not entry.persisted:
            entry.persisted = True
            self._out.append(Persist(record=BlockRecord(block=entry.block)))

    def _prove(
        self, lineage: list[Entry], beyond: tuple[Header, ...], certificate: QuorumCertificate
    ) -> None:
        """Give each block of a lineage that is not proven yet its proof; fillers are in paths only."""
        headers = tuple(entry.header for entry in lineage) + beyond
        for index, entry in enumerate(lineage):
            if entry.header.height > self._tip[1].height:
                path = headers[index + 1 :]
                self._extend(
                    FinalizedBlock(block=entry.block, path=path, certificate=certificate), entry.digest
                )

    def _finalize(self, entry: Entry) -> None:
        finalized = self._proven.pop(entry.header.height)
        self._persist(entry)
        self._tree.advance(entry)
        self._out.append(Finalize(finalized=finalized, digest=entry.digest))

    def restore(self, digest: bytes, record: FinalizationRecord) -> None:
        """Take a proof from the journal: of the block of that digest and, where their bodies are here, its ancestors."""
        lineage = self._tree.lineage(digest)
        if lineage is None or isinstance(lineage, Gap):
            return
        self._prove(lineage, record.path, record.certificate)

    def receive(
        self, blocks: tuple[FinalizedBlock, ...], certified: Callable[[QuorumCertificate], bool]
    ) -> str | None:
        """Take finalized blocks from a peer.

        What lies beyond the epoch's seal is left for the next epoch.

        Args:
            blocks: consecutive, from anywhere.
            certified: checks epoch and signatures of a quorum certificate.

        Returns:
            What is wrong with the first bad one; those before it are kept. None when all are good.
        """
        for finalized in blocks:
            header = finalized.block.header
            tip, above = self._tip
            if header.height <= above.height:
                continue
            if self._committee.seals(above):
                return None
            digest = self._hashing.block_digest(header)
            if (header.parent, header.height - 1) != (tip, above.height):
                return "the block does not extend the chain"
            reason = why_not_final(finalized, digest, self._committee, self._hashing, certified)
            if reason is not None:
                return reason
            self._out.append(
                Persist(record=FinalizationRecord(certificate=finalized.certificate, path=finalized.path))
            )
            self._extend(finalized, digest)
        return None

    def _extend(self, finalized: FinalizedBlock, digest: bytes) -> None:
        self._proven[finalized.block.header.height] = finalized
        self._tip = (digest, finalized.block.header)
