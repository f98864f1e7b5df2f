"""How a network begins and grows: cards become genesis, and a bundle is installed in each home.

    network.json   {genesis, peers}: handed out; a home keeps it as genesis.json and peers.json
    genesis        what is hashed into the chain id
    peers          the nodes as they are when the file is made: where a home without a ledger finds the others

Rule: nothing is taken on trust from a card: possession of the vote key is proved, keys and names are nobody
else's, and what comes out is what every node's own check of genesis accepts. From its first block on a node has its peers
from the ledger; who has no place there yet is installed like any other, and the ledger decides what it is.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from contracts.genesis import genesis_state
from contracts.records import NODE_CERTIFICATES_MAX, NodeRecord
from ledger import readable
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import Category, DecodeError, LedgerError
from ledger.quorum import check_validators
from ledger.types import (
    VALIDATORS_MAX,
    Genesis,
    Limits,
    Name,
    TimeMs,
    Validator,
    ValidatorSet,
    WebAuthn,
)
from network.peers import PEERS_MAX, PeerAddress
from network.tls import load_certificate, load_certificate_der, spki_sha256
from node.cards import NodeCard, read_card
from node.config import Host, NodeConfig, Port
from node.home import Home, read_file, write_file
from node.newcomers import check_card, operator_of
from zhenglian.api import Hex16

VALIDATORS_MIN: Final = 4
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
    """Where a node is reached, and the X.509 certificates that it shows there, PEM."""

    account: Hex16
    name: Name
    host: Host
    port: Port
    certificates: Annotated[tuple[str, ...], Meta(min_length=1, max_length=NODE_CERTIFICATES_MAX)]

    def address(self) -> PeerAddress:
        """As the peer network takes it. Raises ValueError when a certificate is no PEM."""
        return PeerAddress(
            node_id=bytes.fromhex(self.account),
            name=self.name,
            host=self.host,
            port=self.port,
            certificates=tuple(ssl.PEM_cert_to_DER_cert(pem.strip()) for pem in self.certificates),
        )


class NetworkBundle(Struct, frozen=True, kw_only=True):
    """A network as it is handed out: genesis, and the nodes that it has now."""

    genesis: Genesis
    peers: tuple[PeerEntry, ...]


_Peers = Annotated[tuple[PeerEntry, ...], Meta(min_length=1, max_length=PEERS_MAX + 1)]


def assemble_genesis(
    network: str,
    cards: Sequence[NodeCard],
    *,
    time_ms: TimeMs,
    suite: CryptoSuite,
    limits: Limits | None = None,
    webauthn: WebAuthn | None = None,
    devnet: bool = False,
) -> Genesis:
    """Make the genesis document.

    Args:
        network: the network's name, which every card must carry.
        cards: one of each operator; their order is the order in which validators lead.
        time_ms: block time of height 0, Unix milliseconds.
        suite: the network's crypto suite.
        limits: block and transaction bounds.
        webauthn: where passkeys are made and used; without it there are none until operators vote for it.
        devnet: allow fewer than four validators, which tolerate no fault.

    Returns:
        A document that `contracts.genesis` accepts.

    Raises:
        FoundingRefused: too few or too many cards, or two with something in common.
        CardRefused: a card is for another network, or proves nothing.
        GenesisInvalid: the keys or limits are not what a genesis may hold.
        TlsIdentityInvalid: a card's certificate is none.
    """
    if not (1 if devnet else VALIDATORS_MIN) <= len(cards) <= VALIDATORS_MAX:
        raise FoundingRefused(
            reason_zh=f"需要 {VALIDATORS_MIN} 至 {VALIDATORS_MAX} 个节点，实际 {len(cards)} 个",
            reason_en=f"it needs {VALIDATORS_MIN} to {VALIDATORS_MAX} nodes, not {len(cards)}",
        )
    _refuse_duplicates(cards)
    for card in cards:
        check_card(card, network, suite)
    genesis = Genesis(
        network=network,
        suite=suite.name,
        time_ms=time_ms,
        validators=ValidatorSet(epoch=FIRST_EPOCH, validators=tuple(_validator(card) for card in cards)),
        operators=tuple(operator_of(card, suite) for card in cards),
        limits=limits or Limits(),
        webauthn=webauthn or WebAuthn(),
    )
    genesis_state(suite, genesis)
    return genesis


def make_bundle(genesis: Genesis, nodes: Sequence[NodeRecord] = ()) -> NetworkBundle:
    """Genesis with the nodes that the network has now; those of genesis while it has no others."""
    entries = (
        tuple(_entry(node.account, node.name, (node.host, node.port), node.certificates) for node in nodes)
        if nodes
        else tuple(
            _entry(one.account, one.name, (one.host, one.port), (one.certificate,))
            for one in genesis.operators
        )
    )
    bundle = NetworkBundle(genesis=genesis, peers=entries)
    _check_bundle(bundle)
    return bundle


def genesis_to_json(genesis: Genesis) -> bytes:
    """Genesis for people to read, bytes in hexadecimal."""
    return readable.render(readable.to_tree(genesis, Genesis)).encode()


def read_genesis(home: Home) -> Genesis:
    """The network's document. Raises FileUnusable, DecodeError, LimitExceeded."""
    return genesis_from_json(read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX))


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
        BundleInvalid: a node comes twice.
        TlsIdentityInvalid: a certificate is none that peers accept.
    """
    parsed = readable.parse(data, "network", size_bytes_max=BUNDLE_BYTES_MAX)
    if set(parsed) != {"genesis", "peers"}:
        raise DecodeError(what="network", reason="not an object with genesis and peers")
    with _peers_at_fault():
        peers = decode_json(msgspec.json.encode(parsed["peers"]), _Peers)
    bundle = NetworkBundle(genesis=_genesis(parsed["genesis"]), peers=peers)
    _check_bundle(bundle)
    return bundle


def install_network(home: Home, bundle: NetworkBundle) -> None:
    """Put a network into a home. Doing it again with the same genesis renews the nodes that it begins with.

    Raises:
        BundleInvalid: genesis has this node with other keys than its card, or the home belongs to another network.
        FileUnusable: a file cannot be read or written.
    """
    _check_bundle(bundle)
    encoded = genesis_to_json(bundle.genesis)
    if home.genesis.exists():
        if read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX) != encoded:
            raise BundleInvalid(
                reason_zh=f"{home.root} 已属于另一个网络", reason_en=f"{home.root} belongs to another network"
            )
    else:
        _check_keys(read_card(home.card), bundle.genesis)
        write_file(home.genesis, encoded, replace=False)
    write_file(home.peers, readable.render(msgspec.to_builtins(bundle.peers)).encode())


def load_network(home: Home) -> NetworkBundle:
    """The network that a home belongs to; errors as for `bundle_from_json`, and FileUnusable."""
    genesis = genesis_from_json(read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX))
    with _peers_at_fault():
        data = read_file(home.peers, size_bytes_max=BUNDLE_BYTES_MAX)
        peers = decode_json(data, _Peers)
    bundle = NetworkBundle(genesis=genesis, peers=peers)
    _check_bundle(bundle)
    return bundle


def address_of(node: NodeRecord) -> PeerAddress:
    """A node of the ledger as the peer network takes it."""
    return PeerAddress(
        node_id=node.account, name=node.name, host=node.host, port=node.port, certificates=node.certificates
    )


def bundled_addresses(bundle: NetworkBundle) -> tuple[PeerAddress, ...]:
    """The nodes of a bundle, for a home that has no ledger yet."""
    return tuple(entry.address() for entry in bundle.peers)


def peer_addresses(
    nodes: Iterable[PeerAddress], config: NodeConfig, own_account: bytes
) -> tuple[PeerAddress, ...]:
    """Everybody else, at their own addresses or, where the operator gave others, at those."""
    overrides = {peer.name: (peer.host, peer.port) for peer in config.network.peer}
    return tuple(
        replace(node, host=overrides[node.name][0], port=overrides[node.name][1])
        if node.name in overrides
        else node
        for node in nodes
        if node.node_id != own_account
    )


def _entry(account: bytes, name: str, address: tuple[str, int], certificates: Sequence[bytes]) -> PeerEntry:
    return PeerEntry(
        account=account.hex(),
        name=name,
        host=address[0],
        port=address[1],
        certificates=tuple(ssl.DER_cert_to_PEM_cert(one) for one in certificates),
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


def _validator(card: NodeCard) -> Validator:
    return Validator(
        account=bytes.fromhex(card.account),
        name=card.name,
        vote_key=bytes.fromhex(card.vote_key),
        possession=bytes.fromhex(card.possession),
    )


def _check_bundle(bundle: NetworkBundle) -> None:
    accounts = [entry.account for entry in bundle.peers]
    if len(set(accounts)) != len(accounts):
        raise BundleInvalid(reason_zh="其中有节点重复", reason_en="it names a node twice")
    for entry in bundle.peers:
        for pem in entry.certificates:
            load_certificate(pem, source=entry.name)
    # Whoever assembled the network is not trusted with this: a key made up from others' keys could vote for them.
    genesis = bundle.genesis
    check_validators(load_suite(genesis.suite).quorum, genesis.network, genesis.validators)
    for operator in genesis.operators:
        load_certificate_der(operator.certificate, source=operator.name)


def _check_keys(card: NodeCard, genesis: Genesis) -> None:
    """If genesis has this node, it is with the very keys of its card."""
    for operator, validator in zip(genesis.operators, genesis.validators.validators, strict=True):
        if operator.account.hex() != card.account:
            continue
        named = [(key.key_id.hex(), key.role) for key in operator.keys]
        facts = (
            (validator.vote_key.hex() == card.vote_key, "投票密钥", "vote key"),
            (operator.wrap_key.hex() == card.wrap_key, "封装密钥", "wrap key"),
            (_spki_of(operator.certificate) == _spki(card), "TLS 密钥", "TLS key"),
            (named == [(key.key_id, key.role) for key in card.keys], "账户密钥", "account keys"),
        )
        for same, zh, en in facts:
            if not same:
                raise BundleInvalid(
                    reason_zh=f"其中本节点的{zh}与名片不同",
                    reason_en=f"its {en} of this node is not the card's",
                )


def _spki_of(certificate: bytes) -> bytes:
    return spki_sha256(load_certificate_der(certificate, source="genesis"))


def _genesis(tree: Any) -> Genesis:
    return readable.from_tree(tree, Genesis, "genesis", size_bytes_max=BUNDLE_BYTES_MAX)


@contextmanager
def _peers_at_fault() -> Iterator[None]:
    """What a decoder says in here, it says of the list of peers."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecodeError(what="peers", reason=str(error)) from None
