"""Views of an account's own data, of notices and of webhooks.

Rule: as in `records.py`. What has a name for people is shown with it, in both languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from contracts.classes import class_of
from contracts.people_records import Recovery, RecoveryState
from contracts.records import Certificate, CertificateType, Grant, Output, Release, ReleaseState
from contracts.representation_records import Mandate
from ledger.decoders import decode_json
from node.http.views import grants as grant_views
from node.http.views import records as views
from node.http.views.common import Names, hex_or_none, instant, instant_or_none
from node.index.ports import IndexedEvent
from node.services.mydata import Found, Scope, in_force, refusal
from node.services.notices import Notice, moment
from node.services.ports import Services
from node.services.webhook_records import Delivery, DeliveryState, Webhook
from zhenglian import api_mydata as api
from zhenglian.api import GrantView
from zhenglian.catalogue import CertificateTypeSpec
from zhenglian.masking import mask_of

_OUTCOMES: Final = {
    ReleaseState.REQUESTED: ("已申请，文件尚未就绪", "asked for; the files are not ready"),
    ReleaseState.PREPARED: (
        "文件已就绪，尚未确认收到",
        "the files are ready; nobody has confirmed that they came",
    ),
    ReleaseState.DELIVERED: ("已送达", "delivered"),
    ReleaseState.FAILED: ("未成，数据没有离开", "failed; nothing left"),
    ReleaseState.CLOSED: (
        "逾期未确认收到，文件已删除",
        "nobody confirmed that it came; the files are deleted",
    ),
}
_NOTHING: Final = api.Texts(zh="", en="")


class Shown:
    """Turns what was found for one request into views; names are read once.

    Args:
        services: what the records are read from.
        scope: whose data.
    """

    def __init__(self, services: Services, scope: Scope) -> None:
        self._services = services
        self._chain = services.chain
        self._records = services.chain.records
        self._names = Names(services.chain.records)
        self._scope = scope

    def certificate(self, found: Found) -> api.HeldView | None:
        """A certificate that the account holds."""
        record = found.certificate
        if record is None:
            return None
        kind = self._records.certificate_type(record.certificate_type)
        return api.HeldView(
            certificate=views.certificate(record, self._records, self._names, self._chain.head_time_ms),
            certificate_type_name_en=kind.name_en if kind else "",
            parts=[] if kind is None else parts(kind, record),
            erased=instant_or_none(record.erased_ms),
        )

    def grant(self, found: Found) -> api.GivenView | None:
        """A grant on the account's data."""
        record = found.grant
        if record is None:
            return None
        return api.GivenView(
            grant=self._grant_view(record),
            purpose_name=self._purpose(record.purpose),
            consent=record.access is None,
            given_by=self._given_by(record),
        )

    def _grant_view(self, record: Grant) -> GrantView:
        duty = self._records.deletion_duty(record.grant_id)
        return grant_views.grant(record, self._names, self._chain.head_time_ms, duty)

    def _given_by(self, record: Grant) -> api.Texts:
        if record.access is not None:
            return api.Texts(zh="依法使用，未经同意", en="a legal basis, without consent")
        if record.representation is not None:
            name = self._names.account(record.representation.by) or record.representation.by.hex()
            return api.Texts(zh=f"代理人 {name}", en=f"the representative {name}")
        return api.Texts(zh="本人", en="the holder")

    def access(self, found: Found) -> api.AccessView | None:
        """Somebody's look, or attempt at one."""
        event, release, grant = found.event, found.release, found.grant
        officer = _officer(event) if release is None else release.officer
        outcome, words = self._outcome(found)
        organization = event.account if release is None else release.grantee
        purpose = release.purpose if release is not None else grant.purpose if grant is not None else ""
        return api.AccessView(
            kind=_access_kind(event, release),
            time=instant(event.time_ms),
            height=event.height,
            transaction_id=event.transaction_id.hex(),
            organization=organization.hex(),
            organization_name=self._names.account(organization),
            officer=officer.hex(),
            officer_label=self._names.key(organization, officer),
            system=self._system(event, release),
            purpose=purpose,
            purpose_name=self._purpose(purpose) if purpose else _NOTHING,
            grant_id=hex_or_none(found.entry.grant_id if release is None else release.grant_id),
            release_id=None if release is None else release.release_id.hex(),
            released_by_name="" if release is None else self._names.account(release.released_by),
            parts=[] if release is None else [self._part(output) for output in release.outputs],
            outcome=outcome,
            outcome_text=words,
            ended=None if release is None else instant_or_none(release.delivered_ms or release.prepared_ms),
        )

    def _system(self, event: IndexedEvent, release: Release | None) -> str:
        """Label of the agent key that acted for the officer, if one did."""
        if release is not None:
            return self._names.key(release.grantee, release.agent) if release.agent else ""
        signed = event.key_id
        return "" if _officer(event) == signed else self._names.key(event.account, signed)

    def _outcome(self, found: Found) -> tuple[str, api.Texts]:
        release, event = found.release, found.event
        if release is not None:
            zh, en = _OUTCOMES[release.state]
            if release.failure:
                zh, en = f"{zh}（{release.failure}）", f"{en} ({release.failure})"
            return release.state.value, api.Texts(zh=zh, en=en)
        if event.kind.endswith(".refused"):
            zh, en = refusal(self._chain, event)
            return event.code, api.Texts(zh=zh, en=en)
        if event.kind.startswith("counts."):
            return "counted", api.Texts(zh="已计入统计，数据没有离开", en="counted; no data left")
        return "examined", api.Texts(zh="为追查泄露核对", en="examined to find the source of a leak")

    def _part(self, output: Output) -> api.AccessPartView:
        certificate = self._records.certificate(output.certificate)
        code = "" if certificate is None else certificate.certificate_type
        kind = self._records.certificate_type(code) if code else None
        return api.AccessPartView(
            certificate=output.certificate.hex(),
            certificate_type=code,
            certificate_type_name=_NOTHING if kind is None else api.Texts(zh=kind.name_zh, en=kind.name_en),
            fields=list(output.fields),
            attachment=output.attachment,
            format=output.format.value,
            question="" if output.question is None else output.question.name,
        )

    def request(self, found: Found) -> api.PendingView | None:
        """What waits for the account."""
        if found.grant is not None:
            return self._waiting_grant(found.grant)
        if found.recovery is not None:
            return self._waiting_recovery(found.recovery)
        return None if found.mandate is None else self._waiting_mandate(found.mandate)

    def _waiting_grant(self, record: Grant) -> api.PendingView:
        who = self._names.account(record.grantee)
        purpose, until = self._purpose(record.purpose), moment(record.consent_expiry_ms)
        return api.PendingView(
            kind="grant",
            id=record.grant_id.hex(),
            since=instant(record.requested_ms),
            until=instant(record.consent_expiry_ms),
            text=api.Texts(
                zh=f"{who}为“{purpose.zh}”申请授权：请在 {until} 前同意（可只同意一部分）或拒绝。",
                en=f"{who} asks for data for “{purpose.en}”: approve, in whole or part, or reject until {until}.",
            ),
            grant=self._grant_view(record),
        )

    def _waiting_recovery(self, record: Recovery) -> api.PendingView:
        who, until = self._names.account(record.opened_by), moment(record.completes_ms)
        pending = record.state is RecoveryState.PENDING
        zh = f"{who}为您的账户发起找回，" + (f"将于 {until} 换用新密钥" if pending else "尚待另一机构确认")
        en = f"{who} recovers your account; " + (
            f"a new key takes over at {until}" if pending else "another organisation has yet to confirm"
        )
        return api.PendingView(
            kind="recovery",
            id=record.account.hex(),
            since=instant(record.state_since_ms),
            until=instant(record.completes_ms),
            text=api.Texts(
                zh=f"{zh}。如非本人申请，请用任一密钥否决：zhenglian person veto。",
                en=f"{en}. If you did not ask for it, veto it with any of your keys: zhenglian person veto.",
            ),
            grant=None,
        )

    def _waiting_mandate(self, record: Mandate) -> api.PendingView:
        who, until = (
            self._names.account(record.appointed_by) or record.appointed_by.hex(),
            moment(record.until_ms),
        )
        return api.PendingView(
            kind="mandate",
            id=record.mandate_id.hex(),
            since=instant(record.appointed_ms),
            until=instant(record.until_ms),
            text=api.Texts(
                zh=f"{who} 指定您为代理人，至 {until}：接受后生效，不愿意可终止。",
                en=f"{who} appoints you as a representative until {until}: accept it, or end it if you do not want to.",
            ),
            grant=None,
        )

    def representation(self, found: Found) -> api.RepresentedView | None:
        """That the account acts for another, or another for it."""
        record = found.mandate
        if record is None:
            return None
        return api.RepresentedView(
            role="principal" if record.principal == self._scope.account else "representative",
            mandate=grant_views.mandate(record, self._names, self._chain.head_time_ms),
            in_force=in_force(record, self._chain.head_time_ms),
        )

    def _purpose(self, code: str) -> api.Texts:
        purpose = self._records.purpose(code)
        if purpose is None:
            return api.Texts(zh=code, en=code)
        return api.Texts(zh=purpose.name_zh, en=purpose.name_en or purpose.name_zh)


def _officer(event: IndexedEvent) -> bytes:
    """The key that answers for an event: the officer's where an agent signed for him."""
    named = dict(event.data).get("officer")
    try:
        return bytes.fromhex(named) if isinstance(named, str) else event.key_id
    except ValueError:
        return event.key_id


def _access_kind(event: IndexedEvent, release: Release | None) -> str:
    if release is not None:
        return "release"
    if event.kind.endswith(".refused"):
        return "refused"
    return {"traces": "trace", "counts": "count"}.get(event.kind.partition(".")[0], "other")


def parts(kind: CertificateType, record: Certificate) -> list[api.PartView]:
    """The fields and attachments that a certificate has, with class and mask as its type says."""
    spec = _spec(kind)
    labels = _labels(spec)
    named = [(name, "field") for name in record.fields] + [
        (name, "attachment") for name in record.attachments
    ]
    shown = []
    for name, what in named:
        found = class_of(kind, name)
        mask = mask_of(spec, name) if spec is not None and what == "field" else None
        shown.append(
            api.PartView(
                name=name,
                name_zh=labels.get(name, ""),
                kind=what,
                grade=found.grade.value,
                level=found.level,
                sensitivity=found.sensitivity.value,
                mask="" if mask is None else mask.value,
            )
        )
    return shown


def _spec(kind: CertificateType) -> CertificateTypeSpec | None:
    """The type's full description; contracts take it as bytes, so it may be anything."""
    try:
        return decode_json(kind.schema, CertificateTypeSpec) if kind.schema else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _labels(spec: CertificateTypeSpec | None) -> Mapping[str, str]:
    if spec is None:
        return {}
    named: Sequence[Any] = (*spec.fields, *spec.attachments)
    return {one.name: one.name_zh for one in named}


def notice(record: Notice, read_to: int) -> api.NoticeView:
    """A notice; `read_to` is how far its account has read."""
    return api.NoticeView(
        position=str(record.position),
        notice_id=record.notice_id.hex(),
        account=record.account.hex(),
        kind=record.kind,
        time=instant(record.time_ms),
        told=instant(record.told_ms),
        object_id=record.object_id.hex(),
        grant_id=hex_or_none(record.grant_id),
        transaction_id=hex_or_none(record.transaction_id),
        actor_name=record.actor,
        own=record.own,
        important=record.important,
        read=record.position <= read_to,
        text=api.Texts(zh=record.zh, en=record.en),
        action=api.Texts(zh=record.do_zh, en=record.do_en),
    )


def delivery_body(record: Notice) -> bytes:
    """A notice as the body of a webhook's delivery; the same bytes for every attempt."""
    view = msgspec.to_builtins(notice(record, -1))
    # Where it stands, and whether it was read, is this node's business; a receiver may hear of it from two nodes.
    data = {name: value for name, value in view.items() if name not in {"position", "read"}}
    return msgspec.json.encode({"type": record.kind, "timestamp": data["time"], "data": data})


def webhook(record: Webhook, secret: str | None = None) -> api.WebhookView:
    """A webhook, with its secret only where it was just made."""
    return api.WebhookView(
        webhook_id=record.webhook_id.hex(),
        name=record.name,
        url=record.url,
        kinds=list(record.kinds),
        state=record.state.value,
        disabled_reason=record.disabled_reason,
        created=instant(record.created_ms),
        created_by=record.created_by.hex(),
        failing_since=instant_or_none(record.failing_since_ms),
        secret=secret,
    )


def delivery(record: Delivery) -> api.DeliveryView:
    """A delivery and what came of it so far."""
    waits = record.state is DeliveryState.PENDING
    return api.DeliveryView(
        message_id=f"msg_{record.message_id.hex()}",
        kind=record.kind,
        state=record.state.value,
        attempts=record.attempts,
        created=instant(record.created_ms),
        next_attempt=instant(record.next_ms) if waits else None,
        finished=instant_or_none(record.finished_ms),
        status=record.status or None,
        error=record.error,
    )
