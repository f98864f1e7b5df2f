"""The one canonical encoding: MessagePack as msgspec writes it, arrays for structs, maps sorted by key.

Rule: `decode(encode(x)) == x`, and any bytes that decode re-encode to themselves. No decoder of the format
notices duplicate keys or integers longer than needed, so `decode` compares the re-encoding (docs/adr/0002).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ledger.decoders import decode_msgpack
from ledger.errors import DecodeError, LimitExceeded

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """The canonical bytes of a `ledger.types.Wire` struct or of a tuple, dict, text, bytes or integer."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T], *, size_bytes_max: int, what: str = "") -> T:
    """Read canonical bytes.

    Args:
        data: the bytes, exactly one value.
        kind: the expected type.
        size_bytes_max: refused above this, before anything is parsed.
        what: name of the thing, for the message; the type's name when empty.

    Returns:
        The value.

    Raises:
        LimitExceeded: more than `size_bytes_max` bytes.
        DecodeError: wrong type, unknown or missing field, trailing bytes, too deep, out of range, not
            canonical.
    """
    name = what or getattr(kind, "__name__", "value")
    if len(data) > size_bytes_max:
        raise LimitExceeded(limit=f"{name} bytes", maximum=size_bytes_max, actual=len(data))
    try:
        value = decode_msgpack(data, kind)
        canonical = _encoder.encode(value) == data
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError, OverflowError) as error:
        raise DecodeError(what=name, reason=str(error) or type(error).__name__) from None
    if not canonical:
        raise DecodeError(what=name, reason="not the canonical encoding")
    return value
