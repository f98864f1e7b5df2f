"""Keys are made once, stay secret and fit together; networks are founded on cards that prove themselves."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from contracts.records import NodeRecord, NodeRole
from ledger import codec
from ledger.crypto.suite import chain_id
from ledger.errors import DecodeError, LedgerError, LimitExceeded
from ledger.types import Genesis, Limits
from network.errors import TlsIdentityInvalid
from network.tls import client_context, issue_certificate
from node.cards import IdentityInvalid, NodeCard, parse_card, read_card
from node.config import NetworkSection, NodeConfig, NodeSection, PeerSection, load_config
from node.founding import (
    BUNDLE_BYTES_MAX,
    BundleInvalid,
    FoundingRefused,
    NetworkBundle,
    address_of,
    assemble_genesis,
    bundle_from_json,
    bundle_to_json,
    bundled_addresses,
    genesis_from_json,
    genesis_to_json,
    install_network,
    load_network,
    make_bundle,
    peer_addresses,
)
from node.home import FileUnusable, Home, SecretExposed, destroy_former, supersede
from node.identity import IdentityExists, create_identity, load_identity
from node.keystore import KeyFiles
from node.newcomers import CardRefused
from node.rotation import (
    certificate_of,
    discard_next_vote_key,
    make_next_certificate,
    retire_vote_key,
    rotate_vote_key,
    switch_certificate,
)
from tests.suites import OTHER, suite_under_test

SUITE = suite_under_test()
NOW_MS = 1_735_689_600_000
NETWORK = "测试网"


def create(folder: Path, number: int, network: str = NETWORK) -> NodeCard:
    return create_identity(
        Home(folder / f"node{number}"),
        network=network,
        name=f"局{number}",
        suite=SUITE,
        peer_host="127.0.0.1",
        peer_port=9000 + number,
        http_host="127.0.0.1",
        http_port=8000 + number,
        now_ms=NOW_MS,
    )


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[NodeCard, ...]]:
    folder = tmp_path_factory.mktemp("homes")
    return folder, tuple(create(folder, number) for number in range(4))


@pytest.fixture
def cards(founded: tuple[Path, tuple[NodeCard, ...]]) -> tuple[NodeCard, ...]:
    return founded[1]


@pytest.fixture
def home(founded: tuple[Path, tuple[NodeCard, ...]], tmp_path: Path) -> Home:
    """A copy of the first node's folder, to be spoilt."""
    shutil.copytree(founded[0] / "node0", tmp_path / "copy")
    return Home(tmp_path / "copy")


def assemble(cards: tuple[NodeCard, ...], **changes: object) -> Genesis:
    arguments: dict[str, object] = {
        "time_ms": NOW_MS,
        "suite": SUITE,
        **changes,
    }
    return assemble_genesis(NETWORK, cards, **arguments)  # type: ignore[arg-type]


def bundle(cards: tuple[NodeCard, ...]) -> NetworkBundle:
    return make_bundle(assemble(cards))


def test_an_identity_is_loaded_as_it_was_made(home: Home, cards: tuple[NodeCard, ...]) -> None:
    identity = load_identity(home, SUITE)
    assert identity.card == cards[0] == read_card(home.card)
    assert identity.account.hex() == cards[0].account
    assert [key.hex() for key in identity.vote_signers] == [cards[0].vote_key]
    assert identity.node_key_id.hex() in {key.key_id for key in cards[0].keys if key.role == "node"}
    assert SUITE.unwrap(identity.wrap_secret, SUITE.wrap(identity.wrap_key, b"x")) == b"x"
    client_context(identity.tls, [])
    config = load_config(home.config)
    assert (config.network.port, config.http.port, config.node.name) == (9000, 8000, "局0")


def test_every_secret_is_its_owners_alone_and_in_no_public_file(home: Home) -> None:
    rotate_vote_key(home, SUITE)
    make_next_certificate(home, now_ms=NOW_MS)
    for path in home.keys.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert home.keys.stat().st_mode & 0o777 == 0o700
    card = home.card.read_text() + home.config.read_text()
    for name in ("vote.key", "wrap.key"):
        assert (home.keys / name).read_text().strip() not in card
    identity = load_identity(home, SUITE)
    assert (home.keys / "wrap.key").read_text().strip() not in repr(identity)


def test_a_node_runs_without_the_admin_key(home: Home) -> None:
    (home.keys / "admin.json").unlink()
    load_identity(home, SUITE)


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    card = create(tmp_path, 1)
    with pytest.raises(IdentityExists):
        create(tmp_path, 1)
    (tmp_path / "node1" / "card.json").unlink()
    with pytest.raises(IdentityExists):
        create(tmp_path, 1)
    assert (tmp_path / "node1" / "keys" / "vote.key").exists()
    assert create(tmp_path, 2).account != card.account


def test_a_name_that_no_card_can_carry_leaves_no_keys_behind(tmp_path: Path) -> None:
    with pytest.raises(IdentityInvalid):
        create(tmp_path, 1, network="n" * 65)
    assert list((tmp_path / "node1" / "keys").iterdir()) == []
    create(tmp_path, 1)


@pytest.mark.parametrize("name", ["vote.key", "wrap.key", "tls.pem", "node.json"])
def test_an_exposed_secret_is_refused(home: Home, name: str) -> None:
    (home.keys / name).chmod(0o644)
    with pytest.raises(LedgerError) as refused:
        load_identity(home, SUITE)
    assert refused.value.code in {SecretExposed.code, "key_file_unusable"}
    assert "chmod 600" in refused.value.message("en")


@pytest.mark.parametrize("name", ["vote.key", "wrap.key", "node.json"])
def test_a_key_of_another_identity_is_refused(
    home: Home, founded: tuple[Path, tuple[NodeCard, ...]], name: str
) -> None:
    shutil.copy2(founded[0] / "node1" / "keys" / name, home.keys / name)
    with pytest.raises(IdentityInvalid) as refused:
        load_identity(home, SUITE)
    assert name in str(refused.value.fields["file"])


@pytest.mark.parametrize("name", ["vote.key", "wrap.key", "tls.pem", "node.json"])
def test_a_missing_or_damaged_key_is_an_error_by_name(home: Home, name: str) -> None:
    path = home.keys / name
    path.write_bytes(b"\xffgarbage")
    with pytest.raises(LedgerError):
        load_identity(home, SUITE)
    path.unlink()
    with pytest.raises(LedgerError):
        load_identity(home, SUITE)


def test_a_card_is_read_strictly(cards: tuple[NodeCard, ...]) -> None:
    good = msgspec.to_builtins(cards[0])
    assert parse_card(msgspec.json.encode(good), file="card.json") == cards[0]
    bad: list[dict[str, object]] = [
        {**good, "extra": 1},
        {**good, "version": 2},
        {**good, "account": "00"},
        {**good, "vote_key": "xy"},
        {**good, "port": 0},
        {**good, "keys": good["keys"][:1]},
        {key: value for key, value in good.items() if key != "possession"},
    ]
    for changed in bad:
        with pytest.raises(IdentityInvalid):
            parse_card(msgspec.json.encode(changed), file="card.json")
    for data in (b"", b"\xff", b"[" * 100_000):
        with pytest.raises(IdentityInvalid):
            parse_card(data, file="card.json")


def test_genesis_holds_what_the_cards_say_in_their_order(cards: tuple[NodeCard, ...]) -> None:
    genesis = assemble(cards, limits=Limits(block_transactions_max=100))
    assert [one.account.hex() for one in genesis.operators] == [card.account for card in cards]
    assert [one.vote_key.hex() for one in genesis.validators.validators] == [card.vote_key for card in cards]
    assert genesis.limits.block_transactions_max == 100
    assert (genesis.network, genesis.suite, genesis.validators.epoch) == (NETWORK, SUITE.name, 1)


def test_fewer_than_four_nodes_make_a_network_only_for_development(cards: tuple[NodeCard, ...]) -> None:
    with pytest.raises(FoundingRefused):
        assemble(cards[:3])
    assert len(assemble(cards[:1], devnet=True).operators) == 1
    with pytest.raises(FoundingRefused):
        assemble((), devnet=True)
    with pytest.raises(FoundingRefused):
        assemble(cards * 33)


def replaced(field: str) -> Callable[[tuple[NodeCard, ...]], tuple[NodeCard, ...]]:
    def change(cards: tuple[NodeCard, ...]) -> tuple[NodeCard, ...]:
        taken = {field: getattr(cards[1], field)}
        return (msgspec.structs.replace(cards[0], **taken), *cards[1:])

    return change


@pytest.mark.parametrize(
    "field", ["account", "name", "vote_key", "wrap_key", "certificate_pem", "possession"]
)
def test_what_is_another_cards_is_refused(cards: tuple[NodeCard, ...], field: str) -> None:
    with pytest.raises((FoundingRefused, CardRefused)) as refused:
        assemble(replaced(field)(cards))
    assert cards[0].name in refused.value.message("zh") or cards[1].name in refused.value.message("zh")


def test_one_address_for_two_nodes_and_one_card_twice_are_refused(cards: tuple[NodeCard, ...]) -> None:
    same = msgspec.structs.replace(cards[0], port=cards[1].port)
    with pytest.raises(FoundingRefused):
        assemble((same, *cards[1:]))
    with pytest.raises(FoundingRefused):
        assemble((*cards, cards[0]))


def test_a_card_for_another_network_suite_or_with_bad_keys_is_refused(
    cards: tuple[NodeCard, ...], tmp_path: Path
) -> None:
    stranger = create(tmp_path, 9, network="别的网")
    renamed = msgspec.structs.replace(stranger, network=NETWORK)
    other_suite = msgspec.structs.replace(cards[0], suite=OTHER)
    short_wrap = msgspec.structs.replace(cards[0], wrap_key="00")
    reasons = ("别的网", "持有", OTHER, short_wrap.name)
    for bad, reason in zip((stranger, renamed, other_suite, short_wrap), reasons, strict=True):
        with pytest.raises(CardRefused) as refused:
            assemble((bad, *cards[1:]))
        assert reason in refused.value.message("zh")
    with pytest.raises(TlsIdentityInvalid):
        assemble((msgspec.structs.replace(cards[0], certificate_pem="none"), *cards[1:]))
    admins = tuple(msgspec.structs.replace(key, role="admin") for key in cards[0].keys)
    with pytest.raises(LedgerError):
        assemble((msgspec.structs.replace(cards[0], keys=admins), *cards[1:]))


def test_genesis_keeps_its_identity_through_json_and_only_genesis_makes_it(
    cards: tuple[NodeCard, ...],
) -> None:
    whole = bundle(cards)
    again = bundle_from_json(bundle_to_json(whole))
    assert again == whole
    assert genesis_from_json(genesis_to_json(whole.genesis)) == whole.genesis
    assert codec.encode(again.genesis) == codec.encode(whole.genesis)
    moved = tuple(msgspec.structs.replace(peer, host="elsewhere", port=1) for peer in whole.peers)
    elsewhere = bundle_from_json(bundle_to_json(NetworkBundle(genesis=whole.genesis, peers=moved)))
    assert chain_id(SUITE, elsewhere.genesis) == chain_id(SUITE, whole.genesis)


def test_a_network_file_is_read_strictly(cards: tuple[NodeCard, ...]) -> None:
    good = msgspec.json.decode(bundle_to_json(bundle(cards)))
    bad: list[object] = [
        [],
        {"genesis": good["genesis"]},
        {**good, "extra": 1},
        {**good, "genesis": {**good["genesis"], "extra": 1}},
        {**good, "genesis": {key: good["genesis"][key] for key in good["genesis"] if key != "limits"}},
        {**good, "genesis": {**good["genesis"], "time_ms": -1}},
        {**good, "genesis": {**good["genesis"], "operators": {}}},
        {**good, "genesis": {**good["genesis"], "validators": {"epoch": 1, "validators": [3]}}},
        {**good, "peers": [{**good["peers"][0], "extra": 1}, *good["peers"][1:]]},
        {**good, "peers": []},
    ]
    operator = good["genesis"]["operators"][0]
    for certificate in ("AB", "zz", "", "00" * 3000, 7):
        spoilt = [{**operator, "certificate": certificate}, *good["genesis"]["operators"][1:]]
        bad.append({**good, "genesis": {**good["genesis"], "operators": spoilt}})
    peer = good["peers"][0]
    bad += [{**good, "peers": [{**peer, "certificates": peer["certificates"] * times}]} for times in (0, 3)]
    for data in bad:
        with pytest.raises(DecodeError):
            bundle_from_json(msgspec.json.encode(data))
    twice = bundle_to_json(bundle(cards)).replace(b'"peers":', b'"peers": [], "peers":', 1)
    surrogate = bundle_to_json(bundle(cards)).replace(b'"host": "', b'"host": "\\ud800', 1)
    for text in (b"", b"\xff", b"[" * 100_000, twice, surrogate):
        with pytest.raises(DecodeError):
            bundle_from_json(text)
    with pytest.raises(LimitExceeded):
        bundle_from_json(b" " * (BUNDLE_BYTES_MAX + 1))


def test_a_bundle_names_each_node_once_and_with_certificates_that_can_be_used(
    cards: tuple[NodeCard, ...],
) -> None:
    whole = bundle(cards)
    twice = NetworkBundle(genesis=whole.genesis, peers=(*whole.peers, whole.peers[0]))
    with pytest.raises(BundleInvalid):
        bundle_from_json(bundle_to_json(twice))
    no_certificate = msgspec.structs.replace(whole.peers[0], certificates=("none",))
    with pytest.raises(TlsIdentityInvalid):
        bundle_from_json(bundle_to_json(NetworkBundle(genesis=whole.genesis, peers=(no_certificate,))))
    operator = msgspec.structs.replace(whole.genesis.operators[0], certificate=b"none")
    genesis = msgspec.structs.replace(whole.genesis, operators=(operator, *whole.genesis.operators[1:]))
    with pytest.raises(TlsIdentityInvalid):
        bundle_from_json(bundle_to_json(NetworkBundle(genesis=genesis, peers=whole.peers)))


def test_a_bundle_for_newcomers_holds_the_nodes_that_there_are_now(
    cards: tuple[NodeCard, ...], tmp_path: Path
) -> None:
    newcomer = create(tmp_path, 9)
    genesis = assemble(cards)
    record = NodeRecord(
        account=bytes.fromhex(newcomer.account),
        name=newcomer.name,
        role=NodeRole.READER,
        host="reader.test",
        port=7,
        certificates=(ssl.PEM_cert_to_DER_cert(newcomer.certificate_pem), genesis.operators[0].certificate),
        wrap_key=bytes.fromhex(newcomer.wrap_key),
    )
    later = bundle_from_json(bundle_to_json(make_bundle(genesis, [record])))
    assert bundled_addresses(later) == (address_of(record),)
    assert chain_id(SUITE, later.genesis) == chain_id(SUITE, genesis)


def test_a_network_is_installed_once_and_its_addresses_renewed(
    home: Home, cards: tuple[NodeCard, ...]
) -> None:
    whole = bundle(cards)
    install_network(home, whole)
    assert load_network(home) == whole
    moved = tuple(msgspec.structs.replace(peer, port=1) for peer in whole.peers)
    install_network(home, NetworkBundle(genesis=whole.genesis, peers=moved))
    assert load_network(home).peers == moved
    another = make_bundle(assemble(cards, time_ms=NOW_MS + 1))
    with pytest.raises(BundleInvalid):
        install_network(home, another)
    assert load_network(home).genesis == whole.genesis


def test_a_node_that_genesis_does_not_know_joins_like_any_other(
    cards: tuple[NodeCard, ...], tmp_path: Path
) -> None:
    """Whether it votes, reads or is nobody yet, the ledger says."""
    create(tmp_path, 9)
    with pytest.raises(FileUnusable):
        load_network(Home(tmp_path / "node9"))
    whole = bundle(cards)
    install_network(Home(tmp_path / "node9"), whole)
    assert load_network(Home(tmp_path / "node9")) == whole


@pytest.mark.parametrize("field", ["vote_key", "wrap_key", "certificate_pem", "keys"])
def test_a_network_with_other_keys_for_this_node_is_not_installed(
    home: Home, cards: tuple[NodeCard, ...], field: str
) -> None:
    changed = msgspec.structs.replace(cards[0], **{field: getattr(cards[1], field)})
    home.card.write_bytes(msgspec.json.encode(changed))
    with pytest.raises(BundleInvalid):
        install_network(home, bundle(cards))


def test_peers_are_everybody_else_at_the_address_the_operator_prefers(cards: tuple[NodeCard, ...]) -> None:
    nodes, own = bundled_addresses(bundle(cards)), bytes.fromhex(cards[0].account)
    plain = NodeConfig(node=NodeSection(name="局0"))
    assert [(peer.name, peer.port) for peer in peer_addresses(nodes, plain, own)] == [
        ("局1", 9001),
        ("局2", 9002),
        ("局3", 9003),
    ]
    # A name that nobody has: a peer that has left, or is still to come.
    override = NetworkSection(
        peer=(PeerSection(name="局2", host="10.0.0.2", port=5), PeerSection(name="局9", host="h", port=5))
    )
    routed = peer_addresses(nodes, msgspec.structs.replace(plain, network=override), own)
    assert [(peer.name, peer.host, peer.port) for peer in routed] == [
        ("局1", "127.0.0.1", 9001),
        ("局2", "10.0.0.2", 5),
        ("局3", "127.0.0.1", 9003),
    ]


# --- another vote key, another certificate --------------------------------------------------------------------


def in_use(card: NodeCard) -> bytes:
    return bytes.fromhex(card.vote_key)


def test_a_waiting_vote_key_is_held_beside_the_present_one_and_asked_for_twice_it_is_the_same(
    home: Home, cards: tuple[NodeCard, ...]
) -> None:
    card = rotate_vote_key(home, SUITE)
    assert rotate_vote_key(home, SUITE) == card
    assert SUITE.quorum.verify_possession(
        NETWORK, bytes.fromhex(card.account), in_use(card), bytes.fromhex(card.possession)
    )
    identity = load_identity(home, SUITE)
    assert set(identity.vote_signers) == {in_use(cards[0]), in_use(card)}
    assert read_card(home.card) == cards[0]
    discard_next_vote_key(home)
    assert set(load_identity(home, SUITE).vote_signers) == {in_use(cards[0])}
    assert rotate_vote_key(home, SUITE) != card


def test_a_vote_key_is_destroyed_only_when_the_ledger_names_the_next(
    home: Home, cards: tuple[NodeCard, ...]
) -> None:
    files = KeyFiles(home)
    assert not retire_vote_key(home, SUITE, in_use(cards[0]))
    card = rotate_vote_key(home, SUITE)
    old = files.vote.read_bytes()
    for key in (in_use(cards[0]), b"somebody else's"):
        assert not retire_vote_key(home, SUITE, key)
    with files.vote.open("rb") as former:
        assert retire_vote_key(home, SUITE, in_use(card))
        assert former.read() == bytes(len(old))
    assert not retire_vote_key(home, SUITE, in_use(card))
    identity = load_identity(home, SUITE)
    assert set(identity.vote_signers) == {in_use(card)}
    assert identity.card == read_card(home.card) == card
    assert not files.card_next.exists()
    assert old not in [path.read_bytes() for path in home.keys.iterdir()]


class PowerCutError(Exception):
    """Nothing after this happens."""


CALLS = ("hardlink_to", "replace", "unlink")


def cut_before(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The power fails before the call of that number, from 0, that changes a folder."""
    made = 0

    def counting(name: str) -> Callable[..., object]:
        real = getattr(Path, name)

        def call(path: Path, *arguments: object, **named: object) -> object:
            nonlocal made
            made += 1
            if made > count:
                raise PowerCutError
            return real(path, *arguments, **named)

        return call

    for name in CALLS:
        monkeypatch.setattr(Path, name, counting(name))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("count", range(6))
def test_a_crash_amid_a_rotation_leaves_a_key_that_the_card_names(
    home: Home, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    card = rotate_vote_key(home, SUITE)
    with monkeypatch.context() as patched:
        cut_before(patched, count)
        with pytest.raises(PowerCutError):
            retire_vote_key(home, SUITE, in_use(card))
    identity = load_identity(home, SUITE)
    assert in_use(card) in identity.vote_signers
    assert in_use(identity.card) in identity.vote_signers
    retire_vote_key(home, SUITE, in_use(card))
    assert set(load_identity(home, SUITE).vote_signers) == {in_use(card)}
    assert read_card(home.card) == card
    assert names_in(home.keys) == {"admin.json", "node.json", "vote.key", "wrap.key", "tls.pem"}


@pytest.mark.parametrize("count", range(3))
def test_a_crash_amid_a_change_of_certificate_leaves_one_of_the_two_with_its_key(
    home: Home, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    files = KeyFiles(home)
    before = certificate_of(files.tls)
    after = make_next_certificate(home, now_ms=NOW_MS)
    with monkeypatch.context() as patched:
        cut_before(patched, count)
        with pytest.raises(PowerCutError):
            switch_certificate(home)
    identity = load_identity(home, SUITE)
    client_context(identity.tls, [])
    shown = certificate_of(files.tls)
    assert shown in {before, after}
    assert ssl.PEM_cert_to_DER_cert(identity.card.certificate_pem) == shown
    if shown == before:
        switch_certificate(home)
    assert certificate_of(files.tls) == after
    assert names_in(home.keys) == {"admin.json", "node.json", "vote.key", "wrap.key", "tls.pem"}


def test_a_certificate_without_its_key_never_takes_the_present_ones_place(home: Home) -> None:
    files = KeyFiles(home)
    before = certificate_of(files.tls)
    (_, key), (certificate, _) = (issue_certificate(now_ms=NOW_MS) for _ in range(2))
    files.tls_next.path.write_text(key + certificate)
    files.tls_next.path.chmod(0o600)
    with pytest.raises(TlsIdentityInvalid):
        switch_certificate(home)
    assert certificate_of(files.tls) == before


def test_destroying_what_a_crash_left_never_touches_the_present_secret(tmp_path: Path) -> None:
    """Between the first two steps both names are of one file."""
    current, former = tmp_path / "key", tmp_path / "key.former"
    current.write_bytes(b"present")
    former.hardlink_to(current)
    destroy_former(current)
    assert current.read_bytes() == b"present"
    assert not former.exists()
    with pytest.raises(FileUnusable):
        supersede(tmp_path / "none", current)
    destroy_former(current)
    assert current.read_bytes() == b"present"
