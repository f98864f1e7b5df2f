"""Keys that the operators hold together: made without anybody's ever having them, renewed, replaced.

Rule: the ledger decides who deals, who holds, what counts and who is out, from what everybody can see; secrets pass from dealer to
holder alone, and come here only to settle who of the two lies. What is checked here is paid for by the call that asks for it. The
public key of a version never changes; its shares go with the validators.

`shared_key_rounds.py` is the machine of a round, `shared_key_sums.py` the arithmetic at its end, `shared_key_versions.py` has the
versions and how they go with the validators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from contracts import shared_key_rounds as rounds
from contracts import shared_key_sums as sums
from contracts.denials import Denied
from contracts.methods import OPERATOR_ADMIN, OPERATOR_NODE, CallContext, method
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
from contracts.shared_key_records import SharedKey
from contracts.shared_key_round_records import (
    Complaint,
    Dealing,
    PublicPair,
    RoundPhase,
    SharedKeyRound,
)
from contracts.shared_key_rounds import index, open_rounds
from contracts.shared_key_versions import (
    begin,
    check_validators,
    destroy,
    follow_validators,
    found,
    in_use,
    made,
    ready,
    shared_key,
    use,
)
from contracts.state import (
    SHARED_KEY_DEALINGS,
)
from contracts.versions import Contract
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.dealing import Pair
from ledger.crypto.threshold.group import decode_scalar
from ledger.crypto.threshold.polynomials import HOLDERS_MAX
from ledger.errors import invariant

RENEWAL_INTERVAL_MS: Final = 30_000
# What the largest sets need, whatever the set is: a call does not say how large it is.
_COMMITTED_COST: Final = HOLDERS_MAX * (sums.DECODE_COST + sums.HORNER_COST)
_PAIR_COST: Final = _COMMITTED_COST + 2 * sums.MULTIPLICATION_COST
_DISPUTE_COST: Final = _PAIR_COST + _COMMITTED_COST + sums.MULTIPLICATION_COST
# Besides the pair: the coefficients of a polynomial through 86 values, and their commitments.
_COEFFICIENTS_COST: Final = 12_000
_OPEN_COST: Final = _PAIR_COST + HOLDERS_MAX * sums.MULTIPLICATION_COST + _COEFFICIENTS_COST

E = TypeVar("E")


# --- dealing ------------------------------------------------------------------------------------------------


@method(
    SharedKeysDeal,
    callers=OPERATOR_NODE,
    cost=40,
    extra_cost=lambda args: len(args.commitments) * sums.DECODE_COST,
)
def deal(context: CallContext, args: SharedKeysDeal) -> None:
    """Commit oneself as a dealer."""
    one = _round(context, args.round_id, RoundPhase.DEALING, "dealing")
    dealer = _dealer(context, one)
    _once(dealer, one.dealt, "dealing")
    group = sums.group_for(one)
    commitments = dealing.decode_commitments(group, args.commitments, one.threshold)
    if commitments is None:
        raise Denied("key_commitments_invalid", expected=one.threshold)
    if one.renewal:
        key = made(context.state, one.purpose, one.version)
        if args.commitments[0] != key.keys.share_keys[dealer - 1]:
            raise Denied("key_not_own_share", dealer=dealer)
    SHARED_KEY_DEALINGS.put(context.state, (one.round_id, dealer), Dealing(commitments=args.commitments))
    if not one.dealt:
        one = rounds.enter(context, one, RoundPhase.DEALING)
    _settle(context, replace(one, dealt=(*one.dealt, dealer)), "shared_keys.dealt", dealer=dealer)


@method(SharedKeysAbstain, callers=OPERATOR_NODE, cost=40)
def abstain(context: CallContext, args: SharedKeysAbstain) -> None:
    """Say that one has lost the share that one is to deal."""
    one = _round(context, args.round_id, RoundPhase.DEALING, "abstention")
    dealer = _dealer(context, one)
    if dealer in one.dealt or dealer not in one.expected or one.renewal == 0:
        raise Denied("key_step_taken", step="dealing")
    expected = tuple(held for held in one.expected if held != dealer)
    _settle(context, replace(one, expected=expected), "shared_keys.abstained", dealer=dealer)


@method(SharedKeysCheck, callers=OPERATOR_NODE, cost=60)
def check(context: CallContext, args: SharedKeysCheck) -> None:
    """Say, as a holder, that one keeps what every dealer owed, but for those who are complained about."""
    one = _round(context, args.round_id, RoundPhase.CHECKING, "check")
    holder = _holder(context, one)
    _once(holder, one.checked, "check")
    for position, dealer in enumerate(args.complaints):
        own = one.dealers[dealer - 1] == context.account.account_id if dealer <= len(one.dealers) else True
        if own or dealer not in one.dealt or dealer in args.complaints[:position]:
            raise Denied("key_unknown_dealer", dealer=dealer)
    new = tuple(Complaint(dealer=dealer, holder=holder) for dealer in args.complaints)
    complained = _without_excluded(replace(one, complaints=(*one.complaints, *new)))
    accused = tuple(one.dealers[dealer - 1] for dealer in args.complaints)
    checked = replace(complained, checked=(*one.checked, holder))
    _settle(context, checked, "shared_keys.checked", *accused, holder=holder, complaints=len(accused))


@method(SharedKeysAnswer, callers=OPERATOR_NODE, cost=40, extra_cost=lambda _args: _PAIR_COST)
def answer(context: CallContext, args: SharedKeysAnswer) -> None:
    """Answer a complaint by showing everybody what the holder was owed."""
    one = _round(context, args.round_id, RoundPhase.ANSWERING, "answer")
    dealer = _dealer(context, one)
    asked = Complaint(dealer=dealer, holder=args.holder)
    if asked not in one.complaints:
        raise Denied("key_not_complained", holder=args.holder)
    published = sums.dealing_of(context.state, one, dealer)
    _require_fitting(one, published, dealer, args.holder, args.value, args.blinding)
    shown = PublicPair(holder=args.holder, value=args.value, blinding=args.blinding)
    published = replace(published, answers=(*published.answers, shown))
    SHARED_KEY_DEALINGS.put(context.state, (one.round_id, dealer), published)
    complaints = tuple(replace(held, answered=True) if held == asked else held for held in one.complaints)
    complainer = one.holders[args.holder - 1]
    _settle(context, replace(one, complaints=complaints), "shared_keys.answered", complainer, dealer=dealer)


# --- revealing ------------------------------------------------------------------------------------------------


@method(
    SharedKeysReveal,
    callers=OPERATOR_NODE,
    cost=40,
    extra_cost=lambda args: len(args.commitments) * sums.DECODE_COST,
)
def reveal(context: CallContext, args: SharedKeysReveal) -> None:
    """Show, as a qualified dealer, the commitments that the key is made of."""
    one = _round(context, args.round_id, RoundPhase.REVEALING, "reveal")
    dealer = _dealer(context, one)
    if dealer not in one.qualified:
        raise Denied("not_a_dealer", account=context.account.account_id.hex())
    _once(dealer, one.revealed, "reveal")
    if dealing.decode_commitments(sums.group_for(one), args.commitments, one.threshold) is None:
        raise Denied("key_commitments_invalid", expected=one.threshold)
    published = replace(sums.dealing_of(context.state, one, dealer), revealed=args.commitments)
    SHARED_KEY_DEALINGS.put(context.state, (one.round_id, dealer), published)
    _settle(context, replace(one, revealed=(*one.revealed, dealer)), "shared_keys.revealed", dealer=dealer)


@method(SharedKeysDispute, callers=OPERATOR_NODE, cost=40, extra_cost=lambda _args: _DISPUTE_COST)
def dispute(context: CallContext, args: SharedKeysDispute) -> None:
    """Prove, as a holder, that what a dealer revealed is not what it committed itself to."""
    one = _round(context, args.round_id, RoundPhase.CONFIRMING, "dispute")
    holder = _holder(context, one)
    _once(holder, one.confirmed, "confirmation")
    if args.dealer not in one.revealed:
        raise Denied("key_unknown_dealer", dealer=args.dealer)
    _once(args.dealer, one.disputed, "dispute")
    published = sums.dealing_of(context.state, one, args.dealer)
    value = _require_fitting(one, published, args.dealer, holder, args.value, args.blinding)
    group = sums.group_for(one)
    if dealing.check_value(group, sums.decoded(group, published.revealed), holder, value):
        raise Denied("key_pair_fits", dealer=args.dealer)
    opening = PublicPair(holder=holder, value=args.value, blinding=args.blinding)
    published = replace(published, openings=(opening,))
    SHARED_KEY_DEALINGS.put(context.state, (one.round_id, args.dealer), published)
    disputed = replace(one, disputed=(*one.disputed, args.dealer))
    accused = one.dealers[args.dealer - 1]
    _settle(context, disputed, "shared_keys.disputed", accused, dealer=args.dealer)


@method(SharedKeysConfirm, callers=OPERATOR_NODE, cost=40)
def confirm(context: CallContext, args: SharedKeysConfirm) -> None:
    """Say, as a holder, that one has no more to dispute."""
    one = _round(context, args.round_id, RoundPhase.CONFIRMING, "confirmation")
    holder = _holder(context, one)
    _once(holder, one.confirmed, "confirmation")
    _settle(context, replace(one, confirmed=(*one.confirmed, holder)), "shared_keys.confirmed", holder=holder)


@method(SharedKeysOpen, callers=OPERATOR_NODE, cost=40, extra_cost=lambda _args: _OPEN_COST)
def open_(context: CallContext, args: SharedKeysOpen) -> None:
    """Give, as a holder, one's pair of a dealer that broke its word; the threshold of them is its polynomial."""
    one = _round(context, args.round_id, RoundPhase.OPENING, "opening")
    holder = _holder(context, one)
    if args.dealer not in one.disputed or args.dealer in one.opened:
        raise Denied("key_unknown_dealer", dealer=args.dealer)
    published = sums.dealing_of(context.state, one, args.dealer)
    _once(holder, [pair.holder for pair in published.openings], "opening")
    _require_fitting(one, published, args.dealer, holder, args.value, args.blinding)
    opening = PublicPair(holder=holder, value=args.value, blinding=args.blinding)
    published = replace(published, openings=(*published.openings, opening))
    if len(published.openings) >= one.threshold:
        group = sums.group_for(one)
        values = {pair.holder: int.from_bytes(pair.value, "big") for pair in published.openings}
        opened = dealing.open_dealer(group, values, one.threshold)
        published = replace(published, revealed=tuple(map(sums.encoded, opened)))
        one = replace(one, opened=(*one.opened, args.dealer))
    SHARED_KEY_DEALINGS.put(context.state, (one.round_id, args.dealer), published)
    _settle(context, one, "shared_keys.opened", one.dealers[args.dealer - 1], dealer=args.dealer)


# --- concluding -----------------------------------------------------------------------------------------------


@method(SharedKeysConclude, callers=OPERATOR_NODE, cost=60, extra_cost=lambda args: args.work)
def conclude(context: CallContext, args: SharedKeysConclude) -> int:
    """Work out the keys; whoever finishes puts them in force."""
    one = _round(context, args.round_id, RoundPhase.CONCLUDING, "conclusion")
    done = sums.add_up(context, one, args.work)
    if done is not None and len(done.share_keys) < len(one.holders):
        return sums.work_left(one, done)
    keys = None if done is None else sums.keys_of(one, done)
    if keys is None:
        again = rounds.again(context, one)
        rounds.emit(context, "shared_keys.waited", again, attempt=again.attempt)
        return 0
    if one.renewal:
        before = made(context.state, one.purpose, one.version)
        invariant(keys.public_key == before.keys.public_key, "a renewal keeps the public key")
    key = SharedKey(
        purpose=one.purpose,
        version=one.version,
        renewal=one.renewal,
        group=one.group,
        holders=one.holders,
        keys=keys,
        since_ms=context.time_ms,
    )
    rounds.make(context, one, key)
    return 0


@method(SharedKeysRenew, callers=(*OPERATOR_NODE, *OPERATOR_ADMIN), cost=60)
def renew(context: CallContext, args: SharedKeysRenew) -> None:
    """Give every validator a fresh share of a key."""
    key = made(context.state, args.purpose, args.version)
    if any((one.purpose, one.version) == (key.purpose, key.version) for one in open_rounds(context.state)):
        raise Denied("key_round_open", purpose=args.purpose.value, version=args.version)
    if context.time_ms < key.since_ms + RENEWAL_INTERVAL_MS:
        raise Denied("key_renewed_lately", from_ms=key.since_ms + RENEWAL_INTERVAL_MS)
    begun = rounds.begin_renewal(context.state, context.block.suite, key)
    rounds.emit(context, "shared_keys.begun", begun, attempt=begun.attempt)


# --- inside ---------------------------------------------------------------------------------------------------


def _round(context: CallContext, round_id: bytes, phase: RoundPhase, step: str) -> SharedKeyRound:
    one = rounds.find_round(context.state, round_id)
    if one.phase is not phase:
        raise Denied("key_round_phase", phase=one.phase.value, step=step)
    if one.until_ms != 0 and context.time_ms >= one.until_ms:
        raise Denied("key_round_late", until_ms=one.until_ms)
    return one


def _dealer(context: CallContext, one: SharedKeyRound) -> int:
    account = context.account.account_id
    if account not in one.dealers:
        raise Denied("not_a_dealer", account=account.hex())
    dealer = one.dealers.index(account) + 1
    if dealer in one.excluded:
        raise Denied("not_a_dealer", account=account.hex())
    return dealer


def _holder(context: CallContext, one: SharedKeyRound) -> int:
    account = context.account.account_id
    if account not in one.holders:
        raise Denied("not_a_key_holder", account=account.hex())
    return one.holders.index(account) + 1


def _once(who: int, taken: Sequence[int], step: str) -> None:
    if who in taken:
        raise Denied("key_step_taken", step=step)


def _without_excluded(one: SharedKeyRound) -> SharedKeyRound:
    """The round without dealers about whom more complain than can all be wrong, and what was said of them."""
    against = dict.fromkeys(one.dealt, 0)
    for complaint in one.complaints:
        against[complaint.dealer] += 1
    allowed = rounds.wrong_allowed(one)
    out = tuple(dealer for dealer, count in against.items() if count > allowed)
    return replace(
        one,
        excluded=tuple(sorted({*one.excluded, *out})),
        complaints=tuple(held for held in one.complaints if held.dealer not in {*one.excluded, *out}),
    )


def _require_fitting(
    one: SharedKeyRound, published: Dealing, dealer: int, holder: int, value: bytes, blinding: bytes
) -> int:
    """The value, if it is what the dealer committed itself to for that holder.

    Raises:
        Denied: key_pair_invalid.
    """
    group = sums.group_for(one)
    commitments = sums.decoded(group, published.commitments)
    scalar = decode_scalar(group, value)
    if one.renewal:
        fits = not blinding and scalar is not None and dealing.check_value(group, commitments, holder, scalar)
    else:
        blind = decode_scalar(group, blinding)
        fits = scalar is not None and blind is not None
        fits = fits and dealing.check_pair(group, commitments, holder, Pair(scalar or 0, blind or 0))
    if scalar is None or not fits:
        raise Denied("key_pair_invalid", dealer=dealer)
    return scalar


def _settle(
    context: CallContext, one: SharedKeyRound, kind: str, *concerned: bytes, **data: str | int
) -> None:
    """Record what was done, and go on as far as that leads."""
    moved = rounds.settle(context, one)
    rounds.emit(context, kind, one, *concerned, **data, then=moved.phase.value, attempt=moved.attempt)


METHODS: Final = (deal, abstain, check, answer, reveal, dispute, confirm, open_, conclude, renew)
CONTRACT: Final = Contract(name="shared_keys", methods=METHODS, on_deadline=rounds.expire)

__all__ = [
    "CONCLUDING_WORK_MAX",
    "CONTRACT",
    "METHODS",
    "begin",
    "check_validators",
    "destroy",
    "follow_validators",
    "found",
    "in_use",
    "index",
    "open_rounds",
    "ready",
    "shared_key",
    "use",
]
