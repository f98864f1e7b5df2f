"""Carries out what `rounds.py` plans: the disk, the peers, the clock and the node's own transactions.

Rule: it decides nothing. What is to be remembered is durable before the next plan is made, and every plan is made from what is
final and what is durable. No secret is ever logged, nor shown by anything that is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, assert_never

import structlog

from contracts.args import Args
from contracts.shared_key_round_records import SharedKeyRound
from contracts.shared_key_rounds import open_rounds
from contracts.shared_key_sums import group_for
from contracts.state import SHARED_KEY_DEALINGS, StateReader
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError
from network.tasks import end, in_thread_to_its_end
from node.holders.channel import ShareMessage, framed
from node.holders.keeping import missing_shares
from node.holders.pairs import number_of, pair_fits, revealed_fits
from node.holders.pieces import PieceAsk, PieceServer, decode_pair
from node.holders.round_files import SEED_SIZE_BYTES, RoundFiles, new_memory
from node.holders.rounds import plan
from node.holders.share_file import HeldShare, ShareFile
from node.holders.steps import ChangeShares, Fetch, Forget, Judge, Name, Remember, Step, Submit, View

ACTIVE_S: Final = 0.5
IDLE_S: Final = 10.0
FETCH_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 1.0
TASKS_MAX: Final = 64
DURABLE_STEPS_MAX: Final = 256

log = structlog.get_logger()

Request = Callable[[bytes, bytes, float], Awaitable[bytes]]


class KeyDriver:
    """Follows the finalized chain and does this node's part.

    Args:
        suite: crypto suite.
        account: this node's.
        state: gives the finalized state as it is now.
        shares: this node's shares.
        memories: of its rounds.
        request: sends a request on the shares channel: (peer, payload, timeout in seconds) -> answer.
        submit: has a transaction of this node decided; raises LedgerError.
        ready: whether the replica is level with the network; until then nothing is planned.
        clock_ms: wall clock.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        account: bytes,
        state: Callable[[], StateReader],
        shares: ShareFile,
        memories: RoundFiles,
        request: Request,
        submit: Callable[[Args], Awaitable[object]],
        ready: Callable[[], bool],
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._account = account
        self._state = state
        self._shares = shares
        self._memories = memories
        self._request = request
        self._submit = submit
        self._ready = ready
        self._clock_ms = clock_ms
        self._wake = asyncio.Event()
        self._disk = asyncio.Lock()
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        self._wrong: set[tuple[bytes, int]] = set()
        self._judged: dict[tuple[bytes, int], bool] = {}
        self._since: dict[Name, float] = {}
        self.pieces = PieceServer(
            suite=suite,
            account=account,
            state=state,
            memory=memories.find,
            share=self._share_before,
            clock_s=lambda: clock_ms() / 1000,
        )

    def _share_before(self, one: SharedKeyRound) -> HeldShare | None:
        """This node's share of the renewal before a round's."""
        wanted = (one.purpose, one.version, one.renewal - 1)
        held = self._shares.held()
        return next((own for own in held if (own.purpose, own.version, own.renewal) == wanted), None)

    def wake(self) -> None:
        """A block is final, or something else has changed."""
        self._wake.set()

    def missing(self) -> tuple[str, ...]:
        """Keys in force, by purpose and version, whose share this node should have and has not."""
        return missing_shares(self._state(), self._account, self._shares.held())

    async def run(self) -> None:
        """Run for ever."""
        try:
            while True:
                self._wake.clear()
                active = await self.advance() if self._ready() else False
                with suppress(TimeoutError):
                    async with asyncio.timeout(ACTIVE_S if active else IDLE_S):
                        await self._wake.wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End what is under way."""
        await end(self._tasks.values())

    async def advance(self) -> bool:
        """Do all that can be done now; whether there is anything to wait for."""
        steps: tuple[Step, ...] = ()
        for _ in range(DURABLE_STEPS_MAX):
            steps = plan(self._view())
            durable = [step for step in steps if isinstance(step, Remember | ChangeShares | Forget)]
            if not durable or not await self._write(durable):
                break
        for step in steps:
            match step:
                case Fetch():
                    self._start(("fetch", step.round.round_id, step.dealer), self._fetch(step))
                case Judge():
                    self._start(("judge", step.round.round_id, step.dealer), self._judge(step))
                case Submit():
                    self._start(step.name, self._send(step))
                case Remember() | ChangeShares() | Forget():
                    pass
                case _:
                    assert_never(step)
        self._tidy()
        return bool(steps or self._tasks or open_rounds(self._state()))

    def _view(self) -> View:
        return View(
            suite=self._suite,
            account=self._account,
            state=self._state(),
            clock_ms=self._clock_ms(),
            memories={memory.round_id: memory for memory in self._memories.all()},
            shares=self._shares.held(),
            wrong=frozenset(self._wrong),
            judged=self._judged,
            waited_ms=self._waited_ms,
            under_way=self._tasks.__contains__,
        )

    def _waited_ms(self, name: Name) -> int:
        now_s = asyncio.get_running_loop().time()
        return int((now_s - self._since.setdefault(name, now_s)) * 1000)

    # --- what is durable ---

    async def _write(self, steps: list[Remember | ChangeShares | Forget]) -> bool:
        """Carry these out; False when the disk does not let us."""
        try:
            async with self._disk:
                for step in steps:
                    await in_thread_to_its_end(partial(self._write_one, step))
        except LedgerError as error:
            log.error("key shares could not be written", code=error.code, reason=str(error))
            return False
        return True

    def _write_one(self, step: Remember | ChangeShares | Forget) -> None:
        match step:
            case Remember(round=one):
                self._memories.keep(new_memory(one, secrets.token_bytes(SEED_SIZE_BYTES)))
            case ChangeShares(keep=keep, drop=drop):
                self._shares.change(keep=keep, drop=drop)
                for held in keep:
                    log.info(
                        "key share kept",
                        purpose=held.purpose.value,
                        version=held.version,
                        renewal=held.renewal,
                        holder=held.holder,
                    )
            case Forget(round_id=round_id):
                self._memories.forget(round_id)
            case _:
                assert_never(step)

    # --- what takes time ---

    def _start(self, name: Name, work: Coroutine[Any, Any, None]) -> None:
        if name in self._tasks or len(self._tasks) >= TASKS_MAX:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: Name, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a key task failed", "exception": error})

    async def _fetch(self, step: Fetch) -> None:
        one, dealer = step.round, step.dealer
        account = one.dealers[dealer - 1]
        try:
            if account == self._account:
                pair = self.pieces.pair_for(account, one.round_id)
            else:
                ask = framed(ShareMessage.PIECES, codec.encode(PieceAsk(round_id=one.round_id)))
                pair = decode_pair(await self._request(account, ask, FETCH_TIMEOUT_S), dealer)
            published = SHARED_KEY_DEALINGS.get(self._state(), (one.round_id, dealer))
            if published is None:
                # While the dealer took its time the round has begun again.
                return
            commitments = published.commitments
            holder = number_of(self._account, one.holders)
            fits = await asyncio.to_thread(pair_fits, group_for(one), commitments, one.renewal, holder, pair)
            if not fits:
                self._wrong.add((one.round_id, dealer))
                log.warning("a dealer gave values that do not fit", dealer=account.hex())
                return
            async with self._disk:
                memory = self._memories.find(one.round_id)
                if memory is not None:
                    await in_thread_to_its_end(partial(self._memories.keep, memory.with_pair(pair)))
        except LedgerError as error:
            log.info("a dealer's pair is not here yet", dealer=account.hex(), reason=str(error))
            await asyncio.sleep(RETRY_S)

    async def _judge(self, step: Judge) -> None:
        one = step.round
        holder = number_of(self._account, one.holders)
        fits = await asyncio.to_thread(revealed_fits, group_for(one), step.revealed, holder, step.pair)
        if not fits:
            log.warning("a dealer revealed what does not fit", dealer=one.dealers[step.dealer - 1].hex())
        self._judged[one.round_id, step.dealer] = fits

    async def _send(self, step: Submit) -> None:
        try:
            await self._submit(step.args)
        except LedgerError as error:
            log.info("a step about a shared key was not taken", code=error.code, reason=str(error))
            await asyncio.sleep(RETRY_S)

    def _tidy(self) -> None:
        """Forget what was noted about rounds that are over."""
        open_ids = {one.round_id for one in open_rounds(self._state())}
        self._wrong = {(round_id, dealer) for round_id, dealer in self._wrong if round_id in open_ids}
        self._judged = {name: fits for name, fits in self._judged.items() if name[0] in open_ids}
        self._since = {
            name: since for name, since in self._since.items() if name[0] == "lost" or name[0] in open_ids
        }
