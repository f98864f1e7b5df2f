"""`node doctor`, `check` and `resync` on a real node's folder, whole and spoilt in every way that it knows."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from consensus.core.records import VoteRecord
from consensus.disk import FileDisk
from consensus.journal import Journal
from contracts.genesis import genesis_state
from ledger.lmdb_file import DATA_FILE
from ledger.store import Store
from ledger.types import Vote, VoteKind
from node.cards import read_card
from node.cli import app
from node.config import CopiesSection, load_config, write_config
from node.doctor import Diagnosis, _Looks, examine
from node.findings import KINDS, Finding, Severity
from node.founding import assemble_genesis, genesis_to_json
from node.home import Home, write_file
from node.identity import create_identity
from node.journal import MARK
from node.keystore import KeyFiles
from node.lock import HomeLock
from node.poollog import PoolLog
from node.services.derived_copies import load_signer
from node.storechild import StoreReport
from node.upgrades import Coming
from tests.keeping import KEEPING, passphrase_file
from tests.suites import suite_under_test
from tests.unit.test_derived_copies import identity as certificate_of

SUITE = suite_under_test()
NOW_MS = 1_735_689_600_000
DAY_MS = 86_400_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that has run a little and was stopped in good order."""
    folder = tmp_path_factory.mktemp("homes")
    cards = [
        create_identity(
            Home(folder / f"node{number}"),
            network="test",
            name=f"node {number}",
            suite=SUITE,
            peer_host="127.0.0.1",
            peer_port=free_port() if number == 0 else 9000 + number,
            http_host="127.0.0.1",
            http_port=free_port() if number == 0 else 8000 + number,
            now_ms=NOW_MS,
            keeping=KEEPING,
        )
        for number in range(4)
    ]
    genesis = assemble_genesis("test", cards, time_ms=NOW_MS, suite=SUITE)
    home = Home(folder / "node0")
    home.genesis.write_bytes(genesis_to_json(genesis))
    home.store.rmdir()
    Store.create(home.store, SUITE, genesis, genesis_state(SUITE, genesis)).close()
    home.store.chmod(0o700)
    disk = FileDisk(home.journal)
    journal = Journal.create(disk, silenced=None, segment_size_bytes=4096)
    (home.journal / MARK).unlink()
    for view in (1, 2):
        journal.append(vote(view))
        journal.sync()
    journal.close()
    disk.close()
    pool = PoolLog(home.root / "pool.log")
    for one in (b"a" * 30, b"b" * 30):
        pool.append(one)
    pool.close()
    connection = sqlite3.connect(home.index)
    connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY)")
    connection.close()
    return home.root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(made, tmp_path / "home")))


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file with the passphrase, named as an operator's service would."""
    path = passphrase_file(tmp_path)
    monkeypatch.setenv("ZHENGLIAN_PASSPHRASE_FILE", str(path))
    return path


def vote_key(home: Home) -> bytes:
    return bytes.fromhex(read_card(home.card).vote_key)


def vote(view: int) -> VoteRecord:
    return VoteRecord(
        vote=Vote(
            kind=VoteKind.NOTARIZE, epoch=1, view=view, digest=b"\1" * 32, validator=0, signature=b"\2" * 96
        )
    )


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """How much of the disk is free, which is not left to the machine that tests run on; nor is the time."""

    def set_free(free: int) -> None:
        usage = shutil._ntuple_diskusage(free, 0, free)  # type: ignore[attr-defined]
        monkeypatch.setattr("node.doctor.shutil.disk_usage", lambda path: usage)

    set_free(1 << 40)
    monkeypatch.setattr("node.commands.care.now_ms", lambda: NOW_MS)
    return set_free


def diagnose(home: Home, *, now_ms: int = NOW_MS) -> Diagnosis:
    return examine(home.root, now_ms=now_ms)


def codes(home: Home, *, now_ms: int = NOW_MS) -> list[str]:
    return [finding.code for finding in diagnose(home, now_ms=now_ms).findings]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_healthy_node_has_no_findings(home: Home) -> None:
    diagnosis = diagnose(home)
    assert diagnosis.findings == []
    assert (diagnosis.healthy, diagnosis.running, diagnosis.height, diagnosis.batches) == (True, False, 0, 2)


def test_looking_changes_nothing(home: Home) -> None:
    whole = (home.journal / "journal-00000001.seg").read_bytes()
    (home.journal / "journal-00000001.seg").write_bytes(whole.rstrip(b"\0") + b"torn")
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.name != "lock.mdb"}
    diagnose(home)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def spoil_key(home: Home) -> None:
    other = SUITE.generate_vote_signer()[0]
    KeyFiles(home).vote.write_text(other.hex())


def spoil_index(home: Home) -> None:
    home.index.write_bytes(b"no database" * 100)


def silence(home: Home) -> None:
    disk = FileDisk(home.journal)
    journal = Journal.open(disk)
    journal.silence(vote_key(home))
    journal.close()
    disk.close()


def lose_journal(home: Home) -> None:
    for path in home.journal.iterdir():
        path.unlink()


def empty_store(home: Home) -> None:
    for path in home.store.iterdir():
        path.unlink()


def cut_store(home: Home) -> None:
    path = home.store / DATA_FILE
    path.write_bytes(path.read_bytes()[:6000])


SPOILS: dict[str, tuple[Callable[[Home], object], list[str]]] = {
    "no config": (lambda home: home.config.unlink(), ["file_missing"]),
    "bad config": (lambda home: home.config.write_text("[node]\nname = 3\n"), ["config"]),
    "no card": (lambda home: home.card.unlink(), ["file_missing"]),
    "bad genesis": (lambda home: home.genesis.write_text("{}"), ["genesis"]),
    "no vote key": (lambda home: KeyFiles(home).vote.unlink(), ["file_missing"]),
    "another vote key": (spoil_key, ["identity", "keys_readable"]),
    "open secret": (lambda home: KeyFiles(home).wrap.chmod(0o644), ["permissions", "identity"]),
    "open folder": (lambda home: home.keys.chmod(0o755), ["permissions"]),
    "no journal": (lose_journal, ["journal_missing"]),
    "damaged journal": (lambda home: flip(home.journal / "journal-00000001.seg", 200), ["journal_damaged"]),
    "no end mark": (lambda home: (home.journal / "journal.end").unlink(), ["journal_damaged"]),
    "silenced key": (silence, ["vote_key_silenced"]),
    "no store": (empty_store, ["store_empty"]),
    "truncated store": (cut_store, ["store_damaged"]),
    "damaged pool": (lambda home: flip(home.root / "pool.log", 30), ["pool_damaged"]),
    "torn pool": (lambda home: flip(home.root / "pool.log", 100), ["pool_torn"]),
    "damaged index": (spoil_index, ["index_damaged"]),
}


@pytest.mark.parametrize("spoilt", SPOILS)
def test_each_fault_has_its_code_and_a_remedy_in_both_languages(home: Home, spoilt: str) -> None:
    spoil, expected = SPOILS[spoilt]
    spoil(home)
    found = diagnose(home).findings
    assert [finding.code for finding in found] == expected
    for finding in found:
        for language in ("zh", "en"):
            assert finding.text(language)
            assert finding.remedy(language)
            assert "{" not in finding.text(language) + finding.remedy(language)


def test_a_clock_behind_the_chain_is_found(home: Home) -> None:
    assert codes(home, now_ms=NOW_MS - 60_000) == ["clock_behind"]


def test_a_certificate_is_found_before_and_after_it_expires(home: Home) -> None:
    assert codes(home, now_ms=NOW_MS + 20_000 * DAY_MS) == ["certificate_expired"]
    expiring = [code for day in range(0, 4_000, 20) for code in codes_of_certificate(home, day)]
    assert expiring.count("certificate_expiring") in {1, 2}


def codes_of_certificate(home: Home, day: int) -> list[str]:
    looks = _Looks(home, Diagnosis(running=True), NOW_MS + day * DAY_MS)
    return [finding.code for finding in looks._certificate()]


def test_a_version_that_is_set_and_that_this_release_lacks_is_found(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = (
        Coming(contract="grants", version=2, height=900, supported=1),
        Coming(contract="", version=1, height=950, supported=1),
    )
    monkeypatch.setattr("node.doctor.look_at_store", lambda *_: StoreReport(faults=(), coming=coming))
    (finding,) = diagnose(home).findings
    assert (finding.code, finding.severity) == ("release_lacks_version", Severity.ERROR)
    assert finding.fields == {"what": "grants", "version": 2, "supported": 1, "height": 900}


def test_little_room_is_found(home: Home, room: Callable[[int], None]) -> None:
    room(5 << 30)
    assert codes(home) == ["disk_low"]
    room(5 << 20)
    assert codes(home) == ["disk_full"]


def test_a_port_that_another_program_has_is_found(home: Home) -> None:
    from node.config import load_config

    config = load_config(home.config)
    with socket.socket() as other:
        other.bind((config.http.host, config.http.port))
        other.listen()
        assert codes(home) == ["port_in_use"]


def test_a_running_node_is_looked_at_without_what_it_writes(home: Home) -> None:
    lock = HomeLock(home.root / "lock")
    lose_journal(home)
    try:
        assert codes(home) == ["running"]
        assert diagnose(home).height == 0
    finally:
        lock.release()


def test_every_kind_says_what_to_do() -> None:
    for code, kind in KINDS.items():
        assert all((kind.zh, kind.en, kind.remedy_zh, kind.remedy_en)), code
    assert Finding(code="running").to_json()["severity"] == "note"


# --- the command line ---


def run(*arguments: object, stdin: str | None = None) -> tuple[int, Any]:
    environment = {"ZHENGLIAN_LANG": "en", "COLUMNS": "200"}
    result = CliRunner().invoke(app, ["node", *map(str, arguments)], env=environment, input=stdin)
    assert "Traceback" not in result.output
    return result.exit_code, json.loads(result.stdout) if "--json" in arguments else result.output


def test_the_doctor_tells_people_and_programs_and_says_it_by_its_status(home: Home, tmp_path: Path) -> None:
    cut_store(home)
    status, said = run("doctor", home.root, "--json")
    assert (status, said["healthy"]) == (1, False)
    assert [one["code"] for one in said["findings"] if one["severity"] == "error"] == ["store_damaged"]
    status, text = run("doctor", home.root)
    assert (status, "store_damaged" in text, "resync" in text) == (1, True, True)
    assert run("doctor", tmp_path / "nowhere")[0] == 2


def test_check_proves_the_store_or_names_the_damage(home: Home) -> None:
    status, said = run("check", home.root, "--json")
    assert (status, said["proven"], said["faults"]) == (0, True, [])
    assert said["state_values"] > 0
    cut_store(home)
    status, said = run("check", home.root, "--json")
    assert (status, said["proven"]) == (1, False)
    assert said["faults"]


@pytest.fixture
def damaged(home: Home) -> Home:
    cut_store(home)
    flip(home.journal / "journal-00000001.seg", 200)
    return home


def files(folder: Path) -> dict[str, bytes]:
    kept = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in kept if path.name not in {"lock", "lock.mdb"}}


def test_resync_puts_what_is_damaged_aside_and_silences_the_key(damaged: Home) -> None:
    before = files(damaged.root)
    status, said = run("resync", damaged.root, "--yes", "--json")
    assert status == 0
    aside = Path(said["moved_to"])
    after = files(aside)
    for name in (DATA_FILE, "journal-00000001.seg", "journal.end", "index.sqlite"):
        assert after[name] == before[name], name
    assert list(damaged.store.iterdir()) == []
    disk = FileDisk(damaged.journal)
    assert Journal.open(disk).silenced == vote_key(damaged)
    disk.close()
    assert (damaged.root / "pool.log").read_bytes() == before["pool.log"]
    found = codes(damaged)
    assert found == ["journal_unclean", "vote_key_silenced", "store_empty"]


def test_resync_keeps_a_good_journal_and_the_right_to_vote(home: Home) -> None:
    cut_store(home)
    assert run("resync", home.root, "--yes")[0] == 0
    disk = FileDisk(home.journal)
    journal = Journal.open(disk)
    disk.close()
    assert (journal.silenced, journal.take_records()) == (None, [vote(1), vote(2)])


def test_resync_leaves_a_whole_node_alone_unless_told(home: Home) -> None:
    before = files(home.root)
    status, said = run("resync", home.root, "--yes", "--json")
    assert (status, said["moved_to"]) == (0, None)
    assert files(home.root) == before
    assert run("resync", home.root, "--store", "--yes")[0] == 0
    assert list(home.store.iterdir()) == []


def test_resync_asks_and_takes_no_for_an_answer(damaged: Home) -> None:
    before = files(damaged.root)
    status, text = run("resync", damaged.root, stdin="n\n")
    assert status == 1
    assert "put aside" in text
    assert files(damaged.root) == before
    assert run("resync", damaged.root, "--json")[0] == 2


def test_resync_refuses_a_folder_that_a_node_runs_on(damaged: Home) -> None:
    lock = HomeLock(damaged.root / "lock")
    before = files(damaged.root)
    try:
        status, said = run("resync", damaged.root, "--yes", "--json")
    finally:
        lock.release()
    assert (status, said["error"]["code"]) == (1, "home_in_use")
    assert files(damaged.root) == before


def test_a_journal_that_is_gone_is_replaced_by_one_that_silences(home: Home) -> None:
    lose_journal(home)
    assert run("resync", home.root, "--yes")[0] == 0
    disk = FileDisk(home.journal)
    assert Journal.open(disk).silenced == vote_key(home)
    disk.close()


def said_codes(said: Any) -> list[str]:
    return [finding["code"] for finding in said["findings"]]


def test_keys_that_nobody_unlocked_are_a_note_and_readable_ones_a_warning(
    home: Home, monkeypatch: pytest.MonkeyPatch, words: Path
) -> None:
    monkeypatch.delenv("ZHENGLIAN_PASSPHRASE_FILE")
    assert run("doctor", home.root)[0] == 0
    status, said = run("doctor", home.root, "--json")
    assert (status, said_codes(said)) == (0, ["keys_locked"])
    assert run("resync", home.root, "--store", "--yes")[0] == 0, "needs no secret"
    monkeypatch.setenv(
        "ZHENGLIAN_PASSPHRASE_FILE", str(passphrase_file(words.parent, "another passphrase", "w2"))
    )
    assert "identity" in said_codes(run("doctor", home.root, "--json")[1])
    (home.keys / "vote.key").write_bytes(b"00" * 32)
    assert "keys_readable" in said_codes(run("doctor", home.root, "--json")[1])


def copies_found(home: Home, now_ms: int) -> list[Finding]:
    looks = _Looks(home, Diagnosis(running=True), now_ms)
    assert list(looks._settings()) == []
    return list(looks._copies())


def test_what_signs_copies_is_found_unusable_before_and_after_it_ends(home: Home) -> None:
    assert copies_found(home, NOW_MS) == []
    certificate, key = certificate_of("office")
    named = CopiesSection(certificate="copies.pem", key="copies.key")
    write_config(home.config, msgspec.structs.replace(load_config(home.config), copies=named))
    assert [one.code for one in copies_found(home, NOW_MS)] == ["copies_unusable"]
    write_file(home.root / "copies.pem", certificate)
    write_file(home.root / "copies.key", key)
    (home.root / "copies.key").chmod(0o644)
    assert "copies.key" in copies_found(home, NOW_MS)[0].text("en")
    (home.root / "copies.key").chmod(0o600)
    ends_ms = load_signer(home, "copies.pem", "copies.key").ends_ms
    assert copies_found(home, NOW_MS) == []
    found = [*copies_found(home, ends_ms - 3 * DAY_MS), *copies_found(home, ends_ms)]
    assert [one.code for one in found] == ["copies_certificate_expiring", "copies_certificate_expired"]
    for one in found:
        for language in ("zh", "en"):
            assert "{" not in one.text(language) + one.remedy(language)
    write_file(home.root / "copies.pem", certificate_of("somebody else")[0])
    assert [one.code for one in copies_found(home, NOW_MS)] == ["copies_unusable"]
