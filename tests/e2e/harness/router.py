"""The wire between network namespaces: a router of IP packets in user space, which can cut, lose and delay them.

    python -m tests.e2e.harness.router FD:ADDRESS …     one TUN descriptor for each node, in the nodes' order

Rule: it looks at nothing but the destination address and never changes a packet. A packet that the target cannot take
at once is dropped, as by any router; TCP at both ends does the rest. Ends with its standard input.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import selectors
import sys
import time
from ipaddress import IPv4Address

import msgspec

from tests.e2e.harness.links import Carried, Link, decode_table

PACKET_BYTES_MAX = 65_536
PACKETS_AT_ONCE_MAX = 64
_DESTINATION = slice(16, 20)
_PERFECT = Link(source=1, target=1)


class Router:
    """Carries packets between TUN descriptors.

    Args:
        ports: (descriptor, address) of each node.
        seed: of the choice which packets are lost.
    """

    def __init__(self, ports: list[tuple[int, IPv4Address]], seed: int) -> None:
        self._descriptors = [descriptor for descriptor, _ in ports]
        self._node_at = {address.packed: number for number, (_, address) in enumerate(ports, start=1)}
        self._table: dict[tuple[int, int], Link] = {}
        self._chance = random.Random(seed)
        self._due: list[tuple[float, int, int, bytes]] = []
        self._last_due: dict[tuple[int, int], float] = {}
        self._order = itertools.count()
        self._passed = self._stopped = 0
        self._selector = selectors.DefaultSelector()
        for number, descriptor in enumerate(self._descriptors, start=1):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, number)
        os.set_blocking(sys.stdin.fileno(), False)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, 0)
        self._commands = b""

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            pause_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(pause_s):
                if key.data:
                    self._read(key.data, key.fd)
                elif not self._obey():
                    return
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                _, _, target, packet = heapq.heappop(self._due)
                self._write(target, packet)

    def _read(self, source: int, descriptor: int) -> None:
        for _ in range(PACKETS_AT_ONCE_MAX):
            try:
                packet = os.read(descriptor, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            target = self._node_at.get(packet[_DESTINATION]) if packet[0] >> 4 == 4 else None
            if target is not None and target != source:
                self._carry(source, target, packet)

    def _carry(self, source: int, target: int, packet: bytes) -> None:
        link = self._table.get((source, target), _PERFECT)
        if not link.crosses(self._chance):
            self._stopped += 1
            return
        takes_s = link.takes_s(self._chance)
        if takes_s == 0 and not self._due:
            self._write(target, packet)
            return
        due_s = max(time.monotonic() + takes_s, self._last_due.get((source, target), 0.0))
        self._last_due[source, target] = due_s
        heapq.heappush(self._due, (due_s, next(self._order), target, packet))

    def _write(self, target: int, packet: bytes) -> None:
        try:
            os.write(self._descriptors[target - 1], packet)
            self._passed += 1
        except OSError:
            self._stopped += 1

    def _obey(self) -> bool:
        """Take what came on the control channel; False at its end."""
        data = os.read(sys.stdin.fileno(), PACKET_BYTES_MAX)
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            self._table = decode_table(line)
            answer = Carried(passed=self._passed, stopped=self._stopped)
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
        return bool(data)


def main() -> None:
    """Command line."""
    ports = []
    for argument in sys.argv[1:]:
        descriptor, _, address = argument.partition(":")
        ports.append((int(descriptor), IPv4Address(address)))
    Router(ports, seed=1).run()


if __name__ == "__main__":
    main()
