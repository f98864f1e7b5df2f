"""CSV and JSON files: the marks of `watermark.tables`, and the order of keys in a single JSON record.

Rule: the order of names in a JSON object has no meaning (RFC 8259 §4), so it may differ by release; it is worth at
most log₁₀ n! digits for n keys, and whoever sorts the names takes it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watermark.csv_text import CsvFile, parse_csv
from watermark.evidence import Evidence, OrderEvidence, key_ranks
from watermark.json_text import Json, JsonFile, objects, parse_json
from watermark.limits import ORDERED_KEYS_MAX
from watermark.policy import Channel, Policy
from watermark.results import Manifest, Marked, Reading, Words
from watermark.tables import Carriers, mark_sheet, read_sheet

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class SheetCodec:
    """CSV, JSON or JSON Lines.

    Attributes:
        media_type: one of the three.
    """

    media_type: str

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Write the codeword of one release; see `watermark.embed`."""
        parsed = parse(original, self.media_type)
        marks = mark_sheet(Carriers.of(parsed.sheet, policy, layout_key), seed)
        carriers = dict(marks.carriers)
        differences = marks.differences
        if isinstance(parsed, JsonFile) and parsed.shape == "record" and Channel.KEY_ORDER in policy.channels:
            data = parsed.written(marks.changes, marks.order, lambda path, names: _ordered(seed, path, names))
            groups = [len(members) for _, members in objects(parsed.values[0]) if _orderable(members)]
            carriers[Channel.KEY_ORDER] = sum(groups)
            if groups:
                differences += (
                    Words(
                        "JSON 成员的先后次序不同（无含义）", "the order of JSON names differs (no meaning)"
                    ),
                )
        else:
            data = parsed.written(marks.changes, marks.order)
        if not any(carriers.values()):
            return Marked(original, Manifest(self.media_type, {}, notes=(_NOTHING_DECLARED,)))
        return Marked(data, Manifest(self.media_type, carriers, differences=differences))

    def read(self, leak: CsvFile | JsonFile, original: bytes, layout_key: bytes, policy: Policy) -> Reading:
        """Read what is left of the codeword; see `watermark.detect`."""
        parsed = parse(original, self.media_type)
        carriers = Carriers.of(parsed.sheet, policy, layout_key)
        evidence, alignment = read_sheet(carriers, leak.sheet)
        notes: tuple[Words, ...] = ()
        if (
            isinstance(parsed, JsonFile)
            and isinstance(leak, JsonFile)
            and Channel.KEY_ORDER in policy.channels
        ):
            orders, notes = _key_orders(leak, parsed)
            evidence += orders
        if not evidence:
            notes += (_NOTHING_LEFT,)
        return Reading(evidence, alignment, notes)


def parse(data: bytes, media_type: str) -> CsvFile | JsonFile:
    """Parse a table or record.

    Raises:
        WatermarkError: not such a file, or beyond the limits.
    """
    return parse_csv(data) if media_type == CSV else parse_json(data)


def _orderable(members: dict[str, Json]) -> bool:
    return 2 <= len(members) <= ORDERED_KEYS_MAX


def _ordered(seed: bytes, path: str, names: list[str]) -> list[str]:
    """The names of one object in this release's order."""
    if not 2 <= len(names) <= ORDERED_KEYS_MAX:
        return names
    ranks = key_ranks(seed, path, len(names))
    return [name for _, name in sorted(zip(ranks.tolist(), sorted(names), strict=True))]


def _key_orders(leak: JsonFile, original: JsonFile) -> tuple[tuple[Evidence, ...], tuple[Words, ...]]:
    """Orders of the objects that both records have, unless somebody put them in a common order."""
    if leak.shape != "record" or original.shape != "record":
        return (), ()
    found = dict(objects(leak.values[0]))
    evidence: list[Evidence] = []
    sorted_everywhere = as_original = True
    for path, members in objects(original.values[0]):
        if not _orderable(members) or path not in found:
            continue
        names = sorted(members)
        place = {name: index for index, name in enumerate(names)}
        order = tuple(place[name] for name in found[path] if name in place)
        if len(order) < 2:
            continue
        sorted_everywhere &= order == tuple(sorted(order))
        as_original &= order == tuple(place[name] for name in members if name in found[path])
        evidence.append(OrderEvidence(Channel.KEY_ORDER, path, len(names), order))
    if evidence and (sorted_everywhere or as_original):
        return (), (_ORDER_GONE,)
    return tuple(evidence), ()


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
