"""The two kinds of network that nodes can be put in, behind one face: namespaces with a router, loopback with relays.

Rule: a wire knows addresses and links, nothing of nodes' files or processes.
"""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Final, Protocol

import msgspec

from tests.e2e.harness import sandbox
from tests.e2e.harness.links import Carried, Link, LinkTable

HTTP_PORT: Final = 8440
PEER_PORT: Final = 8441
CARRIER_END_S: Final = 10.0
LOOPBACK_HOST: Final = "127.0.0.1"


class Wires(Protocol):
    """Where nodes are, and what lies between them.

    Attributes:
        kind: "namespaces" or "loopback".
    """

    kind: str

    def http_listen(self, node: int) -> tuple[str, int]:
        """Where node's API listens."""
        ...

    def url(self, node: int) -> str:
        """Where a client reaches it."""
        ...

    def peer_listen(self, node: int) -> tuple[str, int]:
        """Where the node listens for others."""
        ...

    def peer_address(self, dialer: int, node: int) -> tuple[str, int]:
        """Where `dialer` reaches `node`."""
        ...

    def command(self, node: int) -> list[str]:
        """Prefix of the command line of a process of that node."""
        ...

    def set_links(self, links: Iterable[Link]) -> Carried:
        """From now on these links are as they say, and all others perfect."""
        ...

    def close(self) -> None:
        """Remove everything."""
        ...


class _Carrier:
    """The process that carries traffic, and its control channel."""

    def __init__(self, module: str, arguments: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,
        )

    def set_links(self, links: Iterable[Link]) -> Carried:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(LinkTable(links=tuple(links))) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Carried)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(CARRIER_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Namespaces:
    """Each node in a network namespace of its own; packets between them go through `router`.

    Args:
        nodes: how many there may ever be.
    """

    kind = "namespaces"

    def __init__(self, nodes: int) -> None:
        self._stack = ExitStack()
        try:
            self._spaces: list[sandbox.NodeSpace] = []
            for number in range(1, nodes + 1):
                self._spaces.append(space := sandbox.NodeSpace(number))
                self._stack.callback(space.close)
            descriptors = [space.tun for space in self._spaces]
            arguments = [f"{space.tun}:{space.peer_host}" for space in self._spaces]
            self._carrier = _Carrier("tests.e2e.harness.router", arguments, descriptors)
            self._stack.callback(self._carrier.close)
            self._carrier.set_links(())
        except BaseException:
            self._stack.close()
            raise

    def http_listen(self, node: int) -> tuple[str, int]:
        return str(self._space(node).api_host), HTTP_PORT

    def url(self, node: int) -> str:
        return f"http://{self._space(node).api_host}:{HTTP_PORT}"

    def peer_listen(self, node: int) -> tuple[str, int]:
        return str(self._space(node).peer_host), PEER_PORT

    def peer_address(self, dialer: int, node: int) -> tuple[str, int]:
        del dialer
        return self.peer_listen(node)

    def command(self, node: int) -> list[str]:
        return self._space(node).command

    def set_links(self, links: Iterable[Link]) -> Carried:
        return self._carrier.set_links(links)

    def close(self) -> None:
        self._stack.close()

    def _space(self, node: int) -> sandbox.NodeSpace:
        return self._spaces[node - 1]


class Loopback:
    """All nodes on 127.0.0.1; streams between them go through `relay`.

    Args:
        nodes: how many there may ever be.
    """

    kind = "loopback"

    def __init__(self, nodes: int) -> None:
        # Without a process namespace, this is what ends nodes when the test is killed.
        setpriv = shutil.which("setpriv")
        self._dies_with_us = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        numbers = range(1, nodes + 1)
        pairs = [(dialer, node) for dialer in numbers for node in numbers if dialer != node]
        free = iter(_free_ports(2 * nodes + len(pairs)))
        self._http = dict(zip(numbers, itertools.islice(free, nodes), strict=True))
        self._peer = dict(zip(numbers, itertools.islice(free, nodes), strict=True))
        self._relay = dict(zip(pairs, free, strict=True))
        routes = [
            f"{dialer}:{node}:{port}:{self._peer[node]}" for (dialer, node), port in self._relay.items()
        ]
        self._carrier = _Carrier("tests.e2e.harness.relay", routes)
        self._carrier.set_links(())

    def http_listen(self, node: int) -> tuple[str, int]:
        return LOOPBACK_HOST, self._http[node]

    def url(self, node: int) -> str:
        return f"http://{LOOPBACK_HOST}:{self._http[node]}"

    def peer_listen(self, node: int) -> tuple[str, int]:
        return LOOPBACK_HOST, self._peer[node]

    def peer_address(self, dialer: int, node: int) -> tuple[str, int]:
        return LOOPBACK_HOST, self._relay[dialer, node]

    def command(self, node: int) -> list[str]:
        del node
        return self._dies_with_us

    def set_links(self, links: Iterable[Link]) -> Carried:
        return self._carrier.set_links(links)

    def close(self) -> None:
        self._carrier.close()


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; held open together, so that no two are the same."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in held:
            free.bind((LOOPBACK_HOST, 0))
        return [free.getsockname()[1] for free in held]
