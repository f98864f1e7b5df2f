"""What contracts ask of each other, as frozen dataclasses of functions; a version offers one as its `Contract.face`.

Rule: a face belongs to those who ask, so that any version of either side fits the other. What it gives and takes are ids and the
records as everybody knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.methods import CallContext
from contracts.records import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUses:
    """What releases ask of grants. The functions name a grant by its id; it must be there.

    Attributes:
        check_active: raises Denied (grant_not_active) unless the grant opens data at that block time.
        reserve: takes one of the uses left for a release that begins; raises Denied (uses_exhausted).
        make: counts a reserved use as made; the last one exhausts the grant.
        give_back: gives a reserved use back, whatever has become of the grant.
    """

    check_active: Callable[[Grant, int], None]
    reserve: Callable[[CallContext, bytes], None]
    make: Callable[[CallContext, bytes], None]
    give_back: Callable[[CallContext, bytes], None]
