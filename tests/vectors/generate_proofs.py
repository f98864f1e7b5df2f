"""Writes the proofs and the hostile set, for every suite in a process of its own.

Rule: as for `generate.py`, `make vectors` runs it and nothing else does; the same code writes the same bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from ledger.crypto.registry import SUITES
from ledger.verdicts import Check, rejected
from tests.suites import VARIABLE
from tests.unit.ledger_world import SUITE
from tests.vectors.proof_builder import Builder
from tests.vectors.proof_cases import build

HERE: Final = Path(__file__).parent
PROOFS: Final = HERE / "proofs"
CASES: Final = "cases.json"


def folder() -> Path:
    """Where this suite's files are."""
    return PROOFS / SUITE.name


def cases_text(builder: Builder) -> str:
    """The cases, one a line."""
    rows = [json.dumps(case.plain(), ensure_ascii=False) for case in builder.cases]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def verdicts_text() -> str:
    """Every check with its words."""
    words = {
        check.value: {
            "zh": str(rejected(check).fields["reason_zh"]),
            "en": str(rejected(check).fields["reason"]),
        }
        for check in Check
    }
    return json.dumps(words, ensure_ascii=False, indent=1) + "\n"


def files() -> dict[Path, str]:
    """Every file with its text."""
    builder = build()
    return {
        **{folder() / name: text for name, text in builder.files.items()},
        folder() / CASES: cases_text(builder),
        HERE / "verdicts.json": verdicts_text(),
    }


def main(arguments: list[str]) -> None:
    """Write the files of the suite under test; without `--this-suite`, those of every suite."""
    if arguments != ["--this-suite"]:
        for name in SUITES:
            command = (sys.executable, "-m", "tests.vectors.generate_proofs", "--this-suite")
            subprocess.run(command, env={**os.environ, VARIABLE: name}, check=True)
        return
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
