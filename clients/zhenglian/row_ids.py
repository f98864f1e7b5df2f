"""Ids and salts of a job's rows: the same from every node and after every crash, known to nobody who lacks the key."""

from __future__ import annotations

from ledger import domains
from ledger.crypto.suite import CryptoSuite

ID_SIZE_BYTES = 16


def job_id(suite: CryptoSuite, account: bytes, key: str) -> bytes:
    """Id of the job that an organisation begins under an idempotency key."""
    return suite.hash(domains.DEPOSIT_JOB, account + key.encode())[:ID_SIZE_BYTES]


def certificate_id(suite: CryptoSuite, job: bytes, number: int) -> bytes:
    """Id of the certificate that a row becomes."""
    return suite.hash(domains.DEPOSIT_ROW, job + number.to_bytes(8, "big"))[:ID_SIZE_BYTES]


def salt_seed(suite: CryptoSuite, seed: bytes, number: int) -> bytes:
    """The seed of a row's salts, of the job's 32-byte seed."""
    return suite.mac(seed, domains.DEPOSIT_SALT, number.to_bytes(8, "big"))
