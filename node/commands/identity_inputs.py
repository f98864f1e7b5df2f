"""What commands about people read: identity numbers, public keys, identity requests, assertions.

Rule: an identity number is asked for or read from standard input; it is never an argument, and no file of ours holds it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import typer

from contracts.calls import NewKey
from contracts.people_records import BATCH_MAX, SignedAssertion
from contracts.records import KeyRole
from ledger.errors import DecodeError, LimitExceeded
from node.commands.context import Settings, hex_id, read_file, read_json
from zhenglian import IdentityRequest, OwnSecret
from zhenglian.own_numbers import REQUEST_SIZE_BYTES_MAX, request_from_json, secret_from_json
from zhenglian.plain import from_plain
from zhenglian.private_files import read_private

NUMBER_LENGTH_MAX: Final = 64


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


def identity_number(found: Settings) -> str:
    """From a prompt that shows nothing, or a line of standard input, so that no process list holds it."""
    if sys.stdin.isatty():
        return str(typer.prompt(found.say("公民身份号码", "Identity number"), hide_input=True)).strip()
    return sys.stdin.readline(NUMBER_LENGTH_MAX).strip()


def identity_numbers() -> list[str]:
    """One a line from standard input. Raises LimitExceeded."""
    numbers = []
    while line := sys.stdin.readline(NUMBER_LENGTH_MAX):
        if line.strip():
            numbers.append(line.strip())
        if len(numbers) > BATCH_MAX:
            raise LimitExceeded(limit="people of a lookup", maximum=BATCH_MAX, actual=len(numbers))
    return numbers


def read_request(path: Path) -> IdentityRequest:
    """What a person handed over. Raises DecodeError."""
    return request_from_json(read_file(path, "identity request", size_bytes_max=REQUEST_SIZE_BYTES_MAX))


def read_assertion(path: Path) -> SignedAssertion:
    """What a registrar's officer signed. Raises DecodeError."""
    return from_plain(read_json(path, "assertion"), SignedAssertion, "assertion")


def read_secret(path: Path) -> OwnSecret:
    """A person's own secret. Raises DecodeError, KeyFileUnusable."""
    return secret_from_json(read_private(path))
