"""A passkey in software, made with `cryptography` alone: what a phone and a browser say, true or false in any part."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.passkeys import PasskeySignature
from ledger import codec
from ledger.types import WebAuthn

RP_ID: Final = "city.example.cn"
ORIGIN: Final = "https://portal.city.example.cn"
SETTINGS: Final = WebAuthn(rp_id=RP_ID, origins=(ORIGIN, "https://city.example.cn:8443"))
UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def client_data(challenge: bytes, /, **changes: object) -> bytes:
    """As a browser writes it; a member that is changed to None is left out."""
    members: dict[str, object] = {
        "type": "webauthn.get",
        "challenge": unpadded(challenge),
        "origin": ORIGIN,
        "crossOrigin": False,
        **changes,
    }
    given = {name: value for name, value in members.items() if value is not None}
    return json.dumps(given, separators=(",", ":"), ensure_ascii=False).encode()


def authenticator_data(
    *, rp_id: str = RP_ID, flags: int = UP | UV, counter: int = 0, extensions: bytes = b""
) -> bytes:
    return hashlib.sha256(rp_id.encode()).digest() + bytes((flags,)) + counter.to_bytes(4, "big") + extensions


def other_s(der: bytes) -> bytes:
    """The same signature with n − s in place of s, which the curve takes as well."""
    r, s = decode_dss_signature(der)
    return encode_dss_signature(r, ORDER - s)


def low(der: bytes) -> bytes:
    r, s = decode_dss_signature(der)
    return encode_dss_signature(r, min(s, ORDER - s))


@dataclass(frozen=True)
class Device:
    """A passkey: P-256 by its secret number, or Ed25519."""

    secret: int = 1234567
    edwards: bool = False

    @cached_property
    def p256(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.secret, ec.SECP256R1())

    @cached_property
    def ed25519(self) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.secret.to_bytes(32, "big"))

    @property
    def public_key(self) -> bytes:
        if self.edwards:
            return self.ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return self.p256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, message: bytes) -> bytes:
        if self.edwards:
            return self.ed25519.sign(message)
        return low(self.p256.sign(message, ec.ECDSA(SHA256())))

    def assertion(self, device: bytes, browser: bytes) -> bytes:
        """What stands in a transaction, over any two statements."""
        signature = self.sign(device + hashlib.sha256(browser).digest())
        return packed(device, browser, signature)

    def consent(self, challenge: bytes, /, **changes: object) -> bytes:
        """What an honest device and browser give for a challenge."""
        return self.assertion(authenticator_data(), client_data(challenge, **changes))


def packed(device: bytes, browser: bytes, signature: bytes) -> bytes:
    return codec.encode(
        PasskeySignature(authenticator_data=device, client_data_json=browser, signature=signature)
    )
