"""Read or rewrite a Parquet file in a process of its own.

Rule: this file is run as a script, never imported by the package. It bounds its own memory and processor time before it looks at a
byte, so that a hostile file can end only this process. Standard input: one JSON line (`input_bytes`, and to rewrite also
`changes` and `order`), then the file. Standard output: to read, one JSON document; to rewrite, the new file.

A text, a whole or decimal number and a floating-point number are told as `[kind, text]`; every other value as `["fixed", text]`.

Arguments: seconds, bytes of address space, rows at most, columns at most, cells at most.
"""

from __future__ import annotations

import json
import resource
import sys
from decimal import Decimal
from typing import Any

UNREADABLE, TOO_LARGE = 3, 5


def main() -> int:
    """Exit code 0 when done, 3 when the file is unreadable, 5 when it is above a limit (told on standard error)."""
    seconds, memory_bytes, *limits = (int(argument) for argument in sys.argv[1:6])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    task = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read(task["input_bytes"])
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
                sys.stderr.write(json.dumps({"limit": name, "maximum": maximum, "actual": actual}))
                return TOO_LARGE
        table = file.read(use_threads=False)
        out = rewritten(pa, pq, file, table, task) if "order" in task else told(pa, table)
    except (pa.ArrowException, MemoryError, OSError, ValueError, KeyError, TypeError, OverflowError):
        return UNREADABLE
    sys.stdout.buffer.write(out)
    return 0


def kind_of(pa: Any, type_: Any) -> str:
    """How the values of an Arrow type are told."""
    types = pa.types
    if types.is_string(type_) or types.is_large_string(type_):
        return "text"
    if types.is_integer(type_) or types.is_decimal(type_):
        return "number"
    return "float" if types.is_floating(type_) else "fixed"


def told(pa: Any, table: Any) -> bytes:
    """The table as JSON."""
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = kind_of(pa, column.type)
        values = column.to_pylist()
        show = repr if kind == "float" else str
        columns.append(
            {
                "name": name,
                "kind": kind,
                "values": [None if value is None else show(value) for value in values],
            }
        )
    return json.dumps(columns).encode()


def value_of(pa: Any, type_: Any, text: str) -> Any:
    """A changed text as a value of its column."""
    match kind_of(pa, type_):
        case "float":
            return float(text)
        case "number":
            return Decimal(text) if pa.types.is_decimal(type_) else int(text)
        case _:
            return text


def rewritten(pa: Any, pq: Any, file: Any, table: Any, task: dict[str, Any]) -> bytes:
    """The file with changes made and rows in order; types, metadata and compression stay."""
    changes: dict[int, dict[int, str]] = {}
    for row, column, text in task["changes"]:
        changes.setdefault(column, {})[row] = text
    for place, texts in changes.items():
        column = table.column(place)
        values = column.to_pylist()
        for row, text in texts.items():
            values[row] = value_of(pa, column.type, text)
        table = table.set_column(place, table.schema.field(place), pa.array(values, type=column.type))
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
