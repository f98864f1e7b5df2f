"""Signatures by passkey: a Web Authentication assertion in place of a plain signature.

Rule: a person's passkey never signs a transaction itself, but the statement of a browser and of a device that it was asked for
one, and every word of that statement is a consensus rule: `why_not` looks at all of it, knows no clock and no library's leniency,
and gives the same verdict on every node. The use counter is kept with the transaction, in the block, and is never a reason to
refuse: passkeys that a vendor synchronises between devices always say 0.

    authenticator data   SHA-256(rp id) 32 ‖ flags 1 ‖ counter 4 ‖ extensions, a CBOR map, if the flag says so
    client data          JSON: type, challenge, origin, crossOrigin if it is there; further members change nothing
    signed               authenticator data ‖ SHA-256(client data)

The challenge is the hash of what is signed, under the network's suite and the domain of a transaction or of a login; so no
assertion serves twice, elsewhere or for anything else.

Source: W3C Web Authentication Level 3, 5.8.1, 6.1, 7.2.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.strict_cbor import is_text_map
from contracts.strict_json import NotStrict, Value, read_object
from ledger import codec, domains
from ledger.crypto import passkey
from ledger.crypto.suite import CryptoSuite
from ledger.domains import Domain
from ledger.errors import DecodeError, LimitExceeded
from ledger.hashing import signing_message, verify_transaction_signature
from ledger.types import ORIGINS_MAX, Transaction, WebAuthn, Wire

SCHEME: Final = passkey.SCHEME
AUTHENTICATOR_DATA_SIZE_BYTES: Final = 37
AUTHENTICATOR_DATA_BYTES_MAX: Final = 1024
CLIENT_DATA_BYTES_MAX: Final = 2048
RP_ID_LENGTH_MAX: Final = 253
LOCALHOST: Final = "localhost"

_TYPE: Final = "webauthn.get"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# A domain name; the last label has a letter first, so that no address is one.
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]{1,253})(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class PasskeySignature(Wire):
    """What stands in `Transaction.signature` where the key is a passkey, canonically encoded.

    Attributes:
        authenticator_data, client_data_json: byte for byte as the browser gave them.
        signature: over both; of ECDSA in DER with low s (`ledger.crypto.passkey.low_s`), of Ed25519 64 bytes.
    """

    authenticator_data: Annotated[
        bytes, Meta(min_length=AUTHENTICATOR_DATA_SIZE_BYTES, max_length=AUTHENTICATOR_DATA_BYTES_MAX)
    ]
    client_data_json: Annotated[bytes, Meta(min_length=1, max_length=CLIENT_DATA_BYTES_MAX)]
    signature: Annotated[bytes, Meta(min_length=1, max_length=passkey.SIGNATURE_SIZE_BYTES_MAX)]


SIGNATURE_BYTES_MAX: Final = 4096


class Flags(IntFlag):
    """Flags of authenticator data; the bits that are not here are reserved and must be clear."""

    USER_PRESENT = 0x01
    USER_VERIFIED = 0x04
    BACKUP_ELIGIBLE = 0x08
    BACKED_UP = 0x10
    ATTESTED_KEY = 0x40
    EXTENSIONS = 0x80


_RESERVED: Final = 0xFF & ~(0x01 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80)


class Refusal(StrEnum):
    """Why an assertion is not one; the order is that of the checks."""

    MALFORMED = "malformed"
    CLIENT_DATA = "client_data"
    TYPE = "type"
    CHALLENGE = "challenge"
    CROSS_ORIGIN = "cross_origin"
    RP_ID = "rp_id"
    FLAGS = "flags"
    USER_ABSENT = "user_absent"
    USER_UNVERIFIED = "user_unverified"
    EXTENSIONS = "extensions"
    SIGNATURE = "signature"
    ORIGIN = "origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a statement says of the device, for records and support; nothing is decided by it.

    Attributes:
        counter: uses of the key so far, 0 where the device does not count.
        backed_up: whether the key is kept by a vendor, too.
        origin: of the page that asked; empty where it cannot be read.
    """

    counter: int
    backed_up: bool
    origin: str


def challenge_of(suite: CryptoSuite, domain: Domain, message: bytes) -> bytes:
    """The 32 bytes that a passkey is asked to sign over."""
    return suite.hash(domain, message)


def transaction_challenge(suite: CryptoSuite, transaction: Transaction) -> bytes:
    """The challenge of a transaction: the hash of its signing message."""
    return challenge_of(suite, domains.TRANSACTION_SIGN, signing_message(transaction.body))


def base64url(data: bytes) -> str:
    """Unpadded base64url (RFC 4648, section 5), of which every byte string has one."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def verify_transaction(
    suite: CryptoSuite, scheme: str, public_key: bytes, transaction: Transaction, settings: WebAuthn
) -> bool:
    """Whether a transaction is signed by that key, whichever kind of key it is."""
    if scheme != SCHEME:
        return verify_transaction_signature(suite, scheme, public_key, transaction)
    return why_not_signed(suite, public_key, transaction, settings) is None


def why_not_signed(
    suite: CryptoSuite, public_key: bytes, transaction: Transaction, settings: WebAuthn
) -> Refusal | None:
    """`why_not` for the signature of a transaction."""
    return why_not(public_key, transaction_challenge(suite, transaction), transaction.signature, settings)


def why_not(public_key: bytes, challenge: bytes, signature: bytes, settings: WebAuthn) -> Refusal | None:
    """What is wrong with an assertion, or None when it holds.

    Args:
        public_key: canonical bytes of the passkey (`ledger.crypto.passkey`).
        challenge: 32 bytes, as from `challenge_of`.
        signature: encoded `PasskeySignature`.
        settings: the network's.

    Returns:
        The first rule that it breaks. `ORIGIN` is looked at last: all else holds then, whatever operators decide about the list.
    """
    try:
        assertion = codec.decode(signature, PasskeySignature, size_bytes_max=SIGNATURE_BYTES_MAX)
    except (DecodeError, LimitExceeded):
        return Refusal.MALFORMED
    try:
        client_data = read_object(assertion.client_data_json)
    except NotStrict:
        return Refusal.CLIENT_DATA
    refusal = _why_not_client(client_data, challenge) or _why_not_device(
        assertion.authenticator_data, settings.rp_id
    )
    if refusal is not None:
        return refusal
    signed = assertion.authenticator_data + passkey.sha256(assertion.client_data_json)
    if not passkey.verify(public_key, signed, assertion.signature):
        return Refusal.SIGNATURE
    return None if client_data["origin"] in settings.origins else Refusal.ORIGIN


def facts(signature: bytes) -> Facts | None:
    """What an encoded assertion says of its device; None if it is none."""
    try:
        assertion = codec.decode(signature, PasskeySignature, size_bytes_max=SIGNATURE_BYTES_MAX)
    except (DecodeError, LimitExceeded):
        return None
    try:
        origin = read_object(assertion.client_data_json).get("origin")
    except NotStrict:
        origin = ""
    data = assertion.authenticator_data
    return Facts(
        counter=int.from_bytes(data[33:37], "big"),
        backed_up=bool(data[32] & Flags.BACKED_UP),
        origin=origin if isinstance(origin, str) else "",
    )


def _why_not_client(client_data: dict[str, Value], challenge: bytes) -> Refusal | None:
    """The browser's part; its origin is only seen to be there."""
    if client_data.get("type") != _TYPE:
        return Refusal.TYPE
    if client_data.get("challenge") != base64url(challenge):
        return Refusal.CHALLENGE
    # Other pages may frame the portal's and have it ask; then `topOrigin` names them.
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        return Refusal.CROSS_ORIGIN
    if "tokenBinding" in client_data or not isinstance(client_data.get("origin"), str):
        return Refusal.CLIENT_DATA
    return None


def _why_not_device(data: bytes, rp_id: str) -> Refusal | None:
    """The authenticator's part. No rp id, no passkeys."""
    if not rp_id or data[:32] != passkey.sha256(rp_id.encode()):
        return Refusal.RP_ID
    flags = data[32]
    backup_contradicts = flags & Flags.BACKED_UP and not flags & Flags.BACKUP_ELIGIBLE
    if flags & _RESERVED or flags & Flags.ATTESTED_KEY or backup_contradicts:
        return Refusal.FLAGS
    if not flags & Flags.USER_PRESENT:
        return Refusal.USER_ABSENT
    if not flags & Flags.USER_VERIFIED:
        return Refusal.USER_UNVERIFIED
    extensions = data[AUTHENTICATOR_DATA_SIZE_BYTES:]
    well_formed = is_text_map(extensions) if flags & Flags.EXTENSIONS else not extensions
    return None if well_formed else Refusal.EXTENSIONS


# --- the settings -------------------------------------------------------------------------------------------


def why_not_settings(settings: WebAuthn) -> str | None:
    """What is wrong with a network's settings, as a code; None for good ones and for none at all.

    Returns:
        "rp_id": it is no domain name. "origins": none, too many or one twice. "origin": one is not written as browsers write
        it, not on the rp id, or not https (http is for localhost alone).
    """
    if settings == WebAuthn():
        return None
    if not is_rp_id(settings.rp_id):
        return "rp_id"
    count = len(settings.origins)
    if not 1 <= count <= ORIGINS_MAX or len(dict.fromkeys(settings.origins)) != count:
        return "origins"
    return None if all(is_origin(origin, settings.rp_id) for origin in settings.origins) else "origin"


def is_rp_id(rp_id: str) -> bool:
    """Whether it is a lower-case domain name of two labels or more, or localhost; never an address."""
    if len(rp_id) > RP_ID_LENGTH_MAX or _DOMAIN.fullmatch(rp_id) is None:
        return False
    return "." in rp_id or rp_id == LOCALHOST


def is_origin(origin: str, rp_id: str) -> bool:
    """Whether a browser can write this origin for a page that may use passkeys of `rp_id`."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return False
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if _DOMAIN.fullmatch(host) is None or not (host == rp_id or host.endswith("." + rp_id)):
        return False
    if port is not None and (int(port) > 65535 or port == _DEFAULT_PORTS[scheme]):
        return False
    return scheme == "https" or rp_id == LOCALHOST
