"""A part of a file, for a download that broke off.

Rule: one range of bytes; whatever else is asked for is answered with the whole.

Source: RFC 9110, clause 14.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from node.http.problems import Answer

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def part_of(request: web.Request, answer: Answer) -> Answer:
    """The part of an answer that `Range` asks for: 206, 416 where there is none, else the whole."""
    if answer.status != 200:
        return answer
    headers = {**answer.headers, "Accept-Ranges": "bytes"}
    whole = Answer(status=200, headers=headers, body=answer.body)
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    condition = request.headers.get("If-Range")
    if match is None or not (match[1] or match[2]) or (condition and condition != headers.get("ETag")):
        return whole
    size = len(answer.body)
    if match[1]:
        first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first > last or first >= size:
        if match[1] and match[2] and int(match[1]) > int(match[2]):
            return whole
        return Answer(
            status=416,
            headers={
                **headers,
                "Content-Range": f"bytes */{size}",
                "Content-Type": "application/octet-stream",
            },
            body=b"",
        )
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Answer(status=206, headers=headers, body=answer.body[first : last + 1])
