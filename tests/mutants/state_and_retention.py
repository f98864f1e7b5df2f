"""The rules of the state tree's nodes, of values at heights, and of what is let go of."""

from __future__ import annotations

from typing import Final

from tests.mutants.naming import one

_NODES: Final = "ledger/state_nodes.py"
_TREE: Final = "ledger/state_tree.py"
_HISTORY: Final = "ledger/store_history.py"
_READS: Final = "ledger/store_reads.py"
_RETENTION: Final = "ledger/store_retention.py"
_STORE: Final = "ledger/store.py"
_MAP: Final = "ledger/store_map.py"
_TREES: Final = ("tree",)
_STORES: Final = ("store",)

STATE: Final = (
    one(
        "leaf-rises",
        "a leaf rises while it is alone",
        _NODES,
        "join",
        "elif right is None and type(left) is Leaf:",
        "elif False:",
        _TREES,
    ),
    one(
        "node-collapses",
        "a node that is left with one leaf gives way to it",
        _TREE,
        "_Updater._rewrite",
        "if len(present) == 1 and isinstance(present[0], Leaf):",
        "if False:",
        _TREES,
    ),
    one(
        "pair-replaced",
        "the hash of the changed pair takes the place of the old one",
        _TREE,
        "_Updater._replace_branch",
        "pairs = pair + data[PAIRS_AT + HASH_SIZE_BYTES :]",
        "pairs = data[PAIRS_AT:]",
        _TREES,
    ),
    one(
        "replaced-node-is-stale",
        "a node that is replaced is listed as stale",
        _TREE,
        "_Updater._replace_branch",
        "self.stale.append(old_key)",
        "",
        _TREES,
    ),
    one(
        "unchanged-is-not-written",
        "what changes nothing writes no node",
        _TREE,
        "_Updater._walk",
        "if after == child:",
        "if False:",
        _TREES,
    ),
)

KEPT: Final = (
    one(
        "old-value-kept",
        "a value that is overwritten is kept",
        _HISTORY,
        "write_state",
        "if old is not None and old != value:",
        "if False:",
        _STORES,
    ),
    one(
        "old-value-within-a-group",
        "a value is kept though a later block of its group overwrites it",
        _HISTORY,
        "write_state",
        "values[key] = value",
        "pass",
        _STORES,
    ),
    one(
        "history-boundary",
        "a value is looked for under the height that overwrote it, not the one before",
        _HISTORY,
        "value_at",
        "history_key(has_not, key_hash)",
        "history_key(has, key_hash)",
        _STORES,
    ),
    one(
        "history-digest",
        "a kept value has the digest that its height names",
        _HISTORY,
        "value_at",
        "found is None or suite.digest(found) != leaf.value_hash",
        "found is None",
        _STORES,
    ),
    one(
        "state-digest",
        "the value at the head has the digest that the asked height names",
        _HISTORY,
        "value_at",
        "newest is not None and suite.digest(newest) == leaf.value_hash",
        "newest is not None",
        _STORES,
    ),
    one(
        "lowest-height",
        "below the first provable height the answer is no",
        _READS,
        "StoreReads._provable",
        "if not view.first_provable() <= at <= head:",
        "if not 0 <= at <= head:",
        _STORES,
    ),
    one(
        "highest-height",
        "above the head the answer is no",
        _READS,
        "StoreReads._provable",
        "if not view.first_provable() <= at <= head:",
        "if not view.first_provable() <= at:",
        _STORES,
    ),
)

LET_GO: Final = (
    one(
        "prune-off-by-one",
        "the last retained height is kept",
        _RETENTION,
        "Pruning._proofs",
        "wanted = self.head.height - self.retention.proof_blocks",
        "wanted = self.head.height - self.retention.proof_blocks + 1",
        _STORES,
    ),
    one(
        "prune-too-little",
        "what is not retained goes",
        _RETENTION,
        "Pruning._proofs",
        "wanted = self.head.height - self.retention.proof_blocks",
        "wanted = self.head.height - self.retention.proof_blocks - 1",
        _STORES,
    ),
    one(
        "prune-marks-its-beginning",
        "a height counts as gone as soon as something of it is",
        _RETENTION,
        "Pruning._proofs",
        "first = _version(cursor)",
        "first = _version(cursor) - 1",
        _STORES,
    ),
    one(
        "prune-values",
        "kept values go with the last height that has them",
        _RETENTION,
        "Pruning._values",
        "while values_max > 0 and _version(cursor) <= first:",
        "while False:",
        _STORES,
    ),
    one(
        "prune-values-off-by-one",
        "a value stays while the height before its end can be proven against",
        _RETENTION,
        "Pruning._values",
        "while values_max > 0 and _version(cursor) <= first:",
        "while values_max > 0 and _version(cursor) <= first + 1:",
        _STORES,
    ),
    one(
        "prune-bounded",
        "clearing up is bounded in each transaction",
        _RETENTION,
        "Pruning._proofs",
        "pruned < nodes_max and",
        "",
        _STORES,
    ),
    one(
        "provable-blocks-stay",
        "a block that can be proven against stays",
        _RETENTION,
        "Pruning._blocks",
        "finalized is None or height >= provable or",
        "finalized is None or",
        _STORES,
    ),
    one(
        "blocks-kept",
        "as many blocks are kept as are to be",
        _RETENTION,
        "Retention.lets_go",
        "header.height <= head.height - self.blocks",
        "header.height < head.height - self.blocks",
        _STORES,
    ),
    one(
        "age-kept",
        "a block that is as old as may be stays",
        _RETENTION,
        "Retention.lets_go",
        "header.time_ms < head.time_ms - self.age_ms",
        "header.time_ms <= head.time_ms - self.age_ms",
        _STORES,
    ),
    one(
        "ids-go-with-the-block",
        "the table of transactions forgets those of blocks that are gone",
        _RETENTION,
        "Pruning._delete_block",
        '"transactions": [result.transaction_id for result in results],',
        "",
        _STORES,
    ),
    one(
        "gone-blocks-are-passed-over",
        "a commit that is repeated passes over blocks that are gone already",
        _STORE,
        "Store._held",
        "if header.height < self.first_height:",
        "if False:",
        _STORES,
    ),
    one(
        "growth-takes-views",
        "a view whose map has moved is not read from",
        _MAP,
        "StoreMap._grow",
        "view.revoke()",
        "pass",
        _STORES,
    ),
    one(
        "growth-waits",
        "the map does not move while somebody reads",
        _MAP,
        "Gate.alone",
        "if not self._changed.wait_for(lambda: not self._inside, wait_s):",
        "if False:",
        _STORES,
    ),
)
