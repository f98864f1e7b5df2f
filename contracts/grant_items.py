"""Items of a grant: what may be asked, what may be given of it, and what is open.

Rule: nothing is ever given that was not asked for, nothing is ever asked that the purpose's template does not
allow, and the first cap that is passed is named.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.certificate_types import check_distinct
from contracts.denials import Denied
from contracts.grant_records import CertificateStateRequired
from contracts.methods import CallContext
from contracts.records import Certificate, GrantItem, PurposeTemplate
from contracts.state import CERTIFICATES

NAMES_SHOWN_MAX: Final = 1000


def shown(names: tuple[str, ...]) -> str:
    """Names as one text, bounded."""
    return ", ".join(names)[:NAMES_SHOWN_MAX]


def check_asked(template: PurposeTemplate, items: tuple[GrantItem, ...]) -> None:
    """Whether the template allows to ask for these items.

    Raises:
        Denied: over_ask, empty_item, duplicate_name, duplicate_item.
    """
    for position, item in enumerate(items):
        _check_item(item)
        same = (item.certificate_type, item.certificate)
        if any((other.certificate_type, other.certificate) == same for other in items[:position]):
            raise Denied("duplicate_item", type=item.certificate_type)
        allowed = next((cap for cap in template.items if cap.certificate_type == item.certificate_type), None)
        if allowed is None:
            types = tuple(cap.certificate_type for cap in template.items)
            raise Denied(
                "over_ask", cap="certificate_type", maximum=shown(types), asked=item.certificate_type
            )
        _check_within("over_ask", "fields", item.fields, allowed.fields)
        _check_within("over_ask", "attachments", item.attachments, allowed.attachments)
        floor = allowed.certificate_state_required
        if not as_strict(item.certificate_state_required, floor):
            raise Denied(
                "over_ask",
                cap="certificate_state_required",
                maximum=_in_words(floor),
                asked=_in_words(item.certificate_state_required),
            )


def check_held(context: CallContext, item: GrantItem, holder: bytes) -> None:
    """Whether the certificate that an item names, if any, is the holder's and of the item's type.

    Raises:
        Denied: unknown_certificate, certificate_not_held.
    """
    if not item.certificate:
        return
    certificate = context.record(CERTIFICATES, item.certificate)
    if certificate is None:
        raise Denied("unknown_certificate", certificate=item.certificate.hex())
    if certificate.holder != holder or certificate.certificate_type != item.certificate_type:
        raise Denied("certificate_not_held", certificate=item.certificate.hex(), type=item.certificate_type)


def give(asked: tuple[GrantItem, ...], given: tuple[GrantItem, ...]) -> tuple[GrantItem, ...]:
    """What is open once `given` of `asked` is given.

    Each given item is a part of an asked one, in the same order: the same type and certificate (or a
    certificate where any was asked for) with some of its fields and attachments.

    Args:
        asked: the requested items, or those open until now.
        given: what the holder gives of them.

    Returns:
        As many items as `asked`; what was left out is in their `declined`.

    Raises:
        Denied: over_give, empty_item, duplicate_name.
    """
    opened: list[GrantItem] = []
    waiting = list(given)
    for item in asked:
        if waiting and _is_part(waiting[0], item):
            opened.append(_part(item, waiting.pop(0)))
        else:
            opened.append(_part(item, replace(item, fields=(), attachments=())))
    if waiting:
        _explain(asked, waiting[0])
    for item in given:
        _check_item(item)
    return tuple(opened)


def covering(items: tuple[GrantItem, ...], certificate: Certificate) -> tuple[GrantItem, ...]:
    """The items that open something of a certificate."""
    return tuple(
        item
        for item in items
        if item.certificate_type == certificate.certificate_type
        and item.certificate in {b"", certificate.certificate_id}
        and item.fields + item.attachments
    )


def open_names(
    items: tuple[GrantItem, ...], certificate: Certificate
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fields and attachments of a certificate that the items open between them."""
    opening = covering(items, certificate)
    return (
        tuple(name for item in opening for name in item.fields),
        tuple(name for item in opening for name in item.attachments),
    )


def as_strict(required: CertificateStateRequired, floor: CertificateStateRequired) -> bool:
    """Whether a certificate that is as `required` is always as the `floor` wants it."""
    states = all(state in required.stopped_by for state in floor.stopped_by)
    return states and required.within_dates >= floor.within_dates


def _in_words(required: CertificateStateRequired) -> str:
    dates = ("within_dates",) if required.within_dates else ()
    return shown((*(state.value for state in required.stopped_by), *dates)) or "-"


def _check_item(item: GrantItem) -> None:
    if not item.fields + item.attachments:
        raise Denied("empty_item", type=item.certificate_type)
    check_distinct(item.fields)
    check_distinct(item.attachments)
    check_distinct(tuple(state.value for state in item.certificate_state_required.stopped_by))


def _check_within(code: str, cap: str, names: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for name in names:
        if name not in allowed:
            raise Denied(code, cap=cap, maximum=shown(allowed), asked=name)


def _same_object(given: GrantItem, asked: GrantItem) -> bool:
    return given.certificate_type == asked.certificate_type and asked.certificate in {b"", given.certificate}


def _is_part(given: GrantItem, asked: GrantItem) -> bool:
    return (
        _same_object(given, asked)
        and all(name in asked.fields for name in given.fields)
        and all(name in asked.attachments for name in given.attachments)
        and as_strict(given.certificate_state_required, asked.certificate_state_required)
    )


def _part(asked: GrantItem, given: GrantItem) -> GrantItem:
    left_out = tuple(name for name in asked.fields if name not in given.fields)
    left_out += tuple(name for name in asked.attachments if name not in given.attachments)
    return replace(given, declined=asked.declined + left_out)


def _explain(asked: tuple[GrantItem, ...], given: GrantItem) -> None:
    """Raise the denial that says why `given` is no part of what was asked."""
    for item in asked:
        if _same_object(given, item):
            _check_within("over_give", "fields", given.fields, item.fields)
            _check_within("over_give", "attachments", given.attachments, item.attachments)
            if not as_strict(given.certificate_state_required, item.certificate_state_required):
                raise Denied(
                    "over_give",
                    cap="certificate_state_required",
                    maximum=_in_words(item.certificate_state_required),
                    asked=_in_words(given.certificate_state_required),
                )
    types = tuple(item.certificate_type for item in asked)
    raise Denied("over_give", cap="items", maximum=shown(types), asked=given.certificate_type)
