"""A mutant: one rule of consensus taken out, by changing a snippet inside one named function.

Rule: a mutant whose snippet is not found exactly once fails loudly; it must never pass for caught because it changed nothing.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path


class MutantStale(Exception):
    """The code has changed, and the mutant has to be written anew."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change in one function.

    Attributes:
        file: relative to the root of the project.
        where: qualified name of a function or class, "" for the whole module.
        old: the snippet; white space counts as equal to any other white space.
        new: what stands there instead.
    """

    file: str
    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One rule less.

    Attributes:
        name: for `--only`.
        rule: what is taken out, in words.
        edits: how.
        suites: names of suites of `suites.py`, tried in this order until one fails.
    """

    name: str
    rule: str
    edits: tuple[Edit, ...]
    suites: tuple[str, ...]


def mutated_source(source: str, edit: Edit) -> str:
    """The module's source with the edit made.

    Raises:
        MutantStale: the function or the snippet is not there exactly once, or what comes out is no Python.
    """
    begin, end = _span(source, edit)
    body = source[begin:end]
    pattern = r"\s+".join(re.escape(word) for word in edit.old.split())
    found = list(re.finditer(pattern, body))
    if len(found) != 1:
        raise MutantStale(f"{edit.file}: {edit.where}: {len(found)} places read {edit.old!r}")
    place = found[0]
    changed = source[: begin + place.start()] + edit.new + source[begin + place.end() :]
    try:
        same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    except SyntaxError as error:
        raise MutantStale(f"{edit.file}: {edit.where}: {error}") from None
    if same:
        raise MutantStale(f"{edit.file}: {edit.where}: the change changes nothing")
    return changed


def _span(source: str, edit: Edit) -> tuple[int, int]:
    """Where the named function begins and ends in the source."""
    node: ast.AST = ast.parse(source)
    for name in edit.where.split(".") if edit.where else ():
        inner = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child.name == name
        ]
        if len(inner) != 1:
            raise MutantStale(f"{edit.file}: there is no one {edit.where}")
        node = inner[0]
    if isinstance(node, ast.Module):
        return 0, len(source)
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    lines = source.splitlines(keepends=True)
    end_line = node.end_lineno or node.lineno
    return sum(map(len, lines[: node.lineno - 1])), sum(map(len, lines[:end_line]))


def apply(mutant: Mutant, root: Path) -> dict[Path, str]:
    """Mutate the files below a root; gives back what was there before.

    Raises:
        MutantStale: as `mutated_source` says; then nothing is changed.
    """
    before: dict[Path, str] = {}
    after: dict[Path, str] = {}
    for edit in mutant.edits:
        path = root / edit.file
        if path not in after:
            try:
                before[path] = after[path] = path.read_text()
            except FileNotFoundError:
                raise MutantStale(f"{edit.file} is not there") from None
        after[path] = mutated_source(after[path], edit)
    for path, source in after.items():
        path.write_text(source)
    return before
