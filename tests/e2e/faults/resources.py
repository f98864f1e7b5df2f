"""Faults of what a node's machine gives it: disk space, and the time of day.

Rule: only one node has it; the others must not notice more than its silence.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness.cluster import Cluster, until
from tests.e2e.harness.sandbox import SandboxImpossible, inside, run
from tests.e2e.harness.scenario import Bench, NotPossible, scenario

DISK_FREE_BYTES = 3 * 1024 * 1024
FILL_PIECE_BYTES = 64 * 1024
NODE = 2
EXIT_STATUS_UNUSABLE = 3
CLOCK_ALARM = "this node's clock differs from its peers'"
LIBFAKETIME_NAME = "libfaketimeMT.so.1"
LIBFAKETIME_FOLDERS = ("/usr/lib", "/usr/local/lib", "/lib")


@contextlib.contextmanager
def small_disk(cluster: Cluster, number: int, folder: Path) -> Iterator[Path]:
    """Put a node's whole home on a file system of its own, little larger than what lies there; back afterwards."""
    if not inside():
        raise NotPossible("a small file system needs a mount namespace")
    home, aside = cluster.home(number), folder / "aside"
    cluster.terminate(number)
    shutil.copytree(home, aside)
    used_bytes = sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())
    options = f"size={used_bytes + DISK_FREE_BYTES},mode=700"
    try:
        run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(home))
    except SandboxImpossible as error:
        raise NotPossible(str(error)) from None
    try:
        shutil.copytree(aside, home, dirs_exist_ok=True)
        cluster.start(number)
        cluster.wait_ready()
        yield home
    finally:
        if cluster.running(number):
            cluster.terminate(number)
        shutil.rmtree(aside)
        shutil.copytree(home, aside)
        run("umount", str(home))
        shutil.copytree(aside, home, dirs_exist_ok=True)
        shutil.rmtree(aside)


def fill(folder: Path) -> Path:
    """Write until the disk is full; the file that did it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(FILL_PIECE_BYTES))
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"0")
    return filler


@scenario("disk-full", "the disk of one node is full, then has room again")
def disk_full(bench: Bench) -> Iterator[None]:
    """It may stop, with a message and without damage; started again when there is room, it goes on where it was."""
    cluster = bench.cluster
    before = bench.finalized()
    with small_disk(cluster, NODE, bench.folder) as home:
        filler = fill(home)
        yield
        bench.expect(bench.finalized() > before, "three of four go on")
        status = cluster.exit_status(NODE)
        bench.note("the node stayed up" if status is None else f"the node stopped with status {status}")
        if status is not None:
            said = [line for line in cluster.tail(NODE).splitlines() if "critical" in line]
            bench.note(said[-1] if said else "and said nothing")
        bench.expect(status in {None, EXIT_STATUS_UNUSABLE}, "a full disk is not taken for a broken promise")
        bench.expect("Traceback" not in cluster.said(NODE), "a full disk is told in a line, not as a trace")
        filler.unlink()
        cluster.start(NODE)
        cluster.wait_ready([NODE])
    cluster.start(NODE)


def libfaketime() -> Path:
    """Debian's libfaketime. Raises NotPossible when it is not installed."""
    for folder in LIBFAKETIME_FOLDERS:
        found = [
            *Path(folder).glob(f"*/faketime/{LIBFAKETIME_NAME}"),
            *Path(folder).glob(f"faketime/{LIBFAKETIME_NAME}"),
        ]
        if found:
            return found[0]
    raise NotPossible("libfaketime is not installed (Debian: apt install faketime)")


def _clock_jump(bench: Bench, offset: str) -> Iterator[None]:
    cluster, setting = bench.cluster, bench.folder / "clock"
    library = libfaketime()
    setting.write_text("+0\n")
    cluster.terminate(NODE)
    cluster.start(
        NODE,
        {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(setting),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    cluster.wait_ready()
    shown_bytes = cluster.log(NODE).stat().st_size
    _set(setting, offset)
    before = bench.finalized()
    yield
    bench.expect(bench.finalized() > before, "the network goes on")
    until(
        lambda: CLOCK_ALARM in _since(cluster.log(NODE), shown_bytes),
        "the node says that its clock is wrong",
        30.0,
    )
    _set(setting, "+0")


@scenario("clock-ahead", "the clock of one node jumps 3 hours ahead, and back")
def clock_ahead(bench: Bench) -> Iterator[None]:
    """It harms nobody, and is said."""
    yield from _clock_jump(bench, "+3h")


@scenario("clock-behind", "the clock of one node jumps 3 hours back, and right again")
def clock_behind(bench: Bench) -> Iterator[None]:
    """It harms nobody, and is said."""
    yield from _clock_jump(bench, "-3h")


def _set(setting: Path, offset: str) -> None:
    """Replace the file whole, so that it is never read half-written."""
    new = setting.with_suffix(".new")
    new.write_text(offset + "\n")
    os.replace(new, setting)  # noqa: PTH105


def _since(path: Path, offset_bytes: int) -> str:
    return path.read_bytes()[offset_bytes:].decode(errors="replace")
