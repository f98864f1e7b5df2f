"""Filling in forms (免填写): a release of what a form asks for, put into the form's lines.

Rule: a form is filled in from a release and from nothing else: requested and signed by the grantee's officer,
recorded before any byte leaves, counted like every other. Asking again with the same transaction gives the same form
at no second use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.calls import ReleasesRequest
from contracts.form_records import Form
from contracts.records import Certificate, Grant, OutputFormat, Release, ReleaseState
from ledger import codec
from ledger.errors import Category, LedgerError, NotFound, VerificationFailed
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Transaction
from node.index.ports import Index
from node.services.filling import Holdings, Line, fill
from node.services.ports import Chain, Releases
from zhenglian.catalogue import CertificateTypeSpec, decode_schema

CERTIFICATES_LOOKED_AT_MAX: Final = 1000
_PAGE: Final = 200


class FormPurpose(LedgerError):
    """The grant is for another purpose than the form. Fields: form, expected, actual."""

    code = "form_purpose"
    category = Category.FORBIDDEN
    zh = "表单 {form} 的用途是 {expected}，授权的用途是 {actual}，不能用于此表单"
    en = "Form {form} is for the purpose {expected}; the grant is for {actual}"


class FormOutputs(LedgerError):
    """The release asks for something that is not put into a form. Fields: format."""

    code = "form_outputs"
    zh = "填表的下链申请只能要 JSON 字段，实际有 {format}"
    en = "A release for a form asks for JSON fields only, not for {format}"


class FormNotReady(LedgerError):
    """The release is not prepared, or failed. Fields: release, state, reason."""

    code = "form_not_ready"
    category = Category.CONFLICT
    zh = "下链 {release} 的状态是 {state}（{reason}），表单尚未填好；请用同一交易再次提交"
    en = "Release {release} is {state} ({reason}); the form is not filled in yet, send the same transaction again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form filled in: from which release, and every line."""

    form: Form
    release: Release
    lines: tuple[Line, ...]


class Prefill:
    """Fills in forms from releases that this node performs."""

    def __init__(self, *, chain: Chain, index: Index, releases: Releases) -> None:
        self._chain = chain
        self._index = index
        self._releases = releases

    async def fill(self, code: str, transaction: Transaction, *, wait_s: float) -> Filled:
        """Have the release made, and fill in the form from it.

        Args:
            code: of the form.
            transaction: a signed `releases.request` of JSON outputs under a grant for the form's purpose.
            wait_s: how long to wait for its files.

        Raises:
            NotFound: no such form or grant.
            FormPurpose, FormOutputs: the request does not fit the form; nothing was sent.
            FormNotReady: not within `wait_s`, or the release failed.
            LedgerError: as `Releases.request`.
        """
        form = self._chain.records.form(code)
        if form is None:
            raise NotFound(what="form", id=code)
        self._check(form, transaction)
        release = await self._releases.request(transaction, wait_s=wait_s)
        if release.state not in {ReleaseState.PREPARED, ReleaseState.DELIVERED}:
            raise FormNotReady(
                release=release.release_id.hex(), state=release.state.value, reason=release.failure or "-"
            )
        files = [
            (await self._releases.file(release.release_id, number)).data
            for number in range(len(release.files))
        ]
        return Filled(
            form=form,
            release=release,
            lines=fill(form, files, await self._held(self._grant(release.grant_id))),
        )

    def _check(self, form: Form, transaction: Transaction) -> None:
        call = transaction.body.call
        args = codec.decode(
            call.args, ReleasesRequest, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX, what="releases.request"
        )
        other = next((one.format for one in args.outputs if one.format is not OutputFormat.JSON), None)
        if other is not None:
            raise FormOutputs(format=other.value)
        purpose = self._grant(args.grant_id).purpose
        if purpose != form.purpose:
            raise FormPurpose(form=form.code, expected=form.purpose, actual=purpose)

    def _grant(self, grant_id: bytes) -> Grant:
        grant = self._chain.records.grant(grant_id)
        if grant is None:
            raise NotFound(what="grant", id=grant_id.hex())
        return grant

    async def _held(self, grant: Grant) -> Holdings:
        types = {item.certificate_type for item in grant.items}
        certificates = await self._certificates(grant.pii_principal_id, types)
        specs: dict[tuple[str, int], CertificateTypeSpec] = {}
        for one in certificates:
            specs[one.certificate_type, one.type_version] = self._spec(one)
        for code in types:
            kind = self._chain.records.certificate_type(code)
            if kind is not None:
                specs[code, 0] = decode_schema(kind.schema)
        return Holdings(grant=grant, certificates=certificates, specs=specs, time_ms=self._chain.head_time_ms)

    async def _certificates(self, holder: bytes, types: set[str]) -> list[Certificate]:
        """The holder's certificates of these types, the newest first."""
        found: list[Certificate] = []
        after: int | None = None
        for _ in range(CERTIFICATES_LOOKED_AT_MAX // _PAGE):
            page = await self._index.objects(
                "certificates.issued", subject=holder, after=after, limit=_PAGE, newest_first=True
            )
            for entry in page:
                certificate = self._chain.records.certificate(entry.object_id)
                if certificate is None or certificate.holder != holder:
                    continue
                if certificate.certificate_type in types:
                    found.append(certificate)
            if len(page) < _PAGE:
                break
            after = page[-1].cursor
        return found

    def _spec(self, certificate: Certificate) -> CertificateTypeSpec:
        kind = self._chain.records.certificate_type_version(
            certificate.certificate_type, certificate.type_version
        )
        if kind is None:
            raise VerificationFailed(reason="the certificate's type is not on the ledger")
        return decode_schema(kind.schema)
