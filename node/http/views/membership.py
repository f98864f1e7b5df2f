"""Views of validators, nodes, evidence and protocol versions."""

from __future__ import annotations

from typing import TypedDict

from contracts.records import EvidenceRecord, NodeRecord
from contracts.upgrade_records import ContractSchedule
from contracts.upgrades import ContractStatus
from ledger.crypto.registry import available_suites
from ledger.hashing import PROTOCOL_VERSION_MAX
from ledger.types import ValidatorSet, Vote, VoteKind, quorum_size
from node.http.views.common import Names, instant
from node.services.facts import NodeFacts, PeerFacts
from node.services.ports import Chain
from node.versions import LEDGER_VERSIONS
from zhenglian import api, api_network


class _Software(TypedDict):
    """What a node said of its software."""

    release: str | None
    protocol_supported: int | None
    contracts: dict[str, int] | None


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


def node(record: NodeRecord, facts: NodeFacts, chain: Chain) -> api_network.NodeView:
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
        connected=True if own else None if peer is None else peer.connected,
        height=chain.height if own else None if peer is None else peer.height,
        **_software(facts, peer, chain if own else None),
    )


def _software(facts: NodeFacts, peer: PeerFacts | None, own: Chain | None) -> _Software:
    if own is not None:
        return _Software(
            release=facts.release,
            protocol_supported=LEDGER_VERSIONS[1],
            contracts=dict(own.contract_versions),
        )
    if peer is None or not peer.release:
        return _Software(release=None, protocol_supported=None, contracts=None)
    return _Software(
        release=peer.release, protocol_supported=peer.ledger_version, contracts=dict(peer.contracts)
    )


def contracts(chain: Chain) -> list[api_network.ContractView]:
    """The versions of every contract of the network, then of those that only this release has."""
    known, there = chain.contract_versions, chain.contracts()
    names = {one.name for one in there}
    return [
        *(_contract(one, known.get(one.name, 0)) for one in there),
        *(
            _contract(
                ContractStatus(name=name, schedule=ContractSchedule(version=0), migration=None, changes=()),
                version,
            )
            for name, version in sorted(known.items())
            if name not in names
        ),
    ]


def _contract(status: ContractStatus, supported: int) -> api_network.ContractView:
    schedule, migration = status.schedule, status.migration
    return api_network.ContractView(
        name=status.name,
        version=schedule.version,
        since_height=schedule.since_height,
        supported=supported,
        next_version=schedule.next_version or None,
        next_height=schedule.next_height or None,
        migration=None
        if migration is None
        else api_network.MigrationView(
            version=migration.version, step=migration.step.value, entries=migration.entries
        ),
        changes=[
            api_network.ContractChangeView(
                version=change.version,
                outcome=change.outcome.value,
                height=change.height,
                time=instant(change.time_ms),
                entries=change.entries,
                reason=change.reason,
            )
            for change in reversed(status.changes)
        ],
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
        suites=list(available_suites()),
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
