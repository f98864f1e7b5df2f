"""TDH2: encryption of a data key to holders of whom t open it, secure against chosen ciphertexts.

A sealed key is (c, u, ū, e, f): u = rG, ū = rḠ for a random r; c is the data key under a mask from r times the
public key; (e, f) proves that u and ū hide the same r, over c and a label. Only who made u knows r, so nobody can
take another's sealed key, alter it or its label, and have it opened under a record of their own.

Rule: holders look at the proof before they touch anything; the label names network, record and part; a share is bound to
the context that allowed it.

Source: Shoup and Gennaro, Securing threshold cryptosystems against chosen ciphertext attack (2002), section 4.1,
the scheme TDH2; the generators' roles and the hash inputs are named as there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta

from ledger.crypto.threshold.equality import Scalar
from ledger.crypto.threshold.group import (
    Element,
    Group,
    Hash,
    challenge,
    combination,
    decode_scalar,
    encode_scalar,
)
from ledger.crypto.threshold.shares import EncodedElement
from ledger.domains import SEALED_KEY_MASK, SEALED_KEY_PROOF
from ledger.errors import invariant
from ledger.types import Wire

DATA_KEY_SIZE_BYTES: Final = 32


class SealedKey(Wire):
    """A data key for t of the holders.

    Attributes:
        masked: the data key under the mask, 32 bytes.
        u: rG.
        u_bar: rḠ.
        challenge: e.
        response: f.
    """

    masked: Annotated[bytes, Meta(min_length=DATA_KEY_SIZE_BYTES, max_length=DATA_KEY_SIZE_BYTES)]
    u: EncodedElement
    u_bar: EncodedElement
    challenge: Scalar
    response: Scalar


def _transcript(
    masked: bytes, label: bytes, elements: tuple[Element, Element], nonces: tuple[bytes, bytes]
) -> bytes:
    u, u_bar = elements
    framed = len(label).to_bytes(4, "big") + label
    return framed + masked + u.encode() + nonces[0] + u_bar.encode() + nonces[1]


def _mask(hash_: Hash, data_key: bytes, secret: Element) -> bytes:
    pad = hash_(SEALED_KEY_MASK, secret.encode())
    return bytes(left ^ right for left, right in zip(data_key, pad, strict=True))


def seal_key(
    group: Group, hash_: Hash, public_key: Element, data_key: bytes, label: bytes, draw: Callable[[], int]
) -> SealedKey:
    """Encrypt a data key to the holders of `public_key`.

    Args:
        group: of all elements.
        hash_: the suite's domain-separated hash.
        public_key: the holders' public key.
        data_key: 32 bytes.
        label: what it is the key of; bound.
        draw: gives a fresh uniform scalar.
    """
    invariant(len(data_key) == DATA_KEY_SIZE_BYTES, "a data key has 32 bytes")
    secret = draw()
    masked = _mask(hash_, data_key, public_key.times(secret))
    u, u_bar = group.generator.times(secret), group.second_generator.times(secret)
    while True:
        nonce = draw()
        nonces = (group.generator.times(nonce).encode(), group.second_generator.times(nonce).encode())
        asked = challenge(group, hash_, SEALED_KEY_PROOF, _transcript(masked, label, (u, u_bar), nonces))
        response = (nonce + asked * secret) % group.order
        if response:
            return SealedKey(
                masked=masked,
                u=u.encode(),
                u_bar=u_bar.encode(),
                challenge=encode_scalar(asked),
                response=encode_scalar(response),
            )


def check_sealed(group: Group, hash_: Hash, sealed: SealedKey, label: bytes) -> Element | None:
    """The element u that holders multiply, if the sealed key is sound and was made for this label; else None."""
    u, u_bar = group.decode(sealed.u), group.decode(sealed.u_bar)
    asked, response = decode_scalar(group, sealed.challenge), decode_scalar(group, sealed.response)
    if u is None or u_bar is None or asked is None or response is None:
        return None
    back = group.order - asked
    nonces = (
        combination([(group.generator, response), (u, back)]).encode(),
        combination([(group.second_generator, response), (u_bar, back)]).encode(),
    )
    transcript = _transcript(sealed.masked, label, (u, u_bar), nonces)
    return u if challenge(group, hash_, SEALED_KEY_PROOF, transcript) == asked else None


def open_sealed(hash_: Hash, sealed: SealedKey, combined: Element) -> bytes:
    """The data key, from u times the shared secret (`shares.combine`)."""
    return _mask(hash_, sealed.masked, combined)
