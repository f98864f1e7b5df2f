"""Whether the libraries give the verdicts that the network agreed on, asked before a node starts.

Rule: the cases are data, written by `make vectors` and read by every implementation alike; one difference and
the node refuses to start, since sooner or later it would disagree with the others about some transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Final

import msgspec

from ledger.crypto import bls, ed25519, sm2
from ledger.decoders import decode_json
from ledger.errors import Category, LedgerError

ED25519_CASES: Final = "ed25519_edge.json"
BLS_CASES: Final = "bls_edge.json"
SM2_CASES: Final = "sm2_edge.json"


class VerdictDiffers(LedgerError):
    """A library judges a signature otherwise than the network does. Fields: scheme, case."""

    code = "verdict_differs"
    category = Category.UNAVAILABLE
    zh = "密码库对 {scheme} 用例“{case}”的判定与网络规定不符，节点不能启动"
    en = "The library's verdict on the {scheme} case “{case}” differs from the network's; not starting"


class SignatureCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case: hex strings, and whether the signature holds. BLS cases may have several keys, joined."""

    name: str
    public_key: str
    message: str
    signature: str
    valid: bool


def load_cases(data: bytes) -> tuple[SignatureCase, ...]:
    """Read a file of cases."""
    return decode_json(data, tuple[SignatureCase, ...])


def _packaged(name: str) -> tuple[SignatureCase, ...]:
    return load_cases(resources.files("ledger.crypto").joinpath(name).read_bytes())


def _bls_verdict(case: SignatureCase) -> bool:
    joined = bytes.fromhex(case.public_key)
    size = bls.PUBLIC_KEY_SIZE_BYTES
    keys = [joined[at : at + size] for at in range(0, len(joined), size)]
    return bls.fast_aggregate_verify(keys, bytes.fromhex(case.message), bytes.fromhex(case.signature))


def _ed25519_verdict(case: SignatureCase) -> bool:
    key, message, signature = (
        bytes.fromhex(text) for text in (case.public_key, case.message, case.signature)
    )
    return ed25519.verify(key, message, signature)


def _sm2_verdict(case: SignatureCase) -> bool:
    key, message, signature = (
        bytes.fromhex(text) for text in (case.public_key, case.message, case.signature)
    )
    return sm2.verify(key, message, signature)


_CASES: Final[dict[str, tuple[tuple[str, str, Callable[[SignatureCase], bool]], ...]]] = {
    "intl": (("Ed25519", ED25519_CASES, _ed25519_verdict), ("BLS12-381", BLS_CASES, _bls_verdict)),
    "sm": (("SM2", SM2_CASES, _sm2_verdict),),
}


def check_vectors(suite: str) -> int:
    """Run every packaged case of a suite's schemes; takes some 50 ms.

    Args:
        suite: its name, one that `load_suite` has.

    Returns:
        How many cases agreed.

    Raises:
        VerdictDiffers: on the first that does not.
    """
    count = 0
    for scheme, file, verdict in _CASES[suite]:
        for case in _packaged(file):
            if verdict(case) != case.valid:
                raise VerdictDiffers(scheme=scheme, case=case.name)
            count += 1
    return count
