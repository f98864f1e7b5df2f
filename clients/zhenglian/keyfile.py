"""A person's, officer's or operator's signing key: in a file that only its owner can read, or in a token that the file names.

    {…public…, "version": 2, "lock": {"method": "passphrase", …}, "sealed": …}   opens with a passphrase
    {…public…, "version": 2, "lock": {"method": "keyring", …}, "sealed": …}      opens with the keyring.json beside it
    {…public…, "version": 2, "lock": {"method": "pkcs11", "uri": …}}             signs in the token
    {…public…, "secret": …}                                                      readable as it is

Rule: the secret stays in this object. It is in no representation, message or log line; it is written only with permissions 0600,
sealed unless the caller says otherwise, and read only from a file that nobody else may read. A seal covers all that the file says.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Final, assert_never

import msgspec
from msgspec import Meta, Struct

from contracts.calls import NewKey
from contracts.people_records import person_account_id
from contracts.records import KeyRole
from ledger.crypto import at_rest, ed25519
from ledger.crypto.at_rest import COST_DEFAULT, SALT_SIZE_BYTES, KdfCost
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, Signer, key_id
from ledger.crypto.token import Token, TokenSigner
from ledger.errors import DecodeError, LedgerError, VerificationFailed
from zhenglian.api import Hex, Hex16
from zhenglian.errors import KeyFileUnusable, NewPassphraseNeeded, PassphraseWrong
from zhenglian.keyring import (
    KEYRING_NAME,
    Keyring,
    KeyringLock,
    PassphraseLock,
    Sealed,
    TokenLock,
    from_json,
    header_of,
    open_keyring,
    to_json,
)
from zhenglian.pkcs11_uri import TokenKey, parse_token_key
from zhenglian.private_files import KEY_FILE_SIZE_BYTES_MAX, read_private, write_private
from zhenglian.unlocking import Passphrase, Sources, sources

__all__ = ["KEY_FILE_SIZE_BYTES_MAX", "KeyFile", "PublicKeyFile", "read_public"]

LOCKED_VERSION: Final = 2
_SUITE_OF_SCHEME: Final = {"ed25519": "intl", "sm2": "sm"}
_BOX: Final = "account-key"


class PublicKeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key file says to anybody.

    Attributes:
        account: whose key, 16 bytes hex.
        scheme: signature scheme, "ed25519" or "sm2".
        public_key: the key's public half, hex.
        key_id: derived from scheme and public key, hex.
        role: "admin", "officer", "node" or "holder".
        label: staff number or device, never a person's name.
        network: chain id (hex) that the key is for; when given, nothing is signed for another network.
    """

    account: Hex16
    scheme: str
    public_key: Hex
    key_id: Hex16
    role: KeyRole
    label: Annotated[str, Meta(max_length=256)]
    network: str | None = None

    def suite(self) -> CryptoSuite:
        """The suite that the key's scheme belongs to. Raises KeyFileUnusable for an unknown scheme."""
        name = _SUITE_OF_SCHEME.get(self.scheme)
        if name is None:
            raise KeyFileUnusable(path=self.key_id, reason=f"unknown signature scheme {self.scheme[:64]}")
        return load_suite(name)

    def new_key(self, *, valid_until_ms: int = 0) -> NewKey:
        """The public half, as adding a key, enrolling and governance take it; 0 is without end."""
        return NewKey(
            scheme=self.scheme,
            public_key=bytes.fromhex(self.public_key),
            role=self.role,
            label=self.label,
            valid_until_ms=valid_until_ms,
        )


class _StoredKey(PublicKeyFile, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key file as it is written. Exactly one of `secret` and `lock`; a lock but that of a token has a box."""

    version: Annotated[int, Meta(ge=1, le=LOCKED_VERSION)] = 1
    secret: Hex | None = None
    lock: PassphraseLock | KeyringLock | TokenLock | None = None
    sealed: Sealed | None = None


class KeyFile(PublicKeyFile, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key of one account, ready to sign.

    Attributes:
        secret: secret bytes, hex; None when the key is in a token.
        uri: the key in its token, `pkcs11:…`; None when it is not in one.
    """

    secret: Hex | None = None
    uri: str | None = None

    def __repr__(self) -> str:
        return f"KeyFile(account={self.account}, key_id={self.key_id}, role={self.role})"

    @classmethod
    def generate(
        cls,
        suite: CryptoSuite,
        *,
        account: bytes | None = None,
        role: KeyRole,
        label: str,
        network: str | None = None,
    ) -> KeyFile:
        """A fresh key.

        Args:
            suite: the network's crypto suite.
            account: 16 bytes; when None that of a new account: a person's commits to the key, any other is random.
            role: what it may do for its account.
            label: staff number or device.
            network: chain id, hex.
        """
        secret, signer = suite.generate_signer()
        named = key_id(suite, signer.scheme, signer.public_key)
        return cls(
            account=_account(suite, account, role, named).hex(),
            scheme=signer.scheme,
            secret=secret.hex(),
            public_key=signer.public_key.hex(),
            key_id=named.hex(),
            role=role,
            label=label,
            network=network,
        )

    @classmethod
    def generate_in_token(
        cls,
        suite: CryptoSuite,
        token: Token,
        key_label: str,
        *,
        account: bytes | None = None,
        role: KeyRole,
        label: str,
        network: str | None = None,
    ) -> KeyFile:
        """A fresh Ed25519 key that never leaves `token`; arguments else as for `generate`.

        Args:
            key_label: the key's label in the token.

        Raises:
            KeyFileUnusable: the suite signs with something that is made in no token.
            TokenKeyExists: the token has a key of that label.
            TokenUnavailable: the token is away, or cannot make such keys.
        """
        _require_ed25519(suite, key_label)
        named = TokenKey(token.label, key_label)
        public_key = token.generate_ed25519(key_label)
        key_name = key_id(suite, ed25519.SCHEME, public_key)
        return cls(
            account=_account(suite, account, role, key_name).hex(),
            scheme=ed25519.SCHEME,
            uri=str(named),
            public_key=public_key.hex(),
            key_id=key_name.hex(),
            role=role,
            label=label,
            network=network,
        )

    @classmethod
    def load(
        cls, path: Path, passphrase: str | Passphrase | None = None, *, using: Sources | None = None
    ) -> KeyFile:
        """Read a key file.

        Args:
            path: the file.
            passphrase: opens it; without one, `using` says where it is.
            using: the sources of passphrases; the program's own when None.

        Raises:
            KeyFileUnusable: missing, readable by others, not a key file, changed, or its parts do not belong together.
            PassphraseNeeded, PassphraseUnusable, PassphraseWrong: it is locked.
            Unavailable: not memory enough for what the passphrase costs.
        """
        stored = _read(path)
        secret = stored.secret or _unlock(stored, path, passphrase, using or sources())
        public = {name: getattr(stored, name) for name in PublicKeyFile.__struct_fields__}
        uri = stored.lock.uri if isinstance(stored.lock, TokenLock) else None
        key = cls(**public, secret=secret, uri=uri)
        if secret is not None:
            key._require_whole(path)
        return key

    def save(
        self,
        path: Path,
        *,
        passphrase: str | Passphrase | None = None,
        keyring: Keyring | None = None,
        unencrypted: bool = False,
        cost: KdfCost = COST_DEFAULT,
        replace: bool = False,
    ) -> None:
        """Write the file with permissions 0600. A key in a token needs none of the locks.

        Args:
            path: the file.
            passphrase: lock it with this.
            keyring: lock it with the keyring that lies in the same folder.
            unencrypted: leave it readable.
            cost: what a guess at the passphrase takes.
            replace: whether a file that exists is replaced, by a rename, and what it held overwritten.

        Raises:
            NewPassphraseNeeded: none of the three is said.
            PassphraseUnusable: the passphrase is too short.
            KeyFileUnusable: it exists and `replace` is false, or it cannot be written.
        """
        public = {name: getattr(self, name) for name in PublicKeyFile.__struct_fields__}
        if self.secret is None:
            stored = _StoredKey(**public, version=LOCKED_VERSION, lock=TokenLock(uri=self.uri or ""))
        elif passphrase is not None:
            lock = PassphraseLock(cost=cost, salt=secrets.token_hex(SALT_SIZE_BYTES))
            stored = _StoredKey(**public, version=LOCKED_VERSION, lock=lock, sealed="")
            key = at_rest.subkey(lock.key(_passphrase(passphrase).require_new()), _BOX)
            box = at_rest.seal(key, bytes.fromhex(self.secret), header_of(stored))
            stored = msgspec.structs.replace(stored, sealed=box.hex())
        elif keyring is not None:
            stored = _StoredKey(
                **public, version=LOCKED_VERSION, lock=KeyringLock(keyring=keyring.id), sealed=""
            )
            sealed = keyring.box(_BOX, bytes.fromhex(self.secret), header_of(stored))
            stored = msgspec.structs.replace(stored, sealed=sealed)
        elif unencrypted:
            stored = _StoredKey(**public, secret=self.secret)
        else:
            raise NewPassphraseNeeded(what=str(path))
        write_private(path, to_json(stored), replace=replace)

    def signer(self, using: Sources | None = None, module: Path | None = None) -> Signer:
        """The signing key itself.

        Args:
            using: how a token is reached; the program's own sources when None.
            module: the PKCS#11 library that a node's configuration names.

        Raises:
            ModuleNeeded, PinNeeded, TokenUnavailable, TokenPinRefused, TokenKeyMissing: the key is in a token.
            KeyFileUnusable: the token has another key under that name.
        """
        if self.secret is not None:
            return self.suite().load_signer(bytes.fromhex(self.secret))
        named = _token_key(self.uri or "", Path(self.key_id))
        signer = TokenSigner((using or sources()).token(named.token, module), named.label)
        if self.scheme != signer.scheme or self.public_key != signer.public_key.hex():
            raise KeyFileUnusable(
                path=str(named), reason="the token has another key of that label than the file names"
            )
        return signer

    def _require_whole(self, path: Path) -> None:
        try:
            signer = self.signer()
        except LedgerError as error:
            raise KeyFileUnusable(path=str(path), reason=error.message()) from None
        own_id = key_id(self.suite(), self.scheme, signer.public_key).hex()
        if signer.public_key.hex() != self.public_key or own_id != self.key_id:
            raise KeyFileUnusable(
                path=str(path), reason="secret, public key and key id do not belong together"
            )


def read_public(path: Path) -> tuple[PublicKeyFile, str]:
    """What a key file says without being opened, and its lock: "passphrase", "keyring", "pkcs11" or "none".

    Raises:
        KeyFileUnusable: missing, readable by others, or not a key file.
    """
    stored = _read(path)
    public = {name: getattr(stored, name) for name in PublicKeyFile.__struct_fields__}
    return PublicKeyFile(**public), _method(stored)


def _method(stored: _StoredKey) -> str:
    match stored.lock:
        case None:
            return "none"
        case PassphraseLock():
            return "passphrase"
        case KeyringLock():
            return "keyring"
        case TokenLock():
            return "pkcs11"
        case _:
            assert_never(stored.lock)


def _read(path: Path) -> _StoredKey:
    stored = from_json(read_private(path), _StoredKey, path)
    sealed_expected = isinstance(stored.lock, PassphraseLock | KeyringLock)
    if (
        (stored.secret is None) == (stored.lock is None)
        or (stored.sealed is not None) != sealed_expected
        or (stored.lock is not None) != (stored.version == LOCKED_VERSION)
    ):
        raise KeyFileUnusable(path=str(path), reason="it holds not exactly one of a secret and a lock")
    if isinstance(stored.lock, TokenLock):
        _token_key(stored.lock.uri, path)
    return stored


def _unlock(
    stored: _StoredKey, path: Path, passphrase: str | Passphrase | None, using: Sources
) -> str | None:
    given = _passphrase(passphrase) if passphrase is not None else None
    sealed = stored.sealed or ""
    header = header_of(msgspec.structs.replace(stored, sealed=""))
    match stored.lock:
        case PassphraseLock():
            key = at_rest.subkey(stored.lock.key(given or using.passphrase(str(path))), _BOX)
            try:
                return at_rest.unseal(key, bytes.fromhex(sealed), header).hex()
            except VerificationFailed:
                raise PassphraseWrong(path=str(path)) from None
        case KeyringLock():
            beside = path.parent / KEYRING_NAME
            if not beside.exists():
                reason = f"it opens with the {KEYRING_NAME} of its node's folder, which is not beside it"
                raise KeyFileUnusable(path=str(path), reason=reason)
            keyring = open_keyring(beside, using, passphrase=given)
            keyring.require_own(stored.lock.keyring, path)
            return keyring.unbox(_BOX, sealed, header, path).hex()
        case TokenLock() | None:
            return None
        case _:
            assert_never(stored.lock)


def _passphrase(given: str | Passphrase) -> Passphrase:
    return given if isinstance(given, Passphrase) else Passphrase(given)


def _token_key(uri: str, path: Path) -> TokenKey:
    try:
        named = parse_token_key(uri)
    except DecodeError as error:
        raise KeyFileUnusable(path=str(path), reason=str(error.fields["reason"])) from None
    if named.kind != "private":
        raise KeyFileUnusable(path=str(path), reason="its PKCS#11 URI names no private key")
    return named


def _account(suite: CryptoSuite, account: bytes | None, role: KeyRole, first_key: bytes) -> bytes:
    """The given account, or the id of a new one."""
    if account is not None:
        return account
    return person_account_id(suite, first_key) if role is KeyRole.HOLDER else os.urandom(16)


def _require_ed25519(suite: CryptoSuite, key_label: str) -> None:
    if suite.signature_schemes != (ed25519.SCHEME,):
        raise KeyFileUnusable(
            path=key_label,
            reason=f"keys of suite {suite.name} are made in no PKCS#11 token; keep this one in a file",
        )
