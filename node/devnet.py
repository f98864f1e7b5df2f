"""A network of real node processes on this machine, for trying out, the demo and end-to-end tests.

Rule: a process is ended only if this folder's own record says that it was started for it, by process id *and*
start time, so that a reused id is never hit. Every node has its own folder, ports, keys and log.

    <folder>/devnet.json         names and ports
    <folder>/passphrase          opens the keys of every node, unless the environment named another
    <folder>/node-1/ …           a node's home, and beside its own files:
    <folder>/node-1/process.json id and start time of its process
    <folder>/node-1/logs/process.log  what it printed
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

from contracts.passkeys import LOCALHOST
from contracts.records import NodeRecord
from ledger.crypto.at_rest import COST_LEAST
from ledger.crypto.registry import SUITE_DEFAULT, load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import Category, LedgerError
from ledger.types import ORIGINS_MAX, VALIDATORS_MAX, WebAuthn, quorum_size
from node.cards import NodeCard
from node.devnet_system import HOST, ProcessFile, port_pairs, started_at
from node.founding import (
    assemble_genesis,
    install_network,
    load_network,
    make_bundle,
)
from node.home import Home, write_file
from node.identity import InFiles, InToken, create_identity
from node.keystore import KeyFiles
from node.rotation import make_next_certificate, rotate_vote_key
from zhenglian import Client, KeyFile, RetryPolicy
from zhenglian.api import NodeStatus
from zhenglian.keyfile import read_public
from zhenglian.unlocking import PASSPHRASE_VARIABLE, Sources

NODES_DEFAULT: Final = 4
NETWORK_NAME: Final = "devnet"
PASSPHRASE_NAME: Final = "passphrase"  # noqa: S105 - a file
PASSPHRASE_SIZE_BYTES: Final = 32
STOP_TIMEOUT_S: Final = 20.0
LOG_TAIL_LINES: Final = 12
_POLL_S: Final = 0.1
_ASK_ONCE: Final = RetryPolicy(attempts_max=1, timeout_s=2.0)


class DevnetUnusable(LedgerError):
    """The folder holds no devnet, or one already. Fields: path, reason_zh, reason_en."""

    code = "devnet_unusable"
    category = Category.CONFLICT
    zh = "{path}：{reason_zh}"
    en = "{path}: {reason_en}"


class NodeDidNotStart(LedgerError):
    """A node ended or was not ready in time. Fields: node, reason_zh, reason_en, log (its last lines)."""

    code = "node_did_not_start"
    category = Category.UNAVAILABLE
    zh = "{node} 未能就绪（{reason_zh}）。日志末尾：\n{log}"
    en = "{node} is not ready ({reason_en}). End of its log:\n{log}"


class NodePorts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node's name and ports; `founder`: whether genesis made it a validator, or it came later by a vote."""

    name: str
    founder: bool = True
    http_port: Annotated[int, Meta(ge=1, le=65535)]
    peer_port: Annotated[int, Meta(ge=1, le=65535)]


class DevnetFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    network: str
    nodes: Annotated[tuple[NodePorts, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]


class Devnet:
    """The nodes of one folder, numbered from 1. As a context manager it ends, on leaving, what it started."""

    def __init__(self, folder: Path, file: DevnetFile) -> None:
        self.folder = folder
        self.sources = Sources(environment={**os.environ, **self.environment})
        self._file = file
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    @classmethod
    def create(
        cls,
        folder: Path,
        nodes: int = NODES_DEFAULT,
        base_port: int = 0,
        *,
        network: str = NETWORK_NAME,
        suite: str = SUITE_DEFAULT,
        unencrypted: bool = False,
        origins: Sequence[str] = (),
    ) -> Devnet:
        """Make identities and genesis for a new network; starts nothing.

        Args:
            folder: new or empty.
            nodes: how many, 1 to VALIDATORS_MAX.
            base_port: first of the ports, two a node; 0 lets the system choose free ones.
            network: its name.
            suite: its crypto suite, "intl" or "sm".
            unencrypted: leave the keys readable. Else they open with the passphrase that ZHENGLIAN_PASSPHRASE_FILE names, or with
                one drawn at random into the folder's file `passphrase`; at the least cost, since a devnet guards nothing.
            origins: of pages that may use passkeys, http://localhost:PORT, beside the nodes' own.

        Raises:
            UnknownSuite, SuiteUnavailable: there is no such suite here.
            DevnetUnusable: the folder holds something, or the number of nodes is out of range.
        """
        if not 1 <= nodes <= VALIDATORS_MAX:
            raise _unusable(folder, f"节点数应为 1 至 {VALIDATORS_MAX}", f"1 to {VALIDATORS_MAX} nodes")
        if folder.exists() and any(folder.iterdir()):
            zh = "目录非空；请另选 --dir，或确认不再需要后删除它"
            en = "the folder is not empty; choose another --dir, or delete it if nothing in it is needed"
            raise _unusable(folder, zh, en)
        chosen = load_suite(suite)
        folder.mkdir(parents=True, exist_ok=True)
        ports = list(port_pairs(nodes, base_port))
        file = DevnetFile(
            network=network,
            nodes=tuple(
                NodePorts(name=f"operator-{n}", http_port=http, peer_port=peer)
                for n, (http, peer) in enumerate(ports, start=1)
            ),
        )
        if not unencrypted and not os.environ.get(PASSPHRASE_VARIABLE):
            drawn = secrets.token_hex(PASSPHRASE_SIZE_BYTES).encode() + b"\n"
            write_file(folder / PASSPHRASE_NAME, drawn, secret=True, replace=False)
        devnet = cls(folder, file)
        devnet._found(chosen, origins, unencrypted=unencrypted)
        devnet._write()
        return devnet

    @classmethod
    def open(cls, folder: Path) -> Devnet:
        """The devnet of a folder. Raises DevnetUnusable when there is none."""
        try:
            return cls(folder, decode_json((folder / "devnet.json").read_bytes(), DevnetFile))
        except FileNotFoundError:
            zh = "此目录没有 devnet；请先运行 zhenglian devnet up"
            en = "no devnet here; run zhenglian devnet up first"
            raise _unusable(folder, zh, en) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise _unusable(folder, f"devnet.json 无法读取：{error}", f"devnet.json: {error}") from None

    def _found(self, suite: CryptoSuite, origins: Sequence[str], *, unencrypted: bool) -> None:
        now_ms = time.time_ns() // 1_000_000
        cards = [
            self._identify(n, node, suite, now_ms, unencrypted=unencrypted)
            for n, node in enumerate(self._file.nodes, start=1)
        ]
        genesis = assemble_genesis(
            self._file.network,
            cards,
            time_ms=now_ms,
            suite=suite,
            webauthn=self._webauthn(origins),
            devnet=True,
        )
        bundle = make_bundle(genesis)
        for n in self.numbers:
            install_network(self._home(n), bundle)

    def _webauthn(self, others: Sequence[str]) -> WebAuthn:
        """Passkeys hang on a name, so that a page has to be opened as localhost, by whatever address the node listens."""
        own = [f"http://{LOCALHOST}:{node.http_port}" for node in self._file.nodes]
        return WebAuthn(rp_id=LOCALHOST, origins=tuple((*others, *own)[:ORIGINS_MAX]))

    def _identify(
        self, n: int, node: NodePorts, suite: CryptoSuite, now_ms: int, *, unencrypted: bool
    ) -> NodeCard:
        home = Home(self._folder_of(n))
        return create_identity(
            home,
            network=self._file.network,
            name=node.name,
            suite=suite,
            peer_host=HOST,
            peer_port=node.peer_port,
            http_host=HOST,
            http_port=node.http_port,
            now_ms=now_ms,
            keeping=None if unencrypted else self.keeping(n),
        )

    def keeping(self, n: int) -> InFiles | InToken:
        """What locks the keys of node `n`."""
        return InFiles(self.sources.new_passphrase(str(self._folder_of(n))), COST_LEAST)

    def add(self, name: str = "", nodes: Sequence[NodeRecord] = ()) -> int:
        """Make a folder for one more node, which no vote has admitted yet; starts nothing.

        Args:
            name: its operator's name; by default by its number.
            nodes: the network's nodes now, for one that has changed since genesis.

        Returns:
            Its number; `card` is what operators vote on, as validator or reader.

        Raises:
            DevnetUnusable: there are VALIDATORS_MAX nodes already.
        """
        n = len(self._file.nodes) + 1
        if n > VALIDATORS_MAX:
            raise _unusable(self.folder, f"最多 {VALIDATORS_MAX} 个节点", f"at most {VALIDATORS_MAX} nodes")
        ((http_port, peer_port),) = port_pairs(1, 0)
        node = NodePorts(
            name=name or f"operator-{n}", founder=False, http_port=http_port, peer_port=peer_port
        )
        genesis = load_network(self._home(1)).genesis
        readable = not KeyFiles(self._home(1)).keyring.exists()
        self._identify(n, node, load_suite(genesis.suite), time.time_ns() // 1_000_000, unencrypted=readable)
        install_network(Home(self._folder_of(n)), make_bundle(genesis, nodes))
        self._file = DevnetFile(network=self._file.network, nodes=(*self._file.nodes, node))
        self._write()
        return n

    def _write(self) -> None:
        data = msgspec.json.format(msgspec.json.encode(self._file), indent=2)
        (self.folder / "devnet.json").write_bytes(data)

    # --- what there is ---

    @property
    def numbers(self) -> range:
        """The nodes' numbers."""
        return range(1, len(self._file.nodes) + 1)

    @property
    def suite(self) -> CryptoSuite:
        """The crypto suite that genesis names."""
        return load_suite(load_network(self._home(1)).genesis.suite)

    @property
    def urls(self) -> tuple[str, ...]:
        """Every node's API address, in order."""
        return tuple(self.url(n) for n in self.numbers)

    def url(self, n: int) -> str:
        """API address of node `n`."""
        return f"http://{HOST}:{self._node(n).http_port}"

    def name(self, n: int) -> str:
        """Operator name of node `n`."""
        return self._node(n).name

    def home(self, n: int) -> Path:
        """Folder of node `n`."""
        self._node(n)
        return self._folder_of(n)

    def card(self, n: int) -> Path:
        """Card of node `n`, as its operator hands it out."""
        return self._home(n).card

    def rotate(self, n: int) -> Path:
        """Make node `n` a vote key that waits; the card to propose. The node has to be started anew to hold it."""
        rotate_vote_key(self._home(n), self.suite, self.sources)
        return KeyFiles(self._home(n)).card_next

    def renew_certificate(self, n: int) -> None:
        """Make node `n` another certificate, which it announces and shows by itself while it runs."""
        make_next_certificate(self._home(n), now_ms=time.time_ns() // 1_000_000, using=self.sources)

    def log(self, n: int) -> Path:
        """What node `n` printed."""
        return self.home(n) / "logs" / "process.log"

    def admin_key(self, n: int) -> Path:
        """Key file of operator `n`'s governance votes."""
        return KeyFiles(self._home(n)).admin

    def admin(self, n: int) -> KeyFile:
        """Operator `n`'s governance key."""
        return KeyFile.load(self.admin_key(n), using=self.sources)

    def account(self, n: int) -> str:
        """Operator `n`'s account id, hex."""
        return read_public(self.admin_key(n))[0].account

    @property
    def passphrase_file(self) -> Path:
        """Where the passphrase of every key here lies, if it was drawn for this network."""
        return self.folder / PASSPHRASE_NAME

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a program opens the keys."""
        named = self.passphrase_file
        return {PASSPHRASE_VARIABLE: str(named.absolute())} if named.exists() else {}

    def pid(self, n: int) -> int | None:
        """Process id of node `n`, if it runs."""
        record = self._record(n)
        if record is None or started_at(record.pid) != record.started:
            return None
        return record.pid

    def running(self, n: int) -> bool:
        """Whether node `n` has a process."""
        child = self._children.get(n)
        if child is not None and child.poll() is not None:
            return False
        return self.pid(n) is not None

    def status(self, n: int) -> NodeStatus | None:
        """What node `n` says of itself, or None when it says nothing."""
        with contextlib.suppress(LedgerError), Client(self.url(n), policy=_ASK_ONCE) as client:
            return client.status()
        return None

    # --- starting and ending ---

    def start(self, n: int) -> int:
        """Start node `n`, unless it runs; its process id."""
        running = self.pid(n) if self.running(n) else None
        if running is not None:
            return running
        self.log(n).parent.mkdir(parents=True, exist_ok=True)
        with self.log(n).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "node.cli", "node", "run", "--home", str(self.home(n))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        self._children[n] = child
        started = started_at(child.pid)
        record = ProcessFile(pid=child.pid, started=started or "")
        (self.home(n) / "process.json").write_bytes(msgspec.json.encode(record))
        return child.pid

    def start_all(self) -> None:
        """Start every node that does not run."""
        for n in self.numbers:
            self.start(n)

    def kill(self, n: int) -> bool:
        """Kill node `n` at once, as a power cut would (SIGKILL); whether it ran."""
        return self._end(n, signal.SIGKILL)

    def terminate(self, n: int) -> bool:
        """Ask node `n` to stop, and wait until it has; whether it ran."""
        return self._end(n, signal.SIGTERM)

    def stop(self) -> None:
        """Stop every node, whoever started it for this folder."""
        for n in self.numbers:
            if (pid := self.pid(n)) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        for n in self.numbers:
            self.terminate(n)

    def _end(self, n: int, how: signal.Signals) -> bool:
        pid = self.pid(n)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while self.pid(n) is not None:
                if time.monotonic() > deadline:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    deadline += STOP_TIMEOUT_S
                time.sleep(_POLL_S / 5)
            (self.home(n) / "process.json").unlink(missing_ok=True)
        child = self._children.pop(n, None)
        if child is not None:
            # Its first thread may be gone a moment before the others, and its record may have been removed.
            child.send_signal(how)
            child.wait()
        return pid is not None

    def wait_ready(self, timeout_s: float = 60.0, report: Callable[[int, int], None] | None = None) -> None:
        """Wait until every running node is connected to a quorum and has caught up, every founder votes, and their keys are made.

        Args:
            timeout_s: for how long.
            report: told how many are ready, of how many.

        Raises:
            NodeDidNotStart: a node ended, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        waiting = [n for n in self.numbers if n in self._children or self.running(n)]
        total = len(waiting)
        while waiting:
            for n in tuple(waiting):
                if not self.running(n):
                    raise self._failed(n, "进程已退出", "its process ended")
                if self._ready(n):
                    waiting.remove(n)
            if report is not None:
                report(total - len(waiting), total)
            if waiting and time.monotonic() > deadline:
                raise self._failed(waiting[0], f"{timeout_s:.0f} 秒内未就绪", f"not within {timeout_s:.0f} s")
            if waiting:
                time.sleep(_POLL_S)

    def _ready(self, n: int) -> bool:
        status = self.status(n)
        founder = self._node(n).founder
        if status is None or status.syncing or (founder and not status.voting) or not status.keys_ready:
            return False
        connected = founder + sum(peer.connected for peer in status.peers)
        return connected >= quorum_size(sum(node.founder for node in self._file.nodes))

    def _failed(self, n: int, zh: str, en: str) -> NodeDidNotStart:
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self.log(n).read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return NodeDidNotStart(node=f"node-{n}", reason_zh=zh, reason_en=en, log="\n".join(lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        started = list(self._children)
        for n in started:
            if (pid := self.pid(n)) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        for n in started:
            self.terminate(n)

    # --- records ---

    def _folder_of(self, n: int) -> Path:
        return self.folder / f"node-{n}"

    def _home(self, n: int) -> Home:
        return Home(self.home(n))

    def _node(self, n: int) -> NodePorts:
        if n not in self.numbers:
            highest = len(self._file.nodes)
            raise _unusable(
                self.folder, f"没有节点 {n}，编号为 1 至 {highest}", f"no node {n}; 1 to {highest}"
            )
        return self._file.nodes[n - 1]

    def _record(self, n: int) -> ProcessFile | None:
        try:
            return decode_json((self.home(n) / "process.json").read_bytes(), ProcessFile)
        except (OSError, msgspec.MsgspecError):
            return None


def _unusable(folder: Path, zh: str, en: str) -> DevnetUnusable:
    return DevnetUnusable(path=str(folder), reason_zh=zh, reason_en=en)
