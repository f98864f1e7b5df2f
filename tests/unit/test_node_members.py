"""The node follows the ledger's membership: peers, and its own vote key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from contracts.records import NodeRecord, NodeRole
from contracts.state import NODE_ACCOUNTS, NODES
from ledger.types import Validator, ValidatorSet
from network.peers import PeerAddress
from node.execution import FinalizedExecution
from node.founding import address_of
from node.members import Members

ME, OTHER, NEW = b"m" * 16, b"o" * 16, b"n" * 16


def record(account: bytes) -> NodeRecord:
    return NodeRecord(
        account=account,
        name=account.decode(),
        role=NodeRole.VALIDATOR,
        host="127.0.0.1",
        port=1,
        certificates=(b"certificate of " + account,),
        wrap_key=b"w",
    )


def block(writes: Mapping[bytes, bytes | None], *, new_set: ValidatorSet | None = None) -> FinalizedExecution:
    executed = SimpleNamespace(writes=writes, seals=new_set is not None, next_validators=new_set)
    return cast("FinalizedExecution", SimpleNamespace(executed=executed))


class World:
    def __init__(self) -> None:
        self.nodes = (record(ME), record(OTHER))
        self.peers: list[tuple[bytes, ...]] = []
        self.in_use: list[bytes] = []
        self.members = Members(
            account=ME,
            nodes=lambda: self.nodes,
            addresses=lambda nodes: tuple(address_of(node) for node in nodes if node.account != ME),
            update_peers=self._update,
            retire_vote_key=self.in_use.append,
        )

    def _update(self, peers: tuple[PeerAddress, ...]) -> None:
        self.peers.append(tuple(peer.node_id for peer in peers))


def test_a_block_that_changes_no_node_changes_no_peer(tmp_path: Path) -> None:
    world = World()
    world.members.block_finalized(block({b"grants/1": b"x"}))
    assert world.peers == []


def test_a_node_that_is_admitted_is_dialed_and_one_that_is_removed_is_left() -> None:
    world = World()
    world.nodes += (record(NEW),)
    world.members.block_finalized(block({NODES.key(NEW): b"x"}))
    world.nodes = world.nodes[:1] + world.nodes[2:]
    world.members.block_finalized(block({NODES.key(OTHER): None, NODE_ACCOUNTS.key(None): b"y"}))
    assert world.peers == [(OTHER, NEW), (NEW,)]


def test_a_seal_tells_which_vote_key_is_in_force_to_the_node_that_has_one() -> None:
    def voters(*accounts: bytes) -> ValidatorSet:
        return ValidatorSet(
            epoch=2,
            validators=tuple(
                Validator(account=one, name="v", vote_key=b"key of " + one, possession=b"p")
                for one in accounts
            ),
        )

    world = World()
    world.members.block_finalized(block({}, new_set=voters(OTHER, ME)))
    world.members.block_finalized(block({}, new_set=voters(OTHER)))
    assert world.in_use == [b"key of " + ME]
