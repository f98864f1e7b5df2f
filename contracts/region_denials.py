"""Denials about other networks and what is recognised of them; a part of `denials.DENIALS`.

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

REGION_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "unknown_region": (
        _MISSING,
        "没有信任地区网络 {region}，须由运营方表决信任",
        "Network {region} is not trusted here; operators vote on that",
    ),
    "region_is_own": (_INVALID, "这是本网络自身的信任文件", "This is the trust point of this very network"),
    "region_suite_unknown": (
        _INVALID,
        "本版本不支持该地区网络的密码套件 {suite}",
        "This release does not have the other network's crypto suite {suite}",
    ),
    "region_trust_invalid": (
        _INVALID,
        "该地区网络的信任文件不成立（{check}），请向其运营方重新索取",
        "The other network's trust point does not hold ({check}); ask its operators for it again",
    ),
    "region_other_network": (
        _CONFLICT,
        "该链登记的网络是 {network}（套件 {suite}），与此信任文件不符",
        "That chain is known as network {network}, suite {suite}; this trust point says otherwise",
    ),
    "region_backward": (
        _CONFLICT,
        "信任文件属于任期 {epoch}，已信任到任期 {held}，不能后退",
        "The trust point is of epoch {epoch}; epoch {held} is held and never goes back",
    ),
    "region_forked_epoch": (
        _CONFLICT,
        "任期 {forked} 出现过分叉，不再信任其验证节点；任期 {epoch} 不够新，请使用更晚任期的信任文件",
        "Epoch {forked} forked and its validators are not trusted again; epoch {epoch} is not later, bring a later one",
    ),
    "region_other_set": (
        _CONFLICT,
        "任期 {epoch} 已信任另一验证节点集合；若对方已分叉，请先提交分叉证据或表决取消信任",
        "Another validator set is held for epoch {epoch}; if that network forked, show the fork or vote to distrust it",
    ),
    "regions_too_many": (
        _TOO_LARGE,
        "最多登记 {maximum} 个地区网络",
        "There are at most {maximum} other networks on record",
    ),
    "region_distrusted": (
        _FORBIDDEN,
        "地区网络 {region} 已被取消信任，恢复须由运营方表决",
        "Network {region} is not trusted any more; only a vote of the operators changes that",
    ),
    "region_forked": (
        _FORBIDDEN,
        "地区网络 {region} 已出现分叉，暂停互认，恢复须由运营方表决",
        "Network {region} has forked and nothing of it is accepted; only a vote of the operators changes that",
    ),
    "region_not_later": (
        _CONFLICT,
        "已跟进到任期 {held}，所提交的变更只到任期 {epoch}，无需重复提交",
        "Epoch {held} is held already and these changes lead to epoch {epoch}; nothing is left to do",
    ),
    "region_behind": (
        _CONFLICT,
        "证明属于任期 {epoch}，本网络只跟进到任期 {held}，请先提交其验证节点变更（zhenglian region follow）",
        "The proof is of epoch {epoch} and only epoch {held} is held; follow the network first (zhenglian region follow)",
    ),
    "region_proof_stale": (
        _CONFLICT,
        "证明属于任期 {epoch}，已跟进到任期 {held}，请索取最新证明",
        "The proof is of epoch {epoch} and epoch {held} is held already; get a present one",
    ),
    "region_proof_rejected": (
        _INVALID,
        "对方网络的证明不成立（{check}）",
        "The other network's proof does not hold ({check})",
    ),
    "region_path_too_long": (
        _TOO_LARGE,
        "证明中的区块头路径最多 {maximum} 个，实际 {actual} 个，请换用其他高度的证明，或由运营方表决更晚的信任文件",
        "A proof's path has at most {maximum} headers, not {actual}; use one of another height, or vote a later trust point",
    ),
    "region_work_too_much": (
        _TOO_LARGE,
        "一次提交的验证工作量最多 {maximum}，实际 {actual}，请分多次提交",
        "One call may ask for checks worth {maximum}, not {actual}; split it over several",
    ),
    "region_version_unknown": (
        _CONFLICT,
        "证明中有协议版本 {version} 的区块，本网络现行版本为 {known}，须先升级本网络的协议版本",
        "The proof has blocks of protocol version {version}, and {known} is in force here; this network has to move on first",
    ),
    "not_a_fork": (
        _INVALID,
        "这两个区块不构成分叉（高度 {height}）",
        "These two blocks exclude each other at no height ({height}) and show no fork",
    ),
    "fork_not_judged": (
        _INVALID,
        "只能裁定当前任期 {held} 及其上一任期的分叉，不能裁定任期 {epoch}",
        "Only forks of the held epoch {held} and the one before can be judged, not of epoch {epoch}",
    ),
    "unknown_recognition": (
        _MISSING,
        "没有互认记录 {recognition}",
        "There is no recognition {recognition}",
    ),
    "recognition_exists": (
        _CONFLICT,
        "该证照已有互认记录 {recognition}，请用新证明更新它（zhenglian recognition refresh）",
        "The certificate is recognised already, as {recognition}; refresh that (zhenglian recognition refresh)",
    ),
    "recognition_ended": (
        _CONFLICT,
        "互认记录 {recognition} 已终止（{state}），不能再更新",
        "Recognition {recognition} has ended ({state}) and cannot be refreshed",
    ),
    "recognition_differs": (
        _CONFLICT,
        "证明中的证照与互认记录 {recognition} 不是同一内容",
        "The certificate of the proof is not what recognition {recognition} is about",
    ),
    "type_not_recognized": (
        _FORBIDDEN,
        "不互认该地区的 {type} 类证照，互认清单由运营方表决",
        "Certificates of type {type} of that region are not recognised; operators vote on the list",
    ),
    "home_entry_rejected": (
        _INVALID,
        "{what} 的状态证明不成立，请重新索取",
        "The state proof of the {what} does not hold; get it again",
    ),
    "home_entry_absent": (
        _MISSING,
        "对方网络没有证照 {certificate}",
        "The other network has no certificate {certificate}",
    ),
    "home_record_unreadable": (
        _INVALID,
        "{what} 的记录不是本版本可读的格式",
        "The record of the {what} is not one that this release can read",
    ),
    "home_contract_unknown": (
        _CONFLICT,
        "对方网络的证照合约为版本 {version}，本网络现行互认合约只能解读版本 {known}，须先升级本网络的互认合约",
        "The other network's certificates are of contract version {version}; the recognitions in force here read {known}",
    ),
    "home_issuer_other": (
        _INVALID,
        "所证明的机构不是证照的发证机构",
        "The account that is proven is not who issued the certificate",
    ),
    "proof_too_old": (
        _CONFLICT,
        "证明已过时：{age_ms} 毫秒前的区块，最多 {maximum_ms} 毫秒，请索取最新证明",
        "The proof is of a block {age_ms} ms ago, at most {maximum_ms} ms are accepted; get a present one",
    ),
    "proof_ahead": (
        _CONFLICT,
        "证明的区块时间比本网络超前 {ahead_ms} 毫秒，最多 {maximum_ms} 毫秒，请稍后再试",
        "The proof's block is {ahead_ms} ms ahead of this network's time, at most {maximum_ms} ms; try again later",
    ),
    "proof_not_later": (
        _CONFLICT,
        "证明的高度 {height} 不高于已记录的 {held}，请索取更新的证明",
        "The proof is of height {height}, not above {held} on record; get a later one",
    ),
}
