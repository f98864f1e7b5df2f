"""The primitives give the pinned verdicts, and agree with independent implementations."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.bls import G2ProofOfPossession as Oracle

from ledger import domains
from ledger.crypto import bls, ed25519, self_test
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import UnknownSuite
from ledger.errors import DecodeError, LimitExceeded, VerificationFailed
from tests.unit.ledger_world import fixed
from tests.vectors.edge_cases import BLS_FIELD

# py_ecc raises it to 100,000 for the whole process when it is imported; deep input of other tests then ends the
# interpreter by a stack overflow, where a node gets a RecursionError.
PYTHON_RECURSION_LIMIT = 1000
sys.setrecursionlimit(PYTHON_RECURSION_LIMIT)

SUITE = load_suite("intl")
VECTORS = Path(__file__).parent.parent / "vectors"
SCALAR = b"\0" + fixed("scalar")[1:]


def edge_cases(name: str) -> list[pytest.param]:
    cases = self_test.load_cases((VECTORS / name).read_bytes())
    return [pytest.param(case, id=case.name) for case in cases]


@pytest.mark.parametrize("case", edge_cases("ed25519_edge.json"))
def test_ed25519_gives_the_pinned_verdict(case: self_test.SignatureCase) -> None:
    key, message, signature = (
        bytes.fromhex(text) for text in (case.public_key, case.message, case.signature)
    )
    assert ed25519.verify(key, message, signature) is case.valid


@pytest.mark.parametrize("case", edge_cases("bls_edge.json"))
def test_bls_gives_the_pinned_verdict(case: self_test.SignatureCase) -> None:
    joined = bytes.fromhex(case.public_key)
    keys = [joined[at : at + 48] for at in range(0, len(joined), 48)]
    verdict = bls.fast_aggregate_verify(keys, bytes.fromhex(case.message), bytes.fromhex(case.signature))
    assert verdict is case.valid


def test_the_self_test_runs_the_same_cases_that_the_vectors_hold() -> None:
    assert self_test.check_vectors("intl") == sum(
        len(json.loads((VECTORS / name).read_bytes())) for name in ("ed25519_edge.json", "bls_edge.json")
    )
    packaged = Path(self_test.__file__).parent
    for name in (self_test.ED25519_CASES, self_test.BLS_CASES):
        assert (packaged / name).read_bytes() == (VECTORS / name).read_bytes()


def test_a_library_with_another_verdict_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "verify", lambda *_: True)
    with pytest.raises(self_test.VerdictDiffers) as caught:
        self_test.check_vectors("intl")
    assert caught.value.fields["scheme"] == "Ed25519"


def test_ed25519_signatures_are_those_of_another_library() -> None:
    seed = fixed("seed")
    signer = SUITE.load_signer(seed)
    other = Ed25519PrivateKey.from_private_bytes(seed)
    digest = SUITE.hash(domains.SESSION, b"message")
    assert signer.sign(domains.SESSION, b"message") == other.sign(digest)
    assert signer.public_key == other.public_key().public_bytes_raw()


@given(message=st.binary(max_size=100), flip=st.integers(0, 511))
def test_a_signature_holds_for_its_key_domain_and_message_alone(message: bytes, flip: int) -> None:
    signer = SUITE.load_signer(fixed("seed"))
    signature = signer.sign(domains.SESSION, message)
    flipped = bytearray(signature)
    flipped[flip // 8] ^= 1 << flip % 8
    key = signer.public_key
    assert SUITE.verify("ed25519", key, domains.SESSION, message, signature)
    assert not SUITE.verify("ed25519", key, domains.SESSION, message, bytes(flipped))
    assert not SUITE.verify("ed25519", key, domains.HANDSHAKE, message, signature)
    assert not SUITE.verify("ed25519", key, domains.SESSION, message + b"\0", signature)
    assert not SUITE.verify("sm2", key, domains.SESSION, message, signature)
    assert not SUITE.verify("ed25519", fixed("another"), domains.SESSION, message, signature)


@settings(max_examples=300)
@given(key=st.binary(max_size=70), signature=st.binary(max_size=100))
def test_hostile_keys_and_signatures_are_false_and_never_an_exception(key: bytes, signature: bytes) -> None:
    assert not SUITE.verify("ed25519", key, domains.SESSION, b"m", signature)
    assert not bls.verify(key, b"m", signature)


def test_bls_agrees_with_the_reference_implementation() -> None:
    secret = bls.SecretKey(SCALAR)
    number = int.from_bytes(SCALAR, "big")
    assert secret.public_key == Oracle.SkToPk(number)
    assert secret.sign(b"vote") == Oracle.Sign(number, b"vote")
    possession = Oracle._CoreSign(number, b"bound", Oracle.POP_TAG)
    assert secret.prove_possession(b"bound") == possession
    assert Oracle.Verify(secret.public_key, b"vote", secret.sign(b"vote"))


def test_bls_aggregates_agree_with_the_reference_implementation() -> None:
    secrets = [bls.SecretKey(b"\0" + fixed("aggregate", i)[1:]) for i in range(3)]
    signatures = [secret.sign(b"vote") for secret in secrets]
    assert bls.aggregate(signatures) == Oracle.Aggregate(signatures)


@pytest.mark.parametrize(
    "secret",
    [bytes(32), bls.ORDER.to_bytes(32, "big"), (bls.ORDER + 1).to_bytes(32, "big"), b"\xff" * 32, b"\1", b""],
)
def test_a_scalar_outside_its_range_is_no_secret_key(secret: bytes) -> None:
    with pytest.raises(DecodeError):
        SUITE.load_vote_signer(secret)


def test_the_largest_and_smallest_scalars_are_keys() -> None:
    for scalar in (1, bls.ORDER - 1):
        secret = bls.SecretKey(scalar.to_bytes(32, "big"))
        assert bls.verify(secret.public_key, b"m", secret.sign(b"m"))


def test_a_signature_of_the_curve_outside_the_subgroup_does_not_aggregate() -> None:
    x = 1
    good = bls.SecretKey(SCALAR).sign(b"m")
    outside = bytes((0x80,)) + x.to_bytes(95, "big")
    for bad in (outside, b"\xc0" + bytes(95), good[:-1], b"", b"\x80" + BLS_FIELD.to_bytes(95, "big")):
        with pytest.raises(DecodeError):
            bls.aggregate([good, bad])
    with pytest.raises(DecodeError):
        bls.aggregate([])


def test_an_aggregate_that_is_the_identity_is_refused() -> None:
    number = int.from_bytes(SCALAR, "big")
    opposite = bls.SecretKey((bls.ORDER - number).to_bytes(32, "big"))
    with pytest.raises(DecodeError):
        bls.aggregate([bls.SecretKey(SCALAR).sign(b"m"), opposite.sign(b"m")])


def test_generated_keys_load_again() -> None:
    secret, signer = SUITE.generate_signer()
    assert SUITE.load_signer(secret).public_key == signer.public_key
    vote_secret, vote_signer = SUITE.generate_vote_signer()
    assert SUITE.load_vote_signer(vote_secret).public_key == vote_signer.public_key
    with pytest.raises(DecodeError):
        SUITE.load_signer(b"short")


def test_secret_keys_do_not_show_themselves() -> None:
    assert SCALAR.hex() not in repr(bls.SecretKey(SCALAR))
    assert fixed("seed").hex() not in repr(ed25519.Ed25519Signer(fixed("seed")))


@given(plaintext=st.binary(max_size=200), associated=st.binary(max_size=50), data=st.data())
def test_sealed_data_opens_only_unchanged(plaintext: bytes, associated: bytes, data: st.DataObject) -> None:
    key = fixed("sealing")
    sealed = SUITE.seal(key, plaintext, associated)
    assert SUITE.open(key, sealed, associated) == plaintext
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[at // 8] ^= 1 << at % 8
    for arguments in (
        (key, bytes(changed), associated),
        (key, sealed[:-1], associated),
        (key, sealed, associated + b"\0"),
        (fixed("other"), sealed, associated),
        (key[:-1], sealed, associated),
        (key, sealed[:39], associated),
    ):
        with pytest.raises(VerificationFailed):
            SUITE.open(*arguments)


def test_sealing_twice_gives_different_bytes() -> None:
    assert SUITE.seal(fixed("k"), b"p", b"") != SUITE.seal(fixed("k"), b"p", b"")


def test_a_wrapped_secret_opens_for_its_key_alone() -> None:
    (secret, public), (other, _) = SUITE.generate_wrap_key(), SUITE.generate_wrap_key()
    wrapped = SUITE.wrap(public, b"data key")
    assert SUITE.unwrap(secret, wrapped) == b"data key"
    bad = [(other, wrapped), (secret, wrapped[:-1]), (secret, b""), (secret[1:], wrapped)]
    bad += [(secret, wrapped + bytes(2000)), (secret, bytes((wrapped[0] ^ 1,)) + wrapped[1:])]
    for key, box in bad:
        with pytest.raises(VerificationFailed):
            SUITE.unwrap(key, box)


def test_wrapping_refuses_long_secrets_and_unusable_keys() -> None:
    _, public = SUITE.generate_wrap_key()
    assert SUITE.wrap(public, bytes(1024))
    with pytest.raises(LimitExceeded):
        SUITE.wrap(public, bytes(1025))
    for key in (bytes(31), bytes(32)):
        with pytest.raises(VerificationFailed):
            SUITE.wrap(key, b"s")


def test_hashes_and_macs_are_bound_to_their_domain() -> None:
    one, other = domains.FIELD, domains.ATTACHMENT
    assert SUITE.hash(one, b"x") != SUITE.hash(other, b"x")
    assert SUITE.mac(b"k", one, b"x") != SUITE.mac(b"k", other, b"x")
    assert SUITE.mac(b"k", one, b"x") != SUITE.mac(b"l", one, b"x")
    assert SUITE.hash(domains.Domain(b"ab"), b"c") != SUITE.hash(domains.Domain(b"a"), b"bc")


def test_every_domain_is_distinct() -> None:
    values = [value for name, value in vars(domains).items() if name.isupper()]
    assert len(values) == len(set(values)) > 20
    assert all(len(value) < 256 for value in values)


@pytest.mark.parametrize("name", ["sm2", "", "INTL", "SM", "intl " * 1000])
def test_an_unknown_suite_is_refused(name: str) -> None:
    with pytest.raises(UnknownSuite):
        load_suite(name)


@pytest.mark.parametrize("case", edge_cases("ed25519_edge.json"))
def test_edge_cases_are_refused_even_if_the_library_would_take_them(
    case: self_test.SignatureCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ed25519.bindings, "crypto_sign_open", lambda *_: b"")
    ours = case.name.startswith(("small order", "S ", "short", "long", "empty sig", "all zero"))
    key, signature = bytes.fromhex(case.public_key), bytes.fromhex(case.signature)
    assert ed25519.verify(key, bytes.fromhex(case.message), signature) is not ours
