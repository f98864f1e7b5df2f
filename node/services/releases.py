"""Handing data out (下链): the release state machine, as the releasing node carries it out.

    REQUESTED ── shares, decrypt, check, select, mark, keep encrypted ──> PREPARED ── recipient acknowledges ──> DELIVERED
        │                                                                     └── its window ended ──> CLOSED
        └── refused or failed, or past its deadline ──> FAILED (the use comes back)

Rule: what is to be done follows from the finalized chain alone, so a node that was killed finds its work again; no byte
leaves before PREPARED is final, and the same release id gives the same bytes: the finish of a file (`finishing.py`) holds proofs of
one moment, so it is kept before the file is made. What may pass is tried until the deadline;
what the ledger does not allow any more fails at once, with the reason for which the holders refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from contracts.calls import ReleasesFail, ReleasesPrepare, ReleasesRequest
from contracts.records import PreparedFile, Release, ReleaseState
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, NotFound, Unavailable, VerificationFailed
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, RESULT_OK, Transaction
from node.chain import Chain
from node.execution import FinalizedExecution
from node.holders.errors import KeyRefused
from node.index.ports import Index
from node.services.finishing import Finish, decode_finish, encode_finish
from node.services.jobs import Jobs
from node.services.making import OpenedRelease, ReleaseMaker
from node.services.marking import MarkedFile
from node.services.node_account import NodeAccount
from node.services.ports import Denied, ReleasedFile, ReleaseTransactions, Standing
from node.services.spool import Spool
from node.services.submission import Submission
from watermark import WatermarkError

FINALITY_WAIT_S: Final = 60.0
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 30.0
INTERNAL_ERROR: Final = "internal_error"
_RESUME_PAGE: Final = 200
_SETTLING: Final = frozenset({"releases.prepared", "releases.failed"})
# Holders away, ciphertext not reachable, a full pool, a full disk: tried again until the deadline.
_MAY_PASS: Final = frozenset({Category.UNAVAILABLE, Category.BUSY})
_SERVED: Final = frozenset({ReleaseState.PREPARED, ReleaseState.DELIVERED})

_MARKS: Final = "-marks"
_FINISH: Final = "-finish"
_SPOOL_NAME: Final = re.compile(r"release-([0-9a-f]{16})-[0-9]+(?:-marks|-finish)?", re.ASCII)

log = structlog.get_logger()


class ReleaseNotPrepared(LedgerError):
    """The file is not there yet, or never will be. Fields: id, state."""

    code = "release_not_prepared"
    category = Category.CONFLICT
    zh = "下链 {id} 的状态是 {state}，文件尚不可取"
    en = "Release {id} is {state}; its files cannot be fetched"


class ReleaseWindowOver(LedgerError):
    """Its window is over and its files are destroyed; a new release must be requested. Fields: id."""

    code = "release_window_over"
    category = Category.GONE
    zh = "下链 {id} 的领取期已过，文件已销毁，请重新申请"
    en = "The window of release {id} is over and its files are destroyed; request a new release"


class ReleaseErased(LedgerError):
    """A certificate in it was erased before its files were fetched; they are destroyed. Fields: id."""

    code = "release_erased"
    category = Category.GONE
    zh = "下链 {id} 涉及的证照数据已删除，其文件一并销毁"
    en = "The data of a certificate in release {id} is erased, and the release's files are destroyed with it"


class FinishLost(LedgerError):
    """A derived copy is lost here, and so are the proofs that it brought along: the same bytes cannot be made again. Fields: id."""

    code = "finish_lost"
    category = Category.GONE
    zh = "下链 {id} 的授权副本及其所附证明在本节点已丢失，无法重新制作，请重新申请"
    en = "The derived copy of release {id} and its proofs are lost on this node and cannot be made again; request a new release"


class WrongCall(LedgerError):
    """The transaction asks for something else than this route does. Fields: expected, actual."""

    code = "wrong_call"
    zh = "交易应调用 {expected}，实际是 {actual}"
    en = "The transaction must call {expected}, not {actual}"


class NotPerformedHere(LedgerError):
    """Another operator's node is named to do it. Fields: named, here."""

    code = "not_performed_here"
    category = Category.CONFLICT
    zh = "交易指定由运营方 {named} 办理，本节点是 {here}"
    en = "The transaction names operator {named}; this node is {here}"


class Releases:
    """Implements the port `Releases`, and follows the chain for releases that name this node."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        index: Index,
        submission: Submission,
        node: NodeAccount,
        maker: ReleaseMaker,
        spool: Spool,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._index = index
        self._submission = submission
        self._node = node
        self._maker = maker
        self._spool = spool
        self._clock_ms = clock_ms
        self._jobs = Jobs("release")
        self._waiters: dict[bytes, asyncio.Event] = {}

    # --- the port ---

    async def request(self, transaction: Transaction, *, wait_s: float) -> Release:
        check_performer(transaction, ("releases", "request"), ReleasesRequest, self._node.account)
        release_id = self.release_id(transaction)
        if self._chain.records.release(release_id) is not None:
            # Asked again, perhaps long after: the block with the request may be pruned here.
            return await self._settled(release_id, wait_s)
        status = await self._submission.submit(transaction, wait_s=max(wait_s, FINALITY_WAIT_S))
        if status.standing is not Standing.FINALIZED or status.result is None:
            raise Unavailable(what="finality", reason=f"the request is {status.standing.value}; ask again")
        if status.result.code != RESULT_OK:
            raise Denied(status.result)
        return await self._settled(release_id, wait_s)

    async def _settled(self, release_id: bytes, wait_s: float) -> Release:
        """The release once it is prepared or failed, or as it is after `wait_s`."""
        release = self._release(release_id)
        if release.state is not ReleaseState.REQUESTED or wait_s <= 0:
            return release
        # Nothing is awaited between that look and this, so that no block is missed.
        waiter = self._waiters.setdefault(release_id, asyncio.Event())
        with suppress(TimeoutError):
            await asyncio.wait_for(waiter.wait(), wait_s)
        return self._release(release_id)

    async def file(self, release_id: bytes, index: int) -> ReleasedFile:
        release = self._release(release_id)
        if release.released_by != self._node.account:
            raise NotPerformedHere(named=release.released_by.hex(), here=self._node.account.hex())
        if release.state is ReleaseState.CLOSED or self._window_is_over(release):
            raise ReleaseWindowOver(id=release_id.hex())
        if self._has_erased(release):
            raise ReleaseErased(id=release_id.hex())
        if release.state not in _SERVED:
            raise ReleaseNotPrepared(id=release_id.hex(), state=release.state.value)
        if not 0 <= index < len(release.files):
            raise NotFound(what="file of this release", id=str(index))
        data = await self._kept(release, index) or await self._make_again(release, index)
        return ReleasedFile(data=data, prepared=release.files[index])

    async def marks(self, release_id: bytes, index: int) -> bytes | None:
        """What was done to a file, as JSON, while the file is kept here; None for an original, and anywhere else."""
        try:
            return await asyncio.to_thread(self._spool.get, _spool_name(release_id, index) + _MARKS)
        except LedgerError as error:
            log.error("what was done to a file cannot be told", release=release_id.hex(), reason=str(error))
            return None

    async def transactions_of(self, release_id: bytes) -> ReleaseTransactions:
        self._release(release_id)
        await self._index.wait_height(self._chain.height, FINALITY_WAIT_S)
        requested = await self._index.events(subject=release_id, kind_prefix="releases.requested", limit=1)
        prepared = await self._index.events(subject=release_id, kind_prefix="releases.prepared", limit=1)
        if not requested:
            raise NotFound(what="request of release", id=release_id.hex())
        return ReleaseTransactions(
            request=requested[0].transaction_id, prepare=prepared[0].transaction_id if prepared else None
        )

    def release_id(self, transaction: Transaction) -> bytes:
        """The id that the contract gives to the release which this transaction requests."""
        return self._suite.hash(domains.RELEASE_ID, transaction_id(self._suite, transaction.body))[:8]

    # --- the work ---

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Start what the block asks of this node, and destroy what it has closed."""
        for result in final.executed.results:
            for event in result.events:
                if result.code != RESULT_OK:
                    continue
                if event.kind == "releases.requested":
                    self._start(event.object_id)
                elif event.kind == "releases.closed":
                    self._closed(event.object_id)
                elif event.kind == "certificates.erased":
                    self._jobs.start(event.object_id, lambda: asyncio.to_thread(self.sweep))
                elif event.kind in _SETTLING and (waiter := self._waiters.pop(event.object_id, None)):
                    waiter.set()

    async def resume(self) -> None:
        """Find the work that a stop interrupted: requested releases that name this node. The index is up to date."""
        after: int | None = None
        while True:
            page = await self._index.objects(
                "releases.requested",
                subject=self._node.account,
                after=after,
                limit=_RESUME_PAGE,
                newest_first=True,
            )
            for found in page:
                release = self._chain.records.release(found.object_id)
                if release is not None and release.deadline_ms < self._chain.head_time_ms:
                    return
                self._start(found.object_id)
            if len(page) < _RESUME_PAGE:
                return
            after = page[-1].cursor

    async def stop(self) -> None:
        """Cancel what runs; it is found again at the next start."""
        await self._jobs.stop()

    def sweep(self) -> None:
        """Delete kept files that can never be fetched any more. Blocks on disk; what it cannot do now, the next one does."""
        try:
            for name in self._spool.names():
                release_id = _release_of(name)
                if release_id is not None and self._is_over(release_id):
                    self._spool.delete(name)
        except Unavailable as error:
            log.error("kept files could not be swept", reason=str(error))

    def _is_over(self, release_id: bytes) -> bool:
        release = self._chain.records.release(release_id)
        if release is None or release.state in {ReleaseState.FAILED, ReleaseState.CLOSED}:
            return True
        return self._window_is_over(release) or self._has_erased(release)

    def _has_erased(self, release: Release) -> bool:
        """Whether the data of a certificate in it is erased, whose copies here go with it."""
        found = (self._chain.records.certificate(output.certificate) for output in release.outputs)
        return any(certificate is not None and certificate.erased_ms for certificate in found)

    def _window_is_over(self, release: Release) -> bool:
        return bool(release.window_ends_ms) and self._clock_ms() >= release.window_ends_ms

    def _closed(self, release_id: bytes) -> None:
        release = self._chain.records.release(release_id)
        if release is not None and release.released_by == self._node.account:
            self._jobs.start(release_id, lambda: self._forget(release_id))

    def _start(self, release_id: bytes) -> None:
        release = self._chain.records.release(release_id)
        if release is None or release.released_by != self._node.account:
            return
        if release.state is ReleaseState.REQUESTED:
            self._jobs.start(release_id, lambda: self._perform(release_id))

    async def _perform(self, release_id: bytes) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            release = self._release(release_id)
            if release.state is not ReleaseState.REQUESTED or self._clock_ms() > release.deadline_ms:
                return
            try:
                await self._prepare(release)
                return
            except Denied as error:
                await self._fail(release_id, error.result.code, error)
            except KeyRefused as error:
                await self._fail(release_id, error.reason, error)
            except LedgerError as error:
                if error.category in _MAY_PASS:
                    log.warning("release waits", release=release_id.hex(), reason=str(error))
                else:
                    await self._fail(release_id, error.code, error)
            except WatermarkError as error:
                await self._fail(release_id, error.code, error)
            except Exception as error:
                log.exception("release failed", release=release_id.hex())
                await self._fail(release_id, INTERNAL_ERROR, error)
            if self._release(release_id).state is not ReleaseState.REQUESTED:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_LONGEST_S)

    async def _prepare(self, release: Release) -> None:
        files: list[PreparedFile] = []
        opened = await self._maker.open(release, release.outputs)
        for index in range(len(release.outputs)):
            finish = await self._finish(release, index, opened)
            marked = await self._maker.make(release, index, opened, finish)
            await asyncio.to_thread(self._keep, release, index, marked)
            files.append(marked.prepared)
        await self._node.submit(ReleasesPrepare(release_id=release.release_id, files=tuple(files)))
        log.info("release prepared", release=release.release_id.hex(), files=len(files))

    async def _finish(self, release: Release, index: int, opened: OpenedRelease) -> Finish | None:
        """The file's finish as it was decided when the file was first made; decided and kept now, if it never was."""
        finish = await self._kept_finish(release, index)
        if finish is None:
            finish = await self._maker.finish_of(release, index, opened)
            if finish is not None:
                name = _spool_name(release.release_id, index) + _FINISH
                await asyncio.to_thread(self._spool.put, name, encode_finish(finish))
        return finish

    async def _kept_finish(self, release: Release, index: int) -> Finish | None:
        """None if there is none, or it is damaged. Raises Unavailable (it cannot be read now)."""
        try:
            data = await asyncio.to_thread(self._spool.get, _spool_name(release.release_id, index) + _FINISH)
            return None if data is None else decode_finish(data)
        except VerificationFailed:
            log.error("kept finish is damaged", release=release.release_id.hex(), file=index)
            return None

    async def _kept(self, release: Release, index: int) -> bytes | None:
        """The kept file if it is the one on the ledger."""
        name = _spool_name(release.release_id, index)
        try:
            data = await asyncio.to_thread(self._spool.get, name)
        except VerificationFailed:
            data = b""
        if data is not None and self._suite.digest(data) != release.files[index].file_hash:
            log.error("kept file is damaged; making it again", file=name)
            return None
        return data

    async def _make_again(self, release: Release, index: int) -> bytes:
        """The same bytes once more, where the kept file is lost; possible while the release is PREPARED."""
        output = release.outputs[index]
        finish = await self._kept_finish(release, index)
        marked = await self._maker.make(release, index, await self._maker.open(release, (output,)), finish)
        if marked.prepared != release.files[index]:
            if finish is None and self._maker.finishes(output):
                raise FinishLost(id=release.release_id.hex())
            raise VerificationFailed(reason="the file made again is not the one on the ledger")
        await asyncio.to_thread(self._keep, release, index, marked)
        return marked.data

    def _keep(self, release: Release, index: int, marked: MarkedFile) -> None:
        name = _spool_name(release.release_id, index)
        if marked.manifest is not None:
            self._spool.put(name + _MARKS, msgspec.json.encode(marked.manifest.to_json()))
        self._spool.put(name, marked.data)

    async def _fail(self, release_id: bytes, reason: str, error: Exception) -> None:
        """Give the release up, unless an earlier try of this node did prepare it after all; if not now, then at the next try."""
        log.warning("release failed", release=release_id.hex(), reason=reason, error=str(error))
        with suppress(LedgerError):
            await self._node.submit(ReleasesFail(release_id=release_id, reason=reason))
        if self._release(release_id).state is ReleaseState.FAILED:
            await self._forget(release_id)

    async def _forget(self, release_id: bytes) -> None:
        """Destroy what is kept of a release that will never be fetched; what cannot be destroyed now, the next sweep does."""
        try:
            for name in await asyncio.to_thread(self._spool.names):
                if _release_of(name) == release_id:
                    await asyncio.to_thread(self._spool.delete, name)
        except Unavailable as error:
            log.error("kept files could not be destroyed", release=release_id.hex(), reason=str(error))

    def _release(self, release_id: bytes) -> Release:
        release = self._chain.records.release(release_id)
        if release is None:
            raise NotFound(what="release", id=release_id.hex())
        return release


def check_performer(
    transaction: Transaction, expected: tuple[str, str], kind: type[ReleasesRequest], account: bytes
) -> ReleasesRequest:
    """The arguments, if the transaction is the expected call and names this node. Raises WrongCall, NotPerformedHere."""
    call = transaction.body.call
    if (call.contract, call.method) != expected:
        raise WrongCall(expected=".".join(expected), actual=f"{call.contract}.{call.method}")
    args = codec.decode(call.args, kind, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
    if args.released_by != account:
        raise NotPerformedHere(named=args.released_by.hex(), here=account.hex())
    return args


def _spool_name(release_id: bytes, index: int) -> str:
    return f"release-{release_id.hex()}-{index}"


def _release_of(name: str) -> bytes | None:
    """The release that a file in the spool belongs to; None if it is not one of ours."""
    found = _SPOOL_NAME.fullmatch(name)
    return None if found is None else bytes.fromhex(found[1])
