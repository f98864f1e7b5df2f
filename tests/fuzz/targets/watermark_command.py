"""What faces the command line of the watermark engine: a file of whatever kind as original or leak.

Rule: exit code 0 with a result, or 2 with the reason in two lines; nothing else is printed and nothing else is left behind.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tests.fuzz.target import Target, require
from tests.fuzz.targets.watermark import PIXELS_MAX
from tests.unit.watermark_bombs import BOMBS, KINDS, good
from watermark.__main__ import main

_SIZE_BYTES_MAX = 16 * 1024
_SCHEMA = {
    "columns": {"id": {"key": True}, "income": {"tolerance": "0.05"}, "note": {"free_text": True}},
    "unordered": True,
}
# What a child process reads has targets of its own; starting one for each input would test little else.
_IN_CHILDREN = ("pdf", "parquet")


def run_as(role: str) -> Callable[[bytes], None]:
    """Gives the input to the command as original of a copy, as leak, or as the original of a leak."""

    def run(data: bytes) -> None:
        if b"%PDF-" in data[:1024] or data.startswith(b"PAR1"):
            return
        with TemporaryDirectory() as name, patch("watermark.rasters.IMAGE_PIXELS_MAX", PIXELS_MAX):
            meet(Path(name), role, data)

    return run


def meet(desk: Path, role: str, data: bytes) -> None:
    for name, content in (
        ("key", b"k" * 32),
        ("schema", json.dumps(_SCHEMA).encode()),
        ("ids", b"00000000000000a1\n"),
        ("case", data),
        ("beside", good("csv") if data[:1] not in b"{[" else good("json")),
    ):
        (desk / name).write_bytes(content)
    common = ["--key-file", str(desk / "key"), "--schema", str(desk / "schema")]
    original, leak = ("beside", "case") if role == "leak" else ("case", "beside")
    orders = (
        ["embed", *common, "--release-id", "00000000000000a1", str(desk / "case"), str(desk / "marked")]
        if role == "embed"
        else [
            "detect", *common, "--original", str(desk / original), "--candidates", str(desk / "ids"), "--json",
            str(desk / leak),
        ]
    )  # fmt: skip
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(orders)
    written = (desk / "marked").exists()
    require(code in {0, 2}, f"exit code {code}")
    require(len(list(desk.iterdir())) == 5 + written, "a file is left behind")
    if code == 2:
        require(not written and not out.getvalue(), "a result in spite of an error")
        require(len(err.getvalue().splitlines()) == 2, "the reason is not told in two lines")
        return
    require(written == (role == "embed"), "no copy, or one that nobody asked for")
    told = json.loads(out.getvalue())
    require(role == "embed" or not told["matches"], "somebody is accused by a file that nobody marked")


def seeds() -> Iterable[bytes]:
    for kind in KINDS:
        if kind not in _IN_CHILDREN and len(good(kind)) <= _SIZE_BYTES_MAX:
            yield good(kind)
    for name in (
        "json: lone surrogate",
        "json: huge exponent",
        "csv: mixed line ends",
        "tiff: directory that loops",
    ):
        yield BOMBS[name]()


TARGETS = tuple(
    Target(
        name=f"watermark.command_{role}",
        run=run_as(role),
        seeds=seeds,
        errors=(),
        size_bytes_max=_SIZE_BYTES_MAX,
    )
    for role in ("embed", "leak", "original")
)
