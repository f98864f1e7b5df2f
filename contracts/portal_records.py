"""What the state holds about the ways in which people come: portals, and who may vouch for a face.

Rule: as in `records.py`. What is here is public and decided by vote.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.vocabulary import Code
from ledger.types import AccountId, Hash, Nonce, TimeMs, Wire

PORTALS_MAX: Final = 32
IDENTITY_SERVICES_MAX: Final = 32
FACE_USES_MAX: Final = 1024


class Portal(Wire):
    """A web application that operators have looked at.

    Attributes:
        name: which one, e.g. "citizen".
        bundle_hash: SHA-256 of the bundle that may be served, as `sha256sum` gives it.
        former_hash: of the one before, empty at first; nodes are not changed over in one moment.
        approved_ms: block time of the vote.
    """

    name: Code
    bundle_hash: Hash
    former_hash: Annotated[bytes, Meta(max_length=32)]
    approved_ms: TimeMs


class Portals(Wire):
    """All portals, in the order in which they came."""

    portals: Annotated[tuple[Portal, ...], Meta(max_length=PORTALS_MAX)]


class IdentityServices(Wire):
    """The organisations whose officer keys may sign face assertions (`face_assertions.py`)."""

    services: Annotated[tuple[AccountId, ...], Meta(max_length=IDENTITY_SERVICES_MAX)]


class FaceUse(Wire):
    """A face assertion that was used: its nonce, and when it ends."""

    nonce: Nonce
    expires_ms: TimeMs


class FaceUses(Wire):
    """The used assertions of one service that have not ended."""

    uses: Annotated[tuple[FaceUse, ...], Meta(max_length=FACE_USES_MAX)]
