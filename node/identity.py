"""A node's identity: the keys it makes for itself, and the card that tells others the public half.

    keys/admin.json      governance votes; may be kept on another machine, the node runs without it
    keys/node.json       what the node itself signs
    keys/vote.key        consensus votes
    keys/wrap.key        opens what is sealed to this operator
    keys/tls.key.pem     peer connections; its certificate lies beside it
    card.json            everything public: handed to whoever assembles the network

Rule: secrets are made here, once, and never leave; a card is believed only with its proof of possession. An
identity is loaded only if every secret belongs to the card.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from contracts.records import KeyRole
from ledger.crypto.suite import CryptoSuite, Signer, VoteSigner
from ledger.errors import Category, LedgerError
from ledger.types import ACCOUNT_ID_SIZE_BYTES, Name
from network.tls import TlsIdentity, issue_certificate, load_certificate
from node.config import Host, HttpSection, NetworkSection, NodeConfig, NodeSection, Port, write_config
from node.home import SECRET_FILE_BYTES_MAX, FileUnusable, Home, read_file, write_file
from node.journal import mark_as_new
from zhenglian.api import Hex, Hex16
from zhenglian.keyfile import KeyFile

CARD_VERSION: Final = 1
CARD_BYTES_MAX: Final = 64 * 1024
ADMIN_LABEL: Final = "governance"
NODE_LABEL: Final = "node"


class IdentityExists(LedgerError):
    """The folder has an identity already. Fields: path."""

    code = "identity_exists"
    category = Category.CONFLICT
    zh = "{path} 中已有节点身份；身份不会被覆盖，请另选目录"
    en = "{path} holds an identity already; an identity is never overwritten, choose another folder"


class IdentityInvalid(LedgerError):
    """A card or secret cannot be used. Fields: file, reason_zh, reason_en."""

    code = "identity_invalid"
    zh = "节点身份文件 {file} 不可用：{reason_zh}"
    en = "Cannot use the identity file {file}: {reason_en}"


class CardKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public half of an account key."""

    scheme: Name
    public_key: Hex
    key_id: Hex16
    role: Name
    label: Name


class NodeCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator tells the others.

    Attributes:
        version: `CARD_VERSION`.
        network: the network it wants to join; the proof of possession is bound to this name.
        suite: the crypto suite its keys are for.
        account: random account id.
        name: public name of the operating organisation.
        host: where its node listens for peers.
        port: the port there.
        keys: account keys, one of role "admin" and one of role "node".
        vote_key: public key of consensus votes.
        possession: proof that the secret of `vote_key` is held.
        wrap_key: public key to which secrets for this operator are sealed.
        certificate_pem: X.509 certificate of its peer connections.
    """

    version: Annotated[int, Meta(ge=CARD_VERSION, le=CARD_VERSION)]
    network: Name
    suite: Name
    account: Hex16
    name: Name
    host: Host
    port: Port
    keys: Annotated[tuple[CardKey, ...], Meta(min_length=2, max_length=8)]
    vote_key: Hex
    possession: Hex
    wrap_key: Hex
    certificate_pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """A node's own keys, ready to use.

    Attributes:
        card: the public half.
        account: account id, 16 bytes; the node's id among peers.
        node_key_id: id of the account key that `node_signer` holds.
        node_signer: signs the node's own transactions.
        vote_signer: signs consensus votes.
        wrap_secret: opens what is sealed to `wrap_key`.
        wrap_key: its public half.
        tls: certificate and key files of peer connections.
    """

    card: NodeCard
    account: bytes
    node_key_id: bytes
    node_signer: Signer
    vote_signer: VoteSigner
    wrap_secret: bytes
    wrap_key: bytes
    tls: TlsIdentity

    def __repr__(self) -> str:
        return f"NodeIdentity({self.card.name}, {self.card.account})"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the secrets of a home lie."""

    home: Home

    @property
    def admin(self) -> Path:
        return self.home.keys / "admin.json"

    @property
    def node(self) -> Path:
        return self.home.keys / "node.json"

    @property
    def vote(self) -> Path:
        return self.home.keys / "vote.key"

    @property
    def wrap(self) -> Path:
        return self.home.keys / "wrap.key"

    @property
    def tls(self) -> TlsIdentity:
        return TlsIdentity(
            certificate_path=self.home.keys / "tls.cert.pem", key_path=self.home.keys / "tls.key.pem"
        )


def create_identity(
    home: Home,
    *,
    network: str,
    name: str,
    suite: CryptoSuite,
    peer_host: str,
    peer_port: int,
    http_host: str,
    http_port: int,
    now_ms: int,
) -> NodeCard:
    """Make a node's folder: fresh keys, card and configuration.

    Args:
        home: the folder; made if missing, and without an identity so far.
        network: name of the network to join, 1 to 64 characters.
        name: public name of the operating organisation, 1 to 64 characters.
        suite: the network's crypto suite.
        peer_host: where peers reach this node; it listens at every interface, unless that is loopback.
        peer_port: 1 to 65535.
        http_host: where the API listens.
        http_port: 1 to 65535.
        now_ms: current time, Unix milliseconds; begins the X.509 certificate's life.

    Returns:
        The card, which was also written to `card.json`.

    Raises:
        IdentityExists: the folder has keys or a card.
        IdentityInvalid: a name, host or port that a card cannot carry.
        FileUnusable: the folder cannot be written.
    """
    home.create_folders()
    if home.card.exists() or any(home.keys.iterdir()):
        raise IdentityExists(path=str(home.root))
    account = secrets.token_bytes(ACCOUNT_ID_SIZE_BYTES)
    admin = KeyFile.generate(suite, account=account, role=KeyRole.ADMIN, label=ADMIN_LABEL)
    node = KeyFile.generate(suite, account=account, role=KeyRole.NODE, label=NODE_LABEL)
    vote_secret, vote_signer = suite.generate_vote_signer()
    wrap_secret, wrap_key = suite.generate_wrap_key()
    certificate_pem, tls_key_pem = issue_certificate(account.hex(), now_ms=now_ms)
    card = NodeCard(
        version=CARD_VERSION,
        network=network,
        suite=suite.name,
        account=account.hex(),
        name=name,
        host=peer_host,
        port=peer_port,
        keys=(_card_key(admin), _card_key(node)),
        vote_key=vote_signer.public_key.hex(),
        possession=vote_signer.prove_possession(network, account).hex(),
        wrap_key=wrap_key.hex(),
        certificate_pem=certificate_pem,
    )
    encoded = msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"
    parse_card(encoded, file=home.card.name)
    files = KeyFiles(home)
    admin.save(files.admin)
    node.save(files.node)
    _write_secret(files.vote, vote_secret)
    _write_secret(files.wrap, wrap_secret)
    write_file(files.tls.key_path, tls_key_pem.encode(), secret=True, replace=False)
    write_file(files.tls.certificate_path, certificate_pem.encode(), replace=False)
    write_config(home.config, _first_config(name, peer_host, peer_port, http_host, http_port))
    mark_as_new(home)
    write_file(home.card, encoded, replace=False)
    return card


def _first_config(name: str, peer_host: str, peer_port: int, http_host: str, http_port: int) -> NodeConfig:
    return NodeConfig(
        node=NodeSection(name=name),
        http=HttpSection(host=http_host, port=http_port),
        network=NetworkSection(host=_listen_host(peer_host), port=peer_port),
    )


def _write_secret(path: Path, secret: bytes) -> None:
    write_file(path, secret.hex().encode() + b"\n", secret=True, replace=False)


def load_identity(home: Home, suite: CryptoSuite) -> NodeIdentity:
    """Read a node's keys, and make sure that they are the card's.

    Raises:
        FileUnusable: a file is missing or unreadable.
        SecretExposed: others may open a secret.
        KeyFileUnusable: the node's account key cannot be used.
        IdentityInvalid: the card is malformed, or a secret is not that of the card.
    """
    card = read_card(home.card)
    files = KeyFiles(home)
    _require(
        card.suite == suite.name, home.card, "密码套件与网络不同", "its crypto suite is not the network's"
    )
    node = KeyFile.load(files.node)
    named = [key for key in card.keys if key.role == KeyRole.NODE and key.key_id == node.key_id]
    _require(named and node.account == card.account, files.node, "不是名片上的密钥", "not the card's key")
    vote_signer = suite.load_vote_signer(_read_secret(files.vote))
    _require(
        vote_signer.public_key.hex() == card.vote_key, files.vote, "不是名片上的密钥", "not the card's key"
    )
    wrap_secret, wrap_key = _read_secret(files.wrap), bytes.fromhex(card.wrap_key)
    probe = secrets.token_bytes(32)
    try:
        opened = suite.unwrap(wrap_secret, suite.wrap(wrap_key, probe))
    except LedgerError:
        opened = b""
    _require(opened == probe, files.wrap, "不是名片上的密钥", "not the card's key")
    read_file(files.tls.key_path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
    own = load_certificate(
        read_file(files.tls.certificate_path).decode("ascii", "replace"),
        source=str(files.tls.certificate_path),
    )
    carded = load_certificate(card.certificate_pem, source=str(home.card))
    same_key = own.public_key() == carded.public_key()
    _require(same_key, files.tls.certificate_path, "不是名片上的证书", "its key is not the card's")
    return NodeIdentity(
        card=card,
        account=bytes.fromhex(card.account),
        node_key_id=bytes.fromhex(node.key_id),
        node_signer=node.signer(),
        vote_signer=vote_signer,
        wrap_secret=wrap_secret,
        wrap_key=wrap_key,
        tls=files.tls,
    )


def parse_card(data: bytes, *, file: str) -> NodeCard:
    """Read a card's JSON.

    Raises:
        IdentityInvalid: not a card.
    """
    try:
        return msgspec.json.decode(data, type=NodeCard)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IdentityInvalid(file=file, reason_zh=str(error), reason_en=str(error)) from None


def read_card(path: Path) -> NodeCard:
    """Read `card.json`; errors as for `parse_card`, and FileUnusable."""
    return parse_card(read_file(path, size_bytes_max=CARD_BYTES_MAX), file=str(path))


def _listen_host(peer_host: str) -> str:
    """Where to listen so that peers reach `peer_host`, which may be a name or address that only they know."""
    loopback = peer_host in {"localhost", "::1"} or peer_host.startswith("127.")
    return peer_host if loopback else "0.0.0.0"  # noqa: S104 - peers prove a pinned key before they are heard


def _card_key(key: KeyFile) -> CardKey:
    return CardKey(
        scheme=key.scheme, public_key=key.public_key, key_id=key.key_id, role=key.role, label=key.label
    )


def _read_secret(path: Path) -> bytes:
    text = read_file(path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
    try:
        return bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        raise FileUnusable(path=str(path), reason="not hexadecimal") from None


def _require(condition: object, path: Path, reason_zh: str, reason_en: str) -> None:
    if not condition:
        raise IdentityInvalid(file=str(path), reason_zh=reason_zh, reason_en=reason_en)
