"""Making passkeys: what a browser is asked for, and what is taken from what it gives.

Rule: nothing is stored. A challenge carries its end under a MAC of this process; what comes out of a registration is a public key
in the ledger's form, which becomes somebody's only by `people.enroll` or `people.add_key`. Attestation is not asked for: which
make of device a person has is nobody's business. The ceremony is checked by py_webauthn, and the client data by the same strict
reader as on the ledger. Layout of a challenge, in bytes:

    expires, ms, big-endian 8 ‖ nonce 16 ‖ MAC 32
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from webauthn import generate_registration_options, options_to_json, verify_registration_response
from webauthn.helpers import (
    base64url_to_bytes,
    decode_credential_public_key,
    parse_attestation_object,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.decode_credential_public_key import DecodedEC2PublicKey, DecodedOKPPublicKey
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from contracts import passkeys
from contracts.strict_json import NotStrict, read_object
from ledger import domains
from ledger.crypto import passkey
from ledger.crypto.suite import key_id
from ledger.errors import Category, LedgerError
from ledger.types import WebAuthn
from node.services.ports import Chain
from zhenglian.api_passkeys import CredentialJson

CHALLENGE_LIFETIME_MS: Final = 5 * 60 * 1000
USER_HANDLE_SIZE_BYTES: Final = 16
_BODY_SIZE_BYTES: Final = 8 + 16
_MAC_SIZE_BYTES: Final = 32
_ALGORITHMS: Final = [COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA]
# Under “none” a browser may leave a device's signature by the new key itself, which shows nothing more.
_FORMATS: Final = (AttestationFormat.NONE, AttestationFormat.PACKED)
_P256: Final = 1
_ED25519: Final = 6


class PasskeysNotHere(LedgerError):
    """The network has no relying-party id."""

    code = "passkeys_not_here"
    category = Category.CONFLICT
    zh = "本网络未设置通行密钥域名，须由运营方表决设置"
    en = "This network has no relying-party id for passkeys; operators set it by vote"


class RegistrationRefused(LedgerError):
    """What a browser gave is no new passkey for this network. Fields: reason."""

    code = "registration_refused"
    zh = "新建通行密钥未通过核验（{reason}），请在门户页面重试"
    en = "The new passkey is refused ({reason}); try again on the portal's page"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPasskey:
    """A public key that was just made, and what the device said beside it."""

    public_key: bytes
    key_id: bytes
    credential_id: str
    counter: int
    backed_up: bool


class Passkeys:
    """The ceremonies of one node.

    Args:
        chain: whose finalized state names relying party and origins.
        clock_ms: wall clock.
    """

    def __init__(self, chain: Chain, clock_ms: Callable[[], int]) -> None:
        self._chain = chain
        self._clock_ms = clock_ms
        self._secret = secrets.token_bytes(32)

    def creation_options(
        self, label: str, account: bytes | None, exclude: list[str]
    ) -> tuple[dict[str, Any], int]:
        """What to ask a browser for, and when that ends in ms.

        Args:
            label: what the device will be called.
            account: to which the key will be added; None before there is one.
            exclude: ids of credentials that the device must not have already, base64url.

        Raises:
            PasskeysNotHere: the network has none.
        """
        settings = self._settings()
        expires_ms = self._clock_ms() + CHALLENGE_LIFETIME_MS
        body = expires_ms.to_bytes(8, "big") + secrets.token_bytes(16)
        options = generate_registration_options(
            rp_id=settings.rp_id,
            rp_name=self._chain.genesis.network,
            user_name=label,
            user_display_name=label,
            user_id=account or secrets.token_bytes(USER_HANDLE_SIZE_BYTES),
            challenge=body + self._mac(body),
            timeout=CHALLENGE_LIFETIME_MS,
            attestation=AttestationConveyancePreference.NONE,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in exclude
            ],
            supported_pub_key_algs=_ALGORITHMS,
        )
        return json.loads(options_to_json(options)), expires_ms

    def request_options(self, challenge: bytes, timeout_ms: int) -> dict[str, Any]:
        """What to ask a browser for to log in by any passkey of this network that the device has.

        Args:
            challenge: the 32 bytes to be signed over.
            timeout_ms: how long the person may take.

        Raises:
            PasskeysNotHere: the network has none.
        """
        return {
            "challenge": passkeys.base64url(challenge),
            "rpId": self._settings().rp_id,
            "userVerification": "required",
            "timeout": timeout_ms,
            "allowCredentials": [],
        }

    def register(self, credential: CredentialJson) -> NewPasskey:
        """Check what a browser gave for `creation_options`.

        Raises:
            PasskeysNotHere: the network has none.
            RegistrationRefused: it does not hold.
        """
        settings = self._settings()
        challenge = self._challenge_in(credential)
        verified = _verified(credential, challenge, settings)
        public_key = _public_key(verified.credential_public_key)
        if not passkey.acceptable_key(public_key):
            raise RegistrationRefused(reason="public key")
        return NewPasskey(
            public_key=public_key,
            key_id=key_id(self._chain.suite, passkeys.SCHEME, public_key),
            credential_id=passkeys.base64url(verified.credential_id),
            counter=verified.sign_count,
            backed_up=verified.credential_backed_up,
        )

    def _settings(self) -> WebAuthn:
        settings = self._chain.webauthn
        if not settings.rp_id:
            raise PasskeysNotHere
        return settings

    def _challenge_in(self, credential: CredentialJson) -> bytes:
        """The challenge that the browser names, if it is one of ours and has not ended."""
        try:
            members = read_object(base64url_to_bytes(credential.response.client_data_json))
            named = members.get("challenge")
            challenge = base64url_to_bytes(named) if isinstance(named, str) else b""
        except (NotStrict, ValueError):
            raise RegistrationRefused(reason="client data") from None
        if members.get("crossOrigin", False) is not False or "topOrigin" in members:
            raise RegistrationRefused(reason="cross origin")
        body, mac = challenge[:_BODY_SIZE_BYTES], challenge[_BODY_SIZE_BYTES:]
        genuine = len(body) == _BODY_SIZE_BYTES and hmac.compare_digest(mac, self._mac(body))
        if not genuine or int.from_bytes(body[:8], "big") <= self._clock_ms():
            raise RegistrationRefused(reason="challenge")
        return challenge

    def _mac(self, body: bytes) -> bytes:
        return self._chain.suite.mac(self._secret, domains.SESSION, b"registration\0" + body)[
            :_MAC_SIZE_BYTES
        ]


def _verified(credential: CredentialJson, challenge: bytes, settings: WebAuthn) -> VerifiedRegistration:
    response = credential.response
    try:
        attested = parse_attestation_object(base64url_to_bytes(response.attestation_object))
        if attested.fmt not in _FORMATS:
            raise RegistrationRefused(reason="attestation format")
        return verify_registration_response(
            credential={
                "id": credential.id,
                "rawId": credential.raw_id,
                "type": credential.type,
                "response": {
                    "clientDataJSON": response.client_data_json,
                    "attestationObject": response.attestation_object,
                },
            },
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.origins),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
    except RegistrationRefused:
        raise
    # The library reads hostile CBOR and keys, and what it raises on the way is not all its own; none of it is a fault of ours.
    except Exception as error:  # noqa: BLE001
        raise RegistrationRefused(reason=type(error).__name__) from None


def _public_key(cose: bytes) -> bytes:
    """A COSE key in the ledger's form."""
    decoded = decode_credential_public_key(cose)
    if isinstance(decoded, DecodedEC2PublicKey) and decoded.crv == _P256:
        if len(decoded.x) == len(decoded.y) == 32:
            return b"\x04" + decoded.x + decoded.y
    elif isinstance(decoded, DecodedOKPPublicKey) and decoded.crv == _ED25519:
        return decoded.x
    raise RegistrationRefused(reason="public key")
