"""Releases (下链): data handed out under a grant, recorded before any byte leaves.

    REQUESTED ── prepare ──▶ PREPARED ── acknowledge ──▶ DELIVERED
        │                        └────── the window ended ──▶ CLOSED
        └─────── fail, or the deadline passed ──▶ FAILED

Rule: what a release hands out was open when it was requested *and* when it was prepared. `prepare` is the
last moment before bytes can leave, so it checks everything again on the state of its own block: a pause,
revocation, narrowing, suspension or a certificate's new state in between stops the release. Only then is the
reserved use made; a release that fails before gives it back, one that closes does not: its bytes could leave.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.agents import acting_officer, agent_of
from contracts.calls import ReleasesAcknowledge, ReleasesFail, ReleasesPrepare, ReleasesRequest
from contracts.denials import Denied
from contracts.faces import GrantUses
from contracts.grant_items import shown
from contracts.methods import OPERATOR_NODE, PERSON, RECIPIENT, CallContext, method
from contracts.people import check_unrestricted
from contracts.questions import fix
from contracts.records import (
    UNMARKED,
    AccountKind,
    AccountStatus,
    OutputFormat,
    Release,
    ReleaseState,
)
from contracts.schedule import schedule
from contracts.state import (
    ACCOUNTS,
    GRANTS,
    RELEASES,
    DeadlineKind,
    StateReader,
    present,
)
from contracts.versions import Contract, Reading
from ledger import domains
from ledger.types import RELEASE_ID_SIZE_BYTES

RELEASE_DEADLINE_MS: Final = 60 * 60 * 1000
RELEASE_WINDOW_MS: Final = 24 * 60 * 60 * 1000
DEADLINE_PASSED: Final = "deadline"
# Each output is judged on its own certificate and its own fields.
COST_PER_FILE: Final = 24


def _request_concerns(state: Reading, args: ReleasesRequest) -> tuple[bytes, ...]:
    grant = state.record(GRANTS, args.grant_id)
    parties = () if grant is None else (grant.pii_principal_id, grant.grantee)
    return (args.grant_id, *parties, *(output.certificate for output in args.outputs))


def _concerned(state: StateReader, release_id: bytes) -> tuple[bytes, ...]:
    release = RELEASES.get(state, release_id)
    if release is None:
        return (release_id,)
    return (release_id, release.grant_id, release.pii_principal_id, release.grantee)


@method(
    ReleasesRequest,
    callers=(*RECIPIENT, *PERSON),
    cost=45,
    concerns=_request_concerns,
    extra_cost=lambda args: COST_PER_FILE * len(args.outputs),
)
def request(context: CallContext, args: ReleasesRequest) -> bytes:
    """Ask for data that a grant opens; reserves one use."""
    officer = acting_officer(context, args.officer)
    grant = context.record(GRANTS, args.grant_id)
    if grant is None:
        raise Denied("unknown_grant", grant=args.grant_id.hex())
    if grant.grantee != context.account.account_id:
        raise Denied("not_grantee", grant=args.grant_id.hex())
    # A person fetches its own; whoever has recovered the account finds open what was opened before.
    check_unrestricted(context, context.account.account_id)
    _uses(context).check_opens(context, grant, args.outputs, context.time_ms)
    check_operator(context.state, args.released_by)
    release_id = context.new_id(RELEASES, domains.RELEASE_ID, RELEASE_ID_SIZE_BYTES)
    _uses(context).reserve(context, grant.grant_id)
    fix(context, grant, release_id, args.outputs)
    release = Release(
        release_id=release_id,
        grant_id=grant.grant_id,
        pii_principal_id=grant.pii_principal_id,
        grantee=grant.grantee,
        officer=officer,
        released_by=args.released_by,
        purpose=grant.purpose,
        outputs=args.outputs,
        state=ReleaseState.REQUESTED,
        requested_ms=context.time_ms,
        deadline_ms=context.time_ms + RELEASE_DEADLINE_MS,
        files=(),
        prepared_ms=0,
        delivered_ms=0,
        failure="",
        agent=agent_of(context),
    )
    schedule(context.state, release.deadline_ms, DeadlineKind.RELEASE, release_id)
    _save(context, "releases.requested", release)
    return release_id


@method(
    ReleasesPrepare,
    callers=OPERATOR_NODE,
    cost=45,
    concerns=lambda state, args: _concerned(state, args.release_id),
    extra_cost=lambda args: COST_PER_FILE * len(args.files),
)
def prepare(context: CallContext, args: ReleasesPrepare) -> None:
    """Fix the files of a release; from then on they may leave."""
    release = _entrusted(context, args.release_id)
    _check_state(release, ReleaseState.REQUESTED, "prepare")
    if context.time_ms >= release.deadline_ms:
        raise Denied("release_overdue", release=release.release_id.hex(), deadline_ms=release.deadline_ms)
    if len(args.files) != len(release.outputs):
        raise Denied("file_count", expected=len(release.outputs), actual=len(args.files))
    for output, file in zip(release.outputs, args.files, strict=True):
        if (output.format is OutputFormat.ORIGINAL) is not (file.mark_commitment == UNMARKED):
            raise Denied("mark_missing", release=release.release_id.hex(), format=output.format.value)
    grant = present(context.record(GRANTS, release.grant_id), "the grant of a release")
    check_unrestricted(context, release.grantee)
    _uses(context).check_still_opens(context, grant, release.outputs, context.time_ms)
    prepared = replace(
        release,
        state=ReleaseState.PREPARED,
        files=args.files,
        prepared_ms=context.time_ms,
        window_ends_ms=context.time_ms + RELEASE_WINDOW_MS,
    )
    schedule(context.state, prepared.window_ends_ms, DeadlineKind.RELEASE, prepared.release_id)
    _save(context, "releases.prepared", prepared)
    _uses(context).make(context, grant.grant_id, release.release_id)


@method(
    ReleasesAcknowledge,
    callers=(*RECIPIENT, *PERSON),
    cost=25,
    concerns=lambda state, args: _concerned(state, args.release_id),
)
def acknowledge(context: CallContext, args: ReleasesAcknowledge) -> None:
    """Confirm that the files have come."""
    acting_officer(context, args.officer)
    release = _known(context.state, args.release_id)
    if release.grantee != context.account.account_id:
        raise Denied("not_grantee", grant=release.grant_id.hex())
    _check_state(release, ReleaseState.PREPARED, "acknowledge")
    if context.time_ms >= release.window_ends_ms:
        raise Denied(
            "release_window_over",
            release=release.release_id.hex(),
            window_ends_ms=release.window_ends_ms,
        )
    if args.file_hashes != tuple(file.file_hash for file in release.files):
        raise Denied("file_hashes_differ", release=release.release_id.hex())
    delivered = replace(release, state=ReleaseState.DELIVERED, delivered_ms=context.time_ms)
    _save(context, "releases.delivered", delivered)


@method(
    ReleasesFail,
    callers=OPERATOR_NODE,
    cost=25,
    concerns=lambda state, args: _concerned(state, args.release_id),
)
def fail(context: CallContext, args: ReleasesFail) -> None:
    """Give a release up before anything left; returns the use."""
    release = _entrusted(context, args.release_id)
    _check_state(release, ReleaseState.REQUESTED, "fail")
    _fail(context, release, args.reason)


def end_overdue(context: CallContext, release_id: bytes) -> None:
    """Give a release up that was not prepared by its deadline, and close one whose files nobody has acknowledged in time."""
    release = _known(context.state, release_id)
    if release.state is ReleaseState.REQUESTED and context.time_ms >= release.deadline_ms:
        _fail(context, release, DEADLINE_PASSED)
    elif release.state is ReleaseState.PREPARED and context.time_ms >= release.window_ends_ms:
        _save(context, "releases.closed", replace(release, state=ReleaseState.CLOSED))


def check_operator(state: StateReader, account_id: bytes) -> None:
    """Raise Denied (unknown_operator) unless the account is an operator of the network and active."""
    account = ACCOUNTS.get(state, account_id)
    if (
        account is None
        or account.kind is not AccountKind.OPERATOR
        or account.status is not AccountStatus.ACTIVE
    ):
        raise Denied("unknown_operator", account=account_id.hex())


def _uses(context: CallContext) -> GrantUses:
    return context.contracts.face("grants", GrantUses)


def _known(state: StateReader, release_id: bytes) -> Release:
    release = RELEASES.get(state, release_id)
    if release is None:
        raise Denied("unknown_release", release=release_id.hex())
    return release


def _entrusted(context: CallContext, release_id: bytes) -> Release:
    release = _known(context.state, release_id)
    if release.released_by != context.account.account_id:
        raise Denied("not_entrusted", operator=release.released_by.hex())
    return release


def _check_state(release: Release, wanted: ReleaseState, step: str) -> None:
    if release.state is not wanted:
        raise Denied("state_transition", what="release", state=release.state.value, step=step)


def _fail(context: CallContext, release: Release, reason: str) -> None:
    _uses(context).give_back(context, release.grant_id, release.release_id)
    _save(context, "releases.failed", replace(release, state=ReleaseState.FAILED, failure=reason))


def _save(context: CallContext, kind: str, release: Release) -> None:
    RELEASES.put(context.state, release.release_id, release)
    fields = tuple(dict.fromkeys(name for output in release.outputs for name in output.fields))
    attachments = tuple(dict.fromkeys(output.attachment for output in release.outputs if output.attachment))
    context.emit(
        kind,
        release.release_id,
        (
            release.grant_id,
            release.pii_principal_id,
            release.grantee,
            release.released_by,
            *(output.certificate for output in release.outputs),
        ),
        purpose=release.purpose,
        officer=release.officer,
        fields=shown(fields),
        attachments=shown(attachments),
        state=release.state.value,
        failure=release.failure,
    )


METHODS: Final = (request, prepare, acknowledge, fail)
CONTRACT: Final = Contract(name="releases", methods=METHODS, tables=(RELEASES,), on_deadline=end_overdue)
