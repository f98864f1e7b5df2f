"""Masks for display (脱敏): what a screen or log shows of a value that is not to be read there.

Rule: a mask is for the eye and no protection: whoever may not have a value is not given it. So a mask never fails, never shows more
than its kind says, whatever the text, and shows nothing at all of a text that is too short for it.

    name             first character of one to three, of a compound surname two: 王**, 欧阳*
    identity_number  first six, last four: 370102********1234
    phone            first three, last four: 138****5678
    bank_card        last four: **** **** **** 1234
    address          as far as the district or county: 山东省济南市历下区****
    date             the year: 1990-**-**
    code             first two, last two: 鲁A***88
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from contracts.class_records import Sensitivity
from ledger.commitments import FieldValue
from zhenglian.catalogue import CertificateTypeSpec, FieldKind
from zhenglian.dictionary import term, term_code

STAR: Final = "*"
HIDDEN: Final = STAR * 4
_ADDRESS_SHOWN_MAX: Final = 24
_COMPOUND_SURNAMES: Final = """
    欧阳 司马 上官 诸葛 司徒 东方 皇甫 尉迟 公孙 慕容 令狐 端木 夏侯 长孙 宇文 轩辕 南宫 独孤 澹台 公冶 宗政 濮阳 淳于
    申屠 太史 钟离 闻人 赫连 鲜于 闾丘 司空 万俟 呼延 西门 百里 东郭 南门 羊舌 微生 公羊 左丘 梁丘 拓跋
"""
_COMPOUND: Final = frozenset(_COMPOUND_SURNAMES.split())
# Province, city, and the county, district or banner below them: what is shown. No street is any of these.
_UNIT: Final = "[^0-9路街号镇乡村省市]"
_DISTRICT: Final = re.compile(
    rf"(?:{_UNIT}{{1,8}}?(?:省|自治区))?(?:{_UNIT}{{1,10}}?(?:市|自治州|盟|地区))?(?:{_UNIT}{{1,12}}?(?:区|县|旗|市))?"
)
_TOP: Final = re.compile(rf"{_UNIT}{{1,10}}?(?:省|自治区|市|自治州|盟|地区)")


class Mask(StrEnum):
    """The kinds of masks; `all` shows nothing."""

    NAME = "name"
    IDENTITY_NUMBER = "identity_number"
    PHONE = "phone"
    BANK_CARD = "bank_card"
    ADDRESS = "address"
    DATE = "date"
    CODE = "code"
    ALL = "all"


def mask(kind: Mask, text: str) -> str:
    """The text as it may be shown."""
    text = text.strip()
    match kind:
        case Mask.NAME:
            return _name(text)
        case Mask.IDENTITY_NUMBER:
            return _ends(text, 6, 4, least=15)
        case Mask.PHONE:
            return _ends(text, 3, 4, least=11)
        case Mask.BANK_CARD:
            digits = text.replace(" ", "")
            return f"{HIDDEN} {HIDDEN} {HIDDEN} {digits[-4:]}" if len(digits) >= 12 else HIDDEN
        case Mask.ADDRESS:
            return _address(text)
        case Mask.DATE:
            return f"{text[:4]}-**-**" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else HIDDEN
        case Mask.CODE:
            return _ends(text, 2, 2, least=7)
        case Mask.ALL:
            return HIDDEN


def mask_of(spec: CertificateTypeSpec, name: str) -> Mask | None:
    """How a field is masked, or None if it is shown: by its term, its kind, and its class where neither says anything.

    Args:
        spec: the type.
        name: of one of its fields; an unknown one is hidden.
    """
    field = spec.field(name)
    if field is None:
        return Mask.ALL
    found = term(term_code(spec.code, spec.holder.value, name))
    if found is not None and found.mask:
        return Mask(found.mask)
    if field.kind is FieldKind.IDENTITY_NUMBER:
        return Mask.IDENTITY_NUMBER
    hidden = field.sensitivity is Sensitivity.SENSITIVE or field.class_level >= 4  # the highest level
    return Mask.ALL if hidden else None


def masked(spec: CertificateTypeSpec, name: str, value: FieldValue) -> FieldValue:
    """A field's value as it may be shown: a table that is hidden says how many rows it has."""
    kind = mask_of(spec, name)
    if kind is None:
        return value
    if isinstance(value, str):
        return mask(kind, value)
    return HIDDEN if isinstance(value, int) else f"{HIDDEN} ({len(value)})"


def _name(text: str) -> str:
    if len(text) < 2:  # nothing would be hidden of one character
        return STAR
    if text.isascii():
        return f"{text[0]}{HIDDEN}"
    shown = 2 if text[:2] in _COMPOUND and len(text) > 2 else 1
    return text[:shown] + STAR * (len(text) - shown)


def _ends(text: str, first: int, last: int, *, least: int) -> str:
    """The first and last characters, if the text is as long as its kind is."""
    if len(text) < least:
        return HIDDEN
    return text[:first] + STAR * (len(text) - first - last) + text[-last:]


def _address(text: str) -> str:
    found = _DISTRICT.match(text) if _TOP.match(text) else None
    shown = found.group(0) if found else ""
    return shown + HIDDEN if 0 < len(shown) <= min(_ADDRESS_SHOWN_MAX, len(text) - 2) else HIDDEN
