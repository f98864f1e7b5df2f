"""What a devnet asks of this machine: ports that are free, and which process an id belongs to.

Rule: a process is known by its id and the moment it began; an id alone may be another's by now.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

HOST: Final = "127.0.0.1"
# Below what systems give to outgoing connections, which would else take a port between its choice and its use.
PORT_FIRST: Final = 15_000
PORT_LAST: Final = 32_000
_PORT_SPACING: Final = 2


class ProcessFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which process: an id alone may be used again by another."""

    pid: int
    started: str


def port_pairs(nodes: int, base_port: int) -> Iterator[tuple[int, int]]:
    """(HTTP, peer) port of each node; free ones are held open together, so that no two are the same."""
    if base_port:
        for n in range(nodes):
            yield base_port + _PORT_SPACING * n, base_port + _PORT_SPACING * n + 1
        return
    numbers: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(numbers) < nodes * _PORT_SPACING:
            free = stack.enter_context(socket.socket())
            number = PORT_FIRST + secrets.randbelow(PORT_LAST - PORT_FIRST + 1)
            with contextlib.suppress(OSError):
                free.bind((HOST, number))
                numbers.append(number)
    yield from zip(numbers[::2], numbers[1::2], strict=True)


def started_at(pid: int) -> str | None:
    """When a process began, as the system tells it; None when there is none, or only its remains."""
    stat_file = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat_file.read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return None
        return None if fields[0] in {"Z", "X"} else fields[19]
    shown = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not shown or shown.startswith("Z") else shown.partition(" ")[2].strip()
