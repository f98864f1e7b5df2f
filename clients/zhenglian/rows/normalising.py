"""One value, as its field asks for it: the rules by which what people write is made what the ledger commits to.

Rule: a value is changed by a named rule or not at all. Nothing is rounded, no order of day and month is guessed, no digit is
invented.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from ledger.commitments import INTEGER_MAX
from zhenglian.rows.problems import problem as make_problem

CODE_CHARS_MAX: Final = 64
NUMBER_CHARS_MAX: Final = 40

_INVISIBLE: Final = frozenset("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad")
_WIDE_CODE: Final = re.compile(r"[\uff01-\uff5e\u3000-\u3002A-Za-z0-9 ()/._-]+")
_DATE_NUMBERS: Final = re.compile(
    r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*[日号]?(?:[T ]\s*0{1,2}:00(?::00(?:\.0+)?)?(?:Z|\+08:00)?)?"
)
_DATE_PLAIN: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_DATE_AMBIGUOUS: Final = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}")
_DATE_CHINESE: Final = re.compile(
    r"([〇零○一二三四五六七八九]{4})年([一二三四五六七八九十]{1,3})月([一二三四五六七八九十]{1,3})[日号]"
)
_CHINESE_DIGITS: Final = {
    "〇": 0,
    "零": 0,
    "○": 0,
    **{one: place for place, one in enumerate("一二三四五六七八九", start=1)},
}
_ENDLESS: Final = frozenset({"长期", "长期有效", "永久", "永久有效", "无期限", "无固定期限"})
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_PLAIN_NUMBER: Final = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_MANGLED: Final = re.compile(r"\d(?:\.\d+)?[eE]\+?\d{1,2}")
_CURRENCY: Final = "¥￥$"


class ValueRefused(Exception):
    """A value that no rule makes what its field asks for: code of `problems.PROBLEMS`, and what its words name."""

    def __init__(self, code: str, **fields: str | int) -> None:
        make_problem(code, "", "", **fields)
        super().__init__(code)
        self.code = code
        self.fields = fields


@dataclass(slots=True)
class Normalising:
    """A value in the making: its text, and the rules that were used."""

    text: str
    rules: list[str] = field(default_factory=list)

    def apply(self, rule: str, change: Callable[[str], str]) -> None:
        """Change the text, and note the rule if that made a difference."""
        changed = change(self.text)
        if changed != self.text:
            self.text = changed
            self.rules.append(rule)


def tidied(text: str) -> Normalising:
    """A text without what nobody means: outer blanks, invisible characters, other systems' line ends."""
    value = Normalising(text)
    value.apply("invisible", lambda old: "".join(one for one in old if one not in _INVISIBLE))
    value.apply("line_ends", lambda old: old.replace("\r\n", "\n").replace("\r", "\n"))
    value.apply("trimmed", str.strip)
    return value


def narrow(value: Normalising) -> None:
    """Full-width letters, digits and signs as plain ones."""
    value.apply("full_width", lambda old: unicodedata.normalize("NFKC", old).strip())


def text_value(value: Normalising) -> str:
    """A text. A code typed in full-width characters becomes plain; a sentence keeps its punctuation."""
    if _WIDE_CODE.fullmatch(value.text) and any("\uff10" <= one <= "\uff5a" for one in value.text):
        narrow(value)
    return value.text


def date_value(value: Normalising) -> str:
    """A day as YYYY-MM-DD. Raises ValueRefused (date, date_order, date_none, date_endless)."""
    narrow(value)
    if value.text in _ENDLESS:
        raise ValueRefused("date_endless")
    if len(value.text) > CODE_CHARS_MAX:
        raise ValueRefused("date")
    parts = _day_parts(value.text)
    if parts is None:
        raise ValueRefused("date_order" if _DATE_AMBIGUOUS.fullmatch(value.text) else "date")
    try:
        written = date(*parts).isoformat()
    except ValueError:
        raise ValueRefused("date_none") from None
    value.apply("date_written", lambda _: written)
    return value.text


def _day_parts(text: str) -> tuple[int, int, int] | None:
    match = _DATE_NUMBERS.fullmatch(text) or _DATE_PLAIN.fullmatch(text)
    if match is not None:
        return int(match[1]), int(match[2]), int(match[3])
    match = _DATE_CHINESE.fullmatch(text)
    if match is None:
        return None
    year = int("".join(str(_CHINESE_DIGITS[one]) for one in match[1]))
    month, day = _chinese_number(match[2]), _chinese_number(match[3])
    return (year, month, day) if month and day else None


def _chinese_number(text: str) -> int:
    """1 to 99 as Chinese people write it; 0 if it is none."""
    tens, ten, ones = text.partition("十")
    if not ten:
        return _CHINESE_DIGITS.get(text, 0) if len(text) == 1 else 0
    if (
        len(tens) > 1
        or len(ones) > 1
        or (ones and ones not in _CHINESE_DIGITS)
        or (tens and tens not in _CHINESE_DIGITS)
    ):
        return 0
    return (_CHINESE_DIGITS[tens] if tens else 1) * 10 + (_CHINESE_DIGITS[ones] if ones else 0)


def _number(value: Normalising) -> Decimal:
    """A number. Raises ValueRefused."""
    narrow(value)
    if len(value.text) > NUMBER_CHARS_MAX:
        raise ValueRefused("number_large")
    value.apply("currency", lambda old: old.lstrip(_CURRENCY).strip())
    if _MANGLED.fullmatch(value.text):
        raise ValueRefused("number_mangled")
    sign, digits = (
        ("-", value.text[1:]) if value.text[:1] in {"-", "−"} else ("", value.text.removeprefix("+"))
    )
    if "," in digits:
        if not _GROUPED.fullmatch(digits):
            raise ValueRefused("number_grouping")
        value.apply("separators", lambda old: old.replace(",", ""))
        digits = digits.replace(",", "")
    if not _PLAIN_NUMBER.fullmatch(digits) or not digits.isascii():
        raise ValueRefused("number")
    whole = digits.partition(".")[0]
    if len(whole) > 1 and whole.startswith("0"):
        raise ValueRefused("number_zeros")
    return Decimal(sign + digits)


def integer_value(value: Normalising) -> int:
    """A whole number. Raises ValueRefused."""
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueRefused("number_whole")
    if abs(number) > INTEGER_MAX:
        raise ValueRefused("number_large")
    value.apply("whole", lambda old: old.partition(".")[0] if "." in old else old)
    return int(number)


def decimal_value(value: Normalising, decimals: int) -> str:
    """A number with exactly that many places. Raises ValueRefused."""
    number = _number(value)
    if abs(number) >= Decimal(10) ** 18:
        raise ValueRefused("number_large")
    fixed = number.quantize(Decimal(1).scaleb(-decimals)) if number == round(number, decimals) else None
    if fixed is None:
        raise ValueRefused("number_places", decimals=decimals)
    written = format(abs(fixed) if fixed == 0 else fixed, "f")
    value.apply("places", lambda _: written)
    return value.text


def identity_number(value: Normalising) -> str:
    """An identity number's eighteen characters; whether it is valid, its own rules say. Raises ValueRefused."""
    _code(value)
    if _MANGLED.fullmatch(value.text):
        raise ValueRefused("number_mangled")
    value.apply("check_x", lambda old: old[:-1] + "X" if old.endswith("x") else old)
    return value.text


def organization_code(value: Normalising) -> str:
    """A credit code's eighteen characters; whether it is valid, its own rules say. Raises ValueRefused."""
    _code(value)
    value.apply("code_blanks", lambda old: old.replace("-", ""))
    value.apply("upper", str.upper)
    return value.text


def _code(value: Normalising) -> None:
    narrow(value)
    if len(value.text) > CODE_CHARS_MAX:
        raise ValueRefused("text_long", maximum=CODE_CHARS_MAX)
    value.apply("code_blanks", lambda old: old.replace(" ", "").strip("'’‘"))
