"""The states of a grant: the one table of how they change, and how a grant is kept.

Rule: `TRANSITIONS` is every way a grant's state changes, and whatever is not in that table is refused. Time alone ends a grant:
from `consent_expiry_ms` on every contract takes it for EXPIRED, whether or not a tick has written that down.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.records import Grant, GrantState
from contracts.state import GRANTS, present
from contracts.versions import Reading


class Step(StrEnum):
    """What can be done to a grant."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    NARROW = "narrow"
    REVOKE = "revoke"
    EXPIRE = "expire"
    EXHAUST = "exhaust"


TRANSITIONS: Final[dict[tuple[GrantState, Step], GrantState]] = {
    (GrantState.REQUESTED, Step.APPROVE): GrantState.ACTIVE,
    (GrantState.REQUESTED, Step.REJECT): GrantState.REJECTED,
    (GrantState.REQUESTED, Step.EXPIRE): GrantState.EXPIRED,
    (GrantState.ACTIVE, Step.PAUSE): GrantState.PAUSED,
    (GrantState.ACTIVE, Step.NARROW): GrantState.ACTIVE,
    (GrantState.ACTIVE, Step.REVOKE): GrantState.REVOKED,
    (GrantState.ACTIVE, Step.EXPIRE): GrantState.EXPIRED,
    (GrantState.ACTIVE, Step.EXHAUST): GrantState.EXHAUSTED,
    (GrantState.PAUSED, Step.RESUME): GrantState.ACTIVE,
    (GrantState.PAUSED, Step.NARROW): GrantState.PAUSED,
    (GrantState.PAUSED, Step.REVOKE): GrantState.REVOKED,
    (GrantState.PAUSED, Step.EXPIRE): GrantState.EXPIRED,
    (GrantState.REVOKED, Step.REVOKE): GrantState.REVOKED,
}


def standing(grant: Grant, time_ms: int) -> GrantState:
    """The grant's state at block time `time_ms`: as written, or EXPIRED once its end has come."""
    if (grant.state, Step.EXPIRE) in TRANSITIONS and time_ms >= grant.consent_expiry_ms:
        return GrantState.EXPIRED
    return grant.state


def stepped(grant: Grant, step: Step, time_ms: int) -> Grant:
    """The grant after that step.

    Raises:
        Denied: state_transition.
    """
    state = standing(grant, time_ms)
    target = TRANSITIONS.get((state, step))
    if target is None:
        raise Denied("state_transition", what="grant", state=state.value, step=step.value)
    return grant if target is grant.state else replace(grant, state=target, state_since_ms=time_ms)


def check_active(grant: Grant, time_ms: int) -> None:
    """Raise Denied (grant_not_active) unless the grant opens data at block time `time_ms`."""
    state = standing(grant, time_ms)
    if state is not GrantState.ACTIVE:
        raise Denied("grant_not_active", grant=grant.grant_id.hex(), state=state.value)


def known(context: CallContext, grant_id: bytes) -> Grant:
    """The grant that a call names.

    Raises:
        Denied: unknown_grant.
    """
    grant = GRANTS.get(context.state, grant_id)
    if grant is None:
        raise Denied("unknown_grant", grant=grant_id.hex())
    return grant


def used(context: CallContext, grant_id: bytes) -> Grant:
    """The grant of a release, which is there."""
    return present(GRANTS.get(context.state, grant_id), "the grant of a release")


def concerned(state: Reading, grant_id: bytes) -> tuple[bytes, ...]:
    """The grant, its holder and its grantee, as far as the ledger knows it."""
    grant = state.record(GRANTS, grant_id)
    return (grant_id,) if grant is None else (grant_id, grant.pii_principal_id, grant.grantee)


def save(context: CallContext, kind: str, grant: Grant, *subjects: bytes, **facts: str | int | bytes) -> None:
    """Keep a grant and tell everyone whom it concerns.

    Args:
        context: the call.
        kind: of the event.
        grant: as it is now.
        subjects: ids that it concerns besides the grant's own.
        facts: small public facts besides the grant's own.
    """
    GRANTS.put(context.state, grant.grant_id, grant)
    certificates = tuple(item.certificate for item in grant.items or grant.requested_items)
    context.emit(
        kind,
        grant.grant_id,
        (grant.pii_principal_id, grant.grantee, grant.renews, *subjects, *certificates),
        purpose=grant.purpose,
        lawful_basis=grant.lawful_basis,
        state=grant.state.value,
        uses_max=grant.uses_max,
        uses_left=grant.uses_left,
        consent_expiry_ms=grant.consent_expiry_ms,
        **facts,
    )
