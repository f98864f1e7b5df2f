"""Passkey signatures: an honest one of either kind holds, and one that is wrong in any single part does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts import passkeys
from contracts.calls import (
    GovernancePropose,
    NewKey,
    OrganizationsAddKey,
    PeopleAddKey,
    PeopleRevokeKey,
)
from contracts.genesis import GenesisInvalid, genesis_state
from contracts.passkeys import Refusal, why_not, why_not_settings
from contracts.people_records import PersonTag
from contracts.portal_actions import SetWebAuthn
from contracts.records import KeyRole
from contracts.state import ACCOUNTS, network
from ledger import codec, domains
from ledger.crypto import passkey
from ledger.crypto.suite import key_id
from ledger.errors import DecodeError
from ledger.hashing import signing_message
from ledger.types import Transaction, TransactionBody, WebAuthn
from node.mempool import SignatureCache
from tests.suites import suite_under_test
from tests.unit.contracts_world import (
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    OPERATORS,
    WANG,
    Actor,
    World,
    enrolment,
    genesis,
    identity,
    new_key,
)
from tests.unit.passkey_world import (
    AT,
    BE,
    BS,
    ED,
    ORDER,
    ORIGIN,
    RP_ID,
    SETTINGS,
    UP,
    UV,
    Device,
    authenticator_data,
    client_data,
    other_s,
    packed,
)
from tests.unit.test_contracts_runtime import NOTHING, inadmissible

SUITE = suite_under_test()
CHALLENGE = hashlib.sha256(b"challenge").digest()
PHONE = Device()
TOKEN = Device(77, edwards=True)
DEVICES = pytest.mark.parametrize("device", [PHONE, TOKEN], ids=["p256", "ed25519"])
EXTENSIONS = bytes.fromhex("a1") + b"\x6bhmac-secret" + b"\xf5"  # {"hmac-secret": true}


def verdict(signature: bytes, *, device: Device = PHONE, settings: WebAuthn = SETTINGS) -> Refusal | None:
    return why_not(device.public_key, CHALLENGE, signature, settings)


def said(device: bytes | None = None, browser: bytes | None = None, who: Device = PHONE) -> Refusal | None:
    """The verdict on a validly signed statement."""
    made = who.assertion(
        authenticator_data() if device is None else device,
        client_data(CHALLENGE) if browser is None else browser,
    )
    return verdict(made, device=who)


# --- what holds ---


@DEVICES
def test_an_honest_assertion_holds(device: Device) -> None:
    assert verdict(device.consent(CHALLENGE), device=device) is None


@pytest.mark.parametrize(
    "browser",
    [
        client_data(CHALLENGE, crossOrigin=None),
        client_data(CHALLENGE, origin=SETTINGS.origins[1]),
        client_data(
            CHALLENGE, other_keys_can_be_added_here="do not compare clientDataJSON against a template"
        ),
        client_data(CHALLENGE, later={"a": [1, -2.5e3, None, True]}),
        json.dumps(json.loads(client_data(CHALLENGE)), indent=2).encode(),
        client_data(CHALLENGE).replace(b"webauthn.get", b"web\\u0061uthn.get"),
        client_data(CHALLENGE, note="证照 \U0001f4c4"),
        client_data(CHALLENGE, note="x").replace(b'"x"', b'"\\ud83d\\ude00"'),
    ],
)
def test_what_browsers_write_differently_changes_nothing(browser: bytes) -> None:
    assert said(browser=browser) is None


@pytest.mark.parametrize(
    "device",
    [
        authenticator_data(flags=UP | UV | BE),
        authenticator_data(flags=UP | UV | BE | BS),
        authenticator_data(flags=UP | UV | ED, extensions=EXTENSIONS),
        authenticator_data(counter=0),
        authenticator_data(counter=2**32 - 1),
    ],
)
def test_flags_of_backup_extensions_and_any_counter_are_no_reason_to_refuse(device: bytes) -> None:
    assert said(device) is None


def test_the_counter_and_the_backup_can_be_read_from_what_is_recorded() -> None:
    made = PHONE.assertion(authenticator_data(flags=UP | UV | BE | BS, counter=41), client_data(CHALLENGE))
    assert passkeys.facts(made) == passkeys.Facts(counter=41, backed_up=True, origin=ORIGIN)
    assert passkeys.facts(b"\x93") is None


# --- the browser's statement ---


@pytest.mark.parametrize(
    ("browser", "refusal"),
    [
        (client_data(CHALLENGE, type="webauthn.create"), Refusal.TYPE),
        (client_data(CHALLENGE, type="payment.get"), Refusal.TYPE),
        (client_data(CHALLENGE, type="WEBAUTHN.GET"), Refusal.TYPE),
        (client_data(CHALLENGE, type=["webauthn.get"]), Refusal.TYPE),
        (client_data(CHALLENGE, type=None), Refusal.TYPE),
        (client_data(hashlib.sha256(b"another").digest()), Refusal.CHALLENGE),
        (client_data(CHALLENGE[:31]), Refusal.CHALLENGE),
        (client_data(CHALLENGE + b"\0"), Refusal.CHALLENGE),
        (client_data(CHALLENGE, challenge=CHALLENGE.hex()), Refusal.CHALLENGE),
        (client_data(CHALLENGE).replace(b'","origin', b'=","origin'), Refusal.CHALLENGE),
        (client_data(CHALLENGE, challenge=None), Refusal.CHALLENGE),
        (client_data(CHALLENGE, challenge=7), Refusal.CHALLENGE),
        (client_data(CHALLENGE, crossOrigin=True), Refusal.CROSS_ORIGIN),
        (client_data(CHALLENGE, crossOrigin=0), Refusal.CROSS_ORIGIN),
        (client_data(CHALLENGE, crossOrigin="false"), Refusal.CROSS_ORIGIN),
        (client_data(CHALLENGE).replace(b"false", b"null"), Refusal.CROSS_ORIGIN),
        (client_data(CHALLENGE, topOrigin=ORIGIN), Refusal.CROSS_ORIGIN),
        (client_data(CHALLENGE, tokenBinding={"status": "present", "id": "x"}), Refusal.CLIENT_DATA),
        (client_data(CHALLENGE, origin=None), Refusal.CLIENT_DATA),
        (client_data(CHALLENGE, origin=[ORIGIN]), Refusal.CLIENT_DATA),
        (client_data(CHALLENGE, origin="https://evil.example.cn"), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin=ORIGIN + "/"), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin=ORIGIN + ":443"), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin=ORIGIN.upper()), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin="http" + ORIGIN[5:]), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin="https://sub.portal.city.example.cn"), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin="android:apk-key-hash:abc"), Refusal.ORIGIN),
        (client_data(CHALLENGE, origin=""), Refusal.ORIGIN),
    ],
)
def test_each_member_of_the_client_data_is_checked(browser: bytes, refusal: Refusal) -> None:
    assert said(browser=browser) is refusal


GOOD = client_data(CHALLENGE)


@pytest.mark.parametrize(
    "browser",
    [
        GOOD[:-1],
        GOOD + b"x",
        GOOD + b"{}",
        GOOD + b"\0",
        b"\xef\xbb\xbf" + GOOD,
        b"[" + GOOD + b"]",
        b'"webauthn.get"',
        b"null",
        GOOD[:-1] + b',"type":"webauthn.get"}',
        GOOD[:-1] + b',"typ\\u0065":"webauthn.get"}',
        GOOD[:-1] + b',"origin":"https://evil.example.cn"}',
        GOOD[:-1] + b',"later":{"a":1,"a":2}}',
        GOOD[:-1] + b",}",
        GOOD[:-1] + b',"a":01}',
        GOOD[:-1] + b',"a":NaN}',
        GOOD[:-1] + b',"a":1.}',
        GOOD[:-1] + b",a:1}",
        GOOD[:-1] + b",'a':1}",
        GOOD[:-1] + b',"a":"\n"}',
        GOOD[:-1] + b',"a":"\\x"}',
        GOOD[:-1] + b',"a":"\\ud83d"}',
        GOOD[:-1] + b',"a":"\xff"}',
        GOOD[:-1] + b',"a":"\xed\xa0\x80"}',
        GOOD[:-1] + b',"a":' + b"[" * 9 + b"]" * 9 + b"}",
        GOOD[:-1] + b',"a":[' + b"1," * 200 + b"1]}",
        GOOD.replace(b",", b"\x0b,", 1),
        GOOD.replace(b",", "\u00a0,".encode(), 1),
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b"false", b"False"),
    ],
)
def test_client_data_that_is_not_strict_json_is_refused(browser: bytes) -> None:
    assert said(browser=browser) is Refusal.CLIENT_DATA


# --- the device's statement ---


@pytest.mark.parametrize(
    ("device", "refusal"),
    [
        (authenticator_data(rp_id="other.example.cn"), Refusal.RP_ID),
        (authenticator_data(rp_id=""), Refusal.RP_ID),
        (RP_ID.encode().ljust(32, b"\0") + authenticator_data()[32:], Refusal.RP_ID),
        (authenticator_data(flags=UV), Refusal.USER_ABSENT),
        (authenticator_data(flags=UP), Refusal.USER_UNVERIFIED),
        (authenticator_data(flags=0), Refusal.USER_ABSENT),
        (authenticator_data(flags=UP | UV | 0x02), Refusal.FLAGS),
        (authenticator_data(flags=UP | UV | 0x20), Refusal.FLAGS),
        (authenticator_data(flags=UP | UV | BS), Refusal.FLAGS),
        (authenticator_data(flags=UP | UV | AT), Refusal.FLAGS),
        (authenticator_data(flags=UP | UV | AT, extensions=bytes(18)), Refusal.FLAGS),
        (authenticator_data(extensions=b"\0"), Refusal.EXTENSIONS),
        (authenticator_data(extensions=EXTENSIONS), Refusal.EXTENSIONS),
        (authenticator_data(flags=UP | UV | ED), Refusal.EXTENSIONS),
        (authenticator_data(flags=UP | UV | ED, extensions=EXTENSIONS + b"\0"), Refusal.EXTENSIONS),
        (authenticator_data(flags=UP | UV | ED, extensions=EXTENSIONS[:-1]), Refusal.EXTENSIONS),
        (authenticator_data(flags=UP | UV | ED, extensions=b"\xa0"), Refusal.EXTENSIONS),
        (authenticator_data(flags=UP | UV | ED, extensions=b"\xa1\x01\x02"), Refusal.EXTENSIONS),
        (authenticator_data(flags=UP | UV | ED, extensions=b"\x81\x61a"), Refusal.EXTENSIONS),
        (authenticator_data()[:36], Refusal.MALFORMED),
        (b"", Refusal.MALFORMED),
        (authenticator_data(flags=UP | UV | ED, extensions=bytes(1000)), Refusal.MALFORMED),
    ],
)
def test_each_part_of_the_authenticator_data_is_checked(device: bytes, refusal: Refusal) -> None:
    assert said(device) is refusal


@pytest.mark.parametrize(
    ("cbor", "good"),
    [
        ("a16161 01", True),
        ("a26161 01 6162 01", True),
        ("a16161 a16162 81 f6", True),
        ("a16161 1818", True),
        ("a16161 18ff", True),
        ("a16161 190100", True),
        ("a16161 20", True),
        ("a16161 4101", True),
        ("a26162 01 6161 01", False),  # not in order
        ("a26161 01 6161 02", False),  # twice
        ("a26162 01 626161 01", True),  # the shorter first
        ("a2626161 01 6162 01", False),
        ("a16161 1817", False),  # a longer head than needed
        ("a16161 1900ff", False),
        ("a16161 1a0000ffff", False),
        ("a16161 1b00000000ffffffff", False),
        ("bf6161 01ff", False),  # indefinite length
        ("a16161 9f01ff", False),
        ("a16161 c101", False),  # a tag
        ("a16161 f93c00", False),  # a float
        ("a16161 f8ff", False),
        ("a16161 e0", False),
        ("a16161 1c", False),
        ("a161ff 01", False),  # no UTF-8
        ("a16161 62ff", False),
        ("a16161", False),
        ("a16161 5b7fffffffffffffff", False),
        ("a16161 9b7fffffffffffffff", False),
        ("a16161 a16161 a16161 a16161 a16161 01", False),  # too deep
        ("a16161 01 00", False),
    ],
)
def test_extensions_are_one_canonical_map(cbor: str, good: bool) -> None:
    device = authenticator_data(flags=UP | UV | ED, extensions=bytes.fromhex(cbor))
    assert said(device) is (None if good else Refusal.EXTENSIONS)


# --- the signature ---


def reencoded(der: bytes) -> list[bytes]:
    """The same r and s, written as DER does not write them."""
    r, s = (number.to_bytes(33, "big") for number in decode_dss_signature(der))
    padded = b"\x02\x21" + r + b"\x02\x21" + s
    body = der[2:]
    first = der[4 : 4 + der[3]]
    second = der[6 + der[3] :]
    return [
        b"\x30\x81" + bytes((len(body),)) + body,
        b"\x30\x82\x00" + bytes((len(body),)) + body,
        b"\x30\x80" + body + b"\0\0",
        b"\x31" + der[1:],
        der + b"\0",
        der[:1] + bytes((der[1] + 1,)) + body + b"\0",
        der[:-1],
        b"\x30" + bytes((len(body) + 2,)) + body + b"\x05\0",
        b"\x30\x46" + padded if r[1] < 0x80 or s[1] < 0x80 else b"\x30\x46" + padded[:-1],
        b"\x30" + bytes((len(body) + 1,)) + b"\x02\x81" + bytes((len(first),)) + first + b"\x02" + bytes((len(second),)) + second,
        r[1:] + s[1:],
        b"\x04" + r[1:] + s[1:],
        der.hex().encode(),
        b"\0",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(14))
def test_an_ecdsa_signature_has_one_encoding(number: int) -> None:
    device, browser = authenticator_data(), client_data(CHALLENGE)
    good = PHONE.sign(device + hashlib.sha256(browser).digest())
    assert verdict(packed(device, browser, good)) is None
    odd = reencoded(good)[number]
    refusal = verdict(packed(device, browser, odd))
    assert refusal in {Refusal.SIGNATURE, Refusal.MALFORMED}
    with pytest.raises(DecodeError):
        passkey.low_s(odd)


def test_the_other_s_which_the_curve_takes_as_well_is_refused() -> None:
    device, browser = authenticator_data(), client_data(CHALLENGE)
    message = device + hashlib.sha256(browser).digest()
    good = PHONE.sign(message)
    other = other_s(good)
    PHONE.p256.public_key().verify(other, message, ec.ECDSA(SHA256()))
    assert verdict(packed(device, browser, other)) is Refusal.SIGNATURE
    assert passkey.low_s(other) == passkey.low_s(good) == good


@pytest.mark.parametrize(
    ("r", "s"), [(0, 1), (1, 0), (ORDER, 1), (1, ORDER), (ORDER + 5, 5), (2**256 - 1, 1)]
)
def test_numbers_out_of_range_are_no_signature(r: int, s: int) -> None:
    der = encode_dss_signature(r, s)
    assert verdict(packed(authenticator_data(), client_data(CHALLENGE), der)) is Refusal.SIGNATURE
    with pytest.raises(DecodeError):
        passkey.low_s(der)


def test_negative_numbers_are_no_signature() -> None:
    der = bytes.fromhex("3006020180020101")
    assert verdict(packed(authenticator_data(), client_data(CHALLENGE), der)) is Refusal.SIGNATURE
    assert passkey.encode_der(128, 1) == bytes.fromhex("3007020200800201") + b"\x01"


@DEVICES
def test_a_signature_is_of_this_key_over_these_bytes(device: Device) -> None:
    good = codec.decode(device.consent(CHALLENGE), passkeys.PasskeySignature, size_bytes_max=4096)
    other = Device(device.secret + 1, edwards=device.edwards)
    assert verdict(codec.encode(good), device=other) is Refusal.SIGNATURE
    counted = replace(good, authenticator_data=authenticator_data(counter=1))
    assert verdict(codec.encode(counted), device=device) is Refusal.SIGNATURE
    spaced = replace(good, client_data_json=good.client_data_json + b" ")
    assert verdict(codec.encode(spaced), device=device) is Refusal.SIGNATURE


def test_a_key_of_one_kind_takes_no_signature_of_the_other() -> None:
    for one, two in ((PHONE, TOKEN), (TOKEN, PHONE)):
        assert verdict(one.consent(CHALLENGE), device=two) is Refusal.SIGNATURE


@given(st.data())
def test_no_single_bit_of_an_assertion_can_be_changed(data: st.DataObject) -> None:
    good = ASSERTION
    at = data.draw(st.integers(0, len(good) * 8 - 1))
    flipped = bytearray(good)
    flipped[at // 8] ^= 1 << at % 8
    assert verdict(bytes(flipped)) is not None


ASSERTION = PHONE.consent(CHALLENGE)


@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert verdict(data) is Refusal.MALFORMED
    assert said(browser=data or b" ") is not None


@pytest.mark.parametrize(
    "encoded",
    [
        ASSERTION + b"\0",
        ASSERTION[:-1],
        b"\x94" + ASSERTION[1:] + b"\xc0",
        b"\xdc\x00\x03" + ASSERTION[1:],
        codec.encode([*codec.decode(ASSERTION, list[bytes], size_bytes_max=4096), b"x"]),
        codec.encode({"authenticator_data": b""}),
        bytes(4097),
        packed(authenticator_data(), b" " * 2049, b"x"),
        packed(authenticator_data(), GOOD, b"x" * 73),
    ],
)
def test_what_is_not_the_one_encoding_of_an_assertion_is_refused(encoded: bytes) -> None:
    assert verdict(encoded) is Refusal.MALFORMED


# --- keys and settings ---


def test_a_public_key_has_one_encoding() -> None:
    point = PHONE.public_key
    assert passkey.acceptable_key(point)
    assert passkey.acceptable_key(TOKEN.public_key)
    compressed = bytes((2 + point[-1] % 2,)) + point[1:33]
    hybrid = bytes((6 + point[-1] % 2,)) + point[1:]
    off_curve = point[:-1] + bytes((point[-1] ^ 1,))
    field = 2**256 - 2**224 + 2**192 + 2**96 - 1
    reduced_twice = (
        b"\x04" + (int.from_bytes(point[1:33], "big") + field).to_bytes(33, "big")[-32:] + point[33:]
    )
    for odd in (
        compressed,
        hybrid,
        off_curve,
        reduced_twice,
        b"\0",
        b"",
        bytes(65),
        b"\x04" + bytes(64),
        point + b"\0",
    ):
        assert not passkey.acceptable_key(odd)
        assert verdict(ASSERTION, device=PHONE) is None
        assert why_not(odd, CHALLENGE, ASSERTION, SETTINGS) is Refusal.SIGNATURE
    for odd in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32):
        assert not passkey.acceptable_key(odd)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (WebAuthn(), None),
        (SETTINGS, None),
        (WebAuthn(rp_id="localhost", origins=("http://localhost:8440", "http://a.localhost")), None),
        (WebAuthn(rp_id="localhost", origins=("http://127.0.0.1:8440",)), "origin"),
        (WebAuthn(rp_id="127.0.0.1", origins=("http://127.0.0.1",)), "rp_id"),
        (WebAuthn(rp_id="cn", origins=("https://cn",)), "rp_id"),
        (WebAuthn(rp_id="City.example.cn", origins=("https://City.example.cn",)), "rp_id"),
        (WebAuthn(rp_id="", origins=(ORIGIN,)), "rp_id"),
        (WebAuthn(rp_id=RP_ID), "origins"),
        (WebAuthn(rp_id=RP_ID, origins=(ORIGIN, ORIGIN)), "origins"),
        (WebAuthn(rp_id=RP_ID, origins=(ORIGIN + "/",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=(ORIGIN + ":443",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=(ORIGIN + ":0",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=(ORIGIN + ":65536",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=("http://portal.city.example.cn",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=("https://evilcity.example.cn",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=("https://example.cn",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=("https://user@portal.city.example.cn",)), "origin"),
        (WebAuthn(rp_id=RP_ID, origins=("https://*.city.example.cn",)), "origin"),
    ],
)
def test_settings_name_domains_as_browsers_write_them(settings: WebAuthn, wrong: str | None) -> None:
    assert why_not_settings(settings) == wrong


def test_a_genesis_with_other_settings_is_refused() -> None:
    assert genesis_state(SUITE, replace(genesis(), webauthn=SETTINGS))
    with pytest.raises(GenesisInvalid, match="webauthn"):
        genesis_state(
            SUITE, replace(genesis(), webauthn=WebAuthn(rp_id="10.0.0.1", origins=("https://10.0.0.1",)))
        )


# --- on the ledger ---


def passkey_of(device: Device, role: KeyRole = KeyRole.HOLDER) -> NewKey:
    return NewKey(scheme="passkey", public_key=device.public_key, role=role, label="phone", valid_until_ms=0)


@pytest.fixture
def world() -> World:
    world = World().populate()
    world.vote(SetWebAuthn(webauthn=SETTINGS))
    return world


def consented(
    world: World, device: Device, what: object = NOTHING, who: Actor = LI, **changes: object
) -> Transaction:
    """A transaction of the person's that the device has signed."""
    plain = world.sign(who, what)  # type: ignore[arg-type]
    key = key_id(SUITE, "passkey", device.public_key)
    return resigned(replace(plain.body, key_id=key), device, **changes)


def resigned(body: TransactionBody, device: Device, **changes: object) -> Transaction:
    challenge = SUITE.hash(domains.TRANSACTION_SIGN, signing_message(body))
    return Transaction(body=body, signature=device.consent(challenge, **changes))


@DEVICES
def test_a_person_acts_by_several_passkeys_with_labels(world: World, device: Device) -> None:
    world.done(LI, PeopleAddKey(key=passkey_of(device)))
    other = Device(4711)
    adding = consented(world, device, PeopleAddKey(key=passkey_of(other)))
    assert world.block([adding]).results[0].code == "ok"
    revoking = consented(world, other, PeopleRevokeKey(key_id=LI.key_id))
    assert world.block([revoking]).results[0].code == "ok"
    account = ACCOUNTS.get(world, LI.account)
    assert account is not None
    assert [(key.scheme, key.label) for key in account.keys[1:]] == [("passkey", "phone")] * 2
    assert inadmissible(world, world.sign(LI, NOTHING)) == "key_revoked"


def test_a_person_can_be_enrolled_with_a_passkey(world: World) -> None:
    key = passkey_of(PHONE)
    named = key_id(SUITE, key.scheme, key.public_key)
    tags = (PersonTag(version=1, tag=identity("new", 32)),)
    who = world.done(
        DEPARTMENT, enrolment(WANG, world.chain_id, world.time_ms, key=key, key_id=named, tags=tags)
    )
    account = ACCOUNTS.get(world, who)
    assert account is not None
    assert account.keys[0].public_key == PHONE.public_key


def _elsewhere(tx: Transaction) -> Transaction:
    """With an assertion for the same call on another network."""
    return replace(tx, signature=resigned(replace(tx.body, chain_id=bytes(32)), PHONE).signature)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda tx: replace(tx, signature=LI.signer.sign(domains.TRANSACTION_SIGN, b"")), "passkey_invalid"),
        (lambda tx: resigned(tx.body, Device(99)), "passkey_invalid"),
        (lambda tx: resigned(tx.body, PHONE, origin="https://evil.example.cn"), "origin_not_listed"),
        (lambda tx: resigned(tx.body, PHONE, type="webauthn.create"), "passkey_invalid"),
        (lambda tx: replace(tx, body=replace(tx.body, nonce=bytes(16))), "passkey_invalid"),
        (_elsewhere, "passkey_invalid"),
    ],
)
def test_an_assertion_that_does_not_hold_is_never_included(
    world: World, change: Callable[[Transaction], Transaction], code: str
) -> None:
    world.done(LI, PeopleAddKey(key=passkey_of(PHONE)))
    good = consented(world, PHONE)
    assert inadmissible(world, change(good)) == code
    assert world.block([good]).results[0].code == "unknown_method"


def test_a_passkey_of_one_person_signs_for_no_other(world: World) -> None:
    world.done(LI, PeopleAddKey(key=passkey_of(PHONE)))
    assert inadmissible(world, consented(world, PHONE, who=WANG)) == "unknown_key"


def test_passkeys_are_for_people_and_for_networks_that_have_them(world: World) -> None:
    fields = world.refused(
        DEPARTMENT_ADMIN, OrganizationsAddKey(key=passkey_of(PHONE, KeyRole.OFFICER)), "passkey_role"
    )
    assert fields == {"role": "officer"}
    bare = World().populate()
    bare.refused(LI, PeopleAddKey(key=passkey_of(PHONE)), "passkeys_not_here")
    odd = replace(passkey_of(PHONE), public_key=b"\x02" + PHONE.public_key[1:33])
    world.refused(LI, PeopleAddKey(key=odd), "passkey_key_invalid")
    unknown = replace(new_key(LI, KeyRole.HOLDER), scheme="rsa")
    assert "passkey" in str(world.refused(LI, PeopleAddKey(key=unknown), "unknown_scheme")["allowed"])


def test_operators_change_the_origins_and_never_the_relying_party(world: World) -> None:
    world.done(LI, PeopleAddKey(key=passkey_of(PHONE)))
    moved = WebAuthn(rp_id=RP_ID, origins=("https://new.city.example.cn",))
    old = consented(world, PHONE)
    world.vote(SetWebAuthn(webauthn=moved))
    assert network(world).webauthn == moved
    assert inadmissible(world, old) == "origin_not_listed"
    fresh = consented(world, PHONE, origin="https://new.city.example.cn")
    assert world.block([fresh]).results[0].code == "unknown_method"
    elsewhere = WebAuthn(rp_id="example.cn", origins=(ORIGIN,))
    world.refused(OPERATORS[0], GovernancePropose(action=SetWebAuthn(webauthn=elsewhere)), "rp_id_fixed")
    for wrong in (WebAuthn(), WebAuthn(rp_id=RP_ID), WebAuthn(rp_id=RP_ID, origins=("ftp://x",))):
        world.refused(OPERATORS[0], GovernancePropose(action=SetWebAuthn(webauthn=wrong)), "webauthn_invalid")


def test_a_remembered_verdict_is_of_the_same_key_scheme_bytes_and_settings(world: World) -> None:
    verify = SignatureCache(SUITE)
    good = consented(world, PHONE)
    moved = WebAuthn(rp_id=RP_ID, origins=("https://new.city.example.cn",))
    key = PHONE.public_key
    for _ in range(2):
        assert verify("passkey", key, good, SETTINGS)
        assert not verify("passkey", key, good, moved)
        assert not verify("passkey", key, good, WebAuthn())
        assert not verify(LI.signer.scheme, key, good, SETTINGS)
        assert not verify("passkey", TOKEN.public_key, good, SETTINGS)
        assert not verify("passkey", key, replace(good, signature=good.signature + b"\0"), SETTINGS)
        assert not verify("passkey", key, consented(world, Device(5)), SETTINGS)
