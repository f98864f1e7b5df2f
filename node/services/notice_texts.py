"""What people are told of what happened, in Chinese and English, and what they can do about it.

Rule: one row for each kind of event, one sentence and at most one piece of advice in it; no value of a certificate is ever in one.
An event without a row is told all the same, plainly. Placeholders are those of `FACTS`, and nothing a user wrote is a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FACTS: Final = frozenset(
    {
        "who_zh",
        "who_en",
        "holder_zh",
        "holder_en",
        "purpose_zh",
        "purpose_en",
        "what_zh",
        "what_en",
        "until",
        "code_zh",
        "code_en",
        "kind",
        "object",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One kind of notice.

    Attributes:
        zh, en: what happened.
        do_zh, do_en: what the account can do; empty where there is nothing to do.
        important: whether it should reach the account at once and on every channel.
    """

    zh: str
    en: str
    do_zh: str = ""
    do_en: str = ""
    important: bool = False


_REVOKE_ZH: Final = "如不再同意，可随时撤销：zhenglian grant revoke {object}。"
_REVOKE_EN: Final = "You can take it back at any time: zhenglian grant revoke {object}."
_NOT_ME_ZH: Final = "如非本人操作，请立即用另一把密钥注销它，并联系办理窗口。"
_NOT_ME_EN: Final = "If that was not you, revoke it at once with another key and go to a service window."
_COMPLAIN_ZH: Final = "如有异议，可凭本通知中的交易编号向审计机构申请复核。"
_COMPLAIN_EN: Final = "If you object, give the transaction id of this notice to an auditor for review."

_GRANTS: Final[Mapping[str, Wording]] = {
    "grants.requested": Wording(
        zh="{who_zh}为“{purpose_zh}”申请使用{what_zh}。",
        en="{who_en} asks for {what_en}, for “{purpose_en}”.",
        do_zh="请在 {until} 前同意（可只同意一部分）或拒绝：zhenglian grant approve {object} 或 zhenglian grant reject {object}。",
        do_en="Approve it, in whole or part, or reject it until {until}: zhenglian grant approve {object}, or grant reject.",
        important=True,
    ),
    "grants.approved": Wording(
        zh="{holder_zh}已同意{who_zh}为“{purpose_zh}”使用{what_zh}，至 {until}。",
        en="{who_en} may use {what_en} of {holder_en} for “{purpose_en}” until {until}.",
        do_zh=_REVOKE_ZH,
        do_en=_REVOKE_EN,
        important=True,
    ),
    "grants.narrowed": Wording(
        zh="{who_zh}的授权已缩小，现为{what_zh}，至 {until}。",
        en="{who_en} now has less: {what_en} until {until}.",
        do_zh=_REVOKE_ZH,
        do_en=_REVOKE_EN,
        important=True,
    ),
    "grants.renewed": Wording(
        zh="{who_zh}“{purpose_zh}”的授权已续期，至 {until}。",
        en="The grant to {who_en} for “{purpose_en}” was renewed until {until}.",
        do_zh=_REVOKE_ZH,
        do_en=_REVOKE_EN,
        important=True,
    ),
    "grants.rejected": Wording(
        zh="{who_zh}为“{purpose_zh}”的申请已被拒绝。",
        en="The request of {who_en} for “{purpose_en}” was rejected.",
    ),
    "grants.paused": Wording(
        zh="{who_zh}“{purpose_zh}”的授权已暂停。",
        en="The grant to {who_en} for “{purpose_en}” is paused.",
        do_zh="可随时恢复：zhenglian grant resume {object}。",
        do_en="Its holder can resume it: zhenglian grant resume {object}.",
    ),
    "grants.resumed": Wording(
        zh="{who_zh}“{purpose_zh}”的授权已恢复。",
        en="The grant to {who_en} for “{purpose_en}” is in force again.",
        do_zh=_REVOKE_ZH,
        do_en=_REVOKE_EN,
    ),
    "grants.revoked": Wording(
        zh="{who_zh}“{purpose_zh}”的授权已撤销，不再打开任何数据。",
        en="The grant to {who_en} for “{purpose_en}” is revoked and opens nothing any more.",
    ),
    "grants.expired": Wording(
        zh="{who_zh}“{purpose_zh}”的授权或申请已到期。",
        en="The grant or request of {who_en} for “{purpose_en}” has ended.",
    ),
    "grants.exhausted": Wording(
        zh="{who_zh}“{purpose_zh}”的授权次数已用完。",
        en="The grant to {who_en} for “{purpose_en}” is used up.",
    ),
    "grants.own_opened": Wording(
        zh="您为自己打开了{what_zh}，至 {until}。",
        en="You opened {what_en} to yourself until {until}.",
        do_zh=_NOT_ME_ZH,
        do_en=_NOT_ME_EN,
        important=True,
    ),
    "grants.ends_soon": Wording(
        zh="{who_zh}“{purpose_zh}”的授权将于 {until} 到期。",
        en="The grant to {who_en} for “{purpose_en}” ends at {until}.",
        do_zh="无需操作即到期；如需继续，请等对方申请续期后同意。",
        do_en="It ends by itself. If it is to go on, approve its renewal when {who_en} asks for it.",
    ),
    "grants.access_requested": Wording(
        zh="{who_zh}依法申请在未经同意的情况下为“{purpose_zh}”使用{what_zh}，须经另一机构批准。",
        en="{who_en} asked for {what_en} on a legal basis, without consent, for “{purpose_en}”; another organisation decides.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "grants.access_approved": Wording(
        zh="{who_zh}依法获准在未经同意的情况下为“{purpose_zh}”使用{what_zh}，至 {until}。",
        en="{who_en} was given {what_en} on a legal basis, without consent, for “{purpose_en}” until {until}.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "grants.access_rejected": Wording(
        zh="{who_zh}依法使用数据的申请未获批准。",
        en="The request of {who_en} for access on a legal basis was rejected.",
    ),
    "grants.access_ended": Wording(
        zh="{who_zh}依法使用数据的权限已终止。",
        en="The access of {who_en} on a legal basis has ended.",
    ),
    "grants.emergency_opened": Wording(
        zh="{who_zh}因紧急情况为“{purpose_zh}”直接使用{what_zh}，至 {until}，事后由另一机构复核。",
        en="In an emergency {who_en} opened {what_en} for “{purpose_en}” until {until}; another organisation reviews it.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "grants.reviewed": Wording(
        zh="{who_zh}的紧急使用已经复核。",
        en="The emergency access of {who_en} was reviewed.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
    ),
    "grants.review_overdue": Wording(
        zh="{who_zh}的紧急使用逾期未复核。",
        en="The emergency access of {who_en} was not reviewed in time.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "grants.notice_extended": Wording(
        zh="对{who_zh}依法使用的告知曾被推迟。",
        en="Telling of the access of {who_en} was put off.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
    ),
    "grants.deletion_due": Wording(
        zh="{who_zh}须删除“{purpose_zh}”取得的数据并提交声明。",
        en="{who_en} has to delete what it was given for “{purpose_en}” and state so.",
    ),
    "grants.deletion_overdue": Wording(
        zh="{who_zh}逾期未声明删除“{purpose_zh}”取得的数据。",
        en="{who_en} has not stated in time that what it was given for “{purpose_en}” is deleted.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "grants.deletion_stated": Wording(
        zh="{who_zh}已声明删除“{purpose_zh}”取得的数据。",
        en="{who_en} states that what it was given for “{purpose_en}” is deleted.",
    ),
    "grants.refused": Wording(
        zh="{who_zh}的一次操作被账本拒绝：{code_zh}",
        en="Something that {who_en} tried was refused by the ledger: {code_en}",
    ),
}

_RELEASES: Final[Mapping[str, Wording]] = {
    "releases.requested": Wording(
        zh="{who_zh}为“{purpose_zh}”下链取用{what_zh}。",
        en="{who_en} fetches {what_en}, for “{purpose_en}”.",
        do_zh="如有疑问，可暂停或撤销该授权。",
        do_en="If in doubt, pause or revoke the grant.",
    ),
    "releases.prepared": Wording(
        zh="供{who_zh}取用的{what_zh}已就绪，已加水印。",
        en="{what_en} is ready for {who_en}, with its mark.",
    ),
    "releases.delivered": Wording(
        zh="{who_zh}已收到{what_zh}。",
        en="{who_en} has received {what_en}.",
        do_zh="如有疑问，可暂停或撤销该授权。",
        do_en="If in doubt, pause or revoke the grant.",
    ),
    "releases.failed": Wording(
        zh="{who_zh}取用{what_zh}未成，数据没有离开。",
        en="Fetching {what_en} for {who_en} failed; nothing left.",
    ),
    "releases.closed": Wording(
        zh="{who_zh}未确认收到{what_zh}，文件已删除。",
        en="{who_en} did not confirm that {what_en} came; the files are deleted.",
    ),
    "releases.refused": Wording(
        zh="{who_zh}试图取用数据，被账本拒绝：{code_zh}",
        en="{who_en} tried to fetch data and was refused: {code_en}",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "grants.disclosed": Wording(
        zh="已向{who_zh}出示{what_zh}。",
        en="{what_en} was shown to {who_en}.",
    ),
    "traces.requested": Wording(
        zh="{who_zh}为追查泄露核对了您的证照。",
        en="{who_en} examined your certificates to find the source of a leak.",
        important=True,
    ),
    "traces.concluded": Wording(
        zh="一次泄露追查已有结论。", en="The search for the source of a leak is over."
    ),
    "traces.refused": Wording(
        zh="{who_zh}的一次追查被账本拒绝：{code_zh}",
        en="A search by {who_en} was refused: {code_en}",
    ),
    "counts.contributed": Wording(
        zh="您的证照计入了{who_zh}的一次统计，数据没有离开。",
        en="Your certificate was counted in a statistic of {who_en}; no data left.",
    ),
}

_CERTIFICATES: Final[Mapping[str, Wording]] = {
    "certificates.issued": Wording(
        zh="{who_zh}为{holder_zh}颁发了{what_zh}。", en="{who_en} issued {what_en} to {holder_en}."
    ),
    "certificates.state_set": Wording(
        zh="{who_zh}变更了{what_zh}的状态。",
        en="{who_en} changed the state of {what_en}.",
        do_zh="如有异议，请联系颁发机构。",
        do_en="If you object, ask the organisation that issued it.",
        important=True,
    ),
    "certificates.state_ended": Wording(
        zh="{who_zh}解除了{what_zh}的一项状态。", en="{who_en} ended a state of {what_en}."
    ),
    "certificates.superseded": Wording(
        zh="{what_zh}已由新证照取代。", en="{what_en} was replaced by a new one."
    ),
    "certificates.erasure_requested": Wording(
        zh="已申请删除{what_zh}的数据。", en="Erasing the data of {what_en} was asked for."
    ),
    "certificates.erasure_declined": Wording(
        zh="{who_zh}未同意删除{what_zh}的数据。",
        en="{who_en} declined to erase the data of {what_en}.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
    ),
    "certificates.erasure_overdue": Wording(
        zh="删除{what_zh}数据的申请逾期未答复。",
        en="The request to erase the data of {what_en} was not answered in time.",
        do_zh=_COMPLAIN_ZH,
        do_en=_COMPLAIN_EN,
        important=True,
    ),
    "certificates.erased": Wording(
        zh="{what_zh}的数据已删除，账本只留存记录。",
        en="The data of {what_en} is erased; the ledger keeps the record of it.",
        important=True,
    ),
    "certificates.destroyed": Wording(
        zh="{who_zh}的节点已销毁{what_zh}的密文。",
        en="The node of {who_en} has destroyed the ciphertext of {what_en}.",
    ),
}

_ACCOUNTS: Final[Mapping[str, Wording]] = {
    "people.enrolled": Wording(
        zh="{who_zh}核验身份后为您开户。",
        en="{who_en} opened your account after identifying you.",
        important=True,
    ),
    "people.key_added": Wording(
        zh="您的账户新增了一把密钥。",
        en="A key was added to your account.",
        do_zh=_NOT_ME_ZH,
        do_en=_NOT_ME_EN,
        important=True,
    ),
    "people.key_revoked": Wording(
        zh="您账户的一把密钥已注销。",
        en="A key of your account was revoked.",
        do_zh="如非本人操作，请立即到办理窗口。",
        do_en="If that was not you, go to a service window at once.",
        important=True,
    ),
    "people.reachable_set": Wording(
        zh="您的通知渠道状态已变更。",
        en="Whether notices reach you was changed.",
        do_zh=_NOT_ME_ZH,
        do_en=_NOT_ME_EN,
        important=True,
    ),
    "people.tags_moved": Wording(
        zh="您账户的查询标识已更新。", en="The tags by which your account is found were renewed."
    ),
    "recoveries.opened": Wording(
        zh="{who_zh}为您的账户发起找回，另一机构确认后 72 小时生效。",
        en="{who_en} began to recover your account; 72 hours after another organisation confirms it takes effect.",
        do_zh="如非本人申请，请在 {until} 前用任一密钥否决：zhenglian person veto。",
        do_en="If you did not ask for it, veto it until {until} with any of your keys: zhenglian person veto.",
        important=True,
    ),
    "recoveries.confirmed": Wording(
        zh="{who_zh}确认了您账户的找回，将于 {until} 换用新密钥。",
        en="{who_en} confirmed the recovery of your account; at {until} a new key takes over.",
        do_zh="如非本人申请，请在此前用任一密钥否决：zhenglian person veto。",
        do_en="If you did not ask for it, veto it before with any of your keys: zhenglian person veto.",
        important=True,
    ),
    "recoveries.completed": Wording(
        zh="您的账户已换用新密钥，旧密钥全部注销；七天内不能新增授权或导出。",
        en="Your account has a new key and all others are revoked; for seven days it gives no grants and exports nothing.",
        do_zh="如非本人申请，请立即到办理窗口。",
        do_en="If you did not ask for it, go to a service window at once.",
        important=True,
    ),
    "recoveries.vetoed": Wording(
        zh="您账户的找回已被否决。", en="The recovery of your account was vetoed.", important=True
    ),
    "recoveries.lapsed": Wording(
        zh="您账户的找回因逾期未确认而失效。",
        en="The recovery of your account lapsed: nobody confirmed it in time.",
    ),
    "representation.appointed": Wording(
        zh="{who_zh}指定了代理人。",
        en="{who_en} appointed a representative.",
        do_zh="代理人接受后生效；不同意可终止：zhenglian grant represent end {object}。",
        do_en="It counts once the representative accepts; end it if you do not agree: zhenglian grant represent end {object}.",
        important=True,
    ),
    "representation.accepted": Wording(
        zh="代理已被接受，现已生效。",
        en="A representative has accepted and may act now.",
        do_zh="可随时终止：zhenglian grant represent end {object}。",
        do_en="It can be ended at any time: zhenglian grant represent end {object}.",
        important=True,
    ),
    "representation.ended": Wording(zh="代理已终止。", en="A representation was ended.", important=True),
    "representation.expired": Wording(zh="代理已到期。", en="A representation has run out."),
    "representation.assisted": Wording(
        zh="{who_zh}的窗口人员正协助您办理一项授权。",
        en="A clerk of {who_en} helps you to decide on a request.",
        do_zh="如非本人在场，请立即拒绝该授权。",
        do_en="If you are not there, reject the request at once.",
        important=True,
    ),
    "organizations.key_added": Wording(
        zh="贵机构新增了一把密钥。",
        en="A key was added to your organisation.",
        do_zh="如非授权操作，请立即注销。",
        do_en="If nobody was entitled to, revoke it at once.",
        important=True,
    ),
    "organizations.key_revoked": Wording(
        zh="贵机构的一把密钥已注销。", en="A key of your organisation was revoked.", important=True
    ),
    "organizations.suspended": Wording(
        zh="贵机构已被暂停。", en="Your organisation is suspended.", important=True
    ),
    "organizations.reinstated": Wording(
        zh="贵机构已恢复。", en="Your organisation is reinstated.", important=True
    ),
    "webhooks.disabled": Wording(
        zh="回调 {object} 长期投递失败，已停用，未送达的通知仍保留。",
        en="Webhook {object} failed for so long that it is disabled; what it has not delivered is kept.",
        do_zh="修复接收端后重新启用：zhenglian webhook enable {object}。",
        do_en="Mend the receiver and enable it again: zhenglian webhook enable {object}.",
        important=True,
    ),
}

WORDINGS: Final[Mapping[str, Wording]] = {**_GRANTS, **_RELEASES, **_CERTIFICATES, **_ACCOUNTS}

_REFUSED: Final = Wording(
    zh="{who_zh}的一次操作被账本拒绝：{code_zh}",
    en="Something that {who_en} tried was refused by the ledger: {code_en}",
)
_OTHERWISE: Final = Wording(
    zh="账本记录了与您有关的一件事（{kind}），操作方：{who_zh}。",
    en="The ledger has recorded something that concerns you ({kind}), done by {who_en}.",
)


def wording(kind: str) -> Wording:
    """The words for a kind of event; plain ones for a kind that has none of its own."""
    found = WORDINGS.get(kind)
    if found is not None:
        return found
    return _REFUSED if kind.endswith(".refused") else _OTHERWISE


def told(template: str, facts: Mapping[str, str]) -> str:
    """A template with its facts; a fact that is not known is a dash."""
    return template.format_map({name: facts.get(name) or "—" for name in FACTS})
