"""A backup is whole and signed or not there; what is restored from one was proven before it got its name, and does not vote."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from consensus.disk import FileDisk
from ledger.crypto.at_rest import COST_LEAST
from ledger.errors import LedgerError, Unavailable
from ledger.lmdb_file import DATA_FILE
from ledger.store import Store
from node.backup import MAKING_SUFFIX, BackupMade, BackupPlan, BackupRefused, KeysReadable, make_backup
from node.backup_format import (
    FILES,
    MANIFEST,
    SIGNATURE,
    BackupDamaged,
    Manifest,
    read_manifest,
    write_manifest,
)
from node.cli import app
from node.home import FileUnusable, Home
from node.identity import InFiles, load_identity
from node.journal import MARK, begin_journal
from node.restore import RESTORING_SUFFIX, OtherGenesis, restore_backup, verify_backup
from tests.unit import node_homes as homes
from zhenglian.unlocking import Passphrase

NOW_MS = homes.NOW_MS
BLOCKS, MORE_BLOCKS, BLOBS = 5, 3, 4


def quiet(_stage: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four operators' folders; the first has a ledger, blobs and a journal."""
    folder = tmp_path_factory.mktemp("homes")
    found, _genesis = homes.found_homes(folder)
    with Store.open(found[0].store, homes.SUITE) as store:
        homes.grow(store, homes.vote_signers(found), BLOCKS)
    homes.fill_blobs(found[0], BLOBS)
    homes.begin_journal(found[0])
    return folder


@pytest.fixture(scope="module")
def kept(made: Path) -> Path:
    """A backup of it, to be copied."""
    make_backup(BackupPlan(home=Home(made / "node0"), destination=made / "kept", now_ms=NOW_MS), quiet)
    return made / "kept"


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(made / "node0", tmp_path / "home")))


@pytest.fixture
def backup(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "backup"))


def back_up(home: Home, destination: Path, **wishes: bool) -> BackupMade:
    return make_backup(BackupPlan(home=home, destination=destination, now_ms=NOW_MS, **wishes), quiet)


def restore(backup: Path, home: Path) -> None:
    restore_backup(backup, home, genesis=None, progress=quiet)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()
    path.write_bytes(data)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- making one -----------------------------------------------------------------------------------------------------


def test_a_backup_is_made_while_another_process_commits_and_is_of_one_moment(made: Path, home: Home) -> None:
    signers = homes.vote_signers([Home(made / f"node{number}") for number in range(4)])
    with Store.open(home.store, homes.SUITE) as store:
        grown: list[bool] = []

        def commit(stage: str, _done: int, _total: int) -> None:
            if not grown:
                homes.grow(store, signers, MORE_BLOCKS)
                grown.append(True)

        plan = BackupPlan(home=home, destination=home.root.parent / "hot", now_ms=NOW_MS)
        manifest = make_backup(plan, commit).manifest
        assert grown
        assert store.height == BLOCKS + MORE_BLOCKS
        assert manifest.height in {BLOCKS, BLOCKS + MORE_BLOCKS}
    assert verify_backup(plan.destination, genesis=None, progress=quiet).blocks == manifest.height


def test_secrets_and_the_journal_are_in_no_backup(kept: Path) -> None:
    found = files(kept)
    assert not [
        name for name in found if "journal" in name or name.startswith("keys") or name.endswith(".lock")
    ]
    assert {
        "card.json",
        "config.toml",
        "genesis.json",
        f"store/{DATA_FILE}",
        FILES,
        MANIFEST,
        SIGNATURE,
    } <= found
    assert len([name for name in found if name.startswith("blobs/")]) == BLOBS
    secrets = [path.read_bytes() for path in (kept.parent / "node0" / "keys").iterdir()]
    assert not [name for name in found for secret in secrets if secret.strip() in (kept / name).read_bytes()]


def test_the_copy_of_a_store_that_has_shrunk_is_compact(home: Home, tmp_path: Path) -> None:
    with Store.open(home.store, homes.SUITE) as store, store._map.env.begin(write=True) as transaction:
        for number in range(3000):
            transaction.put(b"waste%d" % number, bytes(400), db=store._map.tables["stale"])
    with Store.open(home.store, homes.SUITE) as store, store._map.env.begin(write=True) as transaction:
        for number in range(3000):
            transaction.delete(b"waste%d" % number, db=store._map.tables["stale"])
    back_up(home, tmp_path / "compact")
    size = (tmp_path / "compact" / "store" / DATA_FILE).stat().st_size
    assert size < (home.store / DATA_FILE).stat().st_size // 2


def test_the_list_is_one_that_sha256sum_checks(kept: Path) -> None:
    for line in (kept / FILES).read_text().splitlines():
        name, path = line.split("  ")
        assert hashlib.sha256((kept / path).read_bytes()).hexdigest() == name


def test_without_blobs_says_so(home: Home, tmp_path: Path) -> None:
    manifest = back_up(home, tmp_path / "small", blobs=False).manifest
    assert manifest.blobs == "none"
    assert not (tmp_path / "small" / "blobs").exists()


def test_linked_and_copied_blobs_are_alike(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "linked")
    back_up(home, tmp_path / "copied", linked=False)
    name = next(path for path in files(tmp_path / "linked") if path.startswith("blobs/"))
    original = home.root / name
    assert (tmp_path / "linked" / name).samefile(original)
    assert not (tmp_path / "copied" / name).samefile(original)
    assert (tmp_path / "linked" / FILES).read_bytes() == (tmp_path / "copied" / FILES).read_bytes()


def test_a_damaged_blob_is_left_out_and_named(home: Home, tmp_path: Path) -> None:
    victim = next(path for path in home.blobs.rglob("*") if path.is_file())
    flip(victim, 0)
    made = back_up(home, tmp_path / "backup")
    assert made.damaged_blobs == ["".join(victim.parts[-2:])]
    assert verify_backup(tmp_path / "backup", genesis=None, progress=quiet).manifest.blobs == "all"


def test_nothing_is_made_of_a_damaged_store(home: Home, tmp_path: Path) -> None:
    data = home.store / DATA_FILE
    os.truncate(data, data.stat().st_size // 2)
    with pytest.raises(BackupRefused):
        back_up(home, tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))


@pytest.mark.parametrize("there", ["file", "full", "link", "no parent", "inside"])
def test_a_place_that_is_taken_is_refused_and_left_alone(home: Home, tmp_path: Path, there: str) -> None:
    destination = tmp_path / "place"
    match there:
        case "file":
            destination.write_text("mine")
        case "full":
            destination.mkdir()
            (destination / "mine").write_text("mine")
        case "link":
            destination.symlink_to(tmp_path / "elsewhere")
        case "no parent":
            destination = tmp_path / "no" / "place"
        case _:
            destination = home.root / "place"
    with pytest.raises(FileUnusable):
        back_up(home, destination)
    assert not list(tmp_path.glob(f"*{MAKING_SUFFIX}"))


def test_what_an_attempt_that_was_cut_short_left_is_no_backup_and_the_next_one_clears_it(
    home: Home, tmp_path: Path
) -> None:
    left = tmp_path / f"backup{MAKING_SUFFIX}"
    (left / "store").mkdir(parents=True)
    (left / "store" / DATA_FILE).write_bytes(b"half")
    with pytest.raises(BackupDamaged):
        verify_backup(left, genesis=None, progress=quiet)
    back_up(home, tmp_path / "backup")
    assert not left.exists()
    verify_backup(tmp_path / "backup", genesis=None, progress=quiet)


def test_a_disk_that_fills_up_leaves_nothing_and_is_said(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("node.backup.copy_pieces", full)
    with pytest.raises(Unavailable, match="No space left"):
        back_up(home, tmp_path / "backup", linked=False)
    assert not list(tmp_path.glob("backup*"))


def test_keys_that_lie_readable_go_into_no_backup(home: Home, tmp_path: Path) -> None:
    with pytest.raises(KeysReadable) as caught:
        back_up(home, tmp_path / "backup", keys=True)
    assert "keys" in str(caught.value.fields["path"])
    assert not list(tmp_path.glob("backup*"))


def test_locked_keys_are_included_as_they_lie_when_asked_for_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "passphrase"
    words.write_text("correct horse battery staple\n")
    words.chmod(0o600)
    monkeypatch.setenv("ZHENGLIAN_PASSPHRASE_FILE", str(words))
    found, _genesis = homes.found_homes(
        tmp_path / "homes", keeping=InFiles(Passphrase("correct horse battery staple"), COST_LEAST)
    )
    (found[0].keys / "vote-next.key").write_bytes((found[0].keys / "vote.key").read_bytes())
    (found[0].keys / "vote-next.key").chmod(0o600)
    assert back_up(found[0], tmp_path / "backup", keys=True).manifest.keys == "encrypted"
    names = {path.name for path in (tmp_path / "backup" / "keys").iterdir()}
    assert names == {"keyring.json", "node.json", "vote.key", "wrap.key", "tls.pem"}
    restore(tmp_path / "backup", tmp_path / "restored")
    restored = Home(tmp_path / "restored")
    assert load_identity(restored, homes.SUITE).account == load_identity(found[0], homes.SUITE).account


# --- proving and restoring ------------------------------------------------------------------------------------------


def test_a_restored_home_has_what_was_backed_up_and_its_key_is_silenced(
    made: Path, backup: Path, tmp_path: Path
) -> None:
    restored = Home(tmp_path / "restored")
    restore(backup, restored.root)
    with Store.open(restored.store, homes.SUITE) as store:
        assert store.height == BLOCKS
    assert files(restored.blobs) == files(made / "node0" / "blobs")
    assert not list(restored.journal.iterdir())
    assert not (restored.journal / MARK).exists()
    shutil.rmtree(restored.keys)
    shutil.copytree(made / "node0" / "keys", restored.keys)
    own = load_identity(restored, homes.SUITE).vote_signer.public_key
    disk = FileDisk(restored.journal)
    journal = begin_journal(restored, disk, store_height=BLOCKS, vote_key=own)
    assert journal.silenced == own
    journal.close()
    disk.close()


def test_a_home_that_is_there_is_never_overwritten(home: Home, backup: Path) -> None:
    before = files(home.root)
    with pytest.raises(FileUnusable):
        restore(backup, home.root)
    assert files(home.root) == before


def test_every_file_of_a_backup_is_proven(kept: Path, backup: Path, tmp_path: Path) -> None:
    for name in sorted(files(kept)):
        for spoil in (lambda path: flip(path, path.stat().st_size // 2), lambda path: path.unlink()):
            shutil.rmtree(backup)
            shutil.copytree(kept, backup)
            spoil(backup / name)
            with pytest.raises(BackupDamaged) as caught:
                restore(backup, tmp_path / "restored")
            if name not in {MANIFEST, SIGNATURE}:
                assert caught.value.fields["file"] == name
            assert not list(tmp_path.glob("restored*"))


def resigned(backup: Path, signer_home: Path, **changes: Any) -> None:
    """The manifest with other contents, signed by a key that belongs to it."""
    manifest: Manifest = msgspec.structs.replace(read_manifest(backup), **changes)
    write_manifest(backup, manifest, load_identity(Home(signer_home), homes.SUITE).node_signer)


def relist(backup: Path) -> dict[str, Any]:
    """List the files anew, as they are now."""
    names = sorted(files(backup) - {MANIFEST, SIGNATURE, FILES})
    lines = "".join(f"{hashlib.sha256((backup / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (backup / FILES).write_text(lines)
    return {"files_sha256": hashlib.sha256(lines.encode()).hexdigest(), "files": len(names)}


def test_a_store_that_was_changed_before_it_was_listed_and_signed_is_found(
    made: Path, backup: Path, tmp_path: Path
) -> None:
    from tests.unit.test_node_storecheck import change, content

    key, value = content(backup / "store")["state"][0]
    change(backup / "store", "state", key, bytes((value[0] ^ 1,)) + value[1:])
    (backup / "store" / "lock.mdb").unlink()
    resigned(backup, made / "node0", **relist(backup))
    with pytest.raises(BackupDamaged, match="state: key"):
        restore(backup, tmp_path / "restored")
    assert not list(tmp_path.glob("restored*"))


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({"height": BLOCKS - 1}, f"store/{DATA_FILE}"),
        ({"head_digest": "00" * 32}, f"store/{DATA_FILE}"),
        ({"chain_id": "00" * 32}, "genesis.json"),
        ({"account": "00" * 16}, "card.json"),
        ({"files": 3}, FILES),
        ({"files": 300}, FILES),
        ({"files_sha256": "00" * 32}, FILES),
    ],
)
def test_a_manifest_that_says_something_else_than_the_files_is_refused(
    made: Path, backup: Path, changes: dict[str, Any], file: str
) -> None:
    resigned(backup, made / "node0", **changes)
    with pytest.raises(BackupDamaged) as caught:
        verify_backup(backup, genesis=None, progress=quiet)
    assert caught.value.fields["file"] == file


def test_a_manifest_of_another_nodes_key_is_refused(made: Path, backup: Path) -> None:
    resigned(backup, made / "node1")
    with pytest.raises(BackupDamaged) as caught:
        verify_backup(backup, genesis=None, progress=quiet)
    assert caught.value.fields["file"] == SIGNATURE
    key = load_identity(Home(made / "node1"), homes.SUITE).node_signer.public_key.hex()
    manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    write_manifest(
        backup,
        msgspec.structs.replace(manifest, public_key=key),
        load_identity(Home(made / "node1"), homes.SUITE).node_signer,
    )
    with pytest.raises(BackupDamaged) as caught:
        verify_backup(backup, genesis=None, progress=quiet)
    assert caught.value.fields["file"] == "card.json"


HOSTILE_PATHS = (
    "../card.json",
    "/etc/passwd",
    "store/../../x",
    "journal/journal-00000001.seg",
    "keys/../card.json",
    "blobs/zz/00",
    "card.json/x",
    "config.toml\t",
)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_no_backup_has_is_refused_also_when_it_is_signed(
    made: Path, backup: Path, tmp_path: Path, path: str
) -> None:
    lines = (backup / FILES).read_text().splitlines(keepends=True)
    lines.append(f"{'00' * 32}  {path}\n")
    text = "".join(sorted(lines, key=lambda line: line[66:]))
    (backup / FILES).write_text(text)
    resigned(backup, made / "node0", files_sha256=hashlib.sha256(text.encode()).hexdigest(), files=len(lines))
    with pytest.raises(BackupDamaged) as caught:
        restore(backup, tmp_path / "restored")
    assert caught.value.fields["file"] == FILES


def test_a_link_in_a_backup_is_not_followed(backup: Path, tmp_path: Path) -> None:
    card = (backup / "card.json").rename(tmp_path / "elsewhere")
    (backup / "card.json").symlink_to(card)
    with pytest.raises(BackupDamaged, match=r"card\.json"):
        restore(backup, tmp_path / "restored")


def test_a_pipe_in_a_backup_stops_nobody(backup: Path, tmp_path: Path) -> None:
    (backup / MANIFEST).unlink()
    os.mkfifo(backup / MANIFEST)
    with pytest.raises(BackupDamaged):
        restore(backup, tmp_path / "restored")


def test_hostile_manifests_and_lists_are_refused_with_a_reason(
    made: Path, kept: Path, tmp_path: Path
) -> None:
    random = Random(5)
    small = tmp_path / "small"
    for name in (MANIFEST, SIGNATURE, FILES):
        whole = (kept / name).read_bytes()
        for spoil in (
            b"",
            b"\0" * 100,
            b"{" * 70_000,
            whole[:-1],
            whole + b"x",
            random.randbytes(500),
            b"[]",
        ):
            shutil.rmtree(small, ignore_errors=True)
            small.mkdir()
            for other in (MANIFEST, SIGNATURE, FILES):
                shutil.copy(kept / other, small / other)
            (small / name).write_bytes(spoil)
            with pytest.raises(LedgerError) as caught:
                verify_backup(small, genesis=None, progress=quiet)
            assert caught.value.message("zh")
            assert caught.value.message("en")


def test_a_backup_of_another_network_than_the_one_named_is_refused(
    backup: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, other = homes.found_homes(tmp_path_factory.mktemp("others"))
    with pytest.raises(OtherGenesis):
        restore_backup(backup, tmp_path / "restored", genesis=other, progress=quiet)
    assert not list(tmp_path.glob("restored*"))


def test_what_a_restore_that_was_cut_short_left_is_cleared(backup: Path, tmp_path: Path) -> None:
    (tmp_path / f"restored{RESTORING_SUFFIX}" / "store").mkdir(parents=True)
    restore(backup, tmp_path / "restored")
    assert not (tmp_path / f"restored{RESTORING_SUFFIX}").exists()


def dies_at(work: Callable[[], object], call: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do something in a process that ends as by kill -9 at its n-th write to disk; whether it did."""
    child = os.fork()
    if not child:
        done = 0

        def die_or(real: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **named: Any) -> Any:
                nonlocal done
                done += 1
                if done == call:
                    os._exit(9)
                return real(*arguments, **named)

            return called

        with monkeypatch.context() as patched:
            for module in ("node.backup", "node.restore", "node.backup_format"):
                for name in ("sync_folder", "copy_pieces", "write_file"):
                    target = getattr(import_module(module), name, None)
                    if target is not None:
                        patched.setattr(f"{module}.{name}", die_or(target))
            work()
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_write_there_is_a_whole_backup_or_none_and_the_next_attempt_makes_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, call = tmp_path / "backup", 1
    while dies_at(lambda: back_up(home, place, linked=False, proven=False), call, monkeypatch):
        if place.exists():
            verify_backup(place, genesis=None, progress=quiet)
            shutil.rmtree(place)
        call += 1
    assert call > 8
    verify_backup(place, genesis=None, progress=quiet)
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup"]


def test_killed_at_any_write_there_is_a_whole_home_or_none_and_the_next_attempt_makes_it(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, call = tmp_path / "restored", 1
    while dies_at(lambda: restore(backup, place), call, monkeypatch):
        if place.exists():
            Store.open(Home(place).store, homes.SUITE).close()
        shutil.rmtree(place, ignore_errors=True)
        call += 1
    assert call > 8
    assert [path.name for path in tmp_path.glob("restored*")] == ["restored"]


# --- the commands ---------------------------------------------------------------------------------------------------


def run(*words: str, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["--json", "node", *words])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_the_commands_make_prove_and_restore(home: Home, tmp_path: Path) -> None:
    made = run("backup", str(tmp_path / "made"), "--home", str(home.root))
    assert (made["height"], made["keys"], made["blobs"], made["damaged_blobs"]) == (BLOCKS, "none", "all", [])
    verified = run("backup", "verify", str(tmp_path / "made"))
    assert (verified["whole"], verified["blocks"]) == (True, BLOCKS)
    restored = run("restore", str(tmp_path / "made"), str(tmp_path / "restored"))
    assert restored["state_values"] > 0
    flip(tmp_path / "made" / "card.json", 5)
    failed = run("restore", str(tmp_path / "made"), str(tmp_path / "again"), status=1)
    assert failed["error"]["code"] == "backup_damaged"


@pytest.mark.parametrize(("language", "word"), [("zh", "不包含：日志"), ("en", "Not inside: the journal")])
def test_the_command_says_what_is_not_inside(home: Home, tmp_path: Path, language: str, word: str) -> None:
    words = ["--lang", language, "node", "backup", "--home", str(home.root), str(tmp_path / "made")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert word in result.stdout
