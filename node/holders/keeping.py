"""Which shares and which memories a node keeps, given the ledger: a part of `rounds.py`'s plan.

Rule: a share goes only when the ledger says that another has taken its place or that its key is destroyed; a replica that is
behind what it once knew destroys nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.shared_key_calls import SharedKeysRenew
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import KeyName, RoundPhase
from contracts.shared_key_rounds import index, keys_made, latest_version
from contracts.shared_key_sums import dealing_of, group_for
from contracts.shared_keys import RENEWAL_INTERVAL_MS
from contracts.state import SHARED_KEY_ROUNDS, StateReader
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.group import Group, encode_scalar
from ledger.crypto.threshold.groups import group_named
from node.holders.pairs import number_of, pair_of
from node.holders.round_files import RoundMemory, as_pair
from node.holders.share_file import HeldShare
from node.holders.steps import ChangeShares, Name, Step, Submit, View

# How long a share has to be missing, or known to all, before its holder asks for a renewal; each a little later than the last.
LOST_MS: Final = 10_000
TURN_MS: Final = 3_000


def about_key(view: View, key: SharedKey) -> Iterator[Step]:
    """Have exactly the share that the key's holder is to have."""
    name = KeyName(purpose=key.purpose, version=key.version)
    own = [held for held in view.shares if (held.purpose, held.version) == (key.purpose, key.version)]
    holder = number_of(view.account, key.holders)
    fitting = [
        held for held in own if holder == held.holder and held.renewal == key.renewal and fits_key(key, held)
    ]
    # Those of later renewals stay: this replica may be behind what it once knew.
    drop = tuple(held for held in own if held.renewal <= key.renewal and held not in fitting)
    made = share_made(view, key, holder) if holder and not fitting else None
    if made is not None or drop:
        yield ChangeShares((made,) if made is not None else (), drop)
    if made is not None or not holder or (fitting and not is_public(view, key, holder)):
        return
    waiting: Name = ("lost", key.purpose.value, key.version, key.renewal)
    if name in index(view.state).open or view.clock_ms < key.since_ms + RENEWAL_INTERVAL_MS:
        return
    if view.waited_ms(waiting) >= LOST_MS + holder * TURN_MS:
        yield Submit(waiting, SharedKeysRenew(purpose=key.purpose, version=key.version))


def is_public(view: View, key: SharedKey, holder: int) -> bool:
    """Whether everybody can work this holder's share out: every dealer had to answer its complaint before all.

    It happens where this node could not reach the others while they dealt. Such a share no longer counts among those that
    an attacker has to get hold of.
    """
    one = SHARED_KEY_ROUNDS.get(view.state, (key.purpose, key.version))
    if one is None or (one.phase, one.renewal) != (RoundPhase.DONE, key.renewal):
        return False
    dealings = [dealing_of(view.state, one, dealer) for dealer in one.qualified]
    return all(any(answer.holder == holder for answer in published.answers) for published in dealings)


def missing_shares(state: StateReader, account: bytes, held: tuple[HeldShare, ...]) -> tuple[str, ...]:
    """Keys in force, by purpose and version, of which this account holds no share, or none that fits, and should."""
    names: list[str] = []
    for key in keys_made(state):
        wanted = (key.purpose, key.version, key.renewal, number_of(account, key.holders))
        own = next(
            (one for one in held if (one.purpose, one.version, one.renewal, one.holder) == wanted), None
        )
        if wanted[3] and (own is None or not fits_key(key, own)):
            names.append(f"{key.purpose.value} {key.version}")
    return tuple(names)


def share_made(view: View, key: SharedKey, holder: int) -> HeldShare | None:
    """The share that the key's last round gave this holder; None if it was not there for it."""
    one = SHARED_KEY_ROUNDS.get(view.state, (key.purpose, key.version))
    memory = view.memories.get(one.round_id) if one is not None else None
    if one is None or memory is None or (one.phase, one.renewal) != (RoundPhase.DONE, key.renewal):
        return None
    values: dict[int, int] = {}
    for dealer in one.qualified:
        pair = pair_of(view.state, one, memory, dealer, holder)
        if pair is None:
            return None
        values[dealer] = as_pair(pair).value
    group = group_for(one)
    summed = dealing.renewed_share if one.renewal else _generated
    secret = summed(group, values)
    made = HeldShare(
        purpose=key.purpose,
        version=key.version,
        renewal=key.renewal,
        group=key.group,
        keys=key.keys,
        holder=holder,
        secret=encode_scalar(secret),
    )
    return made if fits_key(key, made) else None


def _generated(group: Group, values: dict[int, int]) -> int:
    return dealing.generated_share(group, tuple(values.values()))


def fits_key(key: SharedKey, share: HeldShare) -> bool:
    """Whether it is the share whose key the ledger names."""
    return (share.group, share.keys) == (key.group, key.keys) and fits_own(share)


def fits_own(share: HeldShare) -> bool:
    """Whether a share is that of its own public half."""
    group = group_named(share.group)
    secret = int.from_bytes(share.secret, "big")
    if group is None or not 0 < secret < group.order or share.holder > len(share.keys.share_keys):
        return False
    return group.generator.times(secret).encode() == share.keys.share_keys[share.holder - 1]


def gone(state: StateReader, purpose: KeyPurpose, version: int) -> bool:
    """Whether that version was made once, and is no more. A replica that is behind has not heard of later ones."""
    listed = index(state)
    name = KeyName(purpose=purpose, version=version)
    return name not in (*listed.keys, *listed.open) and version <= latest_version(state, purpose)


def over(view: View, memory: RoundMemory) -> bool:
    """Whether nothing of a round is needed any more."""
    if gone(view.state, memory.purpose, memory.version):
        return True
    one = SHARED_KEY_ROUNDS.get(view.state, (memory.purpose, memory.version))
    if one is None:
        return False
    if one.round_id != memory.round_id:
        return (memory.renewal, memory.attempt) < (one.renewal, one.attempt)
    if one.phase is not RoundPhase.DONE:
        return False
    key = next(
        key for key in keys_made(view.state) if (key.purpose, key.version) == (one.purpose, one.version)
    )
    holder = number_of(view.account, key.holders)
    kept = view.share(key.purpose, key.version, key.renewal) is not None
    return not holder or kept or share_made(view, key, holder) is None
