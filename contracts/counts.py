"""Counts (统计): how many certificates fall into each cell of a declared partition, and nothing about any one of them.

    COLLECTING ── request ──▶ REQUESTED ── publish ──▶ PUBLISHED
        └── fail, deadline ──▶ FAILED ◀── fail, deadline ──┘

Rule: nobody gets two counts whose difference is one person. A holder is counted once in a period by one subject (a
standard term, the same in every type and partition), whoever counts; an organisation has one count a period by one
subject; and of a month, its quarter and its year one is counted. What is told is rounded and small cells are suppressed
(`counting.py`), and it is told to everybody, on the ledger. All of that is decided here, on the state, so it does not
matter through which nodes the calls come.

Only certificates come in whose holder's `query` grant to the counting organisation has the partition among its
questions: given by consent, or opened on a recorded legal basis. A contribution takes one use of its grant, which a
count that fails does not give back.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from contracts.certificates import why_not_valid
from contracts.counting import why_not_told
from contracts.denials import Denied
from contracts.faces import GrantUses
from contracts.grant_uses import check_field_state
from contracts.methods import GRANTEE_OFFICER, OPERATOR_NODE, CallContext, method
from contracts.question_calls import CountsContribute, CountsFail, CountsOpen, CountsPublish, CountsRequest
from contracts.question_days import overlapping, period_of
from contracts.question_records import (
    CONTRIBUTIONS_PER_COUNT_MAX,
    Contribution,
    Counted,
    CountRecord,
    CountState,
    QuestionKind,
)
from contracts.questions import covers, partition_of
from contracts.records import AccountKind, Certificate, ConsentMode, Grant
from contracts.releases import check_operator
from contracts.schedule import schedule
from contracts.state import (
    CERTIFICATE_TYPE_VERSIONS,
    CERTIFICATES,
    COUNT_CONTRIBUTIONS,
    COUNTED,
    COUNTS,
    COUNTS_TAKEN,
    GRANTS,
    DeadlineKind,
    Table,
    certificate_type,
    present,
)
from contracts.versions import Contract, Reading
from ledger import domains

K = TypeVar("K")
V = TypeVar("V")

COUNT_DEADLINE_MS: Final = 7 * 24 * 60 * 60 * 1000
DEADLINE_PASSED: Final = "deadline"
_KEY_SIZE_BYTES: Final = 8


class Records(Protocol):
    """A state with records as the versions of contracts in force give them (`versions.Reading`, a node's finalized state)."""

    def record(self, table: Table[K, V], key: K) -> V | None: ...


def _concerned(state: Reading, count_id: bytes) -> tuple[bytes, ...]:
    count = state.record(COUNTS, count_id)
    return (count_id,) if count is None else (count_id, count.organization, count.performed_by)


@method(CountsOpen, callers=GRANTEE_OFFICER, cost=30)
def open_count(context: CallContext, args: CountsOpen) -> bytes:
    """Begin a count for the present period."""
    kind = certificate_type(context.state, args.certificate_type)
    if kind is None:
        raise Denied("unknown_certificate_type", type=args.certificate_type)
    partition = partition_of(kind, args.partition)
    if partition is None:
        raise Denied("partition_not_declared", type=kind.code, partition=args.partition)
    check_operator(context.state, args.performed_by)
    count_id = context.new_id(COUNTS, domains.COUNT_ID, 16)
    count = CountRecord(
        count_id=count_id,
        organization=context.account.account_id,
        officer=context.key.key_id,
        performed_by=args.performed_by,
        certificate_type=kind.code,
        type_version=kind.version,
        partition=partition,
        period=period_of(partition.period, context.time_ms),
        state=CountState.COLLECTING,
        opened_ms=context.time_ms,
        deadline_ms=context.time_ms + COUNT_DEADLINE_MS,
    )
    _take_period(context, count)
    schedule(context.state, count.deadline_ms, DeadlineKind.COUNT, count_id)
    _save(context, "counts.opened", count)
    return count_id


def _contribute_concerns(state: Reading, args: CountsContribute) -> tuple[bytes, ...]:
    return (*_concerned(state, args.count_id), *(one.grant for one in args.contributions))


@method(
    CountsContribute,
    callers=GRANTEE_OFFICER,
    cost=15,
    concerns=_contribute_concerns,
    extra_cost=lambda args: 16 * len(args.contributions),
)
def contribute(context: CallContext, args: CountsContribute) -> int:
    """Put certificates into a count. Output: how many are in it."""
    count = _own(context, args.count_id)
    _check_state(count, CountState.COLLECTING, "contribute")
    _check_time(context, count)
    total = count.contributions + len(args.contributions)
    if total > CONTRIBUTIONS_PER_COUNT_MAX:
        raise Denied("count_full", maximum=CONTRIBUTIONS_PER_COUNT_MAX)
    for number, one in enumerate(args.contributions, start=count.contributions):
        _put_in(context, count, one, number)
    COUNTS.put(context.state, count.count_id, replace(count, contributions=total))
    return total


@method(
    CountsRequest,
    callers=GRANTEE_OFFICER,
    cost=20,
    concerns=lambda state, args: _concerned(state, args.count_id),
)
def request(context: CallContext, args: CountsRequest) -> None:
    """Let the named node count what is in it."""
    count = _own(context, args.count_id)
    _check_state(count, CountState.COLLECTING, "request")
    _check_time(context, count)
    if count.contributions < count.partition.group_min:
        raise Denied("count_too_small", contributions=count.contributions, minimum=count.partition.group_min)
    # The time to count begins now. Numbers that came too late would be on the ledger in a refused call, and who asks must not be
    # able to choose that.
    deadline_ms = context.time_ms + COUNT_DEADLINE_MS
    schedule(context.state, deadline_ms, DeadlineKind.COUNT, count.count_id)
    requested = replace(
        count, state=CountState.REQUESTED, requested_ms=context.time_ms, deadline_ms=deadline_ms
    )
    _save(context, "counts.requested", requested)


@method(
    CountsPublish,
    callers=OPERATOR_NODE,
    cost=25,
    concerns=lambda state, args: _concerned(state, args.count_id),
)
def publish(context: CallContext, args: CountsPublish) -> None:
    """Tell what was counted."""
    count = _entrusted(context, args.count_id)
    _check_state(count, CountState.REQUESTED, "publish")
    _check_time(context, count)
    counted = count.contributions - args.left_out
    reason = "left_out" if counted < 0 else why_not_told(count.partition, args.cells, counted)
    if reason:
        raise Denied("count_not_as_declared", check=reason)
    published = replace(
        count,
        state=CountState.PUBLISHED,
        published_ms=context.time_ms,
        cells=args.cells,
        left_out=args.left_out,
    )
    _save(context, "counts.published", published)


@method(
    CountsFail,
    callers=(*GRANTEE_OFFICER, *OPERATOR_NODE),
    cost=20,
    concerns=lambda state, args: _concerned(state, args.count_id),
)
def fail(context: CallContext, args: CountsFail) -> None:
    """Give a count up; nothing was told, and its holders can be counted again."""
    if context.account.kind is AccountKind.OPERATOR:
        count = _entrusted(context, args.count_id)
        _check_state(count, CountState.REQUESTED, "fail")
    else:
        count = _own(context, args.count_id)
        _check_state(count, CountState.COLLECTING, "fail")
    _fail(context, count, args.reason)


def fail_overdue(context: CallContext, count_id: bytes) -> None:
    """Give a count up if its deadline has passed and nothing was told."""
    count = _known(context, count_id)
    if count.state in {CountState.COLLECTING, CountState.REQUESTED} and context.time_ms >= count.deadline_ms:
        _fail(context, count, DEADLINE_PASSED)


def contribution_of(state: Records, count: CountRecord, holder: bytes) -> Contribution | None:
    """What a holder has in a count, if anything."""
    counted = state.record(COUNTED, (holder, count.period, count.partition.subject))
    if counted is None or counted.count_id != count.count_id:
        return None
    return state.record(COUNT_CONTRIBUTIONS, (count.count_id, counted.number))


def _take_period(context: CallContext, count: CountRecord) -> None:
    subject = count.partition.subject
    for period in overlapping(count.period):
        taken = COUNTS_TAKEN.get(context.state, (count.organization, period, subject))
        if taken is not None and _stands(context, taken):
            raise Denied("count_repeated", subject=subject, period=period, count=taken.hex())
    COUNTS_TAKEN.put(context.state, (count.organization, count.period, subject), count.count_id)


def _put_in(context: CallContext, count: CountRecord, one: Contribution, number: int) -> None:
    """Check a contribution, take its use, and mark its holder as counted. An event for each, so that it shows nobody the others."""
    grant = context.record(GRANTS, one.grant)
    if grant is None:
        raise Denied("unknown_grant", grant=one.grant.hex())
    certificate = context.record(CERTIFICATES, one.certificate)
    if certificate is None:
        raise Denied("unknown_certificate", certificate=one.certificate.hex())
    _check_grant(context, count, grant, certificate)
    _check_certificate(context, count, certificate)
    check_field_state(grant.items, certificate, count.partition.field, context.time_ms)
    _take_holder(context, count, grant.pii_principal_id, number)
    COUNT_CONTRIBUTIONS.put(context.state, (count.count_id, number), one)
    uses = context.contracts.face("grants", GrantUses)
    uses.reserve(context, grant.grant_id)
    uses.make(context, grant.grant_id, count.count_id[:_KEY_SIZE_BYTES])
    context.emit(
        "counts.contributed",
        count.count_id,
        (grant.pii_principal_id, grant.grant_id, certificate.certificate_id),
        organization=count.organization,
        type=count.certificate_type,
        partition=count.partition.name,
        period=count.period,
        officer=context.key.key_id,
    )


def _take_holder(context: CallContext, count: CountRecord, holder: bytes, number: int) -> None:
    """Mark a holder as counted, unless a count of a period that shares a day with this one has done so."""
    subject = count.partition.subject
    for period in overlapping(count.period):
        other = COUNTED.get(context.state, (holder, period, subject))
        if other is not None and _stands(context, other.count_id):
            raise Denied("counted_already", subject=subject, period=period, count=other.count_id.hex())
    counted = Counted(count_id=count.count_id, number=number)
    COUNTED.put(context.state, (holder, count.period, subject), counted)


def _check_grant(context: CallContext, count: CountRecord, grant: Grant, certificate: Certificate) -> None:
    if grant.grantee != count.organization:
        raise Denied("not_grantee", grant=grant.grant_id.hex())
    context.contracts.face("grants", GrantUses).check_active(grant, context.time_ms)
    wanted = (count.certificate_type, count.partition.name, count.partition.subject)
    if grant.consent_mode is not ConsentMode.QUERY or not any(
        question.kind is QuestionKind.COUNTED
        and (question.certificate_type, question.name, question.subject) == wanted
        for question in grant.questions
    ):
        raise Denied("not_to_be_counted", grant=grant.grant_id.hex(), partition=count.partition.name)
    if certificate.holder != grant.pii_principal_id or not covers(
        grant.items, certificate, count.partition.field
    ):
        raise Denied(
            "certificate_not_granted",
            certificate=certificate.certificate_id.hex(),
            type=certificate.certificate_type,
        )


def _check_certificate(context: CallContext, count: CountRecord, certificate: Certificate) -> None:
    """It is of the type, its own version of which has the same partition; it is valid, and has the field."""
    version = (certificate.certificate_type, certificate.type_version)
    kind = present(CERTIFICATE_TYPE_VERSIONS.get(context.state, version), "the type of a certificate")
    if kind.code != count.certificate_type or partition_of(kind, count.partition.name) != count.partition:
        raise Denied("partition_not_declared", type=kind.code, partition=count.partition.name)
    reason = why_not_valid(certificate, context.time_ms)
    if reason:
        raise Denied("certificate_not_valid", certificate=certificate.certificate_id.hex(), state=reason)
    if count.partition.field not in certificate.fields:
        raise Denied(
            "not_in_certificate",
            name=count.partition.field,
            certificate=certificate.certificate_id.hex(),
        )


def _stands(context: CallContext, count_id: bytes) -> bool:
    """Whether a count that took something still holds it: not once it has failed."""
    return _known(context, count_id).state is not CountState.FAILED


def _known(context: CallContext, count_id: bytes) -> CountRecord:
    count = context.record(COUNTS, count_id)
    if count is None:
        raise Denied("unknown_count", count=count_id.hex())
    return count


def _own(context: CallContext, count_id: bytes) -> CountRecord:
    count = _known(context, count_id)
    if count.organization != context.account.account_id:
        raise Denied("not_own_count", count=count_id.hex())
    return count


def _entrusted(context: CallContext, count_id: bytes) -> CountRecord:
    count = _known(context, count_id)
    if count.performed_by != context.account.account_id:
        raise Denied("not_entrusted", operator=count.performed_by.hex())
    return count


def _check_state(count: CountRecord, wanted: CountState, step: str) -> None:
    if count.state is not wanted:
        raise Denied("state_transition", what="count", state=count.state.value, step=step)


def _check_time(context: CallContext, count: CountRecord) -> None:
    if context.time_ms >= count.deadline_ms:
        raise Denied("count_overdue", count=count.count_id.hex(), deadline_ms=count.deadline_ms)


def _fail(context: CallContext, count: CountRecord, reason: str) -> None:
    _save(context, "counts.failed", replace(count, state=CountState.FAILED, failure=reason))


def _save(context: CallContext, kind: str, count: CountRecord) -> None:
    COUNTS.put(context.state, count.count_id, count)
    context.emit(
        kind,
        count.count_id,
        (count.organization, count.performed_by),
        type=count.certificate_type,
        partition=count.partition.name,
        period=count.period,
        contributions=count.contributions,
        state=count.state.value,
        failure=count.failure,
    )


METHODS: Final = (open_count, contribute, request, publish, fail)
CONTRACT: Final = Contract(
    name="counts",
    methods=METHODS,
    tables=(COUNTS, COUNTS_TAKEN, COUNT_CONTRIBUTIONS, COUNTED),
    on_deadline=fail_overdue,
)
