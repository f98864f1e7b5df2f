"""What operators can decide about the ways in which people come.

Rule: a structure, no behaviour; `portals.py` carries it out.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from contracts.portal_records import IDENTITY_SERVICES_MAX
from contracts.vocabulary import Code
from ledger.types import AccountId, Hash, WebAuthn, Wire


class SetWebAuthn(Wire, tag="set_webauthn"):
    """Passkeys are used on these origins from now on. A relying-party id that is set stays."""

    webauthn: WebAuthn


class ApprovePortal(Wire, tag="approve_portal"):
    """This bundle of a web application may be served."""

    name: Code
    bundle_hash: Hash


class SetIdentityServices(Wire, tag="set_identity_services"):
    """These organisations and no others may sign face assertions."""

    services: Annotated[tuple[AccountId, ...], Meta(max_length=IDENTITY_SERVICES_MAX)]


PortalAction = SetWebAuthn | ApprovePortal | SetIdentityServices
