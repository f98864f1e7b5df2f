"""A replica that began with a snapshot decides like one that executed every block, and says what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.calls import OrganizationsAddKey
from contracts.genesis import genesis_state
from contracts.records import KeyRole
from ledger.errors import NotFound
from ledger.hashing import block_digest, transaction_id
from ledger.store_records import NotHeld
from node.index.follower import catch_up
from node.index.sqlite import SqliteIndex
from node.statesync import Outcome, ServeSettings, SnapshotServer, StateSync, SyncSettings
from tests.unit.node_replica import (
    DEPARTMENT,
    LI,
    ORGANIZATIONS,
    SUITE,
    Replica,
    enrolment,
    make_genesis,
    new_key,
)

PEER = b"p" * 16


@pytest.fixture
def elder(tmp_path: Path) -> Iterator[Replica]:
    (tmp_path / "elder").mkdir()
    replica = Replica(tmp_path / "elder", dealt=False).populate()
    replica.commit()
    yield replica
    replica.close()


async def synced(elder: Replica, folder: Path) -> Replica:
    server = SnapshotServer(suite=SUITE, folder=folder / "serve", settings=ServeSettings(boundary_wait_s=0.0))
    server.attach(elder.store)

    async def request(peer: bytes, payload: bytes, timeout_s: float) -> bytes:
        del peer, timeout_s
        return await server.serve(b"newcomer", payload)

    document = make_genesis()
    sync = StateSync(
        suite=SUITE,
        genesis=document,
        genesis_state=genesis_state(SUITE, document),
        store_path=folder / "store",
        folder=folder / "incoming",
        request=request,
        peers=lambda: (PEER,),
        settings=SyncSettings(state_sync_above_blocks=3, poll_s=0.01),
    )
    assert await sync.run() is Outcome.SYNCED
    await server.stop()
    replica = Replica(folder, dealt=False)
    replica.now_ms = elder.now_ms
    return replica


async def test_it_executes_the_next_blocks_like_everybody(elder: Replica, tmp_path: Path) -> None:
    newcomer = await synced(elder, tmp_path)
    assert newcomer.execution.head() == elder.execution.head()
    assert newcomer.execution.validators() == elder.execution.validators()
    assert newcomer.execution.block(newcomer.store.height) == elder.execution.block(elder.store.height)
    for number in range(3):
        elder.pool(elder.sign(ORGANIZATIONS[0][0], OrganizationsAddKey(key=new_key(LI, KeyRole.OFFICER))))
        block, digest = elder.propose()
        assert newcomer.execution.verify(block, digest)
        for replica in (elder, newcomer):
            replica.finalize(block)
            replica.commit(number + 1)
    assert newcomer.execution.head() == elder.execution.head()
    assert dict(newcomer.store.view().state()) == dict(elder.store.view().state())
    newcomer.close()


async def test_a_transaction_from_before_the_snapshot_is_not_taken_twice(
    elder: Replica, tmp_path: Path
) -> None:
    transaction = elder.sign(DEPARTMENT, enrolment(LI))
    elder.run(transaction)
    elder.commit()
    elder.run()
    elder.commit()
    newcomer = await synced(elder, tmp_path)
    newcomer.pool(transaction)
    block, _ = newcomer.propose()
    assert block.transactions == ()
    newcomer.close()


async def test_it_says_what_it_does_not_hold(elder: Replica, tmp_path: Path) -> None:
    done = elder.sign(DEPARTMENT, enrolment(LI))
    elder.run(done)
    before = elder.finalized[0].executed.transaction_ids[0]
    elder.commit()
    newcomer = await synced(elder, tmp_path)
    first = newcomer.chain.first_height
    assert first == newcomer.chain.height == elder.chain.height
    with pytest.raises(NotHeld) as caught:
        newcomer.chain.receipt(before)
    assert caught.value.fields["first_height"] == first
    with pytest.raises(NotFound):
        elder.chain.receipt(bytes(32))
    name = transaction_id(SUITE, done.body)
    assert newcomer.chain.receipt(name) == elder.chain.receipt(name)
    assert newcomer.chain.header(first - 1) is newcomer.chain.finalized(first - 1) is None
    assert newcomer.chain.header(0) == elder.chain.header(0)
    newcomer.close()


async def test_what_an_older_journal_calls_final_is_passed_over(elder: Replica, tmp_path: Path) -> None:
    newcomer = await synced(elder, tmp_path)
    for height in range(1, elder.store.height + 1):
        final = elder.store.block(height)
        assert final is not None
        newcomer.execution.finalize(final, block_digest(SUITE, final.block.header))
    assert newcomer.execution.head() == elder.execution.head()
    newcomer.close()


async def test_its_index_begins_where_its_history_does(elder: Replica, tmp_path: Path) -> None:
    newcomer = await synced(elder, tmp_path)
    index = SqliteIndex(tmp_path / "index.sqlite", newcomer.store.chain_id)
    newcomer.done(newcomer.sign(ORGANIZATIONS[0][0], OrganizationsAddKey(key=new_key(LI, KeyRole.OFFICER))))
    assert await catch_up(newcomer.chain, index) == newcomer.chain.height
    assert index.first_height == newcomer.chain.first_height > 1
    assert {event.height for event in await index.events(limit=100)} <= {index.first_height, index.height}
    await index.close()
    newcomer.close()
