"""Operators' nodes make their keys after genesis, lose one of them midway, take a newcomer in, and try their exports out.

Real node processes, and the real program: what operators type.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from contracts.actions import ChangeValidators
from node.cards import read_card
from node.cli import app
from node.devnet import Devnet
from node.newcomers import addition
from tests.e2e.cities import READY_S, SUITE, operator, until
from tests.keeping import passphrase_file
from zhenglian import Client
from zhenglian.api_keys import SharedKeysView

PURPOSES = {"vault", "directory", "marks"}
# A phase that waits for a node that is dead ends with the minute after its thirty seconds; a lost share waits as long again.
HEAL_S = 420.0


def command(*words: str | Path, status: int = 0) -> dict[str, Any]:
    """What the program answers; it runs in this process, which is none of the nodes'."""
    done = CliRunner().invoke(app, ["--json", *map(str, words)], env={"ZHENGLIAN_LANG": "en"})
    assert done.exit_code == status, done.output
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def view(devnet: Devnet, n: int) -> SharedKeysView:
    with Client(devnet.url(n)) as client:
        return client.shared_keys()


def whole(devnet: Devnet, *numbers: int) -> bool:
    """Whether these nodes say that every key is there and that they have their shares."""
    views = [view(devnet, n) for n in numbers]
    return all(one.ready and not one.rounds and not one.missing_here for one in views)


def export(devnet: Devnet, n: int, path: Path, words: Path) -> Path:
    made = command("keys", "export-share", path, "--home", devnet.home(n), "--export-passphrase-file", words)
    assert {one["purpose"] for one in made["shares"]} == PURPOSES
    return path


def test_one_operator_alone_has_its_keys(folder: Path) -> None:
    with Devnet.create(folder / "alone", 1, suite=SUITE.name) as devnet:
        devnet.start_all()
        devnet.wait_ready(READY_S)
        until(lambda: whole(devnet, 1), "the share of a single operator")
        assert {(one.purpose, one.threshold) for one in view(devnet, 1).keys} == {
            (one, 1) for one in PURPOSES
        }
        path = export(devnet, 1, folder / "media", passphrase_file(folder, name="media-words"))
        words = folder / "media-words"
        drilled = command("--node", devnet.url(1), "keys", "drill", path, "--export-passphrase-file", words)
        assert drilled["holds"]
        assert all(one["opened"] for one in drilled["keys"])


def test_keys_are_made_while_a_node_dies_and_follow_the_validators(folder: Path) -> None:
    with Devnet.create(folder / "devnet", 4, suite=SUITE.name) as devnet:
        devnet.start_all()
        until(lambda: devnet.status(3) is not None, "the node that is to die")
        until(lambda: any(one.phase != "dealing" for one in view(devnet, 3).rounds), "a round on its way")
        devnet.kill(3)
        until(lambda: whole(devnet, 1, 2, 4), "the keys, without the one that died", HEAL_S)
        made = {one.purpose: one for one in view(devnet, 1).keys}
        assert {(one.threshold, len(one.holders), one.renewal) for one in made.values()} == {(3, 4, 0)}

        devnet.start(3)
        until(lambda: whole(devnet, 1, 2, 3, 4), "the share of the one that came back", HEAL_S)
        words = passphrase_file(folder, name="media-words")
        files = [export(devnet, n, folder / f"media-{n}", words) for n in (1, 2, 3)]
        option = ("--export-passphrase-file", words)
        assert command("keys", "drill", *files, *option)["holds"]
        assert not command("keys", "drill", *files[:2], *option, status=1)["holds"]
        assert command("--node", devnet.url(2), "keys", "drill", files[2], *option)["holds"]

        n = devnet.add()
        devnet.start(n)
        with operator(devnet, 1) as client:
            action = ChangeValidators(changes=(addition(read_card(devnet.card(n)), SUITE),))
            proposal = client.propose(action)
            for approver in (2, 3):
                client.core.key = devnet.admin(approver)
                client.approve_proposal(proposal)
        until(lambda: whole(devnet, 1, 2, 3, 4, n), "shares for the newcomer too", HEAL_S)
        renewed = {one.purpose: one for one in view(devnet, n).keys}
        for purpose, key in renewed.items():
            assert (key.threshold, len(key.holders)) == (4, 5)
            assert key.public_key == made[purpose].public_key
        stale = command("--node", devnet.url(1), "keys", "drill", files[0], *option, status=1)
        assert {one["on_chain"] for one in stale["files"][0]["shares"]} == {"renewed"}
        fresh = [export(devnet, at, folder / f"fresh-{at}", words) for at in (1, 2, 4, n)]
        assert command("keys", "drill", *fresh, *option)["holds"]
