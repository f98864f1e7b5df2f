"""From identity number to account, behind a seam: tags, never plain hashes.

An identity number has so little entropy that a plain hash of it is the number. State therefore maps a keyed tag to the
account. `KeyedDirectory` computes the tag with a key that the network's founders sealed to every operator, so each
operator can compute tags and nobody else can; a threshold oblivious PRF takes this seam's place.
"""

from __future__ import annotations

from typing import Final, Protocol

from ledger import domains
from ledger.crypto.suite import CryptoSuite

TAG_VERSION: Final = 1


class PersonDirectory(Protocol):
    """Computes person-directory tags."""

    async def tag(self, identity_number: str) -> tuple[int, bytes]:
        """(key version, 32-byte tag) of a checked, normalised identity number."""
        ...


class KeyedDirectory:
    """Tags by HMAC under the network's directory key."""

    def __init__(self, suite: CryptoSuite, key: bytes) -> None:
        self._suite = suite
        self._key = key

    async def tag(self, identity_number: str) -> tuple[int, bytes]:
        return TAG_VERSION, self._suite.mac(self._key, domains.PERSON_TAG, identity_number.encode())
