"""The wire between loopback processes, where namespaces cannot be made: a relay of TCP connections for each pair.

    python -m tests.e2e.harness.relay SOURCE:TARGET:LISTEN_PORT:PEER_PORT …

Node SOURCE dials LISTEN_PORT instead of node TARGET's PEER_PORT, so the relay knows who speaks to whom.

Rule: it never changes a byte and never ends a connection that both ends keep. TCP hides single packets, so a cut link
holds its bytes back until it is healed, as retransmission would bring them late; a new connection is accepted and
then meets silence instead of a time-out of its SYN; and a lost packet is a piece of the stream that comes one
retransmission time-out later, with all that follows it. Everything is 127.0.0.1. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import Iterable

import msgspec

from tests.e2e.harness.links import Carried, Link, decode_table

HOST = "127.0.0.1"
PIECE_BYTES_MAX = 16 * 1024
PIECES_UNDER_WAY_MAX = 1024
RETRANSMISSION_S = 0.2
LINE_BYTES_MAX = 1024 * 1024


class Relay:
    """Carries the streams of every pair of nodes."""

    def __init__(self, seed: int) -> None:
        self._table: dict[tuple[int, int], Link] = {}
        self._changed = asyncio.Event()
        self._chance = random.Random(seed)
        self._passed = self._stopped = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self, source: int, target: int, listen_port: int, peer_port: int) -> None:
        """Carry what node `source` sends to `listen_port` to node `target`, and back."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(HOST, peer_port)
                there = asyncio.create_task(self._pump((source, target), reader, far_writer))
                back = asyncio.create_task(self._pump((target, source), far_reader, writer))
                await asyncio.wait({there, back})
            writer.close()

        await asyncio.start_server(serve, HOST, listen_port)

    async def _pump(
        self, direction: tuple[int, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one direction of one connection: a queue between, so that delay does not become throughput."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_UNDER_WAY_MAX)
        reading = asyncio.create_task(self._read(direction, reader, under_way))
        loop = asyncio.get_running_loop()
        try:
            while True:
                due_s, piece = await under_way.get()
                await asyncio.sleep(due_s - loop.time())
                await self._while_cut(direction)
                if not piece:
                    break
                writer.write(piece)
                await writer.drain()
                self._passed += 1
        except OSError:
            reading.cancel()
        finally:
            writer.close()
            await asyncio.wait({reading})

    async def _read(
        self,
        direction: tuple[int, int],
        reader: asyncio.StreamReader,
        under_way: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                piece = await reader.read(PIECE_BYTES_MAX)
            except OSError:
                piece = b""
            takes_s = 0.0
            if (link := self._table.get(direction)) is not None and not link.cut:
                takes_s = link.takes_s(self._chance)
                while link.loss_percent and not link.crosses(self._chance):
                    takes_s += RETRANSMISSION_S
                    self._stopped += 1
            await under_way.put((loop.time() + takes_s, piece))
            if not piece:
                return

    async def _while_cut(self, direction: tuple[int, int]) -> None:
        while (link := self._table.get(direction)) is not None and link.cut:
            self._stopped += 1
            self._changed.clear()
            await self._changed.wait()

    async def obey(self) -> None:
        """Take tables from standard input until it ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(LINE_BYTES_MAX)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
        while line := await reader.readline():
            self._table = decode_table(line)
            self._changed.set()
            answer = Carried(passed=self._passed, stopped=self._stopped)
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


async def run(routes: Iterable[tuple[int, int, int, int]]) -> None:
    """Listen for every pair, then obey until told to end."""
    relay = Relay(seed=1)
    for source, target, listen_port, peer_port in routes:
        await relay.listen(source, target, listen_port, peer_port)
    await relay.obey()
    # Connections may be in the middle of anything; nobody is left to care.
    os._exit(0)


def main() -> None:
    """Command line."""
    routes = []
    for argument in sys.argv[1:]:
        source, target, listen_port, peer_port = (int(part) for part in argument.split(":"))
        routes.append((source, target, listen_port, peer_port))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(routes))


if __name__ == "__main__":
    main()
