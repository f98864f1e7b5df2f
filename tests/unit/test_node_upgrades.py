"""Nodes go over to a contract's next version together, whatever happens to each of them on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts import migrations, upgrades
from contracts.actions import SetProtocolVersion
from contracts.calls import GrantsApprove, GrantsRequest, GrantsRevoke
from contracts.records import ConsentMode, FetchType, GrantItem, GrantState
from contracts.registry import REGISTRY
from contracts.runtime import ReleaseLacksContract
from contracts.state import CONTRACTS, GRANTS
from contracts.upgrade_actions import UpgradeContract
from contracts.upgrade_records import MigrationStep
from contracts.upgrades import CONTRACT_NOTICE_BLOCKS_MIN
from contracts.versions import Registry
from ledger import domains
from ledger.hashing import transaction_id
from ledger.snapshot_files import make_snapshot
from ledger.store import Store
from ledger.store_build import Origin
from node.archive_import import Replay
from node.overlays import Executed, OrderedState
from node.storechild import StoreTask, read_store
from node.upgrades import Coming, coming_at
from tests.releases import grants_v2
from tests.releases.grants_v2 import GRANTS_V2
from tests.unit.contracts_world import BANK, DAY_MS, LI, SUITE
from tests.unit.node_replica import CARD, Replica, founded, make_genesis

SECOND = REGISTRY.with_versions(grants_v2.CONTRACT)
GRANTS_THERE = 10
Make = Callable[..., Replica]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MIGRATION_RECORDS_PER_BLOCK_MAX", 4)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: dict[str, Replica] = {}

    def build(name: str, registry: Registry = SECOND) -> Replica:
        if name in made:
            made[name].close()
        made[name] = Replica(tmp_path / name, registry=registry)
        return made[name]

    yield build
    for replica in made.values():
        replica.close()


def asking(replica: Replica) -> GrantsRequest:
    return GrantsRequest(
        pii_principal_id=LI.account,
        purpose="loan",
        lawful_basis="consent",
        legal_ref="",
        privacy_notice_hash=bytes(32),
        language="zh",
        items=(GrantItem(certificate_type=CARD, certificate=b"", fields=("name",), attachments=()),),
        consent_mode=ConsentMode.STORE,
        fetch_type=FetchType.PERIODIC,
        uses_max=3,
        consent_expiry_ms=replica.now_ms + 7 * DAY_MS,
        data_life_ms=DAY_MS,
        jurisdiction="cn",
        revocable=True,
        renews=b"",
    )


def give(replica: Replica, number: int) -> list[bytes]:
    """That many active grants; their ids."""
    asked = [replica.sign(BANK, asking(replica)) for _ in range(number)]
    replica.done(*asked)
    ids = [SUITE.hash(domains.GRANT_ID, transaction_id(SUITE, one.body))[:16] for one in asked]
    state = replica.chain.records
    approvals = []
    for grant_id in ids:
        grant = state.grant(grant_id)
        assert grant is not None
        approvals.append(
            replica.sign(
                LI,
                GrantsApprove(
                    grant_id=grant_id,
                    items=grant.requested_items,
                    uses_max=3,
                    consent_expiry_ms=grant.consent_expiry_ms,
                ),
            )
        )
    replica.done(*approvals)
    return ids


def story(replica: Replica) -> tuple[list[bytes], int]:
    """Grants, and version 2 set for a height."""
    ids = give(replica.populate(), GRANTS_THERE)
    height = replica.execution.finalized_height() + 2 + CONTRACT_NOTICE_BLOCKS_MIN
    replica.vote(UpgradeContract(contract="grants", version=2, height=height))
    return ids, height


def follow(there: Replica, here: Replica, *, up_to: int = 10_000) -> None:
    """Verify and finalize what `here` has and `there` has not."""
    for final in here.finalized:
        height = final.finalized.block.header.height
        if there.execution.finalized_height() < height <= up_to:
            assert there.execution.verify(final.finalized.block, final.executed.digest), height
            there.execution.finalize(final.finalized, final.executed.digest)


def go_to(replica: Replica, height: int) -> None:
    while replica.execution.finalized_height() < height:
        replica.step()


def test_a_node_may_stop_anywhere_in_a_migration_and_commit_in_any_groups(make: Make) -> None:
    here = make("a")
    ids, height = story(here)
    go_to(here, height + 8)
    there = make("b")
    there_finalized = 0
    while there.execution.finalized_height() < here.execution.finalized_height():
        follow(there, here, up_to=there.execution.finalized_height() + 1)
        there_finalized += 1
        if there.execution.finalized_height() >= height - 1:
            while there.commit(1 + there_finalized % 3):
                pass
            there = make("b")
    assert there.execution.head() == here.execution.head()
    while here.commit():
        pass
    assert dict(here.store.view().state()) == dict(there.store.view().state())
    state = here.execution.state()
    assert GRANTS.get(state, ids[0]) is None
    assert here.chain.records.grant(ids[0]) == there.chain.records.grant(ids[0])


def test_blocks_are_wanted_until_a_migration_has_ended_and_no_longer(make: Make) -> None:
    here = make("a")
    _, height = story(here)
    assert not here.execution.has_work(), "nobody makes empty blocks to come to a height"
    go_to(here, height)
    blocks = 0
    while here.execution.has_work():
        here.step()
        blocks += 1
    assert (
        blocks == 5
    )  # 10 records, 4 a block: 3 blocks to copy, 3 to sweep, the last of the first beginning the second
    assert not upgrades.migrating(here.execution.state())


def test_two_blocks_on_one_parent_migrate_each_for_itself(make: Make) -> None:
    here, there = make("a"), make("b")
    _, height = story(here)
    go_to(here, height - 1)
    follow(there, here)
    ours, theirs = here.propose(view=500), here.propose(view=501)
    above, _ = here.propose(ours[1], view=502)
    for block, digest in (theirs, ours):
        assert there.execution.verify(block, digest)
    assert above.header.state_root != ours[0].header.state_root
    here.finalize(theirs[0])
    there.finalize(theirs[0])
    go_to(here, height + 8)
    follow(there, here)
    assert there.execution.head() == here.execution.head()


def test_a_node_that_begins_with_a_snapshot_from_within_a_migration_goes_on_with_it(
    make: Make, tmp_path: Path
) -> None:
    here = make("a")
    _, height = story(here)
    go_to(here, height + 1)
    while here.commit():
        pass
    (copying,) = (one.migration for one in upgrades.contracts(here.execution.state()) if one.name == "grants")
    assert copying is not None
    assert copying.step is MigrationStep.COPYING
    file = make_snapshot(SUITE, here.store.view(), tmp_path / "snapshots", lambda: None)
    document = make_genesis()
    origin = Origin(genesis=document, state=founded(document), changes=())
    (tmp_path / "c").mkdir()
    Store.create_from_snapshot(
        tmp_path / "c" / "store", SUITE, origin, file.snapshot, lambda index: file.piece(SUITE, index)
    ).close()
    newcomer = make("c")
    assert newcomer.execution.head() == here.execution.head()
    newcomer.execution.check_release()
    go_to(here, height + 8)
    follow(newcomer, here)
    assert newcomer.execution.head() == here.execution.head()
    with pytest.raises(ReleaseLacksContract):
        make("c", REGISTRY).execution.check_release()


def test_history_is_executed_again_by_the_versions_of_its_time(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make("a")
    story(here)
    go_to(here, here.execution.finalized_height() + 30)
    document = make_genesis()
    store = Store.create(tmp_path / "again", SUITE, document, founded(document))
    again = Replay(SUITE, store, registry=SECOND)
    for final in here.finalized:
        again.add(final.finalized)
    again.flush()
    while here.commit():
        pass
    assert store.head == here.store.head
    assert dict(store.view().state()) == dict(here.store.view().state())
    store.close()


def test_a_node_without_the_version_stops_before_that_height_and_comes_back_with_another_release(
    make: Make,
) -> None:
    here, old = make("a"), make("b", REGISTRY)
    ids, height = story(here)
    go_to(here, height + 1)
    follow(old, here, up_to=height - 1)
    (shown,) = coming_at(old.execution.state(), height - 1)
    assert (shown.contract, shown.version, shown.height, shown.supported, shown.lacking) == (
        "grants",
        2,
        height,
        1,
        True,
    )
    final = here.finalized[height - 1]
    attempts: tuple[Callable[[], object], ...] = (
        lambda: old.execution.verify(final.finalized.block, final.executed.digest),
        lambda: old.execution.finalize(final.finalized, final.executed.digest),
        old.propose,
        old.execution.check_release,
    )
    for attempt in attempts:
        with pytest.raises(ReleaseLacksContract):
            attempt()
    assert old.execution.finalized_height() == height - 1
    while old.commit():
        pass
    upgraded = make("b")
    upgraded.execution.check_release()
    go_to(here, height + 8)
    follow(upgraded, here)
    assert upgraded.execution.head() == here.execution.head()
    here.done(here.sign(LI, GrantsRevoke(grant_id=ids[3])))
    grant = here.chain.records.grant(ids[3])
    assert grant is not None
    assert grant.state is GrantState.REVOKED


def test_a_record_is_proven_under_the_key_that_it_had_at_that_height(make: Make) -> None:
    here = make("a")
    ids, height = story(here)
    go_to(here, height + 8)
    records = here.chain
    before, after = GRANTS.key(ids[0]), GRANTS_V2.key(ids[0])
    for at, key in (
        (height - 1, before),
        (height, before),
        (height + 1, before),
        (height + 3, after),
        (None, after),
    ):
        assert records.record_key(GRANTS, ids[0], at) == key, at
        proven = records.state_receipt(key, at)
        assert proven.value is not None
    while here.commit():
        pass
    assert records.record_key(GRANTS, ids[0], height - 1) == before
    assert records.state_receipt(before, height - 1).value is not None
    schedule = records.state_receipt(CONTRACTS.key("grants"))
    assert CONTRACTS.decode(schedule.value or b"").version == 2


def test_a_child_reads_from_a_store_what_is_set_and_lacking(make: Make) -> None:
    here = make("a")
    _, height = story(here)
    here.vote(SetProtocolVersion(version=2, height=height + 5))
    while here.commit():
        pass
    folder = here.folder / "store"
    here.close()
    report = read_store(StoreTask(folder=str(folder), genesis=None, depth="glance"), lambda *_: None)
    assert report.faults == ()
    assert report.coming == (
        Coming(contract="grants", version=2, height=height, supported=1),
        Coming(contract="", version=2, height=height + 5, supported=1),
    )
    assert all(one.lacking for one in report.coming)
    make("a")


# --- going through layered state --------------------------------------------------------------------------------


class _Entries:
    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.entries = entries

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def tree_node(self, key: bytes) -> bytes | None:
        raise AssertionError(key)

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        keys = sorted(key for key in self.entries if key.startswith(prefix) and key >= start)
        return [(key, self.entries[key]) for key in keys[:limit]]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_layers_are_gone_through_as_if_they_were_one_store(limit: int, make: Make) -> None:
    block = make("a").propose()[0]

    def layer(writes: dict[bytes, bytes | None]) -> Executed:
        executed = object.__new__(Executed)
        object.__setattr__(executed, "block", block)
        object.__setattr__(executed, "writes", writes)
        return executed

    store = _Entries({b"t/%d" % n: b"old" for n in range(8)} | {b"s/1": b"", b"u/1": b""})
    newest: dict[bytes, bytes | None] = {b"t/2": b"new", b"t/3": None, b"t/55": b"", b"v": b""}
    older: dict[bytes, bytes | None] = {b"t/2": None, b"t/3": b"x", b"t/0": None, b"t/1": None, b"t/9": b""}
    state = OrderedState(store, [layer(newest), layer(older)])
    found: list[tuple[bytes, bytes]] = []
    while page := state.scan(b"t/", start=found[-1][0] + b"\0" if found else b"t/", limit=limit):
        assert len(page) <= limit
        found += page
    assert [key for key, _ in found] == [b"t/2", b"t/4", b"t/5", b"t/55", b"t/6", b"t/7", b"t/9"]
    assert all(state.get(key) == value for key, value in found)
