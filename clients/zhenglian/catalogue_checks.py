"""What would make a declared question or partition contradict itself or its field.

Rule: each gives the first reason, or an empty text; who asks says where.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from contracts.question_records import QuestionKind
from zhenglian.catalogue_questions import PartitionSpec, QuestionSpec

if TYPE_CHECKING:
    from zhenglian.catalogue import FieldSpec

_AGE_MAX = 150


def why_question_invalid(question: QuestionSpec, field: FieldSpec | None) -> str:
    """Empty if the question can be asked of that field, the one that it names."""
    if question.kind is QuestionKind.COUNTED:
        return "to be counted is no question; declare a partition"
    if question.kind is QuestionKind.VALID_ON:
        said = question.field or question.parameters or question.column
        return "valid_on has days and reads no field" if said or not question.days_back_max else ""
    if field is None:
        return f"it reads a field that is not there: {question.field}"
    if not question.parameters:
        return "it has no parameters"
    values = [one.value for one in question.parameters]
    if len(set(values)) != len(values):
        return "a parameter appears twice"
    if question.kind is not QuestionKind.COVERS and any(one.covered_by for one in question.parameters):
        return "covered_by belongs to kind covers"
    if question.kind is not QuestionKind.AT_LEAST and (question.column or question.order_by):
        return "a column belongs to kind at_least"
    return _why_kind_invalid(question, field)


def why_partition_invalid(partition: PartitionSpec, field: FieldSpec | None) -> str:
    """Empty if certificates can be divided so by that field, the one that it names."""
    if field is None:
        return f"it reads a field that is not there: {partition.field}"
    names = [cell.name for cell in partition.cells]
    if len(set(names)) != len(names):
        return "a cell appears twice"
    *cells, rest = partition.cells
    if rest.values or rest.least is not None or rest.below is not None:
        return "the last cell takes all the rest and says nothing"
    by_values = field.kind == "text"
    if not by_values and field.kind not in {"date", "integer", "decimal"}:
        return f"nothing is divided by a field of kind {field.kind}"
    for cell in cells:
        ranged = cell.least is not None or cell.below is not None
        if by_values is not bool(cell.values) or by_values is ranged:
            return f"cell {cell.name} has values for a text, and a range for a number or date"
    if by_values:
        values = [value for cell in cells for value in cell.values]
        return "a value is in two cells" if len(set(values)) != len(values) else ""
    return _why_ranges_overlap(partition)


def _why_kind_invalid(question: QuestionSpec, field: FieldSpec) -> str:
    values = [one.value for one in question.parameters]
    if question.kind is QuestionKind.OLDER_THAN:
        ages = all(value.isascii() and value.isdigit() and 0 < int(value) <= _AGE_MAX for value in values)
        return "" if field.kind == "date" and ages else "an age is asked of a date, in full years up to 150"
    if question.kind is QuestionKind.COVERS:
        return "" if field.kind == "text" else "what is covered is asked of a text"
    if not all(_is_step(value) for value in values):
        return "a step is written in plain digits"
    if field.kind == "rows":
        kinds = {column.name: column.kind for column in field.columns}
        numeric = kinds.get(question.column) in {"integer", "decimal"}
        return (
            ""
            if numeric and question.order_by in kinds
            else "of a table: a number's column and one to order by"
        )
    plain = field.kind in {"integer", "decimal"} and not question.column and not question.order_by
    return "" if plain else "a step is asked of a number"


def _is_step(value: str) -> bool:
    return value.isascii() and value.replace(".", "", 1).isdigit() and Decimal(value) < 10**15


def _why_ranges_overlap(partition: PartitionSpec) -> str:
    end = 0
    for cell in partition.cells[:-1]:
        least = cell.least or 0
        if least < end or (cell.below is not None and cell.below <= least):
            return f"cell {cell.name} overlaps the one before, or is empty"
        end = 10**15 if cell.below is None else cell.below
    return ""
