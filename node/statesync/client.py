"""The node that begins: what to begin with, whom to ask, and what to do when nobody helps.

Rule: decisions rest on what verifies, from the genesis validators over every epoch change to a certified
header; a peer's word decides nothing but whom to ask next. Every wait has an end, and at the end of all of
them stands ordinary block sync, which needs none of this.

The steps, each of which may be cut short by a crash and is then done again:

1. Ask every peer how the epochs ended and how far it is. As soon as somebody proves to be far enough ahead,
   go on; when a quorum's worth of peers is not, or after `discover_s`, begin at genesis.
2. Ask for snapshots, and take the one that most peers have among the fresh ones.
3. Fetch its pieces from these peers (`download.py`); what was checked stays over a restart.
4. Build the store beside its place, and put it there (`Store.create_from_snapshot`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

import structlog

from ledger import codec
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.epochs import advance_trust
from ledger.errors import DecodeError, LedgerError, LimitExceeded, StorageDamaged
from ledger.hashing import validators_hash
from ledger.light import TRUST_VERSION, check_finality, is_seal
from ledger.receipts import EPOCH_CHANGES_MAX
from ledger.snapshot import Snapshot, check_manifest, snapshot_id
from ledger.store import Store
from ledger.store_build import Origin
from ledger.types import EpochChange, Genesis, Header, Trust, Wire, quorum_size
from ledger.verdicts import Check, ProofRejected, rejected
from network.tasks import end
from node.statesync.download import PIECE_TIMEOUT_S, Download, PieceFolder
from node.statesync.messages import (
    MESSAGE_SIZE_BYTES_MAX,
    GetOffer,
    GetProgress,
    Offer,
    PeerRequest,
    Progress,
)

# Attempts in a row that bring no piece.
ROUNDS_MAX: Final = 8
ROUNDS_IN_ALL_MAX: Final = 64
PAUSE_S_MAX: Final = 15.0
LOG_EVERY_S: Final = 5.0

log = structlog.get_logger()

W = TypeVar("W", bound=Wire)


class Outcome(Enum):
    """How it ended.

    SYNCED: there is a store, which begins with a snapshot. NOT_NEEDED: no peer is far ahead. NOT_SERVED: peers
    are ahead, but none gives a snapshot that holds; take every block instead.
    """

    SYNCED = "synced"
    NOT_NEEDED = "not_needed"
    NOT_SERVED = "not_served"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """When to begin with a snapshot, and how long to wait for what.

    Attributes:
        state_sync_above_blocks: take a snapshot when a peer proves to be further ahead than that; 0 for never.
        discover_s: wait so long for peers that say how far they are.
        make_wait_s: wait so long for peers that are making a snapshot.
        gather_s: once there is a snapshot, wait so long for peers that are making theirs, to fetch from several.
        poll_s: between two rounds of questions.
        request_timeout_s: for an answer without a piece in it.
        piece_timeout_s: for a piece.
    """

    state_sync_above_blocks: int = 10_000
    discover_s: float = 10.0
    make_wait_s: float = 900.0
    gather_s: float = 5.0
    poll_s: float = 1.0
    request_timeout_s: float = 10.0
    piece_timeout_s: float = PIECE_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """How far it is, for people.

    Attributes:
        stage: "discovering", "choosing", "fetching", "building" or "done".
        height: of the snapshot that is fetched; 0 before there is one.
        head_height: greatest height that a peer proved to be final.
        pieces_done, pieces_total: of the snapshot.
        bytes_done, bytes_total: of its pieces.
        sources: accounts of the peers that it is fetched from.
    """

    stage: str = "discovering"
    height: int = 0
    head_height: int = 0
    pieces_done: int = 0
    pieces_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    sources: tuple[bytes, ...] = ()


@dataclass(slots=True)
class _Candidate:
    snapshot: Snapshot
    providers: set[bytes] = field(default_factory=set)


class StateSync:
    """One attempt of an empty node to begin with a snapshot.

    Args:
        suite: crypto suite.
        genesis: the network's genesis document: all that is trusted.
        genesis_state: the state at height 0.
        store_path: where the store will be; missing or empty.
        folder: for pieces, kept over restarts; nothing else is in it.
        request: asks a peer on the snapshot channel.
        peers: the peers that are connected now.
        settings: what to wait for.
        now_s: a steady clock.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        genesis: Genesis,
        genesis_state: Mapping[bytes, bytes],
        store_path: Path,
        folder: Path,
        request: PeerRequest,
        peers: Callable[[], tuple[bytes, ...]],
        settings: SyncSettings,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._suite = suite
        self._genesis = genesis
        self._genesis_state = genesis_state
        self._store_path = store_path
        self._pieces = PieceFolder(suite, folder)
        self._request = request
        self._connected = peers
        self._settings = settings
        self._now_s = now_s
        trust = Trust(
            version=TRUST_VERSION,
            network=genesis.network,
            suite=genesis.suite,
            chain_id=chain_id(suite, genesis),
            validators=genesis.validators,
        )
        self._trusts: list[Trust] = [trust]
        self._changes: list[EpochChange] = []
        self._blamed: set[bytes] = set()
        self._heads: dict[bytes, int] = {}
        self._refused: set[bytes] = set()
        self._unhelpful: set[bytes] = set()
        self._logged_s = now_s()
        self.status = SyncStatus()

    async def run(self, *, force: bool = False) -> Outcome:
        """Do it.

        Args:
            force: take a snapshot however little the peers are ahead, as a node does that was told to.

        Raises:
            Unavailable: the disk is full or cannot be written; start again once it can.
        """
        above = 0 if force else self._settings.state_sync_above_blocks
        if not force and above == 0:
            return Outcome.NOT_NEEDED
        if not await self._discover(above):
            return Outcome.NOT_NEEDED
        log.info("peers are far ahead: beginning with a snapshot", head=self.status.head_height)
        fruitless = 0
        for _ in range(ROUNDS_IN_ALL_MAX):
            had = self.status.pieces_done
            candidate = await self._choose(above)
            if candidate is not None and await self._fetch(candidate) and await self._build(candidate):
                self.status = replace(self.status, stage="done")
                await asyncio.to_thread(self._pieces.remove)
                return Outcome.SYNCED
            fruitless = 0 if self.status.pieces_done > had else fruitless + 1
            if fruitless == ROUNDS_MAX:
                break
            await asyncio.sleep(min(self._settings.poll_s * 2**fruitless, PAUSE_S_MAX))
        log.warning("no snapshot could be had: every block is fetched instead")
        return Outcome.NOT_SERVED

    # --- how far the others are ---

    async def _discover(self, above: int) -> bool:
        """Whether somebody proves to be more than `above` blocks ahead."""
        enough = quorum_size(len(self._genesis.validators.validators)) - 1
        deadline_s = self._now_s() + self._settings.discover_s
        asked: dict[bytes, asyncio.Task[None]] = {}
        next_s = self._now_s()
        try:
            while True:
                if self._now_s() >= next_s:
                    next_s = self._now_s() + self._settings.poll_s
                    for peer in self._peers():
                        if peer not in self._heads and (peer not in asked or asked[peer].done()):
                            asked[peer] = asyncio.create_task(self._try(self._learn, peer))
                waiting = [task for task in asked.values() if not task.done()]
                pause_s = max(0.0, next_s - self._now_s())
                if waiting:
                    await asyncio.wait(waiting, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(pause_s)
                for task in asked.values():
                    if task.done():
                        task.result()  # what is no fault of a peer is not passed over
                highest = max(self._heads.values(), default=0)
                self.status = replace(self.status, head_height=highest)
                if highest > above:
                    return True
                if len(self._heads) >= enough or self._now_s() >= deadline_s:
                    return False
        finally:
            await end(asked.values())

    async def _learn(self, peer: bytes) -> None:
        """Take from a peer the epoch changes that are not known yet, and its head."""
        for _ in range(EPOCH_CHANGES_MAX):
            question = GetProgress(from_epoch=self._trusts[-1].validators.epoch)
            progress = await self._ask(peer, question, Progress)
            for epoch, change in enumerate(progress.changes, start=question.from_epoch):
                if change.header.epoch != epoch:
                    raise rejected(Check.EPOCH_ORDER, f"{change.header.epoch} in place of {epoch}")
                await self._advance(change)
            if progress.changes:
                continue
            head = progress.head
            if head is not None:
                check_finality(
                    self._suite, self._trust(head.header), head.header, head.path, head.certificate
                )
            self._heads[peer] = 0 if head is None else head.header.height
            return

    async def _advance(self, change: EpochChange) -> None:
        trust = self._trusts[-1]
        if change.header.epoch < trust.validators.epoch:
            return  # another peer gave it meanwhile
        after = await asyncio.to_thread(advance_trust, self._suite, trust, change)
        if self._trusts[-1] is trust:
            self._trusts.append(after)
            self._changes.append(change)

    def _trust(self, header: Header) -> Trust:
        """The trust point of a header's epoch, the newest for one that is not known; it is then refused by that."""
        place = header.epoch - self._trusts[0].validators.epoch
        return self._trusts[place] if 0 <= place < len(self._trusts) else self._trusts[-1]

    # --- which snapshot ---

    async def _choose(self, above: int) -> _Candidate | None:
        """The best snapshot that peers offer and that verifies; None when there is none in time."""
        deadline_s = self._now_s() + self._settings.make_wait_s
        while True:
            self.status = replace(self.status, stage="choosing")
            candidates: dict[bytes, _Candidate] = {}
            making = False

            async def consider(peer: bytes, candidates: dict[bytes, _Candidate] = candidates) -> None:
                nonlocal making
                offer = await self._ask(peer, GetOffer(), Offer)
                making |= offer.making
                await self._consider(peer, offer, candidates)

            await asyncio.gather(*(self._try(consider, peer) for peer in self._peers()))
            best = self._best(list(candidates.values()), above)
            if best is not None and best.snapshot.height + above >= max(self._heads.values(), default=0):
                deadline_s = min(deadline_s, self._now_s() + self._settings.gather_s)
            if not making or self._now_s() >= deadline_s:
                return best
            await asyncio.sleep(self._settings.poll_s)

    async def _consider(self, peer: bytes, offer: Offer, candidates: dict[bytes, _Candidate]) -> None:
        manifest = offer.manifest
        if manifest is None:
            return
        name = snapshot_id(self._suite, manifest)
        if name in self._refused:
            return
        known = candidates.get(name)
        if known is None:
            header = manifest.header
            if not self._set_known(header):
                await self._learn(peer)
            snapshot = await asyncio.to_thread(check_manifest, self._suite, self._trust(header), manifest)
            if not self._set_known(header):
                return
            known = candidates.setdefault(name, _Candidate(snapshot))
        known.providers.add(peer)

    def _best(self, candidates: list[_Candidate], margin_blocks: int) -> _Candidate | None:
        """Of those near the newest the one that most peers have, and of these the newest.

        A peer that already failed to give a snapshot counts only when there is no other.
        """
        newest = max((candidate.snapshot.height for candidate in candidates), default=0)

        def rank(candidate: _Candidate) -> tuple[int, int, int, bytes]:
            helpful = len(candidate.providers - self._unhelpful)
            return helpful, len(candidate.providers), candidate.snapshot.height, candidate.snapshot.id

        fresh = [candidate for candidate in candidates if candidate.snapshot.height + margin_blocks >= newest]
        return max(fresh, key=rank, default=None)

    def _set_known(self, header: Header) -> bool:
        """Whether the set that votes on the header's successor is proven."""
        epoch = header.epoch + (1 if is_seal(header) else 0)
        place = epoch - self._trusts[0].validators.epoch
        if place >= len(self._trusts):
            return False
        return validators_hash(self._suite, self._trusts[place].validators) == header.next_validators_hash

    # --- taking it ---

    async def _fetch(self, candidate: _Candidate) -> bool:
        snapshot = candidate.snapshot
        total = range(snapshot.piece_count)
        self.status = replace(
            self.status,
            stage="fetching",
            height=snapshot.height,
            pieces_done=0,
            pieces_total=snapshot.piece_count,
            bytes_done=0,
            bytes_total=sum(snapshot.piece_size_bytes(index) for index in total),
            sources=tuple(sorted(candidate.providers)),
        )

        def arrived(index: int) -> None:
            self.status = replace(
                self.status,
                pieces_done=self.status.pieces_done + 1,
                bytes_done=self.status.bytes_done + snapshot.piece_size_bytes(index),
            )
            self._log_progress()

        download = Download(
            suite=self._suite,
            snapshot=snapshot,
            folder=self._pieces,
            request=self._request,
            blame=self._blame,
            arrived=arrived,
            piece_timeout_s=self._settings.piece_timeout_s,
        )
        providers = sorted(candidate.providers, key=lambda peer: (peer in self._unhelpful, peer))
        complete = await download.run(providers)
        if not complete:
            # What was fetched of it serves the next one too.
            self._unhelpful |= candidate.providers
        return complete

    async def _build(self, candidate: _Candidate) -> bool:
        self.status = replace(self.status, stage="building")
        snapshot = candidate.snapshot
        origin = Origin(genesis=self._genesis, state=self._genesis_state, changes=tuple(self._changes))

        def build() -> None:
            Store.create_from_snapshot(
                self._store_path,
                self._suite,
                origin,
                snapshot,
                lambda index: self._pieces.read(snapshot.piece_name(index)),
            ).close()

        try:
            await asyncio.to_thread(build)
        except StorageDamaged as error:
            log.warning("a piece has changed on disk and is fetched again", reason=str(error))
            return False
        except ProofRejected as error:
            for peer in candidate.providers:
                self._blame(peer, str(error))
            self._refused.add(snapshot.id)
            return False
        log.info("the ledger begins with a snapshot", height=snapshot.height)
        return True

    # --- peers ---

    def _peers(self) -> list[bytes]:
        return [peer for peer in self._connected() if peer not in self._blamed]

    async def _ask(self, peer: bytes, question: Wire, kind: type[W]) -> W:
        answer = await self._request(peer, codec.encode(question), self._settings.request_timeout_s)
        return codec.decode(answer, kind, size_bytes_max=MESSAGE_SIZE_BYTES_MAX)

    async def _try(self, step: Callable[[bytes], Awaitable[None]], peer: bytes) -> None:
        """Do a step with a peer. Who sends what does not hold is blamed, who cannot answer is passed over."""
        try:
            await step(peer)
        except (ProofRejected, DecodeError, LimitExceeded) as error:
            self._blame(peer, str(error))
        except LedgerError as error:
            log.info("peer gives no answer", peer=peer.hex(), reason=str(error))

    def _blame(self, peer: bytes, reason: str) -> None:
        if peer not in self._blamed:
            log.warning("peer sent what does not hold; it is left", peer=peer.hex(), reason=reason)
        self._blamed.add(peer)
        self._heads.pop(peer, None)

    def _log_progress(self) -> None:
        now_s, status = self._now_s(), self.status
        if now_s - self._logged_s >= LOG_EVERY_S or status.pieces_done == status.pieces_total:
            self._logged_s = now_s
            log.info(
                "fetching the state",
                height=status.height,
                pieces=f"{status.pieces_done}/{status.pieces_total}",
                size_bytes=f"{status.bytes_done}/{status.bytes_total}",
                sources=len(status.sources),
            )
