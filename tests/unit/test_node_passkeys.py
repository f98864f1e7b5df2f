"""Passkeys at a node: votes by command, origins that change while a transaction is on its way, and who notifies."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.admission import OriginNotListed, PasskeyInvalid
from contracts.calls import PeopleRevokeKey
from contracts.portals import identity_services
from contracts.records import Account, AccountKind, AccountStatus, Key, KeyRole
from contracts.state import ACCOUNTS, NETWORK, Draft, StateReader, network
from ledger import codec, domains
from ledger.crypto.suite import key_id
from ledger.hashing import signing_message, transaction_id
from ledger.types import Transaction, Validator, ValidatorSet, WebAuthn
from node.config import (
    ConfigFileInvalid,
    NodeConfig,
    NodeSection,
    OidcSection,
    load_config,
    login_providers,
    write_config,
)
from node.devnet import Devnet
from node.founding import load_network
from node.gossip import Verdict
from node.home import Home
from node.services.notifiers import NOTIFIERS, Notifier, notifiers
from tests.unit.contracts_world import NODES, SUITE, identity, person
from tests.unit.node_world import Node, running
from tests.unit.passkey_world import ORIGIN, RP_ID, SETTINGS, Device
from tests.unit.test_cli_governance import city

PHONE = Device()
KEY = key_id(SUITE, "passkey", PHONE.public_key)
HOLDER = Account(
    account_id=identity("holder of a passkey"),
    kind=AccountKind.PERSON,
    status=AccountStatus.ACTIVE,
    name="",
    credit_code="",
    issues=(),
    created_ms=0,
    keys=(
        Key(
            key_id=KEY,
            scheme="passkey",
            public_key=PHONE.public_key,
            role=KeyRole.HOLDER,
            label="phone",
            valid_from_ms=0,
            valid_until_ms=0,
            revoked_ms=0,
        ),
    ),
)
MOVED = WebAuthn(rp_id=RP_ID, origins=("https://new.city.example.cn",))


def _account(records: StateReader, name: bytes) -> Account | None:
    return ACCOUNTS.get(records, name)


def with_passkey(here: Node, monkeypatch: pytest.MonkeyPatch, settings: WebAuthn = SETTINGS) -> None:
    """The node's state, with a person who has a passkey in it."""
    base = type(here.chain).executed_state

    def state() -> StateReader:
        draft = Draft(base(here.chain))
        ACCOUNTS.put(draft, HOLDER.account_id, HOLDER)
        NETWORK.put(draft, None, replace(network(draft), webauthn=settings))
        return draft

    monkeypatch.setattr(here.chain, "executed_state", state)
    monkeypatch.setattr(type(here.chain.records), "get", lambda _records, key: state().get(key))
    monkeypatch.setattr(type(here.chain.records), "account", _account)


def consented(here: Node, **changes: object) -> Transaction:
    plain = here.sign(NODES[0], PeopleRevokeKey(key_id=KEY))
    body = replace(plain.body, account=HOLDER.account_id, key_id=KEY)
    challenge = SUITE.hash(domains.TRANSACTION_SIGN, signing_message(body))
    return Transaction(body=body, signature=PHONE.consent(challenge, **changes))


async def test_a_peer_who_knows_an_older_list_of_origins_is_no_forger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        with_passkey(here, monkeypatch, MOVED)
        late = consented(here)
        assert here.submission.take(codec.encode(late))[1] is Verdict.LATER
        with pytest.raises(OriginNotListed):
            await here.submission.submit(late, wait_s=0)
        assert len(here.mempool) == 0
        forged = consented(here, type="webauthn.create")
        assert here.submission.take(codec.encode(forged))[1] is Verdict.FORGED
        with pytest.raises(PasskeyInvalid, match="type"):
            await here.submission.submit(forged, wait_s=0)
        with_passkey(here, monkeypatch)
        assert here.submission.take(codec.encode(late))[1] is Verdict.TAKEN


async def test_what_was_promised_before_the_origins_changed_is_kept_until_it_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        with_passkey(here, monkeypatch, MOVED)
        promised = codec.encode(consented(here))
        forged = codec.encode(consented(here, crossOrigin=True))
        assert here.submission.recover([promised, forged]) == 1


# --- who notifies ---


def validators(count: int) -> ValidatorSet:
    return ValidatorSet(
        epoch=1,
        validators=tuple(
            Validator(account=identity(f"operator {n}"), name=f"op{n}", vote_key=b"k", possession=b"p")
            for n in range(count)
        ),
    )


NAMES = [hashlib.sha256(bytes((n >> 8, n & 255))).digest() for n in range(400)]


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_whoever_took_a_transaction_in_another_operator_notifies(count: int) -> None:
    present = validators(count)
    nodes = {one.account: Notifier(SUITE, one.account, lambda: present) for one in present.validators}
    for number, name in enumerate(NAMES):
        chosen = notifiers(SUITE, name, present)
        assert len(chosen) == min(NOTIFIERS, count)
        taker = present.validators[number % count].account
        nodes[taker].took_in(name)
        telling = {account for account, node in nodes.items() if node.is_mine(name)}
        assert telling == (set(chosen) - {taker} if count > 1 else {taker})
        assert telling


def test_the_work_of_notifying_is_spread() -> None:
    present = validators(4)
    shares = Counter(account for name in NAMES for account in notifiers(SUITE, name, present))
    assert len(shares) == 4
    assert min(shares.values()) > len(NAMES) // 3


async def test_a_node_knows_what_its_own_clients_handed_in_also_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        heard: list[bytes] = []
        here.submission._taken_in = heard.append
        own = here.sign(NODES[0], PeopleRevokeKey(key_id=KEY))
        others = here.sign(NODES[0], PeopleRevokeKey(key_id=KEY))
        await here.submission.submit(own, wait_s=0)
        here.submission.take(codec.encode(others))
        assert heard == [transaction_id(SUITE, own.body)]
    again = Node(tmp_path)
    again.submission._taken_in = heard.append
    again.submission.recover(again.pool_log.recovered())
    assert heard == [transaction_id(SUITE, own.body)] * 2
    await again.index.close()
    again.pool_log.close()
    again.close()


# --- settings ---


async def test_operators_vote_on_origins_portals_and_face_services_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city(tmp_path, monkeypatch) as here:
        made = await here.run("propose", "passkey-origins", RP_ID, ORIGIN)
        await here.approve(made["proposal_id"])
        assert here.node.chain.webauthn == WebAuthn(rp_id=RP_ID, origins=(ORIGIN,))
        bundle = tmp_path / "portal.tar"
        bundle.write_bytes(b"the portal")
        made = await here.run("propose", "approve-portal", "citizen", bundle)
        await here.approve(made["proposal_id"])
        (portal,) = here.node.chain.portals()
        assert (portal.name, portal.bundle_hash) == ("citizen", hashlib.sha256(b"the portal").digest())
        assert identity_services(here.node.chain.executed_state()) == ()


def test_a_devnet_has_passkeys_on_localhost_and_not_on_an_address(tmp_path: Path) -> None:
    devnet = Devnet.create(tmp_path / "devnet", nodes=1, unencrypted=True, origins=("http://localhost:9000",))
    settings = load_network(Home(devnet.home(1))).genesis.webauthn
    port = devnet.url(1).rpartition(":")[2]
    assert settings == WebAuthn(
        rp_id="localhost", origins=("http://localhost:9000", f"http://localhost:{port}")
    )
    assert person("li").account != HOLDER.account_id


PROVIDER = OidcSection(
    name="city", issuer="https://id.example.cn", client_id="node", redirect_uri="https://portal.example.cn/in"
)


def test_providers_are_read_with_their_secrets(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    config = NodeConfig(
        node=NodeSection(name="op"), oidc=(replace(PROVIDER, client_secret_file=str(secret)),)
    )
    write_config(tmp_path / "config.toml", config)
    (found,) = login_providers(load_config(tmp_path / "config.toml"))
    assert (found.client_secret, found.label_zh, found.algorithms[0]) == ("s3cret", "city", "RS256")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ('issuer = "http://id.example.cn"', "oidc.issuer"),
        ('redirect_uri = "javascript:alert(1)"', "oidc.redirect_uri"),
        ('algorithms = ["none"]', "oidc"),
        ('algorithms = ["HS256"]', "oidc"),
        ("algorithms = []", "oidc"),
        ('scopes = ["email"]', "oidc.scopes"),
        ('name = "City ID"', "oidc"),
        ('client_idd = "x"', "oidc"),
    ],
)
def test_a_provider_that_is_set_wrongly_stops_the_node_with_the_key_named(
    tmp_path: Path, change: str, key: str
) -> None:
    lines = {
        "name": 'name = "city"',
        "issuer": 'issuer = "https://id.example.cn"',
        "client_id": 'client_id = "node"',
        "redirect_uri": 'redirect_uri = "https://portal.example.cn/in"',
    }
    lines[change.partition(" ")[0]] = change
    path = tmp_path / "config.toml"
    path.write_text('[node]\nname = "op"\n[[oidc]]\n' + "\n".join(lines.values()) + "\n")
    with pytest.raises(ConfigFileInvalid) as wrong:
        load_config(path)
    assert key in str(wrong.value)


def test_two_providers_of_one_name_are_refused(tmp_path: Path) -> None:
    config = NodeConfig(node=NodeSection(name="op"), oidc=(PROVIDER, PROVIDER))
    write_config(tmp_path / "config.toml", config)
    with pytest.raises(ConfigFileInvalid, match=r"oidc\.name"):
        load_config(tmp_path / "config.toml")
