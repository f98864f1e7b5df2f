"""What a trace found, put together: a report whose hash goes on the ledger, and the evidence that a third party checks.

Rule: a report says what was compared, how, and what failed, besides what was found; and whatever it claims of a mark can be
computed again from it, the leak and the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.assets import asset_of
from contracts.records import Certificate, Output, TraceVerdict
from ledger.crypto.suite import CryptoSuite
from node.services.ports import MatchFacts, TraceReport
from node.services.rendering import Rendering
from node.vault.mark_seeds import Copy
from watermark import Verdict
from watermark.detect import ACCUSE_LOG10_NP, INVESTIGATE_LOG10_NP
from watermark.policy import Channel
from zhenglian.evidence import ComparedAsset

RELEASES_NAMED_MAX: Final = 64
NOT_JUDGED_MAX: Final = 100
LOG10_NP_MAX: Final = {TraceVerdict.ACCUSED: ACCUSE_LOG10_NP, TraceVerdict.INVESTIGATE: INVESTIGATE_LOG10_NP}
EMPTY: Final = TraceReport(progress=0.0, matches=(), candidates=0, phantom_best_log10_np=None, notes=())
NOT_JUDGED: Final = "its mark was not made with the seed that the operators' key gives; it cannot be judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One thing that was handed out, unmarked, and everybody's copy of it by release."""

    certificate: Certificate
    output: Output
    copies: Mapping[bytes, Copy]

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.certificate.certificate_id.hex()} {asset_of(self.output)}"

    def not_judged(self, seeds: Mapping[Copy, bytes]) -> tuple[bytes, ...]:
        """Releases whose commitment is not what the operators' key gives."""
        return tuple(name for name, copy in self.copies.items() if copy not in seeds)[:NOT_JUDGED_MAX]


def with_failure(report: TraceReport, asset: Asset, seeds: Mapping[Copy, bytes], reason: str) -> TraceReport:
    """The report with an asset that could not be compared."""
    facts = ComparedAsset(
        certificate=asset.certificate.certificate_id,
        asset=asset_of(asset.output),
        media_type="",
        original_hash=b"",
        candidates=0,
        not_judged=asset.not_judged(seeds),
        verdict="",
        alignment="",
        carriers={},
        notes=(reason,),
        layout_key=b"",
    )
    notes = (*report.notes, *_not_judged(asset, seeds), f"{asset.label}: {reason}")
    return replace(report, assets=(*report.assets, facts), notes=notes)


def with_asset(
    report: TraceReport,
    suite: CryptoSuite,
    asset: Asset,
    seeds: Mapping[Copy, bytes],
    rendering: Rendering,
    layout: bytes,
    found: Verdict,
) -> TraceReport:
    """The report with what the engine says of one asset."""
    matches = tuple(
        MatchFacts(
            release_id=match.release_id,
            certificate=asset.certificate.certificate_id,
            output=asset.copies[match.release_id].index,
            log10_np=match.log10_np,
            channels=tuple(channel.value for channel in match.channels),
            seed=seeds[asset.copies[match.release_id]],
        )
        for match in found.matches
    )
    facts = ComparedAsset(
        certificate=asset.certificate.certificate_id,
        asset=asset_of(asset.output),
        strength=rendering.policy.strength,
        channels=tuple(channel.value for channel in Channel if channel in rendering.policy.channels),
        media_type=rendering.media_type,
        original_hash=suite.digest(rendering.data),
        candidates=len(asset.copies) - len(asset.not_judged(seeds)),
        not_judged=asset.not_judged(seeds),
        verdict=found.verdict.value,
        alignment=found.alignment,
        carriers={channel.value: count for channel, count in found.carriers.items()},
        notes=tuple(note.en for note in found.notes),
        layout_key=layout,
    )
    phantoms = [
        value for value in (report.phantom_best_log10_np, found.phantom_best_log10_np) if value is not None
    ]
    notes = tuple(f"{asset.label}: {note.en}" for note in found.notes)
    return replace(
        report,
        matches=(*report.matches, *matches),
        phantom_best_log10_np=min(phantoms, default=None),
        notes=(*report.notes, *_not_judged(asset, seeds), *notes),
        assets=(*report.assets, facts),
    )


def named(verdict: TraceVerdict, report: TraceReport) -> tuple[bytes, ...]:
    """The releases that the verdict is about, most certain first: beside an accused one no mere suspect is named."""
    limit = LOG10_NP_MAX.get(verdict)
    if limit is None:
        return ()
    found = dict.fromkeys(match.release_id for match in report.matches if match.log10_np <= limit)
    return tuple(found)[:RELEASES_NAMED_MAX]


def unnamed(verdict: TraceVerdict, assets: Sequence[Asset], originals: Sequence[bytes]) -> tuple[bytes, ...]:
    """Where no mark can name anybody, everybody who had a copy: a list to ask by, that accuses nobody."""
    if verdict is not TraceVerdict.UNTRACEABLE:
        return ()
    return tuple(dict.fromkeys((*(name for asset in assets for name in asset.copies), *originals)))


def _not_judged(asset: Asset, seeds: Mapping[Copy, bytes]) -> tuple[str, ...]:
    return tuple(f"release {name.hex()}: {NOT_JUDGED}" for name in asset.not_judged(seeds))
