"""`zhenglian node`: found a network with other operators, and run a node of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.crypto.registry import SUITE_DEFAULT, load_suite
from ledger.types import WebAuthn
from node.cards import read_card
from node.commands import backup, care, locks, prune, upkeep
from node.commands import status as status_command
from node.commands.context import now_ms, read_file, settings, write_output
from node.commands.options import SuiteOption, TokenOption, UnencryptedOption
from node.config import HTTP_PORT_DEFAULT, PEER_PORT_DEFAULT, load_config
from node.founding import (
    BUNDLE_BYTES_MAX,
    assemble_genesis,
    bundle_from_json,
    bundle_to_json,
    install_network,
    make_bundle,
)
from node.home import Home
from node.identity import TOKEN_PREFIX, InFiles, InToken, Keeping, create_identity, require_new_identity
from zhenglian.unlocking import sources

app = typer.Typer(no_args_is_help=True, help="Run a node; found a network. 运行节点，组建网络。")
care.add_to(app)
backup.add_to(app)
prune.add_to(app)
upkeep.add_to(app)
locks.add_to(app)

DEFAULT_HOME = Path("zhenglian-home")
HomeFolder = Annotated[
    Path, typer.Option("--home", envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")
]


@app.command("init")
def init(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="Public name of the operating organisation. 运营方名称。")],
    network: Annotated[str, typer.Option(help="Name of the network to join. 网络名称。")],
    peer_host: Annotated[str, typer.Option(help="Where other nodes reach this one. 其他节点访问的主机名。")],
    peer_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port for other nodes. 节点间端口。")
    ] = PEER_PORT_DEFAULT,
    http_host: Annotated[str, typer.Option(help="Where the API listens. 接口监听地址。")] = "127.0.0.1",
    http_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the API. 接口端口。")
    ] = HTTP_PORT_DEFAULT,
    home: HomeFolder = DEFAULT_HOME,
    suite: SuiteOption = SUITE_DEFAULT,
    token_label: TokenOption = "",
    key_prefix: Annotated[
        str, typer.Option("--key-prefix", help="Of the keys' labels in the token. 密钥在设备中的标签前缀。")
    ] = TOKEN_PREFIX,
    unencrypted: UnencryptedOption = False,
) -> None:
    """Make this node's keys, card and configuration. 生成节点密钥、名片与配置。"""
    found = settings(ctx)
    folder = Home(home)
    chosen = load_suite(suite)
    require_new_identity(folder)
    card = create_identity(
        folder,
        network=network,
        name=name,
        suite=chosen,
        peer_host=peer_host,
        peer_port=peer_port,
        http_host=http_host,
        http_port=http_port,
        now_ms=now_ms(),
        keeping=_keeping(home, token_label, key_prefix, unencrypted=unencrypted),
    )
    found.emit(
        {"home": str(home), "card": str(folder.card), "account": card.account, "name": card.name},
        found.say(
            f"节点身份已生成。请把名片交给组建网络的人：{folder.card}\n"
            f"拿到 network.json 后运行：zhenglian node join network.json --home {home}",
            f"Identity made. Hand the card to whoever assembles the network: {folder.card}\n"
            f"With their network.json, run: zhenglian node join network.json --home {home}",
        ),
    )


def _keeping(home: Path, token_label: str, key_prefix: str, *, unencrypted: bool) -> Keeping:
    """What the user says of how the keys are kept."""
    if token_label:
        return InToken(sources().token(token_label), key_prefix)
    return None if unencrypted else InFiles(sources().new_passphrase(str(home / "keys")))


@app.command("genesis")
def genesis(
    ctx: typer.Context,
    cards: Annotated[list[Path], typer.Argument(help="Every operator's card.json. 各运营方的名片。")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it. 写入位置。")] = Path(
        "network.json"
    ),
    network_name: Annotated[
        str, typer.Option("--network-name", help="Default: that of the first card. 网络名称。")
    ] = "",
    suite: Annotated[
        str, typer.Option(help="Crypto suite; default: that of the first card. 密码套件。")
    ] = "",
    rp_id: Annotated[
        str,
        typer.Option("--rp-id", help="Domain of all portals, for passkeys; never changes. 通行密钥域名。"),
    ] = "",
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="A portal, https://…; may come again. 门户来源，可多次。"),
    ] = None,
) -> None:
    """Assemble the network out of its operators' cards. 汇总名片，生成网络文件。"""
    found = settings(ctx)
    read = [read_card(path) for path in cards]
    founded = assemble_genesis(
        network_name or read[0].network,
        read,
        time_ms=now_ms(),
        suite=load_suite(suite or read[0].suite),
        webauthn=WebAuthn(rp_id=rp_id, origins=tuple(origin or ())),
    )
    write_output(out, bundle_to_json(make_bundle(founded)))
    found.emit(
        {"network": str(out), "operators": [card.name for card in read]},
        found.say(f"网络文件已写入 {out}，请交给全部运营方。", f"{out} written; hand it to every operator."),
    )


@app.command("join")
def join(
    ctx: typer.Context,
    network: Annotated[Path, typer.Argument(help="network.json of `node genesis`. 网络文件。")],
    home: HomeFolder = DEFAULT_HOME,
) -> None:
    """Install the network into this node's folder. 加入网络。"""
    found = settings(ctx)
    data = read_file(network, "network file", size_bytes_max=BUNDLE_BYTES_MAX)
    install_network(Home(home), bundle_from_json(data))
    found.emit(
        {"home": str(home)},
        found.say(
            f"已加入。启动：zhenglian node run --home {home}",
            f"Joined. Start: zhenglian node run --home {home}",
        ),
    )


@app.command("run")
def run(home: HomeFolder = DEFAULT_HOME) -> None:
    """Run the node until it is told to stop. 运行节点。"""
    from node.run import run_node

    raise typer.Exit(run_node(home))


@app.command("status")
def status(ctx: typer.Context, home: HomeFolder = DEFAULT_HOME) -> None:
    """Ask the node of this folder how it is. 查看本节点状态。"""
    found = settings(ctx)
    if not found.nodes:
        http = load_config(Home(home).config).http
        scheme = "https" if http.tls_certificate else "http"
        host = "127.0.0.1" if http.host == "0.0.0.0" else http.host  # noqa: S104  # a wildcard is no destination
        ctx.find_root().obj = type(found)(
            json=found.json,
            language=found.language,
            nodes=(f"{scheme}://{host}:{http.port}",),
            key_path=found.key_path,
        )
    status_command.status(ctx, watch=False)
