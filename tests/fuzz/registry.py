"""Every target, by name. A decoder that faces a peer and is not here is not fuzzed."""

from __future__ import annotations

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    consensus,
    contracts,
    core,
    crypto,
    gossip,
    http,
    ledger,
    network,
    node,
    snapshot,
)

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        *consensus.TARGETS,
        *core.TARGETS,
        *network.TARGETS,
        *ledger.TARGETS,
        *snapshot.TARGETS,
        *crypto.TARGETS,
        *contracts.TARGETS,
        *node.TARGETS,
        *gossip.TARGETS,
        *http.TARGETS,
    )
}
