"""The HTTP API's words about keys that the operators hold together.

Rule: as in `zhenglian.api`. Everything here is public; a share is nowhere in it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from zhenglian.api import Hex, Hex16, Response

KeyPurposeName = Literal["vault", "directory", "marks"]
RoundPhaseName = Literal[
    "dealing", "checking", "answering", "revealing", "confirming", "opening", "concluding", "done"
]


class KeyHolderView(Response, frozen=True):
    """A holder of a share; `number` counts from 1. `share_key` is the public half of its share."""

    number: int
    account: Hex16
    name: str
    share_key: Hex


class SharedKeyView(Response, frozen=True):
    """A key of which `threshold` holders together make use.

    `renewal` counts how often its shares were renewed; the public key stays. `in_use` says whether what is new uses this version.
    """

    purpose: KeyPurposeName
    version: int
    renewal: int
    group: str
    threshold: int
    public_key: Hex
    holders: list[KeyHolderView]
    in_use: bool
    since: datetime


class KeyRoundView(Response, frozen=True):
    """A key that is being made (`renewal` 0) or whose shares are being renewed.

    `waiting_for` names the operators whose turn it is, `excluded` those who are out of this round; `until` is null while the
    phase has no deadline.
    """

    purpose: KeyPurposeName
    version: int
    renewal: int
    attempt: int
    phase: RoundPhaseName
    until: datetime | None
    waiting_for: list[str]
    excluded: list[str]


class SharedKeysView(Response, frozen=True):
    """All of them. `ready` once there is one for every purpose; `missing_here` are those whose share the answering node should
    have and has not."""

    ready: bool
    keys: list[SharedKeyView]
    rounds: list[KeyRoundView]
    missing_here: list[str]
