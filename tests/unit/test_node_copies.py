"""A node that signs derived copies (授权副本) hands them out in place of marked PDFs."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from msgspec.structs import replace
from PIL import Image

from contracts.calls import ReleasesPrepare
from contracts.records import Certificate, Output, OutputFormat, Release, ReleaseState
from ledger import codec, domains
from ledger.errors import Unavailable
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from node.leakreading import qr_codes
from node.services import releases
from node.services.copy_checks import CopyReport, check_copy
from node.services.copy_papers import Papers
from node.services.derived_copies import CopySigner, DerivedCopies
from node.services.finishing import HOLDER, Copies
from node.services.ports import AttachmentInput
from node.services.releases import FinishLost
from tests.unit.contracts_world import BANK, LI, NODES, SUITE, identity
from tests.unit.node_world import Node, card, card_fields, eventually, running
from tests.unit.test_derived_copies import identity as certificate_of
from tests.unit.test_derived_copies import licence
from tests.unit.test_node_releases import JSON_FIELDS, Lent, freeze_at, pooled
from tests.unit.watermark_covers import file_of, page_image
from watermark.limits import VISIBLE_WORDS_CHARS_MAX
from zhenglian.catalogue import CertificateTypeSpec, MarksSpec
from zhenglian.copy_codes import CopyCode, code_message, read_code

OFFICE, OFFICE_KEY = certificate_of("市政务数据局")
COPIES = DerivedCopies(CopySigner(OFFICE, OFFICE_KEY))
PAPER = licence({"name": str(card_fields()["name"]), "issued_on": "2026-11-03", "code": "11010519491231002X"})


def paper(lent: Lent) -> Output:
    return Output(certificate=lent.certificate, format=OutputFormat.PDF, fields=(), attachment="document")


@asynccontextmanager
async def lending(
    folder: Path, *, copies: Copies | None = COPIES, attachment: AttachmentInput | None = None
) -> AsyncIterator[Lent]:
    """A node with Li's card and its paper on it, which a bank may download."""
    content = attachment or AttachmentInput(name="document", media_type="application/pdf", data=PAPER)
    async with running(folder, populated=True, copies=copies) as node:
        draft = await node.deposit(card(attachments=(content,)))
        yield Lent(node, draft, await node.grant(BANK, draft))


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Lent]:
    async with lending(tmp_path) as found:
        yield found


async def released(lent: Lent, *outputs: Output) -> Release:
    release = await lent.node.releases.request(lent.request(*outputs), wait_s=30)
    assert release.state is ReleaseState.PREPARED, release.failure
    return release


async def bytes_of(node: Node, release: Release, index: int = 0) -> bytes:
    file = await node.releases.file(release.release_id, index)
    assert SUITE.digest(file.data) == release.files[index].file_hash
    return file.data


async def checked(node: Node, data: bytes) -> CopyReport:
    """What `copy check` finds; it runs a loop of its own."""
    return await asyncio.to_thread(check_copy, data, node.chain.trust(), certificates=(OFFICE,))


def drop(node: Node, *endings: str) -> None:
    for name in node.spool.names():
        if name.endswith(endings):
            node.spool.delete(name)


async def test_a_released_pdf_is_a_derived_copy_that_answers_all_three_questions(lent: Lent) -> None:
    release = await released(lent, paper(lent), lent.json())
    found = await checked(lent.node, await bytes_of(lent.node, release))
    assert found.data.answer.value == found.copy.answer.value == found.printed.answer.value == "yes", found
    assert found.data.details["fields"] == sorted(JSON_FIELDS)
    assert found.copy.details["grantee"] == BANK.account.hex()
    assert found.copy.details["release_id"] == release.release_id.hex()
    bank = lent.node.chain.records.account(BANK.account)
    assert bank is not None
    assert found.copy.details["grantee_name"] == bank.name


async def test_a_copy_proves_no_field_that_its_release_does_not_hand_out(lent: Lent) -> None:
    found = await checked(lent.node, await bytes_of(lent.node, await released(lent, paper(lent))))
    assert found.data.details["fields"] == []
    assert [answer.answer.value for answer in (found.data, found.copy, found.printed)] == [
        "yes",
        "yes",
        "unknown",
    ]


async def test_what_was_done_to_a_copy_is_told_to_who_gets_it(lent: Lent) -> None:
    release = await released(lent, paper(lent))
    marks = await lent.node.releases.marks(release.release_id, 0)
    assert marks is not None
    told = json.loads(marks)["differences"]
    assert any("授权副本" in words["zh"] and "authorised copy" in words["en"] for words in told)


async def test_two_releases_of_one_paper_are_two_copies(lent: Lent) -> None:
    first, second = [await bytes_of(lent.node, await released(lent, paper(lent))) for _ in range(2)]
    assert first != second


async def test_an_original_stays_as_it_was_issued(lent: Lent) -> None:
    original = Output(
        certificate=lent.certificate, format=OutputFormat.ORIGINAL, fields=(), attachment="document"
    )
    assert not lent.node.maker.finishes(original)
    picture = Output(certificate=lent.certificate, format=OutputFormat.PNG, fields=(), attachment="card")
    assert not lent.node.maker.finishes(picture)
    assert not lent.node.maker.finishes(lent.json())
    assert lent.node.maker.finishes(paper(lent))


async def test_a_node_that_signs_no_copies_hands_out_the_marked_file(tmp_path: Path) -> None:
    async with lending(tmp_path, copies=None) as lent:
        release = await released(lent, paper(lent))
        data = await bytes_of(lent.node, release)
        assert data.startswith(b"%PDF")
        assert "授权副本".encode("utf-16-be").hex().encode() not in data
        assert not any(name.endswith("-finish") for name in lent.node.spool.names())


async def test_a_lost_copy_is_made_again_from_the_papers_that_were_kept(lent: Lent) -> None:
    release = await released(lent, paper(lent))
    before = await bytes_of(lent.node, release)
    drop(lent.node, "-0")
    # Blocks go on, and proofs of now would be others.
    await released(lent, lent.json())
    assert await bytes_of(lent.node, release) == before


@pytest.mark.parametrize("damaged", [False, True])
async def test_a_copy_whose_papers_are_lost_too_is_told_to_be_lost(lent: Lent, damaged: bool) -> None:
    release = await released(lent, paper(lent))
    name = f"release-{release.release_id.hex()}-0"
    drop(lent.node, "-0")
    if damaged:
        (lent.node.folder / "spool" / f"{name}-finish").write_bytes(bytes(100))
    else:
        drop(lent.node, "-finish")
    with pytest.raises(FinishLost):
        await lent.node.releases.file(release.release_id, 0)


async def test_a_node_that_was_stopped_before_prepared_makes_the_copy_that_it_has_promised(
    tmp_path: Path,
) -> None:
    async with lending(tmp_path) as lent:
        freeze_at(lent.node, "releases.requested")
        request = lent.request(paper(lent))
        await lent.node.releases.request(request, wait_s=0)
        promised = prepare_of(lent.node, await pooled(lent.node, "releases", "prepare"))
        lent.node.mempool.remove(await pooled(lent.node, "releases", "prepare"))
        await eventually(lambda: bool(lent.node.submission._promises))
    async with running(tmp_path, copies=COPIES) as again:
        after = Lent(again, lent.draft, lent.grant_id)
        await again.releases.resume()
        release = await after.until(request, ReleaseState.PREPARED)
        assert release.files == promised.files
        assert (await checked(again, await bytes_of(again, release))).copy.answer.value == "yes"


def prepare_of(node: Node, transaction_id: bytes) -> ReleasesPrepare:
    (found,) = [entry.transaction for entry in node.mempool if entry.transaction_id == transaction_id]
    return codec.decode(found.body.call.args, ReleasesPrepare, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)


class EndedAtFirst:
    """Copies whose certificate has ended until the third try."""

    def __init__(self) -> None:
        self.tries: list[Papers] = []

    def headed(self, marked: bytes, papers: Papers) -> bytes:
        return COPIES.headed(marked, papers)

    def signed(self, headed: bytes, papers: Papers) -> bytes:
        self.tries.append(papers)
        signer = CopySigner(OFFICE, OFFICE_KEY)
        if len(self.tries) < 3:
            signer.ends_ms = 0
        return DerivedCopies(signer).signed(headed, papers)


async def test_a_copy_waits_while_its_certificate_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(releases, "RETRY_LONGEST_S", 0.001)
    copies = EndedAtFirst()
    async with lending(tmp_path, copies=copies) as lent:
        await released(lent, paper(lent))
    assert len(copies.tries) == 3
    assert copies.tries[0] == copies.tries[2]


def test_a_certificate_that_has_ended_signs_nothing() -> None:
    signer = CopySigner(OFFICE, OFFICE_KEY)
    with pytest.raises(Unavailable):
        signer.sign(PAPER, reason="", name="", made_ms=signer.ends_ms + 1)


async def test_people_are_named_by_what_they_are(lent: Lent) -> None:
    """They have no name on the ledger."""
    release = await released(lent, lent.json())
    finisher = lent.node.maker._finisher
    assert finisher is not None
    assert finisher._name(LI.account, release) == HOLDER
    stranger = identity("nobody")
    assert stranger.hex()[:8] in finisher._name(stranger, release)


# --- the visible tier ---


def seen(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the card's type say that copies show who got them."""
    schema = lent.node.maker.schema

    def visible(certificate: Certificate) -> CertificateTypeSpec:
        return replace(schema(certificate), marks=MarksSpec(visible=True))

    monkeypatch.setattr(lent.node.maker, "schema", visible)


def code_on(page: Image.Image) -> CopyCode:
    (text,) = qr_codes(np.asarray(page.convert("L")))
    return read_code(text)


def signed_here(lent: Lent, code: CopyCode) -> bool:
    message = code_message(lent.node.chain.chain_id, code.release_id)
    signer = NODES[0].signer
    return SUITE.verify(signer.scheme, signer.public_key, domains.COPY_CODE, message, code.signature)


async def test_a_derived_copy_shows_its_recipient_and_a_code_where_its_type_says_so(
    lent: Lent, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(lent, monkeypatch)
    release = await released(lent, paper(lent), lent.json())
    data = await bytes_of(lent.node, release)
    found = await checked(lent.node, data)
    assert found.holds, found
    code = code_on(pypdfium2.PdfDocument(data)[0].render(scale=200 / 72).to_pil())
    assert code.release_id == release.release_id
    assert signed_here(lent, code)
    marks = await lent.node.releases.marks(release.release_id, 0)
    assert marks is not None
    (told,) = (words["zh"] for words in json.loads(marks)["differences"] if "平铺" in words["zh"])
    assert found.copy.details["grantee_name"] in told
    assert release.release_id.hex()[:8] in told
    # A file of fields has no page to draw on.
    assert json.loads(await bytes_of(lent.node, release, 1))["fields"]
    drop(lent.node, "-0")
    assert await bytes_of(lent.node, release) == data


async def test_a_picture_shows_its_recipient_on_a_node_that_signs_no_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = AttachmentInput(name="card", media_type="image/png", data=file_of(page_image(1240, 1754)))
    async with lending(tmp_path, copies=None, attachment=page) as lent:
        seen(lent, monkeypatch)
        picture = Output(certificate=lent.certificate, format=OutputFormat.PNG, fields=(), attachment="card")
        release = await released(lent, picture)
        code = code_on(Image.open(io.BytesIO(await bytes_of(lent.node, release))))
        assert code.release_id == release.release_id
        assert signed_here(lent, code)


async def test_a_long_name_leaves_room_for_the_time_and_the_code(
    lent: Lent, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(lent, monkeypatch)
    finisher = lent.node.maker._finisher
    assert finisher is not None
    monkeypatch.setattr(finisher, "_name", lambda _account, _release: "长\n" * VISIBLE_WORDS_CHARS_MAX)
    words = finisher._tier(await released(lent, lent.json())).words
    assert len(words) == VISIBLE_WORDS_CHARS_MAX
    assert "UTC" in words
    assert words.isprintable()
