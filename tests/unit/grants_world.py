"""What the tests of grants need besides the small network: a purpose with every cap, approvers, and a guardianship."""

from __future__ import annotations

from typing import Final

from contracts.calls import OrganizationsAddKey, RegisterCertificateTypes, RegisterPurposes
from contracts.grant_actions import SetGrantRules
from contracts.grant_calls import GrantsRequestAccess, RepresentationAccept, RepresentationAppoint
from contracts.grant_records import (
    CertificateStateRequired,
    ConsentMode,
    FetchType,
    Frequency,
    FrequencyUnit,
    GrantRules,
    PurposeTemplate,
    RepresentationBasis,
    TemplateItem,
)
from contracts.records import AccountKind, CertificateType, KeyRole
from contracts.vocabulary import CertificateState
from tests.unit.contracts_world import (
    DAY_MS,
    DEGREE,
    LI,
    LICENCE,
    START_MS,
    WANG,
    Actor,
    World,
    actor,
    item,
    new_key,
    registration,
)

GUARDIANSHIP: Final = "guardianship"
POLICE: Final = actor("police", "officer")
POLICE_ADMIN: Final = actor("police", "admin")
COURT: Final = actor("court", "officer")
COURT_ADMIN: Final = actor("court", "admin")
TAX: Final = actor("tax", "officer")
TAX_ADMIN: Final = actor("tax", "admin")

TOLERANT: Final = CertificateStateRequired(stopped_by=(CertificateState.REVOKED,), within_dates=False)

INQUIRY: Final = PurposeTemplate(
    code="inquiry",
    name_zh="调查",
    name_en="Inquiry",
    items=(
        TemplateItem(
            certificate_type=DEGREE,
            fields=("name", "school", "major"),
            attachments=("scan",),
            certificate_state_required=TOLERANT,
        ),
        TemplateItem(certificate_type=LICENCE, fields=("title",), attachments=()),
    ),
    uses_max=10,
    period_ms_max=300 * DAY_MS,
    data_life_ms_max=30 * DAY_MS,
    retention_ms_max=10 * DAY_MS,
    ref_uri="https://w3id.org/dpv#LegalCompliance",
    modes=(ConsentMode.VIEW, ConsentMode.STORE),
    fetch_types=(FetchType.ONCE, FetchType.PERIODIC),
    frequency_max=Frequency(unit=FrequencyUnit.HOUR, value=2),
    representation=tuple(RepresentationBasis),
    depth_max=1,
    without_consent=True,
    emergency=True,
)
GUARDIANSHIP_TYPE: Final = CertificateType(
    code=GUARDIANSHIP,
    version=1,
    number=3,
    name_zh="监护证明",
    name_en="Guardianship",
    issuers_zh=("民政部门",),
    level_zh="市级",
    holder=AccountKind.PERSON,
    fields=("ward", "guardian"),
    attachments=(),
    schema=b"{}",
)
RULES: Final = GrantRules(
    approvers=(COURT.account, TAX.account, POLICE.account),
    emergency=(POLICE.account,),
    guardian_types=(GUARDIANSHIP,),
    legal_representative_types=(LICENCE,),
)
HOURLY: Final = Frequency(unit=FrequencyUnit.HOUR, value=2)


def grants_world() -> World:
    """The small network with the purpose, three more departments, and the rules voted."""
    world = World().populate()
    world.vote(RegisterCertificateTypes(types=(GUARDIANSHIP_TYPE,)))
    world.vote(RegisterPurposes(purposes=(INQUIRY,)))
    for admin, officer in ((POLICE_ADMIN, POLICE), (COURT_ADMIN, COURT), (TAX_ADMIN, TAX)):
        world.vote(registration(admin, AccountKind.DEPARTMENT))
        world.done(admin, OrganizationsAddKey(key=new_key(officer, KeyRole.OFFICER)))
    world.vote(SetGrantRules(rules=RULES))
    return world


def access(world: World, **changes: object) -> GrantsRequestAccess:
    """The police ask for Li's degree on a legal basis, kept silent for 60 days."""
    values: dict[str, object] = {
        "pii_principal_id": LI.account,
        "purpose": "inquiry",
        "lawful_basis": "legal_obligation",
        "legal_ref": "刑事诉讼法 第五十四条",
        "case_commitment": bytes(32),
        "items": (item(("name", "school")),),
        "consent_mode": ConsentMode.VIEW,
        "fetch_type": FetchType.PERIODIC,
        "uses_max": 3,
        "consent_expiry_ms": world.time_ms + 20 * DAY_MS,
        "data_life_ms": DAY_MS,
        "jurisdiction": "cn",
        "notice_after_ms": world.time_ms + 60 * DAY_MS,
        "frequency": HOURLY,
    }
    return GrantsRequestAccess(**{**values, **changes})  # type: ignore[arg-type]


def emergency(world: World, **changes: object) -> GrantsRequestAccess:
    """The police open Li's degree at once, for an hour."""
    opened: dict[str, object] = {
        "emergency": True,
        "notice_after_ms": 0,
        "consent_expiry_ms": world.time_ms + 3_600_000,
    }
    return access(world, **{**opened, **changes})


def appointment(
    principal: Actor = LI, representative: Actor = WANG, **changes: object
) -> RepresentationAppoint:
    """Li names Wang, for a month and every purpose."""
    values: dict[str, object] = {
        "principal": principal.account,
        "representative": representative.account,
        "basis": RepresentationBasis.MANDATE,
        "credential": b"",
        "parent": b"",
        "purposes": (),
        "depth_max": 0,
        "until_ms": START_MS + 30 * DAY_MS,
    }
    return RepresentationAppoint(**{**values, **changes})  # type: ignore[arg-type]


def mandate(
    world: World, by: Actor = LI, principal: Actor = LI, representative: Actor = WANG, **changes: object
) -> bytes:
    """A mandate that the representative has accepted."""
    mandate_id = world.done(by, appointment(principal, representative, **changes))
    world.done(representative, RepresentationAccept(mandate_id=mandate_id))
    return mandate_id
