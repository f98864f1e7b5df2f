"""What kind of file it is, by its first bytes and by what its sender says; both have to agree.

Rule: nothing is parsed here, and a file that could be read as two kinds is refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from zhenglian.tables.errors import TableInvalid

HEAD_BYTES: Final = 4096
XLSX_MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class TableKind(StrEnum):
    CSV = "csv"
    JSON = "json"
    JSON_LINES = "jsonl"
    XLSX = "xlsx"


MEDIA_TYPES: Final[dict[str, TableKind]] = {
    "text/csv": TableKind.CSV,
    "application/csv": TableKind.CSV,
    "text/tab-separated-values": TableKind.CSV,
    "application/json": TableKind.JSON,
    "application/x-ndjson": TableKind.JSON_LINES,
    "application/jsonl": TableKind.JSON_LINES,
    XLSX_MEDIA_TYPE: TableKind.XLSX,
}
SUFFIXES: Final[dict[str, TableKind]] = {
    ".csv": TableKind.CSV,
    ".tsv": TableKind.CSV,
    ".txt": TableKind.CSV,
    ".json": TableKind.JSON,
    ".jsonl": TableKind.JSON_LINES,
    ".ndjson": TableKind.JSON_LINES,
    ".xlsx": TableKind.XLSX,
}
# What begins so is none of the four, whatever it is called.
_OTHERS: Final = (
    (b"%PDF", "PDF"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"\x1f\x8b", "gzip"),
    (b"Rar!", "RAR"),
    (b"7z\xbc\xaf", "7z"),
    (b"PAR1", "Parquet"),
    (b"MZ", "EXE"),
    (b"\x7fELF", "ELF"),
)


def kind_of(head: bytes, stated: TableKind | None) -> TableKind:
    """The kind of a table.

    Args:
        head: the first `HEAD_BYTES`, or all there is.
        stated: what its sender says by media type or file name; None if nothing.

    Raises:
        TableInvalid: empty, unknown_kind, other_kind, old_workbook, markup.
    """
    if not head.strip():
        raise TableInvalid("empty")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise TableInvalid("old_workbook")
    for magic, name in _OTHERS:
        if head.startswith(magic) and not (name == "EXE" and stated is TableKind.CSV):
            raise TableInvalid("other_kind", found=name, stated=stated or "CSV, JSON, XLSX")
    if head.startswith(b"PK"):
        return _agreed(TableKind.XLSX, stated)
    if stated is TableKind.XLSX:
        raise TableInvalid("markup" if _marked_up(head) else "other_kind", **_found(head))
    if _marked_up(head):
        raise TableInvalid("markup")
    if stated is not None:
        return stated
    first = _bare(head)[:1]
    if first == b"[":
        return TableKind.JSON
    if first == b"{":
        return TableKind.JSON_LINES if b"}\n{" in head.replace(b"\r", b"") else TableKind.JSON
    return TableKind.CSV


def _agreed(found: TableKind, stated: TableKind | None) -> TableKind:
    if stated not in {None, found}:
        raise TableInvalid("other_kind", found=found.upper(), stated=str(stated))
    return found


def _found(head: bytes) -> dict[str, str | int]:
    return {} if _marked_up(head) else {"found": "text", "stated": "XLSX"}


def _marked_up(head: bytes) -> bool:
    return _bare(head)[:1] == b"<"


def _bare(head: bytes) -> bytes:
    for bom in _BOMS:
        head = head.removeprefix(bom)
    return head.replace(b"\0", b"").lstrip()
