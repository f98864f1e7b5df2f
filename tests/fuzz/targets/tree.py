"""The state tree's stored nodes, as a damaged disk may give them back, and the store's answers about any height.

Rule: what is no node is refused, what is one has one form, and a tree with a damaged node is damaged or is as it was where that
node is not in the way.
"""

from __future__ import annotations

from functools import lru_cache

from ledger.errors import StorageDamaged
from ledger.state_nodes import decode_children, encode_node, encode_root
from ledger.state_tree import NodeMap, TreeUpdate, prove, update, verify_state
from ledger.store_records import stale_keys, stale_records
from tests.fuzz.target import Script, Target, require
from tests.unit.ledger_world import SUITE

STATE = {b"key/%d" % index: b"value/%d" % index for index in range(60)}


@lru_cache(maxsize=1)
def tree() -> TreeUpdate:
    return update(SUITE, NodeMap({}), None, dict(STATE), 0)


def run_node(data: bytes) -> None:
    children = decode_children(data)
    if sum(child is not None for child in children) > 1:
        record, _ = encode_node(SUITE, children)
        # The hashes of pairs, where a node has them, are made anew and not read.
        require(len(record) == len(data) and record[:161] == data[:161], "a node re-encodes to another")
    elif children[0] is not None or not any(children):
        require(encode_root(children[0]) == data, "a root record re-encodes to another")


def run_stale(data: bytes) -> None:
    keys = stale_keys(data)
    if keys == sorted(keys):
        written = b"".join(stale_records(1, keys).values())
        require(written == data, "a list of stale nodes re-encodes to another")


def run_damaged(data: bytes) -> None:
    """First byte: which node; the rest takes its place."""
    script = Script(data)
    names = sorted(tree().nodes)
    nodes = dict(tree().nodes)
    nodes[names[script.below(len(names))]] = script.rest()
    for key, value in list(STATE.items())[:12]:
        try:
            proof = prove(SUITE, NodeMap(nodes), 0, key)
        except StorageDamaged:
            continue
        require(
            not verify_state(SUITE, tree().root, key, None, proof), "a key is proven absent that is there"
        )
        require(
            not verify_state(SUITE, tree().root, key, value + b"!", proof),
            "a value is proven that is not there",
        )
    update(SUITE, NodeMap(nodes), 0, dict.fromkeys(list(STATE)[:30], b"new"), 1)


TARGETS = (
    Target(
        name="ledger.tree_node",
        run=run_node,
        seeds=lambda: list(tree().nodes.values())[:12],
        errors=(StorageDamaged,),
        size_bytes_max=512,
    ),
    Target(
        name="ledger.stale_nodes",
        run=run_stale,
        seeds=lambda: list(stale_records(1, tree().nodes).values())[:3],
        errors=(StorageDamaged,),
        size_bytes_max=2048,
    ),
    Target(
        name="ledger.damaged_tree",
        run=run_damaged,
        seeds=lambda: [
            bytes((place,)) + tree().nodes[name] for place, name in enumerate(sorted(tree().nodes)[:12])
        ],
        errors=(StorageDamaged,),
        size_bytes_max=512,
    ),
)
