"""The rules by which a contract goes over to its next version."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

UPGRADES: Final = "contracts/upgrades.py"
MIGRATIONS: Final = "contracts/migrations.py"
VERSIONS: Final = "contracts/versions.py"
EXECUTION: Final = "node/execution.py"
OVERLAYS: Final = "node/overlays.py"


def _lacking(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(f"contract-{name}", rule, file, where, old, new, ("versions",))


SWITCHING: Final = (
    _lacking(
        "one-at-a-time",
        "a contract has one next version at a time, and its migration has ended before",
        UPGRADES,
        "upgrade",
        "if schedule.next_height != 0 or going_on is not None:",
        "if schedule.next_height != 0:",
    ),
    _lacking(
        "next-only",
        "only the next version can be set",
        UPGRADES,
        "upgrade",
        "action.version != schedule.version + 1",
        "action.version <= schedule.version",
    ),
    _lacking(
        "notice",
        "a version comes with notice",
        UPGRADES,
        "upgrade",
        "if action.height < minimum:",
        "if False:",
    ),
    _lacking(
        "withdrawn-before",
        "a version is withdrawn before its height only",
        UPGRADES,
        "withdraw",
        "not waiting or schedule.next_version != action.version",
        "schedule.next_version != action.version",
    ),
    _lacking(
        "at-its-height",
        "a version takes over at its height",
        MIGRATIONS,
        "_Switch.run",
        "if self._context.height < schedule.next_height:",
        "if self._context.height <= schedule.next_height:",
    ),
    _lacking(
        "all-before-the-switch",
        "every record is copied before the switch",
        MIGRATIONS,
        "_Switch._copy",
        "return replace(migration, after=after, entries=entries)",
        "return replace(migration, table=migration.table + 1, after=b'', entries=entries)",
    ),
    _lacking(
        "nothing-twice",
        "no record is copied twice",
        MIGRATIONS,
        "_Switch._scan",
        'after + b"\\0" if after else prefix',
        "after or prefix",
    ),
    _lacking(
        "bounded",
        "a block moves a bounded number of records",
        MIGRATIONS,
        "_Budget.take",
        "self.records -= 1",
        "self.records -= 0",
    ),
    _lacking(
        "failure-cancels",
        "what cannot be converted cancels the switch",
        MIGRATIONS,
        "_Switch._advance",
        "return self._end(migration, ChangeOutcome.FAILED, str(error)[:REASON_CHARS_MAX])",
        "return self._end(migration, ChangeOutcome.SWITCHED, str(error)[:REASON_CHARS_MAX])",
    ),
    _lacking(
        "own-tables",
        "a conversion writes into its version's own new tables",
        MIGRATIONS,
        "_Switch._convert",
        "if not key.startswith(fresh):",
        "if False:",
    ),
    _lacking(
        "no-collision",
        "no two records become one",
        MIGRATIONS,
        "_Switch._convert",
        "if self._draft.get(key) is not None:",
        "if False:",
    ),
    _lacking(
        "no-trace",
        "a failure leaves nothing of what this block has copied",
        MIGRATIONS,
        "_Switch._clear",
        "for key in [key for key in self._draft.writes if key.startswith(prefix)]:",
        "for key in []:",
    ),
    _lacking(
        "frozen",
        "a contract is not called while its records are copied",
        VERSIONS,
        "InForce.usable",
        "if contract is not None and name in self._frozen():",
        "if False:",
    ),
    _lacking(
        "only-while-copying",
        "calls go on while what is of no use is taken away",
        VERSIONS,
        "InForce._frozen",
        "if migration is not None and migration.step is MigrationStep.COPYING",
        "if migration is not None",
    ),
    _lacking(
        "version-of-the-state",
        "a call is carried out by the version that the state names",
        VERSIONS,
        "InForce.find",
        "self._registry.require(name, schedule.version, schedule.since_height)",
        "self._registry.require(name, self._registry.latest(name), schedule.since_height)",
    ),
    _lacking(
        "release-checked",
        "a node does not start with a release that lacks what is due",
        EXECUTION,
        "Execution.check_release",
        "require_versions(self._registry, state, height)",
        "pass",
    ),
    _lacking(
        "migration-is-work",
        "a migration ends though nobody calls anything",
        EXECUTION,
        "Execution.has_work",
        "if self._migration_goes_on():",
        "if False:",
    ),
    _lacking(
        "newest-layer",
        "a migration sees each record as the newest block left it",
        OVERLAYS,
        "OrderedState.scan",
        "for layer in reversed(self.layers):",
        "for layer in self.layers:",
    ),
)
