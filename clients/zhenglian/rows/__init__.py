"""From a row of somebody's table to the values of a certificate, with everything that is wrong or was changed told.

Rule: the same on the client and on the node. A value is normalised only by a named rule, and every use of a rule is told; nothing
is guessed, rounded or left out in silence. What is told names row, column and field, and never a value, so that a report can be
passed on.
"""

from zhenglian.rows.checking import CheckedRow, RowRules, check_row
from zhenglian.rows.columns import ColumnsInvalid, Matching, match_columns
from zhenglian.rows.problems import Note, Problem

__all__ = [
    "CheckedRow",
    "ColumnsInvalid",
    "Matching",
    "Note",
    "Problem",
    "RowRules",
    "check_row",
    "match_columns",
]
