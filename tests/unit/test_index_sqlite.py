"""The audit index: whole blocks in order, the same answers after a rebuild, and bounds that hold."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from ledger.errors import Busy, InvariantViolation, StorageDamaged
from ledger.types import BLOCK_TRANSACTIONS_MAX, RESULT_EVENTS_MAX
from node.index import sqlite as index_sqlite
from node.index.follower import catch_up, follow
from node.index.ports import CURSOR_MAX, HEIGHT_MAX, INDEX_PAGE_MAX, BlockFacts, cursor_of
from node.index.sqlite import SqliteIndex
from tests.unit import http_world as w

CHAIN = b"c" * 32


def _chain(heights: int = 4) -> w.FakeChain:
    """Two transactions a block: the bank asks, which concerns the person; a department issues to the stranger."""
    chain = w.FakeChain()
    for height in range(1, heights + 1):
        ask = chain.transaction(w.BANK, "grants", "request", height)
        issue = chain.transaction(w.DEPARTMENT, "certificates", "issue", height)
        certificate = w.fixed("certificate", height, size=16)
        chain.append(
            (ask, (w.event("grants.requested", w.GRANT_ID, w.PERSON.account),)),
            (
                issue,
                (
                    w.event("certificates.issued", certificate, w.STRANGER.account),
                    w.event("certificates.superseded", w.CERTIFICATE_ID, w.STRANGER.account, certificate),
                ),
            ),
        )
    return chain


def _facts(chain: w.FakeChain, height: int) -> BlockFacts:
    finalized, results = chain.blocks[height - 1]
    return BlockFacts(
        header=finalized.block.header, transactions=finalized.block.transactions, results=results
    )


async def test_an_event_is_found_by_subject_object_and_acting_account(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(1)
    await catch_up(chain, index)
    for subject in (w.PERSON.account, w.GRANT_ID, w.BANK.account):
        (event,) = await index.events(subject=subject, limit=10)
        assert (event.kind, event.cursor) == ("grants.requested", cursor_of(1, 0, 0))
        assert (event.account, event.key_id, event.code) == (w.BANK.account, w.BANK.key_id, "ok")
        assert event.subjects == (w.PERSON.account,)
        assert event.data == (("hash", "0102"), ("n", 3))
        assert event.time_ms == chain.blocks[0][0].block.header.time_ms
        assert event.transaction_id == chain.blocks[0][1][0].transaction_id
    assert await index.events(subject=b"nobody", limit=10) == ()
    await index.close()


async def test_a_refused_attempt_is_on_record_with_its_code(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), w.FakeChain()
    signed = chain.transaction(w.BANK, "grants", "request")
    chain.append((signed, (w.event("grants.refused", w.GRANT_ID, w.PERSON.account),)), code="over_ask")
    await catch_up(chain, index)
    (event,) = await index.events(subject=w.PERSON.account, limit=10)
    assert (event.kind, event.code) == ("grants.refused", "over_ask")
    await index.close()


async def test_events_are_read_both_ways_by_prefix_and_from_a_cursor(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(3)
    await catch_up(chain, index)
    for subject in (None, w.STRANGER.account):
        forwards = await index.events(subject=subject, kind_prefix="certificates.", limit=100)
        backwards = await index.events(
            subject=subject, kind_prefix="certificates.", limit=100, newest_first=True
        )
        assert [event.cursor for event in forwards] == sorted(event.cursor for event in forwards)
        assert forwards == backwards[::-1]
        assert len(forwards) == 6
        middle = forwards[2].cursor
        after = await index.events(subject=subject, kind_prefix="certificates.", after=middle, limit=100)
        before = await index.events(
            subject=subject, kind_prefix="certificates.", after=middle, limit=100, newest_first=True
        )
        assert after == forwards[3:]
        assert before == forwards[1::-1]
        assert await index.events(subject=subject, kind_prefix="certificate_types", limit=9) == ()
    assert len(await index.events(limit=100)) == 9
    await index.close()


async def test_objects_are_found_by_exact_kind_and_subject(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(3)
    await catch_up(chain, index)
    issued = [w.fixed("certificate", height, size=16) for height in (1, 2, 3)]
    for subject in (None, w.STRANGER.account, w.DEPARTMENT.account):
        found = await index.objects("certificates.issued", subject=subject, limit=10)
        assert [entry.object_id for entry in found] == issued
        newest = await index.objects("certificates.issued", subject=subject, limit=1, newest_first=True)
        assert [entry.object_id for entry in newest] == issued[-1:]
        following = await index.objects(
            "certificates.issued", subject=subject, after=found[0].cursor, limit=10
        )
        assert following == found[1:]
    assert await index.objects("certificates.issue", limit=10) == ()
    assert await index.objects("certificates.issued", subject=w.PERSON.account, limit=10) == ()
    await index.close()


async def test_a_rebuilt_index_gives_the_same_answers(tmp_path: Path) -> None:
    chain = _chain(5)
    block_by_block = SqliteIndex(tmp_path / "a", CHAIN)
    for height in range(1, 6):
        await block_by_block.apply([_facts(chain, height)])
    at_once = SqliteIndex(tmp_path / "b", CHAIN)
    await at_once.apply([_facts(chain, height) for height in range(1, 6)])
    assert await block_by_block.events(limit=100) == await at_once.events(limit=100)
    await block_by_block.close()
    await at_once.close()


async def test_it_goes_on_after_a_restart_where_it_was(tmp_path: Path) -> None:
    chain = _chain(2)
    index = SqliteIndex(tmp_path / "i", CHAIN)
    await catch_up(chain, index)
    await index.close()
    chain.append((chain.transaction(w.BANK, "grants", "request", "later"), ()))
    again = SqliteIndex(tmp_path / "i", CHAIN)
    assert again.height == 2
    assert await catch_up(chain, again) == 3
    assert len(await again.events(limit=100)) == 6
    await again.close()


async def test_a_file_of_another_chain_or_schema_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_and_count(chain_id: bytes) -> tuple[int, int]:
        index = SqliteIndex(tmp_path / "i", chain_id)
        seen = index.height, len(await index.events(limit=100))
        await catch_up(_chain(2), index)
        await index.close()
        return seen

    assert await open_and_count(CHAIN) == (0, 0)
    assert await open_and_count(CHAIN) == (2, 6)
    assert await open_and_count(b"d" * 32) == (0, 0)
    monkeypatch.setattr(index_sqlite, "SCHEMA_VERSION", index_sqlite.SCHEMA_VERSION + 1)
    assert await open_and_count(b"d" * 32) == (0, 0)


async def test_a_block_goes_in_whole_or_not_at_all(tmp_path: Path) -> None:
    chain = _chain(2)
    index = SqliteIndex(tmp_path / "i", CHAIN)
    good, bad = _facts(chain, 1), _facts(chain, 2)
    torn = BlockFacts(header=bad.header, transactions=bad.transactions, results=bad.results[:1])
    with pytest.raises(ValueError, match="zip"):
        await index.apply([good, torn])
    assert index.height == 0
    assert await index.events(limit=10) == ()
    await index.apply([good, bad])
    assert index.height == 2
    await index.close()


async def test_blocks_out_of_order_break_an_invariant(tmp_path: Path) -> None:
    chain = _chain(3)
    index = SqliteIndex(tmp_path / "i", CHAIN)
    for wrong in ([2], [1, 3], [1, 1]):
        with pytest.raises(InvariantViolation):
            await index.apply([_facts(chain, height) for height in wrong])
    assert index.height == 0
    await index.close()


async def test_a_page_has_a_largest_size(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), w.FakeChain()
    events = tuple(w.event("grants.requested", w.GRANT_ID) for _ in range(RESULT_EVENTS_MAX))
    blocks = INDEX_PAGE_MAX // RESULT_EVENTS_MAX + 1
    for number in range(blocks):
        chain.append((chain.transaction(w.BANK, "grants", "request", number), events))
    await catch_up(chain, index)
    assert len(await index.events(limit=10 * INDEX_PAGE_MAX)) == INDEX_PAGE_MAX
    assert len(await index.objects("grants.requested", limit=10 * INDEX_PAGE_MAX)) == INDEX_PAGE_MAX
    assert len(await index.events(limit=0)) == 1
    assert await index.events(after=CURSOR_MAX * 4, limit=5) == ()
    await index.close()


async def test_too_many_waiting_queries_are_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_sqlite, "QUERIES_WAITING_MAX", 3)
    index = SqliteIndex(tmp_path / "i", CHAIN)
    answers = await asyncio.gather(*(index.events(limit=1) for _ in range(5)), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, Busy)] == answers[3:]
    assert answers[:3] == [()] * 3
    assert await index.events(limit=1) == ()
    await index.close()


async def test_who_waits_for_a_height_is_told_when_it_is_there(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(2)
    waiting = asyncio.ensure_future(index.wait_height(2, 10))
    assert await index.wait_height(0, 0) is True
    assert await index.wait_height(1, 0) is False
    await catch_up(chain, index)
    assert await waiting is True
    await index.close()


async def test_the_follower_keeps_level_with_the_chain(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(3)
    following = asyncio.ensure_future(follow(chain, index))
    assert await index.wait_height(3, 10)
    chain.append((chain.transaction(w.BANK, "grants", "request", "new"), ()))
    assert await index.wait_height(4, 10)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    await index.close()


async def test_catching_up_goes_in_bounded_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(7)
    sizes: list[int] = []
    apply = index.apply

    async def counted(blocks: list[BlockFacts]) -> None:
        sizes.append(len(blocks))
        await apply(blocks)

    monkeypatch.setattr(index, "apply", counted)
    monkeypatch.setattr("node.index.follower.BLOCKS_PER_BATCH_MAX", 3)
    assert await catch_up(chain, index) == 7
    assert sizes == [3, 3, 1]
    await index.close()


async def test_damage_is_reported_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "i"
    path.write_bytes(b"this is no database, and long enough to be looked at" * 40)
    with pytest.raises(StorageDamaged):
        SqliteIndex(path, CHAIN)
    path.unlink()
    index = SqliteIndex(path, CHAIN)
    await catch_up(_chain(1), index)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE events SET kind = 7, account = 'text'")
    other.close()
    with pytest.raises(StorageDamaged):
        await index.events(limit=1)
    await index.close()


def test_cursors_order_the_chain_and_stay_in_64_bits() -> None:
    last = cursor_of(HEIGHT_MAX, BLOCK_TRANSACTIONS_MAX - 1, RESULT_EVENTS_MAX - 1)
    assert last == CURSOR_MAX
    places = [
        (h, t, e)
        for h in (0, 1, 2)
        for t in (0, BLOCK_TRANSACTIONS_MAX - 1)
        for e in (0, RESULT_EVENTS_MAX - 1)
    ]
    cursors = [cursor_of(*place) for place in places]
    assert cursors == sorted(set(cursors))
    for beyond in (
        (HEIGHT_MAX + 1, 0, 0),
        (0, BLOCK_TRANSACTIONS_MAX, 0),
        (0, 0, RESULT_EVENTS_MAX),
        (-1, 0, 0),
    ):
        with pytest.raises(InvariantViolation):
            cursor_of(*beyond)


async def test_where_history_begins_later_the_index_has_no_hole_and_says_so(tmp_path: Path) -> None:
    index, chain = SqliteIndex(tmp_path / "i", CHAIN), _chain(4)
    assert (index.height, index.first_height) == (0, 1)
    chain.first_height = 3
    assert await catch_up(chain, index) == 4
    assert index.first_height == 3
    found = await index.events(limit=100)
    assert {event.height for event in found} == {3, 4}
    await index.close()
    index = SqliteIndex(tmp_path / "i", CHAIN)
    assert (index.height, index.first_height) == (4, 3)
    await index.close()


async def test_an_index_that_ends_before_the_history_here_begins_anew(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path / "i", CHAIN)
    await catch_up(_chain(1), index)
    chain = _chain(4)
    chain.first_height = 3
    assert await catch_up(chain, index) == 4
    assert {event.height for event in await index.events(limit=100)} == {3, 4}
    chain.first_height = 5  # a later snapshot, right above what the index has: nothing is missing
    assert await catch_up(chain, index) == 4
    assert index.first_height == 3
    await index.close()
