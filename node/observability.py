"""What an operator sees of a running node: structured logs and metrics.

Rule: neither a log line nor a label ever carries a secret, an identity number or a person's data. Logging
goes through `redact`, which every logger of the process gets from `configure_logging`; metrics have fixed
names and bounded labels.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from node.services.keeper import Walk

REDACTED: Final = "[redacted]"
REDACTION_DEPTH_MAX: Final = 6
TEXT_LENGTH_MAX: Final = 4096

_SECRET_WORDS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "key",
        "keys",
        "passphrase",
        "password",
        "plaintext",
        "private",
        "salt",
        "secret",
        "secrets",
        "seed",
        "token",
        "tokens",
    }
)
_SECRET_NAMES: Final = frozenset({"identity_number", "identity_numbers", "salt_seed"})
_PUBLIC_NAMES: Final = frozenset({"key_id", "key_label", "public_key", "vote_key"})
# Of a citizen: 17 digits and a check character, wherever it stands in a text. Not inside longer hex.
_IDENTITY_NUMBER: Final = re.compile(r"(?<![0-9A-Fa-f])[1-9][0-9]{16}[0-9Xx](?![0-9A-Fa-f])")
# A caller chooses what some lines hold, a path for one: it must not be able to paint the operator's terminal. Line breaks
# stay for tracebacks; elsewhere the renderers quote them.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_BEARER: Final = re.compile(r"(?i)\bbearer\s+[^\s\"']+")

RELEASE_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
REQUEST_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60)
SHARE_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
FSYNC_BUCKETS_S: Final = (0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.2, 1)


def is_secret_name(name: str) -> bool:
    """Whether what is logged under `name` must not be seen."""
    lowered = name.lower().replace("-", "_")
    if lowered in _PUBLIC_NAMES:
        return False
    return lowered in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(lowered.split("_"))


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor for structlog: hide secrets by name and identity numbers by form, show bytes as hex."""
    for name, value in event.items():
        event[name] = REDACTED if is_secret_name(name) else _safe(value, REDACTION_DEPTH_MAX)
    return event


def _safe(value: object, depth: int) -> object:
    match value:
        case bytes():
            return value[: TEXT_LENGTH_MAX // 2].hex()
        case str():
            text = value if len(value) <= TEXT_LENGTH_MAX else value[:TEXT_LENGTH_MAX] + "…"
            text = _BEARER.sub(f"Bearer {REDACTED}", _IDENTITY_NUMBER.sub(REDACTED, text))
            return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        case bool() | float() | None:
            return value
        case int():
            return REDACTED if _IDENTITY_NUMBER.fullmatch(str(value)) else value
        case _ if depth == 0:
            return REDACTED
        case Mapping():
            return {
                str(key): REDACTED if is_secret_name(str(key)) else _safe(item, depth - 1)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_safe(item, depth - 1) for item in value]
        case _:
            return _safe(str(value), depth)


def _is_not_bad_http(record: logging.LogRecord) -> bool:
    """Whether a line of aiohttp's is about more than a stranger's malformed HTTP, which would fill the log with tracebacks."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def configure_logging(*, json: bool, level: str = "info", stream: TextIO | None = None) -> None:
    """Set up logging for the whole process, standard library included.

    Args:
        json: one JSON object a line; else coloured text for a terminal.
        level: "debug", "info", "warning" or "error".
        stream: where to; standard error when None.
    """
    target = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    # Tracebacks are text without local variables, which may hold what must not be logged; redaction comes
    # after them.
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # A filter is added once, however often this is called.
    logging.getLogger("aiohttp.server").addFilter(_is_not_bad_http)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def get_logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines name the component, e.g. "http".

    It is bound at each line only, so that one made at import obeys what `configure_logging` sets up later.
    """
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component, component=component)
    return logger


class Metrics:
    """Every metric of a node, in a registry of its own so that several nodes fit in one process.

    Attributes:
        height, view, epoch: where consensus stands.
        peers_connected, mempool_transactions: gauges.
        blocks_finalized: counter.
        transactions: counter by outcome: accepted, refused, finalized, denied, expired.
        http_requests: counter by route pattern, method and status.
        http_seconds: histogram by route pattern.
        http_streams: open event streams.
        release_seconds: from request to PREPARED or FAILED, by outcome.
        fsync_seconds: duration of each fsync of the journal and the store, by file.
        index_height: how far the audit index is.
        vault: what the keeper's last walk found; blobs_repaired, blobs_destroyed: counters.
        certificate_expires_seconds: time left until a node's X.509 certificate ends, by node: this one and its peers.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.height = Gauge("zhenglian_height", "Height of the finalized head", registry=registry)
        self.release_stops_height = Gauge(
            "zhenglian_release_stops_height",
            "Height at which this release stops because it lacks a version that is set; 0 if none",
            registry=registry,
        )
        self.view = Gauge("zhenglian_view", "Consensus view", registry=registry)
        self.epoch = Gauge("zhenglian_epoch", "Validator-set period", registry=registry)
        self.peers_connected = Gauge("zhenglian_peers_connected", "Peers connected", registry=registry)
        self.mempool_transactions = Gauge(
            "zhenglian_mempool_transactions", "Transactions waiting to be included", registry=registry
        )
        self.blocks_finalized = Counter(
            "zhenglian_blocks_finalized", "Blocks finalized since start", registry=registry
        )
        self.transactions = Counter(
            "zhenglian_transactions", "Transactions by outcome", ("outcome",), registry=registry
        )
        self.http_requests = Counter(
            "zhenglian_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.http_seconds = Histogram(
            "zhenglian_http_seconds",
            "Time to answer",
            ("route",),
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.http_streams = Gauge("zhenglian_http_streams", "Open event streams", registry=registry)
        self.release_seconds = Histogram(
            "zhenglian_release_seconds",
            "Time from request to prepared or failed",
            ("outcome",),
            buckets=RELEASE_BUCKETS_S,
            registry=registry,
        )
        self.fsync_seconds = Histogram(
            "zhenglian_fsync_seconds",
            "Duration of fsync",
            ("file",),
            buckets=FSYNC_BUCKETS_S,
            registry=registry,
        )
        self._measure_the_vault(registry)
        self.index_height = Gauge("zhenglian_index_height", "Height of the audit index", registry=registry)
        self.certificate_expires_seconds = Gauge(
            "zhenglian_peer_certificate_expires_seconds",
            "Time left until a node's X.509 certificate ends",
            ("node",),
            registry=registry,
        )

    def _measure_the_vault(self, registry: CollectorRegistry) -> None:
        """Key shares and kept ciphertext."""
        self.shares_asked = Counter(
            "zhenglian_shares_asked",
            "Asks of peers for this node's key share",
            ("kind", "outcome"),
            registry=registry,
        )
        self.share_seconds = Histogram(
            "zhenglian_share_seconds",
            "Processor time of a step with key shares, for all elements of one ask; ask: how long a peer's ask took",
            ("step",),
            buckets=SHARE_BUCKETS_S,
            registry=registry,
        )
        self.bad_shares = Counter(
            "zhenglian_bad_shares",
            "Key shares that did not hold, by the node that gave them",
            ("node",),
            registry=registry,
        )
        self.vault = Gauge(
            "zhenglian_vault",
            "Of the last walk: records on the ledger, records kept here, blobs that no node had",
            ("what",),
            registry=registry,
        )
        self.blobs_repaired = Counter(
            "zhenglian_blobs_repaired",
            "Blobs that were lost or damaged and are whole again",
            registry=registry,
        )
        self.blobs_destroyed = Counter(
            "zhenglian_blobs_destroyed", "Blobs of erased records and of none", registry=registry
        )

    def walked(self, walk: Walk) -> None:
        """The keeper looked at every record."""
        for what in ("records", "kept", "missing"):
            self.vault.labels(what).set(getattr(walk, what))
        self.blobs_repaired.inc(walk.repaired)
        self.blobs_destroyed.inc(walk.destroyed)

    def share_asked(self, kind: str, outcome: str, seconds: float) -> None:
        """A peer's ask for this node's key share was answered."""
        self.shares_asked.labels(kind, outcome).inc()
        self.share_seconds.labels("ask").observe(seconds)

    def share_step(self, step: str, seconds: float) -> None:
        """A step with key shares was computed."""
        self.share_seconds.labels(step).observe(seconds)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
