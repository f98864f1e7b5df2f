"""The main job on real nodes: deposit, consent, marked download, leak, trace, proof."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from contracts.records import GrantState, OutputFormat
from contracts.state import GRANTS
from ledger.errors import Category, DecodeError, VerificationFailed
from ledger.receipts import trust_from_json
from node.devnet import Devnet
from node.leakreading import qr_codes
from tests.e2e.cities import COMMAND_S, IDENTITY, INSURANCE, READY_S, City, Holder, seen, until
from zhenglian import ApiError, Client, Denied, verify_state
from zhenglian.evidence import check_evidence
from zhenglian.evidence_pdf import evidence_pdf
from zhenglian_demo.leaks import half_sorted, rasterize


@pytest.fixture(scope="module")
def holder(city: City) -> Iterator[Holder]:
    made = Holder(city)
    yield made
    made.client.close()


def test_exactly_the_granted_data_arrives_and_is_what_was_deposited(
    city: City, holder: Holder, folder: Path
) -> None:
    bank = city.banks[0].client
    got = bank.retrieve(holder.granted(bank), holder.everything(), folder)
    assert got.release.state == "delivered"
    record = json.loads(got.files[0].read_bytes())
    content = holder.contents[IDENTITY].fields
    assert record["fields"] == {"name": content["name"], "sex": content["sex"]}
    rows = holder.contents[INSURANCE].fields["payments"]
    assert isinstance(rows, list)
    assert len(got.files[1].read_text().splitlines()) == len(rows) + 1
    original = next(data for name, _, data in holder.contents[IDENTITY].attachments if name == "document")
    assert got.files[2].read_bytes() != original


def test_a_released_pdf_is_a_derived_copy_that_anybody_can_check(
    city: City, holder: Holder, folder: Path
) -> None:
    bank = city.banks[0].client
    got = bank.retrieve(holder.granted(bank), holder.everything(), folder, node=city.devnet.account(1))
    with Client(city.devnet.url(2)) as anybody:
        (folder / "trust.json").write_text(anybody.trust())

    def check(*trusted: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "node.cli", "--json", "copy", "check", str(got.files[2])]
        command += ["--trust", str(folder / "trust.json"), *trusted]
        return subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_S)

    done = check("--certificate", str(city.devnet.home(1) / "copies.pem"))
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["holds"]
    assert found["data"]["details"]["fields"] == ["name", "sex"]
    assert found["copy"]["details"]["grantee_name"] == city.banks[0].name
    other = check("--certificate", str(city.devnet.home(2) / "copies.pem"))
    assert json.loads(other.stdout)["copy"]["answer"] == "unknown"


def test_the_code_on_a_copy_leads_to_its_release_and_its_maker(
    city: City, holder: Holder, folder: Path
) -> None:
    bank = city.banks[0].client
    got = bank.retrieve(holder.granted(bank), holder.everything(), folder, node=city.devnet.account(1))
    page = pypdfium2.PdfDocument(got.files[2].read_bytes())[0].render(scale=200 / 72).to_pil()
    (text,) = qr_codes(np.asarray(page.convert("L")))

    def ask(code: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "node.cli", "--json", "--node", city.devnet.url(2)]
        return subprocess.run(
            [*command, "copy", "code", code], capture_output=True, check=False, timeout=COMMAND_S
        )

    done = ask(text)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["release_id"] == got.release.release_id
    assert found["made_by"] == city.devnet.account(1)
    forged = ask(text.replace(got.release.release_id.upper(), "0" * 16))
    assert forged.returncode == 1
    assert json.loads(forged.stdout)["made_by"] is None


def test_asking_again_gives_the_same_bytes_and_costs_no_second_use(
    city: City, holder: Holder, folder: Path
) -> None:
    bank = city.banks[0].client
    grant_id = holder.granted(bank)
    got = bank.retrieve(grant_id, holder.everything(), folder / "one")
    again = bank.retrieve_again(got.release.release_id, folder / "two")
    assert [path.read_bytes() for path in got.files] == [path.read_bytes() for path in again.files]
    assert bank.grant(grant_id).uses_left == 2


def test_a_node_killed_between_request_and_delivery_delivers_when_it_is_back(
    city: City, holder: Holder, folder: Path, devnet: Devnet
) -> None:
    bank = city.banks[1].client
    grant_id = holder.granted(bank)
    release_id = ""
    killed = False

    def report(progress: object) -> None:
        nonlocal release_id, killed
        release_id = getattr(progress, "subject", "") or release_id
        if getattr(progress, "stage", "") == "download" and not killed:
            killed = True
            devnet.kill(2)
            devnet.start(2)

    got = bank.retrieve(grant_id, holder.everything(), folder, node=devnet.account(2), report=report)
    assert killed
    assert got.release.state == "delivered"
    assert got.release.release_id == release_id
    assert bank.grant(grant_id).uses_left == 2
    devnet.wait_ready(READY_S)


def test_what_was_not_granted_is_refused_and_on_record(city: City, holder: Holder) -> None:
    bank = city.banks[0].client
    grant_id = holder.granted(bank)
    with pytest.raises(Denied) as caught:
        bank.request_release(
            grant_id, [holder.output(IDENTITY, OutputFormat.JSON, "name", "identity_number")]
        )
    assert caught.value.code == "field_not_granted"
    until(
        lambda: any(
            event.code == "field_not_granted"
            for event in holder.client.events(subject=holder.account, kind="releases.refused").items
        ),
        "the citizen sees the refused attempt",
    )


def test_revocation_stops_the_next_download(city: City, holder: Holder, folder: Path) -> None:
    bank = city.banks[0].client
    grant_id = holder.granted(bank)
    bank.retrieve(grant_id, holder.everything()[:1], folder)
    holder.client.revoke_grant(grant_id)
    with pytest.raises(Denied) as caught:
        bank.request_release(grant_id, holder.everything()[:1])
    assert caught.value.code == "grant_not_active"


def test_others_neither_see_the_grant_nor_fetch_the_file(city: City, holder: Holder, folder: Path) -> None:
    bank, stranger = city.banks[0].client, city.banks[2].client
    grant_id = holder.granted(bank)
    got = bank.retrieve(grant_id, holder.everything()[:1], folder)
    for attempt in (lambda: stranger.grant(grant_id), lambda: stranger.release(got.release.release_id)):
        with pytest.raises(ApiError) as caught:
            attempt()
        assert caught.value.category in {Category.FORBIDDEN, Category.MISSING}
    with pytest.raises(Denied):
        stranger.request_release(grant_id, holder.everything()[:1])


def printed_text(document: bytes) -> str:
    """What a PDF says, without the ends of lines."""
    pages = pypdfium2.PdfDocument(document)
    return "".join(page.get_textpage().get_text_range() for page in pages).replace("\r\n", "")


def test_a_leak_leads_back_to_its_source_and_to_nobody_else(city: City, holder: Holder, folder: Path) -> None:
    copies = []
    for bank in city.banks:
        grant_id = holder.granted(bank.client)
        copies.append(bank.client.retrieve(grant_id, holder.everything(), folder / bank.name))
    leaks = {
        rasterize(copies[1].files[2].read_bytes()): (IDENTITY, city.banks[1].name),
        half_sorted(copies[2].files[1].read_bytes(), seed=3): (INSURANCE, city.banks[2].name),
        copies[0].files[0].read_bytes(): (IDENTITY, city.banks[0].name),
    }
    for leak, (code, expected) in leaks.items():
        view = city.trace(leak, holder.certificates[code])
        assert view.verdict == "accused"
        assert [match.release.grantee_name for match in view.matches] == [expected]
        assert view.matches[0].release.pii_principal_id == holder.account
        assert view.matches[0].log10_np <= -9
    original = next(data for name, _, data in holder.contents[IDENTITY].attachments if name == "document")
    leak = rasterize(copies[1].files[2].read_bytes())
    told = city.trace(leak, holder.certificates[IDENTITY])
    with Client(city.devnet.url(1)) as anybody:
        trusted = trust_from_json(anybody.trust())
    evidence = city.auditor.client.trace_evidence(told.trace_id)
    checked = check_evidence(evidence, trusted, leak=leak, original=original)
    (named,) = checked.releases
    assert named.recipient.hex() == told.matches[0].release.grantee
    assert named.releasing.hex() == told.matches[0].release.released_by
    assert named.detected_log10_np is not None
    assert named.detected_log10_np <= -9
    document = evidence_pdf(checked)
    assert document == evidence_pdf(checked)
    printed = printed_text(document)
    for said in (told.trace_id, named.release_id.hex(), named.recipient.hex(), "追溯证据报告"):
        assert said in printed
    for changed in (
        evidence.replace(b'"seed\\":\\"', b'"seed\\":\\"AA', 1),
        evidence.replace(b"accused", b"none", 1),
    ):
        with pytest.raises((VerificationFailed, DecodeError)):
            check_evidence(changed, trusted)
    with pytest.raises(VerificationFailed, match="another file"):
        check_evidence(evidence, trusted, leak=original)
    with pytest.raises(ApiError):
        city.banks[1].client.trace_evidence(told.trace_id)
    control = city.trace(rasterize(original), holder.certificates[IDENTITY])
    assert control.verdict in {"none", "untraceable"}
    assert control.matches == []


def test_a_leaked_picture_leads_back_too_after_jpeg_75(city: City, holder: Holder, folder: Path) -> None:
    pictures = holder.pictures()
    assert {kind for _, kind, _ in pictures} == {OutputFormat.PNG, OutputFormat.JPEG}
    outputs = [holder.output(code, kind, attachment=name) for code, kind, name in pictures]
    copies = [
        bank.client.retrieve(holder.granted(bank.client), outputs, folder / bank.name) for bank in city.banks
    ]
    for number, (code, _, _) in enumerate(pictures):
        leak = io.BytesIO()
        with Image.open(copies[1].files[number]) as image:
            image.convert("RGB").save(leak, "JPEG", quality=75)
        view = city.trace(leak.getvalue(), holder.certificates[code])
        assert view.verdict == "accused"
        assert [match.release.grantee_name for match in view.matches] == [city.banks[1].name]


def test_what_a_node_lost_it_fetches_from_its_peers(
    city: City, holder: Holder, folder: Path, devnet: Devnet
) -> None:
    bank = city.banks[2].client
    manifests = [holder.client.certificate(one).payload_hash for one in holder.certificates.values()]

    def kept(number: int) -> list[Path]:
        """What a node has of the holder's manifests: it keeps the records that it ranks for, three nodes each."""
        files = (devnet.home(number) / "blobs").rglob("*")
        return [path for path in files if path.parent.name + path.name in manifests]

    number = max(devnet.numbers, key=lambda one: len(kept(one)))
    had = kept(number)
    assert had
    for path in (devnet.home(number) / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    got = bank.retrieve(holder.granted(bank), holder.everything(), folder, node=devnet.account(number))
    assert got.release.state == "delivered"
    assert sorted(kept(number)) == sorted(had)


def test_anybody_can_check_the_receipt_and_no_change_passes(city: City, holder: Holder, folder: Path) -> None:
    bank = city.banks[0].client
    got = bank.retrieve(holder.granted(bank), holder.everything()[:1], folder)
    receipt, trust = folder / "receipt.json", folder / "trust.json"
    text = got.receipt
    trust.write_text(bank.trust())
    assert verified(trust, receipt, text) == 0
    for wrong in (
        text.replace(got.release.release_id, "0" * 16),
        text.replace('"network": "devnet"', '"network": "other"'),
        text.replace('"ok"', '"no"', 1),
        text[:-1] + ', "note": "added"}',
    ):
        assert wrong != text
        assert verified(trust, receipt, wrong) == 1
    assert verified(trust, receipt, "no json") == 1
    assert verified(folder / "missing.json", receipt, text) == 2


def verified(trust: Path, receipt: Path, text: str) -> int:
    receipt.write_text(text)
    command = [
        str(Path(sys.executable).with_name("zhenglian")),
        "verify",
        "--trust",
        str(trust),
        str(receipt),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "ZHENGLIAN_NODE"}
    return subprocess.run(
        command, check=False, capture_output=True, env=environment, timeout=COMMAND_S
    ).returncode


def test_that_a_grant_was_active_and_now_is_revoked_is_proven_to_anybody(
    city: City, holder: Holder, folder: Path
) -> None:
    bank = city.banks[0].client
    grant_id = holder.granted(bank)
    seen(bank, grant_id, "active")
    trust = bank.trust()
    before = verify_state(bank.grant_proof(grant_id), trust, bank.epochs())
    assert before.value is not None
    assert GRANTS.decode(before.value).state is GrantState.ACTIVE
    holder.client.revoke_grant(grant_id)
    seen(bank, grant_id, "revoked")
    after = verify_state(holder.client.grant_proof(grant_id), trust, bank.epochs())
    assert after.height > before.height
    assert after.value is not None
    assert GRANTS.decode(after.value).state is GrantState.REVOKED
    then = bank.grant_proof(grant_id, height=before.height)
    assert verify_state(then, trust, bank.epochs()).value == before.value
    assert verify_state(bank.grant_proof(grant_id, height=1), trust).value is None, "nothing was there yet"
    with pytest.raises(ApiError) as refused:
        city.banks[1].client.grant_proof(grant_id)
    assert refused.value.category is Category.MISSING
    with pytest.raises(ApiError) as beyond:
        bank.grant_proof(grant_id, height=after.height + 10**9)
    assert beyond.value.code == "height_not_final"
