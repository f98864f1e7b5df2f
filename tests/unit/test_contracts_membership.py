"""Validators, nodes, protocol versions: what operators decide about the network, and what a node says of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from contracts import evidence, membership, protocol_versions
from contracts.actions import (
    CHANGES_PER_ACTION_MAX,
    AddValidator,
    AdmitReader,
    ChangeValidators,
    RemoveNode,
    RemoveValidator,
    RotateVoteKey,
    SetProtocolVersion,
    ValidatorChange,
    WithdrawProtocolVersion,
)
from contracts.calls import (
    Action,
    DeadlinesTick,
    EvidenceReport,
    GovernanceApprove,
    GovernancePropose,
    NodesSetAddress,
    NodesSetCertificates,
    SuspendOrganization,
    call,
)
from contracts.genesis import GenesisInvalid, genesis_state
from contracts.membership import READERS_MAX, VALIDATORS_REMAINING_MIN, VOTE_KEY_CHECK_COST
from contracts.protocol_versions import PROTOCOL_NOTICE_BLOCKS_MIN
from contracts.records import (
    AccountKind,
    AccountStatus,
    NodeRole,
    ProposalState,
)
from contracts.registry import CALL_COST_MAX, call_cost
from contracts.runtime import BlockFull
from contracts.state import ACCOUNTS, NODE_ACCOUNTS, NODES, PROPOSALS, Draft, NodeAccounts
from ledger.hashing import PROTOCOL_VERSION, transaction_id
from ledger.types import VALIDATORS_MAX, Genesis, Limits, ValidatorSet, VoteKind
from tests.unit.contracts_world import (
    BANK,
    OPERATORS,
    READER_ADMIN,
    READER_NODE,
    SUITE,
    Actor,
    World,
    actor,
    ballot,
    genesis,
    identity,
    newcomer,
    operator_of,
    rotation,
    voter,
)
from tests.unit.contracts_world import (
    NODES as OPERATOR_NODES,
)

FIFTH = actor("fifth", "admin")


def change(*changes: ValidatorChange) -> ChangeValidators:
    return ChangeValidators(changes=changes)


def accounts(validators: ValidatorSet | None) -> list[bytes]:
    assert validators is not None
    return [validator.account for validator in validators.validators]


def decide(world: World, action: Action, *voters: Actor) -> None:
    """Have these operators vote for it, in this order; the last one's approval must carry it out."""
    proposal = world.done(voters[0], GovernancePropose(action=action))
    for voter_ in voters[1:]:
        world.done(voter_, GovernanceApprove(proposal_id=proposal))
    kept = PROPOSALS.get(world, proposal)
    assert kept is not None
    assert kept.state is ProposalState.EXECUTED


def refused(world: World, action: Action, code: str) -> dict[str, str | int]:
    return world.refused(OPERATORS[0], GovernancePropose(action=action), code)


# --- genesis ------------------------------------------------------------------------------------------------


def test_genesis_makes_its_operators_the_validators_and_nodes_of_the_first_epoch() -> None:
    world, document = World(), genesis()
    assert membership.validators(world) == membership.validator_set(world, 1) == document.validators
    assert membership.validator_set(world, 2) is None
    assert membership.operators(world) == tuple(who.account for who in OPERATORS)
    records = membership.nodes(world)
    assert [(node.account, node.host, node.port, node.certificates) for node in records] == [
        (operator.account, operator.host, operator.port, (operator.certificate,))
        for operator in document.operators
    ]
    assert {node.role for node in records} == {NodeRole.VALIDATOR}
    assert protocol_versions.protocol_version(world, 1) == PROTOCOL_VERSION


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda d: replace(d, validators=replace(d.validators, epoch=2)), "epoch"),
        (lambda d: _first_operator(d, wrap_key=d.operators[1].wrap_key), "wrap key"),
        (lambda d: _first_operator(d, certificate=d.operators[1].certificate), "certificate"),
        (lambda d: _first_operator(d, host="no host"), "host"),
        (lambda d: _first_operator(d, keys=d.operators[1].keys), "account key"),
        (lambda d: _first_validator(d, vote_key=d.validators.validators[1].vote_key), "vote key"),
    ],
)
def test_a_genesis_where_nodes_share_a_key_is_refused(
    spoil: Callable[[Genesis], Genesis], reason: str
) -> None:
    with pytest.raises(GenesisInvalid, match=reason):
        genesis_state(SUITE, spoil(genesis()))


def _first_operator(document: Genesis, **changes: object) -> Genesis:
    return replace(document, operators=(replace(document.operators[0], **changes), *document.operators[1:]))


def _first_validator(document: Genesis, **changes: object) -> Genesis:
    first, *others = document.validators.validators
    return replace(
        document, validators=replace(document.validators, validators=(replace(first, **changes), *others))
    )


# --- validators ---------------------------------------------------------------------------------------------


def test_an_added_validator_votes_from_the_next_epoch_on_and_governs_at_once() -> None:
    world = World()
    world.vote(change(newcomer("fifth")))
    present, first = membership.validators(world), membership.validator_set(world, 1)
    assert (present.epoch, accounts(present)[:4], accounts(present)[4]) == (2, accounts(first), FIFTH.account)
    assert membership.validator_set(world, 2) == present
    node = membership.node(world, FIFTH.account)
    assert node is not None
    assert (node.role, node.host) == (NodeRole.VALIDATOR, "node.test")
    # Five operators need four approvals: the fifth's is one of them.
    proposal = world.vote(change(rotation(OPERATORS[0].account, "new vote 0")))
    assert membership.validators(world).epoch == 2
    world.done(FIFTH, GovernanceApprove(proposal_id=proposal))
    assert membership.validators(world).epoch == 3
    world.done(actor("fifth", "node"), DeadlinesTick())


def test_a_validator_is_replaced_in_one_vote() -> None:
    world = World()
    world.vote(change(RemoveValidator(account=OPERATORS[3].account), newcomer("fifth")))
    present = membership.validators(world)
    assert accounts(present) == [*(who.account for who in OPERATORS[:3]), FIFTH.account]
    gone = ACCOUNTS.get(world, OPERATORS[3].account)
    assert gone is not None
    assert (gone.kind, gone.status) == (AccountKind.OPERATOR, AccountStatus.REMOVED)
    assert membership.node(world, OPERATORS[3].account) is None
    assert OPERATORS[3].account not in {node.account for node in membership.nodes(world)}
    assert world.refused(
        OPERATORS[3], GovernancePropose(action=change(newcomer("sixth"))), "membership_ended"
    ) == {"account": OPERATORS[3].account.hex()}
    world.refused(OPERATOR_NODES[3], DeadlinesTick(), "membership_ended")


def test_a_rotated_key_takes_its_predecessors_place_and_no_rotated_key_comes_back() -> None:
    world = World()
    first = membership.validators(world)
    world.vote(change(rotation(OPERATORS[1].account, "second key")))
    second = membership.validators(world)
    assert accounts(second) == accounts(first)
    assert second.validators[1].vote_key == voter("second key").public_key
    assert second.validators[0] == first.validators[0]
    assert membership.validator_set(world, 1) == first
    for label in ("vote 1", "second key", "vote 0"):
        for account in (OPERATORS[1].account, OPERATORS[0].account):
            fields = refused(world, change(rotation(account, label)), "key_taken")
            assert fields["what"] == membership.VOTE_KEY
    refused(world, change(newcomer("fifth", "vote 1")), "key_taken")


def test_a_key_given_twice_in_one_change_is_refused() -> None:
    world = World()
    twice = change(rotation(OPERATORS[0].account, "same"), rotation(OPERATORS[1].account, "same"))
    refused(world, twice, "key_taken")
    shared = identity("one certificate", 32)
    refused(
        world,
        change(newcomer("fifth", certificate=shared), newcomer("sixth", certificate=shared)),
        "key_taken",
    )


def test_each_account_stands_once_in_a_change() -> None:
    world = World()
    account = OPERATORS[0].account
    refused(world, change(RemoveValidator(account=account), rotation(account, "k")), "duplicate_name")
    refused(world, change(newcomer("fifth"), newcomer("fifth", "other")), "duplicate_name")
    refused(world, change(newcomer("fifth"), rotation(FIFTH.account, "k")), "duplicate_name")


def test_only_validators_are_removed_or_have_a_vote_key() -> None:
    world = World().populate()
    for stranger in (BANK.account, READER_NODE.account, identity("nobody")):
        refused(world, change(RemoveValidator(account=stranger)), "not_a_validator")
        refused(world, change(rotation(stranger, "k")), "not_a_validator")
    refused(world, change(newcomer("bank")), "account_exists")


def test_a_reader_that_follows_already_becomes_a_validator_under_its_own_keys() -> None:
    world = World().populate()
    world.done(READER_NODE, NodesSetAddress(host="moved.test", port=9))
    same = newcomer("reader")
    for other in (
        newcomer("reader", name="another"),
        newcomer("reader", wrap_key=identity("another", 32)),
        newcomer("reader", keys=operator_of("reader").keys[1:]),
        newcomer("reader", keys=operator_of("fifth").keys),
    ):
        refused(world, change(other), "account_exists")
    world.vote(change(same))
    node = membership.node(world, READER_NODE.account)
    assert node is not None
    assert (node.role, node.host) == (NodeRole.VALIDATOR, "moved.test")
    assert len(membership.nodes(world)) == 5
    assert membership.operators(world)[4] == READER_NODE.account
    world.done(READER_NODE, DeadlinesTick())
    world.done(READER_ADMIN, GovernancePropose(action=change(newcomer("fifth"))))


def test_a_reader_without_an_admin_key_cannot_become_an_operator() -> None:
    world = World()
    keys = operator_of("plain").keys[1:]
    world.vote(AdmitReader(reader=operator_of("plain", keys=keys)))
    refused(world, change(newcomer("plain", keys=keys)), "key_role_missing")


def test_no_vote_leaves_fewer_validators_than_the_least() -> None:
    world = World()
    fields = refused(world, change(RemoveValidator(account=OPERATORS[0].account)), "validators_too_few")
    assert fields == {"minimum": VALIDATORS_REMAINING_MIN, "actual": 3}
    small = World(operators=2)
    decide(small, change(newcomer("fifth")), *OPERATORS[:2])
    decide(small, change(RemoveValidator(account=FIFTH.account)), *OPERATORS[:2], FIFTH)
    small.refused(
        OPERATORS[0],
        GovernancePropose(action=change(RemoveValidator(account=OPERATORS[0].account))),
        "validators_too_few",
    )


def test_no_vote_leaves_more_validators_than_fit() -> None:
    world = World()
    full = membership.validators(world)
    fill = tuple(
        replace(full.validators[0], account=identity(f"v{n}"), vote_key=identity(f"k{n}", 48))
        for n in range(VALIDATORS_MAX - 4)
    )
    draft = Draft(world)
    membership._put_set(draft, replace(full, validators=(*full.validators, *fill)))
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    fields = refused(world, change(newcomer("fifth")), "validators_too_many")
    assert fields == {"maximum": VALIDATORS_MAX, "actual": VALIDATORS_MAX + 1}


def test_a_vote_key_must_be_proven_for_this_network_and_account() -> None:
    world = World()
    good = newcomer("fifth")
    elsewhere = voter("vote fifth").prove_possession("other network", FIFTH.account)
    for_another = voter("vote fifth").prove_possession("test", OPERATORS[0].account)
    for possession in (elsewhere, for_another, good.possession[:-1] + b"\0", b"x"):
        fields = refused(world, change(replace(good, possession=possession)), "possession_invalid")
        assert fields == {"account": FIFTH.account.hex()}
    broken = replace(rotation(OPERATORS[0].account, "k"), possession=good.possession)
    refused(world, change(good, broken), "possession_invalid")
    world.vote(change(good))


def test_a_newcomer_brings_both_keys_an_address_and_nothing_that_another_has() -> None:
    world = World()
    operator = operator_of("fifth")
    admin, node = operator.keys
    theirs = genesis().operators[0]
    cases: list[tuple[str, dict[str, object]]] = [
        ("key_role_missing", {"keys": (admin,)}),
        ("key_role_missing", {"keys": (node,)}),
        ("key_role_not_allowed", {"keys": (admin, node, replace(node, role="officer"))}),
        ("key_id_mismatch", {"keys": (admin, replace(node, key_id=identity("x")))}),
        ("unknown_scheme", {"keys": (admin, replace(node, scheme="rsa"))}),
        ("duplicate_name", {"keys": (admin, node, node)}),
        ("too_many_keys", {"keys": (admin, node) * 5}),
        ("host_unusable", {"host": "a b"}),
        ("host_unusable", {"host": "节点"}),
        ("host_unusable", {"host": "-a"}),
        ("key_taken", {"wrap_key": theirs.wrap_key}),
        ("key_taken", {"certificate": theirs.certificate}),
        ("key_taken", {"keys": theirs.keys}),
    ]
    for code, changes in cases:
        refused(world, change(newcomer("fifth", "", **changes)), code)
    for host in ("10.0.0.1", "::1", "fe80::1", "node-1.city.example", "a"):
        draft = Draft(world)
        membership._admit(SUITE, draft, operator_of("fifth", host=host), NodeRole.READER, 0)


def test_the_set_changes_once_a_block_and_again_in_the_next_epoch() -> None:
    world = World(operators=1)
    first = GovernancePropose(action=change(newcomer("fifth")))
    second = GovernancePropose(action=change(newcomer("sixth")))
    outcome = world.block([world.sign(OPERATORS[0], first), world.sign(OPERATORS[0], second)])
    assert [result.code for result in outcome.results] == ["ok", "epoch_change_pending"]
    assert dict(outcome.results[1].fields) == {"epoch": 2}
    assert len(membership.validators(world).validators) == 2
    world.time_ms += 1000
    decide(world, change(newcomer("sixth")), OPERATORS[0], FIFTH)
    assert membership.validators(world).epoch == 3


def test_approvals_count_of_those_who_are_operators_when_it_is_carried_out() -> None:
    world = World()
    pending = world.done(OPERATORS[3], GovernancePropose(action=change(rotation(OPERATORS[0].account, "k"))))
    world.done(OPERATORS[0], GovernanceApprove(proposal_id=pending))
    world.vote(change(RemoveValidator(account=OPERATORS[3].account), newcomer("fifth")))
    world.done(OPERATORS[1], GovernanceApprove(proposal_id=pending))
    assert membership.validators(world).epoch == 2, "three approved, one of them is no operator any more"
    world.done(FIFTH, GovernanceApprove(proposal_id=pending))
    assert membership.validators(world).epoch == 3


def test_a_proposal_that_has_become_approved_by_a_smaller_set_is_carried_out_on_another_approval() -> None:
    world = World()
    world.vote(change(newcomer("fifth")))
    pending = world.vote(AdmitReader(reader=operator_of("reader")))
    world.refused(OPERATORS[0], GovernanceApprove(proposal_id=pending), "already_approved")
    decide(world, change(RemoveValidator(account=FIFTH.account)), *OPERATORS)
    world.done(OPERATORS[0], GovernanceApprove(proposal_id=pending))
    assert membership.node(world, READER_NODE.account) is not None
    world.refused(OPERATORS[0], GovernanceApprove(proposal_id=pending), "state_transition")


def test_what_was_possible_when_proposed_is_checked_again_when_it_is_carried_out() -> None:
    world = World()
    pending = world.done(OPERATORS[0], GovernancePropose(action=change(newcomer("fifth"))))
    world.vote(change(rotation(OPERATORS[0].account, "vote fifth")))
    world.done(OPERATORS[1], GovernanceApprove(proposal_id=pending))
    world.refused(OPERATORS[2], GovernanceApprove(proposal_id=pending), "key_taken")
    assert ACCOUNTS.get(world, FIFTH.account) is None


def test_proofs_of_possession_are_paid_for_before_they_are_checked() -> None:
    one, two = change(newcomer("fifth")), change(newcomer("fifth"), newcomer("sixth"))
    bare = GovernancePropose(action=SuspendOrganization(account_id=bytes(16), reason="x"))
    costs = [call_cost(call(GovernancePropose(action=action))) for action in (one, two)]
    assert call_cost(call(bare)) < 60 + VOTE_KEY_CHECK_COST
    assert costs[0] >= 60 + VOTE_KEY_CHECK_COST
    assert costs[1] >= 60 + 2 * VOTE_KEY_CHECK_COST
    most = change(*(newcomer(f"n{n}") for n in range(CHANGES_PER_ACTION_MAX)))
    assert call_cost(call(GovernancePropose(action=most))) <= CALL_COST_MAX
    world = World(Limits(block_cost_max=CALL_COST_MAX))
    execution = world.execution()
    room = CALL_COST_MAX // call_cost(call(GovernancePropose(action=most)))
    *fitting, over = (world.sign(OPERATORS[0], GovernancePropose(action=most)) for _ in range(room + 1))
    for sent in fitting:
        execution.add(sent, transaction_id(SUITE, sent.body))
    with pytest.raises(BlockFull):
        execution.add(over, transaction_id(SUITE, over.body))
    too_many = change(*most.changes, newcomer("one more"))
    assert world.run(OPERATORS[0], GovernancePropose(action=too_many)).code == "malformed_call"


# --- nodes --------------------------------------------------------------------------------------------------


def test_a_reader_is_a_node_without_any_vote() -> None:
    world = World()
    world.vote(AdmitReader(reader=operator_of("reader")))
    node = membership.node(world, READER_NODE.account)
    assert node is not None
    assert (node.role, len(membership.nodes(world))) == (NodeRole.READER, 5)
    assert membership.validators(world).epoch == 1
    assert READER_NODE.account not in membership.operators(world)
    action = RemoveNode(account=READER_NODE.account)
    world.refused(READER_ADMIN, GovernancePropose(action=action), "wrong_account_kind")
    world.refused(READER_NODE, DeadlinesTick(), "wrong_account_kind")
    world.done(READER_NODE, NodesSetAddress(host="elsewhere.test", port=1))
    world.vote(action)
    assert membership.node(world, READER_NODE.account) is None
    world.refused(READER_NODE, NodesSetAddress(host="back.test", port=1), "membership_ended")
    refused(world, action, "not_a_reader")
    refused(world, RemoveNode(account=OPERATORS[0].account), "not_a_reader")
    refused(world, AdmitReader(reader=operator_of("reader")), "account_exists")


def test_a_reader_needs_a_node_key_only_and_readers_are_bounded() -> None:
    world = World()
    plain = operator_of("plain")
    admin, node = plain.keys
    refused(world, AdmitReader(reader=replace(plain, keys=(admin,))), "key_role_missing")
    world.vote(AdmitReader(reader=replace(plain, keys=(node,))))
    draft = Draft(world)
    record = membership.node(world, plain.account)
    assert record is not None
    listed = [identity(f"reader {n}") for n in range(READERS_MAX - 1)]
    for account in listed:
        NODES.put(draft, account, replace(record, account=account))
    everybody = (*membership.operators(world), plain.account, *listed)
    NODE_ACCOUNTS.put(draft, None, NodeAccounts(accounts=everybody))
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    fields = refused(world, AdmitReader(reader=operator_of("reader")), "readers_too_many")
    assert fields == {"maximum": READERS_MAX}
    world.vote(change(newcomer("fifth")))


def test_a_node_renews_its_certificate_with_an_overlap_and_only_its_own() -> None:
    world = World().populate()
    old, new = identity("certificate 0", 32), identity("renewed 0", 32)
    world.done(OPERATOR_NODES[0], NodesSetCertificates(certificates=(old, new)))
    node = membership.node(world, OPERATORS[0].account)
    assert node is not None
    assert node.certificates == (old, new)
    world.refused(OPERATOR_NODES[1], NodesSetCertificates(certificates=(old,)), "key_taken")
    world.refused(READER_NODE, NodesSetCertificates(certificates=(new,)), "key_taken")
    world.done(OPERATORS[0], NodesSetCertificates(certificates=(new,)))
    world.refused(OPERATOR_NODES[1], NodesSetCertificates(certificates=(old,)), "key_taken")
    world.refused(OPERATOR_NODES[0], NodesSetCertificates(certificates=(new, new)), "duplicate_name")
    for certificates in ((), (b"a", b"b", b"c"), (bytes(2049),)):
        args = NodesSetCertificates(certificates=certificates)
        world.refused(OPERATOR_NODES[0], args, "malformed_call")
    refused(world, change(newcomer("fifth", certificate=old)), "key_taken")


def test_a_node_says_where_it_is_reached() -> None:
    world = World()
    world.done(OPERATOR_NODES[2], NodesSetAddress(host="192.0.2.7", port=65535))
    node = membership.node(world, OPERATORS[2].account)
    assert node is not None
    assert (node.host, node.port) == ("192.0.2.7", 65535)
    world.refused(OPERATOR_NODES[2], NodesSetAddress(host="http://x/", port=1), "host_unusable")
    world.refused(OPERATOR_NODES[2], NodesSetAddress(host="x", port=0), "malformed_call")
    assert [other.host for other in membership.nodes(world)][:2] == ["node-0.test", "node-1.test"]


# --- protocol versions --------------------------------------------------------------------------------------


def test_a_protocol_version_comes_into_force_at_its_height() -> None:
    world = World()
    version, height = PROTOCOL_VERSION + 1, world.height + 3 + PROTOCOL_NOTICE_BLOCKS_MIN
    world.vote(SetProtocolVersion(version=version, height=height))
    read = protocol_versions.protocol_version
    assert [read(world, at) for at in (1, height - 1, height, height + 1)] == [1, 1, 2, 2]
    assert protocol_versions.pending_protocol(world, height - 1) == (version, height)
    assert protocol_versions.pending_protocol(world, height) is None
    again = SetProtocolVersion(version=version, height=height + 1000)
    assert refused(world, again, "protocol_pending") == {"version": version, "height": height}
    world.height = height
    refused(world, again, "protocol_not_next")
    world.vote(SetProtocolVersion(version=version + 1, height=height + 1000))
    assert [read(world, at) for at in (height, height + 999, height + 1000)] == [2, 2, 3]


def test_a_protocol_version_is_the_next_one_and_comes_with_notice() -> None:
    world = World()
    for version in (0, PROTOCOL_VERSION, PROTOCOL_VERSION + 2):
        fields = refused(world, SetProtocolVersion(version=version, height=10_000), "protocol_not_next")
        assert fields == {"version": version, "expected": PROTOCOL_VERSION + 1}
    minimum = world.height + 1 + PROTOCOL_NOTICE_BLOCKS_MIN
    fields = refused(world, SetProtocolVersion(version=2, height=minimum - 1), "protocol_too_soon")
    assert fields == {"height": minimum - 1, "minimum": minimum}


def test_a_protocol_version_is_withdrawn_before_its_height_and_not_after() -> None:
    world = World()
    refused(world, WithdrawProtocolVersion(version=2), "protocol_not_pending")
    world.vote(SetProtocolVersion(version=2, height=1000))
    refused(world, WithdrawProtocolVersion(version=3), "protocol_not_pending")
    world.vote(WithdrawProtocolVersion(version=2))
    assert protocol_versions.protocol_version(world, 1000) == 1
    world.vote(SetProtocolVersion(version=2, height=1000))
    world.height = 999  # the next block is the first of that version
    refused(world, WithdrawProtocolVersion(version=2), "protocol_not_pending")


# --- evidence -----------------------------------------------------------------------------------------------


def test_two_votes_that_exclude_each_other_are_kept_and_name_the_validator() -> None:
    world = World()
    pairs = (
        (ballot(2, 1, VoteKind.NOTARIZE, "a"), ballot(2, 1, VoteKind.NOTARIZE, "b")),
        (ballot(2, 2, VoteKind.NULLIFY), ballot(2, 2, VoteKind.FINALIZE, "a")),
        (ballot(2, 3, VoteKind.FINALIZE, "a"), ballot(2, 3, VoteKind.NULLIFY)),
        (ballot(2, 4, VoteKind.FINALIZE, "a"), ballot(2, 4, VoteKind.FINALIZE, "b")),
    )
    for number, (first, second) in enumerate(pairs):
        result = world.run(OPERATOR_NODES[0], EvidenceReport(first=first, second=second))
        assert result.code == "ok"
        (event,) = result.events
        assert (event.kind, event.object_id) == ("evidence.reported", OPERATORS[2].account)
        assert dict(event.data)["name"] == "op2"
        kept = evidence.record(world, number)
        assert kept is not None
        assert (kept.validator, kept.reporter) == (OPERATORS[2].account, OPERATORS[0].account)
        assert (kept.first, kept.second, kept.epoch, kept.view) == (first, second, 1, number + 1)
        assert kept.height == world.height
    assert evidence.count(world) == len(pairs)


def test_votes_that_do_not_exclude_each_other_are_no_evidence() -> None:
    world = World()
    base = ballot(1, 5, VoteKind.NOTARIZE, "a")
    for other in (
        base,
        ballot(1, 6, VoteKind.NOTARIZE, "b"),
        ballot(2, 5, VoteKind.NOTARIZE, "b"),
        ballot(1, 5, VoteKind.NOTARIZE, "b", epoch=2),
        ballot(1, 5, VoteKind.NULLIFY),
        ballot(1, 5, VoteKind.FINALIZE, "b"),
    ):
        world.refused(OPERATOR_NODES[0], EvidenceReport(first=base, second=other), "votes_agree")


def test_forged_votes_accuse_nobody() -> None:
    world = World()
    good = ballot(1, 5, VoteKind.NULLIFY)
    forged = ballot(1, 5, VoteKind.FINALIZE, key="vote 0")
    for pair in ((good, forged), (forged, good)):
        args = EvidenceReport(first=pair[0], second=pair[1])
        assert world.refused(OPERATOR_NODES[0], args, "vote_invalid")["kind"] == "finalize"
    zero = replace(ballot(1, 5, VoteKind.FINALIZE), digest=bytes(32))
    world.refused(OPERATOR_NODES[0], EvidenceReport(first=good, second=zero), "vote_invalid")
    for unknown in (
        (ballot(4, 5, VoteKind.NULLIFY), ballot(4, 5, VoteKind.FINALIZE)),
        (ballot(1, 5, VoteKind.NULLIFY, epoch=9), ballot(1, 5, VoteKind.FINALIZE, epoch=9)),
    ):
        args = EvidenceReport(first=unknown[0], second=unknown[1])
        world.refused(OPERATOR_NODES[0], args, "unknown_validator")


def test_one_view_is_proven_once_whoever_reports_it() -> None:
    world = World()
    votes = ballot(1, 5, VoteKind.NULLIFY), ballot(1, 5, VoteKind.FINALIZE)
    world.run(OPERATOR_NODES[0], EvidenceReport(first=votes[0], second=votes[1]))
    again = EvidenceReport(first=votes[1], second=votes[0])
    fields = world.refused(OPERATOR_NODES[3], again, "evidence_known")
    assert fields == {"epoch": 1, "view": 5, "validator": OPERATORS[1].account.hex()}


def test_votes_of_an_earlier_epoch_are_held_against_its_set() -> None:
    world = World()
    world.vote(change(rotation(OPERATORS[1].account, "second key")))
    world.vote(change(RemoveValidator(account=OPERATORS[1].account), newcomer("fifth")))
    votes = (
        ballot(1, 5, VoteKind.NULLIFY, epoch=2, key="second key"),
        ballot(1, 5, VoteKind.FINALIZE, epoch=2, key="second key"),
    )
    assert world.run(OPERATOR_NODES[0], EvidenceReport(first=votes[0], second=votes[1])).code == "ok"
    old = ballot(1, 5, VoteKind.NULLIFY), ballot(1, 5, VoteKind.FINALIZE)
    assert world.run(OPERATOR_NODES[0], EvidenceReport(first=old[0], second=old[1])).code == "ok"
    stale = [ballot(1, 6, kind, epoch=2) for kind in (VoteKind.NULLIFY, VoteKind.FINALIZE)]
    world.refused(OPERATOR_NODES[0], EvidenceReport(first=stale[0], second=stale[1]), "vote_invalid")


def test_evidence_against_one_validator_is_bounded_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX", 2)
    world = World()

    def report(index: int, view: int) -> str:
        votes = ballot(index, view, VoteKind.NULLIFY), ballot(index, view, VoteKind.FINALIZE)
        return world.run(OPERATOR_NODES[0], EvidenceReport(first=votes[0], second=votes[1])).code

    assert [report(1, view) for view in (1, 2, 3)] == ["ok", "ok", "evidence_enough"]
    assert report(2, 3) == "ok"


def test_checking_two_votes_is_paid_for() -> None:
    votes = ballot(1, 5, VoteKind.NULLIFY), ballot(1, 5, VoteKind.FINALIZE)
    assert call_cost(call(EvidenceReport(first=votes[0], second=votes[1]))) > 2 * VOTE_KEY_CHECK_COST


def test_a_change_is_told_to_those_it_concerns() -> None:
    world = World()
    action = change(
        RemoveValidator(account=OPERATORS[3].account),
        newcomer("fifth"),
        rotation(OPERATORS[0].account, "k"),
    )
    proposal = world.done(OPERATORS[0], GovernancePropose(action=action))
    world.done(OPERATORS[1], GovernanceApprove(proposal_id=proposal))
    result = world.run(OPERATORS[2], GovernanceApprove(proposal_id=proposal))
    told = {event.kind: event for event in result.events}
    assert told["validators.removed"].object_id == OPERATORS[3].account
    assert told["validators.added"].object_id == FIFTH.account
    assert told["validators.key_rotated"].object_id == OPERATORS[0].account
    for kind in ("validators.removed", "validators.added", "validators.key_rotated"):
        assert dict(told[kind].data)["epoch"] == 2
    subjects = set(told["governance.executed"].subjects)
    assert {OPERATORS[3].account, FIFTH.account, OPERATORS[0].account} <= subjects
    assert isinstance(action.changes[1], AddValidator)
    assert isinstance(action.changes[2], RotateVoteKey)
