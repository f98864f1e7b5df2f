"""Attachments that are broken, hostile, or more than they say are refused in bounded time; plain ones pass."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import AsyncIterator, Callable

import pikepdf
import pytest
from PIL import Image

from node.services.attachment_checks import AttachmentChecks, AttachmentRefused

PDF, PNG, JPEG = "application/pdf", "image/png", "image/jpeg"


@pytest.fixture
async def checks() -> AsyncIterator[AttachmentChecks]:
    made = AttachmentChecks()
    yield made
    await made.close()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(out, kind)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def document(change: Callable[[pikepdf.Pdf], None] = lambda pdf: None, **saving: object) -> bytes:
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(200, 200))
    change(pdf)
    out = io.BytesIO()
    pdf.save(out, **saving)
    return out.getvalue()


def with_script(pdf: pikepdf.Pdf) -> None:
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")


def with_hidden_script(pdf: pikepdf.Pdf) -> None:
    action = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pdf.make_stream(b"app.alert(1)"))
    pdf.pages[0].AA = pikepdf.Dictionary(O=pdf.make_indirect(action))


def with_file(pdf: pikepdf.Pdf) -> None:
    pdf.attachments["data.exe"] = b"MZ" * 100


def with_launch(pdf: pikepdf.Pdf) -> None:
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.Launch, F="cmd.exe")


async def test_plain_files_pass(checks: AttachmentChecks) -> None:
    await checks.inspect("document", PDF, document())
    await checks.inspect("document", PDF, document(object_stream_mode=pikepdf.ObjectStreamMode.generate))
    await checks.inspect("card", PNG, picture("PNG"))
    await checks.inspect("portrait", JPEG, picture("JPEG"))


PLAIN = document()
REFUSED: list[tuple[str, str, bytes]] = [
    ("script", PDF, document(with_script)),
    ("script in a page's action", PDF, document(with_hidden_script)),
    (
        "script in an object stream",
        PDF,
        document(with_hidden_script, object_stream_mode=pikepdf.ObjectStreamMode.generate),
    ),
    ("embedded file", PDF, document(with_file)),
    ("launch", PDF, document(with_launch)),
    ("encrypted", PDF, document(encryption=pikepdf.Encryption(owner="o", user="u"))),
    ("cut in half", PDF, PLAIN[: len(PLAIN) // 2]),
    ("rubbish", PDF, b"%PDF-1.7 nothing of the kind"),
    ("rubbish with an end", PDF, b"%PDF-1.7 nothing of the kind %%EOF"),
    ("polyglot", PDF, PLAIN + b"PK\x03\x04" + b"x" * 100),
    ("PNG with a ZIP behind it", PNG, picture("PNG") + b"PK\x03\x04"),
    ("PNG bomb", PNG, png_of(60_000, 60_000)),
    ("PNG of no size", PNG, png_of(0, 10)),
    ("PNG cut short", PNG, picture("PNG")[:-5]),
    ("PNG with a length beyond its end", PNG, b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xffIHDR"),
    ("JPEG with a ZIP behind it", JPEG, picture("JPEG") + b"PK\x03\x04"),
    ("JPEG cut short", JPEG, picture("JPEG")[:-20]),
    ("JPEG that is a page", JPEG, b"\xff\xd8\xff<html>"),
    ("JPEG of fill bytes", JPEG, b"\xff\xd8" + b"\xff" * 100_000),
    ("JPEG called PNG", PNG, picture("JPEG")),
    ("SVG", "image/svg+xml", b"<svg/>"),
]


@pytest.mark.parametrize(("name", "media_type", "data"), REFUSED, ids=[name for name, _, _ in REFUSED])
async def test_what_runs_hides_or_is_broken_is_refused(
    checks: AttachmentChecks, name: str, media_type: str, data: bytes
) -> None:
    with pytest.raises(AttachmentRefused) as refused:
        await checks.inspect(name, media_type, data)
    assert refused.value.message("zh") != refused.value.message("en")


async def test_after_a_file_that_kills_the_child_the_next_is_read(checks: AttachmentChecks) -> None:
    child = await checks._started()
    child.kill()
    with pytest.raises(AttachmentRefused):
        await checks.inspect("document", PDF, document())
    await checks.inspect("document", PDF, document())
