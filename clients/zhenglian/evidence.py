"""Evidence of a trace, checked by a third party with no network: what the ledger proves of it, and the mark itself once more.

Rule: pure functions. Nothing is believed but receipts under a trust point: who asked, who approved, what was concluded, that the
report is the one whose hash is on the ledger, who downloaded each named copy, which node made it, and that the seed in the report
is the one to which that node had committed before a byte left. With leak and original in hand the mark is detected again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from contracts.args import Args
from contracts.assets import asset_of
from contracts.calls import (
    CALLS,
    ReleasesAcknowledge,
    ReleasesPrepare,
    ReleasesRequest,
    TracesApprove,
    TracesConclude,
    TracesRequest,
)
from ledger import codec, domains, readable
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import DecodeError, VerificationFailed
from ledger.receipts import VerifiedReceipt, receipt_from_json, verify_receipt
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, RESULT_OK, EpochChange, Trust
from watermark import Policy, WatermarkError, detect
from watermark.policy import Channel
from zhenglian.api import EvidenceView

A = TypeVar("A", bound=Args)

FORMAT: Final = "zhenglian-evidence-1"
EVIDENCE_SIZE_BYTES_MAX: Final = 64 * 1024 * 1024
# Another machine, or another release of a library that decodes pictures, may round otherwise.
LOG10_TOLERANCE: Final = 0.5


class _Match(Struct, frozen=True):
    release_id: bytes
    certificate: bytes
    output: int
    log10_np: float
    channels: tuple[str, ...]
    seed: bytes


class ComparedAsset(Struct, frozen=True):
    """An unmarked file with which the leak was compared, and what came of it.

    Attributes:
        certificate, asset: which file.
        media_type, original_hash: of it.
        candidates: copies of it that were judged.
        not_judged: releases whose mark was not made with the seed that the operators' key gives.
        verdict: of this file alone; empty where it could not be compared, and `notes` say why.
        alignment: how the leak was laid over it.
        carriers: read, by channel.
        layout_key: which carrier holds which position of a code.
        strength, channels: of its policy: how strongly and in which ways its copies were marked.
    """

    certificate: bytes
    asset: str
    media_type: str
    original_hash: bytes
    candidates: int
    not_judged: tuple[bytes, ...]
    verdict: str
    alignment: str
    carriers: dict[str, int]
    notes: tuple[str, ...]
    layout_key: bytes
    strength: float = 1.0
    channels: tuple[str, ...] = tuple(Channel)


class _Report(Struct, frozen=True):
    matches: tuple[_Match, ...]
    candidates: int
    phantom_best_log10_np: float | None
    assets: tuple[ComparedAsset, ...]
    unnamed: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRelease:
    """A copy that the verdict names.

    Attributes:
        release_id: of its release.
        recipient, officer: account that downloaded it, and the key that signed the request.
        releasing: account of the operator whose node made it: the only other one that ever held it.
        requested_ms, prepared_ms: block times.
        acknowledged: whether the recipient signed that the file had come.
        log10_np, channels: of the report.
        detected_log10_np: the same, detected again; None without leak and original.
    """

    release_id: bytes
    recipient: bytes
    officer: bytes
    releasing: bytes
    requested_ms: int
    prepared_ms: int
    acknowledged: bool
    log10_np: float
    channels: tuple[str, ...]
    detected_log10_np: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEvidence:
    """What a piece of evidence proves.

    Attributes:
        trace_id, verdict, reason: as on the ledger.
        auditor, approved_by, performed_by: three accounts, of which no two are the same.
        file_hash: of the leak.
        requested_ms, concluded_ms: block times.
        candidates: how many copies were compared.
        phantom_best_log10_np: the best score of seeds that were never issued, on the same scale.
        assets: what the leak was compared with; without the keys of marks.
        report_hash: of the report, as on the ledger.
        releases: those named, most certain first.
        unnamed: where no mark can name anybody, the releases that the leak may come from, as the report says.
    """

    trace_id: bytes
    verdict: str
    reason: str
    auditor: bytes
    approved_by: bytes
    performed_by: bytes
    file_hash: bytes
    requested_ms: int
    concluded_ms: int
    candidates: int
    phantom_best_log10_np: float | None
    assets: tuple[ComparedAsset, ...]
    report_hash: bytes
    releases: tuple[CheckedRelease, ...]
    unnamed: tuple[bytes, ...]


def check_evidence(
    data: bytes,
    trust: Trust,
    changes: Sequence[EpochChange] = (),
    *,
    leak: bytes | None = None,
    original: bytes | None = None,
) -> CheckedEvidence:
    """Check the evidence of a trace.

    Args:
        data: the file, however hostile.
        trust: what the verifier trusts.
        changes: epoch changes, for receipts of later epochs.
        leak: the leaked file; then its hash is compared.
        original: the unmarked file (an attachment as it was issued); with `leak`, the marks are detected again.

    Raises:
        DecodeError: it is no such file.
        ProofRejected: a receipt does not hold.
        VerificationFailed: the parts do not belong together; says which.
    """
    view, report = _read(data)
    suite = load_suite(trust.suite)
    acts = _Acts(suite, trust, changes, view.receipts)
    asked, request = acts.call("requested", TracesRequest)
    trace_id = suite.hash(domains.TRACE_ID, asked.transaction_id)[:16]
    approved, approval = acts.call("approved", TracesApprove)
    concluded, conclusion = acts.call("concluded", TracesConclude)
    _require(trace_id.hex() == view.trace_id, "the request is another trace's")
    _require(approval.trace_id == trace_id and conclusion.trace_id == trace_id, "an act is of another trace")
    _require(
        suite.digest(view.report.encode()) == conclusion.report_hash,
        "the report is not the one on the ledger",
    )
    if leak is not None:
        _require(suite.digest(leak) == request.file_hash, "the leak is another file")
    by_name = {one.release_id: one for one in view.releases}
    releases = []
    for name in conclusion.releases:
        match = next((one for one in report.matches if one.release_id == name), None)
        shown = by_name.get(name.hex())
        if match is None or shown is None:
            raise VerificationFailed(reason=f"release {name.hex()} is named and not shown")
        held = _Acts(suite, trust, changes, shown.receipts)
        detected = _detected(suite, report, match, leak, original)
        releases.append(_release(suite, held, name, match, detected))
    return CheckedEvidence(
        trace_id=trace_id,
        verdict=conclusion.verdict.value,
        reason=request.reason,
        auditor=_account(asked),
        approved_by=_account(approved),
        performed_by=_account(concluded),
        file_hash=request.file_hash,
        requested_ms=asked.time_ms,
        concluded_ms=concluded.time_ms,
        candidates=report.candidates,
        phantom_best_log10_np=report.phantom_best_log10_np,
        assets=tuple(replace(one, layout_key=b"") for one in report.assets),
        report_hash=conclusion.report_hash,
        releases=tuple(releases),
        unnamed=report.unnamed,
    )


def _read(data: bytes) -> tuple[EvidenceView, _Report]:
    if len(data) > EVIDENCE_SIZE_BYTES_MAX:
        raise DecodeError(what="evidence", reason="the file is too large")
    try:
        view = decode_json(data, EvidenceView)
        report = decode_json(view.report, _Report)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecodeError(what="evidence", reason=str(error)) from None
    if view.format != FORMAT:
        raise DecodeError(what="evidence", reason=f"its format is {view.format[:40]}, not {FORMAT}")
    return view, report


class _Acts:
    """Receipts of what was done, each checked when it is asked for."""

    def __init__(
        self,
        suite: CryptoSuite,
        trust: Trust,
        changes: Sequence[EpochChange],
        receipts: Mapping[str, dict[str, Any]],
    ) -> None:
        self._suite = suite
        self._trust = trust
        self._changes = changes
        self._receipts = receipts

    def has(self, act: str) -> bool:
        return act in self._receipts

    def call(self, act: str, kind: type[A]) -> tuple[VerifiedReceipt, A]:
        """The proven transaction and its arguments. Raises ProofRejected, VerificationFailed."""
        if act not in self._receipts:
            raise VerificationFailed(reason=f"the receipt of {act} is missing")
        receipt = receipt_from_json(readable.render(self._receipts[act]).encode())
        proven = verify_receipt(self._trust, receipt, self._changes)
        call = proven.receipt.transaction.body.call
        _require(CALLS.get((call.contract, call.method)) is kind, f"the receipt of {act} is of another call")
        _require(proven.receipt.result.code == RESULT_OK, f"what the receipt of {act} proves was denied")
        return proven, codec.decode(call.args, kind, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)


def _release(
    suite: CryptoSuite, acts: _Acts, name: bytes, match: _Match, detected: float | None
) -> CheckedRelease:
    asked, request = acts.call("requested", ReleasesRequest)
    made, prepared = acts.call("prepared", ReleasesPrepare)
    _require(
        suite.hash(domains.RELEASE_ID, asked.transaction_id)[:8] == name, "a request is of another release"
    )
    _require(prepared.release_id == name, "what was prepared is another release")
    _require(0 <= match.output < len(request.outputs), "the report names an output that there is not")
    output, file = request.outputs[match.output], prepared.files[match.output]
    _require(output.certificate == match.certificate, "the report names another certificate")
    committed = codec.encode((name, asset_of(output), match.seed, file.file_hash))
    _require(
        suite.hash(domains.MARK_COMMITMENT, committed) == file.mark_commitment,
        "the seed is not the one to which the releasing node had committed",
    )
    acknowledged = acts.has("delivered")
    if acknowledged:
        _, delivery = acts.call("delivered", ReleasesAcknowledge)
        _require(delivery.release_id == name, "what was acknowledged is another release")
    return CheckedRelease(
        release_id=name,
        recipient=_account(asked),
        officer=asked.receipt.transaction.body.key_id,
        releasing=_account(made),
        requested_ms=asked.time_ms,
        prepared_ms=made.time_ms,
        acknowledged=acknowledged,
        log10_np=match.log10_np,
        channels=match.channels,
        detected_log10_np=detected,
    )


def _detected(
    suite: CryptoSuite, report: _Report, match: _Match, leak: bytes | None, original: bytes | None
) -> float | None:
    """The bound for one release, computed anew from leak and original, if that original is what it was compared with."""
    if leak is None or original is None:
        return None
    hashed = suite.digest(original)
    compared = [
        one for one in report.assets if (one.certificate, one.original_hash) == (match.certificate, hashed)
    ]
    if not compared:
        return None
    (asset, *_) = compared
    name, layout = match.release_id, asset.layout_key
    try:
        found = detect(
            leak,
            original,
            asset.media_type,
            layout_key=layout,
            candidates={name: match.seed},
            phantoms=(),
            policy=_policy(asset),
            candidates_total=report.candidates,
        )
    except WatermarkError as error:
        raise VerificationFailed(reason=f"the mark cannot be detected again: {error}") from None
    best = next((one.log10_np for one in found.matches if one.release_id == name), 0.0)
    _require(best <= match.log10_np + LOG10_TOLERANCE, "the mark is not in the leak as the report says")
    return best


def _policy(asset: ComparedAsset) -> Policy:
    """By which the copies of an attachment were marked."""
    document = {"strength": asset.strength, "channels": list(asset.channels)}
    return Policy.from_json(document)


def _account(proven: VerifiedReceipt) -> bytes:
    return proven.receipt.transaction.body.account


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise VerificationFailed(reason=reason)
