"""Bodies that are files: handed to the handler as they come, within the route's bound and not for ever.

Rule: nothing is collected here. A sender who is silent for too long, or goes on for too long, is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import BodyPartReader, web

from node.http.decode import REASON_LENGTH_MAX
from node.http.errors import BodyIncomplete, BodyInvalid, BodyTooLarge, HeaderInvalid
from node.http.routing import Part, Route, Upload

SILENCE_S_MAX: Final = 30.0
UPLOAD_S_MAX: Final = 1800.0
PARTS_MAX: Final = 300
NAME_LENGTH_MAX: Final = 255
_CHUNK_BYTES: Final = 64 * 1024
_OFFSET_DIGITS_MAX: Final = 15


def upload_of(request: web.Request, route: Route, key: str) -> Upload:
    """A request's body for a route that takes it raw.

    Raises:
        HTTPUnsupportedMediaType: of another type than the route's.
        BodyTooLarge: announced beyond the route's bound.
        HeaderInvalid: an Upload-Offset that is no number.
    """
    if request.content_type not in route.accepts or request.headers.get("Content-Encoding"):
        raise web.HTTPUnsupportedMediaType
    if (request.content_length or 0) > route.body_bytes_max:
        raise BodyTooLarge(maximum=route.body_bytes_max)
    return Upload(
        media_type=request.content_type,
        size_bytes=request.content_length,
        offset=_offset(request.headers.get("Upload-Offset")),
        key=key,
        chunks=lambda: _chunks(request, route.body_bytes_max),
        parts=lambda: _parts(request, route.body_bytes_max),
    )


def _offset(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _OFFSET_DIGITS_MAX):
        raise HeaderInvalid(header="Upload-Offset", reason="a number of bytes is expected")
    return int(text)


class _Bound:
    """Counts what came, and the time it took."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._left = maximum
        self._deadline_s = asyncio.get_running_loop().time() + UPLOAD_S_MAX

    def timeout(self) -> asyncio.Timeout:
        now_s = asyncio.get_running_loop().time()
        return asyncio.timeout(max(0.0, min(SILENCE_S_MAX, self._deadline_s - now_s)))

    def took(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise BodyTooLarge(maximum=self._maximum)


async def _chunks(request: web.Request, maximum: int) -> AsyncIterator[bytes]:
    bound = _Bound(maximum)
    while True:
        try:
            async with bound.timeout():
                chunk = await request.content.readany()
        except TimeoutError:
            raise BodyIncomplete(reason=f"nothing came for {SILENCE_S_MAX:.0f} s") from None
        except web.RequestPayloadError as error:
            raise BodyIncomplete(reason=str(error)[:REASON_LENGTH_MAX]) from None
        if not chunk:
            return
        bound.took(len(chunk))
        yield chunk


async def _parts(request: web.Request, maximum: int) -> AsyncIterator[Part]:
    bound = _Bound(maximum)
    try:
        reader = await request.multipart()
        for _ in range(PARTS_MAX + 1):
            async with bound.timeout():
                part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader) or part.headers.get("Content-Encoding"):
                raise _malformed("a part may be neither multipart nor compressed")
            name = part.filename or ""
            if len(name) > NAME_LENGTH_MAX or any(character in name for character in "/\\\0\r\n"):
                raise _malformed("a file name may hold no slash")
            yield Part(
                name=(part.name or "")[:NAME_LENGTH_MAX],
                file_name=name,
                media_type=part.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                chunks=lambda found=part: _part_chunks(found, bound),  # type: ignore[misc]
            )
    except TimeoutError:
        raise BodyIncomplete(reason=f"nothing came for {SILENCE_S_MAX:.0f} s") from None
    except (ValueError, AssertionError, RuntimeError, web.RequestPayloadError) as error:
        raise _malformed(str(error)[:REASON_LENGTH_MAX] or "malformed") from None
    raise _malformed(f"more than {PARTS_MAX} parts")


async def _part_chunks(part: BodyPartReader, bound: _Bound) -> AsyncIterator[bytes]:
    while True:
        async with bound.timeout():
            chunk = await part.read_chunk(_CHUNK_BYTES)
        if not chunk:
            return
        bound.took(len(chunk))
        yield part.decode(chunk)


def _malformed(reason: str) -> BodyInvalid:
    return BodyInvalid(member="multipart", reason=reason, reason_zh=f"multipart 格式不正确：{reason}")
