"""Another release of the program, as an operator would install it beside the present one.

Rule: a copy of the packages with a later version in their metadata; what it can judge more than this release is one number. It is
found by its place in the search path alone, so that nothing of the installed one is touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from node.provenance import OWN_NAMES

HASHING: Final = Path("ledger") / "hashing.py"
_LATEST: Final = "PROTOCOL_VERSION_MAX: Final = "


def make_release(folder: Path, *, version: str, protocol_version_max: int) -> Mapping[str, str]:
    """Make it.

    Args:
        folder: new; it will hold the packages.
        version: of the release.
        protocol_version_max: the latest protocol version of blocks that it can judge.

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
    hashing = folder / HASHING
    before, found, after = hashing.read_text().partition(_LATEST)
    assert found
    _, end, rest = after.partition("\n")
    hashing.write_text(f"{before}{_LATEST}{protocol_version_max}{end}{rest}")
    # Without the second, the folder that the test runs in would come before it.
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
