"""Whose certificate a row is, where it says so by a number instead of an account.

Rule: organisations are public and found here by their credit code. People are not: who looks one up leaves a ticket on the ledger,
signed by an officer, so a node never does that in his place.
"""

from __future__ import annotations

import time
from typing import Final

from contracts.records import AccountKind
from node.index.ports import Index
from node.services.ports import Records

LOOK_AGAIN_S: Final = 5.0
ORGANIZATIONS_MAX: Final = 100_000
_PAGE: Final = 500


class Organizations:
    """Accounts by credit code, as far as the index has come."""

    def __init__(self, index: Index, records: Records) -> None:
        self._index = index
        self._records = records
        self._accounts: dict[str, bytes] = {}
        self._after: int | None = None
        self._looked_s = float("-inf")

    async def account(self, credit_code: str) -> bytes | None:
        """The enterprise of that code, or None."""
        found = self._accounts.get(credit_code)
        if found is None and time.monotonic() - self._looked_s >= LOOK_AGAIN_S:
            await self._look()
            found = self._accounts.get(credit_code)
        return found

    async def _look(self) -> None:
        while len(self._accounts) < ORGANIZATIONS_MAX:
            page = await self._index.objects("organizations.registered", after=self._after, limit=_PAGE)
            for found in page:
                account = self._records.account(found.object_id)
                if account is not None and account.kind is AccountKind.ENTERPRISE and account.credit_code:
                    self._accounts.setdefault(account.credit_code, account.account_id)
                self._after = found.cursor
            if len(page) < _PAGE:
                break
        self._looked_s = time.monotonic()
