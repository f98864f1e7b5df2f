"""What can be done to grants before and besides using them, and what the design says must come of it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace

from contracts.calls import (
    Args,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsResume,
    GrantsRevoke,
)
from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsEndAccess,
    GrantsExtendNotice,
    GrantsOpenOwn,
    GrantsReview,
)
from contracts.grant_records import (
    AccessKind,
    CertificateStateRequired,
    Frequency,
    ReviewVerdict,
)
from contracts.records import CertificateState
from contracts.vocabulary import STOPPING_STATES
from ledger.types import Result
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    DEPARTMENT,
    LI,
    WANG,
    Actor,
    World,
    item,
)
from tests.unit.grants_model import (
    ASKED,
    CERTIFICATES,
    DECIDERS,
    FREQUENCIES,
    GIVEN,
    GRANTS_MAX,
    MANDATE,
    MANDATES,
    MINUTES,
    OWN,
    POPULATED,
    SELDOM,
    WHICH,
    Told,
)
from tests.unit.grants_world import COURT, POLICE, TAX, access, emergency


class Deciding(RuleBasedStateMachine):
    """Asking for grants and deciding on them: the part before anybody uses one."""

    @initialize(uses=st.integers(1, 5), frequency=FREQUENCIES, strict=st.booleans())
    def begin(self, uses: int, frequency: Frequency | None, strict: bool) -> None:
        self.world = World()
        self.world.entries = dict(POPULATED.entries)
        self.world.time_ms, self.world.height = POPULATED.time_ms, POPULATED.height
        self.world.sent = POPULATED.sent
        self.told: dict[bytes, Told] = {}
        self.wanted: dict[bytes, tuple[bytes, bytes, tuple[str, ...], int]] = {}
        self.holding: set[tuple[bytes, CertificateState]] = set()
        self.suspended = False
        self.mandate_ended = False
        self.erased: set[bytes] = set()
        # The emergency with which the present stretch of them began, and when, until it is reviewed.
        self.unreviewed: tuple[bytes, int] | None = None
        self.ask(uses, frequency, strict, renewed=0)
        self.approve(0, (LI, False), ASKED, uses, 1000, None)

    def run_all(self, *calls: tuple[Actor, Args]) -> list[Result]:
        """Calls in one block; whoever is refused is on record, and a block of refusals changes nothing."""
        before = dict(self.world.entries)
        outcome = self.world.block([self.world.sign(who, args) for who, args in calls])
        for (who, _), result in zip(calls, outcome.results, strict=True):
            if result.code != "ok":
                (event,) = result.events
                assert event.kind.endswith(".refused")
                assert who.account in event.subjects
                assert dict(event.data)["code"] == result.code
        if all(result.code != "ok" for result in outcome.results):
            changed = {
                key for key in before.keys() | self.world.entries if before.get(key) != self.world.get(key)
            }
            assert all(key.startswith(b"included") for key in changed)
        self.world.time_ms += 1000
        return list(outcome.results)

    def run(self, who: Actor, args: Args) -> bool:
        return self.run_all((who, args))[0].code == "ok"

    def pick(self, which: int) -> bytes:
        grants = list(self.told)
        return grants[which % len(grants)] if grants else bytes(16)

    def active(self, told: Told, time_ms: int | None = None) -> bool:
        now_ms = self.world.time_ms if time_ms is None else time_ms
        barred = self.suspended and told.grantee is BANK
        return told.open and not told.over and not barred and now_ms < told.end_ms

    # --- asking and deciding ---

    @precondition(lambda self: len(self.told) < GRANTS_MAX)
    @rule(uses=st.integers(2, 5), frequency=FREQUENCIES, strict=st.booleans(), renewed=WHICH)
    def ask(self, uses: int, frequency: Frequency | None, strict: bool, renewed: int) -> None:
        states = tuple(CertificateState) if strict else STOPPING_STATES
        asked = replace(
            item(ASKED, ("scan",)), certificate_state_required=CertificateStateRequired(stopped_by=states)
        )
        # Every other request renews a grant, if it can.
        renews = self.pick(renewed) if renewed % 2 and self.told else b""
        terms = {"items": (asked,), "uses_max": uses, "frequency": frequency, "renews": renews}
        (result,) = self.run_all((BANK, self.world.asking(purpose="inquiry", **terms)))
        if result.code != "ok":
            assert self.suspended or result.code in {"deletion_overdue", "renewed_already", "renews_another"}
            return
        assert not renews or self.told[renews].grantee is BANK
        self.told[result.output[2:]] = Told(grantee=BANK, strict=strict, frequency=frequency)

    @precondition(lambda self: len(self.told) < GRANTS_MAX)
    @rule(uses=st.integers(1, 3), at_once=st.booleans(), silent=st.booleans(), renewed=WHICH)
    def ask_without_consent(self, uses: int, at_once: bool, silent: bool, renewed: int) -> None:
        renews = self.pick(renewed) if renewed % 2 and self.told else b""
        terms: dict[str, object] = {"items": (item(ASKED),), "uses_max": uses, "renews": renews}
        if not silent:
            terms["notice_after_ms"] = 0
        made = (emergency if at_once else access)(self.world, **terms)
        now_ms = self.world.time_ms
        (result,) = self.run_all((POLICE, made))
        if at_once and result.code in {"ok", "emergency_unreviewed"}:
            too_long = self.unreviewed and made.consent_expiry_ms > self.unreviewed[1] + 24 * 3_600_000
            assert bool(too_long) is (result.code == "emergency_unreviewed")
        if result.code != "ok":
            assert result.code in {"emergency_unreviewed", "renewed_already", "renews_another"}
            return
        grant_id = result.output[2:]
        if at_once and self.unreviewed is None:
            self.unreviewed = (grant_id, now_ms)
        told = Told(grantee=POLICE, strict=False, frequency=made.frequency, frequency_since_ms=now_ms)
        if at_once:
            assert made.consent_expiry_ms - now_ms <= 24 * 3_600_000
            told.open, told.decided, told.given = True, True, ASKED
            told.uses, told.end_ms = uses, made.consent_expiry_ms
        self.told[grant_id] = told

    @precondition(lambda self: len(self.told) < GRANTS_MAX)
    @rule(uses=st.integers(1, 3))
    def open_own(self, uses: int) -> None:
        """Li opens one of his certificates to himself."""
        now_ms = self.world.time_ms
        (result,) = self.run_all((LI, GrantsOpenOwn(certificates=CERTIFICATES[:1], uses_max=uses)))
        if result.code != "ok":
            assert CERTIFICATES[0] in self.erased
            return
        self.told[result.output[2:]] = Told(
            grantee=LI,
            strict=False,
            own=True,
            given=OWN,
            attachments=("scan",),
            uses=uses,
            end_ms=now_ms + 3_600_000,
            open=True,
            decided=True,
        )

    @rule(which=WHICH, who=st.sampled_from((POLICE, COURT, TAX, DEPARTMENT)), yes=st.booleans())
    def decide_access(self, which: int, who: Actor, yes: bool) -> None:
        grant_id = self.pick(which)
        if self.run(who, GrantsDecideAccess(grant_id=grant_id, approve=yes)):
            told, grant = self.told[grant_id], self.world.grant_record(grant_id)
            assert who in {COURT, TAX}
            assert told.grantee is POLICE
            assert not told.decided
            told.decided, told.open, told.over = True, yes, not yes
            if yes:
                told.given, told.uses, told.end_ms = ASKED, grant.uses_max, grant.consent_expiry_ms

    @rule(
        which=WHICH,
        decider=DECIDERS,
        fields=GIVEN,
        uses=st.integers(1, 4),
        minutes=MINUTES,
        frequency=FREQUENCIES,
    )
    def approve(
        self,
        which: int,
        decider: tuple[Actor, bool],
        fields: tuple[str, ...],
        uses: int,
        minutes: int,
        frequency: Frequency | None,
    ) -> None:
        grant_id = self.pick(which)
        if grant_id not in self.told:
            return
        who, mandated = decider
        end_ms, now_ms = self.world.time_ms + minutes * 60_000, self.world.time_ms
        requested = self.world.grant_record(grant_id).requested_items[0]
        args = self.world.approval(
            grant_id,
            items=(replace(requested, fields=fields, attachments=()),),
            uses_max=uses,
            consent_expiry_ms=end_ms,
            frequency=frequency,
            mandate=MANDATES.get(who.account, MANDATE) if mandated else b"",
        )
        if self.run(who, args):
            told = self.told[grant_id]
            self.check_decider(told, who, mandated, now_ms)
            assert told.grantee is BANK
            assert not told.decided
            told.decided, told.open, told.given = True, True, fields
            told.uses, told.end_ms = uses, end_ms
            told.frequency = frequency or told.frequency
            told.frequency_since_ms = now_ms

    def check_decider(self, told: Told, who: Actor, mandated: bool, now_ms: int) -> None:
        """Li decides for himself, Wang by his mandate while it holds; who asks never does, and nobody about what is Li's own."""
        if who is LI:
            assert not mandated
        else:
            assert not told.own
            assert who is WANG
            assert mandated
            assert not self.mandate_ended
            assert now_ms < POPULATED.time_ms + 40 * 3_600_000

    @rule(which=WHICH, fields=GIVEN, uses=st.integers(0, 3), minutes=MINUTES, frequency=FREQUENCIES)
    def narrow(
        self, which: int, fields: tuple[str, ...], uses: int, minutes: int, frequency: Frequency | None
    ) -> None:
        grant_id = self.pick(which)
        if grant_id not in self.told:
            return
        before, now_ms = self.world.grant_record(grant_id), self.world.time_ms
        end_ms = now_ms + minutes * 60_000
        args = GrantsNarrow(
            grant_id=grant_id,
            items=(replace(before.requested_items[0], fields=fields, attachments=()),),
            uses_left=uses,
            consent_expiry_ms=end_ms,
            frequency=frequency,
        )
        if self.run(LI, args):
            told = self.told[grant_id]
            assert set(fields) <= set(told.given)
            assert end_ms <= told.end_ms
            assert uses <= before.uses_left
            told.given, told.attachments, told.end_ms = fields, (), end_ms
            told.uses -= before.uses_left - uses
            if frequency is not None and frequency != told.frequency:
                told.frequency, told.frequency_since_ms = frequency, now_ms

    @rule(
        which=WHICH,
        decider=DECIDERS,
        step=st.sampled_from(
            (GrantsPause, GrantsResume, GrantsResume, GrantsPause, GrantsResume, GrantsRevoke, GrantsReject)
        ),
    )
    def decide(
        self,
        which: int,
        decider: tuple[Actor, bool],
        step: type[GrantsPause | GrantsResume | GrantsRevoke | GrantsReject],
    ) -> None:
        now_ms = self.world.time_ms
        who, mandated = decider
        grant_id = self.pick(which)
        args = step(grant_id=grant_id, mandate=MANDATES.get(who.account, MANDATE) if mandated else b"")
        if self.run(who, args):
            told = self.told[grant_id]
            self.check_decider(told, who, mandated, now_ms)
            assert told.grantee is BANK or told.own
            told.open = step is GrantsResume
            told.decided = True
            told.over = told.over or step in {GrantsRevoke, GrantsReject}

    @rule(which=WHICH, who=st.sampled_from((POLICE, COURT, TAX, BANK)), really=SELDOM)
    def end_access(self, which: int, who: Actor, really: bool) -> None:
        if not really:
            return
        grant_id = self.pick(which)
        if self.run(who, GrantsEndAccess(grant_id=grant_id)):
            assert self.told[grant_id].grantee is POLICE
            self.told[grant_id].over = True

    @rule(which=WHICH, who=st.sampled_from((POLICE, COURT, TAX, AUDITOR)), days=st.integers(1, 100))
    def keep_silent(self, which: int, who: Actor, days: int) -> None:
        grant_id = self.pick(which)
        if grant_id not in self.told:
            return
        before = self.world.grant_record(grant_id).access
        until_ms, now_ms = self.world.time_ms + days * 86_400_000, self.world.time_ms
        if self.run(who, GrantsExtendNotice(grant_id=grant_id, notice_after_ms=until_ms)):
            assert before is not None
            assert who.account not in {*before.approvers, POLICE.account}
            assert before.approvers
            assert now_ms < before.notice_after_ms < until_ms <= now_ms + 90 * 86_400_000

    @rule(
        which=WHICH,
        who=st.sampled_from((POLICE, COURT, AUDITOR, BANK)),
        verdict=st.sampled_from(ReviewVerdict),
    )
    def review(self, which: int, who: Actor, verdict: ReviewVerdict) -> None:
        grant_id = self.pick(which)
        if grant_id not in self.told:
            return
        before = self.world.grant_record(grant_id).access
        if self.run(who, GrantsReview(grant_id=grant_id, verdict=verdict)):
            assert before is not None
            assert (before.kind, before.review) == (AccessKind.EMERGENCY, None)
            assert who in {COURT, AUDITOR}
            if verdict is ReviewVerdict.UNJUSTIFIED:
                self.told[grant_id].over = True
            if self.unreviewed is not None and self.unreviewed[0] == grant_id:
                self.unreviewed = None
