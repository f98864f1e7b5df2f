"""What operators can decide about access without consent, and about what shows who may act for whom.

Rule: a structure, no behaviour; `governance.py` asks for the vote and keeps it.
"""

from __future__ import annotations

from contracts.grant_records import GrantRules
from ledger.types import Wire


class SetGrantRules(Wire, tag="set_grant_rules"):
    """Replace the rules as a whole."""

    rules: GrantRules
