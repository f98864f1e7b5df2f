"""`zhenglian person`: find and enrol people.

Rule: an identity number is asked for or read from standard input; it is never an argument.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.calls import NewKey
from contracts.records import KeyRole
from ledger.crypto.registry import load_suite
from ledger.errors import DecodeError
from node.commands.context import EXIT_NEGATIVE, Settings, hex_id, read_file, read_json, settings

app = typer.Typer(no_args_is_help=True, help="People's accounts. 个人账户。")

_NUMBER_LENGTH_MAX: Final = 64


@app.command("lookup")
def lookup(ctx: typer.Context) -> None:
    """Find an account by identity number (prompt or standard input); exit 1 if none. 查询账户。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        view = client.lookup_person(_identity_number(found))
    account = view.account
    found.emit(
        {"account": account},
        account or found.say("此号码尚未开户。", "Nobody is enrolled under this number."),
    )
    if account is None:
        raise typer.Exit(EXIT_NEGATIVE)


@app.command("enroll")
def enroll(
    ctx: typer.Context,
    public: Annotated[
        Path, typer.Option(help="The person's public key: output of `keys show --json`. 个人公钥文件。")
    ],
    assertion: Annotated[
        Path, typer.Option(help="Signed identity assertion; only its hash is recorded. 身份核验凭据。")
    ],
    method: Annotated[str, typer.Option(help="How the person was identified. 核验方式代码。")] = "counter",
) -> None:
    """Open a person's account and bind its first key. 为个人开户。"""
    found = settings(ctx)
    account, key = public_key(public, KeyRole.HOLDER)
    content = read_file(assertion, "assertion")
    with found.client(signed=True) as client:
        digest = load_suite(client.network().suite).digest(content)
        enrolled = client.enroll_person(
            _identity_number(found), key, assertion=digest, method=method, account=bytes.fromhex(account)
        )
    found.emit({"account": enrolled}, found.say(f"已开户：{enrolled}", f"Enrolled: {enrolled}"))


def public_key(path: Path, role: KeyRole) -> tuple[str, NewKey]:
    """Account and public key out of what `keys show --json` printed. Raises DecodeError for anything else."""
    document = read_json(path, "public key")
    try:
        if "secret" in document or "sealed" in document:
            raise DecodeError(
                what=str(path), reason="this is the secret key file; hand over `keys show --json` only"
            )
        key = NewKey(
            scheme=str(document["scheme"]),
            public_key=bytes.fromhex(document["public_key"]),
            role=role,
            label=str(document.get("label") or ""),
            valid_until_ms=0,
        )
        return hex_id(str(document["account"]), "account"), key
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DecodeError(what=str(path), reason="the output of `keys show --json` is expected") from None


def _identity_number(found: Settings) -> str:
    """From a prompt that shows nothing, or a line of standard input, so that no process list holds it."""
    if sys.stdin.isatty():
        return str(typer.prompt(found.say("公民身份号码", "Identity number"), hide_input=True)).strip()
    return sys.stdin.readline(_NUMBER_LENGTH_MAX).strip()
