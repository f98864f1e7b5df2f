"""The secrets of a home: where they lie, and how they are read and written, whatever locks them.

    keys/keyring.json    the lock of the others: a passphrase, or a key in a token (`zhenglian.keyring`)
    keys/admin.json      governance votes; has a passphrase of its own, and may be kept on another machine
    keys/node.json       what the node itself signs
    keys/vote.key        consensus votes; vote-next.key is one that waits for the operators' vote
    keys/wrap.key        opens what is sealed to this operator
    keys/tls.pem         peer connections, key and certificate; tls-next.pem is a pair that is being announced

Rule: with a keyring, no secret is written but sealed; the private key of a PEM file is encrypted under a password that the keyring
makes, so that OpenSSL alone ever has it open. A home without a keyring is readable as it lies, and still opens; what is sealed and
what is not may lie together, while a home is being locked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError
from network.tls import TlsIdentity
from node.config import load_config
from node.home import SECRET_FILE_BYTES_MAX, FileUnusable, Home, read_file, write_file
from zhenglian.errors import KeyFileUnusable
from zhenglian.keyring import KEYRING_NAME, Keyring, open_keyring, read_secret_file
from zhenglian.unlocking import Sources, sources

VOTE_KIND: Final = "vote-key"
WRAP_KIND: Final = "wrap-key"
TLS_KIND: Final = "tls-key"
PRIVATE_KEY_READABLE: Final = b"-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the secrets of a home lie.

    Attributes:
        home: whose they are.
        using: where the passphrase comes from when a key is to be opened; the program's own sources when None.
    """

    home: Home
    using: Sources | None = field(default=None, repr=False)

    @property
    def keyring(self) -> Path:
        return self.home.keys / KEYRING_NAME

    @property
    def admin(self) -> Path:
        return self.home.keys / "admin.json"

    @property
    def node(self) -> Path:
        return self.home.keys / "node.json"

    @property
    def vote(self) -> Path:
        return self.home.keys / "vote.key"

    @property
    def wrap(self) -> Path:
        return self.home.keys / "wrap.key"

    @property
    def vote_next(self) -> Path:
        return self.home.keys / "vote-next.key"

    @property
    def tls(self) -> TlsIdentity:
        return TlsIdentity(self.home.keys / "tls.pem", password=self._tls_password)

    @property
    def tls_next(self) -> TlsIdentity:
        return TlsIdentity(self.home.keys / "tls-next.pem", password=self._tls_password)

    @property
    def card_next(self) -> Path:
        return self.home.root / "card-next.json"

    @property
    def module(self) -> Path | None:
        """The PKCS#11 library that the configuration names."""
        with suppress(LedgerError):
            named = load_config(self.home.config).keys.pkcs11_module
            return Path(named) if named else None
        return None

    def open(self) -> Keyring | None:
        """The keyring, open; None for a home that has none.

        Raises:
            KeyFileUnusable: it cannot be used.
            PassphraseNeeded, PassphraseWrong, and others as `zhenglian.keyring.open_keyring`.
        """
        if not self.keyring.exists():
            return None
        return open_keyring(self.keyring, self.using or sources(), module=self.module)

    def _tls_password(self) -> bytes:
        keyring = self.open()
        return keyring.password(TLS_KIND) if keyring is not None else b""


def tls_password(keyring: Keyring | None) -> bytes | None:
    """What a PEM file's private key is encrypted under; None for a home without a keyring."""
    return keyring.password(TLS_KIND) if keyring is not None else None


def read_secret(path: Path, kind: str, open_: Callable[[], Keyring | None]) -> bytes:
    """A secret of the home.

    Args:
        path: its file.
        kind: what it has to be, such as VOTE_KIND.
        open_: opens the keyring, if the file is sealed.

    Raises:
        FileUnusable, SecretExposed: it cannot be read, or others may.
        KeyFileUnusable: it is sealed and does not open, or there is no keyring.
    """
    data = read_file(path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
    if not is_sealed(data):
        return _plain(path, data)
    keyring = open_()
    if keyring is None:
        raise KeyFileUnusable(
            path=str(path), reason=f"it is sealed, and there is no {KEYRING_NAME} beside it"
        )
    return keyring.unseal(data, kind, path)


def write_secret(
    path: Path, kind: str, public: bytes, secret: bytes, keyring: Keyring | None, *, replace: bool = False
) -> None:
    """Write a secret of the home, sealed if it has a keyring. Raises FileUnusable."""
    data = secret.hex().encode() + b"\n" if keyring is None else keyring.seal(kind, public, secret)
    write_file(path, data, secret=True, replace=replace)


def public_vote_key(path: Path, suite: CryptoSuite) -> bytes:
    """The public half of a vote key, without opening it; what a sealed file says is proved when it is opened.

    Raises:
        FileUnusable, SecretExposed, KeyFileUnusable: the file.
    """
    data = read_file(path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
    if is_sealed(data):
        return bytes.fromhex(read_secret_file(data, path).public)
    return suite.load_vote_signer(_plain(path, data)).public_key


def is_sealed(data: bytes) -> bool:
    """Whether a secret's file is a sealed one, rather than the secret itself in hexadecimal."""
    return data.lstrip().startswith(b"{")


def _plain(path: Path, data: bytes) -> bytes:
    try:
        return bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        raise FileUnusable(path=str(path), reason="not hexadecimal") from None
