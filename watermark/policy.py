"""What may be changed in a file, declared before it is marked.

Rule: a value changes only where the policy says so by name. Without a declared tolerance no number moves, without a
declared reference column no reference is replaced, without `unordered` no row changes place. A legal value (a name, a
number of a document, a date, a result) is therefore never declared, and never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from watermark.errors import PolicyInvalid

STRENGTH_MIN: Final = 0.5
STRENGTH_MAX: Final = 2.0
DECLARED_COLUMNS_MAX: Final = 1_000
COLUMN_NAME_CHARS_MAX: Final = 1_000
TOLERANCE_MIN: Final = Decimal("1E-12")
TOLERANCE_MAX: Final = Decimal("1E+12")
TOLERANCE_DIGITS_MAX: Final = 24


class Channel(StrEnum):
    """A way to carry code positions. The value is its name in manifests, verdicts and receipts."""

    PIXELS = "pixels"
    PAGE_CHIPS = "page_chips"
    GLYPH_OFFSETS = "glyph_offsets"
    WORD_OFFSETS = "word_offsets"
    NUMBERS = "numbers"
    REFERENCE = "reference"
    ROW_ORDER = "row_order"
    KEY_ORDER = "key_order"
    ZERO_WIDTH = "zero_width"
    VARIATION = "variation"


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What is declared about the columns of a table, or the fields of a record (by dotted path, `holder.name`).

    Attributes:
        keys: natural key columns, unchanged by marking, which name a row.
        tolerances: column → largest permitted absolute change δ > 0, in the column's own unit.
        reference: the opaque row reference whose value has no meaning outside, or None.
        free_text: columns whose text may carry invisible characters.
        unordered: the order of rows means nothing.
    """

    keys: tuple[str, ...] = ()
    tolerances: Mapping[str, Decimal] = field(default_factory=dict)
    reference: str | None = None
    free_text: tuple[str, ...] = ()
    unordered: bool = False

    def __post_init__(self) -> None:
        declared = [
            *self.keys,
            *self.tolerances,
            *self.free_text,
            *([self.reference] if self.reference else []),
        ]
        if len(declared) > DECLARED_COLUMNS_MAX:
            raise PolicyInvalid(reason=f"more than {DECLARED_COLUMNS_MAX} declared columns")
        if len(set(declared)) != len(declared):
            raise PolicyInvalid(reason="a column is declared twice")
        for column in declared:
            if len(column) > COLUMN_NAME_CHARS_MAX or any("\ud800" <= char <= "\udfff" for char in column):
                raise PolicyInvalid(reason=f"{column[:40]!r} cannot be the name of a column")
        for column, delta in self.tolerances.items():
            if not delta.is_finite() or delta <= 0:
                raise PolicyInvalid(reason=f"the tolerance of {column!r} is not a positive number")
            if (
                not TOLERANCE_MIN <= delta <= TOLERANCE_MAX
                or len(delta.as_tuple().digits) > TOLERANCE_DIGITS_MAX
            ):
                raise PolicyInvalid(
                    reason=f"the tolerance of {column!r} is not between {TOLERANCE_MIN} and {TOLERANCE_MAX} "
                    f"with at most {TOLERANCE_DIGITS_MAX} digits"
                )

    @property
    def carriers(self) -> frozenset[str]:
        """Columns whose values marking may change."""
        reference = () if self.reference is None else (self.reference,)
        return frozenset((*self.tolerances, *self.free_text, *reference))


@dataclass(frozen=True, slots=True)
class Policy:
    """How strongly and through which channels a class of files is marked.

    Attributes:
        strength: 0.5 to 2.0; scales the amplitude of marks in pixels. 1 keeps pages at 42 dB or better.
        channels: the channels allowed.
        table: the schema for tables and records.
    """

    strength: float = 1.0
    channels: frozenset[Channel] = frozenset(Channel)
    table: TableSchema = field(default_factory=TableSchema)

    def __post_init__(self) -> None:
        if not STRENGTH_MIN <= self.strength <= STRENGTH_MAX:
            raise PolicyInvalid(reason=f"strength must lie between {STRENGTH_MIN} and {STRENGTH_MAX}")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Policy:
        """Read a policy from a decoded schema file.

        Args:
            document: `{"columns": {name: {"key" | "reference" | "free_text": true} | {"tolerance": "0.05"}},
                "unordered": bool, "strength": number, "channels": [names]}`; every member is optional.

        Raises:
            PolicyInvalid: an unknown member, a wrong type, a contradiction.
        """
        _only(document, {"columns", "unordered", "strength", "channels"}, "the schema")
        columns = document.get("columns", {})
        unordered = document.get("unordered", False)
        strength = document.get("strength", 1.0)
        names = document.get("channels", [channel.value for channel in Channel])
        if not isinstance(columns, Mapping) or not isinstance(unordered, bool) or not isinstance(names, list):
            raise PolicyInvalid(reason="columns is an object, unordered a boolean, channels a list")
        if isinstance(strength, bool) or not isinstance(strength, int | float):
            raise PolicyInvalid(reason="strength is a number")
        try:
            channels = frozenset(Channel(name) for name in names)
        except (ValueError, TypeError) as error:
            raise PolicyInvalid(reason="unknown channel") from error
        if not STRENGTH_MIN <= strength <= STRENGTH_MAX:
            # Before it becomes a floating-point number, which a whole number of 400 digits cannot.
            raise PolicyInvalid(reason=f"strength must lie between {STRENGTH_MIN} and {STRENGTH_MAX}")
        return cls(strength=float(strength), channels=channels, table=_schema(columns, unordered))


def _schema(columns: Mapping[str, Any], unordered: bool) -> TableSchema:
    keys: list[str] = []
    references: list[str] = []
    free_text: list[str] = []
    tolerances: dict[str, Decimal] = {}
    for name, declared in columns.items():
        if not isinstance(declared, Mapping) or len(declared) != 1:
            raise PolicyInvalid(reason=f"column {name!r} needs exactly one declaration")
        _only(declared, {"key", "reference", "free_text", "tolerance"}, f"column {name!r}")
        ((kind, value),) = declared.items()
        if kind == "tolerance":
            tolerances[name] = _delta(name, value)
        elif value is not True:
            raise PolicyInvalid(reason=f"{kind} of column {name!r} must be true")
        else:
            {"key": keys, "reference": references, "free_text": free_text}[kind].append(name)
    if len(references) > 1:
        raise PolicyInvalid(reason="more than one reference column")
    return TableSchema(
        keys=tuple(keys),
        tolerances=tolerances,
        reference=references[0] if references else None,
        free_text=tuple(free_text),
        unordered=unordered,
    )


def _delta(name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PolicyInvalid(reason=f"the tolerance of {name!r} is not a number")
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise PolicyInvalid(reason=f"the tolerance of {name!r} is not a number") from error


def _only(document: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise PolicyInvalid(reason=f"unknown member {unknown[0]!r} in {where}")
