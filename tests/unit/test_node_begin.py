"""How a node begins: which ledger, which journal, and which vote key it may use after what has happened to its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from consensus.disk import FileDisk
from consensus.journal import Journal
from node.bootstrap import BLOCK_MS_MIN, OtherNetwork, begin, has_ledger, open_store, wants_snapshot
from node.cards import read_card
from node.config import SyncSection
from node.foundation import Foundation, lay_foundation
from node.founding import assemble_genesis, install_network, make_bundle
from node.home import Home
from node.identity import create_identity
from node.keystore import KeyFiles
from node.lock import HomeInUse
from node.rotation import rotate_vote_key
from tests.suites import suite_under_test

SUITE = suite_under_test()
NOW_MS = 1_735_689_600_000


def found(folder: Path, network: str = "test") -> tuple[Home, ...]:
    homes = tuple(Home(folder / f"{network}-{n}") for n in range(4))
    cards = [
        create_identity(
            home,
            network=network,
            name=f"operator-{n}",
            suite=SUITE,
            peer_host="127.0.0.1",
            peer_port=1000 + n,
            http_host="127.0.0.1",
            http_port=2000 + n,
            now_ms=NOW_MS,
        )
        for n, home in enumerate(homes)
    ]
    genesis = assemble_genesis(network, cards, time_ms=NOW_MS, suite=SUITE)
    for home in homes:
        install_network(home, make_bundle(genesis))
    return homes


@pytest.fixture
def base(tmp_path: Path) -> Foundation:
    return lay_foundation(found(tmp_path)[0].root)


def test_a_new_node_has_no_ledger_and_a_journal_that_silences_nobody(base: Foundation) -> None:
    after, journal, store = begin(base)
    assert store is None
    assert journal.silenced is None
    assert after.identity == base.identity
    assert not has_ledger(base)


def test_a_ledger_that_is_there_is_opened(base: Foundation) -> None:
    begin(base)
    open_store(base).close()
    assert has_ledger(base)
    _, journal, store = begin(base)
    assert store is not None
    assert (store.height, journal.silenced) == (0, None)
    store.close()


def test_a_lost_journal_silences_the_key_and_gives_up_the_one_that_waits(base: Foundation) -> None:
    begin(base)
    open_store(base).close()
    for path in base.home.journal.iterdir():
        path.unlink()
    rotate_vote_key(base.home, SUITE)
    after, journal, store = begin(base)
    assert store is not None
    store.close()
    assert journal.silenced == base.identity.vote_signer.public_key
    assert after.identity.vote_signer_next is None
    assert not KeyFiles(base.home).card_next.exists()


def test_a_key_that_was_made_after_the_loss_may_vote(base: Foundation) -> None:
    disk = FileDisk(base.home.journal)
    (base.home.journal / "never-started").unlink()
    Journal.create(disk, silenced=base.identity.vote_signer.public_key).close()
    card = rotate_vote_key(base.home, SUITE)
    base.lock.release()
    after, journal, _ = begin(lay_foundation(base.home.root))
    assert journal.silenced == base.identity.vote_signer.public_key
    assert bytes.fromhex(card.vote_key) in after.identity.vote_signers.keys() - {journal.silenced}


def test_a_rotation_that_waits_leaves_the_key_of_the_ledger_in_force(base: Foundation) -> None:
    begin(base)
    open_store(base).close()
    rotate_vote_key(base.home, SUITE)
    before = read_card(base.home.card)
    after, _, store = begin(base)
    assert store is not None
    store.close()
    assert read_card(base.home.card) == before
    assert after.identity.vote_signer.public_key == base.identity.vote_signer.public_key


def test_a_ledger_of_another_network_is_refused(base: Foundation, tmp_path: Path) -> None:
    other = lay_foundation(found(tmp_path, "other")[0].root)
    open_store(other).close()
    base.home.store.rmdir()
    other.home.store.rename(base.home.store)
    with pytest.raises(OtherNetwork):
        begin(base)


def test_a_second_process_is_kept_out(base: Foundation) -> None:
    with pytest.raises(HomeInUse):
        lay_foundation(base.home.root)


@pytest.mark.parametrize(
    ("above", "age_ms", "wanted"),
    [
        (1000, 1000 * BLOCK_MS_MIN + 1, True),
        (1000, 1000 * BLOCK_MS_MIN, False),
        (0, 10**12, False),
    ],
)
def test_only_a_network_that_can_be_far_ahead_is_asked_for_a_snapshot(
    base: Foundation, above: int, age_ms: int, wanted: bool
) -> None:
    from msgspec.structs import replace as replace_struct

    config = replace_struct(base.config, sync=SyncSection(state_sync_above_blocks=above))
    empty = replace(base, config=config)
    assert wants_snapshot(empty, NOW_MS + age_ms) is wanted
    open_store(empty).close()
    assert not wants_snapshot(empty, NOW_MS + age_ms)
