"""No order of calls and times, at however many nodes at once, lets data out that is not granted, or more often than granted; and
whatever is refused is on record and changes nothing.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from contracts.calls import (
    CertificatesSetState,
    DeadlinesTick,
    ReinstateOrganization,
    ReleasesAcknowledge,
    ReleasesFail,
    SuspendOrganization,
)
from contracts.erasure_calls import CertificatesErase
from contracts.grant_calls import (
    GrantsStateDeletion,
    RepresentationEnd,
)
from contracts.grant_records import UNIT_MS, Grant, shown_from_ms
from contracts.grant_tables import DELETION_DUTIES, DELETIONS
from contracts.records import CertificateState, GrantState, ReleaseState
from contracts.vocabulary import STOPPING_STATES
from tests.unit.contracts_world import (
    BANK,
    DEGREE,
    DEPARTMENT,
    LI,
    NODES,
    SHOP,
    WANG,
    Actor,
    asking_release,
    json_of,
    pdf_of,
    preparation,
)
from tests.unit.grants_deciding import Deciding
from tests.unit.grants_model import (
    CERTIFICATES,
    GIVEN,
    MANDATE,
    MOSTLY_HIS,
    NAMES,
    SELDOM,
    STATES,
    WHICH,
    Told,
)
from tests.unit.grants_world import POLICE


class GrantMachine(Deciding):
    """Grants of Li's to a bank and to the police, all that can happen to them, and what the design says must come of it."""

    # --- using ---

    @rule(
        which=WHICH,
        fields=st.one_of(GIVEN, GIVEN, NAMES),
        certificate=MOSTLY_HIS,
        attachment=SELDOM,
        nodes=st.lists(st.sampled_from(NODES), min_size=1, max_size=4),
        other=SELDOM,
    )
    def request(
        self,
        which: int,
        fields: tuple[str, ...],
        certificate: bytes,
        attachment: bool,
        nodes: list[Actor],
        other: bool,
    ) -> None:
        """As many releases at once as there are nodes named, in one block."""
        grant_id = self.pick(which)
        if grant_id not in self.told:
            return
        told, now_ms = self.told[grant_id], self.world.time_ms
        output = pdf_of(certificate, "scan") if attachment else json_of(certificate, *fields)
        asker = SHOP if other else told.grantee
        calls = [(asker, asking_release(grant_id, output, by=node.account)) for node in nodes]
        for node, result in zip(nodes, self.run_all(*calls), strict=True):
            if result.code != "ok":
                continue
            release_id = result.output[2:]
            assert release_id not in self.wanted
            assert not other
            assert certificate != CERTIFICATES[2]
            assert certificate not in self.erased
            assert self.active(told, now_ms)
            if attachment:
                assert "scan" in told.attachments
            else:
                assert set(fields) <= set(told.given)
            assert not told.own or certificate == CERTIFICATES[0]
            assert not self.stopped(told, certificate)
            told.began[release_id] = now_ms
            names = ("scan",) if attachment else fields
            self.wanted[release_id] = (grant_id, certificate, names, NODES.index(node))
        self.check_frequency(told, now_ms)

    def stopped(self, told: Told, certificate: bytes) -> bool:
        """What is his own is his to read in whatever state."""
        return not told.own and any(
            (certificate, state) in self.holding and (told.strict or state in STOPPING_STATES)
            for state in STATES
        )

    def check_frequency(self, told: Told, now_ms: int) -> None:
        """Of the uses that began under the present frequency, no more than its value lie in the last unit."""
        if told.frequency is None:
            return
        since_ms = max(now_ms - UNIT_MS[told.frequency.unit], told.frequency_since_ms - 1)
        recent = [began_ms for began_ms in told.began.values() if began_ms > since_ms]
        assert len(recent) <= told.frequency.value

    @rule(which=WHICH, fields=GIVEN, nodes=st.lists(st.sampled_from(NODES), min_size=1, max_size=3))
    def use(self, which: int, fields: tuple[str, ...], nodes: list[Actor]) -> None:
        """What is asked for most often: what was given, of a certificate that is there."""
        open_now = [grant_id for grant_id, told in self.told.items() if self.active(told)]
        if open_now:
            grant_id = open_now[which % len(open_now)]
            given = tuple(name for name in fields if name in self.told[grant_id].given) or ("name",)
            self.request(list(self.told).index(grant_id), given, CERTIFICATES[0], False, nodes, False)

    @rule(which=WHICH)
    def deliver(self, which: int) -> None:
        """What comes of a release most often: its files are prepared by the node that it names."""
        waiting = [
            one for one in self.wanted if self.world.release_record(one).state is ReleaseState.REQUESTED
        ]
        if waiting:
            self.prepare_at(waiting[which % len(waiting)], astray=False)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), astray=SELDOM)
    def prepare(self, data: st.DataObject, astray: bool) -> None:
        self.prepare_at(data.draw(st.sampled_from(sorted(self.wanted))), astray=astray)

    def prepare_at(self, release_id: bytes, *, astray: bool) -> None:
        grant_id, certificate, names, node = self.wanted[release_id]
        told, now_ms = self.told[grant_id], self.world.time_ms
        files = len(self.world.release_record(release_id).outputs)
        if self.run(NODES[node - 1 if astray else node], preparation(release_id, files)):
            assert not astray
            assert self.active(told, now_ms)
            assert set(names) <= {*told.given, *told.attachments}
            assert not self.stopped(told, certificate)
            assert certificate not in self.erased
            assert release_id not in told.prepared
            told.prepared.add(release_id)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(sorted(self.wanted)))
        grant_id, _, _, node = self.wanted[release_id]
        if self.run(NODES[node], ReleasesFail(release_id=release_id, reason="test")):
            assert release_id not in self.told[grant_id].prepared

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(sorted(self.wanted)))
        told = self.told[self.wanted[release_id][0]]
        hashes = tuple(file.file_hash for file in self.world.release_record(release_id).files)
        args = ReleasesAcknowledge(release_id=release_id, file_hashes=hashes or (bytes(32),))
        if self.run(told.grantee, args):
            assert release_id in told.prepared

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), who=st.sampled_from((BANK, POLICE)))
    def state_deletion(self, data: st.DataObject, who: Actor) -> None:
        release_id = data.draw(st.sampled_from(sorted(self.wanted)))
        grant_id = self.wanted[release_id][0]
        args = GrantsStateDeletion(grant_id=grant_id, releases=(release_id,), statement=bytes(32))
        if self.run(who, args):
            assert who is self.told[grant_id].grantee
            assert release_id in self.told[grant_id].prepared

    # --- the world around ---

    @rule(certificate=st.sampled_from(CERTIFICATES[:2]), state=st.sampled_from(STATES), holds=st.booleans())
    def set_state(self, certificate: bytes, state: CertificateState, holds: bool) -> None:
        args = CertificatesSetState(certificate_id=certificate, state=state, holds=holds, reason="test")
        if self.run(DEPARTMENT, args):
            (self.holding.add if holds else self.holding.discard)((certificate, state))

    @rule(
        certificate=st.sampled_from(CERTIFICATES[:2]),
        who=st.sampled_from((DEPARTMENT, POLICE)),
        really=SELDOM,
    )
    def erase(self, certificate: bytes, who: Actor, really: bool) -> None:
        if really and self.run(who, CertificatesErase(certificate_id=certificate, reason="test")):
            assert who is DEPARTMENT
            assert certificate not in self.erased
            self.erased.add(certificate)

    @precondition(lambda self: not self.suspended)
    @rule(really=SELDOM)
    def suspend_bank(self, really: bool) -> None:
        if not really:
            return
        self.world.vote(SuspendOrganization(account_id=BANK.account, reason="test"))
        self.suspended = True

    @precondition(lambda self: self.suspended)
    @rule()
    def reinstate_bank(self) -> None:
        self.world.vote(ReinstateOrganization(account_id=BANK.account))
        self.suspended = False

    @rule(who=st.sampled_from((LI, WANG, BANK)), really=SELDOM)
    def end_mandate(self, who: Actor, really: bool) -> None:
        if not really:
            return
        args = RepresentationEnd(mandate_id=MANDATE)
        if who is not BANK:
            self.mandate_ended = self.run(who, args) or self.mandate_ended
        else:
            assert not self.run(who, args)

    @rule(minutes=st.sampled_from((1, 1, 30, 30, 61, 61, 700, 15_000)), tick=st.booleans())
    def wait(self, minutes: int, tick: bool) -> None:
        self.world.time_ms += minutes * 60_000
        if tick:
            assert self.run(NODES[0], DeadlinesTick())

    # --- what always holds ---

    def records(self) -> list[tuple[bytes, Told, Grant]]:
        told = getattr(self, "told", {})
        return [(grant_id, one, self.world.grant_record(grant_id)) for grant_id, one in told.items()]

    @invariant()
    def uses_add_up(self) -> None:
        for _, told, grant in self.records():
            states = {one: self.world.release_record(one).state for one in told.began}
            told.began = {
                one: began for one, began in told.began.items() if states[one] is not ReleaseState.FAILED
            }
            made = [
                state
                for state in states.values()
                if state not in {ReleaseState.REQUESTED, ReleaseState.FAILED}
            ]
            assert len(made) == len(told.prepared)
            assert grant.uses_reserved == list(states.values()).count(ReleaseState.REQUESTED)
            if told.uses:
                assert len(made) <= told.uses == grant.uses_max
                assert grant.uses_left + grant.uses_reserved + len(made) == grant.uses_max
            if grant.state is GrantState.EXHAUSTED:
                assert (grant.uses_left, grant.uses_reserved) == (0, 0)

    @invariant()
    def nothing_is_open_that_was_not_given(self) -> None:
        for _, told, grant in self.records():
            opened = {
                (part.certificate_type, name)
                for part in grant.items
                for name in part.fields + part.attachments
            }
            assert opened == {(DEGREE, name) for name in (*told.given, *told.attachments)}
            assert grant.state is not GrantState.ACTIVE or told.open

    @invariant()
    def each_is_renewed_once_and_says_so_to_nobody_too_early(self) -> None:
        """What a person is shown, with its proof, names no access that is kept from him."""
        records = {grant_id: grant for grant_id, _, grant in self.records()}
        renewing = [grant.renewed_by for grant in records.values() if grant.renewed_by]
        assert len(renewing) == len(set(renewing))
        for grant_id, grant in records.items():
            if grant.renewed_by:
                renewal = records[grant.renewed_by]
                assert renewal.renews == grant_id
                assert shown_from_ms(renewal) <= self.world.time_ms
                assert (renewal.grantee, renewal.purpose) == (grant.grantee, grant.purpose)

    @invariant()
    def what_was_kept_is_owed_until_it_is_stated(self) -> None:
        for grant_id, told, _ in self.records():
            owed = [DELETIONS.get(self.world, one) for one in told.prepared]
            duty = DELETION_DUTIES.get(self.world, grant_id)
            still = sum(one is not None and not one.stated_ms for one in owed)
            assert (0 if duty is None else duty.open) == still


TestGrantMachine = GrantMachine.TestCase
TestGrantMachine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
