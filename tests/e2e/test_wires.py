"""What the fault tests break is really broken: links over the relay and over the router, and who may end what."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.harness import sandbox
from tests.e2e.harness.links import (
    Link,
    LinkTable,
    between,
    beyond_neighbours,
    cut,
    decode_table,
    everywhere,
)
from tests.e2e.harness.wires import Loopback

ANSWER_S = 10.0
DELAY_MS = 300


def test_groups_of_links() -> None:
    assert between([1], [2, 3]) == {(1, 2), (2, 1), (1, 3), (3, 1)}
    assert len(everywhere(range(1, 5))) == 12
    assert beyond_neighbours([1, 2, 3, 4]) == {(1, 3), (3, 1), (2, 4), (4, 2)}
    assert beyond_neighbours([1, 2, 3]) == set()


def test_a_lossy_link_loses_about_as_much_as_it_says() -> None:
    chance, link = random.Random(7), Link(source=1, target=2, loss_percent=20)
    crossed = sum(link.crosses(chance) for _ in range(10_000))
    assert 7_800 < crossed < 8_200


def test_a_table_says_links_by_direction() -> None:
    import msgspec

    table = decode_table(msgspec.json.encode(LinkTable(links=cut([(1, 2)]))))
    assert table[1, 2].cut
    assert (2, 1) not in table


@pytest.fixture
def wires() -> Iterator[Loopback]:
    made = Loopback(2)
    yield made
    made.close()


def received(end: socket.socket, size_bytes: int) -> bytes:
    """So many bytes, however they were cut up."""
    data = b""
    while len(data) < size_bytes:
        part = end.recv(size_bytes - len(data))
        assert part, "the connection ended"
        data += part
    return data


class Pair:
    """A connection that node 1 opened to node 2 over the wires."""

    def __init__(self, wires: Loopback) -> None:
        with socket.create_server(wires.peer_listen(2)) as server:
            self.first = socket.create_connection(wires.peer_address(1, 2), ANSWER_S)
            server.settimeout(ANSWER_S)
            self.second, _ = server.accept()
        self.second.settimeout(ANSWER_S)

    def close(self) -> None:
        self.first.close()
        self.second.close()


@pytest.fixture
def pair(wires: Loopback) -> Iterator[Pair]:
    made = Pair(wires)
    yield made
    made.close()


def test_a_perfect_link_carries_both_ways_and_passes_the_end_on(pair: Pair) -> None:
    pair.first.sendall(b"there")
    assert received(pair.second, 5) == b"there"
    pair.second.sendall(b"back")
    assert received(pair.first, 4) == b"back"
    pair.first.close()
    assert pair.second.recv(1) == b""


def test_a_link_cut_one_way_holds_back_that_way_until_it_is_healed(wires: Loopback, pair: Pair) -> None:
    wires.set_links(cut([(1, 2)]))
    pair.first.sendall(b"held")
    pair.second.sendall(b"heard")
    assert received(pair.first, 5) == b"heard"
    pair.second.setblocking(False)
    with pytest.raises(BlockingIOError):
        pair.second.recv(4)
    pair.second.settimeout(ANSWER_S)
    carried = wires.set_links(())
    assert carried.stopped >= 1
    assert received(pair.second, 4) == b"held"


def test_a_slow_link_takes_at_least_its_time(wires: Loopback, pair: Pair) -> None:
    wires.set_links([Link(source=1, target=2, delay_ms=DELAY_MS)])
    began_s = time.monotonic()
    pair.first.sendall(b"late")
    assert received(pair.second, 4) == b"late"
    assert time.monotonic() - began_s >= DELAY_MS / 1000


def test_a_lossy_stream_arrives_whole_and_in_order(wires: Loopback, pair: Pair) -> None:
    wires.set_links([Link(source=1, target=2, loss_percent=50)])
    data = random.Random(1).randbytes(100_000)
    pair.first.sendall(data)
    assert received(pair.second, len(data)) == data


async def test_the_carrier_ends_with_its_input() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.harness.relay", stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), ANSWER_S) == 0


def test_the_router_between_namespaces_carries_and_cuts() -> None:
    """Where namespaces cannot be made, the faults are tried over relays, and there is no router to be tried."""
    try:
        sandbox.possible()
    except sandbox.SandboxImpossible:
        return
    assert sandbox.enter("tests.e2e.harness.router_check", ()) == 0


def test_an_environment_variable_asks_for_loopback() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", "from tests.e2e.harness import sandbox; sandbox.possible()"],
        env=os.environ | {sandbox.MODE: sandbox.LOOPBACK},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "asks for it" in listed.stderr
