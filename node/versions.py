"""Which release this is, and which protocol versions of the ledger it knows."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from ledger.hashing import PROTOCOL_VERSION, PROTOCOL_VERSION_MAX

RELEASE: Final = version("zhenglian")
# Lowest and highest `Header.version` that it can judge.
LEDGER_VERSIONS: Final = (PROTOCOL_VERSION, PROTOCOL_VERSION_MAX)
