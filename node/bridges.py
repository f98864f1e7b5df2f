"""What consensus asks for, put together from what the node has: hashes from the suite, messages over the peer network."""

from __future__ import annotations

from typing import Final

from consensus.application import Lane
from ledger.crypto.suite import CryptoSuite
from ledger.hashing import block_digest, transactions_root
from ledger.types import Header, Transaction
from network.peers import Channel, PeerNetwork

_CHANNELS: Final = {Lane.VOTES: Channel.VOTES, Lane.BLOCKS: Channel.BLOCKS, Lane.SYNC: Channel.SYNC}


class SuiteHashing:
    """The two hashes that consensus asks for, with the suite of genesis."""

    def __init__(self, suite: CryptoSuite) -> None:
        self._suite = suite

    def block_digest(self, header: Header) -> bytes:
        return block_digest(self._suite, header)

    def transactions_root(self, transactions: tuple[Transaction, ...]) -> bytes:
        return transactions_root(self._suite, transactions)


class PeerTransport:
    """Consensus' transport over the peer network: validator index there, account id here.

    Args:
        accounts: account ids in the order of the validators.
        network: where messages go.
    """

    def __init__(self, accounts: tuple[bytes, ...], network: PeerNetwork) -> None:
        self._accounts = accounts
        self._network = network

    def send(self, peer: int, message: bytes, *, lane: Lane) -> None:
        self._network.send(self._accounts[peer], _CHANNELS[lane], message)

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        self._network.broadcast(_CHANNELS[lane], message)
