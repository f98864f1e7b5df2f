"""A key that a call asks to add: apart from `calls.py`, so that calls of every room can bring one.

Rule: the public half only; whose key it becomes and in which role is for the contract to decide.
"""

from __future__ import annotations

from contracts.records import KeyRole
from ledger.types import Name, PublicKey, Text, TimeMs, Wire


class NewKey(Wire):
    """A key to be added.

    Its id is derived (`ledger.crypto.suite.key_id`). `valid_until_ms` 0 means without end.
    """

    scheme: Name
    public_key: PublicKey
    role: KeyRole
    label: Text
    valid_until_ms: TimeMs
