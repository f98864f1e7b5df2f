"""The HTTP API's words about who makes up the network: validators, nodes, evidence.

Rule: as in `zhenglian.api`. What is said here is on the ledger and public; what a node sees of another at this moment is
marked as that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from zhenglian.api import Hex, Hex16, Hex32, Response, ValidatorView


class ValidatorSetView(Response, frozen=True):
    """The validators of an epoch, in the order of their index; `quorum` of them decide."""

    epoch: int
    quorum: int
    validators: list[ValidatorView]


class NodeView(Response, frozen=True):
    """A node of the peer network.

    `certificates` are its X.509 certificates in DER. `connected` and `height` are what the answering
    node sees now; null while it knows nothing. `release`, `protocol_supported` and `contracts` are what that node said of its
    software when it was last connected: its name, and the latest version of the protocol and of each contract that it has; null
    while it never was.
    """

    account: Hex16
    name: str
    role: Literal["validator", "reader"]
    host: str
    port: int
    certificates: list[Hex]
    wrap_key: Hex
    connected: bool | None
    height: int | None
    release: str | None = None
    protocol_supported: int | None = None
    contracts: dict[str, int] | None = None


class VoteView(Response, frozen=True):
    """A signed vote; `digest` is null in a nullify."""

    kind: Literal["notarize", "nullify", "finalize"]
    digest: Hex32 | None
    signature: Hex


class EvidenceView(Response, frozen=True):
    """Proof that a validator signed two votes that exclude each other."""

    number: int
    epoch: int
    view: int
    validator: Hex16
    validator_name: str
    first: VoteView
    second: VoteView
    reporter: Hex16
    reporter_name: str
    height: int
    time: datetime


class ProtocolView(Response, frozen=True):
    """Which protocol version the next block has, and what has been set to follow (null if nothing was).

    `supported` is the latest version that the answering node's release knows; `suites` are the crypto suites that it can do.
    """

    version: int
    supported: int
    suites: list[str]
    next_version: int | None
    next_height: int | None


class ContractChangeView(Response, frozen=True):
    """What became of a version of a contract that was set; `reason` says why it failed."""

    version: int
    outcome: Literal["switched", "failed", "withdrawn"]
    height: int
    time: datetime
    entries: int
    reason: str


class MigrationView(Response, frozen=True):
    """A migration that goes on: towards which version, what it does now, and how many records it has copied.

    While it is copying, calls of the contract are denied (`contract_migrating`); while it is sweeping or undoing they are not.
    """

    version: int
    step: Literal["copying", "sweeping", "undoing"]
    entries: int


class ContractView(Response, frozen=True):
    """The versions of a contract.

    `version` holds now, since `since_height` (0: since genesis; version 0: the network has not got it). `supported` is the latest
    version that the answering node's release has. `next_version` takes over at `next_height`; null if nothing is set. `changes`
    are what became of versions that were set, newest first.
    """

    name: str
    version: int
    since_height: int
    supported: int
    next_version: int | None
    next_height: int | None
    migration: MigrationView | None
    changes: list[ContractChangeView]


class ProposalView(Response, frozen=True):
    proposal_id: Hex16
    proposer: Hex16
    proposer_name: str
    action: str
    summary: dict[str, Any]
    approvals: list[str]
    state: str
    proposed: datetime
    expires: datetime
