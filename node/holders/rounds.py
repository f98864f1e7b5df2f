"""What a node does about shared keys, given the ledger and what it remembers: the pure core of `driver.py`.

    a dealer   remembers a seed → deals → gives each holder its pair → answers complaints → reveals
    a holder   fetches its pairs → checks → looks at what was revealed → confirms, or disputes and opens
    anybody    concludes, by turns; keeps its new share, drops the old; has a lost share renewed

Rule: everything here follows from the finalized state and from what is durable, so that a node that starts again at whatever
point goes on as if it had not stopped. Nothing is sent before what it depends on is durable: a plan that has something to remember
has nothing to send about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contracts.args import Args
from contracts.calls import DeadlinesTick
from contracts.schedule import due
from contracts.shared_key_calls import (
    CONCLUDING_WORK_MAX,
    SharedKeysAbstain,
    SharedKeysAnswer,
    SharedKeysCheck,
    SharedKeysConclude,
    SharedKeysConfirm,
    SharedKeysDeal,
    SharedKeysDispute,
    SharedKeysOpen,
    SharedKeysReveal,
)
from contracts.shared_key_round_records import RoundPhase, SharedKeyRound
from contracts.shared_key_rounds import keys_made, open_rounds, window_ms
from contracts.shared_key_sums import dealing_of, group_for, sums_of, work_left
from ledger.crypto.threshold import dealing
from node.holders.keeping import about_key, gone, over
from node.holders.pairs import number_of, pair_of, polynomials
from node.holders.round_files import Polynomials, ReceivedPair, RoundMemory
from node.holders.steps import ChangeShares, Fetch, Forget, Judge, Remember, Step, Submit, View

# Whose turn it is to do what one of them is enough for.
TURN_MS: Final = 3_000


def plan(view: View) -> tuple[Step, ...]:
    """Everything that can be done now."""
    steps: list[Step] = []
    for one in open_rounds(view.state):
        steps += _in_round(view, one)
    for key in keys_made(view.state):
        steps += about_key(view, key)
    drop = tuple(held for held in view.shares if gone(view.state, held.purpose, held.version))
    if drop:
        steps.append(ChangeShares((), drop))
    steps += [Forget(memory.round_id) for memory in view.memories.values() if over(view, memory)]
    return tuple(steps)


# --- a round ------------------------------------------------------------------------------------------------


def _in_round(view: View, one: SharedKeyRound) -> Iterator[Step]:
    dealer, holder = number_of(view.account, one.dealers), number_of(view.account, one.holders)
    if dealer not in one.expected:
        dealer = 0
    if not dealer and not holder:
        return
    memory = view.memories.get(one.round_id)
    if memory is None:
        yield Remember(one)
        return
    scene = _Scene(view, one, memory, dealer, holder)
    yield from scene.tick()
    if holder:
        yield from scene.fetches()
    match one.phase:
        case RoundPhase.DEALING:
            yield from scene.deal()
        case RoundPhase.CHECKING:
            yield from scene.check()
        case RoundPhase.ANSWERING:
            yield from scene.answer()
        case RoundPhase.REVEALING:
            yield from scene.reveal()
        case RoundPhase.CONFIRMING:
            yield from scene.confirm()
        case RoundPhase.OPENING:
            yield from scene.open()
        case RoundPhase.CONCLUDING:
            yield from scene.conclude()
        case RoundPhase.DONE:
            pass


@dataclass(frozen=True, slots=True)
class _Scene:
    """One round as this node sees it; `dealer` and `holder` are its numbers, 0 for what it is not."""

    view: View
    one: SharedKeyRound
    memory: RoundMemory
    dealer: int
    holder: int

    def tick(self) -> Iterator[Step]:
        """A deadline that has come is carried out by turns; `node/services/deadlines.py` takes longer turns."""
        one, view = self.one, self.view
        overdue = one.until_ms != 0 and view.clock_ms >= one.until_ms and due(view.state, view.clock_ms)
        name = (one.round_id, "tick", one.phase.value)
        if overdue and view.waited_ms(name) >= self._rank() * TURN_MS:
            yield Submit(name, DeadlinesTick())

    def fetches(self) -> Iterator[Step]:
        one = self.one
        for dealer in one.dealt:
            known = self.memory.pair(dealer) is not None or (one.round_id, dealer) in self.view.wrong
            if not known and dealer not in one.excluded:
                yield Fetch(one, dealer)

    def deal(self) -> Iterator[Step]:
        one = self.one
        if not self.dealer or self.dealer in one.dealt or self._busy("deal"):
            return
        dealt = self._dealt()
        if dealt is None:
            yield self._submit("deal", SharedKeysAbstain(round_id=one.round_id))
            return
        group = group_for(one)
        if one.renewal:
            commitments = dealing.commit(group, dealt.coefficients)
        else:
            commitments = dealing.commit_hiding(group, dealt.coefficients, dealt.blindings)
        encoded = tuple(element.encode() for element in commitments)
        yield self._submit("deal", SharedKeysDeal(round_id=one.round_id, commitments=encoded))

    def check(self) -> Iterator[Step]:
        """Once everything is there. Who is missing is complained about after half of the time, or when only wrong pairs came."""
        one = self.one
        if not self.holder or self.holder in one.checked:
            return
        missing = tuple(
            dealer
            for dealer in sorted(one.dealt)
            if dealer not in one.excluded and self.memory.pair(dealer) is None
        )
        if self.dealer in missing:
            # It has lost what it dealt from, and cannot have its share of this round, whatever the others do.
            return
        hopeless = all((one.round_id, dealer) in self.view.wrong for dealer in missing)
        patient = self.view.waited_ms((one.round_id, one.phase.value)) < window_ms(one) // 2
        if not hopeless and patient:
            return
        yield self._submit("check", SharedKeysCheck(round_id=one.round_id, complaints=missing))

    def answer(self) -> Iterator[Step]:
        one = self.one
        asked = [held for held in one.complaints if held.dealer == self.dealer and not held.answered]
        dealt = self._dealt() if self.dealer and asked else None
        if dealt is None:
            return
        for complaint in asked:
            pair = dealt.pair_for(self.dealer, complaint.holder)
            answer = SharedKeysAnswer(
                round_id=one.round_id, holder=complaint.holder, value=pair.value, blinding=pair.blinding
            )
            yield self._submit("answer", answer, complaint.holder)

    def reveal(self) -> Iterator[Step]:
        one = self.one
        if self.dealer not in one.qualified or self.dealer in one.revealed or self._busy("reveal"):
            return
        dealt = self._dealt()
        if dealt is not None:
            revealed = dealing.commit(group_for(one), dealt.coefficients)
            encoded = tuple(element.encode() for element in revealed)
            yield self._submit("reveal", SharedKeysReveal(round_id=one.round_id, commitments=encoded))

    def confirm(self) -> Iterator[Step]:
        one, clear = self.one, True
        if not self.holder or self.holder in one.confirmed:
            return
        for dealer in one.revealed:
            pair = self._pair(dealer)
            if pair is None or dealer in one.disputed:
                continue
            fits = self.view.judged.get((one.round_id, dealer))
            if fits:
                continue
            clear = False
            if fits is None:
                revealed = dealing_of(self.view.state, one, dealer).revealed
                yield Judge(one, dealer, pair, revealed)
            else:
                dispute = SharedKeysDispute(
                    round_id=one.round_id, dealer=dealer, value=pair.value, blinding=pair.blinding
                )
                yield self._submit("dispute", dispute, dealer)
        if clear and self.holder in one.checked:
            yield self._submit("confirm", SharedKeysConfirm(round_id=one.round_id))

    def open(self) -> Iterator[Step]:
        one = self.one
        if not self.holder:
            return
        for dealer in one.disputed:
            pair = self._pair(dealer)
            given = {held.holder for held in dealing_of(self.view.state, one, dealer).openings}
            if pair is not None and dealer not in one.opened and self.holder not in given:
                opening = SharedKeysOpen(
                    round_id=one.round_id, dealer=dealer, value=pair.value, blinding=pair.blinding
                )
                yield self._submit("open", opening, dealer)

    def conclude(self) -> Iterator[Step]:
        one = self.one
        if not self.holder:
            return
        sums = sums_of(self.view.state, one)
        done = (sums.added, len(sums.share_keys))
        if self.view.waited_ms((one.round_id, one.phase.value, *done)) < self._rank() * TURN_MS:
            return
        work = min(work_left(one, sums), CONCLUDING_WORK_MAX)
        yield self._submit("conclude", SharedKeysConclude(round_id=one.round_id, work=work), *done)

    def _rank(self) -> int:
        """Whose turn it is first."""
        return (self.holder + self.one.round_id[0]) % len(self.one.holders)

    def _dealt(self) -> Polynomials | None:
        one = self.one
        own = self.view.share(one.purpose, one.version, one.renewal - 1) if one.renewal else None
        dealt = self.dealer in one.dealt
        published = dealing_of(self.view.state, one, self.dealer).commitments if dealt else ()
        return polynomials(self.view.suite, one, self.memory, own, published)

    def _pair(self, dealer: int) -> ReceivedPair | None:
        return pair_of(self.view.state, self.one, self.memory, dealer, self.holder)

    def _busy(self, step: str) -> bool:
        return self.view.under_way((self.one.round_id, step))

    def _submit(self, step: str, args: Args, *which: int) -> Submit:
        return Submit((self.one.round_id, step, *which), args)
