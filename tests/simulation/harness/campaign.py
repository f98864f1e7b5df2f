"""One seeded run: a phase of faults in which safety must hold, then healing, after which there must be progress.

Rule: the seed decides everything. A run either passes or raises PropertyBroken; no seed is ever excluded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from consensus.core.effects import Effect
from consensus.core.settings import Timing
from ledger.errors import InvariantViolation
from network.simulated import LinkFaults
from tests.simulation.harness.actors import ACTORS, corrupt
from tests.simulation.harness.checkers import PropertyBroken, require
from tests.simulation.harness.cluster import Cluster
from tests.simulation.harness.node import Backup, SimNode, index_of

FAULTS_MS: Final = 40_000
HEALED_MS_MAX: Final = 240_000
REST_MS: Final = 10_000
STEP_MS: Final = 200
SIZES: Final = (4, 4, 4, 7, 10)
# One seed in so many uses BLS12-381 in place of the keyed hash.
REAL_SIGNATURES_EVERY: Final = 20
VALIDATORS_MIN: Final = 4
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did.

    Attributes:
        seed, size: of the run; the size is that of the first epoch.
        epoch: the last one that all honest nodes reached.
        byzantine: name of each Byzantine validator's behaviour, by index.
        height: finalized by all honest nodes.
        view: highest view reached.
        crashes: power losses.
        silenced: validators that noticed to have forgotten votes.
        evidence: conflicting votes proven.
        simulated_ms: virtual time that passed.
        healed_ms: virtual time from healing to progress.
        trace_hash: hash of every delivered message.
    """

    seed: int
    size: int
    byzantine: dict[int, str]
    epoch: int
    height: int
    view: int
    crashes: int
    silenced: int
    evidence: int
    simulated_ms: int
    healed_ms: int
    trace_hash: str


OLD_BACKUP: Final = "old backup"


class Campaign:
    """The run of one seed."""

    def __init__(
        self,
        seed: int,
        *,
        trace: Callable[[int, str], None] | None = None,
        observe: Callable[[int, int, Effect], None] | None = None,
    ) -> None:
        self.seed = seed
        self.random = Random(f"campaign/{seed}")
        real = seed % REAL_SIGNATURES_EVERY == 0
        size = 4 if real else self.random.choice(SIZES)
        timing = Timing(
            delta_ms=self.random.choice((200, 500)),
            delta_ms_max=self.random.choice((1_000, 4_000)),
            growth_percent=self.random.choice((100, 150)),
        )
        self.changing = self.random.random() < 0.4
        readers = self.random.choice((0, 1, 2)) if not self.changing else self.random.choice((1, 2))
        self.cluster = Cluster(size, seed, readers=readers, timing=timing, real_signatures=real)
        self.cluster.world.trace = trace
        if observe is not None:
            self.cluster.observe(lambda node, effect: observe(self.cluster.time.now_ms, node, effect))
        self.byzantine: dict[int, str] = {}
        self.forgetful: set[int] = set()
        self._backups: dict[int, Backup] = {}
        self._choose_villains((size - 1) // 3)
        self.honest = [index for index in range(size + readers) if index not in self.byzantine]
        for index in self.honest:
            self.cluster.nodes[index].skew_ms = self.random.randint(-2_000, 2_000)

    def run(self) -> Report:
        """Both phases.

        Raises:
            PropertyBroken: safety or liveness failed.
        """
        cluster = self.cluster
        try:
            cluster.start()
            self._faults()
            healed_ms = self._heal()
            self._rest()
        except InvariantViolation as error:
            raise PropertyBroken(f"a node stopped: {error}") from error
        evidence = sum(
            node.engine.status().evidence_count
            for node in cluster.nodes
            if node.honest and node.engine is not None
        )
        return Report(
            seed=self.seed,
            size=cluster.size,
            byzantine=self.byzantine,
            epoch=min(cluster.epochs(self.honest)),
            height=min(cluster.heights(self.honest)),
            view=max(cluster.views()),
            crashes=sum(node.crashes for node in cluster.nodes),
            silenced=sum(len(node.forgotten) for node in cluster.nodes),
            evidence=evidence,
            simulated_ms=cluster.time.now_ms,
            healed_ms=healed_ms,
            trace_hash=cluster.trace_hash,
        )

    def _choose_villains(self, faulty_max: int) -> None:
        """Up to f validators are Byzantine, or restored from old backups; the rest of f may lose a journal."""
        count = self.random.choice((0, self.random.randint(0, faulty_max), faulty_max, faulty_max))
        for index in self.random.sample(range(self.cluster.size), count):
            choice = self.random.random()
            if choice < 0.15:
                self.cluster.nodes[index].honest = False
                self.cluster.add_twin(index)
                self.byzantine[index] = "twins"
                continue
            if choice < 0.3:
                self.cluster.nodes[index].honest = False
                self.byzantine[index] = OLD_BACKUP
                continue
            actor = corrupt(
                self.cluster.nodes[index], self.random.choice(ACTORS), Random(self.random.random())
            )
            self.byzantine[index] = actor.name
        honest = [index for index in range(self.cluster.size) if index not in self.byzantine]
        spare = faulty_max - count
        if spare and self.random.random() < 0.5:
            self.forgetful = set(self.random.sample(honest, self.random.randint(1, spare)))

    # --- the phase of faults ----------------------------------------------------------------------------------------

    def _faults(self) -> None:
        cluster, random = self.cluster, self.random
        harshness = random.choice((0.0, 0.3, 1.0))
        until_ms = cluster.time.now_ms + FAULTS_MS
        while cluster.time.now_ms < until_ms:
            if random.random() < 0.1:
                self._change_links(harshness)
            if random.random() < 0.05 * harshness:
                self._cut()
            for index in self.honest:
                if not cluster.nodes[index].up and random.random() < 0.2:
                    cluster.nodes[index].start()
            if random.random() < 0.15 * harshness:
                self._power()
            if random.random() < 0.01 * harshness:
                node = cluster.nodes[random.choice(self.honest)]
                node.skew_ms = random.choice((random.randint(-60_000, 60_000), -3 * HOUR_MS, 3 * HOUR_MS))
            if self.forgetful and random.random() < 0.05:
                self._lose_journal(cluster.nodes[random.choice(sorted(self.forgetful))])
            if self._backups or OLD_BACKUP in self.byzantine.values():
                self._restore_backups()
            if self.changing and random.random() < 0.04:
                self._change_validators(harshness)
            if random.random() < 0.7:
                everyone = range(len(cluster.nodes))
                cluster.submit(random.sample(everyone, random.randint(1, len(everyone))))
            cluster.run(STEP_MS)

    def _restore_backups(self) -> None:
        """Copy the folders of a machine, and put the copy back much later."""
        for index, name in self.byzantine.items():
            node = self.cluster.nodes[index]
            if name != OLD_BACKUP:
                continue
            if not node.up:
                node.start()
            elif index not in self._backups and self.random.random() < 0.05:
                self._backups[index] = node.backup()
            elif index in self._backups and self.random.random() < 0.02:
                node.crash()
                node.bring_back(self._backups.pop(index))

    def _change_validators(self, harshness: float) -> None:
        """Ask for a rotated key, a new member, a member less or one in place of another, as far as a quorum stays honest;
        and, sometimes, have machines lose power around the border.
        """
        cluster, random = self.cluster, self.random
        members = [index_of(one.account) for one in cluster.newest_validators().validators]
        faulty = {*self.byzantine, *self.forgetful}
        honest = [index for index in members if index not in self.byzantine]
        outside = [index for index in self.honest if index not in members]
        leaving = random.choice(members)
        keys: dict[int, bytes | None] = {}
        choice = random.randrange(4)
        if choice == 0:
            rotated = random.choice(honest)
            keys[rotated] = cluster.new_key(rotated)
        if choice in {1, 3} and outside:
            joining = random.choice(outside)
            keys[joining] = cluster.new_key(joining)
        if choice in {2, 3}:
            keys[leaving] = None
        after = {*members, *keys} - {index for index, key in keys.items() if key is None}
        if keys and len(after) >= VALIDATORS_MIN and len(after & faulty) <= (len(after) - 1) // 3:
            cluster.change(keys)
            if harshness and random.random() < 0.5:
                for index in random.sample(self.honest, random.randint(1, len(self.honest))):
                    cluster.nodes[index].crash_after_effects = random.randint(0, 100)

    def _change_links(self, harshness: float) -> None:
        low = self.random.choice((1, 20, 100))
        self.cluster.network.faults = LinkFaults(
            loss=self.random.choice((0.0, 0.0, 0.05, 0.3)) * harshness,
            duplication=self.random.choice((0.0, 0.1, 0.5)) * harshness,
            delay_ms_min=low,
            delay_ms_max=low + self.random.choice((0, 50, 400, 1_500)),
        )

    def _cut(self) -> None:
        """Halves, one isolated, one direction, a ring, or nothing."""
        size, random = len(self.cluster.nodes), self.random
        everyone = range(size)
        links = {(a, b) for a in everyone for b in everyone if a != b}
        side = set(random.sample(everyone, random.randint(1, size - 1)))
        alone = random.randrange(size)
        self.cluster.network.cut = random.choice(
            (
                set(),
                {(a, b) for a, b in links if (a in side) != (b in side)},
                {(a, b) for a, b in links if a in side and b not in side},
                {(a, b) for a, b in links if alone in {a, b}},
                {(a, b) for a, b in links if (a - b) % size not in {1, size - 1}},
            )
        )

    def _power(self) -> None:
        """Crash, crash at some coming effect, all at once, stop for a while."""
        random = self.random
        node = self.cluster.nodes[random.choice(self.honest)]
        fate = random.randrange(10)
        if fate > 7:
            node.pause()
            self.cluster.time.after(random.randint(100, 10_000), node.resume)
        elif fate == 0:
            for index in self.honest:
                self.cluster.nodes[index].crash()
        elif fate < 5:
            node.crash()
        else:
            node.crash_after_effects = random.randint(0, 60)

    def _lose_journal(self, node: SimNode) -> None:
        """Unless its key has just been rotated: then it could not know which of the two to silence."""
        current = node.application.validators() if node.application is not None else node.store.validators
        node.crash()
        if node.store.height and node.store.validators == current:
            node.lose_journal()
        node.start()

    # --- the phase of recovery --------------------------------------------------------------------------------------

    def _heal(self) -> int:
        """Everything works again, but for the Byzantine: new transactions must become final on every honest node."""
        cluster = self.cluster
        cluster.network.heal()
        for index in self.honest:
            node = cluster.nodes[index]
            node.crash_after_effects = None
            node.resume()
            node.skew_ms = self.random.randint(-2_000, 2_000)
        for node in cluster.nodes:
            if not node.up:
                node.start()
        for node in cluster.nodes:
            require(node.up, f"node {node.index} does not start")
        began_ms = cluster.time.now_ms
        numbers = [cluster.submit() for _ in range(3)]
        cluster.run(HEALED_MS_MAX, stop=lambda: cluster.all_final(numbers, self.honest))
        heights = cluster.heights(self.honest)
        require(
            cluster.all_final(numbers, self.honest),
            f"no progress {HEALED_MS_MAX} ms after healing: heights {heights}, "
            f"epochs {cluster.epochs()}, views {cluster.views()}",
        )
        return cluster.time.now_ms - began_ms

    def _rest(self) -> None:
        """Then all honest nodes come to the same height and, when nobody is Byzantine, to rest."""
        cluster = self.cluster
        pending = {nonce for index in self.honest for nonce in cluster.nodes[index].store.pending}
        for index in self.honest:
            application = cluster.nodes[index].application
            for nonce in sorted(pending):
                if application is not None:
                    application.store.pending.pop(nonce, None)
        cluster.run(REST_MS)
        views = cluster.views()
        cluster.run(REST_MS)
        if not self.byzantine:
            require(
                len(set(cluster.heights(self.honest))) == 1, f"heights differ: {cluster.heights(self.honest)}"
            )
            require(
                len(set(cluster.epochs(self.honest))) == 1, f"epochs differ: {cluster.epochs(self.honest)}"
            )
            require(views == cluster.views(), f"an idle chain does not rest: {views}, {cluster.views()}")
            for index in self.honest:
                require(not cluster.nodes[index].store.pending, "an idle chain left a transaction behind")
