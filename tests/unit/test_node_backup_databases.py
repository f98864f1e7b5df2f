"""What a node alone knows is in its backup: webhooks, login links and reports of traces; people's deposits under way are not."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.store import Store
from node.backup import BackupPlan, make_backup
from node.backup_format import DATABASES, BackupDamaged, parse_listed
from node.home import FileUnusable, Home
from node.restore import restore_backup, verify_backup
from node.services.webhook_store import WebhookStore
from tests.unit import node_homes as homes

REPORT = f"report-{'a' * 32}-{'b' * 64}"


def quiet(_stage: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("homes")
    found, _genesis = homes.found_homes(folder)
    with Store.open(found[0].store, homes.SUITE) as store:
        homes.grow(store, homes.vote_signers(found), 1)
    return folder / "node0"


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(made, tmp_path / "home")))


def back_up(home: Home) -> Path:
    destination = home.root.parent / "backup"
    plan = BackupPlan(home=home, destination=destination, now_ms=homes.NOW_MS, proven=False)
    make_backup(plan, quiet)
    return destination


def restore(backup: Path) -> Path:
    restored = backup.parent / "restored"
    restore_backup(backup, restored, genesis=None, progress=quiet)
    return restored


def rows(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name FROM things ORDER BY name").fetchall()


def test_databases_are_copied_of_one_moment_while_they_are_written_and_come_back(home: Home) -> None:
    open_ones = []
    for name in DATABASES:
        database = sqlite3.connect(home.root / name, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA user_version = 7")
        database.execute("CREATE TABLE things (name TEXT)")
        database.execute("INSERT INTO things VALUES ('kept')")
        database.execute("INSERT INTO things VALUES ('deleted before')")
        database.execute("DELETE FROM things WHERE name = 'deleted before'")
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO things VALUES ('not committed')")
        open_ones.append(database)
    backup = back_up(home)
    for database in open_ones:
        database.close()
    verify_backup(backup, genesis=None, progress=quiet)
    restored = restore(backup)
    for name in DATABASES:
        assert rows(restored / name) == [("kept",)]
        assert b"deleted before" not in (backup / name).read_bytes()
        with closing(sqlite3.connect(restored / name)) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (7,)


async def test_a_restored_outbox_is_one(home: Home) -> None:
    outbox = WebhookStore(home.root / "webhooks.sqlite", homes.SUITE, bytes(32))
    backup = back_up(home)
    await outbox.close()
    again = WebhookStore(restore(backup) / "webhooks.sqlite", homes.SUITE, bytes(32))
    await again.close()


def test_reports_of_traces_are_in_it_and_nothing_else_of_the_spool_and_no_deposits(home: Home) -> None:
    home.spool.mkdir(exist_ok=True)
    for name in (REPORT, f"release-{'c' * 16}-0", f"leak-{'a' * 32}", "report-x", f".{REPORT}.part"):
        (home.spool / name).write_bytes(name.encode())
    for name in ("deposits.sqlite", "idempotency.sqlite", "holdings.sqlite", "index.sqlite"):
        (home.root / name).write_bytes(b"people")
    backup = back_up(home)
    found = {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()}
    assert {path for path in found if "spool" in path or path.endswith("sqlite")} == {f"spool/{REPORT}"}
    assert (restore(backup) / "spool" / REPORT).read_bytes() == REPORT.encode()


def test_a_database_that_is_none_is_named_and_nothing_is_left_behind(home: Home) -> None:
    (home.root / "webhooks.sqlite").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(FileUnusable, match=r"webhooks\.sqlite"):
        back_up(home)
    assert [path.name for path in home.root.parent.iterdir()] == ["home"]


def test_a_changed_database_is_found(home: Home) -> None:
    with closing(sqlite3.connect(home.root / "logins.sqlite")) as database:
        database.execute("CREATE TABLE things (name TEXT)")
    backup = back_up(home)
    path = backup / "logins.sqlite"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupDamaged):
        verify_backup(backup, genesis=None, progress=quiet)


@pytest.mark.parametrize(
    "path", ["deposits.sqlite", "spool/release-x", f"spool/../{REPORT}", "spool/report-"]
)
def test_no_other_database_or_spooled_file_can_be_in_one(path: str) -> None:
    with pytest.raises(LedgerError):
        parse_listed(f"{'0' * 64}  {path}\n".encode(), 0)
