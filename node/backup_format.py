"""What a backup of a node is: its files, their list, and the signed manifest; reading one believes none of it.

    manifest.json        what it is of, and what is in it      manifest.signature   of those bytes, by the node's key
    files.txt            SHA-256 and path of every other file, as `sha256sum -c` takes it
    config.toml, card.json, genesis.json, peers.json
    store/data.mdb       the ledger at one moment              blobs/xx/…           ciphertext by its hash
    *.sqlite                           webhooks, logins, leaks: what is nowhere else, secrets in them sealed as they are in the node
    spool/report-…       reports of traces, whose hashes are on the ledger; sealed likewise
    keys/…               only when asked for, and only what is encrypted with a passphrase

Rule: a path from a backup counts only if it is one of those that a backup can have. The journal is in none: an old journal makes
a validator vote twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import msgspec
from msgspec import Meta, Struct

from ledger import domains
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import Signer, UnknownSuite
from ledger.decoders import decode_json
from ledger.errors import Category, LedgerError
from ledger.lmdb_file import DATA_FILE
from node.home import FileUnusable, write_file

BACKUP_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.signature"
FILES: Final = "files.txt"
STORE_FILE: Final = f"store/{DATA_FILE}"
PUBLIC_FILES: Final = ("card.json", "config.toml", "genesis.json", "peers.json")
# Others are made again, or are no use later: the index, whose blobs are here, answers of a day, deposits under way.
DATABASES: Final = ("leaks.sqlite", "logins.sqlite", "webhooks.sqlite")
REPORT_NAME: Final = re.compile(r"report-[0-9a-f]{32}-[0-9a-f]{64}", re.ASCII)
NEEDED_FILES: Final = ("card.json", "config.toml", "genesis.json", STORE_FILE)

MANIFEST_BYTES_MAX: Final = 64 * 1024
PATH_LENGTH_MAX: Final = 128
FILES_MAX: Final = 50_000_000
PIECE_BYTES: Final = 1024 * 1024

_PATH: Final = re.compile(
    r"card\.json|config\.toml|genesis\.json|peers\.json|store/data\.mdb"
    r"|leaks\.sqlite|logins\.sqlite|webhooks\.sqlite|spool/report-[0-9a-f]{32}-[0-9a-f]{64}"
    r"|blobs/[0-9a-f]{2}/[0-9a-f]{62}|keys/[a-z0-9][a-z0-9.-]{0,63}"
)
_SIGNATURE: Final = re.compile(rb"(?:[0-9a-f]{2}){1,1024}\n")
_LINE: Final = re.compile(rb"([0-9a-f]{64})  ([\x21-\x7e]{1,%d})\n" % PATH_LENGTH_MAX)
_LINE_BYTES_MAX: Final = 64 + 2 + PATH_LENGTH_MAX + 1

Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Hex16 = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Hex = Annotated[str, Meta(pattern="^(?:[0-9a-f]{2}){1,256}$")]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class BackupDamaged(LedgerError):
    """A backup is not what was written, or none at all. Fields: file, reason_zh, reason_en."""

    code = "backup_damaged"
    category = Category.CONFLICT
    zh = "备份不可用，{file}：{reason_zh}。请换用另一份备份；区块也可从其他节点重新获取"
    en = "The backup cannot be used, {file}: {reason_en}. Use another one; the ledger can also be fetched from peers"


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself.

    Attributes:
        version: `BACKUP_VERSION`.
        network, suite, chain_id: whose ledger it is.
        account, name: whose node it was.
        scheme, public_key: the node's account key, which signs.
        release: the software that made it.
        made_ms: when, Unix milliseconds.
        height, head_digest, first_height: of the store at the moment of the copy.
        files_sha256, files: hash of `files.txt`, and how many it lists.
        size_bytes: of all of those files.
        blobs, keys: whether they are inside.
    """

    version: Annotated[int, Meta(ge=BACKUP_VERSION, le=BACKUP_VERSION)]
    network: Name
    suite: Name
    chain_id: Hex32
    account: Hex16
    name: Name
    scheme: Name
    public_key: Hex
    release: Name
    made_ms: Count
    height: Count
    head_digest: Hex32
    first_height: Count
    files_sha256: Hex32
    files: Annotated[int, Meta(ge=1, le=FILES_MAX)]
    size_bytes: Count
    blobs: Literal["all", "none"]
    keys: Literal["encrypted", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One file as `files.txt` has it."""

    sha256: bytes
    path: str

    @property
    def line(self) -> bytes:
        return f"{self.sha256.hex()}  {self.path}\n".encode()


def damaged(file: str, zh: str, en: str) -> BackupDamaged:
    """The error that names a file of the backup and what is wrong with it."""
    return BackupDamaged(file=file, reason_zh=zh, reason_en=en)


def write_manifest(folder: Path, manifest: Manifest, signer: Signer) -> None:
    """Write and sign the manifest, the last thing that a backup gets. Raises FileUnusable."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    write_file(folder / SIGNATURE, signer.sign(domains.BACKUP, data).hex().encode() + b"\n")
    write_file(folder / MANIFEST, data)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest, and check that it is signed by the key that it names.

    Raises:
        BackupDamaged: there is none, it is malformed, of another version, or the signature does not hold.
    """
    return parse_manifest(_read_small(folder, MANIFEST), _read_small(folder, SIGNATURE))


def parse_manifest(data: bytes, signed: bytes) -> Manifest:
    """The manifest in these bytes, if `signed` is the signature over them by the key that it names. Raises BackupDamaged."""
    try:
        manifest = decode_json(data, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(MANIFEST, f"格式不正确（{error}）", f"malformed ({error})") from None
    try:
        suite = load_suite(manifest.suite)
    except UnknownSuite as error:
        raise damaged(MANIFEST, error.message("zh"), error.message("en")) from None
    if not _SIGNATURE.fullmatch(signed):
        raise damaged(SIGNATURE, "不是十六进制", "not hexadecimal")
    signature = bytes.fromhex(signed.decode("ascii"))
    key = bytes.fromhex(manifest.public_key)
    if not suite.verify(manifest.scheme, key, domains.BACKUP, data, signature):
        raise damaged(SIGNATURE, "签名与清单不符", "the signature does not hold for the manifest")
    return manifest


def read_files(folder: Path, manifest: Manifest) -> Iterator[Listed]:
    """Every file that the backup lists, in order; the list itself is compared with the manifest first.

    Raises:
        BackupDamaged: the list is missing, another than the manifest's, or names what no backup has.
    """
    with open_inside(folder, FILES) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != manifest.files_sha256:
            raise damaged(FILES, "与清单不符", "not the one that the manifest names")
        file.seek(0)
        last = ""
        for number in range(manifest.files):
            listed = parse_listed(file.readline(_LINE_BYTES_MAX + 1), number)
            if listed.path <= last:
                raise damaged(FILES, f"第 {number + 1} 行顺序不对", f"line {number + 1} is out of order")
            last = listed.path
            yield listed
        if file.read(1):
            raise damaged(FILES, "行数比清单多", "more lines than the manifest counts")


def parse_listed(line: bytes, number: int) -> Listed:
    """A line of the list, counted from 0. Raises BackupDamaged."""
    match = _LINE.fullmatch(line)
    path = match[2].decode("ascii") if match else ""
    if match is None or not _PATH.fullmatch(path):
        at = number + 1
        raise damaged(FILES, f"第 {at} 行不是备份中可有的文件", f"line {at} names no file that a backup has")
    return Listed(sha256=bytes.fromhex(match[1].decode("ascii")), path=path)


def open_inside(folder: Path, path: str) -> BufferedReader:
    """Open a file of the backup; a symbolic link or anything but a plain file is refused. Raises BackupDamaged."""
    try:
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = error.strerror or str(error)
        raise damaged(path, f"无法读取（{reason}）", f"it cannot be read ({reason})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise damaged(path, "不是普通文件", "not a plain file")
    return os.fdopen(descriptor, "rb")


def pieces(file: BinaryIO, path: str) -> Iterator[bytes]:
    """What is in a file of the backup, a megabyte at a time. Raises BackupDamaged where the disk gives it no more."""
    try:
        while piece := file.read(PIECE_BYTES):
            yield piece
    except OSError as error:
        reason = error.strerror or str(error)
        raise damaged(path, f"无法读取（{reason}）", f"it cannot be read ({reason})") from None


def copy_pieces(source: Iterator[bytes], target: Path) -> bytes:
    """Write what comes to a new file of the owner's alone, durably; SHA-256 of it. Raises OSError."""
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in source:
            file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.digest()


def _read_small(folder: Path, path: str) -> bytes:
    with open_inside(folder, path) as file:
        data = b"".join(pieces(file, path)) if os.fstat(file.fileno()).st_size <= MANIFEST_BYTES_MAX else b""
    if not 0 < len(data) <= MANIFEST_BYTES_MAX:
        raise damaged(path, "大小不正确", "it has no plausible size")
    return data


def require_room(path: Path) -> None:
    """Whether a folder may be made at `path`: nothing is there, or an empty folder.

    Raises:
        FileUnusable: something is there, or its parent is no folder.
    """
    try:
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise FileUnusable(path=str(path), reason="it exists and is not an empty folder")
        if path.is_mount():
            raise FileUnusable(path=str(path), reason="it is a mount point; give a folder inside it")
        if not path.parent.is_dir():
            raise FileUnusable(path=str(path.parent), reason="no such folder")
    except OSError as error:
        raise FileUnusable(path=str(path), reason=error.strerror or str(error)) from None
