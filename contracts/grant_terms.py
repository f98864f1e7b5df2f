"""The terms of a grant besides its items: what a template lets ask, and what of it is given.

Rule: as for items (`grant_items.py`): nothing is asked beyond a cap of the purpose's template, nothing given beyond what was
asked, and the first cap that is passed is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from contracts.denials import Denied
from contracts.grant_calls import GrantsRequest, GrantsRequestAccess
from contracts.grant_records import UNIT_MS, FetchType, Frequency, Grant, PurposeTemplate
from contracts.grant_rules import template_id
from contracts.methods import CallContext
from contracts.schedule import schedule
from contracts.state import PURPOSES, DeadlineKind

CONSENT: Final = "consent"


def is_consent(lawful_basis: str) -> bool:
    """Whether a basis is consent, by whatever further words: a lookalike must not be a consent that nobody can take back."""
    return CONSENT in lawful_basis


def template_of(context: CallContext, args: GrantsRequest | GrantsRequestAccess) -> PurposeTemplate:
    """The template of the purpose that is asked for, as the officer has read it.

    Raises:
        Denied: unknown_purpose, template_changed.
    """
    template = PURPOSES.get(context.state, args.purpose)
    if template is None:
        raise Denied("unknown_purpose", purpose=args.purpose)
    present_id = template_id(context.block.suite, template)
    if args.template_id not in {b"", present_id}:
        raise Denied("template_changed", purpose=args.purpose, template=present_id.hex())
    return template


def check_caps(template: PurposeTemplate, args: GrantsRequest | GrantsRequestAccess, time_ms: int) -> None:
    """Whether the template allows to ask on these terms.

    Raises:
        Denied: over_ask, ends_in_the_past.
    """
    _check_one_of("consent_mode", args.consent_mode, template.modes)
    _check_one_of("fetch_type", args.fetch_type, template.fetch_types)
    if args.fetch_type is FetchType.ONCE:
        _check_most("uses_max (fetch_type once)", args.uses_max, 1)
        if args.frequency is not None:
            raise Denied(
                "over_ask", cap="frequency (fetch_type once)", maximum="-", asked=rate(args.frequency)
            )
    _check_most("uses_max", args.uses_max, template.uses_max)
    if args.consent_expiry_ms <= time_ms:
        raise Denied("ends_in_the_past", end_ms=args.consent_expiry_ms, time_ms=time_ms)
    _check_most("period_ms", args.consent_expiry_ms - time_ms, template.period_ms_max)
    _check_most("data_life_ms", args.data_life_ms, template.data_life_ms_max)
    _check_most("retention_period_ms", args.retention_period_ms, template.retention_ms_max)
    cap = template.frequency_max
    if cap is not None and args.fetch_type is FetchType.PERIODIC and not no_more_often(args.frequency, cap):
        raise Denied("over_ask", cap="frequency", maximum=rate(cap), asked=rate(args.frequency))


def no_more_often(asked: Frequency | None, cap: Frequency) -> bool:
    """Whether who keeps to `asked` can never pass `cap`.

    Within one unit of the cap lie the begun units of what is asked, each with at most its value.
    """
    if asked is None:
        return False
    units = -(-UNIT_MS[cap.unit] // UNIT_MS[asked.unit])
    return asked.value * units <= cap.value


def given_frequency(given: Frequency | None, asked: Frequency | None) -> Frequency | None:
    """How often it may be used once `given` is said; None says nothing.

    Raises:
        Denied: over_give.
    """
    if given is None:
        return asked
    if asked is not None and not no_more_often(given, asked):
        raise Denied("over_give", cap="frequency", maximum=rate(asked), asked=rate(given))
    return given


def check_given(given: int, maximum: int) -> None:
    """Raise Denied (over_give) if more uses are given than there are."""
    if given > maximum:
        raise Denied("over_give", cap="uses", maximum=maximum, asked=given)


def earlier_end(context: CallContext, grant: Grant, end_ms: int) -> int:
    """`end_ms`, scheduled if it is a new end.

    Raises:
        Denied: over_give, ends_in_the_past.
    """
    if end_ms > grant.consent_expiry_ms:
        raise Denied("over_give", cap="consent_expiry_ms", maximum=grant.consent_expiry_ms, asked=end_ms)
    if end_ms <= context.time_ms:
        raise Denied("ends_in_the_past", end_ms=end_ms, time_ms=context.time_ms)
    if end_ms != grant.consent_expiry_ms:
        schedule(context.state, end_ms, DeadlineKind.GRANT, grant.grant_id)
    return end_ms


def rate(frequency: Frequency | None) -> str:
    """A frequency in words of the denials: "5/day"; "-" for none."""
    return "-" if frequency is None else f"{frequency.value}/{frequency.unit.value}"


def _check_most(cap: str, asked: int, maximum: int) -> None:
    if asked > maximum:
        raise Denied("over_ask", cap=cap, maximum=maximum, asked=asked)


def _check_one_of(cap: str, asked: StrEnum, allowed: Sequence[StrEnum]) -> None:
    if asked not in allowed:
        raise Denied("over_ask", cap=cap, maximum=", ".join(allowed), asked=asked.value)
