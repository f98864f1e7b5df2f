"""Another release of the program, as an operator would install it beside the present one.

Rule: a copy of the packages with a later version in their metadata; what it can judge more than this release is one number, and
modules with contracts' versions, registered where their authors would do it. It is found by its place in the search path alone,
so that nothing of the installed one is touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ledger.hashing import PROTOCOL_VERSION_MAX
from node.provenance import OWN_NAMES

HASHING: Final = Path("ledger") / "hashing.py"
_LATEST: Final = "PROTOCOL_VERSION_MAX: Final = "
REGISTRY: Final = Path("contracts") / "registry.py"
_IMPORTED: Final = "from contracts import (\n"
_REGISTERED: Final = "VERSIONS: Final[tuple[Contract, ...]] = (\n"


def make_release(
    folder: Path,
    *,
    version: str,
    protocol_version_max: int = PROTOCOL_VERSION_MAX,
    contracts: Sequence[Path] = (),
) -> Mapping[str, str]:
    """Make it.

    Args:
        folder: new; it will hold the packages.
        version: of the release.
        protocol_version_max: the latest protocol version of blocks that it can judge.
        contracts: modules that it has beside this release's, each with a `CONTRACT`.

    Returns:
        The environment in which `python -m node.cli` is that release.
    """
    for name in OWN_NAMES:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = folder / f"zhenglian-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zhenglian\nVersion: {version}\n")
    _insert(folder / HASHING, _LATEST, str(protocol_version_max), replacing_line=True)
    for module in contracts:
        shutil.copy(module, folder / "contracts" / module.name)
        _insert(folder / REGISTRY, _IMPORTED, f"    {module.stem},\n")
        _insert(folder / REGISTRY, _REGISTERED, f"    {module.stem}.CONTRACT,\n")
    # Without the second, the folder that the test runs in would come before it.
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def _insert(path: Path, mark: str, text: str, *, replacing_line: bool = False) -> None:
    """Put text behind the mark, which is there; instead of the rest of its line if so."""
    before, found, after = path.read_text().partition(mark)
    assert found, mark
    if replacing_line:
        _, end, after = after.partition("\n")
        text += end
    path.write_text(f"{before}{mark}{text}{after}")
