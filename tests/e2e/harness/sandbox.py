"""Namespaces of our own: everything a fault test makes lives in them, and goes with them.

The test runs itself again as process 1 of a new PID, mount and network namespace (in a user namespace of its own when
it is not root). Nothing in there has a name outside: no interface, address, mount or process is left when process 1
ends, however it ends. Process 1 ends when its standard input does, and that is a pipe held by the process outside, so
that not even SIGKILL of that one leaves anything behind.

    sandbox network namespace        the test itself: clients, router; API of node i at 10.201.i.2
      ├ veth mgmt-i ── node i's network namespace: `mgmt` 10.201.i.2/30   the API, never disturbed
      └ TUN descriptor ────────────────────────── `peer` 10.202.0.i/24    other nodes, through `router`

Rule: nothing here touches an interface, mount or process that it did not make.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

INSIDE: Final = "ZHENGLIAN_E2E_INSIDE"
MODE: Final = "ZHENGLIAN_E2E_NETWORK"
LOOPBACK: Final = "loopback"
PROBE_TIMEOUT_S: Final = 20.0
STEP_TIMEOUT_S: Final = 20.0
PEER_MTU: Final = 1500
_HOLD: Final = ("unshare", "--net", "sleep", "infinity")
_TUN_DEVICE: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_TOOLS: Final = ("unshare", "nsenter", "ip", "mount", "umount", "sleep")
_PROBE: Final = (
    "set -e; ip link set lo up; ip link add zl-probe type veth peer name zl-probe-b; ip link del zl-probe;"
    " ip tuntap add dev zl-probe mode tun; mount -t tmpfs -o size=64k tmpfs /mnt"
)


class SandboxImpossible(Exception):
    """Namespaces cannot be made here; the text says why."""


def inside() -> bool:
    """Whether this process is the one in the sandbox."""
    return os.environ.get(INSIDE) == "1"


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]


def possible() -> None:
    """Try what a sandbox needs. Raises SandboxImpossible with the reason."""
    if os.environ.get(MODE, "") == LOOPBACK:
        raise SandboxImpossible(f"{MODE}={LOOPBACK} asks for it")
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_path()) is None]
    if missing:
        raise SandboxImpossible(f"not installed: {', '.join(missing)}")
    if not Path(_TUN_DEVICE).exists():
        raise SandboxImpossible(f"no {_TUN_DEVICE}")
    try:
        tried = subprocess.run(
            [*_unshare(), "sh", "-c", _PROBE],
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
            env=os.environ | {"PATH": _path()},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxImpossible(str(error)) from None
    if tried.returncode != 0:
        raise SandboxImpossible((tried.stderr.strip() or f"status {tried.returncode}").splitlines()[-1])


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def enter(module: str, arguments: Sequence[str]) -> int:
    """Run `python -m module arguments` as process 1 of a sandbox, to its end; its exit status."""
    read_end, write_end = os.pipe()
    environment = os.environ | {INSIDE: "1", "PATH": _path()}
    command = [*_unshare(), sys.executable, "-m", module, *arguments]
    child = subprocess.Popen(command, stdin=read_end, env=environment)
    os.close(read_end)
    try:
        return child.wait()
    except KeyboardInterrupt:
        # The whole group got the signal, so the one inside is about to end by itself.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STEP_TIMEOUT_S)
        return 130
    finally:
        os.close(write_end)
        child.kill()
        child.wait()


def live_as_long_as_the_parent() -> None:
    """Inside: bring the loopback up, and end, with all that is in here, when the process outside has ended."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    run("ip", "link", "set", "lo", "up")


def run(*command: str) -> None:
    """A step of the set-up. Raises SandboxImpossible with what it said when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=STEP_TIMEOUT_S)
    if done.returncode != 0:
        raise SandboxImpossible(f"{' '.join(command)}: {done.stderr.strip()}")


class NodeSpace:
    """The network namespace of one node. Closing it ends the process that holds it, and so the namespace.

    Attributes:
        api_host: where the node's API is reached from the sandbox.
        peer_host: where other nodes reach it.
        tun: descriptor of what it sends to other nodes and they to it.
    """

    def __init__(self, number: int) -> None:
        self.api_host = IPv4Address(f"10.201.{number}.2")
        self.peer_host = IPv4Address(f"10.202.0.{number}")
        self._outer = f"mgmt-{number}"
        self._holder = subprocess.Popen(_HOLD, stdin=subprocess.DEVNULL)
        self.tun = -1
        try:
            self._wait_for_namespace()
            self._connect_api()
            self._connect_peers(number)
        except BaseException:
            self.close()
            raise

    @property
    def command(self) -> list[str]:
        """Prefix of a command line that is to run in it."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def close(self) -> None:
        """End it; whatever still runs in there keeps it alive for so long."""
        # The kernel takes a namespace down some time after its last process; the name must be free at once.
        subprocess.run(
            ["ip", "link", "del", self._outer],  # noqa: S607
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=STEP_TIMEOUT_S,
        )
        self._holder.kill()
        self._holder.wait()
        if self.tun >= 0:
            os.close(self.tun)
            self.tun = -1

    def _wait_for_namespace(self) -> None:
        own = Path("/proc/self/ns/net").readlink()
        deadline_s = time.monotonic() + STEP_TIMEOUT_S
        while Path(f"/proc/{self._holder.pid}/ns/net").readlink() == own:
            if self._holder.poll() is not None or time.monotonic() > deadline_s:
                raise SandboxImpossible("no network namespace for a node")
            time.sleep(0.005)

    def _connect_api(self) -> None:
        outer, pid = self._outer, str(self._holder.pid)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "mgmt", "netns", pid)
        run("ip", "addr", "add", f"{self.api_host - 1}/30", "dev", outer)
        run("ip", "link", "set", outer, "up")
        run(*self.command, "ip", "link", "set", "lo", "up")
        run(*self.command, "ip", "addr", "add", f"{self.api_host}/30", "dev", "mgmt")
        run(*self.command, "ip", "link", "set", "mgmt", "up")

    def _connect_peers(self, number: int) -> None:
        name = f"peer-{number}"
        self.tun = os.open(_TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
        run("ip", "link", "set", name, "netns", str(self._holder.pid))
        run(*self.command, "ip", "link", "set", name, "name", "peer", "mtu", str(PEER_MTU))
        run(*self.command, "ip", "addr", "add", f"{self.peer_host}/24", "dev", "peer")
        run(*self.command, "ip", "link", "set", "peer", "up")
