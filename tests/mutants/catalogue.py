"""The rules of consensus, each as the mutant that lacks it."""

from __future__ import annotations

from typing import Final

from tests.mutants.archives_and_restarts import ARCHIVES, RESTARTS
from tests.mutants.certificates_and_finality import CERTIFICATES, DURABLE, FINAL, PACE_AND_REPETITION
from tests.mutants.epochs_and_foundations import BENEATH, CHANGES, JOURNAL
from tests.mutants.keys_at_rest import KEYS
from tests.mutants.proofs import PROOFS
from tests.mutants.regions_and_recognitions import FOREIGN
from tests.mutants.state_and_retention import KEPT, LET_GO, STATE
from tests.mutants.suite_sm import SM
from tests.mutants.versions_of_contracts import SWITCHING
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
    *SM,
    *FOREIGN,
    *PROOFS,
    *ARCHIVES,
    *RESTARTS,
    *KEYS,
    *STATE,
    *KEPT,
    *LET_GO,
    *SWITCHING,
)
