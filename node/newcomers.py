"""From an operator's card to what governance votes on.

Rule: a card is taken in only for the network and suite that it was made for, and with its proof of possession; what else a
newcomer must be, the contracts check (`contracts/membership.py`).
"""

from __future__ import annotations

import ssl

from contracts.actions import AddValidator, RotateVoteKey
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError
from ledger.types import GenesisKey, GenesisOperator
from node.cards import NodeCard


class CardRefused(LedgerError):
    """A card that cannot be proposed to this network. Fields: name, reason_zh, reason_en."""

    code = "card_refused"
    zh = "{name} 的名片不可用：{reason_zh}"
    en = "The card of {name} cannot be used: {reason_en}"


def check_card(card: NodeCard, network: str, suite: CryptoSuite) -> None:
    """Raise CardRefused unless the card is for this network and proves its vote key."""
    if card.network != network:
        raise CardRefused(
            name=card.name,
            reason_zh=f"它属于网络 {card.network}，不是 {network}",
            reason_en=f"it is for network {card.network}, not {network}",
        )
    if card.suite != suite.name:
        raise CardRefused(
            name=card.name,
            reason_zh=f"密码套件是 {card.suite}，不是 {suite.name}",
            reason_en=f"its crypto suite is {card.suite}, not {suite.name}",
        )
    account, vote_key = bytes.fromhex(card.account), bytes.fromhex(card.vote_key)
    if not suite.quorum.verify_possession(network, account, vote_key, bytes.fromhex(card.possession)):
        raise CardRefused(
            name=card.name,
            reason_zh="未能证明持有投票密钥",
            reason_en="it does not prove possession of its vote key",
        )


def operator_of(card: NodeCard, suite: CryptoSuite) -> GenesisOperator:
    """The card as the ledger writes it.

    Args:
        card: checked by `check_card`.
        suite: of the network.

    Raises:
        CardRefused: its certificate is none, or nothing can be sealed to its wrap key.
    """
    try:
        certificate = ssl.PEM_cert_to_DER_cert(card.certificate_pem.strip())
    except ValueError:
        raise CardRefused(
            name=card.name, reason_zh="证书不是 PEM", reason_en="its certificate is no PEM"
        ) from None
    wrap_key = bytes.fromhex(card.wrap_key)
    try:
        suite.wrap(wrap_key, bytes(32))
    except LedgerError as error:
        raise CardRefused(
            name=card.name, reason_zh=error.message("zh"), reason_en=error.message("en")
        ) from None
    return GenesisOperator(
        account=bytes.fromhex(card.account),
        name=card.name,
        keys=tuple(
            GenesisKey(
                key_id=bytes.fromhex(key.key_id),
                scheme=key.scheme,
                public_key=bytes.fromhex(key.public_key),
                role=key.role,
                label=key.label,
            )
            for key in card.keys
        ),
        wrap_key=wrap_key,
        host=card.host,
        port=card.port,
        certificate=certificate,
    )


def addition(card: NodeCard, suite: CryptoSuite) -> AddValidator:
    """The card's node as a new validator."""
    return AddValidator(
        operator=operator_of(card, suite),
        vote_key=bytes.fromhex(card.vote_key),
        possession=bytes.fromhex(card.possession),
    )


def rotation(card: NodeCard) -> RotateVoteKey:
    """The card's vote key as the new one of its validator."""
    return RotateVoteKey(
        account=bytes.fromhex(card.account),
        vote_key=bytes.fromhex(card.vote_key),
        possession=bytes.fromhex(card.possession),
    )
