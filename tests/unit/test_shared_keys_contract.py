"""What the contract of shared keys takes and what it refuses, one call at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts import shared_keys
from contracts.calls import Args, DeadlinesTick, call
from contracts.registry import CALL_COST_MAX, METHODS, call_cost
from contracts.shared_key_calls import (
    CONCLUDING_WORK_MAX,
    SharedKeysAbstain,
    SharedKeysAnswer,
    SharedKeysCheck,
    SharedKeysConclude,
    SharedKeysConfirm,
    SharedKeysDeal,
    SharedKeysDispute,
    SharedKeysOpen,
    SharedKeysRenew,
    SharedKeysReveal,
)
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import RoundPhase, SharedKeyRound
from contracts.shared_key_rounds import PHASE_MS, open_rounds
from contracts.shared_key_sums import sums_of, work_left
from contracts.state import SHARED_KEY_ROUNDS, SHARED_KEY_SUMS, Draft
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.dealing import commit, commit_hiding
from ledger.crypto.threshold.group import encode_scalar
from ledger.crypto.threshold.polynomials import HOLDERS_MAX
from node.holders.steps import Fetch, Remember, Submit
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    DEPARTMENT,
    LI,
    NODES,
    OPERATORS,
    READER_NODE,
    World,
    identity,
)
from tests.unit.holders_world import GROUP, HolderNet, HolderNode, drawing, quick_disk

pytestmark = pytest.mark.usefixtures(quick_disk.__name__)
INFINITY = bytes([0xC0]) + bytes(47)
SMALL_ORDER = bytes([0x80]) + bytes(47)
ZERO, ORDER, ABOVE = bytes(32), GROUP.order.to_bytes(32, "big"), b"\xff" * 32
PURPOSE = KeyPurpose.VAULT


class Desk:
    """Four nodes, led through one round of one key by hand."""

    def __init__(self, folder: Path) -> None:
        self.net = HolderNet(folder, 4)

    @property
    def world(self) -> World:
        return self.net.world

    @property
    def round(self) -> SharedKeyRound:
        found = SHARED_KEY_ROUNDS.get(self.world, (PURPOSE, 1))
        assert found is not None
        return found

    def to(self, phase: RoundPhase) -> SharedKeyRound:
        """Let everybody act on this key until the phase begins."""
        for _ in range(40):
            if self.round.phase is phase:
                return self.round
            for node in self.net.nodes:
                self.advance(node, phase)
        raise AssertionError(self.round.phase)

    def advance(self, node: HolderNode, phase: RoundPhase, *leave_out: type[Args]) -> None:
        for step in node.plan():
            if self.round.phase is phase:
                return
            mine = getattr(getattr(step, "args", None), "round_id", None)
            of_round = step.round.round_id if isinstance(step, Remember | Fetch) else mine
            left_out = isinstance(step, Submit) and isinstance(step.args, leave_out)
            if of_round in {None, self.round.round_id} and not left_out:
                node.carry_out(step)

    def args(self, node: int, kind: type[Args]) -> Args:
        """What that node would send."""
        for step in self.net.nodes[node].plan():
            args = step.args if isinstance(step, Submit) else None
            if isinstance(args, kind) and getattr(args, "round_id", b"") == self.round.round_id:
                return args
        raise AssertionError(f"no {kind.__name__}")

    def refused(self, node: int, args: Args, code: str) -> dict[str, str | int]:
        return self.world.refused(NODES[node], args, code)

    def pair(self, holder: int, dealer: int) -> tuple[bytes, bytes]:
        memory = self.net.nodes[holder - 1].memories.find(self.round.round_id)
        assert memory is not None
        kept = memory.pair(dealer)
        assert kept is not None
        return kept.value, kept.blinding


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def dealing_of_degree(threshold: int, label: str = "deal") -> tuple[bytes, ...]:
    draw = drawing(label)
    values, blindings = [draw() for _ in range(threshold)], [draw() for _ in range(threshold)]
    return tuple(element.encode() for element in commit_hiding(GROUP, values, blindings))


# --- dealing --------------------------------------------------------------------------------------------------


def test_genesis_begins_a_round_for_every_purpose_with_all_validators(desk: Desk) -> None:
    found = open_rounds(desk.world)
    assert {one.purpose for one in found} == set(KeyPurpose)
    assert len({one.round_id for one in found}) == len(KeyPurpose)
    for one in found:
        assert one.dealers == one.holders == tuple(node.account for node in NODES)
        assert (one.threshold, one.needed, one.attempt, one.phase) == (3, 3, 1, RoundPhase.DEALING)
    assert not shared_keys.ready(desk.world)


@pytest.mark.parametrize(
    "commitments",
    [
        dealing_of_degree(2),
        dealing_of_degree(4),
        (INFINITY, *dealing_of_degree(3)[1:]),
        (*dealing_of_degree(3)[:2], SMALL_ORDER),
        (*dealing_of_degree(3)[:2], b"\x99" * 48),
        (*dealing_of_degree(3)[:2], b"short"),
        (*dealing_of_degree(3)[:2], dealing_of_degree(3)[2] + b"\0"),
    ],
    ids=["lower degree", "higher degree", "infinity", "small order", "no point", "short", "long"],
)
def test_commitments_are_exactly_as_many_valid_elements_as_the_threshold(
    desk: Desk, commitments: tuple[bytes, ...]
) -> None:
    args = SharedKeysDeal(round_id=desk.round.round_id, commitments=commitments)
    assert desk.refused(0, args, "key_commitments_invalid") == {"expected": 3}


def test_a_dealer_deals_once(desk: Desk) -> None:
    args = SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3))
    desk.world.done(NODES[0], args)
    desk.refused(0, args, "key_step_taken")
    other = SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3, "other"))
    desk.refused(0, other, "key_step_taken")


def test_nobody_but_a_validator_deals(desk: Desk) -> None:
    world = desk.world.populate()
    args = SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3))
    for who in (READER_NODE, DEPARTMENT, BANK, AUDITOR, LI):
        world.refused(who, args, "wrong_account_kind")
    world.refused(OPERATORS[0], args, "wrong_role")


def test_what_names_another_round_counts_nowhere(desk: Desk) -> None:
    for round_id in (bytes(16), identity("round")):
        args = SharedKeysDeal(round_id=round_id, commitments=dealing_of_degree(3))
        desk.refused(0, args, "unknown_key_round")


def test_a_dealing_phase_waits_without_end_for_its_first_dealer_and_then_for_so_long(desk: Desk) -> None:
    desk.world.time_ms += 30 * 86_400_000
    assert desk.round.until_ms == 0
    desk.world.done(NODES[0], SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3)))
    assert desk.round.until_ms == desk.world.time_ms - 1000 + PHASE_MS
    desk.world.time_ms = desk.round.until_ms
    late = SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3, "late"))
    assert desk.refused(1, late, "key_round_late") == {"until_ms": desk.round.until_ms}


def test_too_few_dealers_begin_again_with_twice_the_time(desk: Desk) -> None:
    before = desk.round
    for node in (0, 1):
        args = SharedKeysDeal(round_id=before.round_id, commitments=dealing_of_degree(3, f"{node}"))
        desk.world.done(NODES[node], args)
    desk.world.time_ms += 2 * 60_000
    assert desk.world.run(NODES[2], DeadlinesTick()).code == "ok"
    assert (desk.round.attempt, desk.round.dealt, desk.round.phase) == (2, (), RoundPhase.DEALING)
    assert desk.round.round_id != before.round_id
    desk.world.done(NODES[0], SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3)))
    assert desk.round.until_ms == desk.world.time_ms - 1000 + 2 * PHASE_MS


def test_a_tick_before_the_deadline_or_after_the_phase_changes_nothing(desk: Desk) -> None:
    args = SharedKeysDeal(round_id=desk.round.round_id, commitments=dealing_of_degree(3))
    desk.world.done(NODES[0], args)
    before = desk.round
    desk.world.done(NODES[0], DeadlinesTick())
    assert desk.round == before
    desk.to(RoundPhase.CHECKING)
    during = desk.round
    desk.world.time_ms = before.until_ms
    desk.world.done(NODES[0], DeadlinesTick())
    assert desk.round == during


# --- checking and answering -----------------------------------------------------------------------------------


def test_a_holder_checks_once_and_complains_of_whom_has_dealt(desk: Desk) -> None:
    one = desk.to(RoundPhase.CHECKING)
    for wrong in ((1,), (5,), (2, 2), (128,)):
        complaint = SharedKeysCheck(round_id=one.round_id, complaints=wrong)
        desk.refused(0, complaint, "key_unknown_dealer")
    desk.world.done(NODES[0], SharedKeysCheck(round_id=one.round_id, complaints=(2,)))
    desk.refused(0, SharedKeysCheck(round_id=one.round_id, complaints=()), "key_step_taken")
    desk.refused(0, SharedKeysConfirm(round_id=one.round_id), "key_round_phase")


def test_more_complaints_than_can_all_be_wrong_put_a_dealer_out_at_once(desk: Desk) -> None:
    one = desk.to(RoundPhase.CHECKING)
    desk.world.done(NODES[0], SharedKeysCheck(round_id=one.round_id, complaints=(2,)))
    assert desk.round.excluded == ()
    desk.world.done(NODES[2], SharedKeysCheck(round_id=one.round_id, complaints=(2,)))
    assert desk.round.excluded == (2,)
    assert desk.round.complaints == ()
    for node in (1, 3):
        desk.world.done(NODES[node], SharedKeysCheck(round_id=one.round_id, complaints=()))
    assert (desk.round.phase, desk.round.qualified) == (RoundPhase.REVEALING, (1, 3, 4))
    desk.refused(1, SharedKeysReveal(round_id=one.round_id, commitments=dealing_of_degree(3)), "not_a_dealer")


def complained(desk: Desk) -> SharedKeyRound:
    """Holder 1 complains of dealer 2, everybody else of nobody."""
    one = desk.to(RoundPhase.CHECKING)
    for node in desk.net.nodes:
        desk.advance(node, RoundPhase.ANSWERING, SharedKeysCheck)
    desk.world.done(NODES[0], SharedKeysCheck(round_id=one.round_id, complaints=(2,)))
    for number in (1, 2, 3):
        desk.world.done(NODES[number], SharedKeysCheck(round_id=one.round_id, complaints=()))
    assert desk.round.phase is RoundPhase.ANSWERING
    return desk.round


def test_an_answer_is_the_pair_that_was_owed_and_nothing_else(desk: Desk) -> None:
    one = complained(desk)
    value, blinding = desk.pair(1, 2)

    def answer(**changes: object) -> SharedKeysAnswer:
        fields = {"round_id": one.round_id, "holder": 1, "value": value, "blinding": blinding}
        return SharedKeysAnswer(**{**fields, **changes})  # type: ignore[arg-type]

    for wrong in (ZERO, ORDER, ABOVE, blinding):
        desk.refused(1, answer(value=wrong), "key_pair_invalid")
        desk.refused(1, answer(blinding=wrong if wrong != blinding else value), "key_pair_invalid")
    desk.refused(1, answer(blinding=b""), "key_pair_invalid")
    desk.refused(1, answer(value=desk.pair(3, 2)[0]), "key_pair_invalid")
    desk.refused(1, answer(holder=3), "key_not_complained")
    desk.refused(2, answer(), "key_not_complained")
    desk.world.done(NODES[1], answer())
    assert (desk.round.phase, desk.round.qualified) == (RoundPhase.REVEALING, (1, 2, 3, 4))


def test_a_complaint_without_an_answer_puts_the_dealer_out_at_the_deadline(desk: Desk) -> None:
    one = complained(desk)
    desk.world.time_ms = one.until_ms + 60_000
    desk.world.done(NODES[3], DeadlinesTick())
    assert (desk.round.phase, desk.round.excluded) == (RoundPhase.REVEALING, (2,))


def test_too_few_who_have_checked_begin_again(desk: Desk) -> None:
    one = desk.to(RoundPhase.CHECKING)
    for node in (0, 1):
        desk.world.done(NODES[node], SharedKeysCheck(round_id=one.round_id, complaints=()))
    desk.world.time_ms = one.until_ms + 60_000
    desk.world.done(NODES[3], DeadlinesTick())
    assert (desk.round.phase, desk.round.attempt) == (RoundPhase.DEALING, 2)


# --- revealing, disputing, opening ----------------------------------------------------------------------------


def test_a_reveal_has_the_right_degree_and_comes_once(desk: Desk) -> None:
    one = desk.to(RoundPhase.REVEALING)
    right = desk.args(0, SharedKeysReveal)
    assert isinstance(right, SharedKeysReveal)
    for wrong in (right.commitments[:2], (*right.commitments, INFINITY), (INFINITY, *right.commitments[1:])):
        args = SharedKeysReveal(round_id=one.round_id, commitments=wrong)
        desk.refused(0, args, "key_commitments_invalid")
    desk.world.done(NODES[0], right)
    desk.refused(0, right, "key_step_taken")


def wrongly_revealed(desk: Desk) -> SharedKeyRound:
    """Dealer 2 reveals another polynomial."""
    one = desk.to(RoundPhase.REVEALING)
    draw = drawing("wrong")
    wrong = tuple(element.encode() for element in commit(GROUP, [draw() for _ in range(3)]))
    for node in (0, 2, 3):
        desk.world.done(NODES[node], desk.args(node, SharedKeysReveal))
    desk.world.done(NODES[1], SharedKeysReveal(round_id=one.round_id, commitments=wrong))
    assert desk.round.phase is RoundPhase.CONFIRMING
    return desk.round


def test_a_dispute_needs_a_pair_that_fits_the_first_commitments_and_not_the_second(desk: Desk) -> None:
    one = wrongly_revealed(desk)

    def dispute(dealer: int, pair: tuple[bytes, bytes]) -> SharedKeysDispute:
        return SharedKeysDispute(round_id=one.round_id, dealer=dealer, value=pair[0], blinding=pair[1])

    desk.refused(0, dispute(3, desk.pair(1, 3)), "key_pair_fits")
    desk.refused(0, dispute(2, desk.pair(3, 2)), "key_pair_invalid")
    desk.refused(0, dispute(2, (ZERO, ZERO)), "key_pair_invalid")
    desk.refused(0, dispute(9, desk.pair(1, 2)), "key_unknown_dealer")
    desk.world.done(NODES[0], dispute(2, desk.pair(1, 2)))
    assert desk.round.disputed == (2,)
    desk.refused(2, dispute(2, desk.pair(3, 2)), "key_step_taken")
    desk.world.done(NODES[2], SharedKeysConfirm(round_id=one.round_id))
    desk.refused(2, SharedKeysConfirm(round_id=one.round_id), "key_step_taken")
    desk.refused(2, dispute(4, desk.pair(3, 4)), "key_step_taken")


def test_the_threshold_of_pairs_opens_a_dealer_to_what_it_dealt(desk: Desk) -> None:
    one = wrongly_revealed(desk)
    value, blinding = desk.pair(1, 2)
    desk.world.done(
        NODES[0], SharedKeysDispute(round_id=one.round_id, dealer=2, value=value, blinding=blinding)
    )
    for node in NODES:
        desk.world.done(node, SharedKeysConfirm(round_id=one.round_id))
    assert desk.round.phase is RoundPhase.OPENING

    def opening(holder: int, dealer: int = 2) -> SharedKeysOpen:
        pair = desk.pair(holder, dealer)
        return SharedKeysOpen(round_id=one.round_id, dealer=dealer, value=pair[0], blinding=pair[1])

    desk.refused(0, opening(1), "key_step_taken")
    desk.refused(2, opening(4), "key_pair_invalid")
    desk.refused(2, opening(3, 4), "key_unknown_dealer")
    desk.world.done(NODES[2], opening(3))
    assert desk.round.opened == ()
    desk.world.done(NODES[3], opening(4))
    assert (desk.round.opened, desk.round.phase) == ((2,), RoundPhase.CONCLUDING)
    desk.net.settle()
    key = desk.net.key(PURPOSE)
    assert sorted(desk.net.holding(key)) == [1, 2, 3, 4]
    assert desk.net.opens(key, (1, 3, 4))


def test_a_dealer_that_cannot_be_opened_makes_the_round_begin_again(desk: Desk) -> None:
    one = wrongly_revealed(desk)
    value, blinding = desk.pair(1, 2)
    desk.world.done(
        NODES[0], SharedKeysDispute(round_id=one.round_id, dealer=2, value=value, blinding=blinding)
    )
    for _ in range(2):
        desk.world.time_ms += 2 * 60_000
        desk.world.done(NODES[3], DeadlinesTick())
    assert (desk.round.phase, desk.round.attempt) == (RoundPhase.DEALING, 2)


# --- concluding -----------------------------------------------------------------------------------------------


def test_keys_are_worked_out_a_bit_at_a_time_and_are_the_same(desk: Desk) -> None:
    one = desk.to(RoundPhase.CONCLUDING)
    whole = Desk(desk.net.nodes[0].folder.parent / "whole")
    whole.to(RoundPhase.CONCLUDING)
    whole.world.done(NODES[3], SharedKeysConclude(round_id=one.round_id, work=CONCLUDING_WORK_MAX))
    fields = desk.refused(0, SharedKeysConclude(round_id=one.round_id, work=1), "key_work_too_little")
    assert fields["needed"] == work_left(one, sums_of(desk.world, one))
    calls = 0
    while desk.round.phase is RoundPhase.CONCLUDING:
        desk.world.done(NODES[calls % 4], SharedKeysConclude(round_id=one.round_id, work=110))
        calls += 1
    assert calls > 2
    made = shared_keys.shared_key(desk.world, PURPOSE, 1)
    other = shared_keys.shared_key(whole.world, PURPOSE, 1)
    assert made is not None
    assert other is not None
    assert made.keys == other.keys
    desk.refused(0, SharedKeysConclude(round_id=one.round_id, work=5), "unknown_key_round")


@pytest.mark.parametrize("at", [0, -1])
def test_a_sum_that_comes_out_as_the_identity_begins_the_round_again(desk: Desk, at: int) -> None:
    one = desk.to(RoundPhase.CONCLUDING)
    desk.world.done(NODES[0], SharedKeysConclude(round_id=one.round_id, work=110))
    sums = sums_of(desk.world, one)
    cancelled = [*sums.sums]
    cancelled[at] = INFINITY
    draft = Draft(desk.world)
    SHARED_KEY_SUMS.put(draft, one.round_id, replace(sums, sums=tuple(cancelled)))
    desk.world.entries |= {key: value for key, value in draft.writes.items() if value is not None}
    desk.world.done(NODES[1], SharedKeysConclude(round_id=one.round_id, work=CONCLUDING_WORK_MAX))
    assert (desk.round.phase, desk.round.attempt) == (RoundPhase.DEALING, 2)
    desk.net.settle()
    assert shared_keys.in_use(desk.world, PURPOSE) is not None


def test_work_left_is_what_one_call_needs(desk: Desk) -> None:
    one = desk.to(RoundPhase.CONCLUDING)
    needed = work_left(one, sums_of(desk.world, one))
    desk.world.done(NODES[0], SharedKeysConclude(round_id=one.round_id, work=needed))
    assert shared_keys.in_use(desk.world, PURPOSE) is not None


# --- costs ----------------------------------------------------------------------------------------------------


def test_no_call_about_shared_keys_costs_more_than_a_block_has_room_for() -> None:
    element, scalar = bytes(48), bytes(32)
    largest: tuple[Args, ...] = (
        SharedKeysDeal(round_id=bytes(16), commitments=(element,) * HOLDERS_MAX),
        SharedKeysAbstain(round_id=bytes(16)),
        SharedKeysCheck(round_id=bytes(16), complaints=tuple(range(1, HOLDERS_MAX + 1))),
        SharedKeysAnswer(round_id=bytes(16), holder=1, value=scalar, blinding=scalar),
        SharedKeysReveal(round_id=bytes(16), commitments=(element,) * HOLDERS_MAX),
        SharedKeysDispute(round_id=bytes(16), dealer=1, value=scalar, blinding=scalar),
        SharedKeysConfirm(round_id=bytes(16)),
        SharedKeysOpen(round_id=bytes(16), dealer=1, value=scalar, blinding=scalar),
        SharedKeysConclude(round_id=bytes(16), work=CONCLUDING_WORK_MAX),
        SharedKeysRenew(purpose=PURPOSE, version=1),
    )
    assert {type(args) for args in largest} == {
        method.args for (contract, _), method in METHODS.items() if contract == "shared_keys"
    }
    for args in largest:
        assert call_cost(call(args)) < CALL_COST_MAX
    assert call_cost(call(largest[0])) > 10 * HOLDERS_MAX
    assert call_cost(call(largest[5])) > call_cost(call(largest[3])) > 1000
    assert call_cost(call(largest[8])) > CONCLUDING_WORK_MAX


@given(data=st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_whatever_is_sent_to_the_contract_is_refused_or_carried_out(data: bytes) -> None:
    world = World()
    for contract, name in METHODS:
        if contract == "shared_keys":
            made = call(SharedKeysConfirm(round_id=bytes(16)))
            what = type(made)(contract=contract, method=name, args=data)
            assert world.run(NODES[0], what).code in {
                "malformed_call",
                "unknown_key_round",
                "unknown_shared_key",
            }


def test_the_algebra_sees_no_zero_and_no_multiple_of_the_order() -> None:
    commitments = commit(GROUP, (1, 2, 3))
    check: Callable[[int], bool] = lambda value: dealing.check_value(GROUP, commitments, 1, value)  # noqa: E731
    assert check(6)
    assert not any(check(value) for value in (0, GROUP.order, GROUP.order + 6, -1))
    assert encode_scalar(6)[-1] == 6
