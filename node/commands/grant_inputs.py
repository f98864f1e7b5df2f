"""What the commands about grants read from the command line: items, how often, states, mandates.

Rule: what cannot be read is refused before anything is sent, with what was expected.
"""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import replace

from contracts.grant_records import CertificateStateRequired, Frequency, FrequencyUnit, GrantItem
from contracts.vocabulary import STOPPING_STATES, CertificateState
from ledger.errors import DecodeError
from node.commands.context import hex_id
from zhenglian import Client

DAY_MS = 86_400_000

Id = Annotated[str, typer.Argument(help="Grant id, hex. 授权编号。")]
Items = Annotated[
    list[str],
    typer.Option(
        "--item",
        help="type[@certificate]:name,name – fields and attachments wanted; repeat. 所需字段与附件。",
    ),
]
Often = Annotated[
    str, typer.Option("--frequency", help="At most: 2/hour, 1/day, 5/month. 使用频次上限，如 2/hour。")
]
StopAt = Annotated[
    list[str] | None,
    typer.Option(
        "--stop-at",
        help="State of a certificate that stops use too: mortgaged, pledged, renewal_due; repeat. 证照处于该状态时也停用。",
    ),
]


def parse_frequency(text: str) -> Frequency | None:
    """`2/hour` as a frequency; None for an empty text.

    Raises:
        DecodeError: not of that form.
    """
    if not text:
        return None
    value, _, unit = text.partition("/")
    try:
        return Frequency(unit=FrequencyUnit(unit), value=int(value))
    except ValueError:
        units = ", ".join(FrequencyUnit)
        raise DecodeError(what="--frequency", reason=f"2/hour is expected; units: {units}") from None


def with_states(items: list[GrantItem], stop_at: list[str] | None) -> list[GrantItem]:
    """The items, stopped by these states of their certificates besides those that always stop."""
    try:
        more = tuple(CertificateState(name) for name in stop_at or ())
    except ValueError:
        known = ", ".join(CertificateState)
        raise DecodeError(what="--stop-at", reason=f"the states are {known}") from None
    states = tuple(dict.fromkeys((*STOPPING_STATES, *more)))
    required = CertificateStateRequired(stopped_by=states)
    return [replace(item, certificate_state_required=required) for item in items]


def parse_item(client: Client, text: str) -> GrantItem:
    """`type[@certificate]:name,name` as a grant item; the type says which names are fields.

    Raises:
        DecodeError: not of that form, or the type has no such name.
    """
    head, _, names_text = text.partition(":")
    code, _, certificate = head.partition("@")
    names = [name.strip() for name in names_text.split(",") if name.strip()]
    if not code or not names:
        raise DecodeError(what="--item", reason="type:name,name or type@certificate:name,name is expected")
    kind = client.certificate_type(code)
    for name in names:
        if name not in kind.fields and name not in kind.attachments:
            known = ", ".join(kind.fields + kind.attachments)
            raise DecodeError(what="--item", reason=f"{code} has no {name}; it has {known}")
    return GrantItem(
        certificate_type=code,
        certificate=bytes.fromhex(hex_id(certificate, "certificate id")) if certificate else b"",
        fields=tuple(name for name in names if name in kind.fields),
        attachments=tuple(name for name in names if name in kind.attachments),
    )
