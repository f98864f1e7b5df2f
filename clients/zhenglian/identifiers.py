"""Citizens' identity numbers and organisations' codes: is this a possible one?

Rule: a number is right exactly as the standard writes it, or it is refused with what is wrong with it;
nothing is trimmed, folded or corrected. A message never repeats the number. That a number is possible does
not say that anybody bears it.

Source: GB 11643-1999 (公民身份号码; check character by ISO 7064 MOD 11-2), GB 32100-2015 (统一社会信用代码),
whose middle nine characters are a GB 11714-1997 organisation code with a check character of its own.
"""

from __future__ import annotations

from datetime import date
from enum import Enum, StrEnum
from typing import Final

from msgspec import Struct

from ledger.errors import LedgerError

IDENTITY_NUMBER_LENGTH: Final = 18
ORGANIZATION_CODE_LENGTH: Final = 18
BIRTH_YEAR_MIN: Final = 1850

# First two digits of a GB/T 2260 division, the residence permits of Hong Kong, Macao and Taiwan included (81
# to 83).
PROVINCES: Final = frozenset(
    str(code)
    for region in (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66))
    for code in region
) | {"71", "81", "82", "83"}
_IDENTITY_CHECKS: Final = "10X98765432"

# Digits and capital letters without I, O, S, V and Z (GB 32100, table 1).
ORGANIZATION_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# Registering authority → the categories it registers (GB 32100, table 2).
ORGANIZATION_CATEGORIES: Final = {
    "1": "1239",
    "2": "19",
    "3": "123459",
    "4": "19",
    "5": "1239",
    "6": "129",
    "7": "129",
    "8": "19",
    "9": "123",
    "A": "19",
    "N": "1239",
    "Y": "1",
}
_BODY_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)


class Fault(Enum):
    """What can be wrong with an identifier: its words in Chinese and in English."""

    LENGTH = ("长度应为 18 位", "it must have 18 characters")
    CHARACTER = ("含有不允许的字符", "it has a character that is not allowed")
    DIVISION = ("行政区划代码不存在", "its division code does not exist")
    BIRTH_DATE = ("出生日期不存在", "its birth date does not exist")
    SEQUENCE = ("顺序码不能为 000", "its sequence code cannot be 000")
    CATEGORY = ("登记管理部门或机构类别代码不存在", "its authority or category code does not exist")
    BODY_CHECK = ("主体标识码的校验码不符", "the check character of its organisation code does not match")
    CHECK = ("校验码不符", "its check character does not match")


class _IdentifierInvalid(LedgerError):
    """Base: an identifier with a `fault`. Fields: fault, reason (English), reason_zh."""

    def __init__(self, fault: Fault) -> None:
        zh, en = fault.value
        super().__init__(fault=fault.name.lower(), reason=en, reason_zh=zh)
        self.fault = fault


class IdentityNumberInvalid(_IdentifierInvalid):
    """Not a possible GB 11643 identity number."""

    code = "identity_number_invalid"
    zh = "公民身份号码无效：{reason_zh}"
    en = "Invalid identity number: {reason}"


class OrganizationCodeInvalid(_IdentifierInvalid):
    """Not a possible GB 32100 unified social credit code."""

    code = "organization_code_invalid"
    zh = "统一社会信用代码无效：{reason_zh}"
    en = "Invalid unified social credit code: {reason}"


class Sex(StrEnum):
    """Sex as an identity number states it: odd sequence codes are men's."""

    MALE = "男"
    FEMALE = "女"


class IdentityNumber(Struct, frozen=True):
    """What an identity number says: birth date, sex, and GB/T 2260 division (six digits) of first record."""

    birth_date: date
    sex: Sex
    division: str


class OrganizationCode(Struct, frozen=True):
    """What a unified social credit code says: authority, category, division, organisation code."""

    authority: str
    category: str
    division: str
    body: str


def check_identity_number(text: str) -> IdentityNumber:
    """Read an 18-character identity number, strictly; the check letter is a capital X.

    The division is checked to province level only: numbers keep divisions that were renamed or merged since.

    Raises:
        IdentityNumberInvalid: with the first thing that is wrong.

    Source: GB 11643-1999, clause 4.
    """
    if len(text) != IDENTITY_NUMBER_LENGTH:
        raise IdentityNumberInvalid(Fault.LENGTH)
    if not (_digits(text[:17]) and (_digits(text[17]) or text[17] == "X")):
        raise IdentityNumberInvalid(Fault.CHARACTER)
    if text[:2] not in PROVINCES:
        raise IdentityNumberInvalid(Fault.DIVISION)
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        raise IdentityNumberInvalid(Fault.BIRTH_DATE) from None
    if born.year < BIRTH_YEAR_MIN:
        raise IdentityNumberInvalid(Fault.BIRTH_DATE)
    if text[14:17] == "000":
        raise IdentityNumberInvalid(Fault.SEQUENCE)
    if text[17] != identity_check_character(text[:17]):
        raise IdentityNumberInvalid(Fault.CHECK)
    return IdentityNumber(born, Sex.MALE if int(text[16]) % 2 else Sex.FEMALE, text[:6])


def check_organization_code(text: str) -> OrganizationCode:
    """Read an 18-character unified social credit code, strictly, both of its check characters included.

    Raises:
        OrganizationCodeInvalid: with the first thing that is wrong.

    Source: GB 32100-2015, clause 4 and annex; GB 11714-1997 for the organisation code within.
    """
    if len(text) != ORGANIZATION_CODE_LENGTH:
        raise OrganizationCodeInvalid(Fault.LENGTH)
    if any(character not in ORGANIZATION_ALPHABET for character in text) or not _digits(text[2:8]):
        raise OrganizationCodeInvalid(Fault.CHARACTER)
    if text[1] not in ORGANIZATION_CATEGORIES.get(text[0], ""):
        raise OrganizationCodeInvalid(Fault.CATEGORY)
    # Bodies registered by the centre carry division 100000.
    if text[2:4] not in PROVINCES and text[2:8] != "100000":
        raise OrganizationCodeInvalid(Fault.DIVISION)
    if text[17] != organization_check_character(text[:17]):
        raise OrganizationCodeInvalid(Fault.CHECK)
    if text[16] != body_check_character(text[8:16]):
        raise OrganizationCodeInvalid(Fault.BODY_CHECK)
    return OrganizationCode(authority=text[0], category=text[1], division=text[2:8], body=text[8:17])


def identity_check_character(first17: str) -> str:
    """The eighteenth character of an identity number (ISO 7064 MOD 11-2)."""
    remainder = 0
    for digit in first17:
        remainder = (remainder + int(digit)) * 2 % 11
    return _IDENTITY_CHECKS[remainder]


def organization_check_character(first17: str) -> str:
    """The eighteenth character of a unified social credit code (weights 3^i modulo 31)."""
    total = sum(
        ORGANIZATION_ALPHABET.index(character) * pow(3, place, 31) for place, character in enumerate(first17)
    )
    return ORGANIZATION_ALPHABET[-total % 31]


def body_check_character(first8: str) -> str:
    """The ninth character of a GB 11714 organisation code; letters count from A = 10."""
    total = sum(int(character, 36) * weight for character, weight in zip(first8, _BODY_WEIGHTS, strict=True))
    check = -total % 11
    return "X" if check == 10 else str(check)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
