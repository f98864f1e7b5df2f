"""The engine: runs the core by carrying out its effects in order.

Rule: what leaves (Send, Broadcast) and what is acknowledged (Finalize) waits until everything appended to the journal before it is
durable; everything else happens at once. Several effects share one sync: while one runs, records gather for the next. The engine
is synchronous and driven by calls (`start`, `deliver`, `on_timer`, `notify_work`), so that a real loop and the simulation
run the same code. It decides nothing about consensus. When an epoch's seal is committed, it goes on with the next epoch's machine.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final, assert_never

from consensus.application import Application, Clock, Syncer, Timers, Transport
from consensus.core.effects import (
    Blame,
    Broadcast,
    BuildBlock,
    CancelTimer,
    ClockApart,
    Effect,
    Evidence,
    ExecuteBlock,
    Finalize,
    Lane,
    Persist,
    Send,
    SetTimer,
    SignVote,
    SilenceKey,
    WantBlock,
    WantCertificates,
    WantFinalized,
)
from consensus.core.events import (
    BlockBuilt,
    BlockExecuted,
    Event,
    Received,
    Started,
    Timer,
    TimerFired,
    VoteSigned,
    WorkNoticed,
)
from consensus.core.messages import (
    Certificates,
    FetchBlock,
    FetchCertificates,
    FetchedBlock,
    FetchFinalized,
    FinalizedRange,
    Message,
    Status,
    decode_message,
    encode_message,
)
from consensus.core.settings import Hashing
from consensus.epochs import Epochs
from consensus.journal import Journal
from consensus.status import EngineStatus
from consensus.sync import RANGE_COST, Fetcher, Server
from ledger.errors import LedgerError, StorageDamaged
from ledger.types import Vote

SYNC_TIMER: Final = "sync"
SYNC_TICK_MS: Final = 500
EVIDENCE_MAX: Final = 1024
_UNSIGNED: Final = b"\0"

Visible = Send | Broadcast | Finalize


class Engine:
    """One validator's consensus, put together.

    Args:
        epochs: makes the core of each epoch, restored from the journal.
        journal: where records go.
        syncer: runs the journal's blocking writes.
        application: builds, executes and finalizes blocks.
        transport: carries messages.
        timers: call `on_timer` when they fire.
        clock: the wall clock.
        hashing: the network's hashes.
        on_evidence: told of two verified votes of one validator that exclude each other; must not raise.
        on_forgotten: told the public vote key that this node must not use any more; the journal has been marked already.
        observe: sees every effect just before it is carried out; for logs, metrics and tests.
        encode, decode: write and read messages; replaced only where one process runs many nodes and may share the work.
    """

    def __init__(
        self,
        *,
        epochs: Epochs,
        journal: Journal,
        syncer: Syncer,
        application: Application,
        transport: Transport,
        timers: Timers,
        clock: Clock,
        hashing: Hashing,
        on_evidence: Callable[[Vote, Vote], None] | None = None,
        on_forgotten: Callable[[bytes], None] | None = None,
        observe: Callable[[Effect], None] | None = None,
        decode: Callable[[bytes], Message] = decode_message,
        encode: Callable[[Message], bytes] = encode_message,
    ) -> None:
        self.machine = epochs.first()
        self._epochs = epochs
        self._journal = journal
        self._syncer = syncer
        self._application = application
        self._transport = transport
        self._timers = timers
        self._clock = clock
        self._hashing = hashing
        self._on_evidence = on_evidence
        self._on_forgotten = on_forgotten
        self._observe = observe
        self._decode = decode
        self._encode = encode
        self._fetcher = Fetcher(epochs.account)
        self._fetcher.enter(self.machine.committee.epoch, self.machine.committee.accounts)
        self._server = Server(application)
        self._events: deque[Event] = deque()
        self._visible: deque[tuple[int, Visible]] = deque()
        self._running = False
        self._syncing = False
        self._durable = 0
        self._stopped = True
        self._ticking = False
        self._work = False
        self._pruned_height = application.durable_height()
        self.evidence: deque[Evidence] = deque(maxlen=EVIDENCE_MAX)
        self._evidence_count = 0
        self._undecodable = 0
        self._blamed: Counter[bytes] = Counter()
        self._clocks_apart: dict[bytes, int] = {}

    # --- what happens -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, once; messages and work that came before are ignored, and will come again."""
        self._stopped = False
        self._events.append(Started())
        self.notify_work()

    def stop(self) -> None:
        """Do nothing any more; a write that runs may still end."""
        self._stopped = True

    def deliver(self, peer: bytes, data: bytes) -> None:
        """Take in a message from the authenticated peer of that account. Bytes that are no message are counted and dropped."""
        if self._stopped or peer == self._epochs.account:
            return
        try:
            message = self._decode(data)
        except LedgerError:
            self._undecodable += 1
            self._blamed[peer] += 1
            return
        if self._admit(peer, message):
            self._events.append(Received(peer=peer, message=message))
        self._drain()

    def on_timer(self, timer: Timer | str) -> None:
        """A timer that was set has run out."""
        if self._stopped:
            return
        if isinstance(timer, str):
            self._ticking = False
            self._ask(self._fetcher.tick())
        else:
            if timer is Timer.STATUS:
                self._server.new_period()
                self._prune()
            self._events.append(TimerFired(timer=timer))
        self._notice_work()
        self._drain()

    def notify_work(self) -> None:
        """The application may have work now."""
        if self._stopped:
            return
        self._work = self._application.has_work()
        self._events.append(WorkNoticed(pending=self._work))
        self._drain()

    def status(self) -> EngineStatus:
        machine = self.machine
        rounds = machine.rounds
        return EngineStatus(
            epoch=machine.committee.epoch,
            view=rounds.current,
            leader=machine.committee.account(machine.committee.leader(rounds.current)),
            validators=machine.committee.accounts,
            finalized_view=rounds.finalized.view,
            height=self._application.finalized_height(),
            peer_heights=dict(self._fetcher.heights),
            syncing=machine.finalizer.behind,
            voting=machine.voting,
            listening=machine.voting and machine.memory.wary,
            silenced=self._epochs.silenced_now,
            blamed=dict(self._blamed),
            clocks_apart_ms=dict(self._clocks_apart),
            evidence_count=self._evidence_count,
            undecodable_count=self._undecodable,
            history_gone=self._fetcher.history_gone,
        )

    # --- messages that concern fetching -----------------------------------------------------------------------------

    def _admit(self, peer: bytes, message: Message) -> bool:
        """Whether the core is to see the message; answers to questions that were not asked are dropped."""
        match message:
            case Status(height=height):
                self._fetcher.heard(peer, height)
                return self._server.allow(peer)
            case FetchFinalized():
                if self._server.allow(peer, RANGE_COST):
                    self._show(Send(peer=peer, message=self._server.finalized_range(message), lane=Lane.SYNC))
                return False
            case FetchBlock() | FetchCertificates():
                return self._server.allow(peer)
            case FetchedBlock(block=block):
                return self._fetcher.answered(peer, "block", self._hashing.block_digest(block.header))
            case FinalizedRange(blocks=()):
                self._ask(self._fetcher.has_nothing(peer))
                return False
            case FinalizedRange():
                return self._fetcher.answered(peer, "finalized", b"")
            case Certificates():
                self._fetcher.answered(peer, "certificates", b"")
            case _:
                pass
        return True

    def _ask(self, requests: list[tuple[bytes, Message]]) -> None:
        for peer, message in requests:
            self._show(Send(peer=peer, message=message, lane=Lane.SYNC))
        if self._fetcher.busy and not self._ticking:
            self._ticking = True
            self._timers.set(SYNC_TIMER, SYNC_TICK_MS)

    # --- carrying out effects ---------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Handle events until none is left, then show what may be shown and sync for the rest."""
        if self._running:
            return
        self._running = True
        try:
            while self._events or self._may_show():
                while self._events and not self._stopped:
                    for effect in self.machine.handle(self._events.popleft(), self._clock.now_ms()):
                        self._carry_out(effect)
                self._release()
                self._sync()
        finally:
            self._running = False

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Send | Broadcast | Finalize):
            self._show(effect)
            return
        if self._observe is not None:
            self._observe(effect)
        match effect:
            case Persist(record=record):
                self._journal.append(record)
            case SetTimer(timer=timer, delay_ms=delay_ms):
                self._timers.set(timer, delay_ms)
            case CancelTimer(timer=timer):
                self._timers.cancel(timer)
            case SignVote():
                self._events.append(VoteSigned(vote=self._sign(effect)))
            case BuildBlock(parent=parent, context=context):
                block = self._application.propose(parent, context)
                self._events.append(BlockBuilt(view=context.view, block=block))
            case ExecuteBlock(block=block, digest=digest):
                self._events.append(
                    BlockExecuted(digest=digest, valid=self._application.verify(block, digest))
                )
            case WantBlock() | WantCertificates() | WantFinalized():
                self._ask(self._fetcher.want(effect))
            case Blame(peer=peer):
                self._blamed[peer] += 1
                self._ask(self._fetcher.blame(peer))
            case ClockApart(leader=leader, apart_ms=apart_ms):
                self._clocks_apart[leader] = apart_ms
            case Evidence():
                self._evidence_count += 1
                self.evidence.append(effect)
                if self._on_evidence is not None:
                    self._on_evidence(effect.first, effect.second)
            case SilenceKey(vote_key=vote_key):
                self._silence(vote_key)
            case _:
                assert_never(effect)

    def _sign(self, effect: SignVote) -> Vote:
        committee, signer = self.machine.committee, self._epochs.signer
        if signer is None or committee.me is None:
            raise StorageDamaged(what="vote key", reason="a validator votes without one")
        vote = Vote(
            kind=effect.kind,
            epoch=committee.epoch,
            view=effect.view,
            digest=effect.digest,
            validator=committee.me,
            signature=_UNSIGNED,
        )
        return Vote(
            kind=vote.kind,
            epoch=vote.epoch,
            view=vote.view,
            digest=vote.digest,
            validator=vote.validator,
            signature=signer.sign_vote(committee.chain_id, vote),
        )

    def _silence(self, vote_key: bytes) -> None:
        """Durably, before anything else happens: it is rare, and worth the wait."""
        self._epochs.silence(vote_key)
        try:
            self._journal.silence(vote_key)
        except OSError as error:
            self._stopped = True
            raise StorageDamaged(what="journal", reason=f"a write failed: {error}") from error
        if self._on_forgotten is not None:
            self._on_forgotten(vote_key)

    def _next_epoch(self) -> None:
        """The epoch's seal is committed: the old machine's timers and answers are void, and the next one begins."""
        for timer in Timer:
            self._timers.cancel(timer)
        heard = [event for event in self._events if isinstance(event, Received)]
        self.machine = self._epochs.next(self.machine)
        committee = self.machine.committee
        self._fetcher.enter(committee.epoch, committee.accounts)
        self._work = self._application.has_work()
        self._events = deque([Started(), WorkNoticed(pending=self._work), *heard])

    def _show(self, effect: Visible) -> None:
        """Queue something for the world to see, behind everything that was appended before it."""
        self._visible.append((self._journal.appended, effect))

    def _release(self) -> None:
        """Let out what is covered by a sync."""
        finalized = False
        while self._may_show():
            effect = self._visible.popleft()[1]
            if self._observe is not None:
                self._observe(effect)
            match effect:
                case Send(peer=peer, message=message, lane=lane):
                    self._transport.send(peer, self._encode(message), lane=lane)
                case Broadcast(message=message, lane=lane):
                    self._transport.broadcast(self._encode(message), lane=lane)
                case Finalize(finalized=block, digest=digest):
                    self._application.finalize(block, digest)
                    finalized = True
                    if self.machine.committee.seals(block.block.header):
                        self._next_epoch()
                case _:
                    assert_never(effect)
        if finalized:
            self._notice_work()

    def _notice_work(self) -> None:
        work = self._application.has_work()
        if work != self._work:
            self._work = work
            self._events.append(WorkNoticed(pending=work))

    def _may_show(self) -> bool:
        return bool(self._visible) and self._visible[0][0] <= self._durable and not self._stopped

    def _sync(self) -> None:
        """Begin the next sync if something waits for it and none runs."""
        if not self._visible or self._may_show() or self._events or self._syncing or self._stopped:
            return
        batch = self._journal.take_batch()
        if batch is None:
            return
        self._syncing = True
        self._syncer.run(batch.write, lambda error: self._synced(batch.sequence, error))

    def _synced(self, sequence: int, error: BaseException | None) -> None:
        self._syncing = False
        if error is not None:
            self._stopped = True
            raise StorageDamaged(what="journal", reason=f"a write failed: {error}") from error
        self._durable = sequence
        self._drain()

    def _prune(self) -> None:
        """Drop journal segments that the store has made superfluous."""
        height = self._application.durable_height()
        if height <= self._pruned_height or self._syncing:
            return
        finalized = self._application.block(height)
        if finalized is not None:
            # Its own view, not its certificate's: a later block may be proven by the Finalization of an earlier view than
            # an earlier block, and after a restart the machine begins at the head's.
            header = finalized.block.header
            self._journal.prune(height=height, epoch=header.epoch, view=header.view)
            self._pruned_height = height
