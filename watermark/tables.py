"""Marks in tables and records: numbers, references, row order, invisible characters.

Rule: a carrier is named by what it means (row key, column, place), so its code position survives sorting, deletion
and a change of file format; and a value moves only as the schema declares. Every channel has its own codeword
segment and its own sub-key of the layout.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from watermark import zero_width
from watermark.evidence import BitEvidence, Evidence
from watermark.keys import derive
from watermark.linking import Links, link, row_keys
from watermark.payload import CODE_POSITIONS, U16, biases, codeword, even_biases
from watermark.policy import Channel, Policy, TableSchema
from watermark.results import Words
from watermark.sheets import Sheet, number, visible

REFERENCE_CHARS: Final = 10
REFERENCE_BITS: Final = 5 * REFERENCE_CHARS
REFERENCE_BLOCKS: Final = 20
"""A row's reference shows one of so many blocks of 50 positions."""
ALTERED_FACTOR: Final = Decimal("1.5")
"""A number further than this many steps from the original was changed by somebody: an erasure."""
ROW_PAIRS_MIN: Final = 8
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {char: value for value, char in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}

Bits = npt.NDArray[np.bool_]
Votes = dict[int, list[float]]


@dataclass(frozen=True, slots=True)
class SheetMarks:
    """What embedding changes in a sheet.

    Attributes:
        changes: (row, column) → new text.
        order: indexes of rows as they are to be written.
        carriers: channel → carriers written.
        differences: in words.
    """

    changes: Mapping[tuple[int, int], str]
    order: tuple[int, ...]
    carriers: Mapping[Channel, int]
    differences: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Carriers:
    """The carriers of one sheet under one policy and layout key.

    Attributes:
        sheet: the original.
        schema: what is declared.
        channels: what is allowed.
        layout_key: 32 bytes.
        keys: the name of each row, None where it has none of its own.
    """

    sheet: Sheet
    schema: TableSchema
    channels: frozenset[Channel]
    layout_key: bytes
    keys: list[str | None]
    _subkeys: dict[Channel, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, sheet: Sheet, policy: Policy, layout_key: bytes) -> Carriers:
        """Name the rows and be ready."""
        return cls(sheet, policy.table, policy.channels, layout_key, row_keys(sheet, policy.table))

    def thresholds(self, channel: Channel) -> U16:
        """Biases of a channel's segment."""
        if channel is Channel.REFERENCE:
            return even_biases(REFERENCE_BLOCKS * REFERENCE_BITS)
        if len(self.sheet.rows) < zero_width.FEW_ROWS:
            # Too few carriers for colluders to matter: even bits say most about one person.
            return even_biases(CODE_POSITIONS)
        return biases(self.layout_key, channel)

    def numbers(self) -> Iterator[tuple[int, int, Decimal, Decimal, int, int]]:
        """Row, column, value, step, position and sign (of bit 1) of each number that may move."""
        if Channel.NUMBERS not in self.channels:
            return
        for name, delta in self.schema.tolerances.items():
            if name not in self.sheet.columns:
                continue
            column = self.sheet.columns.index(name)
            for row, key in enumerate(self.keys):
                value = number(self.sheet.rows[row][column])
                step = None if value is None else _step(value, delta)
                if key is not None and value is not None and step is not None:
                    yield row, column, value, step, *self._place(Channel.NUMBERS, name, key)

    def references(self) -> Iterator[tuple[int, int, int, int]]:
        """Row, column, first position and pad of each row reference."""
        name = self.schema.reference
        if name is None or Channel.REFERENCE not in self.channels or name not in self.sheet.columns:
            return
        column = self.sheet.columns.index(name)
        for row, key in enumerate(self.keys):
            if key is not None and self.sheet.rows[row][column] is not None:
                digest = self._digest(Channel.REFERENCE, name, key)
                pad = int.from_bytes(digest[:8], "big") % (1 << REFERENCE_BITS)
                yield row, column, digest[8] % REFERENCE_BLOCKS * REFERENCE_BITS, pad

    def texts(self) -> Iterator[tuple[int, int, str, dict[int, tuple[int, int]]]]:
        """Row, column, text and, for each gap, position and sign of each free text."""
        if Channel.ZERO_WIDTH not in self.channels:
            return
        for name in self.schema.free_text:
            if name not in self.sheet.columns:
                continue
            column = self.sheet.columns.index(name)
            for row, key in enumerate(self.keys):
                text = self.sheet.rows[row][column]
                if key is not None and text:
                    offsets = zero_width.gaps(text, len(self.sheet.rows))
                    if offsets:
                        gaps = {
                            offset: self._place(Channel.ZERO_WIDTH, name, key, str(index))
                            for index, offset in enumerate(offsets)
                        }
                        yield row, column, text, gaps

    def pairs(self) -> Iterator[tuple[int, int, int]]:
        """First row, position and sign of each pair of neighbours that may change places."""
        if (
            not self.schema.unordered
            or Channel.ROW_ORDER not in self.channels
            or len(self.keys) < 2 * ROW_PAIRS_MIN
        ):
            return
        for first in range(0, len(self.keys) - 1, 2):
            a, b = self.keys[first], self.keys[first + 1]
            if a is not None and b is not None:
                yield first, *self._place(Channel.ROW_ORDER, a, b)

    def _place(self, channel: Channel, *names: str) -> tuple[int, int]:
        digest = self._digest(channel, *names)
        return int.from_bytes(digest[:4], "big") % CODE_POSITIONS, 1 if digest[4] & 1 else -1

    def _digest(self, channel: Channel, *names: str) -> bytes:
        key = self._subkeys.get(channel)
        if key is None:
            key = self._subkeys[channel] = derive(self.layout_key, f"cells/{channel.value}")
        return hmac.digest(key, "\x1e".join(names).encode("utf-8", "surrogatepass"), "sha256")


def mark_sheet(carriers: Carriers, seed: bytes) -> SheetMarks:
    """The changes that write one release's codeword into a sheet."""
    changes: dict[tuple[int, int], str] = {}
    counts = dict.fromkeys(Channel, 0)

    def bits(channel: Channel) -> Bits:
        return codeword(seed, channel, carriers.thresholds(channel))

    numbers = bits(Channel.NUMBERS)
    for row, column, value, step, position, sign in carriers.numbers():
        changes[row, column] = f"{value + (step if numbers[position] == (sign > 0) else -step):f}"
        counts[Channel.NUMBERS] += 1
    references = bits(Channel.REFERENCE)
    for row, column, start, pad in carriers.references():
        packed = int("".join("01"[bit] for bit in references[start : start + REFERENCE_BITS].astype(int)), 2)
        changes[row, column] = _encoded(packed ^ pad)
        counts[Channel.REFERENCE] += 1
    marks = bits(Channel.ZERO_WIDTH)
    for row, column, text, gaps in carriers.texts():
        written = {offset: bool(marks[position]) == (sign > 0) for offset, (position, sign) in gaps.items()}
        changes[row, column] = zero_width.write(text, written)
        counts[Channel.ZERO_WIDTH] += len(written)
    order = list(range(len(carriers.sheet.rows)))
    swaps = bits(Channel.ROW_ORDER)
    for first, position, sign in carriers.pairs():
        if bool(swaps[position]) == (sign > 0):
            order[first], order[first + 1] = first + 1, first
        counts[Channel.ROW_ORDER] += 1
    return SheetMarks(changes, tuple(order), counts, _differences(carriers.schema, counts))


def read_sheet(carriers: Carriers, leak: Sheet) -> tuple[tuple[Evidence, ...], str]:
    """What a leaked sheet says about the code positions.

    Returns:
        Evidence of each channel that could be read, and how the rows were linked.
    """
    links = link(leak, carriers.sheet, carriers.schema)
    leaked_at = {original: leaked for leaked, original in links.rows.items()}

    def text(row: int, column: int) -> str | None:
        leaked = leaked_at.get(row)
        return (
            None
            if leaked is None or column not in links.columns
            else leak.rows[leaked][links.columns[column]]
        )

    votes: dict[Channel, Votes] = {channel: {} for channel in Channel}
    for row, column, value, step, position, sign in carriers.numbers():
        shown = number(visible(text(row, column) or "").strip())
        moved = None if shown is None else shown - value
        if moved is not None and abs(moved) <= ALTERED_FACTOR * step:
            votes[Channel.NUMBERS].setdefault(position, []).append(
                sign * min(max(float(moved / step), -1.0), 1.0)
            )
    for row, column, start, pad in carriers.references():
        packed = _decoded(text(row, column) or "")
        if packed is not None and text(row, column) != carriers.sheet.rows[row][column]:
            for index, digit in enumerate(f"{packed ^ pad:0{REFERENCE_BITS}b}"):
                votes[Channel.REFERENCE].setdefault(start + index, []).append(1.0 if digit == "1" else -1.0)
    for row, column, original, gaps in carriers.texts():
        for offset, bit in zero_width.read(text(row, column) or "", original).items():
            if offset in gaps:
                position, sign = gaps[offset]
                votes[Channel.ZERO_WIDTH].setdefault(position, []).append(float(sign if bit else -sign))
    _read_order(carriers, links, leaked_at, votes[Channel.ROW_ORDER])
    evidence = tuple(
        BitEvidence(channel, thresholds, _weights(votes[channel], len(thresholds)))
        for channel in Channel
        if votes[channel]
        for thresholds in (carriers.thresholds(channel),)
    )
    return tuple(item for item in evidence if item.carriers), links.describe(leak, carriers.sheet)


def _read_order(carriers: Carriers, links: Links, leaked_at: Mapping[int, int], votes: Votes) -> None:
    """Which of two neighbours comes first, where they are still neighbours.

    Rows in the original's order, or in exactly the reverse, were put there by somebody and say nothing.
    """
    rank = {leaked: place for place, leaked in enumerate(sorted(links.rows))}
    found: list[tuple[int, int, bool]] = []
    for first, position, sign in carriers.pairs():
        if first in leaked_at and first + 1 in leaked_at:
            apart = rank[leaked_at[first + 1]] - rank[leaked_at[first]]
            if abs(apart) == 1:
                found.append((position, sign, apart < 0))
    if len(found) < ROW_PAIRS_MIN or len({swapped for _, _, swapped in found}) < 2:
        return
    for position, sign, swapped in found:
        votes.setdefault(position, []).append(float(sign if swapped else -sign))


def _weights(votes: Votes, positions: int) -> npt.NDArray[np.float64]:
    weights = np.zeros(positions)
    for position, values in votes.items():
        weights[position] = sum(values) / len(values)
    return weights


def _step(value: Decimal, delta: Decimal) -> Decimal | None:
    """The largest change within δ that keeps the number of decimals and the sign; None when there is none."""
    unit = Decimal(1).scaleb(int(value.as_tuple().exponent))
    step = delta // unit * unit
    return step if step > 0 and abs(value) > step else None


def _encoded(packed: int) -> str:
    return "".join(_ALPHABET[packed >> shift & 31] for shift in range(REFERENCE_BITS - 5, -1, -5))


def _decoded(text: str) -> int | None:
    chars = visible(text).strip().upper()
    if len(chars) != REFERENCE_CHARS or any(char not in _VALUES for char in chars):
        return None
    packed = 0
    for char in chars:
        packed = packed << 5 | _VALUES[char]
    return packed


def _differences(schema: TableSchema, counts: Mapping[Channel, int]) -> tuple[Words, ...]:
    words: list[Words] = []
    if counts[Channel.NUMBERS]:
        allowed = "; ".join(f"{name} ±{delta}" for name, delta in schema.tolerances.items())
        words.append(
            Words(
                f"已声明容差的数值可在容差内变化：{allowed}",
                f"declared numbers differ within tolerance: {allowed}",
            )
        )
    if counts[Channel.REFERENCE]:
        words.append(
            Words(
                f"行引用列 {schema.reference} 为本次下发专用值",
                f"the row references in {schema.reference} are particular to this release",
            )
        )
    if counts[Channel.ROW_ORDER]:
        words.append(Words("相邻行的先后次序可能不同", "neighbouring rows may have changed places"))
    if counts[Channel.ZERO_WIDTH]:
        columns = ", ".join(schema.free_text)
        words.append(
            Words(f"自由文本列含不可见字符：{columns}", f"free text holds invisible characters: {columns}")
        )
    return tuple(words)
