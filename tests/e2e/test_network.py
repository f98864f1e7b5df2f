"""Four real processes: one may die at any moment, and nothing that was acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from contracts.calls import OrganizationsAddKey
from contracts.records import AccountKind, KeyRole
from node.devnet import Devnet
from tests.e2e.cities import COMMAND_S, READY_S, SUITE, found, height, same_blocks, until
from zhenglian import Client, KeyFile
from zhenglian.errors import NotReachable

CLIENTS = 3
KEYS_PER_CLIENT = 12


def add_key(client: Client, label: str) -> str:
    """Write something that can be counted; the transaction's id."""
    assert client.core.key is not None
    account = bytes.fromhex(client.core.key.account)
    key = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label=label)
    return client.submit(OrganizationsAddKey(key=key.new_key())).transaction_id


def labels(devnet: Devnet, n: int, account: str) -> list[str]:
    with Client(devnet.url(n)) as client:
        return [key.label for key in client.account(account).keys]


def test_all_four_agree_on_every_block(devnet: Devnet) -> None:
    found(devnet, "first", AccountKind.ENTERPRISE)
    assert same_blocks(devnet) > 0


@pytest.mark.parametrize("victim", [1, 2, 3, 4])
def test_any_one_may_be_killed_and_catches_up(devnet: Devnet, victim: int) -> None:
    organization = found(devnet, f"before {victim}", AccountKind.ENTERPRISE)
    devnet.kill(victim)
    with Client(devnet.urls, organization.admin) as client:
        for number in range(3):
            add_key(client, f"while {victim} was down {number}")
    devnet.start(victim)
    devnet.wait_ready(READY_S)
    same_blocks(devnet)
    expected = [f"while {victim} was down {number}" for number in range(3)]
    until(
        lambda: labels(devnet, victim, organization.admin.account)[-3:] == expected,
        "the node that was down knows what happened",
    )
    organization.client.close()


def test_with_two_down_nothing_is_final_and_what_was_accepted_is_kept(devnet: Devnet) -> None:
    organization = found(devnet, "patient", AccountKind.ENTERPRISE)
    same_blocks(devnet)
    devnet.kill(3)
    devnet.kill(4)
    before = height(devnet, 1)
    with Client(devnet.url(1), organization.admin) as client:
        key = KeyFile.generate(
            SUITE, account=bytes.fromhex(organization.admin.account), role=KeyRole.OFFICER, label="kept"
        )
        pending = client.submit(OrganizationsAddKey(key=key.new_key()), wait_s=2)
        assert pending.status == "pending"
        assert height(devnet, 1) == before
        devnet.kill(1)
        devnet.start(1)
        devnet.start(3)
        devnet.start(4)
        devnet.wait_ready(READY_S)
        assert client.wait(pending.transaction_id).status == "finalized"
    assert labels(devnet, 2, organization.admin.account).count("kept") == 1
    organization.client.close()


def test_after_a_power_cut_everywhere_the_chain_goes_on_from_where_it_was(devnet: Devnet) -> None:
    organization = found(devnet, "resumed", AccountKind.ENTERPRISE)
    top = same_blocks(devnet)
    with Client(devnet.url(1)) as client:
        digest = client.block(top).digest
    for n in devnet.numbers:
        devnet.kill(n)
    devnet.start_all()
    devnet.wait_ready(READY_S)
    assert [height(devnet, n) for n in devnet.numbers] == [top] * 4
    with Client(devnet.url(2)) as client:
        assert client.block(top).digest == digest
    with Client(devnet.urls, organization.admin) as client:
        add_key(client, "after the cut")
    assert same_blocks(devnet) > top
    organization.client.close()


def test_concurrent_clients_lose_nothing_and_double_nothing_while_nodes_die(devnet: Devnet) -> None:
    organizations = [found(devnet, f"busy {number}", AccountKind.ENTERPRISE) for number in range(CLIENTS)]
    stop = threading.Event()

    def disturb() -> int:
        rounds = 0
        while not stop.is_set():
            victim = rounds % 4 + 1
            devnet.kill(victim)
            stop.wait(1.0)
            devnet.start(victim)
            devnet.wait_ready(READY_S)
            rounds += 1
        return rounds

    def work(number: int) -> list[str]:
        acknowledged = []
        urls = devnet.urls[number:] + devnet.urls[:number]
        with Client(urls, organizations[number].admin) as client:
            for count in range(KEYS_PER_CLIENT):
                label = f"{number}-{count}"
                try:
                    add_key(client, label)
                except NotReachable:
                    continue
                acknowledged.append(label)
        return acknowledged

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        disturbing = pool.submit(disturb)
        try:
            acknowledged = list(pool.map(work, range(CLIENTS)))
        finally:
            stop.set()
        assert disturbing.result() > 0
    same_blocks(devnet)
    for organization, wanted in zip(organizations, acknowledged, strict=True):
        assert len(wanted) > KEYS_PER_CLIENT // 2
        for n in devnet.numbers:
            there = labels(devnet, n, organization.admin.account)
            assert all(there.count(label) == 1 for label in wanted)
            assert len(there) == len(set(there))
        organization.client.close()


def test_a_second_process_on_the_same_folder_is_refused(devnet: Devnet) -> None:
    command = [sys.executable, "-m", "node.cli", "--lang", "en", "node", "run", "--home", str(devnet.home(1))]
    second = subprocess.run(command, check=False, capture_output=True, text=True, timeout=COMMAND_S)
    assert second.returncode != 0
    assert "Another node process is using" in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr
    assert devnet.running(1)
    assert height(devnet, 1) >= 0
