"""The base of every argument struct, apart from `calls.py`, so that calls can have rooms of their own."""

from __future__ import annotations

from ledger.types import Wire


class Args(Wire):
    """Base of every argument struct."""
