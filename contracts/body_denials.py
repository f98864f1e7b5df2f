"""Why a call is denied that is about the body of a grant; see `denials.py`."""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

BODY_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "unknown_body": (Category.MISSING, "没有授权附文 {body}", "There is no body {body} of a grant"),
    "body_not_committed": (
        Category.CONFLICT,
        "授权 {grant} 没有 {kind} 附文的承诺值",
        "Grant {grant} commits to no body of kind {kind}",
    ),
    "body_kept": (
        Category.CONFLICT,
        "授权 {grant} 的附文已保管，不能替换",
        "The body of grant {grant} is kept already and cannot be replaced",
    ),
    "body_erased": (Category.GONE, "授权附文 {body} 已删除", "Body {body} of a grant is erased"),
    "body_not_erased": (
        Category.CONFLICT,
        "授权附文 {body} 未被删除，不能声明已销毁",
        "Body {body} of a grant is not erased; no node can state that it is destroyed",
    ),
    "body_of_others": (
        Category.FORBIDDEN,
        "授权附文 {body} 与本账户无关",
        "Body {body} of a grant does not concern this account",
    ),
    "body_in_use": (
        Category.CONFLICT,
        "授权 {grant} 尚未结束或仍在留存期内，其附文此时不能删除",
        "Grant {grant} is not over or still within its retention; its body cannot be erased now",
    ),
    "too_many_body_destructions": (
        Category.TOO_LARGE,
        "授权附文 {body} 的销毁声明已达上限 {maximum}",
        "Body {body} of a grant has {maximum} statements of destruction, which is the most",
    ),
}
