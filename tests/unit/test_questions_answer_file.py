"""The file of an answer tells who has it yes or no, and the ledger, which knows its size and hash, nothing."""

from __future__ import annotations

import pytest

from contracts.question_records import Question
from contracts.records import Output, OutputFormat
from ledger.commitments import FieldValue
from node.services.answering import render_answer
from tests.suites import suite_under_test
from tests.unit.test_questions_answers import SPECS, at, certificate
from watermark import embed
from zhenglian.plans.questions import read_answer

SUITE = suite_under_test()
SPEC = SPECS["resident_identity_card"]


def question(name: str, parameter: str) -> Question:
    spec = next(one for one in SPEC.questions if one.name == name)
    return Question(
        certificate_type=SPEC.code,
        name=name,
        kind=spec.kind,
        field=spec.field,
        subject=spec.subject,
        parameter=parameter,
    )


def answered(asked: Question, values: dict[str, FieldValue], *, nth: int = 0) -> bytes:
    """The marked file of the answer, of the certificate's copy of that number."""
    held = certificate(end="2030-01-01")
    output = Output(
        certificate=held.certificate_id, format=OutputFormat.ANSWER, fields=(), attachment="", question=asked
    )
    rendering = render_answer(
        SUITE,
        bytes(32),
        held,
        SPEC,
        output,
        values,
        as_of_ms=at("2027-01-20"),
        mark_secret=bytes(32),
    )
    seed = SUITE.digest(nth.to_bytes(4, "big"))
    return embed(
        rendering.data, rendering.media_type, layout_key=bytes(32), seed=seed, policy=rendering.policy
    ).data


@pytest.mark.parametrize("nth", range(8))
def test_yes_and_no_have_files_of_one_size(nth: int) -> None:
    """The size of every file of a release is on the ledger, for every operator to read."""
    files = [
        answered(question("older_than", "18"), {"birth_date": born}, nth=nth)
        for born in ("2009-01-20", "2009-01-21")
    ]
    assert [read_answer(data).answer for data in files] == [True, False]
    assert len(files[0]) == len(files[1])
    days = [answered(question("valid_on", day), {}, nth=nth) for day in ("2027-01-20", "2031-01-20")]
    assert [read_answer(data).answer for data in days] == [True, False]
    assert len(days[0]) == len(days[1])
