"""A fault, and how one is run: under load, then healed, then held against the clients' history.

A scenario is a function of the bench that yields once: what stands before `yield` breaks something, what stands
after it heals. The runner keeps the fault for `seconds`, heals, and measures from the moment healing begins how long it is
until a transaction handed in at every node is final there.

    @scenario("pause", "one node stopped (SIGSTOP)", seconds=10)
    def pause(bench: Bench) -> Iterator[None]:
        bench.cluster.signal(2, SIGSTOP)
        yield
        bench.cluster.signal(2, SIGCONT)

Rule: to add a fault, write such a function in a module of `tests.e2e.faults` that its `__init__` imports. Sleep nowhere
but as the fault itself: the runner does that.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from tests.e2e.harness.clients import LIFETIME_MS, Load, Writer, recovery_s, register, settle
from tests.e2e.harness.cluster import Cluster, NotInTime, until
from tests.e2e.harness.history import Fate, History, check
from tests.e2e.harness.links import Link

ROAMING_CLIENTS: Final = 3
RECOVERY_S_MAX: Final = 20.0
WARM_FINALIZED_MIN: Final = 20
Act = Callable[["Bench"], Iterator[None]]


class NotPossible(Exception):
    """This machine, or this release, lacks what the fault takes; the text says what."""


class Row(Struct, frozen=True, kw_only=True):
    """What came of one fault: a line of the table.

    Attributes:
        fault, what: short name, and what was done.
        outcome: "passed", "failed", or "skipped" when this machine lacks something; `why` says which.
        network: "namespaces" or "loopback".
        seconds_to_recover: from healing to the first transaction final through every node.
        accepted, finalized, lost, doubled: transactions of the history.
        expired: accepted, and in no block before they ran out, as the nodes say and the ledgers show.
        finalized_during: acknowledged as final while the fault was there.
        blocks: height at the end, the same at all nodes.
        notes: what the fault itself observed.
    """

    fault: str
    what: str
    outcome: Literal["passed", "failed", "skipped"]
    network: str
    why: str = ""
    seconds_to_recover: float | None = None
    accepted: int = 0
    finalized: int = 0
    lost: int = 0
    doubled: int = 0
    expired: int = 0
    finalized_during: int = 0
    blocks: int = 0
    took_s: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fault.

    Attributes:
        name, what: short name, and what is done.
        seconds, quick_s: how long it lasts in full, and among the quick ones; None: it is not one of them.
        recovery_s_max: bound on the time from healing to the first transaction final through every node.
        lifetime_ms: for so long the load's transactions are valid.
        fresh: it needs a network of its own, of four nodes that nothing happened to.
        planted: it really loses something, and must be reported as not survived; run only by name.
        act: breaks, yields, heals.
    """

    name: str
    what: str
    seconds: float
    quick_s: float | None
    recovery_s_max: float
    lifetime_ms: int
    fresh: bool
    planted: bool
    act: Callable[[Bench], Iterator[None]]


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(
    name: str,
    what: str,
    *,
    seconds: float = 10.0,
    quick_s: float | None = None,
    recovery_s_max: float = RECOVERY_S_MAX,
    lifetime_ms: int = LIFETIME_MS,
    fresh: bool = False,
    planted: bool = False,
) -> Callable[[Act], Act]:
    """Enter a fault into the list, in the order in which it is run."""

    def enter(act: Act) -> Act:
        assert name not in SCENARIOS
        SCENARIOS[name] = Scenario(
            name=name,
            what=what,
            seconds=seconds,
            quick_s=quick_s,
            recovery_s_max=recovery_s_max,
            lifetime_ms=lifetime_ms,
            fresh=fresh,
            planted=planted,
            act=act,
        )
        return act

    return enter


class Bench:
    """What a fault may do.

    Attributes:
        cluster: the nodes.
        seconds: how long the fault will last.
        folder: for files of its own.
        expires: set by a fault that at least one accepted transaction has to expire in.
        departed: nodes that a fault took out of the network for good.
        afterwards: looks to be made when all has settled, at one height, while the nodes still run.
    """

    def __init__(self, cluster: Cluster, seconds: float, folder: Path) -> None:
        self.cluster = cluster
        self.seconds = seconds
        self.folder = folder
        self.past = History()
        self.notes: list[str] = []
        self.expires = False
        self.departed: set[int] = set()
        self.afterwards: list[Callable[[], None]] = []

    def note(self, text: str) -> None:
        """Something worth a line below the table."""
        self.notes.append(text)

    def expect(self, so: bool, what: str) -> None:
        """Fail the fault unless it is so."""
        if not so:
            raise NotInTime(f"not so: {what}")

    def wait_finalized(self, before: int, what: str) -> None:
        """Wait until more than so many are acknowledged as final."""
        until(lambda: self.finalized() > before, what)

    @contextmanager
    def links(self, links: Iterable[Link], *, stops: bool = True) -> Iterator[None]:
        """Keep links as they say, and make sure that it made a difference."""
        before = self.cluster.set_links(links)
        try:
            yield
        finally:
            after = self.cluster.set_links(())
        if stops:
            self.expect(after.stopped > before.stopped, "the fault stopped at least one packet")

    def longest_silence_s(self, since_s: float) -> float:
        """The longest time since then in which nothing was acknowledged as final.

        Args:
            since_s: reading of the monotonic clock.
        """
        told = [told.ended_s for told in self.past.told if told.fate is Fate.FINALIZED]
        times = [since_s, *sorted(at for at in told if at > since_s), time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(times))

    def finalized(self) -> int:
        """Acknowledged as final so far."""
        return sum(1 for told in self.past.told if told.fate is Fate.FINALIZED)


class Runner:
    """Runs faults one after the other on one cluster. After a failure the cluster is made anew.

    Args:
        folder: new folders for clusters are made in it.
        logs: the nodes' logs are kept there when a fault was not survived, with `keep_logs` always.
        make: makes a cluster in a folder.
    """

    def __init__(
        self, folder: Path, logs: Path, make: Callable[[Path], Cluster], *, keep_logs: bool = False
    ) -> None:
        self._keep_always = keep_logs
        self._folder = folder
        self._logs = logs
        self._make = make
        self._cluster: Cluster | None = None
        self._made = 0

    def run(self, chosen: Scenario, *, quick: bool) -> Row:
        """Run one; never raises but for what ends the whole run."""
        began_s = time.monotonic()
        seconds = chosen.quick_s if quick and chosen.quick_s is not None else chosen.seconds
        row = Row(fault=chosen.name, what=chosen.what, outcome="failed", network="")
        bench: Bench | None = None
        try:
            if chosen.fresh:
                self.close()
            cluster = self._ready_cluster()
            bench = Bench(cluster, seconds, self._folder)
            row = _changed(row, network=cluster.wires.kind)
            row = self._perturb(bench, chosen, row)
        except NotPossible as error:
            row = _changed(row, outcome="skipped", why=str(error))
        except Exception as error:  # noqa: BLE001  # one fault's failure must not hide the other rows
            row = _changed(row, outcome="failed", why=f"{type(error).__name__}: {error}")
        if self._keep_always and row.outcome == "passed":
            self._keep_logs(chosen.name)
        if row.outcome == "failed":
            row = _changed(row, why=f"{row.why}\nlogs: {self._keep_logs(chosen.name)}")
        if row.outcome != "passed" or chosen.fresh:
            self.close()
        notes = tuple(bench.notes) if bench is not None else ()
        return _changed(row, took_s=round(time.monotonic() - began_s, 1), notes=notes)

    def close(self) -> None:
        """End the cluster; the next fault gets a new one."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster.wires.close()
            self._cluster = None

    def _keep_logs(self, name: str) -> Path:
        """Copy the nodes' logs to where they outlive this run; that folder."""
        kept = self._logs / name
        kept.mkdir(parents=True, exist_ok=True)
        if self._cluster is not None:
            for number in self._cluster.numbers:
                with suppress(OSError):
                    shutil.copy(self._cluster.log(number), kept)
        return kept

    def _ready_cluster(self) -> Cluster:
        if self._cluster is None:
            self._made += 1
            self._cluster = self._make(self._folder / f"cluster-{self._made}")
        self._cluster.start_all()
        self._cluster.wait_ready()
        return self._cluster

    def _perturb(self, bench: Bench, chosen: Scenario, row: Row) -> Row:
        cluster, past = bench.cluster, bench.past
        names = [f"{chosen.name} {number}" for number in range(ROAMING_CLIENTS + 1)]
        writers = register(cluster, names, chosen.lifetime_ms)
        [prober] = register(cluster, [f"{chosen.name} prober"])
        load = Load(cluster, past, chosen.name, writers)
        try:
            until(lambda: bench.finalized() >= WARM_FINALIZED_MIN, "load before the fault")
            with contextmanager(chosen.act)(bench):
                before = bench.finalized()
                time.sleep(bench.seconds)
                during = bench.finalized() - before
                healed_s = time.monotonic()
            took_s = recovery_s(cluster, past, chosen.name, prober, healed_s, chosen.recovery_s_max)
        finally:
            load.stop()
        return self._judge(bench, [*writers, prober], _changed(row, finalized_during=during), took_s)

    def _judge(self, bench: Bench, writers: list[Writer], row: Row, took_s: float) -> Row:
        cluster, past = bench.cluster, bench.past
        settle(cluster, past, writers)
        top = cluster.wait_level()
        for look in bench.afterwards:
            look()
        verdict = check(past, cluster.ledgers(top), bench.departed)
        if bench.expires and not past.ids(Fate.EXPIRED):
            verdict.say("no accepted transaction expired, though some had to")
        return _changed(
            row,
            outcome="failed" if verdict.violations else "passed",
            why=verdict.explain(),
            seconds_to_recover=round(took_s, 2),
            accepted=verdict.accepted,
            finalized=verdict.finalized,
            lost=len(verdict.lost),
            doubled=len(verdict.doubled),
            expired=len(past.ids(Fate.EXPIRED)),
            blocks=top,
        )


def _changed(row: Row, **changes: object) -> Row:
    return msgspec.structs.replace(row, **changes)
