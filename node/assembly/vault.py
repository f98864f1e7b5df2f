"""Ciphertext: where it lies, who keeps it, how it is sealed and opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ledger.crypto.threshold.groups import group_of
from network.peers import Channel
from node.assembly.ground import Ground, wall_clock_ms
from node.assembly.holding import Holding
from node.config import blob_store
from node.exchange import BlobExchange
from node.services.keeper import Keeper, is_erased
from node.vault.bodies import BodyReader
from node.vault.custody import Custody
from node.vault.holdings import Holdings
from node.vault.keys import VaultSealer
from node.vault.mark_seeds import MarkSeeds
from node.vault.opening import VaultOpener
from node.vault.records import RecordReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """The vault's doors: `exchange` to the peers, `sealer` and `keeper` for deposits, `reader` and `seeds` for releases,
    `bodies` for those of grants."""

    holdings: Holdings
    exchange: BlobExchange
    sealer: VaultSealer
    reader: RecordReader
    seeds: MarkSeeds
    bodies: BodyReader
    keeper: Keeper


def assemble_vault(ground: Ground, holding: Holding) -> Vault:
    """Put it together.

    Raises:
        LedgerError: blob store or holdings cannot be used.
    """
    suite, chain = ground.suite, ground.chain
    holdings = Holdings(ground.home.holdings)
    store = blob_store(ground.config, ground.home, suite)
    custody = Custody(
        store=store, holdings=holdings, clock_ms=wall_clock_ms, erased=partial(is_erased, chain)
    )
    exchange = BlobExchange(
        suite=suite, custody=custody, request=ground.request(Channel.BLOBS), peers=ground.connected
    )

    async def fetch(blob: bytes) -> bytes | None:
        data = await exchange.fetch(blob)
        if data is not None:
            await custody.put_back(blob, data)
        return data

    opener = VaultOpener(
        suite=suite, server=holding.server, collector=holding.collector, height=lambda: chain.height
    )
    seeds = MarkSeeds(
        suite=suite,
        group=group_of(suite),
        chain_id=chain.chain_id,
        keys=holding.keys,
        server=holding.server,
        collector=holding.collector,
        height=lambda: chain.height,
    )
    return Vault(
        holdings=holdings,
        seeds=seeds,
        bodies=BodyReader(suite=suite, chain_id=chain.chain_id, keys=opener, store=store, fetch=fetch),
        exchange=exchange,
        sealer=VaultSealer(
            group=group_of(suite), hash_=suite.hash, chain_id=chain.chain_id, keys=holding.keys
        ),
        reader=RecordReader(suite=suite, chain_id=chain.chain_id, keys=opener, store=store, fetch=fetch),
        keeper=Keeper(
            suite=suite,
            chain=chain,
            custody=custody,
            exchange=exchange,
            node=ground.node,
            copies=ground.config.vault.copies,
            walk_every_s=ground.config.vault.walk_hours * 3600,
            clock_ms=wall_clock_ms,
            on_walk=ground.metrics.walked,
        ),
    )
