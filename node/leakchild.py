"""The child that reads leaks for `node/services/leak_reader.py`.

Rule: run as a program, never imported by another part; one file a process. It bounds its memory and processor time before it looks
at a byte, so that a hostile file ends only this process. Standard input: the file; standard output: a `LeakText` as JSON.

Arguments: bytes of address space, seconds.
"""

from __future__ import annotations

import resource
import sys

import msgspec


def main() -> int:
    memory_bytes, seconds = int(sys.argv[1]), int(sys.argv[2])
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        # Whoever started the parent may have set a lower limit already, and it cannot be raised.
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    import cv2

    from node.leakreading import read_leak

    cv2.setNumThreads(1)
    try:
        told = read_leak(sys.stdin.buffer.read())
    except (MemoryError, RecursionError):
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
