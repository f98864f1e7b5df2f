"""Faults that nothing can survive, to show that the harness says so: not part of `--all`.

Rule: each really takes from the network what it acknowledged.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tests.e2e.harness.scenario import Bench, scenario


@scenario(
    "planted-amnesia",
    "every node restored from an old backup, which must be noticed",
    seconds=3.0,
    planted=True,
)
def amnesia(bench: Bench) -> Iterator[None]:
    """All nodes agree with each other afterwards; only the clients know what was there."""
    cluster = bench.cluster
    kept = {number: bench.folder / f"backup-{number}" for number in cluster.numbers}
    for number in cluster.numbers:
        cluster.kill(number)
    for number, backup in kept.items():
        shutil.copytree(cluster.home(number), backup)
    cluster.start_all()
    cluster.wait_ready()
    yield
    for number in cluster.numbers:
        cluster.kill(number)
    for number, backup in kept.items():
        shutil.rmtree(cluster.home(number))
        backup.rename(cluster.home(number))
    cluster.start_all()
