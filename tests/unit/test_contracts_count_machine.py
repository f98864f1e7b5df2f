"""No order of counts, types, organisations, failures and times puts a person into two numbers whose difference is that person."""

from __future__ import annotations

from datetime import date
from itertools import combinations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from contracts.calls import DeadlinesTick, RegisterCertificateTypes, RegisterPurposes, SetIssuance
from contracts.question_calls import CountsContribute, CountsFail, CountsOpen
from contracts.question_records import Contribution, CountRecord, CountState, PeriodUnit
from contracts.state import CERTIFICATE_TYPE_VERSIONS, COUNTS, present
from tests.unit.contracts_world import Actor
from tests.unit.questions_world import (
    ASKING,
    BANK,
    BUREAU,
    CARD,
    DAY_MS,
    LICENCE,
    NODES,
    SHOP,
    Questions,
    fresh,
    people,
    question,
)

MONTHLY, QUARTERLY = "monthly_card", "quarterly_card"
KINDS = {CARD: PeriodUnit.YEAR, MONTHLY: PeriodUnit.MONTH, QUARTERLY: PeriodUnit.QUARTER}
CITIZENS = people(2)
ORGANIZATIONS = (BANK, SHOP)


def counted() -> tuple[Questions, dict[tuple[str, bytes], bytes], dict[tuple[str, bytes, bytes], bytes]]:
    """Citizens with a card of each kind, who let both organisations count them by age; certificates and grants."""
    world = fresh()
    base = present(CERTIFICATE_TYPE_VERSIONS.get(world, (CARD, 1)), "the card's type")
    by_age = next(one for one in base.partitions if one.name == "by_age")
    others = tuple(
        replace(base, code=kind, questions=(), partitions=(replace(by_age, period=unit),))
        for kind, unit in KINDS.items()
        if kind != CARD
    )
    world.vote(RegisterCertificateTypes(types=others))
    world.vote(SetIssuance(account_id=BUREAU.account, issues=(CARD, LICENCE, MONTHLY, QUARTERLY)))
    items = tuple(replace(ASKING.items[0], certificate_type=kind) for kind in KINDS)
    world.vote(RegisterPurposes(purposes=(replace(ASKING, items=items),)))
    certificates, grants = {}, {}
    for person in CITIZENS:
        world.enroll(person)
        for kind in KINDS:
            label = f"{kind} of {person.account.hex()}"
            certificates[kind, person.account] = world.certify(label, person, certificate_type=kind)
            for by in ORGANIZATIONS:
                asked = replace(question(CARD, "by_age"), certificate_type=kind)
                grants[kind, person.account, by.account] = world.allow(asked, by=by, of=person)
    return world, certificates, grants


WORLD, CERTIFICATES, GRANTS = counted()


def days_of(period: str) -> tuple[date, date]:
    """First day of a period, and of what comes after it."""
    year, part = int(period[:4]), period[5:]
    if not part:
        return date(year, 1, 1), date(year + 1, 1, 1)
    months = 3 if part.startswith("Q") else 1
    first = (int(part.removeprefix("Q")) - 1) * months
    after = first + months
    return date(year, first + 1, 1), date(year + after // 12, after % 12 + 1, 1)


def share_a_day(one: CountRecord, other: CountRecord) -> bool:
    (begins, ends), (from_day, to_day) = days_of(one.period), days_of(other.period)
    return begins < to_day and from_day < ends


class CountMachine(RuleBasedStateMachine):
    """Two organisations that count the same people by the same subject, as often as they can."""

    @initialize()
    def begin(self) -> None:
        self.world = fresh()
        self.world.entries = dict(WORLD.entries)
        self.world.time_ms, self.world.height = WORLD.time_ms, WORLD.height
        self.world.sent = WORLD.sent
        self.counts: list[tuple[bytes, Actor, str]] = []
        self.inside: dict[bytes, set[bytes]] = {}

    @rule(by=st.sampled_from(ORGANIZATIONS), kind=st.sampled_from(sorted(KINDS)))
    def open(self, by: Actor, kind: str) -> None:
        asked = CountsOpen(certificate_type=kind, partition="by_age", performed_by=NODES[1].account)
        result = self.world.run(by, asked)
        assert result.code in {"ok", "count_repeated"}
        if result.code == "ok":
            self.counts.append((result.output[-16:], by, kind))
            self.inside[result.output[-16:]] = set()

    @rule(which=st.integers(0, 9), who=st.sampled_from(CITIZENS))
    def contribute(self, which: int, who: Actor) -> None:
        if not self.counts:
            return
        count, by, kind = self.counts[-1 - which % len(self.counts)]
        one = Contribution(
            certificate=CERTIFICATES[kind, who.account], grant=GRANTS[kind, who.account, by.account]
        )
        result = self.world.run(by, CountsContribute(count_id=count, contributions=(one,)))
        assert result.code in {"ok", "counted_already", "state_transition", "count_overdue"}
        if result.code == "ok":
            self.inside[count].add(who.account)

    @rule(which=st.integers(0, 9))
    def fail(self, which: int) -> None:
        if self.counts:
            count, by, _ = self.counts[-1 - which % len(self.counts)]
            self.world.run(by, CountsFail(count_id=count, reason="test"))

    @rule(days=st.sampled_from((1, 6, 20, 40)), tick=st.booleans())
    def wait(self, days: int, tick: bool) -> None:
        self.world.time_ms += days * DAY_MS
        if tick:
            self.world.done(NODES[0], DeadlinesTick())

    def standing(self) -> list[CountRecord]:
        records = [present(COUNTS.get(self.world, count), "a count") for count, _, _ in self.counts]
        return [record for record in records if record.state is not CountState.FAILED]

    @invariant()
    def nobody_is_in_two_that_share_a_day(self) -> None:
        for one, other in combinations(self.standing() if hasattr(self, "counts") else [], 2):
            if share_a_day(one, other):
                assert not self.inside[one.count_id] & self.inside[other.count_id]

    @invariant()
    def no_organisation_has_two_that_share_a_day(self) -> None:
        for one, other in combinations(self.standing() if hasattr(self, "counts") else [], 2):
            assert one.organization != other.organization or not share_a_day(one, other)


CountMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestCounts = CountMachine.TestCase
