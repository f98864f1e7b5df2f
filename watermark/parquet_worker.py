"""Read or rewrite a Parquet file in a process of its own.

Rule: this file is run as a script, never imported by the package. It bounds its own memory and processor time before it looks at a
byte, so that a hostile file can end only this process. Standard input: one JSON line (`input_bytes`), then the file; it may be
followed by another JSON line (`changes`, `order`), which asks for the file rewritten. Standard output: for each, eight bytes of
length, then one JSON document, or the new file.

A text, a whole or decimal number and a floating-point number are told as `[kind, text]`; every other value as `["fixed", text]`.

Arguments: seconds, bytes of address space, rows at most, columns at most, cells at most,
characters at most.
"""

from __future__ import annotations

import json
import resource
import sys
from decimal import Decimal
from typing import Any

import numpy as np

UNREADABLE, TOO_LARGE = 3, 5


class TooLarge(Exception):
    """Limit, its value, and what the file has."""


def main() -> int:
    """Exit code 0 when done, 3 when the file is unreadable, 5 when it is above a limit (told on standard error)."""
    seconds, memory_bytes, *limits, chars_max = (int(argument) for argument in sys.argv[1:7])
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        # Whoever started the parent may have set a lower limit already, and it cannot be raised.
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    data = sys.stdin.buffer.read(json.loads(sys.stdin.buffer.readline())["input_bytes"])
    try:
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        rows, columns = file.metadata.num_rows, len(file.schema_arrow.names)
        for name, maximum, actual in zip(
            ("TABLE_ROWS_MAX", "TABLE_COLUMNS_MAX", "TABLE_CELLS_MAX"),
            limits,
            (rows, columns, rows * columns),
            strict=True,
        ):
            if actual > maximum:
                raise TooLarge(name, maximum, actual)
        table = file.read(use_threads=False)
        answer(told(pa, table, chars_max))
        if line := sys.stdin.buffer.readline():
            answer(rewritten(pa, pq, file, table, json.loads(line)))
    except TooLarge as error:
        limit, maximum, actual = error.args
        sys.stderr.write(json.dumps({"limit": limit, "maximum": maximum, "actual": actual}))
        return TOO_LARGE
    except (pa.ArrowException, MemoryError, OSError, ValueError, KeyError, TypeError, OverflowError):
        return UNREADABLE
    return 0


def answer(out: bytes) -> None:
    """What was asked for."""
    sys.stdout.buffer.write(len(out).to_bytes(8, "big") + out)
    sys.stdout.buffer.flush()


def kind_of(pa: Any, type_: Any) -> str:
    """How the values of an Arrow type are told."""
    types = pa.types
    if types.is_string(type_) or types.is_large_string(type_):
        return "text"
    if types.is_integer(type_) or types.is_decimal(type_):
        return "number"
    return "float" if types.is_floating(type_) else "fixed"


def told(pa: Any, table: Any, chars_max: int) -> bytes:
    """The table as JSON, if all its texts together have no more than so many characters."""
    columns = []
    chars = 0
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = kind_of(pa, column.type)
        values = column.to_pylist()
        show = repr if kind == "float" else str
        texts = [None if value is None else show(value) for value in values]
        chars += sum(len(text) for text in texts if text)
        if chars > chars_max:
            raise TooLarge("TABLE_CHARS_MAX", chars_max, chars)
        columns.append({"name": name, "kind": kind, "values": texts})
    return json.dumps(columns).encode()


def value_of(pa: Any, type_: Any, text: str, before: Any) -> Any:
    """A changed text as a value of its column, no further from what stood there than the text says."""
    match kind_of(pa, type_):
        case "float":
            return nearest(type_.to_pandas_dtype(), text, before)
        case "number":
            return Decimal(text) if pa.types.is_decimal(type_) else int(text)
        case _:
            return text


def nearest(kind: Any, text: str, before: float) -> float:
    """The floating-point number that is nearest to a decimal one, but not further from `before` than that."""
    asked = abs(Decimal(text) - Decimal(repr(before)))
    value = kind(text)
    while abs(Decimal(repr(float(value))) - Decimal(repr(before))) > asked:
        value = np.nextafter(value, kind(before))
    return float(value)


def fitted(pa: Any, values: list[Any], before: list[Any], type_: Any) -> Any:
    """The values as a column; what its type cannot hold (128 in eight bits) stays what it was."""
    try:
        return pa.array(values, type=type_)
    except (pa.ArrowException, OverflowError, ValueError):
        if len(values) == 1:
            return pa.array(before, type=type_)
        half = len(values) // 2
        parts = [fitted(pa, values[part], before[part], type_) for part in (slice(half), slice(half, None))]
        return pa.concat_arrays(parts)


def rewritten(pa: Any, pq: Any, file: Any, table: Any, task: dict[str, Any]) -> bytes:
    """The file with changes made and rows in order; types, metadata and compression stay."""
    changes: dict[int, dict[int, str]] = {}
    for row, column, text in task["changes"]:
        changes.setdefault(column, {})[row] = text
    for place, texts in changes.items():
        column = table.column(place)
        before = column.to_pylist()
        values = list(before)
        for row, text in texts.items():
            values[row] = value_of(pa, column.type, text, values[row])
        table = table.set_column(place, table.schema.field(place), fitted(pa, values, before, column.type))
    table = table.take(pa.array(task["order"], type=pa.int64()))
    compression = "SNAPPY"
    if file.metadata.num_row_groups and file.metadata.num_columns:
        compression = file.metadata.row_group(0).column(0).compression
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="NONE" if compression == "UNCOMPRESSED" else compression)
    result: bytes = sink.getvalue().to_pybytes()
    return result


if __name__ == "__main__":
    sys.exit(main())
