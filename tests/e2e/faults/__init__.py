"""The faults, in the order in which they are run. Importing this enters them all into `SCENARIOS`."""

from __future__ import annotations

from tests.e2e.faults import links, membership, planted, processes, resources, storage, upgrades, upkeep

__all__ = ["links", "membership", "planted", "processes", "resources", "storage", "upgrades", "upkeep"]
