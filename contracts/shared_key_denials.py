"""Denials about shared keys; a part of `denials.DENIALS`.

Rule: as there.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

_INVALID = Category.INVALID
_FORBIDDEN = Category.FORBIDDEN
_MISSING = Category.MISSING
_CONFLICT = Category.CONFLICT

SHARED_KEY_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "unknown_shared_key": (
        _MISSING,
        "没有共管密钥 {purpose} 版本 {version}",
        "There is no shared key {purpose}, version {version}",
    ),
    "unknown_key_round": (
        _MISSING,
        "没有进行中的密钥轮次 {round}（可能已完成或重新开始），请以最新状态重新提交",
        "No round {round} is under way; it is done or began again, so look at the present one",
    ),
    "key_round_phase": (
        _CONFLICT,
        "密钥轮次处于 {phase} 阶段，不接受 {step}",
        "The round is in its phase {phase} and takes no {step}",
    ),
    "key_round_late": (
        _CONFLICT,
        "已过本阶段期限 {until_ms}，本轮不再接受",
        "This phase ended at {until_ms}; this round takes it no more",
    ),
    "not_a_dealer": (
        _FORBIDDEN,
        "账户 {account} 不是本轮的分发方",
        "Account {account} is not a dealer of this round",
    ),
    "not_a_key_holder": (
        _FORBIDDEN,
        "账户 {account} 不是本轮的份额持有方",
        "Account {account} is not a holder of this round",
    ),
    "key_step_taken": (
        _CONFLICT,
        "本轮已收到 {step}，每轮只接受一次",
        "This round has {step} already; it takes one",
    ),
    "key_commitments_invalid": (
        _INVALID,
        "承诺应为 {expected} 个有效群元素",
        "The commitments must be {expected} valid elements of the group",
    ),
    "key_not_own_share": (
        _INVALID,
        "第 {dealer} 号分发方分发的不是其自身份额",
        "Dealer {dealer} does not deal its own share",
    ),
    "key_unknown_dealer": (
        _INVALID,
        "第 {dealer} 号不是本轮已分发的分发方，或重复列出",
        "Number {dealer} is no dealer that has dealt in this round, or is listed twice",
    ),
    "key_not_complained": (
        _INVALID,
        "第 {holder} 号持有方没有待答复的申诉",
        "Holder {holder} has no complaint that waits for an answer",
    ),
    "key_pair_invalid": (
        _INVALID,
        "所给数值与第 {dealer} 号分发方的承诺不符",
        "These values do not fit the commitments of dealer {dealer}",
    ),
    "key_pair_fits": (
        _INVALID,
        "第 {dealer} 号分发方公布的内容与所给数值相符，异议不成立",
        "What dealer {dealer} revealed fits these values; there is nothing to dispute",
    ),
    "key_work_too_little": (
        _INVALID,
        "工作量太小，剩余部分需要 {needed}",
        "That is too little work for the next step; what is left takes {needed}",
    ),
    "shared_key_version": (
        _CONFLICT,
        "{purpose} 的下一版本应为 {expected}，不是 {version}",
        "The next version of {purpose} is {expected}, not {version}",
    ),
    "key_round_open": (
        _CONFLICT,
        "{purpose} 版本 {version} 的密钥轮次正在进行，请等待其完成",
        "A round of {purpose}, version {version}, is under way; wait until it is done",
    ),
    "key_versions_too_many": (
        _CONFLICT,
        "{purpose} 最多同时有 {maximum} 个版本，请先销毁停用的版本",
        "There are at most {maximum} versions of {purpose} at a time; destroy the one out of use first",
    ),
    "shared_key_in_use": (
        _CONFLICT,
        "{purpose} 版本 {version} 正在使用，不能销毁",
        "Version {version} of {purpose} is in use and cannot be destroyed",
    ),
    "shared_key_lasting": (
        _FORBIDDEN,
        "{purpose} 密钥不能更换或销毁：已存数据依赖它；份额可以更新",
        "A key for {purpose} is neither replaced nor destroyed, because what is stored depends on it; renew its shares instead",
    ),
    "key_renewed_lately": (
        _CONFLICT,
        "份额刚刚更新过，请在 {from_ms} 之后再试",
        "The shares were renewed a moment ago; try again after {from_ms}",
    ),
    "holders_too_few": (
        _CONFLICT,
        "变更后 {purpose} 的份额持有方只剩 {present} 个，至少须有 {needed} 个；请分多次变更，每次等待份额更新完成",
        "Only {present} holders of {purpose} would remain, {needed} must; change fewer at once, and wait for the renewal between",
    ),
    "renewal_under_way": (
        _CONFLICT,
        "{purpose} 的份额正在更新给新的持有方，请等待其完成后再变更验证节点",
        "The shares of {purpose} are being renewed for the new holders; change the validators again once that is done",
    ),
}
