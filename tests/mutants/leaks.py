"""The rules of finding a leak's record."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

FINDING: Final = "node/services/finding.py"
WORDS: Final = "node/services/leak_words.py"


def _leaks(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(name, rule, file, where, old, new, ("leaks",))


LEAKS: Final = (
    _leaks(
        "note-of-another-record",
        "what was noted counts only for the record that the ledger committed to",
        FINDING,
        "_Sources.add",
        'if record is not None and root in {b"", record.commitment_root}:',
        "if record is not None:",
    ),
    _leaks(
        "erased-record-found",
        "what is erased is not found by what was noted of it",
        FINDING,
        "Finding._by_tags",
        "if record is not None and not record.erased_ms:",
        "if record is not None:",
    ),
    _leaks(
        "look-without-trail",
        "who looked is written down before it is answered",
        FINDING,
        "Finding.find",
        "await self._write_down(answer, len(file), caller)",
        "pass",
    ),
    _leaks(
        "number-inside-another",
        "a part of a longer number is no number",
        WORDS,
        "_words",
        "if end in ends and shape[start:end] in shapes:",
        "if shape[start:end] in shapes:",
    ),
    _leaks(
        "pages-beyond-the-bound-untold",
        "pages and files of a PDF that are not looked at are said",
        "node/leakreading.py",
        "_read_pdf",
        "found.truncated = found.truncated or beyond",
        "pass",
    ),
    _leaks(
        "releases-beyond-the-bound-untold",
        "more releases of one file than are looked at are said",
        FINDING,
        "Finding._by_hash",
        "return len(known) > RELEASES_FOUND_MAX",
        "return False",
    ),
)
