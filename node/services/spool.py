"""Files that wait for their recipient: marked copies until they are acknowledged, leaks while they are traced.

Rule: encrypted under a key of this node, named by what they belong to, deleted when their time is over. The same release
id gives the same bytes, after a restart too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from node.home import write_file

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
        write_file(self._folder / name, self._suite.seal(self._key, data, name.encode()), secret=True)

    def get(self, name: str) -> bytes | None:
        """The bytes, or None. Raises VerificationFailed when the file was altered."""
        try:
            sealed = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return self._suite.open(self._key, sealed, name.encode())

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))
