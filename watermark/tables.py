"""Marks in tables and records: numbers, references, row order, invisible characters.

Rule: a carrier is named by what it means (row key, column, place), so its code position survives sorting, deletion
and a change of file format; and a value moves only as the schema declares. Every channel has its own codeword
segment and its own sub-key of the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from watermark import zero_width
from watermark.evidence import BitEvidence, Evidence
from watermark.keys import KeyedHash, derive
from watermark.linking import Links, link, row_keys, unlinked
from watermark.payload import CODE_POSITIONS, U16, biases, codeword, even_biases
from watermark.policy import Channel, Policy, TableSchema
from watermark.references import References
from watermark.results import Words
from watermark.sheets import EXACT, Literal, Sheet, number, plain, shown_number

ALTERED_FACTOR: Final = Decimal("1.5")
"""A number further than this many steps from the original was changed by somebody: an erasure."""
ROW_PAIRS_MIN: Final = 8
_NAMES_LISTED_MAX: Final = 20
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
        notes: declarations that the file does not answer to.
    """

    changes: Mapping[tuple[int, int], str]
    order: tuple[int, ...]
    carriers: Mapping[Channel, int]
    differences: tuple[Words, ...]
    notes: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Carriers:
    """The carriers of one sheet under one policy and layout key.

    Attributes:
        sheet: the original.
        schema: what is declared.
        channels: what is allowed.
        layout_key: 32 bytes.
        keys: the name of each row, None where it has none of its own.
        references: the declared references, if there are any.
    """

    sheet: Sheet
    schema: TableSchema
    channels: frozenset[Channel]
    layout_key: bytes
    keys: list[str | None]
    references: References | None

    @classmethod
    def of(cls, sheet: Sheet, policy: Policy, layout_key: bytes) -> Carriers:
        """Name the rows and be ready."""
        keys = row_keys(sheet, policy.table)
        references = _references(sheet, policy, layout_key)
        return cls(sheet, policy.table, policy.channels, layout_key, keys, references)

    def thresholds(self, channel: Channel) -> U16:
        """Biases of a channel's segment."""
        if len(self.sheet.rows) < zero_width.FEW_ROWS:
            # Too few carriers for colluders to matter: even bits say most about one person.
            return even_biases(CODE_POSITIONS)
        return biases(self.layout_key, channel)

    def numbers(self) -> Iterator[tuple[int, int, Decimal, Decimal, int, int]]:
        """Row, column, value, step, position and sign (of bit 1) of each number that may move."""
        if Channel.NUMBERS not in self.channels:
            return
        found: list[tuple[int, int, Decimal, Decimal]] = []
        names: list[tuple[str, str]] = []
        for name, delta in self.schema.tolerances.items():
            if name not in self.sheet.columns:
                continue
            column = self.sheet.columns.index(name)
            for row, key in enumerate(self.keys):
                value = number(self.sheet.rows[row][column])
                step = None if value is None else _step(value, delta)
                if key is not None and value is not None and step is not None:
                    found.append((row, column, value, step))
                    names.append((name, key))
        for carrier, place in zip(found, self._places(Channel.NUMBERS, names), strict=True):
            yield *carrier, *place

    def texts(self) -> Iterator[tuple[int, int, str, dict[int, tuple[int, int]]]]:
        """Row, column, text and, for each gap, position and sign of each free text."""
        if Channel.ZERO_WIDTH not in self.channels:
            return
        found: list[tuple[int, int, str, list[int]]] = []
        names: list[tuple[str, str, str]] = []
        for name in self.schema.free_text:
            if name not in self.sheet.columns:
                continue
            column = self.sheet.columns.index(name)
            for row, key in enumerate(self.keys):
                text = self.sheet.rows[row][column]
                if key is not None and text and not isinstance(text, Literal):
                    offsets = zero_width.gaps(text, len(self.sheet.rows))
                    if offsets:
                        found.append((row, column, text, offsets))
                        names += ((name, key, str(index)) for index in range(len(offsets)))
        places = self._places(Channel.ZERO_WIDTH, names)
        for row, column, text, offsets in found:
            yield row, column, text, dict(zip(offsets, places, strict=False))

    def pairs(self) -> Iterator[tuple[int, int, int]]:
        """First row, position and sign of each pair of neighbours that may change places."""
        if (
            not self.schema.unordered
            or Channel.ROW_ORDER not in self.channels
            or len(self.keys) < 2 * ROW_PAIRS_MIN
        ):
            return
        pairs = zip(range(0, len(self.keys) - 1, 2), self.keys[::2], self.keys[1::2], strict=False)
        found = [(first, (a, b)) for first, a, b in pairs if a is not None and b is not None]
        places = self._places(Channel.ROW_ORDER, [names for _, names in found])
        for (first, _), place in zip(found, places, strict=True):
            yield first, *place

    def _places(self, channel: Channel, names: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, int]]:
        """Position and sign of each carrier of a channel: no position has two before every other one has one.

        Args:
            channel: whose carriers.
            names: of all of them, each different.
        """
        key = KeyedHash(derive(self.layout_key, f"cells/{channel.value}"))
        digests = [key.digest("\x1e".join(name).encode("utf-8", "surrogatepass")) for name in names]
        ranked = sorted(range(len(digests)), key=digests.__getitem__)
        positions = [0] * len(digests)
        for rank, index in enumerate(ranked):
            positions[index] = rank % CODE_POSITIONS
        return zip(positions, (1 if digest[-1] & 1 else -1 for digest in digests), strict=True)


def mark_sheet(carriers: Carriers, seed: bytes) -> SheetMarks:
    """The changes that write one release's codeword into a sheet."""
    changes: dict[tuple[int, int], str] = {}
    counts = dict.fromkeys(Channel, 0)

    def bits(channel: Channel) -> Bits:
        return codeword(seed, channel, carriers.thresholds(channel))

    numbers = bits(Channel.NUMBERS)
    for row, column, value, step, position, sign in carriers.numbers():
        moved = EXACT.add(value, step if numbers[position] == (sign > 0) else -step)
        changes[row, column] = f"{moved:f}"
        counts[Channel.NUMBERS] += 1
    references = carriers.references
    if references is not None:
        column = carriers.sheet.columns.index(carriers.schema.reference or "")
        changes |= {(row, column): text for row, text in references.write(seed).items()}
        counts[Channel.REFERENCE] = len(references.row_shapes)
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
    return SheetMarks(
        changes, tuple(order), counts, _differences(carriers, counts), _notes(carriers.sheet, carriers.schema)
    )


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
        found = shown_number(plain(text(row, column)))
        moved = None if found is None else EXACT.subtract(found, value)
        if moved is not None and abs(moved) <= ALTERED_FACTOR * step:
            votes[Channel.NUMBERS].setdefault(position, []).append(
                sign * min(max(float(moved / step), -1.0), 1.0)
            )
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
    read = (*_read_references(carriers, links, leak), *(item for item in evidence if item.carriers))
    return read, links.describe(leak, carriers.sheet)


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


def _references(sheet: Sheet, policy: Policy, layout_key: bytes) -> References | None:
    """The references of the declared column; a JSON number or null in it stays what it is."""
    name = policy.table.reference
    if name is None or Channel.REFERENCE not in policy.channels or name not in sheet.columns:
        return None
    column = sheet.columns.index(name)
    texts = [None if isinstance(row[column], Literal) else row[column] for row in sheet.rows]
    key = derive(layout_key, f"cells/{Channel.REFERENCE.value}", name.encode())
    return References.of(texts, few=len(sheet.rows) < zero_width.FEW_ROWS, key=key)


def _read_references(carriers: Carriers, links: Links, leak: Sheet) -> tuple[Evidence, ...]:
    """References in the column of that name; if it is gone, in every column that lies on none of the original."""
    references = carriers.references
    if references is None:
        return ()
    column = links.columns.get(carriers.sheet.columns.index(carriers.schema.reference or ""))
    if column is not None:
        return references.evidence(
            (links.rows.get(index), row[column]) for index, row in enumerate(leak.rows)
        )
    legal = {text for row in carriers.sheet.rows for text in row}
    places = unlinked(leak, links.columns)
    return references.evidence(
        (links.rows.get(index), row[place])
        for index, row in enumerate(leak.rows)
        for place in places
        if row[place] not in legal
    )


def _weights(votes: Votes, positions: int) -> npt.NDArray[np.float64]:
    weights = np.zeros(positions)
    for position, values in votes.items():
        weights[position] = sum(values) / len(values)
    return weights


def _step(value: Decimal, delta: Decimal) -> Decimal | None:
    """The largest change within δ that keeps the number of decimals and the sign; None when there is none."""
    unit = Decimal(1).scaleb(int(value.as_tuple().exponent))
    step = EXACT.multiply(EXACT.divide_int(delta, unit), unit)
    return step if step > 0 and abs(value) > step else None


def _notes(sheet: Sheet, schema: TableSchema) -> tuple[Words, ...]:
    """Declarations that the file does not answer to."""
    declared = (*schema.keys, *schema.tolerances, *schema.free_text, *filter(None, (schema.reference,)))
    words: list[Words] = []
    if missing := [name for name in declared if name not in sheet.columns]:
        names = _listed(missing)
        words.append(
            Words(f"文件中没有已声明的列：{names}", f"declared columns are not in the file: {names}")
        )
    as_they_are = [
        name
        for name in schema.tolerances
        if name in sheet.columns
        and any(found := [row[sheet.columns.index(name)] for row in sheet.rows])
        and all(number(text) is None for text in found)
    ]
    if as_they_are:
        names = _listed(as_they_are)
        words.append(
            Words(
                f"这些列中没有可改动的数值（千分位、货币符号、公式结果均保持原样），不携带标记：{names}",
                "no number in these columns can be moved (grouped digits, currency signs, results of formulas stay as they "
                f"are), so they carry no mark: {names}",
            )
        )
    texts = {name for name in (*schema.free_text, schema.reference) if name in sheet.columns}
    no_text = [
        name
        for index, name in enumerate(sheet.columns)
        if name in texts and any(isinstance(row[index], Literal) for row in sheet.rows)
    ]
    if no_text:
        names = _listed(no_text)
        words.append(
            Words(
                f"这些列中的 JSON 数值、布尔值和 null 不是文本，不携带标记：{names}",
                f"JSON numbers, booleans and nulls in these columns are no texts and carry no mark: {names}",
            )
        )
    return tuple(words)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_LISTED_MAX])
    return shown if len(names) <= _NAMES_LISTED_MAX else f"{shown}, … ({len(names)})"


def _differences(carriers: Carriers, counts: Mapping[Channel, int]) -> tuple[Words, ...]:
    schema, references = carriers.schema, carriers.references
    words: list[Words] = []
    if counts[Channel.NUMBERS]:
        allowed = "; ".join(f"{name} ±{delta}" for name, delta in schema.tolerances.items())
        words.append(
            Words(
                f"已声明容差的数值可在容差内变化：{allowed}",
                f"declared numbers differ within tolerance: {allowed}",
            )
        )
    if counts[Channel.REFERENCE] and references is not None:
        kept = references.kept
        words.append(
            Words(
                f"行引用列 {schema.reference} 为本次下发专用值" + ("" if kept else "，长度与字符也不同"),
                f"the row references in {schema.reference} are particular to this release"
                + ("" if kept else ", in length and alphabet too"),
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
