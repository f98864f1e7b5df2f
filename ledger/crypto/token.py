"""Keys in a PKCS#11 token: Ed25519 account keys that sign there, and an AES key that seals what no token can hold.

Rule: no key made here can leave the token, and none is ever taken in. A wrong PIN is never tried again: tokens lock themselves
after a few. A session that was lost is opened anew, once in each call; a token that stays away is `TokenUnavailable`, and the
next call tries again.

Source: PKCS #11 version 3.1, sections 2.3.13 (CKM_EDDSA) and 2.11.4 (CKM_AES_GCM).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ledger.crypto import ed25519
from ledger.domains import Domain
from ledger.errors import Category, LedgerError, Unavailable, VerificationFailed, invariant

if TYPE_CHECKING:
    import pkcs11

IV_SIZE_BYTES: Final = 12
LABEL_SIZE_MAX: Final = 32
# DER of the object identifier id-Ed25519 (RFC 8410, section 3).
_ED25519_PARAMETERS: Final = bytes.fromhex("06032b6570")
_KEY_ID_SIZE_BYTES: Final = 16
# What a session that was lost, or a token that was pulled out, answers.
_LOST: Final = (
    "SessionHandleInvalid",
    "SessionClosed",
    "ObjectHandleInvalid",
    "KeyHandleInvalid",
    "UserNotLoggedIn",
    "UserAlreadyLoggedIn",
    "DeviceRemoved",
    "DeviceError",
    "TokenNotPresent",
    "TokenNotRecognised",
    "SlotIDInvalid",
    "NoSuchToken",
    "GeneralError",
    "FunctionFailed",
)
_Result = TypeVar("_Result")


class TokenUnavailable(Unavailable):
    """The token cannot be used now. Fields: token, reason_zh, reason_en."""

    code = "token_unavailable"
    zh = "密码设备 {token} 暂不可用：{reason_zh}"
    en = "The token {token} is unavailable: {reason_en}"


class TokenPinRefused(LedgerError):
    """The PIN is wrong or locked; it is not tried again. Fields: token, reason."""

    code = "token_pin_refused"
    category = Category.UNAUTHENTICATED
    zh = "密码设备 {token} 拒绝 PIN（{reason}）；为避免锁死不会重试，请更正 PIN 后重新启动"
    en = "The token {token} refuses the PIN ({reason}); it is not tried again, tokens lock themselves: correct it and start again"


class TokenKeyMissing(LedgerError):
    """The token has no such key, or more than one. Fields: token, key."""

    code = "token_key_missing"
    category = Category.MISSING
    zh = "密码设备 {token} 中没有唯一的密钥 {key}；请检查标签，或改用存有该密钥的设备"
    en = "The token {token} has not exactly one key {key}; check the label, or attach the token that has it"


class TokenKeyExists(LedgerError):
    """The token has a key of that name already. Fields: token, key."""

    code = "token_key_exists"
    category = Category.CONFLICT
    zh = "密码设备 {token} 中已有密钥 {key}；请另选标签，密钥不会被覆盖"
    en = "The token {token} has a key {key} already; choose another label, a key is never overwritten"


class Token:
    """One token of one PKCS#11 module, logged in as its user. Safe to share between threads.

    Args:
        module: the vendor's library.
        label: the token's label.
        pin: the user's PIN.

    Raises:
        TokenUnavailable: the module or token is not there, or python-pkcs11 is not installed.
        TokenPinRefused: the PIN is wrong.
    """

    def __init__(self, module: Path, label: str, pin: str) -> None:
        self.label = label
        self.module = module
        self._pin = pin
        self._lock = Lock()
        self._session: pkcs11.Session | None = None
        self._keys: dict[tuple[Any, str], Any] = {}
        self._refused: TokenPinRefused | None = None
        self._call(lambda session: None)

    def __repr__(self) -> str:
        return f"Token({self.label})"

    def close(self) -> None:
        """Log out. What is called later logs in again."""
        with self._lock:
            self._drop()

    def require_free(self, label: str) -> None:
        """Raises TokenKeyExists when there is a key of that label, of whatever kind."""

        def look(session: pkcs11.Session) -> None:
            from pkcs11 import Attribute

            # To its end: a search that is left open outlives its session.
            if list(session.get_objects({Attribute.LABEL: label})):
                raise TokenKeyExists(token=self.label, key=label)

        self._call(look)

    # --- account keys ---

    def generate_ed25519(self, label: str) -> bytes:
        """Make an account key pair in the token; its public key, 32 bytes.

        Raises:
            TokenKeyExists: there is a key of that label.
        """

        self.require_free(label)

        def make(session: pkcs11.Session) -> bytes:
            from pkcs11 import Attribute, KeyType

            curve = session.create_domain_parameters(
                KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _ED25519_PARAMETERS}, local=True
            )
            public, _private = curve.generate_keypair(
                id=secrets.token_bytes(_KEY_ID_SIZE_BYTES),
                label=label,
                store=True,
                private_template={
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.PRIVATE: True,
                },
            )
            return _point(public[Attribute.EC_POINT])

        return self._call(make)

    def ed25519_public_key(self, label: str) -> bytes:
        """The public half of an account key, 32 bytes. Raises TokenKeyMissing."""

        def read(session: pkcs11.Session) -> bytes:
            from pkcs11 import Attribute, KeyType, ObjectClass

            key = self._key(session, ObjectClass.PUBLIC_KEY, KeyType.EC_EDWARDS, label)
            return _point(key[Attribute.EC_POINT])

        return self._call(read)

    def sign_ed25519(self, label: str, message: bytes) -> bytes:
        """64 bytes R ‖ S over the raw message. Raises TokenKeyMissing."""

        def sign(session: pkcs11.Session) -> bytes:
            from pkcs11 import KeyType, Mechanism, ObjectClass

            key = self._key(session, ObjectClass.PRIVATE_KEY, KeyType.EC_EDWARDS, label)
            return bytes(key.sign(message, mechanism=Mechanism.EDDSA))

        return self._call(sign)

    # --- the key that seals ---

    def generate_sealing_key(self, label: str) -> None:
        """Make an AES-256 key in the token. Raises TokenKeyExists."""

        self.require_free(label)

        def make(session: pkcs11.Session) -> None:
            from pkcs11 import Attribute, KeyType

            session.generate_key(
                KeyType.AES,
                256,
                id=secrets.token_bytes(_KEY_ID_SIZE_BYTES),
                label=label,
                store=True,
                template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True},
            )

        self._call(make)

    def seal(self, label: str, secret: bytes, header: bytes) -> bytes:
        """AES-256-GCM in the token: nonce (12 bytes) ‖ ciphertext ‖ tag. Raises TokenKeyMissing."""
        nonce = secrets.token_bytes(IV_SIZE_BYTES)

        def encrypt(session: pkcs11.Session) -> bytes:
            from pkcs11 import GCMParams, KeyType, Mechanism, ObjectClass

            key = self._key(session, ObjectClass.SECRET_KEY, KeyType.AES, label)
            return bytes(
                key.encrypt(secret, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, header))
            )

        return nonce + self._call(encrypt)

    def unseal(self, label: str, box: bytes, header: bytes) -> bytes:
        """What `seal` has sealed.

        Raises:
            TokenKeyMissing: there is no such key.
            VerificationFailed: it was sealed by another key, or it or its header was changed.
        """
        if len(box) < IV_SIZE_BYTES:
            raise VerificationFailed(reason="sealed data does not open")
        nonce, body = box[:IV_SIZE_BYTES], box[IV_SIZE_BYTES:]

        def decrypt(session: pkcs11.Session) -> bytes | None:
            from pkcs11 import GCMParams, KeyType, Mechanism, ObjectClass
            from pkcs11.exceptions import (
                EncryptedDataInvalid,
                EncryptedDataLenRange,
                FunctionFailed,
                GeneralError,
            )

            key = self._key(session, ObjectClass.SECRET_KEY, KeyType.AES, label)
            try:
                return bytes(
                    key.decrypt(body, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, header))
                )
            except (EncryptedDataInvalid, EncryptedDataLenRange):
                return None
            except (FunctionFailed, GeneralError):
                # SoftHSM has no better word for a wrong tag; a token that is gone does not encrypt either, and says so here.
                key.encrypt(b"", mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, b"probe"))
                return None

        plain = self._call(decrypt)
        if plain is None:
            raise VerificationFailed(reason="sealed data does not open")
        return plain

    # --- sessions ---

    def _call(self, work: Callable[[pkcs11.Session], _Result]) -> _Result:
        """Do it in the session; once more in a new one if that was lost."""
        with self._lock:
            fresh = self._session is None
            try:
                return work(self._session or self._open())
            except TokenKeyMissing:
                # A token that was pulled out may show itself empty; in a session that has just begun it really is.
                if fresh:
                    raise
                self._drop()
            except LedgerError:
                raise
            except Exception as error:  # noqa: BLE001 - a vendor's library may answer with anything
                self._drop()
                if type(error).__name__ not in _LOST:
                    self._explain(error)
            try:
                # The library looks for its tokens anew; what else this process has open in it is opened again by its owner.
                self._library().reinitialize()
                return work(self._open())
            except LedgerError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._drop()
                self._explain(error)

    def _open(self) -> pkcs11.Session:
        if self._refused is not None:
            raise self._refused
        library = self._library()
        token = library.get_token(token_label=self.label)
        # Writable, because keys are made in it too; nothing else is written.
        self._session = token.open(rw=True, user_pin=self._pin)
        return self._session

    def _library(self) -> Any:
        try:
            import pkcs11
        except ImportError:
            raise TokenUnavailable(
                token=self.label,
                reason_zh="未安装 python-pkcs11；请执行 pip install 'zhenglian[hsm]'",
                reason_en="python-pkcs11 is not installed; run pip install 'zhenglian[hsm]'",
            ) from None
        return pkcs11.lib(str(self.module))

    def _drop(self) -> None:
        self._keys.clear()
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception:  # noqa: BLE001 - it is gone either way
                return

    def _explain(self, error: Exception) -> NoReturn:
        kind, said = type(error).__name__, str(error) or type(error).__name__
        if kind.startswith("Pin") or kind == "UserPinNotInitialized":
            self._refused = TokenPinRefused(token=self.label, reason=kind)
            raise self._refused from None
        if kind == "NoSuchToken":
            raise TokenUnavailable(
                token=self.label,
                reason_zh=f"{self.module} 中没有此标签的设备；请连接设备或检查标签",
                reason_en=f"{self.module} shows no token of that label; attach it, or check the label",
            ) from None
        raise TokenUnavailable(token=self.label, reason_zh=said, reason_en=said) from None

    def _key(self, session: pkcs11.Session, kind: Any, key_type: Any, label: str) -> Any:
        from pkcs11.exceptions import MultipleObjectsReturned, NoSuchKey

        wanted = (kind, label)
        if wanted not in self._keys:
            try:
                self._keys[wanted] = session.get_key(object_class=kind, key_type=key_type, label=label)
            except (NoSuchKey, MultipleObjectsReturned):
                raise TokenKeyMissing(token=self.label, key=label) from None
        return self._keys[wanted]


class TokenSigner:
    """An account key in a token; a `ledger.crypto.suite.Signer`.

    Args:
        token: where it is.
        label: its label there.
    """

    __slots__ = ("_label", "_public_key", "_token")

    def __init__(self, token: Token, label: str) -> None:
        self._token = token
        self._label = label
        self._public_key = token.ed25519_public_key(label)

    @property
    def scheme(self) -> str:
        return ed25519.SCHEME

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """64 bytes R ‖ S over `ed25519.tagged(domain, message)`, made in the token.

        Raises:
            TokenUnavailable: the token is away.
        """
        return self._token.sign_ed25519(self._label, ed25519.tagged(domain, message))

    def __repr__(self) -> str:
        return f"TokenSigner({self._token.label}, public_key={self._public_key.hex()})"


def _point(encoded: bytes) -> bytes:
    """The key out of CKA_EC_POINT: a DER octet string by the standard, the bare bytes in some libraries."""
    point = encoded[2:] if len(encoded) == ed25519.PUBLIC_KEY_SIZE_BYTES + 2 else encoded
    invariant(len(point) == ed25519.PUBLIC_KEY_SIZE_BYTES, "an Ed25519 key in a token has 32 bytes")
    return point
