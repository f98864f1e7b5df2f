"""Why a call is denied: every reason, with its words.

Rule: a denial is on the ledger as a code and its fields, so a code never changes its meaning and is never
used again for another one. The words are not on the ledger; they say what was wrong and, where something can
be done, what. Fields never hold personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.agent_denials import AGENT_DENIALS
from contracts.body_denials import BODY_DENIALS
from contracts.erasure_denials import ERASURE_DENIALS
from contracts.grant_denials import GRANT_DENIALS
from contracts.people_denials import PEOPLE_DENIALS
from contracts.portal_denials import PORTAL_DENIALS
from contracts.question_denials import QUESTION_DENIALS
from contracts.region_denials import REGION_DENIALS
from contracts.release_denials import RELEASE_DENIALS
from contracts.shared_key_denials import SHARED_KEY_DENIALS
from contracts.upgrade_denials import UPGRADE_DENIALS
from ledger.errors import Category, InvariantViolation, LedgerError

_INVALID = Category.INVALID
_FORBIDDEN = Category.FORBIDDEN
_MISSING = Category.MISSING
_CONFLICT = Category.CONFLICT
_TOO_LARGE = Category.TOO_LARGE

DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    # the call itself
    "unknown_method": (
        _MISSING,
        "没有 {contract}.{method} 这一调用，请核对接口文档",
        "There is no call {contract}.{method}; see the API description",
    ),
    "malformed_call": (
        _INVALID,
        "{contract}.{method} 的参数格式不正确或超出范围，请按接口定义重新提交",
        "The arguments of {contract}.{method} are malformed or out of range; send them as the API says",
    ),
    "wrong_account_kind": (
        _FORBIDDEN,
        "{kind} 类账户不能调用 {method}",
        "An account of kind {kind} may not call {method}",
    ),
    "wrong_role": (
        _FORBIDDEN,
        "{role} 角色的密钥不能调用 {method}，请换用有权限的密钥",
        "A key with role {role} may not call {method}; use a key whose role may",
    ),
    "organization_suspended": (
        _FORBIDDEN,
        "机构 {account} 已被暂停，恢复须由运营方表决",
        "Organisation {account} is suspended; only a vote of the operators reinstates it",
    ),
    "membership_ended": (
        _FORBIDDEN,
        "账户 {account} 已退出网络，其密钥不能再办理任何事项",
        "Account {account} has left the network; its keys can do nothing any more",
    ),
    "id_taken": (
        _CONFLICT,
        "编号 {id} 已被占用，请换一个随机数重新提交",
        "Id {id} is taken; send it again with another nonce",
    ),
    "too_many_events": (
        _TOO_LARGE,
        "一次调用最多产生 {maximum} 条事件，请分次提交",
        "A call gives at most {maximum} events; send it in parts",
    ),
    "state_transition": (
        _CONFLICT,
        "{what} 处于 {state} 状态，不能执行 {step}",
        "The {what} is {state}: {step} is not possible",
    ),
    "duplicate_name": (_INVALID, "{name} 重复出现，请只列一次", "{name} is listed twice; list it once"),
    "ends_in_the_past": (
        _INVALID,
        "结束时间 {end_ms} 不晚于当前区块时间 {time_ms}",
        "The end {end_ms} is not after the block time {time_ms}",
    ),
    # accounts and keys
    "account_exists": (_CONFLICT, "账户 {account} 已存在", "Account {account} exists already"),
    "not_an_organization": (
        _INVALID,
        "{account} 不是部门、企业或审计机构",
        "{account} is not a department, enterprise or auditor",
    ),
    "status_unchanged": (
        _CONFLICT,
        "机构 {account} 已处于 {status} 状态",
        "Organisation {account} is {status} already",
    ),
    "issuance_not_allowed": (
        _INVALID,
        "只有部门和企业可以制发证照，{kind} 不可以",
        "Only departments and enterprises issue certificates, not an organisation of kind {kind}",
    ),
    "key_role_not_allowed": (
        _INVALID,
        "此处不能添加 {role} 角色的密钥，可用角色：{allowed}",
        "A key with role {role} cannot be added here; allowed: {allowed}",
    ),
    "unknown_scheme": (
        _INVALID,
        "本网络不支持签名算法 {scheme}，可用：{allowed}",
        "This network does not know the signature scheme {scheme}; allowed: {allowed}",
    ),
    "key_exists": (_CONFLICT, "账户已有密钥 {key_id}", "The account has key {key_id} already"),
    "too_many_keys": (
        _TOO_LARGE,
        "账户最多 {maximum} 个有效密钥，请先吊销不用的密钥",
        "An account holds at most {maximum} usable keys; revoke one first",
    ),
    "unknown_key_here": (_MISSING, "账户没有密钥 {key_id}", "The account has no key {key_id}"),
    "key_already_revoked": (_CONFLICT, "密钥 {key_id} 此前已吊销", "Key {key_id} was revoked before"),
    "last_key": (
        _CONFLICT,
        "这是最后一个有效的 {role} 密钥，请先添加新密钥再吊销",
        "This is the last usable {role} key; add another before you revoke it",
    ),
    "tag_version": (
        _CONFLICT,
        "人员索引密钥版本 {version} 不是当前版本 {current}，请用当前版本重新计算",
        "Directory key version {version} is not the current one, {current}; compute the tag again under it",
    ),
    "already_enrolled": (
        _CONFLICT,
        "此人已经开户（索引版本 {version}），请查找已有账户",
        "This person is enrolled already (directory version {version}); look the account up",
    ),
    # governance
    "unknown_proposal": (_MISSING, "没有提案 {proposal}", "There is no proposal {proposal}"),
    "already_approved": (
        _CONFLICT,
        "本运营方已同意提案 {proposal}",
        "This operator has approved proposal {proposal} already",
    ),
    "type_version": (
        _CONFLICT,
        "证照类型 {type} 的版本应为 {expected}，实际为 {version}",
        "The version of certificate type {type} must be {expected}, not {version}",
    ),
    "holder_kind_not_allowed": (
        _INVALID,
        "持有者只能是个人或企业，不能是 {kind}",
        "A holder is a person or an enterprise, not of kind {kind}",
    ),
    "empty_period": (
        _INVALID,
        "用途 {purpose} 的最长期限为零",
        "The longest period of purpose {purpose} is nothing",
    ),
    # validators, nodes, protocol versions
    "epoch_change_pending": (
        _CONFLICT,
        "验证节点集合已在本区块变更（新任期 {epoch}），请在新任期开始后重新提交",
        "The validators change in this block already (epoch {epoch}); do it again once that epoch has begun",
    ),
    "not_a_validator": (
        _MISSING,
        "账户 {account} 不是现任验证节点",
        "Account {account} is not a validator now",
    ),
    "not_a_reader": (_MISSING, "账户 {account} 不是只读节点", "Account {account} is not a read node"),
    "validators_too_few": (
        _CONFLICT,
        "变更后只剩 {actual} 个验证节点，至少须有 {minimum} 个；请在同一提案中补足",
        "{actual} validators would remain, at least {minimum} must; add others in the same proposal",
    ),
    "validators_too_many": (
        _TOO_LARGE,
        "验证节点最多 {maximum} 个，变更后为 {actual} 个",
        "There are at most {maximum} validators, not {actual}",
    ),
    "readers_too_many": (
        _TOO_LARGE,
        "只读节点最多 {maximum} 个，请先移除不用的",
        "There are at most {maximum} read nodes; remove one first",
    ),
    "key_taken": (
        _CONFLICT,
        "此密钥或证书（{what}）在本网络用过，请生成新的",
        "This {what} is or was used on this network; make a new one",
    ),
    "possession_invalid": (
        _INVALID,
        "账户 {account} 的投票密钥持有证明无效，请用该密钥对本网络名称重新签发",
        "The proof that account {account} holds its vote key does not hold; make it anew for this network's name",
    ),
    "key_role_missing": (_INVALID, "账户 {account} 没有 {role} 密钥", "Account {account} has no {role} key"),
    "key_id_mismatch": (
        _INVALID,
        "密钥编号 {key_id} 与公钥不符，应为 {expected}",
        "The key id {key_id} is not that of its public key, {expected}",
    ),
    "host_unusable": (
        _INVALID,
        "{host} 不是可用的主机名或地址",
        "{host} is not written as a host name or address is",
    ),
    "protocol_pending": (
        _CONFLICT,
        "协议版本 {version} 已定于区块 {height} 启用，须先撤回",
        "Protocol version {version} comes into force at block {height} already; withdraw it first",
    ),
    "protocol_not_next": (
        _INVALID,
        "只能启用下一个协议版本 {expected}，不能是 {version}",
        "Only the next protocol version, {expected}, can be set, not {version}",
    ),
    "protocol_too_soon": (
        _INVALID,
        "启用高度 {height} 太近，至少须为 {minimum}",
        "Height {height} is too soon; it must be {minimum} at least",
    ),
    "protocol_not_pending": (
        _CONFLICT,
        "没有待启用的协议版本 {version}",
        "Protocol version {version} is not waiting to come into force",
    ),
    # evidence
    "votes_agree": (
        _INVALID,
        "这两张投票并不矛盾，或不是同一验证节点在同一视图所投",
        "These votes do not exclude each other, or are not of one validator in one view",
    ),
    "unknown_validator": (
        _MISSING,
        "任期 {epoch} 没有序号为 {index} 的验证节点",
        "Epoch {epoch} has no validator {index}",
    ),
    "vote_invalid": (
        _INVALID,
        "任期 {epoch} 视图 {view} 的 {kind} 投票签名无效，不构成证据",
        "The {kind} vote of epoch {epoch}, view {view} is not signed by that validator and proves nothing",
    ),
    "evidence_known": (
        _CONFLICT,
        "验证节点 {validator} 在任期 {epoch} 视图 {view} 的证据已有记录",
        "Evidence against validator {validator} in epoch {epoch}, view {view} is on record already",
    ),
    "evidence_enough": (
        _TOO_LARGE,
        "验证节点 {validator} 在任期 {epoch} 的证据已达 {maximum} 条，足以处置",
        "There are {maximum} records against validator {validator} in epoch {epoch}; that is enough to act on",
    ),
    # certificates
    "unknown_certificate_type": (
        _MISSING,
        "没有证照类型 {type}，或没有该版本",
        "There is no certificate type {type} in that version",
    ),
    "unknown_certificate": (_MISSING, "没有证照 {certificate}", "There is no certificate {certificate}"),
    "unknown_name": (
        _INVALID,
        "证照类型 {type} 没有名为 {name} 的字段或附件",
        "Certificate type {type} has no field or attachment {name} here",
    ),
    "empty_item": (
        _INVALID,
        "{type} 一项没有任何字段或附件",
        "The entry of {type} names no field and no attachment",
    ),
    "certificate_exists": (
        _CONFLICT,
        "证照编号 {certificate} 已存在",
        "Certificate {certificate} exists already",
    ),
    "not_issuer": (
        _FORBIDDEN,
        "本部门不是 {type} 类证照（或该证照）的制发部门",
        "This department does not issue {type}, or did not issue this certificate",
    ),
    "holder_mismatch": (
        _INVALID,
        "{type} 的持有者必须是已开户的 {kind} 账户",
        "The holder of {type} must be an existing account of kind {kind}",
    ),
    "dates_reversed": (
        _INVALID,
        "有效期止 {end_ms} 不晚于有效期起 {start_ms}",
        "The end of validity {end_ms} is not after its start {start_ms}",
    ),
    "supersedes_another": (
        _INVALID,
        "被替换的证照 {certificate} 与新证照的持有者或类型不同",
        "Certificate {certificate}, to be superseded, has another holder or type",
    ),
    "already_superseded": (
        _CONFLICT,
        "证照 {certificate} 已被 {by} 替换",
        "Certificate {certificate} was superseded by {by} already",
    ),
    "state_not_settable": (
        _INVALID,
        "状态 {state} 不能这样设置或解除：终止状态不可解除，替换须在制发新证照时进行",
        "State {state} cannot be set or ended so: final states never end, and superseding is part of issuing",
    ),
    "state_unchanged": (
        _CONFLICT,
        "证照的 {state} 状态已如所求",
        "State {state} of the certificate is as asked already",
    ),
    "too_many_states": (
        _TOO_LARGE,
        "证照状态记录最多 {maximum} 条",
        "A certificate's history holds at most {maximum} states",
    ),
    # releases
    "grant_not_active": (
        _FORBIDDEN,
        "授权 {grant} 处于 {state} 状态，不能使用；如需数据请向本人重新申请",
        "Grant {grant} is {state} and opens nothing; ask its holder again",
    ),
    "answers_only": (
        _FORBIDDEN,
        "授权 {grant} 只允许提问（query），不放行数据；如需数据请另行申请 view 或 store 授权",
        "Grant {grant} is for questions only (query) and hands out no data; ask for a view or store grant",
    ),
    "not_grantee": (
        _FORBIDDEN,
        "授权 {grant} 的被授权方不是本机构",
        "Grant {grant} was not given to this organisation",
    ),
    "uses_exhausted": (
        _FORBIDDEN,
        "授权 {grant} 的 {maximum} 次使用已用完或被占用，请申请续期",
        "All {maximum} uses of grant {grant} are made or reserved; ask for a renewal",
    ),
    "certificate_not_held": (
        _FORBIDDEN,
        "证照 {certificate} 不是该授权人持有的 {type} 证照",
        "Certificate {certificate} is not a {type} held by the person of the grant",
    ),
    "certificate_not_granted": (
        _FORBIDDEN,
        "授权不包含证照 {certificate}（{type}）",
        "The grant does not open certificate {certificate} ({type})",
    ),
    "field_not_granted": (
        _FORBIDDEN,
        "字段 {field} 未获授权，已授权：{granted}",
        "Field {field} is not granted; granted: {granted}",
    ),
    "attachment_not_granted": (
        _FORBIDDEN,
        "附件 {attachment} 未获授权，已授权：{granted}",
        "Attachment {attachment} is not granted; granted: {granted}",
    ),
    "certificate_not_valid": (
        _CONFLICT,
        "证照 {certificate} 当前无效（{state}），请联系制发部门",
        "Certificate {certificate} is not valid now ({state}); turn to its issuer",
    ),
    "not_in_certificate": (
        _MISSING,
        "证照 {certificate} 没有 {name}",
        "Certificate {certificate} has no {name}",
    ),
    "format_mismatch": (
        _INVALID,
        "{format} 格式与所选内容不符：JSON、CSV 用于字段，PDF、PNG、JPEG 用于单个附件",
        "Format {format} does not suit: JSON and CSV take fields, PDF, PNG and JPEG one attachment",
    ),
    "unknown_operator": (
        _MISSING,
        "{account} 不是可用的运营方",
        "{account} is not an active operator of the network",
    ),
    "unknown_release": (_MISSING, "没有下链记录 {release}", "There is no release {release}"),
    "not_entrusted": (
        _FORBIDDEN,
        "此事由运营方 {operator} 办理",
        "This is for operator {operator} to do",
    ),
    "release_overdue": (
        _CONFLICT,
        "下链 {release} 已过期限 {deadline_ms}，次数将退回，请重新申请",
        "Release {release} is past its deadline {deadline_ms}; its use will be returned, request it again",
    ),
    "file_count": (
        _INVALID,
        "应有 {expected} 个文件，实际 {actual} 个",
        "{expected} files are expected, not {actual}",
    ),
    "file_hashes_differ": (
        _CONFLICT,
        "收到的文件与下链 {release} 的记录不符，请重新下载后再确认",
        "The files received differ from those of release {release}; fetch them again before you acknowledge",
    ),
    # traces
    "unknown_trace": (_MISSING, "没有追溯记录 {trace}", "There is no trace {trace}"),
    "trace_not_approved": (
        _CONFLICT,
        "追溯 {trace} 尚未经另一机构批准",
        "Trace {trace} has not been approved by another organisation",
    ),
    "trace_approved": (_CONFLICT, "追溯 {trace} 已获批准", "Trace {trace} is approved already"),
    "trace_overdue": (
        _CONFLICT,
        "追溯 {trace} 已过期，请重新申请",
        "Trace {trace} is overdue; request it anew",
    ),
    "own_trace": (
        _FORBIDDEN,
        "追溯须由申请机构与执行机构之外的第三方批准",
        "A trace is approved by an organisation that neither asked for it nor performs it",
    ),
    "verdict_mismatch": (
        _INVALID,
        "结论 {verdict} 与所列下链数 {releases} 不符：指认或待查须列出下链，其余不得列出",
        "Verdict {verdict} does not go with {releases} releases: only accused and investigate name any",
    ),
    "mark_missing": (
        _INVALID,
        "下链 {release} 中格式为 {format} 的文件与其标记承诺不符：只有原件不加标记",
        "A file of format {format} in release {release} has no mark, or an original has one",
    ),
    "release_unrelated": (
        _INVALID,
        "下链 {release} 未涉及所追溯的证照，或从未生成文件",
        "Release {release} has none of the traced certificates, or its files never existed",
    ),
    **AGENT_DENIALS,
    **PORTAL_DENIALS,
    **ERASURE_DENIALS,
    **GRANT_DENIALS,
    **BODY_DENIALS,
    **QUESTION_DENIALS,
    **PEOPLE_DENIALS,
    **REGION_DENIALS,
    **SHARED_KEY_DENIALS,
    **RELEASE_DENIALS,
    **UPGRADE_DENIALS,
}


class Denied(LedgerError):
    """A call that is refused. It is included in its block, and this is its result.

    Args:
        reason: a code of `DENIALS`, which becomes the error's own `code`.
        fields: what the words of that denial name.
    """

    def __init__(self, reason: str, /, **fields: str | int) -> None:
        if reason not in DENIALS:
            raise InvariantViolation(f"denial {reason} has no words")
        super().__init__(**fields)
        category, zh, en = DENIALS[reason]
        # Each denial has its own code; the base class keeps it on the class, an instance's own value goes
        # before it.
        self.__dict__.update(code=reason, category=category, zh=zh, en=en)


def denial_message(code: str, fields: Mapping[str, str | int], language: str = "en") -> str:
    """The words for a result's code.

    Args:
        code: a code of `DENIALS`; any other is given back as it is.
        fields: the result's fields.
        language: "zh" or "en".
    """
    if code not in DENIALS:
        return code
    return Denied(code, **fields).message(language)
