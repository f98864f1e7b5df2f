"""How the SDK tells a program how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A step of long work.

    Attributes:
        stage: "request", "download", "acknowledge"; "upload", "approval", "compare".
        done, total: how much of the stage; equal at its end.
        subject: id of what the work is about.
    """

    stage: str
    done: float
    total: float
    subject: str = ""


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Tells nobody."""
