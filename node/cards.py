"""A node's card: what its operator tells the others of it.

Rule: everything in it is public, and it is believed only with its proof of possession (`node/newcomers.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ledger.decoders import decode_json
from ledger.errors import LedgerError
from ledger.types import Name
from node.config import Host, Port
from node.home import read_file
from zhenglian.api import Hex, Hex16

CARD_VERSION: Final = 1
CARD_BYTES_MAX: Final = 64 * 1024


class IdentityInvalid(LedgerError):
    """A card or secret cannot be used. Fields: file, reason_zh, reason_en."""

    code = "identity_invalid"
    zh = "节点身份文件 {file} 不可用：{reason_zh}"
    en = "Cannot use the identity file {file}: {reason_en}"


class CardKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public half of an account key."""

    scheme: Name
    public_key: Hex
    key_id: Hex16
    role: Name
    label: Name


class NodeCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator tells the others.

    Attributes:
        version: `CARD_VERSION`.
        network: the network it wants to join; the proof of possession is bound to this name.
        suite: the crypto suite its keys are for.
        account: random account id.
        name: public name of the operating organisation.
        host: where its node listens for peers.
        port: the port there.
        keys: account keys, one of role "admin" and one of role "node".
        vote_key: public key of consensus votes.
        possession: proof that the secret of `vote_key` is held.
        wrap_key: public key to which secrets for this operator are sealed.
        certificate_pem: X.509 certificate of its peer connections.
    """

    version: Annotated[int, Meta(ge=CARD_VERSION, le=CARD_VERSION)]
    network: Name
    suite: Name
    account: Hex16
    name: Name
    host: Host
    port: Port
    keys: Annotated[tuple[CardKey, ...], Meta(min_length=2, max_length=8)]
    vote_key: Hex
    possession: Hex
    wrap_key: Hex
    certificate_pem: str


def encode_card(card: NodeCard) -> bytes:
    """`card.json`."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


def parse_card(data: bytes, *, file: str) -> NodeCard:
    """Read a card's JSON.

    Raises:
        IdentityInvalid: not a card.
    """
    try:
        return decode_json(data, NodeCard)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IdentityInvalid(file=file, reason_zh=str(error), reason_en=str(error)) from None


def read_card(path: Path) -> NodeCard:
    """Read `card.json`; errors as for `parse_card`, and FileUnusable."""
    return parse_card(read_file(path, size_bytes_max=CARD_BYTES_MAX), file=str(path))
