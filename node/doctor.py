"""Looks at a node's folder and says what is wrong with it; changes nothing.

Rule: each look stands by itself, so that one fault hides no other. No damaged file is mapped by this process: the store
is read by a child (`node/storechild.py`). While the node runs, what it writes to at that moment is left alone.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consensus.disk import FileReader
from consensus.journal_replay import is_journal, replay
from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import chain_id
from ledger.errors import LedgerError, StorageDamaged
from ledger.types import Genesis
from network.tls import certificate_expires_at_ms, load_certificate
from node.config import NodeConfig, load_config
from node.findings import Finding, Severity
from node.founding import read_genesis
from node.holders.exports import exported_renewals
from node.holders.keeping import fits_own
from node.holders.share_file import SealedFolder, read_shares, sealing_key
from node.home import FileUnusable, Home, read_file
from node.identity import NodeIdentity, load_identity
from node.journal import MARK
from node.keystore import KeyFiles
from node.lock import is_in_use
from node.poollog import read_pool_log
from node.relock import readable_secrets
from node.storechild import KeyInForce, StoreReport, StoreTask, read_store
from zhenglian.errors import ModuleNeeded, PassphraseNeeded, PinNeeded

DISK_FREE_BYTES_MIN: Final = 1024**3
DISK_FREE_BYTES_LOW: Final = 10 * 1024**3
CERTIFICATE_DAYS_LOW: Final = 30
CLOCK_BEHIND_MS_MAX: Final = 10_000
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Diagnosis:
    """What was seen.

    Attributes:
        running: a node process has the folder.
        findings: in the order of the looks.
        height: of the store's head, -1 if it could not be read.
        batches: number of the journal's last batch, -1 if it was not read.
    """

    running: bool
    findings: list[Finding] = field(default_factory=list)
    height: int = -1
    batches: int = -1

    @property
    def healthy(self) -> bool:
        """Nothing that calls for action."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


def examine(folder: Path, *, now_ms: int) -> Diagnosis:
    """Look at everything.

    Args:
        folder: the node's folder.
        now_ms: the wall clock, Unix milliseconds.

    Raises:
        FileUnusable: there is no such folder, or it cannot be entered.
    """
    home = Home(folder)
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise FileUnusable(path=str(folder), reason="not a folder that can be read")
    found = Diagnosis(running=is_in_use(home.root / "lock"))
    looks = _Looks(home, found, now_ms)
    for look in looks.in_order():
        try:
            found.findings.extend(look())
        except OSError as error:
            path = str(error.filename or folder)
            found.findings.append(_finding("unreadable", path=path, reason=error.strerror or str(error)))
    return found


def look_at_store(home: Home, genesis: Genesis) -> StoreReport:
    """Look, in a child, at what a node looks at when it starts."""
    task = StoreTask(folder=str(home.store), genesis=codec.encode(genesis), depth="glance")
    return read_store(task, lambda stage, done, total: None)


def journal_fault(home: Home) -> str | None:
    """What is wrong with the journal's files, None if nothing is; there is one."""
    try:
        replay(FileReader(home.journal))
    except StorageDamaged as error:
        return str(error.fields["reason"])
    return None


def _finding(code: str, **fields: str | int) -> Finding:
    return Finding(code=code, fields=fields)


def _said(code: str, error: LedgerError) -> Finding:
    return Finding(code=code, fields={"zh": error.message("zh"), "en": error.message("en")})


class _Looks:
    """The looks, and what one leaves for the next."""

    def __init__(self, home: Home, found: Diagnosis, now_ms: int) -> None:
        self._home = home
        self._found = found
        self._now_ms = now_ms
        self._config: NodeConfig | None = None
        self._genesis: Genesis | None = None
        self._identity: NodeIdentity | None = None
        self._head_time_ms = 0
        self._keys: tuple[KeyInForce, ...] = ()

    def in_order(self) -> tuple[Callable[[], Iterator[Finding]], ...]:
        return (
            self._files,
            self._settings,
            self._who,
            self._locks,
            self._certificate,
            self._copies,
            self._journal,
            self._store,
            self._shares,
            self._clock,
            self._pool,
            self._index,
            self._space,
            self._ports,
        )

    def _files(self) -> Iterator[Finding]:
        home, keys = self._home, KeyFiles(self._home)
        if self._found.running:
            yield _finding("running")
        for path in (home.config, home.card, home.genesis, keys.node, keys.vote, keys.wrap, keys.tls.path):
            if not path.is_file():
                yield _finding("file_missing", path=str(path))
        secrets = sorted(home.keys.iterdir()) if home.keys.is_dir() else []
        for path in (home.root, home.keys, home.journal, home.store, *secrets):
            if not path.exists():
                continue
            mode = path.stat().st_mode
            writable = mode & (stat.S_IWGRP | stat.S_IWOTH)
            if (path in {home.keys, *secrets} and mode & _OTHERS) or writable:
                wanted = "700" if path.is_dir() else "600"
                yield _finding("permissions", path=str(path), mode=f"{mode & 0o777:o}", wanted=wanted)

    def _settings(self) -> Iterator[Finding]:
        if self._home.config.is_file():
            try:
                self._config = load_config(self._home.config)
            except LedgerError as error:
                yield _said("config", error)
        if self._home.genesis.is_file():
            try:
                self._genesis = read_genesis(self._home)
            except LedgerError as error:
                yield _said("genesis", error)

    def _who(self) -> Iterator[Finding]:
        if self._genesis is None or not self._home.card.is_file():
            return
        try:
            self._identity = load_identity(self._home, load_suite(self._genesis.suite))
        except (PassphraseNeeded, PinNeeded, ModuleNeeded) as error:
            yield _said("keys_locked", error)
        except FileUnusable as error:
            if Path(str(error.fields["path"])).exists():
                yield _said("identity", error)
        except LedgerError as error:
            yield _said("identity", error)

    def _locks(self) -> Iterator[Finding]:
        try:
            readable = readable_secrets(self._home)
        except LedgerError:
            # What cannot be read is told by the other looks.
            return
        if readable:
            yield _finding("keys_readable", names=", ".join(path.name for path in readable))

    def _certificate(self) -> Iterator[Finding]:
        path = KeyFiles(self._home).tls.path
        if not path.is_file():
            return
        try:
            certificate = load_certificate(read_file(path).decode("ascii", "replace"), source=str(path))
        except LedgerError as error:
            yield _said("identity", error)
            return
        left_ms = certificate_expires_at_ms(certificate) - self._now_ms
        if left_ms <= 0:
            yield _finding("certificate_expired", path=str(path))
        elif left_ms < CERTIFICATE_DAYS_LOW * _DAY_MS:
            yield _finding("certificate_expiring", path=str(path), days=left_ms // _DAY_MS)

    def _copies(self) -> Iterator[Finding]:
        if self._config is None or not self._config.copies.key:
            return
        from node.services.derived_copies import load_signer  # half a second, and not every node has one

        named = self._config.copies
        try:
            left_ms = load_signer(self._home, named.certificate, named.key).ends_ms - self._now_ms
        except LedgerError as error:
            yield _said("copies_unusable", error)
            return
        if left_ms <= 0:
            yield _finding("copies_certificate_expired", path=named.certificate)
        elif left_ms < CERTIFICATE_DAYS_LOW * _DAY_MS:
            yield _finding("copies_certificate_expiring", path=named.certificate, days=left_ms // _DAY_MS)

    def _journal(self) -> Iterator[Finding]:
        if self._found.running:
            return
        disk = FileReader(self._home.journal)
        if not is_journal(disk):
            yield _finding("never_started" if (self._home.journal / MARK).exists() else "journal_missing")
            return
        try:
            journal = replay(disk)
        except StorageDamaged as error:
            yield _finding("journal_damaged", reason=str(error.fields["reason"]))
            return
        self._found.batches = journal.last_batch
        if journal.torn_bytes:
            yield _finding("journal_torn", size_bytes=journal.torn_bytes)
        if not journal.mark.clean:
            yield _finding("journal_unclean")
        if self._identity is not None and journal.silenced == self._identity.vote_signer.public_key:
            yield _finding("vote_key_silenced")

    def _store(self) -> Iterator[Finding]:
        store = self._home.store
        if not store.is_dir() or not any(store.iterdir()):
            yield _finding("store_empty")
            return
        if self._genesis is None:
            return
        report = look_at_store(self._home, self._genesis)
        if not report.faults:
            self._found.height = report.height
            self._head_time_ms = report.head_time_ms
            self._keys = report.keys
        for fault in report.faults:
            yield _finding("store_damaged", reason=fault)
        for one in report.coming:
            if one.lacking:
                yield _finding(
                    "release_lacks_version",
                    what=one.contract or "protocol",
                    version=one.version,
                    supported=one.supported,
                    height=one.height,
                )

    def _shares(self) -> Iterator[Finding]:
        if self._identity is None or self._genesis is None:
            return
        home, suite, account = self._home, load_suite(self._genesis.suite), self._identity.account
        files = SealedFolder(home.shares, suite, sealing_key(suite, self._identity.wrap_secret))
        try:
            held = read_shares(files, chain_id(suite, self._genesis), account)
        except LedgerError as error:
            yield _said("shares_unreadable", error)
            return
        own = {(one.purpose.value, one.version, one.renewal) for one in held.shares if fits_own(one)}
        wanted = [key for key in self._keys if account.hex() in key.holders]
        missing = [key for key in wanted if (key.purpose, key.version, key.renewal) not in own]
        if missing:
            yield _finding(
                "share_missing", names=", ".join(f"{key.purpose} {key.version}" for key in missing)
            )
        exported = exported_renewals(home)
        stale = [
            key
            for key in wanted
            if key not in missing and exported.get(f"{key.purpose} {key.version}") != key.renewal
        ]
        if stale:
            yield _finding(
                "share_not_exported", names=", ".join(f"{key.purpose} {key.version}" for key in stale)
            )

    def _clock(self) -> Iterator[Finding]:
        behind_ms = self._head_time_ms - self._now_ms
        if behind_ms > CLOCK_BEHIND_MS_MAX:
            yield _finding("clock_behind", behind_s=behind_ms // 1000)

    def _pool(self) -> Iterator[Finding]:
        path = self._home.root / "pool.log"
        if self._found.running or not path.exists():
            return
        contents = read_pool_log(path.read_bytes())
        for offset_bytes, size_bytes in contents.damaged:
            yield _finding("pool_damaged", offset_bytes=offset_bytes, size_bytes=size_bytes)
        if contents.torn_bytes:
            yield _finding("pool_torn", size_bytes=contents.torn_bytes)

    def _index(self) -> Iterator[Finding]:
        path = self._home.index
        if not path.exists():
            return
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            try:
                said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            finally:
                connection.close()
        except sqlite3.Error as error:
            said = str(error)
        if said != "ok":
            yield _finding("index_damaged", path=str(path), reason=said.splitlines()[0])

    def _space(self) -> Iterator[Finding]:
        free = shutil.disk_usage(self._home.root).free
        if free < DISK_FREE_BYTES_MIN:
            yield _finding("disk_full", free_mib=free // 1024**2)
        elif free < DISK_FREE_BYTES_LOW:
            yield _finding("disk_low", free_mib=free // 1024**2)

    def _ports(self) -> Iterator[Finding]:
        if self._config is None or self._found.running:
            return
        wanted = (("peers", self._config.network), ("API", self._config.http))
        for what, section in wanted:
            reason = _why_not_listen(section.host, section.port)
            if reason:
                address = f"{section.host}:{section.port}"
                yield _finding("port_in_use", what=what, address=address, reason=reason)


def _why_not_listen(host: str, port: int) -> str:
    """Why no server can listen there; empty if one can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ""
