"""Plans of a service window or kiosk: what a person without a phone consents to, and putting it on the ledger.

Rule: what the face service signs over is computed from the very arguments that the clerk sends; so the screen that the person sees
is filled from them too, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contracts.face_assertions import bound_hash
from contracts.grant_calls import GrantsApprove
from contracts.records import GrantItem
from contracts.window_calls import GrantsApproveAtWindow
from zhenglian import exchange
from zhenglian.api import TransactionView
from zhenglian.exchange import Core, Plan
from zhenglian.plans import grants, transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowConsent:
    """What is shown to the person and consented to.

    Attributes:
        consent: the arguments of the approval.
        audience, subject, purpose, bound: claims `aud`, `sub`, `purpose` and `txh` of the face assertion.
    """

    consent: GrantsApprove
    audience: str
    subject: str
    purpose: str
    bound: str


def window_consent(
    core: Core,
    grant_id: str,
    *,
    items: Sequence[GrantItem] | None = None,
    uses_max: int | None = None,
    consent_expiry_ms: int | None = None,
) -> Plan[WindowConsent]:
    """What a person at a window would consent to; what is not given here is taken as requested.

    Args:
        grant_id: hex.
        items: the requested items in the same order, each with all or fewer fields.
        uses_max: at most the requested number of uses.
        consent_expiry_ms: at most the requested end.
    """
    view = yield from grants.grant(core, grant_id)
    network = yield from exchange.network(core)
    suite = yield from exchange.suite(core)
    given = grants.given_items(view.requested_items) if items is None else tuple(items)
    end_ms = _ms(view.consent_expiry) if consent_expiry_ms is None else consent_expiry_ms
    consent = GrantsApprove(
        grant_id=bytes.fromhex(grant_id),
        items=given,
        uses_max=view.uses_max if uses_max is None else uses_max,
        consent_expiry_ms=end_ms,
        separately=grants.separate_parts(view, given),
    )
    return WindowConsent(
        consent=consent,
        audience=network.chain_id,
        subject=view.pii_principal_id,
        purpose=view.purpose,
        bound=bound_hash(suite, consent).hex(),
    )


def _ms(time: datetime) -> int:
    return (time - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def approve_at_window(
    core: Core, consent: GrantsApprove, *, place: str, face: bytes
) -> Plan[TransactionView]:
    """Put a person's consent on the ledger, as the clerk of the window.

    Args:
        consent: what the person saw.
        place: code of the window.
        face: assertion of a registered service over it, compact JWS.

    Raises:
        Denied: the assertion does not hold, or is for something else; on record.
    """
    return (
        yield from transactions.settled(core, GrantsApproveAtWindow(consent=consent, place=place, face=face))
    )
