"""Why a call is denied that is about versions of contracts; see `denials.py`."""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

UPGRADE_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "contract_migrating": (
        Category.BUSY,
        "合约 {contract} 正在升级迁移，请稍后再试",
        "The contract {contract} is being migrated to its next version; send the call again soon",
    ),
    "contract_pending": (
        Category.CONFLICT,
        "合约 {contract} 的版本 {version} 已定于区块 {height} 启用，须先撤回或等待迁移结束",
        "Version {version} of the contract {contract} is set for block {height}; withdraw it, or wait for its migration",
    ),
    "contract_not_next": (
        Category.INVALID,
        "合约 {contract} 只能启用下一个版本 {expected}，不能是 {version}",
        "Only the next version of the contract {contract}, {expected}, can be set, not {version}",
    ),
    "contract_too_soon": (
        Category.INVALID,
        "启用高度 {height} 太近，至少须为 {minimum}",
        "Height {height} is too soon; it must be {minimum} at least",
    ),
    "contract_not_pending": (
        Category.CONFLICT,
        "合约 {contract} 没有待启用的版本 {version}",
        "Version {version} of the contract {contract} is not waiting to come into force",
    ),
    "too_many_contracts": (
        Category.TOO_LARGE,
        "网络最多有 {maximum} 个合约",
        "A network has at most {maximum} contracts",
    ),
}
