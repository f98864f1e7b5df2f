"""A small network with the shipped catalogue's types, people with certificates, and organisations that ask about them."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from contracts.calls import (
    CertificatesIssue,
    GrantsRequest,
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterPurposes,
    ReleasesRequest,
)
from contracts.classes import consent_separate
from contracts.grant_records import CertificateStateRequired
from contracts.question_records import Question, QuestionKind
from contracts.records import (
    AccountKind,
    ConsentMode,
    GrantItem,
    KeyRole,
    Output,
    OutputFormat,
    PurposeTemplate,
    TemplateItem,
)
from contracts.versions import Reading
from ledger.types import Result
from tests.unit.contracts_world import (
    BANK,
    DAY_MS,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    NODES,
    SHOP,
    START_MS,
    WANG,
    Actor,
    World,
    actor,
    identity,
    issuance,
    new_key,
    person,
    registration,
)
from zhenglian.catalogue import load_catalogue
from zhenglian.type_records import certificate_type_of

CARD: Final = "resident_identity_card"
LICENCE: Final = "driving_licence"
INSURANCE: Final = "social_security_card"
CAPITAL: Final = "business_licence"
SPECS: Final = {spec.code: spec for spec in load_catalogue()}
TYPES: Final = tuple(certificate_type_of(SPECS[code]) for code in (CARD, LICENCE, INSURANCE, CAPITAL))

BUREAU_ADMIN: Final = actor("bureau", "admin")
BUREAU: Final = actor("bureau", "officer")
ANY: Final = CertificateStateRequired(stopped_by=(), within_dates=False)
ASKING: Final = PurposeTemplate(
    code="asking",
    name_zh="核验",
    name_en="Checking",
    items=tuple(
        TemplateItem(
            certificate_type=kind.code,
            fields=kind.fields,
            attachments=(),
            certificate_state_required=ANY,
        )
        for kind in TYPES
    ),
    uses_max=1000,
    period_ms_max=3000 * DAY_MS,
    data_life_ms_max=30 * DAY_MS,
)


def question(kind: str, name: str, parameter: str = "") -> Question:
    """A question as a type of the catalogue declares it."""
    spec = SPECS[kind]
    asked = next((one for one in spec.questions if one.name == name), None)
    if asked is not None:
        return Question(
            certificate_type=kind,
            name=name,
            kind=asked.kind,
            field=asked.field,
            subject=asked.subject,
            parameter=parameter,
        )
    counted = next(one for one in spec.partitions if one.name == name)
    return Question(
        certificate_type=kind,
        name=name,
        kind=QuestionKind.COUNTED,
        field=counted.field,
        subject=counted.subject,
        parameter=parameter,
    )


def older(years: int, kind: str = CARD) -> Question:
    return question(kind, "older_than", str(years))


def answer_to(certificate: bytes, asked: Question) -> Output:
    return Output(
        certificate=certificate, format=OutputFormat.ANSWER, fields=(), attachment="", question=asked
    )


def item_for(*questions: Question, certificate: bytes = b"") -> GrantItem:
    """One item with the fields that these questions, of one type, read; the number where none is read."""
    fields = tuple(dict.fromkeys(one.field or "identity_number" for one in questions))
    return GrantItem(
        certificate_type=questions[0].certificate_type,
        certificate=certificate,
        fields=fields,
        attachments=(),
        certificate_state_required=ANY,
    )


class Questions(World):
    """The world of the contracts' tests with the catalogue's types and a purpose for asking."""

    def populate(self) -> Questions:
        super().populate()
        # The world has a type with the code of one of the catalogue's already.
        new = tuple(kind for kind in TYPES if kind.code != CAPITAL)
        self.vote(RegisterCertificateTypes(types=new))
        items = tuple(item for item in ASKING.items if item.certificate_type != CAPITAL)
        self.vote(RegisterPurposes(purposes=(replace(ASKING, items=items),)))
        self.vote(registration(BUREAU_ADMIN, AccountKind.DEPARTMENT, (CARD, LICENCE, INSURANCE)))
        self.done(BUREAU_ADMIN, OrganizationsAddKey(key=new_key(BUREAU, KeyRole.OFFICER)))
        return self

    def registry_reading(self) -> Reading:
        """The state with records as the versions in force give them."""
        return Reading(self, self.registry.in_force(self))

    def certify(self, label: str, holder: Actor = LI, kind: str = CARD, **changes: object) -> bytes:
        """A certificate of one of the catalogue's types, with all its fields."""
        values: dict[str, object] = {
            "certificate_type": kind,
            "fields": tuple(field.name for field in SPECS[kind].fields),
            "attachments": (),
            "valid_from_ms": START_MS - DAY_MS,
        }
        args: CertificatesIssue = issuance(label, holder, **{**values, **changes})
        return self.done(BUREAU, args)

    def ask(
        self,
        *questions: Question,
        by: Actor = BANK,
        of: Actor = LI,
        certificate: bytes = b"",
        **changes: Any,
    ) -> bytes:
        """A requested grant for these questions; gives its id."""
        return self.done(by, self.request_for(*questions, of=of, certificate=certificate, **changes))

    def request_for(
        self, *questions: Question, of: Actor = LI, certificate: bytes = b"", **changes: object
    ) -> GrantsRequest:
        kinds = dict.fromkeys(one.certificate_type for one in questions)
        items = tuple(
            item_for(*(one for one in questions if one.certificate_type == kind), certificate=certificate)
            for kind in kinds
        )
        values: dict[str, object] = {
            "pii_principal_id": of.account,
            "purpose": "asking",
            "items": items,
            "consent_mode": ConsentMode.QUERY,
            "questions": questions,
            "uses_max": 1000,
            "consent_expiry_ms": self.time_ms + 2000 * DAY_MS,
        }
        return self.asking(**{**values, **changes})

    def allow(self, *questions: Question, by: Actor = BANK, of: Actor = LI, **changes: Any) -> bytes:
        """An active grant for these questions."""
        grant = self.ask(*questions, by=by, of=of, **changes)
        items = self.grant_record(grant).requested_items
        self.done(of, self.approval(grant, separately=consent_separate(self, items)))
        return grant

    def release_of(
        self, grant: bytes, certificate: bytes, asked: Question, by: Actor = BANK, node: int = 1
    ) -> Result:
        """One release of one answer, through the node that is named."""
        output = answer_to(certificate, asked)
        return self.run(
            by, ReleasesRequest(grant_id=grant, outputs=(output,), released_by=NODES[node].account)
        )


def people(count: int) -> list[Actor]:
    return [person(f"citizen {n}") for n in range(count)]


def fresh() -> Questions:
    """A populated world, copied from one that was made once."""
    made = Questions()
    made.entries = dict(_MADE.entries)
    made.time_ms, made.height, made.sent = _MADE.time_ms, _MADE.height, _MADE.sent
    return made


_MADE: Final = Questions().populate()

__all__ = [
    "BANK",
    "BUREAU",
    "CARD",
    "DAY_MS",
    "DEPARTMENT",
    "DEPARTMENT_ADMIN",
    "INSURANCE",
    "LI",
    "LICENCE",
    "NODES",
    "SHOP",
    "WANG",
    "Questions",
    "answer_to",
    "fresh",
    "identity",
    "item_for",
    "older",
    "people",
    "question",
]
