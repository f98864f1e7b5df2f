"""Plans of operators and organisations' admins: proposals, approvals, keys; who makes up the network."""

from __future__ import annotations

from contracts.calls import (
    Action,
    GovernanceApprove,
    GovernancePropose,
    NewKey,
    OrganizationsAddKey,
    OrganizationsRevokeKey,
)
from zhenglian.api import TransactionView
from zhenglian.api_network import (
    ContractView,
    EvidenceView,
    NodeView,
    ProposalView,
    ProtocolView,
    ValidatorSetView,
)
from zhenglian.exchange import Core, Plan, get
from zhenglian.plans import transactions
from zhenglian.plans.chain import pages, query


def propose(core: Core, action: Action) -> Plan[str]:
    """Propose an action to the operators; the proposer approves by it. Returns the proposal id (hex)."""
    view = yield from transactions.settled(core, GovernancePropose(action=action))
    return transactions.output(view).hex()


def approve_proposal(core: Core, proposal_id: str) -> Plan[TransactionView]:
    """Approve a proposal; it is carried out at once when a quorum of operators has approved."""
    return (yield from transactions.settled(core, GovernanceApprove(proposal_id=bytes.fromhex(proposal_id))))


def proposal(core: Core, proposal_id: str) -> Plan[ProposalView]:
    """One proposal."""
    return (yield from get(core, f"/v1/proposals/{proposal_id}", ProposalView, session=core.key is not None))


def proposals(core: Core, *, state: str = "") -> Plan[list[ProposalView]]:
    """Proposals, all or in one state (open, executed, expired)."""
    return (
        yield from pages(
            core,
            "/v1/proposals",
            list[ProposalView],
            session=core.key is not None,
            query_text=query(state=state),
        )
    )


def validators(core: Core, *, epoch: int | None = None) -> Plan[ValidatorSetView]:
    """Who votes now, or voted in an epoch."""
    return (yield from get(core, "/v1/validators" + query(epoch=epoch), ValidatorSetView))


def nodes(core: Core) -> Plan[list[NodeView]]:
    """Every node of the network, as the answering node sees it."""
    return (yield from pages(core, "/v1/nodes", list[NodeView], session=False))


def evidence(core: Core) -> Plan[list[EvidenceView]]:
    """Proofs of validators' conflicting votes, newest first."""
    return (yield from pages(core, "/v1/evidence", list[EvidenceView], session=False))


def protocol(core: Core) -> Plan[ProtocolView]:
    """The protocol version, and the one that is to come into force."""
    return (yield from get(core, "/v1/protocol", ProtocolView))


def contracts(core: Core) -> Plan[list[ContractView]]:
    """The versions of every contract: in force, set, being migrated to, and the latest that the answering node's release has."""
    return (yield from get(core, "/v1/contracts", list[ContractView]))


def add_organization_key(core: Core, key: NewKey) -> Plan[TransactionView]:
    """Add an officer or admin key to the own organisation."""
    return (yield from transactions.settled(core, OrganizationsAddKey(key=key)))


def revoke_organization_key(core: Core, key_id: str) -> Plan[TransactionView]:
    """Revoke a key of the own organisation."""
    return (yield from transactions.settled(core, OrganizationsRevokeKey(key_id=bytes.fromhex(key_id))))
