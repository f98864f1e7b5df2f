"""Where the glyphs of a PDF's text stand: a walk over content streams that keeps the text state.

Rule: the walk is a function of the document alone, and original and leak are walked alike, so that what it does not
know (a width, say) is unknown in both and cancels. A stream that cannot be followed is left out whole.

Source: ISO 32000-2, 8.4 (graphics state), 9.3 (text state), 9.4 (text objects), 8.10 (form XObjects).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream

from watermark.limits import (
    PDF_CONTENT_BYTES_MAX,
    PDF_FORM_DEPTH_MAX,
    PDF_FORMS_DRAWN_MAX,
    PDF_GLYPHS_MAX,
    PDF_GRAPHICS_STATES_MAX,
    PDF_OPERATORS_MAX,
    within,
)
from watermark.pdf_fonts import UNKNOWN, Font, read_font
from watermark.pdf_lexer import ContentMalformed, Kind, Operation, Token, numbers, operations, string
from watermark.pdf_streams import decoded

MM_PER_POINT: Final = 25.4 / 72
Matrix = tuple[float, float, float, float, float, float]
Key = tuple[int, int]
"""A content: (page, −1) for a page's own, (object, generation) of a form."""

_IDENTITY: Final[Matrix] = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
_INVISIBLE: Final = 3
_CLIPPING_FROM: Final = 4
_GAP_EM: Final = 0.12
"""A wider gap parts two words."""
_SHOWING: Final = frozenset({b"Tj", b"TJ", b"'", b'"'})


def times(first: Matrix, second: Matrix) -> Matrix:
    """The map that applies `first`, then `second`."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


@dataclass(slots=True)
class Show:
    """One operator that shows text.

    Attributes:
        key: the content that it stands in.
        start: of its bytes there.
        end: of its bytes there.
        name: `Tj`, `TJ`, `'` or `"`.
        spacing: for `"`, the bytes of its two numbers.
        hexadecimal: whether its string was written so.
        codes: of its glyphs.
        before: of each glyph, the adjustments of `TJ` before it, in thousandths of the text space.
        after: those behind the last glyph.
        places: of each glyph, where it begins on the page, in points of the displayed unrotated user space.
        words: of each glyph, whether a gap stands before it.
        spaces: of each glyph, whether it is a space.
        wide: of each glyph, whether it fills a square.
        direction: of writing on the page, length 1.
        mm_per_unit: how far a glyph moves on paper for one thousandth of the text space.
        em_mm: size of the font on paper.
        hidden: neither filled nor stroked.
        continued: the next text is placed where this one ends.
    """

    key: Key
    start: int
    end: int
    name: bytes
    spacing: bytes
    hexadecimal: bool
    codes: list[bytes]
    before: list[float]
    after: float
    places: list[tuple[float, float]]
    words: list[bool]
    spaces: list[bool]
    wide: list[bool]
    direction: tuple[float, float]
    mm_per_unit: float
    em_mm: float
    hidden: bool
    continued: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture on a page: which object, and the map of the unit square to the page's user space."""

    key: Key
    matrix: Matrix


@dataclass(slots=True)
class Content:
    """A content that was followed.

    Attributes:
        key: which.
        data: decoded bytes.
        shows: the operators that show text, as they stand in it.
        forms: places of the operators that draw forms which were followed.
        owner: the page's or form's object.
    """

    key: Key
    data: bytes
    shows: list[Show]
    forms: list[tuple[int, int]]
    owner: Any


@dataclass(slots=True)
class PageText:
    """The text of a page as it is drawn: its own and that of its forms, in order.

    Attributes:
        index: of the page.
        unit: of its user space, in points.
        shows: that show text; those of a form drawn twice stand here twice.
        drawn: pictures.
        forms: how many forms were drawn.
    """

    index: int
    unit: float
    shows: list[Show] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    forms: int = 0


@dataclass(slots=True)
class Text:
    """The text of a document.

    Attributes:
        contents: by key, each once, in the order of first use.
        pages: one a page.
    """

    contents: dict[Key, Content]
    pages: list[PageText]


@dataclass(frozen=True, slots=True)
class _State:
    ctm: Matrix = _IDENTITY
    font: Font = field(default_factory=lambda: UNKNOWN)
    size: float = 0.0
    char_space: float = 0.0
    word_space: float = 0.0
    stretch: float = 1.0
    leading: float = 0.0
    rise: float = 0.0
    mode: int = 0


class Walk:
    """Follows the contents of one document.

    Args:
        document: open.
        pages_max: pages followed, from the first.
    """

    def __init__(self, document: pikepdf.Pdf, pages_max: int) -> None:
        self._document = document
        self._pages_max = pages_max
        self._fonts: dict[Key, Font] = {}
        self._bytes_left = PDF_CONTENT_BYTES_MAX
        self._operators = 0
        self._glyphs = 0
        self._forms: dict[Key, tuple[bytes, list[Operation]] | None] = {}
        self.text = Text({}, [])

    def run(self) -> Text:
        """Follow every page. Raises MediaTooLarge."""
        for index, page in enumerate(self._document.pages):
            if index >= self._pages_max:
                break
            known = PageText(index, float(page.obj.get(Name.UserUnit, 1)))
            self.text.pages.append(known)
            parsed = self._parsed(self._page_content(page))
            if parsed is not None:
                stream = _Stream(self, known, (index, -1), page.obj, page.resources, parsed, 0)
                stream.follow(_State())
        return self.text

    def form(self, form: Stream) -> tuple[bytes, list[Operation]] | None:
        """A form's content, parsed once."""
        key = form.objgen
        if key not in self._forms:
            self._forms[key] = self._parsed(decoded(form, self._bytes_left))
        return self._forms[key]

    def font(self, resources: Any, name: str) -> Font:
        """The font of this name."""
        fonts = resources.get(Name.Font) if isinstance(resources, Dictionary) else None
        found = fonts.get(name) if isinstance(fonts, Dictionary) else None
        return self.font_of(found)

    def font_of(self, found: Any) -> Font:
        """The font of a font dictionary."""
        if not isinstance(found, Dictionary):
            return UNKNOWN
        key = found.objgen
        if key == (0, 0):
            return read_font(found)
        if key not in self._fonts:
            self._fonts[key] = read_font(found)
        return self._fonts[key]

    def count_glyphs(self, number: int) -> None:
        self._glyphs += number
        within("PDF_GLYPHS_MAX", PDF_GLYPHS_MAX, self._glyphs)

    def count_operations(self, number: int) -> None:
        self._operators += number
        within("PDF_OPERATORS_MAX", PDF_OPERATORS_MAX, self._operators)

    def _page_content(self, page: pikepdf.Page) -> bytes | None:
        contents = page.obj.get(Name.Contents)
        parts = list(contents) if isinstance(contents, Array) else [contents]
        unpacked = []
        left = self._bytes_left
        for part in parts:
            if not isinstance(part, Stream):
                continue
            data = decoded(part, left)
            if data is None:
                return None
            left -= len(data)
            unpacked.append(data)
        return b"\n".join(unpacked) if unpacked else None

    def _parsed(self, data: bytes | None) -> tuple[bytes, list[Operation]] | None:
        if data is None:
            return None
        self._bytes_left -= len(data)
        found: list[Operation] = []
        try:
            for operation in operations(data):
                self.count_operations(1)
                if operation.name:
                    found.append(operation)
        except ContentMalformed:
            return None
        return data, found


class _Stream:
    """One content as it is drawn once."""

    def __init__(
        self,
        walk: Walk,
        page: PageText,
        key: Key,
        owner: Any,
        resources: Any,
        parsed: tuple[bytes, list[Operation]],
        depth: int,
    ) -> None:
        self._walk, self._page, self._key = walk, page, key
        self._resources, self._depth = resources, depth
        self._data, self._operations = parsed
        self._shows: list[Show] = []
        self._followed: list[tuple[int, int]] = []
        self._owner = owner
        self._state = _State()
        self._saved: list[_State] = []
        self._matrix = self._line = _IDENTITY
        self._x = 0.0
        self._open: Show | None = None
        self._after = 0.0
        self._end: tuple[float, float] | None = None

    def follow(self, state: _State) -> None:
        """Draw; a stream that breaks the rules of the state is forgotten whole."""
        self._state = state
        self._walk.count_operations(len(self._operations))
        shown, drawn = len(self._page.shows), len(self._page.drawn)
        try:
            for operation in self._operations:
                self._operate(operation)
        except (ContentMalformed, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
            del self._page.shows[shown:], self._page.drawn[drawn:]
            return
        contents = self._walk.text.contents
        if self._key not in contents:
            contents[self._key] = Content(self._key, self._data, self._shows, self._followed, self._owner)

    def _operate(self, operation: Operation) -> None:
        name = operation.name
        if name in _SHOWING:
            self._show(operation)
            return
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(self, operation)

    def _numbers(self, operation: Operation, count: int) -> list[float]:
        found = [
            value
            for token in operation.operands
            if token.kind is Kind.NUMBERS
            for value in numbers(self._data, token)
        ]
        if len(found) < count:
            raise ContentMalformed(f"{operation.name!r} lacks operands")
        return found[-count:]

    def _name(self, operation: Operation) -> str:
        names = [token for token in operation.operands if token.kind is Kind.NAME]
        if not names:
            raise ContentMalformed(f"{operation.name!r} lacks a name")
        return _plain_name(self._data[names[0].start : names[0].end])

    def save(self, _: Operation) -> None:
        if len(self._saved) >= PDF_GRAPHICS_STATES_MAX:
            raise ContentMalformed("too many saved states")
        self._saved.append(self._state)

    def restore(self, _: Operation) -> None:
        if self._saved:
            self._state = self._saved.pop()

    def concatenate(self, operation: Operation) -> None:
        matrix: Matrix = tuple(self._numbers(operation, 6))  # type: ignore[assignment]
        self._state = replace(self._state, ctm=times(matrix, self._state.ctm))

    def begin(self, _: Operation) -> None:
        self._matrix = self._line = _IDENTITY
        self._placed()

    def set_font(self, operation: Operation) -> None:
        size = self._numbers(operation, 1)[0]
        font = self._walk.font(self._resources, self._name(operation))
        self._state = replace(self._state, font=font, size=size)

    def set_value(self, operation: Operation) -> None:
        value = self._numbers(operation, 1)[0]
        match operation.name:
            case b"Tc":
                self._state = replace(self._state, char_space=value)
            case b"Tw":
                self._state = replace(self._state, word_space=value)
            case b"Tz":
                self._state = replace(self._state, stretch=value / 100)
            case b"TL":
                self._state = replace(self._state, leading=value)
            case b"Ts":
                self._state = replace(self._state, rise=value)
            case _:
                self._state = replace(self._state, mode=int(value))

    def move(self, operation: Operation) -> None:
        x, y = self._numbers(operation, 2)
        if operation.name == b"TD":
            self._state = replace(self._state, leading=-y)
        self._line = times((1, 0, 0, 1, x, y), self._line)
        self._matrix = self._line
        self._placed()

    def set_matrix(self, operation: Operation) -> None:
        self._line = tuple(self._numbers(operation, 6))  # type: ignore[assignment]
        self._matrix = self._line
        self._placed()

    def next_line(self, _: Operation) -> None:
        self._line = times((1, 0, 0, 1, 0, -self._state.leading), self._line)
        self._matrix = self._line
        self._placed()

    def set_state(self, operation: Operation) -> None:
        states = self._resources.get(Name.ExtGState)
        chosen = states.get(self._name(operation)) if isinstance(states, Dictionary) else None
        listed = chosen.get(Name.Font) if isinstance(chosen, Dictionary) else None
        if isinstance(listed, Array) and len(listed) == 2:
            self._state = replace(self._state, font=self._walk.font_of(listed[0]), size=float(listed[1]))

    def draw(self, operation: Operation) -> None:
        """`Do`: a form is followed, a picture noted."""
        objects = self._resources.get(Name.XObject)
        chosen = objects.get(self._name(operation)) if isinstance(objects, Dictionary) else None
        if not isinstance(chosen, Stream):
            return
        if chosen.get(Name.Subtype) == Name.Image:
            if len(self._page.drawn) < PDF_FORMS_DRAWN_MAX:
                self._page.drawn.append(Drawn(chosen.objgen, self._state.ctm))
            return
        if chosen.get(Name.Subtype) != Name.Form or self._depth >= PDF_FORM_DEPTH_MAX:
            return
        self._page.forms += 1
        if self._page.forms > PDF_FORMS_DRAWN_MAX:
            return
        parsed = self._walk.form(chosen)
        if parsed is None:
            return
        matrix: Matrix = tuple(float(value) for value in chosen.get(Name.Matrix, list(_IDENTITY)))  # type: ignore[assignment]
        resources = chosen.get(Name.Resources, self._resources)
        inner = _Stream(self._walk, self._page, chosen.objgen, chosen, resources, parsed, self._depth + 1)
        self._followed.append((operation.start, operation.end))
        inner.follow(replace(self._state, ctm=times(matrix, self._state.ctm)))

    def _placed(self) -> None:
        """The next text stands where the matrix says."""
        self._x = 0.0
        self._open = None

    def _lost(self) -> None:
        """Where the next text stands is unknown, until it is placed again."""
        self._x = math.nan
        self._open = self._end = None

    def _show(self, operation: Operation) -> None:
        spacing = b""
        if operation.name == b'"':
            word, char = self._numbers(operation, 2)
            self._state = replace(self._state, word_space=word, char_space=char)
            written = [
                part
                for token in operation.operands
                if token.kind is Kind.NUMBERS
                for part in self._data[token.start : token.end].replace(b"\0", b" ").split()
            ]
            spacing = b" ".join(written[-2:])
        if operation.name in {b"'", b'"'}:
            self.next_line(operation)
        state = self._state
        if self._open is not None:
            self._open.continued = True
        elements = _elements(self._data, operation.operands)
        if state.font.vertical:
            self._lost()
            return
        codes: list[bytes] = []
        before: list[float] = []
        adjusted = 0.0
        for element in elements:
            if isinstance(element, float):
                adjusted += element
                continue
            pieces = state.font.split(element)
            if pieces is None:
                self._lost()
                return
            for piece in pieces:
                codes.append(piece)
                before.append(adjusted)
                adjusted = 0.0
        self._walk.count_glyphs(len(codes))
        self._record(operation, spacing, codes, before, adjusted)

    def _record(
        self, operation: Operation, spacing: bytes, codes: list[bytes], before: list[float], after: float
    ) -> None:
        """Place the glyphs and note the operator."""
        state, font = self._state, self._state.font
        to_page = times(self._matrix, state.ctm)
        length = math.hypot(to_page[0], to_page[1])
        unit = state.size * state.stretch / 1000
        mm = length * MM_PER_POINT * self._page.unit
        if not codes or not (1e-9 < length < 1e9 and 1e-9 < abs(unit) < 1e9):
            self._lost()
            return
        sign = 1.0 if unit > 0 else -1.0
        gap_max = _GAP_EM * abs(unit) * 1000
        spread = state.char_space * state.stretch * sign
        carried = math.inf if self._open is None else -self._after * abs(unit) + spread
        places, words, spaces, wide = [], [], [], []
        x = self._x
        for code, adjust in zip(codes, before, strict=True):
            x -= adjust * unit
            place = _moved(to_page, x, state.rise)
            gap = carried - adjust * abs(unit)
            if math.isinf(carried) and self._end is not None:
                gap = math.dist(place, self._end) / length
            words.append(not -4 * gap_max < gap < gap_max)
            carried = spread
            places.append(place)
            spaces.append(font.is_space(code))
            wide.append(font.is_wide(code))
            x += (font.width(code) or 0.0) * unit + state.char_space * state.stretch
            if code == b" ":
                x += state.word_space * state.stretch
        self._x, self._after = x - after * unit, after
        self._end = None if font.width(codes[-1]) is None else _moved(to_page, x, state.rise)
        show = Show(
            self._key,
            operation.start,
            operation.end,
            operation.name,
            spacing,
            any(token.kind is Kind.HEX for token in operation.operands),
            codes,
            before,
            after,
            places,
            words,
            spaces,
            wide,
            (sign * to_page[0] / length, sign * to_page[1] / length),
            abs(unit) * mm,
            abs(state.size) * mm,
            state.mode == _INVISIBLE,
        )
        self._open = show
        if state.mode < _CLIPPING_FROM:
            self._shows.append(show)
            self._page.shows.append(show)


_HANDLERS: Final[dict[bytes, Callable[[_Stream, Operation], None]]] = {
    b"q": _Stream.save,
    b"Q": _Stream.restore,
    b"cm": _Stream.concatenate,
    b"BT": _Stream.begin,
    b"Tf": _Stream.set_font,
    b"Td": _Stream.move,
    b"TD": _Stream.move,
    b"Tm": _Stream.set_matrix,
    b"T*": _Stream.next_line,
    b"gs": _Stream.set_state,
    b"Do": _Stream.draw,
    **dict.fromkeys((b"Tc", b"Tw", b"Tz", b"TL", b"Ts", b"Tr"), _Stream.set_value),
}


def _moved(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    return (x * matrix[0] + y * matrix[2] + matrix[4], x * matrix[1] + y * matrix[3] + matrix[5])


def _elements(data: bytes, operands: tuple[Token, ...]) -> list[bytes | float]:
    """Strings and adjustments of a showing operator, in order."""
    inside = any(token.kind is Kind.OPEN for token in operands)
    elements: list[bytes | float] = []
    for token in operands:
        if token.kind in {Kind.LITERAL, Kind.HEX}:
            elements.append(string(data, token))
        elif token.kind is Kind.NUMBERS and inside:
            elements.extend(numbers(data, token))
    return elements


def _plain_name(raw: bytes) -> str:
    """A name as pikepdf has it: `#xx` resolved."""
    if b"#" not in raw:
        return raw.decode("latin-1")
    parts = raw.split(b"#")
    out = parts[0]
    for part in parts[1:]:
        try:
            out += bytes.fromhex(part[:2].decode("ascii")) + part[2:]
        except ValueError:
            out += b"#" + part
    return out.decode("utf-8", "surrogateescape")
