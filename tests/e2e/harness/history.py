"""What concurrent clients saw, held against what the ledgers say: the history checker.

Rule: pure. It knows no node, socket or clock; it is given what happened and says what must not have happened. Times
are readings of one monotonic clock, that of the process all clients run in.

What a node may say of a transaction, and what that promises:

    accepted   durable here. It will be finalized or, when no block can take it any more, expired; never forgotten.
    finalized  it stands at that place, with that result, in every ledger, once, for ever.
    expired    it is in no ledger and never will be.
    rejected   this node did not take it; nothing is promised, another node may.

A read that begins after a node acknowledged a transaction as final sees it there; at another node it sees it as soon as
that node said, before the read, that its height is at least the transaction's.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

VIOLATIONS_SHOWN_MAX: Final = 12


class Fate(StrEnum):
    """What a node said of a transaction."""

    ACCEPTED = "accepted"
    FINALIZED = "finalized"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A node's answer about one transaction, to a submission or a question.

    Attributes:
        began_s, ended_s: when the request left and the answer was there.
        node: who answered.
        transaction: its id, hex.
        fate: what it said; UNKNOWN is "no such transaction", not silence, which is no answer.
        height: of the block, when FINALIZED; otherwise the node's height as asked before, or -1.
        code: of the result when FINALIZED, of the error when REJECTED.
    """

    began_s: float
    ended_s: float
    node: int
    transaction: str
    fate: Fate
    height: int = -1
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A node's answer to what an account's state is.

    Attributes:
        began_s: when the request left.
        node: who answered.
        account: whose state.
        height: the node's height as it said before the read began, or -1.
        labels: what stands in the account, in order.
    """

    began_s: float
    node: int
    account: str
    height: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What a transaction does when its result is "ok": it puts a label, used once, into an account."""

    transaction: str
    account: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBlock:
    """A block as it lies in one node's store: digest, and (transaction id, code of its result) in order."""

    digest: str
    transactions: tuple[tuple[str, str], ...]


Ledger = Mapping[int, LedgerBlock]


class History:
    """What happened, in the order in which it was written down. Threads may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.writes: dict[str, Write] = {}
        self.told: list[Told] = []
        self.reads: list[Read] = []

    def wrote(self, write: Write) -> None:
        with self._lock:
            self.writes[write.transaction] = write

    def add(self, event: Told | Read) -> None:
        with self._lock:
            if isinstance(event, Told):
                self.told.append(event)
            else:
                self.reads.append(event)

    def ids(self, fate: Fate) -> set[str]:
        """Transactions of which some node said so."""
        with self._lock:
            return {told.transaction for told in self.told if told.fate is fate}

    def acceptors(self) -> list[tuple[str, int]]:
        """(transaction, node) of every acceptance, once each."""
        with self._lock:
            return sorted({(told.transaction, told.node) for told in self.told if told.fate is Fate.ACCEPTED})


@dataclass(slots=True)
class Verdict:
    """What the checker found; `violations` is empty when all is well.

    Attributes:
        accepted: transactions that a node accepted (202).
        finalized: transactions that a node acknowledged as final.
        lost: acknowledged as final, or accepted and neither final nor expired in the end, and not there.
        doubled: more than once in a ledger, or in an account.
    """

    accepted: int = 0
    finalized: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.violations.append(text)

    def explain(self) -> str:
        """The first violations, a line each."""
        shown = self.violations[:VIOLATIONS_SHOWN_MAX]
        left = len(self.violations) - len(shown)
        return "\n".join([*shown, *([f"and {left} more"] if left else [])])


def check(
    history: History, ledgers: Mapping[int, Ledger], departed: Collection[int] = frozenset()
) -> Verdict:
    """Hold a history against the ledgers as they are at the end, when all nodes are well and at one height.

    Args:
        history: all that the clients were told, with a last question about every acceptance at the node that gave it.
        ledgers: of each node, its blocks by height. A node that began from a snapshot lacks the older ones.
        departed: nodes that were taken out of the network; what only such a one accepted is nobody's promise any more.
    """
    verdict = Verdict(accepted=len(history.ids(Fate.ACCEPTED)), finalized=len(history.ids(Fate.FINALIZED)))
    _check_agreement(ledgers, verdict)
    _check_once(ledgers, verdict)
    places = _places(ledgers)
    _check_finalized(history, ledgers, places, verdict)
    _check_accepted(history, places, departed, verdict)
    _check_expired(history, places, verdict)
    _check_answers_in_order(history, verdict)
    _check_reads(history, places, verdict)
    return verdict


def _places(ledgers: Mapping[int, Ledger]) -> dict[str, tuple[int, str]]:
    """Where each transaction stands: (height, code of its result), by any ledger."""
    return {
        transaction: (height, code)
        for ledger in ledgers.values()
        for height, block in ledger.items()
        for transaction, code in block.transactions
    }


def _check_agreement(ledgers: Mapping[int, Ledger], verdict: Verdict) -> None:
    tops = {node: max(ledger, default=0) for node, ledger in ledgers.items()}
    if len(set(tops.values())) > 1:
        verdict.say(f"heights differ at the end: {tops}")
    for height in sorted({height for ledger in ledgers.values() for height in ledger}):
        digests = {node: ledger[height].digest for node, ledger in ledgers.items() if height in ledger}
        if len(set(digests.values())) > 1:
            verdict.say(f"block {height} differs between nodes: {digests}")


def _check_once(ledgers: Mapping[int, Ledger], verdict: Verdict) -> None:
    for node, ledger in ledgers.items():
        times = Counter(name for block in ledger.values() for name, _ in block.transactions)
        for transaction, count in times.items():
            if count > 1:
                verdict.doubled.add(transaction)
                verdict.say(f"transaction {transaction} stands {count} times in the ledger of node {node}")


def _check_finalized(
    history: History, ledgers: Mapping[int, Ledger], places: Mapping[str, tuple[int, str]], verdict: Verdict
) -> None:
    for told in history.told:
        if told.fate is not Fate.FINALIZED:
            continue
        place = places.get(told.transaction)
        if place is None:
            verdict.lost.add(told.transaction)
            verdict.say(f"node {told.node} acknowledged {told.transaction} as final; it is in no ledger")
        elif place != (told.height, told.code):
            verdict.say(
                f"node {told.node} put {told.transaction} at {told.height}, {told.code!r}; it is {place}"
            )
        for node, ledger in ledgers.items():
            missing = told.height in ledger and told.transaction not in {
                name for name, _ in ledger[told.height].transactions
            }
            if place is not None and missing:
                verdict.lost.add(told.transaction)
                verdict.say(
                    f"{told.transaction}, final at {told.height}, is not in the ledger of node {node}"
                )


def _check_accepted(
    history: History, places: Mapping[str, tuple[int, str]], departed: Collection[int], verdict: Verdict
) -> None:
    last = {(told.transaction, told.node): told for told in history.told}
    ended = history.ids(Fate.EXPIRED)
    for transaction, node in history.acceptors():
        if node in departed:
            continue
        told = last[transaction, node]
        if told.fate is Fate.UNKNOWN:
            verdict.lost.add(transaction)
            verdict.say(f"node {node} accepted {transaction} and does not know it any more")
        elif transaction not in places and transaction not in ended:
            verdict.lost.add(transaction)
            verdict.say(f"{transaction}, accepted by node {node}, is neither final nor expired in the end")


def _check_expired(history: History, places: Mapping[str, tuple[int, str]], verdict: Verdict) -> None:
    for transaction in sorted(history.ids(Fate.EXPIRED) & places.keys()):
        verdict.say(f"{transaction} was said to be expired, and is in block {places[transaction][0]}")


def _check_answers_in_order(history: History, verdict: Verdict) -> None:
    """A node that acknowledged a transaction as final says nothing else of it afterwards."""
    acknowledged: dict[tuple[str, int], float] = {}
    for told in history.told:
        if told.fate is Fate.FINALIZED:
            key = (told.transaction, told.node)
            acknowledged[key] = min(acknowledged.get(key, told.ended_s), told.ended_s)
    for told in history.told:
        since = acknowledged.get((told.transaction, told.node))
        if since is not None and told.began_s > since and told.fate is not Fate.FINALIZED:
            verdict.say(f"node {told.node} acknowledged {told.transaction} as final, later said {told.fate}")


def _check_reads(history: History, places: Mapping[str, tuple[int, str]], verdict: Verdict) -> None:
    acknowledged: dict[tuple[str, int], float] = {}
    finalized = [told for told in history.told if told.fate is Fate.FINALIZED and told.code == "ok"]
    for told in finalized:
        key = (told.transaction, told.node)
        acknowledged[key] = min(acknowledged.get(key, told.ended_s), told.ended_s)
    writes: dict[str, list[Write]] = defaultdict(list)
    for write in history.writes.values():
        writes[write.account].append(write)
    for told in history.told:
        place = places.get(told.transaction)
        if told.fate in {Fate.UNKNOWN, Fate.ACCEPTED} and place is not None and told.height >= place[0]:
            verdict.say(
                f"node {told.node} was at {told.height} and said {told.fate} of {told.transaction},"
                f" final at {place[0]}"
            )
    for read in history.reads:
        _check_read(read, writes[read.account], acknowledged, places, verdict)


def _check_read(
    read: Read,
    writes: Iterable[Write],
    acknowledged: Mapping[tuple[str, int], float],
    places: Mapping[str, tuple[int, str]],
    verdict: Verdict,
) -> None:
    times = Counter(read.labels)
    for write in writes:
        place = places.get(write.transaction)
        if times[write.label] > 1:
            verdict.doubled.add(write.transaction)
            verdict.say(f"label {write.label} stands {times[write.label]} times at node {read.node}")
        if place is None or place[1] != "ok":
            if times[write.label]:
                verdict.say(f"label {write.label} is at node {read.node}, and was never written")
            continue
        since = acknowledged.get((write.transaction, read.node))
        due = read.height >= place[0] or (since is not None and read.began_s > since)
        if due and not times[write.label]:
            verdict.say(
                f"stale read: node {read.node} at {read.height} lacks {write.label}, final at {place[0]}"
            )


def merge(verdicts: Sequence[Verdict]) -> Verdict:
    """All verdicts as one."""
    whole = Verdict()
    for verdict in verdicts:
        whole.accepted += verdict.accepted
        whole.finalized += verdict.finalized
        whole.lost |= verdict.lost
        whole.doubled |= verdict.doubled
        whole.violations += verdict.violations
    return whole
