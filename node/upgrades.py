"""Which versions are to come, of the protocol and of contracts, and which of them this release lacks.

Rule: it is told from the moment the operators have decided it: in the log, by the doctor, in the status and as a metric; at
the height itself the node stops (`node/execution.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts import protocol_versions, upgrades
from contracts.state import StateReader
from contracts.upgrades import PendingUpgrade
from ledger.errors import Category, LedgerError
from node.versions import CONTRACT_VERSIONS, LEDGER_VERSIONS


class ReleaseTooOld(LedgerError):
    """The network has gone over to a protocol version that this release does not know. Fields: version, supported, height."""

    code = "release_too_old"
    category = Category.UNAVAILABLE
    zh = (
        "网络自区块 {height} 起使用协议版本 {version}，本软件最高支持版本 {supported}；"
        "请升级 zhenglian 后重新启动，账本数据无须改动"
    )
    en = (
        "From block {height} on the network has protocol version {version}; this release knows {supported} at most. "
        "Upgrade zhenglian and start it again; the ledger on disk stays as it is"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A version that is set.

    Attributes:
        contract: name of the contract; empty for the protocol.
        version: that version.
        height: from which it holds.
        supported: the latest one that this release has.
    """

    contract: str
    version: int
    height: int
    supported: int

    @property
    def lacking(self) -> bool:
        """Whether a node of this release stops there."""
        return self.supported < self.version


def coming(
    protocol: tuple[int, int] | None,
    contracts: Iterable[PendingUpgrade],
    *,
    known: Mapping[str, int] = CONTRACT_VERSIONS,
    protocol_version_max: int = LEDGER_VERSIONS[1],
) -> tuple[Coming, ...]:
    """What is set, by height.

    Args:
        protocol: (version, height) of a protocol version to come.
        contracts: versions of contracts to come.
        known: the latest version of each contract that this release has.
        protocol_version_max: the latest protocol version that it has.
    """
    found = [
        Coming(
            contract=one.contract,
            version=one.version,
            height=one.height,
            supported=known.get(one.contract, 0),
        )
        for one in contracts
    ]
    if protocol is not None:
        version, height = protocol
        found.append(Coming(contract="", version=version, height=height, supported=protocol_version_max))
    return tuple(sorted(found, key=lambda one: (one.height, one.contract)))


def coming_at(state: StateReader, height: int) -> tuple[Coming, ...]:
    """What is set in the state that the block at `height` left."""
    return coming(protocol_versions.pending_protocol(state, height), upgrades.pending(state))
