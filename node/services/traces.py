"""From a leaked file to the release it came from (反向追溯), as a recorded act.

Rule: originals are opened and seeds computed only under a finalized trace that names their certificates and that another
organisation has approved; the officer sees verdicts, never originals; the verdict and the hash of the report go on the
ledger before anybody is told.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from contracts.assets import asset_of
from contracts.calls import TracesConclude, TracesRequest
from contracts.records import Certificate, Output, Trace, TraceVerdict
from contracts.traces import TRACE_LIFE_MS
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import Busy, LedgerError, NotFound, Unavailable
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, RESULT_OK, Transaction
from node.chain import Chain
from node.execution import FinalizedExecution
from node.index.ports import INDEX_PAGE_MAX, Index
from node.services.jobs import Jobs
from node.services.making import ReleaseMaker
from node.services.marking import Renderer
from node.services.node_account import NodeAccount
from node.services.ports import Denied, Standing, TraceReport
from node.services.releases import NotPerformedHere, WrongCall
from node.services.rendering import Rendering
from node.services.spool import Spool
from node.services.submission import Submission
from node.services.trace_reports import EMPTY, Asset, named, unnamed, with_asset, with_failure
from node.vault.keys import Authority, AuthorityKind
from node.vault.mark_seeds import Copy, MarkSeeds, copies_of
from watermark import Verdict, WatermarkError, detect, phantom_seeds

FINALITY_WAIT_S: Final = 60.0
RELEASES_PER_CERTIFICATE_MAX: Final = 100_000
REPORTS_IN_MEMORY_MAX: Final = 256
TRACES_AT_ONCE: Final = 1
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 60.0
PHANTOMS: Final = 10_000
# Share of the progress that belongs to computing seeds.
SEEDS_PROGRESS: Final = 0.5
ORIGINALS_NAMED_MAX: Final = 100
ORIGINAL: Final = "handed out an unmarked original, which no mark can name"
_SEVERITY: Final = (
    TraceVerdict.UNTRACEABLE,
    TraceVerdict.NONE,
    TraceVerdict.INVESTIGATE,
    TraceVerdict.ACCUSED,
)

_LEAK_NAME: Final = re.compile(r"leak-([0-9a-f]{32})")

log = structlog.get_logger()


class FileMismatch(LedgerError):
    """The uploaded file is not the one that the transaction names. Fields: named, actual."""

    code = "file_mismatch"
    zh = "上传的文件（{actual}）不是交易所指的文件（{named}）"
    en = "The uploaded file hashes to {actual}, the transaction names {named}"


class Traces:
    """Implements the port `Traces`, and follows the chain for traces that name this node."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        index: Index,
        submission: Submission,
        node: NodeAccount,
        renderer: Renderer,
        maker: ReleaseMaker,
        seeds: MarkSeeds,
        spool: Spool,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._index = index
        self._submission = submission
        self._node = node
        self._renderer = renderer
        self._maker = maker
        self._seeds = seeds
        self._spool = spool
        self._clock_ms = clock_ms
        self._reports: OrderedDict[bytes, TraceReport] = OrderedDict()
        self._progress: dict[bytes, float] = {}
        self._jobs = Jobs("trace")
        self._at_once = asyncio.Semaphore(TRACES_AT_ONCE)

    # --- the port ---

    async def request(self, transaction: Transaction, file: bytes) -> Trace:
        call = transaction.body.call
        if (call.contract, call.method) != ("traces", "request"):
            raise WrongCall(expected="traces.request", actual=f"{call.contract}.{call.method}")
        args = codec.decode(call.args, TracesRequest, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
        if args.performed_by != self._node.account:
            raise NotPerformedHere(named=args.performed_by.hex(), here=self._node.account.hex())
        actual = self._suite.digest(file)
        if actual != args.file_hash:
            raise FileMismatch(named=args.file_hash.hex(), actual=actual.hex())
        name = transaction_id(self._suite, transaction.body)
        trace_id = self._suite.hash(domains.TRACE_ID, name)[:16]
        await asyncio.to_thread(self._spool.put, _leak_name(trace_id), file)
        try:
            status = await self._submission.submit(transaction, wait_s=FINALITY_WAIT_S)
        except LedgerError:
            await asyncio.to_thread(self._spool.delete, _leak_name(trace_id))
            raise
        if status.standing is Standing.PENDING:
            raise Unavailable(what="finality", reason="the request is pending; ask again")
        if status.result is None or status.result.code != RESULT_OK:
            await asyncio.to_thread(self._spool.delete, _leak_name(trace_id))
            if status.result is None:
                raise Unavailable(what="finality", reason="the request has expired; sign it again")
            raise Denied(status.result)
        if self._trace(trace_id).verdict is TraceVerdict.OPEN:
            self._start(trace_id)
        else:
            await asyncio.to_thread(self._spool.delete, _leak_name(trace_id))
        return self._trace(trace_id)

    def kept_report(self, trace_id: bytes) -> bytes | None:
        """The very bytes whose hash is on the ledger; None while the trace is open, or where another node has them."""
        trace = self._chain.records.trace(trace_id)
        if trace is None or trace.verdict is TraceVerdict.OPEN:
            return None
        return self._spool.get(_report_name(trace_id, trace.report_hash))

    def report(self, trace_id: bytes) -> TraceReport:
        trace = self._chain.records.trace(trace_id)
        if trace is None or trace.verdict is TraceVerdict.OPEN:
            return replace(EMPTY, progress=self._progress.get(trace_id, 0.0))
        report = self._reports.get(trace_id)
        if report is None:
            kept = self._spool.get(_report_name(trace_id, trace.report_hash))
            report = decode_json(kept, TraceReport) if kept is not None else EMPTY
            self._remember(trace_id, report)
        return report

    # --- the work ---

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Start what the block asks of this node."""
        for result in final.executed.results:
            for event in result.events:
                if event.kind == "traces.approved" and result.code == RESULT_OK:
                    self._start(event.object_id)

    def resume(self) -> None:
        """Go on with approved traces whose leak is kept here. Blocks on disk."""
        self.sweep()
        for name in self._spool.names():
            if (trace_id := _trace_of(name)) is not None:
                self._start(trace_id)

    def sweep(self) -> None:
        """Delete the leaks of traces that are over or never came about. Blocks on disk; what it cannot do, the next one does."""
        try:
            for name in self._spool.names():
                trace_id = _trace_of(name)
                if trace_id is not None and self._is_over(trace_id):
                    self._spool.delete(name)
        except Unavailable as error:
            log.error("leaks could not be swept", reason=str(error))

    def _is_over(self, trace_id: bytes) -> bool:
        """Whether it is concluded, nobody has approved it in time, or its request can come on the ledger no more."""
        trace = self._chain.records.trace(trace_id)
        if trace is None:
            lifetime_ms = self._chain.genesis.limits.transaction_lifetime_ms_max
            return self._clock_ms() >= self._spool.written_ms(_leak_name(trace_id)) + 2 * lifetime_ms
        waited = not trace.approved_ms and self._clock_ms() >= trace.requested_ms + TRACE_LIFE_MS
        return waited or trace.verdict is not TraceVerdict.OPEN

    async def stop(self) -> None:
        """Cancel what runs; it is found again at the next start."""
        await self._jobs.stop()

    def _start(self, trace_id: bytes) -> None:
        trace = self._chain.records.trace(trace_id)
        if (
            trace is None
            or trace.performed_by != self._node.account
            or trace.verdict is not TraceVerdict.OPEN
            or not trace.approved_ms
        ):
            return
        self._jobs.start(trace_id, lambda: self._perform(trace))

    async def _perform(self, trace: Trace) -> None:
        pause_s = RETRY_FIRST_S
        while self._trace(trace.trace_id).verdict is TraceVerdict.OPEN:
            leak = await asyncio.to_thread(self._spool.get, _leak_name(trace.trace_id))
            if leak is None:
                log.error("leak of an open trace is not here", trace=trace.trace_id.hex())
                return
            try:
                await self._conclude(trace, leak)
            except Denied as error:
                if self._trace(trace.trace_id).verdict is TraceVerdict.OPEN:
                    log.error("verdict refused", trace=trace.trace_id.hex(), code=error.result.code)
                    return
            except (Unavailable, Busy) as error:
                log.warning("trace waits", trace=trace.trace_id.hex(), reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_LONGEST_S)
        self._progress.pop(trace.trace_id, None)
        await asyncio.to_thread(self._tidy, self._trace(trace.trace_id))

    async def _conclude(self, trace: Trace, leak: bytes) -> None:
        """Examine the leak, keep the report, and write verdict and report hash on the ledger."""
        async with self._at_once:
            try:
                verdict, report = await self._examine(trace, leak)
            except (Unavailable, Busy):
                raise
            except Exception as error:
                log.exception("trace failed", trace=trace.trace_id.hex())
                verdict = TraceVerdict.UNTRACEABLE
                note = f"the examination failed: {type(error).__name__}"
                report = replace(EMPTY, progress=1.0, notes=(note,))
        encoded = msgspec.json.encode(report)
        report_hash = self._suite.digest(encoded)
        await asyncio.to_thread(self._spool.put, _report_name(trace.trace_id, report_hash), encoded)
        await self._node.submit(
            TracesConclude(
                trace_id=trace.trace_id,
                verdict=verdict,
                releases=named(verdict, report),
                report_hash=report_hash,
            )
        )

    def _tidy(self, trace: Trace) -> None:
        """Delete the leak, and reports that are not the one on the ledger: of tries that came to nothing."""
        self._spool.delete(_leak_name(trace.trace_id))
        kept = _report_name(trace.trace_id, trace.report_hash)
        for name in self._spool.names():
            if name.startswith(f"report-{trace.trace_id.hex()}-") and name != kept:
                self._spool.delete(name)

    async def _examine(self, trace: Trace, leak: bytes) -> tuple[TraceVerdict, TraceReport]:
        if not await self._index.wait_height(self._chain.height, FINALITY_WAIT_S):
            raise Unavailable(what="audit index", reason="it does not know the newest releases yet")
        assets, originals = await self._assets(trace)
        total = sum(len(asset.copies) for asset in assets)
        report = replace(
            EMPTY, candidates=total, notes=tuple(f"release {name.hex()}: {ORIGINAL}" for name in originals)
        )
        if total == 0:
            note = "no release of these certificates was ever prepared"
            return TraceVerdict.UNTRACEABLE, replace(
                report,
                progress=1.0,
                notes=(*report.notes, note),
                unnamed=unnamed(TraceVerdict.UNTRACEABLE, assets, originals),
            )
        seeds = await self._seeds_of(trace, assets)
        verdicts: list[TraceVerdict] = []
        authority = Authority(kind=AuthorityKind.TRACE, record_id=trace.trace_id)
        for number, asset in enumerate(assets):
            self._progress[trace.trace_id] = SEEDS_PROGRESS + (1 - SEEDS_PROGRESS) * number / len(assets)
            try:
                rendering, layout = await self._open(authority, asset)
                found = await asyncio.to_thread(self._detect, leak, rendering, layout, asset, seeds, total)
            except (Unavailable, Busy):
                raise
            except (LedgerError, WatermarkError) as error:
                report = with_failure(report, asset, seeds, str(error))
                continue
            verdicts.append(TraceVerdict(found.verdict.value))
            report = with_asset(report, self._suite, asset, seeds, rendering, layout, found)
        worst = max(verdicts, key=_SEVERITY.index, default=TraceVerdict.UNTRACEABLE)
        ordered = tuple(sorted(report.matches, key=lambda match: match.log10_np))
        beyond = unnamed(worst, assets, originals)
        return worst, replace(report, progress=1.0, matches=ordered, unnamed=beyond)

    async def _assets(self, trace: Trace) -> tuple[list[Asset], list[bytes]]:
        """Every asset of the named certificates that was prepared for anybody before the trace was asked for; and releases of
        unmarked originals, which no mark can name."""
        originals: dict[bytes, None] = {}
        found: dict[tuple[bytes, str], tuple[Certificate, Output, dict[bytes, Copy]]] = {}
        for certificate_id in trace.certificates:
            certificate = self._chain.records.certificate(certificate_id)
            if certificate is None:
                continue
            for release_id in await self._releases_of(certificate_id):
                release = self._chain.records.release(release_id)
                if release is None or not release.files or release.prepared_ms > trace.requested_ms:
                    continue
                for copy in copies_of(release):
                    if copy.output.certificate == certificate_id and copy.unmarked:
                        originals[release_id] = None
                    elif copy.output.certificate == certificate_id:
                        key = (certificate_id, asset_of(copy.output))
                        found.setdefault(key, (certificate, copy.output, {}))[2].setdefault(release_id, copy)
        return [
            Asset(certificate=certificate, output=output, copies=copies)
            for certificate, output, copies in found.values()
        ], list(originals)[:ORIGINALS_NAMED_MAX]

    async def _seeds_of(self, trace: Trace, assets: Sequence[Asset]) -> Mapping[Copy, bytes]:
        """The seed of every copy, from the operators together."""
        releases = dict.fromkeys(release_id for asset in assets for release_id in asset.copies)
        copies = [
            copy
            for release_id in releases
            if (release := self._chain.records.release(release_id)) is not None
            for copy in copies_of(release)
            if copy.output.certificate in trace.certificates
        ]

        def done(count: int) -> None:
            self._progress[trace.trace_id] = SEEDS_PROGRESS * count / len(copies)

        return await self._seeds.of_trace(trace.trace_id, copies, done)

    async def _releases_of(self, certificate_id: bytes) -> list[bytes]:
        releases: list[bytes] = []
        after: int | None = None
        while len(releases) < RELEASES_PER_CERTIFICATE_MAX:
            page = await self._index.objects(
                "releases.prepared", subject=certificate_id, after=after, limit=INDEX_PAGE_MAX
            )
            releases.extend(entry.object_id for entry in page)
            if len(page) < INDEX_PAGE_MAX:
                break
            after = page[-1].cursor
        return releases

    async def _open(self, authority: Authority, asset: Asset) -> tuple[Rendering, bytes]:
        """The asset unmarked, opened as one of its releases had it opened, and its layout key."""
        certificate, witness = asset.certificate, next(iter(asset.copies))
        schema = self._maker.schema(certificate)
        unlocked = await self._renderer.unlock(authority, (certificate,), (asset.output,), (witness,))
        release = self._chain.records.release(witness)
        as_of_ms = 0 if release is None else self._maker.as_of_ms(release, asset.output)
        return await self._renderer.render(unlocked, certificate, schema, asset.output, as_of_ms)

    def _detect(
        self,
        leak: bytes,
        rendering: Rendering,
        layout: bytes,
        asset: Asset,
        seeds: Mapping[Copy, bytes],
        total: int,
    ) -> Verdict:
        return detect(
            leak,
            rendering.data,
            rendering.media_type,
            layout_key=layout,
            candidates={
                release_id: seeds[copy] for release_id, copy in asset.copies.items() if copy in seeds
            },
            phantoms=phantom_seeds(layout, leak, PHANTOMS),
            policy=rendering.policy,
            candidates_total=total,
        )

    def _remember(self, trace_id: bytes, report: TraceReport) -> None:
        self._reports[trace_id] = report
        self._reports.move_to_end(trace_id)
        while len(self._reports) > REPORTS_IN_MEMORY_MAX:
            self._reports.popitem(last=False)

    def _trace(self, trace_id: bytes) -> Trace:
        trace = self._chain.records.trace(trace_id)
        if trace is None:
            raise NotFound(what="trace", id=trace_id.hex())
        return trace


def _leak_name(trace_id: bytes) -> str:
    return f"leak-{trace_id.hex()}"


def _trace_of(name: str) -> bytes | None:
    """Whose leak a kept file is; None for any other file."""
    found = _LEAK_NAME.fullmatch(name)
    return bytes.fromhex(found[1]) if found else None


def _report_name(trace_id: bytes, report_hash: bytes) -> str:
    return f"report-{trace_id.hex()}-{report_hash.hex()}"
