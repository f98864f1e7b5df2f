"""SM3 (GB/T 32905) and HMAC over it, from the OpenSSL that Python's `hashlib` runs on.

Rule: every hash of a context is over `len(domain) as one byte ‖ domain ‖ data`; contexts are started once and copied, which
saves a third of the time.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ledger.domains import Domain

if TYPE_CHECKING:
    from hashlib import _Hash

DIGEST_SIZE_BYTES: Final = 32
_NAME: Final = "sm3"
_CONTEXTS_MAX: Final = 256


def prefix(domain: Domain) -> bytes:
    """`len(domain) as one byte ‖ domain`."""
    return bytes((len(domain),)) + domain


def start(data: bytes = b"") -> _Hash:
    """A hash that has taken `data`."""
    return hashlib.new(_NAME, data)


@lru_cache(maxsize=_CONTEXTS_MAX)
def _context(domain: Domain) -> _Hash:
    return start(prefix(domain))


def digest(data: bytes) -> bytes:
    """32 bytes."""
    return hashlib.new(_NAME, data).digest()


def tagged(domain: Domain, data: bytes) -> bytes:
    """32 bytes, of the data in that context."""
    context = _context(domain).copy()
    context.update(data)
    return context.digest()


def mac(key: bytes, domain: Domain, data: bytes) -> bytes:
    """32 bytes: HMAC (GB/T 15852.2) of the data in that context."""
    return hmac.digest(key, prefix(domain) + data, _NAME)
