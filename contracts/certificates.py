"""Certificates (证照): issuing, superseding, and their states.

Rule: 谁制发谁负责 — only the department or enterprise that issued a certificate changes it, and only one that the operators
named for its type issues it. A certificate is valid within its dates while no stopping state holds; states
that end for good (`FINAL`) never end again.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.agents import acting_officer, agent_of
from contracts.calls import CertificatesIssue, CertificatesSetState
from contracts.certificate_types import check_known
from contracts.denials import Denied
from contracts.methods import GRANTEE_OFFICER, ISSUER, CallContext, method
from contracts.records import Certificate, CertificateState, StateEntry
from contracts.state import ACCOUNTS, CERTIFICATE_TYPE_VERSIONS, CERTIFICATES, StateReader

STATE_ENTRIES_PER_CERTIFICATE_MAX: Final = 256

FINAL: Final = (
    CertificateState.REVOKED,
    CertificateState.CANCELLED,
    CertificateState.ABOLISHED,
    CertificateState.SUPERSEDED,
)
STOPPING: Final = (CertificateState.SUSPENDED, *FINAL)


def holding_states(certificate: Certificate) -> tuple[CertificateState, ...]:
    """The states that hold now, in the order in which they began."""
    return tuple(entry.state for entry in certificate.states if entry.until_ms == 0)


def why_not_valid(certificate: Certificate, time_ms: int) -> str:
    """Empty if the certificate is valid at block time `time_ms`, else "erased", a state, "not_yet" or "ended"."""
    if certificate.erased_ms:
        return "erased"
    for state in holding_states(certificate):
        if state in STOPPING:
            return state.value
    if time_ms < certificate.valid_from_ms:
        return "not_yet"
    if certificate.valid_until_ms != 0 and time_ms >= certificate.valid_until_ms:
        return "ended"
    return ""


@method(
    CertificatesIssue,
    callers=ISSUER,
    cost=30,
    concerns=lambda _state, args: (args.certificate_id, args.holder, args.supersedes),
)
def issue(context: CallContext, args: CertificatesIssue) -> bytes:
    """Put a certificate on the ledger."""
    officer = acting_officer(context, args.officer)
    _check_issue(context, args)
    if args.supersedes:
        _supersede(context, args)
    certificate = Certificate(
        certificate_id=args.certificate_id,
        certificate_type=args.certificate_type,
        type_version=args.type_version,
        holder=args.holder,
        issuer=context.account.account_id,
        issued_by=officer,
        commitment_root=args.commitment_root,
        payload_hash=args.payload_hash,
        fields=args.fields,
        attachments=args.attachments,
        issued_ms=context.time_ms,
        valid_from_ms=args.valid_from_ms,
        valid_until_ms=args.valid_until_ms,
        supersedes=args.supersedes,
        superseded_by=b"",
        states=(),
        agent=agent_of(context),
    )
    CERTIFICATES.put(context.state, certificate.certificate_id, certificate)
    context.emit(
        "certificates.issued",
        certificate.certificate_id,
        (certificate.holder, certificate.supersedes),
        type=certificate.certificate_type,
        version=certificate.type_version,
    )
    return certificate.certificate_id


def _set_state_concerns(state: StateReader, args: CertificatesSetState) -> tuple[bytes, ...]:
    certificate = CERTIFICATES.get(state, args.certificate_id)
    known = () if certificate is None else (certificate.holder, certificate.issuer)
    return (args.certificate_id, *known)


@method(CertificatesSetState, callers=GRANTEE_OFFICER, cost=25, concerns=_set_state_concerns)
def set_state(context: CallContext, args: CertificatesSetState) -> None:
    """Begin or end a state of a certificate."""
    certificate = _own(context, args.certificate_id)
    holds = args.state in holding_states(certificate)
    if args.state is CertificateState.SUPERSEDED or (not args.holds and args.state in FINAL):
        raise Denied("state_not_settable", state=args.state.value)
    if holds is args.holds:
        raise Denied("state_unchanged", state=args.state.value)
    if args.holds:
        changed = _with_state(context, certificate, args.state, args.reason)
    else:
        changed = _without_state(context, certificate, args.state)
    CERTIFICATES.put(context.state, certificate.certificate_id, changed)
    context.emit(
        "certificates.state_set" if args.holds else "certificates.state_ended",
        certificate.certificate_id,
        (certificate.holder,),
        state=args.state.value,
        reason=args.reason,
        type=certificate.certificate_type,
    )


def _check_issue(context: CallContext, args: CertificatesIssue) -> None:
    if args.certificate_type not in context.account.issues:
        raise Denied("not_issuer", type=args.certificate_type)
    kind = CERTIFICATE_TYPE_VERSIONS.get(context.state, (args.certificate_type, args.type_version))
    if kind is None:
        raise Denied("unknown_certificate_type", type=args.certificate_type)
    if CERTIFICATES.get(context.state, args.certificate_id) is not None:
        raise Denied("certificate_exists", certificate=args.certificate_id.hex())
    holder = ACCOUNTS.get(context.state, args.holder)
    if holder is None or holder.kind is not kind.holder:
        raise Denied("holder_mismatch", type=kind.code, kind=kind.holder.value)
    check_known(args.fields, kind.fields, kind.code)
    check_known(args.attachments, kind.attachments, kind.code)
    if not args.fields + args.attachments:
        raise Denied("empty_item", type=kind.code)
    if args.valid_until_ms != 0 and args.valid_until_ms <= args.valid_from_ms:
        raise Denied("dates_reversed", start_ms=args.valid_from_ms, end_ms=args.valid_until_ms)


def _supersede(context: CallContext, args: CertificatesIssue) -> None:
    """Mark the old certificate. One issuer, one holder, one type, and only once."""
    old = _own(context, args.supersedes)
    if old.holder != args.holder or old.certificate_type != args.certificate_type:
        raise Denied("supersedes_another", certificate=args.supersedes.hex())
    if old.superseded_by:
        raise Denied("already_superseded", certificate=args.supersedes.hex(), by=old.superseded_by.hex())
    marked = _with_state(context, old, CertificateState.SUPERSEDED, CertificateState.SUPERSEDED.value)
    CERTIFICATES.put(context.state, old.certificate_id, replace(marked, superseded_by=args.certificate_id))
    context.emit(
        "certificates.superseded",
        old.certificate_id,
        (old.holder, args.certificate_id),
        type=old.certificate_type,
        by=args.certificate_id,
    )


def _own(context: CallContext, certificate_id: bytes) -> Certificate:
    certificate = CERTIFICATES.get(context.state, certificate_id)
    if certificate is None:
        raise Denied("unknown_certificate", certificate=certificate_id.hex())
    if certificate.issuer != context.account.account_id:
        raise Denied("not_issuer", type=certificate.certificate_type)
    return certificate


def _with_state(
    context: CallContext, certificate: Certificate, state: CertificateState, reason: str
) -> Certificate:
    # The last entry is kept for the state that ends a certificate, so that a long history never keeps it
    # alive.
    room = STATE_ENTRIES_PER_CERTIFICATE_MAX - (0 if state in FINAL else len(FINAL))
    if len(certificate.states) >= room:
        raise Denied("too_many_states", maximum=room)
    entry = StateEntry(
        state=state, since_ms=context.time_ms, until_ms=0, reason=reason, key_id=context.key.key_id
    )
    return replace(certificate, states=(*certificate.states, entry))


def _without_state(context: CallContext, certificate: Certificate, state: CertificateState) -> Certificate:
    ended = tuple(
        replace(entry, until_ms=context.time_ms) if entry.state is state and entry.until_ms == 0 else entry
        for entry in certificate.states
    )
    return replace(certificate, states=ended)


METHODS: Final = (issue, set_state)
