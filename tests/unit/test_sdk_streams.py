"""Server-sent events, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LimitExceeded
from zhenglian.streams import EVENT_SIZE_BYTES_MAX, EventDecoder, ServerEvent

WIRE = (
    "retry: 1000\n\n: heartbeat\n\nid: 1\nevent: block\ndata: {}\n\n"
    "id: 2\r\nevent: 事件\r\ndata: a\r\ndata:b\r\n\r\n"
    "data: kept id\n\nid: 3\ndata: no"
).encode()
EVENTS = [
    ServerEvent(event="block", data="{}", event_id="1"),
    ServerEvent(event="事件", data="a\nb", event_id="2"),
    ServerEvent(event="", data="kept id", event_id="2"),
]


@given(st.lists(st.integers(0, len(WIRE)), max_size=12))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WIRE)]
    decoder = EventDecoder()
    found = [event for a, b in pairwise(edges) for event in decoder.feed(WIRE[a:b])]
    assert found == EVENTS


def test_an_event_that_is_not_complete_is_not_handed_out() -> None:
    assert EventDecoder().feed(b"id: 1\ndata: half\n") == []


@pytest.mark.parametrize(
    "cut", [b"data: " + bytes([65]) * EVENT_SIZE_BYTES_MAX, b"data: a\n" * (EVENT_SIZE_BYTES_MAX + 1)]
)
def test_an_event_without_end_is_refused(cut: bytes) -> None:
    with pytest.raises(LimitExceeded):
        EventDecoder().feed(cut)
