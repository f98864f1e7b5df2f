"""What a synthetic field says when no person, relative or organisation decides it.

Rule: the wording is data. `data/values.json` lists, for `type.field` or for a field of every type, what may
stand there; this module picks and fills in. Lists of equal length in one type belong together: the same place
in each is taken (a cause of death and its code).

Patterns: `a..b` is a range (of a number, or of days from the date of issue for a date). In text, `{d5}` is
five digits, `{a2}` two capital letters, `{n40}` a number up to 40, `{y}` the year of issue, `{date}` the
child's birth date; other names stand for a fact about the person, or for somebody or some place drawn anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from importlib import resources
from random import Random
from typing import Final, assert_never

from ledger.decoders import decode_json
from ledger.errors import invariant
from zhenglian.catalogue import FieldKind, FieldSpec
from zhenglian.identifiers import Sex
from zhenglian_demo.people import draw_name, draw_phone
from zhenglian_demo.places import ROADS, STREETS

_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)([0-9]*)\}")
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXY"
_DIGITS: Final = "0123456789"


@cache
def load_values() -> dict[str, tuple[str, ...]]:
    """The lists of `data/values.json`."""
    data = (resources.files("zhenglian_demo") / "data" / "values.json").read_bytes()
    return decode_json(data, dict[str, tuple[str, ...]])


def patterns_of(type_code: str, field_name: str) -> tuple[str, ...]:
    """What may stand in that field; empty where a person, relative, organisation or date decides."""
    values = load_values()
    return values.get(f"{type_code}.{field_name}", values.get(field_name, ()))


def draw_value(
    field: FieldSpec, pattern: str, facts: Mapping[str, str], rng: Random, issued: date, earliest: date
) -> str | int:
    """Fill in one pattern.

    Args:
        field: what the value is for; its kind decides how the pattern is read.
        pattern: one of `patterns_of`.
        facts: what placeholders without a number stand for.
        rng: decides the rest.
        issued: date of issue.
        earliest: no date before this one.
    """
    match field.kind:
        case FieldKind.INTEGER:
            low, high = (int(bound) for bound in pattern.split(".."))
            return rng.randint(low, high)
        case FieldKind.DECIMAL:
            return _draw_decimal(pattern, field.decimals, rng)
        case FieldKind.DATE:
            first, last = (int(bound) for bound in pattern.split(".."))
            return max(issued + timedelta(days=rng.randint(first, last)), earliest).isoformat()
        case FieldKind.TEXT:
            return _PLACEHOLDER.sub(lambda found: _fill(found[1], found[2], facts, rng), pattern)
        case FieldKind.IDENTITY_NUMBER | FieldKind.ORGANIZATION_CODE | FieldKind.ROWS:
            invariant(False, f"{field.name} is made from a person, not from a pattern")
            return ""
        case _:
            assert_never(field.kind)


def _draw_decimal(pattern: str, decimals: int, rng: Random) -> str:
    low, high = (int(bound.replace(".", "")) for bound in pattern.split(".."))
    digits = f"{rng.randint(low, high):0{decimals + 1}d}"
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def _fill(name: str, count: str, facts: Mapping[str, str], rng: Random) -> str:
    match name:
        case "d":
            return "".join(rng.choice(_DIGITS) for _ in range(int(count)))
        case "a":
            return "".join(rng.choice(_LETTERS) for _ in range(int(count)))
        case "n":
            return str(rng.randint(1, int(count)))
        case "h":
            return f"{rng.randrange(24):02d}"
        case "m":
            return f"{rng.randrange(60):02d}"
        case "other":
            return draw_name(rng, rng.choice(tuple(Sex)))
        case "otherphone":
            return draw_phone(rng)
        case "road":
            return rng.choice(ROADS)
        case "street":
            return rng.choice(STREETS[facts["district"]])
        case _:
            return facts[name]
