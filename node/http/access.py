"""Who may use a route, and who may see an object.

Rule: default deny. A route states its `Access` or the program does not start; a kind of account or a role
that is not listed is refused before the handler runs; the functions below answer for single objects, from the
finalized state only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.grant_records import RepresentationBasis, shown_from_ms
from contracts.records import (
    Account,
    AccountKind,
    Certificate,
    Grant,
    GrantState,
    KeyRole,
    PurposeTemplate,
    Release,
    Trace,
)
from ledger.errors import LedgerError, NotFound, invariant
from node.http.errors import SessionRequired, SessionTooWeak, WrongRole
from node.http.routing import Route
from node.services.ports import Caller, SignIn

OVERSEERS: Final = frozenset({AccountKind.OPERATOR, AccountKind.AUDITOR})


@dataclass(frozen=True, slots=True)
class Access:
    """Kinds of account and roles of key that may use a route; `public` needs no session at all."""

    kinds: frozenset[AccountKind]
    roles: frozenset[KeyRole]
    public: bool = False

    def allows(self, caller: Caller) -> bool:
        return self.public or (caller.kind in self.kinds and caller.role in self.roles)


PUBLIC: Final = Access(frozenset(AccountKind), frozenset(KeyRole), public=True)
# An agent key signs for others, at the node that keeps it; it has no session of its own.
ROLES: Final = frozenset(KeyRole) - {KeyRole.AGENT}
SESSION: Final = Access(frozenset(AccountKind), ROLES)
DEPARTMENT_OFFICER: Final = Access(frozenset({AccountKind.DEPARTMENT}), frozenset({KeyRole.OFFICER}))
GRANTEE_OFFICER: Final = Access(
    frozenset({AccountKind.DEPARTMENT, AccountKind.ENTERPRISE}), frozenset({KeyRole.OFFICER})
)
ISSUER_ADMIN: Final = Access(
    frozenset({AccountKind.DEPARTMENT, AccountKind.ENTERPRISE}), frozenset({KeyRole.ADMIN})
)
# A person fetches what it has opened to itself.
RECIPIENT: Final = Access(
    frozenset({AccountKind.DEPARTMENT, AccountKind.ENTERPRISE, AccountKind.PERSON}),
    frozenset({KeyRole.OFFICER, KeyRole.HOLDER}),
)
AUDITOR_OFFICER: Final = Access(frozenset({AccountKind.AUDITOR}), frozenset({KeyRole.OFFICER}))
OVERSEER: Final = Access(OVERSEERS, ROLES)
ORGANIZATION: Final = Access(OVERSEERS | {AccountKind.DEPARTMENT, AccountKind.ENTERPRISE}, ROLES)


class RouteTableInvalid(LedgerError):
    """The route table breaks one of its own rules. Fields: route, reason."""

    code = "route_table_invalid"
    zh = "路由表有误（{route}）：{reason}"
    en = "Invalid route table at {route}: {reason}"


def check_table(routes: Sequence[Route]) -> None:
    """Refuse a table in which a route has no access rule, or comes twice.

    Raises:
        RouteTableInvalid: naming the route.
    """
    seen: set[tuple[str, str]] = set()
    for route in routes:
        name = f"{route.method} {route.path}"
        if not isinstance(route.access, Access):
            raise RouteTableInvalid(route=name, reason="it has no access rule")
        if not route.access.public and not (route.access.kinds and route.access.roles):
            raise RouteTableInvalid(route=name, reason="nobody may use it")
        if (route.method, route.path) in seen:
            raise RouteTableInvalid(route=name, reason="it is there twice")
        seen.add((route.method, route.path))


def require(access: Access, caller: Caller | None, *, reads: bool = False) -> None:
    """Let pass or refuse.

    Args:
        access: the route's.
        caller: who asks.
        reads: whether the route only reads, or ends the session.

    Raises:
        SessionRequired: the route is not public and there is no session.
        WrongRole: the session's account or key may not.
        SessionTooWeak: the session is for reading.
    """
    invariant(isinstance(access, Access), "a route without an access rule is served")
    if access.public:
        return
    if caller is None:
        raise SessionRequired
    if not access.allows(caller):
        raise WrongRole(kind=caller.kind.value, role=caller.role.value)
    if caller.by is SignIn.OIDC and not reads:
        raise SessionTooWeak


def oversees(caller: Caller | None) -> bool:
    """Whether the caller is an operator or an auditor, who see everything that is on the ledger."""
    return caller is not None and caller.kind in OVERSEERS


def may_see_account(caller: Caller | None, account: Account) -> bool:
    """Organisations and operators are public; a person's account is for itself, overseers and departments."""
    if account.kind is not AccountKind.PERSON:
        return True
    return caller is not None and (
        oversees(caller) or caller.account == account.account_id or caller.kind is AccountKind.DEPARTMENT
    )


def opens(grant: Grant, certificate: Certificate, grantee: bytes) -> bool:
    """Whether `grant` is active and gives `grantee` something of `certificate`."""
    return (
        grant.state is GrantState.ACTIVE
        and grant.grantee == grantee
        and grant.pii_principal_id == certificate.holder
        and any(
            item.certificate_type == certificate.certificate_type
            and item.certificate in {b"", certificate.certificate_id}
            and bool(item.fields or item.attachments)
            for item in grant.items
        )
    )


def may_see_certificate(caller: Caller, certificate: Certificate, grants: Iterable[Grant]) -> bool:
    """Holder, issuer, overseers, and who has an active grant on it among `grants`."""
    return (
        oversees(caller)
        or caller.account in {certificate.holder, certificate.issuer}
        or any(opens(grant, certificate, caller.account) for grant in grants)
    )


def hidden(caller: Caller, grant: Grant, now_ms: int, approvers: Collection[bytes] = ()) -> bool:
    """Whether a grant, and all that came of it, is not to be known to the caller yet.

    An access without consent may be kept from the person for a time. Until then only the grantee, who approves or may approve
    such accesses, and overseers know of it; everybody else is told the same as if it were not there.

    Args:
        caller: who asks.
        grant: the grant.
        now_ms: block time of the finalized head.
        approvers: organisations that may approve accesses.
    """
    if now_ms >= shown_from_ms(grant) or oversees(caller) or caller.account == grant.grantee:
        return False
    approved = () if grant.access is None else grant.access.approvers
    return caller.account == grant.pii_principal_id or caller.account not in {*approved, *approvers}


def may_see_grant(caller: Caller, grant: Grant, now_ms: int, approvers: Collection[bytes] = ()) -> bool:
    """Its two parties, once it is shown; who may approve an access without consent; overseers."""
    if hidden(caller, grant, now_ms, approvers):
        return False
    parties = {grant.pii_principal_id, grant.grantee}
    if grant.access is not None:
        parties.update(grant.access.approvers, approvers)
    return oversees(caller) or caller.account in parties


def may_help_with(caller: Caller, grant: Grant, template: PurposeTemplate | None) -> bool:
    """A clerk at a window, to whom the person comes with a request that may be consented to with help: not after it is decided."""
    return (
        caller.kind is AccountKind.DEPARTMENT
        and caller.role is KeyRole.OFFICER
        and grant.state is GrantState.REQUESTED
        and grant.access is None
        and template is not None
        and RepresentationBasis.ASSISTED in template.representation
    )


def may_see_release(
    caller: Caller, release: Release, grant: Grant | None, now_ms: int, approvers: Collection[bytes] = ()
) -> bool:
    """The parties of its grant, once that is shown, and overseers."""
    if grant is not None and hidden(caller, grant, now_ms, approvers):
        return False
    return oversees(caller) or caller.account in {release.pii_principal_id, release.grantee}


def may_see_trace(caller: Caller, trace: Trace) -> bool:
    """Operators, the auditor who asked and the one who approved; any auditor while it waits for an approver."""
    if caller.kind is AccountKind.OPERATOR or caller.account in {trace.auditor, trace.approved_by}:
        return True
    return caller.kind is AccountKind.AUDITOR and not trace.approved_ms


def check(allowed: bool, what: str, name: bytes) -> None:  # reads as an assertion
    """Raise NotFound unless `allowed`: to a stranger, what is there and what is not are the same."""
    if not allowed:
        raise NotFound(what=what, id=name.hex())
