"""Which journal a node begins with, and whether it may vote.

Rule: a validator that forgot its votes could contradict them, so a node votes only with the journal that it has had from
its first start on. That first start is known by a mark that `node init` puts beside the journal and that the first journal
replaces. No journal and no mark means that there was a journal once: a folder restored from a backup, a disk that was
wiped, a clearing-up that went too far. Such a node's vote key is silenced: it follows the chain without voting, and says
so, until governance has given it another key.
"""

from __future__ import annotations

import os
from typing import Final

from consensus.journal import Journal, JournalDisk, is_journal
from node.home import Home, write_file

MARK: Final = "never-started"
_MARK_TEXT: Final = (
    "This node has never been started. Do not copy this file: a node that has it and no journal believes that it never voted.\n"
    "本节点尚未启动过。请勿复制此文件：有此文件而无日志的节点会认为自己从未投过票。\n"
)


def mark_as_new(home: Home) -> None:
    """Note that this node has never voted; for a folder that was just made.

    Raises:
        FileUnusable: the mark cannot be written.
    """
    write_file(home.journal / MARK, _MARK_TEXT.encode(), replace=False)


def begin_journal(home: Home, disk: JournalDisk, *, store_height: int, vote_key: bytes | None) -> Journal:
    """Open the journal, or make the first one.

    Args:
        home: the node's folder.
        disk: the files in its journal folder.
        store_height: the store's durable height; a store with blocks is that of a node that may have voted.
        vote_key: the public vote key that may have voted here, 32 … 96 bytes; None for a node that has none.

    Returns:
        The journal; `vote_key` is silenced when votes of it may be forgotten.

    Raises:
        StorageDamaged: the journal is not as it was written.
        OSError: it cannot be read or written.
    """
    mark = home.journal / MARK
    may_have_voted = store_height > 0 or not mark.exists()
    journal = (
        Journal.open(disk)
        if is_journal(disk)
        else Journal.create(disk, silenced=vote_key if may_have_voted else None)
    )
    if mark.exists():
        mark.unlink()
        _sync_folder(home)
    return journal


def _sync_folder(home: Home) -> None:
    descriptor = os.open(home.journal, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
