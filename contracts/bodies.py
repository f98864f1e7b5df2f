"""Bodies of grants (授权附文): free text, names and case numbers, sealed off the ledger and opened on record.

    committed in the grant ── kept ──▶ KEPT ── erased ──▶ ERASED, and each node states its destruction

Rule: whoever asked for data has its reasons kept under the commitment that the grant holds, once. They open for whom they concern
and nobody else, each time on record and through the node that the reader names. The person reads them as soon as the grant is shown
to him, and never before. They outlive the grant no longer than its grantee wants or its retention allows.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.body_calls import BodiesErase, BodiesKeep, BodiesOpen, BodiesStateDestruction
from contracts.body_records import Body, BodyKind, BodyOpening
from contracts.denials import Denied
from contracts.erasure_records import DESTRUCTIONS_PER_ERASURE_MAX, Destruction
from contracts.erasures import NODE_KEY
from contracts.faces import Representatives
from contracts.grant_records import Grant, GrantState, shown_from_ms
from contracts.grant_rules import rules
from contracts.grant_states import concerned, standing
from contracts.grant_tables import BODIES, BODY_OPENINGS
from contracts.methods import (
    AUDITOR_OFFICER,
    GRANTEE_OFFICER,
    HOLDER,
    CallContext,
    method,
)
from contracts.people import check_unrestricted
from contracts.records import AccountKind
from contracts.releases import check_operator
from contracts.state import GRANTS, present
from contracts.versions import Contract, Reading
from ledger import domains
from ledger.crypto.suite import CryptoSuite

OPENING_LIFE_MS: Final = 3_600_000
OVER: Final = frozenset({GrantState.REJECTED, GrantState.REVOKED, GrantState.EXPIRED, GrantState.EXHAUSTED})


def body_id(suite: CryptoSuite, grant_id: bytes, kind: BodyKind) -> bytes:
    """The id of a grant's body of that kind."""
    return suite.hash(domains.GRANT_BODY_ID, grant_id + kind.value.encode())[:16]


def commitment_of(grant: Grant, kind: BodyKind) -> bytes:
    """What the grant commits to; empty where it has no such body."""
    if kind is BodyKind.BODY:
        return grant.body_commitment
    return b"" if grant.access is None else grant.access.case_commitment


def _of_body(state: Reading, name: bytes) -> tuple[bytes, ...]:
    body = BODIES.get(state, name)
    return () if body is None else concerned(state, body.grant_id)


@method(
    BodiesKeep,
    callers=GRANTEE_OFFICER,
    cost=40,
    concerns=lambda state, args: concerned(state, args.grant_id),
)
def keep(context: CallContext, args: BodiesKeep) -> bytes:
    """Have a body kept."""
    grant = context.record(GRANTS, args.grant_id)
    if grant is None:
        raise Denied("unknown_grant", grant=args.grant_id.hex())
    if grant.grantee != context.account.account_id:
        raise Denied("not_grantee", grant=args.grant_id.hex())
    if not commitment_of(grant, args.kind):
        raise Denied("body_not_committed", grant=args.grant_id.hex(), kind=args.kind.value)
    name = body_id(context.block.suite, args.grant_id, args.kind)
    if BODIES.get(context.state, name) is not None:
        raise Denied("body_kept", grant=args.grant_id.hex())
    body = Body(
        body_id=name,
        grant_id=args.grant_id,
        kind=args.kind,
        payload_hash=args.payload_hash,
        kept_by=context.key.key_id,
        kept_ms=context.time_ms,
    )
    _save(context, "bodies.kept", body, grant)
    return name


@method(
    BodiesOpen,
    callers=(*GRANTEE_OFFICER, *AUDITOR_OFFICER, *HOLDER),
    cost=45,
    concerns=lambda state, args: _of_body(state, args.body_id),
)
def open_body(context: CallContext, args: BodiesOpen) -> bytes:
    """Have a body opened for oneself."""
    body, grant = _kept(context, args.body_id)
    _check_reader(context, body, grant, args.mandate)
    check_operator(context.state, args.performed_by)
    opening = BodyOpening(
        opening_id=context.new_id(BODY_OPENINGS, domains.BODY_OPENING_ID, 16),
        body_id=body.body_id,
        account=context.account.account_id,
        key_id=context.key.key_id,
        performed_by=args.performed_by,
        requested_ms=context.time_ms,
        until_ms=context.time_ms + OPENING_LIFE_MS,
    )
    BODY_OPENINGS.put(context.state, opening.opening_id, opening)
    _tell(context, "bodies.opened", body, grant)
    return opening.opening_id


@method(
    BodiesErase,
    callers=(*GRANTEE_OFFICER, *HOLDER),
    cost=40,
    concerns=lambda state, args: _of_body(state, args.body_id),
)
def erase(context: CallContext, args: BodiesErase) -> None:
    """Erase a body for good."""
    body, grant = _kept(context, args.body_id)
    account = context.account.account_id
    if account not in {grant.grantee, grant.pii_principal_id}:
        raise Denied("body_of_others", body=args.body_id.hex())
    if account != grant.grantee and context.time_ms < shown_from_ms(grant):
        raise Denied("body_of_others", body=args.body_id.hex())
    ended_ms = _ended_ms(grant, context.time_ms)
    kept_ms = 0 if account == grant.grantee else grant.data_life_ms + grant.retention_period_ms
    if ended_ms < 0 or context.time_ms < ended_ms + kept_ms:
        raise Denied("body_in_use", grant=grant.grant_id.hex())
    erased = replace(body, erased_ms=context.time_ms, erased_by=account)
    _save(context, "bodies.erased", erased, grant)


@method(
    BodiesStateDestruction,
    callers=NODE_KEY,
    cost=60,
    concerns=lambda _state, args: args.bodies,
    extra_cost=lambda args: 20 * len(args.bodies),
)
def state_destruction(context: CallContext, args: BodiesStateDestruction) -> int:
    """State that one's copies are destroyed; how many statements are new."""
    new = 0
    node = context.account.account_id
    for name in dict.fromkeys(args.bodies):
        body = _known(context, name)
        if not body.erased_ms:
            raise Denied("body_not_erased", body=name.hex())
        if any(stated.node == node for stated in body.destructions):
            continue
        if len(body.destructions) >= DESTRUCTIONS_PER_ERASURE_MAX:
            raise Denied("too_many_body_destructions", body=name.hex(), maximum=DESTRUCTIONS_PER_ERASURE_MAX)
        stated = Destruction(node=node, key_id=context.key.key_id, time_ms=context.time_ms)
        destroyed = replace(body, destructions=(*body.destructions, stated))
        _save(context, "bodies.destroyed", destroyed, _grant(context, body), node)
        new += 1
    return new


def _check_reader(context: CallContext, body: Body, grant: Grant, mandate: bytes) -> None:
    """Whether the acting account may read the body. Raises Denied (body_of_others and what a mandate is denied for)."""
    account = context.account
    if account.account_id == grant.grantee and account.kind is not AccountKind.PERSON:
        return
    stranger = Denied("body_of_others", body=body.body_id.hex())
    if grant.access is not None and _judges(context, grant):
        return
    if context.time_ms < shown_from_ms(grant):
        raise stranger
    if account.account_id == grant.pii_principal_id:
        check_unrestricted(context, account.account_id)
        return
    if not mandate:
        raise stranger
    context.contracts.face("representation", Representatives).check_represents(
        context, mandate, grant.pii_principal_id, grant.purpose
    )
    check_unrestricted(context, account.account_id)


def _judges(context: CallContext, grant: Grant) -> bool:
    """Whether the account has approved the access, may do so while it waits, or audits."""
    account = context.account
    if account.kind is AccountKind.AUDITOR:
        return True
    approvers = () if grant.access is None else grant.access.approvers
    may = grant.state is GrantState.REQUESTED and account.account_id in rules(context.state).approvers
    return account.account_id in approvers or may


def _ended_ms(grant: Grant, time_ms: int) -> int:
    """Since when the grant is over; -1 while it is not."""
    state = standing(grant, time_ms)
    if state not in OVER:
        return -1
    return grant.state_since_ms if state is grant.state else grant.consent_expiry_ms


def _known(context: CallContext, name: bytes) -> Body:
    body = BODIES.get(context.state, name)
    if body is None:
        raise Denied("unknown_body", body=name.hex())
    return body


def _grant(context: CallContext, body: Body) -> Grant:
    return present(context.record(GRANTS, body.grant_id), "the grant of a body")


def _kept(context: CallContext, name: bytes) -> tuple[Body, Grant]:
    """A body that is not erased, and its grant."""
    body = _known(context, name)
    if body.erased_ms:
        raise Denied("body_erased", body=name.hex())
    return body, _grant(context, body)


def _save(context: CallContext, kind: str, body: Body, grant: Grant, *subjects: bytes) -> None:
    BODIES.put(context.state, body.body_id, body)
    _tell(context, kind, body, grant, *subjects)


def _tell(context: CallContext, kind: str, body: Body, grant: Grant, *subjects: bytes) -> None:
    context.emit(
        kind,
        body.body_id,
        (grant.grant_id, grant.pii_principal_id, grant.grantee, *subjects),
        purpose=grant.purpose,
        what=body.kind.value,
    )


METHODS: Final = (keep, open_body, erase, state_destruction)
CONTRACT: Final = Contract(name="bodies", methods=METHODS, tables=(BODIES, BODY_OPENINGS))
