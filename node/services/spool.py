"""Files that wait for their recipient: marked copies until they are acknowledged, leaks while they are traced.

Rule: encrypted under a key of this node, named by what they belong to, deleted when their time is over. The same release
id gives the same bytes, after a restart too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Unavailable
from node.home import FileUnusable, write_file
from node.vault.blobs import DISK_KEPT_FREE_BYTES

SPOOL_KEY_LABEL: Final = b"spool"


class Spool:
    """A folder of encrypted files. Calls block; run them in a worker thread.

    Args:
        folder: where.
        suite: crypto suite.
        node_secret: a secret of this node; the spool key derives from it.
    """

    def __init__(self, folder: Path, suite: CryptoSuite, node_secret: bytes) -> None:
        self._folder = folder
        self._suite = suite
        self._key = suite.mac(node_secret, domains.SPOOL, SPOOL_KEY_LABEL)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for torn in folder.glob(".*.part"):
            torn.unlink()

    def put(self, name: str, data: bytes) -> None:
        """Keep a file durably.

        Raises:
            Unavailable: the disk has too little room left, or does not take it.
        """
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes - len(data) < DISK_KEPT_FREE_BYTES:
            raise Unavailable(what="spool", reason=f"the disk has only {free_bytes // 1024**2} MiB left")
        try:
            write_file(self._folder / name, self._suite.seal(self._key, data, name.encode()), secret=True)
        except FileUnusable as error:
            raise Unavailable(what="spool", reason=str(error.fields["reason"])) from None

    def get(self, name: str) -> bytes | None:
        """The bytes, or None.

        Raises:
            VerificationFailed: the file was altered. Unavailable: it cannot be read.
        """
        try:
            sealed = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(error) from None
        return self._suite.open(self._key, sealed, name.encode())

    def delete(self, name: str) -> None:
        """Destroy a file; nothing if there is none. Raises Unavailable."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(error) from None

    def written_ms(self, name: str) -> int:
        """When a file was put here, by the disk's clock. Raises Unavailable."""
        try:
            return (self._folder / name).stat().st_mtime_ns // 1_000_000
        except OSError as error:
            raise _unusable(error) from None

    def names(self) -> list[str]:
        """Of every whole file. Raises Unavailable."""
        try:
            return sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise _unusable(error) from None


def _unusable(error: OSError) -> Unavailable:
    return Unavailable(what="spool", reason=error.strerror or str(error))
