"""Attacks by files: what a plain HTTP client with a session and an agent key may throw at `POST /v1/deposits`.

Rule: a hostile file ends with one clear refusal or a report per row, puts nothing on the ledger, and costs the node neither its
memory nor its answers to others; that is measured while the file is being worked on.
"""

from __future__ import annotations

import io
import json
import random
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from tests.attacks.scene import Scene
from tests.attacks.table import attack, must
from tests.e2e.cities import IDENTITY, Holder, until
from zhenglian import Client

NODE: Final = 1
MIB: Final = 1024 * 1024
GROWTH_BYTES_MAX: Final = 256 * MIB
ANSWER_S_MAX: Final = 10.0
ENDED_S: Final = 90.0
ENDED: Final = frozenset({"done", "failed", "cancelled", "expired"})

CSV: Final = "text/csv"
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_CONTENT_TYPES: Final = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>'
)
_RELATIONS: Final = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" '
    'Target="{target}"/></Relationships>'
)
_BOOK: Final = (
    '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="s" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
_SHEET: Final = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>',
    "</sheetData></worksheet>",
)
_LAUGHS: Final = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def workbook(sheet: Iterator[bytes], *, prologue: str = "") -> bytes:
    """An XLSX of one sheet, whose XML comes piece by piece."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _CONTENT_TYPES)
        archive.writestr("_rels/.rels", _RELATIONS.format(kind="officeDocument", target="xl/workbook.xml"))
        archive.writestr("xl/workbook.xml", prologue + _BOOK)
        archive.writestr(
            "xl/_rels/workbook.xml.rels", _RELATIONS.format(kind="worksheet", target="worksheets/sheet1.xml")
        )
        with archive.open("xl/worksheets/sheet1.xml", "w") as part:
            for piece in sheet:
                part.write(piece)
    return made.getvalue()


class Depositor:
    """A department's program with a token and nothing else."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        police = scene.city.police
        with Client(scene.devnet.url(NODE), police.admin) as admin:
            if not admin.agents():
                admin.create_agent()
        with Client(scene.devnet.url(NODE), police.officer) as officer:
            self.token = officer.login().token

    def throw(self, what: str, media_type: str, content: bytes, **query: str) -> str:
        """Deposit these bytes; the code of the refusal."""
        with self.scene.http(NODE, self.token) as http:
            answer = http.post(
                "/v1/deposits",
                params={"type": IDENTITY, **query},
                content=content,
                headers={**_once(), "content-type": media_type},
                timeout=ENDED_S,
            )
            return self.refused(what, http, answer)

    def throw_file(self, what: str, holder: Holder, attachment: str, file: tuple[str, bytes, str]) -> str:
        """Deposit one true row with this attachment; the code of the refusal."""
        row = {**holder.contents[IDENTITY].fields, "holder": holder.account, attachment: file[0]}
        parts = [
            ("deposit", ("rows.json", json.dumps([row], ensure_ascii=False).encode(), JSON)),
            ("file", file),
        ]
        with self.scene.http(NODE, self.token) as http:
            answer = http.post(
                "/v1/deposits", params={"type": IDENTITY}, files=parts, headers=_once(), timeout=ENDED_S
            )
            return self.refused(what, http, answer)

    def refused(self, what: str, http: httpx.Client, answer: httpx.Response) -> str:
        """See that it was refused in clear words, or every row of it; which code it was."""
        must(answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code >= 400:
            return f"{answer.status_code} {answer.json().get('code', '')}"
        job = answer.json()
        path = f"/v1/deposits/{job['job']}"

        def ended() -> bool:
            job.update(http.get(path).json())
            return job["state"] in ENDED

        until(ended, f"{what} has ended", ENDED_S)
        must(job["rows"]["issued"] == 0, f"{what}: {job['rows']['issued']} rows are on the ledger")
        if job["fault"] is not None:
            must(job["fault"]["detail_zh"] and job["fault"]["detail_en"], f"{what}: no words")
            return str(job["fault"]["code"])
        report = http.get(f"{path}/report").json()
        codes = sorted({problem["code"] for row in report["rows"] for problem in row["problems"]})
        must(codes, f"{what}: neither refused nor reported: {job['state']}, {job['rows']}")
        return "row: " + ", ".join(codes)


def _once() -> dict[str, str]:
    return {"idempotency-key": f"attack-{time.time_ns()}", "prefer": "wait=20"}


@contextmanager
def unharmed(scene: Scene) -> Iterator[dict[str, Any]]:
    """Watch the node from another connection: it answers all the while, is ready afterwards, and is no bigger."""
    pid = scene.devnet.pid(NODE)
    assert pid is not None
    seen: dict[str, Any] = {"slowest_s": 0.0, "grown_mib": 0}
    over, broken = threading.Event(), []
    before = _resident(pid)

    def watch() -> None:
        with scene.http(NODE) as http:
            while not over.wait(0.05):
                begun = time.monotonic()
                try:
                    answer = http.get("/v1/status", timeout=ANSWER_S_MAX)
                except httpx.HTTPError as error:
                    broken.append(repr(error))
                    return
                seen["slowest_s"] = max(seen["slowest_s"], time.monotonic() - begun)
                if answer.status_code >= 500:
                    broken.append(str(answer.status_code))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
    must(not broken, f"the node did not answer others: {broken[:3]}")
    must(scene.devnet.pid(NODE) == pid, "the node died")
    seen["grown_mib"] = (_resident(pid) - before) // MIB
    must(seen["grown_mib"] * MIB < GROWTH_BYTES_MAX, f"the node grew by {seen['grown_mib']} MiB")
    with scene.http(NODE) as http:
        until(lambda: http.get("/readyz").status_code == 200, "the node is ready")


def _resident(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096


def told(codes: Mapping[str, str], seen: Mapping[str, Any]) -> str:
    """The sentence for the table."""
    listed = "; ".join(f"{what}: {code}" for what, code in codes.items())
    return f"{listed}. Node {seen['grown_mib']:+d} MiB, others answered within {seen['slowest_s']:.1f} s"


def thrown(scene: Scene, files: Mapping[str, tuple[str, bytes]]) -> str:
    """Throw tables one after another, and watch the node."""
    depositor, codes = Depositor(scene), {}
    with unharmed(scene) as seen:
        for what, (media_type, content) in files.items():
            codes[what] = depositor.throw(what, media_type, content)
    return told(codes, seen)


@attack(
    "hostile file: zip bomb and huge workbook",
    attacker="a program with an officer's token",
    expected="each refused with one sentence before it is unpacked into memory; the node stays as it was",
)
def zip_bomb(scene: Scene) -> str:
    zeros = b"\0" * MIB
    row = b'<row r="%d"><c t="inlineStr"><is><t>x</t></is></c></row>'
    bomb = workbook(zeros for _ in range(600))
    rows = workbook(
        piece
        for piece in (
            _SHEET[0].encode(),
            *(
                b"".join(row % (n + 1) for n in range(start, start + 10_000))
                for start in range(0, 300_000, 10_000)
            ),
            _SHEET[1].encode(),
        )
    )
    overlapping = bytearray(workbook(iter((b"x",))))
    end = overlapping.rindex(b"PK\5\6")
    overlapping[end + 8 : end + 12] = struct.pack("<HH", 65535, 65535)
    return thrown(
        scene,
        {
            "600 MiB in 600 KiB": (XLSX, bomb),
            "300,000 rows": (XLSX, rows),
            "65,535 entries stated": (XLSX, bytes(overlapping)),
        },
    )


@attack(
    "hostile file: billion laughs and outside entities",
    attacker="a program with an officer's token",
    expected="XML with a document type is refused, nothing is expanded or fetched",
    quick=True,
)
def laughs(scene: Scene) -> str:
    bomb = f"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY l0 \"lol\">{_LAUGHS}]>"
    outside = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
    cell = "<row r='1'><c t='inlineStr'><is><t>{}</t></is></c></row>"

    def sheet(prologue: str, entity: str) -> Iterator[bytes]:
        yield (prologue + _SHEET[0] + cell.format(entity) + _SHEET[1]).encode()

    return thrown(
        scene,
        {
            "billion laughs": (XLSX, workbook(sheet(bomb, "&l9;"))),
            "outside entity": (XLSX, workbook(sheet(outside, "&f;"))),
            "in the workbook": (XLSX, workbook(sheet("", "x"), prologue=bomb)),
        },
    )


@attack(
    "hostile file: tables",
    attacker="a program with an officer's token",
    expected="every table is refused with a code that says what is wrong, or reported row by row",
    quick=True,
)
def tables(scene: Scene) -> str:
    deep = b"[" * 100_000 + b"]" * 100_000
    twice = b'[{"name":"A","name":"B"}]'
    return thrown(
        scene,
        {
            "a million columns": (CSV, b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n"),
            "NUL": (CSV, b"name,holder\na\0b,c\n"),
            "deep JSON": (JSON, deep),
            "duplicate members": (JSON, twice),
            "JSON cut short": (JSON, b'[{"name":"A"'),
            "huge number": (JSON, b'[{"name":' + b"9" * 100_000 + b"}]"),
            "not finite": (LINES, b'{"name":NaN}\n'),
            "cell of 2 MB": (CSV, b'name\n"' + b"x" * 2_000_000 + b'"\n'),
            "open quote": (CSV, b'name,sex\n"A,B\n'),
            "nothing": (CSV, b""),
        },
    )


@attack(
    "hostile file: wrong encodings and wrong magic",
    attacker="a program with an officer's token",
    expected="refused: what a file says it is and what it is have to agree, and no byte is guessed",
)
def encodings(scene: Scene) -> str:
    xls = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096)
    return thrown(
        scene,
        {
            "neither UTF-8 nor GB18030": (CSV, b"name,holder\n\xff\xff\x80\x81,\xfe\xff\n"),
            "half a UTF-16 unit": (CSV, b"\xff\xfen\0a\0m\0e\0\n"),
            "lone surrogate": (JSON, b'[{"name":"\\ud800"}]'),
            "overlong UTF-8": (LINES, b'\xef\xbb\xbf{"name":"\xc0\xaf"}\n'),
            "UTF-7": (CSV, b"+AG4AYQBtAGU-\nx\n"),
            "XLSX as CSV": (CSV, workbook(iter((b"x",)))),
            "CSV as XLSX": (XLSX, b"name,sex\nA,B\n"),
            "old XLS": (XLSX, xls),
            "web page as XLS": (XLSX, b"<html><table><tr><td>name"),
            "PDF as JSON": (JSON, b"%PDF-1.7\n%%EOF"),
        },
    )


def png(width: int, height: int) -> bytes:
    """A picture of so many black pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer, line = zlib.compressobj(9), bytes((width + 7) // 8 + 1)
    lines = [packer.compress(line) for _ in range(height)] + [packer.flush()]
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"".join(lines)) + chunk(b"IEND", b"")
    )


@attack(
    "hostile file: attachments",
    attacker="a program with an officer's token",
    expected="broken PDF, PDF with a script, image bomb, cut-off image, wrong magic: the row is refused with a reason",
)
def attachments(scene: Scene) -> str:
    holder, depositor, codes = scene.holder(), Depositor(scene), {}
    kept = {media: (name, data) for name, media, data in holder.contents[IDENTITY].attachments}
    pdf_name, pdf = kept["application/pdf"]
    image_media = next(media for media in kept if media.startswith("image/"))
    image_name, image = kept[image_media]
    script = pdf.replace(
        b"/Type /Catalog", b"/Type /Catalog /OpenAction << /S /JavaScript /JS (app.alert(1)) >>"
    )
    noise = random.Random(1).randbytes(4096)
    files = {
        "PDF without an end": (pdf_name, "application/pdf", pdf[: len(pdf) // 2]),
        "PDF of noise": (pdf_name, "application/pdf", b"%PDF-1.7\n" + noise + b"\n%%EOF\n"),
        "PDF with something behind": (pdf_name, "application/pdf", pdf + b"MZ" + noise),
        "PDF that is a program": (pdf_name, "application/pdf", b"MZ" + noise),
        "image bomb": (image_name, "image/png", png(30_000, 30_000)),
        "image cut short": (image_name, image_media, image[: len(image) // 2]),
        "image that is a web page": (image_name, image_media, b"<svg onload=alert(1)>"),
    }
    if script != pdf:
        files["PDF with a script"] = (pdf_name, "application/pdf", script)
    with unharmed(scene) as seen:
        for what, (name, media, data) in files.items():
            codes[what] = depositor.throw_file(
                what, holder, name, (f"a.{media.partition('/')[2]}", data, media)
            )
    return told(codes, seen)


@attack(
    "hostile file: truncated and lying uploads",
    attacker="a program with an officer's token",
    expected="a body that ends early leaves nothing open, a piece at a wrong place or past the stated size is refused",
    quick=True,
)
def truncated(scene: Scene) -> str:
    depositor, codes = Depositor(scene), {}
    with scene.http(NODE, depositor.token) as http, unharmed(scene) as seen:
        parts = urlsplit(scene.devnet.url(NODE))
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as door:
            door.sendall(
                f"POST /v1/deposits?type={IDENTITY} HTTP/1.1\r\nhost: localhost\r\n"
                f"authorization: Bearer {depositor.token}\r\nidempotency-key: cut\r\n"
                f"content-type: {CSV}\r\ncontent-length: 100000\r\n\r\nname,holder\n".encode()
            )
        asked = {"certificate_type": IDENTITY, "signed_by": "agent", "media_type": CSV, "size_bytes": 20}
        job = http.post("/v1/deposits/uploads", json=asked, headers=_once()).json()["job"]
        for what, start, piece in (
            ("gap", 10, b"x"),
            ("past the end", 0, b"x" * 21),
            ("negative", -1, b"x"),
        ):
            answer = http.patch(
                f"/v1/deposits/{job}/content",
                content=piece,
                headers={"content-type": "application/octet-stream", "upload-offset": str(start)},
            )
            must(400 <= answer.status_code < 500, f"{what}: {answer.status_code}")
            codes[what] = f"{answer.status_code} {answer.json().get('code', '')}"
        http.delete(f"/v1/deposits/{job}")
        huge = http.post("/v1/deposits/uploads", json={**asked, "size_bytes": 2**40}, headers=_once())
        must(400 <= huge.status_code < 500, f"a terabyte: {huge.status_code}")
        codes["a terabyte"] = f"{huge.status_code} {huge.json().get('code', '')}"

        def nothing_open() -> bool:
            return all(job["state"] in ENDED for job in http.get("/v1/deposits").json())

        until(nothing_open, "no job waits for a body that never comes", ENDED_S)
    return told(codes, seen)
