"""What the state knows of bodies of grants, without behaviour.

Rule: the ledger never has a word of them. It has the commitment, which the grant holds, the hash of what is sealed, who opened it,
and who destroyed it when.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from contracts.erasure_records import DESTRUCTIONS_PER_ERASURE_MAX, Destruction
from ledger.types import AccountId, Hash, Id16, KeyId, TimeMs, Wire


class BodyKind(StrEnum):
    """Which of a grant's commitments: `body_commitment`, or `case_commitment` of an access without consent."""

    BODY = "body"
    CASE = "case"


class Body(Wire):
    """A body that is kept sealed (`node/vault/bodies.py`).

    Attributes:
        body_id: derived from grant and kind; what its ciphertext is bound to.
        payload_hash: of the sealed record's manifest.
        kept_by, kept_ms: the officer's key that had it kept, and when.
        erased_ms: since when it is erased and opens for nobody; 0 while it is kept.
        erased_by: account that erased it; empty while it is kept.
        destructions: who destroyed its ciphertext, in the order in which nodes stated it.
    """

    body_id: Id16
    grant_id: Id16
    kind: BodyKind
    payload_hash: Hash
    kept_by: KeyId
    kept_ms: TimeMs
    erased_ms: TimeMs = 0
    erased_by: Annotated[bytes, Meta(max_length=16)] = b""
    destructions: Annotated[tuple[Destruction, ...], Meta(max_length=DESTRUCTIONS_PER_ERASURE_MAX)] = ()


class BodyOpening(Wire):
    """Somebody has a body opened, through one node and until a time."""

    opening_id: Id16
    body_id: Id16
    account: AccountId
    key_id: KeyId
    performed_by: AccountId
    requested_ms: TimeMs
    until_ms: TimeMs
