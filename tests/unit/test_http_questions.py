"""Routes about questions, classes, counts and forms: public, complete, and without a number that is suppressed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contracts.form_records import Form, FormEntry
from contracts.question_records import CellCount, CountRecord, CountState
from tests.unit import http_world as w
from tests.unit.contracts_world import identity
from zhenglian.api_questions import CountView, FormView, TypeQuestionsView
from zhenglian.catalogue import load_catalogue
from zhenglian.dictionary import Dictionary, load_dictionary
from zhenglian.type_records import certificate_type_of

T = TypeVar("T")
CARD = certificate_type_of(load_catalogue()[0])


async def get(world: w.World, path: str, kind: type[T]) -> T:
    answer = await world.request("GET", path)
    body = await answer.read()
    assert answer.status == 200, body
    return msgspec.json.decode(body, type=kind)


def count(state: CountState, *cells: CellCount) -> CountRecord:
    return CountRecord(
        count_id=identity("count"),
        organization=identity("bureau"),
        officer=identity("officer"),
        performed_by=identity("operator 1"),
        certificate_type=CARD.code,
        type_version=1,
        partition=CARD.partitions[0],
        period="2027",
        state=state,
        opened_ms=1,
        deadline_ms=2,
        cells=cells,
    )


async def test_what_may_be_asked_is_shown_with_the_classes_of_the_data(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.types[CARD.code] = CARD
        view = await get(world, f"/v1/certificate-types/{CARD.code}/questions", TypeQuestionsView)
        assert [one.name for one in view.questions] == ["older_than", "valid_on"]
        assert view.questions[0].name_zh == "是否年满"
        number = next(one for one in view.classes if one.name == "identity_number")
        assert (number.consent_separate, number.mask, number.term) == (
            True,
            "identity_number",
            "person.identity_number",
        )
        missing = await world.request("GET", "/v1/certificate-types/none/questions")
        assert missing.status == 404


async def test_a_count_shows_no_number_of_a_suppressed_cell(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        cells = (
            CellCount(cell="under_18", count=0, suppressed=True),
            CellCount(cell="from_18", count=40, suppressed=False),
        )
        record = count(CountState.PUBLISHED, *cells)
        world.chain.records.counts_by_id[record.count_id] = record
        view = await get(world, f"/v1/counts/{record.count_id.hex()}", CountView)
        assert [one.count for one in view.cells] == [None, 40]
        missing = await world.request("GET", f"/v1/counts/{bytes(16).hex()}")
        assert missing.status == 404


async def test_forms_and_the_dictionary_are_public(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert await get(world, "/v1/dictionary", Dictionary) == load_dictionary()
        entry = FormEntry(name="name", label_zh="姓名", label_en="", term="person.name", required=True)
        form = Form(
            code="enrolment",
            version=1,
            owner=w.ACTORS[0].account,
            registered_by=identity("key"),
            registered_ms=1,
            name_zh="登记表",
            name_en="",
            purpose="asking",
            dictionary=1,
            entries=(entry,),
        )
        world.chain.records.forms_by_code[form.code] = form
        listed = await get(world, "/v1/forms", list[FormView])
        one = await get(world, "/v1/forms/enrolment", FormView)
        assert listed == [one]
        assert one.entries[0].term == "person.name"
        assert (await world.request("GET", "/v1/forms/none")).status == 404


async def test_a_form_is_filled_in_for_the_signer_only(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        body: dict[str, Any] = {"transaction": "AA=="}
        nobody = await world.request("POST", "/v1/forms/enrolment/prefill", json=body)
        assert nobody.status == 401
