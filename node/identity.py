"""A node's identity: the keys it makes for itself, and the card that tells others the public half.

    keys/admin.json      governance votes; may be kept on another machine, the node runs without it
    keys/node.json       what the node itself signs
    keys/vote.key        consensus votes; vote-next.key is one that waits for the operators' vote
    keys/wrap.key        opens what is sealed to this operator
    keys/tls.pem         peer connections, key and certificate; tls-next.pem is a pair that is being announced
    card.json            everything public: handed to whoever assembles the network
    card-next.json       the card with the vote key that waits

Rule: secrets are made here, and never leave; a card is believed only with its proof of possession. An identity is loaded
only if every secret belongs to the card. What a change of keys replaces is replaced by renaming, so that a crash leaves
the one or the other; `load_identity` finishes what was cut short.
"""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from contracts.records import KeyRole
from ledger.crypto.suite import CryptoSuite, Signer, VoteSigner
from ledger.errors import Category, LedgerError
from ledger.types import ACCOUNT_ID_SIZE_BYTES, Name
from network.tls import TlsIdentity, certificate_der, client_context, issue_certificate, load_certificate
from node.config import Host, HttpSection, NetworkSection, NodeConfig, NodeSection, Port, write_config
from node.home import (
    SECRET_FILE_BYTES_MAX,
    FileUnusable,
    Home,
    destroy_former,
    read_file,
    supersede,
    write_file,
)
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
        vote_signer_next: of the key that waits for the operators' vote; None when there is none.
        wrap_secret: opens what is sealed to `wrap_key`.
        wrap_key: its public half.
        tls: certificate and key of peer connections.
    """

    card: NodeCard
    account: bytes
    node_key_id: bytes
    node_signer: Signer
    vote_signer: VoteSigner
    vote_signer_next: VoteSigner | None
    wrap_secret: bytes
    wrap_key: bytes
    tls: TlsIdentity

    @property
    def vote_signers(self) -> dict[bytes, VoteSigner]:
        """By public key."""
        held = (self.vote_signer, self.vote_signer_next)
        return {signer.public_key: signer for signer in held if signer is not None}

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
    def vote_next(self) -> Path:
        return self.home.keys / "vote-next.key"

    @property
    def tls(self) -> TlsIdentity:
        return TlsIdentity(self.home.keys / "tls.pem")

    @property
    def tls_next(self) -> TlsIdentity:
        return TlsIdentity(self.home.keys / "tls-next.pem")

    @property
    def card_next(self) -> Path:
        return self.home.root / "card-next.json"


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
    certificate_pem, tls_key_pem = issue_certificate(now_ms=now_ms)
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
    encoded = _encode_card(card)
    parse_card(encoded, file=home.card.name)
    files = KeyFiles(home)
    admin.save(files.admin)
    node.save(files.node)
    _write_secret(files.vote, vote_secret)
    _write_secret(files.wrap, wrap_secret)
    write_file(files.tls.path, (tls_key_pem + certificate_pem).encode(), secret=True, replace=False)
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
    files = KeyFiles(home)
    for superseded in (files.vote, files.tls.path):
        destroy_former(superseded)
    vote_signer = suite.load_vote_signer(_read_secret(files.vote))
    _finish_rotation(home, vote_signer)
    card = read_card(home.card)
    _require(
        card.suite == suite.name, home.card, "密码套件与网络不同", "its crypto suite is not the network's"
    )
    node = KeyFile.load(files.node)
    named = [key for key in card.keys if key.role == KeyRole.NODE and key.key_id == node.key_id]
    _require(named and node.account == card.account, files.node, "不是名片上的密钥", "not the card's key")
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
    card = _finish_renewal(home, card)
    return NodeIdentity(
        card=card,
        account=bytes.fromhex(card.account),
        node_key_id=bytes.fromhex(node.key_id),
        node_signer=node.signer(),
        vote_signer=vote_signer,
        vote_signer_next=load_next_vote_signer(home, suite),
        wrap_secret=wrap_secret,
        wrap_key=wrap_key,
        tls=files.tls,
    )


# --- another vote key -------------------------------------------------------------------------------------------


def rotate_vote_key(home: Home, suite: CryptoSuite) -> NodeCard:
    """Make a vote key that waits for the operators' vote, and the card that is to be proposed with it.

    Called again before the vote it gives the same card. The node has to be started anew to hold the key.

    Raises:
        IdentityInvalid, FileUnusable: the present identity cannot be read, or the folder not be written.
    """
    files = KeyFiles(home)
    card = read_card(home.card)
    if files.card_next.exists() and files.vote_next.exists():
        return read_card(files.card_next)
    files.vote_next.unlink(missing_ok=True)
    secret, signer = suite.generate_vote_signer()
    _write_secret(files.vote_next, secret)
    account = bytes.fromhex(card.account)
    new = msgspec.structs.replace(
        card,
        vote_key=signer.public_key.hex(),
        possession=signer.prove_possession(card.network, account).hex(),
    )
    write_file(files.card_next, _encode_card(new))
    return new


def load_next_vote_signer(home: Home, suite: CryptoSuite) -> VoteSigner | None:
    """The vote key that waits for the operators' vote; None when there is none."""
    files = KeyFiles(home)
    return suite.load_vote_signer(_read_secret(files.vote_next)) if files.vote_next.exists() else None


def retire_vote_key(home: Home, suite: CryptoSuite, in_use: bytes) -> bool:
    """Once the ledger names the key that waited, destroy the one before; whether that was so.

    A disk that keeps old blocks, as many do, keeps the old secret for a while: what was signed with it belongs to an epoch
    that is over.

    Raises:
        FileUnusable: a file cannot be read or written.
    """
    files = KeyFiles(home)
    waiting = load_next_vote_signer(home, suite)
    if waiting is None or waiting.public_key != in_use:
        return False
    supersede(files.vote_next, files.vote)
    _finish_rotation(home, waiting)
    return True


def discard_next_vote_key(home: Home) -> None:
    """Give up a key that waits: nobody knows any more whether it has voted."""
    files = KeyFiles(home)
    files.vote_next.unlink(missing_ok=True)
    files.card_next.unlink(missing_ok=True)


def _finish_rotation(home: Home, signer: VoteSigner) -> None:
    """The card follows the vote key."""
    files = KeyFiles(home)
    if files.card_next.exists() and read_card(files.card_next).vote_key == signer.public_key.hex():
        card = read_card(home.card)
        new = read_card(files.card_next)
        card = msgspec.structs.replace(card, vote_key=new.vote_key, possession=new.possession)
        write_file(home.card, _encode_card(card))
        files.card_next.unlink()


# --- another certificate ----------------------------------------------------------------------------------------


def make_next_certificate(home: Home, *, now_ms: int) -> bytes:
    """Make the key and certificate that are to follow the present ones, unless they wait already; the certificate, DER.

    Raises:
        FileUnusable: the folder cannot be written.
    """
    path = KeyFiles(home).tls_next.path
    if not path.exists():
        certificate_pem, key_pem = issue_certificate(now_ms=now_ms)
        write_file(path, (key_pem + certificate_pem).encode(), secret=True)
    return certificate_of(KeyFiles(home).tls_next)


def switch_certificate(home: Home) -> None:
    """Let the certificate that waits take the present one's place; the old key is destroyed.

    Raises:
        TlsIdentityInvalid: what waits is no certificate with its own key; then nothing has changed.
        FileUnusable: there is none, or it cannot be moved.
    """
    files = KeyFiles(home)
    certificate_of(files.tls_next)
    client_context(files.tls_next, ())
    supersede(files.tls_next.path, files.tls.path)
    _finish_renewal(home, read_card(home.card))


def certificate_of(tls: TlsIdentity) -> bytes:
    """The certificate in a key pair's file, DER.

    Raises:
        FileUnusable, SecretExposed: the file. TlsIdentityInvalid: what is in it.
    """
    text = read_file(tls.path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
    return certificate_der(load_certificate(text.decode("ascii", "replace"), source=str(tls.path)))


def _finish_renewal(home: Home, card: NodeCard) -> NodeCard:
    """The card follows the certificate."""
    pem = ssl.DER_cert_to_PEM_cert(certificate_of(KeyFiles(home).tls))
    if card.certificate_pem.strip() == pem.strip():
        return card
    card = msgspec.structs.replace(card, certificate_pem=pem)
    write_file(home.card, _encode_card(card))
    return card


# --- cards ------------------------------------------------------------------------------------------------------


def _encode_card(card: NodeCard) -> bytes:
    return msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


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
