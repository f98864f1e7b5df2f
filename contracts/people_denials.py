"""Denials about people, lookups and registrars; a part of `denials.DENIALS`.

Rule: as there. None of them says whether somebody is enrolled to whoever does not already hold the tag.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

_INVALID = Category.INVALID
_FORBIDDEN = Category.FORBIDDEN
_MISSING = Category.MISSING
_CONFLICT = Category.CONFLICT
_BUSY = Category.BUSY

PEOPLE_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    # lookups
    "directory_not_ready": (
        _CONFLICT,
        "人员索引密钥尚未生成，请稍后再试",
        "The directory key has not been made yet; try again later",
    ),
    "unknown_entry": (
        _MISSING,
        "{account} 不是本网络的节点，请改用现有节点查询",
        "{account} is no node of this network; look up through one that is",
    ),
    "lookup_quota": (
        _FORBIDDEN,
        "{what} 24 小时内最多查询 {maximum} 人，已查 {used} 人；请稍后再试，或由运营方表决调整",
        "At most {maximum} people are looked up by one {what} in 24 hours, and {used} were; wait, or have operators vote",
    ),
    "own_number_only": (
        _FORBIDDEN,
        "个人只能查询自己的号码",
        "A person looks up nobody but itself",
    ),
    "unknown_ticket": (_MISSING, "没有查询票据 {ticket}", "There is no lookup ticket {ticket}"),
    "ticket_of_another": (
        _FORBIDDEN,
        "查询票据 {ticket} 不属于本机构",
        "Lookup ticket {ticket} is not this organisation's",
    ),
    "ticket_expired": (
        _CONFLICT,
        "查询票据 {ticket} 已过期，请重新申请",
        "Lookup ticket {ticket} has expired; ask for another",
    ),
    "ticket_withdrawn": (
        _FORBIDDEN,
        "查询票据 {ticket} 已失效：申请人或批准人的密钥已吊销或到期，或机构已暂停",
        "Lookup ticket {ticket} counts no more: a key behind it was revoked or has ended, or the organisation is suspended",
    ),
    "ticket_approved": (
        _CONFLICT,
        "查询票据 {ticket} 已获批准",
        "Lookup ticket {ticket} is approved already",
    ),
    "ticket_not_approved": (
        _FORBIDDEN,
        "查询票据 {ticket} 须由本机构另一名经办人批准",
        "Lookup ticket {ticket} needs the approval of another officer of the organisation",
    ),
    "own_approval": (
        _FORBIDDEN,
        "须由另一名经办人批准，不能自行批准（同一工号的另一密钥不算）",
        "Another officer must approve, not the one who asked, nor by a second key of the same staff number",
    ),
    # registrars and assertions
    "not_a_registrar": (
        _FORBIDDEN,
        "机构 {account} 未获准就此（{use}，{method}）核验身份，须由运营方表决",
        "Organisation {account} may not assert identities so ({use}, {method}); operators vote on that",
    ),
    "assertion_for_another": (
        _INVALID,
        "身份断言与此办理事项不符（{what}），请重新签发",
        "The identity assertion is not for this ({what}); have it issued anew",
    ),
    "assertion_time": (
        _CONFLICT,
        "身份断言不在有效时间内（{issued_ms} 至 {expires_ms}，最长 {maximum_ms} 毫秒，当前 {time_ms}），请重新签发",
        "The identity assertion does not count now ({issued_ms} to {expires_ms}, at most {maximum_ms} ms, now {time_ms})",
    ),
    "assertion_signature": (
        _INVALID,
        "身份断言的签名无效，或签名密钥不是该机构的有效经办人密钥",
        "The identity assertion is not signed by a valid officer key of its issuer",
    ),
    "assertion_stale": (
        _CONFLICT,
        "身份断言签发于上一次找回结束（{ended_ms}）之前，须重新核验此人并重新签发",
        "The identity assertion was made before the last recovery ended ({ended_ms}); identify the person again",
    ),
    "second_officer": (
        _FORBIDDEN,
        "须由签发身份断言者以外的经办人提交（同一工号的另一密钥不算）",
        "Another officer than the one who signed the identity assertion must bring it, not by another key of one staff number",
    ),
    "in_person_only": (
        _FORBIDDEN,
        "此人没有可达的通知渠道，须当面核验（clerk）",
        "This person has no channel on which notices arrive; it must be identified in person (clerk)",
    ),
    "element_invalid": (
        _INVALID,
        "盲化元素无效",
        "The person's own element is not an element of the group",
    ),
    # accounts of people
    "account_restricted": (
        _FORBIDDEN,
        "账户刚经找回，{until_ms} 之前不能同意授权、导出数据或打开保险箱",
        "The account was recovered lately; until {until_ms} it consents to nothing, exports nothing and opens no safe",
    ),
    "tag_of_another": (
        _CONFLICT,
        "索引标签（版本 {version}）已属于另一账户，请核对身份",
        "The tag (version {version}) belongs to another account; check who it is",
    ),
    "tagged_otherwise": (
        _CONFLICT,
        "账户在版本 {version} 下已有另一标签，一个账户只对应一个号码",
        "The account is found by another tag under version {version}; an account is of one number",
    ),
    "unknown_tag": (
        _MISSING,
        "索引标签（版本 {version}）没有对应账户",
        "No account stands under that tag (version {version})",
    ),
    "moves_exceed_ticket": (
        _INVALID,
        "票据 {ticket} 只有 {count} 个元素，不能转写 {moves} 个标签",
        "Ticket {ticket} has {count} elements and cannot move {moves} tags",
    ),
    # recovery
    "recovery_under_way": (
        _CONFLICT,
        "账户 {account} 的找回正在进行",
        "A recovery of account {account} is under way",
    ),
    "no_recovery": (
        _MISSING,
        "账户 {account} 没有可以 {step} 的找回",
        "Account {account} has no recovery to {step}",
    ),
    "same_organization": (
        _FORBIDDEN,
        "须由另一机构的经办人确认找回",
        "An officer of another organisation must confirm a recovery",
    ),
}
