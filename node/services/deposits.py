"""Putting data on the ledger (上链), the half that the node does: check, seal, replicate, answer with a draft.

Rule: nothing is on the ledger until the issuer's officer has signed `certificates.issue` over what the draft says; the
officer's client recomputes the commitment root first, so a node cannot have other data signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from contracts.records import CertificateType
from ledger.commitments import encode_value
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, LimitExceeded, NotFound
from node.chain import Chain
from node.services.attachment_checks import Inspect
from node.services.leak_notes import LeakNotes
from node.services.ports import AttachmentInput, Caller, DepositInput, Draft
from node.vault.keys import KeySealer
from node.vault.records import PlainAttachment, PlainField, seal_record
from zhenglian.api import ATTACHMENT_SIZE_BYTES_MAX
from zhenglian.catalogue import (
    AttachmentSpec,
    CatalogueInvalid,
    CertificateTypeSpec,
    FieldSpec,
    decode_schema,
)
from zhenglian.deposits import attachment_salt, field_salt
from zhenglian.field_checks import DepositInvalid, check_fields

DRAFT_LIFETIME_MS: Final = 3_600_000
_MAGIC: Final = {
    "application/pdf": b"%PDF-",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
}


class NotIssuer(LedgerError):
    """The caller's organisation may not issue this type. Fields: certificate_type."""

    code = "not_issuer"
    category = Category.FORBIDDEN
    zh = "本机构无权制发“{certificate_type}”，请由运营方投票授予制发权"
    en = "This organisation may not issue {certificate_type}; operators grant that by vote"


# Keeps a record's blobs here and elsewhere (`node/services/keeper.py`); gives how many other nodes hold them.
Place = Callable[[bytes, Mapping[bytes, bytes]], Awaitable[int]]


class Deposits:
    """Implements the port `Deposits`."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        keys: KeySealer,
        place: Place,
        clock_ms: Callable[[], int],
        inspect: Inspect | None = None,
        notes: LeakNotes | None = None,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._keys = keys
        self._place = place
        self._clock_ms = clock_ms
        self._inspect = inspect
        self._notes = notes

    async def prepare(self, deposit: DepositInput, caller: Caller) -> Draft:
        kind = self._checked_type(deposit, caller)
        spec = decode_schema(kind.schema)
        if _names(spec.fields) != kind.fields or _names(spec.attachments) != kind.attachments:
            raise CatalogueInvalid(where=kind.code, reason="the schema and the ledger name different parts")
        check_fields(spec, deposit.fields)
        check_attachments(spec, deposit.attachments)
        if self._inspect is not None:
            for attachment in deposit.attachments:
                await self._inspect(attachment.name, attachment.media_type, attachment.data)
        fields = tuple(
            PlainField(
                name=name,
                salt=field_salt(self._suite, deposit.salt_seed, name),
                value=encode_value(deposit.fields[name]),
            )
            for name in kind.fields
            if name in deposit.fields
        )
        uploads = {attachment.name: attachment for attachment in deposit.attachments}
        attachments = tuple(
            PlainAttachment(
                name=name,
                salt=attachment_salt(self._suite, deposit.salt_seed, name),
                media_type=uploads[name].media_type,
                content=uploads[name].data,
            )
            for name in kind.attachments
            if name in uploads
        )
        sealed = await asyncio.to_thread(
            seal_record, self._suite, self._keys, deposit.certificate_id, fields, attachments
        )
        replicas = await self._place(deposit.certificate_id, sealed.blobs)
        if self._notes is not None:
            contents = [attachment.content for attachment in attachments]
            await self._notes.sealed(
                deposit.certificate_id, sealed.commitment_root, spec, deposit.fields, contents
            )
        return Draft(
            certificate_id=deposit.certificate_id,
            certificate_type=kind.code,
            type_version=kind.version,
            commitment_root=sealed.commitment_root,
            payload_hash=sealed.payload_hash,
            fields=tuple(field.name for field in fields),
            attachments=tuple(attachment.name for attachment in attachments),
            replicas=replicas + 1,
            expires_ms=self._clock_ms() + DRAFT_LIFETIME_MS,
        )

    def _checked_type(self, deposit: DepositInput, caller: Caller) -> CertificateType:
        kind = self._chain.records.certificate_type(deposit.certificate_type)
        if kind is None:
            raise NotFound(what="certificate type", id=deposit.certificate_type)
        issuer = self._chain.records.account(caller.account)
        if issuer is None or kind.code not in issuer.issues:
            raise NotIssuer(certificate_type=kind.name_zh)
        holder = self._chain.records.account(deposit.holder)
        if holder is None:
            raise NotFound(what="holder account", id=deposit.holder.hex())
        if holder.kind is not kind.holder:
            raise DepositInvalid(
                member="holder", reason=f"{kind.code} is held by a {kind.holder}, not a {holder.kind}"
            )
        if self._chain.records.certificate(deposit.certificate_id) is not None:
            raise DepositInvalid(member="certificate_id", reason="already on the ledger")
        return kind


def _names(parts: Iterable[FieldSpec | AttachmentSpec]) -> tuple[str, ...]:
    return tuple(part.name for part in parts)


def check_attachments(spec: CertificateTypeSpec, attachments: tuple[AttachmentInput, ...]) -> None:
    """Hold the files against the type's schema and their own first bytes. Raises DepositInvalid, LimitExceeded."""
    known = {attachment.name: attachment for attachment in spec.attachments}
    seen: set[str] = set()
    for attachment in attachments:
        member = f"attachments.{attachment.name}"
        if attachment.name not in known:
            raise DepositInvalid(member=member, reason=f"{spec.code} has no such attachment")
        if attachment.name in seen:
            raise DepositInvalid(member=member, reason="named twice")
        seen.add(attachment.name)
        if attachment.media_type != known[attachment.name].media_type:
            raise DepositInvalid(member=member, reason=f"{known[attachment.name].media_type} is expected")
        magic = _MAGIC.get(attachment.media_type)
        if magic is None:
            raise DepositInvalid(member=member, reason=f"{attachment.media_type} cannot be deposited")
        if not attachment.data.startswith(magic):
            raise DepositInvalid(member=member, reason=f"the file is not {attachment.media_type}")
        if len(attachment.data) > ATTACHMENT_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit="ATTACHMENT_SIZE_BYTES_MAX",
                maximum=ATTACHMENT_SIZE_BYTES_MAX,
                actual=len(attachment.data),
            )
