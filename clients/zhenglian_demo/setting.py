"""The setting of the story: organisations by vote, the catalogue, two hundred citizens, certificates of all sixty types."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from contracts.records import AccountKind
from zhenglian.catalogue import CertificateTypeSpec, Holder, load_catalogue
from zhenglian.plans.certificates import Attachment
from zhenglian_demo.cast import Cast, Citizen, Organization, all_of, loan_purpose, type_proposals
from zhenglian_demo.certificates import CertificateContent, make_certificate, suits
from zhenglian_demo.people import OrganizationForm, Person, make_organization, make_people
from zhenglian_demo.steps import Steps, expect

PEOPLE: Final = 200
SEED: Final = 20260701
BANKS: Final = ("黄河口银行", "东营农商银行", "胜利村镇银行")
AUDITOR: Final = "市大数据局审计处"
HOLDING_COMPANIES: Final = 2


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate on the ledger, and what the demonstration knows is in it."""

    certificate_id: str
    spec: CertificateTypeSpec
    content: CertificateContent


@dataclass
class Setting:
    """What the story is told with."""

    cast: Cast
    specs: dict[str, CertificateTypeSpec]
    departments: dict[str, Organization] = field(default_factory=dict)
    banks: list[Organization] = field(default_factory=list)
    companies: list[Organization] = field(default_factory=list)
    auditor: Organization | None = None
    held: dict[str, dict[str, Issued]] = field(default_factory=dict)

    def certificate(self, citizen: Citizen, code: str) -> Issued:
        return self.held[citizen.account][code]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One certificate to be made: its type, its holder's account, and the person that it is about."""

    spec: CertificateTypeSpec
    holder: str
    person: Person


async def set_the_scene(steps: Steps, cast: Cast) -> Setting:
    """Carry out everything that comes before the story proper."""
    setting = Setting(cast=cast, specs={spec.code: spec for spec in load_catalogue()})
    people = make_people(SEED, PEOPLE)
    await _register_catalogue(steps, setting)
    await _found_organizations(steps, setting, people)
    await _enroll(steps, setting, people)
    await _issue_all(steps, setting)
    return setting


async def _found_organizations(steps: Steps, setting: Setting, people: Sequence[Person]) -> None:
    with steps.step(
        "运营方投票接纳部门、银行、企业与审计方",
        "Operators admit departments, banks, companies and an auditor by vote",
    ):
        cast = setting.cast
        issuers: dict[str, list[str]] = {}
        for spec in setting.specs.values():
            for issuer in spec.issuers_zh:
                issuers.setdefault(issuer, []).append(spec.code)
        with steps.progress("organisations", len(issuers) + len(BANKS) + HOLDING_COMPANIES + 1) as bar:
            for number, (name, codes) in enumerate(issuers.items()):
                form = OrganizationForm(suffix="局", category="11")
                code = make_organization(people[number], form).code
                setting.departments[name] = await cast.found(name, AccountKind.DEPARTMENT, code, codes)
                bar.advance(bar.task_ids[0])
            for number, name in enumerate(BANKS):
                code = make_organization(people[50 + number], OrganizationForm()).code
                setting.banks.append(await cast.found(name, AccountKind.ENTERPRISE, code))
                bar.advance(bar.task_ids[0])
            for number in range(HOLDING_COMPANIES):
                company = make_organization(people[60 + number], OrganizationForm())
                setting.companies.append(await cast.found(company.name, AccountKind.ENTERPRISE, company.code))
                bar.advance(bar.task_ids[0])
            code = make_organization(people[70], OrganizationForm(suffix="局", category="11")).code
            setting.auditor = await cast.found(AUDITOR, AccountKind.AUDITOR, code)
            bar.advance(bar.task_ids[0])
        registered = await cast.operators[0].client.organizations()
        names = {account.name for account in registered}
        expect(set(cast.organizations) <= names, "every organisation is on the ledger")
        steps.tell(f"{len(cast.organizations)} organisations, each admitted by 3 of 4 operators")


async def _register_catalogue(steps: Steps, setting: Setting) -> None:
    with steps.step(
        "登记 60 种证照类型与用途上限", "Register the 60 certificate types, and what a purpose may ask for"
    ):
        for proposal in type_proposals(list(setting.specs.values())):
            await setting.cast.decide(proposal)
        await setting.cast.decide(loan_purpose(setting.specs))
        types = await setting.cast.operators[0].client.certificate_types()
        expect(len(types) == 60, f"60 types on the ledger, found {len(types)}")
        expect([kind.number for kind in types] == list(range(1, 61)), "types 1 to 60, each once")


async def _enroll(steps: Steps, setting: Setting, people: Sequence[Person]) -> None:
    with steps.step(
        f"公安窗口为 {PEOPLE} 位市民开户（随机账号，身份证号不上链）",
        f"Police counters open accounts for {PEOPLE} citizens (random ids; identity numbers stay off chain)",
    ):
        police = setting.departments["公安部门"]
        clerk, registrar = police.officer, await setting.cast.appoint(police)
        with steps.progress("citizens", len(people)) as bar:
            await all_of(
                list(enumerate(people)),
                lambda numbered: setting.cast.enroll(clerk, registrar, numbered[1], numbered[0]),
                done=lambda: bar.advance(bar.task_ids[0]),
            )
        by_number = {citizen.person.identity_number: citizen for citizen in setting.cast.citizens}
        setting.cast.citizens = [by_number[person.identity_number] for person in people]
        found = await clerk.client.find_person(people[0].identity_number)
        expect(found == setting.cast.citizens[0].account, "the number finds the account")


async def _issue_all(steps: Steps, setting: Setting) -> None:
    with steps.step(
        "各部门签发全部 60 种证照，附真实的 PDF 与图片",
        "Departments issue certificates of all 60 types, with PDF and image attachments",
    ):
        plans = _plans(setting)
        today = datetime.now(UTC).date()
        with steps.progress("certificates", len(plans)) as bar:
            await all_of(
                list(enumerate(plans)),
                lambda numbered: _issue(setting, numbered[1], numbered[0], today),
                done=lambda: bar.advance(bar.task_ids[0]),
            )
        codes = {code for held in setting.held.values() for code in held}
        expect(len(codes) == 60, f"certificates of 60 types, issued {len(codes)}")
        files = sum(
            len(issued.content.attachments) for held in setting.held.values() for issued in held.values()
        )
        steps.tell(
            f"{len(plans)} certificates, {files} attachments, all encrypted off chain with their hashes on chain"
        )


def _plans(setting: Setting) -> list[_Plan]:
    """An identity card for everybody, insurance and education for the first twenty, every other type once."""
    citizens = setting.cast.citizens
    today = datetime.now(UTC).date()
    identity = setting.specs["resident_identity_card"]
    common = [setting.specs["social_security_card"], setting.specs["education_certificate"]]
    plans = [
        _Plan(identity, citizen.account, citizen.person)
        for citizen in citizens
        if suits(identity, citizen.person, today)
    ]
    fitting = [citizen for citizen in citizens if all(suits(spec, citizen.person, today) for spec in common)]
    plans += [_Plan(spec, citizen.account, citizen.person) for spec in common for citizen in fitting[:20]]
    for turn, spec in enumerate(setting.specs.values()):
        if spec is identity or spec in common:
            continue
        fitting = [citizen for citizen in citizens if suits(spec, citizen.person, today)]
        citizen = fitting[turn % len(fitting)]
        company = setting.companies[turn % len(setting.companies)]
        holder = citizen.account if spec.holder is Holder.PERSON else company.account
        plans.append(_Plan(spec, holder, citizen.person))
    return plans


async def _issue(setting: Setting, plan: _Plan, number: int, today: date) -> None:
    content = make_certificate(plan.spec, plan.person, random.Random(SEED + number), today)
    issuer = setting.departments[plan.spec.issuers_zh[0]].officer
    issued = await issuer.client.issue_certificate(
        certificate_type=plan.spec.code,
        holder=plan.holder,
        fields=content.fields,
        attachments=[
            Attachment(name=name, media_type=media_type, content=data)
            for name, media_type, data in content.attachments
        ],
        valid_from_ms=_midnight_ms(content.issued_on),
        valid_until_ms=_midnight_ms(content.expires_on) if content.expires_on is not None else 0,
    )
    held = setting.held.setdefault(plan.holder, {})
    held[plan.spec.code] = Issued(issued.certificate_id, plan.spec, content)


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
