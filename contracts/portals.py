"""The ways in which people come: where passkeys are used, which web applications may be served, who may vouch for a face.

Rule: each is decided by the operators' vote (`governance.py`). The relying-party id never changes once it is there, since every
passkey of the network hangs on it; the list of origins does.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.methods import ORGANIZATIONS, CallContext
from contracts.passkeys import why_not_settings
from contracts.portal_actions import ApprovePortal, SetIdentityServices, SetWebAuthn
from contracts.portal_records import PORTALS_MAX, IdentityServices, Portal, Portals
from contracts.state import ACCOUNTS, IDENTITY_SERVICES, NETWORK, PORTALS, StateReader, network
from ledger.types import WebAuthn


def webauthn(state: StateReader) -> WebAuthn:
    """The network's settings for passkeys."""
    return network(state).webauthn


def portals(state: StateReader) -> tuple[Portal, ...]:
    """The web applications that were approved, in the order in which they came."""
    held = PORTALS.get(state, None)
    return () if held is None else held.portals


def identity_services(state: StateReader) -> tuple[bytes, ...]:
    """Accounts that may sign face assertions."""
    held = IDENTITY_SERVICES.get(state, None)
    return () if held is None else held.services


def set_webauthn(context: CallContext, action: SetWebAuthn) -> None:
    """Change where passkeys are used."""
    wanted = action.webauthn
    present = network(context.state)
    what = "rp_id" if wanted == WebAuthn() else why_not_settings(wanted)
    if what is not None:
        raise Denied("webauthn_invalid", what=what)
    if present.webauthn.rp_id not in {"", wanted.rp_id}:
        raise Denied("rp_id_fixed", rp_id=present.webauthn.rp_id)
    NETWORK.put(context.state, None, replace(present, webauthn=wanted))
    context.emit(
        "network.webauthn_set", context.block.chain_id, (), rp_id=wanted.rp_id, origins=len(wanted.origins)
    )


def approve_portal(context: CallContext, action: ApprovePortal) -> None:
    """Let a bundle be served."""
    held = portals(context.state)
    before = next((portal for portal in held if portal.name == action.name), None)
    if before is not None and before.bundle_hash == action.bundle_hash:
        raise Denied("portal_unchanged", name=action.name)
    if before is None and len(held) >= PORTALS_MAX:
        raise Denied("too_many_portals", maximum=PORTALS_MAX)
    portal = Portal(
        name=action.name,
        bundle_hash=action.bundle_hash,
        former_hash=b"" if before is None else before.bundle_hash,
        approved_ms=context.time_ms,
    )
    changed = (*held, portal) if before is None else tuple(portal if one is before else one for one in held)
    PORTALS.put(context.state, None, Portals(portals=changed))
    context.emit("network.portal_approved", action.bundle_hash, (), name=action.name)


def set_identity_services(context: CallContext, action: SetIdentityServices) -> None:
    """Say who may vouch for a face."""
    for index, service in enumerate(action.services):
        if service in action.services[:index]:
            raise Denied("duplicate_name", name=service.hex())
        account = ACCOUNTS.get(context.state, service)
        if account is None or account.kind not in ORGANIZATIONS:
            raise Denied("not_an_organization", account=service.hex())
    IDENTITY_SERVICES.put(context.state, None, IdentityServices(services=action.services))
    context.emit(
        "network.identity_services_set", context.block.chain_id, action.services, count=len(action.services)
    )
