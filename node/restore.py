"""Makes a node's folder out of a backup, and proves a backup without making anything.

Rule: nothing of a backup is believed: the manifest's signature, every file's hash, then the whole store from genesis on, all
before the folder has its name. A folder that was restored has no journal and no mark of a new node, so its vote key is silenced at
the first start (`node/journal.py`): nobody knows what it voted after the backup was made.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import chain_id
from ledger.errors import Category, DecodeError, LedgerError, LimitExceeded, Unavailable
from ledger.lmdb_file import sync_folder
from ledger.types import Genesis
from node.backup_format import (
    NEEDED_FILES,
    STORE_FILE,
    Listed,
    Manifest,
    copy_pieces,
    damaged,
    open_inside,
    pieces,
    read_files,
    read_manifest,
    require_room,
)
from node.cards import IdentityInvalid, read_card
from node.config import ConfigFileInvalid, load_config
from node.founding import read_genesis
from node.home import FileUnusable, Home
from node.storechild import StoreTask, read_store

RESTORING_SUFFIX: Final = ".restoring"

Progress = Callable[[str, int, int], None]


class OtherGenesis(LedgerError):
    """The backup is of another network than the one that was named. Fields: network."""

    code = "backup_of_other_network"
    category = Category.CONFLICT
    zh = "该备份属于另一个网络（{network}），与给定的网络文件不符"
    en = "The backup is of another network ({network}) than the given network file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A backup that is what was written.

    Attributes:
        manifest: signed by the key that it names.
        blocks, certificates, state_values: how many were proven.
    """

    manifest: Manifest
    blocks: int
    certificates: int
    state_values: int


def verify_backup(folder: Path, *, genesis: Genesis | None, progress: Progress) -> Verified:
    """Prove a backup, in place.

    Args:
        folder: the backup.
        genesis: what the network's document is; None to believe the backup's own.
        progress: told the stage, and how much of it is done.

    Raises:
        BackupDamaged: says which file is not what was written.
        OtherGenesis: it is another network's.
    """
    manifest = read_manifest(folder)
    _each_file(folder, manifest, progress, lambda listed: _hash(folder, listed.path))
    return _prove(Home(folder), manifest, genesis, progress)


def restore_backup(folder: Path, home: Path, *, genesis: Genesis | None, progress: Progress) -> Verified:
    """Make a node's folder out of a backup.

    Args:
        folder: the backup; only read.
        home: the folder to make; missing, or empty.
        genesis, progress: as for `verify_backup`.

    Raises:
        BackupDamaged, OtherGenesis: as for `verify_backup`; nothing was made.
        FileUnusable: something is where the folder is to be, or it cannot be written.
        Unavailable: the disk is full; nothing was made.
    """
    home = home.absolute()
    require_room(home)
    manifest = read_manifest(folder)
    making = home.with_name(home.name + RESTORING_SUFFIX)
    try:
        if making.exists():
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        try:
            _require_space(making, manifest)
            _each_file(folder, manifest, progress, lambda listed: _copy(folder, making, listed.path))
            verified = _prove(Home(making), manifest, genesis, progress)
            Home(making).create_folders()
            _sync_all(making)
            making.replace(home)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        sync_folder(home.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}:
            raise Unavailable(what=str(home), reason=reason) from error
        raise FileUnusable(path=str(error.filename or home), reason=reason) from error
    return verified


def _each_file(
    folder: Path, manifest: Manifest, progress: Progress, sha256_of: Callable[[Listed], bytes]
) -> None:
    """Read every listed file and compare its hash; those that a node cannot do without must be among them."""
    missing = set(NEEDED_FILES)
    for done, listed in enumerate(read_files(folder, manifest)):
        if done % 64 == 0 or listed.path == STORE_FILE:
            progress("files", done, manifest.files)
        if sha256_of(listed) != listed.sha256:
            raise damaged(listed.path, "内容与备份时不同", "it is not what was backed up")
        missing.discard(listed.path)
    if missing:
        name = min(missing)
        raise damaged(name, "备份中没有该文件", "the backup does not list it")


def _hash(folder: Path, path: str) -> bytes:
    digest = hashlib.sha256()
    with open_inside(folder, path) as file:
        for piece in pieces(file, path):
            digest.update(piece)
    return digest.digest()


def _copy(folder: Path, target: Path, path: str) -> bytes:
    to = target / path
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_inside(folder, path) as file:
        return copy_pieces(pieces(file, path), to)


def _require_space(folder: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(folder).free
    if free < manifest.size_bytes:
        need = manifest.size_bytes // 1024**2 + 1
        raise Unavailable(what=str(folder), reason=f"it needs {need} MiB, and {free // 1024**2} MiB are free")


def _prove(home: Home, manifest: Manifest, genesis: Genesis | None, progress: Progress) -> Verified:
    """Whether the files are of one node, and the store is what its network certified up to the head that is named."""
    try:
        own = read_genesis(home)
        card = read_card(home.card)
        load_config(home.config)
    except (DecodeError, LimitExceeded, IdentityInvalid, ConfigFileInvalid, FileUnusable) as error:
        raise damaged(_named(error), error.message("zh"), error.message("en")) from None
    suite = load_suite(manifest.suite)
    if own.suite != manifest.suite or chain_id(suite, own).hex() != manifest.chain_id:
        raise damaged("genesis.json", "不是清单所述的网络", "not of the network that the manifest names")
    if genesis is not None and genesis != own:
        raise OtherGenesis(network=manifest.network)
    keys = {(key.scheme, key.public_key) for key in card.keys}
    if card.account != manifest.account or (manifest.scheme, manifest.public_key) not in keys:
        raise damaged("card.json", "不是签署清单的节点", "not of the node that signed the manifest")
    task = StoreTask(folder=str(home.store), genesis=codec.encode(own), depth="check", shared=False)
    report = read_store(task, progress)
    if report.faults:
        raise damaged(STORE_FILE, report.faults[0], report.faults[0])
    if (report.height, report.head_digest) != (manifest.height, manifest.head_digest):
        raise damaged(STORE_FILE, "不是清单所述的区块高度", "not of the head that the manifest names")
    return Verified(
        manifest=manifest,
        blocks=report.blocks,
        certificates=report.certificates,
        state_values=report.state_values,
    )


def _named(error: LedgerError) -> str:
    match error:
        case IdentityInvalid():
            return "card.json"
        case ConfigFileInvalid():
            return "config.toml"
        case FileUnusable():
            return Path(str(error.fields["path"])).name
        case _:
            return "genesis.json"


def _sync_all(folder: Path) -> None:
    for root, _folders, _files in os.walk(folder):
        sync_folder(Path(root))
