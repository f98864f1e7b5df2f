"""What every command shares: the global options, the terminal, the client, and how errors become exit codes.

Rule: with `--json` standard output holds exactly one JSON value (or one a line, for `--watch`), errors
included, and nothing else; without it results go to standard output, progress and errors to standard error.

Exit codes: 0 done; 1 a negative answer (denied on the ledger, not valid, not found); 2 wrong usage or input;
3 a node or resource is not available; 4 not authorized.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ledger.errors import Category, DecodeError, LedgerError, LimitExceeded, VerificationFailed
from ledger.types import Trust
from zhenglian import Client, Denied, KeyFile, Mismatch
from zhenglian.errors import KeyNeeded

EXIT_NEGATIVE: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3
EXIT_UNAUTHORIZED: Final = 4

DEFAULT_NODE: Final = "http://127.0.0.1:8440"
INPUT_SIZE_BYTES_MAX: Final = 32 * 1024 * 1024
_SPAN: Final = re.compile(r"\+(\d{1,6})([dhm])")
_UNIT_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000}

_EXITS: Final = {
    Category.INVALID: EXIT_USAGE,
    Category.TOO_LARGE: EXIT_USAGE,
    Category.CONFLICT: EXIT_NEGATIVE,
    Category.MISSING: EXIT_NEGATIVE,
    Category.GONE: EXIT_NEGATIVE,
    Category.UNAUTHENTICATED: EXIT_UNAUTHORIZED,
    Category.FORBIDDEN: EXIT_UNAUTHORIZED,
    Category.BUSY: EXIT_UNAVAILABLE,
    Category.UNAVAILABLE: EXIT_UNAVAILABLE,
}


class InputUnusable(LedgerError):
    """A file or argument given to a command cannot be used. Fields: what, reason."""

    code = "input_unusable"
    zh = "{what} 不可用：{reason}"
    en = "Cannot use {what}: {reason}"


def exit_code(error: LedgerError) -> int:
    """The exit code that an error stands for."""
    match error:
        case Denied() | VerificationFailed() | Mismatch():
            return EXIT_NEGATIVE
        case _:
            return _EXITS[error.category]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The global options.

    Attributes:
        json: machine-readable output.
        language: "zh" or "en".
        nodes: URLs, tried in turn.
        key_path: the key file, or None.
    """

    json: bool
    language: str
    nodes: tuple[str, ...]
    key_path: Path | None

    def say(self, zh: str, en: str) -> str:
        """The one of the two that the user reads."""
        return zh if self.language == "zh" else en

    def client(self, *, signed: bool = False, trust: Trust | None = None) -> Client:
        """A client for the given nodes. `signed` insists on a key.

        Raises:
            KeyNeeded, KeyFileUnusable: no key, or one that cannot be used.
        """
        key = KeyFile.load(self.key_path) if self.key_path else None
        if signed and key is None:
            raise KeyNeeded
        return Client(self.nodes or (DEFAULT_NODE,), key, language=self.language, trust=trust)

    # --- output ---

    def emit(self, value: object, show: Callable[[Console], None] | str | None = None) -> None:
        """Print a result: as JSON, or as `show` says for people."""
        if self.json:
            sys.stdout.write(msgspec.json.encode(value, order="deterministic").decode() + "\n")
            sys.stdout.flush()
        elif callable(show):
            show(Console(highlight=False, width=None if sys.stdout.isatty() else 160))
        elif show is not None:
            Console(highlight=False, markup=False, soft_wrap=True).print(show)
        else:
            self.record(msgspec.to_builtins(value))

    def record(self, value: Any) -> None:
        """Print one record as two columns."""
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, item in value.items():
            table.add_row(name, Text(plain(item)))
        Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)

    def rows(self, value: object, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Print a list: as JSON, or as a table."""
        if self.json:
            self.emit(value)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)

    def note(self, zh: str, en: str) -> None:
        """A word on the way, for people only."""
        if not self.json:
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(self.say(zh, en))

    def fail(self, error: LedgerError) -> NoReturn:
        """Report an error and leave with its exit code."""
        if self.json:
            problem = {
                "code": error.code,
                "message_zh": error.message("zh"),
                "message_en": error.message("en"),
                "fields": error.fields,
            }
            self.emit({"error": problem})
        else:
            label = self.say("错误", "Error")
            text = f"{label}: {error.message(self.language)} [{error.code}]"
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text)
        raise typer.Exit(exit_code(error))


def plain(value: object) -> str:
    """A value as one cell of text."""
    match value:
        case None:
            return "—"
        case bool():
            return "✓" if value else "✗"
        case list() | tuple():
            return ", ".join(plain(item) for item in value) or "—"
        case dict():
            return "; ".join(f"{name}={plain(item)}" for name, item in value.items()) or "—"
        case _:
            return str(value)


def settings(ctx: typer.Context) -> Settings:
    """The global options of this call."""
    found = ctx.find_root().obj
    if not isinstance(found, Settings):
        return default_settings()
    return found


def default_settings() -> Settings:
    """What holds when the options could not be read at all."""
    return Settings(json=False, language=default_language(), nodes=(), key_path=None)


def asker(language: str) -> Callable[[str, str], str]:
    """Asks the person at the terminal for a secret, which is not shown."""

    def ask(zh: str, en: str) -> str:
        return str(typer.prompt(zh if language == "zh" else en, hide_input=True, err=True))

    return ask


def default_language() -> str:
    """zh for a Chinese environment, else en."""
    named = os.environ.get("ZHENGLIAN_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh" if named.lower().startswith("zh") else "en"


def read_file(path: Path, what: str, *, size_bytes_max: int = INPUT_SIZE_BYTES_MAX) -> bytes:
    """A file that the user names.

    Raises:
        InputUnusable: it cannot be read.
        LimitExceeded: it is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(size_bytes_max + 1)
    except OSError as error:
        raise InputUnusable(what=f"{what} {path}", reason=error.strerror or str(error)) from None
    if len(data) > size_bytes_max:
        raise LimitExceeded(limit=f"{what} bytes", maximum=size_bytes_max, actual=path.stat().st_size)
    return data


def read_json(path: Path, what: str) -> Any:
    """A JSON file that the user names. Raises InputUnusable, LimitExceeded, DecodeError."""
    try:
        return msgspec.json.decode(read_file(path, what))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(what=f"{what} {path}", reason=str(error)) from None


def hex_id(text: str, what: str, *, size_bytes: int = 16) -> str:
    """An id as the user wrote it, checked. Raises DecodeError."""
    cleaned = text.strip().lower()
    try:
        if len(bytes.fromhex(cleaned)) == size_bytes and len(cleaned) == size_bytes * 2:
            return cleaned
    except ValueError:
        pass
    raise DecodeError(what=what, reason=f"{size_bytes * 2} hexadecimal digits are expected")


def write_output(path: Path, data: bytes) -> None:
    """Write a result where the user asked for it. Raises InputUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise InputUnusable(what=str(path), reason=error.strerror or str(error)) from None


def moment_ms(text: str, what: str, *, now_ms: int) -> int:
    """A time as people write it: `2027-01-31`, RFC 3339, or `+30d`, `+12h`, `+15m` from now.

    Raises:
        DecodeError: none of these.
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now_ms + int(span[1]) * _UNIT_MS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DecodeError(what=what, reason="2027-01-31, 2027-01-31T12:00:00Z or +30d is expected") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000
