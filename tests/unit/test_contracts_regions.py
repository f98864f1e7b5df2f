"""Regions: whom operators trust, how a trust point moves on by proofs alone, and what ends it."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts import regions
from contracts.calls import GovernancePropose, call
from contracts.region_actions import DistrustRegion, TrustRegion
from contracts.region_calls import FOLLOW_CHANGES_MAX, RegionsFollow, RegionsReportFork
from contracts.region_records import (
    REGIONS_MAX,
    SHOWN_PATH_HEADERS_MAX,
    FinalHeader,
    RegionList,
    RegionState,
)
from contracts.regions import CHECK_COST_MAX, FINALITY_COST_MAX, excluding, follow_cost
from contracts.registry import CALL_COST_MAX, call_cost
from contracts.state import REGION_LIST, REGION_SETS
from ledger import codec, light
from ledger.crypto.suite import CryptoSuite, SuiteUnavailable
from ledger.errors import InvariantViolation
from ledger.hashing import results_root, transactions_root
from ledger.types import (
    CALL_ARGS_SIZE_BYTES_MAX,
    VALIDATORS_MAX,
    EpochChange,
    QuorumCertificate,
    Validator,
    ValidatorSet,
    VoteKind,
)
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    DEPARTMENT,
    LI,
    NODES,
    OPERATORS,
    READER_NODE,
    Actor,
    World,
    identity,
)
from tests.unit.regions_world import Home, held, neighbours, prepared, trusting, validator, voters


def proposing(home: Home, **changes: object) -> GovernancePropose:
    return GovernancePropose(action=trusting(home, **changes))


def output(world: World, what: RegionsFollow) -> int:
    result = world.run(NODES[0], what)
    assert result.code == "ok", (result.code, result.fields)
    return codec.decode(result.output, int, size_bytes_max=16)


# --- votes --------------------------------------------------------------------------------------------------


def test_a_region_is_trusted_by_a_quorum_of_operators_and_by_nobody_else() -> None:
    world, home = prepared(), Home()
    world.done(OPERATORS[0], proposing(home))
    assert regions.region(world, home.chain_id) is None
    world.refused(NODES[0], proposing(home), "wrong_role")
    world.vote(trusting(home))
    found = held(world, home)
    assert (found.state, found.trust, found.term) == (RegionState.TRUSTED, home.trust, 1)
    assert regions.regions(world) == (found,)


def test_a_trust_point_whose_keys_are_not_proven_is_not_even_proposed() -> None:
    world, home = prepared(), Home()
    members = home.trust.validators.validators
    stolen = replace(members[0], possession=members[1].possession)
    for broken in (
        replace(home.trust, validators=ValidatorSet(epoch=1, validators=(stolen, *members[1:]))),
        replace(home.trust, validators=ValidatorSet(epoch=1, validators=(members[0], members[0]))),
        replace(home.trust, network="another name"),
    ):
        fields = world.refused(OPERATORS[0], proposing(home, trust=broken), "region_trust_invalid")
        assert fields["check"] == "trust_keys"
    wrong_version = replace(home.trust, version=2)
    assert (
        world.refused(OPERATORS[0], proposing(home, trust=wrong_version), "region_trust_invalid")["check"]
        == "version"
    )


def test_a_network_does_not_trust_itself_nor_a_suite_it_does_not_have() -> None:
    world, home = prepared(), Home()
    own = replace(home.trust, chain_id=world.chain_id)
    world.refused(OPERATORS[0], proposing(home, trust=own), "region_is_own")
    foreign = replace(home.trust, suite="rot13")
    assert world.refused(OPERATORS[0], proposing(home, trust=foreign), "region_suite_unknown") == {
        "suite": "rot13"
    }


def test_a_vote_never_takes_trust_back_to_an_earlier_epoch_or_another_set_of_the_same() -> None:
    world, home = neighbours()
    first = home.trust
    home.seal()
    world.vote(trusting(home))
    assert held(world, home).trust.validators.epoch == 2
    assert world.refused(OPERATORS[0], proposing(home, trust=first), "region_backward") == {
        "epoch": 1,
        "held": 2,
    }
    other = replace(home.trust, validators=voters(2, label="others"))
    world.refused(OPERATORS[0], proposing(home, trust=other), "region_other_set")
    renamed = replace(home.trust, network="another name")
    world.refused(OPERATORS[0], proposing(home, trust=renamed), "region_other_network")


def test_the_terms_of_a_trusted_region_change_by_vote_and_its_term_of_trust_stays() -> None:
    world, home = neighbours()
    since = held(world, home).state_since_ms
    world.vote(trusting(home, types=("permit",), proof_age_ms_max=1))
    found = held(world, home)
    assert (found.types, found.proof_age_ms_max, found.term) == (("permit",), 1, 1)
    assert found.state_since_ms == since
    assert len(regions.regions(world)) == 1


def test_distrust_ends_everything_and_trust_given_anew_is_another_term() -> None:
    world, home = neighbours()
    change = home.seal()
    world.vote(DistrustRegion(chain_id=home.chain_id, reason="review"))
    assert held(world, home).state is RegionState.DISTRUSTED
    world.refused(NODES[0], home.following(change), "region_distrusted")
    again = GovernancePropose(action=DistrustRegion(chain_id=home.chain_id, reason="review"))
    world.refused(OPERATORS[0], again, "region_distrusted")
    unknown = GovernancePropose(action=DistrustRegion(chain_id=bytes(32), reason="review"))
    world.refused(OPERATORS[0], unknown, "unknown_region")
    world.vote(trusting(home))
    assert (held(world, home).state, held(world, home).term) == (RegionState.TRUSTED, 2)


def test_there_are_at_most_so_many_regions() -> None:
    world, home = prepared(), Home()
    full = RegionList(chain_ids=tuple(identity(f"region {n}", 32) for n in range(REGIONS_MAX)))
    world.entries[REGION_LIST.key(None)] = codec.encode(full)
    fields = world.refused(OPERATORS[0], proposing(home), "regions_too_many")
    assert fields == {"maximum": REGIONS_MAX}


# --- following ----------------------------------------------------------------------------------------------


def test_trust_follows_the_proofs_of_every_epoch_in_one_call_or_in_many() -> None:
    world, home = neighbours()
    changes = [home.seal(), home.seal(fillers=2), home.seal()]
    assert output(world, home.following(changes[0])) == 2
    assert output(world, home.following(*changes[1:])) == 4
    found = held(world, home)
    assert found.trust == home.trust
    assert found.followed_ms == world.time_ms - 1000
    assert (found.term, found.types) == (1, ("degree",))


@pytest.mark.parametrize("who", [NODES[0], READER_NODE, DEPARTMENT, BANK, AUDITOR])
def test_any_node_and_any_officer_may_bring_the_proofs(who: Actor) -> None:
    world, home = neighbours()
    world.done(who, home.following(home.seal()))
    world.refused(LI, home.following(home.seal()), "wrong_account_kind")


def test_a_replayed_change_is_denied_and_one_that_overlaps_is_passed_over() -> None:
    world, home = neighbours()
    first, second = home.seal(), home.seal()
    output(world, home.following(first))
    assert world.refused(NODES[0], home.following(first), "region_not_later") == {"epoch": 2, "held": 2}
    assert output(world, home.following(first, second)) == 3
    world.refused(NODES[0], home.following(first, second), "region_not_later")


def test_no_epoch_is_skipped() -> None:
    world, home = neighbours()
    first, second = home.seal(), home.seal()
    assert world.refused(NODES[0], home.following(second), "region_proof_rejected") == {"check": "epoch"}
    third = home.seal()
    assert world.refused(NODES[0], home.following(first, third), "region_proof_rejected") == {
        "check": "epoch"
    }
    assert held(world, home).trust.validators.epoch == 1


def test_hostile_changes_are_denied_with_the_check_that_they_fail() -> None:
    world, home = neighbours()
    good = home.seal(fillers=1)
    stranger = Home(chain="another chain")
    elsewhere = stranger.seal()
    other_set = voters(2, label="others")
    cases: dict[str, EpochChange] = {
        "chain": elsewhere,
        "next_validators": replace(good, validators=other_set),
        "certificate_subject": replace(good, path=()),
        "certificate_kind": replace(good, certificate=home.certify(good.path[-1], VoteKind.NOTARIZE)),
        "certificate_signature": replace(
            good, certificate=replace(good.certificate, signature=bytes(len(good.certificate.signature)))
        ),
        "certificate_signers": replace(
            good, certificate=replace(home.certify(good.path[-1], signers=(0, 1)))
        ),
        "path_not_linked": replace(good, path=(replace(good.path[0], parent=bytes(32)),)),
        "path_filler": replace(good, path=(replace(good.path[0], state_root=bytes(32)),)),
    }
    for check, change in cases.items():
        fields = world.refused(NODES[0], home.following(change), "region_proof_rejected")
        assert fields == {"check": check}
    assert output(world, home.following(good)) == 2


def test_a_call_that_asks_for_too_much_is_denied_before_any_check() -> None:
    world, home = neighbours()
    change = home.seal()
    path = tuple(home.filler(change.header) for _ in range(SHOWN_PATH_HEADERS_MAX + 1))
    fields = world.refused(NODES[0], home.following(replace(change, path=path)), "region_path_too_long")
    assert fields == {"actual": SHOWN_PATH_HEADERS_MAX + 1, "maximum": SHOWN_PATH_HEADERS_MAX}
    small = Validator(account=bytes(16), name="v", vote_key=b"k", possession=b"p")
    crowd = ValidatorSet(epoch=2, validators=(small,) * VALIDATORS_MAX)
    many = (replace(change, validators=crowd),) * 3
    greedy = home.following(*many)
    assert world.refused(NODES[0], greedy, "region_work_too_much")["maximum"] == CHECK_COST_MAX
    assert call_cost(call(greedy)) < CHECK_COST_MAX
    assert FOLLOW_CHANGES_MAX == 16
    too_many = call(home.following(*(change,) * FOLLOW_CHANGES_MAX))
    args = codec.encode((home.chain_id, (change,) * (FOLLOW_CHANGES_MAX + 1)))
    world.refused(NODES[0], replace(too_many, args=args), "malformed_call")


def test_blocks_of_a_protocol_version_that_is_not_in_force_here_are_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As by a release that knows the next version already, beside one that does not.
    monkeypatch.setattr(light, "PROTOCOL_VERSION_MAX", 2)
    world, home = neighbours()
    home.grow(version=2)
    change = home.seal(fillers=1)
    denial = {"version": 2, "known": 1}
    assert world.refused(NODES[0], home.following(change), "region_version_unknown") == denial
    newer = home.final(home.grow())
    world.refused(NODES[0], fork(home, newer, newer), "region_version_unknown")
    world.refused(DEPARTMENT, home.recognizing(), "region_version_unknown")


def test_the_cost_of_a_call_counts_every_signature_and_header_and_stays_below_the_bound() -> None:
    home = Home()
    one = home.following(home.seal())
    two = home.following(*one.changes, home.seal(fillers=3))
    costs = [call_cost(call(args)) for args in (one, two)]
    # A certificate of three signers, in one signature or in a list, a header, and four new keys.
    signatures = {"intl": 2, "sm": 3}[home.suite.name]
    change = 200 + 3 * 10 + signatures * 100 + 5 + 4 * 100
    assert follow_cost(one) == change
    assert follow_cost(two) == 2 * change + 3 * 5
    assert all(cost >= 60 + follow_cost(args) for cost, args in zip(costs, (one, two), strict=True))
    assert max(costs) <= CALL_COST_MAX
    assert CHECK_COST_MAX == 2 * FINALITY_COST_MAX


def largest_change() -> EpochChange:
    """A change as large as this release's suites make them: 128 validators, with a long path."""
    home = Home()
    header = replace(home.head, height=2**40, view=2**40, epoch=2**33, time_ms=2**52)
    certificate = QuorumCertificate(
        kind=VoteKind.FINALIZE,
        epoch=2**33,
        view=2**40,
        digest=bytes(32),
        signers=b"\xff" * 16,
        signature=bytes(VALIDATORS_MAX * 64),
    )
    member = Validator(account=bytes(16), name="n" * 64, vote_key=bytes(65), possession=bytes(96))
    return EpochChange(
        header=header,
        path=(header,) * 16,
        certificate=certificate,
        validators=ValidatorSet(epoch=2**33 + 1, validators=(member,) * VALIDATORS_MAX),
    )


def test_the_change_between_the_largest_sets_fits_one_call() -> None:
    follow = RegionsFollow(region=bytes(32), changes=(largest_change(),))
    assert len(codec.encode(follow)) <= CALL_ARGS_SIZE_BYTES_MAX
    assert 128 * 100 < follow_cost(follow) <= CHECK_COST_MAX
    assert call_cost(call(follow)) <= CALL_COST_MAX


def test_128_validators_are_trusted_and_followed_in_calls_that_fit() -> None:
    world = prepared()
    home = Home()
    members = tuple(validator(home.suite.name, f"member {n}") for n in range(VALIDATORS_MAX))
    trust = replace(home.trust, validators=ValidatorSet(epoch=1, validators=members))
    action = trusting(home, trust=trust)
    assert len(codec.encode(GovernancePropose(action=action))) <= CALL_ARGS_SIZE_BYTES_MAX
    world.vote(action)
    assert held(world, home).trust == trust


def test_a_node_that_cannot_judge_a_regions_suite_stops_and_denies_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, home = neighbours()
    assert regions.suites_needed(world) == (home.suite.name,)

    def lacking(name: str) -> CryptoSuite:
        raise SuiteUnavailable(suite=name, reason="no such library")

    monkeypatch.setattr(regions, "load_suite", lacking)
    with pytest.raises(InvariantViolation, match="no such library"):
        world.run(NODES[0], home.following(home.seal()))


# --- forks --------------------------------------------------------------------------------------------------


def fork(home: Home, first: FinalHeader, second: FinalHeader) -> RegionsReportFork:
    return RegionsReportFork(region=home.chain_id, first=first, second=second)


def siblings(home: Home) -> tuple[FinalHeader, FinalHeader]:
    """Two blocks of one height, both final."""
    parent = home.head
    other = home.child(parent, transactions_root=identity("other", 32))
    return home.final(home.grow()), home.final(other)


def test_two_final_blocks_of_one_height_end_trust_until_a_vote() -> None:
    world, home = neighbours()
    first, second = siblings(home)
    world.done(BANK, fork(home, first, second))
    found = held(world, home)
    assert (found.state, found.forked_epoch) == (RegionState.FORKED, 1)
    world.refused(NODES[0], home.following(home.seal()), "region_forked")
    world.refused(BANK, fork(home, first, second), "region_forked")


def test_validators_of_an_epoch_that_forked_are_not_trusted_again_and_those_of_a_later_one_are() -> None:
    world, home = neighbours()
    trust = home.trust
    evidence = fork(home, *siblings(home))
    world.done(NODES[0], evidence)
    fields = world.refused(OPERATORS[0], proposing(home, trust=trust), "region_forked_epoch")
    assert fields == {"epoch": 1, "forked": 1}
    home.seal()
    world.vote(trusting(home))
    assert (held(world, home).state, held(world, home).term) == (RegionState.TRUSTED, 2)
    assert world.refused(NODES[0], evidence, "fork_not_judged") == {"epoch": 1, "held": 2}


def test_a_fork_of_the_epoch_before_is_still_judged_and_no_earlier_one() -> None:
    world, home = neighbours()
    evidence = fork(home, *siblings(home))
    changes = [home.seal(), home.seal()]
    output(world, home.following(changes[0]))
    later = prepared()
    later.entries = dict(world.entries)
    later.time_ms, later.sent, later.height = world.time_ms, world.sent, world.height
    world.done(NODES[0], evidence)
    assert held(world, home).state is RegionState.FORKED
    output(later, home.following(changes[1]))
    later.refused(NODES[0], evidence, "fork_not_judged")
    assert REGION_SETS.get(later, (home.chain_id, 1)) is None
    assert REGION_SETS.get(later, (home.chain_id, 2)) is not None


def test_a_seal_and_the_blocks_that_fill_the_time_above_it_are_no_fork() -> None:
    world, home = neighbours()
    change = home.seal()
    seal = change.header
    low = home.filler(seal)
    high = home.filler(low)
    for pair in ((seal, low), (low, high), (high, seal), (seal, seal)):
        shown = [home.final(one) for one in pair]
        world.refused(NODES[0], fork(home, shown[0], shown[1]), "not_a_fork")


def test_two_seals_of_one_height_are_a_fork_whatever_they_look_like() -> None:
    home = Home()
    seal = home.seal().header
    twin = home.filler(seal, parent=seal.parent)
    elsewhere = home.filler(seal, next_validators_hash=identity("other set", 32))
    rewritten = home.filler(seal, state_root=identity("other state", 32))
    carrying = home.filler(seal, transactions_root=identity("work", 32))
    speaking = home.filler(seal, results_root=identity("work", 32))
    same_view = home.filler(seal, view=seal.view)
    earlier = home.filler(seal, time_ms=seal.time_ms)
    for other in (twin, elsewhere, rewritten, carrying, speaking, same_view, earlier):
        assert excluding(home.suite, seal, other)
        assert excluding(home.suite, other, seal)
    assert not excluding(home.suite, seal, home.filler(seal))
    assert not excluding(home.suite, seal, replace(twin, height=seal.height + 1))
    assert not excluding(home.suite, seal, replace(twin, epoch=seal.epoch + 1))


def test_fork_evidence_that_does_not_hold_changes_nothing() -> None:
    world, home = neighbours()
    first, second = siblings(home)
    unsigned = replace(second, certificate=home.certify(second.header, signers=(0, 1)))
    assert world.refused(NODES[0], fork(home, first, unsigned), "region_proof_rejected") == {
        "check": "certificate_signers"
    }
    notarized = replace(second, certificate=home.certify(second.header, VoteKind.NOTARIZE))
    world.refused(NODES[0], fork(home, first, notarized), "region_proof_rejected")
    apart = home.final(home.grow())
    world.refused(NODES[0], fork(home, first, apart), "not_a_fork")
    world.refused(LI, fork(home, first, second), "wrong_account_kind")
    assert held(world, home).state is RegionState.TRUSTED


@lru_cache(maxsize=1)
def flippable() -> tuple[World, Home, RegionsFollow]:
    """What no example changes, as all of them are denied."""
    world, home = neighbours()
    return world, home, home.following(home.seal(fillers=1))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_no_flipped_bit_of_a_change_moves_trust(data: st.DataObject) -> None:
    world, home, good = flippable()
    encoded = codec.encode(good)
    at = data.draw(st.integers(0, len(encoded) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(encoded)
    flipped[at] ^= 1 << bit
    sent = replace(call(good), args=bytes(flipped))
    result = world.run(NODES[0], sent)
    assert result.code != "ok"
    assert held(world, home).trust.validators.epoch == 1


def test_every_root_of_nothing_is_what_a_filler_has() -> None:
    home = Home()
    filler = home.filler(home.seal().header)
    assert filler.transactions_root == transactions_root(home.suite, ())
    assert filler.results_root == results_root(home.suite, ())


def test_actions_say_for_how_long_and_never_for_ever() -> None:
    home = Home()
    for name in ("proof_age_ms_max", "recognition_life_ms"):
        for value in (0, 2**52):
            action = trusting(home, **{name: value})
            sent = replace(call(proposing(home)), args=codec.encode(GovernancePropose(action=action)))
            prepared().refused(OPERATORS[0], sent, "malformed_call")
    assert isinstance(trusting(home), TrustRegion)
