"""Backups from who knows where: the manifest and the lines of the list.

Rule: a manifest that is taken is signed, byte for byte, by the key that it names; a line that is taken is written in one way and
names a file that a backup can have.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ledger import domains
from node.backup_format import (
    BACKUP_VERSION,
    PATH_LENGTH_MAX,
    BackupDamaged,
    Manifest,
    parse_listed,
    parse_manifest,
)
from tests.fuzz.target import Grammar, Target, require
from tests.unit.ledger_world import SCHEME, SUITE, fixed


@lru_cache(maxsize=1)
def good() -> tuple[bytes, bytes]:
    """A manifest and its signature, as the files have them."""
    signer = SUITE.load_signer(fixed("node key", 0))
    manifest = Manifest(
        version=BACKUP_VERSION,
        network="test",
        suite=SUITE.name,
        chain_id="11" * 32,
        account="22" * 16,
        name="node 1",
        scheme=SCHEME,
        public_key=signer.public_key.hex(),
        release="0.1.0",
        made_ms=1,
        height=2,
        head_digest="33" * 32,
        first_height=1,
        files_sha256="44" * 32,
        files=4,
        size_bytes=5,
        blobs="all",
        keys="none",
    )
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    return data, signer.sign(domains.BACKUP, data).hex().encode() + b"\n"


def run_manifest(data: bytes) -> None:
    parse_manifest(data, good()[1])
    require(data == good()[0], "a signature is taken for another manifest")


def run_signature(data: bytes) -> None:
    parse_manifest(good()[0], data)
    require(data == good()[1], "another signature is taken")


def run_line(data: bytes) -> None:
    listed = parse_listed(data, 0)
    require(listed.line == data, "a line of the list is written in two ways")
    parts = listed.path.split("/")
    require(len(listed.path) <= PATH_LENGTH_MAX and not {"", ".", ".."} & set(parts), "a path leads out")
    require(parts[0] not in {"journal", "lock"}, "a path that no backup has")


LINES = ("card.json", "store/data.mdb", "blobs/00/" + "1" * 62, "keys/vote.key", "../card.json", "journal/x")

TARGETS = (
    Target(
        name="node.backup_manifest",
        run=run_manifest,
        seeds=lambda: [good()[0]],
        errors=(BackupDamaged,),
        grammar=Grammar.JSON,
        size_bytes_max=4096,
    ),
    Target(
        name="node.backup_signature",
        run=run_signature,
        seeds=lambda: [good()[1]],
        errors=(BackupDamaged,),
        size_bytes_max=512,
    ),
    Target(
        name="node.backup_line",
        run=run_line,
        seeds=lambda: [f"{'5' * 64}  {path}\n".encode() for path in LINES],
        errors=(BackupDamaged,),
        size_bytes_max=256,
    ),
)
