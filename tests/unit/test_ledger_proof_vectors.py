"""The shared proofs and the hostile set: the same bytes and the same verdicts as every other verifier has to give."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.verdicts import Check
from tests.unit.ledger_world import SUITE
from tests.vectors import generate_proofs
from tests.vectors.proof_builder import VALID, Case, verdict_of
from tests.vectors.proof_cases import build

BUILT = build()
FILES = generate_proofs.files()
# What no file can show: a path longer than a struct may hold is malformed, and a trust point is taken as sound.
NEVER_SEEN = {Check.PATH_TOO_LONG, Check.TRUST_KEYS}


@pytest.mark.parametrize("path", list(FILES), ids=lambda path: path.name)
def test_the_shared_proofs_are_unchanged(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "the protocol changed: if so, `make vectors`"


@pytest.mark.parametrize("case", BUILT.cases, ids=lambda case: case.name)
def test_every_case_has_its_verdict(case: Case) -> None:
    assert verdict_of(*case.data(BUILT.files)) == case.verdict


def test_the_cases_show_every_check_that_a_file_can_fail() -> None:
    shown = {case.verdict for case in BUILT.cases}
    proofs = {check for check in Check if not check.value.startswith("snapshot")}
    assert {check.value for check in proofs - NEVER_SEEN} <= shown
    assert {VALID, "limit_exceeded", "unknown_suite"} <= shown


@pytest.mark.parametrize("name", ["small_receipt", "small_state"])
def test_every_flipped_bit_is_rejected_with_a_reason(name: str) -> None:
    trust = BUILT.proofs.trusts["small_trust"]
    data = bytearray(BUILT.files[f"{name}.json"].encode())
    assert verdict_of(bytes(data), trust, None) == VALID
    verdicts = set()
    for bit in range(8 * len(data)):
        data[bit >> 3] ^= 1 << (bit & 7)
        verdicts.add(verdict_of(bytes(data), trust, None))
        data[bit >> 3] ^= 1 << (bit & 7)
    assert VALID not in verdicts
    assert verdicts <= {check.value for check in Check}
    assert {"format", "summary", "certificate_subject", "certificate_signature"} <= verdicts


def test_the_folder_holds_no_file_that_nobody_writes() -> None:
    there = {path for path in (generate_proofs.PROOFS / SUITE.name).iterdir() if path.is_file()}
    assert there <= set(FILES)
