"""What the operator may choose about the HTTP API, and the limits that nobody may.

Rule: every number that bounds the API has its name here or in `zhenglian.api`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ledger.errors import LedgerError

KIB: Final = 1024
SMALL_BODY_BYTES_MAX: Final = 16 * KIB
TRANSACTION_BODY_BYTES_MAX: Final = 128 * KIB
LARGE_BODY_BYTES: Final = 1024 * KIB
OFF_LOOP_DECODE_BYTES: Final = 256 * KIB
BODY_TIMEOUT_S: Final = 120.0
HEAD_TIMEOUT_S: Final = 15.0
HEADER_VALUE_LENGTH_MAX: Final = 1024
IDEMPOTENCY_KEY_LENGTH_MAX: Final = 128


class ConfigInvalid(LedgerError):
    """A setting that cannot be. Fields: name, reason."""

    code = "config_invalid"
    zh = "配置项 {name} 不正确：{reason}"
    en = "Invalid setting {name}: {reason}"


class RateClass(StrEnum):
    """Routes that share a token bucket."""

    READ = "read"
    WRITE = "write"
    LOGIN = "login"
    LOOKUP = "lookup"
    UPLOAD = "upload"
    FIND = "find"


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_s` tokens flow in each second, at most `burst` are kept."""

    per_s: float
    burst: int


def default_rates() -> dict[RateClass, Rate]:
    """Per account with a session, per network address without."""
    return {
        RateClass.READ: Rate(500, 2000),
        RateClass.WRITE: Rate(1000, 4000),
        RateClass.LOGIN: Rate(20, 500),
        RateClass.LOOKUP: Rate(20, 600),
        RateClass.UPLOAD: Rate(20, 200),
        # Every look tries thousands of numbers: nobody enumerates them.
        RateClass.FIND: Rate(0.1, 20),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Settings of the HTTP API.

    Attributes:
        connections_max: open connections; above it, or above half of the descriptors there are, 503.
        requests_max: requests in progress, streams included; above it 503.
        streams_max: open event streams; above it 429.
        large_bodies_max: bodies over 1 MiB being read and worked on at once; above it 429.
        rates: token bucket of each class.
        buckets_max: token buckets remembered.
        challenge_lifetime_ms, session_lifetime_ms: how long each is valid.
        sessions_max, sessions_per_key_max: of a key the oldest ends first.
        idempotency_lifetime_ms, idempotency_answers_max: how long and how many answers are kept.
        heartbeat_s: silence on a stream after which a comment is sent.
        stream_write_timeout_s: a reader that takes longer for one write is disconnected.
    """

    connections_max: int = 4096
    requests_max: int = 2048
    streams_max: int = 256
    large_bodies_max: int = 4
    rates: dict[RateClass, Rate] = field(default_factory=default_rates)
    buckets_max: int = 100_000
    challenge_lifetime_ms: int = 60_000
    session_lifetime_ms: int = 3_600_000
    sessions_max: int = 50_000
    sessions_per_key_max: int = 64
    idempotency_lifetime_ms: int = 24 * 3_600_000
    idempotency_answers_max: int = 100_000
    heartbeat_s: float = 15.0
    stream_write_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, int | float) and value <= 0:
                raise ConfigInvalid(name=name, reason="must be greater than 0")
        for kind in RateClass:
            rate = self.rates.get(kind)
            if rate is None or rate.per_s <= 0 or rate.burst < 1:
                raise ConfigInvalid(name=f"rates.{kind}", reason="needs per_s > 0 and burst >= 1")
