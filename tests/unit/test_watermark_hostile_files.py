"""Bombs, loops, lies and broken files through the command line: judged (0) or refused (2) with the reason in both languages.

Rule: never another exit code, a traceback or a file left behind. What only memory bounds runs in a process of its own, under
a limit that whoever started it has set.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.watermark_bomb_parts import many_entries, one_page, stream
from tests.unit.watermark_bombs import BOMBS, CUTS, KINDS, damaged, good
from watermark.__main__ import MEMORY_BYTES_MAX, _bound_memory, main

RELEASE = "00000000000000a1"
SCHEMA = {
    "columns": {
        "id": {"key": True},
        "income": {"tolerance": "0.05"},
        "ref": {"reference": True},
        "note": {"free_text": True},
    },
    "unordered": True,
}
CHEAP = {
    "xlsx: bzip2",
    "xlsx: XML bomb in sheet",
    "xlsx: XML bomb in an attribute",
    "xlsx: XML bomb in strings",
    "xlsx: external entity",
    "xlsx: dimension of all rows and columns",
    "xlsx: last cell only",
    "xlsx: no header cell",
    "xlsx: XML 250 deep",
    "xlsx: XML 100,000 deep",
    "docx: XML bomb",
    "docx: bzip2",
    "docx: no text",
    "docx: not XML",
    "docx: is empty",
    "docx: relations loop",
    "png: 30,000 × 30,000 declared",
    "png: 2³¹ declared",
    "png: 0 × 0",
    "png: 1 × 1",
    "jpeg: 65,500 × 65,500 declared",
    "jpeg: header alone",
    "webp: 16,383 × 16,383 declared",
    "tiff: 60,000 × 60,000 declared",
    "tiff: 2³² - 1 declared",
    "tiff: strip claimed 4 GB",
    "tiff: directory that loops",
    "tiff: tag of 2³² values",
    "tiff: no tags",
    "pdf: header alone",
    "pdf: page tree loops",
    "pdf: catalogue is itself",
    "json: a million deep",
    "json: a million objects deep",
    "json: 10⁵ digits",
    "json: huge exponent",
    "json: names twice",
    "json: NaN",
    "json: Infinity",
    "json: lone surrogate",
    "json: lone surrogate in a name",
    "json: cut escape",
    "json: empty array",
    "json: empty object",
    "json: one key",
    "json: a comma too many",
    "json: two values",
    "json: UTF-16",
    "json: UTF-16 big-endian",
    "json: UTF-32",
    "jsonl: one line broken",
    "jsonl: one line is a list",
    "jsonl: one line is deep",
    "csv: NUL",
    "csv: quotes",
    "csv: UTF-16 big-endian",
    "csv: UTF-16 cut",
    "csv: GB18030",
    "csv: mixed line ends",
    "csv: header alone",
    "csv: one cell",
    "csv: same name twice",
    "text: one word",
    "text: blanks",
    "text: above 64 MB",
    "nothing",
    "gzip",
    "GIF",
}
"""Those that no child process reads and that take milliseconds; the rest is for the campaign of `tests/fuzz`."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("watermark.__main__.PHANTOMS_MAX", 10)
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "ids.txt").write_text("".join(f"{number:016x}\n" for number in range(20)))
    return tmp_path


def orders(desk: Path, role: str, data: bytes, beside: bytes) -> list[str]:
    """The command that meets a file as the original of a copy, as the leak, or as the original of a leak."""
    (desk / "case").write_bytes(data)
    (desk / "beside").write_bytes(beside)
    common = ["--key-file", str(desk / "key"), "--schema", str(desk / "schema.json")]
    if role == "embed":
        return ["embed", *common, "--release-id", RELEASE, str(desk / "case"), str(desk / "marked")]
    original, leak = ("beside", "case") if role == "leak" else ("case", "beside")
    files = ["--original", str(desk / original), "--candidates", str(desk / "ids.txt"), str(desk / leak)]
    return ["detect", *common, *files, "--json"]


def check(desk: Path, role: str, code: int, out: str, err: str) -> None:
    """What must hold whatever the file was."""
    assert code in {0, 2}, err
    assert "Traceback" not in err
    assert {path.name for path in desk.iterdir()} <= {
        "key",
        "schema.json",
        "ids.txt",
        "case",
        "beside",
        *({"marked"} if role == "embed" and code == 0 else ()),
    }
    if code == 2:
        chinese, english = err.strip().splitlines()
        assert chinese != english
        assert any("\u4e00" <= char <= "\u9fff" for char in chinese)
        assert out == ""
        return
    assert err == ""
    told = json.loads(out)
    if role != "embed":
        assert set(told) == {"verdict", "matches", "phantom_best_log10_np", "alignment", "notes"}
        assert told["matches"] == []


def meet(desk: Path, capsys: pytest.CaptureFixture[str], data: bytes, beside: bytes) -> dict[str, int]:
    codes = {}
    for role in ("embed", "leak", "original"):
        codes[role] = main(orders(desk, role, data, beside))
        captured = capsys.readouterr()
        check(desk, role, codes[role], captured.out, captured.err)
        (desk / "marked").unlink(missing_ok=True)
    return codes


@pytest.mark.parametrize("name", sorted(CHEAP & BOMBS.keys()))
def test_a_hostile_file_is_judged_or_refused(
    name: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = name.partition(":")[0]
    beside = good(kind) if kind in {"csv", "json", "jsonl"} else good("text")
    meet(desk, capsys, BOMBS[name](), beside)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"parquet", "pdf"}])
def test_a_file_cut_short_or_with_bits_turned_is_judged_or_refused(
    kind: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = good(kind)
    beside = whole if kind in {"csv", "json", "jsonl", "text"} else good("text")
    files = [whole[: int(share * len(whole))] for share in CUTS] + [damaged(kind, seed) for seed in range(6)]
    for data in files:
        meet(desk, capsys, data, beside)


@pytest.mark.parametrize("kind", ["parquet", "pdf"])
def test_what_a_child_reads_is_judged_or_refused_when_cut_short(
    kind: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = good(kind)
    assert meet(desk, capsys, whole[: len(whole) // 2], good("text"))["embed"] == 2


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("xlsx: 30 MB of small elements", 2),
        ("pdf: object stream bomb", 2),
        ("pdf: small pictures that are large", 0),
        ("parquet: one text 30,000 times", 2),
        ("webp: 7,999 × 7,999 declared", 2),
    ],
)
def test_a_bomb_meets_the_memory_that_a_process_is_given(name: str, code: int, desk: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    command = [sys.executable, "-m", "watermark", *orders(desk, "embed", BOMBS[name](), b"")]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, timeout=60, check=False)
    check(desk, "embed", done.returncode, done.stdout.decode(), done.stderr.decode())
    assert done.returncode == code, done.stderr.decode()


@pytest.mark.parametrize("kind", ["parquet", "pdf"])
def test_children_keep_to_a_lower_limit_that_stands_already(kind: str, desk: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1800 << 20, 1800 << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (50, 50))

    command = [sys.executable, "-m", "watermark", *orders(desk, "leak", good(kind), good(kind))]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, timeout=60, check=False)
    check(desk, "leak", done.returncode, done.stdout.decode(), done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()


def test_a_disk_that_is_full_leaves_no_part_of_a_copy(desk: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    (desk / "marked").write_bytes(b"what stood there")
    command = [sys.executable, "-m", "watermark", *orders(desk, "embed", good("png"), b"")]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.decode().splitlines()) == 2
    assert (desk / "marked").read_bytes() == b"what stood there"
    assert len(list(desk.iterdir())) == 6


@pytest.mark.parametrize(
    ("name", "place", "lowered", "limit"),
    [
        ("jpeg: 200 scans", "", 0, "JPEG_SCANS_MAX"),
        ("webp: 16,383 × 16,383 declared", "", 0, "IMAGE_PIXELS_MAX"),
        ("pdf: LZW twice", "", 0, "PDF_LZW_BYTES_MAX"),
        ("pdf: LZW once", "watermark.pdf_streams", 1_000, "PDF_LZW_BYTES_MAX"),
        ("xlsx: many parts", "watermark.packages", 100, "PACKAGE_ENTRIES_SEEN_MAX"),
        ("xlsx: last cell only", "watermark.packages", 10, "XML_TAGS_MAX"),
        ("xlsx: last cell only", "watermark.packages", 3, "XML_ATTRIBUTES_MAX"),
        ("xlsx: long", "watermark.xlsx", 20, "TABLE_CHARS_MAX"),
        ("parquet", "watermark.parquet", 20, "TABLE_CHARS_MAX"),
    ],
)
def test_past_a_limit_a_file_is_refused_by_the_limits_name(
    name: str,
    place: str,
    lowered: int,
    limit: str,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = {
        "pdf: LZW once": lambda: one_page(stream(b"\x80" * 1_001, b"/Filter /LZWDecode")),
        "xlsx: many parts": lambda: many_entries(200),
        "xlsx: long": lambda: good("xlsx"),
        "parquet": lambda: good("parquet"),
    }
    if place:
        monkeypatch.setattr(f"{place}.{limit}", lowered)
    assert main(orders(desk, "embed", made.get(name, BOMBS.get(name))(), b"")) == 2  # type: ignore[misc]
    assert limit in capsys.readouterr().err


def test_an_original_pdf_without_its_end_is_refused_though_it_could_be_mended(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = good("pdf")
    assert main(orders(desk, "embed", whole[: whole.rindex(b"%%EOF")], b"")) == 2
    assert "cut short" in capsys.readouterr().err
    assert main(orders(desk, "embed", whole + b"\n", b"")) == 0


def test_a_process_bounds_its_own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(
        "watermark.__main__.resource.setrlimit", lambda kind, limits: told.append((kind, limits))
    )
    for hard, soft in ((resource.RLIM_INFINITY, MEMORY_BYTES_MAX), (1 << 20, 1 << 20)):
        monkeypatch.setattr("watermark.__main__.resource.getrlimit", lambda kind, hard=hard: (hard, hard))
        _bound_memory()
        assert told.pop() == (resource.RLIMIT_DATA, (soft, hard))
