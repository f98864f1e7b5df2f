"""Shares go with the validators: another set, another threshold, the same public key; and what was lost comes back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.actions import ChangeValidators, RemoveValidator, ValidatorChange
from contracts.calls import Action, GovernanceApprove, GovernancePropose
from contracts.membership import validators
from contracts.shared_key_actions import BeginSharedKey, DestroySharedKey, UseSharedKey
from contracts.shared_key_calls import SharedKeysAbstain, SharedKeysDeal, SharedKeysRenew
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_rounds import keys_made, open_rounds
from contracts.shared_key_sums import dealing_of
from contracts.shared_keys import RENEWAL_INTERVAL_MS
from contracts.state import SHARED_KEY_ROUNDS, SHARED_KEYS_IN_USE
from ledger import codec
from ledger.crypto.threshold import dealing
from ledger.types import quorum_size
from tests.unit import hostile_holders as hostile
from tests.unit.contracts_world import actor, newcomer, rotation
from tests.unit.holders_world import GROUP, HolderNet, HolderNode, quick_disk

pytestmark = pytest.mark.usefixtures(quick_disk.__name__)


def vote(net: HolderNet, action: Action, code: str = "ok") -> dict[str, str | int]:
    """Every operator of now approves until it is carried out; the last result's fields."""
    world = net.world
    proposer, *others = (actor(node.label, "admin") for node in net.nodes)
    result = world.run(proposer, GovernancePropose(action=action))
    if result.code == "ok":
        proposal = codec.decode(result.output, bytes, size_bytes_max=64)
        for who in others[: quorum_size(len(world_accounts(net))) - 1]:
            result = world.run(who, GovernanceApprove(proposal_id=proposal))
    assert result.code == code, (result.code, result.fields)
    return dict(result.fields)


def world_accounts(net: HolderNet) -> tuple[bytes, ...]:
    return tuple(validator.account for validator in validators(net.world).validators)


def change(net: HolderNet, *changes: ValidatorChange, code: str = "ok") -> dict[str, str | int]:
    return vote(net, ChangeValidators(changes=changes), code)


def settle_renewed(net: HolderNet) -> dict[KeyPurpose, SharedKey]:
    """Until shares are where the validators are."""
    net.settle(lambda: not open_rounds(net.world))
    return {key.purpose: key for key in keys_made(net.world)}


def made(folder: Path, operators: int, **kinds: Callable[[HolderNet, str, Path], HolderNode]) -> HolderNet:
    net = HolderNet(folder, operators)
    net.settle()
    return net


def test_an_added_operator_gets_a_share_of_every_key_and_the_public_keys_stay(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    before = {purpose: net.key(purpose) for purpose in KeyPurpose}
    shares = {purpose: net.holding(key) for purpose, key in before.items()}
    net.add("operator 4")
    change(net, newcomer("operator 4"))
    assert {one.renewal for one in open_rounds(net.world)} == {1}
    # The old set serves until the new one is there.
    assert all(net.key(purpose) == before[purpose] for purpose in KeyPurpose)
    assert all(net.opens(before[purpose], (1, 2, 3)) for purpose in KeyPurpose)
    after = settle_renewed(net)
    for purpose, key in after.items():
        assert key.keys.public_key == before[purpose].keys.public_key
        assert (key.renewal, len(key.holders), key.keys.threshold) == (1, 5, 4)
        held = net.holding(key)
        assert sorted(held) == [1, 2, 3, 4, 5]
        assert all(net.opens(key, four) for four in itertools.combinations(held, 4))
        assert not any(net.opens(key, three) for three in itertools.combinations(held, 3))
        assert not net.holding(before[purpose])
        assert not set(held.values()) & set(shares[purpose].values())


def test_a_threshold_grows_and_shrinks_with_the_validators(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    public = net.key(KeyPurpose.VAULT).keys.public_key
    thresholds = []
    for label in ("operator 4", "operator 5", "operator 6"):
        net.add(label)
        change(net, newcomer(label))
        thresholds.append(settle_renewed(net)[KeyPurpose.VAULT].keys.threshold)
    for label in ("operator 0", "operator 5"):
        gone = next(node for node in net.nodes if node.label == label)
        change(net, RemoveValidator(account=gone.account))
        thresholds.append(settle_renewed(net)[KeyPurpose.VAULT].keys.threshold)
        net.nodes.remove(gone)
    key = net.key(KeyPurpose.VAULT)
    assert thresholds == [4, 5, 5, 5, 4]
    assert key.keys.public_key == public
    assert net.opens(key, (2, 3, 4, 5))


def test_who_is_removed_destroys_its_shares(tmp_path: Path) -> None:
    net = made(tmp_path, 5)
    gone = net.nodes[4]
    change(net, RemoveValidator(account=gone.account))
    settle_renewed(net)
    assert gone.shares.held() == ()
    assert not any((gone.folder / name).exists() for name in ("own.former", "own.next"))


def test_one_operator_takes_the_place_of_another_in_one_action(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    before = net.key(KeyPurpose.VAULT)
    net.add("operator 4")
    change(net, RemoveValidator(account=net.nodes[0].account), newcomer("operator 4"))
    key = settle_renewed(net)[KeyPurpose.VAULT]
    assert key.keys.public_key == before.keys.public_key
    assert net.nodes[0].account not in key.holders
    assert sorted(net.holding(key)) == [1, 2, 3, 4]
    assert net.opens(key, (2, 3, 4))


def test_a_change_that_leaves_too_few_holders_is_denied_and_says_what_to_do(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    removed = [RemoveValidator(account=node.account) for node in net.nodes[2:]]
    fields = change(net, *removed, newcomer("operator 4"), newcomer("operator 5"), code="holders_too_few")
    assert (fields["present"], fields["needed"]) == (2, 3)


def test_a_second_change_waits_until_the_shares_have_followed_the_first(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    net.add("operator 4")
    change(net, newcomer("operator 4"))
    change(net, newcomer("operator 5"), code="renewal_under_way")
    # A vote key is no holder's business.
    change(net, rotation(net.nodes[0].account, "another vote"))
    settle_renewed(net)
    net.add("operator 5")
    change(net, newcomer("operator 5"))
    assert len(settle_renewed(net)[KeyPurpose.VAULT].holders) == 6


def test_a_requested_renewal_does_not_keep_the_validators_from_changing(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    net.pass_time(RENEWAL_INTERVAL_MS)
    for purpose in KeyPurpose:
        assert net.nodes[0].submit(SharedKeysRenew(purpose=purpose, version=1)).code == "ok"
    net.add("operator 4")
    change(net, newcomer("operator 4"))
    assert {len(one.holders) for one in open_rounds(net.world)} == {5}
    assert len(settle_renewed(net)[KeyPurpose.VAULT].holders) == 5


def test_a_change_while_the_keys_are_being_made_lets_the_new_set_make_them(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    for node in net.nodes:
        node.advance()
        node.advance()
    net.add("operator 4")
    change(net, newcomer("operator 4"))
    net.settle()
    key = net.key(KeyPurpose.VAULT)
    assert (key.renewal, len(key.holders)) == (0, 5)
    assert net.opens(key, (2, 3, 4, 5))


@pytest.mark.parametrize("kind", hostile.ALL)
def test_a_hostile_holder_neither_bends_nor_stops_a_renewal(tmp_path: Path, kind: type[HolderNode]) -> None:
    net = made(tmp_path, 4)
    before = net.key(KeyPurpose.VAULT)
    bad = net.nodes[1]
    bad.__class__ = kind
    net.pass_time(RENEWAL_INTERVAL_MS)
    assert net.nodes[0].submit(SharedKeysRenew(purpose=KeyPurpose.VAULT, version=1)).code == "ok"

    def renewed() -> bool:
        return not open_rounds(net.world) and {1, 3, 4} <= set(net.holding(net.key(KeyPurpose.VAULT)))

    net.settle(renewed)
    key, one = net.key(KeyPurpose.VAULT), SHARED_KEY_ROUNDS.get(net.world, (KeyPurpose.VAULT, 1))
    assert key.keys.public_key == before.keys.public_key
    assert net.opens(key, (1, 3, 4))
    assert one is not None
    assert set(one.excluded) <= {2}


def test_a_resharer_that_deals_another_scalar_than_its_share_is_refused(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    net.pass_time(RENEWAL_INTERVAL_MS)
    for node in net.nodes[:2]:
        assert node.submit(SharedKeysRenew(purpose=KeyPurpose.MARKS, version=1)).code in {
            "ok",
            "key_round_open",
        }
    (one,) = open_rounds(net.world)
    wrong = tuple(element.encode() for element in dealing.commit(GROUP, (5, 6, 7)))
    result = net.nodes[0].submit(SharedKeysDeal(round_id=one.round_id, commitments=wrong))
    assert result.code == "key_not_own_share"


def test_who_has_lost_its_share_says_so_and_nobody_waits_for_it(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    key = net.key(KeyPurpose.VAULT)
    net.pass_time(RENEWAL_INTERVAL_MS)
    assert net.nodes[0].submit(SharedKeysRenew(purpose=KeyPurpose.VAULT, version=1)).code == "ok"
    (one,) = open_rounds(net.world)
    abstain = SharedKeysAbstain(round_id=one.round_id)
    assert net.nodes[2].submit(abstain).code == "ok"
    net.world.refused(net.nodes[2].actor, abstain, "key_step_taken")
    net.settle()
    after = SHARED_KEY_ROUNDS.get(net.world, (KeyPurpose.VAULT, 1))
    assert after is not None
    assert (after.attempt, after.qualified) == (1, (1, 2, 4))
    assert net.opens(net.key(KeyPurpose.VAULT), (2, 3, 4))
    assert net.key(KeyPurpose.VAULT).keys.public_key == key.keys.public_key


def test_nobody_abstains_from_making_a_key(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    abstain = SharedKeysAbstain(round_id=open_rounds(net.world)[0].round_id)
    net.world.refused(net.nodes[0].actor, abstain, "key_step_taken")


def test_a_lost_share_comes_back_with_a_renewal_that_its_holder_asks_for_itself(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    loser = net.nodes[2]
    before = {purpose: net.key(purpose) for purpose in KeyPurpose}
    for path in loser.folder.iterdir():
        path.unlink()
    loser.start()
    assert loser.shares.held() == ()

    def healed() -> bool:
        return all(len(net.holding(net.key(purpose))) == 4 for purpose in KeyPurpose)

    net.settle(healed)
    for purpose in KeyPurpose:
        key = net.key(purpose)
        assert key.renewal == 1
        assert key.keys.public_key == before[purpose].keys.public_key
        assert net.opens(key, (2, 3, 4))


def test_who_was_given_its_whole_share_before_everybody_asks_for_another(tmp_path: Path) -> None:
    """It could not reach the dealers, and complained: what they answered on the ledger is its share."""
    net = made(tmp_path, 4)
    cut_off = net.nodes[3]
    fetch = cut_off.fetch
    cut_off.fetch = lambda one, dealer: dealer == 4 and fetch(one, dealer)  # type: ignore[method-assign]
    net.pass_time(RENEWAL_INTERVAL_MS)
    assert net.nodes[0].submit(SharedKeysRenew(purpose=KeyPurpose.VAULT, version=1)).code == "ok"
    net.settle(lambda: net.key(KeyPurpose.VAULT).renewal == 1)
    key = net.key(KeyPurpose.VAULT)
    one = SHARED_KEY_ROUNDS.get(net.world, (KeyPurpose.VAULT, 1))
    assert one is not None
    assert 4 not in one.qualified
    shown = {
        dealer: int.from_bytes(answer.value, "big")
        for dealer in one.qualified
        for answer in dealing_of(net.world, one, dealer).answers
    }
    assert dealing.renewed_share(GROUP, shown) == net.holding(key)[4]
    cut_off.fetch = fetch  # type: ignore[method-assign]
    net.settle(lambda: net.key(KeyPurpose.VAULT).renewal == 2 and not open_rounds(net.world))
    after = net.key(KeyPurpose.VAULT)
    assert sorted(net.holding(after)) == [1, 2, 3, 4]
    assert net.opens(after, (1, 2, 4))
    for _ in range(20):
        for node in net.nodes:
            node.advance()
        net.pass_time(RENEWAL_INTERVAL_MS)
    assert net.key(KeyPurpose.VAULT) == after


def test_with_more_than_n_minus_t_shares_lost_nothing_is_renewed_and_the_key_stays_as_it_is(
    tmp_path: Path,
) -> None:
    net = made(tmp_path, 4)
    before = net.key(KeyPurpose.VAULT)
    for loser in net.nodes[:2]:
        for path in loser.folder.iterdir():
            path.unlink()
        loser.start()
    for _ in range(60):
        for node in net.nodes:
            node.advance()
        net.pass_time(5_000)
    assert net.key(KeyPurpose.VAULT) == before
    assert sorted(net.holding(before)) == [3, 4]


def test_renewals_are_not_asked_for_one_after_the_other(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    renew = SharedKeysRenew(purpose=KeyPurpose.VAULT, version=1)
    net.world.refused(net.nodes[0].actor, renew, "key_renewed_lately")
    net.pass_time(RENEWAL_INTERVAL_MS)
    assert net.nodes[0].submit(renew).code == "ok"
    net.world.refused(net.nodes[1].actor, renew, "key_round_open")
    net.world.refused(
        net.nodes[1].actor,
        SharedKeysRenew(purpose=KeyPurpose.VAULT, version=2),
        "unknown_shared_key",
    )


def test_a_version_is_replaced_by_a_vote_and_the_old_one_destroyed_with_its_shares(tmp_path: Path) -> None:
    net = made(tmp_path, 4)
    old = net.key(KeyPurpose.DIRECTORY)
    vote(net, BeginSharedKey(purpose=KeyPurpose.DIRECTORY, version=3), "shared_key_version")
    vote(net, BeginSharedKey(purpose=KeyPurpose.VAULT, version=2), "shared_key_lasting")
    vote(net, BeginSharedKey(purpose=KeyPurpose.DIRECTORY, version=2))
    vote(net, BeginSharedKey(purpose=KeyPurpose.DIRECTORY, version=3), "key_round_open")
    net.settle()
    new = net.key(KeyPurpose.DIRECTORY, 2)
    assert new.keys.public_key != old.keys.public_key
    assert SHARED_KEYS_IN_USE.get(net.world, KeyPurpose.DIRECTORY) == 1
    assert len(net.holding(old)) == len(net.holding(new)) == 4
    vote(net, BeginSharedKey(purpose=KeyPurpose.DIRECTORY, version=3), "key_versions_too_many")
    vote(net, DestroySharedKey(purpose=KeyPurpose.DIRECTORY, version=1), "shared_key_in_use")
    vote(net, UseSharedKey(purpose=KeyPurpose.DIRECTORY, version=2))
    vote(net, DestroySharedKey(purpose=KeyPurpose.DIRECTORY, version=1))
    net.settle()
    assert not net.holding(old)
    assert len(net.holding(new)) == 4
    vote(net, DestroySharedKey(purpose=KeyPurpose.DIRECTORY, version=1), "unknown_shared_key")
    vote(net, BeginSharedKey(purpose=KeyPurpose.DIRECTORY, version=1), "shared_key_version")
    vote(net, DestroySharedKey(purpose=KeyPurpose.VAULT, version=1), "shared_key_lasting")
    vote(net, BeginSharedKey(purpose=KeyPurpose.DIRECTORY, version=3))
    net.settle()
    assert net.opens(net.key(KeyPurpose.DIRECTORY, 3), (1, 2, 4))
