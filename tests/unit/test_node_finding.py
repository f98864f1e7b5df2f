"""From a leaked file to its certificate, without anybody knowing its id: by each way, and by none."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from contracts.erasure_calls import CertificatesErase
from contracts.records import CERTIFICATES_PER_TRACE_MAX, AccountKind, KeyRole, Output, OutputFormat
from ledger.errors import LimitExceeded, Unavailable
from node.leakreading import read_leak
from node.leaktext import LeakText
from node.services import finding, leak_reader
from node.services.leak_index import LeakIndex, TagKind
from node.services.leak_reader import LeakReader
from node.services.ports import AttachmentInput, Caller, DepositInput, LeakSources
from tests.unit.contracts_world import AUDITOR, DEPARTMENT, LI, SUITE, identity
from tests.unit.node_replica import CARD, GRANTEES, OFFICER, spec_of
from tests.unit.node_world import Node, card, eventually, running
from zhenglian.api import LEAK_SIZE_BYTES_MAX
from zhenglian_demo.certificates import make_certificate, suits
from zhenglian_demo.people import make_people

CARD_ID = identity("card")
NUMBER = "card_number"
BY = Caller(account=AUDITOR.account, key_id=AUDITOR.key_id, kind=AccountKind.AUDITOR, role=KeyRole.OFFICER)


@dataclass(frozen=True)
class Story:
    """A node's folder in which one card was sealed, issued, and downloaded as JSON, CSV and PDF."""

    folder: Path
    content: DepositInput
    files: dict[OutputFormat, bytes]
    release: bytes

    @property
    def number(self) -> str:
        return str(self.content.fields[NUMBER])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return asyncio.run(_tell(tmp_path_factory.mktemp("story")))


async def _tell(folder: Path) -> Story:
    spec = spec_of(CARD)
    person = next(person for person in make_people(7, 20) if suits(spec, person))
    made = make_certificate(spec, person, Random(7))
    content = DepositInput(
        certificate_id=CARD_ID,
        certificate_type=CARD,
        holder=LI.account,
        fields=dict(made.fields),
        salt_seed=identity("seed", 32),
        attachments=tuple(
            AttachmentInput(name=name, media_type=media_type, data=data)
            for name, media_type, data in made.attachments
            if name == "document"
        ),
    )
    plain = tuple(name for name, value in content.fields.items() if not isinstance(value, list))
    outputs = (
        Output(certificate=CARD_ID, format=OutputFormat.JSON, fields=plain, attachment=""),
        Output(certificate=CARD_ID, format=OutputFormat.CSV, fields=("payments",), attachment=""),
        Output(certificate=CARD_ID, format=OutputFormat.PDF, fields=(), attachment="document"),
    )
    async with running(folder, populated=True) as node:
        draft = await node.deposit(content)
        await node.deposit(card("lonely"))
        request = node.request_of(GRANTEES[0], await node.grant(GRANTEES[0], draft), *outputs)
        release = await node.releases.request(request, wait_s=60)
        assert release.files, release.failure
        files = {
            output.format: (await node.releases.file(release.release_id, number)).data
            for number, output in enumerate(outputs)
        }
    return Story(folder, content, files, release.release_id)


@pytest.fixture
async def here(story: Story, tmp_path: Path) -> AsyncIterator[Node]:
    async with running(Path(shutil.copytree(story.folder, tmp_path / "node"))) as node:
        node.finding._reader = AtHand()
        yield node


@pytest.fixture
def apart(here: Node) -> Node:
    """Reads leaks in a child, as nodes do."""
    here.finding._reader = LeakReader()
    return here


class AtHand(LeakReader):
    """Reads in this process, which is quicker."""

    async def _read(self, data: bytes) -> LeakText:
        return read_leak(data)


async def found(node: Node, leak: bytes) -> LeakSources:
    return await node.finding.find(leak, BY)


def ways(answer: LeakSources) -> dict[bytes, tuple[str, ...]]:
    return {one.certificate: one.ways for one in answer.sources}


# --- each way ---


async def test_a_released_file_is_known_by_its_hash_and_nothing_else_is_read(
    here: Node, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(_self: LeakReader, _data: bytes) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(LeakReader, "read", read)
    assert len(story.files) == 3
    for leak in story.files.values():
        answer = await found(here, leak)
        assert ways(answer) == {CARD_ID: ("file_hash",)}
        assert (answer.more, answer.partial, answer.notes) == (False, False, ())


@pytest.mark.parametrize(("maximum", "partial"), [(1, True), (2, False)])
async def test_more_releases_of_one_file_than_are_looked_at_are_said(
    here: Node, story: Story, monkeypatch: pytest.MonkeyPatch, maximum: int, partial: bool
) -> None:
    assert finding.RELEASES_FOUND_MAX == 100
    monkeypatch.setattr(finding, "RELEASES_FOUND_MAX", maximum)
    objects = here.finding._index.objects

    async def twice(kind: str, *, subject: bytes, limit: int) -> tuple[object, ...]:
        return ((await objects(kind, subject=subject, limit=limit)) * 2)[:limit]

    monkeypatch.setattr(here.finding._index, "objects", twice)
    answer = await found(here, story.files[OutputFormat.JSON])
    assert ways(answer) == {CARD_ID: ("file_hash",)}
    assert answer.partial is partial
    assert any("more than 1 releases" in note for note in answer.notes) is partial


async def test_the_original_is_known_by_its_hash_though_nobody_was_given_it(here: Node, story: Story) -> None:
    answer = await found(here, story.content.attachments[0].data)
    assert ways(answer)[CARD_ID][0] == "original"


async def test_a_certificate_id_in_the_text_leads_to_it(here: Node) -> None:
    text = f"copy of {CARD_ID.hex().upper()}, and of {identity('nothing').hex()}"
    assert ways(await found(here, text.encode())) == {CARD_ID: ("identifier",)}


async def test_a_release_id_in_the_text_leads_to_what_it_handed_out(here: Node, story: Story) -> None:
    assert ways(await found(here, f"[{story.release.hex()}]".encode())) == {CARD_ID: ("identifier",)}


async def test_a_copys_reference_leads_to_its_certificate_with_all_else_gone(
    here: Node, story: Story
) -> None:
    reference = json.loads(story.files[OutputFormat.JSON])["copy_reference"]
    assert ways(await found(here, f"x;{reference}\n".encode())) == {CARD_ID: ("copy_reference",)}


async def test_a_tables_row_references_lead_to_it_from_a_part_of_its_rows(here: Node, story: Story) -> None:
    rows = list(csv.DictReader(io.StringIO(story.files[OutputFormat.CSV].decode())))
    column = next(one.name for one in spec_of(CARD).field("payments").columns if one.reference)
    leak = "\n".join(row[column] for row in rows[::2])
    assert ways(await found(here, leak.encode())) == {CARD_ID: ("copy_reference",)}


async def test_a_certificates_number_leads_to_it_however_it_is_written(here: Node, story: Story) -> None:
    number = story.number
    wide = "".join(chr(ord(one) + 0xFEE0) if one.isascii() else one for one in number)
    for written in (
        number,
        f"卡号：{number}。",
        f"{number[:4]} {number[4:]}",
        wide,
        "\u200b".join(number),
        number.lower(),
    ):
        answer = await found(here, f"name,{written},3".encode())
        assert ways(answer) == {CARD_ID: ("certificate_number",)}, written


async def test_a_qr_code_in_a_picture_leads_to_what_it_says(apart: Node) -> None:
    leak = picture(f"https://example.org/c/{CARD_ID.hex()}")
    assert ways(await found(apart, leak)) == {CARD_ID: ("qr_code",)}


async def test_the_text_layer_of_a_changed_pdf_leads_to_its_certificate(here: Node, story: Story) -> None:
    leak = story.files[OutputFormat.PDF] + b"\n% sent on\n"
    answer = await found(here, leak)
    assert ways(answer)[CARD_ID] == ("certificate_number",)


def picture(text: str) -> bytes:
    code = cv2.resize(
        cv2.QRCodeEncoder.create().encode(text), None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST
    )
    page = np.full((900, 700), 255, np.uint8)
    page[80 : 80 + code.shape[0], 90 : 90 + code.shape[1]] = code
    return bytes(cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, 60])[1])


# --- nothing, and no more than may be told ---


async def test_a_file_that_leads_nowhere_is_answered_with_nothing(here: Node) -> None:
    answer = await found(here, b"nothing of the kind, 20231107 and 00112233445566778899aabbccddeeff")
    assert (answer.sources, answer.more, answer.partial) == ((), False, False)


async def test_a_part_of_a_longer_number_is_no_number(here: Node, story: Story) -> None:
    digits = story.number[-1]
    assert (await found(here, f"9{story.number}{digits}7 {story.number}1".encode())).sources == ()


async def test_no_more_are_told_than_a_trace_may_name_the_surest_first(here: Node, story: Story) -> None:
    sure = identity("sure")
    for number in range(CERTIFICATES_PER_TRACE_MAX):
        content = replace_id(story.content, identity(f"again {number}"))
        await here.deposit(content)
    await here.deposit(replace_id(story.content, sure))
    answer = await found(here, f"{story.number} {sure.hex()}".encode())
    assert len(answer.sources) == CERTIFICATES_PER_TRACE_MAX
    assert answer.more
    assert answer.sources[0].certificate == sure
    assert answer.sources[0].ways == ("identifier", "certificate_number")


def replace_id(content: DepositInput, certificate_id: bytes) -> DepositInput:
    return DepositInput(
        certificate_id=certificate_id,
        certificate_type=content.certificate_type,
        holder=content.holder,
        fields=content.fields,
        salt_seed=content.salt_seed,
        attachments=(),
    )


async def test_a_draft_that_nobody_issued_is_not_found_and_in_time_forgotten(
    here: Node, story: Story
) -> None:
    draft = identity("draft")
    await here.deposits.prepare(replace_id(_renumbered(story.content, "ZX7654321"), draft), OFFICER)
    assert (await found(here, b"ZX7654321")).sources == ()
    assert len(await here.leaks.find(TagKind.NUMBER, [b"ZX7654321"])) == 1
    await here.finding.prune()
    assert len(await here.leaks.find(TagKind.NUMBER, [b"ZX7654321"])) == 1
    here.now_ms += finding.UNISSUED_KEPT_MS
    await here.finding.prune()
    assert await here.leaks.find(TagKind.NUMBER, [b"ZX7654321"]) == ()


async def test_another_draft_under_an_issued_id_leads_nowhere(here: Node, story: Story) -> None:
    """What was noted counts only for the record that the ledger committed to."""
    await here.leaks.note(CARD_ID, bytes(32), now_ms=0, number="ZX7654321")
    assert (await found(here, b"ZX7654321")).sources == ()


def _renumbered(content: DepositInput, number: str) -> DepositInput:
    changed = replace_id(content, content.certificate_id)
    return DepositInput(
        certificate_id=changed.certificate_id,
        certificate_type=changed.certificate_type,
        holder=changed.holder,
        fields={**content.fields, NUMBER: number},
        salt_seed=changed.salt_seed,
        attachments=(),
    )


async def test_what_is_erased_is_forgotten_at_once_and_at_the_next_start(
    here: Node, story: Story, tmp_path: Path
) -> None:
    await here.send(DEPARTMENT, CertificatesErase(certificate_id=CARD_ID, reason="mistake"))
    assert (await found(here, story.number.encode())).sources == ()
    await eventually(lambda: not here.finding._jobs)
    assert await here.leaks.find(TagKind.NUMBER, [story.number.encode()]) == ()
    root = here.chain.records.certificate(CARD_ID).commitment_root
    await here.leaks.note(CARD_ID, root, now_ms=here.now_ms, number=story.number)
    assert (await found(here, story.number.encode())).sources == ()
    await here.finding.prune()
    assert await here.leaks.find(TagKind.NUMBER, [story.number.encode()]) == ()


async def test_a_node_that_did_not_seal_a_record_notes_it_when_it_hands_it_out(
    story: Story, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(story.folder, tmp_path / "node"))
    for name in ("leaks.sqlite", "leaks.sqlite-wal", "leaks.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    async with running(folder) as node:
        assert (await found(node, story.number.encode())).sources == ()
        release = node.chain.records.release(story.release)
        assert release is not None
        opened = await node.maker.open(release, release.outputs)
        for number in range(len(release.outputs)):
            await node.maker.make(release, number, opened)
        assert ways(await found(node, story.number.encode())) == {CARD_ID: ("certificate_number",)}
        assert ways(await found(node, story.content.attachments[0].data))[CARD_ID][0] == "original"


# --- bounds, and what is written down ---


async def test_too_large_a_file_is_refused_before_anything_is_read(here: Node) -> None:
    with pytest.raises(LimitExceeded):
        await found(here, bytes(LEAK_SIZE_BYTES_MAX + 1))
    assert await here.leaks.looks(9) == ()


async def test_a_hostile_file_says_nothing_and_why(apart: Node) -> None:
    for leak in (
        b"%PDF-1.7\n" + b"(" * 5_000,
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"PK\x03\x04" + bytes(64),
        b"\xff\xd8\xff\xe0",
        b"",
    ):
        answer = await found(apart, leak)
        assert answer.sources == ()
        assert answer.partial, leak[:8]
        assert answer.notes


async def test_a_child_that_takes_too_long_or_dies_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await LeakReader(seconds_max=0.0).read(b"text")).note == leak_reader.NOT_READ
    monkeypatch.setattr(leak_reader, "READ_MEMORY_BYTES_MAX", 1 << 20)
    assert (await LeakReader().read(b"text")).note == leak_reader.NOT_READ


async def test_only_so_many_files_wait_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = LeakReader()
    gate = asyncio.Event()

    async def held(_data: bytes) -> LeakText:
        await gate.wait()
        return LeakText()

    monkeypatch.setattr(reader, "_read", held)
    waiting = [asyncio.create_task(reader.read(b"")) for _ in range(leak_reader.READS_WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(leak_reader.Busy):
        await reader.read(b"")
    gate.set()
    await asyncio.gather(*waiting)
    await reader.read(b"")


async def test_who_looked_and_what_was_found_is_written_down(here: Node, story: Story) -> None:
    await found(here, story.number.encode())
    await found(here, b"nothing")
    nothing, something = await here.leaks.looks(9)
    assert (something.account, something.key_id) == (AUDITOR.account, AUDITOR.key_id)
    assert something.file_hash == SUITE.digest(story.number.encode())
    assert something.found == f"{CARD_ID.hex()}:certificate_number"
    assert nothing.found == ""


async def test_what_cannot_be_written_down_is_not_told(here: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_self: LeakIndex, _look: object) -> None:
        raise Unavailable(what="leaks.sqlite", reason="full")

    monkeypatch.setattr(LeakIndex, "write_look", full)
    with pytest.raises(Unavailable):
        await found(here, CARD_ID.hex().encode())


async def test_an_index_that_lags_is_waited_for_and_then_said_so(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_height: int, _timeout_s: float) -> bool:
        return False

    monkeypatch.setattr(here.index, "wait_height", never)
    with pytest.raises(Unavailable):
        await found(here, b"x")


async def test_a_node_that_began_with_a_snapshot_says_from_where_on_it_knows(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.index, "_first_height", 7)
    (note,) = (await found(here, b"nothing")).notes
    assert "block 7" in note
