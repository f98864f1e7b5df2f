"""Grants of an enterprise to another, as people would make them over the HTTP API.

Rule: nothing but the client and keys; no shortcut through the code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from contracts.calls import (
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterOrganization,
    RegisterPurposes,
)
from contracts.records import AccountKind, CertificateType, GrantItem, KeyRole, PurposeTemplate, TemplateItem
from tests.e2e.harness.cluster import SUITE, Cluster
from zhenglian import Client, KeyFile
from zhenglian.plans.grants import given_items

LICENCE: Final = "test_licence"
PURPOSE: Final = "test_lending"
DAY_MS: Final = 86_400_000
USES: Final = 3


@dataclass(frozen=True, slots=True)
class Holder:
    """Who gave them.

    Attributes:
        key: of its admin.
        grants: their ids, all active.
    """

    key: KeyFile
    grants: tuple[str, ...]

    def shown(self, url: str) -> dict[str, tuple[str, int]]:
        """State and uses left of each grant, as a node shows them."""
        with Client(url, self.key) as client:
            views = [client.grant(grant_id) for grant_id in self.grants]
        return {view.grant_id: (view.state, view.uses_left) for view in views}

    def revoke(self, url: str, grant_id: str) -> None:
        with Client(url, self.key) as client:
            client.revoke_grant(grant_id)


def give(cluster: Cluster, voters: tuple[int, ...], number: int) -> Holder:
    """Register a type, a purpose and two enterprises by the votes of these operators; have one give the other grants."""
    urls = [cluster.wires.url(node) for node in voters]
    admins = [cluster.admin(node) for node in voters]
    holder = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
    bank = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
    officer = KeyFile.generate(
        SUITE, account=bytes.fromhex(bank.account), role=KeyRole.OFFICER, label="officer"
    )
    kind = CertificateType(
        code=LICENCE,
        version=1,
        number=901,
        name_zh="测试执照",
        name_en="Test licence",
        issuers_zh=("测试",),
        level_zh="市级",
        holder=AccountKind.ENTERPRISE,
        fields=("title",),
        attachments=(),
        schema=b"{}",
    )
    purpose = PurposeTemplate(
        code=PURPOSE,
        name_zh="测试",
        name_en="Test",
        items=(TemplateItem(certificate_type=LICENCE, fields=("title",), attachments=()),),
        uses_max=USES,
        period_ms_max=30 * DAY_MS,
        data_life_ms_max=DAY_MS,
    )
    actions = (
        RegisterCertificateTypes(types=(kind,)),
        RegisterPurposes(purposes=(purpose,)),
        *(
            RegisterOrganization(
                account_id=bytes.fromhex(key.account),
                kind=AccountKind.ENTERPRISE,
                name=name,
                credit_code="",
                issues=(),
                admin=key.new_key(),
            )
            for key, name in ((holder, "企业"), (bank, "银行"))
        ),
    )
    with Client(urls, admins[0]) as client:
        for action in actions:
            client.core.key = admins[0]
            proposal = client.propose(action)
            for admin in admins[1:]:
                client.core.key = admin
                client.approve_proposal(proposal)
    with Client(urls, bank) as client:
        client.submit(OrganizationsAddKey(key=officer.new_key()))
    item = GrantItem(certificate_type=LICENCE, certificate=b"", fields=("title",), attachments=())
    end_ms = time.time_ns() // 1_000_000 + 7 * DAY_MS
    with Client(urls, officer) as asking, Client(urls, holder) as giving:
        ids = [
            asking.request_grant(
                person=holder.account, purpose=PURPOSE, items=(item,), uses_max=USES, consent_expiry_ms=end_ms
            )
            for _ in range(number)
        ]
        for grant_id in ids:
            giving.approve_grant(grant_id, items=given_items(giving.grant(grant_id).requested_items))
    return Holder(key=holder, grants=tuple(ids))
