"""Whether the packages that will run are ours: `watermark`, `node` and others are also names on the public
index.

Rule: each of our import names has to resolve to a folder beside this package (or, for the SDK in a source
tree, in `clients/`). If one resolves elsewhere, or to nothing, the program says so and does not start.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ledger.errors import Category, LedgerError

OWN_NAMES: Final = ("ledger", "consensus", "contracts", "network", "node", "watermark", "zhenglian")


class ForeignPackage(LedgerError):
    """One of our import names is somebody else's package. Fields: name, found, expected."""

    code = "foreign_package"
    category = Category.UNAVAILABLE
    zh = "导入名 {name} 指向 {found}，而不是 {expected}；请把证链装在独立的环境中，并卸载同名的软件包"
    en = (
        "The import name {name} leads to {found} instead of {expected}; "
        "install Zhenglian in an environment of its own and remove the package of that name"
    )


def require_own_packages(
    root: Path | None = None, find: Callable[[str], ModuleSpec | None] = find_spec
) -> None:
    """Refuse to run with somebody else's code under one of our names.

    Args:
        root: the folder that holds our packages; that of this package when None.
        find: how a name is resolved.

    Raises:
        ForeignPackage: the first name that resolves elsewhere or not at all.
    """
    home = (root or Path(__file__).parent.parent).resolve()
    for name in OWN_NAMES:
        expected = (home / name, home / "clients" / name)
        found = _location(find(name))
        if found not in expected:
            raise ForeignPackage(name=name, found=str(found or "nothing"), expected=str(expected[0]))


def _location(spec: ModuleSpec | None) -> Path | None:
    """The folder or file that a name would be loaded from."""
    if spec is None:
        return None
    if spec.origin is not None and Path(spec.origin).name == "__init__.py":
        return Path(spec.origin).parent.resolve()
    folders = list(spec.submodule_search_locations or ())
    if len(folders) == 1:
        return Path(folders[0]).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
