"""Which column of a table is which field: by the mapping given, by code, or by the Chinese name that is printed.

Rule: a column that nobody can place is refused, with the names that come close; to leave one out is said, never assumed.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ledger.errors import LedgerError
from zhenglian.catalogue import CertificateTypeSpec

HOLDER: Final = "@holder"
SUPERSEDES: Final = "@supersedes"
VALID_FROM: Final = "@valid_from"
VALID_UNTIL: Final = "@valid_until"
IGNORED: Final = ""

# What a table may say beside the type's own fields; a field of the type goes before a name here.
RESERVED: Final[dict[str, tuple[str, ...]]] = {
    HOLDER: ("@holder", "holder", "持证人账户", "持有者账户", "持证主体账户"),
    SUPERSEDES: ("@supersedes", "supersedes", "被替换证照编号", "原证照编号"),
    VALID_FROM: ("@valid_from", "valid_from", "生效日期", "有效期起始"),
    VALID_UNTIL: ("@valid_until", "valid_until", "失效日期", "有效期截止"),
}
MAPPING_MAX: Final = 256
_SUGGESTIONS_MAX: Final = 3
_DECORATION: Final = re.compile(r"[\s*＊:：]+")


class ColumnsInvalid(LedgerError):
    """The columns of a table are not those of the type. Fields: certificate_type, problem, problem_zh."""

    code = "columns_invalid"
    zh = "表格的列与“{certificate_type}”不符：{problem_zh}"
    en = "The columns do not fit {certificate_type}: {problem}"


@dataclass(frozen=True, slots=True)
class Matching:
    """Which field each column is; those of `RESERVED` begin with an @, and an ignored column has none."""

    fields: Mapping[str, str]


def plain_name(name: str) -> str:
    """A column's name as it is compared: width, case, blanks, colons and the star of a required column do not count."""
    return _DECORATION.sub("", unicodedata.normalize("NFKC", name)).casefold()


def match_columns(spec: CertificateTypeSpec, columns: Iterable[str], mapping: Mapping[str, str]) -> Matching:
    """Find every column's field.

    Args:
        spec: the type.
        columns: the table's, in its order.
        mapping: column → field code, Chinese name, reserved name, or empty to leave the column out.

    Raises:
        ColumnsInvalid: a column of no field, two of one field, or a required field without one.
    """
    known = _known_names(spec)
    wanted = {plain_name(column): target for column, target in mapping.items()}
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for column in columns:
        name = plain_name(column)
        if name in wanted and not wanted[name].strip():
            found[column] = IGNORED
            continue
        target = known.get(plain_name(wanted.get(name, column)))
        if target is None:
            raise _unknown(spec, column, wanted.get(name, column), known)
        if target in taken:
            raise ColumnsInvalid(
                certificate_type=spec.name_zh,
                problem=f"columns {taken[target][:40]!r} and {column[:40]!r} are both {target}",
                problem_zh=f"列“{taken[target][:40]}”与“{column[:40]}”都是 {target}，请只保留一列",
            )
        taken[target] = column
        found[column] = target
    return Matching(found)


def require_columns(spec: CertificateTypeSpec, matching: Matching) -> None:
    """Raises ColumnsInvalid if a required field has no column: said once for a table, rather than in every row."""
    there = set(matching.fields.values())
    missing = [field for field in spec.fields if field.required and field.name not in there]
    if missing:
        raise ColumnsInvalid(
            certificate_type=spec.name_zh,
            problem="required and missing: "
            + ", ".join(f"{field.name_zh} ({field.name})" for field in missing),
            problem_zh="缺少必填列：" + "、".join(f"{field.name_zh}（{field.name}）" for field in missing),
        )


def _parts(spec: CertificateTypeSpec) -> list[tuple[str, str]]:
    """Code and label of every field and attachment."""
    return [
        *((field.name, field.name_zh) for field in spec.fields),
        *((attachment.name, attachment.name_zh) for attachment in spec.attachments),
    ]


def _known_names(spec: CertificateTypeSpec) -> dict[str, str]:
    known = {plain_name(name): name for name, _ in _parts(spec)}
    for name, label in _parts(spec):
        known.setdefault(plain_name(label), name)
    for target, names in RESERVED.items():
        for name in names:
            known.setdefault(plain_name(name), target)
    return known


def _unknown(spec: CertificateTypeSpec, column: str, target: str, known: Mapping[str, str]) -> ColumnsInvalid:
    labels = {plain_name(label): label for _, label in _parts(spec)}
    close = difflib.get_close_matches(plain_name(target)[:64], list(known), _SUGGESTIONS_MAX, 0.5)
    names = ", ".join(dict.fromkeys(labels.get(name, known[name]) for name in close))
    hint = f"; did you mean {names}?" if names else "."
    hint_zh = f"，是否为 {names}？" if names else "；"
    return ColumnsInvalid(
        certificate_type=spec.name_zh,
        problem=f"column {column[:40]!r} is no field of it{hint} Map it to a field, or to nothing to leave it out",
        problem_zh=f"列“{column[:40]}”不是它的字段{hint_zh}请用列映射指明字段，或映射为空以忽略该列",
    )
