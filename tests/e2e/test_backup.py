"""A node that is lost comes back from a backup that was made while it ran: it catches up, keeps silent, votes with another key."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contracts.calls import OrganizationsAddKey, OrganizationsRevokeKey
from contracts.records import AccountKind, KeyRole
from node.devnet import Devnet
from node.home import Home
from tests.e2e.cities import COMMAND_S, READY_S, SUITE, Organization, found, height, same_blocks, until
from zhenglian import Client, KeyFile

VICTIM = 3


def zhenglian(*words: str, status: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "--json", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def traffic(devnet: Devnet, organization: Organization) -> Iterator[list[str]]:
    """Transactions, one after another, in a thread of its own; their ids."""
    sent: list[str] = []
    enough = threading.Event()

    def send() -> None:
        with Client(devnet.urls[:2], organization.admin) as client:
            account = bytes.fromhex(organization.admin.account)
            while not enough.is_set():
                key = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label=f"{len(sent)}")
                calls = (
                    OrganizationsAddKey(key=key.new_key()),
                    OrganizationsRevokeKey(key_id=bytes.fromhex(key.key_id)),
                )
                sent.extend(client.submit(call).transaction_id for call in calls)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        enough.set()
        thread.join()


def test_a_node_that_is_lost_comes_back_from_a_hot_backup_and_votes_with_another_key(
    devnet: Devnet, tmp_path: Path
) -> None:
    organization = found(devnet, "busy", AccountKind.ENTERPRISE)
    home = Home(devnet.home(VICTIM))
    backup = tmp_path / "backup"
    with traffic(devnet, organization) as sent:
        until(lambda: len(sent) > 2, "transactions flow")
        made = zhenglian("node", "backup", str(backup), "--home", str(home.root))
        done = len(sent)
        assert made["height"] > 0
        until(lambda: len(sent) > done + 1, "and still do")
    verified = zhenglian("node", "backup", "verify", str(backup), "--network", str(home.genesis))
    assert verified["whole"]
    assert verified["blocks"] == made["height"]

    keys = Path(shutil.copytree(home.keys, tmp_path / "offline"))
    devnet.kill(VICTIM)
    shutil.rmtree(home.root)
    zhenglian("node", "restore", str(backup), str(home.root))
    shutil.copytree(keys, home.keys, dirs_exist_ok=True)
    devnet.start(VICTIM)
    top = height(devnet, 1)
    until(lambda: height(devnet, VICTIM) >= top, "it catches up", READY_S)
    same_blocks(devnet)
    with Client(devnet.url(VICTIM)) as client:
        assert all(client.transaction(name).status == "finalized" for name in sent)
        assert not client.status().voting

    card = zhenglian("node", "rotate-key", "--home", str(home.root))["card"]
    devnet.terminate(VICTIM)
    devnet.start(VICTIM)
    until(lambda: height(devnet, VICTIM) >= top, "it is back with both keys", READY_S)
    asked = [word for url in devnet.urls for word in ("--node", url)]
    key = str(devnet.admin_key(1))
    proposal = zhenglian(*asked, "--key", key, "gov", "propose", "rotate-key", card)["proposal_id"]
    for other in (2, VICTIM):
        key = str(devnet.admin_key(other))
        zhenglian(*asked, "--key", key, "gov", "approve", proposal)

    def votes() -> bool:
        status = devnet.status(VICTIM)
        return status is not None and status.voting

    until(votes, "it votes with the other key", READY_S)
    assert zhenglian("node", "check", str(home.root))["proven"]
    organization.client.close()
