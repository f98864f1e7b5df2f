"""Which crypto suite the tests run under: the environment variable ZHENGLIAN_SUITE, "intl" where it is not set.

Rule: a test that is about the ledger, and not about one suite's bytes, takes suite, account scheme and keys from here, so that
`make unit SUITE=sm` runs it under the other suite too. Tests of one suite's primitives and vectors name that suite themselves.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Final

from ledger.crypto import libcrypto, sm2
from ledger.crypto.registry import SUITE_DEFAULT, SUITES, load_suite
from ledger.crypto.sm import SmSuite
from ledger.crypto.suite import CryptoSuite, Signer, VoteSigner
from ledger.quorum_list import Sm2VoteSigner

VARIABLE: Final = "ZHENGLIAN_SUITE"
NAME: Final = os.environ.get(VARIABLE) or SUITE_DEFAULT
OTHER: Final = next(name for name in SUITES if name != NAME)
_VECTORS: Final = Path(__file__).parent / "vectors"


class RepeatableKey(sm2.SecretKey):
    """Signs with a nonce that depends on secret and message alone, so that a test's network has the same bytes on every run.

    Ed25519 and BLS signatures have that anyhow. No real key may sign so: the arithmetic here takes uneven time.
    """

    __slots__ = ("_number",)

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self._number = int.from_bytes(secret, "big")

    def sign(self, message: bytes) -> bytes:
        drawn = hashlib.shake_256(self._number.to_bytes(32, "big") + message).digest(48)
        nonce = int.from_bytes(drawn, "big") % (sm2.ORDER - 1) + 1
        found = libcrypto.multiply(nonce.to_bytes(32, "big")).coordinates()
        assert found is not None
        digest = int.from_bytes(self._key.digest(message), "big")
        r = (digest + int.from_bytes(found[:32], "big")) % sm2.ORDER
        s = pow(1 + self._number, -1, sm2.ORDER) * (nonce - r * self._number) % sm2.ORDER
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class RepeatableSm(SmSuite):
    """The suite `sm`, except that keys loaded through it sign repeatably."""

    __slots__ = ()

    def load_signer(self, secret: bytes) -> Signer:
        signer = sm2.Sm2Signer(secret)
        signer._key = RepeatableKey(secret)
        return signer

    def load_vote_signer(self, secret: bytes) -> VoteSigner:
        signer = Sm2VoteSigner(secret)
        signer._key = RepeatableKey(secret)
        return signer


@cache
def _repeatable_sm() -> CryptoSuite:
    return RepeatableSm()


def suite_under_test(name: str = NAME) -> CryptoSuite:
    """The suite that the environment names; its loaded keys sign the same bytes on every run."""
    return _repeatable_sm() if name == "sm" else load_suite(name)


def scheme_under_test() -> str:
    """How an account key names its signature scheme in that suite."""
    return suite_under_test().signature_schemes[0]


def wrap_key_under_test(seed: bytes) -> bytes:
    """A usable public wrap key that depends on 32 bytes alone.

    X25519 takes any 32 bytes for a public key; SM2 needs a point, that of the secret `seed`.
    """
    return seed if NAME == "intl" else suite_under_test().load_signer(seed).public_key


def vector(name: str) -> Path:
    """The golden vector of that name for this suite."""
    return _VECTORS / name if NAME == "intl" else _VECTORS / NAME / name
