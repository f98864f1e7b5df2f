"""Archives are made beside a running node, and what is taken in is what was archived: proven, executed again, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from consensus.disk import FileDisk
from consensus.journal import is_journal
from ledger.archive import ArchiveRejected
from ledger.proof_files import trust_to_json
from ledger.store import Store
from ledger.types import Block, FinalizedBlock
from node.archive_import import Imported, ImportRefused, Replay, import_archive, journal_silence
from node.archive_make import ArchiveWish, CannotArchive, Maker, make_archive
from node.bootstrap import OtherNetwork
from node.cli import app
from node.home import FileUnusable, Home
from node.identity import create_identity
from node.journal import MARK
from node.keystore import KeyFiles
from node.rotation import rotate_vote_key
from node.vault.blobs import LocalBlobStore
from tests.unit.archive_world import MADE_MS, archive, archived, grow, maker, quiet, verified
from tests.unit.contracts_world import OPERATORS, SUITE
from tests.unit.node_replica import Replica, finalization


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "city.archive"
    path.write_bytes(archived()[0])
    return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create_folders()
    return made


def take(file: Path, home: Home, *, snapshot: bool = False) -> Imported:
    return import_archive(file, home, archived()[1], trust_snapshot=snapshot, progress=quiet)


def part(replica: Replica, path: Path, first: int, last: int) -> Path:
    return archive(replica.store, path, ArchiveWish(first_height=first, last_height=last, made_ms=MADE_MS))


# --- taking in ------------------------------------------------------------------------------------------------------


def test_an_imported_ledger_is_the_archived_one(file: Path, home: Home, tmp_path: Path) -> None:
    imported = take(file, home)
    assert (imported.height, imported.executed, imported.identity) == (11, 11, False)
    (tmp_path / "other").mkdir()
    replica = grow(Replica(tmp_path / "other", dealt=False))
    with Store.open(home.store, SUITE) as store:
        assert store.first_height == 1
        assert store.genesis == replica.store.genesis
        assert store.epoch_changes(1) == verified_changes(file)
        for height in range(1, 12):
            block = store.block(height)
            results = store.results(height)
            assert block is not None
            assert results is not None
            assert len(results) == len(block.block.transactions)
    replica.close()
    blobs = LocalBlobStore(home.blobs, SUITE)
    assert len(list(blobs.names())) == 3
    assert take(file, home).executed == 0


def verified_changes(file: Path) -> tuple[object, ...]:
    from ledger.archive import EpochEnd
    from tests.unit.archive_world import frames_of

    return tuple(frame.change for frame in frames_of(file.read_bytes()) if isinstance(frame, EpochEnd))


def test_a_ledger_may_begin_with_the_snapshot_and_goes_on_by_later_archives(
    tmp_path: Path, home: Home
) -> None:
    replica = grow(Replica(tmp_path, dealt=False))
    wish = ArchiveWish(snapshot=True, made_ms=MADE_MS)
    first = archive(replica.store, tmp_path / "first.archive", wish)
    for _ in range(3):
        replica.step()
    replica.commit()
    second = part(replica, tmp_path / "second.archive", 5, replica.store.height)
    trust = replica.chain.trust()
    begun = import_archive(first, home, trust, trust_snapshot=True, progress=quiet)
    assert (begun.first_height, begun.height, begun.executed) == (11, 11, 0)
    assert import_archive(second, home, None, trust_snapshot=False, progress=quiet).executed == 3
    with Store.open(home.store, SUITE) as store:
        assert store.head_digest == replica.store.head_digest
    replica.close()


def test_parts_are_taken_in_order_and_without_gaps(tmp_path: Path, home: Home) -> None:
    replica = grow(Replica(tmp_path, dealt=False))
    parts = [part(replica, tmp_path / f"{first}", first, last) for first, last in ((1, 4), (4, 8), (10, 11))]
    trust = replica.chain.trust()
    with pytest.raises(ImportRefused, match="begins at height 4"):
        import_archive(parts[1], home, trust, trust_snapshot=False, progress=quiet)
    heights = [
        import_archive(one, home, trust, trust_snapshot=False, progress=quiet).height for one in parts[:2]
    ]
    assert heights == [4, 8]
    with pytest.raises(ImportRefused, match="blocks are missing"):
        import_archive(parts[2], home, trust, trust_snapshot=False, progress=quiet)
    replica.close()


def test_what_a_damaged_archive_leaves_is_proven_and_a_good_one_goes_on_from_it(
    file: Path, home: Home, tmp_path: Path
) -> None:
    data = bytearray(archived()[0])
    data[len(data) * 2 // 3] ^= 1
    damaged = tmp_path / "damaged.archive"
    damaged.write_bytes(data)
    with pytest.raises(ArchiveRejected):
        take(damaged, home)
    with Store.open(home.store, SUITE) as store:
        before = store.height
    assert before < 11
    assert take(file, home).executed == 11 - before


def test_a_damaged_snapshot_leaves_no_ledger(home: Home, tmp_path: Path) -> None:
    data = bytearray(archived()[0])
    at = data.index(b"certificate_types/")
    data[at] ^= 1
    damaged = tmp_path / "damaged.archive"
    damaged.write_bytes(data)
    with pytest.raises(ArchiveRejected):
        take(damaged, home, snapshot=True)
    assert not any(home.store.iterdir())


def test_a_ledger_of_another_history_or_network_is_left_alone(file: Path, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.create_folders()
    other.store.rmdir()
    replica = Replica(other.root, dealt=False)
    for _ in range(4):
        replica.step()
        replica.commit()
    head = replica.store.head_digest
    replica.close()
    with pytest.raises(ImportRefused, match="another block at height 1"):
        take(file, other)
    with Store.open(other.store, SUITE) as store:
        assert store.head_digest == head
    stranger = Home(tmp_path / "stranger")
    stranger.create_folders()
    stranger.store.rmdir()
    Replica(stranger.root, replace_limits(), dealt=False).close()
    with pytest.raises(OtherNetwork):
        take(file, stranger)


def replace_limits() -> Any:
    from ledger.types import Limits

    return Limits(block_transactions_max=7)


def test_a_folder_of_no_network_needs_a_trust_point_and_a_snapshot_an_empty_one(
    file: Path, home: Home, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused, match="trust file"):
        import_archive(file, home, None, trust_snapshot=False, progress=quiet)
    take(file, home)
    with pytest.raises(ImportRefused, match="ledger here already"):
        take(file, home, snapshot=True)
    replica = grow(Replica(tmp_path, dealt=False))
    plain = archive(replica.store, tmp_path / "plain.archive")
    replica.close()
    bare = Home(tmp_path / "bare")
    bare.create_folders()
    with pytest.raises(ImportRefused, match="no snapshot"):
        import_archive(plain, bare, archived()[1], trust_snapshot=True, progress=quiet)


def test_a_certified_block_that_execution_contradicts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    replica, other = Replica(tmp_path / "a", dealt=False), Replica(tmp_path / "b", dealt=False)
    block, _ = replica.propose()
    wrong = replace(block, header=replace(block.header, state_root=bytes(32)))
    final: FinalizedBlock = finalization(other.store.chain_id, wrong)
    replay = Replay(SUITE, other.store)
    with pytest.raises(ImportRefused, match="executing block 1 again"):
        replay.add(final)
    assert other.store.height == 0
    replay.add(finalization(other.store.chain_id, Block(header=block.header, transactions=())))
    replay.flush()
    assert other.store.height == 1
    replica.close()
    other.close()


# --- whose vote -----------------------------------------------------------------------------------------------------


def identified(home: Home) -> bytes:
    card = create_identity(
        home,
        network="test",
        name="op9",
        suite=SUITE,
        peer_host="localhost",
        peer_port=9,
        http_host="localhost",
        http_port=8,
        now_ms=MADE_MS,
    )
    return bytes.fromhex(card.vote_key)


def test_a_folder_that_was_never_started_keeps_its_vote(file: Path, home: Home) -> None:
    identified(home)
    assert take(file, home).identity
    assert journal_silence(home) is None
    assert not (home.journal / MARK).exists()


def test_a_folder_whose_journal_is_lost_is_silenced_and_gives_up_the_key_that_waits(
    file: Path, home: Home
) -> None:
    vote_key = identified(home)
    rotate_vote_key(home, SUITE)
    (home.journal / MARK).unlink()
    take(file, home)
    assert journal_silence(home) == vote_key
    assert not KeyFiles(home).vote_next.exists()
    assert is_journal(FileDisk(home.journal))


# --- making ---------------------------------------------------------------------------------------------------------


def test_an_archive_is_made_while_the_chain_goes_on(tmp_path: Path) -> None:
    replica = grow(Replica(tmp_path, dealt=False))

    def meanwhile(_stage: str, _done: int, _total: int) -> None:
        replica.step()
        replica.commit()

    wish = ArchiveWish(snapshot=True, made_ms=MADE_MS)
    path = tmp_path / "city.archive"
    manifest = make_archive(path, SUITE, replica.store, wish, maker(), meanwhile)
    assert manifest.opening.last_height == 11 < replica.store.height
    assert verified(path.read_bytes(), replica.chain.trust()).manifest == manifest
    assert [one.name for one in tmp_path.iterdir() if "archive" in one.name] == [path.name]
    replica.close()


def test_what_the_store_does_not_have_cannot_be_archived(tmp_path: Path) -> None:
    replica = grow(Replica(tmp_path, dealt=False))
    wishes = (
        ArchiveWish(last_height=12),
        ArchiveWish(first_height=9, last_height=8),
        ArchiveWish(last_height=10, snapshot=True),
    )
    for wish in wishes:
        with pytest.raises(CannotArchive):
            make_archive(tmp_path / "no", SUITE, replica.store, wish, maker(), quiet)
    secret, signer = SUITE.generate_signer()
    assert secret
    stranger = Maker(account=OPERATORS[0].account, signer=signer)
    with pytest.raises(CannotArchive, match="later --to"):
        make_archive(tmp_path / "no", SUITE, replica.store, ArchiveWish(last_height=11), stranger, quiet)
    with pytest.raises(FileUnusable):
        make_archive(tmp_path / "no" / "where", SUITE, replica.store, ArchiveWish(), maker(), quiet)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]
    replica.close()


def test_a_store_that_begins_with_a_snapshot_archives_one(file: Path, home: Home, tmp_path: Path) -> None:
    take(file, home, snapshot=True)
    with Store.open(home.store, SUITE) as store:
        again = archive(store, tmp_path / "again.archive")
    proven = verified(again.read_bytes(), archived()[1])
    assert proven.manifest.opening.snapshot
    assert (proven.manifest.opening.first_height, proven.manifest.contents.epochs) == (11, 1)


def test_a_network_that_has_no_block_yet_can_be_archived(tmp_path: Path, home: Home) -> None:
    replica = Replica(tmp_path, dealt=False)
    path = archive(replica.store, tmp_path / "city.archive")
    trust = replica.chain.trust()
    assert verified(path.read_bytes(), trust).head is None
    assert import_archive(path, home, trust, trust_snapshot=False, progress=quiet).height == 0
    replica.close()


# --- the program ----------------------------------------------------------------------------------------------------


def said(*words: object, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["--json", "archive", *map(str, words)])
    assert result.exit_code == status, result.output
    return msgspec.json.decode(result.stdout, type=dict[str, Any])


def test_the_commands_say_what_they_did_and_what_is_wrong(file: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(trust_to_json(archived()[1]))
    looked = said("inspect", file)
    assert (looked["proven"], looked["from"], looked["to"]) == (False, 1, 11)
    held = said("verify", file, "--trust", trust)
    assert held["valid"]
    assert held["contents"]["blocks"] == 11
    imported = said("import", file, "--home", tmp_path / "fresh", "--trust", trust)
    assert (imported["height"], imported["identity"], imported["silenced"]) == (11, False, False)
    data = bytearray(file.read_bytes())
    data[2000] ^= 1
    file.write_bytes(data)
    wrong = said("verify", file, "--trust", trust, status=1)
    assert (wrong["valid"], wrong["check"]) == (False, "link")
    assert wrong["offset"] <= 2000
    assert said("verify", tmp_path / "none", "--trust", trust, status=3)["error"]["code"] == "file_unusable"
