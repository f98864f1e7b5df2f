"""A person's, officer's or operator's signing key in a file that only its owner can read.

Rule: the secret stays in this object. It is in no representation, message or log line; it is written only
with permissions 0600 and read only from a file that nobody else may read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from contracts.calls import NewKey
from contracts.records import KeyRole
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, Signer, key_id
from ledger.errors import LedgerError
from zhenglian.api import Hex, Hex16
from zhenglian.errors import KeyFileUnusable

KEY_FILE_SIZE_BYTES_MAX: Final = 16 * 1024
_SUITE_OF_SCHEME: Final = {"ed25519": "intl"}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key of one account.

    Attributes:
        account: whose key, 16 bytes hex.
        scheme: signature scheme, "ed25519".
        secret: secret bytes, hex.
        public_key: its public half, hex.
        key_id: derived from scheme and public key, hex.
        role: "admin", "officer", "node" or "holder".
        label: staff number or device, never a person's name.
        network: chain id (hex) that the key is for; when given, nothing is signed for another network.
    """

    account: Hex16
    scheme: str
    secret: Hex
    public_key: Hex
    key_id: Hex16
    role: KeyRole
    label: Annotated[str, Meta(max_length=256)]
    network: str | None = None

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
            account: 16 bytes; a random new account id when None.
            role: what it may do for its account.
            label: staff number or device.
            network: chain id, hex.
        """
        secret, signer = suite.generate_signer()
        return cls(
            account=(os.urandom(16) if account is None else account).hex(),
            scheme=signer.scheme,
            secret=secret.hex(),
            public_key=signer.public_key.hex(),
            key_id=key_id(suite, signer.scheme, signer.public_key).hex(),
            role=role,
            label=label,
            network=network,
        )

    @classmethod
    def load(cls, path: Path) -> KeyFile:
        """Read a key file.

        Raises:
            KeyFileUnusable: missing, readable by others, not a key file, or its parts do not belong together.
        """
        data = _read_private(path)
        try:
            key = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise KeyFileUnusable(path=str(path), reason=str(error)) from None
        try:
            signer = key.signer()
        except LedgerError as error:
            raise KeyFileUnusable(path=str(path), reason=error.message()) from None
        own_id = key_id(key.suite(), key.scheme, signer.public_key).hex()
        if signer.public_key.hex() != key.public_key or own_id != key.key_id:
            raise KeyFileUnusable(
                path=str(path), reason="secret, public key and key id do not belong together"
            )
        return key

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write the file with permissions 0600.

        Raises:
            KeyFileUnusable: it exists and `replace` is false, or it cannot be written.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                path.hardlink_to(temporary)
        except FileExistsError:
            raise KeyFileUnusable(
                path=str(path), reason="it exists already; a key is never overwritten"
            ) from None
        except OSError as error:
            raise KeyFileUnusable(path=str(path), reason=error.strerror or str(error)) from None
        finally:
            temporary.unlink(missing_ok=True)

    def suite(self) -> CryptoSuite:
        """The suite that the key's scheme belongs to. Raises KeyFileUnusable for an unknown scheme."""
        name = _SUITE_OF_SCHEME.get(self.scheme)
        if name is None:
            raise KeyFileUnusable(path=self.key_id, reason=f"unknown signature scheme {self.scheme[:64]}")
        return load_suite(name)

    def signer(self) -> Signer:
        """The signing key itself."""
        return self.suite().load_signer(bytes.fromhex(self.secret))

    def new_key(self, *, valid_until_ms: int = 0) -> NewKey:
        """The public half, as adding a key, enrolling and governance take it; 0 is without end."""
        return NewKey(
            scheme=self.scheme,
            public_key=bytes.fromhex(self.public_key),
            role=self.role,
            label=self.label,
            valid_until_ms=valid_until_ms,
        )


def _read_private(path: Path) -> bytes:
    """The file's bytes, looked at through one descriptor so that what is checked is what is read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & _OTHERS:
                raise KeyFileUnusable(
                    path=str(path),
                    reason=f"others may read or change it (mode {mode & 0o777:o}); run: chmod 600 {path}",
                )
            data = file.read(KEY_FILE_SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileUnusable(path=str(path), reason=error.strerror or str(error)) from None
    if len(data) > KEY_FILE_SIZE_BYTES_MAX:
        raise KeyFileUnusable(path=str(path), reason=f"larger than {KEY_FILE_SIZE_BYTES_MAX} bytes")
    return data
