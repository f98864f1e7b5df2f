"""Four real node processes, one of which has its keys in a token: it votes, acts, and does not start without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from contracts.calls import RegisterOrganization
from contracts.records import AccountKind, KeyRole
from node.devnet import Devnet
from node.identity import InFiles, InToken
from tests.e2e.harness.cluster import until
from tests.hsm.conftest import LABEL, Slot
from tests.suites import suite_under_test
from zhenglian import ApiError, Client, KeyFile
from zhenglian.unlocking import Sources

SUITE: Final = suite_under_test()
IN_TOKEN: Final = 4
READY_S: Final = 120.0
COMMAND_S: Final = 120.0


def registered(client: Client, account: str) -> bool:
    """Whether the node asked has the account by now; the one that is asked may trail those that voted."""
    try:
        return client.account(account).name == "Police"
    except ApiError as error:
        if error.code != "not_found":
            raise
        return False


@pytest.fixture
def network(tmp_path: Path, slot: Slot, own_sources: Sources, monkeypatch: pytest.MonkeyPatch) -> Devnet:
    token = own_sources.token(LABEL)
    plain = Devnet.keeping

    def keeping(devnet: Devnet, n: int) -> InFiles | InToken:
        return InToken(token) if n == IN_TOKEN else plain(devnet, n)

    monkeypatch.setattr(Devnet, "keeping", keeping)
    monkeypatch.setenv("ZHENGLIAN_PIN_FILE", str(slot.pin_file))
    monkeypatch.setenv("ZHENGLIAN_PKCS11_MODULE", str(slot.module))
    return Devnet.create(tmp_path / "devnet", suite=SUITE.name)


def test_a_node_with_its_keys_in_a_token_is_a_node_like_any_other(network: Devnet, slot: Slot) -> None:
    with network:
        network.start_all()
        network.wait_ready(READY_S)
        new = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
        action = RegisterOrganization(
            account_id=bytes.fromhex(new.account),
            kind=AccountKind.DEPARTMENT,
            name="Police",
            credit_code="",
            issues=(),
            admin=new.new_key(),
        )
        # Its operator's governance key signs in the token, as does the key with which the node announces its certificate.
        with Client(network.url(IN_TOKEN), network.admin(IN_TOKEN)) as operator:
            proposal = operator.propose(action)
        for n in (1, 2):
            with Client(network.url(n), network.admin(n)) as other:
                other.approve_proposal(proposal)
        with Client(network.urls) as client:
            until(lambda: registered(client, new.account), "the vote of a quorum")
            network.renew_certificate(IN_TOKEN)
            account = network.account(IN_TOKEN)
            until(
                lambda: any(
                    node.account == account and len(node.certificates) == 2 for node in client.nodes()
                ),
                "the certificate announced by the node in the token",
            )
        network.terminate(IN_TOKEN)
        slot.pull_out()
        away = start(network)
        assert away.returncode == 3, away.stderr
        assert LABEL in away.stderr
        assert "Traceback" not in away.stderr
        slot.put_back()
        network.start(IN_TOKEN)
        network.wait_ready(READY_S)


def start(network: Devnet) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node.cli", "node", "run", "--home", str(network.home(IN_TOKEN))]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
