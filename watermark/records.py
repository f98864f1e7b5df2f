"""CSV, XLSX, Parquet and JSON files: the marks of `watermark.tables`, and the order of keys in a single JSON record.

Rule: the order of names in a JSON object has no meaning (RFC 8259 §4), so it may differ by release; it is worth at
most log₁₀ n! digits for n keys, and whoever sorts the names takes it away.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from watermark.csv_text import CsvFile, parse_csv
from watermark.evidence import Evidence, OrderEvidence, key_ranks
from watermark.json_text import Json, JsonFile, Path, objects, parse_json
from watermark.limits import (
    FILE_BYTES_MAX,
    ORDERED_KEYS_MAX,
    ORDERED_OBJECTS_MAX,
    TEXT_BYTES_MAX,
    within,
)
from watermark.packages import XLSX
from watermark.parquet import PARQUET, ParquetFile, parse_parquet
from watermark.policy import Channel, Policy
from watermark.results import Manifest, Marked, Reading, Words
from watermark.sheets import plain
from watermark.tables import Carriers, mark_sheet, read_sheet
from watermark.xlsx import XlsxFile, parse_xlsx

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/x-ndjson"

SheetFile = CsvFile | JsonFile | ParquetFile | XlsxFile


@dataclass(frozen=True, slots=True)
class SheetCodec:
    """CSV, XLSX, Parquet, JSON or JSON Lines.

    Attributes:
        media_type: one of the five.
    """

    media_type: str

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Write the codeword of one release; see `watermark.embed`."""
        parsed = _declared(parse(original, self.media_type), policy)
        marks = mark_sheet(_carriers(parsed, policy, layout_key), seed)
        carriers = dict(marks.carriers)
        differences = marks.differences
        ordered = _ordered_objects(parsed) if Channel.KEY_ORDER in policy.channels else {}
        if isinstance(parsed, JsonFile):
            data = parsed.written(
                marks.changes,
                marks.order,
                lambda path, names: _in_order(seed, path, names) if path in ordered else names,
            )
        else:
            data = parsed.written(marks.changes, marks.order)
        if ordered:
            carriers[Channel.KEY_ORDER] = sum(len(members) for members in ordered.values())
            differences += (_ORDER_DIFFERS,)
        # A copy that could not be read back would be untraceable.
        if isinstance(parsed, XlsxFile | ParquetFile):
            within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(data))
        else:
            within("TEXT_BYTES_MAX", TEXT_BYTES_MAX, len(data))
        if not any(carriers.values()):
            return Marked(original, Manifest(self.media_type, {}, notes=(_NOTHING_DECLARED, *marks.notes)))
        notes = (*marks.notes, *_layout_notes(parsed, policy))
        return Marked(data, Manifest(self.media_type, carriers, differences=differences, notes=notes))

    def read(self, leak: SheetFile, original: bytes, layout_key: bytes, policy: Policy) -> Reading:
        """Read what is left of the codeword; see `watermark.detect`."""
        parsed = _declared(parse(original, self.media_type), policy)
        leak = _declared(leak, policy)
        if isinstance(parsed, JsonFile) and isinstance(leak, JsonFile):
            leak = _as_record(leak, parsed)
        evidence, alignment = read_sheet(_carriers(parsed, policy, layout_key), leak.sheet)
        notes: tuple[Words, ...] = ()
        if Channel.KEY_ORDER in policy.channels:
            orders, notes = _key_orders(leak, parsed)
            evidence += orders
        if not evidence:
            notes += (_NOTHING_LEFT,)
        return Reading(evidence, alignment, notes)


def parse(data: bytes, media_type: str) -> SheetFile:
    """Parse a table or record.

    Raises:
        WatermarkError: not such a file, or beyond the limits.
    """
    match media_type:
        case "text/csv":
            return parse_csv(data)
        case _ if media_type == XLSX:
            return parse_xlsx(data)
        case _ if media_type == PARQUET:
            return parse_parquet(data)
        case _:
            return parse_json(data)


def _declared(parsed: SheetFile, policy: Policy) -> SheetFile:
    """The file with its table where the declared columns are named."""
    if not isinstance(parsed, CsvFile | XlsxFile):
        return parsed
    return parsed.naming({plain(name) for name in (*policy.table.keys, *policy.table.carriers)})


def _carriers(parsed: SheetFile, policy: Policy, layout_key: bytes) -> Carriers:
    if isinstance(parsed, CsvFile | XlsxFile) and not parsed.movable:
        policy = replace(policy, channels=policy.channels - {Channel.ROW_ORDER})
    return Carriers.of(parsed.sheet, policy, layout_key)


def _layout_notes(parsed: SheetFile, policy: Policy) -> tuple[Words, ...]:
    """What in the layout of a file for people bears on its marks."""
    if not isinstance(parsed, CsvFile | XlsxFile):
        return ()
    notes = []
    if isinstance(parsed, XlsxFile) and parsed.formulas:
        notes.append(_FORMULAS_KEEP_RESULTS)
    if policy.table.unordered and not parsed.movable:
        notes.append(_ROWS_STAY)
    return tuple(notes)


def _ordered_objects(parsed: SheetFile) -> dict[Path, dict[str, Json]]:
    """The objects of a single record whose keys carry an order, outermost first."""
    if not isinstance(parsed, JsonFile) or parsed.shape != "record":
        return {}
    orderable = (
        (path, members)
        for path, members in objects(parsed.values[0])
        if 2 <= len(members) <= ORDERED_KEYS_MAX
    )
    return dict(islice(orderable, ORDERED_OBJECTS_MAX))


def _label(path: Path) -> str:
    """A name that no other path has, whatever its steps hold."""
    return json.dumps(path)


def _in_order(seed: bytes, path: Path, names: list[str]) -> list[str]:
    """The names of one object in this release's order."""
    ranks = key_ranks(seed, _label(path), len(names))
    return [name for _, name in sorted(zip(ranks.tolist(), sorted(names), strict=True))]


def _key_orders(leak: SheetFile, original: SheetFile) -> tuple[tuple[Evidence, ...], tuple[Words, ...]]:
    """Orders of the objects that both records have, unless somebody put them in a common order."""
    if not isinstance(leak, JsonFile) or leak.shape != "record":
        return (), ()
    found = dict(objects(leak.values[0]))
    evidence: list[Evidence] = []
    sorted_everywhere = as_original = True
    for path, members in _ordered_objects(original).items():
        place = {name: index for index, name in enumerate(sorted(members))}
        order = tuple(place[name] for name in found.get(path, ()) if name in place)
        if len(order) < 2:
            continue
        sorted_everywhere &= order == tuple(sorted(order))
        as_original &= order == tuple(place[name] for name in members if name in found[path])
        evidence.append(OrderEvidence(Channel.KEY_ORDER, _label(path), len(members), order))
    if evidence and (sorted_everywhere or as_original):
        return (), (_ORDER_GONE,)
    return tuple(evidence), ()


def _as_record(leak: JsonFile, original: JsonFile) -> JsonFile:
    """A leak of one record, laid where it stands in the original.

    Whoever copies only an inner object, or wraps one in an object of his own, shifts every path by the same steps. The
    shift that gives most paths of the original is taken, if no other gives as many.
    """
    if original.shape != "record" or len(leak.values) != 1:
        return leak
    record = leak.values[0]
    inner = dict(islice(objects(record), _SHIFTS_MAX))
    counts = _shifts(leak.paths, inner, original)
    ranked = counts.most_common(2)
    unclear = not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1])
    if unclear or ranked[0][1] <= counts[(), ()]:
        return leak if leak.shape == "record" else leak.holding(record)
    below, above = ranked[0][0]
    value = inner[below]
    for step in reversed(above):
        value = {str(step): value}
    return leak.holding(value)


def _shifts(
    leaked: tuple[Path, ...], inner: Container[Path], original: JsonFile
) -> Counter[tuple[Path, Path]]:
    """(object of the leak, object of the original) → paths that agree when the one is laid on the other."""
    outer = set(islice((path for path, _ in objects(original.values[0])), _SHIFTS_MAX))
    ends: dict[Path, list[Path]] = {}
    for path in original.paths:
        for length in range(len(path)):
            if path[:length] in outer:
                ends.setdefault(path[length:], []).append(path[:length])
    counts: Counter[tuple[Path, Path]] = Counter()
    for path in leaked:
        for length in range(len(path)):
            below = path[:length]
            if below in inner:
                # Two objects of one name agree wherever those around them do, and say no more.
                counts.update(
                    (below, above)
                    for above in ends.get(path[length:], ())
                    if not (below and above and below[-1] == above[-1])
                )
    return counts


_SHIFTS_MAX: Final = 16
"""Objects of either record that are tried as the place of the other."""
_ORDER_DIFFERS: Final = Words(
    "JSON 成员的先后次序不同（无含义）", "the order of JSON names differs (no meaning)"
)
_FORMULAS_KEEP_RESULTS: Final = Words(
    "工作簿含公式：公式结果保持原值，重新计算后可能随已声明的数值变化",
    "the workbook holds formulas: their results are the original's until computed anew",
)
_ROWS_STAY: Final = Words(
    "表头上方有标题，或有公式、合并单元格等指向行的内容，行次序保持不变",
    "a title stands above the header, or formulas, merged cells or the like point to rows: rows keep their places",
)
_NOTHING_DECLARED: Final = Words(
    "未加标记：没有声明可用的载体，泄露后无法凭标记追溯",
    "not marked: nothing that may carry a mark is declared, so a leak cannot be traced by mark",
)
_NOTHING_LEFT: Final = Words(
    "副本中没有可读的标记：可能被重新录入、清洗或排序",
    "the copy carries no readable mark: it may have been retyped, cleaned or sorted",
)
_ORDER_GONE: Final = Words(
    "JSON 成员次序已被排序或还原，不再携带标记", "the JSON names were sorted or restored and carry no mark"
)
