"""The content of jobs on its way in: in pieces that can be resumed, or whole in one request.

Rule: what a caller is told was received is durable. One request at a time brings content to a job.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from ledger.errors import LimitExceeded, NotFound
from node.deposits import limits
from node.deposits.contents import Contents
from node.deposits.errors import ContentTooLarge, JobClosed, JobConflict, OffsetWrong
from node.deposits.records import Job, JobOptions, JobState
from node.deposits.store import JobStore
from node.services.ports import Caller
from zhenglian.tables.reading import size_bytes_max
from zhenglian.tables.sniff import MEDIA_TYPES


async def own_job(store: JobStore, caller: Caller, name: bytes) -> Job:
    """A job of the caller's organisation. Raises NotFound for any other, too."""
    found = await store.find(name)
    if found is None or found.account != caller.account:
        raise NotFound(what="deposit job", id=name.hex())
    return found


def content_bytes_max(options: JobOptions) -> int:
    """How large the content of such a job may be."""
    return size_bytes_max(MEDIA_TYPES[options.media_type])


class Receiving:
    """Takes content.

    Args:
        store, contents: of the node's deposits.
        clock_ms: wall clock.
        whole: is told of a job whose content is here.
        end: ends a job whose content will not come.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        contents: Contents,
        clock_ms: Callable[[], int],
        whole: Callable[[bytes], None],
        end: Callable[[bytes, JobState], Awaitable[None]],
    ) -> None:
        self._store = store
        self._contents = contents
        self._clock_ms = clock_ms
        self._whole = whole
        self._end = end
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}

    async def append(self, caller: Caller, name: bytes, offset: int, chunks: AsyncIterator[bytes]) -> Job:
        """Take more of an upload, from `offset` on; it is whole when it has its announced size.

        Args:
            caller: an officer of the job's organisation.
            name: the job.
            offset: must be what is durable here.
            chunks: the bytes that follow.

        Raises:
            OffsetWrong: go on where this node says.
            ContentTooLarge, JobClosed, NotFound.
        """
        async with self._alone(name):
            job = await own_job(self._store, caller, name)
            if job.state is not JobState.RECEIVING or not job.size_bytes:
                raise JobClosed(job=name.hex(), state=job.state.value)
            if offset != job.received_bytes:
                raise OffsetWrong(expected=job.received_bytes, actual=offset)
            job = await self._append(job, chunks, job.size_bytes)
            if job.received_bytes == job.size_bytes:
                await self._read(name)
            return await self._store.job(name)

    async def take_whole(
        self, caller: Caller, name: bytes, chunks: AsyncIterator[bytes], *, more: bool = False
    ) -> Job:
        """Take a content that comes in one request: the first time keep it, after that know it again.

        Args:
            caller: an officer of the job's organisation.
            name: the job.
            chunks: all of the content.
            more: files follow, and then `begin_reading`.

        Raises:
            JobConflict: the key began a job with another content.
            ContentTooLarge.
        """
        digest = hashlib.sha256()
        async with self._alone(name):
            job = await own_job(self._store, caller, name)
            maximum = content_bytes_max(job.options)
            if job.state is not JobState.RECEIVING or job.content_tag:
                async for _ in _bounded(_hashed(chunks, digest), maximum):
                    pass
                if self._contents.tag(digest.digest()) != job.content_tag:
                    raise JobConflict(job=name.hex())
                if job.state is JobState.RECEIVING and not more:
                    # The node stopped between the last byte and what follows it.
                    await self._read(name)
                return await self._store.job(name)
            try:
                # Of a request before that broke off nothing is kept, since this one brings everything.
                job = await self._append(
                    replace(job, received_bytes=0, stored_bytes=0), _hashed(chunks, digest), maximum
                )
                if job.received_bytes == 0:
                    raise ContentTooLarge(maximum=maximum)
            except BaseException:
                await asyncio.shield(asyncio.ensure_future(self._end(name, JobState.CANCELLED)))
                raise
            await self._store.received(
                name,
                received_bytes=job.received_bytes,
                stored_bytes=job.stored_bytes,
                now_ms=self._clock_ms(),
                tag=self._contents.tag(digest.digest()),
            )
            if not more:
                await self._read(name)
            return await self._store.job(name)

    async def begin_reading(self, caller: Caller, name: bytes) -> Job:
        """Everything that belongs to a content is here."""
        async with self._alone(name):
            job = await own_job(self._store, caller, name)
            if job.state is JobState.RECEIVING and job.content_tag:
                await self._read(name)
            return await self._store.job(name)

    async def abandon(self, name: bytes) -> None:
        """The request that brought a content broke off before all of it was here."""
        job = await self._store.job(name)
        if job.state is JobState.RECEIVING:
            await self._end(name, JobState.CANCELLED)

    async def _read(self, name: bytes) -> None:
        await self._store.set_state(name, JobState.READING, self._clock_ms())
        self._whole(name)

    async def _append(self, job: Job, chunks: AsyncIterator[bytes], maximum: int) -> Job:
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if job.received_bytes + len(waiting) > maximum:
                raise ContentTooLarge(maximum=maximum)
            if len(waiting) >= limits.PIECE_BYTES:
                job = await self._keep(job, bytes(waiting))
                waiting.clear()
        return await self._keep(job, bytes(waiting)) if waiting else job

    @asynccontextmanager
    async def _alone(self, name: bytes) -> AsyncIterator[None]:
        """One at a time for a job's content; the lock lives as long as somebody holds or awaits it."""
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)

    async def _keep(self, job: Job, data: bytes) -> Job:
        received, stored = await asyncio.to_thread(
            self._contents.append,
            job.job_id,
            data,
            received_bytes=job.received_bytes,
            stored_bytes=job.stored_bytes,
        )
        await self._store.received(
            job.job_id, received_bytes=received, stored_bytes=stored, now_ms=self._clock_ms()
        )
        return replace(job, received_bytes=received, stored_bytes=stored)

    async def put_file(self, job: Job, name: str, media_type: str, content: bytes) -> None:
        """A file that rows name. Raises LimitExceeded."""
        if len(content) > limits.FILE_BYTES_MAX:
            raise LimitExceeded(limit="FILE_BYTES_MAX", maximum=limits.FILE_BYTES_MAX, actual=len(content))
        names = await self._store.file_names(job.job_id)
        if name not in names and len(names) >= limits.FILES_PER_JOB_MAX:
            raise LimitExceeded(
                limit="FILES_PER_JOB_MAX", maximum=limits.FILES_PER_JOB_MAX, actual=len(names) + 1
            )
        await self._store.put_file(job.job_id, name, media_type, content)


async def _hashed(chunks: AsyncIterator[bytes], digest: hashlib._Hash) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk


async def _bounded(chunks: AsyncIterator[bytes], maximum: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > maximum:
            raise ContentTooLarge(maximum=maximum)
        yield chunk
