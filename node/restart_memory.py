"""What a home must know and remember before its old vote key votes for a restart of the network.

Rule: whatever is noted here is durable before the vote exists. A key that has voted for a restart votes for nothing else in that
epoch, in consensus or out of it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from consensus.core.records import CertificateRecord, FinalizationRecord
from consensus.disk import FileDisk, FileReader
from consensus.journal import Journal, is_journal
from consensus.journal_replay import replay
from ledger.decoders import decode_json
from ledger.store import Store
from ledger.types import VoteKind
from node.home import FileUnusable, Home, read_file, write_file
from node.restart_papers import RestartRefused, refuse

VOTED_FILE: Final = "restart-voted.json"
_NOTE_SIZE_BYTES_MAX: Final = 4096


class _Note(Struct, frozen=True, kw_only=True):
    """What this home has voted for."""

    epoch: Annotated[int, Meta(ge=1)]
    digest: str


def refuse_if_later_is_known(home: Home, store: Store) -> None:
    """A final block above the ledger's head in the own journal means that nothing needs to be given up.

    Raises:
        RestartRefused: there is one, or no journal. StorageDamaged: the journal is not as it was written.
    """
    disk = FileReader(home.journal)
    if not is_journal(disk):
        raise _no_journal()
    head = store.block(store.height)
    known = (head.certificate.epoch, head.certificate.view) if head is not None else (0, 0)
    for record in replay(disk).records:
        if isinstance(record, CertificateRecord | FinalizationRecord):
            certificate = record.certificate
            final = certificate.kind is VoteKind.FINALIZE
            if final and (certificate.epoch, certificate.view) > known:
                raise refuse(
                    "本节点日志中有更晚的已确认区块；请先启动一次节点使其写入账本，并由此制作归档",
                    "this node's journal has a later final block: start the node once, so that its ledger has it, and make "
                    "the archive from there",
                )


def silence(home: Home, key: bytes) -> None:
    """Never let a vote key take part in consensus again; durable when this returns.

    Raises:
        RestartRefused: there is no journal to say so in.
    """
    disk = FileDisk(home.journal)
    try:
        if not is_journal(disk):
            raise _no_journal()
        journal = Journal.open(disk)
        journal.silence(key)
        journal.close()
    finally:
        disk.close()


def note_vote(home: Home, epoch: int, digest: bytes) -> None:
    """Note durably what is about to be voted for.

    Raises:
        RestartRefused: this home has voted for another block in that epoch.
        FileUnusable: the note cannot be read or written.
    """
    path = home.root / VOTED_FILE
    if path.exists():
        data = read_file(path, size_bytes_max=_NOTE_SIZE_BYTES_MAX)
        try:
            note = decode_json(data, _Note)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FileUnusable(path=str(path), reason=str(error)) from None
        if note.epoch >= epoch and note.digest != digest.hex():
            raise refuse(
                "此目录已为另一个重启区块投过票；一个密钥在一个纪元只投一次",
                "this folder has voted for another restart already; a key votes for one in an epoch",
            )
    write_file(path, msgspec.json.encode(_Note(epoch=epoch, digest=digest.hex())))


def _no_journal() -> RestartRefused:
    return refuse("此目录没有日志；请先导入归档", "this folder has no journal; import the archive first")
