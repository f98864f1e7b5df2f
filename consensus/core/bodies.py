"""Getting blocks here and executed: what is missing is fetched, what is here is executed from the root upwards.

Rule: asking twice costs nothing; every question here may be asked again after any event, and each want and each execution is
asked of the world once until it is answered or `forget_wants` says that time has passed.
"""

from __future__ import annotations

from consensus.core.chain import BlockTree, Entry, Gap
from consensus.core.effects import Effect, ExecuteBlock, WantBlock, WantCertificates, WantFinalized
from consensus.core.fillers import follows
from consensus.core.settings import Committee, Hashing
from ledger.errors import invariant
from ledger.types import Block


class Bodies:
    """The block tree and the wishes about it."""

    def __init__(self, tree: BlockTree, committee: Committee, hashing: Hashing, out: list[Effect]) -> None:
        self.tree = tree
        self._committee = committee
        self._hashing = hashing
        self._out = out
        self._executing: bytes | None = None
        self._must_be_valid = False
        self._wanted: dict[bytes, None] = {}
        self._asked: set[tuple[int, int]] = set()

    @property
    def executing(self) -> bool:
        """Whether the answer to an ExecuteBlock is awaited."""
        return self._executing is not None

    def forget_wants(self) -> None:
        """Let everything that is still missing be asked for again."""
        self._wanted.clear()
        self._asked.clear()

    def want_certificates(self, span: tuple[int, int], hint: bytes | None) -> None:
        if span not in self._asked:
            self._asked.add(span)
            self._out.append(WantCertificates(first_view=span[0], last_view=span[1], hint=hint))

    def want_finalized(self, first_height: int) -> None:
        if (0, first_height) not in self._asked:
            self._asked.add((0, first_height))
            self._out.append(WantFinalized(first_height=first_height))

    def want(self, digest: bytes, height: int, hint: bytes | None) -> None:
        if digest not in self._wanted:
            self._wanted[digest] = None
            self._out.append(WantBlock(digest=digest, height=height, hint=hint))

    def fetched(self, block: Block) -> bool:
        """Keep a body that was wanted. False if nobody wanted it or it is not what its header says."""
        digest = self._hashing.block_digest(block.header)
        if digest not in self._wanted:
            return False
        if self._hashing.transactions_root(block.transactions) != block.header.transactions_root:
            return False
        del self._wanted[digest]
        self.tree.add(block, digest)
        return True

    def ensure_executed(self, digest: bytes, *, height: int, hint: bytes | None) -> bool:
        """Whether the application has the state after a certified block; sets out to get there when it has not.

        Args:
            digest: of a block that is notarized or final.
            height: its height, 0 when unknown.
            hint: who is likely to have missing bodies.
        """
        if self.tree.executed(digest):
            return True
        lineage = self.tree.lineage(digest, height=height)
        if lineage is None:
            return False
        if isinstance(lineage, Gap):
            self.want(lineage.digest, lineage.height, hint)
            return False
        for entry in lineage:
            if not entry.executed and not self._fills(entry):
                self.execute(entry, certified=True)
                return False
        return True

    def _fills(self, entry: Entry) -> bool:
        """Whether a certified block is a filler, so that there is nothing to execute."""
        parent = self.tree.header(entry.header.parent)
        if parent is None or not self._committee.seals(parent):
            return False
        invariant(
            follows(parent, entry.header, self._committee, self._hashing),
            f"certified block {entry.digest.hex()} above the epoch's seal is no filler",
        )
        entry.executed = True
        return True

    def execute(self, entry: Entry, *, certified: bool) -> None:
        """Have a block executed whose parent has been; one at a time.

        Args:
            entry: the block.
            certified: whether a quorum has certified it or a descendant of it.
        """
        if self._executing is None:
            self._executing, self._must_be_valid = entry.digest, certified
            self._out.append(ExecuteBlock(block=entry.block, digest=entry.digest))

    def executed(self, digest: bytes, *, valid: bool, certified: bool) -> None:
        """Note what execution said.

        Raises:
            InvariantViolation: a quorum certified what is not valid here.
        """
        invariant(digest == self._executing, "the execution of a block was reported that nobody asked for")
        invariant(
            valid or not (certified or self._must_be_valid),
            f"certified block {digest.hex()} is not valid here",
        )
        self._executing = None
        entry = self.tree.get(digest)
        if entry is not None:
            entry.executed, entry.invalid = valid, not valid
