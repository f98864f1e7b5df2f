"""Why a key share is not used.

Rule: a refusal carries a stable code, the same that the contract would deny with where there is one, so that a release
fails with the reason for which its holders refused.
"""

from __future__ import annotations

from ledger.errors import Category, LedgerError


class KeyRefused(LedgerError):
    """The ledger does not allow the key share to be used for this. Fields: reason (a stable code)."""

    code = "key_refused"
    category = Category.FORBIDDEN
    zh = "账本不允许为此使用密钥份额：{reason}"
    en = "The ledger does not allow the use of a key share for this: {reason}"

    @property
    def reason(self) -> str:
        """The stable code."""
        return str(self.fields["reason"])
