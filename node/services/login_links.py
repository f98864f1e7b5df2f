"""Which identity at a provider may sign in to which account here: linked by the person, on this node only.

Rule: an identity is kept as a keyed hash, so that the file alone names nobody, and with the key by which the person linked it: when
that key is revoked, the link opens nothing more. The person undoes its links whenever it wants; nothing of this is on the ledger.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, StorageDamaged

LINKS_PER_ACCOUNT_MAX: Final = 8
_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS links (
    identity BLOB PRIMARY KEY, account BLOB NOT NULL, key_id BLOB NOT NULL, linked_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_of_account ON links (account);
"""


class TooManyLinks(LedgerError):
    """The account has as many links here as it may. Fields: maximum."""

    code = "too_many_links"
    category = Category.CONFLICT
    zh = "账户在本节点最多关联 {maximum} 个登录身份，请先解除关联"
    en = "An account has at most {maximum} linked identities at a node; unlink first"


class LinkedElsewhere(LedgerError):
    """The identity signs in to another account."""

    code = "linked_elsewhere"
    category = Category.CONFLICT
    zh = "该登录身份已关联另一账户，须先由该账户解除"
    en = "That identity is linked to another account, which has to unlink it first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The account, and the key by which it was linked."""

    account: bytes
    key_id: bytes


class LoginLinks:
    """The links of one node.

    Args:
        path: the SQLite file.
        suite: the network's.
        secret: of this node; without it nobody finds an identity in the file.

    Raises:
        StorageDamaged: the file cannot be used.
    """

    def __init__(self, path: Path, suite: CryptoSuite, secret: bytes) -> None:
        self._suite = suite
        self._secret = suite.mac(secret, domains.LINKED_IDENTITY, b"key")
        try:
            self._connection = _open(path)
        except sqlite3.DatabaseError as error:
            raise StorageDamaged(what=path.name, reason=str(error)) from None
        path.chmod(0o600)

    def link(self, issuer: str, subject: str, link: Link, now_ms: int) -> None:
        """Let an identity sign in to an account; doing it again names the latest key.

        Raises:
            LinkedElsewhere, TooManyLinks: it may not.
        """
        identity = self._identity(issuer, subject)
        held = self.find(issuer, subject)
        if held is not None and held.account != link.account:
            raise LinkedElsewhere
        (count,) = self._connection.execute(
            "SELECT count(*) FROM links WHERE account = ?", (link.account,)
        ).fetchone()
        if held is None and count >= LINKS_PER_ACCOUNT_MAX:
            raise TooManyLinks(maximum=LINKS_PER_ACCOUNT_MAX)
        self._connection.execute(
            "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)", (identity, link.account, link.key_id, now_ms)
        )

    def find(self, issuer: str, subject: str) -> Link | None:
        """Where an identity signs in to."""
        row = self._connection.execute(
            "SELECT account, key_id FROM links WHERE identity = ?", (self._identity(issuer, subject),)
        ).fetchone()
        return None if row is None else Link(account=row[0], key_id=row[1])

    def unlink(self, account: bytes) -> int:
        """Undo every link of an account; how many there were."""
        return self._connection.execute("DELETE FROM links WHERE account = ?", (account,)).rowcount

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _identity(self, issuer: str, subject: str) -> bytes:
        named = len(issuer.encode()).to_bytes(4, "big") + issuer.encode() + subject.encode()
        return self._suite.mac(self._secret, domains.LINKED_IDENTITY, named)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, _SCHEMA_VERSION}:
        connection.close()
        raise sqlite3.DatabaseError(f"schema version {version}, expected {_SCHEMA_VERSION}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    return connection
