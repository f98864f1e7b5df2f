"""Pages: a cursor in, a cursor and a `Link` header out.

Rule: a page costs a bounded amount of work however little of it the caller may see; the cursor of the next
page then stands where the work stopped. Within that bound there is a next page only if there is something on it:
so that nobody learns from an empty page that something is kept from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Meta

from node.http.routing import Query
from node.index.ports import CURSOR_MAX, Index, IndexedObject
from zhenglian.api import PAGE_SIZE_MAX

PAGE_SIZE: Final = 50
# Objects looked at for one page; more are on the next.
SCAN_MAX: Final = 2000
SCAN_BATCH: Final = 200

R = TypeVar("R")

Limit = Annotated[int, Meta(ge=1, le=PAGE_SIZE_MAX, description="items per page; 每页条数")]
Cursor = Annotated[
    int,
    Meta(
        ge=0, le=CURSOR_MAX, description="where to go on, from the Link header; 从何处继续，取自 Link 响应头"
    ),
]


class PageQuery(Query):
    """Base of the queries of lists."""

    cursor: Cursor | None = None
    limit: Limit = PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """Items of a page, and the cursor of the next; None at the end."""

    items: list[R]
    next: int | None


async def collect(
    index: Index,
    kinds: str | tuple[str, ...],
    query: PageQuery,
    *,
    subject: bytes | None,
    load: Callable[[bytes], R | None],
    keep: Callable[[R], bool],
) -> Listing[R]:
    """Records by the events that made them, newest first.

    Args:
        index: where events are found.
        kinds: of the event that makes such a record, e.g. "certificates.issued", or of all that do.
        query: cursor and size.
        subject: whom the event concerns, or None for everybody.
        load: the record of an id, from the finalized state.
        keep: whether it belongs to the list and the caller may see it.
    """
    items: list[R] = []
    after = last = query.cursor
    for _ in range(SCAN_MAX // SCAN_BATCH):
        found = await _made(index, (kinds,) if isinstance(kinds, str) else kinds, subject, after)
        for entry in found:
            after = entry.cursor
            record = load(entry.object_id)
            if record is None or not keep(record):
                continue
            if len(items) == query.limit:
                return Listing(items, last)
            items.append(record)
            last = after
        if len(found) < SCAN_BATCH:
            return Listing(items, None)
    return Listing(items, after)


async def _made(
    index: Index, kinds: tuple[str, ...], subject: bytes | None, after: int | None
) -> list[IndexedObject]:
    """The next objects that events of any of these kinds made; fewer than a batch at the end."""
    found = [
        entry
        for kind in kinds
        for entry in await index.objects(
            kind, subject=subject, after=after, limit=SCAN_BATCH, newest_first=True
        )
    ]
    return sorted(found, key=lambda entry: -entry.cursor)[:SCAN_BATCH]


def next_link(target: str, cursor: int | None) -> dict[str, str]:
    """Headers that lead to the next page (RFC 8288); none at the end."""
    if cursor is None:
        return {}
    parts = urlsplit(target)
    parameters = [(name, value) for name, value in parse_qsl(parts.query) if name != "cursor"]
    return {"Link": f'<{parts.path}?{urlencode([*parameters, ("cursor", cursor)])}>; rel="next"'}
