"""Having data keys released by the holders: what is asked, and what is made of their shares.

Rule: an ask shows each record's whole manifest, which the ledger names by its hash, so that a holder believes nothing but its
own replica. The context of every share's proof names network, record, key and the hash of every header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Protocol

from msgspec import Meta

from contracts.shared_key_records import KeyPurpose
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.encryption import open_sealed
from ledger.types import Count, ReleaseId, Wire
from node.holders.ports import (
    ASK_PAYLOAD_BYTES_MAX,
    BASES_PER_ASK_MAX,
    Permitted,
    ShareAsk,
    ShareCollector,
)
from node.vault.keys import Authority, KeyHeader, PartName, WantedKey

RECORDS_PER_ASK_MAX: Final = 32
RELEASES_PER_ASK_MAX: Final = 64
# What an ask has beside manifests: names of parts, releases, and the envelope.
_NAMES_BYTES: Final = 24 * 1024


class OpenParts(Wire):
    """Payload of a `ShareAsk` for data keys.

    Attributes:
        height: where the asker sees the authority's record final.
        manifests: of the records, as the ledger names them.
        parts: which parts of them.
        releases: for a trace, the releases that handed these parts out.
    """

    height: Count
    manifests: Annotated[
        tuple[Annotated[bytes, Meta(max_length=ASK_PAYLOAD_BYTES_MAX)], ...],
        Meta(min_length=1, max_length=RECORDS_PER_ASK_MAX),
    ]
    parts: Annotated[tuple[PartName, ...], Meta(min_length=1, max_length=BASES_PER_ASK_MAX)]
    releases: Annotated[tuple[ReleaseId, ...], Meta(max_length=RELEASES_PER_ASK_MAX)] = ()


def decode_open_parts(payload: bytes) -> OpenParts:
    """An ask's payload. Raises DecodeError, LimitExceeded."""
    return codec.decode(payload, OpenParts, size_bytes_max=ASK_PAYLOAD_BYTES_MAX, what="parts to open")


def context_of(suite: CryptoSuite, chain_id: bytes, ask: ShareAsk, headers: Sequence[KeyHeader]) -> bytes:
    """What the proofs of an ask's shares are bound to: everything but the renewal.

    Args:
        suite: crypto suite.
        chain_id: of the network.
        ask: who asks in whose name, and which key.
        headers: of the parts, in the ask's order.
    """
    digest = suite.hash(domains.PART_SHARES, codec.encode(tuple(headers)))
    named = (chain_id, ask.kind, ask.record_id, ask.purpose, ask.version, digest)
    return suite.hash(domains.PART_SHARES, codec.encode(named))


class OwnPermits(Protocol):
    """This node's own permits (`node.holders.server.ShareServer`)."""

    async def permitted(self, ask: ShareAsk) -> Permitted: ...


class VaultOpener:
    """Implements `node.vault.keys.KeyOpener`.

    Args:
        suite: crypto suite.
        server: asks this node's own permit first.
        collector: asks the holders.
        height: of this node's finalized head.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        server: OwnPermits,
        collector: ShareCollector,
        height: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._server = server
        self._collector = collector
        self._height = height

    async def open(
        self, authority: Authority, wanted: Sequence[WantedKey], releases: tuple[bytes, ...] = ()
    ) -> Mapping[PartName, bytes]:
        """Implements `KeyOpener`."""
        keys: dict[PartName, bytes] = {}
        for version in sorted({one.header.version for one in wanted}):
            of_version = [one for one in wanted if one.header.version == version]
            for batch in batches(of_version):
                keys |= await self._open(authority, version, batch, releases)
        return keys

    async def _open(
        self, authority: Authority, version: int, batch: Sequence[WantedKey], releases: tuple[bytes, ...]
    ) -> dict[PartName, bytes]:
        payload = OpenParts(
            height=self._height(),
            manifests=tuple(dict.fromkeys(one.manifest for one in batch)),
            parts=tuple(one.part for one in batch),
            releases=releases,
        )
        ask = ShareAsk(
            kind=authority.kind.value,
            record_id=authority.record_id,
            purpose=KeyPurpose.VAULT,
            version=version,
            renewal=0,
            payload=codec.encode(payload),
        )
        permitted = await self._server.permitted(ask)
        combined = await self._collector.collect(ask, permitted)
        return {
            one.part: open_sealed(self._suite.hash, one.header.sealed, element)
            for one, element in zip(batch, combined, strict=True)
        }


def batches(wanted: Sequence[WantedKey]) -> Iterator[list[WantedKey]]:
    """As few batches as go into an ask each, in order."""
    batch: list[WantedKey] = []
    manifests: set[bytes] = set()
    for one in wanted:
        more = manifests | {one.manifest}
        size_bytes = sum(map(len, more)) + _NAMES_BYTES
        full = len(batch) >= BASES_PER_ASK_MAX or len(more) > RECORDS_PER_ASK_MAX
        if batch and (full or size_bytes > ASK_PAYLOAD_BYTES_MAX):
            yield batch
            batch, more = [], {one.manifest}
        batch.append(one)
        manifests = more
    if batch:
        yield batch
