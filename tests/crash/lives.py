"""Lives of four machines: they are killed at a numbered point, begin anew, and what they said and kept is compared.

Rule: what was acknowledged before the kill must hold after it, on every machine; no two votes of one key may exclude each
other, whichever life they are of.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from consensus.core.messages import decode_message
from contracts.calls import DeadlinesTick, call
from ledger.hashing import block_digest, sign_transaction, transaction_id
from ledger.types import Transaction, TransactionBody, Vote, VoteKind
from tests.crash.machine import Said, World, open_world
from tests.unit.contracts_world import NODES, START_MS, SUITE, identity

TRANSACTIONS_BEFORE: Final = 10
TRANSACTIONS_AFTER: Final = 2
EVERY_MS: Final = 150
LIFE_MS: Final = 4_000
NEXT_LIFE_MS: Final = 60_000
KILLED: Final = -9


def transaction(number: int, chain_id: bytes) -> Transaction:
    """One of a kind, and valid in every life."""
    who = NODES[number % len(NODES)]
    body = TransactionBody(
        chain_id=chain_id,
        account=who.account,
        key_id=who.key_id,
        nonce=identity(f"crash {number}"),
        valid_until_ms=START_MS + 590_000,
        call=call(DeadlinesTick()),
    )
    return sign_transaction(SUITE, who.signer, body)


# --- lives ------------------------------------------------------------------------------------------------------------


def live(folder: Path, life: int, deadly: int) -> int:
    """A life in a process of its own; how it ended: 0, KILLED or another status."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    status = 1
    try:
        _live(folder, life, deadly)
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)


def _live(folder: Path, life: int, deadly: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    world = open_world(folder, deadly=deadly, start_ms=START_MS + life * NEXT_LIFE_MS)
    for machine in world.machines:
        machine.start()
    first = life * 100
    count = TRANSACTIONS_AFTER if life else TRANSACTIONS_BEFORE
    chain_id = world.machines[0].store.chain_id
    for number in range(first, first + count):
        sent = transaction(number, chain_id)
        at = world.machines[number % 2]
        world.time.after(EVERY_MS * (number - first + 1), partial(at.accept, sent))
    if life:
        world.time.run_until(NEXT_LIFE_MS - 1, stop=lambda: _settled(world, first + count - 1))
    else:
        world.time.run_until(LIFE_MS)
    for machine in world.machines:
        world.loop.run_until_complete(machine.committer.flush())
        machine.journal.close()
    (folder / f"life-{life}").write_bytes(msgspec.json.encode(_kept(world)))
    (folder / "points").write_text("\n".join(world.points.names))


def _settled(world: World, newest: int) -> bool:
    """Every machine has everything, and nothing is pending."""
    chain_id = world.machines[0].store.chain_id
    name = transaction_id(SUITE, transaction(newest, chain_id).body)
    heads = {machine.execution.head()[0] for machine in world.machines}
    done = all(
        machine.execution.locate(name) is not None and not len(machine.mempool) for machine in world.machines
    )
    return done and len(heads) == 1


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine's store holds: digest, state root and transaction ids of each block."""

    blocks: tuple[tuple[str, str, tuple[str, ...]], ...]


def _kept(world: World) -> list[Kept]:
    kept = []
    for machine in world.machines:
        blocks = []
        for height in range(1, machine.store.height + 1):
            final = machine.store.block(height)
            assert final is not None
            ids = tuple(transaction_id(SUITE, one.body).hex() for one in final.block.transactions)
            header = machine.store.header(height)
            assert header is not None
            blocks.append((block_digest(SUITE, header).hex(), header.state_root.hex(), ids))
        kept.append(Kept(blocks=tuple(blocks)))
    return kept


# --- judging ----------------------------------------------------------------------------------------------------------


def said(folder: Path) -> Iterator[Said]:
    for line in (folder / "said").read_bytes().splitlines():
        yield msgspec.json.decode(line, type=Said)


def judge(folder: Path) -> list[str]:
    """Everything that is wrong after the last life."""
    kept = msgspec.json.decode((folder / "life-1").read_bytes(), type=list[Kept])
    faults: list[str] = []
    if len({one.blocks for one in kept}) != 1:
        heights = [len(one.blocks) for one in kept]
        faults.append(f"the machines do not hold equal chains: heights {heights}")
    chain = kept[0].blocks
    ids = [name for _, _, names in chain for name in names]
    if len(set(ids)) != len(ids):
        faults.append("a transaction was applied twice")
    votes: dict[tuple[int, int, int], dict[VoteKind, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for line in said(folder):
        match line.what:
            case "accepted":
                if line.data not in ids:
                    faults.append(f"accepted transaction {line.data[:8]} is lost")
            case "final":
                if line.height > len(chain) or chain[line.height - 1][0] != line.data:
                    faults.append(f"final block {line.height} is lost")
                elif set(line.transactions) - set(chain[line.height - 1][2]):
                    faults.append(f"final transactions of block {line.height} are lost")
            case _:
                for vote in _votes(bytes.fromhex(line.data)):
                    if vote.validator == line.node:
                        votes[vote.validator, vote.epoch, vote.view][vote.kind].add(vote.digest)
    for (validator, _, view), kinds in votes.items():
        if len(kinds[VoteKind.NOTARIZE]) > 1 or (kinds[VoteKind.NULLIFY] and kinds[VoteKind.FINALIZE]):
            faults.append(f"machine {validator} contradicted its vote in view {view}")
    return faults


def _votes(message: bytes) -> list[Vote]:
    found = decode_message(message)
    return _collect(found)


def _collect(value: object) -> list[Vote]:
    """Every vote within a message, whatever carries it."""
    if isinstance(value, Vote):
        return [value]
    if isinstance(value, msgspec.Struct):
        return [vote for name in value.__struct_fields__ for vote in _collect(getattr(value, name))]
    if isinstance(value, tuple):
        return [vote for one in value for vote in _collect(one)]
    return []


# --- campaigns --------------------------------------------------------------------------------------------------------


def point_names(scratch: Path) -> list[str]:
    """The points of a first life that nobody disturbs."""
    folder = scratch / "undisturbed"
    folder.mkdir()
    status = live(folder, 0, 0)
    assert status == 0, f"the undisturbed life ended with status {status}"
    return (folder / "points").read_text().splitlines()


def kill_at(scratch: Path, point: int, again: int = 0) -> list[str]:
    """Kill at a point of the first life, perhaps once more in the next one, then let it live and judge.

    Args:
        scratch: an empty folder is made in it, and removed again.
        point: number of the point of the first life, from 1.
        again: number of the point at which the life that follows is killed too; 0 for none.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix=f"point-{point}-"))
    try:
        first = live(folder, 0, point)
        if first not in {0, KILLED}:
            return [f"the first life ended with status {first}"]
        if again:
            live(folder, 2, again)
        status = live(folder, 1, 0) if not again else live(folder, 3, 0)
        if status != 0:
            return [f"it could not live on: status {status}"]
        if again:
            (folder / "life-3").rename(folder / "life-1")
        return judge(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lose_and_live(scratch: Path, spoil: Callable[[Path], None]) -> list[str]:
    """After an undisturbed life take something from the machines' folders, let them live on, and judge."""
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix="spoilt-"))
    status = live(folder, 0, 0)
    assert status == 0, f"the undisturbed life ended with status {status}"
    spoil(folder)
    status = live(folder, 1, 0)
    return judge(folder) if status == 0 else [f"it could not live on: status {status}"]


def campaign(scratch: Path, *, every: int, twice_every: int, show: Callable[[str], None]) -> tuple[int, int]:
    """Kill at every `every`-th point; at every `twice_every`-th of these once more in the next life.

    Returns:
        How many kills were survived, and how many were not; `show` was told which, and why.
    """
    names = point_names(scratch)
    passed = failed = 0
    for done, point in enumerate(range(1, len(names) + 1, every)):
        again = 3 + point % 40 if done % twice_every == 0 else 0
        faults = kill_at(scratch, point, again)
        passed, failed = passed + (not faults), failed + bool(faults)
        if faults:
            twice = f", then {again}" if again else ""
            show(f"FAILED point {point}{twice} ({names[point - 1]}): {'; '.join(faults)}")
    return passed, failed
