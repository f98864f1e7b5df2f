"""The rules that operators vote about access without consent and about acting for others, and the identity of templates.

Rule: default deny. Before the first vote nobody approves an access, nobody opens in an emergency, and no certificate shows that
somebody may act for another.
"""

from __future__ import annotations

from contracts.denials import Denied
from contracts.grant_actions import SetGrantRules
from contracts.grant_records import GrantRules, PurposeTemplate
from contracts.methods import CallContext
from contracts.records import AccountKind
from contracts.state import ACCOUNTS, CERTIFICATE_TYPES, GRANT_RULES, StateReader
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite

TEMPLATE_ID_SIZE_BYTES = 16
_APPROVERS = (AccountKind.DEPARTMENT, AccountKind.AUDITOR)


def template_id(suite: CryptoSuite, template: PurposeTemplate) -> bytes:
    """What a grant calls the very template that bounded it: another cap gives another id."""
    return suite.hash(domains.PURPOSE_TEMPLATE, codec.encode(template))[:TEMPLATE_ID_SIZE_BYTES]


def rules(state: StateReader) -> GrantRules:
    """The rules in force; empty ones before the first vote."""
    return GRANT_RULES.get(state, None) or GrantRules()


def set_rules(context: CallContext, action: SetGrantRules) -> None:
    """Replace the rules.

    Raises:
        Denied: duplicate_name, not_an_organization, unknown_certificate_type.
    """
    new = action.rules
    _check_accounts(context.state, new.approvers, _APPROVERS)
    _check_accounts(context.state, new.emergency, (AccountKind.DEPARTMENT,))
    for codes in (new.guardian_types, new.legal_representative_types):
        _check_once(codes)
        for code in codes:
            if CERTIFICATE_TYPES.get(context.state, code) is None:
                raise Denied("unknown_certificate_type", type=code)
    GRANT_RULES.put(context.state, None, new)
    context.emit(
        "grant_rules.set",
        b"",
        (*new.approvers, *new.emergency),
        approvers=len(new.approvers),
        emergency=len(new.emergency),
    )


def _check_accounts(state: StateReader, accounts: tuple[bytes, ...], kinds: tuple[AccountKind, ...]) -> None:
    _check_once(tuple(account.hex() for account in accounts))
    for account_id in accounts:
        account = ACCOUNTS.get(state, account_id)
        if account is None or account.kind not in kinds:
            raise Denied("not_an_organization", account=account_id.hex())


def _check_once(names: tuple[str, ...]) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise Denied("duplicate_name", name=name)
