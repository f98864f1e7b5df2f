"""A node that lets go of old blocks: what it still proves, what it answers, and how others get round it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consensus.core.messages import FetchFinalized
from consensus.sync import Server
from contracts.calls import OrganizationsAddKey
from contracts.records import KeyRole
from ledger import codec
from ledger.store import Store
from ledger.store_records import NotHeld
from ledger.store_retention import Retention
from node.backup import BackupPlan, make_backup
from node.cli import app
from node.config import RetentionSection, load_config, write_config
from node.home import Home
from node.index.follower import catch_up
from node.index.sqlite import SqliteIndex
from node.lock import HomeLock
from node.restore import verify_backup
from node.servedstore import ServedStore
from node.storechild import StoreTask, read_store
from tests.unit import node_homes as homes
from tests.unit.contracts_world import LI, new_key
from tests.unit.node_replica import ORGANIZATIONS, Replica

KEPT = Retention(proof_blocks=2, blocks=4)
BLOCKS = 80


def quiet(_stage: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def pruned(tmp_path: Path) -> Iterator[Replica]:
    """A node whose chain went on with a short retention, so that its first blocks are gone."""
    node = Replica(tmp_path)
    node.populate()
    node.done(node.sign(ORGANIZATIONS[0][0], OrganizationsAddKey(key=new_key(LI, KeyRole.OFFICER))))
    while node.commit():
        pass
    node.close()
    with ServedStore.open(tmp_path / "store", homes.SUITE, retention=KEPT) as store:
        while not store.prune():
            pass
    again = Replica(tmp_path)
    yield again
    again.close()


def test_what_is_gone_is_answered_with_where_history_begins_and_is_no_damage(pruned: Replica) -> None:
    chain, first = pruned.chain, pruned.chain.first_height
    assert first == chain.height - KEPT.blocks + 1 > 1  # type: ignore[operator]
    for height in range(1, first):
        assert chain.finalized(height) is None
        assert chain.results(height) == ()
    for height in range(first, chain.height + 1):
        assert chain.finalized(height) is not None
    with pytest.raises(NotHeld) as caught:
        chain.receipt(bytes(32))
    assert caught.value.fields["first_height"] == first
    assert chain.damage == ""


def test_a_peer_that_asks_for_what_is_gone_gets_nothing_and_for_the_rest_all_of_it(pruned: Replica) -> None:
    server, first = Server(pruned.execution), pruned.chain.first_height
    assert server.finalized_range(FetchFinalized(first_height=1)).blocks == ()
    answer = server.finalized_range(FetchFinalized(first_height=first))
    assert [block.block.header.height for block in answer.blocks] == list(
        range(first, pruned.chain.height + 1)
    )


async def test_an_index_keeps_what_it_had_and_a_new_one_begins_with_the_history(
    pruned: Replica, tmp_path: Path
) -> None:
    index = SqliteIndex(tmp_path / "new.sqlite", pruned.store.chain_id)
    assert await catch_up(pruned.chain, index) == pruned.chain.height
    assert index.first_height == pruned.chain.first_height
    await index.close()


async def test_an_index_that_is_level_loses_nothing_by_pruning(tmp_path: Path) -> None:
    with closing(Replica(tmp_path)) as node:
        node.populate()
        while node.commit():
            pass
        index = SqliteIndex(tmp_path / "index.sqlite", node.store.chain_id)
        await catch_up(node.chain, index)
        before = await index.events(limit=1000)
    with ServedStore.open(tmp_path / "store", homes.SUITE, retention=KEPT) as store:
        while not store.prune():
            pass
    with closing(Replica(tmp_path)) as node:
        await catch_up(node.chain, index)
        assert index.first_height < node.chain.first_height
        assert await index.events(limit=1000) == before
        await index.close()


def test_a_pruned_store_is_proven_whole(pruned: Replica, tmp_path: Path) -> None:
    task = StoreTask(
        folder=str(tmp_path / "store"), genesis=codec.encode(pruned.store.genesis), depth="check"
    )
    found = read_store(task, quiet)
    assert found.faults == ()
    assert found.first_height == pruned.chain.first_height


# --- the command, and a backup of what is left ----------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found, _genesis = homes.found_homes(tmp_path / "homes")
    with Store.open(found[0].store, homes.SUITE) as store:
        homes.grow(store, homes.vote_signers(found), BLOCKS)
    config = load_config(found[0].config)
    section = RetentionSection(proof_blocks=10, age_days=1)
    write_config(found[0].config, type(config)(node=config.node, http=config.http, retention=section))
    return found[0]


def run(*words: str, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["--json", "node", "prune", *words])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def keep(home: Home, section: RetentionSection) -> None:
    config = load_config(home.config)
    sync = type(config.sync)(state_sync_above_blocks=10)
    write_config(home.config, type(config)(node=config.node, http=config.http, sync=sync, retention=section))


def test_prune_shows_what_would_go_and_then_removes_just_that(home: Home) -> None:
    keep(home, RetentionSection(proof_blocks=10, blocks=20))
    shown = run(str(home.root), "--dry-run")
    assert shown["before"] == shown["after"]
    assert (shown["before"]["first_height"], shown["before"]["first_height_wanted"]) == (1, BLOCKS - 20 + 1)
    assert shown["before"]["first_provable_wanted"] == BLOCKS - 10
    done = run(str(home.root))
    assert done["after"]["first_height"] == shown["before"]["first_height_wanted"]
    assert done["after"]["first_provable"] == shown["before"]["first_provable_wanted"]
    assert done["after"]["space"]["live_bytes"] < done["before"]["space"]["live_bytes"]
    assert done["after"]["space"]["file_bytes"] >= done["before"]["space"]["live_bytes"]
    made = make_backup(BackupPlan(home=home, destination=home.root.parent / "backup", now_ms=0), quiet)
    assert made.manifest.first_height == done["after"]["first_height"]
    assert verify_backup(home.root.parent / "backup", genesis=None, progress=quiet).blocks == 20


def test_blocks_go_by_their_age_against_the_head_and_not_by_the_clock(home: Home) -> None:
    shown = run(str(home.root), "--dry-run")
    assert shown["before"]["first_height_wanted"] == 1
    assert run(str(home.root))["after"]["first_height"] == 1


def test_a_node_that_runs_prunes_by_itself_and_may_be_looked_at(home: Home) -> None:
    lock = HomeLock(home.root / "lock")
    assert run(str(home.root), status=1)["error"]["code"] == "home_in_use"
    assert run(str(home.root), "--dry-run")["running"]
    lock.release()


@pytest.mark.parametrize(("language", "word"), [("zh", "可重复使用"), ("en", "to be used again")])
def test_people_are_told_that_the_file_does_not_shrink(home: Home, language: str, word: str) -> None:
    result = CliRunner().invoke(app, ["--lang", language, "node", "prune", str(home.root), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert word in result.stdout
