"""Another version of a contract on a running network: voted, switched on at a height, with all of its records.

Rule: as in `upkeep.py`. The version is `tests/releases/grants_v2.py`, in a release of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import tests.releases.grants_v2
from contracts.state import CONTRACTS, GRANTS
from contracts.upgrade_records import ContractSchedule
from ledger.store import Store
from node.home import Home
from tests.e2e.harness import grants, members
from tests.e2e.harness.cluster import SUITE, until
from tests.e2e.harness.release import make_release
from tests.e2e.harness.scenario import Bench, scenario

LATE, EARLY = 4, (1, 2, 3)
RELEASE: Final = "9.9.8"
GRANTS_GIVEN: Final = 6
# Enough for two commands, three votes and a look every five seconds while the load makes blocks, fifty in a second here.
NOTICE_BLOCKS: Final = 600
EXIT_CONFLICT, EXIT_STOPPED = 1, 3
LACKS: Final = "release_lacks_contract"
WARNS: Final = "this release is too old for what comes"


@scenario(
    "contract-upgrade",
    "a contract goes over to its next version on every node but one that is late",
    seconds=5.0,
    fresh=True,
)
def contract_upgrade(bench: Bench) -> Iterator[None]:
    """Grants given under version 1 are there under version 2; who lacks it says so, stops, is upgraded and comes back."""
    cluster = bench.cluster
    holder = grants.give(cluster, EARLY, GRANTS_GIVEN)
    before = holder.shown(cluster.wires.url(EARLY[0]))
    version = Path(tests.releases.grants_v2.__file__)
    release = make_release(bench.folder / "release", version=RELEASE, contracts=(version,))
    since_s = time.monotonic()
    for number in EARLY:
        cluster.terminate(number)
        cluster.upgrade(number, release)
        cluster.start(number)
        cluster.wait_ready()
    at = cluster.height(EARLY[0]) + NOTICE_BLOCKS
    proposal = ("upgrade-contract", "grants", "2", "--height", str(at))
    members.refuse(cluster, EARLY, "release_lacks_contract_version", EXIT_CONFLICT, *proposal)
    members.decide(cluster, EARLY, *proposal, "--force")
    until(lambda: WARNS in cluster.said(LATE), "the node with the former release warns")
    status = cluster.status(LATE)
    told = (
        []
        if status is None
        else [(one.contract, one.version, one.height, one.supported) for one in status.upgrades]
    )
    bench.expect(told == [("grants", 2, at, 1)], f"it shows what it lacks, {told}")
    stops = f"zhenglian_release_stops_height {float(at)}"
    until(lambda: stops in cluster.api(LATE).metrics(), "its metrics say where it stops")
    cluster.wait_ended(LATE, EXIT_STOPPED)
    until(lambda: all(cluster.height(number) > at for number in EARLY), f"the others are beyond block {at}")
    bench.expect(LACKS in cluster.said(LATE) or "版本 2" in cluster.said(LATE), "it says why it stops")
    bench.note(
        f"grants 2 from block {at} on; at most {bench.longest_silence_s(since_s):.1f} s without a transaction final"
    )
    cluster.start(LATE)
    cluster.wait_ended(LATE, EXIT_STOPPED)
    for number in EARLY:
        shown = holder.shown(cluster.wires.url(number))
        bench.expect(shown == before, f"node {number} has every grant as it was")
    yield
    cluster.upgrade(LATE, release)
    cluster.start(LATE)
    cluster.wait_ready()
    revoked = holder.grants[0]
    holder.revoke(cluster.wires.url(LATE), revoked)

    def switched() -> None:
        expected = before | {revoked: ("revoked", grants.USES)}
        for number in cluster.numbers:
            shown = holder.shown(cluster.wires.url(number))
            bench.expect(shown == expected, f"node {number} has every grant under version 2")
            store = Store.open(Home(cluster.home(number)).store, SUITE)
            schedule = CONTRACTS.get(store, "grants")
            left = store.scan(GRANTS.prefix, limit=1)
            store.close()
            bench.expect(schedule == ContractSchedule(version=2, since_height=at, changes=1), f"{schedule}")
            bench.expect(not left, f"node {number} has nothing left of version 1")

    bench.afterwards.append(switched)
