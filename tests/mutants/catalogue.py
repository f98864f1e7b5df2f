"""The rules of consensus, each as the mutant that lacks it."""

from __future__ import annotations

from typing import Final

from tests.mutants.archives_and_restarts import ARCHIVES, RESTARTS
from tests.mutants.certificates_and_finality import CERTIFICATES, DURABLE, FINAL, PACE_AND_REPETITION
from tests.mutants.deposits import DEPOSITS
from tests.mutants.epochs_and_foundations import BENEATH, CHANGES, JOURNAL
from tests.mutants.erasure_and_keeping import KEEPING
from tests.mutants.grants_and_mandates import GRANTS
from tests.mutants.keys_at_rest import KEYS
from tests.mutants.leaks import LEAKS
from tests.mutants.mydata_and_webhooks import MY_DATA, WEBHOOK_RULES
from tests.mutants.passkeys import PASSKEYS
from tests.mutants.people_and_lookups import PEOPLE
from tests.mutants.proofs import PROOFS
from tests.mutants.questions_and_counts import QUESTIONS_AND_COUNTS
from tests.mutants.regions_and_recognitions import FOREIGN
from tests.mutants.shared_keys import SHARED_KEYS
from tests.mutants.state_and_retention import KEPT, LET_GO, STATE
from tests.mutants.suite_sm import SM
from tests.mutants.vault_and_shares import VAULT
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
    *GRANTS,
    *PEOPLE,
    *SHARED_KEYS,
    *QUESTIONS_AND_COUNTS,
    *PASSKEYS,
    *KEEPING,
    *VAULT,
    *MY_DATA,
    *WEBHOOK_RULES,
    *DEPOSITS,
    *LEAKS,
    *STATE,
    *KEPT,
    *LET_GO,
    *SWITCHING,
)
