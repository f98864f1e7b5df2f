"""Pictures inside a PDF, marked as pictures.

Rule: only the samples of a picture change: its size, colour space, mask and place stay. A JPEG stays a JPEG with its
own quantisation tables, so that it hardly grows; a picture without loss is left alone when its marks would make the
file grow more than it may. Every picture has a code of its own, derived from the release's seed.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pikepdf
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

from watermark import align, chips
from watermark.chips import F64, U8, ChipGrid
from watermark.errors import MediaTooLarge
from watermark.evidence import BitEvidence
from watermark.images import AMPLITUDE_LEVELS, add_chips, psnr_db, read_chips
from watermark.keys import derive
from watermark.limits import FILE_BYTES_MAX, IMAGE_PIXELS_MAX, IMAGE_SIDE_PIXELS_MIN, PDF_IMAGES_MAX
from watermark.payload import CODE_POSITIONS, biases, codeword
from watermark.pdf_streams import decoded, filters_of
from watermark.pdf_text import Key, Text
from watermark.policy import Channel
from watermark.rasters import check_jpeg_scans

SIDE_PIXELS_MIN: Final = 2 * IMAGE_SIDE_PIXELS_MIN
_COMPONENTS: Final = {"/DeviceGray": 1, "/CalGray": 1, "/DeviceRGB": 3, "/CalRGB": 3}
_JPEG: Final = "/DCTDecode"
_MODES: Final = {1: "L", 3: "RGB"}
_LUMA: Final = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class SeededEvidence:
    """The evidence of a code of its own: scored with seeds derived from the releases' seeds.

    Attributes:
        inner: evidence about the derived code.
        label: what the code is derived for.
    """

    inner: BitEvidence
    label: bytes

    @property
    def channel(self) -> Channel:
        return self.inner.channel

    @property
    def carriers(self) -> int:
        return self.inner.carriers

    @property
    def ways(self) -> int:
        return self.inner.ways

    def score(self, seeds: Sequence[bytes]) -> F64:
        return self.inner.score([picture_seed(seed, self.label) for seed in seeds])

    def score_max(self) -> F64:
        return self.inner.score_max()

    def cumulant(self, lambdas: F64) -> F64:
        return self.inner.cumulant(lambdas)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that can be marked.

    Attributes:
        index: among the document's pictures, in the order of first use.
        key: of the object.
        stream: the object.
        samples: height × width × (1 or 3).
        jpeg: the file, when it is a JPEG; empty otherwise.
    """

    index: int
    key: Key
    stream: Any
    samples: U8
    jpeg: bytes

    @property
    def label(self) -> bytes:
        return b"picture/%d" % self.index

    @property
    def grey(self) -> U8:
        """Luma."""
        mix = _LUMA if self.samples.shape[2] == 3 else np.ones(1)
        return np.clip(np.rint(self.samples @ mix), 0, 255).astype(np.uint8)

    def grid(self, layout_key: bytes) -> ChipGrid:
        """Its chips."""
        rows, columns = chips.grid_shape(*self.samples.shape[:2])
        return ChipGrid.keyed(layout_key, self.label.decode("ascii"), rows, columns)


def picture_seed(seed: bytes, label: bytes) -> bytes:
    """The seed of one picture's code."""
    return derive(seed, "pdf-picture", label)


def pictures(document: pikepdf.Pdf, text: Text) -> Iterable[Picture]:
    """The pictures that the pages draw and that can be marked, in the order of first use."""
    keys = dict.fromkeys(drawn.key for page in text.pages for drawn in page.drawn)
    pixels = 0
    for index, key in enumerate(list(keys)[:PDF_IMAGES_MAX]):
        stream = document.get_object(key) if key != (0, 0) else None
        if not isinstance(stream, Stream):
            continue
        width, height = int(stream.get(Name.Width, 0)), int(stream.get(Name.Height, 0))
        if min(width, height) < SIDE_PIXELS_MIN or pixels + width * height > IMAGE_PIXELS_MAX:
            continue
        jpeg = filters_of(stream)[-1:] == [_JPEG]
        file = _jpeg(stream) if jpeg else b""
        found = _opened(file, (width, height)) if jpeg else _plain(stream, width, height)
        components = _components(stream.get(Name.ColorSpace))
        if found is not None and found.shape == (height, width, components):
            pixels += width * height
            yield Picture(index, key, stream, found, file)


def mark(
    picture: Picture, layout_key: bytes, seed: bytes, strength: float, growth_max: int
) -> tuple[int, int, float] | None:
    """Mark a picture in its document.

    Args:
        picture: of an open document.
        layout_key: 32 bytes.
        seed: the release's.
        strength: of the policy.
        growth_max: bytes by which the file may grow for it.

    Returns:
        Carriers, bytes by which the file grows, and PSNR; None when it was left alone.
    """
    grid = picture.grid(layout_key)
    bits = codeword(picture_seed(seed, picture.label), Channel.PIXELS, biases(layout_key, Channel.PIXELS))
    field = chips.field(grid.signs(bits), *picture.samples.shape[:2])
    amplitude = np.full(picture.samples.shape[:2], AMPLITUDE_LEVELS, np.float32)
    colour = add_chips(picture.samples, field, amplitude, strength)
    after = _jpeg_again(picture.jpeg, colour) if picture.jpeg else zlib.compress(colour.tobytes(), 9)
    growth = len(after) - len(picture.stream.read_raw_bytes())
    if growth > growth_max:
        return None
    height, width = picture.samples.shape[:2]
    stored = _opened(after, (width, height)) if picture.jpeg else colour
    if stored is None:
        return None
    picture.stream.write(after, filter=Name.DCTDecode if picture.jpeg else Name.FlateDecode)
    return int(grid.position.size), growth, psnr_db(picture.samples, stored)


def read(picture: Picture, layout_key: bytes, leak: U8, alignment: align.Alignment) -> F64:
    """Sums of the code positions of a picture that shows in an aligned leak."""
    grid = picture.grid(layout_key)
    return grid.gather(read_chips(leak, picture.grey, alignment, *grid.position.shape))


def evidence(picture: Picture, layout_key: bytes, sums: F64) -> SeededEvidence:
    """Evidence of a picture's own code."""
    thresholds = biases(layout_key, Channel.PIXELS, CODE_POSITIONS)[: len(sums)]
    return SeededEvidence(BitEvidence(Channel.PIXELS, thresholds, chips.soft_bits(sums)), picture.label)


def placed(page_alignment: align.Alignment, to_page: F64, picture: Picture) -> align.Alignment:
    """Where the picture lies on the leak.

    Args:
        page_alignment: of the leak on the page's raster.
        to_page: 2 × 3, unit square (y up) → page raster, pixel corners at whole numbers.
        picture: whose pixels.
    """
    height, width = picture.samples.shape[:2]
    # Pixel centre (i, j) of the picture stands at ((i + ½) / width, 1 − (j + ½) / height) of the unit square.
    inner = np.array([[1 / width, 0, 0.5 / width], [0, -1 / height, 1 - 0.5 / height], [0, 0, 1]])
    on_page = np.vstack((to_page, [0, 0, 1])) @ inner
    on_page[:2, 2] -= 0.5
    matrix = (np.vstack((page_alignment.matrix, [0, 0, 1])) @ on_page)[:2]
    return align.Alignment(matrix, page_alignment.correlation, page_alignment.method)


def _jpeg(stream: Any) -> bytes:
    """The JPEG file of a stream; empty when it is none that can be marked."""
    if int(stream.get(Name.BitsPerComponent, 8)) != 8:
        return b""
    try:
        return decoded(stream, FILE_BYTES_MAX, but=_JPEG) or b""
    except MediaTooLarge:
        return b""


def _opened(data: bytes, size: tuple[int, int]) -> U8 | None:
    """The samples of a JPEG of this width and height; None when it is another, or cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_jpeg_scans(data)
            image = Image.open(io.BytesIO(data), formats=["JPEG"])
            # What the file itself says is decoded; what the stream says was counted.
            if image.mode not in {"L", "RGB"} or image.size != size:
                return None
            samples = np.asarray(image, dtype=np.uint8)
    except (
        OSError,
        ValueError,
        SyntaxError,
        KeyError,
        TypeError,
        IndexError,
        Image.DecompressionBombError,
        MediaTooLarge,
    ):
        return None
    return samples.reshape(samples.shape[0], samples.shape[1], -1)


def _jpeg_again(before: bytes, colour: U8) -> bytes:
    """With the tables of the file as it was."""
    old: Any = Image.open(io.BytesIO(before), formats=["JPEG"])
    sampling: dict[str, Any] = {}
    out = io.BytesIO()
    image = Image.fromarray(colour[:, :, 0] if colour.shape[2] == 1 else np.ascontiguousarray(colour))
    layers = getattr(old, "layer", [])
    if colour.shape[2] == 3 and layers:
        sampling = {"subsampling": _sampling(layers)}
    image.save(
        out,
        "JPEG",
        qtables=old.quantization,
        optimize=True,
        progressive=bool(old.info.get("progressive")),
        **sampling,
    )
    return out.getvalue()


def _sampling(layers: Sequence[Sequence[int]]) -> str:
    horizontal, vertical = int(layers[0][1]), int(layers[0][2])
    return {(1, 1): "4:4:4", (2, 1): "4:2:2"}.get((horizontal, vertical), "4:2:0")


def _plain(stream: Any, width: int, height: int) -> U8 | None:
    components = _components(stream.get(Name.ColorSpace))
    if int(stream.get(Name.BitsPerComponent, 0)) != 8 or not components or stream.get(Name.ImageMask):
        return None
    size = width * height * components
    try:
        data = decoded(stream, size + 4096)
    except MediaTooLarge:
        return None
    if data is None or len(data) < size:
        return None
    return np.frombuffer(data[:size], np.uint8).reshape(height, width, components)


def _components(space: Any) -> int:
    """Samples of a pixel; 0 for colour spaces whose samples are not light."""
    if isinstance(space, Name):
        return _COMPONENTS.get(str(space), 0)
    if isinstance(space, Array) and len(space) >= 2 and isinstance(space[0], Name):
        if str(space[0]) == "/ICCBased" and isinstance(space[1], Dictionary | Stream):
            number = int(space[1].get(Name.N, 0))
            return number if number in _MODES else 0
        return _COMPONENTS.get(str(space[0]), 0)
    return 0
