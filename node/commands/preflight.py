"""Looks before a vote: would the network that is proposed have a quorum that runs?

Rule: the ledger checks structure only, and a set without a live quorum stops for good. So whoever proposes a set looks who of
it is connected and level with the network, as far as the nodes that can be asked see it, and does not propose what has no quorum
unless forced to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.errors import Category, LedgerError
from ledger.types import quorum_size
from zhenglian import Client
from zhenglian.api import NodeStatus
from zhenglian.api_network import NodeView

# How far behind the highest node one may be and still be level: blocks are made while we look.
HEAD_LAG_BLOCKS_MAX: Final = 16


class QuorumNotLive(LedgerError):
    """Too few of the proposed validators run and are level. Fields: live, needed, missing."""

    code = "quorum_not_live"
    category = Category.UNAVAILABLE
    zh = (
        "新的验证节点集合至少须有 {needed} 个节点在线并已同步，现在只有 {live} 个。未就绪：{missing}。"
        "请先让它们上线（可先作为只读节点加入），或用 --force 坚持提出"
    )
    en = (
        "The new validators need {needed} that are connected and level; {live} are. Not ready: {missing}. "
        "Bring them up first (admit them as read nodes), or insist with --force"
    )


class ReleaseLacksContractVersion(LedgerError):
    """A node does not have the proposed version of a contract, or cannot be asked. Fields: contract, version, missing."""

    code = "release_lacks_contract_version"
    category = Category.CONFLICT
    zh = (
        "以下节点没有合约 {contract} 的版本 {version}（或无法查询），到时将停止：{missing}。"
        "请先升级，或用 --force 坚持提出"
    )
    en = (
        "These nodes do not have version {version} of the contract {contract}, or cannot be asked, and would stop: {missing}. "
        "Upgrade them first, or insist with --force"
    )


class ReleaseLacksVersion(LedgerError):
    """A node that was asked does not know the proposed protocol version. Fields: version, missing."""

    code = "release_lacks_version"
    category = Category.CONFLICT
    zh = "以下节点的软件不支持协议版本 {version}，到时将停止：{missing}。请先升级，或用 --force 坚持提出"
    en = (
        "These nodes do not know protocol version {version} and would stop: {missing}. "
        "Upgrade them first, or insist with --force"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """One member of the proposed set; `zh` and `en` say why it is not ready, empty when it is."""

    account: str
    name: str
    zh: str = ""
    en: str = ""

    @property
    def ready(self) -> bool:
        return not self.en


def readiness(members: Mapping[str, str], statuses: Sequence[NodeStatus]) -> list[Readiness]:
    """How the proposed validators are.

    Args:
        members: name by account (hex), of the whole proposed set.
        statuses: what the nodes that answered say of themselves and of their peers.
    """
    heights: dict[str, int] = {}
    connected: set[str] = set()
    syncing: set[str] = set()
    for status in statuses:
        seen = [(peer.account, peer.height) for peer in status.peers if peer.connected]
        for account, height in [(status.account, status.height), *seen]:
            connected.add(account)
            heights[account] = max(heights.get(account, 0), height or 0)
        if status.syncing:
            syncing.add(status.account)
    head = max(heights.values(), default=0)

    def judge(account: str, name: str) -> Readiness:
        if account not in connected:
            return Readiness(account=account, name=name, zh="未连接", en="not connected")
        if account in syncing or heights[account] + HEAD_LAG_BLOCKS_MAX < head:
            behind = f"{heights[account]}/{head}"
            return Readiness(account=account, name=name, zh=f"落后（{behind}）", en=f"behind ({behind})")
        return Readiness(account=account, name=name)

    return [judge(account, name) for account, name in members.items()]


def require_live_quorum(found: Sequence[Readiness], language: str) -> None:
    """Raise QuorumNotLive unless a quorum of the proposed set is ready; `language` is that of the list of the missing."""
    needed = quorum_size(len(found))
    live = sum(one.ready for one in found)
    if live < needed:
        raise QuorumNotLive(live=live, needed=needed, missing=missing(found, language))


def missing(found: Sequence[Readiness], language: str) -> str:
    """Who is not ready and why, in one line."""
    zh = language == "zh"
    return ("、" if zh else ", ").join(
        f"{one.name}（{one.zh}）" if zh else f"{one.name} ({one.en})" for one in found if not one.ready
    )


def require_contract(name: str, version: int, client: Client, urls: Sequence[str], language: str) -> None:
    """See that every node has a version of a contract: those that are named, and every other that their network knows.

    A validator that nobody is connected to counts as lacking it; a read node does only once it said so.

    Raises:
        ReleaseLacksContractVersion: one lacks it.
    """
    lacking = [url for url in urls if not _answers_with(name, version, url, language)]
    for node in client.nodes():
        told = node.contracts
        if node.role == "validator" if told is None else told.get(name, 0) < version:
            lacking.append(f"{node.name} ({node.release or '?'})")
    if lacking:
        raise ReleaseLacksContractVersion(contract=name, version=version, missing=", ".join(lacking))


def supporters(name: str, nodes: Sequence[NodeView], language: str) -> str:
    """Which version of a contract each node's release has, in one line."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        version = "?" if node.contracts is None else str(node.contracts.get(name, 0))
        found.setdefault(version, []).append(node.name)
    separator = "、" if language == "zh" else ", "
    return "; ".join(f"{version}: {separator.join(names)}" for version, names in sorted(found.items()))


def _answers_with(name: str, version: int, url: str, language: str) -> bool:
    try:
        with Client(url, language=language) as client:
            return any(one.name == name and one.supported >= version for one in client.contracts())
    except LedgerError:
        return False
