"""The HTTP API's words about who makes up the network: validators, nodes, evidence.

Rule: as in `zhenglian.api`. What is said here is on the ledger and public; what a node sees of another at this moment is
marked as that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from zhenglian.api import Hex, Hex16, Hex32, Response, ValidatorView


class ValidatorSetView(Response, frozen=True):
    """The validators of an epoch, in the order of their index; `quorum` of them decide."""

    epoch: int
    quorum: int
    validators: list[ValidatorView]


class NodeView(Response, frozen=True):
    """A node of the peer network.

    `certificates` are its X.509 certificates in DER, `directory_wrap` is the person-directory key sealed to
    `wrap_key`, empty if it was not given it. `connected` and `height` are what the answering
    node sees now; null while it knows nothing.
    """

    account: Hex16
    name: str
    role: Literal["validator", "reader"]
    host: str
    port: int
    certificates: list[Hex]
    wrap_key: Hex
    directory_wrap: Hex
    connected: bool | None
    height: int | None


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

    `supported` is the latest version that the answering node's release knows.
    """

    version: int
    supported: int
    next_version: int | None
    next_height: int | None
