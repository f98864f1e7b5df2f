"""What consensus asks for, put together from what the node has: hashes from the suite, messages over the peer network."""

from __future__ import annotations

from typing import Final

from consensus.application import Lane
from ledger.crypto.suite import CryptoSuite
from ledger.hashing import block_digest, results_root, transactions_root, validators_hash
from ledger.types import Header, Transaction, ValidatorSet
from network.peers import Channel, PeerNetwork

_CHANNELS: Final = {Lane.VOTES: Channel.VOTES, Lane.BLOCKS: Channel.BLOCKS, Lane.SYNC: Channel.SYNC}


class SuiteHashing:
    """The hashes that consensus asks for, with the suite of genesis."""

    def __init__(self, suite: CryptoSuite) -> None:
        self._suite = suite

    def block_digest(self, header: Header) -> bytes:
        return block_digest(self._suite, header)

    def transactions_root(self, transactions: tuple[Transaction, ...]) -> bytes:
        return transactions_root(self._suite, transactions)

    def empty_results_root(self) -> bytes:
        return results_root(self._suite, ())

    def validators_hash(self, validators: ValidatorSet) -> bytes:
        return validators_hash(self._suite, validators)


class PeerTransport:
    """Consensus' transport over the peer network; both know peers by account id."""

    def __init__(self, network: PeerNetwork) -> None:
        self._network = network

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None:
        self._network.send(peer, _CHANNELS[lane], message)

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        self._network.broadcast(_CHANNELS[lane], message)
