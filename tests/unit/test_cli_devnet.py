"""The devnet's folder and processes: what it makes, and that it ends nothing but its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.types import VALIDATORS_MAX
from node.cards import read_card
from node.devnet import Devnet, DevnetUnusable, NodeDidNotStart
from node.devnet_system import ProcessFile, started_at
from node.founding import load_network
from node.home import Home


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Devnet:
    return Devnet.create(tmp_path_factory.mktemp("net") / "devnet", nodes=4)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def record(devnet: Devnet, n: int, pid: int, started: str) -> None:
    data = msgspec.json.encode(ProcessFile(pid=pid, started=started))
    (devnet.home(n) / "process.json").write_bytes(data)


def test_every_node_has_its_own_folder_ports_and_keys_in_one_network(devnet: Devnet) -> None:
    assert list(devnet.numbers) == [1, 2, 3, 4]
    assert len(set(devnet.urls)) == 4
    networks = [load_network(Home(devnet.home(n))) for n in devnet.numbers]
    assert all(network.genesis == networks[0].genesis for network in networks)
    assert (
        len({peer.port for peer in networks[0].peers} | {url.rpartition(":")[2] for url in devnet.urls}) == 8
    )
    assert {devnet.account(n) for n in devnet.numbers} == {peer.account for peer in networks[0].peers}
    assert {devnet.admin_key(n).stat().st_mode & 0o777 for n in devnet.numbers} == {0o600}


def test_it_is_found_again_in_its_folder(devnet: Devnet) -> None:
    assert Devnet.open(devnet.folder).urls == devnet.urls


def test_ports_given_are_taken_in_order(tmp_path: Path) -> None:
    made = Devnet.create(tmp_path / "d", nodes=2, base_port=21000)
    assert made.urls == ("http://127.0.0.1:21000", "http://127.0.0.1:21002")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(b"x")
    with pytest.raises(DevnetUnusable):
        Devnet.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


@pytest.mark.parametrize("nodes", [0, VALIDATORS_MAX + 1])
def test_too_few_or_too_many_nodes_are_refused(tmp_path: Path, nodes: int) -> None:
    with pytest.raises(DevnetUnusable):
        Devnet.create(tmp_path / "d", nodes=nodes)


def test_a_number_beyond_the_nodes_is_refused(devnet: Devnet) -> None:
    for n in (0, 5):
        with pytest.raises(DevnetUnusable):
            devnet.kill(n)


def test_a_process_of_the_same_id_and_another_start_is_not_hit(
    devnet: Devnet, sleeper: subprocess.Popen[bytes]
) -> None:
    record(devnet, 1, sleeper.pid, "1")
    assert not devnet.kill(1)
    assert not devnet.terminate(1)
    devnet.stop()
    assert sleeper.poll() is None


def test_the_recorded_process_is_ended_and_its_record_with_it(
    devnet: Devnet, sleeper: subprocess.Popen[bytes]
) -> None:
    record(devnet, 2, sleeper.pid, started_at(sleeper.pid) or "")
    assert Devnet.open(devnet.folder).running(2)
    assert devnet.kill(2)
    assert sleeper.wait() == -signal.SIGKILL
    assert not devnet.running(2)
    assert not (devnet.home(2) / "process.json").exists()


def test_leaving_the_context_ends_only_what_was_started_in_it(
    devnet: Devnet, sleeper: subprocess.Popen[bytes]
) -> None:
    record(devnet, 3, sleeper.pid, started_at(sleeper.pid) or "")
    with Devnet.open(devnet.folder):
        pass
    assert sleeper.poll() is None
    (devnet.home(3) / "process.json").unlink()


def test_a_process_is_known_by_its_start_and_a_dead_one_by_none() -> None:
    assert started_at(os.getpid()) == started_at(os.getpid())
    assert started_at(2**22 + 1) is None


def test_a_node_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    made = Devnet.create(tmp_path / "d", nodes=1)
    (made.home(1) / "config.toml").write_text("[node]\nname = 7\n")
    with made:
        made.start(1)
        with pytest.raises(NodeDidNotStart) as caught:
            made.wait_ready(30)
    assert "config.toml" in str(caught.value.fields["log"])


def test_chosen_ports_are_free(devnet: Devnet) -> None:
    for url in devnet.urls:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", int(url.rpartition(":")[2])))


def test_a_node_more_gets_a_folder_of_its_own_in_the_same_network(tmp_path: Path) -> None:
    made = Devnet.create(tmp_path / "d", nodes=1)
    n = made.add("某县数据局")
    assert (n, made.name(n), list(made.numbers)) == (2, "某县数据局", [1, 2])
    assert Devnet.open(made.folder).urls == made.urls
    genesis, joined = (load_network(Home(made.home(number))) for number in (1, n))
    assert joined == genesis
    card = read_card(made.card(n))
    assert card.account == made.account(n)
    assert card.account not in {operator.account.hex() for operator in joined.genesis.operators}


def test_keys_wait_until_they_are_announced(tmp_path: Path) -> None:
    made = Devnet.create(tmp_path / "d", nodes=1)
    card = read_card(made.card(1))
    assert read_card(made.rotate(1)).vote_key != card.vote_key
    made.renew_certificate(1)
    assert read_card(made.card(1)) == card
    assert {path.name for path in (made.home(1) / "keys").iterdir()} >= {"vote-next.key", "tls-next.pem"}
