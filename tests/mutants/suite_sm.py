"""The rules of the suite `sm`: what a signature, a key, a ciphertext and a list of signatures must be."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

SM2: Final = "ledger/crypto/sm2.py"
SM4: Final = "ledger/crypto/sm4.py"
LIST: Final = "ledger/quorum_list.py"
LIBRARY: Final = "ledger/crypto/libcrypto.py"


def rule(name: str, text: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(name, text, file, where, old, new, ("sm",))


SM: Final = (
    rule("sm2-r-range", "r is below n and not 0", SM2, "_verdict", "0 < r < ORDER and", ""),
    rule("sm2-s-range", "s is below n and not 0", SM2, "_verdict", "0 < s < ORDER and", ""),
    rule("sm2-t", "r + s is no multiple of n", SM2, "_verdict", " and t)", ")"),
    rule(
        "sm2-sizes",
        "a signature has 64 bytes, its digest 32",
        SM2,
        "verify_digest",
        "return sizes == (",
        "return sizes <= (",
    ),
    rule(
        "sm2-identity",
        "a signature is bound to the default identity",
        SM2,
        "identity_digest",
        "+ identity + _CURVE",
        "+ _CURVE",
    ),
    rule(
        "sm2-key-form",
        "a key for a secret has one form, the compressed",
        SM2,
        "encrypt",
        " if len(public_key) == PUBLIC_KEY_SIZE_BYTES else None",
        "",
    ),
    rule(
        "sm2-ciphertext-check",
        "a ciphertext opens only unchanged",
        SM2,
        "decrypt",
        " or not hmac.compare_digest(_check(shared, secret), check)",
        "",
    ),
    rule(
        "sm2-zero-mask",
        "a derived key of zeros is not used",
        SM2,
        "_masked",
        "_xor(data, mask) if any(mask) else None",
        "_xor(data, mask)",
    ),
    rule(
        "sm4-key-nonce",
        "each text has an SM4 key of its own",
        SM4,
        "_cipher",
        "nonce[:_KEY_NONCE_SIZE_BYTES])[:_SM4_KEY_SIZE_BYTES]",
        'b"")[:_SM4_KEY_SIZE_BYTES]',
    ),
    rule(
        "list-size",
        "a list has exactly as many signatures as signers",
        LIST,
        "SignatureListQuorumScheme.verify_part",
        " or len(part.signature) != len(indices) * size",
        "",
    ),
    rule(
        "list-order",
        "a list is in order of index",
        LIST,
        "SignatureListQuorumScheme.aggregate",
        "sorted(votes, key=lambda vote: vote.validator)",
        "votes",
    ),
    rule(
        "list-places",
        "a worthless signature does not move the others",
        LIST,
        "SignatureListQuorumScheme.aggregate",
        "vote.signature if len(vote.signature) == sm2.SIGNATURE_SIZE_BYTES else _NEVER_VALID",
        "vote.signature",
    ),
    rule(
        "list-all",
        "every signature of a list holds",
        LIST,
        "SignatureListQuorumScheme.verify_part",
        "return all(",
        "return any(",
    ),
    rule(
        "list-quorum",
        "a list names a quorum",
        LIST,
        "SignatureListQuorumScheme.verify_certificate",
        "if quorum_signers(validators, certificate) is None:",
        "if False:",
    ),
)
