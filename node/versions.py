"""Which release this is, and which versions of the ledger's protocol and contracts it knows."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from contracts.registry import REGISTRY
from ledger.hashing import PROTOCOL_VERSION, PROTOCOL_VERSION_MAX

RELEASE: Final = version("zhenglian")
# Lowest and highest `Header.version` that it can judge.
LEDGER_VERSIONS: Final = (PROTOCOL_VERSION, PROTOCOL_VERSION_MAX)
# The latest version of each contract by name; it has all before, too.
CONTRACT_VERSIONS: Final = REGISTRY.known
