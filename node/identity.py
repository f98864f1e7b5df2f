"""A node's identity: the keys it makes for itself, and the card that tells others the public half.

    keys/                what `node/keystore.py` lists
    card.json            everything public: handed to whoever assembles the network
    card-next.json       the card with a vote key that waits (`node/rotation.py`)

Rule: secrets are made here or in the operator's token, and never leave; a card is believed only with its proof of possession. An
identity is loaded only if every secret belongs to the card.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from contracts.records import KeyRole
from ledger.crypto import ed25519
from ledger.crypto.at_rest import COST_DEFAULT, KdfCost
from ledger.crypto.suite import CryptoSuite, Signer, VoteSigner
from ledger.crypto.token import Token
from ledger.errors import Category, LedgerError
from ledger.types import ACCOUNT_ID_SIZE_BYTES
from network.tls import TlsIdentity, issue_certificate
from node.cards import CARD_VERSION, CardKey, IdentityInvalid, NodeCard, encode_card, parse_card, read_card
from node.config import HttpSection, KeysSection, NetworkSection, NodeConfig, NodeSection, write_config
from node.home import Home, destroy_former, write_file
from node.journal import mark_as_new
from node.keystore import VOTE_KIND, WRAP_KIND, KeyFiles, read_secret, tls_password, write_secret
from node.rotation import finish_renewal, finish_rotation, load_next_vote_signer
from zhenglian.keyfile import KeyFile
from zhenglian.keyring import ByPassphrase, ByToken, Keyring
from zhenglian.unlocking import Passphrase, Sources, sources

ADMIN_LABEL: Final = "governance"
NODE_LABEL: Final = "node"
TOKEN_PREFIX: Final = "zhenglian"  # noqa: S105 - a name


class IdentityExists(LedgerError):
    """The folder has an identity already. Fields: path."""

    code = "identity_exists"
    category = Category.CONFLICT
    zh = "{path} 中已有节点身份；身份不会被覆盖，请另选目录"
    en = "{path} holds an identity already; an identity is never overwritten, choose another folder"


@dataclass(frozen=True, slots=True)
class InFiles:
    """Keys are kept in files that open with a passphrase; `cost` is what a guess takes."""

    passphrase: Passphrase
    cost: KdfCost = COST_DEFAULT


@dataclass(frozen=True, slots=True)
class InToken:
    """Account keys that a token can make are made in it, as `<prefix>-node` and `<prefix>-admin`; its key `<prefix>-seal` seals the
    others."""

    token: Token
    prefix: str = TOKEN_PREFIX


Keeping = InFiles | InToken | None


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
    keeping: Keeping = None,
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
        keeping: what locks the keys; None leaves them readable.

    Returns:
        The card, which was also written to `card.json`.

    Raises:
        IdentityExists: the folder has keys or a card.
        IdentityInvalid: a name, host or port that a card cannot carry.
        FileUnusable: the folder cannot be written.
        TokenKeyExists: the token has keys of that prefix; TokenUnavailable: it is away.
    """
    require_new_identity(home)
    home.create_folders()
    account = secrets.token_bytes(ACCOUNT_ID_SIZE_BYTES)
    files, keyring = KeyFiles(home), None if keeping is None else Keyring.create()
    vote_secret, vote_signer = suite.generate_vote_signer()
    wrap_secret, wrap_key = suite.generate_wrap_key()
    certificate_pem, tls_key_pem = issue_certificate(now_ms=now_ms, password=tls_password(keyring))

    def card_with(admin: KeyFile, node: KeyFile) -> NodeCard:
        return NodeCard(
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

    # A card that nobody could read is noticed before anything is made in a token.
    probe = KeyFile.generate(suite, account=account, role=KeyRole.NODE, label=NODE_LABEL)
    parse_card(encode_card(card_with(probe, probe)), file=home.card.name)
    admin, node = _account_keys(suite, account, keeping)
    card = card_with(admin, node)
    if keyring is not None and keeping is not None:
        write_file(files.keyring, keyring.locked(_lock(keeping)), secret=True, replace=False)
    _save_account_keys(files, admin, node, keeping, keyring)
    write_secret(files.vote, VOTE_KIND, vote_signer.public_key, vote_secret, keyring)
    write_secret(files.wrap, WRAP_KIND, wrap_key, wrap_secret, keyring)
    write_file(files.tls.path, (tls_key_pem + certificate_pem).encode(), secret=True, replace=False)
    listen = NetworkSection(host=_listen_host(peer_host), port=peer_port)
    write_config(
        home.config, _first_config(name, HttpSection(host=http_host, port=http_port), listen, keeping)
    )
    mark_as_new(home)
    write_file(home.card, encode_card(card), replace=False)
    return card


def _first_config(name: str, http: HttpSection, network: NetworkSection, keeping: Keeping) -> NodeConfig:
    module = str(keeping.token.module) if isinstance(keeping, InToken) else ""
    return NodeConfig(
        node=NodeSection(name=name), http=http, network=network, keys=KeysSection(pkcs11_module=module)
    )


def require_new_identity(home: Home) -> None:
    """Raises IdentityExists when the folder has keys or a card, so that nobody is asked for anything in vain."""
    if home.card.exists() or (home.keys.is_dir() and any(home.keys.iterdir())):
        raise IdentityExists(path=str(home.root))


def _account_keys(suite: CryptoSuite, account: bytes, keeping: Keeping) -> tuple[KeyFile, KeyFile]:
    """The keys of governance and of the node itself, made where they are kept."""
    if isinstance(keeping, InToken):
        token, prefix = keeping.token, keeping.prefix
        in_token = suite.signature_schemes == (ed25519.SCHEME,)
        labels = [f"{prefix}-{what}" for what in ("node", "admin", "seal")]
        for label in labels:
            token.require_free(label)
        token.generate_sealing_key(labels[2])
        if in_token:
            admin = KeyFile.generate_in_token(
                suite, token, labels[1], account=account, role=KeyRole.ADMIN, label=ADMIN_LABEL
            )
            node = KeyFile.generate_in_token(
                suite, token, labels[0], account=account, role=KeyRole.NODE, label=NODE_LABEL
            )
            return admin, node
    return (
        KeyFile.generate(suite, account=account, role=KeyRole.ADMIN, label=ADMIN_LABEL),
        KeyFile.generate(suite, account=account, role=KeyRole.NODE, label=NODE_LABEL),
    )


def _lock(keeping: InFiles | InToken) -> ByPassphrase | ByToken:
    match keeping:
        case InFiles():
            return ByPassphrase(keeping.passphrase, keeping.cost)
        case InToken():
            return ByToken(keeping.token, f"{keeping.prefix}-seal")
        case _:
            assert_never(keeping)


def _save_account_keys(
    files: KeyFiles, admin: KeyFile, node: KeyFile, keeping: Keeping, keyring: Keyring | None
) -> None:
    if isinstance(keeping, InFiles):
        admin.save(files.admin, passphrase=keeping.passphrase, cost=keeping.cost)
    else:
        admin.save(files.admin, keyring=keyring, unencrypted=keyring is None)
    node.save(files.node, keyring=keyring, unencrypted=keyring is None)


def load_identity(home: Home, suite: CryptoSuite, using: Sources | None = None) -> NodeIdentity:
    """Read a node's keys, and make sure that they are the card's; `using` says where passphrase or PIN are, if not the program's
    own sources.

    Raises:
        FileUnusable: a file is missing or unreadable.
        SecretExposed: others may open a secret.
        KeyFileUnusable: a sealed file, the keyring or the node's account key cannot be used.
        PassphraseNeeded, PassphraseWrong, PassphraseUnusable: the keys are locked.
        ModuleNeeded, PinNeeded, TokenUnavailable, TokenPinRefused, TokenKeyMissing: they are locked by a token, or in it.
        IdentityInvalid: the card is malformed, or a secret is not that of the card.
    """
    files = KeyFiles(home, using)
    for superseded in (files.vote, files.tls.path):
        destroy_former(superseded)
    vote_signer = suite.load_vote_signer(read_secret(files.vote, VOTE_KIND, files.open))
    finish_rotation(home, vote_signer.public_key)
    card = read_card(home.card)
    _require(
        card.suite == suite.name, home.card, "密码套件与网络不同", "its crypto suite is not the network's"
    )
    node_signer, node_key_id = _node_signer(files, card)
    _require(
        vote_signer.public_key.hex() == card.vote_key, files.vote, "不是名片上的密钥", "not the card's key"
    )
    wrap_secret, wrap_key = read_secret(files.wrap, WRAP_KIND, files.open), bytes.fromhex(card.wrap_key)
    probe = secrets.token_bytes(32)
    try:
        opened = suite.unwrap(wrap_secret, suite.wrap(wrap_key, probe))
    except LedgerError:
        opened = b""
    _require(opened == probe, files.wrap, "不是名片上的密钥", "not the card's key")
    card = finish_renewal(home, card)
    return NodeIdentity(
        card=card,
        account=bytes.fromhex(card.account),
        node_key_id=node_key_id,
        node_signer=node_signer,
        vote_signer=vote_signer,
        vote_signer_next=load_next_vote_signer(home, suite, using),
        wrap_secret=wrap_secret,
        wrap_key=wrap_key,
        tls=files.tls,
    )


def _node_signer(files: KeyFiles, card: NodeCard) -> tuple[Signer, bytes]:
    """The node's account key and its id."""
    # First the keyring, with the library that the configuration names: the key file, which may need it, names none.
    files.open()
    node = KeyFile.load(files.node, using=files.using)
    named = [key for key in card.keys if key.role == KeyRole.NODE and key.key_id == node.key_id]
    _require(named and node.account == card.account, files.node, "不是名片上的密钥", "not the card's key")
    return node.signer(files.using or sources(), files.module), bytes.fromhex(node.key_id)


def _listen_host(peer_host: str) -> str:
    """Where to listen so that peers reach `peer_host`, which may be a name or address that only they know."""
    loopback = peer_host in {"localhost", "::1"} or peer_host.startswith("127.")
    return peer_host if loopback else "0.0.0.0"  # noqa: S104 - peers prove a pinned key before they are heard


def _card_key(key: KeyFile) -> CardKey:
    return CardKey(
        scheme=key.scheme, public_key=key.public_key, key_id=key.key_id, role=key.role, label=key.label
    )


def _require(condition: object, path: Path, reason_zh: str, reason_en: str) -> None:
    if not condition:
        raise IdentityInvalid(file=str(path), reason_zh=reason_zh, reason_en=reason_en)
