"""Votes and certificates: exactly a quorum of the right set, over exactly one thing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.crypto import bls, sm2
from ledger.crypto.registry import load_suite
from ledger.errors import DecodeError, InvariantViolation, VerificationFailed
from ledger.hashing import ZERO_HASH
from ledger.quorum import bitmap, check_validators, quorum_signers, signers, vote_message
from ledger.types import QuorumCertificate, ValidatorSet, Vote, VoteKind, quorum_size
from tests.suites import NAME
from tests.unit.ledger_world import NETWORK, SUITE, World, fixed, vote_secret

WORLD = World()
DIGEST = fixed("block")


def certificate(
    kind: VoteKind = VoteKind.FINALIZE, indices: tuple[int, ...] = (0, 1, 3)
) -> QuorumCertificate:
    digest = ZERO_HASH if kind is VoteKind.NULLIFY else DIGEST
    votes = tuple(WORLD.vote(i, kind, 5, digest) for i in indices)
    return SUITE.quorum.aggregate(WORLD.validators, votes)


GOOD = certificate()


def holds(candidate: QuorumCertificate, chain: bytes = WORLD.chain) -> bool:
    return SUITE.quorum.verify_certificate(chain, WORLD.validators, candidate)


def raw_signature(index: int, message: bytes) -> bytes:
    """What validator `index` signs, also where its signer would refuse."""
    key = bls.SecretKey if NAME == "intl" else sm2.SecretKey
    return key(vote_secret(index)).sign(message)


@pytest.mark.parametrize(
    ("n", "q"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (128, 86)]
)
def test_a_quorum_is_n_minus_f(n: int, q: int) -> None:
    assert quorum_size(n) == q
    f = (n - 1) // 3
    assert 2 * q - n > f


@given(st.integers(1, 128).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_a_bitmap_names_its_signers(case: tuple[int, set[int]]) -> None:
    n, indices = case
    data = bitmap(indices, n)
    assert len(data) == (n + 7) // 8
    assert signers(data, n) == tuple(sorted(indices))


@pytest.mark.parametrize("data", [b"", b"\x0f\x00", b"\x10", b"\x80", b"\xff"])
def test_a_bitmap_of_the_wrong_size_or_with_unused_bits_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        signers(data, 4)


def test_a_bitmap_of_doubtful_signers_is_our_own_fault() -> None:
    for indices in ((1, 1), (4,), (-1,)):
        with pytest.raises(InvariantViolation):
            bitmap(indices, 4)


@pytest.mark.parametrize("kind", list(VoteKind))
def test_a_quorum_of_votes_makes_a_certificate(kind: VoteKind) -> None:
    assert holds(certificate(kind))
    assert holds(certificate(kind, (0, 1, 2, 3)))


def test_less_than_a_quorum_does_not() -> None:
    few = certificate(indices=(1, 2))
    assert not holds(few)
    assert quorum_signers(WORLD.validators, few) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": VoteKind.NOTARIZE},
        {"kind": VoteKind.NULLIFY},
        {"epoch": 2},
        {"view": 6},
        {"digest": fixed("other")},
        {"digest": ZERO_HASH},
        {"signers": b"\x07"},
        {"signers": b"\x0f"},
        {"signers": b"\x03"},
        {"signers": b"\x1b"},
        {"signers": b"\x0b\x00"},
        {"signers": b""},
        {"signature": certificate(indices=(0, 1, 2)).signature},
        {"signature": b"\xc0" + bytes(95)},
        {"signature": bytes(96)},
        {"signature": GOOD.signature + b"\0"},
        {"signature": b"\0"},
    ],
)
def test_a_changed_certificate_does_not_hold(changes: dict[str, object]) -> None:
    assert holds(GOOD)
    assert not holds(msgspec.structs.replace(GOOD, **changes))


def test_a_certificate_of_one_chain_is_void_on_another() -> None:
    assert not holds(GOOD, fixed("another chain"))


def test_a_certificate_of_one_set_is_void_for_another() -> None:
    members = WORLD.validators.validators
    turned = ValidatorSet(epoch=1, validators=(*members[1:], members[0]))
    assert not SUITE.quorum.verify_certificate(WORLD.chain, turned, GOOD)


def test_a_certificate_signed_for_another_epoch_is_void_for_this_set() -> None:
    votes = tuple(WORLD.vote(i, VoteKind.FINALIZE, 5, DIGEST, epoch=2) for i in range(3))
    other_epoch = SUITE.quorum.aggregate(WORLD.validators, votes)
    assert not holds(other_epoch)
    second = ValidatorSet(epoch=2, validators=WORLD.validators.validators)
    assert SUITE.quorum.verify_certificate(WORLD.chain, second, other_epoch)


def test_a_nullify_carries_zeros_and_nothing_else_does() -> None:
    signer = WORLD.vote_signers[0]
    for kind, digest in ((VoteKind.NULLIFY, DIGEST), (VoteKind.NOTARIZE, ZERO_HASH)):
        vote = Vote(kind=kind, epoch=1, view=5, digest=digest, validator=0, signature=b"\0")
        with pytest.raises(InvariantViolation):
            signer.sign_vote(WORLD.chain, vote)
        message = vote_message(WORLD.chain, kind, 1, 5, digest)
        signed = msgspec.structs.replace(vote, signature=raw_signature(0, message))
        assert not SUITE.quorum.verify_vote(WORLD.chain, WORLD.validators, signed)


def test_a_vote_holds_for_its_validator_alone() -> None:
    vote = WORLD.vote(2, VoteKind.NOTARIZE, 5, DIGEST)
    verify = SUITE.quorum.verify_vote
    assert verify(WORLD.chain, WORLD.validators, vote)
    for changes in (
        {"validator": 1},
        {"validator": 4},
        {"view": 6},
        {"epoch": 2},
        {"kind": VoteKind.FINALIZE},
    ):
        assert not verify(WORLD.chain, WORLD.validators, msgspec.structs.replace(vote, **changes))
    assert not verify(fixed("another chain"), WORLD.validators, vote)


def test_a_worthless_vote_spoils_the_certificate_but_raises_nothing() -> None:
    votes = [WORLD.vote(i, VoteKind.FINALIZE, 5, DIGEST) for i in range(3)]
    other = WORLD.vote(2, VoteKind.FINALIZE, 6, DIGEST).signature
    for signature in (b"\0", bytes(96), b"\xc0" + bytes(95), other):
        votes[2] = msgspec.structs.replace(votes[2], signature=signature)
        spoilt = SUITE.quorum.aggregate(WORLD.validators, tuple(votes))
        assert not holds(spoilt)


def test_votes_for_different_things_are_never_aggregated() -> None:
    votes = (WORLD.vote(0, VoteKind.FINALIZE, 5, DIGEST), WORLD.vote(1, VoteKind.FINALIZE, 6, DIGEST))
    with pytest.raises(InvariantViolation):
        SUITE.quorum.aggregate(WORLD.validators, votes)
    with pytest.raises(InvariantViolation):
        SUITE.quorum.aggregate(WORLD.validators, (votes[0], votes[0]))


def test_shifted_signatures_aggregate_but_prove_no_single_vote() -> None:
    """s₀ + d and s₁ − d have a good sum: a certificate of `intl` says nothing of its parts."""
    quorum = load_suite("intl").quorum
    keys = [bls.SecretKey(vote_secret(i)) for i in range(4)]
    validators = with_vote_keys([key.public_key for key in keys])
    message = vote_message(WORLD.chain, VoteKind.FINALIZE, 1, 5, DIGEST)
    offset = bls.SecretKey(fixed("offset")[:31].rjust(32, b"\0"))
    number = int.from_bytes(fixed("offset")[:31].rjust(32, b"\0"), "big")
    opposite = bls.SecretKey((bls.ORDER - number).to_bytes(32, "big"))
    votes = [
        Vote(
            kind=VoteKind.FINALIZE,
            epoch=1,
            view=5,
            digest=DIGEST,
            validator=i,
            signature=keys[i].sign(message),
        )
        for i in range(3)
    ]
    for i, key in ((0, offset), (1, opposite)):
        shifted = bls.aggregate([votes[i].signature, key.sign(message)])
        votes[i] = msgspec.structs.replace(votes[i], signature=shifted)
        assert not quorum.verify_vote(WORLD.chain, validators, votes[i])
    assert quorum.verify_certificate(WORLD.chain, validators, quorum.aggregate(validators, tuple(votes)))


def with_vote_keys(keys: list[bytes]) -> ValidatorSet:
    members = (
        msgspec.structs.replace(member, vote_key=key)
        for member, key in zip(WORLD.validators.validators, keys, strict=True)
    )
    return ValidatorSet(epoch=1, validators=tuple(members))


def test_possession_is_bound_to_network_account_and_key() -> None:
    member, other = WORLD.validators.validators[:2]
    verify = SUITE.quorum.verify_possession
    assert verify(NETWORK, member.account, member.vote_key, member.possession)
    assert not verify(NETWORK + "2", member.account, member.vote_key, member.possession)
    assert not verify(NETWORK, other.account, member.vote_key, member.possession)
    assert not verify(NETWORK, member.account, other.vote_key, member.possession)


def test_a_set_needs_distinct_members_with_proven_keys() -> None:
    members = WORLD.validators.validators
    check_validators(SUITE.quorum, NETWORK, WORLD.validators)
    same_key = msgspec.structs.replace(members[1], vote_key=members[0].vote_key)
    unproven = msgspec.structs.replace(members[1], possession=members[0].possession)
    same_account = msgspec.structs.replace(members[1], account=members[0].account)
    for second in (same_key, unproven, same_account):
        with pytest.raises(VerificationFailed):
            check_validators(
                SUITE.quorum, NETWORK, ValidatorSet(epoch=1, validators=(members[0], second, *members[2:]))
            )


def test_vote_messages_of_different_votes_differ() -> None:
    seen = {
        vote_message(chain, kind, epoch, view, digest)
        for chain in (bytes(32), fixed("c"))
        for kind in VoteKind
        for epoch in (1, 256)
        for view in (1, 256)
        for digest in (bytes(32), DIGEST)
    }
    assert len(seen) == 48
