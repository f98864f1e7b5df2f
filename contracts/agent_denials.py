"""Denials about agent keys; a part of `denials.DENIALS`.

Rule: as there.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

AGENT_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "officer_not_named_here": (
        Category.INVALID,
        "本调用由经办人自己签名，不得另行指明经办人 {officer}；只有机构代签密钥须指明",
        "This call is signed by its officer and must not name another, {officer}; only an agent key names one",
    ),
    "agent_names_no_officer": (
        Category.FORBIDDEN,
        "机构代签密钥 {key_id} 必须指明代哪位经办人办理",
        "The agent key {key_id} must name the officer for whom it acts",
    ),
    "agent_officer_unknown": (
        Category.FORBIDDEN,
        "{officer} 不是本机构可用的经办人密钥，代签未被接受；请让经办人重新登录，或由管理员添加其密钥",
        "{officer} is no usable officer key of this organisation; have the officer sign in again, or the administrator add it",
    ),
}
