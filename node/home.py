"""A node's home folder: what lies where, and how its private files are written and read.

    config.toml   the operator's choices       genesis.json   the network, the same everywhere
    card.json     the public identity          peers.json     nodes to begin with, before there is a ledger
    keys/         secrets, each file 0600      journal/       the commit point
    store/        LMDB                         blobs/         ciphertext by its hash
    snapshots/    of the state, for newcomers  incoming/      pieces of one that is being fetched
    spool/        files being prepared         index.sqlite   audit index; rebuilt when deleted
    shares/       of the operators' keys, sealed; in no backup
    shares-exported.json   which of them were exported, at which renewal
    webhooks.sqlite  webhooks, their deliveries, read marks
    logs/         log files                    holdings.sqlite  whose blobs are here; made again when deleted

Rule: a secret is written with permissions 0600 and read only from a file that nobody else may open; no file
of a home is ever replaced in part.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.errors import Category, LedgerError

SECRET_FILE_BYTES_MAX: Final = 16 * 1024
PUBLIC_FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_FOLDER_MODE: Final = 0o700
_SECRET_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class FileUnusable(LedgerError):
    """A file of the home folder cannot be read or written. Fields: path, reason."""

    code = "file_unusable"
    category = Category.UNAVAILABLE
    zh = "文件 {path} 无法使用：{reason}"
    en = "Cannot use the file {path}: {reason}"


class SecretExposed(LedgerError):
    """A secret can be opened by others. Fields: path, mode (octal)."""

    code = "secret_exposed"
    category = Category.FORBIDDEN
    zh = "密钥文件 {path} 对其他用户开放（权限 {mode}）；请执行 chmod 600 {path}，并考虑更换该密钥"
    en = (
        "Others may open the secret {path} (mode {mode}); run chmod 600 {path} and consider replacing the key"
    )


@dataclass(frozen=True, slots=True)
class Home:
    """The paths inside one node's folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def card(self) -> Path:
        return self.root / "card.json"

    @property
    def genesis(self) -> Path:
        return self.root / "genesis.json"

    @property
    def peers(self) -> Path:
        return self.root / "peers.json"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def holdings(self) -> Path:
        return self.root / "holdings.sqlite"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def shares(self) -> Path:
        return self.root / "shares"

    @property
    def shares_exported(self) -> Path:
        return self.root / "shares-exported.json"

    @property
    def index(self) -> Path:
        return self.root / "index.sqlite"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def create_folders(self) -> None:
        """Make every folder that is missing, for the owner only.

        Raises:
            FileUnusable: one cannot be made.
        """
        for folder in (self.root, self.keys, self.store, self.journal, self.blobs, self.spool, self.logs):
            try:
                folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            except OSError as error:
                raise FileUnusable(path=str(folder), reason=error.strerror or str(error)) from None


def read_file(path: Path, *, size_bytes_max: int = PUBLIC_FILE_BYTES_MAX, secret: bool = False) -> bytes:
    """Read a whole file of bounded size.

    Args:
        path: the file.
        size_bytes_max: refused above this.
        secret: refuse a file that others may open.

    Raises:
        FileUnusable: missing, unreadable or too large.
        SecretExposed: `secret`, and others may open it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if secret and mode & _OTHERS:
                raise SecretExposed(path=str(path), mode=f"{mode & 0o777:o}")
            data = file.read(size_bytes_max + 1)
    except OSError as error:
        raise FileUnusable(path=str(path), reason=error.strerror or str(error)) from None
    if len(data) > size_bytes_max:
        raise FileUnusable(path=str(path), reason=f"larger than {size_bytes_max} bytes")
    return data


def write_file(path: Path, data: bytes, *, secret: bool = False, replace: bool = True) -> None:
    """Write a file whole or not at all, and durably.

    Args:
        path: the file; its folder exists.
        data: its contents.
        secret: permissions 0600 instead of 0644.
        replace: whether a file that exists may be replaced.

    Raises:
        FileUnusable: it exists and may not be replaced, or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(temporary, flags, _SECRET_MODE if secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)
        _sync_folder(path.parent)
    except OSError as error:
        raise FileUnusable(path=str(path), reason=error.strerror or str(error)) from None
    finally:
        temporary.unlink(missing_ok=True)


def supersede(new: Path, current: Path) -> None:
    """Let one secret take another's place, and destroy the one before, as far as the disk lets it be overwritten.

    Wherever a crash cuts this short, `current` is one of the two, whole; `destroy_former` does the rest.

    Raises:
        FileUnusable: one cannot be moved or written.
    """
    destroy_former(current)
    try:
        _former(current).hardlink_to(current)
        _sync_folder(current.parent)
        new.replace(current)
        # Before anything is overwritten: until then a crash may bring the old name back.
        _sync_folder(current.parent)
    except OSError as error:
        raise FileUnusable(path=str(current), reason=error.strerror or str(error)) from None
    destroy_former(current)


def destroy_former(current: Path) -> None:
    """Destroy what `supersede` has replaced, if a crash kept it from doing so.

    Raises:
        FileUnusable: it cannot be written.
    """
    former = _former(current)
    try:
        if not former.exists():
            return
        if not (current.exists() and former.samefile(current)):
            with former.open("r+b") as file:
                file.write(bytes(former.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
        former.unlink()
        _sync_folder(current.parent)
    except OSError as error:
        raise FileUnusable(path=str(former), reason=error.strerror or str(error)) from None


def _former(current: Path) -> Path:
    return current.with_name(f"{current.name}.former")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
