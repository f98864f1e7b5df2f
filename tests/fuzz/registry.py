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
    grant_calls,
    grants,
    http,
    keys,
    leaks,
    ledger,
    network,
    node,
    passkeys,
    people,
    people_calls,
    regions,
    shares,
    snapshot,
    threshold,
    tree,
    upgrades,
    vault,
    watermark,
    watermark_command,
    watermark_pdf,
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
        *grant_calls.TARGETS,
        *regions.TARGETS,
        *upgrades.TARGETS,
        *node.TARGETS,
        *vault.TARGETS,
        *shares.TARGETS,
        *gossip.TARGETS,
        *http.TARGETS,
        *grants.TARGETS,
        *keys.TARGETS,
        *leaks.TARGETS,
        *passkeys.TARGETS,
        *people.TARGETS,
        *people_calls.TARGETS,
        *watermark.TARGETS,
        *watermark_command.TARGETS,
        *watermark_pdf.TARGETS,
        *webhooks.TARGETS,
    )
}
