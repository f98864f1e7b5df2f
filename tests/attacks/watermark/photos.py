"""Photographs, as they are shipped in scikit-image, which is installed beside the other tools.

Rule: where they are not installed the campaign says so and draws textures in their place; no photograph is in this project.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

FOLDERS: Final = "lib/python3*/site-packages/skimage/data"
NAMES: Final = (
    "astronaut.png",
    "retina.jpg",
    "coffee.png",
    "motorcycle_left.png",
    "chelsea.png",
    "hubble_deep_field.jpg",
    "rocket.jpg",
    "gravel.png",
    "ihc.png",
    "camera.png",
    "grass.png",
    "brick.png",
    "moon.png",
    "coins.png",
)
_KEPT_MIN: Final = 0.8


@cache
def folder() -> Path | None:
    """Where the photographs lie; None where they are not installed."""
    return next(iter(sorted(Path("build/peers").glob(FOLDERS))), None)


def photograph(number: int) -> tuple[str, npt.NDArray[np.uint8]] | None:
    """A photograph of 0.1 to 2.0 MP, RGB: each first as it is, then other parts of it, also mirrored.

    Args:
        number: any; the photographs go round.

    Returns:
        Its name and pixels; None where none is installed.
    """
    found = folder()
    if found is None:
        return None
    name, turn = NAMES[number % len(NAMES)], number // len(NAMES)
    read = cv2.imread(str(found / name), cv2.IMREAD_COLOR)
    pixels = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)
    if turn == 0:
        return f"{name} {pixels.shape[1]}×{pixels.shape[0]}", pixels
    rng = np.random.default_rng([7, number])
    height, width = (round(side * rng.uniform(_KEPT_MIN, 1.0)) for side in pixels.shape[:2])
    top, left = (
        int(rng.integers(0, whole - side + 1))
        for whole, side in zip(pixels.shape, (height, width), strict=False)
    )
    part = pixels[top : top + height, left : left + width]
    mirrored = part[:, ::-1] if turn % 2 else part
    return f"part of {name} {width}×{height}", np.ascontiguousarray(mirrored)
