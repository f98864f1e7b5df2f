"""How fast and how strict the libraries are that could do SM2: the figures behind ADR 20.

Candidates that are not installed are left out and listed as such: `pip install gmssl-pyx tongsuopy` into an environment of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.crypto import libcrypto, sm2
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.domains import FIELD
from ledger.types import Validator, ValidatorSet, Vote, VoteKind, quorum_size

RESULTS: Final = Path(__file__).parent / "results" / "sm2.json"
SECONDS: Final = 1.0
VALIDATORS: Final = 31
MESSAGE: Final = b"m" * 250


def rate(work: Callable[[], object]) -> int:
    """Runs a second, on this core."""
    work()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        work()
        count += 1
    return round(count / (time.perf_counter() - started))


def ours() -> dict[str, object]:
    """What the project uses."""
    key = sm2.SecretKey(sm2.generate_secret())
    digest, judge = os.urandom(32), sm2._verdict.__wrapped__
    r, s = key._secret.sign(digest)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert judge(key.public_key, digest, signature)
    wrapped = sm2.encrypt(key.public_key, bytes(32))
    secret = sm2.generate_secret()
    return {
        "version": libcrypto.require(),
        "verify_per_s": rate(lambda: judge(key.public_key, digest, signature)),
        "sign_per_s": rate(lambda: key.sign(MESSAGE)),
        "wrap_per_s": rate(lambda: sm2.encrypt(key.public_key, bytes(32))),
        "load_secret_per_s": rate(lambda: sm2.SecretKey(secret)),
        "wrapped_size_bytes": len(wrapped),
    }


def gmssl_pyx() -> dict[str, object]:
    """GmSSL 3, if it is installed."""
    library = importlib.import_module("gmssl_pyx")
    public, secret = library.sm2_key_generate()
    digest = os.urandom(32)
    signature = library.sm2_sign_sm3_digest(secret, digest)
    return {
        "verify_per_s": rate(lambda: library.sm2_verify_sm3_digest(public, digest, signature)),
        "sign_per_s": rate(lambda: library.sm2_sign_sm3_digest(secret, digest)),
        "prints_on_a_wrong_signature": _prints(
            "import gmssl_pyx as g; k, s = g.sm2_key_generate();"
            "g.sm2_verify_sm3_digest(k, bytes(32), g.sm2_sign_sm3_digest(s, b'd' * 32))"
        ),
    }


def tongsuopy() -> dict[str, object]:
    """Tongsuo's Python SDK, if it is installed."""
    curves = importlib.import_module("tongsuopy.crypto.asymciphers.ec")
    hashes = importlib.import_module("tongsuopy.crypto.hashes")
    key, scheme = curves.generate_private_key(curves.SM2()), curves.ECDSA(hashes.SM3())
    public, signature = key.public_key(), key.sign(MESSAGE, scheme)
    return {
        "verify_per_s": rate(lambda: public.verify(signature, MESSAGE, scheme)),
        "sign_per_s": rate(lambda: key.sign(MESSAGE, scheme)),
    }


def _prints(program: str) -> bool:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return bool(done.stdout or done.stderr)


def suite_rates(suite: CryptoSuite) -> dict[str, object]:
    """What a node does all day, under one suite."""
    members, votes, chain = [], [], bytes(32)
    for index in range(VALIDATORS):
        _, signer = suite.generate_vote_signer()
        account = index.to_bytes(16, "big")
        members.append(
            Validator(account=account, name=f"v{index}", vote_key=signer.public_key, possession=b"\1")
        )
        vote = Vote(
            kind=VoteKind.FINALIZE, epoch=1, view=1, digest=b"d" * 32, validator=index, signature=b"\0"
        )
        votes.append(
            Vote(
                kind=vote.kind,
                epoch=1,
                view=1,
                digest=vote.digest,
                validator=index,
                signature=signer.sign_vote(chain, vote),
            )
        )
    validators = ValidatorSet(epoch=1, validators=tuple(members))
    certificate = suite.quorum.aggregate(validators, tuple(votes[: quorum_size(VALIDATORS)]))

    def verify() -> None:
        sm2._verdict.cache_clear()
        assert suite.quorum.verify_certificate(chain, validators, certificate)

    sealed = suite.seal(bytes(32), bytes(1 << 20), b"")
    return {
        "certificate_of_21_verify_ms": round(1000 / rate(verify), 2),
        "certificate_of_21_size_bytes": len(certificate.signature),
        "hash_per_s": rate(lambda: suite.hash(FIELD, MESSAGE)),
        "seal_mib_per_s": rate(lambda: suite.seal(bytes(32), bytes(1 << 20), b"")),
        "open_mib_per_s": rate(lambda: suite.open(bytes(32), sealed, b"")),
    }


def main() -> None:
    """Measure, print and write `bench/results/sm2.json`."""
    candidates: dict[str, object] = {"libcrypto": ours()}
    for candidate in (gmssl_pyx, tongsuopy):
        try:
            candidates[candidate.__name__] = candidate()
        except ImportError:
            candidates[candidate.__name__] = "not installed here"
    report = {
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "candidates": candidates,
        "suites": {name: suite_rates(load_suite(name)) for name in ("intl", "sm")},
    }
    text = json.dumps(report, indent=1)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
