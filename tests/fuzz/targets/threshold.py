"""What faces another holder: shares with proofs, sealed keys and holder keys, however hostile.

Rule: nothing but what honest holders made is ever accepted, and nothing hostile raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ledger import codec
from ledger.crypto.threshold import encryption
from ledger.crypto.threshold.shares import HolderKeys, Holders, Share, check_share
from ledger.domains import SESSION
from ledger.errors import DecodeError, LimitExceeded
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Target, require
from tests.unit.test_threshold import CONTEXT, GROUP, HASH, LABEL, THREE_OF_FOUR, sealed

SIZE_BYTES_MAX = 1024
BASE = GROUP.hash_to_element(SESSION, b"fuzz")


@lru_cache(maxsize=1)
def honest() -> tuple[Holders, dict[int, bytes]]:
    shares = {holder: THREE_OF_FOUR.share(holder, BASE).element for holder in (1, 2, 3, 4)}
    return THREE_OF_FOUR.holders, shares


def run_share(data: bytes) -> None:
    share = codec.decode(data, Share, size_bytes_max=SIZE_BYTES_MAX)
    holders, shares = honest()
    if check_share(GROUP, HASH, holders, BASE, share, CONTEXT) is not None:
        require(shares[share.holder] == share.element, "a share of nobody's is accepted")


def run_sealed(data: bytes) -> None:
    key = codec.decode(data, encryption.SealedKey, size_bytes_max=SIZE_BYTES_MAX)
    u = encryption.check_sealed(GROUP, HASH, key, LABEL)
    require(u is None or key == sealed(), "a sealed key that nobody made is accepted")


def run_keys(data: bytes) -> None:
    keys = codec.decode(data, HolderKeys, size_bytes_max=SIZE_BYTES_MAX)
    loaded = Holders.load(GROUP, keys)
    require(loaded.keys == keys, "keys change as they are loaded")


def share_seeds() -> Iterable[bytes]:
    return [codec.encode(THREE_OF_FOUR.share(holder, BASE)) for holder in (1, 2)]


TARGETS = (
    Target(
        name="threshold.share",
        run=run_share,
        seeds=share_seeds,
        examples=lambda: encodings(Share),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=512,
    ),
    Target(
        name="threshold.sealed",
        run=run_sealed,
        seeds=lambda: [codec.encode(sealed())],
        examples=lambda: encodings(encryption.SealedKey),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=512,
    ),
    Target(
        name="threshold.keys",
        run=run_keys,
        seeds=lambda: [codec.encode(THREE_OF_FOUR.keys)],
        examples=lambda: encodings(HolderKeys),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=1024,
    ),
)
