"""Takes an archive into a home folder: every block is proven final, executed again, and written like one from a peer.

Rule: nothing gets into the store that was not proven from the trust point first, and what a failure leaves there is a whole,
proven beginning of the chain; doing it again goes on from it. Whether the folder's vote key may vote is decided before the
store grows, by the rule of `node/journal.py`, as at a first start: a folder that was never started keeps its vote, one whose
journal is lost is silenced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from consensus.disk import FileDisk, FileReader
from consensus.journal import is_journal
from consensus.journal_replay import replay
from contracts.genesis import genesis_state
from contracts.membership import nodes, validators
from contracts.registry import REGISTRY
from contracts.versions import Registry
from ledger import readable
from ledger.archive import (
    ArchivedBlob,
    ArchivedBlock,
    ArchiveReader,
    EpochEnd,
    Founding,
    Placed,
    SnapshotListed,
    SnapshotPiece,
)
from ledger.archive_check import ArchiveCheck, ProvenArchive
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.errors import Category, LedgerError, invariant
from ledger.hashing import block_digest
from ledger.snapshot import Snapshot
from ledger.store import Store
from ledger.store_build import Origin
from ledger.types import EpochChange, FinalizedBlock, Genesis, Trust
from network.errors import TlsIdentityInvalid
from node.archive_read import ContractMeaning, Progress, closed, opened
from node.bootstrap import OtherNetwork
from node.cards import read_card
from node.execution import Execution, FinalizedExecution
from node.founding import BUNDLE_BYTES_MAX, genesis_from_json, genesis_to_json, make_bundle
from node.home import Home, read_file, write_file
from node.journal import begin_journal
from node.mempool import Mempool, PoolLimits, SignatureCache
from node.rotation import discard_next_vote_key
from node.vault.blobs import LocalBlobStore

GROUP_BLOCKS: Final = 64

_Tick = Callable[[], None]
_Piece = Callable[[int], bytes]


class ImportRefused(LedgerError):
    """This archive cannot be taken in here. Fields: reason_zh, reason_en."""

    code = "import_refused"
    category = Category.CONFLICT
    zh = "无法导入归档：{reason_zh}"
    en = "Cannot import the archive: {reason_en}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it.

    Attributes:
        proven: what the archive holds.
        height: of the store now.
        first_height: lowest height held.
        executed: how many blocks were executed.
        silenced: this folder is a validator's whose vote key must not vote any more.
        identity: the folder has an identity, and so can be run as a node.
        peers: it has a list of nodes to begin with.
    """

    proven: ProvenArchive
    height: int
    first_height: int
    executed: int
    silenced: bool
    identity: bool
    peers: bool


class Replay:
    """Executes finalized blocks on a store, in order, and commits them in groups.

    Args:
        suite: the network's.
        store: grows.
        registry: the versions of contracts that this release has; history needs those of its time.

    Attributes:
        executed: how many blocks were.
    """

    def __init__(self, suite: CryptoSuite, store: Store, registry: Registry = REGISTRY) -> None:
        self._suite = suite
        self._store = store
        self._execution = Execution(
            suite=suite,
            store=store,
            mempool=Mempool(PoolLimits()),
            verify=SignatureCache(suite),
            on_finalized=_nobody,
            clock_ms=lambda: 0,
            registry=registry,
        )
        self.executed = 0

    def add(self, finalized: FinalizedBlock) -> None:
        """Take the next block; one that the store has already is compared with it.

        Raises:
            ImportRefused: it is not the store's block, leaves a gap, or execution gives something else than was certified.
            ReleaseTooOld, ReleaseLacksContract: this release cannot judge it.
            Unavailable: the disk is full; what was committed stays.
        """
        header = finalized.block.header
        digest = block_digest(self._suite, header)
        height = self._execution.finalized_height()
        if header.height <= height:
            self._compare(header.height, digest)
            return
        if header.height != height + 1:
            raise ImportRefused(
                reason_zh=f"账本到高度 {height}，归档从 {header.height} 开始，中间缺少区块",
                reason_en=f"the ledger ends at height {height} and the archive begins at {header.height}: blocks are missing",
            )
        if not self._execution.verify(finalized.block, digest):
            raise ImportRefused(
                reason_zh=f"区块 {header.height} 重新执行的结果与其证明的不同",
                reason_en=f"executing block {header.height} again gives something else than was certified",
            )
        self._execution.finalize(finalized, digest)
        self.executed += 1
        if self._execution.finalized_height() - self._store.height >= GROUP_BLOCKS:
            self.flush()

    def flush(self) -> None:
        """Commit what waits. Raises Unavailable when the disk is full."""
        while group := self._execution.next_group(GROUP_BLOCKS):
            self._store.commit(group)
            self._execution.group_committed()

    def _compare(self, height: int, digest: bytes) -> None:
        held = self._store.first_height <= height <= self._store.height
        if held and self._store.height_of(digest) != height:
            raise ImportRefused(
                reason_zh=f"账本在高度 {height} 有另一个区块；两者不可能同属一条链",
                reason_en=f"the ledger has another block at height {height}; both cannot be of one chain",
            )


def import_archive(
    path: Path, home: Home, trust: Trust | None, *, trust_snapshot: bool, progress: Progress
) -> Imported:
    """Take an archive in; the caller holds the folder's lock.

    Args:
        path: the archive.
        home: a node's folder, with an identity or without, with a ledger or without; its folders exist.
        trust: chain and validators; None for a home that has its network's genesis already.
        trust_snapshot: begin with the snapshot in it, and leave the blocks before it out.
        progress: told the stage, and how many bytes of how many are read.

    Raises:
        ArchiveRejected: the archive does not hold. ImportRefused: it cannot be taken in here.
        OtherNetwork: the home belongs to another network.
        StorageDamaged, Unavailable, FileUnusable: the home cannot be read or written.
    """
    with opened(path) as (reader, size_bytes):
        known = _known_genesis(home)
        if known is not None and chain_id(reader.suite, known) != reader.opening.chain_id:
            raise OtherNetwork(path=str(home.root))
        if known is None and trust is None:
            raise ImportRefused(
                reason_zh="此目录还不属于任何网络，须用 --trust 给出信任文件",
                reason_en="this folder belongs to no network yet, so a trust file is needed: --trust",
            )
        check = ArchiveCheck(reader, trust, ContractMeaning(), every_certificate=not trust_snapshot)
        with _Importing(home, reader, check, trust_snapshot=trust_snapshot) as taking:
            proven = taking.run(lambda: progress("import", reader.offset, size_bytes))
            return taking.outcome(proven)


class _Importing:
    """One import; a context manager, which closes the store."""

    def __init__(
        self, home: Home, reader: ArchiveReader, check: ArchiveCheck, *, trust_snapshot: bool
    ) -> None:
        self._home = home
        self._reader = reader
        self._check = check
        self._suite = reader.suite
        self._from_snapshot = trust_snapshot
        self._changes: list[EpochChange] = []
        self._store: Store | None = None
        self._replay: Replay | None = None
        self._blobs: LocalBlobStore | None = None
        self._silenced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._store is not None:
            self._store.close()

    def run(self, tick: _Tick) -> ProvenArchive:
        """Take every frame; gives what was proven."""
        frames = self._reader.frames_after_opening()
        proven: ProvenArchive | None = None
        for placed in frames:
            proven = self._check.take(placed)
            match placed.frame:
                case Founding(genesis=genesis):
                    self._begin(genesis)
                case EpochEnd(change=change):
                    if self._from_snapshot:
                        self._changes.append(change)
                case ArchivedBlock(finalized=finalized):
                    if self._replay is not None:
                        self._replay.add(finalized)
                case SnapshotListed():
                    if self._from_snapshot:
                        self._build(frames, tick)
                case ArchivedBlob(data=data):
                    self._blob_store().put(data)
                case _:
                    pass
            tick()
        if self._replay is not None:
            self._replay.flush()
        return closed(proven)

    def _begin(self, genesis: Genesis) -> None:
        opening, home = self._reader.opening, self._home
        held = any(home.store.iterdir())
        if self._from_snapshot and (held or not opening.snapshot):
            raise ImportRefused(
                reason_zh="此目录已有账本，不能再从快照开始" if held else "归档中没有快照",
                reason_en="there is a ledger here already, so it cannot begin with a snapshot"
                if held
                else "there is no snapshot in it",
            )
        if held:
            self._store = Store.open(home.store, self._suite)
            if self._store.genesis != genesis:
                raise OtherNetwork(path=str(home.store))
        elif not self._from_snapshot and opening.first_height > 1:
            raise ImportRefused(
                reason_zh=f"归档从高度 {opening.first_height} 开始，空目录须先导入之前的归档"
                + ("，或加 --trust-snapshot" if opening.snapshot else ""),
                reason_en=f"it begins at height {opening.first_height}: import what comes before first"
                + (", or add --trust-snapshot" if opening.snapshot else ""),
            )
        self._decide_votes(self._store.height if self._store is not None else 0)
        if not home.genesis.exists():
            write_file(home.genesis, genesis_to_json(genesis), replace=False)
        if self._store is None and not self._from_snapshot:
            self._store = Store.create(home.store, self._suite, genesis, genesis_state(self._suite, genesis))
        if self._store is not None:
            self._replay = Replay(self._suite, self._store)

    def _decide_votes(self, height: int) -> None:
        """Have the journal before the store has blocks, so that a folder which never voted is told from one that forgot."""
        home = self._home
        if not home.card.exists():
            return
        vote_key = bytes.fromhex(read_card(home.card).vote_key)
        disk = FileDisk(home.journal)
        try:
            if not is_journal(disk):
                journal = begin_journal(home, disk, store_height=height, vote_key=vote_key)
                if journal.silenced is not None:
                    # Nobody knows whether a key that waited for the operators' vote has voted.
                    discard_next_vote_key(home)
                journal.close()
        finally:
            disk.close()

    def _build(self, frames: Iterator[Placed], tick: _Tick) -> None:
        """The store out of the pieces that come next."""
        snapshot, genesis = self._check.snapshot, self._check.genesis
        invariant(snapshot is not None and genesis is not None, "a snapshot was listed")
        assert snapshot is not None and genesis is not None  # noqa: S101, PT018  # for the type checker

        def piece(index: int) -> bytes:
            placed = next(frames)
            self._check.take(placed)
            tick()
            # Anything else than the next piece was refused just now, unless it is the end, which comes too early.
            if not isinstance(placed.frame, SnapshotPiece) or placed.frame.index != index:
                raise ImportRefused(reason_zh="快照不完整", reason_en="the snapshot is not whole")
            return placed.frame.data

        self._store = _create_from(self._home, self._suite, genesis, tuple(self._changes), snapshot, piece)

    def _blob_store(self) -> LocalBlobStore:
        if self._blobs is None:
            self._blobs = LocalBlobStore(self._home.blobs, self._suite)
        return self._blobs

    def outcome(self, proven: ProvenArchive) -> Imported:
        """What is there now; the nodes that the ledger names are noted for the start."""
        store, home = self._store, self._home
        invariant(store is not None, "a closed archive filled a store")
        assert store is not None  # noqa: S101  # for the type checker
        peers = home.peers.exists() or _note_peers(home, store)
        identity = home.card.exists()
        return Imported(
            proven=proven,
            height=store.height,
            first_height=store.first_height,
            executed=self._replay.executed if self._replay is not None else 0,
            silenced=identity and self._is_silenced(store),
            identity=identity,
            peers=peers,
        )

    def _is_silenced(self, store: Store) -> bool:
        card = read_card(self._home.card)
        own = [one.vote_key for one in validators(store).validators if one.account.hex() == card.account]
        silenced = journal_silence(self._home)
        return silenced is not None and silenced in own


def _note_peers(home: Home, store: Store) -> bool:
    """Write down the nodes that the ledger names; whether it could, as one of them may have a certificate that is none."""
    try:
        peers = make_bundle(store.genesis, nodes(store)).peers
    except TlsIdentityInvalid:
        return False
    write_file(home.peers, readable.render(msgspec.to_builtins(peers)).encode())
    return True


def journal_silence(home: Home) -> bytes | None:
    """The vote key that the home's journal silences, if any. Raises StorageDamaged."""
    return replay(FileReader(home.journal)).silenced


def _create_from(
    home: Home,
    suite: CryptoSuite,
    genesis: Genesis,
    changes: tuple[EpochChange, ...],
    snapshot: Snapshot,
    piece: _Piece,
) -> Store:
    origin = Origin(genesis=genesis, state=genesis_state(suite, genesis), changes=changes)
    return Store.create_from_snapshot(home.store, suite, origin, snapshot, piece)


def _known_genesis(home: Home) -> Genesis | None:
    if not home.genesis.exists():
        return None
    return genesis_from_json(read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX))


def _nobody(_final: FinalizedExecution) -> None:
    return None
