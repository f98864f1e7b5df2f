"""What the state knows of keys that the operators hold together, without behaviour.

Rule: only public halves are in here. A holder's share is in its own share file and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ledger.crypto.threshold.polynomials import HOLDERS_MAX
from ledger.crypto.threshold.shares import HolderKeys
from ledger.types import AccountId, Count, Name, TimeMs, Wire


class KeyPurpose(StrEnum):
    """What a shared key is for: data keys of records, tags of identity numbers, seeds of marks.

    Each has keys of its own, so that no answer for one purpose helps with another.
    """

    VAULT = "vault"
    DIRECTORY = "directory"
    MARKS = "marks"


class SharedKey(Wire):
    """A key in force: t of the holders together can use it.

    Attributes:
        purpose, version: which key; another version is another secret.
        renewal: how often its shares were renewed; shares of different renewals do not combine.
        group: name of the group (`ledger.crypto.threshold.group`).
        holders: accounts; holder i (from 1) is at i − 1.
        keys: threshold, public key and each holder's share key.
        since_ms: block time from which these shares hold.
    """

    purpose: KeyPurpose
    version: Count
    renewal: Count
    group: Name
    holders: Annotated[tuple[AccountId, ...], Meta(min_length=1, max_length=HOLDERS_MAX)]
    keys: HolderKeys
    since_ms: TimeMs
