"""What was promised is read back; what is damaged is skipped, said and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ledger.types import TRANSACTION_SIZE_BYTES_MAX
from node.poollog import DAMAGED_SUFFIX, PoolLog, read_pool_log

SENT = [b"first", b"second" * 50, b"third"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "pool.log"
    log = PoolLog(made)
    for one in SENT:
        log.append(one)
    log.sync()
    log.close()
    return made


def reopened(path: Path) -> tuple[list[bytes], list[str]]:
    with capture_logs() as said:
        log = PoolLog(path)
    log.close()
    return log.recovered(), [str(line["log_level"]) for line in said]


def flip(path: Path, at: int) -> bytes:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_a_damaged_record_in_the_middle_costs_that_one_alone_and_is_kept_and_said(path: Path) -> None:
    damaged = flip(path, path.read_bytes().index(b"second"))
    assert reopened(path) == ([SENT[0], SENT[2]], ["error"])
    copy = path.with_name(path.name + DAMAGED_SUFFIX)
    assert copy.read_bytes() == damaged
    assert reopened(path) == ([SENT[0], SENT[2]], [])
    flip(path, 30)
    reopened(path)
    assert copy.read_bytes() == damaged, "the first evidence stays"


def test_a_damaged_length_does_not_hide_the_records_behind_it(path: Path) -> None:
    flip(path, 5)
    assert reopened(path) == (SENT[1:], ["error"])


def test_a_torn_end_is_dropped_and_said(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert reopened(path) == (SENT[:2], ["warning"])


def test_a_record_within_a_transaction_is_no_record_of_the_log(tmp_path: Path, path: Path) -> None:
    nested = path.read_bytes()
    other = tmp_path / "other.log"
    log = PoolLog(other)
    log.append(nested)
    log.append(b"last")
    log.close()
    assert reopened(other) == ([nested, b"last"], [])


def test_a_record_beyond_its_bound_is_none(tmp_path: Path) -> None:
    path = tmp_path / "pool.log"
    log = PoolLog(path)
    log.append(bytes(TRANSACTION_SIZE_BYTES_MAX))
    log.append(bytes(TRANSACTION_SIZE_BYTES_MAX + 1))
    log.append(b"last")
    log.close()
    assert reopened(path) == ([bytes(TRANSACTION_SIZE_BYTES_MAX), b"last"], ["error"])


@given(st.binary(max_size=400))
def test_any_bytes_are_read_and_every_one_is_accounted_for(data: bytes) -> None:
    found = read_pool_log(data)
    lost = sum(size for _, size in found.damaged) + found.torn_bytes
    assert lost + sum(len(one) + 24 for one in found.transactions) == len(data)
