"""No order of calls and times lets data out that is not granted, or more often than granted."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.calls import (
    Args,
    CertificatesSetState,
    DeadlinesTick,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsResume,
    GrantsRevoke,
    ReinstateOrganization,
    ReleasesAcknowledge,
    ReleasesFail,
    SuspendOrganization,
)
from contracts.records import CertificateState, GrantState, ReleaseState
from ledger.types import Result
from tests.unit.contracts_world import (
    BANK,
    DEGREE,
    DEPARTMENT,
    LI,
    NODES,
    SHOP,
    WANG,
    Actor,
    World,
    asking_release,
    identity,
    item,
    json_of,
    pdf_of,
    preparation,
)

ASKED = ("name", "school", "major")
FIELDS = st.lists(st.sampled_from((*ASKED, "grade")), min_size=1, max_size=4, unique=True).map(tuple)
GIVEN = st.lists(st.sampled_from(ASKED), min_size=1, max_size=3, unique=True).map(tuple)
CERTIFICATES = (identity("degree of li"), identity("second degree"), identity("degree of wang"))
POPULATED = World().populate()
for label, holder in (("degree of li", LI), ("second degree", LI), ("degree of wang", WANG)):
    POPULATED.issue(label, holder)


class Model:
    """What a reader of the design, who never saw the contracts, would keep in mind."""

    def __init__(self) -> None:
        self.given: tuple[str, ...] = ()
        self.uses = 0
        self.end_ms = 0
        self.open = False
        self.over = False
        self.suspended = False
        self.stopped: set[bytes] = set()
        self.wanted: dict[bytes, tuple[bytes, tuple[str, ...]]] = {}
        self.prepared: set[bytes] = set()


class GrantMachine(RuleBasedStateMachine):
    """One grant of Li's to the bank, all that can happen to it, and what the design says must come of it."""

    @initialize(uses=st.integers(min_value=1, max_value=3))
    def ask(self, uses: int) -> None:
        self.world = World()
        self.world.entries = dict(POPULATED.entries)
        self.world.time_ms, self.world.height = POPULATED.time_ms, POPULATED.height
        self.world.sent = POPULATED.sent
        self.model = Model()
        asked = self.world.asking(items=(item(ASKED, ("scan",)),), uses_max=uses)
        self.grant_id = self.world.done(BANK, asked)
        self.releases: list[bytes] = []

    def run(self, who: Actor, args: Args) -> bool:
        result: Result = self.world.run(who, args)
        assert result.events or result.code == "ok"
        return result.code == "ok"

    def active(self) -> bool:
        model = self.model
        return model.open and not model.over and not model.suspended and self.world.time_ms < model.end_ms

    # --- the holder ---

    @rule(fields=GIVEN, uses=st.integers(min_value=1, max_value=4), minutes=st.integers(1, 1440))
    def approve(self, fields: tuple[str, ...], uses: int, minutes: int) -> None:
        end_ms = self.world.time_ms + minutes * 60_000
        args = self.world.approval(
            self.grant_id, items=(item(fields),), uses_max=uses, consent_expiry_ms=end_ms
        )
        if self.run(LI, args):
            assert not self.model.uses
            self.model.open, self.model.given = True, fields
            self.model.uses, self.model.end_ms = uses, end_ms

    @rule(fields=GIVEN, uses=st.integers(min_value=0, max_value=3), minutes=st.integers(1, 1440))
    def narrow(self, fields: tuple[str, ...], uses: int, minutes: int) -> None:
        end_ms = self.world.time_ms + minutes * 60_000
        before = self.world.grant_record(self.grant_id)
        args = GrantsNarrow(
            grant_id=self.grant_id, items=(item(fields),), uses_left=uses, consent_expiry_ms=end_ms
        )
        if self.run(LI, args):
            assert set(fields) <= set(self.model.given)
            assert end_ms <= self.model.end_ms
            assert uses <= before.uses_left
            self.model.given, self.model.end_ms = fields, end_ms
            self.model.uses -= before.uses_left - uses

    @rule(step=st.sampled_from((GrantsPause, GrantsResume, GrantsRevoke, GrantsReject)))
    def decide(self, step: type[GrantsPause | GrantsResume | GrantsRevoke | GrantsReject]) -> None:
        if self.run(LI, step(grant_id=self.grant_id)):
            self.model.open = step is GrantsResume
            self.model.over = self.model.over or step in {GrantsRevoke, GrantsReject}

    @rule(who=st.sampled_from((BANK, WANG, SHOP)), step=st.sampled_from((GrantsResume, GrantsRevoke)))
    def meddle(self, who: Actor, step: type[GrantsResume | GrantsRevoke]) -> None:
        assert not self.run(who, step(grant_id=self.grant_id))

    # --- the bank and the releasing node ---

    @rule(
        fields=FIELDS,
        certificate=st.sampled_from(CERTIFICATES),
        attachment=st.booleans(),
        twice=st.booleans(),
    )
    def request(self, fields: tuple[str, ...], certificate: bytes, attachment: bool, twice: bool) -> None:
        outputs = [pdf_of(certificate, "scan") if attachment else json_of(certificate, *fields)]
        if twice:
            outputs.insert(0, json_of(CERTIFICATES[0], "name"))
        args = asking_release(self.grant_id, *outputs)
        result = self.world.run(BANK, args)
        if result.code != "ok":
            return
        release_id = result.output[2:]
        assert release_id not in self.releases
        assert self.active()
        assert not attachment
        names = fields + (("name",) if twice else ())
        assert set(names) <= set(self.model.given)
        assert certificate != CERTIFICATES[2]
        self.releases.append(release_id)
        self.model.wanted[release_id] = (certificate, names)

    @rule()
    def use_by_another(self) -> None:
        assert not self.run(SHOP, asking_release(self.grant_id, json_of(CERTIFICATES[0], "name")))

    @precondition(lambda self: self.releases)
    @rule(data=st.data())
    def prepare(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(self.releases))
        files = len(self.world.release_record(release_id).outputs)
        if not self.run(NODES[1], preparation(release_id, files)):
            return
        certificate, names = self.model.wanted[release_id]
        assert self.active()
        assert set(names) <= set(self.model.given)
        assert certificate not in self.model.stopped
        assert release_id not in self.model.prepared
        self.model.prepared.add(release_id)

    @precondition(lambda self: self.releases)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(self.releases))
        if self.run(NODES[1], ReleasesFail(release_id=release_id, reason="test")):
            assert release_id not in self.model.prepared

    @precondition(lambda self: self.releases)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(self.releases))
        hashes = tuple(file.file_hash for file in self.world.release_record(release_id).files)
        if self.run(BANK, ReleasesAcknowledge(release_id=release_id, file_hashes=hashes or (bytes(32),))):
            assert release_id in self.model.prepared

    # --- the world around ---

    @rule(holds=st.booleans())
    def suspend_certificate(self, holds: bool) -> None:
        args = CertificatesSetState(
            certificate_id=CERTIFICATES[0], state=CertificateState.SUSPENDED, holds=holds, reason="test"
        )
        if self.run(DEPARTMENT, args):
            (self.model.stopped.add if holds else self.model.stopped.discard)(CERTIFICATES[0])

    @precondition(lambda self: not self.model.suspended)
    @rule()
    def suspend_bank(self) -> None:
        self.world.vote(SuspendOrganization(account_id=BANK.account, reason="test"))
        self.model.suspended = True

    @precondition(lambda self: self.model.suspended)
    @rule()
    def reinstate_bank(self) -> None:
        self.world.vote(ReinstateOrganization(account_id=BANK.account))
        self.model.suspended = False

    @rule(minutes=st.sampled_from((1, 30, 61, 700)), tick=st.booleans())
    def wait(self, minutes: int, tick: bool) -> None:
        self.world.time_ms += minutes * 60_000
        if tick:
            assert self.run(NODES[0], DeadlinesTick())

    # --- what always holds ---

    @invariant()
    def uses_add_up(self) -> None:
        if not hasattr(self, "grant_id"):
            return
        grant = self.world.grant_record(self.grant_id)
        states = [self.world.release_record(release_id).state for release_id in self.releases]
        made = [state for state in states if state in {ReleaseState.PREPARED, ReleaseState.DELIVERED}]
        assert len(made) == len(self.model.prepared)
        assert grant.uses_reserved == states.count(ReleaseState.REQUESTED)
        if self.model.uses:
            assert len(made) <= self.model.uses == grant.uses_max
            assert grant.uses_left + grant.uses_reserved + len(made) == grant.uses_max
        if grant.state is GrantState.EXHAUSTED:
            assert (grant.uses_left, grant.uses_reserved) == (0, 0)

    @invariant()
    def nothing_is_open_that_was_not_given(self) -> None:
        if not hasattr(self, "grant_id"):
            return
        grant = self.world.grant_record(self.grant_id)
        opened = {
            (part.certificate_type, name) for part in grant.items for name in part.fields + part.attachments
        }
        assert opened == {(DEGREE, name) for name in self.model.given}


TestGrantMachine = GrantMachine.TestCase
TestGrantMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
