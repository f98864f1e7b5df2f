"""What all views share: times, names of accounts, labels of keys.

Rule: hex is made with `bytes.hex`, times with `instant`, and a name only through `Names`, which answers with
an empty text for people, who have none on the ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.records import Account
from node.services.ports import Records

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999  # 9999-12-31, the last that RFC 3339 can write


def instant(time_ms: int) -> datetime:
    """The time of so many milliseconds since the Unix epoch; beyond the year 9999 its last instant."""
    return _EPOCH + timedelta(milliseconds=min(time_ms, _LAST_MS))


def instant_or_none(time_ms: int) -> datetime | None:
    """`instant`, and None for 0, which records write where a time does not apply."""
    return instant(time_ms) if time_ms else None


def hex_or_none(value: bytes) -> str | None:
    """Hex of an id, None for an empty one."""
    return value.hex() if value else None


class Names:
    """Names of accounts and labels of keys, each account read once. For one request."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[bytes, Account | None] = {}

    def account(self, account_id: bytes) -> str:
        """The public name of an account; empty for a person, or nobody."""
        account = self._read(account_id)
        return account.name if account else ""

    def key(self, account_id: bytes, key_id: bytes) -> str:
        """The label of an account's key (a staff number, a device)."""
        account = self._read(account_id)
        return next((key.label for key in account.keys if key.key_id == key_id), "") if account else ""

    def _read(self, account_id: bytes) -> Account | None:
        if account_id not in self._known:
            self._known[account_id] = self._records.account(account_id)
        return self._known[account_id]
