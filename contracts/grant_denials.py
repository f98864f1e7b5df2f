"""Why a call about grants, or about acting for others, is denied; see `denials.py`.

Rule: as there.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

_INVALID = Category.INVALID
_FORBIDDEN = Category.FORBIDDEN
_MISSING = Category.MISSING
_CONFLICT = Category.CONFLICT
_TOO_LARGE = Category.TOO_LARGE
_BUSY = Category.BUSY

GRANT_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    # grants
    "unknown_purpose": (_MISSING, "没有用途 {purpose}", "There is no purpose {purpose}"),
    "unknown_grant": (_MISSING, "没有授权 {grant}", "There is no grant {grant}"),
    "not_a_holder": (
        _INVALID,
        "{account} 不是个人或企业账户",
        "{account} is not the account of a person or enterprise",
    ),
    "grant_to_oneself": (
        _INVALID,
        "不能向自己 {account} 申请授权",
        "{account} cannot ask itself for a grant",
    ),
    "renews_another": (
        _INVALID,
        "被续期的授权 {grant} 不存在，或双方不同",
        "Grant {grant}, to be renewed, does not exist or is between others",
    ),
    "purpose_reserved": (
        _INVALID,
        "用途代码 {purpose} 专指本人查阅本人数据，请换一个代码",
        "The purpose {purpose} means reading one's own data; take another code",
    ),
    "own_too_much": (
        _TOO_LARGE,
        "一次打开的证照过多（{actual} 字节，上限 {maximum}），请分次打开",
        "Too much is opened at once ({actual} bytes, at most {maximum}); open fewer certificates at a time",
    ),
    "represents_grantee": (
        _FORBIDDEN,
        "授权 {grant} 的申请机构不能代持有者作决定，请由持有者本人或其他代理人办理",
        "Who asks for grant {grant} does not decide on it in the holder's place; the holder or another representative does",
    ),
    "over_ask": (
        _FORBIDDEN,
        "申请超出用途模板上限 {cap}：允许 {maximum}，申请 {asked}；请减少后重新申请",
        "More is asked than the purpose allows, cap {cap}: allowed {maximum}, asked {asked}; ask for less",
    ),
    "over_give": (
        _INVALID,
        "所给内容超出 {cap}：至多 {maximum}，给出 {asked}；只能等于或少于申请（或现有授权）",
        "More is given than was asked or is open, {cap}: at most {maximum}, given {asked}; give that or less",
    ),
    "duplicate_item": (
        _INVALID,
        "{type} 的同一项重复出现，请合并",
        "The same item of {type} comes twice; make it one",
    ),
    "consent_is_revocable": (
        _INVALID,
        "以同意为依据的授权必须可以撤销",
        "A grant whose basis is consent must be revocable",
    ),
    "not_holder": (_FORBIDDEN, "授权 {grant} 不属于本账户", "Grant {grant} is not this account's to decide"),
    "not_revocable": (
        _FORBIDDEN,
        "授权 {grant} 申请时已声明不可撤销，可向被授权机构或监督部门提出异议",
        "Grant {grant} was asked for as not revocable; object to the grantee or the supervisor",
    ),
    "nothing_left": (
        _INVALID,
        "缩小后没有剩余次数，请改用撤销授权 {grant}",
        "Nothing would be left; revoke grant {grant} instead",
    ),
    "template_changed": (
        _CONFLICT,
        "用途 {purpose} 的模板已变更（现行 {template}），请按新模板核对后重新申请",
        "The template of purpose {purpose} has changed (now {template}); read it and ask again",
    ),
    "frequency_exceeded": (
        _BUSY,
        "授权 {grant} 每 {unit} 最多使用 {value} 次，请在 {again_ms} 之后再试",
        "Grant {grant} is used at most {value} times per {unit}; try again after {again_ms}",
    ),
    "certificate_state_stops": (
        _CONFLICT,
        "证照 {certificate} 处于 {state} 状态，授权规定该状态下停止使用",
        "Certificate {certificate} is {state}, and the grant stops at that state",
    ),
    "deletion_overdue": (
        _FORBIDDEN,
        "本机构在用途 {purpose} 下有 {grants} 项授权逾期未作删除声明，须先声明（grant delete-statement）才能再申请",
        "Deletion statements are due for {grants} grants of purpose {purpose}; state them first (grant delete-statement)",
    ),
    "nothing_to_delete": (
        _CONFLICT,
        "下链 {release} 没有待声明的删除义务，或不属于授权 {grant}",
        "Nothing is to be deleted for release {release} under grant {grant}, or it is stated already",
    ),
    "renewed_already": (
        _CONFLICT,
        "授权 {grant} 已由 {by} 续期",
        "Grant {grant} was renewed by {by} already",
    ),
    "held_by_consent": (
        _INVALID,
        "依据 consent 的申请须由本人决定，请用 grants.request",
        "What is based on consent is the person's to decide; ask with grants.request",
    ),
    # access without consent
    "access_not_allowed": (
        _FORBIDDEN,
        "用途 {purpose} 不允许 {kind} 类无同意访问，须由运营方表决修改模板",
        "Purpose {purpose} allows no {kind} access without consent; operators vote on its template",
    ),
    "no_access": (
        _CONFLICT,
        "授权 {grant} 以同意为依据，不适用此操作",
        "Grant {grant} is one of consent; this does not apply to it",
    ),
    "is_access": (
        _FORBIDDEN,
        "授权 {grant} 不以同意为依据，由批准机构决定；可向被授权机构或监督部门提出异议",
        "Grant {grant} is not one of consent and approvers decide on it; object to the grantee or the supervisor",
    ),
    "not_approver": (
        _FORBIDDEN,
        "机构 {account} 不在批准机构名单上，名单由运营方表决",
        "Organisation {account} is no approver; operators vote on the list",
    ),
    "not_another_organization": (
        _FORBIDDEN,
        "须由另一机构办理：{account} 是申请机构，或此前已批准过",
        "This is for another organisation: {account} asks for it, or has approved of it before",
    ),
    "emergency_unreviewed": (
        _FORBIDDEN,
        "本机构对此人的紧急调取 {grant} 尚未经其他机构复核，复核前的紧急调取最晚于 {latest_ms} 结束；请先复核，或按法定依据申请",
        "Emergency access {grant} to this person is not reviewed, and until it is none ends after {latest_ms}; or ask by law",
    ),
    "emergency_not_allowed": (
        _FORBIDDEN,
        "机构 {account} 没有紧急访问权，须由运营方表决授予",
        "Organisation {account} has no right to emergency access; operators vote on it",
    ),
    "notice_too_late": (
        _INVALID,
        "告知最迟可延至 {maximum_ms}，申请为 {asked_ms}",
        "The person is to be shown it by {maximum_ms} at the latest, not {asked_ms}",
    ),
    "notice_not_later": (
        _INVALID,
        "告知时间须晚于现定的 {held_ms}",
        "The new time is not after {held_ms}, which holds now",
    ),
    "notice_over": (
        _CONFLICT,
        "授权 {grant} 已向本人显示，不能再延期",
        "Grant {grant} is shown to the person already; that is not undone",
    ),
    "too_many_approvers": (
        _TOO_LARGE,
        "告知延期最多 {maximum} 次",
        "The person's notice is put off at most {maximum} times",
    ),
    "no_review": (
        _CONFLICT,
        "授权 {grant} 不需要复核，或已复核",
        "Grant {grant} needs no review, or has one",
    ),
    # acting for others
    "unknown_mandate": (_MISSING, "没有委托 {mandate}", "There is no mandate {mandate}"),
    "mandate_not_active": (
        _FORBIDDEN,
        "委托 {mandate} 处于 {state} 状态，不能据此办理",
        "Mandate {mandate} is {state}; nothing can be done by it",
    ),
    "mandate_of_others": (
        _FORBIDDEN,
        "委托 {mandate} 不是由 {principal} 给予本账户的",
        "Mandate {mandate} is not of this account for {principal}",
    ),
    "mandate_purpose": (
        _FORBIDDEN,
        "委托 {mandate} 不包含用途 {purpose}",
        "Mandate {mandate} does not cover purpose {purpose}",
    ),
    "mandate_credential": (
        _FORBIDDEN,
        "委托 {mandate} 所依据的证照 {certificate} 当前无效（{state}）",
        "Certificate {certificate}, on which mandate {mandate} rests, is not valid now ({state})",
    ),
    "representation_not_allowed": (
        _FORBIDDEN,
        "用途 {purpose} 不允许以 {basis} 方式代办，允许：{allowed}",
        "Purpose {purpose} allows nobody to act as {basis}; allowed: {allowed}",
    ),
    "depth_exceeded": (
        _FORBIDDEN,
        "转委托层数最多 {maximum}，实际 {depth}",
        "There may be {maximum} sub-mandates, not {depth}",
    ),
    "wider_than_parent": (
        _INVALID,
        "转委托超出原委托的 {cap}：至多 {maximum}，给出 {asked}",
        "The sub-mandate goes beyond its parent's {cap}: at most {maximum}, given {asked}",
    ),
    "appointment_not_allowed": (
        _FORBIDDEN,
        "本账户不能以 {basis} 为依据为 {principal} 指定代理人",
        "This account cannot appoint anybody for {principal} on the basis {basis}",
    ),
    "credential_not_suitable": (
        _INVALID,
        "证照 {certificate} 不能证明 {basis}：须由本部门制发、由被代理人持有、类型经运营方表决指定且当前有效",
        "Certificate {certificate} shows no {basis}: it must be valid, the holder's, issued here, and of a type voted for it",
    ),
    "represents_oneself": (
        _INVALID,
        "{account} 不能代理自己",
        "{account} cannot act for itself by a mandate",
    ),
    "original_not_allowed": (
        _FORBIDDEN,
        "用途 {purpose} 不允许提供未加标记的原件；原件只给持证人本人，或经运营方表决允许的用途",
        "Purpose {purpose} hands out no unmarked originals: they are for the holder, and for purposes voted so",
    ),
    "unknown_assistance": (
        _FORBIDDEN,
        "协助记录 {assistance} 不存在、已过期，或不是为本人和该授权所作",
        "Assistance {assistance} does not exist, is over, or is not for this person and this grant",
    ),
}
