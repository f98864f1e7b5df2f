"""Real node processes on wires that can be broken: made, started, stopped, killed and paused by number.

Rule: only processes that this object started are touched. Whatever a fault did, `close` ends them all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from ledger.hashing import block_digest, transaction_id
from ledger.store import Store
from node.cards import NodeCard, read_card
from node.config import PeerSection, load_config, write_config
from node.devnet import Devnet
from node.home import Home
from node.identity import create_identity
from node.keystore import KeyFiles
from tests.e2e.harness.api import Api, Silent
from tests.e2e.harness.history import LedgerBlock
from tests.e2e.harness.links import Carried, Link
from tests.e2e.harness.wires import Wires
from tests.keeping import KEEPING, lend_passphrase
from tests.suites import suite_under_test
from zhenglian import KeyFile
from zhenglian.api import NodeStatus

SUITE: Final = suite_under_test()
READY_S: Final = 90.0
STOP_S: Final = 30.0
COMMAND_S: Final = 120.0
SETTLE_S: Final = 90.0
POLL_S: Final = 0.05
LOG_TAIL_LINES: Final = 15
FIRST_NODES: Final = 4


class NotInTime(AssertionError):
    """Something that had to happen did not."""


def until(so: Callable[[], bool], what: str, timeout_s: float = SETTLE_S) -> None:
    """Ask until it is so; the polling is of other processes, which tell nobody when they are done."""
    deadline_s = time.monotonic() + timeout_s
    while not so():
        if time.monotonic() > deadline_s:
            raise NotInTime(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(POLL_S)


class Cluster:
    """The nodes, numbered from 1.

    Args:
        folder: new; everything of the nodes lies in it.
        wires: the network that they are put in.

    Attributes:
        numbers: nodes there are, which everything is asked of; changes when one joins or leaves.
    """

    def __init__(self, folder: Path, wires: Wires) -> None:
        self.wires = wires
        lend_passphrase()
        devnet = Devnet.create(folder, FIRST_NODES, suite=SUITE.name)
        self.folder = folder
        self.numbers = list(devnet.numbers)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._scanned: dict[int, dict[int, LedgerBlock]] = {}
        self._apis: dict[int, Api] = {}
        self._releases: dict[int, Mapping[str, str]] = {}
        for number in self.numbers:
            self.configure(number)

    def configure(self, number: int) -> None:
        """Write the node's addresses on these wires into its `config.toml`."""
        path = Home(self.home(number)).config
        config = load_config(path)
        http_host, http_port = self.wires.http_listen(number)
        host, port = self.wires.peer_listen(number)
        others = tuple(
            PeerSection(name=self.name(other), host=address[0], port=address[1])
            for other in self.numbers
            if other != number and (address := self.wires.peer_address(number, other))
        )
        replaced = msgspec.structs.replace(
            config,
            http=msgspec.structs.replace(config.http, host=http_host, port=http_port),
            network=msgspec.structs.replace(config.network, host=host, port=port, peer=others),
        )
        write_config(path, replaced)

    # --- what there is ---

    def home(self, number: int) -> Path:
        return self.folder / f"node-{number}"

    def card(self, number: int) -> NodeCard:
        """What the node's operator says of it."""
        return read_card(Home(self.home(number)).card)

    def name(self, number: int) -> str:
        return self.card(number).name

    def account(self, number: int) -> bytes:
        return bytes.fromhex(self.card(number).account)

    def admin(self, number: int) -> KeyFile:
        """The operator's governance key."""
        return KeyFile.load(KeyFiles(Home(self.home(number))).admin)

    def log(self, number: int) -> Path:
        return self.home(number).with_suffix(".log")

    def others(self, *numbers: int) -> list[int]:
        return [number for number in self.numbers if number not in numbers]

    def api(self, number: int) -> Api:
        """For the main thread; others make their own."""
        if number not in self._apis:
            self._apis[number] = Api(self.wires.url(number))
        return self._apis[number]

    def status(self, number: int) -> NodeStatus | None:
        """What the node says of itself; None when it says nothing."""
        with contextlib.suppress(Silent):
            return self.api(number).status()
        return None

    def height(self, number: int) -> int:
        """The node's height; -1 when it says nothing."""
        status = self.status(number)
        return -1 if status is None else status.height

    def leader(self) -> int:
        """Who leads the view that node 1, or the first that answers, is in."""
        for number in self.numbers:
            status = self.status(number)
            if status is not None:
                names = {name: at for at in self.numbers for name in (self.name(at), self.account(at).hex())}
                return names.get(status.leader, number)
        return self.numbers[0]

    # --- members ---

    def add(self, number: int, *, state_sync_above_blocks: int | None = None) -> NodeCard:
        """Make the home of a further node with the network's file in it; nobody knows it yet, and it is not started.

        Args:
            number: a new one.
            state_sync_above_blocks: its `[sync]` setting; None for the usual one.
        """
        home = Home(self.home(number))
        host, port = self.wires.peer_listen(number)
        http_host, http_port = self.wires.http_listen(number)
        sponsor = self.numbers[0]
        create_identity(
            home,
            network=self.card(sponsor).network,
            name=f"operator-{number}",
            suite=SUITE,
            peer_host=host,
            peer_port=port,
            http_host=http_host,
            http_port=http_port,
            now_ms=time.time_ns() // 1_000_000,
            keeping=KEEPING,
        )
        file = self.folder / f"network-{number}.json"
        self.command(
            "node", "bundle", "--home", str(self.home(sponsor)), "--out", str(file), asked=(sponsor,)
        )
        self.command("node", "join", str(file), "--home", str(home.root))
        self.configure(number)
        if state_sync_above_blocks is not None:
            config = load_config(home.config)
            sync = msgspec.structs.replace(config.sync, state_sync_above_blocks=state_sync_above_blocks)
            write_config(home.config, msgspec.structs.replace(config, sync=sync))
        return self.card(number)

    def command(self, *words: str, asked: Iterable[int] = (), status: int = 0) -> bytes:
        """Run `zhenglian --json …` to its end.

        Args:
            words: what stands behind the options.
            asked: nodes that it may ask.
            status: how it has to end.

        Returns:
            What it printed.

        Raises:
            NotInTime: it ended otherwise; the text has all that it said.
        """
        nodes = [part for number in asked for part in ("--node", self.wires.url(number))]
        done = subprocess.run(
            [sys.executable, "-m", "node.cli", "--json", *nodes, *words],
            capture_output=True,
            check=False,
            timeout=COMMAND_S,
        )
        if done.returncode != status:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise NotInTime(f"zhenglian {' '.join(words)} ends with {done.returncode}, not {status}: {said}")
        return done.stdout

    # --- processes ---

    def upgrade(self, number: int, release: Mapping[str, str]) -> None:
        """From its next start on the node runs that release; `release` is the environment that has it found."""
        self._releases[number] = release

    def start(self, number: int, environment: Mapping[str, str] | None = None) -> None:
        """Start the node, unless it runs."""
        if self.running(number):
            return
        command = [*self.wires.command(number), sys.executable, "-m", "node.cli", "node", "run", "--home"]
        with self.log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [*command, str(self.home(number))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self._releases.get(number, {}), **(environment or {})},
            )

    def start_all(self) -> None:
        for number in self.numbers:
            self.start(number)

    def running(self, number: int) -> bool:
        process = self._processes.get(number)
        return process is not None and process.poll() is None

    def exit_status(self, number: int) -> int | None:
        """How the node ended; None while it runs."""
        process = self._processes.get(number)
        return None if process is None else process.poll()

    def signal(self, number: int, how: signal.Signals) -> None:
        process = self._processes[number]
        if process.poll() is None:
            process.send_signal(how)

    def kill(self, number: int) -> None:
        """As a power cut would (SIGKILL)."""
        self.signal(number, signal.SIGKILL)
        self._processes[number].wait(STOP_S)

    def terminate(self, number: int) -> None:
        """Ask it to stop, and wait until it has."""
        self.signal(number, signal.SIGTERM)
        try:
            self._processes[number].wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise NotInTime(f"node {number} does not stop\n{self.tail(number)}") from None

    def wait_ended(self, number: int, status: int) -> None:
        """Wait until the node has ended by itself, with that exit status."""
        until(lambda: not self.running(number), f"node {number} ends")
        if self.exit_status(number) != status:
            ended = self.exit_status(number)
            raise NotInTime(f"node {number} ends with {ended}, not {status}\n{self.tail(number)}")

    def wait_ready(self, numbers: Iterable[int] | None = None, timeout_s: float = READY_S) -> None:
        """Wait until these, or all, run, have caught up and see a quorum and the operators' keys."""
        waiting = set(self.numbers if numbers is None else numbers)

        def ready() -> bool:
            for number in tuple(waiting):
                if not self.running(number):
                    raise NotInTime(f"node {number} ended\n{self.tail(number)}")
                status = self.status(number)
                if status is None or status.syncing or not status.keys_ready:
                    continue
                if 1 + sum(peer.connected for peer in status.peers) >= status.quorum:
                    waiting.discard(number)
            return not waiting

        try:
            until(ready, f"nodes {sorted(waiting)} ready", timeout_s)
        except NotInTime as error:
            number = min(waiting, default=1)
            raise NotInTime(f"{error}; log of node {number}:\n{self.tail(number)}") from None

    def wait_answering(self, number: int) -> None:
        """Wait until the node says anything at all."""
        until(lambda: self.status(number) is not None, f"node {number} answers")

    def wait_voting(self, number: int) -> None:
        """Wait until the node takes part in consensus."""

        def voting() -> bool:
            status = self.status(number)
            return status is not None and status.voting and not status.syncing

        until(voting, f"node {number} votes")

    def wait_level(self, numbers: Iterable[int] | None = None) -> int:
        """Wait until these, or all, are at one height; the height."""
        level = list(self.numbers if numbers is None else numbers)
        heights: dict[int, int] = {}

        def same() -> bool:
            heights.update({number: self.height(number) for number in level})
            return len(set(heights.values())) == 1 and heights[level[0]] >= 0

        try:
            until(same, "all nodes at one height")
        except NotInTime as error:
            raise NotInTime(f"{error}: {heights}") from None
        return heights[level[0]]

    def wait_gone(self, number: int) -> None:
        """Wait until every other node that runs has noticed that this one is away."""
        name = self.name(number)

        def noticed(other: int) -> bool:
            status = self.status(other)
            return status is not None and not any(p.connected for p in status.peers if p.name == name)

        for other in filter(self.running, self.others(number)):
            until(lambda at=other: noticed(at), f"node {other} notices that {number} is away")  # type: ignore[misc]

    def said(self, number: int) -> str:
        """The node's whole log."""
        with contextlib.suppress(OSError):
            return self.log(number).read_text(errors="replace")
        return ""

    def tail(self, number: int) -> str:
        """The end of the node's log."""
        return "\n".join(self.said(number).splitlines()[-LOG_TAIL_LINES:])

    # --- links ---

    def set_links(self, links: Iterable[Link] = ()) -> Carried:
        """From now on these links are as they say, all others perfect."""
        return self.wires.set_links(links)

    # --- ledgers ---

    def ledgers(self, height: int) -> dict[int, dict[int, LedgerBlock]]:
        """Every node's blocks up to a height that it has finalized, read from its store while it runs."""
        for number in self.numbers:
            until(lambda at=number: self._scan(at, height), f"store of node {number} at {height}")  # type: ignore[misc]
        return {number: self._scanned[number] for number in self.numbers}

    def first_height(self, number: int) -> int:
        """The oldest block that the node has."""
        store = Store.open(Home(self.home(number)).store, SUITE)
        try:
            return store.first_height
        finally:
            store.close()

    def block_versions(self, number: int, first: int, last: int) -> list[int]:
        """The protocol version of each of these blocks, as the node has them."""
        store = Store.open(Home(self.home(number)).store, SUITE)
        try:
            found = [store.block(height) for height in range(first, last + 1)]
            return [finalized.block.header.version for finalized in found if finalized is not None]
        finally:
            store.close()

    def forget_ledger(self, number: int) -> None:
        """The node begins with another store: what was read of the old one does not count any more."""
        self._scanned.pop(number, None)

    def _scan(self, number: int, height: int) -> bool:
        """Read what was not read yet; whether the store is that high. A finalized block is committed a moment later."""
        blocks = self._scanned.setdefault(number, {})
        store = Store.open(Home(self.home(number)).store, SUITE)
        try:
            for at in range(max(blocks, default=0) + 1, min(height, store.height) + 1):
                finalized, results = store.block(at), store.results(at)
                if finalized is None or results is None:
                    continue
                transactions = finalized.block.transactions
                blocks[at] = LedgerBlock(
                    digest=block_digest(SUITE, finalized.block.header).hex(),
                    transactions=tuple(
                        (transaction_id(SUITE, transaction.body).hex(), result.code)
                        for transaction, result in zip(transactions, results, strict=True)
                    ),
                )
            return store.height >= height
        finally:
            store.close()

    # --- end ---

    def close(self) -> None:
        """End every process that this object started."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self._processes.values():
            process.wait()
        for api in self._apis.values():
            api.close()
