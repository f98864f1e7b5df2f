"""Real node processes for the end-to-end tests, and the people who use them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.calls import NewKey, RegisterCertificateTypes, RegisterOrganization, RegisterPurposes
from contracts.records import AccountKind, KeyRole, PurposeTemplate, TemplateItem
from node.devnet import Devnet
from tests.keeping import lend_passphrase
from tests.suites import suite_under_test
from zhenglian import Client, KeyFile
from zhenglian.catalogue import CertificateTypeSpec, load_catalogue
from zhenglian_demo.cast import on_chain_type

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


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.create(tmp_path_factory.mktemp("e2e") / "devnet", suite=SUITE.name) as network:
        network.start_all()
        network.wait_ready(READY_S)
        yield network


def operator(devnet: Devnet, n: int) -> Client:
    """Operator `n`, asking its own node first and the others when it is away."""
    first = n - 1
    return Client(devnet.urls[first:] + devnet.urls[:first], devnet.admin(n))


def decide(
    devnet: Devnet, action: RegisterOrganization | RegisterCertificateTypes | RegisterPurposes
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


def citizen(devnet: Devnet, clerk: Client, identity_number: str) -> Client:
    """Somebody with an account and a phone."""
    key = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="phone")
    new: NewKey = key.new_key()
    clerk.enroll_person(identity_number, new, assertion=bytes(32), account=bytes.fromhex(key.account))
    return Client(devnet.urls, key)


@dataclass
class City:
    """A small city on a running network."""

    devnet: Devnet
    specs: dict[str, CertificateTypeSpec]
    police: Organization
    banks: tuple[Organization, ...]
    auditor: Organization


@pytest.fixture(scope="module")
def city(devnet: Devnet) -> Iterator[City]:
    specs = {spec.code: spec for spec in load_catalogue()}
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
    made = City(
        devnet=devnet,
        specs=specs,
        police=found(devnet, "公安局", AccountKind.DEPARTMENT, issues),
        banks=tuple(found(devnet, f"银行{n}", AccountKind.ENTERPRISE) for n in (1, 2, 3)),
        auditor=found(devnet, "审计局", AccountKind.AUDITOR),
    )
    yield made
    for organization in (made.police, *made.banks, made.auditor):
        organization.client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
