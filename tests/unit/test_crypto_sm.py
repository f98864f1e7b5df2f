"""The suite `sm` gives the standards' examples, agrees with arithmetic written from them, and takes nothing else."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import domains
from ledger.crypto import libcrypto, self_test, sm2, sm3, sm4
from ledger.crypto.registry import SUITES, load_suite
from ledger.crypto.suite import SuiteUnavailable
from ledger.errors import DecodeError, LimitExceeded, VerificationFailed
from tests.unit.ledger_world import fixed
from tests.vectors import sm2_math as math

SUITE = load_suite("sm")
ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
SECRET = fixed("sm secret")
# GB/T 32918.5-2017, annexes A.2 and C.2: one key pair and one nonce for both examples.
EXAMPLE_SECRET = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"
EXAMPLE_X = "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
EXAMPLE_Y = "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
EXAMPLE_NONCE = "59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21"

secrets = st.integers(1, math.N - 2).map(math.number)
nonces = st.integers(1, math.N - 1)


def edge_cases() -> list[pytest.param]:
    cases = self_test.load_cases((VECTORS / "sm2_edge.json").read_bytes())
    return [pytest.param(case, id=case.name) for case in cases]


# --- the standards' examples --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
    ],
)
def test_sm3_gives_the_examples_of_the_standard(data: bytes, digest: str) -> None:
    """GB/T 32905-2016, annex A.1 and A.2."""
    assert SUITE.digest(data).hex() == digest
    assert sm3.start(data[:2]).hexdigest() != digest


def test_sm4_gives_the_examples_of_the_standard() -> None:
    """GB/T 32907-2016, annex A.1 (one encryption) and A.2 (a million): CBC over zeros encrypts its own output on and on."""
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    chained = Cipher(SM4(key), CBC(key)).encryptor().update(bytes(16 * 1_000_000))
    assert chained[:16].hex() == "681edf34d206965e86b3e94f536e4246"
    assert chained[-16:].hex() == "595298c7c6fd271f0402f804c33d3f66"


def test_sm4_gcm_gives_the_example_of_rfc_8998() -> None:
    """RFC 8998, appendix A.1; the mode is that of GB/T 36624-2018."""
    encryptor = Cipher(
        SM4(bytes.fromhex("0123456789abcdeffedcba9876543210")),
        GCM(bytes.fromhex("00001234567800000000abcd")),
    ).encryptor()
    encryptor.authenticate_additional_data(bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
    plaintext = b"".join(bytes((byte,)) * 8 for byte in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
    assert (encryptor.update(plaintext) + encryptor.finalize()).hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    )
    assert encryptor.tag.hex() == "83de3541e4c2b58177e065a9bf7b62ec"


def test_sm2_gives_the_signature_example_of_the_standard() -> None:
    """GB/T 32918.5-2017, annex A.2: key, Z, e, r and s."""
    key = sm2.SecretKey(bytes.fromhex(EXAMPLE_SECRET))
    coordinates = bytes.fromhex(EXAMPLE_X + EXAMPLE_Y)
    assert key.public_key == b"\x03" + coordinates[:32]
    z = sm2.identity_digest(coordinates)
    assert z.hex().upper() == "B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3"
    e = sm3.digest(z + b"message digest")
    assert e.hex().upper() == "F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640"
    r, s = math.sign(int(EXAMPLE_SECRET, 16), int(EXAMPLE_NONCE, 16), b"message digest")
    assert f"{r:064X}" == "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    assert f"{s:064X}" == "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
    assert sm2.verify(key.public_key, b"message digest", math.number(r) + math.number(s))
    assert sm2.verify_digest(key.public_key, e, math.number(r) + math.number(s))


def test_sm2_gives_the_encryption_example_of_the_standard() -> None:
    """GB/T 32918.5-2017, annex C.2: C1 ‖ C3 ‖ C2."""
    expected = (
        "04"
        "04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73"
        "E858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0"
        "59983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766"
        "21886CA989CA9C7D58087307CA93092D651EFA"
    )
    point = libcrypto.decode_point(bytes.fromhex("04" + EXAMPLE_X + EXAMPLE_Y))
    assert point is not None
    wrapped = sm2.encrypt_with(bytes.fromhex(EXAMPLE_NONCE), point, b"encryption standard")
    assert wrapped is not None
    assert wrapped.hex().upper() == expected
    assert SUITE.unwrap(bytes.fromhex(EXAMPLE_SECRET), wrapped) == b"encryption standard"


# --- against arithmetic written from the standard -----------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(secret=secrets, message=st.binary(max_size=200))
def test_what_the_library_signs_holds_by_the_arithmetic_of_the_standard(
    secret: bytes, message: bytes
) -> None:
    key, point = sm2.SecretKey(secret), math.finite(math.multiply(int.from_bytes(secret, "big"), math.G))
    assert key.public_key == math.compressed(point)
    signature = key.sign(message)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert math.verify(point, message, r, s)
    assert sm2.verify(key.public_key, message, signature)
    assert not math.verify(point, message + b"\0", r, s)


@settings(max_examples=25, deadline=None)
@given(secret=secrets, nonce=nonces, message=st.binary(max_size=100), flip=st.integers(0, 511))
def test_the_verdict_is_that_of_the_arithmetic(secret: bytes, nonce: int, message: bytes, flip: int) -> None:
    d = int.from_bytes(secret, "big")
    point = math.finite(math.multiply(d, math.G))
    good = b"".join(map(math.number, math.sign(d, nonce, message)))
    changed = (int.from_bytes(good, "big") ^ 1 << flip).to_bytes(64, "big")
    for signature in (good, changed):
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        verdict = sm2.verify(math.compressed(point), message, signature)
        assert verdict is math.verify(point, message, r, s)
    assert sm2.verify(math.compressed(point), message, good)


@settings(max_examples=15, deadline=None)
@given(secret=secrets, nonce=nonces, data=st.binary(min_size=1, max_size=100))
def test_encryption_is_that_of_the_arithmetic(secret: bytes, nonce: int, data: bytes) -> None:
    point = math.finite(math.multiply(int.from_bytes(secret, "big"), math.G))
    theirs = math.encrypt(point, nonce, data)
    assert sm2.decrypt(secret, theirs) == data
    library_point = libcrypto.decode_point(math.uncompressed(point))
    assert library_point is not None
    assert sm2.encrypt_with(math.number(nonce), library_point, data) == theirs


def fitting_digest(d: int, r: int, s: int) -> bytes:
    """The e for which (r, s) would hold but for the rules on its numbers; a message with that e cannot be found."""
    x = math.finite(math.multiply((s + (r + s) * d) % math.N, math.G))[0]
    return math.number((r - x) % math.N)


def test_numbers_outside_their_range_are_refused_though_the_equation_holds() -> None:
    d, small = int.from_bytes(SECRET, "big"), 12345
    key = math.compressed(math.finite(math.multiply(d, math.G)))
    e, low, raised = fitting_digest(d, small, small), math.number(small), math.number(small + math.N)
    assert sm2.verify_digest(key, e, low + low)
    for signature in (raised + low, low + raised, low + low[1:], low + b"\0" + low, low[1:] + low):
        assert not sm2.verify_digest(key, e, signature)
    for r, s in ((0, small), (small, 0), (small, math.N - small)):
        assert not sm2.verify_digest(key, fitting_digest(d, r, s), math.number(r) + math.number(s))


# --- hostile input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", edge_cases())
def test_sm2_gives_the_pinned_verdict(case: self_test.SignatureCase) -> None:
    key, message, signature = (
        bytes.fromhex(text) for text in (case.public_key, case.message, case.signature)
    )
    assert sm2.verify(key, message, signature) is case.valid


def test_the_self_test_runs_the_cases_of_the_suite_and_stops_at_another_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packaged = Path(self_test.__file__).parent / self_test.SM2_CASES
    assert packaged.read_bytes() == (VECTORS / "sm2_edge.json").read_bytes()
    assert self_test.check_vectors("sm") == len(edge_cases()) > 40
    monkeypatch.setattr(sm2, "verify", lambda *_: True)
    with pytest.raises(self_test.VerdictDiffers):
        self_test.check_vectors("sm")
    assert self_test.check_vectors("intl") > 40


@settings(max_examples=200, deadline=None)
@given(key=st.binary(max_size=70), signature=st.binary(max_size=100))
def test_hostile_keys_and_signatures_are_false_and_never_an_exception(key: bytes, signature: bytes) -> None:
    assert not SUITE.verify("sm2", key, domains.SESSION, b"m", signature)
    assert not SUITE.verify("ed25519", key, domains.SESSION, b"m", signature)
    with pytest.raises(VerificationFailed):
        SUITE.wrap(key, b"secret")
    with pytest.raises(VerificationFailed):
        SUITE.unwrap(SECRET, key + signature)


def test_hostile_input_leaves_nothing_on_standard_error_or_in_the_error_queue(
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = sm2.SecretKey(SECRET).public_key
    for bad in (b"\x04" + key[1:], b"\x02" + b"\xff" * 32, bytes(33)):
        assert not sm2.verify(bad, b"m", b"\1" * 64)
    assert not sm2.verify(key, b"m", b"\1" * 64)
    with pytest.raises(VerificationFailed):
        SUITE.unwrap(SECRET, bytes(200))
    queued = ctypes.CDLL(libcrypto._places()[0]).ERR_peek_error
    queued.restype = ctypes.c_ulong
    assert queued() == 0
    assert capfd.readouterr() == ("", "")


def test_a_ciphertext_opens_only_unchanged_and_for_its_key() -> None:
    secret, public = SUITE.generate_wrap_key()
    other, _ = SUITE.generate_wrap_key()
    wrapped = SUITE.wrap(public, b"data key")
    assert SUITE.unwrap(secret, wrapped) == b"data key"
    assert len(wrapped) == sm2.WRAP_OVERHEAD_BYTES + 8
    changed = [wrapped[:at] + bytes((wrapped[at] ^ 1,)) + wrapped[at + 1 :] for at in range(len(wrapped))]
    for box in (*changed, wrapped[:-1], wrapped + b"\0", b"", wrapped[:97], wrapped + bytes(2000)):
        with pytest.raises(VerificationFailed):
            SUITE.unwrap(secret, box)
    for key in (other, secret[1:], bytes(32), b"\xff" * 32, math.number(math.N - 1)):
        with pytest.raises(VerificationFailed):
            SUITE.unwrap(key, wrapped)


def test_a_secret_is_wrapped_to_a_compressed_key_alone() -> None:
    point = math.finite(math.multiply(7, math.G))
    assert SUITE.wrap(math.compressed(point), b"secret")
    with pytest.raises(VerificationFailed):
        SUITE.wrap(math.uncompressed(point), b"secret")


def test_wrapping_takes_one_to_1024_bytes() -> None:
    secret, public = SUITE.generate_wrap_key()
    assert SUITE.unwrap(secret, SUITE.wrap(public, bytes(1024))) == bytes(1024)
    with pytest.raises(LimitExceeded):
        SUITE.wrap(public, bytes(1025))
    with pytest.raises(VerificationFailed):
        SUITE.wrap(public, b"")


def test_a_derived_key_of_zeros_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """GB/T 32918.4, 6.1 A5 and 7.1 B4."""
    secret, public = SUITE.generate_wrap_key()
    wrapped = SUITE.wrap(public, b"m")
    monkeypatch.setattr(sm2, "_stretch", lambda _, size: bytes(size))
    point = libcrypto.decode_point(public)
    assert point is not None
    assert sm2.encrypt_with(SECRET, point, b"m") is None
    with pytest.raises(VerificationFailed):
        SUITE.unwrap(secret, wrapped)


@pytest.mark.parametrize(
    "secret",
    [bytes(32), math.number(math.N - 1), math.number(math.N), b"\xff" * 32, b"\1", b"", bytes(33)],
)
def test_a_number_outside_its_range_is_no_secret_key(secret: bytes) -> None:
    for load in (SUITE.load_signer, SUITE.load_vote_signer):
        with pytest.raises(DecodeError):
            load(secret)


def test_the_largest_and_smallest_secrets_sign() -> None:
    for d in (1, math.N - 2):
        signer = SUITE.load_signer(math.number(d))
        assert SUITE.verify(
            "sm2", signer.public_key, domains.SESSION, b"m", signer.sign(domains.SESSION, b"m")
        )


# --- the suite ----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(message=st.binary(max_size=100), flip=st.integers(0, 511))
def test_a_signature_holds_for_its_key_domain_and_message_alone(message: bytes, flip: int) -> None:
    signer = SUITE.load_signer(SECRET)
    signature = signer.sign(domains.SESSION, message)
    flipped = bytearray(signature)
    flipped[flip // 8] ^= 1 << flip % 8
    key = signer.public_key
    assert SUITE.verify("sm2", key, domains.SESSION, message, signature)
    assert not SUITE.verify("sm2", key, domains.SESSION, message, bytes(flipped))
    assert not SUITE.verify("sm2", key, domains.HANDSHAKE, message, signature)
    assert not SUITE.verify("sm2", key, domains.SESSION, message + b"\0", signature)
    assert not SUITE.verify("ed25519", key, domains.SESSION, message, signature)


def test_two_signatures_of_one_message_have_different_nonces() -> None:
    signer = SUITE.load_signer(SECRET)
    assert signer.sign(domains.SESSION, b"m")[:32] != signer.sign(domains.SESSION, b"m")[:32]


def test_secret_keys_do_not_show_themselves() -> None:
    for shown in (sm2.SecretKey(SECRET), SUITE.load_signer(SECRET)):
        assert SECRET.hex() not in repr(shown)
        assert str(int.from_bytes(SECRET, "big")) not in repr(shown)


@settings(max_examples=50, deadline=None)
@given(plaintext=st.binary(max_size=200), associated=st.binary(max_size=50), data=st.data())
def test_sealed_data_opens_only_unchanged(plaintext: bytes, associated: bytes, data: st.DataObject) -> None:
    key = fixed("sealing")
    sealed = SUITE.seal(key, plaintext, associated)
    assert len(sealed) == len(plaintext) + 40
    assert SUITE.open(key, sealed, associated) == plaintext
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[at // 8] ^= 1 << at % 8
    for arguments in (
        (key, bytes(changed), associated),
        (key, sealed[:-1], associated),
        (key, sealed, associated + b"\0"),
        (fixed("other"), sealed, associated),
        (key[:16] + fixed("other")[16:], sealed, associated),
        (key[:-1], sealed, associated),
        (key, sealed[:39], associated),
    ):
        with pytest.raises(VerificationFailed):
            SUITE.open(*arguments)


def test_every_text_has_an_sm4_key_of_its_own() -> None:
    one, other = (SUITE.seal(fixed("k"), bytes(64), b"") for _ in range(2))
    assert one != other
    same_gcm_nonce = bytes(12) + one[12:24]
    assert sm4.seal_with(same_gcm_nonce, fixed("k"), bytes(64), b"")[:64] != one[24:88]


def test_hashes_and_macs_are_sm3_in_their_domain() -> None:
    prefix = bytes((len(domains.FIELD),)) + domains.FIELD
    assert SUITE.hash(domains.FIELD, b"x") == hashlib.new("sm3", prefix + b"x").digest()
    assert SUITE.hash(domains.FIELD, b"x") != SUITE.hash(domains.ATTACHMENT, b"x")
    inner = hashlib.new("sm3", bytes(64 * [0x36 ^ 0x6B]) + prefix + b"x").digest()
    key = b"k" * 64
    assert (
        SUITE.mac(key, domains.FIELD, b"x") == hashlib.new("sm3", bytes(64 * [0x5C ^ 0x6B]) + inner).digest()
    )


def test_threads_may_sign_and_verify_at_once() -> None:
    signer, wrong = SUITE.load_signer(SECRET), []

    def work(number: int) -> None:
        for at in range(20):
            message = b"%d/%d" % (number, at)
            signature = signer.sign(domains.SESSION, message)
            if not SUITE.verify("sm2", signer.public_key, domains.SESSION, message, signature):
                wrong.append(message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_computer_without_sm2_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypto, "_places", lambda: ("/nonexistent/libcrypto.so",))
    libcrypto._library.cache_clear()
    try:
        with pytest.raises(SuiteUnavailable) as refused:
            libcrypto.require()
    finally:
        libcrypto._library.cache_clear()
    assert "/nonexistent/libcrypto.so" in refused.value.message("zh")
    assert refused.value.message("zh") != refused.value.message("en")


def test_every_suite_of_the_registry_loads_under_its_name() -> None:
    assert [load_suite(name).name for name in SUITES] == list(SUITES)


def test_the_golden_vectors_of_sm_are_unchanged() -> None:
    command = [sys.executable, "-m", "tests.vectors.generate_sm", "--check"]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}", "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the protocol changed: if so, `make vectors`\n{done.stderr}"
