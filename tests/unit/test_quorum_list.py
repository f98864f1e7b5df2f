"""Certificates of the suite `sm`: a list of as many signatures as signers, each of which has to hold."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import codec
from ledger.domains import VOTE
from ledger.errors import InvariantViolation
from ledger.hashing import ZERO_HASH
from ledger.quorum import bitmap, signers, vote_message
from ledger.quorum_list import SignatureListQuorumScheme
from ledger.types import (
    VALIDATORS_MAX,
    QuorumCertificate,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    quorum_size,
)
from tests.suites import suite_under_test
from tests.unit.ledger_world import NETWORK, fixed, vote_secret

SUITE = suite_under_test("sm")
SCHEME = SignatureListQuorumScheme()
CHAIN, DIGEST = fixed("chain"), fixed("block")
SIZE = 64


@cache
def validators(count: int = 4) -> ValidatorSet:
    members = []
    for index in range(count):
        account, signer = fixed("operator", index, size=16), SUITE.load_vote_signer(vote_secret(index))
        members.append(
            Validator(
                account=account,
                name=f"v{index}",
                vote_key=signer.public_key,
                possession=signer.prove_possession(NETWORK, account),
            )
        )
    return ValidatorSet(epoch=1, validators=tuple(members))


@cache
def vote(index: int, view: int = 5, kind: VoteKind = VoteKind.FINALIZE) -> Vote:
    digest = ZERO_HASH if kind is VoteKind.NULLIFY else DIGEST
    unsigned = Vote(kind=kind, epoch=1, view=view, digest=digest, validator=index, signature=b"\0")
    signature = SUITE.load_vote_signer(vote_secret(index)).sign_vote(CHAIN, unsigned)
    return msgspec.structs.replace(unsigned, signature=signature)


def certificate(*indices: int, count: int = 4) -> QuorumCertificate:
    return SCHEME.aggregate(validators(count), tuple(vote(index) for index in indices))


def holds(one: QuorumCertificate, count: int = 4) -> bool:
    return SCHEME.verify_certificate(CHAIN, validators(count), one)


def part_holds(one: QuorumCertificate, count: int = 4) -> bool:
    return SCHEME.verify_part(CHAIN, validators(count), one)


@given(order=st.permutations(range(4)))
def test_the_list_is_in_order_of_index_whatever_the_votes_came_in(order: list[int]) -> None:
    one = certificate(*order)
    assert one.signature == b"".join(vote(index).signature for index in range(4))
    assert holds(one)


@pytest.mark.parametrize("kind", list(VoteKind))
def test_a_quorum_of_each_kind_holds(kind: VoteKind) -> None:
    votes = tuple(vote(index, kind=kind) for index in (0, 2, 3))
    assert holds(SCHEME.aggregate(validators(), votes))


def test_less_than_a_quorum_holds_as_a_part_alone() -> None:
    few = certificate(1, 2)
    assert part_holds(few)
    assert not holds(few)
    nobody = msgspec.structs.replace(few, signers=b"\0", signature=b"\0")
    assert not part_holds(nobody)


def test_the_list_is_exactly_as_long_as_there_are_signers() -> None:
    good = certificate(0, 1, 3)
    lists = (
        good.signature[:-1],
        good.signature[:-SIZE],
        good.signature + b"\0",
        good.signature + vote(2).signature,
        good.signature + good.signature[-SIZE:],
        b"\0",
        bytes(3 * SIZE),
    )
    for signature in lists:
        assert not holds(msgspec.structs.replace(good, signature=signature))


def test_every_signature_is_of_its_own_signer() -> None:
    good = certificate(0, 1, 3)
    first, second, third = (good.signature[at : at + SIZE] for at in range(0, 3 * SIZE, SIZE))
    for mixed in (second + first + third, first + first + third, first + second + vote(3, view=6).signature):
        assert not holds(msgspec.structs.replace(good, signature=mixed))
    for named in (b"\x07", b"\x0e", b"\x0f", b"\x03", b"\x0b\x00", b"\x1b", b""):
        assert not holds(msgspec.structs.replace(good, signers=named))


@settings(deadline=None)
@given(bad=st.sets(st.integers(0, 3), min_size=1), junk=st.binary(min_size=1, max_size=200))
def test_hostile_votes_spoil_the_certificate_raise_nothing_and_are_found(bad: set[int], junk: bytes) -> None:
    votes = tuple(
        msgspec.structs.replace(vote(index), signature=junk) if index in bad else vote(index)
        for index in range(4)
    )
    spoilt = SCHEME.aggregate(validators(), votes)
    assert not part_holds(spoilt)
    assert len(spoilt.signature) == 4 * SIZE
    for index, one in enumerate(votes):
        alone = SCHEME.aggregate(validators(), (one,))
        assert part_holds(alone) is SCHEME.verify_vote(CHAIN, validators(), one) is (index not in bad)


def test_votes_for_different_things_or_of_one_validator_are_never_joined() -> None:
    for votes in ((vote(0), vote(1, view=6)), (vote(0), vote(0)), ()):
        with pytest.raises(InvariantViolation):
            SCHEME.aggregate(validators(), votes)


def test_a_possession_is_bound_to_network_account_and_key_and_is_no_vote() -> None:
    member, other = validators().validators[:2]
    assert SCHEME.verify_possession(NETWORK, member.account, member.vote_key, member.possession)
    assert not SCHEME.verify_possession(NETWORK + "2", member.account, member.vote_key, member.possession)
    assert not SCHEME.verify_possession(NETWORK, other.account, member.vote_key, member.possession)
    assert not SCHEME.verify_possession(NETWORK, member.account, other.vote_key, member.possession)
    for hostile in (b"", b"\0" * 33, b"\x02" + b"\xff" * 32, member.vote_key + b"\0"):
        assert not SCHEME.verify_possession(NETWORK, member.account, hostile, member.possession)
    posing = msgspec.structs.replace(vote(0), signature=member.possession)
    assert not SCHEME.verify_vote(CHAIN, validators(), posing)


def test_the_largest_set_fits_into_its_bounds() -> None:
    count = VALIDATORS_MAX
    one = certificate(*range(count), count=count)
    assert len(one.signature) == count * SIZE
    assert codec.decode(codec.encode(one), QuorumCertificate, size_bytes_max=16_384) == one
    assert holds(one, count)
    least = certificate(*range(count - quorum_size(count), count), count=count)
    assert holds(least, count)
    last = bytearray(least.signature)
    last[-1] ^= 1
    assert not holds(msgspec.structs.replace(least, signature=bytes(last)), count)


def test_the_vote_message_is_the_one_of_every_suite() -> None:
    message = vote_message(CHAIN, VoteKind.FINALIZE, 1, 5, DIGEST)
    key = validators().validators[0].vote_key
    body = message.removeprefix(bytes((len(VOTE),)) + VOTE)
    assert SUITE.verify("sm2", key, VOTE, body, vote(0).signature)
    assert signers(bitmap((0, 3), 4), 4) == (0, 3)
