"""Reads a store in a process of its own, since a damaged data file can kill or trap the process that maps it.

Rule: the child writes one JSON object a line, about what it does and at last what it found. A child that dies, or is silent for too
long, is itself a finding.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from ledger import codec
from ledger.decoders import decode_json
from ledger.errors import LedgerError, Unavailable
from ledger.types import Genesis
from node.storecheck import check_store, glance
from node.storecopy import copy_store
from node.upgrades import Coming

SILENCE_S_MAX: Final = 300.0
_LINE_BYTES_MAX: Final = 1024 * 1024


class StoreTask(Struct, frozen=True, kw_only=True):
    """What the child is to do.

    Attributes:
        folder: the store's.
        genesis: the network's document, encoded; None to believe the store's own.
        depth: "glance" at what a node looks at when it starts, "check" all that is in it, or "copy" it.
        destination: of a copy, an empty folder.
        sample: certificates to verify, None for all.
        pages: account for the file's pages; only while nobody writes to it.
        shared: others may have it open; without, nobody writes to it, and no lock file is made beside it.
    """

    folder: str
    genesis: bytes | None
    depth: Literal["glance", "check", "copy"]
    destination: str = ""
    sample: Annotated[int, Meta(ge=1)] | None = None
    pages: bool = True
    shared: bool = True


class FaultPlace(Struct, frozen=True, kw_only=True):
    """Where a fault is; as `storecheck.Place`, the key in hex."""

    table: str
    key: str
    height: int
    page: int


class KeyInForce(Struct, frozen=True, kw_only=True):
    """A shared key of the state; holders by account."""

    purpose: str
    version: int
    renewal: int
    holders: tuple[str, ...]


class StoreReport(Struct, frozen=True, kw_only=True):
    """What the child found; numbers as in `storecheck.StoreCheck`.

    Attributes:
        places: of the faults, in their order; none for one that the child did not live to tell.
        unavailable: why the disk did not let a copy be written; empty otherwise.
    """

    faults: tuple[str, ...]
    places: tuple[FaultPlace, ...] = ()
    unavailable: str = ""
    height: int = 0
    head_digest: str = ""
    first_height: int = 0
    head_time_ms: int = 0
    blocks: int = 0
    certificates: int = 0
    state_values: int = 0
    tree_nodes: int = 0
    pages: int = 0
    coming: tuple[Coming, ...] = ()
    keys: tuple[KeyInForce, ...] = ()


class _Progress(Struct, frozen=True, kw_only=True, tag="progress"):
    stage: str
    done: int
    total: int


class _Found(Struct, frozen=True, kw_only=True, tag="found"):
    report: StoreReport


_MESSAGE: Final[Any] = _Progress | _Found


def read_store(task: StoreTask, progress: Callable[[str, int, int], None]) -> StoreReport:
    """Have a child read a store.

    Args:
        task: what to look at.
        progress: told the stage, and how much of it is done.
    """
    command = [sys.executable, "-P", "-m", __name__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None  # noqa: S101, PT018
        child.stdin.write(msgspec.json.encode(task))
        child.stdin.close()
        reading = ""

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal reading
            reading = f"{stage} {done}/{total}"
            progress(stage, done, total)

        try:
            report = _listen(child.stdout.fileno(), tell)
        finally:
            if child.poll() is None:
                child.kill()
        said = child.stderr.read().decode(errors="replace").strip()
    where = f", after {reading}" if reading else ""
    return report or StoreReport(faults=(_death(child.returncode, said) + where,))


def _listen(descriptor: int, progress: Callable[[str, int, int], None]) -> StoreReport | None:
    """Follow the child's lines; None if they end, or stop coming, before its report."""
    waiting = b""
    while select.select([descriptor], [], [], SILENCE_S_MAX)[0]:
        data = os.read(descriptor, 65536)
        if not data or len(waiting) > _LINE_BYTES_MAX:
            return None
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            message: _Progress | _Found = decode_json(line, _MESSAGE)
            if isinstance(message, _Found):
                return message.report
            progress(message.stage, message.done, message.total)
    return None


def _death(status: int, said: str) -> str:
    last = said.splitlines()[-1][:200] if said else ""
    if status < 0:
        return f"the process that read it was killed by {signal.Signals(-status).name}; {last}".rstrip("; ")
    return f"the process that read it ended with status {status}; {last}".rstrip("; ")


# --- in the child -----------------------------------------------------------------------------------------------------


def _say(message: _Progress | _Found) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _run(task: StoreTask) -> StoreReport:
    genesis = None
    if task.genesis is not None:
        genesis = codec.decode(task.genesis, Genesis, size_bytes_max=len(task.genesis))

    def progress(stage: str, done: int, total: int) -> None:
        _say(_Progress(stage=stage, done=done, total=total))

    if task.depth == "copy":
        copy_store(Path(task.folder), Path(task.destination), progress)
        return StoreReport(faults=())
    if task.depth == "glance":
        found = glance(Path(task.folder), genesis=genesis, shared=task.shared)
    else:
        found = check_store(
            Path(task.folder),
            genesis=genesis,
            sample=task.sample,
            pages=task.pages,
            progress=progress,
            shared=task.shared,
        )
    return StoreReport(
        faults=tuple(found.faults),
        places=tuple(
            FaultPlace(table=place.table, key=place.key.hex(), height=place.height, page=place.page)
            for place in found.places
        ),
        height=found.height,
        head_digest=found.head_digest.hex(),
        head_time_ms=found.head_time_ms,
        first_height=found.first_height,
        blocks=found.blocks,
        certificates=found.certificates,
        state_values=found.state_values,
        tree_nodes=found.tree_nodes,
        pages=found.pages,
        coming=found.coming,
        keys=tuple(
            KeyInForce(
                purpose=key.purpose.value,
                version=key.version,
                renewal=key.renewal,
                holders=tuple(account.hex() for account in key.holders),
            )
            for key in found.keys
        ),
    )


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = decode_json(sys.stdin.buffer.read(), StoreTask)
    try:
        report = _run(task)
    except Unavailable as error:
        report = StoreReport(faults=(), unavailable=str(error.fields["reason"]))
    except LedgerError as error:
        report = StoreReport(faults=(str(error.fields.get("reason", error.message())),))
    except OSError as error:
        reason = error.strerror or str(error)
        copying = task.depth == "copy"
        report = StoreReport(faults=() if copying else (reason,), unavailable=reason if copying else "")
    _say(_Found(report=report))


if __name__ == "__main__":
    _main()
