"""The HTTP API's words about other networks, and about what is recognised of them (跨省互认).

Rule: as in `zhenglian.api`. Whether a recognition holds is said as of the answering node's finalized head.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from zhenglian.api import FieldValue, Hex16, Hex32, Request, Response, ValidatorView

DISCLOSED_FIELDS_MAX: Final = 64
DISCLOSED_ATTACHMENTS_MAX: Final = 16
DISCLOSURE_FORMAT: Final = "zhenglian-disclosure-1"

PartName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
MediaType = Annotated[str, Meta(min_length=1, max_length=64)]
Place = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class RegionView(Response, frozen=True):
    """Another network as it is held here.

    `epoch` and `validators` are those of the latest epoch that was shown. Durations are in milliseconds: a proof is at
    most `proof_age_ms_max` old when it is brought, a recognition holds for `recognition_life_ms` after its proof's block
    time.
    """

    chain_id: Hex32
    network: str
    suite: str
    state: Literal["trusted", "distrusted", "forked"]
    state_since: datetime
    term: int
    epoch: int
    validators: list[ValidatorView]
    types: list[str]
    proof_age_ms_max: int
    recognition_life_ms: int
    voted: datetime
    followed: datetime | None
    forked_epoch: int | None


class RecognitionView(Response, frozen=True):
    """A certificate of another region that is recognised here.

    `holds` is whether it does at the head; where not, `reason` is a state of the certificate, `not_yet`, `ended`,
    `absent`, `proof_needed` (a later proof makes it hold again), `type_not_recognized`, `region_distrusted` or
    `region_forked`. `commitment_root` is under the suite `suite`.
    """

    recognition_id: Hex16
    region: Hex32
    region_network: str
    suite: str
    certificate_id: Hex16
    certificate_type: str
    type_version: int
    issuer: Hex16
    issuer_name: str
    commitment_root: Hex32
    fields: list[str]
    attachments: list[str]
    valid_from: datetime
    valid_until: datetime | None
    home_states: list[str]
    state: Literal["active", "suspended", "revoked", "absent"]
    state_since: datetime
    home_epoch: int
    home_height: int
    home_time: datetime
    proof_needed_from: datetime
    recognized_by: Hex16
    recognized_by_name: str
    officer: Hex16
    recognized: datetime
    lawful_basis: str
    consent_hash: Hex32
    refreshed_by: Hex16
    refreshed: datetime
    holds: bool
    reason: str


class DisclosedProof(Request, frozen=True):
    """Place of a leaf under the commitment root: index, number of leaves, hashes beside the way up."""

    index: Place
    size: Place
    siblings: Annotated[list[Hex32], Meta(max_length=64)]


class DisclosedField(Request, frozen=True):
    """A field's value, with what proves it."""

    name: PartName
    value: FieldValue
    salt: Hex16
    proof: DisclosedProof


class DisclosedAttachment(Request, frozen=True):
    """An attachment by the hash of its content, with what proves it."""

    name: PartName
    media_type: MediaType
    content_hash: Hex32
    salt: Hex16
    proof: DisclosedProof


class Disclosure(Request, frozen=True):
    """What somebody shows of a certificate: as a file, and as the body of a check. It holds personal data."""

    format: Literal["zhenglian-disclosure-1"]
    chain_id: Hex32
    certificate_id: Hex16
    fields: Annotated[list[DisclosedField], Meta(max_length=DISCLOSED_FIELDS_MAX)]
    attachments: Annotated[list[DisclosedAttachment], Meta(max_length=DISCLOSED_ATTACHMENTS_MAX)]


class DisclosureCheckView(Response, frozen=True):
    """What a disclosure is worth now.

    `accepted` exactly when the recognition holds and every part that is shown, at least one, is what was committed to.
    """

    recognition_id: Hex16
    certificate_id: Hex16
    accepted: bool
    holds: bool
    reason: str
    proven: list[str]
    disproven: list[str]
