"""Pairs of values in a round: what a dealer owes each holder, and whether a pair is what it should be.

Rule: pure functions over a round, what is remembered of it and what everybody has seen.
"""

from __future__ import annotations

from contracts.shared_key_round_records import SharedKeyRound
from contracts.shared_key_sums import dealing_of, group_for
from contracts.state import StateReader
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.group import Group
from node.holders.round_files import Polynomials, ReceivedPair, RoundMemory, as_pair
from node.holders.share_file import HeldShare


def polynomials(
    suite: CryptoSuite,
    one: SharedKeyRound,
    memory: RoundMemory,
    own: HeldShare | None,
    published: tuple[bytes, ...] = (),
) -> Polynomials | None:
    """What this node deals in a round; None if it cannot, having lost the share or the seed that it is to deal from.

    Args:
        suite: crypto suite.
        one: the round.
        memory: of it.
        own: the share of the renewal before; None in a generation.
        published: the commitments that it has dealt with, if it has.
    """
    if one.renewal and own is None:
        return None
    secret = int.from_bytes(own.secret, "big") if own is not None and one.renewal else None
    dealt = Polynomials(group_for(one), suite.hash, one, memory.seed, secret)
    # The last one hangs on the seed, in a renewal too.
    return dealt if not published or dealt.last_commitment() == published[-1] else None


def pair_fits(
    group: Group, commitments: tuple[bytes, ...], renewal: int, holder: int, pair: ReceivedPair
) -> bool:
    """Whether a pair is what its dealer committed itself to; False for any hostile one."""
    decoded = dealing.decode_commitments(group, commitments, len(commitments))
    if decoded is None:
        return False
    if renewal:
        return not pair.blinding and dealing.check_value(group, decoded, holder, as_pair(pair).value)
    return dealing.check_pair(group, decoded, holder, as_pair(pair))


def revealed_fits(group: Group, revealed: tuple[bytes, ...], holder: int, pair: ReceivedPair) -> bool:
    """Whether what a dealer revealed fits a pair."""
    decoded = dealing.decode_commitments(group, revealed, len(revealed))
    return decoded is not None and dealing.check_value(group, decoded, holder, as_pair(pair).value)


def number_of(account: bytes, accounts: tuple[bytes, ...]) -> int:
    """Position from 1; 0 if it is not among them."""
    return accounts.index(account) + 1 if account in accounts else 0


def pair_of(
    state: StateReader, one: SharedKeyRound, memory: RoundMemory, dealer: int, holder: int
) -> ReceivedPair | None:
    """What a dealer gave this holder, to itself or as an answer before everybody."""
    kept = memory.pair(dealer)
    if kept is not None:
        return kept
    for answer in dealing_of(state, one, dealer).answers:
        if answer.holder == holder:
            return ReceivedPair(dealer=dealer, value=answer.value, blinding=answer.blinding)
    return None
