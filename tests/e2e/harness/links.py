"""What a link between two nodes does to what crosses it, and how the router or relay is told so.

Rule: a link has a direction. What is not said of a link is that it is perfect. The same rules mean the same in both
kinds of network; `relay` says where TCP cannot do what packets can.

The process that carries the traffic reads `LinkTable` lines (JSON) from its standard input, applies each whole, and
answers each with a `Carried` line. It ends when its input does, so it never outlives the test.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

NODES_MAX: Final = 16
DELAY_MS_MAX: Final = 60_000


class Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One direction between two nodes.

    Attributes:
        source, target: node numbers from 1.
        cut: nothing crosses.
        loss_percent: so many of a hundred packets do not cross, at most 90.
        delay_ms, jitter_ms: each packet takes so long, and up to so much longer; order is kept.
    """

    source: Annotated[int, Meta(ge=1, le=NODES_MAX)]
    target: Annotated[int, Meta(ge=1, le=NODES_MAX)]
    cut: bool = False
    loss_percent: Annotated[float, Meta(ge=0, le=90)] = 0.0
    delay_ms: Annotated[float, Meta(ge=0, le=DELAY_MS_MAX)] = 0.0
    jitter_ms: Annotated[float, Meta(ge=0, le=DELAY_MS_MAX)] = 0.0

    def crosses(self, chance: random.Random) -> bool:
        """Whether the next packet does."""
        return not self.cut and (self.loss_percent == 0 or chance.random() * 100 >= self.loss_percent)

    def takes_s(self, chance: random.Random) -> float:
        """How long the next packet is under way, in seconds."""
        return (self.delay_ms + self.jitter_ms * chance.random()) / 1000


class LinkTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every link that is not perfect."""

    links: tuple[Link, ...] = ()


class Carried(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was carried since the start: packets (or pieces of a stream), and those that were dropped or held."""

    passed: int
    stopped: int


def cut(pairs: Iterable[tuple[int, int]]) -> tuple[Link, ...]:
    """Links over which nothing goes from the first to the second of each pair."""
    return tuple(Link(source=source, target=target, cut=True) for source, target in sorted(set(pairs)))


def between(left: Iterable[int], right: Iterable[int]) -> set[tuple[int, int]]:
    """Both directions of every link between two groups."""
    rights = tuple(right)
    one_way = {(a, b) for a in left for b in rights if a != b}
    return one_way | {(b, a) for a, b in one_way}


def everywhere(nodes: Iterable[int]) -> set[tuple[int, int]]:
    """Both directions of every link."""
    numbers = tuple(nodes)
    return between(numbers, numbers)


def beyond_neighbours(nodes: Iterable[int]) -> set[tuple[int, int]]:
    """Links of a ring in which each node has only the one before and the one after it."""
    ring = tuple(nodes)
    size = len(ring)
    neighbours = {(ring[at], ring[(at + step) % size]) for at in range(size) for step in (1, -1)}
    return everywhere(ring) - neighbours


def decode_table(line: bytes) -> dict[tuple[int, int], Link]:
    """A line of the control channel. Raises msgspec.MsgspecError."""
    table = msgspec.json.decode(line, type=LinkTable)
    return {(link.source, link.target): link for link in table.links}
