"""Which pixel of a rendered page belongs to which glyph: the renderer is asked.

Rule: a copy of the document is drawn in which every glyph has a colour of its own and nothing else is drawn. It serves
detection only and never leaves the process.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Final

import pikepdf
from pikepdf import Name

from watermark.pdf_carriers import Glyph
from watermark.pdf_lexer import hexadecimal, number, operations
from watermark.pdf_text import Content, Key, Show, Text

LABELS_MAX: Final = (1 << 24) - 1
"""Colours of 24 bits; white is nobody's."""
_KEPT: Final = frozenset(b"q Q cm BT ET Tf Tc Tw Tz TL Ts Td TD Tm T* BMC BDC EMC".split())


def labelled(document: pikepdf.Pdf, text: Text, pages: Sequence[int]) -> tuple[bytes, dict[Key, list[int]]]:
    """Draw these pages in labels.

    Args:
        document: the original, open; it is changed.
        text: of it.
        pages: indexes of those wanted; all others are dropped.

    Returns:
        The document with these pages alone, and for each content the label of each show's first glyph.
    """
    first: dict[Key, list[int]] = {}
    used = {show.key for index in pages for show in text.pages[index].shows}
    used |= {(index, -1) for index in pages}
    label = 0
    for key, content in text.contents.items():
        if key[1] >= 0:
            used.add(key)
        if key not in used:
            continue
        first[key] = []
        for show in content.shows:
            first[key].append(label)
            label += len(show.codes)
        data = zlib.compress(_drawn(content, first[key]), 1)
        if key[1] < 0:
            content.owner[Name.Contents] = document.make_stream(data, Filter=Name.FlateDecode)
        else:
            content.owner.write(data, filter=Name.FlateDecode)
    for index in pages:
        if (index, -1) not in text.contents:
            document.pages[index].obj[Name.Contents] = document.make_stream(b"")
    kept = set(pages)
    for index in reversed(range(len(document.pages))):
        if index not in kept:
            del document.pages[index]
    out = io.BytesIO()
    document.save(out)
    return out.getvalue(), first


def _drawn(content: Content, labels: Sequence[int]) -> bytes:
    shows = {show.start: (show, label) for show, label in zip(content.shows, labels, strict=True)}
    forms = set(content.forms)
    out: list[bytes] = []
    for operation in operations(content.data):
        whole = content.data[operation.start : operation.end]
        if operation.start in shows:
            out.append(_colours(*shows[operation.start]))
        elif operation.name in _KEPT or (operation.start, operation.end) in forms:
            out.append(whole)
        elif operation.name in {b"'", b'"'}:
            out.append(b"T*")
    return b"\n".join(out)


def _colours(show: Show, label: int) -> bytes:
    parts: list[bytes] = []
    if show.name == b'"':
        word, char = show.spacing.split()[:2]
        parts.append(word + b" Tw " + char + b" Tc")
    if show.name in {b"'", b'"'}:
        parts.append(b"T*")
    parts.append(b"3 Tr" if show.hidden else b"0 Tr")
    for offset, (code, adjust) in enumerate(zip(show.codes, show.before, strict=True)):
        value = (label + offset) % LABELS_MAX
        red, green, blue = (number(channel / 255 + 0.0002) for channel in value.to_bytes(3, "big"))
        parts.append(red + b" " + green + b" " + blue + b" rg")
        step = number(adjust) if adjust else b""
        parts.append(b"[" + step + hexadecimal(code) + b"]TJ")
    if show.after:
        parts.append(b"[" + number(show.after) + b"]TJ")
    return b"\n".join(parts)


def flat(
    glyphs: dict[Key, list[list[Glyph]]], first: dict[Key, list[int]]
) -> list[tuple[int, Glyph, Key, int, int]]:
    """Label, glyph, content, show and place in it, for every glyph that moves."""
    return [
        (labels[index] + place, glyph, key, index, place)
        for key, labels in first.items()
        for index, row in enumerate(glyphs[key])
        for place, glyph in enumerate(row)
    ]
