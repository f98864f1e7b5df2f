"""Proves an archive, frame by frame, from a trust point.

Rule: pure logic; a frame is taken only after everything that it says follows from the trust point, from genesis, which the chain id
names, or from the frames before it. What is remembered is the last block's header, one or two validator sets, and counts.

Genesis is known by its hash, so the first validators are; each further set by the seal of the epoch before (`ledger/epochs.py`).
Where the trust point is of a later epoch, the set reached there must be its set: that keeps out a history which former
validators wrote with old keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, assert_never

from msgspec.structs import replace

from ledger.archive import (
    ArchivedBlob,
    ArchivedBlock,
    ArchiveManifest,
    ArchiveReader,
    Closing,
    Contents,
    EpochEnd,
    Founding,
    Frame,
    Opening,
    Placed,
    SnapshotListed,
    SnapshotPiece,
    refused,
    signature_holds,
)
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.domains import BLOB
from ledger.epochs import advance_trust
from ledger.errors import LedgerError, invariant
from ledger.hashing import block_digest, results_root, transaction_id, transactions_root
from ledger.light import TRUST_VERSION, check_finality, check_trust, is_seal
from ledger.snapshot import Snapshot, check_manifest
from ledger.state_receipts import StateReceipt, verify_state_receipt
from ledger.types import Genesis, Header, Trust
from ledger.verdicts import ProofRejected

MANIFEST_VERSION: Final = 1


class Meaning(Protocol):
    """What only the contracts can say."""

    def genesis_digest(self, suite: CryptoSuite, genesis: Genesis) -> bytes:
        """Digest of the block at height 0. Raises LedgerError when the document makes no network."""
        ...

    def key_in(self, manifest: ArchiveManifest, standing: StateReceipt) -> bool:
        """Whether the proven record is that of the manifest's account, and has its key."""
        ...


class _Stage(StrEnum):
    """What was taken last."""

    OPENING = "opening"
    GENESIS = "genesis"
    BLOCKS = "blocks"
    SNAPSHOT = "snapshot"
    BLOBS = "blobs"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenArchive:
    """What an archive turned out to hold.

    Attributes:
        manifest: of its last frame.
        head: header of the last block; None where there is none.
        trust: the validator set that votes on the block after it.
    """

    manifest: ArchiveManifest
    head: Header | None
    trust: Trust


class _Wrong(Exception):
    """A frame does not hold: check, zh, en."""


class ArchiveCheck:
    """Takes the frames of one archive in order.

    Args:
        reader: the archive, just opened; its links are checked by itself.
        trust: chain and a validator set; None to believe the genesis document in it, which the caller knows already.
        meaning: what the contracts say.
        every_certificate: verify each block's own proof of finality. Without, the seals' and the last block's, from which every
            other follows by the links between blocks: for whoever keeps none of those proofs.

    Attributes:
        genesis: the document, once it was taken.
        trust: the validator set that votes on the next block, once genesis was taken.
        snapshot: what is listed of it, once it was taken.
    """

    def __init__(
        self, reader: ArchiveReader, trust: Trust | None, meaning: Meaning, *, every_certificate: bool = True
    ) -> None:
        """See to it that the opening is one of the trusted network.

        Raises:
            ArchiveRejected: it is another network's, or impossible. ProofRejected: the trust point is not sound.
        """
        self._suite = reader.suite
        self._reader = reader
        self._opening = reader.opening
        self._meaning = meaning
        self._given = trust
        self._every_certificate = every_certificate
        self._stage = _Stage.OPENING
        self._counts = Contents()
        self._head: Header | None = None
        self._head_digest = b""

        self._seal: Header | None = None
        self._piece = 0
        self._last_blob = b""
        self._former: Trust | None = None
        self.genesis: Genesis | None = None
        self.trust: Trust | None = None
        self.snapshot: Snapshot | None = None
        self._at(Placed(0, 0, self._opening), self._check_opening)
        if trust is not None:
            check_trust(self._suite, trust)

    def take(self, placed: Placed) -> ProvenArchive | None:
        """Prove the next frame; at the closing one, what was proven.

        Raises:
            ArchiveRejected: the frame does not hold; the place is the frame's.
        """
        return self._at(placed, lambda: self._take(placed.frame))

    def _at(self, placed: Placed, check: _Check) -> ProvenArchive | None:
        number, offset = placed.number, placed.offset
        try:
            return check()
        except _Wrong as wrong:
            name, zh, en = wrong.args
            raise refused(number, offset, name, zh, en) from None
        except ProofRejected as error:
            name, zh, en = (
                str(error.fields["check"]),
                str(error.fields["reason_zh"]),
                str(error.fields["reason"]),
            )
            raise refused(number, offset, name, zh, en) from None
        except LedgerError as error:
            raise refused(number, offset, error.code, error.message("zh"), error.message("en")) from None

    def _take(self, frame: Frame) -> ProvenArchive | None:
        match frame:
            case Opening():
                raise _order("opening")
            case Founding():
                self._take_genesis(frame)
            case EpochEnd():
                self._take_epoch(frame)
            case ArchivedBlock():
                self._take_block(frame)
            case SnapshotListed():
                self._take_snapshot(frame)
            case SnapshotPiece():
                self._take_piece(frame)
            case ArchivedBlob():
                self._take_blob(frame)
            case Closing():
                return self._close(frame)
            case _:
                assert_never(frame)
        return None

    # --- the network ------------------------------------------------------------------------------------------------

    def _check_opening(self) -> None:
        opening, trust = self._opening, self._given
        if opening.last_height < opening.first_height - 1:
            raise _Wrong("range", "高度范围颠倒", "its heights are the wrong way round")
        if opening.snapshot and opening.last_height < opening.first_height:
            raise _Wrong("range", "没有区块的快照", "a snapshot without a block")
        if trust is None:
            return
        if opening.chain_id != trust.chain_id or opening.suite != trust.suite:
            raise _Wrong("chain", "归档属于另一个网络", "it is an archive of another network")
        if opening.network != trust.network:
            raise _Wrong("network", "网络名称与信任点不符", "the network's name differs from the trusted one")

    def _take_genesis(self, frame: Founding) -> None:
        if self._stage is not _Stage.OPENING:
            raise _order("genesis")
        genesis, opening = frame.genesis, self._opening
        if chain_id(self._suite, genesis) != opening.chain_id:
            raise _Wrong(
                "genesis", "创世文件与链标识不符", "the genesis document is not the one of its chain id"
            )
        if (genesis.network, genesis.suite) != (opening.network, opening.suite):
            raise _Wrong("genesis", "创世文件与首帧不符", "the genesis document differs from the opening")
        digest = self._meaning.genesis_digest(self._suite, genesis)
        trust = Trust(
            version=TRUST_VERSION,
            network=genesis.network,
            suite=genesis.suite,
            chain_id=opening.chain_id,
            validators=genesis.validators,
        )
        check_trust(self._suite, trust)
        self.genesis = genesis
        self._now_trusts(trust)
        if opening.first_height == 1:
            self._head_digest = digest

        self._stage = _Stage.GENESIS

    def _take_epoch(self, frame: EpochEnd) -> None:
        change, trust = frame.change, self.trust
        if self._stage not in {_Stage.GENESIS, _Stage.BLOCKS} or trust is None:
            raise _order("epoch")
        before_blocks = self._head is None and change.header.height < self._opening.first_height
        if self._seal != change.header and not before_blocks:
            raise _Wrong(
                "epoch_place", "纪元变更不在其末区块之后", "an epoch's end does not stand behind its seal"
            )
        self._now_trusts(advance_trust(self._suite, trust, change))
        self._seal = None
        self._counts = replace(self._counts, epochs=self._counts.epochs + 1)

    def _now_trusts(self, trust: Trust) -> None:
        given, epoch = self._given, trust.validators.epoch
        if given is not None and given.validators.epoch == epoch and given.validators != trust.validators:
            raise _Wrong(
                "trust",
                f"第 {epoch} 纪元的验证者集合与信任点不同",
                f"the validators of epoch {epoch} are not the trusted ones",
            )
        self._former, self.trust = self.trust, trust

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _take_block(self, frame: ArchivedBlock) -> None:
        if self._stage not in {_Stage.GENESIS, _Stage.BLOCKS} or self.trust is None:
            raise _order("block")
        final, header = frame.finalized, frame.finalized.block.header
        if self._seal is not None:
            raise _Wrong(
                "epoch_missing", "末区块之后缺少纪元变更", "the epoch's end is missing behind its seal"
            )
        expected = self._opening.first_height + self._counts.blocks
        if header.height != expected or header.height > self._opening.last_height:
            raise _Wrong(
                "height",
                f"区块高度为 {header.height}，应为 {expected}",
                f"a block of height {header.height} where {expected} belongs",
            )
        if self._head_digest and header.parent != self._head_digest:
            raise _Wrong("parent", "区块不是前一区块的后继", "the block is not the child of the one before")
        if self._head is not None and header.time_ms <= self._head.time_ms:
            raise _Wrong("time", "区块时间没有前进", "its time is not after that of the block before")
        last = header.height == self._opening.last_height
        if self._every_certificate or last:
            check_finality(self._suite, self.trust, header, final.path, final.certificate)
        elif header.epoch != self.trust.validators.epoch or header.chain_id != self.trust.chain_id:
            raise _Wrong("chain", "区块属于另一条链或纪元", "the block is of another chain or epoch")
        self._check_content(frame)
        self._head, self._head_digest = header, block_digest(self._suite, header)
        self._seal = header if is_seal(header) else None
        count = len(final.block.transactions)
        self._counts = replace(
            self._counts, blocks=self._counts.blocks + 1, transactions=self._counts.transactions + count
        )
        self._stage = _Stage.BLOCKS

    def _check_content(self, frame: ArchivedBlock) -> None:
        suite, block = self._suite, frame.finalized.block
        if transactions_root(suite, block.transactions) != block.header.transactions_root:
            raise _Wrong("transactions", "交易与区块头不符", "its transactions are not those of its header")
        if results_root(suite, frame.results) != block.header.results_root:
            raise _Wrong("results", "执行结果与区块头不符", "its results are not those of its header")
        ids = tuple(transaction_id(suite, transaction.body) for transaction in block.transactions)
        if tuple(result.transaction_id for result in frame.results) != ids:
            raise _Wrong("results", "执行结果与交易不对应", "its results are those of other transactions")

    def _blocks_done(self) -> None:
        """All blocks came, and an epoch that the last one ended has its end."""
        opening = self._opening
        wanted = opening.last_height - opening.first_height + 1
        if self._counts.blocks != wanted or self._stage is _Stage.OPENING:
            raise _Wrong(
                "blocks_missing",
                f"应有 {wanted} 个区块，实有 {self._counts.blocks} 个",
                f"{self._counts.blocks} blocks where there should be {wanted}",
            )
        if self._seal is not None:
            raise _Wrong(
                "epoch_missing", "末区块之后缺少纪元变更", "the epoch's end is missing behind its seal"
            )

    # --- state and ciphertext ---------------------------------------------------------------------------------------

    def _take_snapshot(self, frame: SnapshotListed) -> None:
        if self._stage is not _Stage.BLOCKS or not self._opening.snapshot:
            raise _order("snapshot")
        self._blocks_done()
        if frame.manifest.header != self._head:
            raise _Wrong(
                "snapshot_height",
                "快照不在最后一个区块",
                "the snapshot is not of the state after the last block",
            )
        self.snapshot = check_manifest(self._suite, self._trust_of_head(), frame.manifest)
        self._stage = _Stage.SNAPSHOT

    def _take_piece(self, frame: SnapshotPiece) -> None:
        snapshot = self.snapshot
        if self._stage is not _Stage.SNAPSHOT or snapshot is None:
            raise _order("piece")
        if frame.index != self._piece or frame.index >= snapshot.piece_count:
            raise _Wrong("piece_order", "快照分块次序有误", "the snapshot's pieces are out of order")
        snapshot.check_piece(self._suite, frame.index, frame.data)
        self._piece += 1
        self._counts = replace(self._counts, pieces=self._piece)

    def _states_done(self) -> None:
        self._blocks_done()
        expected = self.snapshot.piece_count if self.snapshot is not None else 0
        if self._opening.snapshot != (self.snapshot is not None) or self._piece != expected:
            raise _Wrong("pieces_missing", "快照不完整", "the snapshot is not whole")

    def _take_blob(self, frame: ArchivedBlob) -> None:
        if self._stage is not _Stage.BLOBS:
            self._states_done()
            self._stage = _Stage.BLOBS
        if not self._opening.blobs:
            raise _order("blob")
        if frame.name <= self._last_blob:
            raise _Wrong("blob_order", "密文次序有误", "the ciphertexts are out of order")
        if self._suite.hash(BLOB, frame.data) != frame.name:
            raise _Wrong(
                "blob",
                f"密文 {frame.name.hex()} 与其名称不符",
                f"the ciphertext {frame.name.hex()} does not hash to its name",
            )
        self._last_blob = frame.name
        self._counts = replace(
            self._counts,
            blobs=self._counts.blobs + 1,
            blob_bytes=self._counts.blob_bytes + len(frame.data),
        )

    # --- the end ----------------------------------------------------------------------------------------------------

    def _close(self, frame: Closing) -> ProvenArchive:
        if self._stage is not _Stage.BLOBS:
            self._states_done()
        manifest, reader = frame.manifest, self._reader
        facts = (
            manifest.version == MANIFEST_VERSION,
            manifest.opening == self._opening,
            manifest.contents == self._counts,
            not self._head_digest or manifest.head == self._head_digest,
            (manifest.frames, manifest.size_bytes) == (reader.frames, reader.before_bytes),
            manifest.link == reader.link,
        )
        if not all(facts):
            raise _Wrong("manifest", "清单与内容不符", "the manifest is not one of what came before it")
        if not signature_holds(self._suite, frame):
            raise _Wrong("signature", "清单的签名无效", "the manifest's signature does not hold")
        self._check_standing(manifest)
        self._stage = _Stage.CLOSED
        trust = self.trust
        invariant(trust is not None, "a closed archive had a genesis")
        assert trust is not None  # noqa: S101  # for the type checker
        return ProvenArchive(manifest=manifest, head=self._head, trust=trust)

    def _check_standing(self, manifest: ArchiveManifest) -> None:
        standing = manifest.standing
        if standing is None:
            if not self._key_of_genesis(manifest):
                raise _Wrong(
                    "signer", "未证明签名者是本网络的节点", "nothing shows that who signed is of this network"
                )
            return
        if standing.header != self._head:
            raise _Wrong(
                "signer", "签名者的证明不在最后一个区块", "the proof of who signed is of another block"
            )
        verify_state_receipt(self._trust_of_head(), standing)
        if not self._meaning.key_in(manifest, standing):
            raise _Wrong("signer", "签名密钥不属于所称账户", "the key that signed is not the account's")

    def _key_of_genesis(self, manifest: ArchiveManifest) -> bool:
        genesis = self.genesis
        return genesis is not None and any(
            operator.account == manifest.account
            and any(
                (key.key_id, key.scheme, key.public_key)
                == (manifest.key_id, manifest.scheme, manifest.public_key)
                for key in operator.keys
            )
            for operator in genesis.operators
        )

    def _trust_of_head(self) -> Trust:
        """The set that made the last block final: not the one that its own seal has named."""
        head, trust, former = self._head, self.trust, self._former
        invariant(head is not None and trust is not None, "there is a last block")
        assert head is not None and trust is not None  # noqa: S101, PT018  # for the type checker
        if former is not None and former.validators.epoch == head.epoch:
            return former
        return trust


class _Check(Protocol):
    def __call__(self) -> ProvenArchive | None: ...


def _order(what: str) -> _Wrong:
    return _Wrong("order", f"此处不应有 {what} 帧", f"a frame of kind {what} does not belong here")
