"""What a recipient that may keep data has to delete, and its statement that it did.

Rule: every release under a `store` grant leaves a duty from the moment its bytes may leave. It is due when the data's life and
retention are over; from then the recipient has `STATEMENT_TIME_MS` to state the deletion. A revocation makes everything due that
retention does not keep. Whoever is late with a grant asks for nothing more under its purpose, until it has stated.

The statement says whose word it is; what it is about is gone from where nobody else looks. That is why it is signed and kept.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.grant_calls import GrantsStateDeletion
from contracts.grant_records import ConsentMode, Deletion, DeletionDuty, Grant, GrantState
from contracts.grant_states import concerned, known, used
from contracts.grant_tables import DELETION_DUTIES, DELETIONS, DELETIONS_LATE
from contracts.methods import GRANTEE_OFFICER, CallContext, method
from contracts.schedule import schedule
from contracts.state import DeadlineKind, present

STATEMENT_TIME_MS: Final = 7 * 24 * 60 * 60 * 1000


def keep(context: CallContext, grant: Grant, release_id: bytes) -> None:
    """Note that a release under a `store` grant hands something out, which has to be deleted in its time."""
    if grant.consent_mode is not ConsentMode.STORE:
        return
    due_ms = context.time_ms + grant.data_life_ms + grant.retention_period_ms
    DELETIONS.put(
        context.state, release_id, Deletion(release_id=release_id, grant_id=grant.grant_id, due_ms=due_ms)
    )
    duty = _duty(context, grant.grant_id)
    DELETION_DUTIES.put(context.state, grant.grant_id, replace(duty, open=duty.open + 1))
    schedule(context.state, due_ms, DeadlineKind.DELETION, release_id)


def hasten(context: CallContext, grant: Grant) -> None:
    """Make what a revoked grant gave due, as far as retention does not keep it."""
    duty = DELETION_DUTIES.get(context.state, grant.grant_id)
    if duty is not None and duty.open:
        schedule(context.state, _late_ms(grant), DeadlineKind.DELETION, grant.grant_id)


def check_none_late(context: CallContext, purpose: str) -> None:
    """Raise Denied (deletion_overdue) if the acting organisation owes a statement under this purpose."""
    late = DELETIONS_LATE.get(context.state, (context.account.account_id, purpose)) or 0
    if late:
        raise Denied("deletion_overdue", purpose=purpose, grants=late)


@method(
    GrantsStateDeletion,
    callers=GRANTEE_OFFICER,
    cost=60,
    concerns=lambda state, args: (*concerned(state, args.grant_id), *args.releases),
)
def state_deletion(context: CallContext, args: GrantsStateDeletion) -> None:
    """State that what some releases gave is deleted; it can be stated before it is due."""
    grant = known(context, args.grant_id)
    if grant.grantee != context.account.account_id:
        raise Denied("not_grantee", grant=args.grant_id.hex())
    duty = _duty(context, args.grant_id)
    for release_id in args.releases:
        deletion = DELETIONS.get(context.state, release_id)
        if deletion is None or deletion.grant_id != args.grant_id or deletion.stated_ms:
            raise Denied("nothing_to_delete", release=release_id.hex(), grant=args.grant_id.hex())
        stated = replace(
            deletion, stated_ms=context.time_ms, statement=args.statement, key_id=context.key.key_id
        )
        DELETIONS.put(context.state, release_id, stated)
        duty = replace(duty, open=duty.open - 1, overdue=duty.overdue - deletion.overdue)
    _settle(context, grant, duty)
    context.emit(
        "grants.deletion_stated",
        grant.grant_id,
        (grant.pii_principal_id, *args.releases),
        purpose=grant.purpose,
        releases=len(args.releases),
        statement=args.statement,
        open=duty.open,
    )


def remind(context: CallContext, release_id: bytes) -> None:
    """Say that a deletion is due, or that its statement is late."""
    deletion = present(DELETIONS.get(context.state, release_id), "a deletion with a deadline")
    if deletion.stated_ms or deletion.overdue or context.time_ms < deletion.due_ms:
        return
    grant = used(context, deletion.grant_id)
    late_ms = deletion.due_ms + STATEMENT_TIME_MS
    if context.time_ms < late_ms:
        schedule(context.state, late_ms, DeadlineKind.DELETION, release_id)
        _tell(context, "grants.deletion_due", grant, late_ms, release_id)
        return
    DELETIONS.put(context.state, release_id, replace(deletion, overdue=True))
    duty = _duty(context, grant.grant_id)
    _settle(context, grant, replace(duty, overdue=duty.overdue + 1))
    _tell(context, "grants.deletion_overdue", grant, late_ms, release_id)


def press(context: CallContext, grant: Grant) -> None:
    """Say that the statement after a revocation is late, if it is."""
    duty = _duty(context, grant.grant_id)
    if grant.state is not GrantState.REVOKED or duty.all_late or not duty.open:
        return
    if context.time_ms >= _late_ms(grant):
        _settle(context, grant, replace(duty, all_late=True))
        _tell(context, "grants.deletion_overdue", grant, _late_ms(grant))


def is_late(duty: DeletionDuty) -> bool:
    """Whether something is open whose statement should be there."""
    return duty.overdue > 0 or (duty.all_late and duty.open > 0)


def _late_ms(grant: Grant) -> int:
    return grant.state_since_ms + grant.retention_period_ms + STATEMENT_TIME_MS


def _duty(context: CallContext, grant_id: bytes) -> DeletionDuty:
    return DELETION_DUTIES.get(context.state, grant_id) or DeletionDuty()


def _settle(context: CallContext, grant: Grant, duty: DeletionDuty) -> None:
    """Keep the duty, and how many grants of this organisation and purpose are late."""
    before = is_late(_duty(context, grant.grant_id))
    DELETION_DUTIES.put(context.state, grant.grant_id, duty)
    if is_late(duty) is before:
        return
    key = (grant.grantee, grant.purpose)
    late = (DELETIONS_LATE.get(context.state, key) or 0) + (-1 if before else 1)
    if late:
        DELETIONS_LATE.put(context.state, key, late)
    else:
        DELETIONS_LATE.delete(context.state, key)


def _tell(context: CallContext, kind: str, grant: Grant, late_ms: int, *releases: bytes) -> None:
    context.emit(
        kind,
        grant.grant_id,
        (grant.pii_principal_id, grant.grantee, *releases),
        purpose=grant.purpose,
        state_by_ms=late_ms,
    )


METHODS: Final = (state_deletion,)
