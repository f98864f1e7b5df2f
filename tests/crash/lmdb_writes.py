"""Power cuts within LMDB's commits: every write to the data file is recorded, and the file rebuilt as a cut could leave it.

A child commits groups of blocks under `strace`. What was written before a sync is durable when the sync is over; of what came
after it any part may be there, in any order, in whole sectors. Each such file must open at the state before or after the commit
that was cut short, wholly, and never before one that was acknowledged.

Rule: the model is that of a disk that keeps a sector of 512 bytes whole and does what a sync promises.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from ledger.lmdb_file import DATA_FILE
from ledger.store import Retention, Store
from node.storecheck import check_store
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

SECTOR_SIZE_BYTES: Final = 512
RETAIN_VERSIONS: Final = 3
GROUPS: Final = 12
SUBSETS: Final = 6
_CALL: Final = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?$")
_BYTES: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_TRACED: Final = "openat,pwrite64,pwritev,pwritev2,writev,lseek,write,fdatasync,fsync,msync,ftruncate"


@dataclass(slots=True)
class Recording:
    """The data file's writes, in order.

    Attributes:
        batches: writes (offset, bytes) between two syncs; the last may have no sync behind it.
        acknowledged: height that the writer had reported before each batch.
    """

    batches: list[list[tuple[int, bytes]]] = field(default_factory=lambda: [[]])
    acknowledged: list[int] = field(default_factory=lambda: [0])

    def write(self, offset_bytes: int, data: bytes) -> None:
        self.batches[-1].append((offset_bytes, data))

    def sync(self) -> None:
        if self.batches[-1]:
            self.batches.append([])
            self.acknowledged.append(self.acknowledged[-1])


def tools() -> str | None:
    """What is missing for this part; None if nothing is."""
    return None if shutil.which("strace") else "strace"


def record(folder: Path) -> Recording:
    """Let a child commit to the store in `folder`, and take down what it writes."""
    log = folder.parent / "strace"
    command = ["strace", "-f", "-y", "-xx", "-s", "67108864", "-e", f"trace={_TRACED}", "-o", str(log)]
    command += [sys.executable, "-m", __name__, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with log.open() as lines:
        return _parse(lines)


def _parse(lines: Iterable[str]) -> Recording:
    found = Recording()
    positions: dict[int, int] = {}
    synchronous: set[int] = set()
    for line in lines:
        match = _CALL.match(line.strip())
        if match is None:
            assert "unfinished" not in line or DATA_FILE not in line, line[:200]
            continue
        name, arguments, returned = match[1], match[2], int(match[3])
        if name == "openat":
            if _unescaped(match[4] or "").endswith(DATA_FILE) and "DSYNC" in arguments:
                synchronous.add(returned)
            continue
        descriptor, _, rest = arguments.partition("<")
        path = _unescaped(rest.partition(">")[0])
        data = b"".join(bytes.fromhex(part.replace("\\x", "")) for part in _BYTES.findall(rest))
        number = int(descriptor) if descriptor.isdigit() else -1
        if name == "write" and number == 1:
            found.acknowledged[-1] = int(data)
        if not path.endswith(DATA_FILE) or returned < 0:
            continue
        if name == "lseek":
            positions[number] = returned
        elif name in {"fdatasync", "fsync"}:
            found.sync()
        elif name == "ftruncate":
            raise AssertionError("a commit changes the size of the file")
        elif name != "msync":
            if name in {"write", "writev"}:
                offset_bytes = positions[number]
                positions[number] += returned
            else:
                offset_bytes = int(rest.rpartition(", ")[2] if name != "pwritev2" else rest.split(", ")[-2])
            assert len(data) == returned, line[:200]
            found.write(offset_bytes, data)
            if number in synchronous:
                found.sync()
    return found


def _unescaped(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def cuts(batch: list[tuple[int, bytes]], random: Random) -> Iterator[list[tuple[int, bytes]]]:
    """What of a batch could be there after a power cut: nothing, each prefix, some subsets, all."""
    sectors = [
        (offset_bytes + at, data[at : at + SECTOR_SIZE_BYTES])
        for offset_bytes, data in batch
        for at in range(0, len(data), SECTOR_SIZE_BYTES)
    ]
    for end in range(len(batch)):
        yield batch[:end]
    for _ in range(SUBSETS if len(sectors) > 1 else 0):
        share = random.random()
        chosen = [sector for sector in sectors if random.random() < share]
        random.shuffle(chosen)
        yield chosen
    yield batch


def campaign(scratch: Path, *, seed: int, show: Callable[[str], None]) -> tuple[int, int]:
    """Cut every commit in every way.

    Returns:
        How many files opened as they must, and how many did not.
    """
    missing = tools()
    if missing is not None:
        show(f"LMDB writes: NOT RUN, {missing} is not installed")
        return 0, 0
    folder = scratch / "lmdb" / "store"
    folder.parent.mkdir()
    world = World()
    Store.create(
        folder, SUITE, world.genesis, GENESIS_STATE, retention=Retention(proof_blocks=RETAIN_VERSIONS)
    ).close()
    image = bytearray((folder / DATA_FILE).read_bytes())
    recording = record(folder)
    random = Random(seed)
    passed = failed = 0
    trial = scratch / "lmdb" / "trial"
    trial.mkdir()
    for batch, acknowledged in zip(recording.batches, recording.acknowledged, strict=True):
        for written in cuts(batch, random):
            fault = _try(trial, _with(image, written), world, acknowledged)
            passed, failed = passed + (not fault), failed + bool(fault)
            if fault:
                show(f"FAILED: a cut after height {acknowledged}: {fault}")
        image = _with(image, batch)
    return passed, failed


def _with(image: bytearray, writes: list[tuple[int, bytes]]) -> bytearray:
    made = bytearray(image)
    for offset_bytes, data in writes:
        if len(made) < offset_bytes:
            made.extend(bytes(offset_bytes - len(made)))
        made[offset_bytes : offset_bytes + len(data)] = data
    return made


def _try(trial: Path, image: bytearray, world: World, acknowledged: int) -> str:
    """What is wrong with a file; looked at in a child, which it may kill."""
    for file in trial.iterdir():
        file.unlink()
    (trial / DATA_FILE).write_bytes(image)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, _look(trial, world, acknowledged).encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return said or (f"the reader died with status {status}" if status else "")


def _look(trial: Path, world: World, acknowledged: int) -> str:
    with Store.open(trial, SUITE, retention=Retention(proof_blocks=RETAIN_VERSIONS)) as store:
        height = store.height
    found = check_store(
        trial,
        genesis=world.genesis,
        sample=1,
        pages=True,
        progress=lambda stage, done, total: None,
    )
    # A group has up to three blocks, and is there wholly or not at all.
    after = next(end for end in group_ends() if end > acknowledged) if acknowledged < group_ends()[-1] else -1
    if height not in {acknowledged, after}:
        return f"it opens at height {height}, neither {acknowledged} nor {after}"
    return "; ".join(found.faults)


def group_ends() -> list[int]:
    """Height after each group that the writer commits."""
    ends: list[int] = []
    for number in range(GROUPS):
        ends.append((ends[-1] if ends else 0) + 1 + number % 3)
    return ends


def write(folder: Path) -> None:
    """The child: commit group after group, and say the height after each."""
    world = World()
    certificate = None
    with Store.open(folder, SUITE, retention=Retention(proof_blocks=RETAIN_VERSIONS)) as store:
        height = 0
        for end in group_ends():
            group = []
            while height < end:
                height += 1
                writes: dict[bytes, bytes | None] = {
                    b"key/%d" % at: fixed(height, at, size=300) for at in range(height, height + 12)
                }
                writes[b"key/%d" % (height - 1)] = None
                if height % 5 == 0:
                    writes[b"long"] = fixed(height, size=9000)
                group.append(world.committed(writes, transactions=1, certificate=certificate))
            store.commit(group)
            sys.stdout.write(f"{height}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
