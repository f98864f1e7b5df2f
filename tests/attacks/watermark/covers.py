"""Files of rows and text that are marked and attacked.

Rule: every cover is drawn from its number alone, and no parameter of the scheme was chosen on them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from watermark import Policy, TableSchema

PDF: Final = "application/pdf"
PNG: Final = "image/png"
CSV: Final = "text/csv"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
HAN: Final = (
    "东城区建设路人民市场有限责任公司科技发展服务技术开发咨询中心第一二三四五六七八九十号楼单元室经营管理综合"
)


@dataclass(frozen=True, slots=True)
class Cover:
    """A file to be marked, and what may be changed in it."""

    name: str
    media_type: str
    data: bytes
    policy: Policy


def table(rows: int) -> Callable[[int], Cover]:
    """Tables of so many rows with 4 to 8 columns besides the key: numbers of several scales, a note, a reference."""

    def draw(number: int) -> Cover:
        rng = np.random.default_rng([4, rows, number])
        numeric = 3 + number % 4
        deltas = [("0.05", 2), ("0.2", 1), ("1", 0), ("0.005", 3), ("2", 0), ("0.5", 1)][:numeric]
        with_note, with_reference = number % 2 == 0, number % 3 != 2
        header = ["id", "name", *(f"value{at}" for at in range(numeric))]
        header += ["note"] * with_note + ["ref"] * with_reference
        lines = [header]
        for row in range(rows):
            values = [f"{rng.uniform(1, 10 ** (4 + at % 3)):.{deltas[at][1]}f}" for at in range(numeric)]
            name = "".join(rng.choice(list(HAN), 6))
            notes = ["依法登记，经营正常。" + name] * with_note
            lines.append([f"P{row:06d}", name, *values, *notes, *([f"R-{row:06d}"] * with_reference)])
        schema = TableSchema(
            keys=("id",),
            tolerances={f"value{at}": Decimal(delta) for at, (delta, _) in enumerate(deltas)},
            reference="ref" if with_reference else None,
            free_text=("note",) if with_note else (),
            unordered=number % 2 == 1,
        )
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\r\n").writerows(lines)
        return Cover(f"table {rows}×{len(header)}", CSV, out.getvalue().encode(), Policy(table=schema))

    return draw


def record(number: int) -> Cover:
    """A JSON record of 13 to 20 names, with a reference and a passage of free text."""
    rng = np.random.default_rng([5, number])
    fields: dict[str, object] = {f"field_{at:02d}": int(rng.integers(10**9)) for at in range(11 + number % 8)}
    note = "".join(rng.choice(list(HAN), 40))
    document = {**fields, "reference": f"R-{int(rng.integers(10**9)):010d}", "note": note}
    data = json.dumps(document, ensure_ascii=False).encode()
    schema = TableSchema(reference="reference", free_text=("note",))
    return Cover(f"record of {len(document)} names", JSON, data, Policy(table=schema))


def passage(number: int) -> Cover:
    """A passage of running text."""
    rng = np.random.default_rng([6, number])
    lines = ["".join(rng.choice(list(HAN), 38)) + "。" for _ in range(30 + number % 20)]
    return Cover(f"text of {len(lines)} lines", TEXT, "\n".join(lines).encode(), Policy())
