"""Two networks that never talk to each other: what one issues the other recognises, and what one revokes ends there too.

The home network has four nodes, the recognising one a single node, and each has another crypto suite. All that passes
between them are files.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.actions import ChangeValidators
from contracts.calls import Action, RegisterCertificateTypes, RegisterOrganization
from contracts.people_actions import SetRegistrar
from contracts.people_records import AssertionMethod, AssertionUse
from contracts.records import AccountKind, CertificateState, KeyRole
from ledger.receipts import epochs_from_json
from ledger.types import quorum_size
from node.cards import read_card
from node.devnet import Devnet
from node.newcomers import rotation
from tests.e2e.cities import COMMAND_S, READY_S, SUITE, until
from zhenglian import Attachment, Client, KeyFile, disclosures
from zhenglian.api_regions import Disclosure
from zhenglian.catalogue import load_catalogue
from zhenglian.type_records import certificate_type_of as on_chain_type
from zhenglian_demo.certificates import make_certificate
from zhenglian_demo.people import make_people

TYPE: Final = "resident_identity_card"
HOME_SUITE: Final = "sm" if SUITE.name == "intl" else "intl"


@dataclass
class Region:
    """A running network with a department and its officer."""

    devnet: Devnet
    officer: KeyFile
    registrar: KeyFile
    folder: Path

    def client(self, key: KeyFile | None = None) -> Client:
        return Client(self.devnet.urls, key or self.officer)


@dataclass
class Run:
    """What a command gave."""

    code: int
    value: Any


def command(region: Region, *words: object, key: Path | None = None) -> Run:
    """Run the program against the region's first node; what it printed as JSON."""
    options = ["--json", "--node", region.devnet.url(1), "--key", str(key or region.folder / "officer.json")]
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", *options, *map(str, words)],
        capture_output=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.stdout, done.stderr
    return Run(done.returncode, json.loads(done.stdout))


def succeed(region: Region, *words: object, key: Path | None = None) -> Any:
    run = command(region, *words, key=key)
    assert run.code == 0, run.value
    return run.value


def decide(devnet: Devnet, action: Action) -> None:
    """As many operators as it takes want it."""
    with Client(devnet.urls, devnet.admin(1)) as client:
        proposal = client.propose(action)
        for n in range(2, quorum_size(len(devnet.numbers)) + 1):
            client.core.key = devnet.admin(n)
            client.approve_proposal(proposal)


def settle(devnet: Devnet, folder: Path, name: str, issues: tuple[str, ...]) -> Region:
    """Start it, and give it a department."""
    devnet.start_all()
    devnet.wait_ready(READY_S)
    suite = devnet.suite
    admin = KeyFile.generate(suite, role=KeyRole.ADMIN, label="admin")
    account = bytes.fromhex(admin.account)
    if issues:
        specs = [spec for spec in load_catalogue() if spec.code in issues]
        decide(devnet, RegisterCertificateTypes(types=tuple(on_chain_type(spec) for spec in specs)))
    decide(
        devnet,
        RegisterOrganization(
            account_id=account,
            kind=AccountKind.DEPARTMENT,
            name=name,
            credit_code="",
            issues=issues,
            admin=admin.new_key(),
        ),
    )
    decide(
        devnet,
        SetRegistrar(account_id=account, methods=(AssertionMethod.CLERK,), uses=tuple(AssertionUse)),
    )
    officer = KeyFile.generate(suite, account=account, role=KeyRole.OFFICER, label="007")
    registrar = KeyFile.generate(suite, account=account, role=KeyRole.OFFICER, label="008")
    with Client(devnet.urls, admin) as client:
        for key in (officer, registrar):
            client.add_organization_key(key.new_key())
    folder.mkdir(exist_ok=True)
    officer.save(folder / "officer.json", unencrypted=True)
    return Region(devnet, officer, registrar, folder)


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Region, Region]]:
    folder = tmp_path_factory.mktemp("regions")
    with ExitStack() as stack:
        home = stack.enter_context(Devnet.create(folder / "home", 4, network="province-a", suite=HOME_SUITE))
        ours = stack.enter_context(Devnet.create(folder / "ours", 1, network="province-b", suite=SUITE.name))
        yield (
            settle(home, folder / "home files", "邻省公安厅", (TYPE,)),
            settle(ours, folder / "our files", "本省教育厅", ()),
        )


def issue(home: Region) -> tuple[str, Disclosure]:
    """A certificate of a citizen of the other region, and what the citizen keeps."""
    person = next(iter(make_people(7, 1)))
    spec = next(spec for spec in load_catalogue() if spec.code == TYPE)
    content = make_certificate(spec, person, random.Random(1))
    phone = KeyFile.generate(home.devnet.suite, role=KeyRole.HOLDER, label="phone")
    with home.client() as client, home.client(home.registrar) as registrar:
        request, _ = client.identity_request(person.identity_number, phone.new_key())
        assertion = client.assert_identity(person.identity_number, request)
        registrar.enroll(phone.new_key(), assertion)
        issued = client.issue_certificate(
            certificate_type=TYPE,
            holder=phone.account,
            fields=content.fields,
            attachments=[
                Attachment(name=name, media_type=media_type, content=data)
                for name, media_type, data in content.attachments
            ],
        )
    return issued.certificate_id, issued.disclosure


def prove(home: Region, certificate: str, name: str) -> Path:
    """The home network's proof of the certificate, as a file."""
    out = home.folder / name
    succeed(home, "cert", "home-proof", certificate, "--out", out)
    return out


def change_validators(home: Region) -> None:
    """The fourth operator takes another vote key; a new epoch begins."""
    devnet = home.devnet
    card = read_card(devnet.rotate(4))
    devnet.terminate(4)
    devnet.start(4)
    devnet.wait_ready(READY_S)
    decide(devnet, ChangeValidators(changes=(rotation(card),)))
    with Client(devnet.urls) as client:
        until(lambda: client.validators().epoch == 2 and bool(epochs_from_json(client.epochs())), "epoch 2")


def test_a_certificate_is_recognised_followed_across_epochs_and_ends_when_it_is_revoked_at_home(
    regions: tuple[Region, Region],
) -> None:
    home, ours = regions
    certificate, whole = issue(home)

    # Trust by vote, with the fingerprint told by another way.
    region_file = ours.folder / "province-a.json"
    told = succeed(home, "region", "trust-file", "--out", region_file)
    admin = ours.folder / "admin.json"
    ours.devnet.admin(1).save(admin, unencrypted=True)
    proposing = ("region", "propose", region_file, "--type", TYPE, "--fingerprint")
    assert command(ours, *proposing, "00" * 16, key=admin).code == 1
    succeed(ours, *proposing, told["fingerprint"], key=admin)
    (listed,) = succeed(ours, "region", "list")
    assert (listed["network"], listed["suite"], listed["epoch"]) == ("province-a", HOME_SUITE, 1)

    # Recognition by the proof, and a check of what the citizen shows.
    consent = ours.folder / "consent.pdf"
    consent.write_bytes(b"I agree that the department looks at my identity card.")
    proof = prove(home, certificate, "proof-1.json")
    made = succeed(ours, "recognition", "add", proof, "--consent", consent)
    identity = made["recognition_id"]
    assert (made["holds"], made["certificate_id"], made["home_epoch"]) == (True, certificate, 1)
    assert made["issuer_name"] == "邻省公安厅"
    everything = home.folder / "mine.json"
    everything.write_bytes(disclosures.to_json(whole))
    shown = ours.folder / "shown.json"
    succeed(ours, "recognition", "disclose", everything, "--part", "name", "--out", shown)
    checked = succeed(ours, "recognition", "check", identity, shown)
    assert (checked["accepted"], checked["proven"]) == (True, ["name"])
    lie = json.loads(shown.read_text())
    lie["fields"][0]["value"] += "某"
    shown_lie = ours.folder / "lie.json"
    shown_lie.write_text(json.dumps(lie, ensure_ascii=False))
    denied = command(ours, "recognition", "check", identity, shown_lie)
    assert (denied.code, denied.value["disproven"]) == (1, ["name"])

    # The recognition is itself provable on our network.
    ours_proof = ours.folder / "recognition-proof.json"
    succeed(ours, "recognition", "proof", identity, "--out", ours_proof)
    succeed(ours, "trust", "--out", ours.folder / "trust.json")
    assert succeed(ours, "verify", ours_proof, "--trust", ours.folder / "trust.json")["valid"]

    # Other validators at home; what they prove waits until their epoch was shown.
    change_validators(home)
    with home.client() as client:
        client.set_certificate_state(certificate, CertificateState.REVOKED, holds=True, reason="withdrawn")
    revoked = prove(home, certificate, "proof-2.json")
    behind = command(ours, "recognition", "refresh", identity, revoked)
    assert (behind.code, behind.value["error"]["code"]) == (1, "region_behind")
    succeed(home, "trust", "--out", home.folder / "trust.json")
    followed = succeed(ours, "region", "follow", home.folder / "epochs.json")
    assert (followed["epoch"], len(followed["transactions"])) == (2, 1)
    assert succeed(ours, "region", "follow", home.folder / "epochs.json")["transactions"] == []

    # Revoked there is revoked here, and no older proof brings it back.
    ended = succeed(ours, "recognition", "refresh", identity, revoked)
    assert (ended["state"], ended["holds"], ended["reason"]) == ("revoked", False, "revoked")
    again = command(ours, "recognition", "refresh", identity, proof)
    assert again.value["error"]["code"] == "recognition_ended"
    assert command(ours, "recognition", "check", identity, shown).value["accepted"] is False
