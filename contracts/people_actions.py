"""What operators can decide about people: whose word on identity counts, and how many may be looked up.

Rule: a structure, no behaviour; `registrars.py` carries it out.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from contracts.people_records import AssertionMethod, AssertionUse, LookupLimits
from ledger.types import AccountId, Wire


class SetRegistrar(Wire, tag="set_registrar"):
    """Replace what an organisation may assert; no methods and no uses take it all away."""

    account_id: AccountId
    methods: Annotated[tuple[AssertionMethod, ...], Meta(max_length=len(AssertionMethod))]
    uses: Annotated[tuple[AssertionUse, ...], Meta(max_length=len(AssertionUse))]


class SetLookupLimits(Wire, tag="set_lookup_limits"):
    """Replace the quotas of lookups."""

    limits: LookupLimits


PeopleAction = SetRegistrar | SetLookupLimits
