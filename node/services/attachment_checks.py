"""Whether a file that somebody deposits is what it says, and nothing beside it.

Rule: a file is kept byte for byte or refused, never mended. PNG and JPEG are walked segment by segment, and not decoded; a PDF
is parsed in a child process with bounded memory, which is killed when it takes too long.

What runs or hides is refused, since a copy of it goes to other people's desks: scripts and actions of a PDF, files inside it
(a mark would not reach them), what stands behind a file's end, pictures too large to be opened.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ledger.errors import LedgerError, Unavailable
from watermark.limits import IMAGE_PIXELS_MAX

PDF_SECONDS_MAX: Final = 20.0
PDF_MEMORY_BYTES_MAX: Final = 1 << 31
# A child reads so many files before another takes its place, so that what leaks in it comes to an end.
FILES_PER_CHILD_MAX: Final = 500
CHUNKS_MAX: Final = 100_000
ANSWER_BYTES_MAX: Final = 4096
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD8)})

Inspect = Callable[[str, str, bytes], Awaitable[None]]


class AttachmentRefused(LedgerError):
    """A file that is broken, or more than it says. Fields: name, reason, reason_zh."""

    code = "attachment_refused"
    zh = "附件 {name} 不能接受：{reason_zh}"
    en = "The attachment {name} is not accepted: {reason}"


class _Refused(Exception):
    """Reasons in en and zh."""


class AttachmentChecks:
    """Looks at files; one PDF at a time."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._read = 0
        self._alone = asyncio.Lock()

    async def inspect(self, name: str, media_type: str, data: bytes) -> None:
        """Raises AttachmentRefused, or Unavailable when no child can be started."""
        try:
            match media_type:
                case "image/png":
                    await asyncio.to_thread(check_png, data)
                case "image/jpeg":
                    await asyncio.to_thread(check_jpeg, data)
                case "application/pdf":
                    await self._pdf(data)
                case _:
                    raise _Refused("its kind is not known here", "不支持的文件类型")
        except _Refused as refused:
            reason, reason_zh = refused.args
            raise AttachmentRefused(name=name, reason=reason, reason_zh=reason_zh) from None

    async def close(self) -> None:
        """End the child."""
        async with self._alone:
            await self._kill()

    async def _pdf(self, data: bytes) -> None:
        async with self._alone:
            child = await self._started()
            assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018  # pipes were asked for
            try:
                async with asyncio.timeout(PDF_SECONDS_MAX):
                    child.stdin.write(len(data).to_bytes(4, "big") + data)
                    await child.stdin.drain()
                    answer = await child.stdout.readline()
                found = json.loads(answer) if answer else None
            except (TimeoutError, OSError, ValueError):
                found = None
            except BaseException:
                await self._kill()
                raise
            if not isinstance(found, list):
                await self._kill()
                raise _Refused(
                    "it cannot be read within the time and memory allowed",
                    "无法在允许的时间与内存内读取，可能已损坏；请重新生成 PDF",
                )
        if found:
            raise _Refused(str(found[0]), str(found[1]))

    async def _started(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None or self._read >= FILES_PER_CHILD_MAX:
            await self._kill()
            command = (sys.executable, "-P", "-m", "node.filechild", str(PDF_MEMORY_BYTES_MAX))
            try:
                self._child = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    limit=ANSWER_BYTES_MAX,
                )
            except OSError as error:
                raise Unavailable(what="file check", reason=error.strerror or str(error)) from None
            self._read = 0
        self._read += 1
        return self._child

    async def _kill(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()
            self._child = None


def check_png(data: bytes) -> None:
    """Walk the chunks of a PNG (ISO/IEC 15948). Raises _Refused."""
    if not data.startswith(_PNG):
        raise _Refused("it is no PNG", "不是 PNG 文件")
    place = len(_PNG)
    for count in range(CHUNKS_MAX):
        head = data[place : place + 8]
        if len(head) < 8:
            raise _Refused("it breaks off", "文件不完整")
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if (kind == b"IHDR") is not (count == 0):
            raise _Refused("its header is not where it belongs", "文件头位置不对")
        if kind == b"IHDR":
            _check_pixels(
                int.from_bytes(data[place + 8 : place + 12], "big"),
                int.from_bytes(data[place + 12 : place + 16], "big"),
            )
        place += 12 + size
        if place > len(data):
            raise _Refused("it breaks off", "文件不完整")
        if kind == b"IEND":
            if place != len(data):
                raise _Refused(*_BEHIND)
            return
    raise _Refused(f"it has more than {CHUNKS_MAX} chunks", f"数据块多于 {CHUNKS_MAX} 个")


_BEHIND: Final = (
    "something stands behind its end; open it and save it again as a plain file",
    "文件结尾之后还有其他内容；请用看图软件另存一份",
)


def check_jpeg(data: bytes) -> None:
    """Walk the segments of a JPEG (ITU-T T.81, annex B). Raises _Refused."""
    if not data.startswith(b"\xff\xd8\xff"):
        raise _Refused("it is no JPEG", "不是 JPEG 文件")
    place, framed = 2, False
    for _ in range(CHUNKS_MAX):
        # Fill bytes may stand before a marker.
        while data[place : place + 2] == b"\xff\xff":
            place += 1
        marker = data[place + 1] if len(data) >= place + 2 and data[place] == 0xFF else -1
        if marker == 0xD9:
            if data[place + 2 :].strip(b"\0"):
                raise _Refused(*_BEHIND)
            if not framed:
                raise _Refused("it holds no picture", "文件中没有图像")
            return
        if marker in _BARE_MARKERS:
            place += 2
            continue
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker < 0xC0 or size < 2 or place + 2 + size > len(data):
            raise _Refused("it breaks off, or is none", "文件不完整或已损坏")
        if marker in _FRAME_MARKERS:
            framed = True
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            _check_pixels(int.from_bytes(data[place + 7 : place + 9], "big"), height)
        place += 2 + size
        if marker == 0xDA:
            place = _scan_end(data, place)
    raise _Refused(f"it has more than {CHUNKS_MAX} segments", f"数据段多于 {CHUNKS_MAX} 个")


def _scan_end(data: bytes, place: int) -> int:
    """Where coded data ends: at the next marker that is neither a stuffed byte nor a restart."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise _Refused("it breaks off", "文件不完整")
        if data[place + 1] == 0 or 0xD0 <= data[place + 1] <= 0xD7:
            place += 2
        elif data[place + 1] == 0xFF:
            place += 1
        else:
            return place


def _check_pixels(width: int, height: int) -> None:
    if not 1 <= width * height <= IMAGE_PIXELS_MAX:
        raise _Refused(
            f"a picture has 1 to {IMAGE_PIXELS_MAX} pixels, not {width} × {height}",
            f"图像须为 1 至 {IMAGE_PIXELS_MAX} 像素，实际 {width}×{height}；请缩小后重试",
        )
