"""The machine of a round: how a shared key is made, and how its shares are renewed.

    generation   DEALING → CHECKING → (ANSWERING) → REVEALING → CONFIRMING → (OPENING) → CONCLUDING → DONE
    renewal      DEALING → CHECKING → (ANSWERING) → CONCLUDING → DONE

Rule: a phase ends when everybody it waits for has acted, or at its deadline in block time; so whoever is silent holds nothing up
but a deadline. A round that cannot come to its end begins again with the validators of the day. A dealer is out when it leaves a
complaint unanswered, or when more holders complain than can all be wrong; a qualified one is never out again, but opened, so that
nobody who knows more of the key can choose whether to be in it. Until a round is done, the shares before it go on serving.

A dealing phase has no deadline before somebody has dealt, so that a network that stands still changes nothing.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.schedule import schedule
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import KeyName, RoundPhase, SharedKeyIndex, SharedKeyRound
from contracts.state import (
    SHARED_KEY_DEALINGS,
    SHARED_KEY_INDEX,
    SHARED_KEY_ROUNDS,
    SHARED_KEY_SUMS,
    SHARED_KEYS,
    SHARED_KEYS_IN_USE,
    VALIDATORS,
    DeadlineKind,
    Draft,
    StateReader,
    present,
)
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.groups import group_of
from ledger.errors import invariant
from ledger.types import quorum_size

PHASE_MS: Final = 30_000
# Each further attempt gives everybody twice the time, at most so many times.
DOUBLINGS_MAX: Final = 5
VERSIONS_PER_PURPOSE_MAX: Final = 2


# --- reading ------------------------------------------------------------------------------------------------


def index(state: StateReader) -> SharedKeyIndex:
    """Every shared key there is."""
    return SHARED_KEY_INDEX.get(state, None) or SharedKeyIndex()


def open_rounds(state: StateReader) -> tuple[SharedKeyRound, ...]:
    """The rounds that are under way."""
    return tuple(_round(state, name) for name in index(state).open)


def keys_made(state: StateReader) -> tuple[SharedKey, ...]:
    """Every key that has been made and not destroyed."""
    return tuple(
        present(SHARED_KEYS.get(state, (name.purpose, name.version)), "a listed shared key")
        for name in index(state).keys
    )


def latest_version(state: StateReader, purpose: KeyPurpose) -> int:
    """The highest version that was ever begun; 0 if none was."""
    return next((name.version for name in index(state).latest if name.purpose is purpose), 0)


def find_round(state: StateReader, round_id: bytes) -> SharedKeyRound:
    """The round of that id, if it is under way.

    Raises:
        Denied: unknown_key_round.
    """
    found = next((one for one in open_rounds(state) if one.round_id == round_id), None)
    if found is None:
        raise Denied("unknown_key_round", round=round_id.hex())
    return found


def window_ms(one: SharedKeyRound) -> int:
    """How long each phase of the round waits."""
    return PHASE_MS << min(one.attempt - 1, DOUBLINGS_MAX)


def awaited_checks(one: SharedKeyRound) -> tuple[int, ...]:
    """Holders whose check a round waits for: not who is out as a dealer, nor, when a key is made, who has not even dealt."""
    out = {one.dealers[dealer - 1] for dealer in one.excluded}
    if one.renewal == 0:
        out |= {account for dealer, account in enumerate(one.dealers, start=1) if dealer not in one.dealt}
    return tuple(number for number, account in enumerate(one.holders, start=1) if account not in out)


def wrong_allowed(one: SharedKeyRound) -> int:
    """How many holders can all be wrong."""
    return len(one.holders) - one.threshold


# --- beginning ----------------------------------------------------------------------------------------------


def begin_generation(draft: Draft, suite: CryptoSuite, purpose: KeyPurpose, version: int) -> SharedKeyRound:
    """Let the validators of the day make a key; again, if they are at it.

    Args:
        draft: the state.
        suite: of the network.
        purpose, version: which key; it was never made.
    """
    accounts = validators_of(draft)
    return _begin(
        draft,
        suite,
        KeyName(purpose=purpose, version=version),
        renewal=0,
        group=group_of(suite).name,
        dealers=accounts,
        expected=tuple(range(1, len(accounts) + 1)),
        needed=quorum_size(len(accounts)),
    )


def begin_renewal(draft: Draft, suite: CryptoSuite, key: SharedKey) -> SharedKeyRound:
    """Let the holders of a key give fresh shares to the validators of the day; again, if they are at it."""
    accounts = validators_of(draft)
    return _begin(
        draft,
        suite,
        KeyName(purpose=key.purpose, version=key.version),
        renewal=key.renewal + 1,
        group=key.group,
        dealers=key.holders,
        expected=tuple(n for n, account in enumerate(key.holders, start=1) if account in accounts),
        needed=key.keys.threshold,
    )


def _begin(
    draft: Draft,
    suite: CryptoSuite,
    name: KeyName,
    *,
    renewal: int,
    group: str,
    dealers: tuple[bytes, ...],
    expected: tuple[int, ...],
    needed: int,
) -> SharedKeyRound:
    before = SHARED_KEY_ROUNDS.get(draft, (name.purpose, name.version))
    again = before is not None and before.renewal == renewal
    attempt = before.attempt + 1 if before is not None and again else 1
    if before is not None:
        _clear(draft, before)
    holders = validators_of(draft)
    identity = (name.purpose.value, name.version, renewal, attempt)
    begun = SharedKeyRound(
        round_id=suite.hash(domains.SHARED_KEY_ROUND, codec.encode(identity))[:16],
        purpose=name.purpose,
        version=name.version,
        renewal=renewal,
        attempt=attempt,
        group=group,
        dealers=dealers,
        expected=expected,
        holders=holders,
        threshold=quorum_size(len(holders)),
        needed=needed,
    )
    put_round(draft, begun)
    listed = index(draft)
    if name not in listed.open:
        listed = replace(listed, open=(*listed.open, name))
    if latest_version(draft, name.purpose) < name.version:
        others = tuple(one for one in listed.latest if one.purpose is not name.purpose)
        listed = replace(listed, latest=(*others, name))
    SHARED_KEY_INDEX.put(draft, None, listed)
    return begun


def forget_round(draft: Draft, name: KeyName) -> None:
    """Leave nothing of a key's rounds."""
    known = SHARED_KEY_ROUNDS.get(draft, (name.purpose, name.version))
    if known is not None:
        _clear(draft, known)
        SHARED_KEY_ROUNDS.delete(draft, (name.purpose, name.version))
    _close(draft, name)


def put_round(draft: Draft, one: SharedKeyRound) -> None:
    """Write the round."""
    SHARED_KEY_ROUNDS.put(draft, (one.purpose, one.version), one)


# --- going on -----------------------------------------------------------------------------------------------


def settle(context: CallContext, one: SharedKeyRound) -> SharedKeyRound:
    """Keep the round, moved on as far as it goes without anybody's doing."""
    return _go_on(context, one, overdue=False)


def expire(context: CallContext, object_id: bytes) -> None:
    """A deadline of a key's round has come: stop waiting, unless the round has moved on by itself."""
    purpose, _, version = object_id.decode().rpartition("/")
    name = KeyName(purpose=KeyPurpose(purpose), version=int(version))
    if name not in index(context.state).open:
        return
    one = _round(context.state, name)
    if one.until_ms == 0 or context.time_ms < one.until_ms:
        return
    moved = _go_on(context, one, overdue=True)
    emit(context, "shared_keys.waited", moved, attempt=moved.attempt)


def enter(context: CallContext, one: SharedKeyRound, phase: RoundPhase) -> SharedKeyRound:
    """The round in a phase that begins now."""
    if phase is RoundPhase.CONCLUDING:
        return replace(one, phase=phase, until_ms=0)
    until_ms = context.time_ms + window_ms(one)
    schedule(context.state, until_ms, DeadlineKind.SHARED_KEY, f"{one.purpose.value}/{one.version}".encode())
    return replace(one, phase=phase, until_ms=until_ms)


def again(context: CallContext, one: SharedKeyRound) -> SharedKeyRound:
    """Begin once more, with the validators of the day."""
    if one.renewal == 0:
        return begin_generation(context.state, context.block.suite, one.purpose, one.version)
    key = present(SHARED_KEYS.get(context.state, (one.purpose, one.version)), "the key of a renewal")
    return begin_renewal(context.state, context.block.suite, key)


def make(context: CallContext, one: SharedKeyRound, key: SharedKey) -> None:
    """Put in force what a round has made."""
    draft, name = context.state, KeyName(purpose=one.purpose, version=one.version)
    SHARED_KEYS.put(draft, (one.purpose, one.version), key)
    SHARED_KEY_SUMS.delete(draft, one.round_id)
    put_round(draft, replace(one, phase=RoundPhase.DONE, until_ms=0))
    _close(draft, name)
    listed = index(draft)
    if name not in listed.keys:
        SHARED_KEY_INDEX.put(draft, None, replace(listed, keys=(*listed.keys, name)))
    if SHARED_KEYS_IN_USE.get(draft, one.purpose) is None:
        SHARED_KEYS_IN_USE.put(draft, one.purpose, one.version)
    emit(context, "shared_keys.renewed" if one.renewal else "shared_keys.made", one, holders=len(one.holders))


def emit(context: CallContext, kind: str, one: SharedKeyRound, *concerned: bytes, **data: str | int) -> None:
    """Record that something happened in a round."""
    context.emit(
        kind,
        one.round_id,
        concerned,
        purpose=one.purpose.value,
        version=one.version,
        renewal=one.renewal,
        phase=one.phase.value,
        **data,
    )


def _go_on(context: CallContext, one: SharedKeyRound, *, overdue: bool) -> SharedKeyRound:
    while True:
        moved = _moved(context, one, overdue=overdue)
        if moved is one or moved.round_id != one.round_id:
            break
        one, overdue = moved, False
    put_round(context.state, moved)
    return moved


def _moved(context: CallContext, one: SharedKeyRound, *, overdue: bool) -> SharedKeyRound:
    """The round one phase on; the same one if it still waits."""
    match one.phase:
        case RoundPhase.DEALING:
            if len(one.dealt) >= one.needed and (overdue or _all(one.expected, one.dealt)):
                return enter(context, one, RoundPhase.CHECKING)
            return again(context, one) if overdue else one
        case RoundPhase.CHECKING:
            if not (overdue or _all(awaited_checks(one), one.checked)):
                return one
            if len(one.checked) < one.threshold:
                return again(context, one)
            return enter(context, one, RoundPhase.ANSWERING) if _unanswered(one) else _qualify(context, one)
        case RoundPhase.ANSWERING:
            guilty = _unanswered(one)
            if guilty and not overdue:
                return one
            return _qualify(context, replace(one, excluded=tuple(sorted({*one.excluded, *guilty}))))
        case RoundPhase.REVEALING:
            if not (overdue or _all(one.qualified, one.revealed)):
                return one
            silent = tuple(dealer for dealer in one.qualified if dealer not in one.revealed)
            return enter(context, replace(one, disputed=silent), RoundPhase.CONFIRMING)
        case RoundPhase.CONFIRMING:
            if not (overdue or _all(one.checked, one.confirmed)):
                return one
            return enter(context, one, RoundPhase.OPENING if one.disputed else RoundPhase.CONCLUDING)
        case RoundPhase.OPENING:
            if _all(one.disputed, one.opened):
                return enter(context, one, RoundPhase.CONCLUDING)
            return again(context, one) if overdue else one
        case RoundPhase.CONCLUDING | RoundPhase.DONE:
            return one
        case _:
            assert_never(one.phase)


def _qualify(context: CallContext, one: SharedKeyRound) -> SharedKeyRound:
    """Settle whose values count: before anybody knows anything of the key."""
    left = tuple(dealer for dealer in sorted(one.dealt) if dealer not in one.excluded)
    if len(left) < one.needed:
        return again(context, one)
    if one.renewal:
        # Exactly as many as it takes: the weights hang on who they are.
        return enter(context, replace(one, qualified=left[: one.needed]), RoundPhase.CONCLUDING)
    return enter(context, replace(one, qualified=left), RoundPhase.REVEALING)


def _unanswered(one: SharedKeyRound) -> frozenset[int]:
    return frozenset(complaint.dealer for complaint in one.complaints if not complaint.answered)


def _all(wanted: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return all(one in found for one in wanted)


def validators_of(state: StateReader) -> tuple[bytes, ...]:
    """Accounts of whoever votes on the next block."""
    return tuple(one.account for one in present(VALIDATORS.get(state, None), "the validator set").validators)


def _round(state: StateReader, name: KeyName) -> SharedKeyRound:
    return present(SHARED_KEY_ROUNDS.get(state, (name.purpose, name.version)), "a listed round")


def _clear(draft: Draft, one: SharedKeyRound) -> None:
    """Forget what was published in a round that is over."""
    for dealer in one.dealt:
        SHARED_KEY_DEALINGS.delete(draft, (one.round_id, dealer))
    SHARED_KEY_SUMS.delete(draft, one.round_id)


def _close(draft: Draft, name: KeyName) -> None:
    listed = index(draft)
    left = tuple(one for one in listed.open if one != name)
    invariant(len(listed.open) - len(left) <= 1, "a round is listed once")
    SHARED_KEY_INDEX.put(draft, None, replace(listed, open=left))
