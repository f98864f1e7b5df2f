"""The node runs only its own code, however the names on the import path are arranged."""

from __future__ import annotations

from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest

from node.provenance import OWN_NAMES, ForeignPackage, require_own_packages


def package(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")


def search(*folders: Path):  # type: ignore[no-untyped-def]
    def find(name: str) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(folder) for folder in folders])

    return find


def source_tree(root: Path) -> Path:
    for name in OWN_NAMES:
        package(root / "clients" / name if name == "zhenglian" else root / name)
    return root


def test_a_source_tree_and_an_installation_are_accepted(tmp_path: Path) -> None:
    tree = source_tree(tmp_path / "tree")
    require_own_packages(tree, search(tree, tree / "clients"))
    installed = tmp_path / "site-packages"
    for name in OWN_NAMES:
        package(installed / name)
    require_own_packages(installed, search(installed))


@pytest.mark.parametrize("name", OWN_NAMES)
def test_somebody_elses_package_under_one_of_our_names_is_refused(tmp_path: Path, name: str) -> None:
    tree = source_tree(tmp_path / "tree")
    foreign = tmp_path / "site-packages"
    package(foreign / name)
    with pytest.raises(ForeignPackage) as refused:
        require_own_packages(tree, search(foreign, tree, tree / "clients"))
    assert refused.value.fields["name"] == name
    assert str(foreign / name) in refused.value.message("en")


def test_a_module_file_a_missing_package_and_a_split_package_are_refused(tmp_path: Path) -> None:
    tree = source_tree(tmp_path / "tree")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "watermark.py").write_text("")
    with pytest.raises(ForeignPackage):
        require_own_packages(tree, search(foreign, tree, tree / "clients"))
    with pytest.raises(ForeignPackage) as missing:
        require_own_packages(tree, search(tree))
    assert missing.value.fields["name"] == "zhenglian"
    (tree / "ledger" / "__init__.py").unlink()
    (foreign / "ledger").mkdir()
    with pytest.raises(ForeignPackage):
        require_own_packages(tree, search(tree, foreign, tree / "clients"))
