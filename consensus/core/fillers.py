"""Blocks that change nothing: what extends an epoch's seal until the seal is final.

The block whose execution replaced the validator set is its epoch's **seal**: it names another set for its successor than for
itself. The new set may not vote before the seal is final, and the old set has nothing left to decide; so above the seal there are
only **fillers**, which let the old set go through views until one of them, or the seal itself, gets a Finalization.

Rule: a filler is the header above it with its own view, time, proposer and parent, and empty roots. It has the seal's height and is
never executed or committed.
"""

from __future__ import annotations

from msgspec.structs import replace

from consensus.core.settings import Committee, Hashing
from ledger.types import Block, Header


def filler(
    parent: Header, digest: bytes, *, view: int, time_ms: int, proposer: bytes, hashing: Hashing
) -> Block:
    """The one filler of that view, time and proposer above `parent`, a seal or filler whose digest is given."""
    header = replace(
        parent,
        view=view,
        parent=digest,
        time_ms=time_ms,
        proposer=proposer,
        transactions_root=hashing.transactions_root(()),
        results_root=hashing.empty_results_root(),
    )
    return Block(header=header, transactions=())


def follows(parent: Header, child: Header, committee: Committee, hashing: Hashing) -> bool:
    """Whether `child`, which names `parent` as such, may stand above it as far as headers tell."""
    if child.time_ms <= parent.time_ms:
        return False
    if not committee.seals(parent):
        return child.height == parent.height + 1
    expected = filler(
        parent,
        child.parent,
        view=child.view,
        time_ms=child.time_ms,
        proposer=child.proposer,
        hashing=hashing,
    )
    return child.view > parent.view and child == expected.header
