"""From a request in the wire form of RFC 9396 to the call that the officer signs, and back.

Rule: the two say the same. `request_of` invents nothing but the defaults that the wire form names, and `same_request` lets who
had a node translate it see that the node did only that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from contracts.calls import GrantsRequest
from contracts.grant_records import (
    CertificateStateRequired,
    ConsentMode,
    FetchType,
    Frequency,
    FrequencyUnit,
    GrantItem,
)
from contracts.question_records import Question
from contracts.vocabulary import CertificateState
from ledger import codec
from ledger.errors import DecodeError
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from zhenglian.api_grants import AuthorizationDetail, ItemWire

NO_NOTICE = bytes(32)
_WHAT = "authorization_details"


def request_of(
    detail: AuthorizationDetail, *, template_id: bytes = b"", questions: Sequence[Question] = ()
) -> GrantsRequest:
    """The call that a detail asks for.

    Args:
        detail: the wire form.
        template_id: of the template that bounds it, or empty to leave that open.
        questions: the detail's questions as their certificate types declare them, same order.

    Raises:
        DecodeError: the members contradict each other, or one is not of its form.
    """
    types = tuple(dict.fromkeys(item.certificate_type for item in detail.items))
    if detail.datatypes and tuple(dict.fromkeys(detail.datatypes)) != types:
        raise DecodeError(what=_WHAT, reason="datatypes are not the certificate types of the items, in order")
    asked = tuple((one.certificate_type, one.name, one.parameter) for one in detail.questions)
    if asked != tuple((one.certificate_type, one.name, one.parameter) for one in questions):
        raise DecodeError(what=_WHAT, reason="a question is not one that its certificate type declares")
    fetch_type = detail.fetch_type or ("once" if detail.uses_max == 1 else "periodic")
    args = GrantsRequest(
        pii_principal_id=bytes.fromhex(detail.identifier),
        purpose=detail.purpose.code,
        lawful_basis=detail.lawful_basis,
        legal_ref=detail.legal_ref,
        privacy_notice_hash=bytes.fromhex(detail.privacy_notice_hash or NO_NOTICE.hex()),
        language=detail.language,
        items=tuple(_item(item) for item in detail.items),
        consent_mode=ConsentMode(detail.actions[0]),
        fetch_type=FetchType(fetch_type),
        uses_max=detail.uses_max,
        consent_expiry_ms=_time_ms(detail.consent_expiry),
        data_life_ms=detail.data_life_ms,
        jurisdiction=detail.jurisdiction,
        revocable=detail.revocable,
        renews=bytes.fromhex(detail.renews or ""),
        retention_period_ms=detail.retention_period_ms,
        frequency=(
            None
            if detail.frequency is None
            else Frequency(unit=FrequencyUnit(detail.frequency.unit), value=detail.frequency.value)
        ),
        template_id=template_id,
        body_commitment=bytes.fromhex(detail.body_commitment or ""),
        questions=tuple(questions),
    )
    # A struct is not checked when it is made; its own bytes say whether a node would read them.
    return codec.decode(
        codec.encode(args), GrantsRequest, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX, what=_WHAT
    )


def same_request(detail: AuthorizationDetail, args: GrantsRequest) -> bool:
    """Whether a call that somebody else made of a detail says what the detail says.

    Questions are compared by type, name and parameter; what they mean is in their certificate type.
    """
    try:
        return request_of(detail, template_id=args.template_id, questions=args.questions) == args
    except DecodeError:
        return False


def _item(item: ItemWire) -> GrantItem:
    required = item.certificate_state_required
    return GrantItem(
        certificate_type=item.certificate_type,
        certificate=bytes.fromhex(item.certificate or ""),
        fields=tuple(item.fields),
        attachments=tuple(item.attachments),
        certificate_state_required=(
            CertificateStateRequired()
            if required is None
            else CertificateStateRequired(
                stopped_by=tuple(_state(name) for name in required.stopped_by),
                within_dates=required.within_dates,
            )
        ),
    )


def _state(name: str) -> CertificateState:
    try:
        return CertificateState(name)
    except ValueError:
        known = ", ".join(CertificateState)
        raise DecodeError(
            what=_WHAT, reason=f"{name} is no state of a certificate; there are {known}"
        ) from None


def _time_ms(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise DecodeError(what=_WHAT, reason="consent_expiry has no time zone")
    return max((moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1), 0)
