"""Which bytes of an LMDB file mean something: an account of the file by itself, shared with nothing that is tested.

Rule: a byte is spare if no reader and no later commit looks at it: pages on the list of free ones, the gap inside a page, what is
left of the last page of a long record, the padding behind an odd record, and the reserved fields.

Source: the page layout of LMDB 0.9, data version 1, 64-bit (`MDB_page`, `MDB_node`, `MDB_db`, `MDB_meta`).
"""

from __future__ import annotations

import struct
from typing import Final

PAGE: Final = 4096
HEADER: Final = 16
NODE: Final = 8
NONE: Final = 2**64 - 1
_META: Final = struct.Struct("=16x IIQQ I36xQ 40xQ QQ")


def in_use(data: bytes) -> bytearray:
    """One byte for each of the file's: 1 where it means something, 0 where it is spare."""
    used = bytearray(len(data))
    metas = [_META.unpack_from(data, page * PAGE) for page in (0, 1)]
    newest = max(metas, key=lambda meta: int(meta[8]))
    for page in (0, 1):
        # What the older one points to is spare; what tells it from the newer one is not.
        used[page * PAGE : page * PAGE + HEADER + 136] = b"\1" * (HEADER + 136)
    for root in (newest[5], newest[6]):
        _tree(data, used, root)
    return used


def _tree(data: bytes, used: bytearray, root: int) -> None:
    pending = [] if root == NONE else [root]
    while pending:
        start = pending.pop() * PAGE
        flags, lower = struct.unpack_from("=HH", data, start + 10)
        used[start : start + 8] = b"\1" * 8
        used[start + 10 : start + lower] = b"\1" * (lower - 10)
        for (at,) in struct.iter_unpack("=H", data[start + HEADER : start + lower]):
            low, high, kind, key_size = struct.unpack_from("=HHHH", data, start + at)
            body = start + at + NODE
            size = low | high << 16
            if flags & 1:
                pending.append(low | high << 16 | kind << 32)
                length = key_size
            elif kind & 1:
                length = key_size + 8
                _overflow(data, used, int.from_bytes(data[body + key_size :][:8], "little"), size)
            else:
                length = key_size + size
                if kind & 2:
                    child = int.from_bytes(data[body + key_size + 40 :][:8], "little")
                    pending += [] if child == NONE else [child]
            used[start + at : body + length] = b"\1" * (NODE + length)


def _overflow(data: bytes, used: bytearray, first: int, size: int) -> None:
    start = first * PAGE
    used[start : start + 8] = b"\1" * 8
    used[start + 10 : start + HEADER + size] = b"\1" * (6 + size)
