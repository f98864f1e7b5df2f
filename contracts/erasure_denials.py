"""Why a call is denied that is about erasing a certificate's data; see `denials.py`."""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

ERASURE_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "certificate_erased": (
        Category.GONE,
        "证照 {certificate} 的数据已删除，账本上只留墓碑记录；如仍需使用请由制发部门重新制发",
        "The data of certificate {certificate} is erased, only its tombstone is left; its issuer can issue it anew",
    ),
    "erasure_requested": (
        Category.CONFLICT,
        "证照 {certificate} 已有待答复的删除申请，请等待制发部门答复",
        "The erasure of certificate {certificate} is asked for already; wait for its issuer's answer",
    ),
    "erasure_not_requested": (
        Category.CONFLICT,
        "证照 {certificate} 没有待答复的删除申请",
        "Nobody asks for the erasure of certificate {certificate} now",
    ),
    "certificate_not_erased": (
        Category.CONFLICT,
        "证照 {certificate} 未被删除，不能声明已销毁其数据",
        "Certificate {certificate} is not erased; no node can state that its data is destroyed",
    ),
    "too_many_destructions": (
        Category.TOO_LARGE,
        "证照 {certificate} 的销毁声明已达上限 {maximum}",
        "Certificate {certificate} has {maximum} statements of destruction, which is the most",
    ),
}
