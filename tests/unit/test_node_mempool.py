"""The pool of transactions and the file that keeps what was promised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import codec
from ledger.crypto.suite import key_id
from ledger.errors import Busy
from ledger.hashing import sign_transaction, transaction_id
from ledger.types import Call, Transaction, TransactionBody, WebAuthn
from node.mempool import EXPIRIES_SPARE, Mempool, PoolLimits, SignatureCache
from node.poollog import PoolLog
from tests.suites import suite_under_test

SUITE = suite_under_test()
SECRET, SIGNER = SUITE.generate_signer()


def transaction(number: int, account: bytes = b"a" * 16, valid_until_ms: int = 1_000) -> Transaction:
    body = TransactionBody(
        chain_id=bytes(32),
        account=account,
        key_id=key_id(SUITE, SIGNER.scheme, SIGNER.public_key),
        nonce=number.to_bytes(16, "big"),
        valid_until_ms=valid_until_ms,
        call=Call(contract="deadlines", method="tick", args=b"\x90"),
    )
    return sign_transaction(SUITE, SIGNER, body)


def add(pool: Mempool, item: Transaction) -> bytes:
    name = transaction_id(SUITE, item.body)
    pool.add(name, item)
    return name


def test_the_pool_keeps_the_order_of_arrival_and_takes_each_transaction_once() -> None:
    pool = Mempool(PoolLimits())
    names = [add(pool, transaction(number)) for number in (3, 1, 2, 1)]
    assert [entry.transaction_id for entry in pool] == names[:3]


def test_a_full_pool_says_when_to_try_again() -> None:
    pool = Mempool(PoolLimits(transactions_max=2))
    add(pool, transaction(1))
    add(pool, transaction(2))
    with pytest.raises(Busy) as caught:
        add(pool, transaction(3))
    assert caught.value.fields["retry_after_s"] == 2
    assert len(pool) == 2


def test_bytes_are_bounded_too() -> None:
    size_bytes = len(codec.encode(transaction(1)))
    pool = Mempool(PoolLimits(bytes_max=2 * size_bytes))
    add(pool, transaction(1))
    add(pool, transaction(2))
    with pytest.raises(Busy):
        add(pool, transaction(3))


def test_one_account_cannot_fill_the_pool() -> None:
    pool = Mempool(PoolLimits(per_account_max=1))
    add(pool, transaction(1, b"a" * 16))
    with pytest.raises(Busy):
        add(pool, transaction(2, b"a" * 16))
    add(pool, transaction(2, b"b" * 16))


def test_a_place_becomes_free_when_a_transaction_is_final() -> None:
    pool = Mempool(PoolLimits(transactions_max=1, per_account_max=1))
    name = add(pool, transaction(1))
    pool.remove(name)
    assert name not in pool
    add(pool, transaction(2))


def test_only_a_finalized_block_time_past_the_window_expires_a_transaction() -> None:
    pool = Mempool(PoolLimits())
    add(pool, transaction(1, valid_until_ms=1_000))
    assert pool.remove_expired(1_000) == []
    assert len(pool.remove_expired(1_001)) == 1
    assert len(pool) == 0


def test_the_next_expiry_is_that_of_what_is_here_and_old_ones_take_no_room() -> None:
    pool = Mempool(PoolLimits(per_account_max=10_000))
    assert pool.next_expiry_ms is None
    last = add(pool, transaction(0, valid_until_ms=5_000))
    for number in range(1, 3):
        pool.remove(add(pool, transaction(number, valid_until_ms=number)))
    assert pool.next_expiry_ms == 5_000
    item = transaction(9, valid_until_ms=9_000)
    for _ in range(2 * EXPIRIES_SPARE):
        pool.add(b"9" * 32, item)
        pool.remove(b"9" * 32)
    assert len(pool._expiries) <= EXPIRIES_SPARE + 4
    pool.remove(last)
    assert pool.next_expiry_ms is None


def test_a_signature_is_checked_against_the_body_it_came_with() -> None:
    verify = SignatureCache(SUITE)
    good = transaction(1)
    forged = Transaction(body=transaction(2).body, signature=good.signature)
    for _ in range(2):
        assert verify(SIGNER.scheme, SIGNER.public_key, good, WebAuthn())
        assert not verify(SIGNER.scheme, SIGNER.public_key, forged, WebAuthn())


def reopened(path: Path) -> list[bytes]:
    log = PoolLog(path)
    log.close()
    return log.recovered()


def test_what_was_synced_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    log = PoolLog(path)
    log.append(b"one")
    log.append(b"two")
    log.sync()
    log.close()
    again = PoolLog(path)
    assert again.recovered() == [b"one", b"two"]
    assert again.recovered() == []
    again.rewrite([b"two"])
    again.append(b"three")
    again.close()
    assert reopened(path) == [b"two", b"three"]


@given(cut=st.integers(min_value=1, max_value=11))
def test_a_torn_last_record_is_dropped_and_the_others_stay(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pool") / "pool"
    log = PoolLog(path)
    log.append(b"first")
    log.append(b"abcd")
    log.close()
    os.truncate(path, path.stat().st_size - cut)
    again = PoolLog(path)
    assert again.recovered() == [b"first"]
    again.append(b"next")
    again.close()
    assert reopened(path) == [b"first", b"next"]
