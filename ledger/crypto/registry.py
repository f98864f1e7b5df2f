"""From the suite's name in genesis to the suite. The only place that knows which suites this release has."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Final

from ledger.crypto.suite import CryptoSuite, SuiteUnavailable, UnknownSuite

SUITES: Final = ("intl", "sm")
SUITE_DEFAULT: Final = "intl"


@cache
def _intl() -> CryptoSuite:
    from ledger.crypto.intl import IntlSuite

    return IntlSuite()


@cache
def _sm() -> CryptoSuite:
    from ledger.crypto.sm import SmSuite

    return SmSuite()


def load_suite(name: str) -> CryptoSuite:
    """The suite of that name.

    Args:
        name: as in `Genesis.suite` and `Trust.suite`: "intl" or "sm".

    Raises:
        UnknownSuite: any other name.
        SuiteUnavailable: "sm", and this computer's libraries do not have SM2 and SM3.
    """
    match name:
        case "intl":
            return _intl()
        case "sm":
            return _sm()
        case _:
            raise UnknownSuite(suite=name[:64])


def available_suites() -> tuple[str, ...]:
    """The suites of this release that this computer's libraries can do."""
    found: list[str] = []
    for name in SUITES:
        with suppress(SuiteUnavailable):
            load_suite(name)
            found.append(name)
    return tuple(found)
