"""From identity number to account, behind a seam: tags, never plain hashes.

An identity number has so little entropy that a plain hash of it is the number. State therefore maps a keyed tag to the
account. `KeyedDirectory` computes the tag with a key that the network's founders sealed to every operator, and operators seal
to whoever joins them, so each operator can compute tags and nobody else can; a threshold oblivious PRF takes this seam's
place.
"""

from __future__ import annotations

from typing import Final, Protocol

from contracts import membership
from contracts.state import StateReader
from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Unavailable

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


class SealedDirectory:
    """Tags under the directory key that the ledger holds for this node, sealed to its wrap key.

    Looked up when it is needed, since a node may follow the chain before its operator is a member of the network.

    Args:
        suite: crypto suite of the network.
        state: the finalized state of this node's replica.
        account: this node's account.
        wrap_secret: secret of its wrap key.
    """

    def __init__(self, *, suite: CryptoSuite, state: StateReader, account: bytes, wrap_secret: bytes) -> None:
        self._suite = suite
        self._state = state
        self._account = account
        self._wrap_secret = wrap_secret

    async def tag(self, identity_number: str) -> tuple[int, bytes]:
        """Raises Unavailable on a node that was not given the key, VerificationFailed where it was sealed to another."""
        record = membership.node(self._state, self._account)
        if record is None or not record.directory_wrap:
            raise Unavailable(
                what="person directory", reason="this node was not given the network's directory key"
            )
        key = self._suite.unwrap(self._wrap_secret, record.directory_wrap)
        return await KeyedDirectory(self._suite, key).tag(identity_number)
