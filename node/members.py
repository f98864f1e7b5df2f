"""Keeps the node in step with the ledger's membership: whom it connects to, and which of its vote keys it still has.

Rule: the ledger decides who belongs to the network, from the block on in which that is final; what the operator configures is
addresses alone. A vote key that the ledger has replaced is destroyed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from contracts.records import NodeRecord
from contracts.state import NODE_ACCOUNTS, NODES
from ledger.errors import LedgerError
from network.links import PeerAddress
from node.execution import FinalizedExecution

log = structlog.get_logger()

_NODES_CHANGE: Final = (NODES.key(b""), NODE_ACCOUNTS.key(None))


class Members:
    """Follows the finalized chain.

    Args:
        account: this node's.
        nodes: the ledger's present nodes.
        address: how to reach a node, by its record and the operator's configuration.
        update_peers: tells the peer network who its peers are now.
        retire_vote_key: destroys the vote key before the given one, which is in force.
    """

    def __init__(
        self,
        *,
        account: bytes,
        nodes: Callable[[], tuple[NodeRecord, ...]],
        addresses: Callable[[tuple[NodeRecord, ...]], tuple[PeerAddress, ...]],
        update_peers: Callable[[tuple[PeerAddress, ...]], None],
        retire_vote_key: Callable[[bytes], None],
    ) -> None:
        self._account = account
        self._nodes = nodes
        self._addresses = addresses
        self._update_peers = update_peers
        self._retire_vote_key = retire_vote_key
        self._belongs = True

    def refresh(self) -> None:
        """Connect to whoever belongs to the network now, and to nobody else."""
        nodes = self._nodes()
        belongs = any(node.account == self._account for node in nodes)
        if self._belongs and not belongs:
            log.warning(
                "this node is not a member of the network",
                remedy="the operators admit it by a vote: zhenglian gov propose add-validator | admit-reader",
            )
        self._belongs = belongs
        try:
            self._update_peers(self._addresses(nodes))
        except (LedgerError, OSError) as error:
            # What stands stays connected; the next change, or the next start, sets it right.
            log.error("the peers could not be changed", reason=str(error))

    def block_finalized(self, final: FinalizedExecution) -> None:
        """A block is final: follow what it changes about the membership."""
        executed = final.executed
        if any(key.startswith(_NODES_CHANGE) for key in executed.writes):
            self.refresh()
        if executed.seals:
            validators = executed.next_validators
            log.info("a new epoch begins", epoch=validators.epoch, validators=len(validators.validators))
            for validator in validators.validators:
                if validator.account == self._account:
                    self._retire_vote_key(validator.vote_key)
