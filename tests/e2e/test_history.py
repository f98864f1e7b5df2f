"""The history checker finds what was planted, and only that."""

from __future__ import annotations

from tests.e2e.harness.history import Fate, History, LedgerBlock, Read, Told, Verdict, Write, check

NODES = (1, 2, 3, 4)
Blocks = dict[int, LedgerBlock]


def block(height: int, *names: str, code: str = "ok") -> LedgerBlock:
    return LedgerBlock(digest=f"digest {height}", transactions=tuple((name, code) for name in names))


def everywhere(*blocks: LedgerBlock) -> dict[int, Blocks]:
    return {node: dict(enumerate(blocks, start=1)) for node in NODES}


def told(at_s: float, node: int, name: str, fate: Fate, height: int = -1, code: str = "") -> Told:
    code = code or ("ok" if fate is Fate.FINALIZED else "")
    return Told(
        began_s=at_s - 0.5, ended_s=at_s, node=node, transaction=name, fate=fate, height=height, code=code
    )


def read(at_s: float, node: int, height: int, *labels: str) -> Read:
    return Read(began_s=at_s, node=node, account="account", height=height, labels=labels)


def history(*events: Told | Read, writes: tuple[str, ...] = ("a", "b")) -> History:
    made = History()
    for name in writes:
        made.wrote(Write(transaction=name, account="account", label=f"label {name}"))
    for event in events:
        made.add(event)
    return made


def only(verdict: Verdict, *parts: str) -> None:
    """Exactly these violations, each recognised by a part of its text."""
    assert len(verdict.violations) == len(parts), verdict.violations
    for violation, part in zip(verdict.violations, parts, strict=True):
        assert part in violation


ACCEPTED_A = told(1, 1, "a", Fate.ACCEPTED)
FINAL_A = told(2, 1, "a", Fate.FINALIZED, 1)


def test_a_history_in_order_has_no_violation() -> None:
    events = (
        ACCEPTED_A,
        read(1.2, 2, 0),
        FINAL_A,
        read(3, 1, -1, "label a"),
        read(3, 2, 0),
        read(4, 2, 1, "label a"),
        told(5, 3, "b", Fate.REJECTED, code="expired"),
    )
    verdict = check(history(*events), everywhere(block(1, "a")))
    only(verdict)
    assert (verdict.accepted, verdict.finalized, verdict.lost, verdict.doubled) == (1, 1, set(), set())


def test_lost_an_acknowledged_transaction_that_no_ledger_has() -> None:
    verdict = check(history(FINAL_A), everywhere(block(1, "b")))
    only(verdict, "it is in no ledger")
    assert verdict.lost == {"a"}


def test_lost_one_ledger_lacks_it() -> None:
    ledgers = everywhere(block(1, "a"))
    ledgers[3][1] = LedgerBlock(digest="digest 1", transactions=())
    verdict = check(history(FINAL_A), ledgers)
    only(verdict, "not in the ledger of node 3")
    assert verdict.lost == {"a"}


def test_lost_an_accepted_transaction_nobody_decided() -> None:
    verdict = check(history(ACCEPTED_A), everywhere(block(1)))
    only(verdict, "neither final nor expired")
    assert verdict.lost == {"a"}
    assert (verdict.accepted, verdict.finalized) == (1, 0)


def test_lost_an_accepted_transaction_that_its_node_forgot() -> None:
    verdict = check(history(ACCEPTED_A, told(2, 1, "a", Fate.UNKNOWN)), everywhere(block(1)))
    only(verdict, "does not know it any more")
    assert verdict.lost == {"a"}


def test_what_only_a_departed_node_accepted_is_nobodys_promise() -> None:
    other = told(1, 2, "b", Fate.ACCEPTED)
    only(check(history(ACCEPTED_A), everywhere(block(1)), departed={1}))
    only(check(history(ACCEPTED_A, other), everywhere(block(1)), departed={1}), "b, accepted by node 2")


def test_an_accepted_transaction_may_expire_or_be_refused_on_record() -> None:
    events = (ACCEPTED_A, told(9, 1, "a", Fate.EXPIRED), told(1, 2, "b", Fate.ACCEPTED))
    verdict = check(history(*events), everywhere(block(1, "b", code="denied")))
    only(verdict)


def test_an_expired_transaction_in_a_ledger_is_a_lie() -> None:
    verdict = check(history(ACCEPTED_A, told(9, 1, "a", Fate.EXPIRED)), everywhere(block(1, "a")))
    only(verdict, "said to be expired, and is in block 1")


def test_doubled_in_one_block_and_over_two_blocks() -> None:
    for blocks in ((block(1, "a", "a"),), (block(1, "a"), block(2, "a"))):
        verdict = check(history(writes=()), everywhere(*blocks))
        assert verdict.doubled == {"a"}
        assert len(verdict.violations) == len(NODES)


def test_doubled_in_effect_though_once_in_the_ledger() -> None:
    verdict = check(history(read(3, 2, 1, "label a", "label a")), everywhere(block(1, "a")))
    only(verdict, "stands 2 times at node 2")
    assert verdict.doubled == {"a"}


def test_a_read_after_the_acknowledgement_at_the_same_node_must_see_it() -> None:
    verdict = check(history(FINAL_A, read(2.1, 1, -1)), everywhere(block(1, "a")))
    only(verdict, "stale read: node 1")


def test_a_read_that_began_before_the_acknowledgement_need_not_see_it() -> None:
    only(check(history(FINAL_A, read(1.9, 1, -1)), everywhere(block(1, "a"))))


def test_a_read_at_another_node_must_see_it_from_its_height_on() -> None:
    blocks = everywhere(block(1), block(2, "a"))
    final = told(2, 1, "a", Fate.FINALIZED, 2)
    only(check(history(final, read(3, 4, 1)), blocks))
    only(check(history(final, read(3, 4, 2)), blocks), "stale read: node 4 at 2")


def test_a_label_that_was_never_written_must_not_be_read() -> None:
    verdict = check(history(read(3, 4, 1, "label b")), everywhere(block(1, "b", code="denied")))
    only(verdict, "was never written")


def test_a_node_that_is_high_enough_must_know_the_transaction() -> None:
    blocks = everywhere(block(1, "a"))
    only(check(history(told(1, 2, "a", Fate.UNKNOWN, 0)), blocks))
    only(check(history(told(1, 2, "a", Fate.UNKNOWN, 1)), blocks), "said unknown of a, final at 1")


def test_final_is_for_ever() -> None:
    verdict = check(history(FINAL_A, told(3, 1, "a", Fate.UNKNOWN)), everywhere(block(1, "a")))
    only(verdict, "later said unknown")


def test_an_acknowledged_place_or_result_that_is_another_in_the_ledger() -> None:
    blocks = everywhere(block(1), block(2, "a"))
    only(
        check(history(told(2, 1, "a", Fate.FINALIZED, 2, "denied"), writes=()), blocks),
        "'denied'; it is (2, 'ok')",
    )
    verdict = check(history(FINAL_A, writes=()), blocks)
    assert "put a at 1" in verdict.violations[0]


def test_ledgers_that_differ_or_end_at_different_heights() -> None:
    ledgers = everywhere(block(1), block(2))
    ledgers[2][2] = LedgerBlock(digest="other", transactions=())
    only(check(history(), ledgers), "block 2 differs")
    del ledgers[2][2]
    only(check(history(), ledgers), "heights differ")


def test_a_ledger_that_began_from_a_snapshot_lacks_older_blocks_without_blame() -> None:
    ledgers = everywhere(block(1, "a"), block(2))
    del ledgers[4][1]
    only(check(history(FINAL_A), ledgers))
