"""Class and level of data take away from what a template allows, and never add to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.calls import GrantsRequest, RegisterCertificateTypes, RegisterPurposes
from contracts.class_records import Grade, PartClass, Sensitivity
from contracts.classes import ORGANIZATIONS, class_of, consent_separate, rule_of, unclassified
from contracts.records import GrantItem, PurposeTemplate, TemplateItem
from contracts.state import certificate_type
from tests.unit.contracts_world import DEGREE, DEGREE_TYPE, Actor
from tests.unit.questions_world import BANK, BUREAU, CARD, DAY_MS, LI, Questions, fresh, older

CLASSES = st.builds(
    PartClass,
    name=st.just("name"),
    grade=st.sampled_from(list(Grade)),
    level=st.integers(1, 4),
    sensitivity=st.sampled_from(list(Sensitivity)),
    askers=st.lists(st.sampled_from(["department", "enterprise", "auditor"]), max_size=3).map(tuple),
    purposes=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
)


def world_with(**changes: object) -> Questions:
    """A world in which the field `name` of a new version of the degree has this class, and a wide purpose."""
    world = fresh()
    values: dict[str, object] = {"grade": Grade.GENERAL, "level": 2, "sensitivity": Sensitivity.PERSONAL}
    part = PartClass(name="name", **{**values, **changes})  # type: ignore[arg-type]
    world.vote(RegisterCertificateTypes(types=(replace(DEGREE_TYPE, version=2, classes=(part,)),)))
    wide = PurposeTemplate(
        code="wide",
        name_zh="宽",
        name_en="Wide",
        items=(TemplateItem(certificate_type=DEGREE, fields=DEGREE_TYPE.fields, attachments=()),),
        uses_max=10,
        period_ms_max=30 * DAY_MS,
        data_life_ms_max=40 * 365 * DAY_MS,
    )
    world.vote(RegisterPurposes(purposes=(wide,)))
    return world


def asking(world: Questions, *fields: str, **changes: object) -> GrantsRequest:
    item = GrantItem(certificate_type=DEGREE, certificate=b"", fields=fields, attachments=())
    return world.asking(purpose="wide", items=(item,), **changes)


@pytest.mark.parametrize(("who", "code"), [(BANK, "class_asker"), (BUREAU, "")])
def test_important_data_is_for_departments(who: Actor, code: str) -> None:
    world = world_with(grade=Grade.IMPORTANT)
    if code:
        denied = world.refused(who, asking(world, "school", "name"), code)
        assert denied["name"] == "name"
    else:
        world.done(who, asking(world, "school", "name"))
    world.done(who, asking(world, "school"))


def test_core_data_is_for_the_purposes_that_its_type_names_and_for_no_other() -> None:
    world = world_with(grade=Grade.CORE)
    world.refused(BUREAU, asking(world, "name"), "class_purpose")
    world = world_with(grade=Grade.CORE, purposes=("wide",))
    world.done(BUREAU, asking(world, "name"))
    world.refused(BANK, asking(world, "name"), "class_asker")


def test_a_type_can_narrow_who_may_ask_and_for_what() -> None:
    world = world_with(askers=("department",))
    world.refused(BANK, asking(world, "name"), "class_asker")
    world = world_with(purposes=("other",))
    world.refused(BANK, asking(world, "name"), "class_purpose")


@pytest.mark.parametrize(
    ("changes", "years"),
    [
        ({"level": 1, "sensitivity": Sensitivity.NONE}, 30),
        ({"level": 2}, 10),
        ({"level": 3}, 5),
        ({"level": 4}, 3),
        ({"sensitivity": Sensitivity.SENSITIVE}, 5),
    ],
)
def test_a_class_bounds_how_long_data_is_kept(changes: dict[str, object], years: int) -> None:
    world = world_with(**changes)
    most_ms = years * 365 * DAY_MS
    world.done(BANK, asking(world, "name", data_life_ms=most_ms))
    denied = world.refused(BANK, asking(world, "name", data_life_ms=most_ms + 1), "class_kept_too_long")
    assert denied["maximum"] == most_ms


def test_sensitive_data_needs_a_consent_of_its_own() -> None:
    world = world_with(sensitivity=Sensitivity.SENSITIVE)
    grant = world.done(BANK, asking(world, "school", "name"))
    denied = world.refused(LI, world.approval(grant), "consent_not_separate")
    assert denied["part"] == f"{DEGREE}.name"
    extra = (f"{DEGREE}.name", f"{DEGREE}.school")
    world.refused(LI, world.approval(grant, separately=extra), "consent_separate_unknown")
    world.done(LI, world.approval(grant, separately=extra[:1]))


def test_what_is_not_given_needs_no_consent() -> None:
    world = world_with(sensitivity=Sensitivity.SENSITIVE)
    grant = world.done(BANK, asking(world, "school", "name"))
    less = (replace(world.grant_record(grant).requested_items[0], fields=("school",)),)
    world.refused(
        LI, world.approval(grant, items=less, separately=(f"{DEGREE}.name",)), "consent_separate_unknown"
    )
    world.done(LI, world.approval(grant, items=less))


def test_a_question_about_sensitive_data_needs_it_too() -> None:
    world = fresh()
    grant = world.ask(older(18))
    item = GrantItem(certificate_type=CARD, certificate=b"", fields=("identity_number",), attachments=())
    assert consent_separate(world, (item,)) == (f"{CARD}.identity_number",)
    world.done(LI, world.approval(grant))


def test_a_part_that_is_not_named_counts_as_personal() -> None:
    world = world_with()
    kind = certificate_type(world, DEGREE)
    assert kind is not None
    assert class_of(kind, "school") == unclassified("school")
    assert rule_of(unclassified("school")).askers == ORGANIZATIONS


@given(part=CLASSES)
def test_no_declaration_widens_its_class(part: PartClass) -> None:
    bare = rule_of(replace(part, askers=(), purposes=()))
    rule = rule_of(part)
    assert rule.askers <= bare.askers
    assert rule.kept_ms_max == bare.kept_ms_max
    assert rule.separate is bare.separate is (part.sensitivity is Sensitivity.SENSITIVE)
    assert rule.askers <= ORGANIZATIONS


@given(part=CLASSES)
def test_a_graver_class_never_allows_more(part: PartClass) -> None:
    if part.level < 4:
        graver = rule_of(replace(part, level=part.level + 1))
        assert graver.kept_ms_max <= rule_of(part).kept_ms_max
        assert graver.askers <= rule_of(part).askers
    assert (
        rule_of(replace(part, grade=Grade.IMPORTANT)).askers
        <= rule_of(replace(part, grade=Grade.GENERAL)).askers
    )
