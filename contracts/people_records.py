"""What the state knows of people, of lookups by identity number, and of who may say who somebody is.

Rule: no identity number, nothing that can be computed from one without t of the key holders, and no name. A tag stands in state
keys only, never in an event. Ids of people's accounts say nothing but that they belong to their first key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.vocabulary import Code
from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.shares import EncodedElement
from ledger.types import ACCOUNT_ID_SIZE_BYTES, AccountId, Count, Hash, Id16, KeyId, Signature, TimeMs, Wire

# Versions of the directory key that can be in force at a time: the one in use, the one before, the one after.
VERSIONS_IN_FORCE_MAX: Final = 3
BATCH_MAX: Final = 64
HOUR_MS: Final = 60 * 60 * 1000
# Every period of so many hours is within its quota, whenever it begins.
QUOTA_WINDOW_HOURS: Final = 24
QUOTA_MAX: Final = 1_000_000_000
TICKET_LIFE_MS: Final = 15 * 60 * 1000
ASSERTION_LIFE_MS_MAX: Final = HOUR_MS
RECOVERY_DELAY_MS: Final = 72 * HOUR_MS
# How long the second organisation may take to confirm a recovery.
RECOVERY_CONFIRM_MS: Final = 72 * HOUR_MS
RESTRICTION_MS: Final = 7 * 24 * HOUR_MS


def person_account_id(suite: CryptoSuite, first_key: bytes) -> bytes:
    """The id of the account whose first key has the id `first_key`.

    It commits to the key, so that nobody can take an id in advance, and is as random as the key is.
    """
    return suite.hash(domains.ACCOUNT_ID, first_key)[:ACCOUNT_ID_SIZE_BYTES]


class AssertionMethod(StrEnum):
    """How a registrar made sure who somebody is; only before a clerk is one there in person."""

    CLERK = "clerk"
    OIDC = "oidc"
    FACE = "face"


class AssertionUse(StrEnum):
    """What an identity assertion is for, and what a registrar may do."""

    ENROLL = "enroll"
    RECOVER = "recover"
    RETAG = "retag"


class Registrar(Wire):
    """An organisation whose word about a person's identity counts; by vote of the operators.

    Attributes:
        account: the organisation.
        methods: how it may identify people.
        uses: what its assertions may be used for.
    """

    account: AccountId
    methods: Annotated[tuple[AssertionMethod, ...], Meta(max_length=len(AssertionMethod))]
    uses: Annotated[tuple[AssertionUse, ...], Meta(max_length=len(AssertionUse))]


class PersonTag(Wire):
    """A directory tag: the value of the threshold function on an identity number, and under which version of the key."""

    version: Count
    tag: Hash


PersonTags = Annotated[tuple[PersonTag, ...], Meta(min_length=1, max_length=VERSIONS_IN_FORCE_MAX)]


class IdentityAssertion(Wire):
    """A registrar's word that the owner of a key is the person of these tags.

    Attributes:
        chain_id: for which network; it counts nowhere else.
        issuer: the registrar.
        use, method: what for, and how the person was identified.
        key_id: the person's key: the one to be bound, or for a retag one that the account has.
        tags: of the person's number, one under each version of the directory key in force.
        own_element: the number's element times a factor that only the person knows (`directory.py`).
        reachable: whether the person has a channel on which notices arrive; without one all is done in person.
        evidence: hash of what the registrar keeps: the token, the comparison, the clerk's protocol.
        issued_ms, expires_ms: block times between which it counts, at most `ASSERTION_LIFE_MS_MAX` apart.
    """

    chain_id: Hash
    issuer: AccountId
    use: AssertionUse
    method: AssertionMethod
    key_id: KeyId
    tags: PersonTags
    own_element: EncodedElement
    reachable: bool
    evidence: Hash
    issued_ms: TimeMs
    expires_ms: TimeMs


class SignedAssertion(Wire):
    """An assertion signed by a key of its issuer under `domains.IDENTITY_ASSERTION`."""

    assertion: IdentityAssertion
    key_id: KeyId
    signature: Signature


class Person(Wire):
    """What a person's account has beside its keys.

    Attributes:
        own_element: see `IdentityAssertion`; the only element that the person itself may have evaluated.
        reachable: whether notices arrive.
        tagged: the latest versions under which the account is found, each by one tag, ascending.
    """

    own_element: EncodedElement
    reachable: bool
    tagged: Annotated[tuple[Count, ...], Meta(max_length=VERSIONS_IN_FORCE_MAX)]


class RecoveryState(StrEnum):
    """Opened by one organisation, pending once another has confirmed; then completed, vetoed or lapsed, each for good."""

    OPENED = "opened"
    PENDING = "pending"
    COMPLETED = "completed"
    VETOED = "vetoed"
    LAPSED = "lapsed"


class Recovery(Wire):
    """Giving a person who has lost every key another one; the latest of an account.

    Attributes:
        account: the person's.
        key_id: of the new key; `key` is its canonical encoding (`new_keys.NewKey`).
        own_element: as for `Person`, from then on.
        opened_by, opened_key, confirmed_by, confirmed_key: the two organisations and their officers; empty before.
        state, state_since_ms: what has become of it.
        completes_ms: while it is opened: when it lapses; while it is pending: when the key is bound.
        fresh_from_ms: when the recovery before it ended; no word given earlier counts for this one.
    """

    account: AccountId
    key_id: KeyId
    key: Annotated[bytes, Meta(max_length=1024)]
    own_element: EncodedElement
    opened_by: AccountId
    opened_key: KeyId
    confirmed_by: Annotated[bytes, Meta(max_length=ACCOUNT_ID_SIZE_BYTES)]
    confirmed_key: Annotated[bytes, Meta(max_length=ACCOUNT_ID_SIZE_BYTES)]
    state: RecoveryState
    state_since_ms: TimeMs
    completes_ms: TimeMs
    fresh_from_ms: TimeMs


class Ticket(Wire):
    """A lookup ticket (查询票据): permission to have exactly these blinded elements evaluated.

    Attributes:
        account, officer: who asks, and by which key; a person asks for itself.
        entry: the node that collects the holders' shares.
        count: how many elements.
        elements_hash: of the blinded elements in their order (`directory.elements_hash`).
        basis: on what ground, a code.
        requested_ms, expires_ms: from that block time on nobody answers it any more.
        approver: key of the second officer; empty while there is none. More than one element needs one.
        moved: how many tags were written under it (`people.move_tags`).
    """

    ticket_id: Id16
    account: AccountId
    officer: KeyId
    entry: AccountId
    count: Annotated[int, Meta(ge=1, le=BATCH_MAX)]
    elements_hash: Hash
    basis: Code
    requested_ms: TimeMs
    expires_ms: TimeMs
    approver: Annotated[bytes, Meta(max_length=ACCOUNT_ID_SIZE_BYTES)] = b""
    moved: Count = 0


class CountedHour(Wire):
    """How many elements were asked for in an hour, counted since the epoch of block time."""

    hour: Count
    elements: Count


class LookupCount(Wire):
    """What counts against a quota: hours in their order, none that no window reaches any more."""

    hours: Annotated[tuple[CountedHour, ...], Meta(max_length=QUOTA_WINDOW_HOURS + 1)]


class LookupLimits(Wire):
    """How many people may be looked up in any 24 hours of block time; operators change it by vote.

    Attributes:
        officer_max: by one officer's key.
        organization_max: by all keys of one organisation.
        entry_max: through one node, by anybody.
        person_max: by a person, of its own number.
    """

    officer_max: Annotated[int, Meta(ge=0, le=QUOTA_MAX)] = 500
    organization_max: Annotated[int, Meta(ge=0, le=QUOTA_MAX)] = 5_000
    entry_max: Annotated[int, Meta(ge=0, le=QUOTA_MAX)] = 50_000
    person_max: Annotated[int, Meta(ge=0, le=QUOTA_MAX)] = 10
