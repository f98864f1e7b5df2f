"""No order of grants, renewals, new certificates, failures, times and nodes gets two thresholds within a period."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.calls import GrantsRevoke, ReleasesFail
from contracts.question_records import Question
from contracts.questions import answer_of
from contracts.records import GrantState
from tests.unit.contracts_world import Actor
from tests.unit.questions_world import BANK, CARD, DAY_MS, LI, LICENCE, NODES, SHOP, Questions, fresh, older

YEARS = (14, 18, 22, 60)
KINDS = (CARD, LICENCE)
PERIOD_MS = 365 * DAY_MS


class SearchMachine(RuleBasedStateMachine):
    """An organisation that does all it can to find out how old Li is."""

    @initialize()
    def begin(self) -> None:
        self.world: Questions = fresh()
        self.issued: dict[bytes, int] = {}
        self.certificates = {
            CARD: [self.certify("card 0", CARD)],
            LICENCE: [self.certify("licence 0", LICENCE)],
        }
        self.grants: list[tuple[Actor, bytes, Question]] = []
        # What each organisation has had answered: as of when, the threshold, the certificate.
        self.learned: dict[bytes, set[tuple[int, str, bytes]]] = {BANK.account: set(), SHOP.account: set()}
        self.first: dict[tuple[bytes, bytes, str], int] = {}

    def certify(self, label: str, kind: str, supersedes: bytes = b"") -> bytes:
        issued_ms = self.world.time_ms
        made = self.world.certify(label, kind=kind, supersedes=supersedes)
        self.issued[made] = issued_ms
        return made

    @rule(who=st.sampled_from([BANK, SHOP]), years=st.sampled_from(YEARS), kind=st.sampled_from(KINDS))
    def ask(self, who: Actor, years: int, kind: str) -> None:
        asked = older(years, kind)
        result = self.world.run(who, self.world.request_for(asked))
        assert result.code in {"ok", "question_asked_otherwise"}
        if result.code == "ok":
            grant = result.output[-16:]
            self.world.done(LI, self.world.approval(grant))
            self.grants.append((who, grant, asked))

    @rule(pick=st.integers(0, 50), renewed=st.booleans())
    def ask_again(self, pick: int, renewed: bool) -> None:
        if not self.grants:
            return
        who, old, asked = self.grants[pick % len(self.grants)]
        result = self.world.run(who, self.world.request_for(asked, renews=old if renewed else b""))
        if result.code == "ok":
            grant = result.output[-16:]
            if self.world.run(LI, self.world.approval(grant)).code == "ok":
                self.grants.append((who, grant, asked))

    @rule(kind=st.sampled_from(KINDS))
    def supersede(self, kind: str) -> None:
        held = self.certificates[kind]
        held.append(self.certify(f"{kind} {len(held)}", kind, held[-1]))

    @rule(pick=st.integers(0, 50))
    def revoke(self, pick: int) -> None:
        if self.grants:
            _, grant, _ = self.grants[pick % len(self.grants)]
            if self.world.grant_record(grant).state is GrantState.ACTIVE:
                self.world.done(LI, GrantsRevoke(grant_id=grant))

    @rule(days=st.sampled_from([1, 40, 200, 366]))
    def wait(self, days: int) -> None:
        self.world.time_ms += days * DAY_MS

    @rule(pick=st.integers(0, 50), which=st.integers(0, 3), node=st.integers(0, 3), fails=st.booleans())
    def release(self, pick: int, which: int, node: int, fails: bool) -> None:
        if not self.grants:
            return
        who, grant, asked = self.grants[pick % len(self.grants)]
        held = self.certificates[asked.certificate_type]
        certificate = held[which % len(held)]
        result = self.world.release_of(grant, certificate, asked, by=who, node=node)
        if result.code != "ok":
            return
        answer = answer_of(self.world, grant, certificate, asked)
        assert answer is not None
        # One answer for ever: the same grant, question and certificate speak of the same time.
        key = (grant, certificate, asked.name)
        assert self.first.setdefault(key, answer.as_of_ms) == answer.as_of_ms
        # Also of a release that fails: its node has seen the value.
        self.learned[who.account].add((answer.as_of_ms, asked.parameter, certificate))
        if fails:
            self.world.done(NODES[node], ReleasesFail(release_id=result.output[-8:], reason="internal_error"))

    @invariant()
    def one_threshold_a_period(self) -> None:
        for facts in getattr(self, "learned", {}).values():
            began_ms, threshold = -PERIOD_MS, ""
            for as_of_ms, parameter, _ in sorted(facts):
                if as_of_ms >= began_ms + PERIOD_MS:
                    began_ms, threshold = as_of_ms, parameter
                assert parameter == threshold

    @invariant()
    def one_day_a_period(self) -> None:
        """Nobody who asks chooses of when an answer is: else a birthday lies between a no and a yes."""
        for facts in getattr(self, "learned", {}).values():
            began_ms = -PERIOD_MS
            for as_of_ms, _, certificate in sorted(facts):
                if as_of_ms >= began_ms + PERIOD_MS:
                    began_ms = as_of_ms
                assert as_of_ms in {began_ms, self.issued[certificate]}

    @invariant()
    def one_answer_a_certificate_and_period(self) -> None:
        for facts in getattr(self, "learned", {}).values():
            began_ms = -PERIOD_MS
            seen: set[bytes] = set()
            for as_of_ms, _, certificate in sorted(facts):
                if as_of_ms >= began_ms + PERIOD_MS:
                    began_ms, seen = as_of_ms, set()
                assert certificate not in seen
                seen.add(certificate)


SearchMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestSearch = SearchMachine.TestCase
