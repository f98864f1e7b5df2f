"""The harness of the attack campaign: its statistics, what it prints, and that its attacks are what they say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.attacks.watermark import __main__ as main
from tests.attacks.watermark import (
    campaign,
    covers,
    images,
    nulls,
    picture_covers,
    row_collusion,
    rows,
    workers,
)
from tests.attacks.watermark.cells import Cell, FileAttack, Success, all_cells
from tests.attacks.watermark.statistics import interval
from tests.attacks.watermark.table import GOAL_ROWS, Result, by_goal, render, render_goals, shared_by_goal

SMALL = covers.table(40)


def result(hits: int, trials: int, goal: float, false_accusations: int = 0) -> Result:
    return Result("page: some attack", "named", goal, hits, trials, false_accusations, 10, -20.0, [], 1.0)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.30850),
        (10, 10, 0.69150, 1.0),
        (300, 300, 0.98778, 1.0),
        (5, 10, 0.18709, 0.81291),
        (299, 300, 0.98156, 0.99992),
    ],
)
def test_intervals_are_those_of_clopper_and_pearson(hits: int, trials: int, low: float, high: float) -> None:
    assert interval(hits, trials) == pytest.approx((low, high), abs=2e-5)


def test_more_hits_than_trials_are_no_rate() -> None:
    with pytest.raises(ValueError, match="3 hits of 2 trials"):
        interval(3, 2)


@pytest.mark.parametrize(
    ("hits", "trials", "wrong", "status"),
    [
        (300, 300, 0, "met"),
        (2, 2, 0, "so far"),
        (296, 300, 0, "MISS"),
        (300, 300, 1, "MISS"),
        (0, 0, 0, "not run"),
    ],
)
def test_a_cell_that_misses_is_printed_as_a_miss(hits: int, trials: int, wrong: int, status: str) -> None:
    found = result(hits, trials, 0.99, wrong)
    assert found.status == status
    assert ("**MISS**" in render([found], ())) == (status == "MISS")


def test_other_tools_stand_beside_the_same_cell_and_are_left_open_where_not_run() -> None:
    one = msgspec.structs.replace(result(1, 1, 0.9), peers={"a tool": "0/1"})
    printed = render([one, result(1, 1, 0.9)], ("a tool",)).splitlines()
    assert "| 0/1 |" in printed[2]
    assert "| – |" in printed[3]


def test_every_cell_belongs_to_one_row_of_the_goals_and_has_its_goal() -> None:
    cells = [Result(cell.name, cell.success, cell.goal, 9, 9, 0, 0, -20.0, [], 0.0) for cell in all_cells()]
    rows = by_goal(cells)
    assert [name for name, _ in GOAL_ROWS] == list(rows)
    assert sum(len(row) for row in rows.values()) == len(cells)
    for row in rows.values():
        assert len({(one.goal, one.success) for one in row}) == 1
    for one in cells:
        attack = one.cell.split(": ", 1)[1]
        assert sum(bool(re.fullmatch(pattern, attack)) for _, pattern in GOAL_ROWS) == 1, attack


def test_a_row_of_the_goals_misses_where_one_of_its_cells_does() -> None:
    cells = [
        msgspec.structs.replace(result(hits, 300, 0.99), cell=f"page: {attack}")
        for attack, hits in (("median 5", 300), ("WebP 20", 290), ("print-scan", 300))
    ]
    first, second = render_goals(cells).splitlines()[2:]
    assert "300/300" in first
    assert first.endswith("| met |")
    assert "590/600" in second
    assert second.endswith("| **MISS**: page: WebP 20 |")


def test_every_cell_has_a_name_of_its_own_and_a_goal() -> None:
    cells = all_cells()
    assert len({cell.name for cell in cells}) == len(cells)
    assert all(0.9 <= cell.goal <= 1 for cell in cells)
    asked = {(count, strategy) for count in (2, 3, 5, 8) for strategy in images.STRATEGIES}
    names = [cell.name for cell in cells]
    assert all(any(f"{count} collude, {strategy}" in name for name in names) for count, strategy in asked)


SINGLE_PICTURES = [
    cell
    for cell in all_cells()
    if cell.on_pixels is not None and "resize" not in cell.name and "page" in cell.name
]


@pytest.mark.parametrize("cell", SINGLE_PICTURES, ids=lambda cell: cell.name)
def test_attacks_on_pictures_change_them_and_repeat_themselves(cell: Cell) -> None:
    pixels = images.decode(picture_covers.page(0).data)[:300, :240]
    assert cell.on_pixels is not None
    leak = cell.on_pixels(pixels.copy(), 5)
    assert leak == cell.on_pixels(pixels.copy(), 5)
    seen = images.decode(leak)
    assert seen.shape != pixels.shape or np.any(seen != pixels)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("strategy", images.STRATEGIES)
def test_colluders_make_a_picture_that_none_of_them_had(strategy: str, count: int) -> None:
    drawn = np.random.default_rng(1)
    copies = [drawn.integers(0, 255, (130, 140, 3)).astype(np.uint8) for _ in range(count)]
    mixed = images.collude(copies, 7, strategy)
    assert mixed.shape == copies[0].shape
    assert all(np.any(mixed != copy) for copy in copies)
    assert np.array_equal(mixed, images.collude(copies, 7, strategy))


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_colluders_mix_by_what_their_strategy_is_called(count: int) -> None:
    drawn = np.random.default_rng(count)
    copies = [drawn.integers(0, 256, (40, 50, 3)).astype(np.uint8) for _ in range(count)]
    stack = np.stack(copies).astype(float)
    plain = {
        "average": np.round(stack.mean(axis=0)),
        "median": np.round(np.median(stack, axis=0)),
        "minmax": (stack.min(axis=0) + stack.max(axis=0)) // 2,
    }
    for strategy, expected in plain.items():
        assert np.array_equal(images.collude(copies, 1, strategy), expected), strategy
    away = np.abs(images.collude(copies, 1, "minority") - stack.mean(axis=0))
    assert np.allclose(away, np.abs(stack - stack.mean(axis=0)).max(axis=0))


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("strategy", row_collusion.STRATEGIES)
def test_colluders_make_a_table_of_values_that_somebody_had_or_of_their_mean(
    strategy: str, bare: bool
) -> None:
    drawn = [[["id", "value0", "ref"], ["a", str(at), f"R{at}\u200b"], ["b", "5", "R"]] for at in (1, 2, 6)]
    copies = [rows.write(lines) for lines in drawn]
    leak = row_collusion.collude(copies, 3, strategy=strategy, bare=bare)
    assert leak == row_collusion.collude(copies, 3, strategy=strategy, bare=bare)
    header, first, second = rows.read(leak)
    assert header == drawn[0][0][: 2 if bare else 3]
    assert (first[0], second[:2]) == ("a", ["b", "5"])
    assert first[1] in (
        {"3"} if strategy == "average" else {"1", "6"} if strategy == "extremes" else {"1", "2", "6"}
    )
    assert bare or first[2] in {"R1\u200b", "R2\u200b", "R6\u200b"}


def test_most_and_fewest_of_colluders_decide_cell_by_cell() -> None:
    copies = [rows.write([["id", "value0"], ["a", value]]) for value in ("1", "1", "2")]
    told = {
        strategy: rows.read(row_collusion.collude(copies, 1, strategy=strategy))[1][1]
        for strategy in ("majority", "minority")
    }
    assert told == {"majority": "1", "minority": "2"}


@pytest.mark.parametrize(
    ("attack", "cover"),
    [
        (partial(rows.delete_rows, kept=0.1), SMALL),
        (partial(rows.drop_columns, kept=0.5), SMALL),
        (partial(rows.change_cells, share=0.3), SMALL),
        (partial(rows.sort_rows, by=1), SMALL),
        (partial(rows.reserialise, indent=2), covers.record),
        (rows.sort_names, covers.record),
        (rows.retype, covers.passage),
    ],
)
def test_attacks_on_rows_and_text_change_them_and_repeat_themselves(
    attack: FileAttack, cover: Callable[[int], covers.Cover]
) -> None:
    data = cover(1).data
    leak = attack(data, 3)
    assert leak not in {data, b""}
    assert leak == attack(data, 3)


def test_invisible_characters_are_stripped_and_others_stay() -> None:
    assert rows.strip_invisible("甲\u200b乙\U000e01ee丙\u2060.".encode(), 0).decode() == "甲乙丙."


def test_normal_form_and_workbook_leave_the_values_of_a_table() -> None:
    data = SMALL(0).data
    assert len(rows.read(rows.nfkc(data, 0))) == len(rows.read(rows.through_xlsx(data, 0))) == 41


def test_covers_repeat_themselves_and_differ() -> None:
    for draw in (picture_covers.certificate, covers.record, covers.passage, SMALL):
        assert draw(2).data == draw(2).data != draw(3).data


def test_a_trial_names_its_recipient_and_a_copy_of_nobody_counts_as_a_failure() -> None:
    named = Cell("rows", SMALL, lambda copies, seed: copies[0], 0.99)
    got = campaign.summed(named, [campaign.trial(named, number) for number in range(2)])
    assert (got.hits, got.trials, got.false_accusations, got.failures) == (2, 2, 0, [])
    unmarked = Cell("original", SMALL, lambda copies, seed: SMALL(0).data, 0.99)
    got = campaign.summed(unmarked, [campaign.trial(unmarked, 0)])
    assert (got.hits, got.status, got.worst_log10_np) == (0, "MISS", 0.0)
    assert "0 of 1 named" in got.failures[0]


def test_who_did_not_have_the_file_and_is_named_counts_as_falsely_accused() -> None:
    cell = Cell("rows", SMALL, lambda copies, seed: copies[0], 0.99, Success.NAMED)
    leak = campaign.leak_of(cell, 0)
    verdict = campaign.trace(leak, 5)
    assert campaign.falsely_accused(leak, verdict) == 0
    framed = campaign.Leak(leak.cover, leak.data, leak.keys, (b"somebody",))
    assert campaign.falsely_accused(framed, verdict) == 1
    assert not campaign.reached(Success.NAMED, framed, verdict)


class Here(Executor):
    """Workers that are this very process."""

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Iterator[Any]:
        return map(fn, *iterables)


def rows_cell(name: str) -> Cell:
    return Cell(name, SMALL, lambda copies, seed: copies[0], 0.99)


def test_trials_go_on_behind_earlier_ones_and_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [rows_cell("one"), rows_cell("other")]
    monkeypatch.setattr(campaign, "cells_by_name", lambda: {cell.name: cell for cell in cells})
    monkeypatch.setattr(workers, "A_ROUND", 2)
    rounds = [dict(done) for done in workers.rounds(Here(), cells, {"one": 3, "other": 3}, {}, lambda: False)]
    counts = [{name: one.trials for name, one in done.items()} for done in rounds]
    assert counts == [{"one": 2, "other": 2}, {"one": 3, "other": 3}]
    assert {one.engine for done in rounds for one in done.values()} == {workers.fingerprint(False)}
    (first,) = workers.rounds(Here(), cells[:1], {"one": 1}, {}, lambda: False)
    *_, later = workers.rounds(Here(), cells, {"one": 3, "other": 2}, first, lambda: False)
    for name, whole in (("one", rounds[1]["one"]), ("other", rounds[0]["other"])):
        assert msgspec.structs.replace(later[name], seconds=0.0) == msgspec.structs.replace(
            whole, seconds=0.0
        )
    assert list(workers.rounds(Here(), cells, {"one": 3, "other": 3}, {}, lambda: True)) == []
    assert "2 cells, 5 of 5 trials" in main.progress(list(later.values()), {"one": 3, "other": 2})


def test_cells_of_a_goal_share_its_trials() -> None:
    names = [cell.name for cell in all_cells()]
    shared = shared_by_goal(names, 300)
    assert shared["page: JPEG 90"] == 25
    assert shared["page: 8 collude, mosaic, print-scan"] == 20
    assert shared["table of 10,000 rows: 99 % of rows deleted"] == 300
    rows = by_goal(
        [msgspec.structs.replace(result(9, 9, 0.9), cell=name, trials=shared[name]) for name in names]
    )
    assert all(300 <= sum(one.trials for one in row) < 300 + len(row) for row in rows.values())


def test_cells_of_one_medium_attack_the_same_copies_each_in_its_way() -> None:
    cells = campaign.cells_by_name()
    one, other = cells["table of 1,000 rows: sorted"], cells["table of 1,000 rows: NFKC"]
    assert [one.name, other.name] == [
        name for name in next(group for group in workers.together([one, other])) if name in cells
    ]
    first, second = campaign.leak_of(one, 1), campaign.leak_of(other, 1)
    assert first.guilty == second.guilty
    assert first.data != second.data
    assert campaign.leak_of(one, 2).guilty != first.guilty
    mixed = [cell for name, cell in cells.items() if name.startswith("page: 3 collude, median, ")]
    assert (
        len({cell.seed(1) for cell in mixed})
        == 1
        < len({cell.seed(number) for cell in mixed for number in (1, 2)})
    )


def test_null_trials_go_on_where_they_ended_and_meet_other_innocents(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [rows_cell("one"), rows_cell("other")]
    monkeypatch.setattr(campaign, "cells_by_name", lambda: {cell.name: cell for cell in cells})
    monkeypatch.setattr(nulls, "cells_by_name", campaign.cells_by_name)
    monkeypatch.setattr(workers, "A_LEAK", 20)
    monkeypatch.setattr(workers, "A_ROUND", 2)
    *_, half = workers.null_trials(Here(), cells, 40, nulls.NONE, lambda: False)
    assert (half.scored, half.leaks, half.falsely_accused) == (40, 2, 0)
    *_, whole = workers.null_trials(Here(), cells, 70, half, lambda: False)
    assert (whole.scored, whole.leaks, whole.falsely_accused) == (70, 4, 0)
    assert whole.rate_below < half.rate_below


def test_results_of_another_engine_are_not_added_to(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    ours = {of: workers.fingerprint(of) for of in (True, False, None)}
    assert len(set(ours.values())) == 3
    page, table, old = (
        msgspec.structs.replace(result(1, 1, 0.9), cell=name, engine=engine)
        for name, engine in (
            ("page: JPEG 90", ours[True]),
            ("table of 1,000 rows: sorted", ours[False]),
            ("page: JPEG 75", ours[False]),
        )
    )
    counted = nulls.NONE.with_leak(10, 0, 0)
    main.write(main.Report({}, "", "", 0, [page, table, old], counted, engine=ours[None]), file)
    found = main.earlier(file)
    assert found is not None
    assert (found.cells, found.nulls) == ([page, table], counted)
    main.write(main.Report({}, "", "", 0, [old], counted, engine="another"), file)
    found = main.earlier(file)
    assert found is not None
    assert (found.cells, found.nulls) == ([], None)
    assert main.earlier(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("align", {True, None}),
        ("tables", {False, None}),
        ("detect", {True, False, None}),
        ("parquet", set()),
    ],
)
def test_a_change_for_pictures_leaves_results_of_rows_as_they_are(
    source: str, changed: set[bool | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree("watermark", tmp_path / "watermark")
    monkeypatch.setattr(workers, "_ENGINE", tmp_path / "watermark")
    before = {of: workers.fingerprint(of) for of in (True, False, None)}
    with (tmp_path / "watermark" / f"{source}.py").open("a") as file:
        file.write("# changed\n")
    assert {of for of in before if workers.fingerprint(of) != before[of]} == changed
