"""The HTTP API's words about asking for grants in the wire form of RFC 9396, and about acting for others.

Rule: as in `zhenglian.api`. The wire form says what a `grants.request` says, no more: what it becomes is shown, signed by who asks,
and judged by the contract.

Source: RFC 9396, section 2: `authorization_details` with `type`, `actions`, `datatypes` and `privileges`; other members are this
type's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, field

from zhenglian.api import Hex, Hex16, Hex32, Request, Response

GRANT_TYPE: Final = "urn:zhenglian:grant:2"
DETAILS_MAX: Final = 16

Word = Annotated[str, Meta(min_length=1, max_length=64)]
Line = Annotated[str, Meta(max_length=256)]
Names = Annotated[list[Word], Meta(max_length=64)]
Attachments = Annotated[list[Word], Meta(max_length=16)]
DataTypes = Annotated[list[Word], Meta(max_length=32)]
States = Annotated[list[Word], Meta(max_length=16)]
Duration = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class PurposeWire(Request, frozen=True):
    """`ref_uri`, where given, must be that of the purpose's template."""

    code: Word
    ref_uri: Line = ""


class FrequencyWire(Request, frozen=True):
    unit: Literal["minute", "hour", "day", "week", "month", "year"]
    value: Annotated[int, Meta(ge=1, le=60)]


class StateRequiredWire(Request, frozen=True):
    stopped_by: States
    within_dates: bool = True


class ItemWire(Request, frozen=True):
    """Fields and attachments of one certificate, or of any of its type."""

    certificate_type: Word
    certificate: Hex16 | None = None
    fields: Names = field(default_factory=list)
    attachments: Attachments = field(default_factory=list)
    certificate_state_required: StateRequiredWire | None = None


class QuestionWire(Request, frozen=True):
    certificate_type: Word
    name: Word
    parameter: Annotated[str, Meta(max_length=64)] = ""


Asked = Annotated[list[QuestionWire], Meta(max_length=32)]


class AuthorizationDetail(Request, frozen=True):
    """A request for a grant (RFC 9396).

    `actions` has the one consent mode; `datatypes`, where given, must be the types of the items; `identifier` is the holder.
    Durations are in milliseconds.
    """

    type: Literal["urn:zhenglian:grant:2"]
    identifier: Hex16
    actions: Annotated[list[Literal["view", "store", "query", "stream"]], Meta(min_length=1, max_length=1)]
    purpose: PurposeWire
    items: Annotated[list[ItemWire], Meta(min_length=1, max_length=32)]
    consent_expiry: datetime
    uses_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    datatypes: DataTypes = field(default_factory=list)
    questions: Asked = field(default_factory=list)
    lawful_basis: Word = "consent"
    legal_ref: Line = ""
    privacy_notice_hash: Hex32 | None = None
    language: Word = "zh-cn"
    fetch_type: Literal["once", "periodic"] | None = None
    frequency: FrequencyWire | None = None
    data_life_ms: Duration = 0
    retention_period_ms: Duration = 0
    jurisdiction: Word = "cn"
    revocable: bool = True
    renews: Hex16 | None = None
    body_commitment: Hex32 | None = None


class GrantPreviewRequest(Request, frozen=True):
    authorization_details: Annotated[list[AuthorizationDetail], Meta(min_length=1, max_length=DETAILS_MAX)]


class CallView(Response, frozen=True):
    """What to sign: the call of a transaction. `args` are its canonical bytes, `meaning` the same spelled out."""

    contract: str
    method: str
    args: Hex
    meaning: dict[str, Any]


class PreviewView(Response, frozen=True):
    """One request.

    `separately` are the parts that the holder has to agree to each by itself; `over` is the cap that would be passed, as the
    refusal would say it, and empty where nothing stands against it on the answering node's finalized head.
    """

    call: CallView
    template_id: Hex16
    separately: list[str]
    code: str
    over_zh: str
    over_en: str


class GrantPreview(Response, frozen=True):
    """The calls to sign, one for each of the details, in their order."""

    previews: list[PreviewView]


class MandateView(Response, frozen=True):
    """That one account may decide on another's grants; `state` is as of the answering node's finalized head."""

    mandate_id: Hex16
    principal: Hex16
    principal_name: str
    representative: Hex16
    representative_name: str
    basis: str
    appointed_by: Hex16
    appointed_by_name: str
    credential: Hex16 | None
    purposes: list[str]
    parent: Hex16 | None
    depth: int
    depth_max: int
    appointed: datetime
    until: datetime
    state: str
    state_since: datetime


class DeletionView(Response, frozen=True):
    """What a recipient has to delete of one release, and its statement."""

    release_id: str
    grant_id: Hex16
    due: datetime
    state_by: datetime
    late: bool
    stated: datetime | None
    statement: Hex32 | None
    key_id: Hex16 | None
