"""A holder's share of a multiplication by the shared secret, and putting t of them together.

Rule: one routine for everything that holders do with their shares, be it opening a ciphertext, evaluating the
pseudorandom function or giving a seed. A share counts only with its proof, under the key of the holder that made it
and in the context it was asked in; a bad one names its holder and spoils nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from msgspec import Meta

from ledger.crypto.threshold.equality import EqualityProof, prove_equal, verify_equal
from ledger.crypto.threshold.group import Element, Group, Hash, combination
from ledger.crypto.threshold.polynomials import HOLDERS_MAX, weights_at
from ledger.errors import DecodeError, invariant
from ledger.types import Wire

EncodedElement = Annotated[bytes, Meta(min_length=1, max_length=128)]


class HolderKeys(Wire):
    """The public half of a shared key.

    Attributes:
        threshold: how many holders it takes.
        public_key: the secret's multiple of the generator.
        share_keys: each holder's share's multiple of the generator, holder 1 first.
    """

    threshold: Annotated[int, Meta(ge=1, le=HOLDERS_MAX)]
    public_key: EncodedElement
    share_keys: Annotated[tuple[EncodedElement, ...], Meta(min_length=1, max_length=HOLDERS_MAX)]


class Share(Wire):
    """One holder's share of a base's multiple by the secret.

    Attributes:
        holder: from 1.
        element: the base times the holder's share.
        proof: that it is the share under the holder's key.
    """

    holder: Annotated[int, Meta(ge=1, le=HOLDERS_MAX)]
    element: EncodedElement
    proof: EqualityProof


@dataclass(frozen=True, slots=True)
class Holders:
    """`HolderKeys`, decoded and checked."""

    keys: HolderKeys
    public_key: Element
    share_keys: tuple[Element, ...]

    @classmethod
    def load(cls, group: Group, keys: HolderKeys) -> Self:
        """Decode them, and check that the shares' keys lie on one polynomial through the public key.

        Raises:
            DecodeError: an element is none of the group, there are fewer holders than it takes, or keys that
                do not belong together.
        """
        public_key = group.decode(keys.public_key)
        share_keys = [group.decode(data) for data in keys.share_keys]
        present = tuple(element for element in share_keys if element is not None)
        if public_key is None or len(present) != len(share_keys):
            raise DecodeError(what="holder keys", reason="not an element of the group")
        if len(present) < keys.threshold:
            raise DecodeError(what="holder keys", reason="fewer holders than the threshold")
        holders = cls(keys, public_key, present)
        holders._check_polynomial(group)
        return holders

    def _check_polynomial(self, group: Group) -> None:
        first = tuple(range(1, self.keys.threshold + 1))
        for point in (0, *range(self.keys.threshold + 1, len(self.share_keys) + 1)):
            weights = weights_at(group.order, first, point)
            expected = self.public_key if point == 0 else self.share_keys[point - 1]
            found = combination([(self.share_keys[holder - 1], weights[holder]) for holder in first])
            if found.encode() != expected.encode():
                raise DecodeError(what="holder keys", reason="keys of different secrets")


def make_share(
    group: Group,
    hash_: Hash,
    base: Element,
    *,
    holder: int,
    secret: int,
    context: bytes,
    draw: Callable[[], int],
    share_key: Element | None = None,
) -> Share:
    """A holder's share of `base` times the shared secret.

    Args:
        group: of all elements.
        hash_: the suite's domain-separated hash.
        base: a decoded element; whoever calls has decided that it may be multiplied.
        holder: this holder, from 1.
        secret: its share, 1 … q − 1.
        context: what the share is for; checked by whoever combines.
        draw: gives a fresh uniform scalar.
        share_key: the generator times the share, where the caller has it.
    """
    element = base.times(secret)
    images = (share_key or group.generator.times(secret), element)
    proof = prove_equal(group, hash_, (group.generator, base), secret, context, draw, images)
    return Share(holder=holder, element=element.encode(), proof=proof)


def check_share(
    group: Group, hash_: Hash, holders: Holders, base: Element, share: Share, context: bytes
) -> Element | None:
    """The share's element if its proof holds, None for any hostile share."""
    if share.holder > len(holders.share_keys):
        return None
    element = group.decode(share.element)
    if element is None:
        return None
    images = (holders.share_keys[share.holder - 1], element)
    proven = verify_equal(group, hash_, (group.generator, base), images, context, share.proof)
    return element if proven else None


def combine(group: Group, holders: Holders, checked: Mapping[int, Element]) -> Element:
    """The base times the shared secret.

    Args:
        group: of all elements.
        holders: whose shares they are.
        checked: elements from `check_share` by holder, at least the threshold; the lowest holders' are used.
    """
    threshold = holders.keys.threshold
    invariant(len(checked) >= threshold, "it takes the threshold of shares")
    chosen = sorted(checked)[:threshold]
    weights = weights_at(group.order, chosen)
    return combination([(checked[holder], weights[holder]) for holder in chosen])
