"""Operators' nodes that do not do as they should in a round of a shared key."""

from __future__ import annotations

from contracts.shared_key_calls import (
    SharedKeysAnswer,
    SharedKeysCheck,
    SharedKeysConclude,
    SharedKeysConfirm,
    SharedKeysDeal,
    SharedKeysDispute,
    SharedKeysOpen,
    SharedKeysReveal,
)
from contracts.shared_key_round_records import RoundPhase
from contracts.shared_key_rounds import open_rounds
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.group import encode_scalar
from ledger.crypto.threshold.polynomials import value_at
from ledger.errors import Unavailable
from node.holders.pairs import polynomials
from node.holders.round_files import ReceivedPair
from node.holders.steps import Step, Submit
from tests.unit.contracts_world import SUITE
from tests.unit.holders_world import GROUP, HolderNode, drawing


def altered(pair: ReceivedPair) -> ReceivedPair:
    """Another value, in range."""
    value = int.from_bytes(pair.value, "big") % (GROUP.order - 1) + 1
    return ReceivedPair(dealer=pair.dealer, value=encode_scalar(value), blinding=pair.blinding)


class Silent(HolderNode):
    """Does nothing at all, as a node that is down."""

    def plan(self) -> tuple[Step, ...]:
        return ()

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        raise Unavailable(what="pair", reason="silent")


class Without(HolderNode):
    """Leaves out some of what it should send."""

    left_out: tuple[type, ...] = ()

    def plan(self) -> tuple[Step, ...]:
        return tuple(
            step
            for step in super().plan()
            if not (isinstance(step, Submit) and isinstance(step.args, self.left_out))
        )


class WrongPairs(HolderNode):
    """Gives everybody else values that do not fit, and answers complaints with them too."""

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        pair = super().give(asking, round_id)
        return pair if asking == self.account else altered(pair)

    def plan(self) -> tuple[Step, ...]:
        return tuple(map(self._altered, super().plan()))

    @staticmethod
    def _altered(step: Step) -> Step:
        if isinstance(step, Submit) and isinstance(step.args, SharedKeysAnswer):
            answer = step.args
            value = encode_scalar(int.from_bytes(answer.value, "big") % (GROUP.order - 1) + 1)
            wrong = SharedKeysAnswer(
                round_id=answer.round_id, holder=answer.holder, value=value, blinding=answer.blinding
            )
            return Submit(step.name, wrong)
        return step


class WrongPairToOne(HolderNode):
    """Gives a single holder a wrong pair, and answers its complaint as it should."""

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        pair = super().give(asking, round_id)
        others = sorted(node.account for node in self.net.nodes if node is not self)
        return altered(pair) if asking == others[0] else pair


class NoPairs(HolderNode):
    """Deals, and gives nobody a pair."""

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        if asking != self.account:
            raise Unavailable(what="pair", reason="I would rather not")
        return super().give(asking, round_id)


class PairsToHalf(NoPairs):
    """Gives pairs to those whose number is even, and answers no complaint."""

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        numbers = {node.account: n for n, node in enumerate(self.net.nodes)}
        return (
            HolderNode.give(self, asking, round_id) if numbers[asking] % 2 else super().give(asking, round_id)
        )

    def plan(self) -> tuple[Step, ...]:
        return tuple(
            step
            for step in super().plan()
            if not (isinstance(step, Submit) and isinstance(step.args, SharedKeysAnswer))
        )


class WrongReveal(HolderNode):
    """Reveals commitments to another polynomial than the one that it dealt."""

    def plan(self) -> tuple[Step, ...]:
        return tuple(map(self._altered, super().plan()))

    def _altered(self, step: Step) -> Step:
        if isinstance(step, Submit) and isinstance(step.args, SharedKeysReveal):
            draw = drawing(f"wrong {self.label} {step.args.round_id.hex()}")
            other = dealing.commit(GROUP, [draw() for _ in step.args.commitments])
            encoded = tuple(element.encode() for element in other)
            return Submit(step.name, SharedKeysReveal(round_id=step.args.round_id, commitments=encoded))
        return step


class NoReveal(Without):
    left_out = (SharedKeysReveal,)


class ZeroCoefficient(NoReveal):
    """Deals a polynomial of which a coefficient is zero, which its commitments hide; then it says no more of it."""

    zero = 0

    def _dealt(self, round_id: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
        one = next(found for found in open_rounds(self.net.world) if found.round_id == round_id)
        memory = self.memories.find(round_id)
        assert memory is not None
        own = polynomials(SUITE, one, memory, None)
        assert own is not None
        at = self.zero % one.threshold
        return tuple(0 if k == at else a for k, a in enumerate(own.coefficients)), own.blindings

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        one = next(found for found in open_rounds(self.net.world) if found.round_id == round_id)
        if one.renewal:
            return super().give(asking, round_id)
        holder, dealer = one.holders.index(asking) + 1, one.dealers.index(self.account) + 1
        value, blinding = (value_at(GROUP.order, row, holder) for row in self._dealt(round_id))
        return ReceivedPair(dealer=dealer, value=encode_scalar(value), blinding=encode_scalar(blinding))

    def plan(self) -> tuple[Step, ...]:
        return tuple(map(self._altered, super().plan()))

    def _altered(self, step: Step) -> Step:
        if isinstance(step, Submit) and isinstance(step.args, SharedKeysDeal):
            round_id = step.args.round_id
            if all(found.renewal for found in open_rounds(self.net.world) if found.round_id == round_id):
                return step
            commitments = tuple(
                (GROUP.second_generator.times(b) + GROUP.generator.times(a)).encode()
                if a
                else GROUP.second_generator.times(b).encode()
                for a, b in zip(*self._dealt(round_id), strict=True)
            )
            return Submit(step.name, SharedKeysDeal(round_id=round_id, commitments=commitments))
        return step


class ZeroInTheMiddle(ZeroCoefficient):
    zero = 1


class ZeroAtTheEnd(ZeroCoefficient):
    zero = -1


class OnlyDeals(Without):
    """Deals, and then is heard of no more."""

    left_out = (
        SharedKeysCheck,
        SharedKeysAnswer,
        SharedKeysReveal,
        SharedKeysConfirm,
        SharedKeysDispute,
        SharedKeysOpen,
        SharedKeysConclude,
    )

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        raise Unavailable(what="pair", reason="gone")


class OnlyHolds(Without):
    """Never deals."""

    left_out = (SharedKeysDeal,)


class FalseComplaints(HolderNode):
    """Complains about everybody, disputes and opens what there is nothing wrong with."""

    def plan(self) -> tuple[Step, ...]:
        steps = [self._accusing(step) for step in super().plan()]
        for one in open_rounds(self.net.world):
            memory = self.memories.find(one.round_id)
            if memory is None or one.phase is not RoundPhase.CONFIRMING:
                continue
            for pair in memory.pairs:
                dispute = SharedKeysDispute(
                    round_id=one.round_id, dealer=pair.dealer, value=pair.value, blinding=pair.blinding
                )
                steps.insert(0, Submit(("lie", pair.dealer), dispute))
        return tuple(steps)

    def _accusing(self, step: Step) -> Step:
        if isinstance(step, Submit) and isinstance(step.args, SharedKeysCheck):
            one = next(one for one in open_rounds(self.net.world) if one.round_id == step.args.round_id)
            everybody = tuple(
                dealer for dealer in sorted(one.dealt) if one.dealers[dealer - 1] != self.account
            )
            return Submit(step.name, SharedKeysCheck(round_id=one.round_id, complaints=everybody))
        return step


class Replayer(HolderNode):
    """Sends what belongs to one round in another."""

    def plan(self) -> tuple[Step, ...]:
        rounds = [one.round_id for one in open_rounds(self.net.world)]
        steps = list(super().plan())
        for step in tuple(steps):
            if isinstance(step, Submit) and isinstance(step.args, SharedKeysDeal | SharedKeysReveal):
                for round_id in rounds:
                    if round_id != step.args.round_id:
                        other = type(step.args)(round_id=round_id, commitments=step.args.commitments)
                        steps.append(Submit(("replay", round_id), other))
        return tuple(steps)


ZEROS = (ZeroCoefficient, ZeroInTheMiddle, ZeroAtTheEnd)
GUILTY = (Silent, WrongPairs, NoPairs, PairsToHalf, WrongReveal, NoReveal, OnlyDeals, OnlyHolds, *ZEROS)
# These do harm to nobody but perhaps themselves, and are no reason to be out.
TIRESOME = (FalseComplaints, WrongPairToOne)
ALL = (*GUILTY, *TIRESOME, Replayer)
