"""The two secrets of a mark, and every key derived from them.

Rule: one derivation per purpose, each an HMAC-SHA-256 under a label of its own. The *layout key* belongs to an asset
and says which carrier holds which code position; the *codeword seed* belongs to one release and says which bits stand
there. Whoever embeds one mark holds one seed, so he cannot write the mark of another release.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watermark.errors import KeyInvalid

KEY_BYTES: Final = 32
RELEASE_ID_BYTES: Final = 8
_BLOCK_BYTES: Final = 64
_CONTEXT: Final = b"zhenglian/watermark/v1/"


def derive(key: bytes, label: str, *parts: bytes) -> bytes:
    """A 32-byte key for one purpose.

    Args:
        key: the parent key, 32 bytes.
        label: the purpose, ASCII, no NUL.
        parts: what the key is bound to; each is prefixed with its length, so that no two lists collide.

    Returns:
        HMAC-SHA-256 of label and parts.
    """
    message = bytearray(_CONTEXT + label.encode("ascii") + b"\0")
    for part in parts:
        message += len(part).to_bytes(4, "big") + part
    return hmac.digest(key, bytes(message), "sha256")


class KeyedHash:
    """HMAC-SHA-256 under one key for many messages: the key's two blocks are hashed once (RFC 2104, section 4).

    A table asks for one a carrier, and `hmac.digest` takes three times as long.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """Be ready; `key` has at most 64 bytes."""
        if len(key) > _BLOCK_BYTES:
            raise KeyInvalid(what="key of a hash", reason=f"{_BLOCK_BYTES} bytes at most, got {len(key)}")
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        """32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def check_secret(what: str, secret: bytes) -> None:
    """Raises `KeyInvalid` unless `secret` has 32 bytes."""
    if len(secret) != KEY_BYTES:
        raise KeyInvalid(what=what, reason=f"{KEY_BYTES} bytes expected, got {len(secret)}")


def check_release_id(release_id: bytes) -> None:
    """Raises `KeyInvalid` unless `release_id` has 8 bytes."""
    if len(release_id) != RELEASE_ID_BYTES:
        raise KeyInvalid(
            what="release id", reason=f"{RELEASE_ID_BYTES} bytes expected, got {len(release_id)}"
        )


@dataclass(frozen=True, slots=True)
class AssetKey:
    """The secrets of one asset, as the engine alone derives them from a master key.

    Attributes:
        layout: 32 bytes; which carrier holds which position.
        mark: 32 bytes; the root of the asset's codeword seeds. A node that shares this root among its peers has
            only `layout` and asks for seeds one by one.
    """

    layout: bytes
    mark: bytes

    @classmethod
    def from_master(cls, master: bytes, original: bytes) -> AssetKey:
        """Fresh keys for the asset whose original bytes are `original`.

        Args:
            master: at least 32 bytes of secret.
            original: the whole file.

        Raises:
            KeyInvalid: the master key is too short.
        """
        if len(master) < KEY_BYTES:
            raise KeyInvalid(
                what="master key", reason=f"at least {KEY_BYTES} bytes expected, got {len(master)}"
            )
        asset = hashlib.sha256(original).digest()
        return cls(layout=derive(master, "asset-layout", asset), mark=derive(master, "asset-mark", asset))


def codeword_seed(mark_key: bytes, release_id: bytes) -> bytes:
    """The seed of one release's codeword.

    Args:
        mark_key: the asset's mark key, 32 bytes.
        release_id: 8 bytes.

    Returns:
        32 bytes.

    Raises:
        KeyInvalid: wrong lengths.
    """
    check_secret("mark key", mark_key)
    check_release_id(release_id)
    return derive(mark_key, "codeword-seed", release_id)


def phantom_seeds(layout_key: bytes, leak: bytes, count: int) -> Iterator[bytes]:
    """Seeds that no release ever had: the live null of a detection.

    They depend on the leak, so that nobody can prepare a file for them, and on nothing random, so that a trace can
    be repeated.

    Args:
        layout_key: 32 bytes.
        leak: the file under examination.
        count: how many.
    """
    root = derive(layout_key, "phantoms", hashlib.sha256(leak).digest())
    return (derive(root, "phantom", index.to_bytes(4, "big")) for index in range(count))
