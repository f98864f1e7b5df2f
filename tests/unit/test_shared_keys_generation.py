"""Keys that operators make together: t of them hold each, nobody has it, and whoever cheats is out or opened."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from contracts import shared_keys
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import SharedKeyRound
from contracts.state import SHARED_KEY_ROUNDS
from ledger.types import quorum_size
from tests.unit import hostile_holders as hostile
from tests.unit.holders_world import HolderNet, HolderNode, quick_disk

pytestmark = pytest.mark.usefixtures(quick_disk.__name__)


def last_round(net: HolderNet, purpose: KeyPurpose) -> SharedKeyRound:
    found = SHARED_KEY_ROUNDS.get(net.world, (purpose, 1))
    assert found is not None
    return found


@pytest.mark.parametrize("operators", [1, 4, 5, 7])
def test_the_first_validators_make_every_key_and_only_the_threshold_of_them_has_it(
    tmp_path: Path, operators: int
) -> None:
    net = HolderNet(tmp_path, operators)
    net.settle()
    threshold = quorum_size(operators)
    for purpose in KeyPurpose:
        key = net.key(purpose)
        held = net.holding(key)
        assert sorted(held) == list(range(1, operators + 1))
        assert key.keys.threshold == threshold
        assert net.opens(key, range(1, threshold + 1))
        assert net.opens(key, range(operators - threshold + 1, operators + 1))
        if threshold > 1:
            assert not any(net.opens(key, few) for few in itertools.combinations(held, threshold - 1))
    assert len({net.key(purpose).keys.public_key for purpose in KeyPurpose}) == len(KeyPurpose)
    assert not any(node.memories.all() for node in net.nodes)


@pytest.mark.parametrize("kind", hostile.ALL)
def test_one_hostile_operator_of_four_keeps_no_key_from_being_made_and_no_honest_one_out(
    tmp_path: Path, kind: type[HolderNode]
) -> None:
    net = HolderNet(tmp_path, 4, {1: kind})
    honest = [1, 3, 4]

    def made() -> bool:
        return shared_keys.ready(net.world) and all(
            set(honest) <= set(net.holding(net.key(purpose))) for purpose in KeyPurpose
        )

    net.settle(made)
    for purpose in KeyPurpose:
        key, one = net.key(purpose), last_round(net, purpose)
        assert net.opens(key, honest)
        assert set(one.excluded) <= {2}
        assert set(one.disputed) <= {2}
        if kind in hostile.TIRESOME:
            assert one.excluded == one.disputed == ()
        elif kind in {hostile.WrongReveal, hostile.NoReveal, *hostile.ZEROS}:
            assert one.opened == (2,)
        elif kind in hostile.GUILTY:
            assert 2 not in one.qualified


@pytest.mark.parametrize(("operators", "seed"), [(5, 1), (7, 1), (7, 2), (7, 3), (7, 4)])
def test_whatever_f_operators_do_the_others_have_the_keys(tmp_path: Path, operators: int, seed: int) -> None:
    source = random.Random(seed * 100 + operators)
    bad = sorted(source.sample(range(operators), (operators - 1) // 3))
    net = HolderNet(tmp_path, operators, {n: source.choice(hostile.ALL) for n in bad})
    honest = [n + 1 for n in range(operators) if n not in bad]

    def made() -> bool:
        return shared_keys.ready(net.world) and all(
            set(honest) <= set(net.holding(net.key(purpose))) for purpose in KeyPurpose
        )

    net.settle(made)
    for purpose in KeyPurpose:
        one = last_round(net, purpose)
        assert net.opens(net.key(purpose), honest[: quorum_size(operators)])
        assert not {*one.excluded, *one.disputed} & set(honest)


def test_a_key_does_not_depend_on_what_a_dealer_reveals_but_on_what_it_dealt(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    keys = []
    for folder, kind in (("a", HolderNode), ("b", hostile.NoReveal)):
        net = HolderNet(tmp_path / folder, 4, {1: kind})
        net.settle()
        keys.append(net.key(KeyPurpose.VAULT).keys)
    assert keys[0] == keys[1]


def test_more_than_f_dead_operators_only_delay_the_keys(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    for node in net.nodes[:2]:
        node.alive = False
    for _ in range(100):
        for node in net.nodes:
            node.advance()
        net.pass_time(5_000)
    assert shared_keys.in_use(net.world, KeyPurpose.VAULT) is None
    assert last_round(net, KeyPurpose.VAULT).attempt > 1
    for node in net.nodes[:2]:
        node.alive = True
    net.settle()
    assert net.opens(net.key(KeyPurpose.VAULT), (1, 2, 3))
