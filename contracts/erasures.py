"""Erasing a certificate's data: asked for by its holder, decided by its issuer, carried out and stated by every node.

Rule: an erased certificate opens nothing for anybody, at once and for ever, and its tombstone stays: what it was, whose, from whom,
and which node destroyed the ciphertext when. 谁制发谁负责: the issuer decides, and has to answer a request in time.

Source: Personal Information Protection Law of the PRC, articles 47 and 50; GB/T 35273-2020, 8.3 and 8.7 (an answer within thirty
days).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.erasure_calls import (
    CertificatesDeclineErasure,
    CertificatesErase,
    CertificatesRequestErasure,
    CertificatesStateDestruction,
)
from contracts.erasure_records import (
    DESTRUCTIONS_PER_ERASURE_MAX,
    Destruction,
    Erasure,
    ErasureState,
)
from contracts.methods import (
    GRANTEE_OFFICER,
    HOLDER,
    NODE,
    CallContext,
    method,
)
from contracts.records import Certificate, KeyRole
from contracts.schedule import schedule
from contracts.state import CERTIFICATES, ERASURES, DeadlineKind, StateReader, present

DAY_MS: Final = 86_400_000
ANSWER_MS: Final = 30 * DAY_MS
# An issuer is a department, or an enterprise that puts data on the ledger.
ISSUER_OFFICER: Final = GRANTEE_OFFICER
NODE_KEY: Final = tuple(caller for caller in NODE if caller.role is KeyRole.NODE)
_NO_ANSWER: Final = "none"


def check_kept(certificate: Certificate) -> None:
    """Raise Denied (certificate_erased) where nothing of a certificate is left to be opened."""
    if certificate.erased_ms:
        raise Denied("certificate_erased", certificate=certificate.certificate_id.hex())


def _concerns(state: StateReader, certificate_id: bytes) -> tuple[bytes, ...]:
    certificate = CERTIFICATES.get(state, certificate_id)
    known = () if certificate is None else (certificate.holder, certificate.issuer)
    return (certificate_id, *known)


@method(
    CertificatesRequestErasure,
    callers=HOLDER,
    cost=25,
    concerns=lambda state, args: _concerns(state, args.certificate_id),
)
def request_erasure(context: CallContext, args: CertificatesRequestErasure) -> None:
    """Ask the issuer to erase the data of a certificate that one holds."""
    certificate = _known(context, args.certificate_id)
    if certificate.holder != context.account.account_id:
        raise Denied(
            "certificate_not_held", certificate=args.certificate_id.hex(), type=certificate.certificate_type
        )
    check_kept(certificate)
    erasure = ERASURES.get(context.state, args.certificate_id)
    if erasure is not None and erasure.state is ErasureState.REQUESTED:
        raise Denied("erasure_requested", certificate=args.certificate_id.hex())
    erasure = Erasure(
        certificate_id=args.certificate_id,
        state=ErasureState.REQUESTED,
        requested_by=context.account.account_id,
        requested_ms=context.time_ms,
        reason=args.reason,
        answer_by_ms=context.time_ms + ANSWER_MS,
        answer="",
        decided_ms=0,
    )
    schedule(context.state, erasure.answer_by_ms, DeadlineKind.ERASURE, args.certificate_id)
    _save(context, "certificates.erasure_requested", certificate, erasure)


@method(
    CertificatesDeclineErasure,
    callers=ISSUER_OFFICER,
    cost=25,
    concerns=lambda state, args: _concerns(state, args.certificate_id),
)
def decline_erasure(context: CallContext, args: CertificatesDeclineErasure) -> None:
    """Refuse a request to erase."""
    certificate = _own(context, args.certificate_id)
    erasure = ERASURES.get(context.state, args.certificate_id)
    if erasure is None or erasure.state is not ErasureState.REQUESTED:
        raise Denied("erasure_not_requested", certificate=args.certificate_id.hex())
    declined = replace(erasure, state=ErasureState.DECLINED, answer=args.reason, decided_ms=context.time_ms)
    _save(context, "certificates.erasure_declined", certificate, declined)


@method(
    CertificatesErase,
    callers=ISSUER_OFFICER,
    cost=30,
    concerns=lambda state, args: _concerns(state, args.certificate_id),
)
def erase(context: CallContext, args: CertificatesErase) -> None:
    """Erase the data of a certificate that one issued."""
    certificate = _own(context, args.certificate_id)
    check_kept(certificate)
    asked = ERASURES.get(context.state, args.certificate_id)
    if asked is None or asked.state is not ErasureState.REQUESTED:
        asked = Erasure(
            certificate_id=args.certificate_id,
            state=ErasureState.REQUESTED,
            requested_by=context.account.account_id,
            requested_ms=context.time_ms,
            reason=args.reason,
            answer_by_ms=0,
            answer="",
            decided_ms=0,
        )
    erased = replace(certificate, erased_ms=context.time_ms)
    CERTIFICATES.put(context.state, args.certificate_id, erased)
    done = replace(asked, state=ErasureState.ERASED, decided_ms=context.time_ms)
    _save(context, "certificates.erased", erased, done)


@method(
    CertificatesStateDestruction,
    callers=NODE_KEY,
    cost=60,
    extra_cost=lambda args: 20 * len(args.certificates),
)
def state_destruction(context: CallContext, args: CertificatesStateDestruction) -> int:
    """State that this node destroyed the ciphertext. Output: how many certificates that was new of."""
    new = 0
    for certificate_id in dict.fromkeys(args.certificates):
        certificate = _known(context, certificate_id)
        if not certificate.erased_ms:
            raise Denied("certificate_not_erased", certificate=certificate_id.hex())
        new += _state_one(context, certificate)
    return new


def _state_one(context: CallContext, certificate: Certificate) -> bool:
    erasure = present(ERASURES.get(context.state, certificate.certificate_id), "the erasure of a certificate")
    node = context.account.account_id
    if any(stated.node == node for stated in erasure.destructions):
        return False
    if len(erasure.destructions) >= DESTRUCTIONS_PER_ERASURE_MAX:
        raise Denied(
            "too_many_destructions",
            certificate=certificate.certificate_id.hex(),
            maximum=DESTRUCTIONS_PER_ERASURE_MAX,
        )
    stated = Destruction(node=node, key_id=context.key.key_id, time_ms=context.time_ms)
    destroyed = replace(erasure, destructions=(*erasure.destructions, stated))
    ERASURES.put(context.state, certificate.certificate_id, destroyed)
    context.emit(
        "certificates.destroyed",
        certificate.certificate_id,
        (certificate.holder, certificate.issuer, node),
        type=certificate.certificate_type,
        nodes=len(destroyed.destructions),
    )
    return True


def remind(context: CallContext, certificate_id: bytes) -> None:
    """Put on record that an issuer has let the time for its answer pass."""
    erasure = present(ERASURES.get(context.state, certificate_id), "an erasure with a deadline")
    if erasure.state is ErasureState.REQUESTED and erasure.answer_by_ms <= context.time_ms:
        certificate = _known(context, certificate_id)
        _emit(context, "certificates.erasure_overdue", certificate, erasure)


def _known(context: CallContext, certificate_id: bytes) -> Certificate:
    certificate = CERTIFICATES.get(context.state, certificate_id)
    if certificate is None:
        raise Denied("unknown_certificate", certificate=certificate_id.hex())
    return certificate


def _own(context: CallContext, certificate_id: bytes) -> Certificate:
    certificate = _known(context, certificate_id)
    if certificate.issuer != context.account.account_id:
        raise Denied("not_issuer", type=certificate.certificate_type)
    return certificate


def _save(context: CallContext, kind: str, certificate: Certificate, erasure: Erasure) -> None:
    ERASURES.put(context.state, erasure.certificate_id, erasure)
    _emit(context, kind, certificate, erasure)


def _emit(context: CallContext, kind: str, certificate: Certificate, erasure: Erasure) -> None:
    context.emit(
        kind,
        erasure.certificate_id,
        (certificate.holder, certificate.issuer),
        type=certificate.certificate_type,
        reason=erasure.reason,
        answer=erasure.answer or _NO_ANSWER,
        answer_by_ms=erasure.answer_by_ms,
    )


METHODS: Final = (request_erasure, decline_erasure, erase, state_destruction)
