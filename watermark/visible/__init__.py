"""The visible tier: words tiled faintly over a marked copy, and a code that leads to its record.

Rule: it deters and proves nothing. It is drawn on the marked file, hides nothing (what lies below gets darker in proportion and
stays legible), and detection never looks at it. The same arguments give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from watermark.errors import PolicyInvalid
from watermark.limits import FILE_BYTES_MAX, VISIBLE_CODE_BYTES_MAX, VISIBLE_WORDS_CHARS_MAX, within
from watermark.pdf import PDF
from watermark.rasters import JPEG, PNG, TIFF, WEBP
from watermark.results import Marked, Words
from watermark.visible.pages import draw_on_pdf
from watermark.visible.pictures import draw_on_picture
from watermark.visible.stencils import Stencil, code_modules, words_stencil

__all__ = ["VISIBLE_MEDIA", "Drawn", "VisibleTier", "draw", "with_tier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleTier:
    """What is drawn.

    Attributes:
        words: tiled over every page, for example who got the copy and when; one line.
        code: text of the QR code, printable ASCII; empty for none.
    """

    words: str
    code: str = ""

    def __post_init__(self) -> None:
        if not self.words.strip() or not self.words.isprintable():
            raise PolicyInvalid(
                reason="the words of the visible tier are empty, or more than one printable line"
            )
        if self.code and not (self.code.isascii() and self.code.isprintable()):
            raise PolicyInvalid(reason="the code of the visible tier is not printable ASCII")
        within("VISIBLE_WORDS_CHARS_MAX", VISIBLE_WORDS_CHARS_MAX, len(self.words))
        within("VISIBLE_CODE_BYTES_MAX", VISIBLE_CODE_BYTES_MAX, len(self.code))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A file with its visible tier.

    Attributes:
        data: the file.
        differences: what a reader sees that the original does not show.
        notes: what could not be drawn, and why.
    """

    data: bytes
    differences: tuple[Words, ...]
    notes: tuple[Words, ...]


def draw(data: bytes, media_type: str, tier: VisibleTier) -> Drawn:
    """Draw the tier on a marked file.

    Args:
        data: what `watermark.embed` gave.
        media_type: of the file; one that is not of `VISIBLE_MEDIA` comes back unchanged.
        tier: what is drawn.

    Raises:
        WatermarkError: the file cannot be read, or became too large; the font is not installed.
    """
    surface = _SURFACES.get(media_type)
    if surface is None:
        return Drawn(data=data, differences=(), notes=(_NO_SURFACE,))
    code = code_modules(tier.code) if tier.code else None
    drawn, with_code = surface(data, media_type, words_stencil(tier.words), code)
    within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(drawn))
    if drawn == data:
        return Drawn(data=data, differences=(), notes=(_TOO_SMALL,))
    return Drawn(
        data=drawn,
        differences=(
            Words(
                f"页面上平铺有浅色文字“{tier.words}”{'，并有一枚二维码' if with_code else ''}；不遮盖任何内容，也不作为追溯依据",
                f"the words “{tier.words}” are tiled faintly over each page{', with a QR code' if with_code else ''}; "
                "they hide nothing, and no trace relies on them",
            ),
        ),
        notes=() if with_code or code is None else (_NO_CODE,),
    )


def with_tier(marked: Marked, media_type: str, tier: VisibleTier) -> Marked:
    """A marked copy with the tier drawn on it, and its manifest saying so; raises as `draw` does."""
    drawn = draw(marked.data, media_type, tier)
    manifest = replace(
        marked.manifest,
        differences=(*marked.manifest.differences, *drawn.differences),
        notes=(*marked.manifest.notes, *drawn.notes),
    )
    return Marked(data=drawn.data, manifest=manifest)


_NO_SURFACE: Final = Words(
    "该类文件没有可绘制的页面，未加可见水印", "this kind of file has no page to draw a visible tier on"
)
_TOO_SMALL: Final = Words("图像太小，未加可见水印", "the picture is too small for a visible tier")
_NO_CODE: Final = Words(
    "没有足够大的空白处，未加二维码", "there is no empty place that is large enough for the QR code"
)

_Surface = Callable[[bytes, str, Stencil, Stencil | None], tuple[bytes, bool]]
_SURFACES: Final[Mapping[str, _Surface]] = {
    PDF: draw_on_pdf,
    PNG: draw_on_picture,
    JPEG: draw_on_picture,
    WEBP: draw_on_picture,
    TIFF: draw_on_picture,
}
VISIBLE_MEDIA: Final = frozenset(_SURFACES)
"""Media types that have pages or pixels."""
