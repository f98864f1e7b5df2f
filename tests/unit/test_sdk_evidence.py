"""Evidence of a trace, detected again by a third party: in the ways in which the copies were marked."""

from __future__ import annotations

import msgspec
import pytest

from ledger.decoders import convert
from ledger.errors import VerificationFailed
from tests.unit.contracts_world import SUITE
from tests.unit.watermark_covers import pdf_file
from watermark import Policy, embed
from watermark.policy import Channel
from zhenglian.evidence import ComparedAsset, _detected, _Match, _Report
from zhenglian_demo.leaks import rasterize

ORIGINAL = pdf_file()
LAYOUT, SEED, RELEASE, CERTIFICATE = b"L" * 32, b"S" * 32, b"release1", b"c" * 16
WORDS_ONLY = Policy(strength=0.5, channels=frozenset({Channel.WORD_OFFSETS}))
COPY = rasterize(embed(ORIGINAL, "application/pdf", layout_key=LAYOUT, seed=SEED, policy=WORDS_ONLY).data)


def compared(channels: tuple[str, ...]) -> ComparedAsset:
    return ComparedAsset(
        certificate=CERTIFICATE,
        asset="document",
        media_type="application/pdf",
        original_hash=SUITE.digest(ORIGINAL),
        candidates=1,
        not_judged=(),
        verdict="accused",
        alignment="",
        carriers={},
        notes=(),
        layout_key=LAYOUT,
        strength=WORDS_ONLY.strength,
        channels=channels,
    )


def detected(channels: tuple[str, ...], claimed: float = -9.0) -> float | None:
    match = _Match(
        release_id=RELEASE,
        certificate=CERTIFICATE,
        output=0,
        log10_np=claimed,
        channels=("word_offsets",),
        seed=SEED,
    )
    report = _Report(matches=(match,), candidates=1, phantom_best_log10_np=None, assets=(compared(channels),))
    return _detected(SUITE, report, match, COPY, ORIGINAL)


def test_copies_are_read_in_the_ways_in_which_they_were_marked() -> None:
    as_marked, in_all_ways = detected(("word_offsets",)), detected(tuple(Channel), claimed=0.0)
    assert as_marked is not None
    assert in_all_ways is not None
    assert as_marked < in_all_ways - 0.5, "what was never marked only adds noise"


def test_a_report_that_claims_more_than_the_leak_shows_is_refused() -> None:
    with pytest.raises(VerificationFailed, match="not in the leak"):
        detected(("word_offsets",), claimed=-400.0)


def test_a_report_with_a_way_of_marking_that_nobody_knows_is_refused() -> None:
    with pytest.raises(VerificationFailed, match="cannot be detected again"):
        detected(("telepathy",))


def test_a_report_from_before_ways_were_named_is_read_in_all_of_them() -> None:
    old = msgspec.to_builtins(compared(()))
    del old["strength"], old["channels"]
    assert convert(old, ComparedAsset).channels == tuple(Channel)
