"""Nodes' folders with everything real in them, made without running a node: keys, genesis, a chain that four operators signed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from consensus.application import ProposalContext
from consensus.disk import FileDisk
from consensus.journal import Journal
from contracts.genesis import genesis_state
from ledger.crypto.suite import VoteSigner
from ledger.hashing import block_digest
from ledger.store import Store
from ledger.types import FinalizedBlock, Genesis, Vote, VoteKind, quorum_size
from node.execution import Execution
from node.founding import assemble_genesis, genesis_to_json
from node.home import Home
from node.identity import Keeping, create_identity, load_identity
from node.journal import MARK
from node.mempool import Mempool, PoolLimits, SignatureCache
from node.vault.blobs import LocalBlobStore
from tests.suites import suite_under_test

SUITE: Final = suite_under_test()
NOW_MS: Final = 1_735_689_600_000


def found_homes(folder: Path, network: str = "test", keeping: Keeping = None) -> tuple[list[Home], Genesis]:
    """Four operators' folders with one genesis; the stores are at height 0."""
    homes = [Home(folder / f"node{number}") for number in range(4)]
    cards = [
        create_identity(
            home,
            network=network,
            name=f"node {number}",
            suite=SUITE,
            peer_host="127.0.0.1",
            peer_port=9000 + number,
            http_host="127.0.0.1",
            http_port=8000 + number,
            now_ms=NOW_MS,
            keeping=keeping,
        )
        for number, home in enumerate(homes)
    ]
    genesis = assemble_genesis(network, cards, time_ms=NOW_MS, suite=SUITE)
    for home in homes:
        home.genesis.write_bytes(genesis_to_json(genesis))
        home.store.rmdir()
        Store.create(home.store, SUITE, genesis, genesis_state(SUITE, genesis)).close()
        home.store.chmod(0o700)
    return homes, genesis


def begin_journal(home: Home) -> None:
    """As if the node had started once."""
    disk = FileDisk(home.journal)
    Journal.create(disk, silenced=None).close()
    disk.close()
    (home.journal / MARK).unlink()


def vote_signers(homes: list[Home]) -> list[VoteSigner]:
    return [load_identity(home, SUITE).vote_signer for home in homes]


def grow(store: Store, signers: list[VoteSigner], blocks: int) -> None:
    """Finalize and commit empty blocks that a quorum of the operators has signed."""
    execution = Execution(
        suite=SUITE,
        store=store,
        mempool=Mempool(PoolLimits()),
        verify=SignatureCache(SUITE),
        on_finalized=lambda _final: None,
        clock_ms=lambda: NOW_MS,
    )
    validators = store.genesis.validators
    for _ in range(blocks):
        digest, header = execution.head()
        context = ProposalContext(
            epoch=validators.epoch,
            view=header.height + 1,
            height=0,
            time_ms=header.time_ms + 1000,
            proposer=validators.validators[0].account,
        )
        block = execution.propose(digest, context)
        assert block is not None
        name = block_digest(SUITE, block.header)
        votes = []
        for index in range(quorum_size(len(validators.validators))):
            vote = Vote(
                kind=VoteKind.FINALIZE,
                epoch=validators.epoch,
                view=block.header.view,
                digest=name,
                validator=index,
                signature=b"-",
            )
            votes.append(replace(vote, signature=signers[index].sign_vote(store.chain_id, vote)))
        certificate = SUITE.quorum.aggregate(validators, tuple(votes))
        execution.finalize(FinalizedBlock(block=block, path=(), certificate=certificate), name)
        store.commit(execution.next_group(16))
        execution.group_committed()


def fill_blobs(home: Home, count: int) -> list[bytes]:
    """Ciphertext of some sizes; its names."""
    blobs = LocalBlobStore(home.blobs, SUITE)
    return [blobs.put(bytes((number,)) * (100 + 5000 * number)) for number in range(count)]
