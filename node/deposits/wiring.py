"""How the parts of deposits in bulk, agent keys and fetching in one call are put together; `node/app.py` has the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.crypto.suite import CryptoSuite
from node.chain import Chain
from node.deposits.bulk import BulkDeposits
from node.deposits.contents import Contents
from node.deposits.holders import Organizations
from node.deposits.reading import Reading
from node.deposits.store import JobStore
from node.deposits.working import Working
from node.index.ports import Index
from node.services.agents import Agents
from node.services.deposits import Deposits
from node.services.fetches import Fetches
from node.services.submission import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositParts:
    """What the API asks, and what starts and stops."""

    bulk: BulkDeposits
    agents: Agents
    fetches: Fetches


def wire(
    *,
    suite: CryptoSuite,
    chain: Chain,
    index: Index,
    submission: Submission,
    deposits: Deposits,
    root: Path,
    node_secret: bytes,
    operator: bytes,
    clock_ms: Callable[[], int],
) -> DepositParts:
    """Put it together.

    Args:
        suite, chain, index, submission, deposits: of the node.
        root: the node's home; `deposits.sqlite`, `deposits/` and `keys/agents/` are in it.
        node_secret: a secret of the node; what seals derives from it.
        operator: the node's account.
        clock_ms: wall clock.

    Raises:
        StorageDamaged: `deposits.sqlite` is no usable database.
    """
    store = JobStore(root / "deposits.sqlite", suite, node_secret)
    contents = Contents(root / "deposits", suite, node_secret)
    agents = Agents(
        suite=suite, chain=chain, folder=root / "keys" / "agents", node_secret=node_secret, clock_ms=clock_ms
    )
    working = Working(
        suite=suite,
        chain=chain,
        store=store,
        deposits=deposits,
        agents=agents,
        submission=submission,
        clock_ms=clock_ms,
    )
    reading = Reading(
        suite=suite, store=store, contents=contents, organizations=Organizations(index, chain.records)
    )
    bulk = BulkDeposits(
        suite=suite,
        chain=chain,
        store=store,
        contents=contents,
        reading=reading,
        working=working,
        agents=agents,
        clock_ms=clock_ms,
    )
    fetches = Fetches(
        suite=suite,
        chain=chain,
        index=index,
        store=store,
        agents=agents,
        submission=submission,
        operator=operator,
        clock_ms=clock_ms,
    )
    return DepositParts(bulk=bulk, agents=agents, fetches=fetches)
