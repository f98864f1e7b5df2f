"""The mutants fit the code as it is: whoever rewrites a rule of consensus rewrites the mutant that lacks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Edit, Mutant, MutantStale, apply, mutated_source
from tests.mutants.suites import SUITES

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "class A:\n    def f(self, a, b):\n        return (a\n            < b)\n\n    def g(self):\n        return 1\n"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_fits_the_code(mutant: Mutant) -> None:
    sources: dict[str, str] = {}
    for edit in mutant.edits:
        source = sources.get(edit.file) or (ROOT / edit.file).read_text()
        sources[edit.file] = mutated_source(source, edit)


def test_names_are_distinct_and_suites_are_known() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {suite for mutant in MUTANTS for suite in mutant.suites} <= SUITES.keys()


def test_a_snippet_is_found_across_white_space_and_only_where_it_is_said_to_be() -> None:
    changed = mutated_source(SOURCE, Edit("x.py", "A.f", "a < b", "a > b"))
    assert "a > b" in changed
    assert mutated_source(SOURCE, Edit("x.py", "A.g", "return 1", "return 2")).endswith("return 2\n")


@pytest.mark.parametrize(
    ("where", "old", "new"),
    [
        ("A.g", "a < b", "a > b"),
        ("A.h", "return 1", "return 2"),
        ("A", "self", "this"),
        ("A.g", "return 1", "return (1)"),
        ("A.g", "return 1", "return ("),
    ],
)
def test_a_mutant_that_does_not_fit_fails_loudly(where: str, old: str, new: str) -> None:
    with pytest.raises(MutantStale):
        mutated_source(SOURCE, Edit("x.py", where, old, new))


def test_a_stale_mutant_leaves_every_file_alone(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(SOURCE)
    edits = (Edit("x.py", "A.g", "return 1", "return 2"), Edit("x.py", "A.g", "nothing like it", ""))
    with pytest.raises(MutantStale):
        apply(Mutant(name="m", rule="r", edits=edits, suites=()), tmp_path)
    assert (tmp_path / "x.py").read_text() == SOURCE
