"""Who may have a data key: nobody alone.

Every part of a sealed record has a data key of its own, encrypted to the key that the operators hold together (TDH2). A
`KeyHeader` says under which version. It is bound to network, record and part, so that it opens nothing elsewhere; to open
it takes the threshold of holders, each of whom looks at its own replica first (`permits.py`).

Rule: a data key is in the clear only where a record is sealed and where the ledger says that it is opened, and only as
long as that takes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.crypto.threshold.encryption import DATA_KEY_SIZE_BYTES, SealedKey, seal_key
from ledger.crypto.threshold.group import Group, Hash
from ledger.types import Count, Id16, Name, Wire
from node.holders.ports import SharedKeys


class PartKind(StrEnum):
    """A field, an attachment, the record's mark secret, from which the layout of marks derives, or the body of a grant."""

    FIELD = "field"
    ATTACHMENT = "attachment"
    MARK = "mark"
    BODY = "body"


class PartName(Wire):
    """Which part of which record."""

    certificate_id: Id16
    kind: PartKind
    name: Name


class KeyHeader(Wire):
    """A data key for the holders of that version of the vault's key."""

    version: Count
    sealed: SealedKey


class AuthorityKind(StrEnum):
    RELEASE = "release"
    TRACE = "trace"
    COUNT = "count"
    BODY = "body"


class Authority(Wire):
    """The finalized ledger record in whose name a key is asked for: id of a release, a trace, a count or the opening of a body."""

    kind: AuthorityKind
    record_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedKey:
    """A data key to be released.

    Attributes:
        part: of which part.
        header: its key header.
        manifest: the record's whole manifest, which the ledger names by its hash and which has that header.
    """

    part: PartName
    header: KeyHeader
    manifest: bytes


class KeySealer(Protocol):
    """Encrypts data keys to the holders."""

    def wrap(self, part: PartName, data_key: bytes) -> KeyHeader:
        """A header from which `data_key` can later be released. Raises Unavailable while the operators have no key yet."""
        ...

    def label(self, part: PartName) -> bytes:
        """What a part's ciphertext and header are bound to."""
        ...


class KeyOpener(Protocol):
    """Has data keys released by the holders."""

    async def open(
        self, authority: Authority, wanted: Sequence[WantedKey], releases: tuple[bytes, ...] = ()
    ) -> Mapping[PartName, bytes]:
        """The data keys.

        Args:
            authority: in whose name.
            wanted: which ones.
            releases: for a trace, the releases that handed these parts out.

        Raises:
            KeyRefused: the ledger does not allow it.
            Unavailable: fewer than the threshold of holders answered.
            VerificationFailed: a header is not one of the record's.
        """
        ...


def part_label(chain_id: bytes, part: PartName) -> bytes:
    """What key header and ciphertext of a part are bound to: network, record and part."""
    return codec.encode((chain_id, part))


def new_data_key() -> bytes:
    """A fresh random data key."""
    return os.urandom(DATA_KEY_SIZE_BYTES)


class VaultSealer:
    """Encrypts data keys to the holders of the vault's key in use.

    Args:
        group, hash_: of the network's suite.
        chain_id: of the network.
        keys: the keys in force.
    """

    def __init__(self, *, group: Group, hash_: Hash, chain_id: bytes, keys: SharedKeys) -> None:
        self._group = group
        self._hash = hash_
        self._chain_id = chain_id
        self._keys = keys

    def wrap(self, part: PartName, data_key: bytes) -> KeyHeader:
        """Implements `KeySealer`."""
        key = self._keys.in_use(KeyPurpose.VAULT)
        sealed = seal_key(
            self._group,
            self._hash,
            key.holders.public_key,
            data_key,
            self.label(part),
            self._group.random_scalar,
        )
        return KeyHeader(version=key.version, sealed=sealed)

    def label(self, part: PartName) -> bytes:
        """Implements `KeySealer`."""
        return part_label(self._chain_id, part)
