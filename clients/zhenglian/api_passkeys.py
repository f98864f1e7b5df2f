"""The HTTP API's words about passkeys, about logging in with an identity provider, and about portals.

Rule: as in `zhenglian.api`. What a browser gives or takes is as the browser's own JSON has it (W3C Web Authentication, 5.1.8 and
5.1.9): base64url without padding, further members allowed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from zhenglian.api import Hex, Hex16, Hex32, Request, Response

CREDENTIALS_MAX: Final = 64
LABEL_LENGTH_MAX: Final = 64

# Whole groups of four characters, and at the end two or three: one alone is no byte.
_BASE64URL: Final = "^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$"
Base64Url = Annotated[str, Meta(pattern=_BASE64URL, max_length=4096, description="base64url without padding")]
LongBase64Url = Annotated[
    str, Meta(pattern=_BASE64URL, max_length=16_384, description="base64url without padding")
]
Label = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LABEL_LENGTH_MAX,
        description="what the device is called, never a person's name",
    ),
]
PublicText = Annotated[str, Meta(max_length=256)]


class PasskeyOptionsRequest(Request, frozen=True):
    """For a new passkey: `account` where it is for an account that is there, `exclude` the ids of its credentials so far."""

    label: Label
    account: Hex16 | None = None
    exclude: Annotated[list[Base64Url], Meta(max_length=CREDENTIALS_MAX)] = []  # noqa: RUF012 - msgspec copies it


class PasskeyOptions(Response, frozen=True):
    """`options` is what `PublicKeyCredential.parseCreationOptionsFromJSON` or `…RequestOptionsFromJSON` takes.

    `challenge` is set where the answer has to bring it back.
    """

    options: dict[str, Any]
    expires: datetime
    challenge: Hex = ""


class AttestationJson(Struct, frozen=True, kw_only=True, rename="camel"):
    """`response` of a new credential."""

    client_data_json: Base64Url = field(name="clientDataJSON")
    attestation_object: LongBase64Url


class CredentialJson(Struct, frozen=True, kw_only=True, rename="camel"):
    """What `PublicKeyCredential.toJSON()` of a new credential gives."""

    id: Base64Url
    raw_id: Base64Url
    type: Literal["public-key"]
    response: AttestationJson


class PasskeyRegistrationRequest(Request, frozen=True):
    label: Label
    credential: CredentialJson


class PasskeyKeyView(Response, frozen=True):
    """A key as `people.enroll` and `people.add_key` take it, and the credential's id, which the page keeps for later."""

    scheme: str
    public_key: Hex
    key_id: Hex16
    role: str
    label: str
    credential_id: Base64Url
    counter: int
    backed_up: bool


class PasskeySessionRequest(Request, frozen=True):
    """`challenge` is that of POST /v1/passkeys/challenges, `assertion` the packed assertion over its hash."""

    account: Hex16
    challenge: Hex
    assertion: Hex


class PortalView(Response, frozen=True):
    """A web application that operators have approved; a browser extension or a reader of the page may compare its hash."""

    name: str
    bundle_hash: Hex32
    former_hash: Hex
    approved: datetime


class PortalsView(Response, frozen=True):
    """Where passkeys are used, and which bundles may be served."""

    rp_id: str
    origins: list[str]
    portals: list[PortalView]


class ProviderView(Response, frozen=True):
    """An identity provider that this node accepts."""

    name: str
    label_zh: str
    label_en: str
    issuer: str


Intent = Literal["identify", "link", "sign_in"]


class LoginStartRequest(Request, frozen=True):
    """What the login is for.

    `identify`: a statement for the registrar who enrols the person, bound to `key_id`, the new key. `link`: with a session by key
    or passkey, the identity may sign in to this account here from now on. `sign_in`: a session to read with.
    """

    intent: Intent
    key_id: Hex16 | None = None


class LoginStart(Response, frozen=True):
    """Send the person to `url`; keep `handle` in the page, and bring it back with what the provider answers."""

    url: str
    state: str
    handle: str
    expires: datetime


class LoginFinishRequest(Request, frozen=True):
    """The parameters with which the provider sent the person back."""

    state: Annotated[str, Meta(min_length=1, max_length=256)]
    handle: Annotated[str, Meta(min_length=1, max_length=256)]
    code: Annotated[str, Meta(min_length=1, max_length=2048)]
    iss: Annotated[str, Meta(max_length=512)] = ""


class StatementView(Response, frozen=True):
    """What this node states about a login: `data` is canonical bytes (`node.services.login_statements`), `digest` their hash."""

    data: Hex
    signature: Hex
    digest: Hex32
    node: Hex16
    issuer: str
    subject: str
    key_id: Hex16
    signed_in: datetime
    expires: datetime


class LoginFinish(Response, frozen=True):
    """The member that belongs to the intent; `linked` is the account."""

    intent: Intent
    statement: StatementView | None = None
    linked: Hex16 | None = None
    token: str | None = None
    expires: datetime | None = None
    account: Hex16 | None = None
