"""Views of validators, nodes, evidence and protocol versions."""

from __future__ import annotations

from contracts.records import EvidenceRecord, NodeRecord
from ledger.hashing import PROTOCOL_VERSION_MAX
from ledger.types import ValidatorSet, Vote, VoteKind, quorum_size
from node.http.views.common import Names, instant
from node.services.ports import Chain, NodeFacts
from zhenglian import api, api_network


def validator_set(voters: ValidatorSet) -> api_network.ValidatorSetView:
    """Who votes in an epoch."""
    return api_network.ValidatorSetView(
        epoch=voters.epoch,
        quorum=quorum_size(len(voters.validators)),
        validators=[
            api.ValidatorView(
                account=validator.account.hex(), name=validator.name, vote_key=validator.vote_key.hex()
            )
            for validator in voters.validators
        ],
    )


def node(record: NodeRecord, facts: NodeFacts, own_height: int) -> api_network.NodeView:
    """A node, and what this one sees of it."""
    peer = next((peer for peer in facts.peers if peer.account == record.account), None)
    own = facts.account == record.account
    return api_network.NodeView(
        account=record.account.hex(),
        name=record.name,
        role=record.role.value,
        host=record.host,
        port=record.port,
        certificates=[certificate.hex() for certificate in record.certificates],
        wrap_key=record.wrap_key.hex(),
        directory_wrap=record.directory_wrap.hex(),
        connected=True if own else None if peer is None else peer.connected,
        height=own_height if own else None if peer is None else peer.height,
    )


def evidence(number: int, record: EvidenceRecord, names: Names) -> api_network.EvidenceView:
    """A proof of two conflicting votes."""
    return api_network.EvidenceView(
        number=number,
        epoch=record.epoch,
        view=record.view,
        validator=record.validator.hex(),
        validator_name=names.account(record.validator),
        first=_vote(record.first),
        second=_vote(record.second),
        reporter=record.reporter.hex(),
        reporter_name=names.account(record.reporter),
        height=record.height,
        time=instant(record.time_ms),
    )


def protocol(chain: Chain) -> api_network.ProtocolView:
    """Which protocol version holds, and which is to come."""
    pending = chain.pending_protocol()
    return api_network.ProtocolView(
        version=chain.protocol_version,
        supported=PROTOCOL_VERSION_MAX,
        next_version=pending[0] if pending else None,
        next_height=pending[1] if pending else None,
    )


def _vote(vote: Vote) -> api_network.VoteView:
    kinds = {VoteKind.NOTARIZE: "notarize", VoteKind.NULLIFY: "nullify", VoteKind.FINALIZE: "finalize"}
    return api_network.VoteView(
        kind=kinds[vote.kind],  # type: ignore[arg-type]  # the three literals
        digest=None if vote.kind is VoteKind.NULLIFY else vote.digest.hex(),
        signature=vote.signature.hex(),
    )
