"""Face assertions: a registered service has seen the person, for this very consent, a moment ago.

Rule: an assertion opens one consent, of one person, for one purpose, within two minutes, and once. It is a compact JWS (RFC 7515)
by an officer key of an organisation that operators have registered for it, carried in the call of the clerk at whose window or
kiosk the person is; what the service measured of the face is nowhere in it, and nobody here keeps a template.

    header    {"alg": "EdDSA" | "Ed25519" | "SM2", "kid": key id, "typ": "zhenglian-face+jwt"}
    payload   {"iss": service, "sub": person, "aud": chain id, "jti": nonce, "iat": s, "exp": s, "purpose": code, "txh": hash}

Ids and hashes are lower-case hex. `txh` is `bound_hash` of what the person consents to, which the service showed on its screen.
Members other than these, and any missing, make it malformed.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from contracts.denials import Denied
from contracts.keys import find_key, usable
from contracts.methods import CallContext
from contracts.portal_records import FACE_USES_MAX, FaceUse, FaceUses
from contracts.portals import identity_services
from contracts.records import AccountStatus, Key, KeyRole
from contracts.state import ACCOUNTS, FACE_USES
from contracts.strict_json import NotStrict, Number, Value, read_object
from contracts.window_calls import FACE_ASSERTION_BYTES_MAX
from ledger import codec, domains
from ledger.crypto import ed25519, sm2
from ledger.crypto.suite import CryptoSuite
from ledger.types import Wire

LIFETIME_S_MAX: Final = 120
CLOCK_SKEW_S_MAX: Final = 10
TYPE: Final = "zhenglian-face+jwt"
# RFC 9864 calls EdDSA with this curve Ed25519.
ALGORITHMS: Final = {ed25519.SCHEME: ("EdDSA", "Ed25519"), sm2.SCHEME: ("SM2",)}

_HEADER: Final = frozenset({"alg", "kid", "typ"})
_CLAIMS: Final = frozenset({"iss", "sub", "aud", "jti", "iat", "exp", "purpose", "txh"})
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,11}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAssertion:
    """What an assertion says, and what was signed."""

    algorithm: str
    key_id: bytes
    service: bytes
    person: bytes
    audience: bytes
    nonce: bytes
    issued_s: int
    expires_s: int
    purpose: str
    bound: bytes
    signed: bytes
    signature: bytes


def bound_hash(suite: CryptoSuite, consented: Wire) -> bytes:
    """The hash that ties an assertion to what the person consents to.

    Args:
        suite: the network's.
        consented: the arguments of the call, with the member that takes the assertion empty.
    """
    return suite.hash(domains.FACE_CONSENT, codec.encode(consented))


def consume(
    context: CallContext, assertion: bytes, *, principal: bytes, purpose: str, bound: bytes
) -> FaceAssertion:
    """Check an assertion against the state and mark it as used.

    Args:
        context: of the clerk's call.
        assertion: compact JWS, at most `FACE_ASSERTION_BYTES_MAX`.
        principal: account of the person who consents.
        purpose: the grant's.
        bound: `bound_hash` of what is consented to.

    Raises:
        Denied: face_malformed, face_not_bound, face_expired, face_service_unknown, face_signature, face_used, face_busy.
    """
    read = parse(assertion)
    for what, same in (
        ("aud", read.audience == context.block.chain_id),
        ("sub", read.person == principal),
        ("purpose", read.purpose == purpose),
        ("txh", read.bound == bound),
    ):
        if not same:
            raise Denied("face_not_bound", what=what)
    _check_time(context, read)
    key = _service_key(context, read)
    if not _signed_by(key, read):
        raise Denied("face_signature", service=read.service.hex())
    _use(context, read)
    return read


def parse(assertion: bytes) -> FaceAssertion:
    """Read a compact JWS strictly; nothing of it is verified.

    Raises:
        Denied: face_malformed.
    """
    if len(assertion) > FACE_ASSERTION_BYTES_MAX or not assertion.isascii():
        raise _malformed("jws")
    parts = assertion.decode("ascii").split(".")
    if len(parts) != 3:
        raise _malformed("jws")
    header = _object(parts[0], "header", _HEADER)
    claims = _object(parts[1], "payload", _CLAIMS)
    if header["typ"] != TYPE or not any(header["alg"] in names for names in ALGORITHMS.values()):
        raise _malformed("header")
    purpose = claims["purpose"]
    if not isinstance(purpose, str):
        raise _malformed("purpose")
    return FaceAssertion(
        algorithm=str(header["alg"]),
        key_id=_hex(header, "kid", 16),
        service=_hex(claims, "iss", 16),
        person=_hex(claims, "sub", 16),
        audience=_hex(claims, "aud", 32),
        nonce=_hex(claims, "jti", 16),
        issued_s=_seconds(claims, "iat"),
        expires_s=_seconds(claims, "exp"),
        purpose=purpose,
        bound=_hex(claims, "txh", 32),
        signed=assertion[: assertion.rindex(b".")],
        signature=_decoded(parts[2], "signature"),
    )


def _check_time(context: CallContext, read: FaceAssertion) -> None:
    """Within its time, as blocks count it, and made for no longer than it may."""
    now_ms, from_ms, until_ms = context.time_ms, read.issued_s * 1000, read.expires_s * 1000
    lasts_s = read.expires_s - read.issued_s
    begun = from_ms <= now_ms + CLOCK_SKEW_S_MAX * 1000
    if not (begun and now_ms < until_ms and 0 < lasts_s <= LIFETIME_S_MAX):
        raise Denied("face_expired", from_ms=from_ms, until_ms=until_ms, time_ms=now_ms)


def _service_key(context: CallContext, read: FaceAssertion) -> Key:
    account = ACCOUNTS.get(context.state, read.service)
    registered = read.service in identity_services(context.state)
    if account is not None and registered and account.status is AccountStatus.ACTIVE:
        key = find_key(account, read.key_id)
        if key is not None and key.role is KeyRole.OFFICER and usable(key, context.time_ms):
            return key
    raise Denied("face_service_unknown", service=read.service.hex(), key_id=read.key_id.hex())


def _signed_by(key: Key, read: FaceAssertion) -> bool:
    """Whether the key signed it as JWS has it: the bytes of header and payload themselves, under no domain of ours."""
    if read.algorithm not in ALGORITHMS.get(key.scheme, ()):
        return False
    if key.scheme == ed25519.SCHEME:
        return ed25519.verify(key.public_key, read.signed, read.signature)
    return sm2.verify(key.public_key, read.signed, read.signature)


def _use(context: CallContext, read: FaceAssertion) -> None:
    """Remember it until it ends by itself."""
    held = FACE_USES.get(context.state, read.service)
    alive = tuple(use for use in (held.uses if held is not None else ()) if use.expires_ms > context.time_ms)
    if any(use.nonce == read.nonce for use in alive):
        raise Denied("face_used")
    if len(alive) >= FACE_USES_MAX:
        raise Denied("face_busy", maximum=FACE_USES_MAX)
    use = FaceUse(nonce=read.nonce, expires_ms=read.expires_s * 1000)
    FACE_USES.put(context.state, read.service, FaceUses(uses=(*alive, use)))


def _malformed(what: str) -> Denied:
    return Denied("face_malformed", what=what)


def _decoded(part: str, what: str) -> bytes:
    """Unpadded base64url without loose bits."""
    if _PART.fullmatch(part) is None:
        raise _malformed(what)
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _malformed(what) from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii"):
        raise _malformed(what)
    return data


def _object(part: str, what: str, members: frozenset[str]) -> dict[str, Value]:
    try:
        found = read_object(_decoded(part, what))
    except NotStrict:
        raise _malformed(what) from None
    if found.keys() != members:
        raise _malformed(what)
    return found


def _hex(found: dict[str, Value], name: str, size_bytes: int) -> bytes:
    text = found[name]
    if not isinstance(text, str) or re.fullmatch(rf"[0-9a-f]{{{2 * size_bytes}}}", text) is None:
        raise _malformed(name)
    return bytes.fromhex(text)


def _seconds(found: dict[str, Value], name: str) -> int:
    number = found[name]
    if not isinstance(number, Number) or _SECONDS.fullmatch(number.text) is None:
        raise _malformed(name)
    return int(number.text)
