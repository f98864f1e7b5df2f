"""Operators restart a network of which only their identities and a ledger are left, and nobody else can, nor twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from consensus.core.records import CertificateRecord
from consensus.disk import FileDisk
from consensus.journal import Journal
from contracts.genesis import genesis_state
from contracts.membership import node as node_record
from contracts.membership import validators
from ledger.epochs import advance_trust
from ledger.light import TRUST_VERSION
from ledger.store import Store
from ledger.types import QuorumCertificate, Trust, VoteKind
from ledger.verdicts import ProofRejected
from node.archive_import import journal_silence
from node.founding import assemble_genesis, install_network, load_network, make_bundle
from node.home import Home
from node.identity import create_identity, load_identity
from node.journal import MARK
from node.keystore import KeyFiles
from node.restart import Operator, Progressed, Waiting, advance
from node.restart_memory import VOTED_FILE, note_vote
from node.restart_papers import (
    RESTART_VIEW,
    Approval,
    Ballot,
    Offer,
    Plan,
    Restart,
    RestartRefused,
    Sealing,
    from_json,
    sign_offer,
    to_json,
)
from node.rotation import retire_vote_key
from tests.suites import suite_under_test
from zhenglian import KeyFile

SUITE = suite_under_test()
NOW_MS = 1_735_689_600_000
SEGMENT_SIZE_BYTES = 1 << 16


def lost_network(folder: Path, count: int = 4) -> tuple[Home, ...]:
    """Homes with an identity, an imported ledger, and a journal that says what it forgot."""
    homes = tuple(Home(folder / f"node-{n}") for n in range(count))
    cards = [
        create_identity(
            home,
            network="test",
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
    genesis = assemble_genesis("test", cards, time_ms=NOW_MS, suite=SUITE)
    for home, card in zip(homes, cards, strict=True):
        install_network(home, make_bundle(genesis))
        (home.journal / MARK).unlink()
        disk = FileDisk(home.journal)
        silenced = bytes.fromhex(card.vote_key)
        Journal.create(disk, silenced=silenced, segment_size_bytes=SEGMENT_SIZE_BYTES).close()
        disk.close()
        Store.create(home.store, SUITE, genesis, genesis_state(SUITE, genesis)).close()
    return homes


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Home, ...]:
    return lost_network(tmp_path)


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    return folder


def step(home: Home, papers: Path, *, close: bool = False, host: str | None = None) -> Progressed:
    admin = KeyFile.load(KeyFiles(home).admin)
    operator = Operator(
        identity=load_identity(home, SUITE),
        admin_key_id=bytes.fromhex(admin.key_id),
        admin=admin.signer(),
        host=host,
        port=None,
        close=close,
    )
    return advance(home, papers, SUITE, operator)


def rounds(homes: Sequence[Home], papers: Path) -> None:
    """Everybody in turn until all have gone on."""
    for _ in range(4):
        awaited = [step(home, papers).waiting for home in homes]
        if set(awaited) == {Waiting.NOTHING}:
            return
    raise AssertionError("it does not come to an end")


def trust_of(home: Home) -> Trust:
    genesis = load_network(home).genesis
    with Store.open(home.store, SUITE) as store:
        return Trust(
            version=TRUST_VERSION,
            network=genesis.network,
            suite=genesis.suite,
            chain_id=store.chain_id,
            validators=genesis.validators,
        )


def refused(home: Home, papers: Path, pattern: str) -> None:
    with pytest.raises(RestartRefused, match=pattern) as caught:
        step(home, papers)
    assert caught.value.message("zh") != caught.value.message("en")


def paper(papers: Path, name: str) -> bytes:
    return next(papers.glob(name)).read_bytes()


# --- how it goes ----------------------------------------------------------------------------------------------------


def test_all_ledgers_go_on_by_one_block_that_the_old_keys_sign_for_the_new_ones(
    homes: tuple[Home, ...], papers: Path
) -> None:
    trust = trust_of(homes[0])
    step(homes[0], papers, host="new.example")
    rounds(homes, papers)
    heads = set()
    followed = trust
    for home in homes:
        with Store.open(home.store, SUITE) as store:
            heads.add((store.height, store.head_digest))
            (change,) = store.epoch_changes(1)
            assert change.header.view == RESTART_VIEW
            followed = advance_trust(SUITE, trust, change)
            assert followed.validators == validators(store)
            moved = node_record(store, trust.validators.validators[0].account)
            assert moved is not None
            assert moved.host == "new.example"
    assert len(heads) == 1
    old = {one.vote_key for one in trust.validators.validators}
    assert not old & {one.vote_key for one in followed.validators.validators}


def test_afterwards_each_home_has_its_new_key_which_no_journal_silences(
    homes: tuple[Home, ...], papers: Path
) -> None:
    rounds(homes, papers)
    for index, home in enumerate(homes):
        with Store.open(home.store, SUITE) as store:
            named = validators(store).validators[index].vote_key
        assert journal_silence(home) not in {None, named}
        assert retire_vote_key(home, SUITE, named)
        assert load_identity(home, SUITE).vote_signer.public_key == named


def test_a_quorum_is_enough_and_who_is_missing_can_follow_later(
    homes: tuple[Home, ...], papers: Path
) -> None:
    for home in homes[:3]:
        assert step(home, papers).waiting is Waiting.OFFERS
    assert step(homes[0], papers, close=True).waiting is Waiting.APPROVALS
    rounds(homes[:3], papers)
    late = advance(homes[3], papers, SUITE, None)
    assert (late.waiting, late.height) == (Waiting.NOTHING, 1)
    assert step(homes[3], papers).did == ()


def test_without_a_quorum_of_offers_nothing_is_planned(homes: tuple[Home, ...], papers: Path) -> None:
    for home in homes[:2]:
        assert step(home, papers, close=True).waiting is Waiting.OFFERS
    assert not (papers / "plan.json").exists()


def test_seven_validators_change_their_keys_at_once(tmp_path: Path, papers: Path) -> None:
    homes = lost_network(tmp_path / "many", 7)
    rounds(homes, papers)
    with Store.open(homes[6].store, SUITE) as store:
        assert validators(store).epoch == 2


# --- what is refused ------------------------------------------------------------------------------------------------


def test_an_offer_counts_only_with_the_signature_and_the_ledger_of_its_operator(
    homes: tuple[Home, ...], papers: Path
) -> None:
    step(homes[0], papers)
    path = next(papers.glob("offer-*"))
    good = path.read_bytes()
    offer = from_json(good, Offer, "offer")
    further = replace(offer.body, base=replace(offer.body.base, height=7))
    stranger = SUITE.generate_signer()[1]
    for wrong, pattern in (
        (replace(offer, body=replace(offer.body, vote_key=bytes(48))), "not signed"),
        (replace(offer, body=further), "ends at height 7"),
        (sign_offer(stranger, offer.body), "not signed"),
        (replace(offer, body=replace(offer.body, declaration="")), "another version"),
    ):
        path.write_bytes(to_json(wrong))
        refused(homes[1], papers, pattern)
    path.write_bytes(good[: len(good) // 2])
    refused(homes[1], papers, "cannot be used")
    path.write_bytes(good)
    assert step(homes[1], papers).present == 2


def test_a_plan_says_what_its_offers_say(homes: tuple[Home, ...], papers: Path) -> None:
    for home in homes:
        step(home, papers)
    path = papers / "plan.json"
    plan = from_json(path.read_bytes(), Plan, "plan")
    for wrong, pattern in (
        (replace(plan, offers=plan.offers[:2]), "3 operators are needed"),
        (replace(plan, offers=plan.offers[:3]), "not the one of its offers"),
        (replace(plan, offers=plan.offers[::-1]), "in their order"),
        (replace(plan, offers=(plan.offers[0],) * 4), "in their order"),
    ):
        path.write_bytes(to_json(wrong))
        refused(homes[0], papers, pattern)


def test_the_block_is_the_one_that_the_plan_leads_to(homes: tuple[Home, ...], papers: Path) -> None:
    for home in (*homes, *homes[:3]):
        step(home, papers)
    assert step(homes[3], papers).waiting is Waiting.VOTES
    path = papers / "block.json"
    sealing = from_json(path.read_bytes(), Sealing, "block")
    header = sealing.block.header
    for wrong in (
        replace(sealing.block, header=replace(header, view=RESTART_VIEW - 1)),
        replace(sealing.block, header=replace(header, height=2)),
        replace(sealing.block, header=replace(header, time_ms=header.time_ms + 1)),
        replace(sealing.block, header=replace(header, next_validators_hash=bytes(32))),
        replace(sealing.block, transactions=sealing.block.transactions[1:]),
    ):
        path.write_bytes(to_json(Sealing(block=wrong)))
        refused(homes[0], papers, "not the one that the plan leads to")
    untrue = replace(sealing.block, header=replace(header, state_root=bytes(32)))
    path.write_bytes(to_json(Sealing(block=untrue)))
    refused(homes[0], papers, "executing the block")
    assert not (homes[0].root / VOTED_FILE).exists()


def test_a_vote_counts_for_its_block_by_its_key_alone(homes: tuple[Home, ...], papers: Path) -> None:
    for home in (*homes, *homes[:3], homes[3]):
        step(home, papers)
    path = next(papers.glob("vote-*"))
    ballot = from_json(path.read_bytes(), Ballot, "vote")
    for wrong in (
        replace(ballot.vote, digest=bytes(31) + b"1"),
        replace(ballot.vote, kind=VoteKind.NOTARIZE),
        replace(ballot.vote, validator=0),
        replace(ballot.vote, signature=ballot.vote.signature[::-1]),
    ):
        path.write_bytes(to_json(Ballot(vote=wrong)))
        refused(homes[0], papers, "the vote of operator-3")


def test_approvals_are_of_this_plan(homes: tuple[Home, ...], papers: Path) -> None:
    for home in (*homes, homes[0]):
        step(home, papers)
    path = next(papers.glob("approval-*"))
    approval = from_json(path.read_bytes(), Approval, "approval")
    body = approval.transaction.body
    other = replace(body, call=replace(body.call, args=body.call.args[:-1] + b"!"))
    path.write_bytes(to_json(Approval(transaction=replace(approval.transaction, body=other))))
    refused(homes[1], papers, "not of this plan")


def test_a_restart_that_no_quorum_signed_changes_no_ledger(homes: tuple[Home, ...], papers: Path) -> None:
    for home in (*homes, *homes[:3], *homes[3:], *homes[:2]):
        step(home, papers)
    path = papers / "restart.json"
    final = from_json(path.read_bytes(), Restart, "restart").finalized
    certificate: QuorumCertificate = final.certificate
    path.write_bytes(
        to_json(Restart(finalized=replace(final, certificate=replace(certificate, signers=b"\x01"))))
    )
    with pytest.raises(ProofRejected):
        advance(homes[2], papers, SUITE, None)
    with Store.open(homes[2].store, SUITE) as store:
        assert store.height == 0


def test_a_key_votes_for_one_restart_in_an_epoch_and_is_silenced_before(
    homes: tuple[Home, ...], papers: Path, tmp_path: Path
) -> None:
    for home in (*homes, *homes[:3], homes[3]):
        step(home, papers)
    assert (homes[3].root / VOTED_FILE).exists()
    assert journal_silence(homes[3]) == load_identity(homes[3], SUITE).vote_signer.public_key
    with pytest.raises(RestartRefused, match="another restart"):
        note_vote(homes[3], 1, bytes(32))
    note_vote(homes[3], 2, bytes(32))


def test_a_home_that_knows_of_a_later_final_block_takes_no_part(
    homes: tuple[Home, ...], papers: Path
) -> None:
    disk = FileDisk(homes[0].journal)
    journal = Journal.open(disk)
    certificate = QuorumCertificate(
        kind=VoteKind.FINALIZE, epoch=1, view=3, digest=bytes(31) + b"1", signers=b"\x07", signature=b"-"
    )
    journal.append(CertificateRecord(certificate=certificate))
    journal.sync()
    journal.close()
    disk.close()
    refused(homes[0], papers, "later final block")
    assert not list(papers.iterdir())


def test_a_home_that_lost_the_key_of_its_offer_does_not_approve_it(
    homes: tuple[Home, ...], papers: Path
) -> None:
    for home in homes:
        step(home, papers)
    KeyFiles(homes[0]).vote_next.unlink()
    refused(homes[0], papers, "not the one in this folder")


def test_a_home_without_a_journal_takes_no_part(homes: tuple[Home, ...], papers: Path) -> None:
    for path in homes[0].journal.iterdir():
        path.unlink()
    refused(homes[0], papers, "no journal")
