"""What peers and disks hand to the node: blobs asked for and answered, sealed records, the pool log."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from structlog.testing import capture_logs

from ledger import codec
from ledger.errors import DecodeError, LedgerError, LimitExceeded, Unavailable
from ledger.types import TRANSACTION_SIZE_BYTES_MAX
from node.exchange import BlobExchange, Chunk, GetChunk, Held, Hold
from node.poollog import PoolLog
from node.vault.blobs import Listed, blob_hash
from node.vault.custody import Custody
from node.vault.holdings import Holdings
from node.vault.records import Manifest, record_root
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Target, read_script, require
from tests.unit.ledger_world import SUITE, World

PEER = b"p" * 16
RECORD = b"r" * 16
BLOB = bytes(range(200)) * 3
BLOB_NAME = blob_hash(SUITE, BLOB)
REQUESTS_MAX = 64
_REQUEST: Any = GetChunk | Hold


class Blobs:
    """A blob store in memory."""

    def __init__(self, *blobs: bytes) -> None:
        self._blobs = {blob_hash(SUITE, one): one for one in blobs}

    def put(self, data: bytes) -> bytes:
        name = blob_hash(SUITE, data)
        self._blobs[name] = data
        return name

    def get(self, blob_hash: bytes) -> bytes | None:
        return self._blobs.get(blob_hash)

    def has(self, blob_hash: bytes) -> bool:
        return blob_hash in self._blobs

    def delete(self, blob_hash: bytes) -> bool:
        return self._blobs.pop(blob_hash, None) is not None

    def listing(self) -> Iterator[Listed]:
        return (Listed(name=name, written_ms=0) for name in self._blobs)


@lru_cache(maxsize=1)
def runner() -> asyncio.Runner:
    """One loop for every input; threads are not used, so that the order of things is the input's alone."""
    return asyncio.Runner()


class Talk:
    """An exchange whose only peer answers what the input says."""

    def __init__(self, answers: list[bytes], *blobs: bytes) -> None:
        self._answers = answers
        self.asked = 0
        self.exchange = BlobExchange(
            suite=SUITE,
            custody=Custody(store=Blobs(*blobs), holdings=Holdings(Path(":memory:")), clock_ms=lambda: 1),
            request=self._request,
            peers=lambda: (PEER,),
        )

    async def _request(self, peer: bytes, payload: bytes, timeout_s: float) -> bytes:
        self.asked += 1
        require(self.asked <= REQUESTS_MAX, "a peer keeps a node asking")
        if not self._answers:
            raise Unavailable(what="peer", reason="it says nothing")
        return self._answers.pop(0)


def run_serve(data: bytes) -> None:
    """A peer's request, against a node that has one blob; what it is asked to hold, it asks the peer for."""
    talk = Talk([codec.encode(Chunk(size_bytes=3, data=b"abc"))], BLOB)
    answer = runner().run(talk.exchange.serve(PEER, data))
    request = codec.decode(data, _REQUEST, size_bytes_max=len(data))
    require(codec.encode(request) == data, "a request re-encodes to other bytes")
    if isinstance(request, GetChunk):
        chunk = codec.decode(answer, Chunk, size_bytes_max=len(answer))
        require(BLOB[request.offset :].startswith(chunk.data), "a chunk that is not of the blob")
    else:
        require(answer == codec.encode(Held()), "an answer of another kind")
        require(
            set(request.blobs) <= {BLOB_NAME, blob_hash(SUITE, b"abc")}, "a blob is held that nobody gave"
        )


def run_fetch(data: bytes) -> None:
    """A peer's answers; what is taken for the blob is the blob."""
    answers = read_script(data, list[Any])
    talk = Talk([msgspec.msgpack.encode(one) for one in answers[:REQUESTS_MAX]])
    with capture_logs():
        found = runner().run(talk.exchange.fetch(BLOB_NAME))
        runner().run(talk.exchange.replicate(RECORD, (BLOB_NAME,), ranked=(PEER,), copies=1))
    require(found in {None, BLOB}, "other bytes are taken for the blob")


def fetch_seeds() -> list[bytes]:
    whole = Chunk(size_bytes=len(BLOB), data=BLOB)
    talks: list[list[Any]] = [
        [whole],
        [Chunk(size_bytes=len(BLOB), data=BLOB[:10]), whole],
        [Chunk(size_bytes=9 * 1024 * 1024, data=BLOB), whole],
        [Chunk(size_bytes=0, data=b"")],
        [Held(), Held()],
    ]
    return [msgspec.msgpack.encode(talk) for talk in talks]


def run_manifest(data: bytes) -> None:
    manifest = codec.decode(data, Manifest, size_bytes_max=64 * 1024)
    require(codec.encode(manifest) == data, "a manifest re-encodes to other bytes")
    record_root(SUITE, manifest)


def run_pool_log(data: bytes) -> None:
    """Whatever is in the file: what is read back stays, and what is appended comes after it."""
    with capture_logs(), tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "pool.log"
        path.write_bytes(data)
        log = PoolLog(path)
        read = log.recovered()
        require(all(len(one) <= TRANSACTION_SIZE_BYTES_MAX for one in read), "a record beyond its bound")
        log.append(b"one more")
        log.sync()
        log.close()
        log = PoolLog(path)
        again = log.recovered()
        log.close()
        require(again == [*read, b"one more"], "what was promised is not read back")


def pool_log_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "pool.log"
        log = PoolLog(path)
        made = World()
        for number in range(3):
            log.append(codec.encode(made.transaction(number)))
        log.close()
        whole = path.read_bytes()
    return [b"", whole, whole[:-5], whole[: len(whole) // 3]]


MALFORMED = (DecodeError, LimitExceeded)
TARGETS = (
    Target(
        name="node.blob_request",
        run=run_serve,
        seeds=lambda: [
            codec.encode(GetChunk(blob=BLOB_NAME, offset=0)),
            codec.encode(GetChunk(blob=BLOB_NAME, offset=len(BLOB))),
            codec.encode(Hold(certificate=RECORD, blobs=(BLOB_NAME, blob_hash(SUITE, b"abc")))),
        ],
        examples=lambda: encodings(_REQUEST),
        errors=(LedgerError,),
        grammar=Grammar.MSGPACK,
        size_bytes_max=2400,
    ),
    Target(
        name="node.blob_answers",
        run=run_fetch,
        seeds=fetch_seeds,
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
        size_bytes_max=8192,
    ),
    Target(
        name="node.manifest",
        run=run_manifest,
        seeds=list[bytes],
        examples=lambda: encodings(Manifest),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
    ),
    Target(name="node.pool_log", run=run_pool_log, seeds=pool_log_seeds, errors=()),
)
