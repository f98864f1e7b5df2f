"""What operators do to a running network in ordinary years: other certificates, another release.

Rule: those who use the network must not notice more of it than of a fault. Each begins with a new network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from node.home import Home
from node.keystore import KeyFiles
from node.rotation import certificate_of
from tests.e2e.harness import members
from tests.e2e.harness.cluster import Cluster, until
from tests.e2e.harness.release import make_release
from tests.e2e.harness.scenario import Bench, scenario

RENEWING = (2, 3)
RENEWED_S = 240.0
# With two certificates at a time a link is made anew; nobody has to be without a quorum for that.
SILENCE_S_MAX = 10.0
CERTIFICATE_NEWER_S_MIN = 5.0
LATE, EARLY = 4, (1, 2, 3)
RELEASE, PROTOCOL = "9.9.9", 2
# Enough for two commands and three votes while the load makes blocks.
NOTICE_BLOCKS = 250
EXIT_CONFLICT, EXIT_TOO_OLD = 1, 3
TOO_OLD = "release_too_old"


@scenario(
    "certificate-renewal",
    "two running nodes get other certificates",
    seconds=0.0,
    fresh=True,
)
def certificate_renewal(bench: Bench) -> Iterator[None]:
    """Announced, shown after an overlap, then alone in the ledger; the nodes do all that by themselves."""
    cluster = bench.cluster
    before = {number: _expiries(cluster, number) for number in cluster.numbers}
    former = {number: _ledger_names(cluster, number) for number in RENEWING}
    since_s = time.monotonic()
    for number in RENEWING:
        cluster.command("node", "renew-certificate", "--home", str(cluster.home(number)))
    waiting = {
        number: certificate_of(KeyFiles(Home(cluster.home(number))).tls_next).hex() for number in RENEWING
    }

    def renewed() -> bool:
        return all(_ledger_names(cluster, number) == [waiting[number]] for number in RENEWING)

    until(renewed, "the ledger names the new certificates alone", RENEWED_S)
    silence_s = bench.longest_silence_s(since_s)
    bench.note(f"{time.monotonic() - since_s:.0f} s; at most {silence_s:.1f} s without a transaction final")
    bench.expect(silence_s <= SILENCE_S_MAX, "finality goes on")
    for number in RENEWING:
        files = KeyFiles(Home(cluster.home(number)))
        bench.expect(certificate_of(files.tls).hex() == waiting[number] != former[number][0], "it shows it")
        bench.expect(not files.tls_next.path.exists(), "nothing waits any more")
    yield
    for number in RENEWING:
        for other in cluster.others(number):
            until(
                lambda at=other, of=number: _newer(cluster, at, of, before[at]),  # type: ignore[misc]
                f"node {other} is connected to {number} with its new certificate",
                30.0,
            )


def _ledger_names(cluster: Cluster, number: int) -> list[str]:
    """The certificates that every node's ledger names for this one; empty while they do not agree."""
    account = cluster.account(number).hex()
    found = [
        next((list(node.certificates) for node in cluster.api(other).nodes() if node.account == account), [])
        for other in cluster.numbers
    ]
    return found[0] if all(names == found[0] for names in found) else []


def _expiries(cluster: Cluster, number: int) -> dict[str, float]:
    """When the certificates end that the node and its peers show, seconds since 1970, by name."""
    text, now_s = cluster.api(number).metrics(), time.time()
    found = re.findall(
        r'^zhenglian_peer_certificate_expires_seconds\{node="([^"]+)"\} (\S+)$', text, re.MULTILINE
    )
    return {name: now_s + float(left) for name, left in found}


def _newer(cluster: Cluster, number: int, peer: int, before: dict[str, float]) -> bool:
    name, status = cluster.name(peer), cluster.status(number)
    if status is None or not any(p.connected for p in status.peers if p.name == name):
        return False
    return _expiries(cluster, number).get(name, 0.0) > before[name] + CERTIFICATE_NEWER_S_MIN


@scenario(
    "rolling-upgrade",
    "nodes go over to another release one by one, then to its protocol version; one is late",
    seconds=5.0,
    fresh=True,
)
def rolling_upgrade(bench: Bench) -> Iterator[None]:
    """Two releases side by side, until the height at which the operators have switched the new version on."""
    cluster = bench.cluster
    release = make_release(bench.folder / "release", version=RELEASE, protocol_version_max=PROTOCOL)
    since_s = time.monotonic()
    for number in EARLY:
        cluster.terminate(number)
        cluster.upgrade(number, release)
        cluster.start(number)
        cluster.wait_ready()
        status = cluster.status(number)
        bench.expect(status is not None and status.release == RELEASE, f"node {number} is upgraded")
    at = cluster.height(EARLY[0]) + NOTICE_BLOCKS
    version = ("protocol-version", str(PROTOCOL), "--at", str(at))
    members.refuse(cluster, cluster.numbers, "release_lacks_version", EXIT_CONFLICT, *version)
    members.decide(cluster, EARLY, *version, "--force")
    cluster.wait_ended(LATE, EXIT_TOO_OLD)
    until(lambda: all(cluster.height(number) > at for number in EARLY), f"the others are beyond block {at}")
    bench.expect(TOO_OLD in cluster.said(LATE), "the node with the former release says why it stops")
    silence_s = bench.longest_silence_s(since_s)
    bench.note(
        f"version {PROTOCOL} from block {at} on; at most {silence_s:.1f} s without a transaction final"
    )
    cluster.start(LATE)
    cluster.wait_ended(LATE, EXIT_TOO_OLD)
    yield
    cluster.upgrade(LATE, release)
    cluster.start(LATE)

    def switched() -> None:
        top = cluster.height(LATE)
        expected = [1] * (at - 1) + [PROTOCOL] * (top - at + 1)
        for number in cluster.numbers:
            found = cluster.block_versions(number, 1, top)
            bench.expect(found == expected, f"node {number} has version {PROTOCOL} from block {at} on")

    bench.afterwards.append(switched)
