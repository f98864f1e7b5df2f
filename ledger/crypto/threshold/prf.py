"""A pseudorandom function of a secret input, evaluated by t holders who learn nothing of it.

The client hashes its input to an element, blinds it by a random scalar, has t holders multiply it by their shares
(`shares.py`, each with a proof), combines, takes the blinding off and hashes the result with the input. Nobody who
holds fewer than t shares can compute a value, and each evaluation costs t answers.

Rule: holders see blinded elements only; the client checks every share before it combines.

Source: Jarecki, Kiayias, Krawczyk and Xu, TOPPSS (2017), section 3, over 2HashDH; naming as in RFC 9497.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger.crypto.threshold.group import Element, Group, Hash
from ledger.domains import Domain


@dataclass(frozen=True, slots=True)
class Blinded:
    """An input on its way: only `element` leaves the client."""

    element: Element
    blind: int

    def __repr__(self) -> str:
        return f"Blinded({self.element!r})"


def blind(group: Group, domain: Domain, message: bytes, draw: Callable[[], int]) -> Blinded:
    """Blind an input.

    Args:
        group: of the holders' key.
        domain: the function: inputs under different domains have nothing in common.
        message: the input.
        draw: gives a fresh uniform scalar.
    """
    scalar = draw()
    return Blinded(group.hash_to_element(domain, message).times(scalar), scalar)


def finalize(
    group: Group, hash_: Hash, domain: Domain, message: bytes, blinded: Blinded, combined: Element
) -> bytes:
    """The function's 32-byte value.

    Args:
        group: of the holders' key.
        hash_: the suite's domain-separated hash.
        domain: as for `blind`.
        message: the input that was blinded.
        blinded: what `blind` gave.
        combined: the blinded element times the shared secret (`shares.combine`).
    """
    evaluated = combined.times(pow(blinded.blind, -1, group.order))
    return hash_(domain, len(message).to_bytes(4, "big") + message + evaluated.encode())
