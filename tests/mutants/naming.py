"""Where the rules live, and the short way to write a mutant of one edit."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Edit, Mutant

MACHINE: Final = "consensus/core/machine.py"
TALLY: Final = "consensus/core/tally.py"
MEMORY: Final = "consensus/core/memory.py"
FILLERS: Final = "consensus/core/fillers.py"
EPOCHS: Final = "consensus/epochs.py"
JUDGE: Final = "consensus/core/judge.py"
VOTES: Final = "consensus/core/votes.py"
VIEW: Final = "consensus/core/view.py"
PACE: Final = "consensus/core/pace.py"
FINALITY: Final = "consensus/core/finality.py"
FINALIZER: Final = "consensus/core/finalizer.py"
BODIES: Final = "consensus/core/bodies.py"
RESTORE: Final = "consensus/core/restore.py"
SPEECH: Final = "consensus/core/speech.py"
PROPOSER: Final = "consensus/core/proposer.py"
ENGINE: Final = "consensus/engine.py"
REPLAY: Final = "consensus/journal_replay.py"
SYNC: Final = "consensus/sync.py"
QUORUM: Final = "ledger/quorum.py"
TYPES: Final = "ledger/types.py"

CORE: Final = ("rules", "scenarios", "epochs", "seeds")


def one(
    name: str, rule: str, file: str, where: str, old: str, new: str, suites: tuple[str, ...] = CORE
) -> Mutant:
    return Mutant(name=name, rule=rule, edits=(Edit(file, where, old, new),), suites=suites)
