"""The rules of consensus, each as the mutant that lacks it."""

from __future__ import annotations

from typing import Final

from tests.mutants.certificates_and_finality import CERTIFICATES, DURABLE, FINAL, PACE_AND_REPETITION
from tests.mutants.epochs_and_foundations import BENEATH, CHANGES, JOURNAL
from tests.mutants.votes_and_proposals import COUNTING, PROPOSALS, VOTING

MUTANTS: Final = (
    *VOTING,
    *PROPOSALS,
    *COUNTING,
    *CERTIFICATES,
    *FINAL,
    *DURABLE,
    *PACE_AND_REPETITION,
    *BENEATH,
    *CHANGES,
    *JOURNAL,
)
