"""What a client does with an identity number: blind it, take the blinding off, and keep a person's own secret factor.

Rule: a number is checked exactly as its standard writes it, and then leaves this process only as an element times a fresh factor.
Every share is checked under the holders' keys before it counts. A secret factor and a blinding are in no representation or message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from contracts.new_keys import NewKey
from contracts.records import KeyRole
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold import prf
from ledger.crypto.threshold.equality import EqualityProof, prove_equal, verify_equal
from ledger.crypto.threshold.group import Element, Group, decode_scalar, encode_scalar
from ledger.crypto.threshold.shares import Holders, Share, check_share, combine
from ledger.decoders import decode_json
from ledger.domains import PERSON_TAG
from ledger.errors import Category, DecodeError, LedgerError
from zhenglian.api import Hex, Hex32
from zhenglian.identifiers import check_identity_number

REQUEST_SIZE_BYTES_MAX: Final = 8192
_OWN_CONTEXT: Final = b"own element"


class ShareInvalid(LedgerError):
    """A key holder's share does not hold, or the node left some out. Fields: holder."""

    code = "share_invalid"
    category = Category.UNAVAILABLE
    zh = "份额持有方 {holder} 的份额无效或不全，请换一个节点查询"
    en = "The share of key holder {holder} does not hold, or is missing; look up through another node"


class OwnSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The factor by which a person's own element is blinded, for good; whoever has it and the number can make the tag of a ticket.

    It is the person's to keep, like a key; a registrar's new assertion replaces it.
    """

    secret: Hex32

    def __repr__(self) -> str:
        return "OwnSecret(…)"

    def scalar(self, group: Group) -> int:
        """The factor. Raises DecodeError."""
        found = decode_scalar(group, bytes.fromhex(self.secret))
        if found is None:
            raise DecodeError(what="own secret", reason="not a scalar of the group")
        return found


class IdentityRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person hands to whoever identifies it: the key to be bound, the own element, and that it is of the person's number.

    Attributes:
        scheme, public_key, label: of the key.
        element: the number's element times the own secret.
        image: the group's generator times the own secret.
        challenge, response: proof that the two factors are one.
    """

    scheme: Annotated[str, Meta(min_length=1, max_length=64)]
    public_key: Hex
    label: Annotated[str, Meta(max_length=256)]
    element: Hex
    image: Hex
    challenge: Hex32
    response: Hex32

    def key(self) -> NewKey:
        """The key as the ledger takes it."""
        return NewKey(
            scheme=self.scheme,
            public_key=bytes.fromhex(self.public_key),
            role=KeyRole.HOLDER,
            label=self.label,
            valid_until_ms=0,
        )


def blind_number(group: Group, number: str) -> prf.Blinded:
    """The number's element times a fresh factor. Raises IdentityNumberInvalid."""
    check_identity_number(number)
    return prf.blind(group, PERSON_TAG, number.encode(), group.random_scalar)


def own_blinding(group: Group, number: str, secret: OwnSecret) -> prf.Blinded:
    """The person's own element. Raises IdentityNumberInvalid, DecodeError."""
    check_identity_number(number)
    scalar = secret.scalar(group)
    return prf.blind(group, PERSON_TAG, number.encode(), lambda: scalar)


def identity_request(
    suite: CryptoSuite, group: Group, number: str, key: NewKey
) -> tuple[IdentityRequest, OwnSecret]:
    """What a person hands over, and what it keeps.

    Args:
        suite: the network's.
        group: of its directory key.
        number: the person's own.
        key: the public half of the key to be bound.
    """
    blinded = blind_number(group, number)
    bases = (group.generator, group.hash_to_element(PERSON_TAG, number.encode()))
    proof = prove_equal(group, suite.hash, bases, blinded.blind, _OWN_CONTEXT, group.random_scalar)
    request = IdentityRequest(
        scheme=key.scheme,
        public_key=key.public_key.hex(),
        label=key.label,
        element=blinded.element.encode().hex(),
        image=group.generator.times(blinded.blind).encode().hex(),
        challenge=proof.challenge.hex(),
        response=proof.response.hex(),
    )
    return request, OwnSecret(secret=encode_scalar(blinded.blind).hex())


def check_request(suite: CryptoSuite, group: Group, number: str, request: IdentityRequest) -> bytes:
    """The own element, if it is proven to be of this number.

    Raises:
        DecodeError: it is not.
        IdentityNumberInvalid: the number is none.
    """
    check_identity_number(number)
    bases = (group.generator, group.hash_to_element(PERSON_TAG, number.encode()))
    images = (group.decode(bytes.fromhex(request.image)), group.decode(bytes.fromhex(request.element)))
    proof = EqualityProof(
        challenge=bytes.fromhex(request.challenge), response=bytes.fromhex(request.response)
    )
    if (
        images[0] is None
        or images[1] is None
        or not verify_equal(group, suite.hash, bases, (images[0], images[1]), _OWN_CONTEXT, proof)
    ):
        raise DecodeError(what="identity request", reason="its element is not of this number")
    return images[1].encode()


def request_from_json(data: bytes | str) -> IdentityRequest:
    """An identity request's file. Raises DecodeError."""
    if len(data) > REQUEST_SIZE_BYTES_MAX:
        raise DecodeError(what="identity request", reason="too large")
    try:
        return decode_json(data, IdentityRequest)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DecodeError(what="identity request", reason=str(error)) from None


def secret_from_json(data: bytes) -> OwnSecret:
    """An own secret's file. Raises DecodeError, which repeats nothing of it."""
    try:
        return decode_json(data, OwnSecret)
    except (msgspec.MsgspecError, UnicodeError):
        raise DecodeError(what="own secret", reason="not what `person request` writes") from None


def combined_elements(
    suite: CryptoSuite,
    group: Group,
    holders: Holders,
    blinded: Sequence[prf.Blinded],
    shares: Mapping[int, Sequence[Share]],
    context: bytes,
) -> list[Element]:
    """Every blinded element times the holders' secret, from shares that are all checked.

    Raises:
        ShareInvalid: one does not hold, or there are too few.
    """
    checked: list[dict[int, Element]] = [{} for _ in blinded]
    for holder, given in shares.items():
        if len(given) != len(blinded):
            raise ShareInvalid(holder=holder)
        for place, (one, share) in enumerate(zip(blinded, given, strict=True)):
            element = (
                check_share(group, suite.hash, holders, one.element, share, context)
                if share.holder == holder
                else None
            )
            if element is None:
                raise ShareInvalid(holder=holder)
            checked[place][holder] = element
    if len(shares) < holders.keys.threshold:
        raise ShareInvalid(holder=len(shares) + 1)
    return [combine(group, holders, one) for one in checked]


def tag(suite: CryptoSuite, group: Group, number: str, blinded: prf.Blinded, combined: Element) -> bytes:
    """The number's tag, from its evaluated element."""
    return prf.finalize(group, suite.hash, PERSON_TAG, number.encode(), blinded, combined)
