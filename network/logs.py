"""The little that this package asks of a logger; structlog's has it."""

from __future__ import annotations

from typing import Any, Protocol


class Logger(Protocol):
    """Takes an event's name and its fields."""

    def info(self, event: str, **fields: Any) -> object: ...

    def warning(self, event: str, **fields: Any) -> object: ...

    def error(self, event: str, **fields: Any) -> object: ...
