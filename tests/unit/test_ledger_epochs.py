"""Trust passes from one validator set to the next by proof alone, one epoch after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger import codec
from ledger.epochs import advance_trust, trust_at
from ledger.errors import DecodeError, InvariantViolation, LimitExceeded
from ledger.hashing import ZERO_HASH, validators_hash
from ledger.light import check_finality
from ledger.receipts import (
    EPOCH_CHANGES_MAX,
    EPOCHS_FILE_SIZE_BYTES_MAX,
    build_receipt,
    epochs_from_json,
    epochs_to_json,
    verify_receipt,
)
from ledger.store import Store
from ledger.store_records import CommittedBlock
from ledger.types import EpochChange, Header, QuorumCertificate, ValidatorSet, VoteKind
from ledger.verdicts import Check, ProofRejected
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed


def sealed(world: World, *, fillers: int = 0) -> CommittedBlock:
    return world.committed({b"seal": b"1"}, next_validators=world.rotated(), fillers=fillers)


def change_of(block: CommittedBlock) -> EpochChange:
    change = block.epoch_change
    assert change is not None
    return change


WORLD = World()
TRUST = WORLD.trust
FIRST = WORLD.committed({b"a": b"1"})
SEAL = sealed(WORLD, fillers=2)
CHANGE = change_of(SEAL)
AFTER = WORLD.committed({b"b": b"2"})
SECOND_SEAL = sealed(WORLD)
SECOND = change_of(SECOND_SEAL)
LATEST = WORLD.committed({b"c": b"3"})


def check_of(action: Callable[[], object]) -> str:
    with pytest.raises(ProofRejected) as caught:
        action()
    return str(caught.value.fields["check"])


def refused(change: EpochChange) -> str:
    return check_of(lambda: advance_trust(SUITE, TRUST, change))


def test_a_finalized_seal_hands_trust_to_the_set_that_it_names() -> None:
    trust = advance_trust(SUITE, TRUST, CHANGE)
    assert trust == replace(TRUST, validators=CHANGE.validators)
    assert advance_trust(SUITE, trust, SECOND).validators.epoch == 3


def test_a_seal_that_is_certified_itself_needs_no_path() -> None:
    world = World()
    assert advance_trust(SUITE, TRUST, change_of(sealed(world))).validators.epoch == 2


def test_replayed_skipped_and_stale_changes_are_rejected() -> None:
    trust = advance_trust(SUITE, TRUST, CHANGE)
    assert check_of(lambda: advance_trust(SUITE, trust, CHANGE)) == Check.EPOCH
    assert check_of(lambda: advance_trust(SUITE, TRUST, SECOND)) == Check.EPOCH


def _header(**changes: Any) -> dict[str, Any]:
    return {"header": replace(CHANGE.header, **changes)}


def _certificate(**changes: Any) -> dict[str, Any]:
    return {"certificate": replace(CHANGE.certificate, **changes)}


def _set(validators: ValidatorSet) -> dict[str, Any]:
    return {"validators": validators}


MEMBERS = CHANGE.validators.validators


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        (_header(version=2), Check.VERSION),
        (_header(chain_id=fixed("c")), Check.CHAIN),
        (_header(epoch=2), Check.EPOCH),
        (_header(validators_hash=fixed("v")), Check.VALIDATORS),
        (_header(view=1), Check.PATH_NOT_LINKED),
        (_header(height=1), Check.PATH_NOT_LINKED),
        (_header(parent=fixed("p")), Check.PATH_NOT_LINKED),
        (_header(time_ms=1), Check.PATH_NOT_LINKED),
        (_header(proposer=fixed("q", size=16)), Check.PATH_NOT_LINKED),
        (_header(transactions_root=fixed("t")), Check.PATH_NOT_LINKED),
        (_header(results_root=fixed("r")), Check.PATH_NOT_LINKED),
        (_header(state_root=fixed("s")), Check.PATH_NOT_LINKED),
        (_header(next_validators_hash=fixed("n")), Check.PATH_NOT_LINKED),
        ({"path": ()}, Check.CERTIFICATE_SUBJECT),
        ({"path": CHANGE.path[:1]}, Check.CERTIFICATE_SUBJECT),
        ({"path": CHANGE.path[1:]}, Check.PATH_NOT_LINKED),
        ({"path": CHANGE.path[::-1]}, Check.PATH_NOT_LINKED),
        ({"path": (CHANGE.path[0], replace(CHANGE.path[1], view=9))}, Check.CERTIFICATE_SUBJECT),
        (_certificate(kind=VoteKind.NOTARIZE), Check.CERTIFICATE_KIND),
        (_certificate(epoch=2), Check.CERTIFICATE_SUBJECT),
        (_certificate(view=9), Check.CERTIFICATE_SUBJECT),
        (_certificate(digest=fixed("d")), Check.CERTIFICATE_SUBJECT),
        (_certificate(signers=b"\x03"), Check.CERTIFICATE_SIGNERS),
        (_certificate(signers=b"\x0e"), Check.CERTIFICATE_SIGNATURE),
        (_certificate(signature=SECOND.certificate.signature), Check.CERTIFICATE_SIGNATURE),
        (_set(replace(CHANGE.validators, epoch=3)), Check.NEXT_VALIDATORS),
        (_set(TRUST.validators), Check.NEXT_VALIDATORS),
        (_set(replace(CHANGE.validators, validators=MEMBERS[::-1])), Check.NEXT_VALIDATORS),
        (_set(replace(CHANGE.validators, validators=MEMBERS[:3])), Check.NEXT_VALIDATORS),
        *(
            (_set(replace(CHANGE.validators, validators=(replace(MEMBERS[0], **{name: value}), *MEMBERS[1:]))),
             Check.NEXT_VALIDATORS)
            for name, value in (
                ("account", fixed("x", size=16)),
                ("name", "x"),
                ("vote_key", MEMBERS[1].vote_key),
                ("possession", bytes(96)),
            )
        ),
    ],
)  # fmt: skip
def test_a_forged_change_is_rejected_for_what_was_changed(changes: dict[str, Any], check: Check) -> None:
    assert refused(replace(CHANGE, **changes)) == check


def test_any_flipped_byte_of_a_change_is_noticed() -> None:
    data = codec.encode(CHANGE)
    for at in range(0, len(data), 7):
        flipped = data[:at] + bytes((data[at] ^ 0x01,)) + data[at + 1 :]
        with pytest.raises((ProofRejected, DecodeError)):
            advance_trust(SUITE, TRUST, codec.decode(flipped, EpochChange, size_bytes_max=1_000_000))


def certified_seal(validators: ValidatorSet) -> EpochChange:
    """A seal that a quorum really finalized, whatever set it names."""
    world = World()
    block, _, _ = world.next_block({b"x": b"y"})
    header = replace(block.header, next_validators_hash=validators_hash(SUITE, validators))
    return EpochChange(header=header, path=(), certificate=world.certify(header), validators=validators)


def test_even_a_finalized_seal_cannot_name_a_set_that_may_not_vote() -> None:
    unproven = (replace(MEMBERS[0], possession=MEMBERS[1].possession), *MEMBERS[1:])
    twice = (MEMBERS[0], *MEMBERS[:3])
    for members in (unproven, twice):
        assert refused(certified_seal(ValidatorSet(epoch=2, validators=members))) == Check.NEXT_KEYS
    for epoch in (0, 1, 3):
        assert refused(certified_seal(replace(CHANGE.validators, epoch=epoch))) == Check.NEXT_EPOCH


def test_a_block_that_changes_no_validators_ends_no_epoch() -> None:
    final = FIRST.finalized
    change = EpochChange(
        header=final.block.header, path=final.path, certificate=final.certificate, validators=TRUST.validators
    )
    assert refused(change) == Check.SEAL


# --- fillers ------------------------------------------------------------------------------------------------


def through_a_filler(**changes: object) -> tuple[Header, tuple[Header, ...], QuorumCertificate]:
    world = World()
    seal = sealed(world).finalized.block.header
    filler = world.filler(seal, **changes)
    return seal, (filler,), world.certify(filler)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({}, None),
        ({"proposer": fixed("another", size=16)}, None),
        ({"height": 2}, Check.PATH_ORDER),
        ({"height": 0}, Check.PATH_ORDER),
        ({"view": 1}, Check.PATH_ORDER),
        ({"time_ms": 0}, Check.PATH_ORDER),
        ({"state_root": fixed("s")}, Check.PATH_FILLER),
        ({"transactions_root": fixed("t")}, Check.PATH_FILLER),
        ({"results_root": fixed("r")}, Check.PATH_FILLER),
        ({"next_validators_hash": fixed("n")}, Check.PATH_FILLER),
        ({"parent": ZERO_HASH}, Check.PATH_NOT_LINKED),
    ],
)
def test_above_a_seal_only_what_changes_nothing_may_stand(
    changes: dict[str, object], check: Check | None
) -> None:
    header, path, certificate = through_a_filler(**changes)
    if check is None:
        check_finality(SUITE, TRUST, header, path, certificate)
    else:
        assert check_of(lambda: check_finality(SUITE, TRUST, header, path, certificate)) == check


def test_a_block_below_a_seal_is_final_through_the_seals_fillers() -> None:
    path = (SEAL.finalized.block.header, *SEAL.finalized.path)
    check_finality(SUITE, TRUST, FIRST.finalized.block.header, path, SEAL.finalized.certificate)


def test_a_block_that_keeps_its_parents_height_is_none_of_an_epoch_that_goes_on() -> None:
    world = World()
    block = world.committed({}).finalized.block.header
    child = world.filler(block)
    certificate = world.certify(child)
    assert check_of(lambda: check_finality(SUITE, TRUST, block, (child,), certificate)) == Check.PATH_ORDER


# --- receipts of later epochs -------------------------------------------------------------------------------


def receipt(block: CommittedBlock) -> Any:
    return build_receipt(SUITE, WORLD.genesis.network, block.finalized, block.results, 0)


def test_a_receipt_of_any_epoch_holds_for_the_first_trust_point_with_the_changes_between() -> None:
    changes = (CHANGE, SECOND)
    for block, height in ((FIRST, 1), (SEAL, 2), (AFTER, 3), (SECOND_SEAL, 4), (LATEST, 5)):
        assert verify_receipt(TRUST, receipt(block), changes).height == height
    assert verify_receipt(TRUST, receipt(AFTER), (CHANGE,)).height == 3


def test_a_later_trust_point_takes_the_same_file_and_does_not_go_back() -> None:
    later = trust_at(SUITE, TRUST, (CHANGE, SECOND), 2)
    assert verify_receipt(later, receipt(LATEST), (CHANGE, SECOND)).height == 5
    assert check_of(lambda: verify_receipt(later, receipt(FIRST), (CHANGE, SECOND))) == Check.EPOCH


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ((), Check.EPOCH),
        ((CHANGE,), Check.EPOCH),
        ((SECOND,), Check.EPOCH),
        ((SECOND, CHANGE), Check.EPOCH_ORDER),
        ((CHANGE, CHANGE), Check.EPOCH_ORDER),
        ((CHANGE, replace(SECOND, certificate=CHANGE.certificate)), Check.CERTIFICATE_SUBJECT),
    ],
)
def test_changes_that_do_not_lead_there_prove_nothing(changes: tuple[EpochChange, ...], check: Check) -> None:
    assert check_of(lambda: verify_receipt(TRUST, receipt(LATEST), changes)) == check


def test_a_file_of_changes_has_one_form() -> None:
    text = epochs_to_json((CHANGE, SECOND))
    assert epochs_from_json(text) == (CHANGE, SECOND)
    assert epochs_from_json(epochs_to_json(())) == ()
    for bad in (
        "{}",
        "[]",
        text.replace("zhenglian-epochs-1", "zhenglian-trust-1"),
        text.replace("finalize", "x"),
    ):
        assert check_of(lambda b=bad: epochs_from_json(b)) == Check.FORMAT
    assert check_of(lambda: epochs_from_json(text.replace('"epoch"', '"\\u0065poch"'))) == Check.NOT_CANONICAL


def test_a_file_of_too_many_changes_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        epochs_to_json((CHANGE,) * (EPOCH_CHANGES_MAX + 1))
    with pytest.raises(LimitExceeded):
        epochs_from_json(" " * (EPOCHS_FILE_SIZE_BYTES_MAX + 1))


# --- in the store -------------------------------------------------------------------------------------------


def test_the_store_keeps_how_every_epoch_ended(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Store.create(path, SUITE, WORLD.genesis, GENESIS_STATE, map_size_bytes=1 << 26) as store:
        assert store.epoch_changes(1) == ()
        store.commit([FIRST, SEAL])
        assert store.epoch_changes(1) == (CHANGE,)
        store.commit([AFTER, SECOND_SEAL, LATEST])
    with Store.open(path, SUITE, map_size_bytes=1 << 26) as store:
        assert store.epoch_changes(1) == (CHANGE, SECOND)
        assert store.epoch_changes(2) == (SECOND,)
        assert store.epoch_changes(1, limit=1) == (CHANGE,)
        assert store.epoch_changes(3) == store.epoch_changes(0) == ()


def test_a_seal_without_the_set_that_it_names_is_our_own_fault(tmp_path: Path) -> None:
    world = World()
    block = sealed(world)
    stray = ValidatorSet(epoch=2, validators=MEMBERS[:3])
    fields = {name: getattr(block, name) for name in ("finalized", "results", "writes", "nodes", "stale")}
    with Store.create(
        tmp_path / "ledger", SUITE, world.genesis, GENESIS_STATE, map_size_bytes=1 << 26
    ) as store:
        for validators in (None, stray):
            with pytest.raises(InvariantViolation):
                store.commit([CommittedBlock(**fields, next_validators=validators)])
        assert store.height == 0
        store.commit([block])
