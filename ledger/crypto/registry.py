"""From the suite's name in genesis to the suite. The only place that knows which suites this release has."""

from __future__ import annotations

from functools import lru_cache

from ledger.crypto import intl
from ledger.crypto.suite import CryptoSuite, UnknownSuite


@lru_cache(maxsize=1)
def _intl() -> CryptoSuite:
    return intl.IntlSuite()


def load_suite(name: str) -> CryptoSuite:
    """The suite of that name.

    Args:
        name: as in `Genesis.suite` and `Trust.suite`; "intl" is known.

    Raises:
        UnknownSuite: any other name.
    """
    if name != intl.NAME:
        raise UnknownSuite(suite=name[:64])
    return _intl()
