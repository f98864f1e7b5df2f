"""What operators do to change who belongs to the network: `zhenglian gov`, as they would type it.

Rule: nothing but cards, governance keys, an operator's own home and the command line; no shortcut through the code.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from node.home import Home
from node.keystore import KeyFiles
from tests.e2e.harness.cluster import Cluster, NotInTime, until


class _Proposed(msgspec.Struct, frozen=True):
    proposal_id: str


class _Error(msgspec.Struct, frozen=True):
    code: str


class _Refused(msgspec.Struct, frozen=True):
    error: _Error


def decide(cluster: Cluster, voters: Sequence[int], *proposal: str) -> None:
    """Put it to the vote as the first of the operators, approve as the others.

    Args:
        cluster: the nodes.
        voters: nodes whose operators want it, a quorum; their nodes are asked too.
        proposal: what stands behind `zhenglian gov propose`.
    """
    proposer, *others = voters
    answer = _governance(cluster, voters, proposer, 0, "gov", "propose", *proposal)
    proposed = msgspec.json.decode(answer, type=_Proposed)
    for other in others:
        _governance(cluster, voters, other, 0, "gov", "approve", proposed.proposal_id)


def refuse(cluster: Cluster, asked: Sequence[int], code: str, status: int, *proposal: str) -> None:
    """Make sure that `zhenglian gov propose` does not propose that, for that reason.

    Args:
        cluster: the nodes.
        asked: nodes that are asked; the operator of the first would propose it.
        code, status: of the error, and how the command ends.
        proposal: what stands behind `zhenglian gov propose`.
    """
    answer = _governance(cluster, asked, asked[0], status, "gov", "propose", *proposal)
    said = msgspec.json.decode(answer, type=_Refused).error.code
    if said != code:
        raise NotInTime(f"not so: {' '.join(proposal)} is refused as {code}; it is as {said}")


def card(cluster: Cluster, number: int) -> str:
    """Path of a node's card."""
    return str(Home(cluster.home(number)).card)


def wait_epoch(cluster: Cluster, numbers: Sequence[int], epoch: int) -> None:
    """Wait until these nodes are in that epoch."""
    until(
        lambda: all(cluster.api(number).network().epoch >= epoch for number in numbers),
        f"nodes {list(numbers)} in epoch {epoch}",
    )


def _governance(cluster: Cluster, asked: Sequence[int], operator: int, status: int, *words: str) -> bytes:
    """A command, signed with an operator's governance key; what it printed."""
    key = str(KeyFiles(Home(cluster.home(operator))).admin)
    return cluster.command("--key", key, *words, asked=asked, status=status)
