"""Whom to ask, whom to ask next, whom not to ask again, and how much to answer."""

from __future__ import annotations

from consensus.core.effects import WantBlock, WantCertificates, WantFinalized
from consensus.core.messages import RANGE_BLOCKS_MAX, FetchFinalized, Message
from consensus.sync import (
    ANSWERS_PER_PERIOD_MAX,
    DISTRUST_TICKS,
    PATIENCE_TICKS,
    PEERS_MAX,
    SLOW_TICKS,
    TRIES_MAX,
    WANTS_MAX,
    Fetcher,
    Server,
)
from ledger.types import FinalizedBlock
from tests.simulation.harness.application import SimApplication
from tests.simulation.harness.cluster import Cluster
from tests.simulation.harness.node import account_of
from tests.simulation.test_scenarios import finalize_one

ME = 0
BLOCKS = WantFinalized(first_height=1)


def fetcher(*, size: int = 4) -> Fetcher:
    made = Fetcher(account_of(ME))
    made.enter(1, tuple(account_of(index) for index in range(size)))
    return made


def asked(requests: list[tuple[bytes, Message]]) -> list[int]:
    return [int.from_bytes(peer, "big") for peer, _ in requests]


def test_the_hint_is_asked_first_then_each_other_once_its_patience_is_at_its_end() -> None:
    some = fetcher()
    assert asked(some.want(WantBlock(digest=bytes(32), height=1, hint=account_of(2)))) == [2]
    seen: list[int] = []
    for _ in range(2 * PATIENCE_TICKS):
        seen += asked(some.tick())
    assert sorted(seen) == [1, 3]


def test_one_thing_is_asked_for_once_at_a_time_and_never_of_oneself() -> None:
    some = fetcher()
    assert len(some.want(BLOCKS)) == 1
    assert some.want(BLOCKS) == []
    assert asked(some.want(WantCertificates(first_view=1, last_view=2, hint=account_of(ME)))) != [ME]


def test_answers_count_only_from_the_peer_that_was_asked_and_once() -> None:
    some = fetcher()
    peer = some.want(BLOCKS)[0][0]
    stranger = account_of(9)
    assert not some.answered(stranger, "finalized", b"")
    assert some.answered(peer, "finalized", b"")
    assert not some.answered(peer, "finalized", b"")


def test_a_blamed_peer_is_not_asked_for_a_while_and_what_was_open_with_it_goes_to_another() -> None:
    some = fetcher(size=3)
    first = asked(some.want(BLOCKS))[0]
    other = asked(some.blame(account_of(first)))
    assert other == [3 - first]
    some.answered(account_of(other[0]), "finalized", b"")
    for _ in range(DISTRUST_TICKS - 1):
        some.tick()
    assert asked(some.want(BLOCKS)) == other
    some.tick()
    some.blame(account_of(other[0]))
    assert asked(some.want(BLOCKS)) in ([], [first])


def test_who_claims_to_have_the_blocks_is_asked_first_validator_or_not() -> None:
    some = fetcher()
    some.heard(account_of(7), 10)
    assert asked(some.want(BLOCKS)) == [7]


def test_a_silent_peer_that_claims_everything_is_left_for_those_that_answer() -> None:
    some = fetcher()
    some.heard(account_of(7), 2**40)
    assert asked(some.want(BLOCKS)) == [7]
    nexts: list[int] = []
    for _ in range(PATIENCE_TICKS):
        nexts += asked(some.tick())
    assert some.answered(account_of(nexts[0]), "finalized", b"")
    for _ in range(10):
        peer = asked(some.want(BLOCKS))[0]
        assert peer != 7, "it costs its silence once, not once for each range"
        some.answered(account_of(peer), "finalized", b"")
    for _ in range(SLOW_TICKS):
        some.tick()
    assert asked(some.want(BLOCKS)) == [7]


def test_peers_that_have_nothing_are_asked_once_each_however_fast_they_say_so() -> None:
    some = fetcher()
    requests = some.want(BLOCKS)
    seen: list[int] = []
    while requests:
        seen += asked(requests)
        requests = some.has_nothing(requests[0][0])
    assert sorted(seen) == [1, 2, 3]
    assert not some.busy
    assert some.has_nothing(account_of(1)) == []


def test_a_peer_that_has_pruned_what_is_asked_for_is_left_for_one_that_has_it() -> None:
    some = fetcher()
    for other in (1, 2, 3):
        some.heard(account_of(other), 500)
    [(pruned, question)] = some.want(WantFinalized(first_height=7))
    [(other, again)] = some.has_nothing(pruned)
    assert other != pruned
    assert again == question
    assert not some.history_gone
    assert some.answered(other, "finalized", b"")


def test_that_nobody_has_the_blocks_any_more_is_known_until_somebody_gives_some() -> None:
    some = fetcher()
    for other in (1, 2, 3):
        some.heard(account_of(other), 500)
    requests = some.want(WantFinalized(first_height=7))
    while requests:
        requests = some.has_nothing(requests[0][0])
    assert some.history_gone
    [(peer, _)] = some.want(WantFinalized(first_height=7))
    assert some.answered(peer, "finalized", b"")
    assert not some.history_gone


def test_that_nobody_is_so_far_yet_is_not_taken_for_pruned() -> None:
    some = fetcher()
    requests = some.want(WantFinalized(first_height=7))
    while requests:
        requests = some.has_nothing(requests[0][0])
    assert not some.history_gone


def test_a_question_that_nobody_answers_is_dropped_and_may_be_asked_again() -> None:
    some = fetcher()
    some.want(BLOCKS)
    for _ in range(TRIES_MAX * PATIENCE_TICKS):
        some.tick()
    assert not some.busy
    assert len(some.want(BLOCKS)) == 1


def test_open_questions_and_remembered_claims_are_bounded() -> None:
    some = fetcher()
    for index in range(WANTS_MAX + 5):
        some.want(WantBlock(digest=index.to_bytes(32, "big"), height=1, hint=None))
    assert len(some._open) == WANTS_MAX
    for index in range(PEERS_MAX + 5):
        some.heard(account_of(100 + index), 1)
    assert len(some.heights) == PEERS_MAX
    some.heard(account_of(100), 2)
    assert some.heights[account_of(100)] == 2


def test_a_new_epoch_forgets_the_questions_and_asks_its_own_validators() -> None:
    some = fetcher()
    some.want(BLOCKS)
    some.enter(2, (account_of(ME), account_of(5)))
    assert not some.busy
    want = WantBlock(digest=bytes(32), height=3, hint=None)
    (request,) = some.want(want)
    assert request[0] == account_of(5)
    assert getattr(request[1], "epoch", None) == 2


def test_nobody_to_ask_is_no_error() -> None:
    some = fetcher(size=1)
    assert some.want(BLOCKS) == []
    assert some.tick() == []


# --- answering ------------------------------------------------------------------------------------------------------


def chain(blocks: int) -> tuple[Cluster, SimApplication]:
    cluster = Cluster(1, seed=2)
    cluster.start()
    for _ in range(blocks):
        finalize_one(cluster)
    application = cluster.nodes[0].application
    assert application is not None
    return cluster, application


def served(server: Server, first_height: int) -> tuple[FinalizedBlock, ...]:
    return server.finalized_range(FetchFinalized(first_height=first_height)).blocks


def test_finalized_blocks_are_served_from_the_asked_height_up_within_the_bound() -> None:
    _, application = chain(RANGE_BLOCKS_MAX + 6)
    server = Server(application)
    assert [one.block.header.height for one in served(server, 1)] == list(range(1, RANGE_BLOCKS_MAX + 1))
    assert [one.block.header.height for one in served(server, RANGE_BLOCKS_MAX + 5)] == [
        RANGE_BLOCKS_MAX + 5,
        RANGE_BLOCKS_MAX + 6,
    ]
    assert served(server, RANGE_BLOCKS_MAX + 7) == ()
    assert served(server, 0) == ()


def test_one_peer_gets_a_bounded_number_of_answers_in_a_period_and_others_are_not_affected() -> None:
    _, application = chain(1)
    server = Server(application)
    allowed = [server.allow(account_of(1)) for _ in range(ANSWERS_PER_PERIOD_MAX + 1)]
    assert allowed == [True] * ANSWERS_PER_PERIOD_MAX + [False]
    assert server.allow(account_of(2))
    server.new_period()
    assert server.allow(account_of(1))
