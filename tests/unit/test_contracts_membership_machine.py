"""No order of proposals and votes breaks what everything else relies on: whose set, which epoch, which key, how many."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts import membership
from contracts.actions import (
    AddValidator,
    AdmitReader,
    ChangeValidators,
    RemoveNode,
    RemoveValidator,
    RotateVoteKey,
    ValidatorChange,
)
from contracts.calls import Action, Args, GovernanceApprove, GovernancePropose
from contracts.membership import VALIDATORS_REMAINING_MIN
from contracts.records import AccountKind, AccountStatus, NodeRole, ProposalState
from contracts.state import ACCOUNTS, PROPOSALS
from ledger import codec, domains
from ledger.hashing import transaction_id
from ledger.types import Transaction, ValidatorSet, quorum_size
from tests.unit.contracts_world import (
    OPERATORS,
    SUITE,
    Actor,
    World,
    actor,
    newcomer,
    operator_of,
    rotation,
)

LABELS = tuple(f"newcomer {n}" for n in range(5))
ACTORS: dict[bytes, Actor] = {
    who.account: who for who in (*OPERATORS, *(actor(label, "admin") for label in LABELS))
}
ADDITIONS = {label: newcomer(label) for label in LABELS}
ROTATIONS = {
    (account, n): rotation(account, f"{account.hex()} key {n}") for account in ACTORS for n in range(2)
}
WHO = st.sampled_from(tuple(ACTORS))
CHANGES: st.SearchStrategy[ValidatorChange] = st.one_of(
    st.sampled_from(tuple(ADDITIONS.values())),
    WHO.map(lambda account: RemoveValidator(account=account)),
    st.sampled_from(tuple(ROTATIONS.values())),
)


class MembershipMachine(RuleBasedStateMachine):
    """Operators that come and go vote on whatever they like, several calls to a block."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.block: list[Transaction] = []
        self.proposals: list[bytes] = []
        self.gone: set[bytes] = set()
        self.sets: dict[int, ValidatorSet] = {1: membership.validators(self.world)}
        self.keys = [validator.vote_key for validator in self.sets[1].validators]

    def propose(self, who: bytes, action: Action) -> None:
        sent = self.send(who, GovernancePropose(action=action))
        self.proposals.append(SUITE.hash(domains.PROPOSAL_ID, transaction_id(SUITE, sent.body))[:16])

    def send(self, who: bytes, args: Args) -> Transaction:
        """Into the next block, if the account is there to sign."""
        sent = self.world.sign(ACTORS[who], args)
        if ACCOUNTS.get(self.world, who) is not None:
            self.block.append(sent)
        return sent

    @rule(who=WHO, changes=st.lists(CHANGES, min_size=1, max_size=3))
    def propose_change(self, who: bytes, changes: list[ValidatorChange]) -> None:
        self.propose(who, ChangeValidators(changes=tuple(changes)))

    @rule(who=WHO, label=st.sampled_from(LABELS), admit=st.booleans())
    def propose_reader(self, who: bytes, label: str, admit: bool) -> None:
        reader = operator_of(label)
        self.propose(who, AdmitReader(reader=reader) if admit else RemoveNode(account=reader.account))

    @rule(who=WHO, pick=st.integers(min_value=0, max_value=7))
    def approve(self, who: bytes, pick: int) -> None:
        if self.proposals:
            self.send(who, GovernanceApprove(proposal_id=self.proposals[-1 - pick % len(self.proposals)]))

    @rule(pick=st.integers(min_value=0, max_value=7))
    def approve_by_all(self, pick: int) -> None:
        for account in membership.operators(self.world):
            self.approve(account, pick)

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=3), late=st.booleans())
    def agree(self, changes: list[ValidatorChange], late: bool) -> None:
        """What operators do that agree; `late` lets others come in between."""
        who = membership.operators(self.world)[0]
        self.propose_change(who, changes)
        if not late:
            self.make_block()
        self.approve_by_all(0)

    @rule()
    def make_block(self) -> None:
        """What has gathered, in one block."""
        before = membership.validators(self.world)
        outcome = self.world.block(self.block)
        self.world.time_ms += 1000
        self.block = []
        self.proposals = [name for name in self.proposals if PROPOSALS.get(self.world, name) is not None]
        after = membership.validators(self.world)
        changes = [
            event
            for result in outcome.results
            if result.code == "ok"
            for event in result.events
            if event.kind == "governance.executed" and dict(event.data)["action"] == "change_validators"
        ]
        assert after.epoch - before.epoch == len(changes) <= 1
        if changes:
            self.check_change(before, after, changes[0].object_id)

    def check_change(self, before: ValidatorSet, after: ValidatorSet, name: bytes) -> None:
        """A quorum of those who were operators then wanted it, and it is what they were shown."""
        proposal = PROPOSALS.get(self.world, name)
        assert proposal is not None
        assert proposal.state is ProposalState.EXECUTED
        voters = [validator.account for validator in before.validators]
        assert len(set(voters) & set(proposal.approvals)) >= quorum_size(len(voters))
        members = {validator.account: validator.vote_key for validator in before.validators}
        action: ChangeValidators = codec.decode(proposal.action, ChangeValidators, size_bytes_max=2**16)
        for change in action.changes:
            match change:
                case AddValidator():
                    assert change.operator.account not in members
                    assert change.operator.account not in self.gone
                    members[change.operator.account] = change.vote_key
                case RemoveValidator():
                    del members[change.account]
                    self.gone.add(change.account)
                case RotateVoteKey():
                    assert change.account in members
                    members[change.account] = change.vote_key
        assert [(one.account, one.vote_key) for one in after.validators] == list(members.items())
        fresh = [key for key in members.values() if key not in {one.vote_key for one in before.validators}]
        assert not set(fresh) & set(self.keys), "a vote key came back"
        self.keys.extend(fresh)
        self.sets[after.epoch] = after

    @invariant()
    def every_set_is_kept_as_it_was(self) -> None:
        present = membership.validators(self.world)
        assert self.sets[present.epoch] == present
        for epoch, known in self.sets.items():
            assert membership.validator_set(self.world, epoch) == known
        assert membership.validator_set(self.world, present.epoch + 1) is None

    @invariant()
    def sets_have_their_size_and_nobody_twice(self) -> None:
        members = membership.validators(self.world).validators
        assert len(members) >= VALIDATORS_REMAINING_MIN
        assert len({one.account for one in members}) == len(members)
        assert len({one.vote_key for one in members}) == len(members)

    @invariant()
    def operators_validators_and_nodes_are_the_same(self) -> None:
        voting = set(membership.operators(self.world))
        nodes = {node.account: node.role for node in membership.nodes(self.world)}
        assert len(nodes) == len(membership.nodes(self.world))
        assert {account for account, role in nodes.items() if role is NodeRole.VALIDATOR} == voting
        for account in ACTORS:
            held = ACCOUNTS.get(self.world, account)
            if held is None:
                assert account not in nodes
                continue
            assert (held.status is AccountStatus.ACTIVE) is (account in nodes)
            assert held.kind in {AccountKind.OPERATOR, AccountKind.READER}
            if held.status is AccountStatus.ACTIVE:
                assert (held.kind is AccountKind.OPERATOR) is (account in voting)


TestMembership = MembershipMachine.TestCase
TestMembership.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
