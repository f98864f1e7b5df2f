"""`zhenglian`, the command line: global options, the groups of commands, errors as exit codes.

Rule: no stack trace for a user's fault. Global options may stand anywhere on the line.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from ledger.errors import LedgerError
from node.commands import (
    agent,
    archive,
    cert,
    devnet,
    down,
    gov,
    grant,
    keys,
    me,
    nodes,
    org,
    person,
    proof,
    question,
    recognition,
    region,
    release,
    status,
    trace,
    tx,
    up,
    verify,
    webhook,
)
from node.commands.context import (
    EXIT_UNAVAILABLE,
    InputUnusable,
    Settings,
    asker,
    default_language,
    default_settings,
)
from zhenglian.unlocking import Sources, use_sources

_FLAGS: Final = ("--json",)
_WITH_VALUE: Final = ("--lang", "--node", "--key", "--passphrase-file", "--pin-file", "--pkcs11-module")


class Zhenglian(TyperGroup):
    """The root: takes global options from anywhere on the line, and turns `LedgerError`s into exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoisted(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LedgerError as error:
            found = ctx.obj if isinstance(ctx.obj, Settings) else default_settings()
            found.fail(error)


def hoisted(args: list[str]) -> list[str]:
    """The arguments with every global option moved to the front; nothing behind `--` is touched."""
    front: list[str] = []
    rest: list[str] = []
    waiting = list(args)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        if argument in _FLAGS or argument.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            front.append(argument)
        elif argument in _WITH_VALUE:
            front += [argument, *waiting[:1]]
            del waiting[:1]
        else:
            rest.append(argument)
    return front + rest


app = typer.Typer(
    cls=Zhenglian,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="证链 Zhenglian: a permissioned ledger with a data-authorization service. 许可链与数据授权服务。",
)


@app.callback()
def options(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="JSON output. 输出 JSON。")] = False,
    lang: Annotated[
        str, typer.Option("--lang", help="zh or en; default from ZHENGLIAN_LANG or LANG. 语言。")
    ] = "",
    node: Annotated[
        list[str] | None,
        typer.Option(
            "--node", envvar="ZHENGLIAN_NODE", help="URL of a node; may be repeated. 节点地址，可重复。"
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", envvar="ZHENGLIAN_KEY", help="Key file. 密钥文件。")
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", help="Holds the passphrase; mode 0600. 口令文件。"),
    ] = None,
    pin_file: Annotated[
        Path | None, typer.Option("--pin-file", help="Holds a token's PIN; mode 0600. 密码设备 PIN 文件。")
    ] = None,
    pkcs11_module: Annotated[
        Path | None,
        typer.Option("--pkcs11-module", help="A token's PKCS#11 library. 密码设备的 PKCS#11 库。"),
    ] = None,
) -> None:
    if lang not in {"", "zh", "en"}:
        raise typer.BadParameter("zh | en", param_hint="--lang")
    language = lang or default_language()
    use_sources(
        Sources(
            passphrase_file=passphrase_file,
            pin_file=pin_file,
            module=pkcs11_module,
            ask=asker(language) if not json and sys.stdin.isatty() else None,
        )
    )
    ctx.obj = Settings(json=json, language=language, nodes=tuple(node or ()), key_path=key)


app.add_typer(nodes.app, name="node")
app.add_typer(archive.app, name="archive")
app.command("status")(status.status)
app.add_typer(devnet.app, name="devnet")
app.add_typer(keys.app, name="keys")
app.add_typer(tx.app, name="tx")
app.add_typer(cert.app, name="cert")
app.add_typer(grant.app, name="grant")
app.add_typer(release.app, name="release")
app.command("up")(up.up)
app.command("down")(down.down)
app.command("token")(agent.token)
app.command("trace")(trace.trace)
app.add_typer(question.questions, name="question")
app.add_typer(question.counts, name="count")
app.add_typer(question.forms, name="form")
app.command("present")(question.present)
app.add_typer(proof.app, name="proof")
app.command("verify")(verify.verify)
app.command("trust")(verify.trust)
app.add_typer(person.app, name="person")
app.add_typer(org.app, name="org")
app.add_typer(me.app, name="me")
app.add_typer(webhook.app, name="webhook")
app.add_typer(gov.app, name="gov")
app.add_typer(region.app, name="region")
app.add_typer(recognition.app, name="recognition")


def main() -> None:
    """Entry point of `zhenglian`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What a terminal cannot show is no reason to lose the answer.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="zhenglian")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # Commands turn what is wrong with their own files into a `LedgerError`; what is left is the output.
        if not isinstance(error, BrokenPipeError):
            unusable = InputUnusable(what="output", reason=error.strerror or str(error))
            sys.stderr.write(unusable.message(default_language()) + "\n")
        # What could not be written stays in the buffer, and would be tried again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_UNAVAILABLE)


if __name__ == "__main__":
    main()
