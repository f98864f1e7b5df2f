"""Makes a backup of a node's folder, also while the node runs.

Rule: the node is not asked and not stopped; the ledger is copied from one moment, and everything else lies still. What a crash or
a full disk leaves behind has another name than the backup, which appears whole, checked and signed, or not at all. The journal is
never in it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.errors import Category, LedgerError, StorageDamaged, Unavailable
from ledger.lmdb_file import sync_folder
from ledger.types import Genesis
from node.backup_format import (
    BACKUP_VERSION,
    DATABASES,
    FILES,
    PUBLIC_FILES,
    REPORT_NAME,
    STORE_FILE,
    Listed,
    Manifest,
    copy_pieces,
    pieces,
    require_room,
    write_manifest,
)
from node.founding import read_genesis
from node.home import SECRET_FILE_BYTES_MAX, FileUnusable, Home, read_file, write_file
from node.identity import NodeIdentity, load_identity
from node.keystore import PRIVATE_KEY_READABLE, KeyFiles, is_sealed
from node.storechild import StoreReport, StoreTask, read_store
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, blob_hash
from node.versions import RELEASE
from zhenglian.keyfile import read_public

MAKING_SUFFIX: Final = ".making"
# Certificates that are verified of the copy; blocks, results, state and tree are hashed one and all.
CERTIFICATES_SAMPLED: Final = 1000

Progress = Callable[[str, int, int], None]


class BackupRefused(LedgerError):
    """What would be backed up is damaged already. Fields: reason."""

    code = "backup_refused"
    category = Category.CONFLICT
    zh = "未生成备份：账本存储已损坏（{reason}）。请先停止节点并执行 zhenglian node resync"
    en = "No backup was made: the store is damaged ({reason}). Stop the node and run zhenglian node resync first"


class KeysReadable(LedgerError):
    """A secret lies readable, so it does not go into a backup. Fields: path."""

    code = "keys_readable"
    category = Category.FORBIDDEN
    zh = "密钥文件 {path} 未加密，不写入备份；请先为密钥设置口令，或去掉 --with-keys"
    en = "The secret {path} is not encrypted, so it goes into no backup: lock the keys first, or leave out --with-keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlan:
    """What is asked for.

    Attributes:
        home: the node's folder.
        destination: where the backup is to be; missing, or an empty folder.
        blobs: whether ciphertext is included.
        keys: whether the node's secrets are included, as they lie; each of them must be encrypted.
        linked: whether blobs may be hard links where both are on one file system.
        proven: whether all of the copied store is proven, and not only that it opens.
        now_ms: Unix milliseconds.
    """

    home: Home
    destination: Path
    blobs: bool = True
    keys: bool = False
    linked: bool = True
    proven: bool = True
    now_ms: int


@dataclass(slots=True, kw_only=True)
class BackupMade:
    """What came of it.

    Attributes:
        manifest: of the backup.
        damaged_blobs: those that do not hash to their names, and are left out; peers have them.
    """

    manifest: Manifest
    damaged_blobs: list[str] = field(default_factory=list)


def make_backup(plan: BackupPlan, progress: Progress) -> BackupMade:
    """Make a backup.

    Args:
        plan: what and where.
        progress: told the stage, and how much of it is done.

    Raises:
        BackupRefused: the store is damaged.
        FileUnusable: the destination is no place for it, or a file of the home cannot be read.
        Unavailable: the disk is full; nothing is left behind.
    """
    home = plan.home
    genesis = read_genesis(home)
    suite = load_suite(genesis.suite)
    identity = load_identity(home, suite)
    destination = plan.destination.absolute()
    require_room(destination)
    if destination.resolve().is_relative_to(home.root.resolve()):
        raise FileUnusable(path=str(destination), reason="a backup does not lie inside the node's own folder")
    with _making(destination) as folder:
        writer = _Writer(plan, folder, suite, progress)
        writer.public_files()
        writer.databases()
        writer.reports()
        if plan.keys:
            writer.keys()
        report = writer.store(genesis)
        damaged_blobs = writer.blobs() if plan.blobs else []
        manifest = writer.finish(genesis, identity, report)
    return BackupMade(manifest=manifest, damaged_blobs=damaged_blobs)


@contextmanager
def _making(destination: Path) -> Iterator[Path]:
    """A folder beside the destination that takes its place if nothing fails, and else is gone."""
    making = destination.with_name(destination.name + MAKING_SUFFIX)
    try:
        making.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(making, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise FileUnusable(path=str(making), reason="another backup is being made there") from None
            _empty(making)
            try:
                yield making
                sync_folder(making)
                making.replace(destination)
            except BaseException:
                shutil.rmtree(making, ignore_errors=True)
                raise
            sync_folder(destination.parent)
        finally:
            os.close(lock)
    except OSError as error:
        raise _disk(error, destination) from error


def _disk(error: OSError, destination: Path) -> LedgerError:
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}:
        return Unavailable(what=str(destination), reason=reason)
    return FileUnusable(path=str(error.filename or destination), reason=reason)


def _empty(folder: Path) -> None:
    """Throw away what an attempt that was cut short has left."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


class _Writer:
    """Fills the folder, and remembers what is in it."""

    def __init__(self, plan: BackupPlan, folder: Path, suite: CryptoSuite, progress: Progress) -> None:
        self._plan = plan
        self._folder = folder
        self._suite = suite
        self._progress = progress
        self._listed: list[Listed] = []
        self._size_bytes = 0

    def public_files(self) -> None:
        """Settings, card, genesis and peers."""
        for name in PUBLIC_FILES:
            path = self._plan.home.root / name
            if path.exists() or name != "peers.json":
                self._put(name, read_file(path))

    def databases(self) -> None:
        """What this node alone knows, each database as of one moment and without what was deleted from it."""
        for name in DATABASES:
            source, target = self._plan.home.root / name, self._folder / name
            if source.exists():
                _copy_database(source, target)
                with target.open("rb") as file:
                    os.fsync(file.fileno())
                    self._note(name, hashlib.file_digest(file, "sha256").digest(), target.stat().st_size)

    def reports(self) -> None:
        """Reports of traces, of which the ledger has the hashes alone."""
        source, target = self._plan.home.spool, self._folder / "spool"
        names = [path.name for path in source.iterdir()] if source.is_dir() else []
        for name in sorted(filter(REPORT_NAME.fullmatch, names)):
            target.mkdir(mode=0o700, exist_ok=True)
            with (source / name).open("rb") as file:
                sha256 = copy_pieces(pieces(file, f"spool/{name}"), target / name)
            self._note(f"spool/{name}", sha256, (target / name).stat().st_size)
        if target.is_dir():
            sync_folder(target)

    def keys(self) -> None:
        """The secrets that a node needs, sealed as they are. A key that waits for a vote may have voted since: it stays out."""
        files = KeyFiles(self._plan.home)
        (self._folder / "keys").mkdir(mode=0o700)
        for path in (files.node, files.vote, files.wrap, files.tls.path, files.keyring):
            data = read_file(path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
            if _readable(files, path, data):
                raise KeysReadable(path=str(path))
            self._put(f"keys/{path.name}", data, secret=True)
        sync_folder(self._folder / "keys")

    def store(self, genesis: Genesis) -> StoreReport:
        """The ledger, as of one moment, proven."""
        folder = (self._folder / STORE_FILE).parent
        folder.mkdir(mode=0o700)
        encoded = codec.encode(genesis)
        task = StoreTask(
            folder=str(self._plan.home.store), genesis=encoded, depth="copy", destination=str(folder)
        )
        self._sound(read_store(task, self._progress))
        proof = StoreTask(
            folder=str(folder),
            genesis=encoded,
            depth="check" if self._plan.proven else "glance",
            sample=CERTIFICATES_SAMPLED,
            shared=False,
        )
        report = self._sound(read_store(proof, self._progress))
        with (self._folder / STORE_FILE).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
            self._note(STORE_FILE, sha256, os.fstat(file.fileno()).st_size)
        sync_folder(folder)
        return report

    def _sound(self, report: StoreReport) -> StoreReport:
        if report.unavailable:
            raise Unavailable(what=str(self._plan.destination), reason=report.unavailable)
        if report.faults:
            raise BackupRefused(reason=report.faults[0])
        return report

    def blobs(self) -> list[str]:
        """Every blob that hashes to its name; the names of the others."""
        source = self._plan.home.blobs
        names = sorted(_blob_paths(source))
        damaged: list[str] = []
        for done, path in enumerate(names):
            if done % 64 == 0:
                self._progress("blobs", done, len(names))
            try:
                self._blob(source / path, f"blobs/{path}")
            except FileNotFoundError:
                continue  # deleted since the folder was read
            except StorageDamaged:
                damaged.append(path.replace("/", ""))
        for folder in (self._folder / "blobs", *(self._folder / "blobs").glob("*")):
            if folder.is_dir():
                sync_folder(folder)
        return damaged

    def _blob(self, source: Path, path: str) -> None:
        with source.open("rb") as file:
            data = file.read(BLOB_SIZE_BYTES_MAX + 1)
        if blob_hash(self._suite, data).hex() != "".join(source.parts[-2:]):
            raise StorageDamaged(what="blob", reason="it does not hash to its name")
        target = self._folder / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._plan.linked and _linked(source, target)):
            copy_pieces(iter((data,)), target)
        self._note(path, hashlib.sha256(data).digest(), len(data))

    def finish(self, genesis: Genesis, identity: NodeIdentity, report: StoreReport) -> Manifest:
        """Write the list and, last of all, the manifest."""
        digest = hashlib.sha256()
        with (self._folder / FILES).open("xb") as file:
            for listed in sorted(self._listed, key=lambda one: one.path):
                file.write(listed.line)
                digest.update(listed.line)
            file.flush()
            os.fsync(file.fileno())
        manifest = Manifest(
            version=BACKUP_VERSION,
            network=genesis.network,
            suite=genesis.suite,
            chain_id=chain_id(self._suite, genesis).hex(),
            account=identity.card.account,
            name=identity.card.name,
            scheme=identity.node_signer.scheme,
            public_key=identity.node_signer.public_key.hex(),
            release=RELEASE,
            made_ms=self._plan.now_ms,
            height=report.height,
            head_digest=report.head_digest,
            first_height=report.first_height,
            files_sha256=digest.hexdigest(),
            files=len(self._listed),
            size_bytes=self._size_bytes,
            blobs="all" if self._plan.blobs else "none",
            keys="encrypted" if self._plan.keys else "none",
        )
        write_manifest(self._folder, manifest, identity.node_signer)
        return manifest

    def _put(self, path: str, data: bytes, *, secret: bool = False) -> None:
        write_file(self._folder / path, data, secret=secret)
        self._note(path, hashlib.sha256(data).digest(), len(data))

    def _note(self, path: str, sha256: bytes, size_bytes: int) -> None:
        self._listed.append(Listed(sha256=sha256, path=path))
        self._size_bytes += size_bytes


def _copy_database(source: Path, target: Path) -> None:
    """A copy of one moment, while the node writes. Raises FileUnusable, Unavailable."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as database:
            database.execute("VACUUM INTO ?", (str(target),))
        target.chmod(0o600)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise Unavailable(what=str(target.parent), reason=str(error)) from None
        raise FileUnusable(path=str(source), reason=str(error)) from None


def _readable(files: KeyFiles, path: Path, data: bytes) -> bool:
    """Whether who has the file has the secret."""
    if path == files.node:
        return read_public(path)[1] == "none"
    if path == files.tls.path:
        return PRIVATE_KEY_READABLE in data
    return not is_sealed(data)


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link could be made; a blob is never changed in place, so one file serves both."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            return False
        raise
    return True


def _blob_paths(folder: Path) -> Iterator[str]:
    """`xx/rest` of every file that is named as a blob; half-written ones have other names."""
    if not folder.is_dir():
        return
    for group in sorted(folder.iterdir()):
        if len(group.name) == 2 and group.is_dir():
            yield from (
                f"{group.name}/{path.name}"
                for path in group.iterdir()
                if len(path.name) == 62 and path.is_file()
            )
