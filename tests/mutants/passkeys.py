"""The rules of passkeys and of face assertions: each word of a statement that is checked."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

_RULES: Final = "contracts/passkeys.py"
_CURVE: Final = "ledger/crypto/passkey.py"
_FACE: Final = "contracts/face_assertions.py"
_JSON: Final = "contracts/strict_json.py"
_CBOR: Final = "contracts/strict_cbor.py"
_SUITES: Final = ("passkeys",)


def _rule(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(f"passkey-{name}", rule, file, where, old, new, _SUITES)


PASSKEYS: Final = (
    _rule(
        "type",
        "the type is webauthn.get",
        _RULES,
        "_why_not_client",
        'if client_data.get("type") != _TYPE:',
        "if False:",
    ),
    _rule(
        "challenge",
        "the challenge is of what is signed",
        _RULES,
        "_why_not_client",
        'if client_data.get("challenge") != base64url(challenge):',
        "if False:",
    ),
    _rule(
        "cross-origin",
        "no other page frames the portal",
        _RULES,
        "_why_not_client",
        'client_data.get("crossOrigin", False) is not False or ',
        "",
    ),
    _rule(
        "top-origin",
        "no other page is on top",
        _RULES,
        "_why_not_client",
        ' or "topOrigin" in client_data',
        "",
    ),
    _rule(
        "token-binding",
        "no token binding",
        _RULES,
        "_why_not_client",
        '"tokenBinding" in client_data or ',
        "",
    ),
    _rule(
        "rp-id",
        "the device names the relying party",
        _RULES,
        "_why_not_device",
        "if not rp_id or data[:32] != passkey.sha256(rp_id.encode()):",
        "if False:",
    ),
    _rule("reserved", "reserved flags are clear", _RULES, "_why_not_device", "flags & _RESERVED or ", ""),
    _rule(
        "attested",
        "an assertion attests no key",
        _RULES,
        "_why_not_device",
        "flags & Flags.ATTESTED_KEY or ",
        "",
    ),
    _rule("backup", "what is backed up may be", _RULES, "_why_not_device", " or backup_contradicts", ""),
    _rule(
        "present",
        "the person is present",
        _RULES,
        "_why_not_device",
        "if not flags & Flags.USER_PRESENT:",
        "if False:",
    ),
    _rule(
        "verified",
        "the person is verified",
        _RULES,
        "_why_not_device",
        "if not flags & Flags.USER_VERIFIED:",
        "if False:",
    ),
    _rule(
        "extensions",
        "extensions are there when the flag says so",
        _RULES,
        "_why_not_device",
        "is_text_map(extensions) if flags & Flags.EXTENSIONS else not extensions",
        "True",
    ),
    _rule(
        "signature",
        "the device signed",
        _RULES,
        "why_not",
        "if not passkey.verify(public_key, signed, assertion.signature):",
        "if False:",
    ),
    _rule(
        "client-data-signed",
        "the browser's statement is signed",
        _RULES,
        "why_not",
        "assertion.authenticator_data + passkey.sha256(assertion.client_data_json)",
        "assertion.authenticator_data + passkey.sha256(challenge)",
    ),
    _rule(
        "origin",
        "the page is on the list",
        _RULES,
        "why_not",
        'if client_data["origin"] in settings.origins else Refusal.ORIGIN',
        "",
    ),
    _rule(
        "low-s", "s is low", _CURVE, "_canonical", "1 <= numbers[1] <= _HALF", "1 <= numbers[1] < P256_ORDER"
    ),
    _rule(
        "der-minimal",
        "numbers have no leading zeros",
        _CURVE,
        "_numbers",
        "if size > 1 and data[0] == 0 and data[1] < 0x80:",
        "if False:",
    ),
    _rule(
        "der-end",
        "nothing stands behind the numbers",
        _CURVE,
        "_numbers",
        "if at == len(signature) else None",
        "",
    ),
    _rule(
        "point-form",
        "a point is uncompressed",
        _CURVE,
        "_point",
        "if len(public_key) != P256_KEY_SIZE_BYTES or public_key[0] != _UNCOMPRESSED:",
        "if False:",
    ),
    _rule("json-once", "each member once", _JSON, "_Reader._object", "if name in members:", "if False:"),
    _rule(
        "json-end",
        "nothing behind the object",
        _JSON,
        "_Reader.end",
        "if self._at != len(self._text):",
        "if False:",
    ),
    _rule(
        "json-deep",
        "nesting is bounded",
        _JSON,
        "_Reader.value",
        "if depth > DEPTH_MAX or self._values > VALUES_MAX:",
        "if False:",
    ),
    _rule(
        "cbor-order", "keys ascend", _CBOR, "_map", "if before is not None and key <= before:", "if False:"
    ),
    _rule("cbor-end", "nothing behind the map", _CBOR, "is_text_map", "end != len(data) or ", ""),
    _rule(
        "role",
        "passkeys are people's",
        "contracts/keys.py",
        "_check_passkey",
        "if new.role is not KeyRole.HOLDER:",
        "if False:",
    ),
    _rule(
        "key-form",
        "a public key has one form",
        "contracts/keys.py",
        "_check_passkey",
        "if not passkey.acceptable_key(new.public_key):",
        "if False:",
    ),
    _rule(
        "cache-settings",
        "a remembered verdict is of these settings",
        "node/mempool.py",
        "SignatureCache.__call__",
        "settings = webauthn if scheme == SCHEME else None",
        "settings = None",
    ),
    _rule(
        "rp-fixed",
        "the relying party stays",
        "contracts/portals.py",
        "set_webauthn",
        'if present.webauthn.rp_id not in {"", wanted.rp_id}:',
        "if False:",
    ),
    _rule(
        "face-time",
        "a face assertion lives two minutes",
        _FACE,
        "_check_time",
        " and 0 < lasts_s <= LIFETIME_S_MAX",
        "",
    ),
    _rule(
        "face-once",
        "a face assertion is used once",
        _FACE,
        "_use",
        "if any(use.nonce == read.nonce for use in alive):",
        "if False:",
    ),
    _rule(
        "face-bound",
        "a face assertion is for this consent",
        _FACE,
        "consume",
        '("txh", read.bound == bound),',
        "",
    ),
    _rule(
        "face-signed", "the service signed", _FACE, "consume", "if not _signed_by(key, read):", "if False:"
    ),
    _rule(
        "face-service",
        "the service is registered",
        _FACE,
        "_service_key",
        "registered = read.service in identity_services(context.state)",
        "registered = True",
    ),
)
