"""Why a call is denied that is about a release's window; see `denials.py`."""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

RELEASE_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "release_window_over": (
        Category.GONE,
        "下链 {release} 的领取期已于 {window_ends_ms} 结束，文件已销毁，请重新申请",
        "The window of release {release} ended at {window_ends_ms} and its files are destroyed; request a new release",
    ),
}
