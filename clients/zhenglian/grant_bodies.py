"""The body of a grant: free text, names and case numbers, which are never on the ledger.

Rule: the ledger has a salted commitment and nothing else, so that whoever holds the body can show that it is the one, and after it
is destroyed nobody can guess it back. The salt belongs to the body and goes with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import DecodeError

SALT_SIZE_BYTES: Final = 32
BODY_SIZE_BYTES_MAX: Final = 64 * 1024
BODY_FORMAT: Final = "zhenglian-grant-body-1"


@dataclass(frozen=True, slots=True)
class GrantBody:
    """A body with its salt.

    Attributes:
        texts: by name, e.g. {"case_number": "(2026)…", "note": "…"}.
        salt: 32 random bytes.
    """

    texts: Mapping[str, str]
    salt: bytes

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_SIZE_BYTES:
            raise DecodeError(what="grant body", reason=f"the salt has {SALT_SIZE_BYTES} bytes")
        try:
            size_bytes = len(self._content())
        except UnicodeEncodeError:
            raise DecodeError(what="grant body", reason="it has half a character in it") from None
        if size_bytes > BODY_SIZE_BYTES_MAX:
            raise DecodeError(what="grant body", reason=f"it has more than {BODY_SIZE_BYTES_MAX} bytes")

    def commitment(self, suite: CryptoSuite) -> bytes:
        """What goes on the ledger as `body_commitment` or `case_commitment`."""
        return suite.hash(domains.GRANT_BODY, self.salt + self._content())

    def to_json(self) -> bytes:
        """The body as a file; it is as secret as what it says."""
        document = {"format": BODY_FORMAT, "salt": self.salt.hex(), "texts": dict(self.texts)}
        return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read such a file.

        Raises:
            DecodeError: it is none.
        """
        if len(data) > 2 * BODY_SIZE_BYTES_MAX:
            raise DecodeError(what="grant body", reason="the file is too large")
        try:
            document = json.loads(data)
            texts, salt = document["texts"], bytes.fromhex(document["salt"])
            well_formed = document["format"] == BODY_FORMAT and all(
                isinstance(part, str) for pair in texts.items() for part in pair
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DecodeError(what="grant body", reason="it is not such a file") from None
        if not well_formed:
            raise DecodeError(what="grant body", reason="it is not such a file")
        return cls(texts, salt)

    def _content(self) -> bytes:
        text = json.dumps(dict(self.texts), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
