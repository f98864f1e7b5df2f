"""Archives from strangers, and the papers of a restart.

Rule: an archive that is taken is the one that was made; whoever knows how frames are linked, and puts another in a frame's place,
is found out as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO

from ledger import codec
from ledger.archive import BEGINNING, ArchiveReader, ArchiveRejected, link_after
from ledger.types import Wire
from node.restart_papers import (
    Approval,
    Ballot,
    Offer,
    Plan,
    Restart,
    RestartRefused,
    Sealing,
    from_json,
    to_json,
)
from tests.fuzz.target import Grammar, Target, require
from tests.unit.archive_world import archived, frames_of, verified
from tests.unit.contracts_world import SUITE

PAPERS: tuple[type[Wire], ...] = (Offer, Plan, Approval, Sealing, Ballot, Restart)


@lru_cache(maxsize=1)
def payloads() -> tuple[bytes, ...]:
    return tuple(codec.encode(frame) for frame in frames_of(archived()[0]))


def linked(found: tuple[bytes, ...]) -> bytes:
    """The payloads as frames, each with the link that belongs to it."""
    link, parts = BEGINNING, []
    for payload in found:
        link = link_after(SUITE, link, payload)
        size = len(payload)
        head = b"\xc4" + bytes((size,)) if size < 256 else b"\xc5" + size.to_bytes(2, "big")
        parts.append(b"\x92" + head + payload + b"\xc4\x20" + link)
    return b"".join(parts)


def run_archive(data: bytes) -> None:
    verified(data, archived()[1])
    require(data == archived()[0], "another archive than the one that was made holds")


def run_frame(data: bytes) -> None:
    """First byte: which frame; the rest takes its payload's place."""
    if not data:
        return
    found = payloads()
    place = data[0] % len(found)
    if len(data) > 65_536:
        return
    changed = (*found[:place], data[1:], *found[place + 1 :])
    verified(linked(changed), archived()[1])
    require(changed == found, "a frame in another's place holds")


def run_reading(data: bytes) -> None:
    """No trust point and no contracts: frames alone."""
    reader = ArchiveReader(BytesIO(data).read)
    for _ in reader.frames_after_opening():
        pass


def run_paper(data: bytes) -> None:
    if not data:
        return
    kind = PAPERS[data[0] % len(PAPERS)]
    paper = from_json(data[1:], kind, "paper")
    again = from_json(to_json(paper), kind, "paper")
    require(again == paper, "a paper is another when it is read again")


def frame_seeds() -> list[bytes]:
    return [bytes((place,)) + payload for place, payload in enumerate(payloads())]


def heads(make: Callable[[], bytes]) -> list[bytes]:
    data = make()
    return [data[:2048], data[-2048:]]


TARGETS = (
    Target(
        name="ledger.archive",
        run=run_archive,
        seeds=lambda: heads(lambda: archived()[0]),
        errors=(ArchiveRejected,),
        size_bytes_max=8192,
    ),
    Target(
        name="ledger.archive_frame",
        run=run_frame,
        seeds=frame_seeds,
        errors=(ArchiveRejected,),
        size_bytes_max=16_384,
    ),
    Target(
        name="ledger.archive_reading",
        run=run_reading,
        seeds=lambda: heads(lambda: archived()[0]),
        errors=(ArchiveRejected,),
        size_bytes_max=8192,
    ),
    Target(
        name="node.restart_paper",
        run=run_paper,
        seeds=lambda: [bytes((place,)) + b"{}" for place in range(len(PAPERS))],
        errors=(RestartRefused,),
        grammar=Grammar.BYTES,
    ),
)
