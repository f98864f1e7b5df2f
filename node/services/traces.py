"""From a leaked file to the release it came from (反向追溯), as a recorded act.

Rule: originals are opened only under a finalized trace that names their certificates; the officer sees verdicts, never
originals; the verdict and the hash of the report go on the ledger before anybody is told.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import structlog

from contracts.calls import TracesConclude, TracesRequest
from contracts.records import Certificate, Output, Trace, TraceVerdict
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, LedgerError, NotFound, Unavailable
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, RESULT_OK, Transaction
from node.chain import Chain
from node.execution import FinalizedExecution
from node.index.ports import INDEX_PAGE_MAX, Index
from node.services.jobs import Jobs
from node.services.making import ReleaseMaker
from node.services.marking import MarkKeys, Renderer, release_seed
from node.services.node_account import NodeAccount
from node.services.ports import Denied, MatchFacts, Standing, TraceReport
from node.services.releases import NotPerformedHere, WrongCall
from node.services.rendering import Rendering, asset_of
from node.services.spool import Spool
from node.services.submission import Submission
from node.vault.keys import Authority, AuthorityKind
from watermark import Verdict, WatermarkError, detect, phantom_seeds
from watermark.detect import ACCUSE_LOG10_NP, INVESTIGATE_LOG10_NP

FINALITY_WAIT_S: Final = 60.0
RELEASES_PER_CERTIFICATE_MAX: Final = 100_000
REPORTS_IN_MEMORY_MAX: Final = 256
TRACES_AT_ONCE: Final = 1
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 60.0
RELEASES_NAMED_MAX: Final = 64
PHANTOMS: Final = 10_000
LOG10_NP_MAX: Final = {TraceVerdict.ACCUSED: ACCUSE_LOG10_NP, TraceVerdict.INVESTIGATE: INVESTIGATE_LOG10_NP}
_SEVERITY: Final = (
    TraceVerdict.UNTRACEABLE,
    TraceVerdict.NONE,
    TraceVerdict.INVESTIGATE,
    TraceVerdict.ACCUSED,
)
_EMPTY: Final = TraceReport(progress=0.0, matches=(), candidates=0, phantom_best_log10_np=None, notes=())

log = structlog.get_logger()


class FileMismatch(LedgerError):
    """The uploaded file is not the one that the transaction names. Fields: named, actual."""

    code = "file_mismatch"
    zh = "上传的文件（{actual}）不是交易所指的文件（{named}）"
    en = "The uploaded file hashes to {actual}, the transaction names {named}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One thing that was handed out, unmarked, and everybody who got a copy."""

    certificate: Certificate
    output: Output
    releases: Mapping[bytes, int]


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
        spool: Spool,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._index = index
        self._submission = submission
        self._node = node
        self._renderer = renderer
        self._maker = maker
        self._spool = spool
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

    def report(self, trace_id: bytes) -> TraceReport:
        trace = self._chain.records.trace(trace_id)
        if trace is None or trace.verdict is TraceVerdict.OPEN:
            return replace(_EMPTY, progress=self._progress.get(trace_id, 0.0))
        report = self._reports.get(trace_id)
        if report is None:
            kept = self._spool.get(_report_name(trace_id, trace.report_hash))
            report = msgspec.json.decode(kept, type=TraceReport) if kept is not None else _EMPTY
            self._remember(trace_id, report)
        return report

    # --- the work ---

    def block_finalized(self, final: FinalizedExecution) -> None:
        """Start what the block asks of this node."""
        for result in final.executed.results:
            for event in result.events:
                if event.kind == "traces.requested" and result.code == RESULT_OK:
                    self._start(event.object_id)

    def resume(self) -> None:
        """Go on with open traces whose leak is kept here, and delete the leaks of others. Blocks on disk."""
        for name in self._spool.names():
            if name.startswith("leak-"):
                trace_id = bytes.fromhex(name.removeprefix("leak-"))
                trace = self._chain.records.trace(trace_id)
                if trace is not None and trace.verdict is not TraceVerdict.OPEN:
                    self._spool.delete(name)
                self._start(trace_id)

    async def stop(self) -> None:
        """Cancel what runs; it is found again at the next start."""
        await self._jobs.stop()

    def _start(self, trace_id: bytes) -> None:
        trace = self._chain.records.trace(trace_id)
        if (
            trace is None
            or trace.performed_by != self._node.account
            or trace.verdict is not TraceVerdict.OPEN
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
                report = replace(_EMPTY, progress=1.0, notes=(note,))
        encoded = msgspec.json.encode(report)
        report_hash = self._suite.digest(encoded)
        await asyncio.to_thread(self._spool.put, _report_name(trace.trace_id, report_hash), encoded)
        await self._node.submit(
            TracesConclude(
                trace_id=trace.trace_id,
                verdict=verdict,
                releases=_named(verdict, report),
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
        assets = await self._assets(trace)
        total = sum(len(asset.releases) for asset in assets)
        report = replace(_EMPTY, candidates=total)
        if total == 0:
            note = "no release of these certificates was ever prepared"
            return TraceVerdict.UNTRACEABLE, replace(report, progress=1.0, notes=(note,))
        verdicts: list[TraceVerdict] = []
        authority = Authority(kind=AuthorityKind.TRACE, record_id=trace.trace_id)
        for number, asset in enumerate(assets):
            self._progress[trace.trace_id] = number / len(assets)
            label = f"{asset.certificate.certificate_id.hex()} {asset_of(asset.output)}"
            try:
                rendering, keys = await self._open(authority, asset)
                found = await asyncio.to_thread(self._detect, leak, rendering, keys, asset, total)
            except (Unavailable, Busy):
                raise
            except (LedgerError, WatermarkError) as error:
                report = replace(report, notes=(*report.notes, f"{label}: {error}"))
                continue
            verdicts.append(TraceVerdict(found.verdict.value))
            report = _merge(report, label, asset, found)
        worst = max(verdicts, key=_SEVERITY.index, default=TraceVerdict.UNTRACEABLE)
        ordered = tuple(sorted(report.matches, key=lambda match: match.log10_np))
        return worst, replace(report, progress=1.0, matches=ordered)

    async def _assets(self, trace: Trace) -> list[Asset]:
        """Every asset of the named certificates that was prepared for anybody before the trace was asked for."""
        found: dict[tuple[bytes, str], tuple[Certificate, Output, dict[bytes, int]]] = {}
        for certificate_id in trace.certificates:
            certificate = self._chain.records.certificate(certificate_id)
            if certificate is None:
                continue
            for release_id in await self._releases_of(certificate_id):
                release = self._chain.records.release(release_id)
                if release is None or not release.files or release.prepared_ms > trace.requested_ms:
                    continue
                for number, output in enumerate(release.outputs):
                    if output.certificate == certificate_id:
                        key = (certificate_id, asset_of(output))
                        found.setdefault(key, (certificate, output, {}))[2][release_id] = number
        return [
            Asset(certificate=certificate, output=output, releases=releases)
            for certificate, output, releases in found.values()
        ]

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

    async def _open(self, authority: Authority, asset: Asset) -> tuple[Rendering, MarkKeys]:
        """The asset unmarked, opened as one of its releases had it opened."""
        certificate, witness = asset.certificate, next(iter(asset.releases))
        schema = self._maker.schema(certificate)
        unlocked = await self._renderer.unlock(authority, (certificate,), (asset.output,), (witness,))
        release = self._chain.records.release(witness)
        as_of_ms = 0 if release is None else self._maker.as_of_ms(release, asset.output)
        return await self._renderer.render(unlocked, certificate, schema, asset.output, as_of_ms)

    def _detect(self, leak: bytes, rendering: Rendering, keys: MarkKeys, asset: Asset, total: int) -> Verdict:
        return detect(
            leak,
            rendering.data,
            rendering.media_type,
            layout_key=keys.layout_key,
            candidates={
                release_id: release_seed(self._suite, keys, release_id) for release_id in asset.releases
            },
            phantoms=phantom_seeds(keys.layout_key, leak, PHANTOMS),
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


def _merge(report: TraceReport, label: str, asset: Asset, found: Verdict) -> TraceReport:
    matches = tuple(
        MatchFacts(
            release_id=match.release_id,
            certificate=asset.certificate.certificate_id,
            output=asset.releases[match.release_id],
            log10_np=match.log10_np,
            channels=tuple(channel.value for channel in match.channels),
        )
        for match in found.matches
    )
    phantoms = [
        value for value in (report.phantom_best_log10_np, found.phantom_best_log10_np) if value is not None
    ]
    notes = tuple(f"{label}: {note.en}" for note in found.notes)
    return replace(
        report,
        matches=(*report.matches, *matches),
        phantom_best_log10_np=min(phantoms, default=None),
        notes=(*report.notes, *notes),
    )


def _named(verdict: TraceVerdict, report: TraceReport) -> tuple[bytes, ...]:
    """The releases that the verdict is about, most certain first: beside an accused one no mere suspect is named."""
    limit = LOG10_NP_MAX.get(verdict)
    if limit is None:
        return ()
    named = dict.fromkeys(match.release_id for match in report.matches if match.log10_np <= limit)
    return tuple(named)[:RELEASES_NAMED_MAX]


def _leak_name(trace_id: bytes) -> str:
    return f"leak-{trace_id.hex()}"


def _report_name(trace_id: bytes, report_hash: bytes) -> str:
    return f"report-{trace_id.hex()}-{report_hash.hex()}"
