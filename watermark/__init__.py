"""Watermarks: mark a file for one release, and name the release that a leak came from.

Rule: this package knows files, keys and statistics, and nothing of ledgers. It reads no clock, keeps no state and
draws no randomness: the same arguments give the same bytes and the same verdict. Detection is informed (it needs the
original) and closed-set (it scores the releases that exist), and every accusation carries a bound on the probability
that it is false.
"""

from watermark.detect import detect, embed
from watermark.errors import (
    FileRefused,
    KeyInvalid,
    MediaMalformed,
    MediaTooLarge,
    MediaUnsupported,
    MemoryShort,
    PolicyInvalid,
    WatermarkError,
)
from watermark.keys import AssetKey, codeword_seed, phantom_seeds
from watermark.media import CODECS, sniff
from watermark.policy import Channel, Policy, TableSchema
from watermark.results import Manifest, Marked, Match, Verdict, VerdictKind, Words

__all__ = [
    "CODECS",
    "AssetKey",
    "Channel",
    "FileRefused",
    "KeyInvalid",
    "Manifest",
    "Marked",
    "Match",
    "MediaMalformed",
    "MediaTooLarge",
    "MediaUnsupported",
    "MemoryShort",
    "Policy",
    "PolicyInvalid",
    "TableSchema",
    "Verdict",
    "VerdictKind",
    "WatermarkError",
    "Words",
    "codeword_seed",
    "detect",
    "embed",
    "phantom_seeds",
    "sniff",
]
