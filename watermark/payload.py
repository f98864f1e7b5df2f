"""Codewords: keyed Tardos codes, and the codeword segment of every channel.

Rule: a bit is a function of (seed, channel, position) alone and each position's bias a function of (layout key,
channel, position) alone. So the codeword of somebody who never had the file is independent of the leak, whatever was
done to it; all p-values of `watermark.evidence` rest on that.

Source: G. Tardos, "Optimal probabilistic fingerprint codes", J. ACM 55 (2008); K. Nuida et al., "An improvement of
discrete Tardos fingerprinting codes", Des. Codes Cryptogr. 52 (2009): the discrete bias distribution for up to six
colluders, points 0.11270, 0.5, 0.88730 with weights 0.33201, 0.33598, 0.33201.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from watermark.keys import derive
from watermark.policy import Channel

CODE_POSITIONS: Final = 8192
"""Positions of a channel's segment: enough to name one of five colluders (6,144 at 10 % symbol errors)."""

_LEVELS: Final = 1 << 16
_THRESHOLDS: Final = np.array([7386, 32768, 58150], dtype=np.uint16)
"""Biases in units of 2⁻¹⁶; the outer two mirror each other exactly, so that a flipped position is a fair one."""
_CUMULATIVE: Final = np.array([21759, 43777], dtype=np.uint16)
"""Upper ends of the first two weights in units of 2⁻¹⁶."""

U16 = npt.NDArray[np.uint16]


def biases(layout_key: bytes, channel: Channel, positions: int = CODE_POSITIONS) -> U16:
    """The bias of each position, in units of 2⁻¹⁶.

    Args:
        layout_key: 32 bytes.
        channel: whose segment.
        positions: length of the segment.
    """
    stream = _stream(derive(layout_key, "biases"), channel, positions)
    chosen: U16 = _THRESHOLDS[np.searchsorted(_CUMULATIVE, stream, side="right")]
    return chosen


def even_biases(positions: int) -> U16:
    """Bias one half everywhere: for carriers so few that colluders do not matter."""
    return np.full(positions, _LEVELS // 2, dtype=np.uint16)


def codewords(seeds: Sequence[bytes], channel: Channel, thresholds: U16) -> npt.NDArray[np.bool_]:
    """The channel's bits for each seed.

    Args:
        seeds: 32 bytes each.
        channel: whose segment.
        thresholds: biases in units of 2⁻¹⁶.

    Returns:
        Booleans, one row a seed, one column a position.
    """
    words = np.empty((len(seeds), len(thresholds)), dtype=np.bool_)
    for row, seed in enumerate(seeds):
        words[row] = _stream(seed, channel, len(thresholds)) < thresholds
    return words


def codeword(seed: bytes, channel: Channel, thresholds: U16) -> npt.NDArray[np.bool_]:
    """The channel's bits for one seed."""
    word: npt.NDArray[np.bool_] = codewords([seed], channel, thresholds)[0]
    return word


def uniform_words(key: bytes, label: str, count: int) -> npt.NDArray[np.uint32]:
    """`count` uniform 32-bit words under a key and a label: the source of keyed permutations and polarities."""
    stream = hashlib.shake_128(derive(key, "words", label.encode("utf-8"))).digest(4 * count)
    return np.frombuffer(stream, dtype="<u4").astype(np.uint32)


def _stream(seed: bytes, channel: Channel, positions: int) -> U16:
    # SHAKE-128 and not an HMAC a bit: 16 KiB a candidate is what decides the time of a trace.
    stream = hashlib.shake_128(
        b"zhenglian/watermark/v1/code/" + channel.value.encode() + b"\0" + seed
    ).digest(2 * positions)
    return np.frombuffer(stream, dtype="<u2").astype(np.uint16, copy=False)
