"""Run as a child process: commits groups of two blocks to a store for ever, and says so, until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from ledger.store import Retention, Store
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

GROUP_BLOCKS = 2
RETENTION = Retention(proof_blocks=5, blocks=7)


def main(folder: Path) -> None:
    world = World()
    store = Store.create(folder, SUITE, world.genesis, GENESIS_STATE, retention=RETENTION)
    certificate = world.certify(world.parent)
    height = 0
    while True:
        group = []
        for _ in range(GROUP_BLOCKS):
            height += 1
            writes: dict[bytes, bytes | None] = {
                b"key/%d" % i: fixed(height, i, size=900) for i in range(height, height + 40)
            }
            writes[b"height"] = b"%d" % height
            writes[b"key/%d" % (height - 1)] = None
            group.append(world.committed(writes, transactions=1, certificate=certificate))
        sys.stdout.write(f"{height}\n")
        sys.stdout.flush()
        store.commit(group)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
