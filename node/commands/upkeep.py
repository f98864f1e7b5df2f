"""`zhenglian node rotate-key | renew-certificate | bundle`: keys and certificates of a node, and what newcomers need.

Rule: nothing here decides anything for the network. A new vote key waits for the operators' vote; a new certificate is announced
by the node itself, or by its operator through another node when its own can reach nobody any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.calls import NodesSetCertificates
from contracts.records import NodeRecord, NodeRole
from ledger.crypto.registry import load_suite
from node.commands.context import now_ms, settings, write_output
from node.founding import bundle_to_json, load_network, make_bundle
from node.home import Home
from node.identity import load_identity
from node.keystore import KeyFiles
from node.lock import HomeLock, is_in_use
from node.rotation import make_next_certificate, rotate_vote_key, switch_certificate
from zhenglian import Client, KeyFile
from zhenglian.api_network import NodeView

DEFAULT_HOME = Path("zhenglian-home")
HomeFolder = Annotated[
    Path, typer.Option("--home", envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `zhenglian node`."""
    app.command("rotate-key")(rotate_key)
    app.command("renew-certificate")(renew_certificate)
    app.command("bundle")(bundle)


def rotate_key(ctx: typer.Context, home: HomeFolder = DEFAULT_HOME) -> None:
    """Make a vote key that replaces the present one by the operators' vote. 生成待更换的投票密钥。"""
    found = settings(ctx)
    folder = Home(home)
    suite = load_suite(load_network(folder).genesis.suite)
    load_identity(folder, suite)
    card = rotate_vote_key(folder, suite)
    path = KeyFiles(folder).card_next
    running = is_in_use(folder.root / "lock")
    found.emit(
        {"card": str(path), "vote_key": card.vote_key, "restart_needed": running},
        found.say(
            f"新投票密钥已生成，名片：{path}\n"
            + ("请先重新启动节点，使其持有新密钥。\n" if running else "")
            + f"然后由运营方提案：zhenglian gov propose rotate-key {path}",
            f"A vote key is made; its card: {path}\n"
            + ("Start the node anew first, so that it holds the key.\n" if running else "")
            + f"Then an operator proposes it: zhenglian gov propose rotate-key {path}",
        ),
    )


def renew_certificate(
    ctx: typer.Context,
    home: HomeFolder = DEFAULT_HOME,
    through: Annotated[
        str,
        typer.Option(
            "--through",
            help="API address of another node, for a stopped node whose certificate has ended. 经由其他节点的接口。",
        ),
    ] = "",
) -> None:
    """Make another X.509 certificate for peers. 更新节点证书。"""
    found = settings(ctx)
    folder = Home(home)
    load_identity(folder, load_suite(load_network(folder).genesis.suite))
    if not through:
        make_next_certificate(folder, now_ms=now_ms())
        found.emit(
            {"waiting": str(KeyFiles(folder).tls_next.path)},
            found.say(
                "新证书已生成。运行中的节点会自行公布并切换，通常需要一两分钟；未运行则在启动后进行。",
                "A new certificate is made. The node announces it and changes over by itself, in a minute or two while it runs.",
            ),
        )
        return
    lock = HomeLock(folder.root / "lock")
    try:
        certificate = make_next_certificate(folder, now_ms=now_ms())
        with Client(through, KeyFile.load(KeyFiles(folder).node)) as client:
            client.submit(NodesSetCertificates(certificates=(certificate,)))
        switch_certificate(folder)
    finally:
        lock.release()
    found.emit(
        {"certificate": str(KeyFiles(folder).tls.path)},
        found.say(
            "账本已登记新证书，本节点已换用；现在可以启动节点。",
            "The ledger names the new certificate and this folder has it; start the node now.",
        ),
    )


def bundle(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it. 写入位置。")] = Path(
        "network.json"
    ),
    home: HomeFolder = DEFAULT_HOME,
) -> None:
    """The network file for a newcomer: genesis, and the nodes as the ledger has them now. 导出网络文件供新节点加入。"""
    found = settings(ctx)
    genesis = load_network(Home(home)).genesis
    with found.client() as client:
        nodes = tuple(_record(view) for view in client.nodes())
    write_output(out, bundle_to_json(make_bundle(genesis, nodes)))
    found.emit(
        {"network": str(out), "nodes": [node.name for node in nodes]},
        found.say(f"网络文件已写入 {out}，可交给新节点。", f"{out} written; hand it to the newcomer."),
    )


def _record(view: NodeView) -> NodeRecord:
    return NodeRecord(
        account=bytes.fromhex(view.account),
        name=view.name,
        role=NodeRole(view.role),
        host=view.host,
        port=view.port,
        certificates=tuple(bytes.fromhex(one) for one in view.certificates),
        wrap_key=bytes.fromhex(view.wrap_key),
    )
