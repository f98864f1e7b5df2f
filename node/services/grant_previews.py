"""What a request for a grant would be: from the wire form to the call that the officer signs.

Rule: nothing is decided and nothing sent here. The caps that a request would pass are told beforehand, in the contract's own words;
what hangs on the parties' records is the contract's to say when the call comes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.calls import call
from contracts.classes import class_of, rule_of
from contracts.denials import Denied
from contracts.grant_calls import GrantsRequest
from contracts.grant_items import check_asked
from contracts.grant_records import GrantItem, PurposeTemplate
from contracts.grant_rules import template_id
from contracts.grant_terms import check_caps
from contracts.question_records import Question, QuestionKind
from ledger.errors import DecodeError, NotFound
from node.services.ports import Chain, Records
from zhenglian.api_grants import AuthorizationDetail, CallView, PreviewView, QuestionWire
from zhenglian.grant_details import request_of

_WHAT = "authorization_details"


def preview(chain: Chain, detail: AuthorizationDetail) -> PreviewView:
    """The call for one detail, and which cap it would pass.

    Raises:
        NotFound: there is no such purpose.
        DecodeError: the members contradict each other.
    """
    records = chain.records
    template = records.purpose(detail.purpose.code)
    if template is None:
        raise NotFound(what="purpose", id=detail.purpose.code)
    if detail.purpose.ref_uri not in {"", template.ref_uri}:
        raise DecodeError(what=_WHAT, reason=f"the ref_uri of this purpose is {template.ref_uri or 'empty'}")
    questions = tuple(_question(records, wire) for wire in detail.questions)
    args = request_of(detail, template_id=template_id(chain.suite, template), questions=questions)
    refusal = _passed_cap(template, args, chain.head_time_ms)
    made = call(args)
    return PreviewView(
        call=CallView(
            contract=made.contract, method=made.method, args=made.args.hex(), meaning=spelled(args)
        ),
        template_id=args.template_id.hex(),
        separately=list(separate_parts(records, args.items)),
        code="" if refusal is None else refusal.code,
        over_zh="" if refusal is None else refusal.message("zh"),
        over_en="" if refusal is None else refusal.message("en"),
    )


def separate_parts(records: Records, items: tuple[GrantItem, ...]) -> tuple[str, ...]:
    """Parts to which the holder has to agree each by itself, as "<type>.<name>" (`classes.consent_separate`)."""
    found: dict[str, None] = {}
    for item in items:
        kind = records.certificate_type(item.certificate_type)
        for name in item.fields + item.attachments:
            if kind is not None and rule_of(class_of(kind, name)).separate:
                found[f"{item.certificate_type}.{name}"] = None
    return tuple(found)


def spelled(value: object) -> Any:
    """A wire struct as JSON with member names and hex for bytes."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: spelled(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [spelled(part) for part in value]
    return value if isinstance(value, bool | int | str | None) else str(value)


def _passed_cap(template: PurposeTemplate, args: GrantsRequest, time_ms: int) -> Denied | None:
    try:
        check_asked(template, args.items)
        check_caps(template, args, time_ms)
    except Denied as denial:
        return denial
    return None


def _question(records: Records, wire: QuestionWire) -> Question:
    """The question as its type declares it.

    Raises:
        DecodeError: it declares none of that name.
    """
    kind = records.certificate_type(wire.certificate_type)
    declared = next((one for one in kind.questions if one.name == wire.name), None) if kind else None
    counted = next((one for one in kind.partitions if one.name == wire.name), None) if kind else None
    if declared is not None:
        how, field, subject = declared.kind, declared.field, declared.subject
    elif counted is not None:
        how, field, subject = QuestionKind.COUNTED, counted.field, counted.subject
    else:
        raise DecodeError(what=_WHAT, reason=f"{wire.certificate_type} declares no question {wire.name}")
    return Question(
        certificate_type=wire.certificate_type,
        name=wire.name,
        kind=how,
        field=field,
        subject=subject,
        parameter=wire.parameter,
    )
