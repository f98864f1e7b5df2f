"""What a browser and a device state, and what a face service signs, however hostile.

Rule: nothing but what the device signed for this challenge is ever accepted, every input gets a verdict, and no JSON that
Python's own reader refuses, or reads otherwise, is read.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import cbor2

from contracts import passkeys
from contracts.denials import Denied
from contracts.face_assertions import parse
from contracts.passkeys import PasskeySignature, Refusal
from contracts.strict_cbor import is_text_map
from contracts.strict_json import NotStrict, Number, Value, read_object
from ledger.crypto import passkey
from ledger.errors import DecodeError
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Target, require
from tests.unit.passkey_world import SETTINGS, Device, authenticator_data, client_data, unpadded

CHALLENGE: Final = hashlib.sha256(b"fuzz").digest()
PHONE: Final = Device()
HONEST: Final = PHONE.consent(CHALLENGE)
FACE_HEADER: Final = {"alg": "EdDSA", "kid": "00" * 16, "typ": "zhenglian-face+jwt"}
FACE_CLAIMS: Final = {
    **dict.fromkeys(("iss", "sub", "jti"), "00" * 16),
    **dict.fromkeys(("aud", "txh"), "00" * 32),
    "iat": 1,
    "exp": 2,
    "purpose": "loan",
}


def face() -> bytes:
    """A face assertion of the right form."""
    parts = (json.dumps(FACE_HEADER).encode(), json.dumps(FACE_CLAIMS).encode(), bytes(64))
    return ".".join(map(unpadded, parts)).encode()


def run_assertion(data: bytes) -> None:
    refusal = passkeys.why_not(PHONE.public_key, CHALLENGE, data, SETTINGS)
    require(refusal is not None or data == HONEST, "an assertion that the device never made")
    passkeys.facts(data)


def run_signed(data: bytes) -> None:
    """Statements that the device did sign, over anything: split at the first byte's place."""
    at = 1 + (data[0] if data else 0)
    device, browser = data[1:at], data[at:]
    made = PHONE.assertion(device or authenticator_data(), browser or b" ")
    refusal = passkeys.why_not(PHONE.public_key, CHALLENGE, made, SETTINGS)
    require(refusal is not Refusal.SIGNATURE, "a signature that does not hold over what was signed")
    if refusal is None and browser:
        found = json.loads(browser)
        require(found["type"] == "webauthn.get", "another type")
        require(found["origin"] in SETTINGS.origins, "another origin")


def run_json(data: bytes) -> None:
    try:
        found = read_object(data)
    except NotStrict:
        return
    require(plain(found) == json.loads(data, parse_int=str, parse_float=str), "read otherwise than JSON is")


def plain(value: Value) -> Any:
    match value:
        case Number(text=text):
            return text
        case dict():
            return {name: plain(member) for name, member in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def run_der(data: bytes) -> None:
    form = passkey.low_s(data)
    require(passkey.low_s(form) == form, "two forms of one signature")
    require(len(form) <= passkey.SIGNATURE_SIZE_BYTES_MAX, "a form that is too long")


def run_cbor(data: bytes) -> None:
    if is_text_map(data):
        require(cbor2.dumps(cbor2.loads(data), canonical=True) == data, "a map that is written otherwise")


def run_face(data: bytes) -> None:
    read = parse(data)
    require(data.startswith(read.signed + b"."), "something else was signed")


TARGETS = (
    Target(
        name="passkeys.assertion",
        run=run_assertion,
        seeds=lambda: [HONEST],
        examples=lambda: encodings(PasskeySignature),
        errors=(),
        grammar=Grammar.MSGPACK,
    ),
    Target(
        name="passkeys.signed",
        run=run_signed,
        seeds=lambda: [b"\x25" + authenticator_data() + client_data(CHALLENGE)],
        errors=(),
    ),
    Target(
        name="passkeys.json",
        run=run_json,
        seeds=lambda: [client_data(CHALLENGE)],
        grammar=Grammar.JSON,
        errors=(),
    ),
    Target(
        name="passkeys.cbor",
        run=run_cbor,
        seeds=lambda: [bytes.fromhex("a26161f561628101")],
        errors=(),
    ),
    Target(name="passkeys.der", run=run_der, seeds=lambda: [PHONE.sign(b"x")], errors=(DecodeError,)),
    Target(name="passkeys.face", run=run_face, seeds=lambda: [face()], errors=(Denied,)),
)
