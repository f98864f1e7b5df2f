"""What marking does to copies, as the campaign measures it: a change that nobody declared is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench import watermark as bench
from tests.attacks.watermark import covers, docs, picture_covers, quality
from tests.attacks.watermark.quality import Picture, Quality, Values
from watermark import Policy, TableSchema

TABLE = covers.table(40)


def report(values: Values, psnr_db: float = 44.0) -> Quality:
    picture = Picture("a page", psnr_db, None, 100, 150)
    return Quality({}, "", {"page": [picture]}, {"tables": [values]})


@pytest.mark.parametrize("number", range(4))
def test_a_marked_table_differs_in_nothing_that_was_not_declared(number: int) -> None:
    cover = TABLE(number)
    found = quality.table_values(cover)
    assert (found.legal_changed, found.texts_changed, quality.faults(report(found))) == (0, 0, 0)
    assert found.numbers_changed > 0
    assert 0 < found.furthest <= 1
    assert found.legal + found.numbers + found.texts + found.references == 40 * len(
        cover.data.split(b"\r\n")[0].split(b",")
    )


def test_what_differs_and_was_not_declared_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    cover = TABLE(1)
    changed = cover.data.replace(b"P000007,", b"P000007,X")
    monkeypatch.setattr(quality, "marked", lambda _: changed)
    found = quality.table_values(cover)
    assert (found.legal_changed, found.numbers_changed, quality.faults(report(found))) == (1, 0, 1)


def test_a_number_beyond_its_tolerance_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    cover = replace(
        TABLE(0),
        data=b"id,income\r\n1,10.00\r\n",
        policy=Policy(table=TableSchema(keys=("id",), tolerances={"income": quality.Decimal("0.05")})),
    )
    monkeypatch.setattr(quality, "marked", lambda _: b"id,income\r\n1,10.06\r\n")
    found = quality.table_values(cover)
    assert found.furthest == pytest.approx(1.2)
    assert quality.faults(report(found)) == 1


@pytest.mark.parametrize("compare", [quality.record_values, quality.passage_values, quality.page_text])
def test_records_passages_and_pages_keep_their_values(compare: quality.Compare) -> None:
    draw = {
        quality.record_values: covers.record,
        quality.passage_values: covers.passage,
        quality.page_text: picture_covers.certificate,
    }[compare]
    found = compare(draw(1))
    assert found.legal > 10
    assert (found.legal_changed, found.texts_changed) == (0, 0)


def test_a_picture_below_the_goal_is_printed_as_a_miss() -> None:
    values = Values("a table", 10, 0, 100, 110)
    assert "**MISS**" not in quality.render(report(values))
    assert "**MISS**" in quality.render(report(values, psnr_db=41.9))


def test_the_program_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "PYTHON", tmp_path / "nowhere")
    monkeypatch.setattr(quality, "PICTURES", {"page": quality.PICTURES["page"]})
    file = tmp_path / "quality.json"
    assert quality.main(["--covers", "1", "--json", str(file)]) == 0
    assert capsys.readouterr().out == quality.render(msgspec.json.decode(file.read_bytes(), type=Quality))


def test_the_figures_in_the_documents_are_those_of_the_committed_results() -> None:
    text = docs.PAGE.read_text()
    assert docs.made(text) == text, "python -m tests.attacks.watermark.docs"


def test_a_page_without_the_section_is_not_written() -> None:
    with pytest.raises(ValueError, match="exactly one section"):
        docs.section("campaign", "# Watermarks\n", "figures")


def test_a_cost_above_its_goal_is_printed_as_a_miss_and_one_without_goal_as_neither() -> None:
    printed = bench.render(
        [bench.Row("a", "s", 0.2, 0.1), bench.Row("b", "s", 0.1, 0.1), bench.Row("c", "s", 9.0, None)]
    )
    assert [line.split("|")[-2].strip() for line in printed.splitlines()[2:]] == ["**MISS**", "met", ""]
