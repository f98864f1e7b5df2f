"""From a leaked file to the certificates that it may come from, before anybody asks for a trace (反向追溯的第一步).

Rule: it tells ids of certificates and what led to them, never data, holders or recipients, and no more of them than a trace may
name. A released file is known by its hash on the ledger, and then nothing else is looked at. Who looked for what is written down
before the answer leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import structlog

from contracts.records import CERTIFICATES_PER_TRACE_MAX
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LimitExceeded, Unavailable
from ledger.types import RESULT_OK
from node.chain import Chain
from node.execution import FinalizedExecution
from node.index.ports import Index
from node.leaktext import LeakText
from node.services.jobs import Jobs
from node.services.keeper import UNISSUED_KEPT_MS
from node.services.leak_index import LeakIndex, Look, TagKind
from node.services.leak_reader import LeakReader
from node.services.leak_words import CERTIFICATE_ID_DIGITS, ids_in, numbers_in, references_in
from node.services.ports import Caller, LeakSource, LeakSources
from zhenglian.api import LEAK_SIZE_BYTES_MAX

INDEX_WAIT_S: Final = 10.0
RELEASES_FOUND_MAX: Final = 100
_PARTIAL: Final = "the file holds more than was looked at"
_MANY: Final = "more than {maximum} releases handed out this very file; the others were not looked at"
_SINCE: Final = "released files are known here from block {height} on; ask another node as well"


class Way(StrEnum):
    """What led to a certificate, the surest first."""

    FILE_HASH = "file_hash"
    ORIGINAL = "original"
    EMBEDDED_FILE = "embedded_file"
    QR_CODE = "qr_code"
    IDENTIFIER = "identifier"
    COPY_REFERENCE = "copy_reference"
    CERTIFICATE_NUMBER = "certificate_number"


_ORDER: Final = tuple(Way)
log = structlog.get_logger()


class _Sources:
    """Certificates on the ledger, and what led to each."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._found: dict[bytes, set[Way]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, certificate: bytes, way: Way, root: bytes = b"") -> None:
        """Nothing where the ledger has no such certificate, or another one under that id."""
        record = self._chain.records.certificate(certificate)
        if record is not None and root in {b"", record.commitment_root}:
            self._found.setdefault(certificate, set()).add(way)

    def ordered(self) -> list[LeakSource]:
        """The surest first; what more leads to goes before, and then by id."""
        sources = [
            LeakSource(certificate=certificate, ways=tuple(sorted(ways, key=_ORDER.index)))
            for certificate, ways in self._found.items()
        ]
        return sorted(
            sources, key=lambda one: (_ORDER.index(Way(one.ways[0])), -len(one.ways), one.certificate)
        )


class Finding:
    """Implements the port `Finding`, and forgets what the ledger erases."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        index: Index,
        leaks: LeakIndex,
        reader: LeakReader,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._index = index
        self._leaks = leaks
        self._reader = reader
        self._clock_ms = clock_ms
        self._jobs = Jobs("forgetting")

    async def find(self, file: bytes, caller: Caller) -> LeakSources:
        if len(file) > LEAK_SIZE_BYTES_MAX:
            raise LimitExceeded(limit="LEAK_SIZE_BYTES_MAX", maximum=LEAK_SIZE_BYTES_MAX, actual=len(file))
        file_hash = await asyncio.to_thread(self._suite.digest, file)
        sources, told = _Sources(self._chain), LeakText()
        many = await self._by_hash(file_hash, sources)
        if not sources:
            await self._by_tags(TagKind.ORIGINAL, [file_hash], Way.ORIGINAL, sources)
            told = await self._reader.read(file)
            await self._by_text([told.text], None, sources)
            await self._by_text(told.codes, Way.QR_CODE, sources)
            await self._by_text(told.attached, Way.EMBEDDED_FILE, sources)
        found = sources.ordered()
        answer = LeakSources(
            file_hash=file_hash,
            sources=tuple(found[:CERTIFICATES_PER_TRACE_MAX]),
            more=len(found) > CERTIFICATES_PER_TRACE_MAX,
            partial=many or told.truncated or bool(told.note),
            notes=self._notes(told, many),
        )
        await self._write_down(answer, len(file), caller)
        return answer

    async def looks(self, limit: int, before: int | None = None) -> tuple[Look, ...]:
        return await self._leaks.looks(limit, before)

    # --- forgetting ---

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Forget what the block erased."""
        for result in final.executed.results:
            for event in result.events:
                if event.kind == "certificates.erased" and result.code == RESULT_OK:
                    name = event.object_id
                    self._jobs.start(name, lambda name=name: self._forget(name))  # type: ignore[misc]

    async def prune(self) -> None:
        """Forget what was erased while the node was away, and drafts that nobody issued."""
        now_ms = self._clock_ms()

        def stays(certificate: bytes, added_ms: int) -> bool:
            record = self._chain.records.certificate(certificate)
            return now_ms < added_ms + UNISSUED_KEPT_MS if record is None else not record.erased_ms

        gone = await self._leaks.prune(stays)
        if gone:
            log.info("records forgotten that are erased or were never issued", records=gone)

    async def stop(self) -> None:
        await self._jobs.stop()
        await self._leaks.close()

    async def _forget(self, certificate: bytes) -> None:
        try:
            await self._leaks.forget([certificate])
        except Unavailable as error:
            # Found again at the next start; until then the ledger's own word keeps it from being found.
            log.error("an erased record is not forgotten yet", reason=str(error))

    # --- finding ---

    async def _by_hash(self, file_hash: bytes, sources: _Sources) -> bool:
        """Whether more releases than are looked at handed out this very file."""
        if not await self._index.wait_height(self._chain.height, INDEX_WAIT_S):
            raise Unavailable(what="audit index", reason="it does not know the newest releases yet")
        known = await self._index.objects(
            "releases.prepared", subject=file_hash, limit=RELEASES_FOUND_MAX + 1
        )
        for entry in known[:RELEASES_FOUND_MAX]:
            release = self._chain.records.release(entry.object_id)
            if release is None:
                continue
            for output, prepared in zip(release.outputs, release.files, strict=False):
                if prepared.file_hash == file_hash:
                    sources.add(output.certificate, Way.FILE_HASH)
        return len(known) > RELEASES_FOUND_MAX

    async def _by_text(self, texts: Iterable[str], way: Way | None, sources: _Sources) -> None:
        texts = [text for text in texts if text]
        if not texts:
            return
        shapes = await self._leaks.shapes()
        ids, references, numbers = await asyncio.to_thread(
            lambda: (ids_in(texts), references_in(texts), numbers_in(texts, shapes))
        )
        for name in ids:
            if len(name) * 2 == CERTIFICATE_ID_DIGITS:
                sources.add(name, way or Way.IDENTIFIER)
                continue
            release = self._chain.records.release(name)
            for output in () if release is None else release.outputs:
                sources.add(output.certificate, way or Way.IDENTIFIER)
        for kind, words, own in (
            (TagKind.REFERENCE, references, Way.COPY_REFERENCE),
            (TagKind.NUMBER, numbers, Way.CERTIFICATE_NUMBER),
        ):
            await self._by_tags(kind, [word.encode() for word in words], way or own, sources)

    async def _by_tags(self, kind: TagKind, values: list[bytes], way: Way, sources: _Sources) -> None:
        for tagged in await self._leaks.find(kind, values):
            record = self._chain.records.certificate(tagged.certificate)
            if record is not None and not record.erased_ms:
                sources.add(tagged.certificate, way, tagged.root)

    def _notes(self, told: LeakText, many: bool) -> tuple[str, ...]:
        notes = [told.note] if told.note else []
        if many:
            notes.append(_MANY.format(maximum=RELEASES_FOUND_MAX))
        if told.truncated:
            notes.append(_PARTIAL)
        if self._index.first_height > 1:
            notes.append(_SINCE.format(height=self._index.first_height))
        return tuple(notes)

    async def _write_down(self, answer: LeakSources, size_bytes: int, caller: Caller) -> None:
        """Raises Unavailable: then nothing is told."""
        found = " ".join(f"{one.certificate.hex()}:{'+'.join(one.ways)}" for one in answer.sources)
        await self._leaks.write_look(
            Look(
                time_ms=self._clock_ms(),
                account=caller.account,
                key_id=caller.key_id,
                file_hash=answer.file_hash,
                size_bytes=size_bytes,
                found=found,
            )
        )
        log.info(
            "the source of a leak was looked up",
            account=caller.account.hex(),
            key=caller.key_id.hex(),
            file_hash=answer.file_hash.hex(),
            found=len(answer.sources),
        )
