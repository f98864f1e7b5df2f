"""Proofs that two elements hide the same scalar (Chaum and Pedersen 1992), made non-interactive by a hash.

Rule: the challenge binds bases, images, commitments and the caller's context, so that a proof serves one purpose
and one statement. A proof that is not exactly as made is refused: scalars are canonical.

Source: Chaum and Pedersen, Wallet databases with observers, section 3.2; Fiat and Shamir 1986.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from ledger.crypto.threshold.group import (
    SCALAR_SIZE_BYTES,
    Element,
    Group,
    Hash,
    challenge,
    combination,
    decode_scalar,
    encode_scalar,
)
from ledger.domains import SHARE_PROOF
from ledger.types import Wire

Scalar = Annotated[bytes, Meta(min_length=SCALAR_SIZE_BYTES, max_length=SCALAR_SIZE_BYTES)]


class EqualityProof(Wire):
    """That images of two bases hide the same scalar.

    Attributes:
        challenge: 32 bytes.
        response: 32 bytes.
    """

    challenge: Scalar
    response: Scalar


def _transcript(bases: tuple[Element, Element], images: tuple[Element, Element], context: bytes) -> bytes:
    encoded = b"".join(element.encode() for element in (*bases, *images))
    return len(context).to_bytes(4, "big") + context + encoded


def prove_equal(
    group: Group,
    hash_: Hash,
    bases: tuple[Element, Element],
    secret: int,
    context: bytes,
    draw: Callable[[], int],
    images: tuple[Element, Element] | None = None,
) -> EqualityProof:
    """Proof that both bases times `secret` hide it.

    Args:
        group: of all elements.
        hash_: the suite's domain-separated hash.
        bases: two elements.
        secret: 1 … q − 1.
        context: what the proof is for; bound.
        draw: gives a fresh uniform scalar.
        images: the bases times `secret`, where the caller has them.
    """
    images = images or (bases[0].times(secret), bases[1].times(secret))
    while True:
        nonce = draw()
        commitments = bases[0].times(nonce).encode() + bases[1].times(nonce).encode()
        asked = challenge(group, hash_, SHARE_PROOF, _transcript(bases, images, context) + commitments)
        response = (nonce + asked * secret) % group.order
        if response:
            return EqualityProof(challenge=encode_scalar(asked), response=encode_scalar(response))


def verify_equal(
    group: Group,
    hash_: Hash,
    bases: tuple[Element, Element],
    images: tuple[Element, Element],
    context: bytes,
    proof: EqualityProof,
) -> bool:
    """Whether the images hide the same scalar. False for any hostile proof; the elements are decoded ones."""
    asked, response = decode_scalar(group, proof.challenge), decode_scalar(group, proof.response)
    if asked is None or response is None:
        return False
    back = group.order - asked
    commitments = b"".join(
        combination([(base, response), (image, back)]).encode()
        for base, image in zip(bases, images, strict=True)
    )
    transcript = _transcript(bases, images, context) + commitments
    return challenge(group, hash_, SHARE_PROOF, transcript) == asked
