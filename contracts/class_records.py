"""Class and level of data (分类分级), as certificate types declare them.

Rule: a structure, no behaviour; what follows from a class is decided in `classes.py`.

Source: GB/T 43697-2024 (core, important and general data; general data in levels 1 to 4), Personal Information Protection Law,
Articles 4 and 28 (personal and sensitive personal information).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.vocabulary import ATTACHMENTS_PER_TYPE_MAX, FIELDS_PER_TYPE_MAX, Code, FieldName
from ledger.types import Wire

ASKERS_MAX: Final = 4
PURPOSES_PER_CLASS_MAX: Final = 32
LEVEL_MAX: Final = 4


class Grade(StrEnum):
    """How much harm a leak would do to others than the person: 一般, 重要, 核心."""

    GENERAL = "general"
    IMPORTANT = "important"
    CORE = "core"


class Sensitivity(StrEnum):
    """Whether it is about a person: no, 个人信息, 敏感个人信息."""

    NONE = "none"
    PERSONAL = "personal"
    SENSITIVE = "sensitive_personal"


Level = Annotated[int, Meta(ge=1, le=LEVEL_MAX)]


class PartClass(Wire):
    """Class of one field or attachment.

    Attributes:
        name: of the field or attachment.
        grade, level, sensitivity: its class.
        askers: kinds of account that may ask for it; empty: as the class has it. It can only be less than that.
        purposes: codes of the purposes for which it may be asked; empty for all.
    """

    name: FieldName
    grade: Grade
    level: Level
    sensitivity: Sensitivity
    askers: Annotated[tuple[Code, ...], Meta(max_length=ASKERS_MAX)] = ()
    purposes: Annotated[tuple[Code, ...], Meta(max_length=PURPOSES_PER_CLASS_MAX)] = ()


PartClasses = Annotated[
    tuple[PartClass, ...], Meta(max_length=FIELDS_PER_TYPE_MAX + ATTACHMENTS_PER_TYPE_MAX)
]
