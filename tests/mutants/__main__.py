"""`python -m tests.mutants`: take one rule of consensus out at a time, in a copy of the tree; the suites must notice each.

The exit code is 1 if a mutant survives, or no longer fits the code. `--list` names the mutants, `--only NAME` runs some.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, MutantStale, apply
from tests.mutants.suites import MAPPING_SUITES, SUITES

ROOT: Final = Path(__file__).resolve().parents[2]
# What the suites import or read; the rest of the tree is not copied.
COPIED: Final = (
    "ledger",
    "consensus",
    "contracts",
    "network",
    "node",
    "watermark",
    "clients",
    "tests",
    "pyproject.toml",
)
# A mutant may make its suite wait for ever.
SUITE_TIMEOUT_S: Final = 90
# … or fill the memory.
SUITE_MEMORY_KIB_MAX: Final = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a mutant: caught by a suite, survived, or stale."""

    name: str
    rule: str
    caught_by: str
    seconds: float
    stale: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.caught_by)


class Copy:
    """A copy of the tree, for one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._changes = 0
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis", "node_modules", "corpus")
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy(source, folder / name)

    def passes(self, suite: str) -> tuple[bool, str]:
        """Whether a suite passes here, and the end of what it said."""
        path = os.pathsep.join([str(self.folder), str(self.folder / "clients")])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
        memory = "unlimited" if suite in MAPPING_SUITES else SUITE_MEMORY_KIB_MAX
        try:
            done = subprocess.run(
                ("/bin/bash", "-c", f'ulimit -v {memory}; exec "$@"', suite, *SUITES[suite]),
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=SUITE_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return False, "timed out"
        return done.returncode == 0, done.stdout[-2000:] + done.stderr[-500:]

    def judge(self, mutant: Mutant) -> Verdict:
        """Apply a mutant, run its suites until one fails, and take it back."""
        began = time.monotonic()
        try:
            before = apply(mutant, self.folder)
        except MutantStale as error:
            return Verdict(name=mutant.name, rule=mutant.rule, caught_by="", seconds=0.0, stale=str(error))
        self._touch(before)
        caught_by = next((suite for suite in mutant.suites if not self.passes(suite)[0]), "")
        for path, source in before.items():
            path.write_text(source)
        self._touch(before)
        return Verdict(
            name=mutant.name, rule=mutant.rule, caught_by=caught_by, seconds=time.monotonic() - began
        )

    def _touch(self, paths: dict[Path, str]) -> None:
        """Compiled files are taken for current by size and second of change; so each change gets a second of its own."""
        self._changes += 1
        for path in paths:
            os.utime(path, (self._changes * 10, self._changes * 10))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def check_baseline(copy: Copy, chosen: list[Mutant]) -> list[str]:
    """Suites that fail without any mutant; they could not tell anything."""
    failing = []
    for suite in dict.fromkeys(suite for mutant in chosen for suite in mutant.suites):
        began = time.monotonic()
        passes, said = copy.passes(suite)
        say(f"without a mutant: {suite} {'passes' if passes else 'FAILS'} ({time.monotonic() - began:.0f} s)")
        if not passes:
            failing.append(suite)
            say(said)
    return failing


def run(chosen: list[Mutant], jobs: int, *, quiet: bool) -> list[Verdict] | None:
    """Judge the mutants; None when a suite fails by itself."""
    began = time.monotonic()
    copies: SimpleQueue[Copy] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        made = [Copy(Path(folder) / str(index)) for index in range(jobs)]
        if check_baseline(made[0], chosen):
            return None
        for copy in made:
            copies.put(copy)
        done = 0

        def judge(mutant: Mutant) -> Verdict:
            nonlocal done
            copy = copies.get()
            try:
                verdict = copy.judge(mutant)
            finally:
                copies.put(copy)
            done += 1
            if not quiet:
                outcome = f"caught by {verdict.caught_by}" if verdict.caught else f"SURVIVED {verdict.stale}"
                elapsed = time.monotonic() - began
                say(
                    f"{done:>3}/{len(chosen)} {elapsed:>5.0f} s  {mutant.name}: {outcome} ({verdict.seconds:.0f} s)"
                )
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(judge, chosen))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    names = [mutant.name for mutant in MUTANTS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help="run this one; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="name the mutants and their rules")
    parser.add_argument(
        "--check", action="store_true", help="only see whether every mutant still fits the code"
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON before the last line")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at one time")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not arguments.only or mutant.name in arguments.only]
    if arguments.list:
        say("\n".join(f"{mutant.name:<36} {mutant.rule}" for mutant in chosen))
        return 0
    if arguments.check:
        return check(chosen)
    verdicts = run(chosen, arguments.jobs, quiet=arguments.json)
    if verdicts is None:
        say("mutants: a suite fails without any mutant; nothing can be said")
        return 1
    survived = [verdict for verdict in verdicts if not verdict.caught]
    if arguments.json:
        say(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
    for verdict in survived:
        say(f"survived: {verdict.name}: {verdict.rule} {verdict.stale}")
    say(f"mutants: {len(verdicts) - len(survived)} caught, {len(survived)} survived")
    return 1 if survived else 0


def check(chosen: list[Mutant]) -> int:
    """Whether each mutant can be made of the code as it is."""
    stale = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder) / "0")
        for mutant in chosen:
            try:
                for path, source in apply(mutant, copy.folder).items():
                    path.write_text(source)
            except MutantStale as error:
                stale += 1
                say(f"{mutant.name}: {error}")
    say(f"mutants: {len(chosen) - stale} fit the code, {stale} are stale")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
