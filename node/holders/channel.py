"""What travels on the shares channel, and who answers it.

Rule: the first byte of a request says whose message follows; an unknown one is the peer's fault. There are requests only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum

from ledger.errors import DecodeError

Handler = Callable[[bytes, bytes], Awaitable[bytes]]


class ShareMessage(IntEnum):
    """The first byte of a request.

    Attributes:
        ASK: use your share for me (`server.py`).
        PIECES: pieces of shares in key generation and renewal.
    """

    ASK = 1
    PIECES = 2


def framed(kind: ShareMessage, body: bytes) -> bytes:
    """A request of that kind, as it is sent."""
    return bytes((kind,)) + body


class ShareChannel:
    """Hands each request to who answers its kind.

    Args:
        handlers: (sender, body) -> answer, by kind.
    """

    def __init__(self, handlers: Mapping[ShareMessage, Handler]) -> None:
        self._handlers = dict(handlers)

    async def serve(self, sender: bytes, payload: bytes) -> bytes:
        """The answer. Raises DecodeError for a kind that is not served here, and what the handler raises."""
        kind = payload[0] if payload else 0
        for known, handler in self._handlers.items():
            if known == kind:
                return await handler(sender, payload[1:])
        raise DecodeError(what="shares message", reason=f"kind {kind} is not served here")
