"""Which operators tell a person what was recorded in its name (another node than the one that took the consent in).

Rule: a passkey shows nobody what it signs, and the node that serves the page could have swapped a grant. So the word of what is
recorded comes from elsewhere: every transaction has its own order of operators, by hash, and the first `NOTIFIERS` of it notify.
They are two, so that one of them at least is not the node that took it in, however that node's page chose what to sign. A node
that took it in leaves it to the other. Where both are others, the person is told twice, with one notice id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.types import ValidatorSet

NOTIFIERS: Final = 2
TAKEN_IN_MAX: Final = 100_000


def notifiers(suite: CryptoSuite, transaction_id: bytes, validators: ValidatorSet) -> tuple[bytes, ...]:
    """Accounts of the operators who notify about a transaction, first the first; all of them where there are no more.

    Args:
        suite: the network's.
        transaction_id: of the final transaction; it hangs on the person's nonce and on what was signed.
        validators: those of now.
    """
    accounts = [validator.account for validator in validators.validators]
    ranked = sorted(accounts, key=lambda account: suite.hash(domains.NOTIFIER, transaction_id + account))
    return tuple(ranked[:NOTIFIERS])


class Notifier:
    """Whether this node notifies about a transaction.

    Args:
        suite: the network's.
        account: this node's.
        validators: those of now.
    """

    def __init__(self, suite: CryptoSuite, account: bytes, validators: Callable[[], ValidatorSet]) -> None:
        self._suite = suite
        self._account = account
        self._validators = validators
        self._taken_in: OrderedDict[bytes, None] = OrderedDict()

    def took_in(self, transaction_id: bytes) -> None:
        """Remember that a client of this node handed a transaction in; the latest `TAKEN_IN_MAX` are."""
        self._taken_in[transaction_id] = None
        if len(self._taken_in) > TAKEN_IN_MAX:
            self._taken_in.popitem(last=False)

    def is_mine(self, transaction_id: bytes) -> bool:
        """Whether this node tells the person of it."""
        chosen = notifiers(self._suite, transaction_id, self._validators())
        if self._account not in chosen:
            return False
        return len(chosen) == 1 or transaction_id not in self._taken_in
