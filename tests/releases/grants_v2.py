"""Version 2 of the contract `grants`: uses are kept as an account of their own, a holder's grants have an index, and a holder can
leave a note.

Rule: what a grant is and how its state changes is as in version 1, whose methods run here on a view of the state in which the
records still have their former shape; only what is kept differs. Where a former reader asks for a grant, it gets it in the shape
that it knows.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from contracts import grants as former
from contracts.args import Args
from contracts.denials import Denied
from contracts.faces import GrantUses
from contracts.methods import HOLDER, CallContext, Method, Output, method
from contracts.records import Grant
from contracts.state import GRANTS, Draft, Table
from contracts.versions import Contract, Lift, Move, Reading
from ledger import codec
from ledger.types import Count, Id16, Text, Wire


class Uses(Wire):
    """What may be and was used of a grant."""

    left: Count
    reserved: Count
    made: Count


class GrantV2(Wire):
    """A grant without its uses, and they; `uses_left` and `uses_reserved` of the first are 0."""

    uses: Uses
    grant: Grant
    note: Text = ""


class GrantsNote(Args):
    """The holder. Leaves a note at an own grant; an empty one takes it away."""

    grant_id: Id16
    note: Text


GRANTS_V2: Final = Table[bytes, GrantV2]("grants_v2/", GrantV2, lambda key: key)
BY_HOLDER: Final = Table[bytes, int]("grants_by_holder/", int, lambda key: key)


def raised(grant: Grant, note: str = "") -> GrantV2:
    """A grant of version 1 in the shape of version 2."""
    made = grant.uses_max - grant.uses_left - grant.uses_reserved if grant.consent_start_ms else 0
    uses = Uses(left=grant.uses_left, reserved=grant.uses_reserved, made=made)
    return GrantV2(uses=uses, grant=replace(grant, schema_version=3, uses_left=0, uses_reserved=0), note=note)


def lowered(record: GrantV2) -> Grant:
    """What former readers know of it."""
    return replace(record.grant, uses_left=record.uses.left, uses_reserved=record.uses.reserved)


def migrate(name: bytes, value: bytes) -> dict[bytes, bytes]:
    """One grant of version 1: the record, and its place in the index."""
    grant = codec.decode(value, Grant, size_bytes_max=len(value))
    return {
        GRANTS_V2.key(name): codec.encode(raised(grant)),
        BY_HOLDER.key(grant.pii_principal_id + name): codec.encode(grant.requested_ms),
    }


class FormerView(Draft):
    """A draft in which grants have their former shape, whatever is kept."""

    __slots__ = ("_kept",)

    def __init__(self, kept: Draft) -> None:
        super().__init__(kept)
        self._kept = kept

    def get(self, key: bytes) -> bytes | None:
        if not key.startswith(GRANTS.prefix):
            return self._kept.get(key)
        record = GRANTS_V2.get(self._kept, key.removeprefix(GRANTS.prefix))
        return None if record is None else codec.encode(lowered(record))

    def put(self, key: bytes, value: bytes) -> None:
        if not key.startswith(GRANTS.prefix):
            self._kept.put(key, value)
            return
        grant, before = GRANTS.decode(value), GRANTS_V2.get(self._kept, key.removeprefix(GRANTS.prefix))
        if before is None:
            BY_HOLDER.put(self._kept, grant.pii_principal_id + grant.grant_id, grant.requested_ms)
        GRANTS_V2.put(self._kept, grant.grant_id, raised(grant, "" if before is None else before.note))

    def delete(self, key: bytes) -> None:
        self._kept.delete(key)


def _formerly(context: CallContext) -> CallContext:
    """The same call on that view; its events are this call's."""
    seen = copy.copy(context)
    seen.state = FormerView(context.state)
    return seen


def _over(kept: Method) -> Method:
    """A method of version 1 over this version's records."""

    def run(context: CallContext, args: Args) -> Output:
        return kept.run(_formerly(context), args)

    return dataclasses.replace(kept, run=run, cost=kept.cost + 3)


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """What version 1 offers to others, over this version's records."""

    def ask(context: CallContext, *rest: Any) -> Any:
        return function(_formerly(context), *rest)

    return ask


def _concerned(state: Reading, grant_id: bytes) -> tuple[bytes, ...]:
    grant = state.record(GRANTS, grant_id)
    return (grant_id,) if grant is None else (grant_id, grant.pii_principal_id, grant.grantee)


@method(
    GrantsNote,
    callers=HOLDER,
    cost=20,
    concerns=lambda state, args: _concerned(state, args.grant_id),
    named=("grants", "note"),
)
def note(context: CallContext, args: GrantsNote) -> None:
    """Leave a note at an own grant."""
    record = GRANTS_V2.get(context.state, args.grant_id)
    if record is None:
        raise Denied("unknown_grant", grant=args.grant_id.hex())
    if record.grant.pii_principal_id != context.account.account_id:
        raise Denied("not_holder", grant=args.grant_id.hex())
    GRANTS_V2.put(context.state, args.grant_id, replace(record, note=args.note))
    context.emit("grants.noted", args.grant_id, (record.grant.grantee,), empty=int(not args.note))


CONTRACT: Final = Contract(
    name="grants",
    version=2,
    methods=(*(_over(kept) for kept in former.METHODS), note),
    tables=(GRANTS_V2, BY_HOLDER, *(table for table in former.TABLES if table is not GRANTS)),
    moves=(Move(source=GRANTS, convert=migrate),),
    lifts=(Lift(wanted=GRANTS, table=GRANTS_V2, lift=lowered),),
    on_deadline=_asked(former.look_again),
    face=GrantUses(
        check_active=former.check_active,
        **{
            name: _asked(getattr(former.CONTRACT.face, name))
            for name in ("check_opens", "check_still_opens", "reserve", "make", "give_back")
        },
    ),
)
