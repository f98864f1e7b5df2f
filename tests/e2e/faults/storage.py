"""Faults of what a node keeps on disk: a damaged store, a lost journal.

Rule: what is damaged is the node's own; the way out is the one that `docs/operations.md` gives the operator.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import msgspec

from ledger.lmdb_file import DATA_FILE
from node.home import Home
from node.keystore import KeyFiles
from tests.e2e.harness import members
from tests.e2e.harness.cluster import Cluster, until
from tests.e2e.harness.scenario import Bench, scenario

NODE = 3
EXIT_FOUND, EXIT_UNUSABLE = 1, 3
# Commands are part of the way out.
RESYNC_RECOVERY_S_MAX, ROTATION_RECOVERY_S_MAX = 30.0, 40.0


class _Finding(msgspec.Struct, frozen=True):
    code: str


class _Diagnosis(msgspec.Struct, frozen=True):
    findings: tuple[_Finding, ...]


class _Check(msgspec.Struct, frozen=True):
    proven: bool


@scenario(
    "store-damaged",
    "half of one node's store is gone: doctor and check say so, resync, and it rebuilds from its peers",
    recovery_s_max=RESYNC_RECOVERY_S_MAX,
)
def store_damaged(bench: Bench) -> Iterator[None]:
    """The journal is whole, so the node votes again as soon as it has caught up."""
    cluster = bench.cluster
    home = Home(cluster.home(NODE))
    cluster.kill(NODE)
    before = bench.finalized()
    data = home.store / DATA_FILE
    os.truncate(data, data.stat().st_size // 2)
    bench.expect("store_damaged" in _diagnose(cluster, EXIT_FOUND), "the doctor finds the damage")
    bench.expect(not _proven(cluster, EXIT_FOUND), "the check finds the damage")
    cluster.start(NODE)
    cluster.wait_ended(NODE, EXIT_UNUSABLE)
    yield
    bench.expect(bench.finalized() > before, "three of four go on")
    cluster.command("node", "resync", str(home.root), "--yes")
    cluster.forget_ledger(NODE)
    cluster.start(NODE)

    def rebuilt() -> None:
        cluster.wait_voting(NODE)
        bench.expect(_proven(cluster, 0), "the store that was rebuilt is proven")

    bench.afterwards.append(rebuilt)


@scenario(
    "journal-lost",
    "the journal of one node is gone: it follows, and votes again when its key is rotated",
    recovery_s_max=ROTATION_RECOVERY_S_MAX,
    fresh=True,
)
def journal_lost(bench: Bench) -> Iterator[None]:
    """It cannot know what it voted for, so that key never votes again; with another, and the same journal, it does."""
    cluster = bench.cluster
    home = Home(cluster.home(NODE))
    files, lost = KeyFiles(home), cluster.card(NODE).vote_key
    cluster.kill(NODE)
    shutil.rmtree(home.journal)
    cluster.start(NODE)
    cluster.wait_ready()
    status = cluster.status(NODE)
    bench.expect(status is not None and not status.voting, "a node without its journal does not vote")
    cluster.command("node", "rotate-key", "--home", str(home.root))
    cluster.terminate(NODE)
    cluster.start(NODE)
    cluster.wait_ready()
    yield
    status = cluster.status(NODE)
    bench.expect(status is not None and not status.voting, "nor does it before the operators have decided")
    members.decide(cluster, cluster.numbers[:3], "rotate-key", str(files.card_next))
    members.wait_epoch(cluster, cluster.numbers, 2)
    cluster.wait_voting(NODE)
    until(
        lambda: not files.vote_next.exists() and not files.card_next.exists(), "the key is in its place", 5.0
    )
    bench.expect(cluster.card(NODE).vote_key != lost, "the card names the new key")
    left = [path.name for path in home.keys.iterdir() if path.name.startswith(files.vote.name)]
    bench.expect(left == [files.vote.name], f"nothing is left of the former key: {left}")


def _diagnose(cluster: Cluster, status: int) -> list[str]:
    said = cluster.command("node", "doctor", str(cluster.home(NODE)), status=status)
    return [finding.code for finding in msgspec.json.decode(said, type=_Diagnosis).findings]


def _proven(cluster: Cluster, status: int) -> bool:
    said = cluster.command("node", "check", str(cluster.home(NODE)), status=status)
    return msgspec.json.decode(said, type=_Check).proven
