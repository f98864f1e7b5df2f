"""Who takes part: operators, departments, banks, an auditor, citizens; each with keys and a client of its own.

Rule: everybody acts through the SDK with its own key, as real users would; nothing here reaches into a node.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from contracts.calls import Action, RegisterCertificateTypes, RegisterOrganization, RegisterPurposes
from contracts.people_actions import SetRegistrar
from contracts.people_records import AssertionMethod, AssertionUse
from contracts.records import AccountKind, KeyRole, PurposeTemplate, TemplateItem
from ledger.crypto.suite import CryptoSuite
from zhenglian.catalogue import CertificateTypeSpec
from zhenglian.client import AsyncClient
from zhenglian.keyfile import KeyFile
from zhenglian.type_records import certificate_type_of
from zhenglian_demo.people import Person

AT_ONCE: Final = 8
TYPES_PER_PROPOSAL: Final = 10
DAY_MS: Final = 86_400_000

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Actor:
    """Somebody with a key: an officer, an admin, a citizen."""

    key: KeyFile
    client: AsyncClient

    @property
    def account(self) -> str:
        return self.key.account


@dataclass
class Organization:
    """An organisation with its admin and one officer."""

    name: str
    kind: AccountKind
    admin: Actor
    officer: Actor

    @property
    def account(self) -> str:
        return self.admin.account


@dataclass
class Citizen:
    """A person with a device."""

    person: Person
    actor: Actor

    @property
    def account(self) -> str:
        return self.actor.account


@dataclass
class Cast:
    """Everybody, and how to open and close their connections."""

    suite: CryptoSuite
    urls: tuple[str, ...]
    operators: list[Actor] = field(default_factory=list)
    organizations: dict[str, Organization] = field(default_factory=dict)
    citizens: list[Citizen] = field(default_factory=list)
    _clients: list[AsyncClient] = field(default_factory=list)

    def actor(self, key: KeyFile, *, first: int = 0) -> Actor:
        """An actor whose client asks node number `first` first."""
        turn = first % len(self.urls)
        client = AsyncClient((*self.urls[turn:], *self.urls[:turn]), key, language="zh")
        self._clients.append(client)
        return Actor(key=key, client=client)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def decide(self, action: Action) -> None:
        """Propose as the first operator and approve as the next two: three of four."""
        proposal = await self.operators[0].client.propose(action)
        for operator in self.operators[1:3]:
            await operator.client.approve_proposal(proposal)

    async def found(
        self, name: str, kind: AccountKind, code: str, issues: Sequence[str] = ()
    ) -> Organization:
        """Register an organisation by vote, then let its admin add an officer's key."""
        turn = len(self.organizations)
        admin = self.actor(KeyFile.generate(self.suite, role=KeyRole.ADMIN, label="admin-1"), first=turn)
        account = bytes.fromhex(admin.account)
        await self.decide(
            RegisterOrganization(
                account_id=account,
                kind=kind,
                name=name,
                credit_code=code,
                issues=tuple(issues),
                admin=admin.key.new_key(),
            )
        )
        officer_key = KeyFile.generate(
            self.suite, account=account, role=KeyRole.OFFICER, label=f"{turn + 1:03}-0{turn % 7 + 1}"
        )
        await admin.client.add_organization_key(officer_key.new_key())
        organization = Organization(
            name=name, kind=kind, admin=admin, officer=self.actor(officer_key, first=turn)
        )
        self.organizations[name] = organization
        return organization

    async def appoint(self, organization: Organization) -> Actor:
        """Have an organisation's word about people's identity count, by vote, and give it a second officer."""
        await self.decide(
            SetRegistrar(
                account_id=bytes.fromhex(organization.account),
                methods=(AssertionMethod.CLERK,),
                uses=(AssertionUse.ENROLL, AssertionUse.RECOVER, AssertionUse.RETAG),
            )
        )
        account = bytes.fromhex(organization.account)
        key = KeyFile.generate(self.suite, account=account, role=KeyRole.OFFICER, label="registrar-1")
        await organization.admin.client.add_organization_key(key.new_key())
        return self.actor(key, first=1)

    async def enroll(self, clerk: Actor, registrar: Actor, person: Person, turn: int) -> Citizen:
        """A clerk says who holds the key that a citizen's own device has made, and a second officer opens the account."""
        key = KeyFile.generate(self.suite, role=KeyRole.HOLDER, label="phone")
        number = person.identity_number
        request, _kept_by_the_citizen = await clerk.client.identity_request(number, key.new_key())
        evidence = self.suite.digest(b"seen at counter 3 with identity card" + os.urandom(16))
        assertion = await clerk.client.assert_identity(number, request, evidence=evidence)
        await registrar.client.enroll(key.new_key(), assertion)
        citizen = Citizen(person=person, actor=self.actor(key, first=turn))
        self.citizens.append(citizen)
        return citizen


def type_proposals(specs: Sequence[CertificateTypeSpec]) -> list[RegisterCertificateTypes]:
    """The catalogue in proposals small enough for a transaction."""
    types = [certificate_type_of(spec) for spec in specs]
    return [
        RegisterCertificateTypes(types=tuple(types[start : start + TYPES_PER_PROPOSAL]))
        for start in range(0, len(types), TYPES_PER_PROPOSAL)
    ]


def loan_purpose(specs: dict[str, CertificateTypeSpec]) -> RegisterPurposes:
    """What a lender may ask for, at most: identity, education, and social insurance without the account number."""
    identity, insurance = specs["resident_identity_card"], specs["social_security_card"]
    education = specs["education_certificate"]
    kept_back = {"bank_account"}
    return RegisterPurposes(
        purposes=(
            PurposeTemplate(
                code="loan.application",
                name_zh="贷款申请",
                name_en="Loan application",
                items=(
                    TemplateItem(
                        certificate_type=identity.code,
                        fields=tuple(field.name for field in identity.fields),
                        attachments=tuple(attachment.name for attachment in identity.attachments),
                    ),
                    TemplateItem(
                        certificate_type=insurance.code,
                        fields=tuple(field.name for field in insurance.fields if field.name not in kept_back),
                        attachments=tuple(attachment.name for attachment in insurance.attachments),
                    ),
                    TemplateItem(
                        certificate_type=education.code,
                        fields=tuple(field.name for field in education.fields),
                        attachments=tuple(attachment.name for attachment in education.attachments),
                    ),
                ),
                uses_max=12,
                period_ms_max=366 * DAY_MS,
                data_life_ms_max=31 * DAY_MS,
            ),
        )
    )


async def all_of(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, done: Callable[[], None]
) -> list[R]:
    """Carry out `work` on every item, AT_ONCE at a time, telling `done` after each."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with gate:
            result = await work(item)
        done()
        return result

    return list(await asyncio.gather(*(one(item) for item in items)))
