"""The archive: a whole ledger, or a range of it, as one stream of frames that anybody can check offline.

    opening · genesis · [epoch]* · (block [epoch])* · [snapshot piece*] · blob* · closing

Rule: every frame carries the hash of all frames up to and including itself, so a changed byte is found in the frame that holds it,
and whoever reads never holds more than one frame. Nothing here is believed for its own sake: `ledger/archive_check.py` proves
each frame from a trust point.

- The stream is MessagePack: a frame is the array `[payload, link]` of two binaries, each header in its shortest form; the payload
  is the canonical encoding of one of the structs below, and `link = hash(ARCHIVE, link before ‖ payload)`, the first on 32 zero
  bytes.
- An **epoch** frame stands right after the block that it is about, the seal; those of epochs that ended before the first block
  stand before it. So trust moves along with the reading, and one validator set is all that is remembered.
- The **closing** frame is the manifest: what there is of each kind, the link that covers all of it, and the signature of who made
  it, whose key hangs under the last block's state root or is one of genesis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from ledger import codec, domains
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, Signer
from ledger.errors import DecodeError, LedgerError, LimitExceeded, invariant
from ledger.snapshot import CHUNK_SIZE_BYTES, PIECE_SIZE_BYTES_MAX, SnapshotManifest
from ledger.state_receipts import StateReceipt
from ledger.types import (
    BLOCK_TRANSACTIONS_MAX,
    HASH_SIZE_BYTES,
    AccountId,
    Count,
    EpochChange,
    FinalizedBlock,
    Genesis,
    Hash,
    KeyId,
    Name,
    PublicKey,
    Result,
    Signature,
    TimeMs,
    Wire,
)

ARCHIVE_FORMAT: Final = "zhenglian-archive"
ARCHIVE_VERSION: Final = 1
OPENING_SIZE_BYTES_MAX: Final = 1024
# The largest block that a snapshot can hold as well: its content, and the longest path of headers above it.
FRAME_SIZE_BYTES_MAX: Final = 64 * CHUNK_SIZE_BYTES + 4 * 1024 * 1024
ARCHIVE_BLOB_SIZE_BYTES_MAX: Final = 9 * 1024 * 1024
BEGINNING: Final = bytes(HASH_SIZE_BYTES)

_PAIR: Final = 0x92
_BIN8, _BIN16, _BIN32 = 0xC4, 0xC5, 0xC6
_LENGTH_SIZES: Final = {_BIN8: 1, _BIN16: 2, _BIN32: 4}
_LINK_HEAD: Final = bytes((_BIN8, HASH_SIZE_BYTES))

Read = Callable[[int], bytes]


class Opening(Wire, tag="opening"):
    """What follows. All of it is compared with what does follow.

    Attributes:
        format: `ARCHIVE_FORMAT`.
        version: 1.
        network, suite: as genesis has them; with this suite every frame is hashed.
        chain_id: hash of the genesis document.
        first_height: of the first block, from 1.
        last_height: of the last one; one less than `first_height` where there is none.
        snapshot: whether the state after the last block is in it.
        blobs: whether the maker's ciphertext is in it.
    """

    format: Name
    version: Count
    network: Name
    suite: Name
    chain_id: Hash
    first_height: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    last_height: Count
    snapshot: bool
    blobs: bool


class Founding(Wire, tag="genesis"):
    """The genesis document, from which the state at height 0 follows."""

    genesis: Genesis


class EpochEnd(Wire, tag="epoch"):
    """How an epoch ended."""

    change: EpochChange


class ArchivedBlock(Wire, tag="block"):
    """A block, the proof that it is final, and its results."""

    finalized: FinalizedBlock
    results: Annotated[tuple[Result, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]


class SnapshotListed(Wire, tag="snapshot"):
    """The state after the last block, listed."""

    manifest: SnapshotManifest


class SnapshotPiece(Wire, tag="piece"):
    """A piece of the snapshot; they come in the order of their numbers."""

    index: Count
    data: Annotated[bytes, Meta(max_length=PIECE_SIZE_BYTES_MAX)]


class ArchivedBlob(Wire, tag="blob"):
    """A ciphertext of the vault, under the hash of its bytes; in ascending order of name."""

    name: Hash
    data: Annotated[bytes, Meta(max_length=ARCHIVE_BLOB_SIZE_BYTES_MAX)]


class Contents(Wire):
    """How much of each kind there is."""

    epochs: Count = 0
    blocks: Count = 0
    transactions: Count = 0
    pieces: Count = 0
    blobs: Count = 0
    blob_bytes: Count = 0


class ArchiveManifest(Wire):
    """What the maker signs.

    Attributes:
        version: 1.
        opening: the opening, again.
        head: digest of the last block; that of genesis where there is none.
        contents: what there is.
        frames: how many frames come before the closing one.
        size_bytes: of these.
        link: of the last of them; covers every byte so far.
        made_ms: the maker's clock, Unix milliseconds.
        account, key_id, scheme, public_key: who signs.
        standing: proof that the account has the key, against the last block; None where the key is one of genesis.
    """

    version: Count
    opening: Opening
    head: Hash
    contents: Contents
    frames: Count
    size_bytes: Count
    link: Hash
    made_ms: TimeMs
    account: AccountId
    key_id: KeyId
    scheme: Name
    public_key: PublicKey
    standing: StateReceipt | None


class Closing(Wire, tag="closing"):
    """The manifest and the signature over `encode(manifest)` under the domain ARCHIVE_SIGN."""

    manifest: ArchiveManifest
    signature: Signature


Frame = (
    Opening | Founding | EpochEnd | ArchivedBlock | SnapshotListed | SnapshotPiece | ArchivedBlob | Closing
)


class Placed(NamedTuple):
    """A frame, its number from 0, and the offset of its first byte."""

    number: int
    offset: int
    frame: Frame


class ArchiveRejected(LedgerError):
    """An archive is not what it says. Fields: frame (number), offset (bytes), check (stable), reason_zh, reason_en."""

    code = "archive_rejected"
    zh = "归档第 {frame} 帧（字节 {offset} 起）不成立：{reason_zh}"
    en = "The archive does not hold at frame {frame} (byte {offset}): {reason_en}"


def refused(number: int, offset: int, check: str, zh: str, en: str) -> ArchiveRejected:
    """The error for a frame at its place."""
    return ArchiveRejected(frame=number, offset=offset, check=check, reason_zh=zh, reason_en=en)


def link_after(suite: CryptoSuite, link: bytes, payload: bytes) -> bytes:
    """The hash of all frames up to the one with that payload."""
    return suite.hash(domains.ARCHIVE, link + payload)


class ArchiveWriter:
    """Frames, one after the other, as bytes.

    Args:
        suite: the suite that genesis names.

    Attributes:
        frames: how many were encoded.
        size_bytes: of these.
        link: of the last one.
    """

    def __init__(self, suite: CryptoSuite) -> None:
        self._suite = suite
        self.frames = 0
        self.size_bytes = 0
        self.link = BEGINNING

    def frame(self, frame: Frame) -> bytes:
        """The bytes of the next frame.

        Raises:
            LimitExceeded: it is larger than a frame may be.
        """
        payload = codec.encode(frame)
        if len(payload) > FRAME_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit="FRAME_SIZE_BYTES_MAX", maximum=FRAME_SIZE_BYTES_MAX, actual=len(payload)
            )
        self.link = link_after(self._suite, self.link, payload)
        data = bytes((_PAIR,)) + _binary_head(len(payload)) + payload + _LINK_HEAD + self.link
        self.frames += 1
        self.size_bytes += len(data)
        return data


def sign_manifest(signer: Signer, manifest: ArchiveManifest) -> Closing:
    """The closing frame."""
    return Closing(manifest=manifest, signature=signer.sign(domains.ARCHIVE_SIGN, codec.encode(manifest)))


def signature_holds(suite: CryptoSuite, closing: Closing) -> bool:
    """Whether the key that the manifest names has signed it; whose key it is, is another question."""
    manifest = closing.manifest
    return suite.verify(
        manifest.scheme,
        manifest.public_key,
        domains.ARCHIVE_SIGN,
        codec.encode(manifest),
        closing.signature,
    )


class ArchiveReader:
    """Reads frames whose links hold, in one pass, one at a time.

    Args:
        read: gives at most so many bytes, fewer only at the end.

    Attributes:
        opening: the first frame.
        suite: the suite that it names.
        offset: bytes read so far.
        link: of the frame before the one that was given last.
        frames: how many come before that one.
        before_bytes: their size.
    """

    def __init__(self, read: Read) -> None:
        """Read the opening.

        Raises:
            ArchiveRejected: it is no archive, or none that this release reads.
        """
        self._read = read
        self.offset = 0
        self._number = 0
        self._link = BEGINNING
        self.link = BEGINNING
        self.frames = 0
        self.before_bytes = 0
        payload, link = self._pair(OPENING_SIZE_BYTES_MAX)
        opening = self._decode(payload)
        if not isinstance(opening, Opening) or opening.format != ARCHIVE_FORMAT:
            raise refused(0, 0, "format", "文件不是证链归档", "this is no Zhenglian archive")
        if opening.version != ARCHIVE_VERSION:
            version = opening.version
            raise refused(
                0,
                0,
                "version",
                f"归档版本 {version} 不受支持",
                f"archive version {version} is not known here",
            )
        try:
            self.suite = load_suite(opening.suite)
        except LedgerError as error:
            raise refused(0, 0, "suite", error.message("zh"), error.message("en")) from None
        self._follow(payload, link, 0)
        self.opening = opening

    def frames_after_opening(self) -> Iterator[Placed]:
        """Every further frame up to the closing one, behind which nothing may follow.

        Raises:
            ArchiveRejected: a frame is malformed, too large or not the one that was written, or the file ends early.
        """
        while True:
            start, self.before_bytes = self.offset, self.offset
            self.frames = self._number
            self.link = self._link
            payload, link = self._pair(FRAME_SIZE_BYTES_MAX)
            self._follow(payload, link, start)
            frame = self._decode(payload, start)
            yield Placed(self._number - 1, start, frame)
            if isinstance(frame, Closing):
                break
        if self._read(1):
            raise self._refused("format", self.offset, "末帧之后还有内容", "something follows its last frame")

    def _pair(self, payload_bytes_max: int) -> tuple[bytes, bytes]:
        start = self.offset
        head = self._exactly(2, start)
        if head[0] != _PAIR or head[1] not in _LENGTH_SIZES:
            raise self._refused("format", start, "此处不是一帧", "there is no frame here")
        size = int.from_bytes(self._exactly(_LENGTH_SIZES[head[1]], start), "big")
        if size > payload_bytes_max:
            raise self._refused(
                "frame_size",
                start,
                f"帧长 {size} 字节，上限 {payload_bytes_max}",
                f"a frame of {size} bytes, where {payload_bytes_max} are the most",
            )
        if _binary_head(size)[0] != head[1]:
            raise self._refused("format", start, "帧长写法不唯一", "its length is written another way")
        payload = self._exactly(size, start)
        tail = self._exactly(len(_LINK_HEAD) + HASH_SIZE_BYTES, start)
        if not tail.startswith(_LINK_HEAD):
            raise self._refused("format", start, "帧尾不完整", "its end is not that of a frame")
        return payload, tail[len(_LINK_HEAD) :]

    def _exactly(self, size: int, start: int) -> bytes:
        data = self._read(size)
        self.offset += len(data)
        if len(data) != size:
            raise self._refused("truncated", start, "文件在此处中断", "the file ends in the middle of it")
        return data

    def _follow(self, payload: bytes, link: bytes, start: int) -> None:
        expected = link_after(self.suite, self._link, payload)
        if link != expected:
            raise self._refused(
                "link",
                start,
                "内容与其散列不符，已被改动",
                "its bytes are not those that its hash was made of",
            )
        self._link = expected
        self._number += 1

    def _decode(self, payload: bytes, start: int = 0) -> Frame:
        try:
            frame: Frame = codec.decode(
                payload,
                Frame,  # type: ignore[arg-type]  # a union of types is no type to mypy
                size_bytes_max=FRAME_SIZE_BYTES_MAX,
                what="frame",
            )
        except (DecodeError, LimitExceeded) as error:
            number = max(0, self._number - 1)
            raise refused(number, start, "format", error.message("zh"), error.message("en")) from None
        return frame

    def _refused(self, check: str, offset: int, zh: str, en: str) -> ArchiveRejected:
        return refused(self._number, offset, check, zh, en)


def _binary_head(size: int) -> bytes:
    """The head of a binary of so many bytes, in its shortest form."""
    invariant(0 <= size < 1 << 32, "a frame has a length that MessagePack can say")
    if size < 1 << 8:
        return bytes((_BIN8, size))
    if size < 1 << 16:
        return bytes((_BIN16,)) + size.to_bytes(2, "big")
    return bytes((_BIN32,)) + size.to_bytes(4, "big")
