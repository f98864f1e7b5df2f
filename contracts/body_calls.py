"""What a transaction can ask for about bodies of grants: see `calls.py`, whose `CALLS` names these.

Rule: who asked for the data has its reasons kept, whom they concern reads them on record, and nodes state what they destroyed.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.body_records import BodyKind
from contracts.vocabulary import OptionalId16
from ledger.types import AccountId, Hash, Id16

BODIES_PER_STATEMENT_MAX: Final = 32


class BodiesKeep(Args):
    """Grantee's officer, once for each commitment of a grant. Output: body id.

    `payload_hash` is what a node said when it sealed the body.
    """

    grant_id: Id16
    kind: BodyKind
    payload_hash: Hash


class BodiesOpen(Args):
    """Grantee's officer; the person once he is shown the grant, or who represents him (`mandate`). Output: opening id.

    Of an access without consent also its approvers, those who may approve it while it waits, and an auditor. It is read through
    `performed_by`.
    """

    body_id: Id16
    performed_by: AccountId
    mandate: OptionalId16 = b""


class BodiesErase(Args):
    """Grantee's officer once the grant is over; the person once its retention is over too. Final."""

    body_id: Id16


class BodiesStateDestruction(Args):
    """Any node of the network, node key: this node holds no ciphertext of these erased bodies any more.

    What it has stated before is passed over.
    """

    bodies: Annotated[tuple[Id16, ...], Meta(min_length=1, max_length=BODIES_PER_STATEMENT_MAX)]


BODY_CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("bodies", "keep"): BodiesKeep,
    ("bodies", "open"): BodiesOpen,
    ("bodies", "erase"): BodiesErase,
    ("bodies", "state_destruction"): BodiesStateDestruction,
}
