"""Verifiable sharing: what distributed key generation and the renewal of shares are made of.

**Key generation** (GJKR). Every dealer shares a random scalar by a polynomial f and hides it with a second one f′:
it publishes C_k = a_k·G + b_k·Ḡ and sends holder j the pair (f(j), f′(j)). A holder whose pair does not fit complains, the
dealer answers in public or is out. Who is left is qualified, before anybody knows anything of the key. Only then do
the qualified publish A_k = a_k·G. One whose A_k do not fit the pairs is opened by the others' pairs, not left out, so that
nobody can bend the key. The key is the sum of the A_0, a holder's share the sum of its values.

**Renewal**. t of the holders each share their own share, with A_0 equal to their share's key; a new share is the sum of
what came by Lagrange's weights. The key stays; holders and threshold may change; old shares say nothing about new ones.

Rule: pure functions over decoded elements; who may deal, when a complaint is late and who is out is for the ledger.

Source: Gennaro, Jarecki, Krawczyk and Rabin, Secure distributed key generation (2007), figure 2 (New-DKG);
Desmedt and Jajodia, Redistributing secret shares (1997), for renewal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.crypto.threshold.group import Element, Group, combination
from ledger.crypto.threshold.polynomials import coefficients_through, value_at, weights_at
from ledger.crypto.threshold.shares import HolderKeys, Holders
from ledger.errors import invariant

Commitments = tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """What a dealer sends one holder in key generation: f(j) and f′(j)."""

    value: int
    blinding: int

    def __repr__(self) -> str:
        return "Pair(…)"


def decode_commitments(group: Group, encoded: Sequence[bytes], threshold: int) -> Commitments | None:
    """A dealer's commitments, if they are exactly `threshold` elements; else None."""
    elements = tuple(element for data in encoded if (element := group.decode(data)) is not None)
    return elements if len(elements) == len(encoded) == threshold else None


def commit(group: Group, coefficients: Sequence[int]) -> Commitments:
    """A_k = a_k·G (Feldman)."""
    return tuple(group.generator.times(coefficient) for coefficient in coefficients)


def commit_hiding(group: Group, coefficients: Sequence[int], blindings: Sequence[int]) -> Commitments:
    """C_k = a_k·G + b_k·Ḡ (Pedersen): says nothing about a_k."""
    return tuple(
        combination([(group.generator, value), (group.second_generator, blinding)])
        for value, blinding in zip(coefficients, blindings, strict=True)
    )


def pair_for(group: Group, coefficients: Sequence[int], blindings: Sequence[int], holder: int) -> Pair:
    """What holder `holder`, from 1, is sent."""
    order = group.order
    return Pair(value_at(order, coefficients, holder), value_at(order, blindings, holder))


def committed_at(commitments: Commitments, holder: int) -> Element:
    """The commitment to the value at a holder's point, by Horner's rule.

    Everything here is public, and a holder's point is small: a few additions do what a multiplication would.
    """
    total = commitments[-1]
    for element in reversed(commitments[:-1]):
        total = _small_multiple(total, holder) + element
    return total


def check_value(group: Group, commitments: Commitments, holder: int, value: int) -> bool:
    """Whether a value fits `commit`; False for any hostile one."""
    if not 0 < value < group.order:
        return False
    expected = committed_at(commitments, holder).encode()
    return group.generator.times(value).encode() == expected


def check_pair(group: Group, commitments: Commitments, holder: int, pair: Pair) -> bool:
    """Whether a pair fits `commit_hiding`; False for any hostile one."""
    if not (0 < pair.value < group.order and 0 < pair.blinding < group.order):
        return False
    made = combination([(group.generator, pair.value), (group.second_generator, pair.blinding)])
    return made.encode() == committed_at(commitments, holder).encode()


def open_dealer(group: Group, values: Mapping[int, int], threshold: int) -> tuple[Element | None, ...]:
    """The A_k of a dealer that published wrong ones, from the values of `threshold` holders whose pairs fit its C_k.

    None stands for the identity: C_k hides whether a coefficient is zero, and a dishonest dealer may have chosen it so.

    Args:
        group: of all elements.
        values: f(j) by holder j, at least `threshold`.
        threshold: of the sharing.
    """
    invariant(len(values) >= threshold, "it takes the threshold of values")
    chosen = dict(sorted(values.items())[:threshold])
    coefficients = coefficients_through(group.order, chosen)
    padded = (*coefficients, *(0 for _ in range(threshold - len(coefficients))))
    return tuple(group.generator.times(one) if one else None for one in padded)


def generated_keys(group: Group, dealings: Sequence[Commitments], holders: int) -> HolderKeys:
    """The key that qualified dealers have made together.

    Args:
        group: of all elements.
        dealings: the A_k of each qualified dealer.
        holders: how many there are.
    """
    return _keys_of(group, _sums(dealings), holders)


def generated_share(group: Group, values: Sequence[int]) -> int:
    """A holder's share: the sum of the values that qualified dealers sent it."""
    return sum(values) % group.order


def fits_renewal(holders: Holders, dealer: int, commitments: Commitments) -> bool:
    """Whether a holder shares its own share, and no other scalar."""
    return commitments[0].encode() == holders.share_keys[dealer - 1].encode()


def renewed_keys(group: Group, dealings: Mapping[int, Commitments], holders: int) -> HolderKeys:
    """The keys after a renewal; the public key is what it was.

    Args:
        group: of all elements.
        dealings: the A_k by old holder, of exactly as many as the old threshold.
        holders: how many new holders there are.
    """
    weights = weights_at(group.order, tuple(dealings))
    weighted = [
        tuple(element.times(weights[dealer]) for element in commitments)
        for dealer, commitments in dealings.items()
    ]
    return _keys_of(group, _sums(weighted), holders)


def renewed_share(group: Group, values: Mapping[int, int]) -> int:
    """A new holder's share, from what the old holders of `renewed_keys` sent it."""
    weights = weights_at(group.order, tuple(values))
    return sum(weights[dealer] * value for dealer, value in values.items()) % group.order


def _small_multiple(element: Element, factor: int) -> Element:
    """The multiple by a public factor from 1 on, bit by bit."""
    total = element
    for bit in bin(factor)[3:]:
        total += total
        if bit == "1":
            total += element
    return total


def _sums(dealings: Sequence[Commitments]) -> Commitments:
    invariant(dealings and len({len(one) for one in dealings}) == 1, "dealings are of one degree")
    sums = dealings[0]
    for commitments in dealings[1:]:
        sums = tuple(left + right for left, right in zip(sums, commitments, strict=True))
    return sums


def _keys_of(group: Group, sums: Commitments, holders: int) -> HolderKeys:
    invariant(len(sums) <= holders, "there are as many holders as it takes")
    return HolderKeys(
        threshold=len(sums),
        public_key=sums[0].encode(),
        share_keys=tuple(committed_at(sums, holder).encode() for holder in range(1, holders + 1)),
    )
