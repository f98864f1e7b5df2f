"""Notices (通知): what an account is told of what happens to its data, its keys and its requests.

Rule: derived from finalized events (`node.index.concerns`), so every node tells the same. What is not to be known yet has none.
A notice's id comes from what it is about and is equal at every node: whoever gets it twice, from two nodes or from a repeated
delivery, drops the second by its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Protocol

from contracts.grant_records import shown_from_ms
from contracts.grant_states import standing
from contracts.records import AccountKind, Certificate, Grant, GrantState
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from node.index.concerns import grants_of, knows
from node.index.dossiers import ENDS_SOON, FoundNotice
from node.index.ports import Index, IndexedEvent
from node.services.mydata import SCAN_BATCH, SCAN_MAX, Page, Scope, refusal
from node.services.notice_texts import told, wording
from node.services.ports import Chain, Records

NOTICE_ID_SIZE_BYTES: Final = 16
NAMES_SHOWN_MAX: Final = 8
# Of somebody else's notices within a mandate, which have to be read to be counted.
UNREAD_MAX: Final = 1_000
_CHINA: Final = timezone(timedelta(hours=8))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ReadMarks(Protocol):
    """How far each account has read."""

    async def read_to(self, account: bytes) -> int:
        """The position of the last notice that it has read; −1 for none."""
        ...

    async def set_read(self, account: bytes, position: int) -> int:
        """Move the mark forwards, never back; where it is then."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one account is told.

    Attributes:
        position: its place among all notices of this node.
        notice_id: the same at every node.
        time_ms, told_ms: block times of what happened, and of when it was told; later where it was kept back.
        actor: name of the organisation that acted, or empty.
        own: whether the account itself acted.
        important: whether it should reach the account at once and on every channel.
        zh, en: what happened; `do_zh`, `do_en`: what can be done.
    """

    position: int
    notice_id: bytes
    account: bytes
    kind: str
    time_ms: int
    told_ms: int
    object_id: bytes
    grant_id: bytes
    transaction_id: bytes
    actor: str
    own: bool
    important: bool
    zh: str
    en: str
    do_zh: str
    do_en: str


def notice_id(suite: CryptoSuite, chain_id: bytes, account: bytes, kind: str, place: int) -> bytes:
    """The id of the notice to `account` of what happened at a place of the chain."""
    named = codec.encode((chain_id, account, kind, place))
    return suite.hash(domains.NOTICE_ID, named)[:NOTICE_ID_SIZE_BYTES]


class Notices:
    """Reads notices and words them."""

    def __init__(self, chain: Chain, index: Index, marks: ReadMarks) -> None:
        self._chain = chain
        self._index = index
        self.marks = marks

    async def page(self, scope: Scope, *, after: int | None, limit: int) -> Page[Notice]:
        """Newest first; a next page only where something is on it."""
        items: list[Notice] = []
        last = after
        for _ in range(SCAN_MAX // SCAN_BATCH):
            batch = await self._index.notices(scope.account, after=after, limit=SCAN_BATCH, newest_first=True)
            for found in batch:
                after = found.position
                notice = self.worded(found, scope)
                if notice is None:
                    continue
                if len(items) == limit:
                    return Page(tuple(items), last)
                items.append(notice)
                last = after
            if len(batch) < SCAN_BATCH:
                return Page(tuple(items), None)
        return Page(tuple(items), after)

    async def unread(self, scope: Scope) -> tuple[int, int]:
        """The read mark of the scope's account, and how many notices in scope are behind it.

        Where a mandate bounds the scope they are counted up to `UNREAD_MAX`.
        """
        mark = await self.marks.read_to(scope.account)
        if scope.purposes is None:
            return mark, await self._index.notice_count(scope.account, after=mark)
        number, after = 0, mark
        while number < UNREAD_MAX:
            batch = await self._index.notices(scope.account, after=after, limit=SCAN_BATCH)
            number += len(self.all_worded(batch, scope))
            if len(batch) < SCAN_BATCH:
                break
            after = batch[-1].position
        return mark, min(number, UNREAD_MAX)

    def all_worded(self, found: Iterable[FoundNotice], scope: Scope) -> list[Notice]:
        """Those that are told, in the same order."""
        worded = (self.worded(one, scope) for one in found)
        return [notice for notice in worded if notice is not None]

    def worded(self, found: FoundNotice, scope: Scope) -> Notice | None:
        """A notice in words; None where it is not to be known, not in scope, or no longer true."""
        event = found.event
        if event is None:
            return self._own_word(found) if scope.purposes is None else None
        records = self._chain.records
        grant = _grant_for(records, event, found.account)
        if grant is not None:
            if found.account not in knows(grant) and self._chain.head_time_ms < shown_from_ms(grant):
                return None
            if found.kind == ENDS_SOON and standing(grant, self._chain.head_time_ms) not in {
                GrantState.ACTIVE,
                GrantState.PAUSED,
            }:
                return None
        if scope.purposes is not None and (grant is None or not scope.covers(grant.purpose)):
            return None
        facts = self._facts(found, event, grant)
        words = wording(found.kind)
        return Notice(
            position=found.position,
            notice_id=notice_id(
                self._chain.suite, self._chain.chain_id, found.account, found.kind, event.cursor
            ),
            account=found.account,
            kind=found.kind,
            time_ms=event.time_ms,
            told_ms=found.time_ms,
            object_id=found.object_id,
            grant_id=b"" if grant is None else grant.grant_id,
            transaction_id=event.transaction_id,
            actor=_name(records, event.account),
            own=event.account == found.account,
            important=words.important,
            zh=told(words.zh, facts),
            en=_sentence(told(words.en, facts)),
            do_zh=told(words.do_zh, facts),
            do_en=told(words.do_en, facts),
        )

    def _facts(self, found: FoundNotice, event: IndexedEvent, grant: Grant | None) -> dict[str, str]:
        """What the words can speak of."""
        records = self._chain.records
        refused = event.kind.endswith(".refused")
        # An attempt is told of whoever made it; everything else about a grant of whom it is for.
        who = event.account if grant is None or refused else grant.grantee
        holder = found.account if grant is None else grant.pii_principal_id
        facts = {
            "kind": found.kind,
            "object": found.object_id.hex(),
            "who_zh": _somebody(records, who, found.account, "zh"),
            "who_en": _somebody(records, who, found.account, "en"),
            "holder_zh": _somebody(records, holder, found.account, "zh"),
            "holder_en": _somebody(records, holder, found.account, "en"),
            **_what(records, event, grant),
        }
        if refused:
            facts["code_zh"], facts["code_en"] = refusal(self._chain, event)
        completes_ms = dict(event.data).get("completes_ms")
        if isinstance(completes_ms, int) and completes_ms:
            facts["until"] = moment(completes_ms)
        if grant is not None:
            purpose = records.purpose(grant.purpose)
            facts["purpose_zh"] = purpose.name_zh if purpose else grant.purpose
            facts["purpose_en"] = (purpose.name_en or purpose.name_zh) if purpose else grant.purpose
            facts["until"] = moment(grant.consent_expiry_ms)
        return facts

    def _own_word(self, found: FoundNotice) -> Notice:
        """What this node says of its own."""
        words = wording(found.kind)
        facts = {"object": found.object_id.hex(), "kind": found.kind}
        return Notice(
            position=found.position,
            notice_id=notice_id(
                self._chain.suite, self._chain.chain_id, found.account, found.kind, found.position
            ),
            account=found.account,
            kind=found.kind,
            time_ms=found.time_ms,
            told_ms=found.time_ms,
            object_id=found.object_id,
            grant_id=b"",
            transaction_id=b"",
            actor="",
            own=False,
            important=words.important,
            zh=told(words.zh, facts),
            en=told(words.en, facts),
            do_zh=told(words.do_zh, facts),
            do_en=told(words.do_en, facts),
        )


def without_advice(notice: Notice) -> Notice:
    """The notice for somebody who cannot act on it."""
    return replace(notice, do_zh="", do_en="")


def moment(time_ms: int) -> str:
    """A time as people in China read it, to the minute."""
    seconds = min(time_ms, 253_402_214_400_000) // 1000
    return f"{(_EPOCH + timedelta(seconds=seconds)).astimezone(_CHINA):%Y-%m-%d %H:%M} (UTC+8)"


def _grant_for(records: Records, event: IndexedEvent, account: bytes) -> Grant | None:
    """The account's own grant among those that the event is under, or the only one."""
    grants = grants_of(records, event.kind, event.object_id, event.subjects)
    own = [grant for grant in grants if account in {grant.pii_principal_id, grant.grantee}]
    return next(iter((*own, *grants)), None)


def _what(records: Records, event: IndexedEvent, grant: Grant | None) -> dict[str, str]:
    """Which certificates and fields it is about, in words."""
    certificate = records.certificate(event.object_id) if len(event.object_id) == 16 else None
    if certificate is not None:
        return _types(records, [certificate.certificate_type])
    release = records.release(event.object_id) if len(event.object_id) == 8 else None
    if release is not None:
        opened = [records.certificate(output.certificate) for output in release.outputs]
        names = [name for output in release.outputs for name in (*output.fields, output.attachment) if name]
        return _types(records, _codes(opened), names)
    if grant is None:
        return {}
    items = grant.items or grant.requested_items
    names = [name for item in items for name in (*item.fields, *item.attachments)]
    return _types(records, [item.certificate_type for item in items], names)


def _codes(certificates: Iterable[Certificate | None]) -> list[str]:
    return [one.certificate_type for one in certificates if one is not None]


def _types(records: Records, codes: Iterable[str], names: Iterable[str] = ()) -> dict[str, str]:
    kinds = [records.certificate_type(code) for code in dict.fromkeys(codes)]
    zh = "、".join(f"《{kind.name_zh}》" for kind in kinds if kind is not None) or "证照"
    en = ", ".join((kind.name_en or kind.name_zh) for kind in kinds if kind is not None) or "a certificate"
    once = list(dict.fromkeys(names))
    if not once:
        return {"what_zh": zh, "what_en": en}
    shown = ", ".join(once[:NAMES_SHOWN_MAX]) + (" …" if len(once) > NAMES_SHOWN_MAX else "")
    return {
        "what_zh": f"{zh}的 {len(once)} 项数据（{shown}）",
        "what_en": f"{len(once)} parts of {en} ({shown})",
    }


def _name(records: Records, account_id: bytes) -> str:
    account = records.account(account_id)
    return account.name if account else ""


def _somebody(records: Records, account_id: bytes, told_to: bytes, language: str) -> str:
    """Whom to call what: an account by its name, the reader “you”, a person without a name by what it is."""
    if account_id == told_to:
        return "您" if language == "zh" else "you"
    account = records.account(account_id)
    if account is not None and account.name:
        return account.name
    if account is not None and account.kind is AccountKind.PERSON:
        return "持证人" if language == "zh" else "the holder"
    return "网络" if language == "zh" else "the network"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
