"""How a network begins: cards become genesis and a bundle, and a bundle is installed in each home.

    network.json   {genesis, peers}: handed out; a home keeps it as genesis.json and peers.json
    genesis        what is hashed into the chain id
    peers          address and X.509 certificate of each node; not hashed, for genesis pins every key

Rule: nothing is taken on trust from a card: possession of the vote key is proved, keys and names are nobody
else's, and what comes out is what every node's own check of genesis accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from contracts.genesis import genesis_state
from ledger import readable
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, DecodeError, LedgerError
from ledger.quorum import check_validators
from ledger.types import (
    VALIDATORS_MAX,
    Genesis,
    GenesisKey,
    GenesisOperator,
    Limits,
    Name,
    TimeMs,
    Validator,
    ValidatorSet,
)
from network.links import PeerAddress, check_certificate
from network.tls import load_certificate, spki_sha256
from node.config import ConfigFileInvalid, Host, NodeConfig, Port
from node.home import Home, read_file, write_file
from node.identity import NodeCard, NodeIdentity, read_card
from zhenglian.api import Hex16

VALIDATORS_MIN: Final = 4
DIRECTORY_KEY_SIZE_BYTES: Final = 32
BUNDLE_BYTES_MAX: Final = 16 * 1024 * 1024
FIRST_EPOCH: Final = 1


class FoundingRefused(LedgerError):
    """These cards make no network. Fields: reason_zh, reason_en."""

    code = "founding_refused"
    zh = "无法组建网络：{reason_zh}"
    en = "Cannot found the network: {reason_en}"


class BundleInvalid(LedgerError):
    """A network file cannot be used here. Fields: reason_zh, reason_en."""

    code = "bundle_invalid"
    category = Category.CONFLICT
    zh = "网络文件不可用：{reason_zh}"
    en = "Cannot use the network file: {reason_en}"


class PeerEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a node is reached, and the X.509 certificate it shows there."""

    account: Hex16
    name: Name
    host: Host
    port: Port
    certificate_pem: str


class NetworkBundle(Struct, frozen=True, kw_only=True):
    """A network as it is handed out: genesis, and one entry for each operator in the same order."""

    genesis: Genesis
    peers: tuple[PeerEntry, ...]


_Peers = Annotated[tuple[PeerEntry, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]


def assemble_genesis(
    network: str,
    cards: Sequence[NodeCard],
    *,
    time_ms: TimeMs,
    suite: CryptoSuite,
    directory_key: bytes,
    limits: Limits | None = None,
    devnet: bool = False,
) -> Genesis:
    """Make the genesis document.

    Args:
        network: the network's name, which every card must carry.
        cards: one of each operator; their order is the order in which validators lead.
        time_ms: block time of height 0, Unix milliseconds.
        suite: the network's crypto suite.
        directory_key: 32 random bytes, sealed to each operator; then to be forgotten by the assembler.
        limits: block and transaction bounds.
        devnet: allow fewer than four validators, which tolerate no fault.

    Returns:
        A document that `contracts.genesis` accepts.

    Raises:
        FoundingRefused: too few or too many cards, two with something in common, or one that does not fit.
        GenesisInvalid: the keys or limits are not what a genesis may hold.
        TlsIdentityInvalid: a card's certificate is none.
    """
    if len(directory_key) != DIRECTORY_KEY_SIZE_BYTES:
        raise FoundingRefused(
            reason_zh="人员目录密钥应为 32 字节", reason_en="the directory key is not 32 bytes"
        )
    if not (1 if devnet else VALIDATORS_MIN) <= len(cards) <= VALIDATORS_MAX:
        raise FoundingRefused(
            reason_zh=f"需要 {VALIDATORS_MIN} 至 {VALIDATORS_MAX} 个节点，实际 {len(cards)} 个",
            reason_en=f"it needs {VALIDATORS_MIN} to {VALIDATORS_MAX} nodes, not {len(cards)}",
        )
    _refuse_duplicates(cards)
    for card in cards:
        _check_card(card, network, suite)
    genesis = Genesis(
        network=network,
        suite=suite.name,
        time_ms=time_ms,
        validators=ValidatorSet(epoch=FIRST_EPOCH, validators=tuple(_validator(card) for card in cards)),
        operators=tuple(_operator(card, suite, directory_key) for card in cards),
        limits=limits or Limits(),
    )
    genesis_state(suite, genesis)
    return genesis


def make_bundle(genesis: Genesis, cards: Sequence[NodeCard]) -> NetworkBundle:
    """Genesis with the addresses and certificates of the cards it was made from."""
    entries = tuple(
        PeerEntry(
            account=card.account,
            name=card.name,
            host=card.host,
            port=card.port,
            certificate_pem=card.certificate_pem,
        )
        for card in cards
    )
    bundle = NetworkBundle(genesis=genesis, peers=entries)
    _check_bundle(bundle)
    return bundle


def open_directory_key(identity: NodeIdentity, genesis: Genesis, suite: CryptoSuite) -> bytes:
    """The network's person-directory key, as sealed to this operator.

    Raises:
        BundleInvalid: genesis has no operator of this account.
        VerificationFailed: it was sealed to another key.
    """
    for operator in genesis.operators:
        if operator.account == identity.account:
            return suite.unwrap(identity.wrap_secret, operator.directory_wrap)
    raise _not_a_member(identity.card)


def genesis_to_json(genesis: Genesis) -> bytes:
    """Genesis for people to read, bytes in hexadecimal."""
    return readable.render(readable.to_tree(genesis, Genesis)).encode()


def genesis_from_json(data: bytes) -> Genesis:
    """Read `genesis_to_json`'s output. Raises DecodeError, or LimitExceeded, when it is anything else."""
    return _genesis(readable.parse(data, "genesis", size_bytes_max=BUNDLE_BYTES_MAX))


def bundle_to_json(bundle: NetworkBundle) -> bytes:
    """`network.json`."""
    genesis = readable.to_tree(bundle.genesis, Genesis)
    return readable.render({"genesis": genesis, "peers": msgspec.to_builtins(bundle.peers)}).encode()


def bundle_from_json(data: bytes) -> NetworkBundle:
    """Read `network.json`.

    Raises:
        DecodeError: it is anything else.
        LimitExceeded: it is larger than `BUNDLE_BYTES_MAX`.
        BundleInvalid: its peers are not the operators of its genesis.
        PinMismatch: a certificate has another key than the pinned one.
    """
    parsed = readable.parse(data, "network", size_bytes_max=BUNDLE_BYTES_MAX)
    if set(parsed) != {"genesis", "peers"}:
        raise DecodeError(what="network", reason="not an object with genesis and peers")
    with _peers_at_fault():
        peers = msgspec.json.decode(msgspec.json.encode(parsed["peers"]), type=_Peers)
    bundle = NetworkBundle(genesis=_genesis(parsed["genesis"]), peers=peers)
    _check_bundle(bundle)
    return bundle


def install_network(home: Home, bundle: NetworkBundle) -> None:
    """Put a network into a home. Doing it again with the same genesis renews addresses and certificates.

    Raises:
        BundleInvalid: this node is not in it as its card says, or the home belongs to another network.
        FileUnusable: a file cannot be read or written.
    """
    _check_bundle(bundle)
    _check_membership(read_card(home.card), bundle.genesis)
    encoded = genesis_to_json(bundle.genesis)
    if home.genesis.exists():
        if read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX) != encoded:
            raise BundleInvalid(
                reason_zh=f"{home.root} 已属于另一个网络", reason_en=f"{home.root} belongs to another network"
            )
    else:
        write_file(home.genesis, encoded, replace=False)
    write_file(home.peers, readable.render(msgspec.to_builtins(bundle.peers)).encode())


def load_network(home: Home) -> NetworkBundle:
    """The network that a home belongs to; errors as for `bundle_from_json`, and FileUnusable."""
    genesis = genesis_from_json(read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX))
    with _peers_at_fault():
        data = read_file(home.peers, size_bytes_max=BUNDLE_BYTES_MAX)
        peers = msgspec.json.decode(data, type=_Peers)
    bundle = NetworkBundle(genesis=genesis, peers=peers)
    _check_bundle(bundle)
    return bundle


def peer_addresses(bundle: NetworkBundle, config: NodeConfig, own_account: bytes) -> tuple[PeerAddress, ...]:
    """Everybody else, at the addresses of the bundle or, where the operator gave others, at those.

    Raises:
        ConfigFileInvalid: `[[network.peer]]` names nobody of the network.
    """
    overrides = {peer.name: (peer.host, peer.port) for peer in config.network.peer}
    for name in overrides:
        if name not in {entry.name for entry in bundle.peers}:
            names = ", ".join(entry.name for entry in bundle.peers)
            raise ConfigFileInvalid(
                file="config.toml",
                key="network.peer.name",
                reason=name,
                expected_zh=f"网络中的节点有 {names}",
                expected_en=f"the nodes of the network are {names}",
            )
    return tuple(peer for peer in _addresses(bundle, overrides) if peer.node_id != own_account)


def _addresses(bundle: NetworkBundle, overrides: dict[str, tuple[str, int]]) -> tuple[PeerAddress, ...]:
    return tuple(
        PeerAddress(
            node_id=operator.account,
            name=entry.name,
            host=overrides.get(entry.name, (entry.host, entry.port))[0],
            port=overrides.get(entry.name, (entry.host, entry.port))[1],
            spki_sha256=operator.tls_spki,
            certificate_pem=entry.certificate_pem,
        )
        for entry, operator in zip(bundle.peers, bundle.genesis.operators, strict=True)
    )


def _spki(card: NodeCard) -> bytes:
    return spki_sha256(load_certificate(card.certificate_pem, source=card.name))


def _refuse_duplicates(cards: Sequence[NodeCard]) -> None:
    parts: tuple[tuple[str, str, Callable[[NodeCard], object]], ...] = (
        ("账户", "account", lambda card: card.account),
        ("名称", "name", lambda card: card.name),
        ("投票密钥", "vote key", lambda card: card.vote_key),
        ("封装密钥", "wrap key", lambda card: card.wrap_key),
        ("TLS 密钥", "TLS key", _spki),
        ("地址", "address", lambda card: (card.host, card.port)),
    )
    for zh, en, part in parts:
        seen: dict[object, str] = {}
        for card in cards:
            value = part(card)
            if value in seen:
                raise FoundingRefused(
                    reason_zh=f"{seen[value]} 与 {card.name} 的{zh}相同",
                    reason_en=f"{seen[value]} and {card.name} have the same {en}",
                )
            seen[value] = card.name


def _check_card(card: NodeCard, network: str, suite: CryptoSuite) -> None:
    checks = (
        (card.network == network, f"是为网络 {card.network} 制作的", f"is for the network {card.network}"),
        (card.suite == suite.name, f"使用密码套件 {card.suite}", f"uses the crypto suite {card.suite}"),
    )
    for holds, zh, en in checks:
        if not holds:
            raise FoundingRefused(
                reason_zh=f"{card.name} 的名片{zh}", reason_en=f"the card of {card.name} {en}"
            )
    proved = suite.quorum.verify_possession(
        network, bytes.fromhex(card.account), bytes.fromhex(card.vote_key), bytes.fromhex(card.possession)
    )
    if not proved:
        raise FoundingRefused(
            reason_zh=f"{card.name} 未能证明持有投票密钥",
            reason_en=f"the card of {card.name} does not prove possession of its vote key",
        )


def _validator(card: NodeCard) -> Validator:
    return Validator(
        account=bytes.fromhex(card.account),
        name=card.name,
        vote_key=bytes.fromhex(card.vote_key),
        possession=bytes.fromhex(card.possession),
    )


def _operator(card: NodeCard, suite: CryptoSuite, directory_key: bytes) -> GenesisOperator:
    wrap_key = bytes.fromhex(card.wrap_key)
    try:
        directory_wrap = suite.wrap(wrap_key, directory_key)
    except LedgerError as error:
        raise FoundingRefused(
            reason_zh=f"{card.name} 的封装密钥无效（{error.message('zh')}）",
            reason_en=f"the wrap key of {card.name} is invalid ({error.message('en')})",
        ) from None
    return GenesisOperator(
        account=bytes.fromhex(card.account),
        name=card.name,
        keys=tuple(
            GenesisKey(
                key_id=bytes.fromhex(key.key_id),
                scheme=key.scheme,
                public_key=bytes.fromhex(key.public_key),
                role=key.role,
                label=key.label,
            )
            for key in card.keys
        ),
        wrap_key=wrap_key,
        tls_spki=_spki(card),
        directory_wrap=directory_wrap,
    )


def _check_bundle(bundle: NetworkBundle) -> None:
    operators = [(operator.account.hex(), operator.name) for operator in bundle.genesis.operators]
    if [(entry.account, entry.name) for entry in bundle.peers] != operators:
        raise BundleInvalid(
            reason_zh="节点清单与创世文件中的运营者不一致",
            reason_en="its peers are not the operators of its genesis",
        )
    for address in _addresses(bundle, {}):
        check_certificate(address)
    # Whoever assembled the network is not trusted with this: a key made up from others' keys could vote for them.
    genesis = bundle.genesis
    check_validators(load_suite(genesis.suite).quorum, genesis.network, genesis.validators)


def _check_membership(card: NodeCard, genesis: Genesis) -> None:
    """Whether genesis has this node with the very keys of its card."""
    for operator, validator in zip(genesis.operators, genesis.validators.validators, strict=True):
        if operator.account.hex() != card.account:
            continue
        named = [(key.key_id.hex(), key.role) for key in operator.keys]
        facts = (
            (validator.vote_key.hex() == card.vote_key, "投票密钥", "vote key"),
            (operator.wrap_key.hex() == card.wrap_key, "封装密钥", "wrap key"),
            (operator.tls_spki == _spki(card), "TLS 密钥", "TLS key"),
            (named == [(key.key_id, key.role) for key in card.keys], "账户密钥", "account keys"),
        )
        for same, zh, en in facts:
            if not same:
                raise BundleInvalid(
                    reason_zh=f"其中本节点的{zh}与名片不同",
                    reason_en=f"its {en} of this node is not the card's",
                )
        return
    raise _not_a_member(card)


def _not_a_member(card: NodeCard) -> BundleInvalid:
    return BundleInvalid(
        reason_zh=f"{card.name}（{card.account}）不在该网络中",
        reason_en=f"{card.name} ({card.account}) is not in that network",
    )


def _genesis(tree: Any) -> Genesis:
    return readable.from_tree(tree, Genesis, "genesis", size_bytes_max=BUNDLE_BYTES_MAX)


@contextmanager
def _peers_at_fault() -> Iterator[None]:
    """What a decoder says in here, it says of the list of peers."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecodeError(what="peers", reason=str(error)) from None
