"""How a node comes to its ledger: it opens what it has, begins with its peers' snapshot, or begins at genesis.

Rule: only a node without a ledger asks for a snapshot, over a peer network of its own that ends before the node's begins. Whatever
comes of it the node goes on: what it lacks it then fetches block by block.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import structlog

from consensus.disk import FileDisk
from consensus.journal import Journal, is_journal
from contracts.genesis import genesis_state
from contracts.membership import validators
from ledger.crypto.suite import chain_id
from ledger.errors import LedgerError, Unavailable
from network.peers import Channel, PeerNetwork
from node.config import retention, snapshot_serving, state_sync
from node.foundation import Foundation
from node.founding import bundled_addresses, peer_addresses
from node.identity import load_identity
from node.journal import begin_journal
from node.keystore import KeyFiles
from node.rotation import discard_next_vote_key, retire_vote_key
from node.servedstore import ServedStore
from node.statesync import SnapshotServer, StateSync
from node.versions import CONTRACT_VERSIONS, LEDGER_VERSIONS, RELEASE

# No network makes blocks faster, so that one this young needs no snapshot.
BLOCK_MS_MIN: Final = 5

log = structlog.get_logger()


class OtherNetwork(LedgerError):
    """The store belongs to another genesis. Fields: path."""

    code = "other_network"
    zh = "{path} 中的账本属于另一个网络；请检查 genesis.json 或换用空目录"
    en = "The ledger in {path} belongs to another network; check genesis.json or use an empty folder"


def has_ledger(base: Foundation) -> bool:
    """Whether the home has a ledger already, however damaged."""
    return any(base.home.store.iterdir())


def wants_snapshot(base: Foundation, now_ms: int) -> bool:
    """Whether the node has nothing, and the network may be old enough for a snapshot to be worth it."""
    above = state_sync(base.config).state_sync_above_blocks
    return above > 0 and not has_ledger(base) and now_ms - base.genesis.time_ms > above * BLOCK_MS_MIN


async def fetch_snapshot(base: Foundation) -> None:
    """Ask the peers how far they are, and begin with their snapshot if they are far ahead.

    Raises:
        Unavailable: the disk is full or cannot be written, or the peers' address cannot be listened at.
    """
    genesis, suite = base.genesis, base.suite
    nothing_yet = SnapshotServer(
        suite=suite, folder=base.home.snapshots, settings=snapshot_serving(base.config)
    )

    async def serve(sender: bytes, channel: Channel, payload: bytes) -> bytes:
        if channel is not Channel.SNAPSHOT:
            raise Unavailable(what="this node", reason="it is fetching its ledger")
        return await nothing_yet.serve(sender, payload)

    network = PeerNetwork(
        node_id=base.identity.account,
        chain_id=chain_id(suite, genesis),
        tls=base.identity.tls,
        listen=(base.config.network.host, base.config.network.port),
        peers=peer_addresses(bundled_addresses(base.network), base.config, base.identity.account),
        on_message=lambda _sender, _channel, _payload: None,
        on_request=serve,
        release=RELEASE,
        ledger_versions=LEDGER_VERSIONS,
        contracts=CONTRACT_VERSIONS,
    )
    await network.start()
    try:
        outcome = await StateSync(
            suite=suite,
            genesis=genesis,
            genesis_state=genesis_state(suite, genesis),
            store_path=base.home.store,
            folder=base.home.incoming,
            request=lambda peer, payload, timeout_s: network.request(
                peer, Channel.SNAPSHOT, payload, timeout_s=timeout_s
            ),
            peers=network.connected,
            settings=state_sync(base.config),
        ).run()
        log.info("state sync", outcome=outcome.value)
    finally:
        await nothing_yet.stop()
        await network.stop()


def begin(base: Foundation) -> tuple[Foundation, Journal, ServedStore | None]:
    """Open journal and ledger, and see which vote key this node may use.

    A rotation that a crash cut short is finished. If the journal is lost, nobody knows what was voted, so a key that waits for
    the operators' vote is given up with it: the operator makes another.

    Returns:
        The foundation with the keys that are left; the journal; the ledger, None where there is none yet.

    Raises:
        StorageDamaged: journal or ledger is not as it was written.
    """
    store = open_store(base) if has_ledger(base) else None
    if store is not None and _retire_former_key(base, store):
        base = replace(base, identity=load_identity(base.home, base.suite))
    disk = FileDisk(base.home.journal)
    lost = not is_journal(disk)
    journal = begin_journal(
        base.home,
        disk,
        store_height=store.height if store is not None else 0,
        vote_key=base.identity.vote_signer.public_key,
    )
    if lost and journal.silenced is not None:
        if KeyFiles(base.home).vote_next.exists():
            log.warning(
                "the vote key that waited is given up with the lost journal; make another: zhenglian node rotate-key"
            )
        discard_next_vote_key(base.home)
        base = replace(base, identity=load_identity(base.home, base.suite))
    return base, journal, store


def _retire_former_key(base: Foundation, store: ServedStore) -> bool:
    own = [one for one in validators(store).validators if one.account == base.identity.account]
    return any(retire_vote_key(base.home, base.suite, one.vote_key) for one in own)


def open_store(base: Foundation) -> ServedStore:
    """The ledger of this home; one that begins at genesis if there is none.

    Raises:
        StorageDamaged: it cannot be read.
        OtherNetwork: it is another network's.
    """
    genesis = base.genesis
    kept = retention(base.config)
    if has_ledger(base):
        store = ServedStore.open(base.home.store, base.suite, retention=kept)
    else:
        state = genesis_state(base.suite, genesis)
        store = ServedStore.create(base.home.store, base.suite, genesis, state, retention=kept)
    if store.genesis != genesis:
        store.close()
        raise OtherNetwork(path=str(base.home.store))
    return store
