"""Putting data on the ledger (上链), the half that the node does: check, seal, replicate, answer with a draft.

Rule: nothing is on the ledger until the issuer's officer has signed `certificates.issue` over what the draft says; the
officer's client recomputes the commitment root first, so a node cannot have other data signed.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date
from typing import Final

from contracts.records import AccountKind, CertificateType
from ledger.commitments import INTEGER_MAX, ROWS_PER_VALUE_MAX, encode_value
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, LimitExceeded, NotFound, Unavailable
from node.chain import Chain
from node.exchange import BlobExchange
from node.services.ports import AttachmentInput, Caller, DepositInput, Draft, FieldValue
from node.vault.blobs import BlobStore
from node.vault.keys import KeyRelease
from node.vault.records import PlainAttachment, PlainField, seal_record
from zhenglian.api import ATTACHMENT_SIZE_BYTES_MAX
from zhenglian.catalogue import (
    AttachmentSpec,
    CatalogueInvalid,
    CertificateTypeSpec,
    FieldKind,
    FieldSpec,
    decode_schema,
)
from zhenglian.deposits import attachment_salt, field_salt
from zhenglian.identifiers import check_identity_number, check_organization_code

DRAFT_LIFETIME_MS: Final = 3_600_000
TEXT_LENGTH_MAX: Final = 4096
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?")
# Controls, format characters (all zero-width ones), lone surrogates, line and paragraph separators. Characters that this
# Python does not know yet, and private ones, pass: rare names are written with them.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_MAGIC: Final = {
    "application/pdf": b"%PDF-",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
}


class DepositInvalid(LedgerError):
    """A deposit that its type's schema does not allow. Fields: member, reason."""

    code = "deposit_invalid"
    zh = "存证内容有误（{member}）：{reason}"
    en = "Invalid deposit at {member}: {reason}"


class NotIssuer(LedgerError):
    """The caller's organisation may not issue this type. Fields: certificate_type."""

    code = "not_issuer"
    category = Category.FORBIDDEN
    zh = "本部门无权制发“{certificate_type}”，请由运营方投票授予制发权"
    en = "This department may not issue {certificate_type}; operators grant that by vote"


class Deposits:
    """Implements the port `Deposits`."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        keys: KeyRelease,
        blobs: BlobStore,
        exchange: BlobExchange,
        replicas_min: Callable[[], int],
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._keys = keys
        self._blobs = blobs
        self._exchange = exchange
        self._replicas_min = replicas_min
        self._clock_ms = clock_ms

    async def prepare(self, deposit: DepositInput, caller: Caller) -> Draft:
        kind = self._checked_type(deposit, caller)
        spec = decode_schema(kind.schema)
        if _names(spec.fields) != kind.fields or _names(spec.attachments) != kind.attachments:
            raise CatalogueInvalid(where=kind.code, reason="the schema and the ledger name different parts")
        check_fields(spec, deposit.fields)
        check_attachments(spec, deposit.attachments)
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
        for blob in sealed.blobs.values():
            await asyncio.to_thread(self._blobs.put, blob)
        replicas = await self._exchange.replicate(tuple(sealed.blobs))
        wanted = self._replicas_min()
        if replicas < wanted:
            raise Unavailable(
                what="replication",
                reason=f"{replicas} of {wanted} other nodes hold the data; nothing was put on the ledger",
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
        if issuer is None or issuer.kind is not AccountKind.DEPARTMENT or kind.code not in issuer.issues:
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


def check_fields(spec: CertificateTypeSpec, fields: dict[str, FieldValue]) -> None:
    """Hold every value against the type's schema.

    Raises:
        DepositInvalid: an unknown, missing or ill-typed field, named.
        LimitExceeded: a text or table above its bound.
    """
    known = {field.name: field for field in spec.fields}
    for name in fields:
        if name not in known:
            raise DepositInvalid(member=f"fields.{name}", reason=f"{spec.code} has no such field")
    for field in spec.fields:
        if field.name in fields:
            check_value(field, fields[field.name])
        elif field.required:
            raise DepositInvalid(member=f"fields.{field.name}", reason="required and missing")


def check_value(field: FieldSpec, value: FieldValue) -> None:
    """Hold one value against its field's kind. Raises DepositInvalid, LimitExceeded or an identifier's own error."""
    member = f"fields.{field.name}"
    if field.kind is FieldKind.ROWS:
        _check_rows(field, member, value)
    elif field.kind is FieldKind.INTEGER:
        _check_integer(member, value)
    elif not isinstance(value, str):
        raise DepositInvalid(member=member, reason="text is expected")
    else:
        _check_text(field.kind.value, field.decimals, member, value)


def _check_integer(member: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > INTEGER_MAX:
        raise DepositInvalid(member=member, reason=f"an integer within ±{INTEGER_MAX} is expected")


def _check_text(kind: str, decimals: int, member: str, value: str) -> None:
    if len(value) > TEXT_LENGTH_MAX:
        raise LimitExceeded(limit=f"TEXT_LENGTH_MAX of {member}", maximum=TEXT_LENGTH_MAX, actual=len(value))
    if any(unicodedata.category(character) in _INVISIBLE and character != "\n" for character in value):
        raise DepositInvalid(member=member, reason="control or invisible characters are not allowed")
    if kind == "date" and not _is_date(value):
        raise DepositInvalid(member=member, reason="a day of the calendar, written YYYY-MM-DD, is expected")
    if kind == "decimal":
        places = len(value.partition(".")[2])
        if not _DECIMAL.fullmatch(value) or places != decimals:
            raise DepositInvalid(member=member, reason=f"a decimal with {decimals} places is expected")
    if kind == "identity_number":
        check_identity_number(value)
    if kind == "organization_code":
        check_organization_code(value)


def _is_date(value: str) -> bool:
    try:
        return _DATE.fullmatch(value) is not None and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _check_rows(field: FieldSpec, member: str, value: FieldValue) -> None:
    if not isinstance(value, list):
        raise DepositInvalid(member=member, reason="a list of rows is expected")
    if len(value) > ROWS_PER_VALUE_MAX:
        raise LimitExceeded(
            limit=f"ROWS_PER_VALUE_MAX of {member}", maximum=ROWS_PER_VALUE_MAX, actual=len(value)
        )
    columns = {column.name: column for column in field.columns}
    for number, row in enumerate(value):
        where = f"{member}[{number}]"
        if set(row) != set(columns):
            raise DepositInvalid(
                member=where, reason=f"exactly the columns {', '.join(columns)} are expected"
            )
        for name, cell in row.items():
            column = columns[name]
            if column.kind.value == "integer":
                _check_integer(f"{where}.{name}", cell)
            elif not isinstance(cell, str):
                raise DepositInvalid(member=f"{where}.{name}", reason="text is expected")
            else:
                _check_text(column.kind.value, column.decimals, f"{where}.{name}", cell)


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
