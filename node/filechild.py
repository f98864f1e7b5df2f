"""The child that parses PDFs for `node/services/attachment_checks.py`.

Rule: run as a program, never imported by another part. It bounds its memory first, so that a hostile file ends only this process,
which another replaces. Standard input: 4 bytes a length, big-endian, and the file; standard output: a line a file, `[]` or
`[reason, reason_zh]`.

Argument: bytes of address space.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import Any, Final

import pikepdf

PAGES_MAX: Final = 200
OBJECTS_MAX: Final = 100_000
NESTING_MAX: Final = 64
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
# What stands behind the last end mark may be line ends and a little filling, and nothing else.
BEHIND_BYTES_MAX: Final = 1024

# Actions and things that run, call out or carry other files (ISO 32000-2, clauses 12.6, 7.11.4, 13).
_RUNS: Final = frozenset(
    {
        "/JavaScript",
        "/Launch",
        "/SubmitForm",
        "/ImportData",
        "/GoToR",
        "/GoToE",
        "/RichMedia",
        "/Rendition",
        "/Movie",
        "/Sound",
    }
)
_RUNNING_KEYS: Final = ("/JS", "/JavaScript", "/XFA", "/RichMediaContent")
_CARRYING_KEYS: Final = ("/EmbeddedFiles", "/EF", "/AF")


class Refused(Exception):
    """Reasons in en and zh."""


def check(data: bytes) -> None:
    """Raises Refused."""
    end = data.rfind(b"%%EOF")
    if end < 0 or len(data[end + 5 :].strip(b"\0\r\n\t ")) > 0 or len(data) - end > BEHIND_BYTES_MAX:
        raise Refused(
            "something stands behind its end, or the end is missing", "文件结尾缺失，或其后还有其他内容"
        )
    try:
        with pikepdf.open(io.BytesIO(data), attempt_recovery=False, suppress_warnings=True) as pdf:
            if pdf.is_encrypted:
                raise Refused("it is encrypted; save it without a password", "文件已加密；请去除口令后重试")
            pages = len(pdf.pages)
            if not 1 <= pages <= PAGES_MAX:
                raise Refused(
                    f"it has {pages} pages; 1 to {PAGES_MAX} are allowed",
                    f"页数为 {pages}，允许 1 至 {PAGES_MAX} 页",
                )
            if len(pdf.objects) > OBJECTS_MAX:
                raise Refused(f"it has more than {OBJECTS_MAX} objects", f"对象多于 {OBJECTS_MAX} 个")
            for item in pdf.objects:
                _look(item, 0)
    except pikepdf.PasswordError:
        raise Refused("it is encrypted; save it without a password", "文件已加密；请去除口令后重试") from None
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RuntimeError):
        raise Refused("it is damaged; make the PDF again", "文件已损坏；请重新生成 PDF") from None


def _look(item: Any, depth: int) -> None:
    """Look through an object's own dictionaries and arrays; those it refers to come by themselves."""
    if depth > NESTING_MAX:
        raise Refused("it is nested too deeply", "嵌套过深")
    if isinstance(item, pikepdf.Dictionary | pikepdf.Stream):
        keys = set(item.keys())
        if (
            keys & set(_RUNNING_KEYS)
            or str(item.get("/S", "")) in _RUNS
            or str(item.get("/Subtype", "")) in _RUNS
        ):
            raise Refused(
                "it holds scripts or actions; print it to a plain PDF",
                "含有脚本或动作；请打印成普通 PDF 后重试",
            )
        if keys & set(_CARRYING_KEYS) or str(item.get("/Subtype", "")) == "/FileAttachment":
            raise Refused(
                "it carries other files; deposit those by themselves", "内嵌了其他文件；请将其单独上链"
            )
        for name in keys:
            _child(item[name] if not isinstance(item, pikepdf.Stream) else item.stream_dict[name], depth)
    elif isinstance(item, pikepdf.Array):
        for one in item:
            _child(one, depth)


def _child(item: Any, depth: int) -> None:
    if isinstance(item, pikepdf.Object) and not item.is_indirect:
        _look(item, depth + 1)


def main() -> int:
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while head := sys.stdin.buffer.read(4):
        size = int.from_bytes(head, "big")
        if size > FILE_BYTES_MAX:
            return 1
        try:
            check(sys.stdin.buffer.read(size))
            said: list[str] = []
        except Refused as refused:
            said = list(refused.args)
        except (MemoryError, RecursionError):
            return 1
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
