"""What operators do wrong to a real node: it says so in a sentence, and never votes where it might contradict itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.calls import OrganizationsAddKey
from contracts.records import AccountKind, KeyRole
from node.devnet import Devnet
from tests.e2e.cities import READY_S, SUITE, found, height, same_blocks, until
from zhenglian import Client, KeyFile

USAGE, UNAVAILABLE, UNAUTHORIZED, NEGATIVE = 2, 3, 4, 1
REFUSES_S = 120.0


@dataclass(frozen=True)
class Mistake:
    """What is done to a copy of a stopped node's folder, and what `node run` is to say."""

    name: str
    do: Callable[[Path], object]
    status: int
    says: str


def edited(file: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(home: Path) -> None:
        text = (home / file).read_text()
        assert old in text
        (home / file).write_text(text.replace(old, new, 1))

    return edit


def replaced_by_file(folder: str) -> Callable[[Path], object]:
    def replace(home: Path) -> None:
        shutil.rmtree(home / folder)
        (home / folder).write_text("not a folder")

    return replace


def replaced_by_folder(file: str) -> Callable[[Path], object]:
    def replace(home: Path) -> None:
        (home / file).unlink()
        (home / file).mkdir()

    return replace


MISTAKES = (
    Mistake("a typing error", edited("config.toml", "delta_ms", "delta_mss"), USAGE, "did you mean delta_ms"),
    Mistake("exposed key", lambda home: (home / "keys/vote.key").chmod(0o644), UNAUTHORIZED, "chmod 600"),
    Mistake("lost key", lambda home: (home / "keys/wrap.key").unlink(), UNAVAILABLE, "wrap.key"),
    Mistake(
        "edited genesis",
        edited("genesis.json", '"block_transactions_max": ', '"block_transactions_max": 1'),
        USAGE,
        "another network",
    ),
    Mistake(
        "truncated store", lambda home: os.truncate(home / "store/data.mdb", 8192), UNAVAILABLE, "data.mdb"
    ),
    Mistake(
        "garbage for a journal",
        lambda home: [file.write_bytes(b"x" * 5000) for file in (home / "journal").iterdir()],
        UNAVAILABLE,
        "journal",
    ),
    Mistake("a file for a folder", replaced_by_file("store"), UNAVAILABLE, "store"),
    Mistake(
        "a folder for a file",
        replaced_by_folder("pool.log"),
        UNAVAILABLE,
        "pool.log",
    ),
    Mistake(
        "certificate of users missing",
        lambda home: (
            edited("config.toml", 'tls_certificate = ""', 'tls_certificate = "no.pem"')(home),
            edited("config.toml", 'tls_key = ""', 'tls_key = "no.key"')(home),
        ),
        UNAVAILABLE,
        "no.pem",
    ),
    Mistake("port in use", lambda _home: None, UNAVAILABLE, "ddress already in use"),
)


def run(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", "--lang", "en", "node", "run", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=REFUSES_S,
        check=False,
    )


def test_every_mistake_is_refused_with_a_sentence(devnet: Devnet, tmp_path: Path) -> None:
    devnet.terminate(1)
    homes = []
    for number, mistake in enumerate(MISTAKES):
        home = tmp_path / str(number)
        shutil.copytree(devnet.home(1), home)
        mistake.do(home)
        homes.append(home)
    devnet.start(1)
    devnet.wait_ready(READY_S)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, homes))
    for mistake, outcome in zip(MISTAKES, outcomes, strict=True):
        assert (mistake.name, outcome.returncode) == (mistake.name, mistake.status), outcome.stdout
        assert mistake.says in outcome.stdout, mistake.name
        assert "Traceback" not in outcome.stdout, mistake.name


def test_a_second_process_on_a_folder_is_refused_and_harms_nobody(devnet: Devnet) -> None:
    outcome = run(devnet.home(1))
    assert outcome.returncode == NEGATIVE
    assert "home_in_use" in outcome.stdout
    assert height(devnet, 1) >= 0


def test_a_stop_in_the_middle_of_work_is_in_good_order_and_loses_nothing(devnet: Devnet) -> None:
    organization = found(devnet, "in a hurry", AccountKind.ENTERPRISE)
    same_blocks(devnet)
    with Client(devnet.url(2), organization.admin) as client:
        account = bytes.fromhex(organization.admin.account)
        new = [KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label="new") for _ in range(8)]
        accepted = [
            client.submit(OrganizationsAddKey(key=key.new_key()), wait_s=0).transaction_id for key in new
        ]
        child = devnet._children[2]
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(REFUSES_S) == 0
        devnet.terminate(2)
        devnet.start(2)
        devnet.wait_ready(READY_S)
        assert {client.wait(name).status for name in accepted} == {"finalized"}
    organization.client.close()


def test_a_deleted_index_is_built_anew(devnet: Devnet) -> None:
    with Client(devnet.url(3), devnet.admin(3)) as client:
        before = [event.transaction_id for event in client.events(kind="organizations.").items]
        assert before
        devnet.terminate(3)
        for file in devnet.home(3).glob("index.sqlite*"):
            file.unlink()
        devnet.start(3)
        devnet.wait_ready(READY_S)
        after = [event.transaction_id for event in client.events(kind="organizations.").items]
    assert after == before


@pytest.mark.parametrize(
    "lost",
    [("journal/*",), ("journal/*", "store/*", "index.sqlite*", "pool.log")],
    ids=["journal deleted", "restored from a backup"],
)
def test_a_node_that_lost_its_votes_follows_without_voting_and_says_so(
    devnet: Devnet, lost: tuple[str, ...], tmp_path: Path
) -> None:
    devnet.terminate(4)
    shutil.copytree(devnet.home(4), tmp_path / "kept")
    for pattern in lost:
        for file in devnet.home(4).glob(pattern):
            file.unlink()
    devnet.start(4)
    found(devnet, f"without {lost[-1]}", AccountKind.AUDITOR).client.close()
    until(lambda: height(devnet, 4) == height(devnet, 1) > 0, "it follows")
    status = devnet.status(4)
    assert status is not None
    assert not status.voting
    assert "follows without voting" in devnet.log(4).read_text()
    devnet.terminate(4)
    # It voted for nothing meanwhile, so what it had before may come back.
    shutil.rmtree(devnet.home(4))
    shutil.copytree(tmp_path / "kept", devnet.home(4))
    devnet.start(4)
    devnet.wait_ready(READY_S)
    same_blocks(devnet)
