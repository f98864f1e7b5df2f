"""Threshold cryptography: t of n holders can, t − 1 cannot, and whoever cheats is named."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from py_ecc.bls.g2_primitives import G1_to_pubkey
from py_ecc.optimized_bls12_381.optimized_curve import G1, multiply

from ledger.crypto.registry import load_suite
from ledger.crypto.threshold import dealing, encryption, polynomials, prf
from ledger.crypto.threshold.equality import prove_equal, verify_equal
from ledger.crypto.threshold.group import Bls12381G1, Element, Group, decode_scalar, encode_scalar
from ledger.crypto.threshold.shares import HolderKeys, Holders, Share, check_share, combine, make_share
from ledger.domains import PERSON_TAG, SESSION
from ledger.errors import DecodeError, InvariantViolation

# py_ecc raises it for the whole process when it is imported (see test_ledger_crypto.py).
sys.setrecursionlimit(1000)

GROUP = Bls12381G1()
HASH = load_suite("intl").hash
INFINITY = bytes([0xC0]) + bytes(47)
# The point (0, 2) of the curve: of order 3, so outside the prime-order subgroup.
SMALL_ORDER = bytes([0x80]) + bytes(47)
DATA_KEY = bytes(range(32))
LABEL = b"network/record/field"
CONTEXT = b"release 1"


def drawing(seed: int) -> Callable[[], int]:
    """Uniform scalars that are the same in every run."""
    source = random.Random(seed)
    return lambda: source.randrange(1, GROUP.order)


@dataclass(frozen=True, slots=True)
class Sharing:
    """A shared key and every holder's share."""

    keys: HolderKeys
    secrets: tuple[int, ...]

    @property
    def holders(self) -> Holders:
        return Holders.load(GROUP, self.keys)

    def share(self, holder: int, base: Element, context: bytes = CONTEXT) -> Share:
        secret = self.secrets[holder - 1]
        return make_share(
            GROUP, HASH, base, holder=holder, secret=secret, context=context, draw=drawing(holder)
        )

    def together(self, holders: tuple[int, ...], base: Element) -> Element:
        checked = {}
        for holder in holders:
            element = check_share(GROUP, HASH, self.holders, base, self.share(holder, base), CONTEXT)
            assert element is not None
            checked[holder] = element
        return combine(GROUP, self.holders, checked)


def generated(threshold: int, holders: int, seed: int = 1) -> Sharing:
    """A key that every holder has dealt for, honestly."""
    draw = drawing(seed)
    dealt = [
        polynomials.random_polynomial(GROUP.order, threshold, draw, secret=draw()) for _ in range(holders)
    ]
    keys = dealing.generated_keys(GROUP, [dealing.commit(GROUP, one) for one in dealt], holders)
    shares = tuple(
        dealing.generated_share(GROUP, [polynomials.value_at(GROUP.order, one, holder) for one in dealt])
        for holder in range(1, holders + 1)
    )
    return Sharing(keys, shares)


THREE_OF_FOUR = generated(3, 4)


def sealed(label: bytes = LABEL, sharing: Sharing = THREE_OF_FOUR) -> encryption.SealedKey:
    return encryption.seal_key(GROUP, HASH, sharing.holders.public_key, DATA_KEY, label, drawing(len(label)))


# --- the group ----------------------------------------------------------------------------------------------


def test_multiples_agree_with_another_implementation() -> None:
    for scalar in (1, 2, 3, GROUP.order - 1, 0x1234567890ABCDEF << 100):
        assert GROUP.generator.times(scalar).encode() == G1_to_pubkey(multiply(G1, scalar))


@pytest.mark.parametrize("data", [b"", INFINITY, SMALL_ORDER, bytes(48), b"\xff" * 48, bytes(49)])
def test_what_is_no_element_is_not_decoded(data: bytes) -> None:
    assert GROUP.decode(data) is None


@pytest.mark.parametrize("scalar", [0, -1, GROUP.order, GROUP.order + 1])
def test_no_element_is_multiplied_by_what_is_no_scalar(scalar: int) -> None:
    with pytest.raises(InvariantViolation):
        GROUP.generator.times(scalar)


@pytest.mark.parametrize(
    "data", [bytes(32), b"", bytes(31) + b"\1" + b"\0", encode_scalar(GROUP.order), b"\xff" * 32]
)
def test_what_is_no_scalar_is_not_decoded(data: bytes) -> None:
    assert decode_scalar(GROUP, data) is None


def test_the_generators_differ_and_hashed_elements_keep_their_domains() -> None:
    elements = [
        GROUP.generator,
        GROUP.second_generator,
        GROUP.hash_to_element(PERSON_TAG, b"1"),
        GROUP.hash_to_element(PERSON_TAG, b"2"),
        GROUP.hash_to_element(SESSION, b"1"),
    ]
    assert len({element.encode() for element in elements}) == len(elements)


# --- sharing ------------------------------------------------------------------------------------------------


@given(threshold=st.integers(1, 7), spare=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_any_threshold_of_values_gives_the_secret_and_the_coefficients(
    threshold: int, spare: int, seed: int
) -> None:
    draw = drawing(seed)
    coefficients = polynomials.random_polynomial(GROUP.order, threshold, draw, secret=draw())
    points = random.Random(seed).sample(range(1, threshold + spare + 1), threshold)
    values = {point: polynomials.value_at(GROUP.order, coefficients, point) for point in points}
    assert polynomials.interpolate(GROUP.order, values) == coefficients[0]
    assert polynomials.coefficients_through(GROUP.order, values) == coefficients


def test_one_value_too_few_fits_every_secret() -> None:
    draw = drawing(3)
    coefficients = polynomials.random_polynomial(GROUP.order, 3, draw, secret=draw())
    values = {point: polynomials.value_at(GROUP.order, coefficients, point) for point in (1, 2)}
    for guess in (1, 42, coefficients[0] + 1):
        found = polynomials.coefficients_through(GROUP.order, values | {3: guess})
        assert [polynomials.value_at(GROUP.order, found, point) for point in (1, 2)] == list(values.values())


@pytest.mark.parametrize("holders", [(), (1, 1), (0, 1), (1, 129)])
def test_weights_are_of_distinct_holders(holders: tuple[int, ...]) -> None:
    with pytest.raises(InvariantViolation):
        polynomials.weights_at(GROUP.order, holders)


@pytest.mark.parametrize("threshold", [0, 129])
def test_a_threshold_has_bounds(threshold: int) -> None:
    with pytest.raises(InvariantViolation):
        polynomials.random_polynomial(GROUP.order, threshold, drawing(1), secret=1)


# --- proofs of shares ---------------------------------------------------------------------------------------


def test_an_equality_proof_holds_for_its_statement_and_no_other() -> None:
    bases = (GROUP.generator, GROUP.second_generator)
    images = (bases[0].times(5), bases[1].times(5))
    proof = prove_equal(GROUP, HASH, bases, 5, b"for this", drawing(1))
    assert verify_equal(GROUP, HASH, bases, images, b"for this", proof)
    assert not verify_equal(GROUP, HASH, bases, images, b"for that", proof)
    assert not verify_equal(GROUP, HASH, bases, (images[0], bases[1].times(6)), b"for this", proof)
    assert not verify_equal(GROUP, HASH, bases[::-1], images[::-1], b"for this", proof)


@given(bit=st.integers(0, 511))
@settings(max_examples=40)
def test_a_flipped_bit_of_a_proof_is_noticed(bit: int) -> None:
    bases = (GROUP.generator, GROUP.second_generator)
    proof = prove_equal(GROUP, HASH, bases, 5, b"", drawing(1))
    data = bytearray(proof.challenge + proof.response)
    data[bit >> 3] ^= 1 << (bit & 7)
    flipped = replace(proof, challenge=bytes(data[:32]), response=bytes(data[32:]))
    assert not verify_equal(GROUP, HASH, bases, (bases[0].times(5), bases[1].times(5)), b"", flipped)


def test_a_response_past_the_order_is_refused_although_it_means_the_same() -> None:
    bases = (GROUP.generator, GROUP.second_generator)
    proof = prove_equal(GROUP, HASH, bases, 5, b"", drawing(1))
    larger = int.from_bytes(proof.response, "big") + GROUP.order
    if larger < 1 << 256:
        proof = replace(proof, response=encode_scalar(larger))
        assert not verify_equal(GROUP, HASH, bases, (bases[0].times(5), bases[1].times(5)), b"", proof)


def test_a_forged_share_names_its_holder_and_spoils_nothing() -> None:
    base = GROUP.hash_to_element(SESSION, b"base")
    sharing, holders = THREE_OF_FOUR, THREE_OF_FOUR.holders
    honest = [sharing.share(holder, base) for holder in (1, 2, 3, 4)]
    forged = replace(honest[1], element=base.times(99).encode())
    checked = {}
    bad = []
    for share in (honest[0], forged, honest[2], honest[3]):
        element = check_share(GROUP, HASH, holders, base, share, CONTEXT)
        if element is None:
            bad.append(share.holder)
        else:
            checked[share.holder] = element
    assert bad == [2]
    assert combine(GROUP, holders, checked).encode() == sharing.together((1, 2, 3), base).encode()


def test_a_share_counts_for_one_holder_one_base_and_one_context() -> None:
    base, other = GROUP.hash_to_element(SESSION, b"base"), GROUP.hash_to_element(SESSION, b"other")
    holders, share = THREE_OF_FOUR.holders, THREE_OF_FOUR.share(1, base)
    assert check_share(GROUP, HASH, holders, base, share, CONTEXT) is not None
    assert check_share(GROUP, HASH, holders, base, replace(share, holder=2), CONTEXT) is None
    assert check_share(GROUP, HASH, holders, base, replace(share, holder=5), CONTEXT) is None
    assert check_share(GROUP, HASH, holders, other, share, CONTEXT) is None
    assert check_share(GROUP, HASH, holders, base, share, b"release 2") is None
    assert check_share(GROUP, HASH, holders, base, replace(share, element=INFINITY), CONTEXT) is None


def test_fewer_shares_than_it_takes_are_not_combined() -> None:
    with pytest.raises(InvariantViolation):
        combine(GROUP, THREE_OF_FOUR.holders, {1: GROUP.generator, 2: GROUP.generator})


# --- sealed keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", list(itertools.combinations((1, 2, 3, 4), 3)))
def test_any_threshold_of_holders_opens_a_sealed_key(chosen: tuple[int, ...]) -> None:
    one = sealed()
    u = encryption.check_sealed(GROUP, HASH, one, LABEL)
    assert u is not None
    assert encryption.open_sealed(HASH, one, THREE_OF_FOUR.together(chosen, u)) == DATA_KEY


def test_two_of_three_shares_open_nothing_even_with_a_guessed_third() -> None:
    one = sealed()
    u = encryption.check_sealed(GROUP, HASH, one, LABEL)
    assert u is not None
    elements = {holder: u.times(THREE_OF_FOUR.secrets[holder - 1]) for holder in (1, 2)}
    opened = encryption.open_sealed(HASH, one, combine(GROUP, THREE_OF_FOUR.holders, elements | {3: u}))
    assert opened != DATA_KEY


def test_a_sealed_key_is_of_its_label() -> None:
    assert encryption.check_sealed(GROUP, HASH, sealed(), b"another record") is None


def test_a_sealed_key_lifted_with_a_new_mask_or_new_elements_is_refused() -> None:
    one, other = sealed(), sealed(b"mine")
    lifted = [
        replace(one, masked=bytes(32)),
        replace(one, u=other.u),
        replace(one, u_bar=GROUP.generator.encode()),
        replace(other, u=one.u, u_bar=one.u_bar),
        replace(one, u=INFINITY),
        replace(one, challenge=bytes(32)),
        replace(one, response=encode_scalar(GROUP.order)),
    ]
    for sealed_key in lifted:
        assert encryption.check_sealed(GROUP, HASH, sealed_key, LABEL) is None
        assert encryption.check_sealed(GROUP, HASH, sealed_key, b"mine") is None


def test_two_sealed_keys_of_one_data_key_have_nothing_in_common() -> None:
    first = encryption.seal_key(GROUP, HASH, THREE_OF_FOUR.holders.public_key, DATA_KEY, LABEL, drawing(1))
    second = encryption.seal_key(GROUP, HASH, THREE_OF_FOUR.holders.public_key, DATA_KEY, LABEL, drawing(2))
    assert first.masked != second.masked
    assert first.u != second.u


# --- the pseudorandom function ------------------------------------------------------------------------------


def evaluate(message: bytes, seed: int, chosen: tuple[int, ...], sharing: Sharing = THREE_OF_FOUR) -> bytes:
    blinded = prf.blind(GROUP, PERSON_TAG, message, drawing(seed))
    combined = sharing.together(chosen, blinded.element)
    return prf.finalize(GROUP, HASH, PERSON_TAG, message, blinded, combined)


def test_an_input_has_one_value_whatever_the_blind_and_the_holders() -> None:
    value = evaluate(b"11010519491231002X", 1, (1, 2, 3))
    assert value == evaluate(b"11010519491231002X", 2, (2, 3, 4))
    assert value != evaluate(b"110105194912310021", 1, (1, 2, 3))
    assert value != evaluate(b"11010519491231002X", 1, (1, 2, 3), generated(3, 4, seed=2))


def test_holders_see_nothing_that_two_evaluations_have_in_common() -> None:
    seen = {prf.blind(GROUP, PERSON_TAG, b"same", drawing(seed)).element.encode() for seed in range(4)}
    assert len(seen) == 4
    assert "5" not in repr(prf.Blinded(GROUP.generator, 5)).replace(GROUP.generator.encode().hex(), "")


# --- generation and renewal ---------------------------------------------------------------------------------


@given(threshold=st.integers(1, 4), spare=st.integers(0, 3), seed=st.integers(0, 2**32))
@settings(max_examples=10)
def test_shares_of_a_generated_key_are_those_that_its_keys_say(threshold: int, spare: int, seed: int) -> None:
    sharing = generated(threshold, threshold + spare, seed)
    for secret, key in zip(sharing.secrets, sharing.keys.share_keys, strict=True):
        assert GROUP.generator.times(secret).encode() == key
    secret = polynomials.interpolate(GROUP.order, dict(enumerate(sharing.secrets, start=1)))
    assert GROUP.generator.times(secret).encode() == sharing.keys.public_key
    Holders.load(GROUP, sharing.keys)


def test_a_hidden_dealing_shows_a_wrong_pair_and_says_nothing_else() -> None:
    draw = drawing(5)
    values = polynomials.random_polynomial(GROUP.order, 3, draw, secret=draw())
    blindings = polynomials.random_polynomial(GROUP.order, 3, draw, secret=draw())
    commitments = dealing.commit_hiding(GROUP, values, blindings)
    pair = dealing.pair_for(GROUP, values, blindings, 2)
    assert dealing.check_pair(GROUP, commitments, 2, pair)
    assert not dealing.check_pair(GROUP, commitments, 3, pair)
    assert not dealing.check_pair(GROUP, commitments, 2, dealing.Pair(pair.value + 1, pair.blinding))
    assert not dealing.check_pair(GROUP, commitments, 2, dealing.Pair(pair.value, pair.blinding + 1))
    for bad in (0, -1, GROUP.order, GROUP.order + pair.value):
        assert not dealing.check_pair(GROUP, commitments, 2, dealing.Pair(bad, pair.blinding))
        assert not dealing.check_value(GROUP, dealing.commit(GROUP, values), 2, bad)
    assert str(pair.value) not in repr(pair)
    other = polynomials.random_polynomial(GROUP.order, 3, draw, secret=draw())
    assert commitments != dealing.commit_hiding(GROUP, values, other)


def test_a_dealer_that_publishes_wrong_commitments_is_opened_by_the_others() -> None:
    draw = drawing(6)
    values = polynomials.random_polynomial(GROUP.order, 3, draw, secret=draw())
    honest = dealing.commit(GROUP, values)
    pairs = {holder: polynomials.value_at(GROUP.order, values, holder) for holder in (1, 3, 4, 5)}
    opened = dealing.open_dealer(GROUP, pairs, 3)
    assert [element.encode() for element in opened] == [element.encode() for element in honest]
    for holder, value in pairs.items():
        assert dealing.check_value(GROUP, opened, holder, value)


def test_commitments_from_outside_are_exactly_as_many_elements() -> None:
    encoded = [element.encode() for element in dealing.commit(GROUP, (1, 2, 3))]
    assert dealing.decode_commitments(GROUP, encoded, 3) is not None
    assert dealing.decode_commitments(GROUP, encoded, 2) is None
    assert dealing.decode_commitments(GROUP, encoded, 4) is None
    assert dealing.decode_commitments(GROUP, [*encoded[:2], INFINITY], 3) is None


def renewed(old: Sharing, dealers: tuple[int, ...], threshold: int, holders: int, seed: int) -> Sharing:
    draw = drawing(seed)
    dealt = {
        dealer: polynomials.random_polynomial(GROUP.order, threshold, draw, secret=old.secrets[dealer - 1])
        for dealer in dealers
    }
    commitments = {dealer: dealing.commit(GROUP, one) for dealer, one in dealt.items()}
    assert all(dealing.fits_renewal(old.holders, dealer, one) for dealer, one in commitments.items())
    shares = []
    for holder in range(1, holders + 1):
        values = {dealer: polynomials.value_at(GROUP.order, one, holder) for dealer, one in dealt.items()}
        assert all(
            dealing.check_value(GROUP, commitments[dealer], holder, value) for dealer, value in values.items()
        )
        shares.append(dealing.renewed_share(GROUP, values))
    return Sharing(dealing.renewed_keys(GROUP, commitments, holders), tuple(shares))


@pytest.mark.parametrize(("threshold", "holders"), [(3, 4), (5, 7), (2, 3), (1, 1)])
def test_a_renewal_keeps_the_key_for_other_holders_and_opens_what_was_sealed_before(
    threshold: int, holders: int
) -> None:
    old = THREE_OF_FOUR
    new = renewed(old, (1, 2, 4), threshold, holders, seed=9)
    assert new.keys.public_key == old.keys.public_key
    assert not set(new.secrets) & set(old.secrets)
    one = sealed()
    u = encryption.check_sealed(GROUP, HASH, one, LABEL)
    assert u is not None
    combined = new.together(tuple(range(1, threshold + 1)), u)
    assert encryption.open_sealed(HASH, one, combined) == DATA_KEY


def test_old_and_new_shares_together_open_nothing() -> None:
    old = THREE_OF_FOUR
    new = renewed(old, (1, 2, 3), 3, 4, seed=10)
    mixed = {1: old.secrets[0], 2: old.secrets[1], 3: new.secrets[2]}
    secret = polynomials.interpolate(GROUP.order, mixed)
    assert GROUP.generator.times(secret).encode() != old.keys.public_key


def test_who_shares_another_scalar_than_its_share_is_noticed() -> None:
    other = dealing.commit(GROUP, (THREE_OF_FOUR.secrets[1], 5, 6))
    assert not dealing.fits_renewal(THREE_OF_FOUR.holders, 1, other)


def test_a_lost_share_is_given_back_by_the_others() -> None:
    group: Group = GROUP
    held = {holder: THREE_OF_FOUR.secrets[holder - 1] for holder in (1, 2, 4)}
    assert polynomials.interpolate(group.order, held, 3) == THREE_OF_FOUR.secrets[2]


# --- keys from outside --------------------------------------------------------------------------------------


def test_holder_keys_that_do_not_belong_together_are_refused() -> None:
    keys, other = THREE_OF_FOUR.keys, generated(3, 4, seed=8).keys
    hostile = [
        replace(keys, public_key=other.public_key),
        replace(keys, public_key=INFINITY),
        replace(keys, share_keys=(*keys.share_keys[:3], other.share_keys[3])),
        replace(keys, share_keys=(*keys.share_keys[:3], SMALL_ORDER)),
        replace(keys, share_keys=keys.share_keys[:2]),
        replace(keys, threshold=2),
    ]
    for one in hostile:
        with pytest.raises(DecodeError):
            Holders.load(GROUP, one)
