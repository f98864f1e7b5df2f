"""Keys are made once, stay secret and fit together; networks are founded on cards that prove themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import chain_id
from ledger.errors import DecodeError, LedgerError, LimitExceeded, VerificationFailed
from ledger.types import Genesis, Limits
from network.errors import TlsIdentityInvalid
from network.tls import client_context, issue_certificate
from node.config import NetworkSection, NodeConfig, NodeSection, PeerSection, load_config
from node.founding import (
    BUNDLE_BYTES_MAX,
    BundleInvalid,
    FoundingRefused,
    NetworkBundle,
    assemble_genesis,
    bundle_from_json,
    bundle_to_json,
    genesis_from_json,
    genesis_to_json,
    install_network,
    load_network,
    make_bundle,
    peer_addresses,
)
from node.home import FileUnusable, Home, SecretExposed
from node.identity import (
    IdentityExists,
    IdentityInvalid,
    NodeCard,
    create_identity,
    load_identity,
    make_next_certificate,
    parse_card,
    read_card,
    rotate_vote_key,
)

SUITE = load_suite("intl")
NOW_MS = 1_735_689_600_000
NETWORK = "测试网"
DIRECTORY_KEY = bytes(range(32))


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
        "directory_key": DIRECTORY_KEY,
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
    assert (genesis.network, genesis.suite, genesis.validators.epoch) == (NETWORK, "intl", 1)


def test_each_operator_and_nobody_else_opens_the_directory_key(
    founded: tuple[Path, tuple[NodeCard, ...]],
) -> None:
    folder, cards = founded
    genesis = assemble(cards)
    identities = [load_identity(Home(folder / f"node{number}"), SUITE) for number in range(4)]
    for identity, operator in zip(identities, genesis.operators, strict=True):
        assert SUITE.unwrap(identity.wrap_secret, operator.directory_wrap) == DIRECTORY_KEY
    with pytest.raises(VerificationFailed):
        SUITE.unwrap(identities[0].wrap_secret, genesis.operators[1].directory_wrap)
    assert DIRECTORY_KEY.hex().encode() not in genesis_to_json(genesis)


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
    with pytest.raises(FoundingRefused) as refused:
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
    other_suite = msgspec.structs.replace(cards[0], suite="sm")
    short_wrap = msgspec.structs.replace(cards[0], wrap_key="00")
    reasons = ("别的网", "持有", "sm", "封装密钥")
    for bad, reason in zip((stranger, renamed, other_suite, short_wrap), reasons, strict=True):
        with pytest.raises(FoundingRefused) as refused:
            assemble((bad, *cards[1:]))
        assert reason in refused.value.message("zh")
    with pytest.raises(TlsIdentityInvalid):
        assemble((msgspec.structs.replace(cards[0], certificate_pem="none"), *cards[1:]))
    with pytest.raises(FoundingRefused):
        assemble(cards, directory_key=b"short")
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
    for spki in ("AB" * 32, "zz" * 32, "00", 7):
        spoilt = [{**operator, "tls_spki": spki}, *good["genesis"]["operators"][1:]]
        bad.append({**good, "genesis": {**good["genesis"], "operators": spoilt}})
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


def test_peers_that_are_not_genesis_operators_are_refused(cards: tuple[NodeCard, ...]) -> None:
    whole = bundle(cards)
    pem, _ = issue_certificate("impostor", now_ms=NOW_MS)
    impostor = msgspec.structs.replace(whole.peers[0], certificate_pem=pem)
    with pytest.raises(PinMismatch):
        bundle_from_json(
            bundle_to_json(NetworkBundle(genesis=whole.genesis, peers=(impostor, *whole.peers[1:])))
        )
    for peers in (whole.peers[1:], whole.peers[::-1], (*whole.peers, whole.peers[0])):
        with pytest.raises(BundleInvalid):
            bundle_from_json(bundle_to_json(NetworkBundle(genesis=whole.genesis, peers=peers)))


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


def test_a_network_without_this_node_is_not_installed(cards: tuple[NodeCard, ...], tmp_path: Path) -> None:
    create(tmp_path, 9)
    with pytest.raises(BundleInvalid):
        install_network(Home(tmp_path / "node9"), bundle(cards))
    with pytest.raises(FileUnusable):
        load_network(Home(tmp_path / "node9"))


@pytest.mark.parametrize("field", ["vote_key", "wrap_key", "certificate_pem", "keys"])
def test_a_network_with_other_keys_for_this_node_is_not_installed(
    home: Home, cards: tuple[NodeCard, ...], field: str
) -> None:
    changed = msgspec.structs.replace(cards[0], **{field: getattr(cards[1], field)})
    home.card.write_bytes(msgspec.json.encode(changed))
    with pytest.raises(BundleInvalid):
        install_network(home, bundle(cards))


def test_peers_are_everybody_else_at_the_address_the_operator_prefers(cards: tuple[NodeCard, ...]) -> None:
    whole, own = bundle(cards), bytes.fromhex(cards[0].account)
    plain = NodeConfig(node=NodeSection(name="局0"))
    assert [(peer.name, peer.port) for peer in peer_addresses(whole, plain, own)] == [
        ("局1", 9001),
        ("局2", 9002),
        ("局3", 9003),
    ]
    override = NetworkSection(peer=(PeerSection(name="局2", host="10.0.0.2", port=5),))
    routed = msgspec.structs.replace(plain, network=override)
    second = peer_addresses(whole, routed, own)[1]
    assert (second.host, second.port) == ("10.0.0.2", 5)
    unknown = NetworkSection(peer=(PeerSection(name="局9", host="h", port=5),))
    with pytest.raises(ConfigFileInvalid):
        peer_addresses(whole, msgspec.structs.replace(plain, network=unknown), own)
