"""What the state machine of grants draws from, and what it keeps in mind of a grant."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.calls import RegisterPurposes
from contracts.grant_records import Frequency, FrequencyUnit
from contracts.records import CertificateState
from tests.unit.contracts_world import BANK, BANK_ADMIN, LI, WANG, Actor, identity
from tests.unit.grants_world import INQUIRY, grants_world, mandate

ASKED = ("name", "school", "major")
NAMES = st.lists(st.sampled_from((*ASKED, "grade")), min_size=1, max_size=4, unique=True).map(tuple)
GIVEN = st.lists(st.sampled_from(ASKED), min_size=1, max_size=3, unique=True).map(tuple)
FREQUENCIES = st.sampled_from(
    (
        None,
        None,
        Frequency(unit=FrequencyUnit.HOUR, value=1),
        Frequency(unit=FrequencyUnit.HOUR, value=2),
        Frequency(unit=FrequencyUnit.DAY, value=2),
    )
)
MINUTES = st.integers(min_value=1, max_value=1000)
CERTIFICATES = (identity("degree of li"), identity("second degree"), identity("degree of wang"))
MOSTLY_HIS = st.sampled_from((*CERTIFICATES[:2], *CERTIFICATES[:2], CERTIFICATES[2]))
STATES = (CertificateState.SUSPENDED, CertificateState.PLEDGED)
GRANTS_MAX = 5
# Which of the grants there are; and seldom something, so that most of what is tried can succeed.
WHICH = st.integers(min_value=0, max_value=GRANTS_MAX - 1)
SELDOM = st.integers(min_value=0, max_value=7).map(lambda n: n == 7)
DECIDERS = st.sampled_from(
    (
        (LI, False),
        (LI, False),
        (LI, False),
        (WANG, True),
        (WANG, True),
        (WANG, False),
        (LI, True),
        (BANK, False),
        (BANK_ADMIN, True),
    )
)
POPULATED = grants_world()
POPULATED.vote(RegisterPurposes(purposes=(replace(INQUIRY, frequency_max=None),)))
for label, holder in (("degree of li", LI), ("second degree", LI), ("degree of wang", WANG)):
    POPULATED.issue(label, holder)
MANDATE = mandate(POPULATED, until_ms=POPULATED.time_ms + 40 * 3_600_000)
# Whoever names one names his own; the bank, which asks, has one that is of no use to it.
MANDATES = {
    WANG.account: MANDATE,
    BANK.account: mandate(POPULATED, representative=BANK_ADMIN, until_ms=POPULATED.time_ms + 40 * 3_600_000),
}
OWN = ("name", "school", "major")


@dataclass
class Told:
    """What a reader of the design, who never saw the contracts, would keep in mind of one grant."""

    grantee: Actor
    strict: bool
    own: bool = False
    given: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    uses: int = 0
    end_ms: int = 0
    open: bool = False
    decided: bool = False
    over: bool = False
    frequency: Frequency | None = None
    frequency_since_ms: int = 0
    began: dict[bytes, int] = field(default_factory=dict)
    prepared: set[bytes] = field(default_factory=set)
