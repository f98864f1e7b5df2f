"""Row references that differ by release, and are recognised without knowing their row.

Rule: the reference of a row is drawn from (codeword seed, row) alone, uniform over the texts of its shape, and then
sent through a permutation of those texts that is keyed by the layout key. To everybody without the keys the
references of two releases look unrelated, and they name no row.

Why an accusation from them stays valid: the leak is read blindly, into numbers V that stand somewhere in it and, where
a leaked row is linked to row r of the original, the number v_r that stands there. None of them depends on a
candidate. Somebody who never had the file has a seed that is independent of the leak, so his number for row r is
uniform among m and independent of those of the other rows. It equals v_r with probability q = 1/m, and is anywhere in
V with at most |V|·q. A row is worth the surprise of what it shows: w = ln(1/q) for its own number, and for one that
stands elsewhere w' = ln(1/(|V|·q·rows)), since there were so many chances. Then

    K(λ) = Σ over rows of  log(1 + q (e^{λw} − 1) + |V| q (e^{λw'} − 1))

is the cumulant that `watermark.evidence` needs, or above it. What somebody invents, or takes from the original, agrees
with nobody and makes nobody more guilty. So a reference of b bits agrees with an innocent's by chance with 2⁻ᵇ when
its row is linked, and with 2⁻ᵇ·rows when keys and headers are gone.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from watermark.evidence import F64
from watermark.keys import KeyedHash
from watermark.limits import REFERENCES_READ_MAX, REFERENCES_SCORED_MAX
from watermark.policy import Channel
from watermark.shapes import Shape, kept_shapes, own_shape, permuted, read_text, unpermuted

U64 = npt.NDArray[np.uint64]

_LABEL: Final = b"zhenglian/watermark/v1/references\0"
_WORD_BITS: Final = 64
_CHUNK_ROWS: Final = 256
"""Rows whose words come from one call of the hash."""
_DRAWN_MAX: Final = 1 << 63
_NO_NUMBER: Final = (1 << _WORD_BITS) - 1
_ANYWHERE_MAX: Final = 2.0**-7
"""|V|·q·rows above which a number found anywhere says nothing."""
_FILTER_BITS: Final = 16
_SCORED_AT_ONCE: Final = 1 << 20
_LEAKED_CHARS_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Draw:
    """The numbers of some rows, uniform below m to within 2⁻⁶⁴ each.

    Attributes:
        drawn: m, at most 2⁶³.
    """

    drawn: int
    _calls: tuple[tuple[bytes, int], ...]
    _places: npt.NDArray[np.intp]

    @classmethod
    def of(cls, rows: Sequence[int], drawn: int) -> Draw:
        """Plan the hash calls, one for each chunk of rows, as long as its last row needs; `rows` ascend."""
        lengths: dict[int, int] = {}
        for row in rows:
            lengths[row // _CHUNK_ROWS] = row % _CHUNK_ROWS + 1
        starts = dict(zip(lengths, accumulate(lengths.values(), initial=0), strict=False))
        places = [starts[row // _CHUNK_ROWS] + row % _CHUNK_ROWS for row in rows]
        calls = tuple((chunk.to_bytes(8, "big"), length) for chunk, length in lengths.items())
        return cls(drawn, calls, np.array(places, dtype=np.intp))

    def numbers(self, seed: bytes) -> U64:
        """The number of each row for one release."""
        stream = b"".join(
            hashlib.shake_128(_LABEL + seed + chunk).digest(8 * length) for chunk, length in self._calls
        )
        numbers: U64 = np.frombuffer(stream, dtype="<u8").astype(np.uint64)[self._places]
        return numbers % np.uint64(self.drawn)


@dataclass(frozen=True, slots=True)
class ReferenceEvidence:
    """References of one shape that were read, compared with each candidate's.

    Attributes:
        channel: `Channel.REFERENCE`.
        draw: the rows of the original that are compared.
        linked: number read in each of them, `_NO_NUMBER` where none was.
        anywhere: all numbers read, ascending.
    """

    channel: Channel
    draw: Draw
    linked: U64
    anywhere: U64

    @property
    def carriers(self) -> int:
        return len(self.anywhere)

    @property
    def ways(self) -> int:
        return 1

    def score(self, seeds: Sequence[bytes]) -> F64:
        own, other = self._worth()
        scores = np.empty(len(seeds))
        some = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
        some[self.anywhere & np.uint64((1 << _FILTER_BITS) - 1)] = True
        step = max(1, _SCORED_AT_ONCE // max(1, len(self.linked)))
        for start in range(0, len(seeds), step):
            batch = seeds[start : start + step]
            numbers = np.stack([self.draw.numbers(seed) for seed in batch])
            same = numbers == self.linked
            total = own * np.count_nonzero(same, axis=1)
            seed_rows, places = np.nonzero(some[numbers & np.uint64((1 << _FILTER_BITS) - 1)] & ~same)
            found = np.isin(numbers[seed_rows, places], self.anywhere)
            total += other * np.bincount(seed_rows[found], minlength=len(batch))
            scores[start : start + len(batch)] = total
        return scores[None]

    def score_max(self) -> F64:
        own, other = self._worth()
        linked = self._linked_rows()
        elsewhere = min(len(self.linked) - linked, max(len(self.anywhere) - linked, 0))
        return np.array([own * linked + other * elsewhere])

    def cumulant(self, lambdas: F64) -> F64:
        own, other = self._worth()
        q, linked = self._chance(), self._linked_rows()
        count = len(self.anywhere) if other else 0
        # In logarithms, since e^λw overflows at the upper end of the grid.
        without = np.logaddexp(_log(1 - count * q), _log(count * q) + lambdas * other)
        count = max(count - 1, 0)
        both = np.logaddexp(_log(q) + lambdas * own, _log(count * q) + lambdas * other)
        with_own = np.logaddexp(_log(1 - q - count * q), both)
        total: F64 = without * (len(self.linked) - linked) + with_own * linked
        return total[None]

    def _linked_rows(self) -> int:
        return int(np.count_nonzero(self.linked != np.uint64(_NO_NUMBER)))

    def _chance(self) -> float:
        """At most how often a drawn number is a given one."""
        return -(-(1 << _WORD_BITS) // self.draw.drawn) / (1 << _WORD_BITS)

    def _worth(self) -> tuple[float, float]:
        """What a row is worth whose own number is met, and one whose number stands anywhere in the leak."""
        q = self._chance()
        anywhere = q * len(self.anywhere) * len(self.linked)
        return -math.log(q), -math.log(anywhere) if anywhere <= _ANYWHERE_MAX else 0.0


def _log(chance: float) -> float:
    return math.log(chance) if chance > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class References:
    """The references of one column.

    Attributes:
        shapes: the different shapes, each with the key of its permutation.
        row_shapes: row of the original → index of its shape; rows without a reference are missing.
        originals: what stood there before, as it is compared.
        kept: whether the shapes are the original's.
    """

    shapes: tuple[tuple[Shape, KeyedHash], ...]
    row_shapes: Mapping[int, int]
    originals: frozenset[str]
    kept: bool

    @classmethod
    def of(cls, texts: Sequence[str | None], few: bool, key: bytes) -> References | None:
        """Decide the shapes of a column.

        Args:
            texts: the original's cells; None or blank where there is nothing to replace.
            few: whether one reference may be all that is left to go by.
            key: 32 bytes of the layout, for this column alone.

        Returns:
            None when there is nothing to replace.
        """
        cells = {row: text for row, text in enumerate(texts) if text is not None and text.strip()}
        if not cells:
            return None
        found = kept_shapes(set(cells.values()), len(texts), few)
        own = None if found is not None else own_shape(len(texts))
        of_row = {row: own or (found or {})[text] for row, text in cells.items()}
        shapes = list(dict.fromkeys(of_row.values()))
        return cls(
            shapes=tuple((shape, KeyedHash(hmac.digest(key, shape.name, "sha256"))) for shape in shapes),
            row_shapes={row: shapes.index(shape) for row, shape in of_row.items()},
            originals=frozenset(read_text(text).casefold() for text in cells.values()),
            kept=own is None,
        )

    def write(self, seed: bytes) -> dict[int, str]:
        """Row → its reference for one release; no two are equal, and none is one of the original's."""
        written: dict[int, str] = {}
        used = set(self.originals)
        for index, (shape, key) in enumerate(self.shapes):
            drawn = min(shape.size, _DRAWN_MAX)
            rows = self._rows(index)
            for row, number in zip(rows, Draw.of(rows, drawn).numbers(seed).tolist(), strict=True):
                text = shape.text(permuted(key, number, shape.size))
                while text.casefold() in used:
                    number = (number + 1) % drawn
                    text = shape.text(permuted(key, number, shape.size))
                used.add(text.casefold())
                written[row] = text
        return written

    def read(self, text: str | None) -> tuple[int, int] | None:
        """Shape and number of a text, None when it is no reference of this column, or an unmarked one."""
        if text is None or len(text) > _LEAKED_CHARS_MAX:
            return None
        shown = read_text(text)
        if shown.casefold() in self.originals:
            return None
        for index, (shape, key) in enumerate(self.shapes):
            value = shape.value(shown)
            if value is not None:
                number = unpermuted(key, value, shape.size)
                return (index, number) if number < min(shape.size, _DRAWN_MAX) else None
        return None

    def evidence(self, texts: Iterable[tuple[int | None, str | None]]) -> tuple[ReferenceEvidence, ...]:
        """What the references of a leak say.

        Args:
            texts: for each place where a reference may stand, the row of the original that is linked to it, if
                there is one, and the text. At most `REFERENCES_READ_MAX` that can be read are used.
        """
        linked: list[dict[int, int]] = [{} for _ in self.shapes]
        anywhere: list[set[int]] = [set() for _ in self.shapes]
        count = 0
        for row, text in texts:
            found = self.read(text)
            if found is None:
                continue
            shape, number = found
            anywhere[shape].add(number)
            if row is not None and self.row_shapes.get(row) == shape:
                linked[shape].setdefault(row, number)
            count += 1
            if count == REFERENCES_READ_MAX:
                break
        return tuple(
            self._evidence(index, linked[index], anywhere[index])
            for index in range(len(self.shapes))
            if anywhere[index]
        )

    def _evidence(self, index: int, linked: Mapping[int, int], anywhere: set[int]) -> ReferenceEvidence:
        rows = self._rows(index)
        if len(rows) > REFERENCES_SCORED_MAX:
            # Where most was linked: rows of the same chunk cost one hash together.
            counts = Counter({row // _CHUNK_ROWS: 0 for row in rows})
            counts.update(row // _CHUNK_ROWS for row in linked)
            best = sorted(counts, key=lambda chunk: (-counts[chunk], chunk))
            chosen = set(best[: max(1, REFERENCES_SCORED_MAX // _CHUNK_ROWS)])
            rows = [row for row in rows if row // _CHUNK_ROWS in chosen]
        return ReferenceEvidence(
            Channel.REFERENCE,
            Draw.of(rows, min(self.shapes[index][0].size, _DRAWN_MAX)),
            np.array([linked.get(row, _NO_NUMBER) for row in rows], dtype=np.uint64),
            np.array(sorted(anywhere), dtype=np.uint64),
        )

    def _rows(self, index: int) -> list[int]:
        return [row for row, shape in self.row_shapes.items() if shape == index]
