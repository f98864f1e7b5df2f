"""What every room of the HTTP API's structs is built from: bases, ids, bounds.

Rule: as in `zhenglian.api`, which has all of these too.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

ATTACHMENT_SIZE_BYTES_MAX: Final = 8 * 1024 * 1024
DEPOSIT_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
LEAK_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
PAGE_SIZE_MAX: Final = 200
WAIT_S_MAX: Final = 60

Hex16 = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="16 bytes as lower-case hex")]
Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="32 bytes as lower-case hex")]
HexRelease = Annotated[
    str, Meta(pattern="^[0-9a-f]{16}$", description="release id, 8 bytes as lower-case hex")
]
Hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$", max_length=8192, description="bytes as lower-case hex")]
Base64 = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]*={0,2}$", description="RFC 4648 base64 with padding")]
TransactionBase64 = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9+/]*={0,2}$",
        max_length=90_000,
        description="canonical bytes of a signed transaction",
    ),
]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies."""


class Response(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of response bodies."""
