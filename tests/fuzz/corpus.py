"""The kept corpus: small inputs that reach something, one file each, in `tests/fuzz/corpus/<target>`.

Rule: a file's name is the hash of its bytes, so that the same find is kept once. Seeds are made by code and are not kept; what is
kept was found. What a run finds lies under `build/fuzz` until `--keep` takes the best of it in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from tests.fuzz.target import Target

KEPT: Final = Path(__file__).parent / "corpus"
BUILD: Final = Path("build") / "fuzz"
CRASHES: Final = BUILD / "crashes"
KEPT_INPUTS_MAX: Final = 60
KEPT_INPUT_SIZE_BYTES_MAX: Final = 2048
KEPT_SIZE_BYTES_MAX: Final = 24 * 1024


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@lru_cache(maxsize=64)
def seeds(name: str) -> tuple[bytes, ...]:
    """Inputs that the target's own code makes."""
    from tests.fuzz.registry import TARGETS

    target = TARGETS[name]
    return tuple(dict.fromkeys(one for one in target.seeds() if len(one) <= target.size_bytes_max))


def kept(name: str) -> list[bytes]:
    """Inputs in the kept corpus."""
    folder = KEPT / name
    return [path.read_bytes() for path in sorted(folder.glob("*"))] if folder.is_dir() else []


def inputs(target: Target) -> list[bytes]:
    """Seeds and kept inputs."""
    return list(dict.fromkeys([*seeds(target.name), *kept(target.name)]))


def save(folder: Path, data: bytes, prefix: str = "") -> Path:
    """Write an input into a folder under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{prefix}{name_of(data)}"
    path.write_bytes(data)
    return path


def keep(target: Target, candidates: Iterable[bytes]) -> int:
    """Replace the kept corpus of a target by the smallest of the candidates that are no seeds; how many were kept."""
    folder = KEPT / target.name
    for path in folder.glob("*") if folder.is_dir() else ():
        path.unlink()
    known = set(seeds(target.name))
    chosen = sorted({one for one in candidates if one not in known}, key=lambda one: (len(one), one))
    size_bytes = count = 0
    for one in chosen[:KEPT_INPUTS_MAX]:
        if len(one) > KEPT_INPUT_SIZE_BYTES_MAX or size_bytes + len(one) > KEPT_SIZE_BYTES_MAX:
            break
        save(folder, one)
        size_bytes += len(one)
        count += 1
    return count
