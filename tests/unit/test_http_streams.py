"""Server-sent events: nothing skipped, resumed where the reader was, and a slow reader let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from node.http import sse
from node.http.config import HttpConfig
from node.http.routing import Message, Stream
from node.index.ports import CURSOR_MAX, cursor_of
from tests.unit import http_world as w


async def _blocks(world: w.World, count: int) -> None:
    for number in range(count):
        transaction = world.chain.transaction(w.BANK, "grants", "request", world.chain.height, number)
        event = w.event("grants.requested", w.GRANT_ID, w.PERSON.account)
        await world.finalize((transaction, (event,)))


async def _read(response: ClientResponse, count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """The next events as (id, event, data); heartbeats are passed over."""
    events = []
    parts: dict[str, str] = {}
    async with asyncio.timeout(10):
        while len(events) < count:
            line = (await response.content.readline()).decode().rstrip("\n")
            assert response.content.at_eof() is False or line
            if line:
                name, _, value = line.partition(": ")
                parts[name] = value
            elif "data" in parts:
                events.append((parts["id"], parts["event"], json.loads(parts["data"])))
                parts = {}
    return events


async def test_blocks_come_as_they_become_final(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 2)
        async with world.client.get("/v1/blocks/stream") as response:
            assert response.content_type == "text/event-stream"
            await _blocks(world, 2)
            events = await _read(response, 2)
        assert [(number, kind) for number, kind, _ in events] == [("3", "block"), ("4", "block")]
        assert [block["height"] for _, _, block in events] == [3, 4]


async def test_a_stream_resumes_after_the_last_event_seen(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, sse.BATCH_MAX + 5)
        async with world.client.get("/v1/blocks/stream", headers={"Last-Event-ID": "2"}) as response:
            events = await _read(response, sse.BATCH_MAX + 3)
        assert [int(number) for number, _, _ in events] == list(range(3, sse.BATCH_MAX + 6))


@pytest.mark.parametrize("last", ["-1", "one", "1.5", str(CURSOR_MAX + 1), "9" * 30, "²"])
async def test_a_last_event_id_that_cannot_be_is_refused(tmp_path: Path, last: str) -> None:
    async with w.served(tmp_path) as world:
        answer = await world.request("GET", "/v1/blocks/stream", headers={"Last-Event-ID": last})
        assert answer.status == 400
        assert (await answer.json())["fields"]["header"] == "Last-Event-ID"


async def test_an_event_stream_shows_what_concerns_the_caller_and_everything_to_overseers(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        streams = {}
        for actor in (w.PERSON, w.STRANGER, w.AUDITOR):
            streams[actor] = await world.client.get("/v1/events/stream", headers=world.log_in(actor))
        ask = world.chain.transaction(w.BANK, "grants", "request", 1)
        other = world.chain.transaction(w.OTHER_BANK, "grants", "request", 2)
        await world.finalize(
            (ask, (w.event("grants.requested", w.GRANT_ID, w.PERSON.account),)),
            (other, (w.event("grants.requested", b"o" * 16, w.STRANGER.account),)),
        )
        seen = {
            actor: await _read(response, 2 if actor is w.AUDITOR else 1)
            for actor, response in streams.items()
        }
        first, second = cursor_of(1, 0, 0), cursor_of(1, 1, 0)
        assert [int(number) for number, _, _ in seen[w.PERSON]] == [first]
        assert [int(number) for number, _, _ in seen[w.STRANGER]] == [second]
        assert [int(number) for number, _, _ in seen[w.AUDITOR]] == [first, second]
        event = seen[w.PERSON][0][2]
        assert (event["account_name"], event["key_label"]) == ("bank", "key of bank")
        for response in streams.values():
            response.close()


async def test_an_event_stream_resumes_by_cursor_and_filters_by_kind(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for height in range(1, 4):
            transaction = world.chain.transaction(w.BANK, "grants", "request", height)
            kinds = ("grants.requested", "releases.requested")
            events = tuple(w.event(kind, w.GRANT_ID, w.PERSON.account) for kind in kinds)
            await world.finalize((transaction, events))
        headers = {**world.log_in(w.PERSON), "Last-Event-ID": str(cursor_of(1, 0, 1))}
        async with world.client.get("/v1/events/stream?kind=releases.", headers=headers) as response:
            events = await _read(response, 2)
        assert [int(number) for number, _, _ in events] == [cursor_of(2, 0, 1), cursor_of(3, 0, 1)]
        assert {kind for _, kind, _ in events} == {"releases.requested"}


async def test_revoking_the_key_ends_the_event_stream(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        response = await world.client.get("/v1/events/stream", headers=world.log_in(w.PERSON))
        await _blocks(world, 1)
        await _read(response, 1)
        w.change_key(world, w.PERSON, revoked_ms=w.NOW_MS)
        await _blocks(world, 1)
        async with asyncio.timeout(10):
            rest = await response.content.read()
        assert b"data:" not in rest


async def test_more_streams_than_there_is_room_for_are_sent_away(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=HttpConfig(streams_max=1)) as world:
        first = await world.client.get("/v1/blocks/stream")
        await first.content.readline()
        refused = await world.request("GET", "/v1/blocks/stream")
        assert refused.status == 429
        assert "Retry-After" in refused.headers
        first.close()


async def test_open_streams_do_not_keep_the_node_from_stopping(tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        async with w.served(tmp_path) as world:
            response = await world.client.get("/v1/blocks/stream")
            await response.content.readline()
            site = world.site
        assert len(site.streams) == 0


class Reader:
    """Takes so many writes at once, and then none."""

    def __init__(self, takes: int) -> None:
        self.taken: list[bytes] = []
        self._takes = takes

    async def write(self, data: bytes) -> None:
        if len(self.taken) == self._takes:
            await asyncio.Event().wait()
        self.taken.append(data)


async def test_a_reader_that_stops_reading_is_let_go_and_nothing_piles_up() -> None:
    polls = 0

    async def poll(timeout_s: float) -> Sequence[Message]:
        nonlocal polls
        polls += 1
        return [Message(event="block", id=str(polls), data=b"{}")]

    reader = Reader(takes=3)
    config = replace(HttpConfig(), stream_write_timeout_s=0.01)
    assert await sse.pump(Stream(poll=poll), reader, config) == "slow"
    assert polls == 3
    assert reader.taken[1] == b"id: 1\nevent: block\ndata: {}\n\n"


async def test_silence_is_broken_by_heartbeats() -> None:
    async def poll(timeout_s: float) -> Sequence[Message]:
        assert timeout_s == HttpConfig().heartbeat_s
        return ()

    reader = Reader(takes=3)
    await sse.pump(Stream(poll=poll), reader, replace(HttpConfig(), stream_write_timeout_s=0.01))
    assert reader.taken == [b"retry: 1000\n\n", sse.HEARTBEAT, sse.HEARTBEAT]
