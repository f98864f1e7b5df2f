"""The keys of one folder under one lock: a random master key, locked by a passphrase or by a key in a token, seals the others.

    keyring.json   {"format": "zhenglian-keyring", "version": 1, "id", "lock", "cipher", "sealed"}
    *.key          {"format": "zhenglian-secret", "version": 1, "kind", "public", "keyring", "cipher", "sealed"}

Rule: a passphrase is stretched once, however many files there are, and changing it changes `keyring.json` alone, by one rename.
Each kind of secret has a key of its own out of the master key, and each box is bound to all that its file says beside it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar, assert_never

import msgspec
from msgspec import Meta, Struct

from ledger.crypto import at_rest
from ledger.crypto.at_rest import COST_DEFAULT, SALT_SIZE_BYTES, KdfCost
from ledger.crypto.token import Token
from ledger.decoders import decode_json
from ledger.errors import DecodeError, VerificationFailed
from zhenglian.api import Hex, Hex16
from zhenglian.errors import KeyFileUnusable, PassphraseWrong
from zhenglian.pkcs11_uri import URI_SIZE_MAX, TokenKey, parse_token_key
from zhenglian.private_files import read_private
from zhenglian.unlocking import Passphrase, Sources

KEYRING_NAME: Final = "keyring.json"
CIPHER: Final = "xchacha20-poly1305"
CIPHER_IN_TOKEN: Final = "aes-256-gcm"  # noqa: S105 - a name
_FORMAT_VERSION: Final = 1
_ID_SIZE_BYTES: Final = 16
_SEALED_SIZE_MAX: Final = 8 * 1024

FormatVersion = Annotated[int, Meta(ge=_FORMAT_VERSION, le=_FORMAT_VERSION)]
Sealed = Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*$", max_length=_SEALED_SIZE_MAX)]
_File = TypeVar("_File", bound=Struct)


class PassphraseLock(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="method", tag="passphrase"
):
    """Opens with a passphrase."""

    kdf: Literal["argon2id"] = "argon2id"
    cost: KdfCost
    salt: Hex16

    def key(self, passphrase: Passphrase) -> bytes:
        """The key that the passphrase gives. Raises Unavailable when there is not memory enough."""
        return at_rest.derive_key(passphrase.reveal(), bytes.fromhex(self.salt), self.cost)


class TokenLock(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="method", tag="pkcs11"
):
    """Opens in a token; for an account key, is in it."""

    uri: Annotated[str, Meta(max_length=URI_SIZE_MAX)]


class KeyringLock(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="method", tag="keyring"
):
    """Opens with the keyring that lies beside the file."""

    keyring: Hex16


class KeyringFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`keyring.json`."""

    format: Literal["zhenglian-keyring"] = "zhenglian-keyring"
    version: FormatVersion = _FORMAT_VERSION
    id: Hex16
    lock: PassphraseLock | TokenLock
    cipher: Literal["xchacha20-poly1305", "aes-256-gcm"]
    sealed: Sealed


class SecretFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret that a keyring opens, and its public half."""

    format: Literal["zhenglian-secret"] = "zhenglian-secret"
    version: FormatVersion = _FORMAT_VERSION
    kind: Annotated[str, Meta(max_length=32)]
    public: Hex
    keyring: Hex16
    cipher: Literal["xchacha20-poly1305"] = CIPHER
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class ByPassphrase:
    """Lock with a passphrase; `cost` is what a guess takes."""

    passphrase: Passphrase
    cost: KdfCost = COST_DEFAULT


@dataclass(frozen=True, slots=True)
class ByToken:
    """Lock with the AES key of that label in a token."""

    token: Token
    label: str


class Keyring:
    """An open keyring."""

    __slots__ = ("_master", "id")

    def __init__(self, keyring_id: str, master: bytes) -> None:
        self.id = keyring_id
        self._master = master

    def __repr__(self) -> str:
        return f"Keyring({self.id})"

    @classmethod
    def create(cls) -> Keyring:
        """A new one."""
        return cls(secrets.token_hex(_ID_SIZE_BYTES), at_rest.new_key())

    def locked(self, how: ByPassphrase | ByToken) -> bytes:
        """`keyring.json` under that lock.

        Raises:
            Unavailable: not memory enough for the passphrase's cost.
            TokenUnavailable, TokenKeyMissing: the token.
        """
        match how:
            case ByPassphrase():
                lock = PassphraseLock(cost=how.cost, salt=secrets.token_hex(SALT_SIZE_BYTES))
                file = KeyringFile(id=self.id, lock=lock, cipher=CIPHER, sealed="")
                box = at_rest.seal(lock.key(how.passphrase), self._master, header_of(file))
            case ByToken():
                uri = str(TokenKey(how.token.label, how.label, "secret-key"))
                file = KeyringFile(id=self.id, lock=TokenLock(uri=uri), cipher=CIPHER_IN_TOKEN, sealed="")
                box = how.token.seal(how.label, self._master, header_of(file))
            case _:
                assert_never(how)
        return to_json(msgspec.structs.replace(file, sealed=box.hex()))

    def seal(self, kind: str, public: bytes, secret: bytes) -> bytes:
        """A secret's file.

        Args:
            kind: what it is, such as "vote-key".
            public: its public half, readable in the file.
            secret: at most 1,024 bytes.
        """
        file = SecretFile(kind=kind, public=public.hex(), keyring=self.id, sealed="")
        return to_json(msgspec.structs.replace(file, sealed=self.box(kind, secret, header_of(file))))

    def unseal(self, data: bytes, kind: str, path: Path) -> bytes:
        """The secret in `seal`'s file; the public half that the file says is then the one that it was sealed with.

        Raises:
            KeyFileUnusable: not such a file, of another keyring or kind, or changed.
        """
        file = read_secret_file(data, path)
        if file.kind != kind:
            raise KeyFileUnusable(path=str(path), reason=f"it holds a {file.kind}, not a {kind}")
        self.require_own(file.keyring, path)
        return self.unbox(kind, file.sealed, header_of(msgspec.structs.replace(file, sealed="")), path)

    def box(self, kind: str, secret: bytes, header: bytes) -> str:
        """A box in hex, bound to `header`, under the key for `kind`."""
        return at_rest.seal(at_rest.subkey(self._master, kind), secret, header).hex()

    def unbox(self, kind: str, sealed: str, header: bytes, path: Path) -> bytes:
        """What is in the box. Raises KeyFileUnusable when it or its header was changed."""
        try:
            return at_rest.unseal(at_rest.subkey(self._master, kind), bytes.fromhex(sealed), header)
        except VerificationFailed:
            raise KeyFileUnusable(path=str(path), reason="it was changed: its seal does not hold") from None

    def password(self, kind: str) -> bytes:
        """A password for a format that has its own encryption: 64 hexadecimal digits that nobody can guess."""
        return at_rest.subkey(self._master, kind).hex().encode()

    def require_own(self, keyring: str, path: Path) -> None:
        """Refuse what another keyring sealed. Raises KeyFileUnusable."""
        if keyring != self.id:
            raise KeyFileUnusable(path=str(path), reason=f"it belongs to keyring {keyring}, not to {self.id}")


def open_keyring(
    path: Path, sources: Sources, *, passphrase: Passphrase | None = None, module: Path | None = None
) -> Keyring:
    """Open `keyring.json`, or take it from what these sources have opened before.

    Args:
        path: the file.
        sources: for passphrase or PIN.
        passphrase: instead of what the sources say.
        module: the PKCS#11 library that the node's configuration names.

    Raises:
        KeyFileUnusable: missing, open to others, or no keyring.
        PassphraseNeeded, PassphraseUnusable, PassphraseWrong: the passphrase.
        ModuleNeeded, PinNeeded, TokenUnavailable, TokenPinRefused, TokenKeyMissing: the token.
    """
    file = read_keyring_file(read_private(path), path)
    remembered = sources.keyrings.get((str(path.absolute()), file.id))
    if remembered is not None and passphrase is None:
        return remembered
    header = header_of(msgspec.structs.replace(file, sealed=""))
    try:
        match file.lock:
            case PassphraseLock():
                key = file.lock.key(passphrase or sources.passphrase(str(path)))
                master = at_rest.unseal(key, bytes.fromhex(file.sealed), header)
            case TokenLock():
                named = _sealing_key(file.lock, path)
                token = sources.token(named.token, module)
                master = token.unseal(named.label, bytes.fromhex(file.sealed), header)
            case _:
                assert_never(file.lock)
    except VerificationFailed:
        if isinstance(file.lock, TokenLock):
            raise KeyFileUnusable(path=str(path), reason="the token's key does not open it") from None
        raise PassphraseWrong(path=str(path)) from None
    if len(master) != at_rest.KEY_SIZE_BYTES:
        raise KeyFileUnusable(path=str(path), reason="what it holds is no master key")
    opened = Keyring(file.id, master)
    sources.keyrings[str(path.absolute()), file.id] = opened
    return opened


def read_keyring_file(data: bytes, path: Path) -> KeyringFile:
    """Read `keyring.json` without opening it. Raises KeyFileUnusable."""
    file = from_json(data, KeyringFile, path)
    if (file.cipher == CIPHER_IN_TOKEN) != isinstance(file.lock, TokenLock):
        raise KeyFileUnusable(path=str(path), reason=f"{file.cipher} does not go with this lock")
    return file


def read_secret_file(data: bytes, path: Path) -> SecretFile:
    """Read a secret's file without opening it. Raises KeyFileUnusable."""
    return from_json(data, SecretFile, path)


def header_of(file: Struct) -> bytes:
    """What a box is bound to: its file with an empty box."""
    return msgspec.json.encode(file, order="deterministic")


def to_json(file: Struct) -> bytes:
    """A file for people to look at."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def from_json(data: bytes, kind: type[_File], path: Path) -> _File:
    """Read a file strictly. Raises KeyFileUnusable."""
    try:
        return decode_json(data, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise KeyFileUnusable(path=str(path), reason=str(error)) from None


def _sealing_key(lock: TokenLock, path: Path) -> TokenKey:
    try:
        named = parse_token_key(lock.uri)
    except DecodeError as error:
        raise KeyFileUnusable(path=str(path), reason=str(error.fields["reason"])) from None
    if named.kind != "secret-key":
        raise KeyFileUnusable(path=str(path), reason="its PKCS#11 URI names no secret-key")
    return named
