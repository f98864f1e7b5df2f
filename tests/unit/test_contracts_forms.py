"""Forms belong to the department that registered them, and their versions only grow."""

from __future__ import annotations

from contracts.form_records import ENTRIES_PER_FORM_MAX, FormEntry
from contracts.forms import form
from contracts.question_calls import FormsRegister
from contracts.state import FORM_VERSIONS
from tests.unit.questions_world import BANK, BUREAU, DEPARTMENT, fresh


def entry(name: str = "name", term: str = "person.name") -> FormEntry:
    return FormEntry(name=name, label_zh="姓名", label_en="Name", term=term, required=True)


def registering(*entries: FormEntry, code: str = "enrolment", purpose: str = "asking") -> FormsRegister:
    return FormsRegister(
        code=code,
        name_zh="入学登记表",
        name_en="Enrolment",
        purpose=purpose,
        dictionary=1,
        entries=entries or (entry(),),
    )


def test_versions_grow_by_one_and_stay() -> None:
    world = fresh()
    world.done(BUREAU, registering())
    world.done(BUREAU, registering(entry("birth", "person.birth_date")))
    newest = form(world, "enrolment")
    assert newest is not None
    assert (newest.version, newest.entries[0].name) == (2, "birth")
    first = FORM_VERSIONS.get(world, ("enrolment", 1))
    assert first is not None
    assert first.entries[0].name == "name"


def test_nobody_takes_over_a_form() -> None:
    world = fresh()
    world.done(BUREAU, registering())
    world.refused(DEPARTMENT, registering(), "form_of_another")


def test_only_departments_register_and_only_for_a_known_purpose() -> None:
    world = fresh()
    world.refused(BANK, registering(), "wrong_account_kind")
    world.refused(BUREAU, registering(purpose="none"), "unknown_purpose")
    world.refused(BUREAU, registering(entry(), entry()), "duplicate_name")


def test_a_form_is_bounded() -> None:
    world = fresh()
    entries = tuple(entry(f"line{n}") for n in range(ENTRIES_PER_FORM_MAX + 1))
    world.refused(BUREAU, registering(*entries), "malformed_call")
    world.done(BUREAU, registering(*entries[:-1]))
