"""Who may act for whom, as structs without behaviour.

Rule: as in `records.py`. A mandate is between account ids; what shows a guardianship is a certificate, and of that there is the id.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.grant_records import MANDATE_DEPTH_MAX, RepresentationBasis
from contracts.vocabulary import Code, OptionalId16
from ledger.types import AccountId, Id16, KeyId, TimeMs, Wire

PURPOSES_PER_MANDATE_MAX: Final = 64

Purposes = Annotated[tuple[Code, ...], Meta(max_length=PURPOSES_PER_MANDATE_MAX)]
Depth = Annotated[int, Meta(ge=0, le=MANDATE_DEPTH_MAX)]


class MandateState(StrEnum):
    OFFERED = "offered"
    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"


class Mandate(Wire):
    """That one account may decide on another's grants.

    Attributes:
        principal, representative: for whom, and who.
        basis: guardian, mandate or legal_representative.
        appointed_by, key_id: the holder, the representative above, or the department that issued the credential.
        credential: the certificate that shows it, or empty.
        purposes: for which purposes of grants; empty for all.
        parent: the mandate from which this one comes, or empty.
        depth: how many are above; depth_max: how many may be below.
        until_ms: from this block time on it counts no more.
    """

    mandate_id: Id16
    principal: AccountId
    representative: AccountId
    basis: RepresentationBasis
    appointed_by: AccountId
    key_id: KeyId
    credential: OptionalId16
    purposes: Purposes
    parent: OptionalId16
    depth: Depth
    depth_max: Depth
    appointed_ms: TimeMs
    until_ms: TimeMs
    state: MandateState
    state_since_ms: TimeMs


class Assistance(Wire):
    """That a clerk helped a person to decide on a request, at a service window."""

    assistance_id: Id16
    principal: AccountId
    grant_id: Id16
    clerk_account: AccountId
    clerk_key: KeyId
    place: Code
    until_ms: TimeMs
