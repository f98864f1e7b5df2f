"""Fetches the pieces of one snapshot from several peers at once, and keeps those that are right.

Rule: a piece is written only after it was checked. A peer that sends a wrong one is blamed and left for good,
one that is silent or refuses too often is left for this snapshot. Pieces lie under names that depend on their
content, so what was fetched before a restart, or for another snapshot, is not fetched again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, DecodeError, LedgerError, LimitExceeded, StorageDamaged, Unavailable
from ledger.snapshot import Snapshot
from ledger.types import HASH_SIZE_BYTES
from ledger.verdicts import ProofRejected
from network.tasks import end
from node.statesync.messages import MESSAGE_SIZE_BYTES_MAX, GetPiece, PeerRequest, Piece

PEERS_MAX: Final = 8
REQUESTS_PER_PEER: Final = 2
PIECE_TIMEOUT_S: Final = 20.0
# Times that a peer may be silent or busy before it is left.
STRIKES_MAX: Final = 3
BUSY_MAX: Final = 30
PAUSE_S_MAX: Final = 5.0
_PART_SUFFIX: Final = ".part"


class PieceFolder:
    """The pieces that are here, each behind its digest.

    Args:
        suite: crypto suite.
        path: the folder; nothing else is in it.
    """

    def __init__(self, suite: CryptoSuite, path: Path) -> None:
        self._suite = suite
        self._path = path

    def keep_only(self, snapshot: Snapshot) -> set[int]:
        """Remove what the snapshot does not have, and what is damaged; the numbers of the pieces left.

        Raises:
            Unavailable: the folder cannot be used.
        """
        wanted = {snapshot.piece_name(index): index for index in range(snapshot.piece_count)}
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in self._path.iterdir():
                if file.name not in wanted or self._damaged(file):
                    file.unlink()
        except OSError as error:
            raise Unavailable(what="snapshot pieces", reason=error.strerror or str(error)) from None
        return {
            index
            for index in range(snapshot.piece_count)
            if (self._path / snapshot.piece_name(index)).exists()
        }

    def write(self, name: str, data: bytes) -> None:
        """Keep a piece. Raises Unavailable when the disk is full."""
        part = self._path / (name + _PART_SUFFIX)
        try:
            part.write_bytes(self._suite.digest(data) + data)
            part.replace(self._path / name)
        except OSError as error:
            raise Unavailable(what="snapshot pieces", reason=error.strerror or str(error)) from None

    def read(self, name: str) -> bytes:
        """A piece. Raises StorageDamaged when it is not as it was written; it is removed then."""
        file = self._path / name
        try:
            record = file.read_bytes()
        except OSError as error:
            raise StorageDamaged(what=f"snapshot piece {name}", reason=error.strerror or str(error)) from None
        if self._suite.digest(record[HASH_SIZE_BYTES:]) != record[:HASH_SIZE_BYTES]:
            file.unlink(missing_ok=True)
            raise StorageDamaged(what=f"snapshot piece {name}", reason="it has changed")
        return record[HASH_SIZE_BYTES:]

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._path, ignore_errors=True)

    def _damaged(self, file: Path) -> bool:
        record = file.read_bytes()
        return self._suite.digest(record[HASH_SIZE_BYTES:]) != record[:HASH_SIZE_BYTES]


class Download:
    """One snapshot on its way here.

    Args:
        suite: crypto suite.
        snapshot: checked.
        folder: where its pieces go.
        request: asks a peer.
        blame: called with a peer that sent something wrong, and what.
        arrived: called with the number of each piece that is here.
        piece_timeout_s: how long to wait for one.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        snapshot: Snapshot,
        folder: PieceFolder,
        request: PeerRequest,
        blame: Callable[[bytes, str], None],
        arrived: Callable[[int], None],
        piece_timeout_s: float = PIECE_TIMEOUT_S,
    ) -> None:
        self._suite = suite
        self._snapshot = snapshot
        self._folder = folder
        self._request = request
        self._blame = blame
        self._arrived = arrived
        self._piece_timeout_s = piece_timeout_s
        self._missing: deque[int] = deque()
        self._left: set[bytes] = set()
        self._strikes: Counter[bytes] = Counter()
        self._remaining = 0
        self._changed = asyncio.Event()
        self._failure: LedgerError | None = None

    async def run(self, providers: Sequence[bytes]) -> bool:
        """Fetch what is missing; False when every provider was left before all of it was here.

        Args:
            providers: peers that have this snapshot.

        Raises:
            Unavailable: pieces cannot be kept, since the disk is full.
        """
        here = await asyncio.to_thread(self._folder.keep_only, self._snapshot)
        for index in sorted(here):
            self._arrived(index)
        self._missing.extend(index for index in range(self._snapshot.piece_count) if index not in here)
        self._remaining = len(self._missing)
        workers = [
            asyncio.create_task(self._work(peer))
            for peer in providers[:PEERS_MAX]
            for _ in range(REQUESTS_PER_PEER)
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            await end(workers)
        if self._failure is not None:
            raise self._failure
        return self._remaining == 0

    async def _work(self, peer: bytes) -> None:
        """Fetch one missing piece after the other from a peer, until all are here or the peer is left."""
        busy = 0
        while self._remaining and self._failure is None and peer not in self._left:
            if not self._missing:
                self._changed.clear()
                await self._changed.wait()
                continue
            index = self._missing.popleft()
            pause_s = 0.0
            try:
                await self._fetch(peer, index)
            except Busy as error:
                self._put_back(index)
                busy += 1
                if busy > BUSY_MAX:
                    self._leave(peer)
                wished_s = error.fields.get("retry_after_s", 1)
                pause_s = min(float(wished_s), PAUSE_S_MAX)
            except Unavailable:
                self._put_back(index)
                self._strikes[peer] += 1
                if self._strikes[peer] >= STRIKES_MAX:
                    self._leave(peer)
                pause_s = min(float(self._strikes[peer]), PAUSE_S_MAX)
            except LedgerError:
                # It refuses: it no longer has this snapshot, or was blamed for what it sent.
                self._put_back(index)
                self._leave(peer)
            except asyncio.CancelledError:
                self._put_back(index)
                raise
            else:
                busy = 0
            if pause_s and peer not in self._left:
                await asyncio.sleep(pause_s)
        self._changed.set()

    async def _fetch(self, peer: bytes, index: int) -> None:
        question = codec.encode(GetPiece(snapshot=self._snapshot.id, index=index))
        answer = await self._request(peer, question, self._piece_timeout_s)
        try:
            data = codec.decode(answer, Piece, size_bytes_max=MESSAGE_SIZE_BYTES_MAX).data
            await asyncio.to_thread(self._snapshot.check_piece, self._suite, index, data)
        except (DecodeError, LimitExceeded, ProofRejected) as error:
            self._blame(peer, str(error))
            raise
        try:
            await asyncio.to_thread(self._folder.write, self._snapshot.piece_name(index), data)
        except Unavailable as error:
            self._failure = error
            return
        self._remaining -= 1
        self._strikes[peer] = 0
        self._arrived(index)
        self._changed.set()

    def _put_back(self, index: int) -> None:
        self._missing.appendleft(index)
        self._changed.set()

    def _leave(self, peer: bytes) -> None:
        self._left.add(peer)
        self._changed.set()
