"""A sealed record: every field and attachment of a certificate under a key of its own, and the manifest that names them.

Rule: the manifest's hash is on chain (`Certificate.payload_hash`), the manifest names every ciphertext, and every part's
name is bound into its key header and its authenticated encryption. Opening a part also recomputes its commitment leaf.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from msgspec import Meta

from contracts.records import ATTACHMENTS_PER_TYPE_MAX, FIELDS_PER_TYPE_MAX, Certificate
from ledger import codec, commitments
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LimitExceeded, StorageDamaged, Unavailable, VerificationFailed
from ledger.types import Hash, Id16, Name, Wire
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, BlobStore, blob_hash
from node.vault.keys import Authority, KeyHeader, KeyRelease, PartKind, PartName, new_data_key

MANIFEST_VERSION: Final = 1
FIELD_SIZE_BYTES_MAX: Final = 1024 * 1024
MANIFEST_SIZE_BYTES_MAX: Final = BLOB_SIZE_BYTES_MAX
MARK_SECRET_SIZE_BYTES: Final = 64
_PART_NAME_OF_MARK: Final = "mark"

log = structlog.get_logger()


class SealedPart(Wire):
    """One part: its commitment leaf (empty for the mark), its key header and its ciphertext.

    The ciphertext is inline for fields and the mark, and a blob of its own for attachments.
    """

    kind: PartKind
    name: Name
    media_type: Annotated[str, Meta(max_length=64)]
    leaf: Annotated[bytes, Meta(max_length=32)]
    header: KeyHeader
    inline: bytes
    blob: Annotated[bytes, Meta(max_length=32)]


class Manifest(Wire):
    """All parts of one certificate's payload, in the order fields, attachments, mark."""

    version: int
    certificate_id: Id16
    parts: Annotated[
        tuple[SealedPart, ...], Meta(max_length=FIELDS_PER_TYPE_MAX + ATTACHMENTS_PER_TYPE_MAX + 1)
    ]


class _Plain(Wire):
    """What is encrypted for a part: the salt of its commitment leaf and its content."""

    salt: Annotated[bytes, Meta(max_length=32)]
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainField:
    """`value` is the canonical encoding of the field's value (`ledger/commitments.py`)."""

    name: str
    salt: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainAttachment:
    name: str
    salt: bytes
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed record: the manifest's hash, the commitment root, and every blob by hash, the manifest among them."""

    payload_hash: Hash
    commitment_root: Hash
    blobs: Mapping[bytes, bytes]


def field_leaf(suite: CryptoSuite, field: PlainField) -> bytes:
    """The field's leaf under the certificate's commitment root."""
    return commitments.leaf(suite, field.salt, field.name, field.value)


def attachment_leaf(suite: CryptoSuite, attachment: PlainAttachment) -> bytes:
    """The attachment's leaf under the certificate's commitment root."""
    content_hash = suite.digest(attachment.content)
    return commitments.attachment_leaf(
        suite, attachment.salt, attachment.name, attachment.media_type, content_hash
    )


def record_root(suite: CryptoSuite, manifest: Manifest) -> bytes:
    """The commitment root that the manifest's leaves give."""
    fields = {part.name: part.leaf for part in manifest.parts if part.kind is PartKind.FIELD}
    attachments = {part.name: part.leaf for part in manifest.parts if part.kind is PartKind.ATTACHMENT}
    return commitments.commitment_root(suite, commitments.ordered_leaves(fields, attachments))


FetchBlob = Callable[[bytes], Awaitable[bytes | None]]


def seal_record(
    suite: CryptoSuite,
    keys: KeyRelease,
    certificate_id: bytes,
    fields: tuple[PlainField, ...],
    attachments: tuple[PlainAttachment, ...],
) -> Sealed:
    """Encrypt a record part by part, with a fresh mark secret.

    Args:
        suite: crypto suite.
        keys: wraps the data keys.
        certificate_id: 16 bytes; bound into every part.
        fields, attachments: the plaintext.

    Raises:
        LimitExceeded: a field above FIELD_SIZE_BYTES_MAX, or an attachment too large for a blob.
    """
    blobs: dict[bytes, bytes] = {}
    parts: list[SealedPart] = []

    def seal(kind: PartKind, name: str, media_type: str, leaf: bytes, plain: _Plain) -> None:
        part = PartName(certificate_id=certificate_id, kind=kind, name=name)
        data_key = new_data_key()
        ciphertext = suite.seal(data_key, codec.encode(plain), codec.encode(part))
        apart = kind is PartKind.ATTACHMENT
        blob = blob_hash(suite, ciphertext) if apart else b""
        if apart:
            blobs[blob] = ciphertext
        parts.append(
            SealedPart(
                kind=kind,
                name=name,
                media_type=media_type,
                leaf=leaf,
                header=keys.wrap(part, data_key),
                inline=b"" if apart else ciphertext,
                blob=blob,
            )
        )

    for field in fields:
        if len(field.value) > FIELD_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit="FIELD_SIZE_BYTES_MAX", maximum=FIELD_SIZE_BYTES_MAX, actual=len(field.value)
            )
        plain = _Plain(salt=field.salt, content=field.value)
        seal(PartKind.FIELD, field.name, "", field_leaf(suite, field), plain)
    for attachment in attachments:
        plain = _Plain(salt=attachment.salt, content=attachment.content)
        leaf = attachment_leaf(suite, attachment)
        seal(PartKind.ATTACHMENT, attachment.name, attachment.media_type, leaf, plain)
    mark = _Plain(salt=b"", content=os.urandom(MARK_SECRET_SIZE_BYTES))
    seal(PartKind.MARK, _PART_NAME_OF_MARK, "", b"", mark)

    manifest = Manifest(version=MANIFEST_VERSION, certificate_id=certificate_id, parts=tuple(parts))
    encoded = codec.encode(manifest)
    payload_hash = blob_hash(suite, encoded)
    blobs[payload_hash] = encoded
    return Sealed(payload_hash=payload_hash, commitment_root=record_root(suite, manifest), blobs=blobs)


class RecordReader:
    """Opens parts of sealed records, each through the key-release seam.

    Args:
        suite: crypto suite.
        keys: releases the data keys.
        store: this node's blobs.
        fetch: asks the peers for a blob that is not here; what comes is checked and kept.
    """

    def __init__(self, suite: CryptoSuite, keys: KeyRelease, store: BlobStore, fetch: FetchBlob) -> None:
        self._suite = suite
        self._keys = keys
        self._store = store
        self._fetch = fetch

    async def manifest(self, certificate: Certificate) -> Manifest:
        """The manifest, checked against what the ledger says of the certificate.

        Raises:
            Unavailable: neither this node nor a peer has it.
            VerificationFailed: it is another certificate's, names a part twice, or its leaves are not what the
                issuer signed for.
        """
        data = await self._blob(certificate.payload_hash)
        manifest = codec.decode(data, Manifest, size_bytes_max=MANIFEST_SIZE_BYTES_MAX)
        if manifest.certificate_id != certificate.certificate_id:
            raise VerificationFailed(reason="the manifest belongs to another certificate")
        if manifest.version != MANIFEST_VERSION:
            raise VerificationFailed(reason=f"the manifest has version {manifest.version}")
        # The root takes one leaf a name, and a part is opened by its name: of two, they could mean different ones.
        if len({(part.kind, part.name) for part in manifest.parts}) != len(manifest.parts):
            raise VerificationFailed(reason="the manifest names a part twice")
        if record_root(self._suite, manifest) != certificate.commitment_root:
            raise VerificationFailed(reason="the sealed record is not the one that the issuer signed for")
        return manifest

    async def open_field(self, authority: Authority, manifest: Manifest, name: str) -> PlainField:
        """One field in the clear, checked against its leaf. Raises KeyRefused, Unavailable, VerificationFailed."""
        plain, part = await self._open(authority, manifest, PartKind.FIELD, name)
        field = PlainField(name=name, salt=plain.salt, value=plain.content)
        if field_leaf(self._suite, field) != part.leaf:
            raise VerificationFailed(reason=f"field {name} is not what the issuer signed for")
        return field

    async def open_attachment(self, authority: Authority, manifest: Manifest, name: str) -> PlainAttachment:
        """One attachment in the clear, checked against its leaf. Raises KeyRefused, Unavailable, VerificationFailed."""
        plain, part = await self._open(authority, manifest, PartKind.ATTACHMENT, name)
        attachment = PlainAttachment(
            name=name, salt=plain.salt, media_type=part.media_type, content=plain.content
        )
        if attachment_leaf(self._suite, attachment) != part.leaf:
            raise VerificationFailed(reason=f"attachment {name} is not what the issuer signed for")
        return attachment

    async def open_mark(self, authority: Authority, manifest: Manifest) -> bytes:
        """The record's mark secret. Raises KeyRefused, Unavailable, VerificationFailed."""
        plain, _ = await self._open(authority, manifest, PartKind.MARK, _PART_NAME_OF_MARK)
        return plain.content

    async def _open(
        self, authority: Authority, manifest: Manifest, kind: PartKind, name: str
    ) -> tuple[_Plain, SealedPart]:
        for part in manifest.parts:
            if part.kind is kind and part.name == name:
                break
        else:
            raise VerificationFailed(reason=f"the record has no {kind} {name}")
        part_name = PartName(certificate_id=manifest.certificate_id, kind=kind, name=name)
        data_key = await self._keys.release(authority, part_name, part.header)
        ciphertext = part.inline or await self._blob(part.blob)
        plaintext = self._suite.open(data_key, ciphertext, codec.encode(part_name))
        return codec.decode(plaintext, _Plain, size_bytes_max=BLOB_SIZE_BYTES_MAX), part

    async def _blob(self, name: bytes) -> bytes:
        try:
            data = await asyncio.to_thread(self._store.get, name)
        except StorageDamaged as error:
            log.error("blob is damaged here; asking the peers", blob=name.hex(), reason=str(error))
            data = None
        if data is None:
            data = await self._fetch(name)
        if data is None:
            raise Unavailable(what="ciphertext", reason=f"no reachable node has blob {name.hex()}")
        return data
