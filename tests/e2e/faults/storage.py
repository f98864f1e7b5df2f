"""Faults of what a node keeps on disk: a damaged store, a lost journal.

Rule: what is damaged is the node's own; the way out is the one that `docs/operations.md` gives the operator.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from ledger.lmdb_file import DATA_FILE
from node.home import Home
from tests.e2e.harness.members import zhenglian
from tests.e2e.harness.scenario import Bench, scenario

NODE = 3


@scenario("store-damaged", "half of one node's store is gone; `node resync`, and it rebuilds from its peers")
def store_damaged(bench: Bench) -> Iterator[None]:
    """The journal is whole, so the node votes again as soon as it has caught up."""
    cluster = bench.cluster
    home = Home(cluster.home(NODE))
    cluster.kill(NODE)
    data = home.store / DATA_FILE
    os.truncate(data, data.stat().st_size // 2)
    yield
    zhenglian("--json", "node", "resync", str(home.root), "--yes")
    cluster.forget_ledger(NODE)
    cluster.start(NODE)


@scenario(
    "journal-lost",
    "the journal of one node is gone: it follows, and never votes with that key again",
    fresh=True,
)
def journal_lost(bench: Bench) -> Iterator[None]:
    """It cannot know what it voted for, so it must not vote; it serves all the same."""
    cluster = bench.cluster
    cluster.kill(NODE)
    shutil.rmtree(Home(cluster.home(NODE)).journal)
    yield
    cluster.start(NODE)
    cluster.wait_ready([NODE])
    status = cluster.status(NODE)
    bench.expect(status is not None and not status.voting, "a node without its journal does not vote")
