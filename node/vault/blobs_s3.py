"""Ciphertext in an S3-compatible object store, by configuration: the same promises as the local folder.

Rule: the store is trusted with nothing: what comes from it is checked against its name, and only ciphertext goes there. Credentials
come from a private file or from the environment, never from `config.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from ledger.crypto.suite import CryptoSuite
from ledger.errors import LimitExceeded, StorageDamaged, Unavailable
from ledger.types import HASH_SIZE_BYTES
from node.home import read_file
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, HEX_DIGITS, Listed
from node.vault.blobs import blob_hash as name_of

if TYPE_CHECKING:
    from obstore.store import S3Config

CREDENTIALS_BYTES_MAX: Final = 4096
CONNECT_TIMEOUT: Final = "5 seconds"
REQUEST_TIMEOUT: Final = "30 seconds"
RETRIES_MAX: Final = 3
LISTED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is.

    Attributes:
        bucket: its name; it exists, and nothing else writes under `prefix`.
        prefix: what the names of this node's objects begin with: nodes that share a bucket have different ones.
        endpoint: URL of the service; empty for AWS.
        region: as the service calls it.
        credentials: a private file with two lines, access key id and secret; None to take AWS_* of the environment.
        allow_http: whether `endpoint` may be without TLS. What goes there is ciphertext, but who reads what is not hidden.
    """

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = "us-east-1"
    credentials: Path | None = None
    allow_http: bool = False


class S3BlobStore:
    """Implements `node.vault.blobs.BlobStore`."""

    def __init__(self, settings: S3Settings, suite: CryptoSuite) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            FileUnusable, SecretExposed: the credentials' file.
            Unavailable: settings that no request could be made with.
        """
        self._suite = suite
        self._bucket = settings.bucket
        options: S3Config = {"bucket": settings.bucket, "region": settings.region}
        if settings.endpoint:
            options["endpoint"] = settings.endpoint
        if settings.credentials is not None:
            options["access_key_id"], options["secret_access_key"] = _credentials(settings.credentials)
        try:
            self._store = S3Store(
                prefix=settings.prefix or None,
                config=options,
                client_options={
                    "allow_http": settings.allow_http,
                    "connect_timeout": CONNECT_TIMEOUT,
                    "timeout": REQUEST_TIMEOUT,
                },
                retry_config={"max_retries": RETRIES_MAX},
            )
        except (BaseError, ValueError) as error:
            raise self._unavailable(error) from None

    def put(self, data: bytes) -> bytes:
        if len(data) > BLOB_SIZE_BYTES_MAX:
            raise LimitExceeded(limit="BLOB_SIZE_BYTES_MAX", maximum=BLOB_SIZE_BYTES_MAX, actual=len(data))
        name = name_of(self._suite, data)
        if not self.has(name):
            try:
                obstore.put(self._store, _path(name), data)
            except (BaseError, OSError) as error:
                raise self._unavailable(error) from None
        return name

    def get(self, blob_hash: bytes) -> bytes | None:
        data = self._get(_path(blob_hash))
        if data is not None and name_of(self._suite, data) != blob_hash:
            raise StorageDamaged(what="blob", reason=f"{blob_hash.hex()} does not hash to its name")
        return data

    def has(self, blob_hash: bytes) -> bool:
        try:
            return self.get(blob_hash) is not None
        except StorageDamaged:
            return False

    def delete(self, blob_hash: bytes) -> bool:
        there = self.has(blob_hash)
        try:
            obstore.delete(self._store, _path(blob_hash))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from None
        return there

    def listing(self) -> Iterator[Listed]:
        """Every blob that is there, in no order that means anything."""
        try:
            for page in obstore.list(self._store, chunk_size=LISTED_AT_ONCE):
                for entry in page:
                    text = entry["path"].replace("/", "")
                    # Whatever else lies in the bucket is nobody's business here.
                    if len(text) == 2 * HASH_SIZE_BYTES and set(text) <= HEX_DIGITS:
                        written_ms = int(entry["last_modified"].timestamp() * 1000)
                        yield Listed(name=bytes.fromhex(text), written_ms=written_ms)
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from None

    def _get(self, path: str) -> bytes | None:
        try:
            found = obstore.get(self._store, path)
            if found.meta["size"] > BLOB_SIZE_BYTES_MAX:
                raise StorageDamaged(what="blob", reason=f"{path} is larger than any blob")
            return bytes(found.bytes())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> Unavailable:
        lines = str(error).splitlines() or [type(error).__name__]
        return Unavailable(what=f"object store (bucket {self._bucket})", reason=lines[0][:300])


def _path(name: bytes) -> str:
    text = name.hex()
    return f"{text[:2]}/{text[2:]}"


def _credentials(path: Path) -> tuple[str, str]:
    lines = (
        read_file(path, size_bytes_max=CREDENTIALS_BYTES_MAX, secret=True).decode(errors="replace").split()
    )
    if len(lines) != 2:
        raise Unavailable(
            what=f"credentials {path.name}", reason="two lines are expected: access key id, secret access key"
        )
    return lines[0], lines[1]
