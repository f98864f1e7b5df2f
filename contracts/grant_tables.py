"""The tables of grants and of acting for others, besides `state.GRANTS`.

Rule: as in `state.py`.

| prefix | key | value |
|---|---|---|
| `deletions/` | release id | `grant_records.Deletion` |
| `deletion_duties/` | grant id | `grant_records.DeletionDuty` |
| `deletions_late/` | grantee, purpose | how many of its grants for that purpose are late with a deletion statement |
| `mandates/` | id | `representation_records.Mandate` |
| `assistances/` | id | `representation_records.Assistance` |
"""

from __future__ import annotations

from typing import Final

from contracts.grant_records import Deletion, DeletionDuty
from contracts.representation_records import Assistance, Mandate
from contracts.state import Table


def _raw(key: bytes) -> bytes:
    return key


DELETIONS: Final = Table[bytes, Deletion]("deletions/", Deletion, _raw)
DELETION_DUTIES: Final = Table[bytes, DeletionDuty]("deletion_duties/", DeletionDuty, _raw)
DELETIONS_LATE: Final = Table[tuple[bytes, str], int](
    "deletions_late/", int, lambda key: key[0] + key[1].encode()
)
MANDATES: Final = Table[bytes, Mandate]("mandates/", Mandate, _raw)
ASSISTANCES: Final = Table[bytes, Assistance]("assistances/", Assistance, _raw)
