"""Merkle trees as RFC 6962 draws them; the counted root binds index and size."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import InvariantViolation
from ledger.types import MerkleProof

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
# Roots over the first n of these leaves, from the test data of the Certificate Transparency reference code.
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
leaf_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def by_definition(leaves: list[bytes]) -> bytes:
    """The recursion of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + by_definition(leaves[:k]) + by_definition(leaves[k:]))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert merkle.root(sha256, LEAVES[:size]).hex() == ROOTS[size]


@given(leaf_lists)
def test_root_follows_the_definition(leaves: list[bytes]) -> None:
    assert merkle.root(sha256, leaves) == by_definition(leaves)


@given(leaf_lists, st.data())
def test_every_leaf_is_proven_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, counted = merkle.root(sha256, leaves), merkle.counted_root(sha256, leaves)
    proof = merkle.prove(sha256, leaves, index)
    leaf = leaves[index]
    assert merkle.verify(sha256, root, leaf, proof)
    assert merkle.verify_counted(sha256, counted, leaf, proof)
    assert not merkle.verify(sha256, root, leaf + b"\0", proof)
    assert not merkle.verify_counted(sha256, root, leaf, proof)
    longer = MerkleProof(index=index, size=len(leaves), siblings=(*proof.siblings, bytes(32)))
    assert not merkle.verify(sha256, root, leaf, longer)
    if proof.siblings:
        shorter = MerkleProof(index=index, size=len(leaves), siblings=proof.siblings[:-1])
        assert not merkle.verify(sha256, root, leaf, shorter)


@given(leaf_lists, st.data())
def test_a_counted_root_binds_index_and_size(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = merkle.prove(sha256, leaves, index)
    claimed = data.draw(st.tuples(st.integers(0, 80), st.integers(0, 80)))
    altered = MerkleProof(index=claimed[0], size=claimed[1], siblings=proof.siblings)
    holds = merkle.verify_counted(sha256, merkle.counted_root(sha256, leaves), leaves[index], altered)
    assert holds == (claimed == (index, len(leaves)))


def test_a_plain_root_does_not_bind_the_size_which_is_why_there_is_a_counted_one() -> None:
    leaves = [b"a", b"b"]
    proof = merkle.prove(sha256, leaves, 1)
    moved = MerkleProof(index=2, size=3, siblings=proof.siblings)
    assert merkle.verify(sha256, merkle.root(sha256, leaves), b"b", moved)
    assert not merkle.verify_counted(sha256, merkle.counted_root(sha256, leaves), b"b", moved)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (5, 4), (2**53 - 1, 2**53 - 1)])
def test_impossible_positions_are_false(index: int, size: int) -> None:
    proof = MerkleProof(index=index, size=size, siblings=())
    assert not merkle.verify(sha256, merkle.root(sha256, [b"a"]), b"a", proof)


def test_a_path_shorter_or_longer_than_the_size_calls_for_is_false() -> None:
    pair = merkle.root(sha256, [b"a", b"b"])
    too_short = MerkleProof(index=0, size=4, siblings=(sha256(b"\0b"),))
    too_long = MerkleProof(index=0, size=1, siblings=(sha256(b"\0a"),))
    assert not merkle.verify(sha256, pair, b"a", too_short)
    assert not merkle.verify(sha256, pair, b"b", too_long)


def test_an_inner_node_is_no_leaf() -> None:
    leaves = [b"a", b"b", b"c", b"d"]
    inner = sha256(b"\0" + b"a") + sha256(b"\0" + b"b")
    proof = MerkleProof(index=0, size=2, siblings=(sha256(b"\1" + sha256(b"\0c") + sha256(b"\0d")),))
    assert not merkle.verify(sha256, merkle.root(sha256, leaves), inner, proof)


def test_proving_a_leaf_that_is_not_there_is_our_own_fault() -> None:
    with pytest.raises(InvariantViolation):
        merkle.prove(sha256, [b"a"], 1)
