"""Works out the keys that a round has made: the part that is too much for one call when the sets are large.

Rule: a call does as much as it has paid for and leaves the rest; whoever comes next goes on from there. What comes out depends
on what was published alone, so it does not matter who that is.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.shared_key_round_records import Dealing, RoundSums, SharedKeyRound
from contracts.state import SHARED_KEY_DEALINGS, SHARED_KEY_SUMS, StateReader, present
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.group import Element, Group
from ledger.crypto.threshold.groups import group_named
from ledger.crypto.threshold.polynomials import weights_at
from ledger.crypto.threshold.shares import HolderKeys
from ledger.errors import invariant

# In the cost units of `methods.Method`: reading an element, multiplying one, and a step of Horner's rule.
NOTHING: Final = b"\0"
DECODE_COST: Final = 10
MULTIPLICATION_COST: Final = 14
HORNER_COST: Final = 2


def group_for(one: SharedKeyRound) -> Group:
    """The group that a round names."""
    return present(group_named(one.group), f"the group {one.group}")


def dealing_of(state: StateReader, one: SharedKeyRound, dealer: int) -> Dealing:
    """What a dealer who has dealt has published."""
    return present(SHARED_KEY_DEALINGS.get(state, (one.round_id, dealer)), "the dealing of a dealer")


def decoded(group: Group, elements: tuple[bytes, ...]) -> dealing.Commitments:
    """Elements that were checked when they came."""
    found = dealing.decode_commitments(group, elements, len(elements))
    return present(found, "the elements of a dealing")


def encoded(element: Element | None) -> bytes:
    """An element as a dealing has it; one byte that no group decodes for the identity, which only an opened dealer can have."""
    return NOTHING if element is None else element.encode()


def shared_commitments(state: StateReader, one: SharedKeyRound, dealer: int) -> tuple[bytes, ...]:
    """A_k of a dealer, as the sums have them."""
    published = dealing_of(state, one, dealer)
    return published.commitments if one.renewal else published.revealed


def sums_of(state: StateReader, one: SharedKeyRound) -> RoundSums:
    """How far it is worked out."""
    return SHARED_KEY_SUMS.get(state, one.round_id) or RoundSums()


def work_left(one: SharedKeyRound, sums: RoundSums) -> int:
    """Cost units of what is left, if one call does it."""
    dealers, holders = len(one.qualified) - sums.added, len(one.holders) - len(sums.share_keys)
    return _resume_cost(one, sums) + dealers * _dealing_cost(one) + holders * _share_cost(one)


def add_up(context: CallContext, one: SharedKeyRound, work: int) -> RoundSums | None:
    """Go on by `work` cost units; what there is then, which is kept. None if a sum came out as the identity, by whatever chance.

    Raises:
        Denied: key_work_too_little, for the next step alone.
    """
    group, sums = group_for(one), sums_of(context.state, one)
    left = work - _resume_cost(one, sums)
    elements = _resumed(group, sums)
    if elements is None:
        return None
    weights = weights_at(group.order, one.qualified) if one.renewal else {}
    before = (sums.added, len(sums.share_keys))
    while sums.added < len(one.qualified) and left >= _dealing_cost(one):
        left -= _dealing_cost(one)
        dealer = one.qualified[sums.added]
        more = _shared(group, shared_commitments(context.state, one, dealer))
        if one.renewal:
            more = tuple(element and element.times(weights[dealer]) for element in more)
        # From an element whose logarithm nobody knows on, so that no dealers can have a sum on the way come out as the identity.
        elements = elements or (group.second_generator,) * one.threshold
        elements = tuple(a if b is None else a + b for a, b in zip(elements, more, strict=True))
        sums = replace(sums, added=sums.added + 1)
        if sums.added == len(one.qualified):
            off = group.second_generator.times(group.order - 1)
            elements = tuple(element + off for element in elements)
    shares = list(sums.share_keys)
    while sums.added == len(one.qualified) and len(shares) < len(one.holders) and left >= _share_cost(one):
        left -= _share_cost(one)
        shares.append(dealing.committed_at(elements, len(shares) + 1).encode())
    if (sums.added, len(shares)) == before:
        raise Denied("key_work_too_little", needed=work_left(one, sums))
    sums = replace(sums, sums=tuple(element.encode() for element in elements), share_keys=tuple(shares))
    SHARED_KEY_SUMS.put(context.state, one.round_id, sums)
    return sums


def _shared(group: Group, elements: tuple[bytes, ...]) -> tuple[Element | None, ...]:
    return tuple(None if data == NOTHING else decoded(group, (data,))[0] for data in elements)


def _resumed(group: Group, sums: RoundSums) -> dealing.Commitments | None:
    return dealing.decode_commitments(group, sums.sums, len(sums.sums)) if sums.sums else ()


def keys_of(one: SharedKeyRound, sums: RoundSums) -> HolderKeys | None:
    """The keys, when all of it is worked out; None if one of them came out as the identity, by whatever chance."""
    invariant(len(sums.share_keys) == len(one.holders), "every share's key is worked out")
    group = group_for(one)
    if any(group.decode(element) is None for element in (sums.sums[0], *sums.share_keys)):
        return None
    return HolderKeys(threshold=one.threshold, public_key=sums.sums[0], share_keys=sums.share_keys)


def _resume_cost(one: SharedKeyRound, sums: RoundSums) -> int:
    last = len(one.holders) * DECODE_COST
    return last + (one.threshold * DECODE_COST if sums.sums else 0)


def _dealing_cost(one: SharedKeyRound) -> int:
    return one.threshold * (DECODE_COST + (MULTIPLICATION_COST if one.renewal else 1))


def _share_cost(one: SharedKeyRound) -> int:
    return one.threshold * HORNER_COST
