"""Every target, by name. A decoder that faces a peer and is not here is not fuzzed."""

from __future__ import annotations

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    archive,
    backup,
    consensus,
    contracts,
    core,
    crypto,
    crypto_sm,
    deposits,
    gossip,
    grants,
    http,
    keys,
    ledger,
    network,
    node,
    passkeys,
    people,
    regions,
    shares,
    snapshot,
    threshold,
    tree,
    upgrades,
    vault,
    watermark,
    webhooks,
)

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        *consensus.TARGETS,
        *core.TARGETS,
        *network.TARGETS,
        *ledger.TARGETS,
        *snapshot.TARGETS,
        *tree.TARGETS,
        *archive.TARGETS,
        *backup.TARGETS,
        *crypto.TARGETS,
        *crypto_sm.TARGETS,
        *deposits.TARGETS,
        *threshold.TARGETS,
        *contracts.TARGETS,
        *regions.TARGETS,
        *upgrades.TARGETS,
        *node.TARGETS,
        *vault.TARGETS,
        *shares.TARGETS,
        *gossip.TARGETS,
        *http.TARGETS,
        *grants.TARGETS,
        *keys.TARGETS,
        *passkeys.TARGETS,
        *people.TARGETS,
        *watermark.TARGETS,
        *webhooks.TARGETS,
    )
}
