"""What one store's updates and proofs cost: the counts, which are exact, and the times, which are this machine's.

What is counted, per update (a block's 300 updates divided by 300):

- `nodes_hashed`: calls of the suite's digest for a node of the state tree, inner nodes and leaves alike.
- `nodes_stored`: records that the block adds to the table `tree`.
- `tree_bytes`: keys and records of those.
- `state_bytes`: keys and values put into the table `state`, and keys deleted from it.
- `history_bytes`: keys and values put into the table `history`, which are the values that are overwritten.
- `stale_bytes`: keys and records put into the table `stale`, which lists the nodes that are no longer needed.
- `bytes_written`: all four together.
- `page_bytes`: what LMDB gave the kernel to write for it all, the block and clearing up included.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from bench.ledger_state import BATCH, RETENTION, Chain, Population, Writes
from bench.machine import memory_bytes, written_bytes
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_LEAF, STATE_NODE, Domain
from ledger.state_tree import TreeUpdate, verify_state
from ledger.store import Store
from ledger.store_history import history_key
from ledger.store_records import stale_records

# So that clearing up goes on while it is measured.
WARM_UP_BLOCKS: Final = RETENTION.proof_blocks + 10
PROOFS: Final = 300

COUNTS: Final = (
    "nodes_hashed",
    "nodes_stored",
    "tree_bytes",
    "state_bytes",
    "history_bytes",
    "stale_bytes",
    "bytes_written",
    "page_bytes",
)


class CountingSuite:
    """A suite that counts the nodes of the state tree that it hashes; not used where time is taken."""

    def __init__(self, suite: CryptoSuite) -> None:
        self._suite = suite
        self._prefixes = tuple(bytes((len(domain),)) + domain for domain in (STATE_LEAF, STATE_NODE))
        self.nodes = 0

    def digest(self, data: bytes) -> bytes:
        self.nodes += data.startswith(self._prefixes)
        return self._suite.digest(data)

    def hash(self, domain: Domain, data: bytes) -> bytes:
        return self.digest(bytes((len(domain),)) + domain + data)


@dataclass(slots=True)
class Figures:
    """Of the measured blocks, one number each."""

    counts: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in COUNTS})
    update_ms: list[float] = field(default_factory=list)
    commit_ms: list[float] = field(default_factory=list)

    def add_counts(self, store: Store, writes: Writes, tree: TreeUpdate, hashed: int) -> None:
        """Count what a block is going to write; called before it is committed."""
        height = store.height + 1
        old = {key: value for key in writes if (value := store.get(key)) is not None}
        key_hash = bytes(32)
        sizes = {
            "tree_bytes": sum(len(key) + len(node) for key, node in tree.nodes.items()),
            "state_bytes": sum(len(key) + len(value or b"") for key, value in writes.items()),
            "history_bytes": sum(len(history_key(height, key_hash)) + len(value) for value in old.values()),
            "stale_bytes": sum(
                len(key) + len(data) for key, data in stale_records(height, tree.stale).items()
            ),
        }
        for name, count in {
            "nodes_hashed": hashed,
            "nodes_stored": len(tree.nodes),
            **sizes,
            "bytes_written": sum(sizes.values()),
        }.items():
            self.counts[name].append(count)

    def row(self) -> dict[str, object]:
        """Means per update of what is counted, medians per block of what is timed."""
        update_ms = statistics.median(self.update_ms)
        batch_ms = statistics.median(map(sum, zip(self.update_ms, self.commit_ms, strict=True)))
        return {
            "blocks": len(self.update_ms),
            "per_update": {
                name: round(statistics.mean(counts) / BATCH, 2)
                for name, counts in self.counts.items()
                if counts
            },
            "tree_ms_per_block": round(update_ms, 2),
            "tree_keys_per_s": round(BATCH / update_ms * 1000),
            "commit_ms_per_block": round(statistics.median(self.commit_ms), 2),
            "wall_ms_per_block": round(batch_ms, 2),
            "keys_per_s": round(BATCH / batch_ms * 1000),
        }


def measure(path: Path, suite: CryptoSuite, size: int, blocks: int, seed: int) -> dict[str, object]:
    """Update the store in `path`, and prove what is in it.

    Args:
        path: its folder.
        suite: of its network.
        size: how many records its state began with.
        blocks: how many blocks are measured, after a warm-up.
        seed: of the updates.
    """
    population = Population(size, Random(seed))
    figures = Figures()
    with Store.open(path, suite, retention=RETENTION) as store:
        chain = Chain(suite, store)
        for number in range(WARM_UP_BLOCKS + blocks):
            _one_block(chain, population, figures if number >= WARM_UP_BLOCKS else Figures())
        memory = memory_bytes()
        proofs = _prove(suite, store, population)
        space = store.space()
    return {
        "size": size,
        **figures.row(),
        **proofs,
        "memory_bytes": memory,
        "file_bytes": space.file_bytes,
        "live_bytes": space.live_bytes,
        "reusable_bytes": space.reusable_bytes,
    }


def _one_block(chain: Chain, population: Population, figures: Figures) -> None:
    store, writes = chain.store, population.block()
    started = time.perf_counter()
    with store.reading() as view:
        tree = chain.update(chain.suite, view, writes)
    figures.update_ms.append((time.perf_counter() - started) * 1000)
    counting = CountingSuite(chain.suite)
    with store.reading() as view:
        chain.update(counting, view, writes)  # type: ignore[arg-type]  # has what a tree uses
    figures.add_counts(store, writes, tree, counting.nodes)
    block = chain.committed(writes, tree)
    before = written_bytes()
    started = time.perf_counter()
    store.commit([block])
    figures.commit_ms.append((time.perf_counter() - started) * 1000)
    after = written_bytes()
    if before is not None and after is not None:
        figures.counts["page_bytes"].append(after - before)


def _prove(suite: CryptoSuite, store: Store, population: Population) -> dict[str, object]:
    """Proofs at the head and at the oldest height that can be proven against, checked."""
    sizes: list[int] = []
    prove_us: list[float] = []
    verify_us: list[float] = []
    for number in range(PROOFS):
        key = next(iter(population.block())) if number % 2 else b"certificates/" + number.to_bytes(16, "big")
        height = store.height if number % 4 < 2 else store.first_provable_height
        header = store.header(height)
        started = time.perf_counter()
        proven = store.prove_value(key, height)
        proved = time.perf_counter()
        holds = header is not None and verify_state(suite, header.state_root, key, proven.value, proven.proof)
        verify_us.append((time.perf_counter() - proved) * 1e6)
        prove_us.append((proved - started) * 1e6)
        if not holds:
            raise SystemExit(f"the proof of {key!r} at height {height} does not hold")
        sizes.append(len(codec.encode(proven.proof)))
    return {
        "proof_bytes": round(statistics.mean(sizes)),
        "prove_us": round(statistics.median(prove_us)),
        "verify_us": round(statistics.median(verify_us)),
    }
