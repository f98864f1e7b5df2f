"""One word, given once, makes every key of a network: those of its nodes, and those that join it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.crypto.registry import SUITES, load_suite
from ledger.crypto.suite import UnknownSuite
from node.devnet import Devnet
from node.founding import load_network
from node.home import Home
from node.identity import read_card
from zhenglian import KeyFile
from zhenglian.keyfile import KeyRole

VOTE_KEY_SIZE_BYTES = {"intl": 48, "sm": 33}
WRAP_KEY_SIZE_BYTES = {"intl": 32, "sm": 33}


@pytest.mark.parametrize("suite", SUITES)
def test_a_devnet_is_of_one_suite_and_so_is_a_node_that_joins(suite: str, tmp_path: Path) -> None:
    devnet = Devnet.create(tmp_path / "net", 2, suite=suite)
    newcomer = devnet.add()
    assert devnet.suite is load_suite(suite)
    genesis = load_network(Home(devnet.home(1))).genesis
    assert genesis.suite == suite
    assert {len(one.vote_key) for one in genesis.validators.validators} == {VOTE_KEY_SIZE_BYTES[suite]}
    assert {len(one.wrap_key) for one in genesis.operators} == {WRAP_KEY_SIZE_BYTES[suite]}
    (scheme,) = load_suite(suite).signature_schemes
    assert {key.scheme for one in genesis.operators for key in one.keys} == {scheme}
    assert read_card(devnet.card(newcomer)).suite == suite
    devnet.rotate(newcomer)


def test_an_unknown_suite_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UnknownSuite):
        Devnet.create(tmp_path / "net", 1, suite="gm")
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("suite", SUITES)
def test_a_key_knows_its_suite(suite: str) -> None:
    key = KeyFile.generate(load_suite(suite), role=KeyRole.OFFICER, label="7")
    assert key.suite() is load_suite(suite)
    assert key.signer().public_key.hex() == key.public_key
