"""Recognitions: a certificate of another region holds here by its proof, for a time, and never longer than at home."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.calls import call
from contracts.recognitions import recognition, recognition_id, why_not_recognized
from contracts.records import AccountKind, CertificateState
from contracts.region_actions import DistrustRegion
from contracts.region_calls import RecognitionsRecognize, RegionsReportFork
from contracts.region_records import (
    SHOWN_PATH_HEADERS_MAX,
    Recognition,
    RecognitionState,
    ShownEntry,
)
from contracts.registry import CALL_COST_MAX, call_cost
from contracts.state import CERTIFICATES, GRANTS
from contracts.upgrade_records import ContractSchedule
from ledger import codec
from ledger.commitments import encode_value, verify_field
from ledger.state_tree import DEPTH_BITS_MAX, StateProof
from ledger.types import VoteKind
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    BANK_ADMIN,
    DAY_MS,
    DEPARTMENT,
    LI,
    NODES,
    READER_NODE,
    START_MS,
    SUITE,
    Actor,
    World,
    identity,
)
from tests.unit.regions_world import (
    CERTIFICATE,
    CONTRACT_KEY,
    FIELDS,
    HOLDER,
    ISSUER,
    LIFE_MS,
    PROOF_AGE_MS,
    Home,
    account_key,
    commitment,
    degree,
    field_proof,
    held,
    level,
    neighbours,
    prepared,
    trusting,
)


def kept(world: World, home: Home) -> Recognition:
    found = recognition(world, recognition_id(SUITE, home.chain_id, CERTIFICATE))
    assert found is not None
    return found


def why_not(world: World, home: Home) -> str:
    return why_not_recognized(held(world, home), kept(world, home), world.time_ms)


def recognized() -> tuple[World, Home, bytes]:
    world, home = neighbours()
    return world, home, world.done(DEPARTMENT, home.recognizing())


def changed_at_home(home: Home, *states: CertificateState, **changes: object) -> None:
    home.deposit(degree(home, *states, **changes))


# --- recognising --------------------------------------------------------------------------------------------


def test_an_officer_has_a_certificate_of_another_region_recognised_by_its_proof() -> None:
    world, home, made = recognized()
    found = kept(world, home)
    assert made == found.recognition_id == recognition_id(SUITE, home.chain_id, CERTIFICATE)
    assert (found.region, found.certificate_id, found.issuer) == (home.chain_id, CERTIFICATE, ISSUER)
    assert (found.state, found.home_height) == (RecognitionState.ACTIVE, home.head.height)
    assert found.recognized_by == DEPARTMENT.account
    assert (found.lawful_basis, found.consent_hash) == ("consent", identity("consent", 32))
    assert why_not(world, home) == ""


def test_disclosed_fields_are_checked_against_what_was_recognised() -> None:
    world, home, _ = recognized()
    root = kept(world, home).commitment_root
    assert root == commitment(home)
    proof = field_proof(home, "name")
    assert verify_field(home.suite, root, "name", encode_value(FIELDS["name"]), proof)
    assert not verify_field(home.suite, root, "name", encode_value("李四"), proof)
    assert not verify_field(home.suite, root, "school", encode_value(FIELDS["name"]), proof)


def test_the_holder_is_nowhere_in_what_is_kept() -> None:
    world, home, _ = recognized()
    assert HOLDER not in codec.encode(kept(world, home))


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (BANK, "ok"),
        (AUDITOR, "wrong_account_kind"),
        (NODES[0], "wrong_account_kind"),
        (BANK_ADMIN, "wrong_role"),
        (LI, "wrong_account_kind"),
    ],
)
def test_only_an_officer_of_a_department_or_enterprise_recognises(who: Actor, code: str) -> None:
    world, home = neighbours()
    assert world.run(who, home.recognizing()).code == code


def test_there_is_one_recognition_for_each_certificate() -> None:
    world, home, made = recognized()
    level(world, home)
    assert world.refused(BANK, home.recognizing(), "recognition_exists") == {"recognition": made.hex()}


def test_the_issuers_public_name_is_kept_where_it_is_proven() -> None:
    world, home = neighbours()
    home.grow({account_key(ISSUER): codec.encode(home.department())})
    shown = home.entry(account_key(ISSUER))
    world.done(DEPARTMENT, home.recognizing(issuer=shown))
    assert kept(world, home).issuer_name == "邻省教育厅"


def test_an_account_that_is_not_the_issuer_gives_no_name() -> None:
    world, home = neighbours()
    other = identity("another department")
    person = home.department(kind=AccountKind.PERSON)
    home.grow({account_key(other): codec.encode(home.department(account_id=other))})
    shown = home.entry(account_key(other))
    assert world.refused(DEPARTMENT, home.recognizing(issuer=shown), "home_entry_rejected") == {
        "what": "issuer"
    }
    absent = home.entry(account_key(ISSUER))
    world.refused(DEPARTMENT, home.recognizing(issuer=absent), "home_issuer_other")
    home.grow({account_key(ISSUER): codec.encode(person)})
    shown = home.entry(account_key(ISSUER))
    world.refused(DEPARTMENT, home.recognizing(issuer=shown), "home_issuer_other")
    home.grow({account_key(ISSUER): codec.encode(home.department(account_id=other))})
    shown = home.entry(account_key(ISSUER))
    world.refused(DEPARTMENT, home.recognizing(issuer=shown), "home_issuer_other")


@pytest.mark.parametrize(
    "state",
    [
        CertificateState.SUSPENDED,
        CertificateState.REVOKED,
        CertificateState.CANCELLED,
        CertificateState.ABOLISHED,
        CertificateState.SUPERSEDED,
    ],
)
def test_what_does_not_hold_at_home_is_not_recognised(state: CertificateState) -> None:
    world, home = neighbours()
    changed_at_home(home, CertificateState.MORTGAGED, state)
    fields = world.refused(DEPARTMENT, home.recognizing(), "certificate_not_valid")
    assert fields["state"] == state.value


def test_states_that_do_not_stop_a_certificate_are_kept_with_it() -> None:
    world, home = neighbours()
    changed_at_home(home, CertificateState.MORTGAGED)
    world.done(DEPARTMENT, home.recognizing())
    assert kept(world, home).home_states == (CertificateState.MORTGAGED,)
    assert why_not(world, home) == ""


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"valid_until_ms": START_MS + 1}, "ended"),
        ({"valid_from_ms": START_MS + 900 * DAY_MS}, "not_yet"),
    ],
)
def test_a_certificate_outside_its_dates_is_not_recognised(changes: dict[str, int], state: str) -> None:
    world, home = neighbours()
    changed_at_home(home, **changes)
    assert world.refused(DEPARTMENT, home.recognizing(), "certificate_not_valid")["state"] == state


def test_only_types_that_operators_voted_are_recognised() -> None:
    world, home = neighbours(types=("permit",))
    assert world.refused(DEPARTMENT, home.recognizing(), "type_not_recognized") == {"type": "degree"}


def test_a_proof_is_young_enough_to_the_millisecond() -> None:
    world, home = neighbours()
    age = PROOF_AGE_MS + 1
    world.time_ms = home.time_ms + age
    assert world.refused(DEPARTMENT, home.recognizing(), "proof_too_old") == {
        "age_ms": age,
        "maximum_ms": PROOF_AGE_MS,
    }
    world.time_ms = home.time_ms + PROOF_AGE_MS
    world.done(DEPARTMENT, home.recognizing())


def test_a_proof_from_the_future_is_refused_beyond_what_clocks_may_differ() -> None:
    world, home = neighbours()
    allowed = 2 * world.limits.clock_drift_ms_max
    home.at(world.time_ms + allowed + 1)
    assert world.refused(DEPARTMENT, home.recognizing(), "proof_ahead") == {
        "ahead_ms": allowed + 1,
        "maximum_ms": allowed,
    }
    world.time_ms = home.time_ms - allowed
    world.done(DEPARTMENT, home.recognizing())


def test_nothing_is_recognised_of_a_region_that_is_not_trusted() -> None:
    world, home = prepared(), Home()
    home.deposit(degree(home))
    level(world, home)
    world.refused(DEPARTMENT, home.recognizing(), "unknown_region")
    world.vote(trusting(home))
    world.vote(DistrustRegion(chain_id=home.chain_id, reason="review"))
    world.refused(DEPARTMENT, home.recognizing(), "region_distrusted")


@pytest.mark.parametrize("suite_name", ["intl", "sm"])
def test_a_region_of_either_suite_is_followed_and_recognised_and_its_revocation_ends_here(
    suite_name: str,
) -> None:
    world, home = neighbours(suite_name)
    made = world.done(DEPARTMENT, home.recognizing())
    root = kept(world, home).commitment_root
    assert verify_field(home.suite, root, "name", encode_value(FIELDS["name"]), field_proof(home, "name"))
    world.done(NODES[0], home.following(home.seal(), home.seal(fillers=1)))
    changed_at_home(home, CertificateState.REVOKED)
    ending = home.refreshing(made)
    final = ending.evidence.final
    bad = replace(final.certificate, signature=home.certify(home.child(home.head)).signature)
    forged = home.refreshing(made, final=replace(final, certificate=bad))
    assert world.refused(BANK, forged, "region_proof_rejected") == {"check": "certificate_signature"}
    world.done(BANK, ending)
    assert why_not(world, home) == "revoked"


# --- hostile proofs -----------------------------------------------------------------------------------------


def test_a_proof_of_another_chain_is_refused() -> None:
    world, home = neighbours()
    stranger = Home(chain="another chain")
    stranger.deposit(degree(stranger))
    level(world, stranger)
    forged = stranger.recognizing(region=home.chain_id)
    assert world.refused(DEPARTMENT, forged, "region_proof_rejected") == {"check": "chain"}


def test_a_proof_of_an_earlier_epoch_is_refused_and_of_a_later_one_waits_for_the_changes() -> None:
    world, home = neighbours()
    old = home.recognizing()
    change = home.seal()
    level(world, home)
    assert world.refused(DEPARTMENT, home.recognizing(), "region_behind") == {"epoch": 2, "held": 1}
    world.done(NODES[0], home.following(change))
    assert world.refused(DEPARTMENT, old, "region_proof_stale") == {"epoch": 1, "held": 2}
    world.done(DEPARTMENT, home.recognizing())


def test_validators_of_an_epoch_that_ended_prove_nothing_though_they_say_another() -> None:
    world, home = neighbours()
    before = home.voters
    world.done(NODES[0], home.following(home.seal()))
    level(world, home)
    after = home.sets[2]
    home.sets[2] = replace(before, epoch=2)
    forged = replace(home.final(), certificate=home.certify(home.head, signers=(1, 2, 3)))
    home.sets[2] = after
    fields = world.refused(DEPARTMENT, home.recognizing(final=forged), "region_proof_rejected")
    assert fields == {"check": "certificate_signature"}


def test_a_proof_of_another_tables_key_is_refused() -> None:
    world, home = neighbours()
    value = codec.encode(degree(home))
    home.grow({GRANTS.key(CERTIFICATE): value, CERTIFICATES.key(CERTIFICATE): None})
    shown = home.entry(GRANTS.key(CERTIFICATE))
    assert world.refused(DEPARTMENT, home.recognizing(certificate=shown), "home_entry_rejected") == {
        "what": "certificate"
    }


def test_another_certificates_proof_is_refused_under_this_ones_id() -> None:
    world, home = neighbours()
    other = identity("another degree")
    home.deposit(degree(home, certificate_id=other))
    shown = home.shown(other)
    world.refused(DEPARTMENT, home.recognizing(certificate=shown), "home_entry_rejected")


def test_a_record_of_another_kind_or_for_another_id_is_refused() -> None:
    world, home = neighbours()
    key = CERTIFICATES.key(CERTIFICATE)
    for value in (
        codec.encode(home.department()),
        b"",
        b"\xc1",
        codec.encode(degree(home)) + b"\0",
        codec.encode(degree(home, certificate_id=identity("another degree"))),
    ):
        home.grow({key: value})
        fields = world.refused(DEPARTMENT, home.recognizing(), "home_record_unreadable")
        assert fields == {"what": "certificate"}


@pytest.mark.parametrize("version", [0, 2])
def test_what_another_version_of_their_contract_keeps_is_not_read_and_its_absence_ends_nothing(
    version: int,
) -> None:
    world, home, made = recognized()
    moved = codec.encode(ContractSchedule(version=version))
    home.grow({CONTRACT_KEY: moved, CERTIFICATES.key(CERTIFICATE): None})
    level(world, home)
    denial = {"version": version, "known": 1}
    assert world.refused(BANK, home.refreshing(made), "home_contract_unknown") == denial
    other = identity("another degree")
    home.deposit(degree(home, certificate_id=other))
    asked = home.recognizing(certificate_id=other, certificate=home.shown(other))
    assert world.refused(BANK, asked, "home_contract_unknown") == denial
    former = replace(home.entry(CONTRACT_KEY), value=codec.encode(ContractSchedule(version=1)))
    forged = home.refreshing(made, contract=former)
    assert world.refused(BANK, forged, "home_entry_rejected") == {"what": "contract"}
    home.grow({CONTRACT_KEY: b"\xc1"})
    world.refused(BANK, home.refreshing(made), "home_record_unreadable")


def test_a_network_that_writes_no_versions_down_has_the_first() -> None:
    world, home, made = recognized()
    home.grow({CONTRACT_KEY: None})
    changed_at_home(home, CertificateState.REVOKED)
    world.done(BANK, home.refreshing(made))
    assert why_not(world, home) == "revoked"


def test_a_value_that_is_not_the_proven_one_is_refused() -> None:
    world, home = neighbours()
    shown = home.shown()
    swapped = codec.encode(degree(home, commitment_root=identity("forged", 32)))
    for value in (swapped, None):
        forged = home.recognizing(certificate=replace(shown, value=value))
        world.refused(DEPARTMENT, forged, "home_entry_rejected")


def test_an_absent_certificate_is_not_recognised() -> None:
    world, home = neighbours()
    nobodys = identity("nobody's degree")
    shown = home.shown(nobodys)
    assert shown.value is None
    asked = home.recognizing(certificate_id=nobodys, certificate=shown)
    assert world.refused(DEPARTMENT, asked, "home_entry_absent") == {"certificate": nobodys.hex()}


def test_a_block_that_is_not_final_proves_nothing() -> None:
    world, home = neighbours()
    final = home.final()
    for certificate, check in (
        (home.certify(home.head, VoteKind.NOTARIZE), "certificate_kind"),
        (home.certify(home.head, signers=(0, 1)), "certificate_signers"),
        (replace(final.certificate, signature=b"\0" * 96), "certificate_signature"),
        (replace(final.certificate, view=99), "certificate_subject"),
    ):
        forged = home.recognizing(final=replace(final, certificate=certificate))
        assert world.refused(DEPARTMENT, forged, "region_proof_rejected") == {"check": check}


def test_a_path_is_checked_and_bounded() -> None:
    world, home = neighbours()
    header, shown, contract = home.head, home.shown(), home.entry(CONTRACT_KEY)
    path = [home.grow()]
    good = home.final(header, path)
    tampered = replace(good, path=(replace(path[0], parent=bytes(32)),))
    forged = home.recognizing(final=tampered, certificate=shown, contract=contract)
    assert world.refused(DEPARTMENT, forged, "region_proof_rejected") == {"check": "path_not_linked"}
    while len(path) <= SHOWN_PATH_HEADERS_MAX:
        path.append(home.grow())
    huge = home.recognizing(final=home.final(header, path), certificate=shown, contract=contract)
    assert world.refused(DEPARTMENT, huge, "region_path_too_long") == {
        "actual": SHOWN_PATH_HEADERS_MAX + 1,
        "maximum": SHOWN_PATH_HEADERS_MAX,
    }
    longest = home.recognizing(final=home.final(header, path[:-1]), certificate=shown, contract=contract)
    world.done(DEPARTMENT, longest)


def test_a_state_proof_as_deep_as_it_may_be_and_deeper_is_no_more_than_refused() -> None:
    world, home = neighbours()
    shown = home.shown()
    deep = StateProof(leaf=shown.proof.leaf, siblings=(bytes(32),) * DEPTH_BITS_MAX)
    world.refused(DEPARTMENT, home.recognizing(certificate=replace(shown, proof=deep)), "home_entry_rejected")
    deeper = StateProof(leaf=None, siblings=(bytes(32),) * (DEPTH_BITS_MAX + 1))
    sent = call(home.recognizing(certificate=ShownEntry(value=None, proof=deeper)))
    world.refused(DEPARTMENT, sent, "malformed_call")


def test_a_call_costs_what_its_signatures_cost() -> None:
    _, home = neighbours()
    assert 80 + 200 + 3 * 10 + 2 * 100 + 5 < call_cost(call(home.recognizing())) <= CALL_COST_MAX


# --- refreshing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [NODES[0], READER_NODE, BANK, AUDITOR])
def test_anybody_of_the_network_brings_a_later_proof(who: Actor) -> None:
    world, home, made = recognized()
    level(world, home)
    world.done(who, home.refreshing(made))
    found = kept(world, home)
    assert (found.home_height, found.refreshed_by) == (home.head.height, who.account)
    assert (found.recognized_by, found.state_since_ms) == (DEPARTMENT.account, found.recognized_ms)


def test_a_recognition_holds_only_as_long_after_its_proof_as_operators_voted() -> None:
    world, home, made = recognized()
    world.time_ms = kept(world, home).home_time_ms + LIFE_MS - 1
    assert why_not(world, home) == ""
    world.time_ms += 1
    assert why_not(world, home) == "proof_needed"
    level(world, home)
    world.done(BANK, home.refreshing(made))
    assert why_not(world, home) == ""


def test_a_later_proof_of_a_revocation_ends_a_recognition_for_good() -> None:
    world, home, made = recognized()
    before = home.refreshing(made)
    level(world, home)
    valid = home.refreshing(made)
    changed_at_home(home, CertificateState.REVOKED)
    world.done(BANK, home.refreshing(made))
    assert kept(world, home).state is RecognitionState.REVOKED
    assert why_not(world, home) == "revoked"
    for late in (before, valid):
        assert world.refused(BANK, late, "recognition_ended")["state"] == "revoked"
    changed_at_home(home)
    world.refused(BANK, home.refreshing(made), "recognition_ended")
    world.refused(BANK, home.recognizing(), "recognition_exists")


def test_a_proof_of_an_earlier_height_changes_nothing() -> None:
    world, home, made = recognized()
    valid = home.refreshing(made)
    changed_at_home(home, CertificateState.SUSPENDED)
    world.done(BANK, home.refreshing(made))
    assert why_not(world, home) == "suspended"
    fields = world.refused(BANK, valid, "proof_not_later")
    assert fields == {"height": home.head.height - 1, "held": home.head.height}
    world.refused(BANK, home.refreshing(made), "proof_not_later")
    changed_at_home(home)
    world.done(BANK, home.refreshing(made))
    assert why_not(world, home) == ""


def test_a_proof_that_ends_is_never_too_old_and_one_that_prolongs_is() -> None:
    world, home, made = recognized()
    home.grow()
    prolonging = home.refreshing(made)
    changed_at_home(home, CertificateState.CANCELLED)
    ending = home.refreshing(made)
    world.time_ms = home.time_ms + PROOF_AGE_MS + DAY_MS
    world.refused(BANK, prolonging, "proof_too_old")
    world.done(BANK, ending)
    assert why_not(world, home) == "cancelled"


def test_a_proof_of_absence_ends_a_recognition() -> None:
    world, home, made = recognized()
    home.grow({CERTIFICATES.key(CERTIFICATE): None})
    world.done(BANK, home.refreshing(made))
    assert (kept(world, home).state, why_not(world, home)) == (RecognitionState.ABSENT, "absent")
    changed_at_home(home)
    world.refused(BANK, home.refreshing(made), "recognition_ended")


def test_a_recognition_never_becomes_one_of_other_content() -> None:
    world, home, made = recognized()
    for changes in (
        {"commitment_root": identity("other content", 32)},
        {"issuer": identity("another department")},
        {"certificate_type": "permit"},
    ):
        changed_at_home(home, **changes)
        world.refused(BANK, home.refreshing(made), "recognition_differs")
    until_ms = world.time_ms + DAY_MS
    changed_at_home(home, valid_until_ms=until_ms)
    world.done(BANK, home.refreshing(made))
    world.time_ms = until_ms - 1
    assert why_not(world, home) == ""
    world.time_ms = until_ms
    assert why_not(world, home) == "ended"


def test_an_unknown_recognition_is_not_refreshed() -> None:
    world, home, _ = recognized()
    world.refused(BANK, home.refreshing(bytes(16)), "unknown_recognition")


def test_what_a_region_loses_its_recognitions_lose_at_once() -> None:
    world, home, made = recognized()
    world.vote(trusting(home, types=("permit",)))
    assert why_not(world, home) == "type_not_recognized"
    world.vote(trusting(home))
    assert why_not(world, home) == ""
    world.vote(DistrustRegion(chain_id=home.chain_id, reason="review"))
    assert why_not(world, home) == "region_distrusted"
    world.refused(BANK, home.refreshing(made), "region_distrusted")


def test_after_a_fork_only_a_proof_under_trust_given_anew_brings_a_recognition_back() -> None:
    world, home, made = recognized()
    fork_at = home.head
    other = home.child(fork_at, transactions_root=identity("other", 32))
    shown = home.final(home.grow()), home.final(other)
    for _ in range(5):
        home.grow()
    world.done(BANK, home.refreshing(made))
    world.done(NODES[0], RegionsReportFork(region=home.chain_id, first=shown[0], second=shown[1]))
    assert why_not(world, home) == "region_forked"
    # The chain that people decide for is the one that is lower.
    home.head = home.child(fork_at, state_root=fork_at.state_root)
    home.seal()
    home.head = replace(home.head, time_ms=max(world.time_ms, home.head.time_ms))
    world.vote(trusting(home))
    assert why_not(world, home) == "proof_needed"
    later = home.child(home.head, state_root=fork_at.state_root, time_ms=world.time_ms + 1)
    entry = home.entry(CERTIFICATES.key(CERTIFICATE), fork_at.height, codec.encode(degree(home)))
    assert later.height <= kept(world, home).home_height
    contract = home.entry(CONTRACT_KEY, fork_at.height, home.entries[CONTRACT_KEY])
    bringing = home.refreshing(made, final=home.final(later), certificate=entry, contract=contract)
    world.done(BANK, bringing)
    assert why_not(world, home) == ""


# --- any bit ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def flippable() -> tuple[World, Home, RecognitionsRecognize]:
    world, home = neighbours()
    return world, home, home.recognizing()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_flipped_bit_of_a_proof_is_recognised(data: st.DataObject) -> None:
    world, home, good = flippable()
    encoded = codec.encode(good)
    # What follows the proofs is the officer's own word, not proven by anybody.
    own_words = len(codec.encode(good.lawful_basis)) + len(codec.encode(good.consent_hash))
    at = data.draw(st.integers(0, len(encoded) - own_words - 1))
    flipped = bytearray(encoded)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    world.time_ms = home.time_ms
    result = world.run(DEPARTMENT, replace(call(good), args=bytes(flipped)))
    assert result.code != "ok"
    assert recognition(world, recognition_id(SUITE, home.chain_id, CERTIFICATE)) is None
