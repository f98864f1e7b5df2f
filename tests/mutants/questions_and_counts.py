"""The rules by which a question tells one bit and a count no person, and by which the class of data takes away."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

QUESTIONS: Final = "contracts/questions.py"
COUNTS: Final = "contracts/counts.py"
TOLD: Final = "contracts/counting.py"
CLASSES: Final = "contracts/classes.py"
ANSWERS: Final = "clients/zhenglian/answers.py"
PERMITS: Final = "node/vault/count_permits.py"


def _lacking(name: str, rule: str, file: str, where: str, old: str, new: str, suite: str = "") -> Mutant:
    return one(f"question-{name}", rule, file, where, old, new, (suite or "questions",))


ASKING: Final = (
    _lacking(
        "one-threshold",
        "an organisation asks one holder about one subject with one parameter",
        QUESTIONS,
        "_check_line",
        "if (line.kind, line.parameter) != (question.kind, question.parameter):",
        "if False:",
    ),
    _lacking(
        "line-stays",
        "a line is not begun anew before its time",
        QUESTIONS,
        "_line",
        "if line is not None and not _is_open(line, context.time_ms):",
        "if False:",
    ),
    _lacking(
        "one-answer",
        "the same question about the same certificate is answered for the same time",
        QUESTIONS,
        "_fix",
        "if known is None or known.as_of_ms < line.since_ms or known.question != question:",
        "if True:",
    ),
    _lacking(
        "granted-only",
        "only a question that the grant has is answered",
        QUESTIONS,
        "check_output",
        "if question not in grant.questions or question.kind is QuestionKind.COUNTED:",
        "if False:",
    ),
    _lacking(
        "no-rider",
        "an answer brings no field along",
        QUESTIONS,
        "check_output",
        "if output.format is not OutputFormat.ANSWER or question is None or output.fields or output.attachment:",
        "if question is None:",
    ),
    _lacking(
        "declared-parameters",
        "only declared parameters may be asked",
        QUESTIONS,
        "_check_declared",
        "elif question.parameter not in declared.parameters:",
        "elif False:",
    ),
    _lacking(
        "within-items",
        "a question reads no field that no item has",
        QUESTIONS,
        "check_asked",
        "if not _covered(items, question):",
        "if False:",
    ),
    _lacking(
        "twice-in-a-grant",
        "one grant has one parameter about one subject",
        QUESTIONS,
        "check_asked",
        "if any(_collide(question, other) for other in questions[:position]):",
        "if False:",
    ),
    _lacking(
        "as-of",
        "what happened after the answer's time does not change it",
        ANSWERS,
        "valid_on",
        "if entry.state not in STOPPING_STATES or entry.since_ms > as_of_ms:",
        "if entry.state not in STOPPING_STATES:",
    ),
)
COUNTED: Final = (
    _lacking(
        "counted-once",
        "a holder is counted once a period by one subject",
        COUNTS,
        "_take_holder",
        "if other is not None and _stands(context, other.count_id):",
        "if False:",
    ),
    _lacking(
        "once-a-period",
        "an organisation counts once a period by one subject",
        COUNTS,
        "_take_period",
        "if taken is not None and _stands(context, taken):",
        "if False:",
    ),
    _lacking(
        "group-minimum",
        "a small group is not counted",
        COUNTS,
        "request",
        "if count.contributions < count.partition.group_min:",
        "if False:",
    ),
    _lacking(
        "query-only",
        "only a grant to be counted contributes",
        COUNTS,
        "_check_grant",
        "if grant.consent_mode is not ConsentMode.QUERY or not any(",
        "if False and not any(",
    ),
    _lacking(
        "closed",
        "nothing comes in after the request",
        COUNTS,
        "contribute",
        '_check_state(count, CountState.COLLECTING, "contribute")',
        "pass",
    ),
    _lacking(
        "as-declared",
        "what is told is rounded and suppressed as declared",
        COUNTS,
        "publish",
        "if reason:",
        "if False:",
    ),
    _lacking(
        "complement",
        "what is suppressed is hidden by enough others",
        TOLD,
        "_suppressed",
        "if sum(counts[hid] for hid in hidden) >= group_min and len(hidden) > 1:",
        "if True:",
    ),
    _lacking(
        "holders-look",
        "holders open for a count the partition's field and nothing else",
        PERMITS,
        "CountPermit._is_counted",
        "if (part.kind, part.name) != (PartKind.FIELD, count.partition.field):",
        "if False:",
        "answers",
    ),
    _lacking(
        "holders-state",
        "holders open nothing for a count that still collects",
        PERMITS,
        "CountPermit._allowed",
        "if count.state is not CountState.REQUESTED:",
        "if False:",
        "answers",
    ),
)
FIXED: Final = (
    _lacking(
        "one-time",
        "all that a line answers of an age is of one time",
        QUESTIONS,
        "_as_of_ms",
        "if line.kind is not QuestionKind.OLDER_THAN:",
        "if True:",
    ),
    _lacking(
        "one-size",
        "yes and no are files of one size",
        "node/services/answering.py",
        "render_answer",
        "_YES_PADDING if said else _NO_PADDING",
        "_NO_PADDING",
        "answers",
    ),
    _lacking(
        "one-subject",
        "a field has one subject in a type",
        "contracts/certificate_types.py",
        "_check_declared",
        "if subjects.setdefault(one.field, one.subject) != one.subject:",
        "if False:",
    ),
    _lacking(
        "months-of-a-year",
        "of a month, its quarter and its year one is counted",
        COUNTS,
        "_take_holder",
        "for period in overlapping(count.period):",
        "for period in (count.period,):",
    ),
    _lacking(
        "counted-in-its-state",
        "a state that the grant says stops keeps a certificate out of counts",
        COUNTS,
        "_put_in",
        "check_field_state(grant.items, certificate, count.partition.field, context.time_ms)",
        "pass",
    ),
    _lacking(
        "time-to-count",
        "a count has its time from when it is asked for",
        COUNTS,
        "request",
        "deadline_ms = context.time_ms + COUNT_DEADLINE_MS",
        "deadline_ms = count.deadline_ms",
    ),
)
CLASSED: Final = (
    _lacking(
        "former-part",
        "a part that a later version left out keeps its class",
        CLASSES,
        "_naming",
        "return kind",
        "return latest",
        "grants",
    ),
    _lacking(
        "asker",
        "who may not ask by the class of the data does not",
        CLASSES,
        "check_asked",
        "if grantee.kind.value not in rule.askers:",
        "if False:",
    ),
    _lacking(
        "separate",
        "sensitive data is not given without a consent of its own",
        CLASSES,
        "check_separate",
        "if part not in separately:",
        "if False:",
    ),
    _lacking(
        "kept",
        "data is not kept longer than its class allows",
        CLASSES,
        "check_asked",
        "if kept_ms > rule.kept_ms_max:",
        "if False:",
    ),
)
QUESTIONS_AND_COUNTS: Final = (*ASKING, *FIXED, *COUNTED, *CLASSED)
