"""A whole city network is lost but for its operators' identities and one archive: it goes on from there.

Real node processes, and the real program: what operators type, in the order of docs/archive.md, on folders that have nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from contracts.calls import RegisterOrganization
from contracts.records import AccountKind, KeyRole
from ledger.receipts import epochs_from_json, receipt_from_json, trust_from_json, verify_receipt
from node.cli import app
from node.config import load_config, write_config
from node.devnet import Devnet
from node.home import Home
from tests.e2e.cities import READY_S, SUITE, height, operator, same_blocks, until
from zhenglian import KeyFile

IDENTITY = ("keys", "card.json", "config.toml")


def command(*words: str | Path, status: int = 0) -> dict[str, Any]:
    """What the program answers; it runs in this process, which is none of the nodes'."""
    done = CliRunner().invoke(app, ["--json", *map(str, words)], env={"ZHENGLIAN_LANG": "en"})
    assert done.exit_code == status, done.output
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def register(devnet: Devnet, name: str) -> tuple[str, str]:
    """A decision of three operators; the last approval's transaction, and its receipt."""
    admin = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
    action = RegisterOrganization(
        account_id=bytes.fromhex(admin.account),
        kind=AccountKind.AUDITOR,
        name=name,
        credit_code="",
        issues=(),
        admin=admin.new_key(),
    )
    with operator(devnet, 1) as client:
        proposal = client.propose(action)
        client.core.key = devnet.admin(2)
        client.approve_proposal(proposal)
        client.core.key = devnet.admin(3)
        approved = client.approve_proposal(proposal)
        return approved.transaction_id, client.receipt(approved.transaction_id)


def lost_and_found(old: Devnet, folder: Path) -> Devnet:
    """New machines: other folders and ports, and what each operator kept in a safe."""
    new = Devnet.create(folder, len(old.numbers))
    for n in old.numbers:
        home = Home(new.home(n))
        here = load_config(home.config)
        shutil.rmtree(home.root)
        home.root.mkdir()
        for name in IDENTITY:
            kept = old.home(n) / name
            (shutil.copytree if kept.is_dir() else shutil.copy2)(kept, home.root / name)
        kept_config = load_config(home.config)
        moved = msgspec.structs.replace(kept_config, http=here.http, network=here.network)
        write_config(home.config, moved)
    shutil.rmtree(old.folder)
    return new


@pytest.fixture
def city_network(tmp_path: Path) -> Iterator[Devnet]:
    with Devnet.create(tmp_path / "old") as network:
        network.start_all()
        network.wait_ready(READY_S)
        yield network


def test_a_network_that_lost_every_machine_goes_on_from_an_archive(
    city_network: Devnet, tmp_path: Path
) -> None:
    old = city_network
    trust, archive, receipt_file = (tmp_path / name for name in ("trust.json", "city.archive", "old.json"))
    before, proof = register(old, "审计局")
    receipt_file.write_text(proof)
    command("trust", "--out", trust, "--node", old.url(1))
    made = command("archive", "create", archive, "--home", old.home(1), "--with-blobs")
    assert made["to"] >= 2
    assert command("archive", "verify", archive, "--trust", trust)["valid"]
    old.stop()
    top = made["to"]

    with lost_and_found(old, tmp_path / "new") as new:
        for n in new.numbers:
            imported = command("archive", "import", archive, "--home", new.home(n), "--trust", trust)
            assert (imported["height"], imported["silenced"]) == (top, True)
        restart(new, tmp_path / "papers", top)
        new.start_all()
        new.wait_ready(READY_S)
        after, _ = register(new, "工商银行")
        same_blocks(new)
        checks_with_the_old_trust(new, trust, (before, after))
        command("archive", "create", tmp_path / "later.archive", "--home", new.home(2))
    # Both epochs, and the block that the operators made by hand, from the trust file of before.
    assert command("archive", "verify", tmp_path / "later.archive", "--trust", trust)["valid"]
    assert command("verify", receipt_file, "--trust", trust)["valid"]


def restart(new: Devnet, papers: Path, top: int) -> None:
    """Every operator in turn, again and again, as the command says."""
    papers.mkdir()
    moved = set[int]()
    for _ in range(4):
        for n in new.numbers:
            peer_port = load_config(Home(new.home(n)).config).network.port
            said = command(
                *("archive", "restart", papers, "--home", new.home(n), "--yes"),
                *("--host", "127.0.0.1", "--port", str(peer_port)),
            )
            if said["waiting"] == "nothing":
                assert said["height"] == top + 1
                moved.add(n)
    assert moved == set(new.numbers)


def checks_with_the_old_trust(new: Devnet, trust: Path, transactions: tuple[str, ...]) -> None:
    """What was final before and what is final now, by the trust point of before."""
    trusted = trust_from_json(trust.read_bytes())
    with operator(new, 1) as client:
        changes = epochs_from_json(client.epochs())
        receipts = [receipt_from_json(client.receipt(one)) for one in transactions]
    assert [receipt.header.epoch for receipt in receipts] == [1, 2]
    assert len(changes) == 1
    for receipt in receipts:
        verify_receipt(trusted, receipt, changes)


def test_an_archive_fills_a_fresh_machine_that_then_joins(city_network: Devnet, tmp_path: Path) -> None:
    devnet = city_network
    trust, archive = tmp_path / "trust.json", tmp_path / "city.archive"
    register(devnet, "审计局")
    command("trust", "--out", trust, "--node", devnet.url(1))
    made = command("archive", "create", archive, "--home", devnet.home(1))
    fresh = devnet.add()
    key = str(devnet.admin_key(1))
    proposed = command(
        "--node", devnet.url(1), "--key", key, "gov", "propose", "admit-reader", devnet.card(fresh)
    )
    for n in (2, 3):
        approve = ("gov", "approve", proposed["proposal_id"])
        command("--node", devnet.url(n), "--key", str(devnet.admin_key(n)), *approve)
    imported = command("archive", "import", archive, "--home", devnet.home(fresh), "--trust", trust)
    assert (imported["height"], imported["silenced"]) == (made["to"], False)
    devnet.start(fresh)
    until(lambda: height(devnet, fresh) >= height(devnet, 1) > made["to"], "it caught up")
