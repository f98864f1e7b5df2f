"""A sealed record: every field and attachment of a certificate under a key of its own, and the manifest that names them.

    manifest     every part's name, commitment leaf and key header; its hash is on chain (`Certificate.payload_hash`)
    body         the ciphertexts of the fields and of the mark secret, in the manifest's order
    attachments  a ciphertext each

Rule: the manifest names every ciphertext by its hash, and network, record and part are bound into its key header and its
authenticated encryption. Opening a part also recomputes its commitment leaf. The manifest is small, so that who asks holders
for a key shows them all of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from node.vault.keys import (
    Authority,
    KeyHeader,
    KeyOpener,
    KeySealer,
    PartKind,
    PartName,
    WantedKey,
    new_data_key,
    part_label,
)
from node.vault.parts import MARK

MANIFEST_VERSION: Final = 1
FIELD_SIZE_BYTES_MAX: Final = 1024 * 1024
# Of the longest names there can be; it has to fit into an ask for shares.
MANIFEST_SIZE_BYTES_MAX: Final = 96 * 1024
PARTS_MAX: Final = FIELDS_PER_TYPE_MAX + ATTACHMENTS_PER_TYPE_MAX + 1
MARK_SECRET_SIZE_BYTES: Final = 32

log = structlog.get_logger()


class SealedPart(Wire):
    """One part: its commitment leaf (empty for the mark), its key header, and an attachment's blob (else empty)."""

    kind: PartKind
    name: Name
    media_type: Annotated[str, Meta(max_length=64)]
    leaf: Annotated[bytes, Meta(max_length=32)]
    header: KeyHeader
    blob: Annotated[bytes, Meta(max_length=32)]


class Manifest(Wire):
    """All parts of one certificate's payload, in the order fields, attachments, mark; `body` is a blob's hash."""

    version: int
    certificate_id: Id16
    body: Hash
    parts: Annotated[tuple[SealedPart, ...], Meta(max_length=PARTS_MAX)]


class Body(Wire):
    """Ciphertexts of the parts that have no blob of their own, in the manifest's order."""

    ciphertexts: Annotated[tuple[bytes, ...], Meta(max_length=PARTS_MAX)]


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


def decode_manifest(data: bytes) -> Manifest:
    """The manifest that these bytes are the one encoding of; nothing of it is believed yet. Raises DecodeError."""
    return codec.decode(data, Manifest, size_bytes_max=MANIFEST_SIZE_BYTES_MAX, what="manifest")


def blobs_of(manifest: Manifest, payload_hash: bytes) -> tuple[bytes, ...]:
    """The names of every blob of a record: of the manifest itself, the body, and each attachment."""
    return (payload_hash, manifest.body, *(part.blob for part in manifest.parts if part.blob))


def seal_record(
    suite: CryptoSuite,
    keys: KeySealer,
    certificate_id: bytes,
    fields: tuple[PlainField, ...],
    attachments: tuple[PlainAttachment, ...],
) -> Sealed:
    """Encrypt a record part by part, with a fresh mark secret.

    Args:
        suite: crypto suite.
        keys: encrypts the data keys.
        certificate_id: 16 bytes; bound into every part.
        fields, attachments: the plaintext.

    Raises:
        LimitExceeded: a field above FIELD_SIZE_BYTES_MAX, or something too large for a blob.
        Unavailable: the operators have no key together yet.
    """
    blobs: dict[bytes, bytes] = {}
    parts: list[SealedPart] = []
    inline: list[bytes] = []

    def seal(kind: PartKind, name: str, media_type: str, leaf: bytes, plain: _Plain) -> None:
        part = PartName(certificate_id=certificate_id, kind=kind, name=name)
        data_key = new_data_key()
        ciphertext = suite.seal(data_key, codec.encode(plain), keys.label(part))
        blob = b""
        if kind is PartKind.ATTACHMENT:
            blob = _keep(suite, blobs, ciphertext)
        else:
            inline.append(ciphertext)
        header = keys.wrap(part, data_key)
        parts.append(
            SealedPart(kind=kind, name=name, media_type=media_type, leaf=leaf, header=header, blob=blob)
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
    seal(PartKind.MARK, MARK, "", b"", _Plain(salt=b"", content=os.urandom(MARK_SECRET_SIZE_BYTES)))

    body = _keep(suite, blobs, codec.encode(Body(ciphertexts=tuple(inline))))
    manifest = Manifest(
        version=MANIFEST_VERSION, certificate_id=certificate_id, body=body, parts=tuple(parts)
    )
    payload_hash = _keep(suite, blobs, codec.encode(manifest), MANIFEST_SIZE_BYTES_MAX)
    return Sealed(payload_hash=payload_hash, commitment_root=record_root(suite, manifest), blobs=blobs)


def _keep(
    suite: CryptoSuite, blobs: dict[bytes, bytes], data: bytes, size_bytes_max: int = BLOB_SIZE_BYTES_MAX
) -> bytes:
    if len(data) > size_bytes_max:
        raise LimitExceeded(limit="size of a sealed record", maximum=size_bytes_max, actual=len(data))
    name = blob_hash(suite, data)
    blobs[name] = data
    return name


@dataclass(frozen=True, slots=True)
class _Record:
    """A record whose manifest was checked against the ledger, and the bytes that it is the decoding of."""

    manifest: Manifest
    encoded: bytes

    def part(self, name: PartName) -> SealedPart:
        for part in self.manifest.parts:
            if (part.kind, part.name) == (name.kind, name.name):
                return part
        raise VerificationFailed(reason=f"the record has no {name.kind} {name.name}")


class Unlocked:
    """The parts that an authority has opened: their data keys are here, and each is decrypted when it is asked for."""

    def __init__(
        self,
        suite: CryptoSuite,
        chain_id: bytes,
        blob: Callable[[bytes], Awaitable[bytes]],
        records: Mapping[bytes, _Record],
        keys: Mapping[PartName, bytes],
    ) -> None:
        self._suite = suite
        self._chain_id = chain_id
        self._blob = blob
        self._records = records
        self._keys = keys
        self._bodies: dict[bytes, Body] = {}

    def __repr__(self) -> str:
        return f"Unlocked({len(self._keys)} parts)"

    @property
    def chain_id(self) -> bytes:
        """Of the network whose ledger has the records' commitments."""
        return self._chain_id

    async def field(self, certificate_id: bytes, name: str) -> PlainField:
        """One field in the clear, checked against its leaf. Raises Unavailable, VerificationFailed."""
        plain, part = await self._open(certificate_id, PartKind.FIELD, name)
        field = PlainField(name=name, salt=plain.salt, value=plain.content)
        if field_leaf(self._suite, field) != part.leaf:
            raise VerificationFailed(reason=f"field {name} is not what the issuer signed for")
        return field

    def proof(self, certificate_id: bytes, opened: PlainField | PlainAttachment) -> commitments.FieldProof:
        """What shows that an opened part is one of those that the issuer signed for."""
        parts = self._records[certificate_id].manifest.parts
        fields = {part.name: part.leaf for part in parts if part.kind is PartKind.FIELD}
        attachments = {part.name: part.leaf for part in parts if part.kind is PartKind.ATTACHMENT}
        leaves = commitments.ordered_leaves(fields, attachments)
        if isinstance(opened, PlainField):
            index = sorted(fields).index(opened.name)
        else:
            index = len(fields) + sorted(attachments).index(opened.name)
        return commitments.prove_field(self._suite, leaves, index, opened.salt)

    async def attachment(self, certificate_id: bytes, name: str) -> PlainAttachment:
        """One attachment in the clear, checked against its leaf. Raises Unavailable, VerificationFailed."""
        plain, part = await self._open(certificate_id, PartKind.ATTACHMENT, name)
        attachment = PlainAttachment(
            name=name, salt=plain.salt, media_type=part.media_type, content=plain.content
        )
        if attachment_leaf(self._suite, attachment) != part.leaf:
            raise VerificationFailed(reason=f"attachment {name} is not what the issuer signed for")
        return attachment

    async def mark(self, certificate_id: bytes) -> bytes:
        """The record's mark secret. Raises Unavailable, VerificationFailed."""
        plain, _ = await self._open(certificate_id, PartKind.MARK, MARK)
        if len(plain.content) != MARK_SECRET_SIZE_BYTES:
            raise VerificationFailed(reason="the record's mark secret is none")
        return plain.content

    async def _open(self, certificate_id: bytes, kind: PartKind, name: str) -> tuple[_Plain, SealedPart]:
        part_name = PartName(certificate_id=certificate_id, kind=kind, name=name)
        data_key = self._keys.get(part_name)
        if data_key is None:
            raise VerificationFailed(reason=f"{kind} {name} was not asked to be opened")
        record = self._records[certificate_id]
        part = record.part(part_name)
        ciphertext = await (self._blob(part.blob) if part.blob else self._inline(record.manifest, part))
        plaintext = self._suite.open(data_key, ciphertext, part_label(self._chain_id, part_name))
        return codec.decode(plaintext, _Plain, size_bytes_max=BLOB_SIZE_BYTES_MAX), part

    async def _inline(self, manifest: Manifest, part: SealedPart) -> bytes:
        body = self._bodies.get(manifest.body)
        if body is None:
            data = await self._blob(manifest.body)
            body = codec.decode(data, Body, size_bytes_max=BLOB_SIZE_BYTES_MAX, what="body of a record")
            self._bodies[manifest.body] = body
        inline = [one for one in manifest.parts if not one.blob]
        if len(inline) != len(body.ciphertexts):
            raise VerificationFailed(reason="the record's body does not have the manifest's parts")
        return body.ciphertexts[inline.index(part)]


class RecordReader:
    """Opens parts of sealed records, through the holders.

    Args:
        suite: crypto suite.
        chain_id: of the network.
        keys: has the data keys released.
        store: this node's blobs.
        fetch: asks the peers for a blob that is not here; what comes is checked and kept.
    """

    def __init__(
        self, *, suite: CryptoSuite, chain_id: bytes, keys: KeyOpener, store: BlobStore, fetch: FetchBlob
    ) -> None:
        self._suite = suite
        self._chain_id = chain_id
        self._keys = keys
        self._store = store
        self._fetch = fetch

    async def unlock(
        self,
        authority: Authority,
        certificates: Sequence[Certificate],
        parts: Sequence[PartName],
        releases: tuple[bytes, ...] = (),
    ) -> Unlocked:
        """Have parts of these certificates' records opened, all in one go.

        Args:
            authority: in whose name.
            certificates: as the ledger has them.
            parts: of these certificates.
            releases: for a trace, the releases that handed them out.

        Raises:
            KeyRefused, Unavailable: the parts cannot be opened.
            VerificationFailed: a record is not the one on the ledger, or has no such part.
        """
        records: dict[bytes, _Record] = {}
        for certificate in certificates:
            if certificate.certificate_id not in records:
                records[certificate.certificate_id] = await self._record(certificate)
        wanted = [
            WantedKey(part=part, header=record.part(part).header, manifest=record.encoded)
            for part in parts
            for record in (records[part.certificate_id],)
        ]
        keys = await self._keys.open(authority, wanted, releases)
        return Unlocked(self._suite, self._chain_id, self._blob, records, keys)

    async def manifest(self, certificate: Certificate) -> Manifest:
        """The manifest, checked against what the ledger says of the certificate.

        Raises:
            Unavailable: neither this node nor a peer has it.
            VerificationFailed: it is another certificate's, names a part twice, or its leaves are not what the
                issuer signed for.
        """
        return (await self._record(certificate)).manifest

    async def _record(self, certificate: Certificate) -> _Record:
        data = await self._blob(certificate.payload_hash)
        manifest = decode_manifest(data)
        if manifest.certificate_id != certificate.certificate_id:
            raise VerificationFailed(reason="the manifest belongs to another certificate")
        if manifest.version != MANIFEST_VERSION:
            raise VerificationFailed(reason=f"the manifest has version {manifest.version}")
        # The root takes one leaf a name, and a part is opened by its name: of two, they could mean different ones.
        if len({(part.kind, part.name) for part in manifest.parts}) != len(manifest.parts):
            raise VerificationFailed(reason="the manifest names a part twice")
        if record_root(self._suite, manifest) != certificate.commitment_root:
            raise VerificationFailed(reason="the sealed record is not the one that the issuer signed for")
        return _Record(manifest, data)

    async def _blob(self, name: bytes) -> bytes:
        try:
            data = await asyncio.to_thread(self._store.get, name)
        except (StorageDamaged, Unavailable) as error:
            log.error("blob cannot be read here; asking the peers", blob=name.hex(), reason=str(error))
            data = None
        if data is None:
            data = await self._fetch(name)
        if data is None:
            raise Unavailable(what="ciphertext", reason=f"no reachable node has blob {name.hex()}")
        return data
