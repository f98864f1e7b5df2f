"""The tables of grants, of their bodies and of acting for others, besides `state.GRANTS`.

Rule: as in `state.py`.

| prefix | key | value |
|---|---|---|
| `deletions/` | release id | `grant_records.Deletion` |
| `deletion_duties/` | grant id | `grant_records.DeletionDuty` |
| `deletions_late/` | grantee, purpose | how many of its grants for that purpose are late with a deletion statement |
| `emergencies/` | grantee, holder | id of the grant with which the present stretch of emergencies began |
| `mandates/` | id | `representation_records.Mandate` |
| `assistances/` | id | `representation_records.Assistance` |
| `bodies/` | id | `body_records.Body` |
| `body_openings/` | id | `body_records.BodyOpening` |
"""

from __future__ import annotations

from typing import Final

from contracts.body_records import Body, BodyOpening
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
EMERGENCIES: Final = Table[tuple[bytes, bytes], bytes]("emergencies/", bytes, lambda key: key[0] + key[1])
MANDATES: Final = Table[bytes, Mandate]("mandates/", Mandate, _raw)
ASSISTANCES: Final = Table[bytes, Assistance]("assistances/", Assistance, _raw)
BODIES: Final = Table[bytes, Body]("bodies/", Body, _raw)
BODY_OPENINGS: Final = Table[bytes, BodyOpening]("body_openings/", BodyOpening, _raw)
