"""Bodies of grants, sealed like a record of one part, and the permission to open one.

    body id ── manifest (one part: header, blob) ── ciphertext

Rule: a body's key and ciphertext are bound to its own id, so that they open as no other's. Holders give shares for it to the node
that a finalized opening names, until that opening's time is over, and for nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from contracts.body_records import Body
from contracts.grant_tables import BODIES, BODY_OPENINGS
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import StorageDamaged, Unavailable, VerificationFailed
from node.holders.errors import KeyRefused
from node.vault.blobs import BlobStore, blob_hash
from node.vault.keys import (
    Authority,
    AuthorityKind,
    KeyOpener,
    KeySealer,
    PartKind,
    PartName,
    WantedKey,
    new_data_key,
    part_label,
)
from node.vault.opening import OpenParts
from node.vault.permits import Headers, _PartsPermit
from node.vault.records import MANIFEST_VERSION, Manifest, SealedPart, decode_manifest

CONTENT: Final = "body"


def body_part(body_id: bytes) -> PartName:
    """The one part of a body."""
    return PartName(certificate_id=body_id, kind=PartKind.BODY, name=CONTENT)


def seal_body(suite: CryptoSuite, keys: KeySealer, body_id: bytes, content: bytes) -> dict[bytes, bytes]:
    """Encrypt a body; its blobs by hash, the manifest's first.

    Raises:
        Unavailable: the operators have no key together yet.
    """
    part, data_key = body_part(body_id), new_data_key()
    ciphertext = suite.seal(data_key, content, keys.label(part))
    blob = blob_hash(suite, ciphertext)
    sealed = SealedPart(
        kind=part.kind,
        name=part.name,
        media_type="",
        leaf=b"",
        header=keys.wrap(part, data_key),
        blob=blob,
    )
    manifest = codec.encode(
        Manifest(version=MANIFEST_VERSION, certificate_id=body_id, body=blob, parts=(sealed,))
    )
    return {blob_hash(suite, manifest): manifest, blob: ciphertext}


class BodyReader:
    """Opens bodies, through the holders.

    Args:
        suite: crypto suite.
        chain_id: of the network.
        keys: has the data keys released.
        store: this node's blobs.
        fetch: asks the peers for a blob that is not here.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain_id: bytes,
        keys: KeyOpener,
        store: BlobStore,
        fetch: Callable[[bytes], Awaitable[bytes | None]],
    ) -> None:
        self._suite = suite
        self._chain_id = chain_id
        self._keys = keys
        self._store = store
        self._fetch = fetch

    async def read(self, body: Body, opening_id: bytes) -> bytes:
        """The content of a body in the name of a finalized opening.

        Raises:
            KeyRefused: the ledger does not allow it (any more).
            Unavailable: too few holders, or the ciphertext is nowhere.
            VerificationFailed: what was sealed is not that body.
        """
        encoded = await self._blob(body.payload_hash)
        manifest = decode_manifest(encoded)
        part = body_part(body.body_id)
        if manifest.certificate_id != body.body_id or len(manifest.parts) != 1:
            raise VerificationFailed(reason="what was sealed is another record")
        (sealed,) = manifest.parts
        if (sealed.kind, sealed.name) != (part.kind, part.name):
            raise VerificationFailed(reason="what was sealed is no body of a grant")
        authority = Authority(kind=AuthorityKind.BODY, record_id=opening_id)
        wanted = WantedKey(part=part, header=sealed.header, manifest=encoded)
        keys = await self._keys.open(authority, (wanted,))
        return self._suite.open(keys[part], await self._blob(sealed.blob), part_label(self._chain_id, part))

    async def _blob(self, name: bytes) -> bytes:
        try:
            data = await asyncio.to_thread(self._store.get, name)
        except (StorageDamaged, Unavailable):
            data = None
        data = await self._fetch(name) if data is None else data
        if data is None:
            raise Unavailable(what="ciphertext", reason=f"no reachable node has blob {name.hex()}")
        return data


class BodyPermit(_PartsPermit):
    """For the opening of a body: its one part, for the node that the opening names, while its time lasts."""

    def _allowed(self, sender: bytes, record_id: bytes, asked: OpenParts) -> frozenset[PartName]:
        opening = self._state.record(BODY_OPENINGS, record_id)
        if opening is None:
            raise KeyRefused(reason="unknown_opening")
        if opening.performed_by != sender:
            raise KeyRefused(reason="not_entrusted")
        if self._replica.time_ms() >= opening.until_ms:
            raise KeyRefused(reason="opening_over")
        return frozenset((body_part(opening.body_id),))

    def _manifest(self, data: bytes) -> tuple[bytes, Headers]:
        manifest = decode_manifest(data)
        body = self._state.record(BODIES, manifest.certificate_id)
        if body is None:
            raise KeyRefused(reason="unknown_body")
        if body.erased_ms:
            raise KeyRefused(reason="body_erased")
        if blob_hash(self._suite, data) != body.payload_hash or manifest.version != MANIFEST_VERSION:
            raise KeyRefused(reason="other_manifest")
        return manifest.certificate_id, {(part.kind, part.name): part.header for part in manifest.parts}
