"""The child that reads a table: bounds itself, then says its rows line by line.

Rule: run as a program, never imported by another part. Memory and processor time are bounded before the file is opened, so that a
hostile file ends only this process. Standard output: one JSON object a line: `{"h"}` the columns where the
table names them, `{"n", "c", "p", "k"}` a row, and at last
`{"end": rows}` or `{"fault": [code, fields]}`.

Arguments: the file, its kind, seconds, bytes of address space.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zhenglian.tables.errors import TableInvalid, TableTooLarge
from zhenglian.tables.rows import Header, Row
from zhenglian.tables.sniff import TableKind


def rows_of(path: Path, kind: TableKind) -> Iterator[Header | Row]:
    """Header, where there is one, and rows of a file. Raises TableInvalid, TableTooLarge."""
    # Only what the kind needs is loaded: the workbook's reader takes long to.
    match kind:
        case TableKind.CSV:
            from zhenglian.tables.texts import read_csv

            return read_csv(path)
        case TableKind.JSON_LINES:
            from zhenglian.tables.texts import read_json_lines

            return read_json_lines(path)
        case TableKind.JSON:
            from zhenglian.tables.jsons import read_json

            return read_json(path)
        case TableKind.XLSX:
            from zhenglian.tables.workbooks import read_xlsx

            return read_xlsx(path)


def main() -> int:
    """Exit status 0 when all is said, a fault included."""
    path, kind = Path(sys.argv[1]), TableKind(sys.argv[2])
    seconds, memory_bytes = int(sys.argv[3]), int(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    out = sys.stdout.buffer
    count = 0
    try:
        for row in rows_of(path, kind):
            if isinstance(row, Header):
                out.write(msgspec.json.encode({"h": row.columns}) + b"\n")
                continue
            count += 1
            said = {"n": row.number, "c": row.cells, "p": row.problems, "k": row.notes}
            out.write(msgspec.json.encode(said) + b"\n")
        out.write(msgspec.json.encode({"end": count}) + b"\n")
    except (TableInvalid, TableTooLarge) as error:
        out.write(msgspec.json.encode({"fault": [error.code, error.fields]}) + b"\n")
    except (MemoryError, RecursionError):
        return 1
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
