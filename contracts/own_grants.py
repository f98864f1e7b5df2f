"""Reading one's own data: a grant to oneself.

Rule: nobody reads anything but by a release that the ledger records, the holder no less than anybody else. So the holder opens a
grant to himself, for a short time and for certificates that he holds, and everything after it is as with any other: request,
shares of the key holders, files, acknowledgement. It needs no purpose's template and no consent but the signature under it. A
certificate that is suspended or has ended is still its holder's; one that is erased opens for nobody.

After a recovery an account opens nothing, so that whoever took it over finds nothing in it (`people.check_unrestricted`).
"""

from __future__ import annotations

from typing import Final

from contracts.denials import Denied
from contracts.erasures import check_kept
from contracts.grant_calls import GrantsOpenOwn
from contracts.grant_records import (
    OWN_PURPOSE,
    CertificateStateRequired,
    ConsentMode,
    FetchType,
    Grant,
    GrantItem,
    GrantState,
)
from contracts.grant_states import save
from contracts.methods import HOLDER, CallContext, method
from contracts.people import check_unrestricted
from contracts.schedule import schedule
from contracts.state import CERTIFICATES, GRANTS, DeadlineKind
from ledger import codec, domains

OWN_BASIS: Final = "own_right"
OWN_LIFE_MS: Final = 60 * 60 * 1000
OWN_ITEMS_SIZE_BYTES_MAX: Final = 96 * 1024
SCHEMA_VERSION: Final = 1
_ALWAYS: Final = CertificateStateRequired(stopped_by=(), within_dates=False)


@method(
    GrantsOpenOwn,
    callers=HOLDER,
    cost=60,
    concerns=lambda _state, args: args.certificates,
    extra_cost=lambda args: 8 * len(args.certificates),
)
def open_own(context: CallContext, args: GrantsOpenOwn) -> bytes:
    """Open certificates of one's own to oneself."""
    account_id = context.account.account_id
    check_unrestricted(context, account_id)
    items = tuple(_item(context, certificate_id) for certificate_id in dict.fromkeys(args.certificates))
    _check_size(items)
    grant = Grant(
        grant_id=context.new_id(GRANTS, domains.GRANT_ID, 16),
        schema_version=SCHEMA_VERSION,
        pii_principal_id=account_id,
        grantee=account_id,
        requested_by=context.key.key_id,
        purpose=OWN_PURPOSE,
        lawful_basis=OWN_BASIS,
        legal_ref="",
        privacy_notice_hash=bytes(32),
        language="zh",
        items=items,
        requested_items=items,
        consent_mode=ConsentMode.VIEW,
        fetch_type=FetchType.ONCE if args.uses_max == 1 else FetchType.PERIODIC,
        uses_max=args.uses_max,
        uses_left=args.uses_max,
        requested_ms=context.time_ms,
        consent_start_ms=context.time_ms,
        consent_expiry_ms=context.time_ms + OWN_LIFE_MS,
        data_life_ms=0,
        jurisdiction="cn",
        revocable=True,
        state=GrantState.ACTIVE,
        state_since_ms=context.time_ms,
        renews=b"",
    )
    schedule(context.state, grant.consent_expiry_ms, DeadlineKind.GRANT, grant.grant_id)
    save(context, "grants.own_opened", grant)
    return grant.grant_id


def _check_size(items: tuple[GrantItem, ...]) -> None:
    """The grant has its items twice, as asked for and as open, and has to fit into one record."""
    size_bytes = len(codec.encode(items))
    if size_bytes > OWN_ITEMS_SIZE_BYTES_MAX:
        raise Denied("own_too_much", maximum=OWN_ITEMS_SIZE_BYTES_MAX, actual=size_bytes)


def _item(context: CallContext, certificate_id: bytes) -> GrantItem:
    certificate = context.record(CERTIFICATES, certificate_id)
    if certificate is None:
        raise Denied("unknown_certificate", certificate=certificate_id.hex())
    if certificate.holder != context.account.account_id:
        raise Denied(
            "certificate_not_held", certificate=certificate_id.hex(), type=certificate.certificate_type
        )
    check_kept(certificate)
    return GrantItem(
        certificate_type=certificate.certificate_type,
        certificate=certificate_id,
        fields=certificate.fields,
        attachments=certificate.attachments,
        certificate_state_required=_ALWAYS,
    )


METHODS: Final = (open_own,)
