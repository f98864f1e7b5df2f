"""What contracts ask of each other, as frozen dataclasses of functions; a version offers one as its `Contract.face`.

Rule: a face belongs to those who ask, so that any version of either side fits the other. What it gives and takes are ids and the
records as everybody knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.grant_records import RepresentationBasis
from contracts.methods import CallContext
from contracts.records import Grant, Output
from contracts.representation_records import Assistance, Mandate


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUses:
    """What others ask of grants. Those that name a grant by its id name one that is there.

    Attributes:
        check_opens: (context, grant, outputs, block time) raises Denied unless a use of these outputs may begin now: the grant is
            active and opens every part, of certificates in the state that it requires, a use is left and its time has come.
        check_still_opens: the same for a use that has begun, so without uses and frequency.
        check_active: (grant, block time) raises Denied (grant_not_active) unless the grant opens anything then.
        reserve: (context, grant id) takes one of the uses left; raises Denied (uses_exhausted, frequency_exceeded).
        make: (context, grant id, release id) counts a reserved use as made; the last one exhausts the grant.
        give_back: (context, grant id, release id) gives a reserved use back, whatever has become of the grant.
    """

    check_opens: Callable[[CallContext, Grant, Sequence[Output], int], None]
    check_still_opens: Callable[[CallContext, Grant, Sequence[Output], int], None]
    check_active: Callable[[Grant, int], None]
    reserve: Callable[[CallContext, bytes], None]
    make: Callable[[CallContext, bytes, bytes], None]
    give_back: Callable[[CallContext, bytes, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Representatives:
    """What grants ask of acting for others.

    Attributes:
        check_represents: (context, mandate id, holder, purpose) gives the mandate by which the acting account may decide.
        bases: (context, mandate) gives every basis on which it rests, its own first.
        take_assistance: (context, assistance id, grant) gives the record of a clerk's help to the acting person.
    """

    check_represents: Callable[[CallContext, bytes, bytes, str], Mandate]
    bases: Callable[[CallContext, Mandate], tuple[RepresentationBasis, ...]]
    take_assistance: Callable[[CallContext, bytes, Grant], Assistance]
