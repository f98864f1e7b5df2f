"""Proven misbehaviour goes on the ledger: each pair of votes that exclude each other is reported once by the network.

Rule: every node that holds the proof sees to it that it is recorded; they take turns, so that mostly one report goes on the chain,
and a second is refused as known. What a crash makes this node forget, the others still report.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from contracts import membership
from contracts.calls import EvidenceReport
from contracts.evidence import EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX
from contracts.state import EVIDENCE_COUNTS, EVIDENCE_KNOWN
from ledger.errors import LedgerError
from ledger.types import Vote
from node.chain import Chain
from node.services.node_account import NodeAccount
from node.services.ports import Denied

WAITING_MAX: Final = 256
TURN_S: Final = 5.0
RETRY_S: Final = 30.0

log = structlog.get_logger()


class EvidenceReporter:
    """Reports what consensus proves.

    Args:
        chain: the finalized chain.
        node: signs and submits in the node's name.
    """

    def __init__(self, chain: Chain, node: NodeAccount) -> None:
        self._chain = chain
        self._node = node
        self._waiting: asyncio.Queue[tuple[Vote, Vote]] = asyncio.Queue(WAITING_MAX)

    def noticed(self, first: Vote, second: Vote) -> None:
        """Two verified votes that exclude each other. Beyond WAITING_MAX they are left to the other nodes."""
        log.error(
            "a validator voted for what excludes each other",
            validator=self._name_of(first),
            epoch=first.epoch,
            view=first.view,
            first=first.kind.name.lower(),
            second=second.kind.name.lower(),
        )
        if not self._waiting.full():
            self._waiting.put_nowait((first, second))

    async def run(self) -> None:
        """Report for ever, one proof after the other."""
        while True:
            first, second = await self._waiting.get()
            await asyncio.sleep(self._rank() * TURN_S)
            if self._recorded(first):
                continue
            try:
                await self._node.submit(EvidenceReport(first=first, second=second))
            except Denied as denied:
                log.info("evidence not taken", code=denied.result.code)
            except LedgerError as error:
                log.warning("evidence not reported; trying again", reason=str(error))
                if not self._waiting.full():
                    self._waiting.put_nowait((first, second))
                await asyncio.sleep(RETRY_S)

    def _accused(self, vote: Vote) -> bytes | None:
        voters = membership.validator_set(self._chain.records, vote.epoch)
        if voters is None or vote.validator >= len(voters.validators):
            return None
        return voters.validators[vote.validator].account

    def _name_of(self, vote: Vote) -> str:
        account = self._accused(vote)
        return "" if account is None else account.hex()

    def _recorded(self, vote: Vote) -> bool:
        """Whether there is nothing left to report: it is known, or so much is that the ledger takes no more of this epoch."""
        account, records = self._accused(vote), self._chain.records
        if account is None:
            return True
        count = EVIDENCE_COUNTS.get(records, (vote.epoch, account)) or 0
        known = EVIDENCE_KNOWN.get(records, (vote.epoch, vote.view, account)) is not None
        return known or count >= EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX

    def _rank(self) -> int:
        """This node's turn; those who are no operators come last."""
        accounts = membership.operators(self._chain.records)
        own = self._node.account
        return accounts.index(own) if own in accounts else len(accounts)
