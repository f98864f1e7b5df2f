"""`zhenglian gov propose`: what operators can put to the vote, from a file or spelled out.

Rule: a change of validators is proposed only when a quorum of the new set is seen to run, unless forced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from contracts.actions import (
    AddValidator,
    AdmitReader,
    ChangeValidators,
    RemoveNode,
    RemoveValidator,
    SetProtocolVersion,
    ValidatorChange,
    WithdrawProtocolVersion,
)
from contracts.calls import Action, GovernancePropose
from contracts.upgrade_actions import UpgradeContract, WithdrawContractUpgrade
from ledger.crypto.registry import load_suite
from ledger.errors import LedgerError, NotFound
from node.cards import NodeCard, read_card
from node.commands import key_votes, portal_votes
from node.commands.context import DEFAULT_NODE, Settings, read_json, settings
from node.commands.preflight import (
    ReleaseLacksVersion,
    missing,
    readiness,
    require_contract,
    require_live_quorum,
)
from node.commands.status import ask_all
from node.newcomers import addition, check_card, operator_of, rotation
from zhenglian import Client
from zhenglian.plain import from_plain


class FileByDefault(TyperGroup):
    """`propose FILE` is `propose file FILE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["file", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(no_args_is_help=True, cls=FileByDefault, help="Put an action to the vote. 提出提案。")

CardFile = Annotated[Path, typer.Argument(help="The node's card.json. 节点名片。")]
Validator = Annotated[str, typer.Argument(help="Name or account of a validator. 验证节点的名称或账户。")]
Force = Annotated[
    bool, typer.Option("--force", help="Propose it though too few of its nodes run. 节点未就绪也提出。")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a proposal is made with: the options, a signing client, and the set that votes now."""

    found: Settings
    client: Client

    def members(self) -> dict[str, str]:
        """Name by account of the present validators."""
        return {one.account: one.name for one in self.client.validators().validators}

    def validator(self, wanted: str) -> bytes:
        """The account of the validator that the user means. Raises NotFound."""
        for account, name in self.members().items():
            if wanted in {account, name}:
                return bytes.fromhex(account)
        raise NotFound(what="validator", id=wanted)

    def card(self, path: Path) -> NodeCard:
        """A card made for this network. Raises CardRefused."""
        card = read_card(path)
        view = self.client.network()
        check_card(card, view.network, load_suite(view.suite))
        return card

    def addition(self, path: Path) -> AddValidator:
        """A newcomer, by its card. Raises CardRefused."""
        return addition(self.card(path), load_suite(self.client.network().suite))

    def propose(self, action: Action) -> None:
        """Propose it, and say so."""
        proposal_id = self.client.propose(action)
        self.found.emit(
            {"proposal_id": proposal_id},
            self.found.say(
                f"提案 {proposal_id} 已上链，等待其他运营方批准。",
                f"Proposal {proposal_id} made; other operators approve now.",
            ),
        )

    def change(self, changes: Sequence[ValidatorChange], *, force: bool) -> None:
        """Propose a change of validators if the set that it makes has a quorum that runs."""
        members = self.members()
        for change in changes:
            match change:
                case AddValidator(operator=operator):
                    members[operator.account.hex()] = operator.name
                case RemoveValidator(account=account):
                    members.pop(account.hex(), None)
                case _:
                    pass  # another key changes nobody
        lines = ask_all(self.found.nodes or (DEFAULT_NODE,), self.found.language)
        found = readiness(members, [line.status for line in lines if line.status is not None])
        if not force:
            require_live_quorum(found, self.found.language)
        if absent := missing(found, self.found.language):
            self.found.note(f"注意，尚未就绪：{absent}", f"Note, not ready yet: {absent}")
        self.propose(ChangeValidators(changes=tuple(changes)))


def _bench(ctx: typer.Context) -> Bench:
    found = settings(ctx)
    return Bench(found=found, client=found.client(signed=True))


def _propose(ctx: typer.Context, action: Action) -> None:
    bench = _bench(ctx)
    with bench.client:
        bench.propose(action)


portal_votes.add_to(app, _propose)
key_votes.add_to(app, _propose)


@app.command("file")
def from_file(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help='JSON action: {"type": "register_organization", …}. 提案内容 JSON。')
    ],
) -> None:
    """Propose an action as written; the proposer approves by it. 提出文件中的提案。"""
    found = settings(ctx)
    args = from_plain({"action": read_json(file, "action")}, GovernancePropose, "propose")
    with found.client(signed=True) as client:
        Bench(found=found, client=client).propose(args.action)


@app.command("add-validator")
def add_validator(ctx: typer.Context, card: CardFile, force: Force = False) -> None:
    """A new operator with its node and vote. 新增验证节点。"""
    bench = _bench(ctx)
    with bench.client:
        bench.change((bench.addition(card),), force=force)


@app.command("remove-validator")
def remove_validator(ctx: typer.Context, validator: Validator, force: Force = False) -> None:
    """End an operator's membership. 移除验证节点。"""
    bench = _bench(ctx)
    with bench.client:
        bench.change((RemoveValidator(account=bench.validator(validator)),), force=force)


@app.command("replace-validator")
def replace_validator(ctx: typer.Context, old: Validator, card: CardFile, force: Force = False) -> None:
    """One goes, one comes, in one vote. 替换验证节点。"""
    bench = _bench(ctx)
    with bench.client:
        changes = (RemoveValidator(account=bench.validator(old)), bench.addition(card))
        bench.change(changes, force=force)


@app.command("rotate-key")
def rotate_key(ctx: typer.Context, card: CardFile, force: Force = False) -> None:
    """The vote key of a validator's new card in place of its old one. 更换投票密钥。"""
    bench = _bench(ctx)
    with bench.client:
        bench.change((rotation(bench.card(card)),), force=force)


@app.command("admit-reader")
def admit_reader(ctx: typer.Context, card: CardFile) -> None:
    """A read node: follows the chain and serves its API. 接纳只读节点（市县数据节点）。"""
    bench = _bench(ctx)
    with bench.client:
        reader = bench.card(card)
        bench.propose(AdmitReader(reader=operator_of(reader, load_suite(reader.suite))))


@app.command("remove-node")
def remove_node(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(help="Name or account of a read node. 只读节点的名称或账户。")],
) -> None:
    """Let a read node go. 移除只读节点。"""
    bench = _bench(ctx)
    with bench.client:
        readers = [one for one in bench.client.nodes() if one.role == "reader"]
        wanted = next((one for one in readers if node in {one.account, one.name}), None)
        if wanted is None:
            raise NotFound(what="read node", id=node)
        bench.propose(RemoveNode(account=bytes.fromhex(wanted.account)))


@app.command("protocol-version")
def protocol_version(
    ctx: typer.Context,
    version: Annotated[int, typer.Argument(min=1, help="The present one and one. 协议版本。")],
    at: Annotated[int, typer.Option("--at", min=1, help="Block height from which it holds. 启用高度。")],
    force: Force = False,
) -> None:
    """Switch a protocol version on at a height. 自某高度启用新协议版本。"""
    bench = _bench(ctx)
    with bench.client:
        if not force:
            _require_releases(bench.found, version)
        bench.propose(SetProtocolVersion(version=version, height=at))


@app.command("withdraw-protocol-version")
def withdraw_protocol_version(
    ctx: typer.Context, version: Annotated[int, typer.Argument(min=1, help="Which was set. 待撤回的版本。")]
) -> None:
    """Take a protocol version back before its height. 撤回待启用的协议版本。"""
    bench = _bench(ctx)
    with bench.client:
        bench.propose(WithdrawProtocolVersion(version=version))


@app.command("upgrade-contract")
def upgrade_contract(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the contract. 合约名称。")],
    version: Annotated[int, typer.Argument(min=1, help="The present one and one. 版本，须为现行版本加一。")],
    height: Annotated[
        int, typer.Option("--height", min=1, help="Block height at which it takes over. 启用高度。")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Propose it though a node lacks it. 有节点不支持也提出。")
    ] = False,
) -> None:
    """Have a contract's next version take over at a height. 自某高度启用合约新版本。"""
    bench = _bench(ctx)
    with bench.client:
        if not force:
            urls = bench.found.nodes or (DEFAULT_NODE,)
            require_contract(name, version, bench.client, urls, bench.found.language)
        bench.propose(UpgradeContract(contract=name, version=version, height=height))


@app.command("withdraw-contract-upgrade")
def withdraw_contract_upgrade(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the contract. 合约名称。")],
    version: Annotated[int, typer.Argument(min=1, help="Which was set. 待撤回的版本。")],
) -> None:
    """Take a contract's version back before its height. 撤回待启用的合约版本。"""
    bench = _bench(ctx)
    with bench.client:
        bench.propose(WithdrawContractUpgrade(contract=name, version=version))


def _require_releases(found: Settings, version: int) -> None:
    """Raise ReleaseLacksVersion if a node that is named does not answer or does not know the version."""
    lacking: list[str] = []
    for url in found.nodes or (DEFAULT_NODE,):
        try:
            with Client(url, language=found.language) as client:
                if client.protocol().supported < version:
                    lacking.append(url)
        except LedgerError:
            lacking.append(url)
    if lacking:
        raise ReleaseLacksVersion(version=version, missing=", ".join(lacking))
