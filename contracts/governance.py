"""Governance: what operators decide by vote.

Rule: an action is carried out in the transaction that brings it the approval of a quorum, n − f of the n
operators there are at that moment, and not before; each of them counts once, and who is none any more does not.
It is tried out when it is proposed, so that nobody is asked to vote on what cannot be done, and checked again
when it is carried out.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from contracts import (
    certificate_types,
    grant_rules,
    membership,
    organizations,
    portals,
    protocol_versions,
    regions,
    registrars,
    shared_keys,
    upgrades,
)
from contracts.actions import (
    AddValidator,
    AdmitReader,
    ChangeValidators,
    RemoveNode,
    SetProtocolVersion,
    WithdrawProtocolVersion,
)
from contracts.calls import (
    Action,
    GovernanceApprove,
    GovernancePropose,
    RegisterCertificateTypes,
    RegisterOrganization,
    RegisterPurposes,
    ReinstateOrganization,
    SetIssuance,
    SuspendOrganization,
)
from contracts.denials import Denied
from contracts.grant_actions import SetGrantRules
from contracts.methods import OPERATOR_ADMIN, CallContext, method
from contracts.people_actions import SetLookupLimits, SetRegistrar
from contracts.portal_actions import ApprovePortal, SetIdentityServices, SetWebAuthn
from contracts.records import Proposal, ProposalState
from contracts.region_actions import DistrustRegion, TrustRegion
from contracts.schedule import schedule
from contracts.shared_key_actions import BeginSharedKey, DestroySharedKey, UseSharedKey
from contracts.state import PROPOSALS, DeadlineKind, Draft, StateReader, present
from contracts.upgrade_actions import UpgradeContract, WithdrawContractUpgrade
from contracts.versions import Contract
from ledger import codec, domains
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, quorum_size

PROPOSAL_PERIOD_MS: Final = 7 * 24 * 60 * 60 * 1000


def _proposed_concerns(_state: StateReader, args: GovernancePropose) -> tuple[bytes, ...]:
    return _target(args.action)


def _proofs_cost(args: GovernancePropose) -> int:
    """What trying the action costs beyond the rest: vote keys are proven. Carrying it out happens once an epoch."""
    match args.action:
        case ChangeValidators(changes=changes):
            return membership.VOTE_KEY_CHECK_COST * len(changes)
        case TrustRegion():
            return regions.trust_cost(args.action)
        case _:
            return 0


@method(
    GovernancePropose,
    callers=OPERATOR_ADMIN,
    cost=60,
    concerns=_proposed_concerns,
    extra_cost=_proofs_cost,
)
def propose(context: CallContext, args: GovernancePropose) -> bytes:
    """Propose an action, approving it oneself."""
    proposal_id = context.new_id(PROPOSALS, domains.PROPOSAL_ID, 16)
    _try(context, args.action)
    proposal = Proposal(
        proposal_id=proposal_id,
        proposer=context.account.account_id,
        action=codec.encode(args.action),
        approvals=(context.account.account_id,),
        state=ProposalState.OPEN,
        proposed_ms=context.time_ms,
        expires_ms=context.time_ms + PROPOSAL_PERIOD_MS,
    )
    schedule(context.state, proposal.expires_ms, DeadlineKind.PROPOSAL, proposal_id)
    _emit(context, "governance.proposed", proposal, args.action)
    _settle(context, proposal, args.action)
    return proposal_id


@method(GovernanceApprove, callers=OPERATOR_ADMIN, cost=60, concerns=lambda _state, args: (args.proposal_id,))
def approve(context: CallContext, args: GovernanceApprove) -> None:
    """Approve an open proposal; the last approval needed carries it out.

    Who has approved before may do so again only when the others' approvals have become enough since, because fewer
    are needed now.
    """
    proposal = PROPOSALS.get(context.state, args.proposal_id)
    if proposal is None:
        raise Denied("unknown_proposal", proposal=args.proposal_id.hex())
    overdue = proposal.state is ProposalState.OPEN and context.time_ms >= proposal.expires_ms
    state = ProposalState.EXPIRED if overdue else proposal.state
    if state is not ProposalState.OPEN:
        raise Denied("state_transition", what="proposal", state=state.value, step="approve")
    voter = context.account.account_id
    if voter in proposal.approvals and not _has_quorum(context.state, proposal):
        raise Denied("already_approved", proposal=args.proposal_id.hex())
    approvals = proposal.approvals if voter in proposal.approvals else (*proposal.approvals, voter)
    approved = replace(proposal, approvals=approvals)
    action = _decode(proposal.action)
    _emit(context, "governance.approved", approved, action)
    _settle(context, approved, action)


def expire(context: CallContext, proposal_id: bytes) -> None:
    """Write down that an open proposal's time is over."""
    proposal = present(PROPOSALS.get(context.state, proposal_id), "a proposal with a deadline")
    if proposal.state is ProposalState.OPEN and context.time_ms >= proposal.expires_ms:
        expired = replace(proposal, state=ProposalState.EXPIRED)
        PROPOSALS.put(context.state, proposal_id, expired)
        _emit(context, "governance.expired", expired, _decode(proposal.action))


def carry_out(context: CallContext, action: Action) -> None:
    """Do what operators have decided."""
    match action:
        case RegisterOrganization():
            organizations.register(context, action)
        case SuspendOrganization():
            organizations.suspend(context, action)
        case ReinstateOrganization():
            organizations.reinstate(context, action)
        case SetIssuance():
            organizations.set_issuance(context, action)
        case RegisterCertificateTypes():
            certificate_types.register_types(context, action)
        case RegisterPurposes():
            certificate_types.register_purposes(context, action)
        case ChangeValidators():
            membership.change_validators(context, action)
        case AdmitReader():
            membership.admit_reader(context, action)
        case RemoveNode():
            membership.remove_node(context, action)
        case SetProtocolVersion():
            protocol_versions.set_version(context, action)
        case WithdrawProtocolVersion():
            protocol_versions.withdraw_version(context, action)
        case TrustRegion():
            regions.trust_region(context, action)
        case DistrustRegion():
            regions.distrust_region(context, action)
        case UpgradeContract():
            upgrades.upgrade(context, action)
        case WithdrawContractUpgrade():
            upgrades.withdraw(context, action)
        case BeginSharedKey(purpose=purpose, version=version):
            shared_keys.begin(context, purpose, version)
        case UseSharedKey(purpose=purpose, version=version):
            shared_keys.use(context, purpose, version)
        case DestroySharedKey(purpose=purpose, version=version):
            shared_keys.destroy(context, purpose, version)
        case SetWebAuthn():
            portals.set_webauthn(context, action)
        case ApprovePortal():
            portals.approve_portal(context, action)
        case SetIdentityServices():
            portals.set_identity_services(context, action)
        case SetGrantRules():
            grant_rules.set_rules(context, action)
        case SetRegistrar():
            registrars.set_registrar(context, action)
        case SetLookupLimits():
            registrars.set_lookup_limits(context, action)
        case _:
            assert_never(action)


def _settle(context: CallContext, proposal: Proposal, action: Action) -> None:
    """Keep the proposal, carried out if it has its quorum."""
    if _has_quorum(context.state, proposal):
        carry_out(context, action)
        proposal = replace(proposal, state=ProposalState.EXECUTED)
        _emit(context, "governance.executed", proposal, action)
    PROPOSALS.put(context.state, proposal.proposal_id, proposal)


def _has_quorum(state: StateReader, proposal: Proposal) -> bool:
    present_operators = membership.operators(state)
    approving = sum(account in proposal.approvals for account in present_operators)
    return approving >= quorum_size(len(present_operators))


def _try(context: CallContext, action: Action) -> None:
    """Carry the action out on a draft that is dropped; its denial is the proposal's."""
    trial = CallContext(
        state=Draft(context.state),
        block=context.block,
        contracts=context.contracts,
        transaction_id=b"",
        account=context.account,
        key=context.key,
    )
    carry_out(trial, action)
    if isinstance(action, TrustRegion):
        regions.prove_trust(action)


def _decode(data: bytes) -> Action:
    action: Action = codec.decode(data, Action, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)  # type: ignore[arg-type]
    return action


def _name(action: Action) -> str:
    return str(action.__struct_config__.tag)


def _target(action: Action) -> tuple[bytes, ...]:
    match action:
        case RegisterCertificateTypes() | RegisterPurposes() | SetWebAuthn() | ApprovePortal():
            return ()
        case SetIdentityServices(services=services):
            return services
        case SetLookupLimits():
            return ()
        case SetRegistrar(account_id=account_id):
            return (account_id,)
        case SetGrantRules(rules=rules):
            return (*rules.approvers, *rules.emergency)
        case SetProtocolVersion() | WithdrawProtocolVersion() | UpgradeContract() | WithdrawContractUpgrade():
            return ()
        case BeginSharedKey() | UseSharedKey() | DestroySharedKey():
            return ()
        case ChangeValidators(changes=changes):
            return tuple(
                change.operator.account if isinstance(change, AddValidator) else change.account
                for change in changes
            )
        case AdmitReader(reader=reader):
            return (reader.account,)
        case RemoveNode(account=account):
            return (account,)
        case TrustRegion(trust=trust):
            return (trust.chain_id,)
        case DistrustRegion(chain_id=chain_id):
            return (chain_id,)
        case RegisterOrganization() | SuspendOrganization() | ReinstateOrganization() | SetIssuance():
            return (action.account_id,)
        case _:
            assert_never(action)


def _emit(context: CallContext, kind: str, proposal: Proposal, action: Action) -> None:
    context.emit(
        kind,
        proposal.proposal_id,
        _target(action),
        action=_name(action),
        approvals=len(proposal.approvals),
        state=proposal.state.value,
    )


METHODS: Final = (propose, approve)
CONTRACT: Final = Contract(name="governance", methods=METHODS, tables=(PROPOSALS,), on_deadline=expire)
