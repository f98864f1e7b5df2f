"""What a leaked file says in plain text: between the child that reads it and the node that asks.

Rule: plain values with bounds, and nothing that parses.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

TEXT_CHARS_READ_MAX: Final = 200_000


class LeakText(Struct, frozen=True, kw_only=True):
    """What was read.

    Attributes:
        media_type: by the file's content; empty where it is of no kind that is read.
        text: of the text layer; with `attached` at most `TEXT_CHARS_READ_MAX` characters. What belongs together stands in one line.
        codes: texts of QR codes.
        attached: texts of files inside it.
        truncated: a limit was reached, and there is more in the file.
        note: why nothing, or not all, could be read; for people.
    """

    media_type: str = ""
    text: str = ""
    codes: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    truncated: bool = False
    note: str = ""
