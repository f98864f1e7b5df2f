"""A small city on real node processes: its offices, banks and citizens, for every test that needs people.

Rule: everything is done through the SDK, as its users would.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from contracts.calls import RegisterCertificateTypes, RegisterOrganization, RegisterPurposes
from contracts.people_actions import SetRegistrar
from contracts.people_records import AssertionMethod, AssertionUse
from contracts.records import (
    AccountKind,
    GrantItem,
    KeyRole,
    Output,
    OutputFormat,
    PurposeTemplate,
    TemplateItem,
)
from ledger.errors import Category
from node.devnet import Devnet
from tests.keeping import lend_passphrase
from tests.suites import suite_under_test
from zhenglian import ApiError, Attachment, Client, KeyFile
from zhenglian.api import TraceView
from zhenglian.catalogue import CertificateTypeSpec, MarksSpec, load_catalogue
from zhenglian.type_records import certificate_type_of as on_chain_type
from zhenglian_demo.certificates import make_certificate
from zhenglian_demo.people import make_people

READY_S = 180.0
SETTLE_S = 180.0
# For one command of the program; only a machine that is very busy comes near it.
COMMAND_S = 180.0
DAY_MS = 86_400_000
SUITE = suite_under_test()
# Before any network is made; the keys of every one of them are locked with it.
lend_passphrase()


def until(so: Callable[[], bool], what: str, timeout_s: float = SETTLE_S) -> None:
    """Ask until it is so; the polling is of another process, which tells nobody when it is done."""
    deadline = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def height(devnet: Devnet, n: int) -> int:
    status = devnet.status(n)
    return -1 if status is None else status.height


def same_blocks(devnet: Devnet) -> int:
    """Wait until all nodes are at one height, and check that every block up to it is the same; the height."""
    until(lambda: len({height(devnet, n) for n in devnet.numbers}) == 1, "all nodes at one height")
    top = height(devnet, 1)
    digests = []
    for url in devnet.urls:
        with Client(url) as client:
            digests.append([client.block(at).digest for at in range(1, top + 1)])
    assert all(digest == digests[0] for digest in digests)
    return top


def operator(devnet: Devnet, n: int) -> Client:
    """Operator `n`, asking its own node first and the others when it is away."""
    first = n - 1
    return Client(devnet.urls[first:] + devnet.urls[:first], devnet.admin(n))


def decide(
    devnet: Devnet,
    action: RegisterOrganization | RegisterCertificateTypes | RegisterPurposes | SetRegistrar,
) -> None:
    """Three of four operators want it."""
    with operator(devnet, 1) as first:
        proposal = first.propose(action)
        first.core.key = devnet.admin(2)
        first.approve_proposal(proposal)
        first.core.key = devnet.admin(3)
        first.approve_proposal(proposal)


@dataclass
class Organization:
    name: str
    admin: KeyFile
    officer: KeyFile
    client: Client


def found(devnet: Devnet, name: str, kind: AccountKind, issues: tuple[str, ...] = ()) -> Organization:
    """Register an organisation and give it an officer."""
    admin = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
    account = bytes.fromhex(admin.account)
    decide(
        devnet,
        RegisterOrganization(
            account_id=account, kind=kind, name=name, credit_code="", issues=issues, admin=admin.new_key()
        ),
    )
    officer = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label="007")
    with Client(devnet.urls, admin) as client:
        client.add_organization_key(officer.new_key())
    return Organization(name, admin, officer, Client(devnet.urls, officer))


def registrar(devnet: Devnet, organization: Organization) -> Client:
    """A second officer of an organisation whose word on identity counts by vote."""
    account = bytes.fromhex(organization.admin.account)
    decide(devnet, SetRegistrar(account_id=account, methods=tuple(AssertionMethod), uses=tuple(AssertionUse)))
    second = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label="008")
    with Client(devnet.urls, organization.admin) as client:
        client.add_organization_key(second.new_key())
    return Client(devnet.urls, second)


def enroll(clerk: Client, second: Client, identity_number: str, key: KeyFile) -> str:
    """A clerk says whose key it is, another officer opens the account; its id."""
    request, _ = clerk.identity_request(identity_number, key.new_key())
    return second.enroll(key.new_key(), clerk.assert_identity(identity_number, request))


def citizen(city: City, identity_number: str) -> Client:
    """Somebody with an account and a phone."""
    key = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="phone")
    assert enroll(city.police.client, city.registrar, identity_number, key) == key.account
    return Client(city.devnet.urls, key)


@dataclass
class City:
    """A small city on a running network."""

    devnet: Devnet
    specs: dict[str, CertificateTypeSpec]
    police: Organization
    registrar: Client
    banks: tuple[Organization, ...]
    auditor: Organization

    def trace(self, leak: bytes, certificate: str) -> TraceView:
        """What the auditor finds; an operator that does not perform the trace approves it."""
        asked = self.auditor.client.request_trace(leak, [certificate])
        assert asked.approved is None
        numbers = {self.devnet.admin(n).account: n for n in self.devnet.numbers}
        approver = next(n for account, n in numbers.items() if account != asked.performed_by)
        with operator(self.devnet, approver) as other:
            other.approve_trace(asked.trace_id)
        return self.auditor.client.wait_for_trace(asked.trace_id)


@contextmanager
def found_city(devnet: Devnet) -> Iterator[City]:
    """Types, a purpose and organisations on a running network."""
    specs = {spec.code: _showing_who(spec) for spec in load_catalogue()}
    used = [specs[code] for code in ("resident_identity_card", "social_security_card")]
    decide(devnet, RegisterCertificateTypes(types=tuple(on_chain_type(spec) for spec in used)))
    template = PurposeTemplate(
        code="loan",
        name_zh="贷款",
        name_en="Loan",
        items=tuple(
            TemplateItem(
                certificate_type=spec.code,
                fields=tuple(field.name for field in spec.fields),
                attachments=tuple(attachment.name for attachment in spec.attachments),
            )
            for spec in used
        ),
        uses_max=10,
        period_ms_max=100 * DAY_MS,
        data_life_ms_max=10 * DAY_MS,
    )
    decide(devnet, RegisterPurposes(purposes=(template,)))
    issues = tuple(spec.code for spec in used)
    police = found(devnet, "公安局", AccountKind.DEPARTMENT, issues)
    made = City(
        devnet=devnet,
        specs=specs,
        police=police,
        registrar=registrar(devnet, police),
        banks=tuple(found(devnet, f"银行{n}", AccountKind.ENTERPRISE) for n in (1, 2, 3)),
        auditor=found(devnet, "审计局", AccountKind.AUDITOR),
    )
    yield made
    for organization in (made.police, *made.banks, made.auditor):
        organization.client.close()
    made.registrar.close()


IDENTITY, INSURANCE = "resident_identity_card", "social_security_card"
NUMBERS = iter(make_people(7, 40))


class Holder:
    """A citizen with both certificates on the ledger."""

    def __init__(self, city: City) -> None:
        self.person = next(NUMBERS)
        self.client = citizen(city, self.person.identity_number)
        assert self.client.core.key is not None
        self.account = self.client.core.key.account
        self.contents = {
            code: make_certificate(city.specs[code], self.person, random.Random(1))
            for code in (IDENTITY, INSURANCE)
        }
        self.certificates = {
            code: city.police.client.issue_certificate(
                certificate_type=code,
                holder=self.account,
                fields=content.fields,
                attachments=[
                    Attachment(name=name, media_type=media_type, content=data)
                    for name, media_type, data in content.attachments
                ],
            ).certificate_id
            for code, content in self.contents.items()
        }

    def output(self, code: str, kind: OutputFormat, *fields: str, attachment: str = "") -> Output:
        certificate = bytes.fromhex(self.certificates[code])
        return Output(certificate=certificate, format=kind, fields=fields, attachment=attachment)

    def files(self, code: str) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.contents[code].attachments)

    def pictures(self) -> list[tuple[str, OutputFormat, str]]:
        """(type, format, attachment) of the identity card's PNG and JPEG."""
        formats = {"image/png": OutputFormat.PNG, "image/jpeg": OutputFormat.JPEG}
        return [
            (IDENTITY, formats[media_type], name)
            for name, media_type, _ in self.contents[IDENTITY].attachments
            if media_type in formats
        ]

    def asked(self) -> tuple[GrantItem, ...]:
        """Names, payments and the documents of both certificates."""
        return (
            GrantItem(
                certificate_type=IDENTITY,
                certificate=b"",
                fields=("name", "sex"),
                attachments=self.files(IDENTITY),
            ),
            GrantItem(
                certificate_type=INSURANCE,
                certificate=b"",
                fields=("payments",),
                attachments=self.files(INSURANCE),
            ),
        )

    def granted(self, bank: Client, *, uses_max: int = 3, body_commitment: bytes = b"") -> str:
        """A grant for name, payments and the identity card's document."""
        grant_id = bank.request_grant(
            person=self.account,
            purpose="loan",
            items=self.asked(),
            uses_max=uses_max,
            consent_expiry_ms=time.time_ns() // 1_000_000 + DAY_MS,
            body_commitment=body_commitment,
        )
        seen(self.client, grant_id)
        self.client.approve_grant(grant_id)
        return grant_id

    def everything(self) -> list[Output]:
        return [
            self.output(IDENTITY, OutputFormat.JSON, "name", "sex"),
            self.output(INSURANCE, OutputFormat.CSV, "payments"),
            self.output(IDENTITY, OutputFormat.PDF, attachment="document"),
        ]


def _showing_who(spec: CertificateTypeSpec) -> CertificateTypeSpec:
    """A type whose copies show who got them."""
    return msgspec.structs.replace(spec, marks=MarksSpec(visible=True))


def seen(client: Client, grant_id: str, state: str = "") -> None:
    """Wait until the client's own node knows the grant, in a state."""

    def there() -> bool:
        try:
            return client.grant(grant_id).state.startswith(state)
        except ApiError as error:
            if error.category is not Category.MISSING:
                raise
            return False

    until(there, "the grant is known everywhere")
