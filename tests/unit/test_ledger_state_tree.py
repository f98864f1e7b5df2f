"""The state tree: one root for one content, sound and complete proofs, whatever the history."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import codec, state_tree
from ledger.crypto.registry import load_suite
from ledger.domains import STATE_KEY, STATE_LEAF, STATE_NODE, Domain
from ledger.errors import InvariantViolation, StorageDamaged
from ledger.state_nodes import Branch, Leaf, child_hash, decode_children, encode_node, root_key
from ledger.state_tree import EMPTY_ROOT, NodeMap, StateLeaf, StateProof, TreeUpdate
from tests.unit.ledger_world import SUITE, fixed

keys = st.binary(min_size=1, max_size=2) | st.integers(0, 300).map(lambda i: b"key/%d" % i)
states = st.dictionaries(keys, st.binary(max_size=4), max_size=60)
changes = st.dictionaries(keys, st.none() | st.binary(max_size=4), max_size=30)


def by_definition(state: dict[bytes, bytes]) -> bytes:
    """The root as the module's text defines it, without nodes, versions or batches."""
    leaves = [(SUITE.hash(STATE_KEY, key), SUITE.digest(value)) for key, value in state.items()]

    def subtree(items: list[tuple[bytes, bytes]], bit: int) -> bytes:
        if not items:
            return EMPTY_ROOT
        if len(items) == 1:
            return SUITE.hash(STATE_LEAF, items[0][0] + items[0][1])
        halves: tuple[list[tuple[bytes, bytes]], ...] = ([], [])
        for item in items:
            halves[item[0][bit // 8] >> (7 - bit % 8) & 1].append(item)
        return SUITE.hash(STATE_NODE, subtree(halves[0], bit + 1) + subtree(halves[1], bit + 1))

    return subtree(leaves, 0)


class Tree:
    """A tree in memory that drops stale nodes at once, so that a wrong stale list is found out."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.state: dict[bytes, bytes] = {}
        self.version = -1
        self.root = EMPTY_ROOT

    def apply(self, batch: dict[bytes, bytes | None]) -> TreeUpdate:
        base = self.version if self.version >= 0 else None
        update = state_tree.update(SUITE, NodeMap(self.nodes), base, batch, self.version + 1)
        self.version += 1
        self.nodes.update(update.nodes)
        for key in update.stale:
            del self.nodes[key]
        for key, value in batch.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.root = update.root
        return update

    def prove(self, key: bytes) -> StateProof:
        return state_tree.prove(SUITE, NodeMap(self.nodes), self.version, key)


@given(states)
def test_the_root_follows_the_definition(state: dict[bytes, bytes]) -> None:
    tree = Tree()
    assert tree.apply(dict(state)).root == by_definition(state)


@given(st.lists(changes, max_size=8))
def test_any_history_gives_the_root_of_its_content(history: list[dict[bytes, bytes | None]]) -> None:
    tree = Tree()
    for batch in history:
        tree.apply(batch)
        assert tree.root == by_definition(tree.state)


@given(states, changes, st.randoms(use_true_random=False))
def test_batch_and_single_steps_in_any_order_agree(
    state: dict[bytes, bytes], batch: dict[bytes, bytes | None], random: object
) -> None:
    at_once, stepwise = Tree(), Tree()
    for tree in (at_once, stepwise):
        tree.apply(dict(state))
    at_once.apply(batch)
    steps = list(batch.items())
    random.shuffle(steps)  # type: ignore[attr-defined]
    for key, value in steps:
        stepwise.apply({key: value})
    assert at_once.root == stepwise.root


@given(states)
def test_deleting_everything_leaves_the_empty_tree_and_one_record(state: dict[bytes, bytes]) -> None:
    tree = Tree()
    tree.apply(dict(state))
    tree.apply(dict.fromkeys(state))
    assert tree.root == EMPTY_ROOT
    assert len(tree.nodes) == 1


@given(st.lists(changes, min_size=1, max_size=5))
def test_the_kept_nodes_are_no_more_than_a_fresh_tree_needs(history: list[dict[bytes, bytes | None]]) -> None:
    grown, fresh = Tree(), Tree()
    for batch in history:
        grown.apply(batch)
    fresh.apply(dict(grown.state))
    assert len(grown.nodes) == len(fresh.nodes)


@given(st.lists(changes, min_size=1, max_size=6))
def test_every_stored_node_is_what_its_children_make_whatever_the_history(
    history: list[dict[bytes, bytes | None]],
) -> None:
    tree = Tree()
    tree.apply({b"key/%d" % number: b"v" for number in range(300)})
    for batch in history:
        tree.apply(batch)
    assert all_nodes_are_sound(tree)


def test_one_change_in_each_of_many_batches_leaves_sound_nodes_and_no_others() -> None:
    tree = Tree()
    tree.apply({b"key/%d" % number: b"v" for number in range(300)})
    for number in range(0, 300, 7):
        tree.apply({b"key/%d" % number: None if number % 2 else b"w"})
        assert tree.root == by_definition(tree.state)
    assert all_nodes_are_sound(tree)
    fresh = Tree()
    fresh.apply(dict(tree.state))
    assert len(tree.nodes) == len(fresh.nodes)


def all_nodes_are_sound(tree: Tree) -> bool:
    """Every record but the root's is the one form of its children, the hashes of pairs included."""
    records = {key: data for key, data in tree.nodes.items() if len(key) > len(root_key(0))}
    return all(encode_node(SUITE, decode_children(data))[0] == data for data in records.values())


@pytest.mark.parametrize("name", ["intl", "sm"])
def test_nodes_are_hashed_as_the_suite_hashes_in_their_domains(name: str) -> None:
    suite = load_suite(name)
    leaf = Leaf(fixed("key"), fixed("value"))
    leaf_hash = suite.hash(STATE_LEAF, leaf.key_hash + leaf.value_hash)
    assert child_hash(suite, leaf) == leaf_hash
    branch = Branch(fixed("branch"), root_key(1))
    expected = suite.hash(STATE_NODE, suite.hash(STATE_NODE, leaf_hash + branch.hash) + EMPTY_ROOT)
    assert encode_node(suite, [leaf, branch, None, None])[1] == expected


def test_a_leaf_is_found_in_each_kept_version_and_absence_is_none() -> None:
    nodes: dict[bytes, bytes] = {}
    for version in range(4):
        batch: dict[bytes, bytes | None] = {b"key/%d" % i: b"%d" % version for i in range(version, 40)}
        update = state_tree.update(SUITE, NodeMap(nodes), version - 1 if version else None, batch, version)
        nodes.update(update.nodes)
    for version in range(4):
        leaf = state_tree.leaf_at(NodeMap(nodes), version, SUITE.hash(STATE_KEY, b"key/2"))
        assert leaf is not None
        assert leaf.value_hash == SUITE.digest(b"%d" % min(version, 2))
        assert state_tree.leaf_at(NodeMap(nodes), version, SUITE.hash(STATE_KEY, b"key/99")) is None


def test_kinds_that_no_node_has_are_damage() -> None:
    for kinds in range(256):
        slots = [kinds >> 2 * slot & 3 for slot in range(4)]
        size = 1 + sum((0, 64, 40, 0)[kind] for kind in slots) + (64 if kinds == 0b10101010 else 0)
        if 3 in slots:
            with pytest.raises(StorageDamaged):
                decode_children(bytes((kinds,)) + bytes(size - 1))
        else:
            found = decode_children(bytes((kinds,)) + bytes(size - 1))
            assert [0 if one is None else 1 if isinstance(one, Leaf) else 2 for one in found] == slots


@given(states, st.lists(keys, max_size=5))
def test_presence_and_absence_are_proven_and_their_contraries_are_not(
    state: dict[bytes, bytes], others: list[bytes]
) -> None:
    tree = Tree()
    tree.apply(dict(state))
    for key in (*list(state)[:10], *others):
        value, proof = state.get(key), tree.prove(key)
        assert state_tree.verify_state(SUITE, tree.root, key, value, proof)
        assert codec.decode(codec.encode(proof), StateProof, size_bytes_max=10_000) == proof
        for wrong in (None, b"", b"wrong", b"\0" * 33):
            if wrong != value:
                assert not state_tree.verify_state(SUITE, tree.root, key, wrong, proof)


def altered(proof: StateProof) -> list[StateProof]:
    siblings = proof.siblings
    variants = [(*siblings, EMPTY_ROOT), (fixed("sibling"), *siblings)]
    variants += [siblings[1:], siblings[:-1]] if siblings else []
    for i in range(len(siblings)):
        variants.append((*siblings[:i], fixed("sibling"), *siblings[i + 1 :]))
    proofs = [msgspec.structs.replace(proof, siblings=variant) for variant in variants]
    foreign = StateLeaf(key_hash=fixed("key"), value_hash=fixed("value"))
    proofs.append(msgspec.structs.replace(proof, leaf=foreign))
    if proof.leaf is not None:
        proofs.append(msgspec.structs.replace(proof, leaf=None))
        proofs.append(
            msgspec.structs.replace(proof, leaf=msgspec.structs.replace(proof.leaf, value_hash=fixed("v")))
        )
    return proofs


@settings(max_examples=50)
@given(states, keys)
def test_an_altered_proof_proves_nothing(state: dict[bytes, bytes], key: bytes) -> None:
    tree = Tree()
    tree.apply(dict(state))
    value, proof = state.get(key), tree.prove(key)
    for candidate in altered(proof):
        assert not state_tree.verify_state(SUITE, tree.root, key, value, candidate)
        assert not state_tree.verify_state(SUITE, tree.root, key, b"forged", candidate)
        if value is not None:
            assert not state_tree.verify_state(SUITE, tree.root, key, None, candidate)


@given(states, keys, keys)
def test_a_proof_serves_its_own_key_alone(state: dict[bytes, bytes], key: bytes, other: bytes) -> None:
    tree = Tree()
    tree.apply({**state, key: b"value"})
    if other not in tree.state:
        assert not state_tree.verify_state(SUITE, tree.root, other, b"value", tree.prove(key))


def test_a_leaf_elsewhere_does_not_prove_absence_here() -> None:
    tree = Tree()
    tree.apply({b"key/%d" % i: b"v" for i in range(50)})
    present = b"key/7"
    for i in range(50):
        proof = tree.prove(b"key/%d" % i)
        assert not state_tree.verify_state(SUITE, tree.root, present, None, proof)


def test_a_misplaced_leaf_under_a_forged_root_proves_nothing() -> None:
    key_hash, value_hash = SUITE.hash(STATE_KEY, b"key"), SUITE.digest(b"value")
    elsewhere = bytes((key_hash[0] ^ 0x80,)) + key_hash[1:]
    leaf = SUITE.hash(STATE_LEAF, elsewhere + value_hash)
    right = key_hash[0] >> 7
    root = SUITE.hash(STATE_NODE, EMPTY_ROOT + leaf if right else leaf + EMPTY_ROOT)
    proof = StateProof(leaf=StateLeaf(key_hash=elsewhere, value_hash=value_hash), siblings=(EMPTY_ROOT,))
    assert not state_tree.verify_state(SUITE, root, b"key", None, proof)


def test_too_many_siblings_are_false_not_an_error() -> None:
    proof = StateProof(leaf=None, siblings=(EMPTY_ROOT,) * 257)
    assert not state_tree.verify_state(SUITE, EMPTY_ROOT, b"k", None, proof)


def test_the_empty_tree_proves_absence() -> None:
    tree = Tree()
    assert tree.apply({}).root == EMPTY_ROOT
    proof = tree.prove(b"k")
    assert proof == StateProof(leaf=None, siblings=())
    assert state_tree.verify_state(SUITE, EMPTY_ROOT, b"k", None, proof)
    assert not state_tree.verify_state(SUITE, EMPTY_ROOT, b"k", b"", proof)


def test_every_version_has_a_root_record_even_without_changes() -> None:
    tree = Tree()
    tree.apply({b"a": b"1", b"b": b"2"})
    root = tree.root
    update = tree.apply({})
    assert update.root == root
    assert len(update.nodes) == 1
    assert state_tree.root_at(SUITE, NodeMap(tree.nodes), 1) == root
    assert not state_tree.has_version(NodeMap(tree.nodes), 0)


def test_writing_what_is_there_and_deleting_what_is_not_touches_no_node() -> None:
    tree = Tree()
    tree.apply({b"key/%d" % i: b"v" for i in range(30)})
    update = tree.apply({b"key/3": b"v", b"missing": None})
    assert len(update.nodes) == len(update.stale) == 1


def test_old_versions_can_be_proven_while_their_nodes_are_kept() -> None:
    nodes: dict[bytes, bytes] = {}
    roots = []
    for version in range(5):
        batch = {b"key/%d" % i: b"%d" % version for i in range(version, 20)}
        base = version - 1 if version else None
        update = state_tree.update(SUITE, NodeMap(nodes), base, batch, version)
        nodes.update(update.nodes)
        roots.append(update.root)
    for version, root in enumerate(roots):
        proof = state_tree.prove(SUITE, NodeMap(nodes), version, b"key/10")
        assert state_tree.verify_state(SUITE, root, b"key/10", b"%d" % version, proof)


def test_two_children_of_one_version_do_not_disturb_each_other() -> None:
    base = state_tree.update(SUITE, NodeMap({}), None, {b"key/%d" % i: b"v" for i in range(30)}, 0)
    before = dict(base.nodes)
    forks = [state_tree.update(SUITE, NodeMap(before), 0, {b"key/1": value}, 1) for value in (b"x", b"y")]
    assert before == base.nodes
    assert forks[0].root != forks[1].root
    for fork, value in zip(forks, (b"x", b"y"), strict=True):
        reader = NodeMap({**before, **fork.nodes})
        proof = state_tree.prove(SUITE, reader, 1, b"key/1")
        assert state_tree.verify_state(SUITE, fork.root, b"key/1", value, proof)


def test_a_missing_or_malformed_node_is_damage() -> None:
    tree = Tree()
    tree.apply({b"key/%d" % i: b"v" for i in range(30)})
    for key, node in tree.nodes.items():
        for bad in (None, b"", node[:-1], node + b"\0", b"\xff" * len(node)):
            nodes = {**tree.nodes, key: bad}
            reader = NodeMap({k: v for k, v in nodes.items() if v is not None})
            with pytest.raises(StorageDamaged):
                state_tree.update(SUITE, reader, 0, {b"key/%d" % i: b"w" for i in range(30)}, 1)


def test_a_version_is_above_its_base() -> None:
    with pytest.raises(InvariantViolation):
        state_tree.update(SUITE, NodeMap({}), 3, {}, 3)


class ShallowSuite:
    """A suite whose state keys all begin alike, so that paths are as deep as they can get."""

    def __getattr__(self, name: str) -> object:
        return getattr(SUITE, name)

    def hash(self, domain: Domain, data: bytes) -> bytes:
        if domain == STATE_KEY:
            return bytes(31) + data[-1:]
        return SUITE.hash(domain, data)


def test_keys_that_share_all_but_their_last_bits_work() -> None:
    suite = ShallowSuite()
    reader = NodeMap({})
    state = {bytes((i,)): b"%d" % i for i in range(8)}
    tree = state_tree.update(suite, reader, None, state, 0)  # type: ignore[arg-type]
    nodes = NodeMap(tree.nodes)
    for key, value in state.items():
        proof = state_tree.prove(suite, nodes, 0, key)  # type: ignore[arg-type]
        assert len(proof.siblings) == 256
        assert state_tree.verify_state(suite, tree.root, key, value, proof)  # type: ignore[arg-type]
    gone = state_tree.update(suite, nodes, 0, dict.fromkeys(list(state)[1:]), 1)  # type: ignore[arg-type]
    assert gone.root == state_tree.update(suite, reader, None, {b"\0": b"0"}, 0).root  # type: ignore[arg-type]
    assert len(gone.nodes) == 1
    assert len(gone.stale) == len(tree.nodes)
