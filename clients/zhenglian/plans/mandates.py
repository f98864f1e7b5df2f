"""Plans about acting for others (代办、监护、法定代表): appoint, accept, end, and the clerk's help at a window."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.grant_calls import (
    RepresentationAccept,
    RepresentationAppoint,
    RepresentationAssist,
    RepresentationEnd,
)
from contracts.grant_records import RepresentationBasis
from zhenglian.api import TransactionView
from zhenglian.api_grants import MandateView
from zhenglian.exchange import Core, Plan, get
from zhenglian.plans import transactions
from zhenglian.plans.chain import pages


def appoint(
    core: Core,
    *,
    principal: str,
    representative: str,
    until_ms: int,
    basis: RepresentationBasis = RepresentationBasis.MANDATE,
    credential: str = "",
    parent: str = "",
    purposes: Sequence[str] = (),
    depth_max: int = 0,
) -> Plan[str]:
    """Let somebody decide on a holder's grants. Returns the mandate id (hex); it counts once it is accepted.

    Args:
        principal, representative: accounts, hex.
        until_ms: Unix time at which it ends.
        basis: `mandate` by the holder, or by a representative who names his own `parent` mandate; `guardian` and
            `legal_representative` by the department that issued `credential`.
        purposes: for which purposes; none for all.
        depth_max: how many sub-mandates there may be below.

    Raises:
        Denied: the account may not appoint so; on record.
    """
    args = RepresentationAppoint(
        principal=bytes.fromhex(principal),
        representative=bytes.fromhex(representative),
        basis=basis,
        credential=bytes.fromhex(credential),
        parent=bytes.fromhex(parent),
        purposes=tuple(purposes),
        depth_max=depth_max,
        until_ms=until_ms,
    )
    return transactions.output((yield from transactions.settled(core, args))).hex()


def accept_mandate(core: Core, mandate_id: str) -> Plan[TransactionView]:
    """Take a mandate on, as the representative."""
    return (yield from transactions.settled(core, RepresentationAccept(mandate_id=bytes.fromhex(mandate_id))))


def end_mandate(core: Core, mandate_id: str) -> Plan[TransactionView]:
    """End a mandate and all below it; the same again when repeated."""
    return (yield from transactions.settled(core, RepresentationEnd(mandate_id=bytes.fromhex(mandate_id))))


def assist(core: Core, *, person: str, grant_id: str, place: str) -> Plan[str]:
    """Put on record, as a clerk, that this person is helped with this request here.

    Returns its id (hex), of use for half an hour.
    """
    args = RepresentationAssist(
        principal=bytes.fromhex(person), grant_id=bytes.fromhex(grant_id), place=place
    )
    return transactions.output((yield from transactions.settled(core, args))).hex()


def mandate(core: Core, mandate_id: str) -> Plan[MandateView]:
    """One mandate, for its parties, operators and auditors."""
    return (yield from get(core, f"/v1/mandates/{mandate_id}", MandateView, session=True))


def mandates(core: Core) -> Plan[list[MandateView]]:
    """The caller's mandates, on whichever side."""
    return (yield from pages(core, "/v1/mandates", list[MandateView], session=True))
