"""Steps of the demonstration: each printed as it happens, each counted, and an account at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.errors import LedgerError


class StepFailed(Exception):
    """What a step shows is not so. Its message says what was expected and what was seen."""


def expect(condition: object, what: str) -> None:
    """Fail the running step unless `condition` holds."""
    if not condition:
        raise StepFailed(what)


class Steps:
    """Runs and counts steps. The story goes on after a failed step, unless it needs what that step made."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.passed = 0
        self.failed = 0

    @contextmanager
    def step(self, zh: str, en: str) -> Iterator[None]:
        """One step: its title before, its outcome and time after.

        A StepFailed, LedgerError or TimeoutError inside makes it a failed step and is not raised further.
        """
        number = self.passed + self.failed + 1
        self._console.print(f"[bold][{number:2}] {zh}[/bold]\n     {en}", highlight=False)
        started = time.monotonic()
        try:
            yield
        except (StepFailed, LedgerError, TimeoutError) as error:
            self.failed += 1
            self._console.print(f"     [red]✗ {type(error).__name__}: {error}[/red]", highlight=False)
            return
        self.passed += 1
        self._console.print(f"     [green]✓[/green] {time.monotonic() - started:.1f} s", highlight=False)

    def tell(self, text: str) -> None:
        """A line under the running step: something that was seen."""
        self._console.print(f"     {text}", highlight=False, markup=False)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Progress]:
        """A progress bar for long work; without a terminal, its last state only."""
        columns = (
            TextColumn("     {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as bar:
            bar.add_task(title, total=total)
            yield bar

    def summary(self) -> str:
        return f"demo: {self.passed} steps passed, {self.failed} failed"
