"""The way out for a node whose store or journal is damaged: put it aside, and let the node rebuild from its peers.

Rule: nothing is deleted, and nothing is done to a folder that a node runs on. Without its journal a validator may have forgotten
votes, so a new journal that silences its key is in place before the old one counts as gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from consensus.disk import FileDisk, FileReader
from consensus.journal import Journal, is_journal
from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.lmdb_file import sync_folder
from node.cards import IdentityInvalid, read_card
from node.doctor import journal_fault
from node.founding import read_genesis
from node.home import FileUnusable, Home, SecretExposed
from node.journal import MARK
from node.lock import HomeLock
from node.rotation import discard_next_vote_key, held_vote_key
from node.storechild import StoreTask, read_store
from zhenglian.errors import KeyFileUnusable

ASIDE: Final = "aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResyncPlan:
    """What is damaged, and so is to be put aside.

    Attributes:
        store: what is wrong with the store; empty to leave it.
        journal: what is wrong with the journal; empty to leave it.
    """

    store: tuple[str, ...]
    journal: str

    def __bool__(self) -> bool:
        return bool(self.store or self.journal)


def plan_resync(home: Home, *, store_anyway: bool, progress: Callable[[str, int, int], None]) -> ResyncPlan:
    """Look at all of store and journal; the node does not run.

    Args:
        home: the node's folder.
        store_anyway: rebuild the store even if nothing is wrong with it.
        progress: told how the check of the store goes on.

    Raises:
        FileUnusable, DecodeError: without the network's document nothing can be judged.
    """
    genesis = read_genesis(home)
    faults: tuple[str, ...] = ()
    if home.store.is_dir() and any(home.store.iterdir()):
        encoded = codec.encode(genesis)
        task = StoreTask(folder=str(home.store), genesis=encoded, depth="check")
        faults = ("on request",) if store_anyway else read_store(task, progress).faults
    journal = ""
    if is_journal(FileReader(home.journal)):
        journal = journal_fault(home) or ""
    elif not (home.journal / MARK).exists():
        journal = "missing"
    return ResyncPlan(store=faults, journal=journal)


def resync(home: Home, plan: ResyncPlan, *, now_ms: int) -> Path:
    """Carry out a plan; the caller holds the folder's lock.

    Args:
        home: the node's folder.
        plan: what to put aside; not empty.
        now_ms: names the folder where it goes.

    Returns:
        That folder.

    Raises:
        OSError: something could not be moved; what was moved is in that folder, and doing it again goes on.
        IdentityInvalid, FileUnusable: the card with the key to silence cannot be read.
    """
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    aside = home.root / ASIDE / moment.strftime("%Y%m%d-%H%M%S-%f")
    aside.mkdir(mode=0o700, parents=True)
    if plan.journal:
        _replace_journal(home, aside, _vote_key(home))
        # Nobody knows any more whether a key that waited for the operators' vote has voted.
        discard_next_vote_key(home)
    if plan.store:
        home.store.rename(aside / home.store.name)
        home.store.mkdir(mode=0o700)
        # The index is of a chain that begins anew now; it is built from it.
        for path in home.root.glob(f"{home.index.name}*"):
            path.rename(aside / path.name)
    for folder in (aside, aside.parent, home.root):
        sync_folder(folder)
    return aside


def _vote_key(home: Home) -> bytes:
    """The public key that may have voted: the one whose secret is here, or else the card's."""
    try:
        return held_vote_key(home, load_suite(read_genesis(home).suite))
    except (IdentityInvalid, FileUnusable, KeyFileUnusable, SecretExposed):
        return bytes.fromhex(read_card(home.card).vote_key)


def _replace_journal(home: Home, aside: Path, vote_key: bytes) -> None:
    """Put a journal that silences the key in the place of the old one.

    A crash in between leaves no journal, and a node without one begins with its key silenced.
    """
    fresh = home.root / "journal.new"
    if fresh.exists():
        fresh.rename(aside / fresh.name)
    disk = FileDisk(fresh)
    Journal.create(disk, silenced=vote_key)
    disk.close()
    fresh.chmod(0o700)
    if home.journal.exists():
        home.journal.rename(aside / home.journal.name)
    fresh.rename(home.journal)


def locked(home: Home) -> HomeLock:
    """Keep nodes away from the folder. Raises HomeInUse."""
    return HomeLock(home.root / "lock")
