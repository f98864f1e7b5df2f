"""Counting against a quota over a sliding window of hours.

Rule: no `QUOTA_WINDOW_HOURS` in a row, wherever they begin, hold more than the quota; so one hour more than the
window is looked at, and a quota that was lowered holds from then on.
"""

from __future__ import annotations

from contracts.denials import Denied
from contracts.people_records import HOUR_MS, QUOTA_WINDOW_HOURS, CountedHour, LookupCount

NOTHING = LookupCount(hours=())


def used(count: LookupCount, time_ms: int) -> int:
    """How many count at block time `time_ms`."""
    return sum(one.elements for one in _counting(count, time_ms))


def counted(count: LookupCount, time_ms: int, amount: int, maximum: int, what: str) -> LookupCount:
    """The count with `amount` more.

    Args:
        count: so far.
        time_ms: block time, which never goes back.
        amount: at least 1.
        maximum: the quota.
        what: whose quota, for the denial.

    Raises:
        Denied: lookup_quota.
    """
    hours = _counting(count, time_ms)
    already = sum(one.elements for one in hours)
    if already + amount > maximum:
        raise Denied("lookup_quota", what=what, maximum=maximum, used=already)
    now = time_ms // HOUR_MS
    if hours and hours[-1].hour == now:
        amount += hours[-1].elements
        hours = hours[:-1]
    return LookupCount(hours=(*hours, CountedHour(hour=now, elements=amount)))


def _counting(count: LookupCount, time_ms: int) -> tuple[CountedHour, ...]:
    first = time_ms // HOUR_MS - QUOTA_WINDOW_HOURS
    return tuple(one for one in count.hours if one.hour >= first)
