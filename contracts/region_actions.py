"""What operators can decide about other networks: whom to trust, and for what.

Rule: a structure, no behaviour; `regions.py` carries it out. Whoever votes has the trust point from the other
network itself, by a way that he trusts.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.records import Code
from contracts.region_records import RegionTypes
from ledger.types import Hash, Trust, Wire

PERIOD_MS_MAX: Final = 10 * 366 * 24 * 60 * 60 * 1000
PeriodMs = Annotated[int, Meta(ge=1, le=PERIOD_MS_MAX)]


class TrustRegion(Wire, tag="trust_region"):
    """Trust another network from this point on, or from a later point, or for other types.

    See `region_records.Region` for the attributes.
    """

    trust: Trust
    types: RegionTypes
    proof_age_ms_max: PeriodMs
    recognition_life_ms: PeriodMs


class DistrustRegion(Wire, tag="distrust_region"):
    """Accept nothing more of a network; none of its recognitions holds from then on."""

    chain_id: Hash
    reason: Code


RegionAction = TrustRegion | DistrustRegion
