"""`zhenglian`, the command line: global options, the groups of commands, errors as exit codes.

Rule: no stack trace for a user's fault. Global options may stand anywhere on the line.
"""

from __future__ import annotations

import os
import sys
from collections import UserDict
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from ledger.errors import LedgerError
from node.commands.context import (
    EXIT_UNAVAILABLE,
    InputUnusable,
    Settings,
    asker,
    default_language,
    default_settings,
)
from zhenglian.unlocking import Sources, use_sources

# Commands and groups of them in the order of the help: module of `node.commands`, and name in it.
_ROOMS: Final = {
    "node": ("nodes", "app"),
    "archive": ("archive", "app"),
    "status": ("status", "status"),
    "devnet": ("devnet", "app"),
    "keys": ("keys", "app"),
    "tx": ("tx", "app"),
    "cert": ("cert", "app"),
    "grant": ("grant", "app"),
    "release": ("release", "app"),
    "up": ("up", "up"),
    "down": ("down", "down"),
    "token": ("agent", "token"),
    "trace": ("trace", "app"),
    "copy": ("copies", "app"),
    "question": ("question", "questions"),
    "count": ("question", "counts"),
    "form": ("question", "forms"),
    "present": ("question", "present"),
    "proof": ("proof", "app"),
    "verify": ("verify", "verify"),
    "trust": ("verify", "trust"),
    "person": ("person", "app"),
    "org": ("org", "app"),
    "me": ("me", "app"),
    "webhook": ("webhook", "app"),
    "gov": ("gov", "app"),
    "region": ("region", "app"),
    "recognition": ("recognition", "app"),
}
_FLAGS: Final = ("--json",)
_WITH_VALUE: Final = ("--lang", "--node", "--key", "--passphrase-file", "--pin-file", "--pkcs11-module")


class Commands(UserDict[str, Any]):
    """Commands by name, each read in when it is asked for: nobody waits for the node's code to see his own data."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, tuple):
            found = self.data[name] = _read_in(name, *found)
        return found


def _read_in(name: str, module: str, attribute: str) -> Any:
    found = getattr(import_module(f"node.commands.{module}"), attribute)
    alone = typer.Typer()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return typer.main.get_group(alone).commands[name]


class Zhenglian(TyperGroup):
    """The root: takes global options from anywhere on the line, and turns `LedgerError`s into exit codes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands(_ROOMS)

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
