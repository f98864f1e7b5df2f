"""Days of the calendar in China's time (UTC+8, without summer time), for questions and periods.

Rule: plain integers; a day is its number since 1970-01-01. Nothing here asks what day it is.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from contracts.question_records import PeriodUnit

CHINA_OFFSET_MS: Final = 8 * 60 * 60 * 1000
DAY_MS: Final = 24 * 60 * 60 * 1000
_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day_of(time_ms: int) -> int:
    """The day in China at a time."""
    return (time_ms + CHINA_OFFSET_MS) // DAY_MS


def day_start_ms(day: int) -> int:
    """When a day begins in China, milliseconds UTC."""
    return day * DAY_MS - CHINA_OFFSET_MS


def date_of(day: int) -> date:
    """The date of a day. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(days=day)


def day_number(text: str) -> int | None:
    """The day that "YYYY-MM-DD" names, or None."""
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        return None


def full_years(born: date, today: date) -> int:
    """Full years of age on a day: one more on each birthday; who was born on 29 February has it on 1 March in other years."""
    before_birthday = (today.month, today.day) < (born.month, born.day)
    return today.year - born.year - (1 if before_birthday else 0)


def period_of(unit: PeriodUnit, time_ms: int) -> str:
    """The period of the calendar in which a time lies: "2026", "2026-Q3" or "2026-09"."""
    today = date_of(day_of(time_ms))
    match unit:
        case PeriodUnit.YEAR:
            return f"{today.year:04d}"
        case PeriodUnit.QUARTER:
            return f"{today.year:04d}-Q{(today.month - 1) // 3 + 1}"
        case PeriodUnit.MONTH:
            return f"{today.year:04d}-{today.month:02d}"


def overlapping(period: str) -> tuple[str, ...]:
    """Every period of the calendar that shares a day with one that `period_of` gave, itself first."""
    year, _, part = period.partition("-")
    quarters = {f"{year}-Q{number}": range(3 * number - 2, 3 * number + 1) for number in range(1, 5)}
    months = {f"{year}-{month:02d}": quarter for quarter, held in quarters.items() for month in held}
    if not part:
        return (period, *quarters, *months)
    if period in quarters:
        return (period, year, *(month for month, quarter in months.items() if quarter == period))
    return (period, year, months[period])
