"""What operators do to change who belongs to the network: `zhenglian gov`, as they would type it.

Rule: nothing but cards, governance keys, an operator's own home and the command line; no shortcut through the code.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from node.home import Home
from node.identity import KeyFiles
from tests.e2e.harness.cluster import Cluster, NotInTime, until

COMMAND_S: Final = 120.0


class _Proposed(msgspec.Struct, frozen=True):
    proposal_id: str


def decide(cluster: Cluster, voters: Sequence[int], *proposal: str) -> None:
    """Put it to the vote as the first of the operators, approve as the others.

    Args:
        voters: nodes whose operators want it, a quorum; their nodes are asked too.
        proposal: what stands behind `zhenglian gov propose`.
    """
    proposer, *others = voters
    answer = _governance(cluster, voters, proposer, "gov", "propose", *proposal)
    proposed = msgspec.json.decode(answer, type=_Proposed)
    for other in others:
        _governance(cluster, voters, other, "gov", "approve", proposed.proposal_id)


def card(cluster: Cluster, number: int) -> str:
    """Path of a node's card."""
    return str(Home(cluster.home(number)).card)


def wait_epoch(cluster: Cluster, numbers: Sequence[int], epoch: int) -> None:
    """Wait until these nodes are in that epoch."""
    until(
        lambda: all(cluster.api(number).network().epoch >= epoch for number in numbers),
        f"nodes {list(numbers)} in epoch {epoch}",
    )


def _governance(cluster: Cluster, asked: Sequence[int], operator: int, *words: str) -> bytes:
    """A command, signed with an operator's governance key; what it printed."""
    nodes = [part for number in asked for part in ("--node", cluster.wires.url(number))]
    key = str(KeyFiles(Home(cluster.home(operator))).admin)
    return zhenglian("--json", *nodes, "--key", key, *words)


def zhenglian(*words: str) -> bytes:
    """Run a command to its end; what it printed. Raises NotInTime, with all that it said, when it fails."""
    command = [sys.executable, "-m", "node.cli", *words]
    done = subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_S)
    if done.returncode != 0:
        raise NotInTime(
            f"zhenglian {' '.join(words)}: {(done.stdout + done.stderr).decode(errors='replace')}"
        )
    return done.stdout
