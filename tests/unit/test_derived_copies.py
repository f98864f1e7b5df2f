"""Derived copies 授权副本: no old signature, signed anew, with papers that answer three questions separately."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import pikepdf
import pypdfium2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.generic import NameObject, NumberObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas
from typer.testing import CliRunner

from contracts.records import Certificate, Output, OutputFormat, Release, ReleaseState
from contracts.state import CERTIFICATES, RELEASES
from ledger import codec, state_tree
from ledger.commitments import attachment_leaf, commitment_root, encode_value, leaf, ordered_leaves
from ledger.errors import DecodeError, VerificationFailed
from ledger.receipts import build_state_receipt, state_receipt_to_json, trust_to_json
from ledger.types import Trust
from node import cli
from node.services import copy_checks
from node.services.copy_checks import Answer, CopyReport, check_copy
from node.services.copy_papers import Papers, papers_of
from node.services.derived_copies import (
    FIELDS_MAX,
    PRESENTATION,
    STATEMENT,
    CopySigner,
    derived_copy,
    remove_signatures,
)
from tests.unit.ledger_world import NETWORK, SUITE, World, fixed
from tests.unit.watermark_covers import marked, names_only_the_second, traced
from watermark.errors import MediaUnsupported
from zhenglian import disclosures, presentations
from zhenglian.api import DepositRequest
from zhenglian.api_records import AttachmentUpload
from zhenglian.deposits import attachment_salt, field_salt

FIELDS = {"name": "杭州示例科技有限公司", "issued_on": "2026-11-03", "code": "91440300MA5EXAMPL7"}
MADE_MS = 1_790_000_000_000
pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))


def licence(fields: dict[str, str], *, signed: bool = True) -> bytes:
    """An original with its fields printed, and a visible signature that is removed from copies."""
    out = io.BytesIO()
    sheet = canvas.Canvas(out, pagesize=(420, 595), invariant=1)
    sheet.setFont("STSong-Light", 12)
    year, month, day = fields["issued_on"].split("-")
    for line, text in enumerate(
        (fields["name"], f"成立日期 {year}年{int(month)}月{int(day)}日", fields["code"])
    ):
        sheet.drawString(60, 480 - 30 * line, text)
    for line in range(10):
        sheet.drawString(
            60, 360 - 20 * line, "依法须经批准的项目经相关部门批准后方可开展经营活动"[line:] + f" {line * 77}"
        )
    sheet.showPage()
    sheet.setFont("STSong-Light", 12)
    sheet.drawString(60, 480, "第二页")
    sheet.showPage()
    sheet.save()
    with pikepdf.open(io.BytesIO(out.getvalue())) as document:
        if signed:
            seal = document.make_stream(b"1 0 0 RG 4 w 5 5 90 90 re S", BBox=[0, 0, 100, 100])
            field = document.make_indirect(
                pikepdf.Dictionary(
                    Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Widget, FT=pikepdf.Name.Sig, T=pikepdf.String("seal"),
                    Rect=[300, 40, 400, 140], F=4, AP=pikepdf.Dictionary(N=seal),
                    V=pikepdf.Dictionary(Type=pikepdf.Name.Sig, Contents=pikepdf.String(b"old value")),
                )
            )  # fmt: skip
            text = document.make_indirect(pikepdf.Dictionary(FT=pikepdf.Name.Tx, T=pikepdf.String("remark")))
            document.pages[0].Annots = pikepdf.Array([field])
            document.Root.AcroForm = pikepdf.Dictionary(Fields=[field, text], SigFlags=3)
            document.Root.Perms = pikepdf.Dictionary(DocMDP=field.V)
        again = io.BytesIO()
        document.save(again, deterministic_id=True)
        return again.getvalue()


@dataclass(frozen=True)
class Made:
    original: bytes
    papers: Papers
    trust: Trust
    certificate_pem: bytes
    signer: CopySigner
    copy: bytes


@cache
def identity(name: str) -> tuple[bytes, bytes]:
    key = ec.derive_private_key(int.from_bytes(fixed(name)) % 2**200 + 1, ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key()).serial_number(7)
        .not_valid_before(start).not_valid_after(start + timedelta(days=36_500)).add_extension(usage, critical=True)
        .sign(key, SHA256())
    )  # fmt: skip
    return certificate.public_bytes(Encoding.PEM), key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@cache
def made(printed_name: str = "") -> Made:
    """A copy of a licence; with `printed_name` the licence prints another name than the issuer committed to."""
    world = World()
    original = licence({**FIELDS, "name": printed_name or FIELDS["name"]})
    certificate_id, release_id = fixed("certificate", size=16), fixed("release", size=8)
    seed = fixed("seed")
    deposit = DepositRequest(
        certificate_id=certificate_id.hex(), certificate_type="business_licence", holder=fixed("h", size=16).hex(),
        fields=dict(FIELDS), salt_seed=seed.hex(),
        attachments=[AttachmentUpload(name="scan", media_type="application/pdf", data=base64.b64encode(original).decode())],
    )  # fmt: skip
    leaves = ordered_leaves(
        {name: leaf(SUITE, field_salt(SUITE, seed, name), name, encode_value(value)) for name, value in FIELDS.items()},
        {"scan": attachment_leaf(SUITE, attachment_salt(SUITE, seed, "scan"), "scan", "application/pdf", SUITE.digest(original))},
    )  # fmt: skip
    certificate = Certificate(
        certificate_id=certificate_id, certificate_type="business_licence", type_version=1, holder=fixed("h", size=16),
        issuer=fixed("issuer", size=16), issued_by=fixed("officer", size=16), commitment_root=commitment_root(SUITE, leaves),
        payload_hash=fixed("payload"), fields=tuple(sorted(FIELDS)), attachments=("scan",), issued_ms=1, valid_from_ms=0,
        valid_until_ms=0, supersedes=b"", superseded_by=b"", states=(),
    )  # fmt: skip
    release = Release(
        release_id=release_id, grant_id=fixed("g", size=16), pii_principal_id=fixed("h", size=16), grantee=fixed("bank", size=16),
        officer=fixed("o", size=16), released_by=fixed("operator", size=16), purpose="loan", state=ReleaseState.REQUESTED,
        outputs=(Output(certificate=certificate_id, format=OutputFormat.PDF, fields=(), attachment="scan"),),
        requested_ms=MADE_MS, deadline_ms=2, files=(), prepared_ms=0, delivered_ms=0, failure="",
    )  # fmt: skip
    writes = {
        CERTIFICATES.key(certificate_id): codec.encode(certificate),
        RELEASES.key(release_id): codec.encode(release),
    }
    block = world.committed(dict(writes)).finalized

    def receipt(key: bytes) -> str:
        proof = state_tree.prove(SUITE, world.reader, block.block.header.height, key)
        return state_receipt_to_json(build_state_receipt(NETWORK, block, key, writes[key], proof))

    shown = disclosures.disclosure_of(SUITE, world.chain, deposit)
    presentation = presentations.present(shown, [*FIELDS, "scan"], receipt(CERTIFICATES.key(certificate_id)))
    papers = papers_of(
        presentations.to_json(presentation),
        receipt(RELEASES.key(release_id)).encode(),
        world.trust,
        attachment="scan",
        released_by_name="市政务数据局",
        grantee_name="示例银行",
    )
    certificate_pem, key_pem = identity("市政务数据局")
    signer = CopySigner(certificate_pem, key_pem)
    copy = derived_copy(marked(original, "application/pdf"), papers, signer)
    return Made(original, papers, world.trust, certificate_pem, signer, copy)


def report(
    case: Made, data: bytes | None = None, certificates: tuple[bytes, ...] | None = None
) -> CopyReport:
    chosen = (case.certificate_pem,) if certificates is None else certificates
    return check_copy(data or case.copy, case.trust, certificates=chosen)


def answers(found: CopyReport) -> tuple[str, str, str]:
    return found.data.answer.value, found.copy.answer.value, found.printed.answer.value


def again(case: Made, **changed: object) -> bytes:
    """The same copy with papers that say something else."""
    statement = msgspec.structs.replace(case.papers.statement, **changed)
    papers = Papers(
        statement=statement,
        presentation=case.papers.presentation,
        release_receipt=case.papers.release_receipt,
        made_ms=MADE_MS,
    )
    return derived_copy(case.original, papers, case.signer)


def test_a_copy_answers_all_three_questions_with_yes() -> None:
    found = report(made())
    assert answers(found) == ("yes", "yes", "yes"), found
    assert found.holds
    assert "示例银行" in found.copy.zh
    assert found.to_json()["data"]["details"]["fields"] == sorted(FIELDS)


def test_a_copy_is_headed_and_its_text_stays_text() -> None:
    texts = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(made().copy)]
    assert len(texts) == 2
    assert all("授权副本" in text and "示例银行" in text for text in texts)
    assert FIELDS["code"] in texts[0]
    assert "第二页" in texts[1]


def test_nothing_of_the_old_signature_is_left_but_its_picture() -> None:
    assert b"old value" not in made().copy
    with pikepdf.open(io.BytesIO(made().copy)) as document:
        fields = {str(field.T): field for field in document.Root.AcroForm.Fields}
        assert set(fields) == {"remark", "ZhenglianCopy"}
        assert list(document.Root.Perms.keys()) == ["/DocMDP"]
        assert document.Root.Perms.DocMDP.objgen == fields["ZhenglianCopy"].V.objgen
        assert any("ZhenglianSeal" in name for name in document.pages[0].Resources.XObject)
        assert len(document.Root.AF) == 3
    rendered = pypdfium2.PdfDocument(made().copy)[0].render(scale=1).to_numpy()
    assert (rendered[440:560, 295:405, 2] > rendered[440:560, 295:405, 0] + 60).any()


def test_a_document_without_signatures_loses_nothing() -> None:
    with pikepdf.open(io.BytesIO(licence(FIELDS, signed=False))) as document:
        assert remove_signatures(document) == 0


def test_the_same_arguments_give_the_same_bytes() -> None:
    case = made()
    assert derived_copy(marked(case.original, "application/pdf"), case.papers, case.signer) == case.copy
    # No clock is read: every date is the original's own or that of the release.
    dates = re.findall(rb"D(?::|\\072)(\d{8})", case.copy)
    assert set(dates) == {b"20000101", b"20260921"}


def test_a_leaked_copy_still_names_its_recipient() -> None:
    assert names_only_the_second(traced(made().copy, made().original, "application/pdf"))


def test_another_printed_name_is_found_while_seal_and_signature_hold() -> None:
    found = report(made("杭州另一科技有限公司"))
    assert answers(found) == ("yes", "yes", "no")
    assert found.printed.details["absent"] == ["name"]
    assert not found.holds


def test_a_name_in_the_headline_is_no_printed_field() -> None:
    case = made("杭州另一科技有限公司")
    found = report(case, again(case, released_by_name=FIELDS["name"]))
    assert found.printed.answer is Answer.NO


def test_a_file_changed_after_it_was_signed_is_no_copy_any_more() -> None:
    case = made()
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(case.copy)) as document:
        document.pages[0].Rotate = 90
        document.save(out)
    assert answers(report(case, out.getvalue()))[1] == "no"


def test_what_is_appended_to_a_signed_copy_is_noticed() -> None:
    case = made()
    writer = IncrementalPdfFileWriter(io.BytesIO(case.copy))
    page = writer.root["/Pages"]["/Kids"][0]
    page[NameObject("/Rotate")] = NumberObject(90)
    writer.mark_update(page.get_container_ref())
    out = io.BytesIO()
    writer.write(out)
    assert answers(report(case, out.getvalue()))[1] == "no"


def test_a_certificate_that_nobody_trusts_leaves_the_signer_open() -> None:
    case = made()
    stranger, _ = identity("stranger")
    for certificates in ((), (stranger,)):
        found = report(case, certificates=certificates)
        assert answers(found) == ("yes", "unknown", "yes")


@pytest.mark.parametrize(
    ("changed", "which"),
    [
        ({"grantee": fixed("somebody", size=16).hex()}, 1),
        ({"released_by": fixed("somebody", size=16).hex()}, 1),
        ({"purpose": "another"}, 1),
        ({"release_id": fixed("another", size=8).hex()}, 1),
        ({"attachment": "other"}, 1),
        ({"original_hash": fixed("another original").hex()}, 0),
        ({"certificate_id": fixed("another", size=16).hex()}, 0),
        ({"certificate_id": "no hex"}, 0),
        ({"certificate_id": "no hex"}, 1),
        ({"release_id": "no hex"}, 1),
    ],
)
def test_a_statement_that_the_ledger_does_not_bear_out_is_refused(
    changed: dict[str, str], which: int
) -> None:
    assert answers(report(made(), again(made(), **changed)))[which] == "no"


def test_a_changed_field_is_not_proven_and_nothing_is_compared_with_it() -> None:
    case = made()
    forged = case.papers.presentation.replace("杭州示例".encode(), "杭州伪造".encode())
    papers = Papers(
        statement=case.papers.statement,
        presentation=forged,
        release_receipt=case.papers.release_receipt,
        made_ms=MADE_MS,
    )
    found = report(case, derived_copy(case.original, papers, case.signer))
    assert answers(found) == ("no", "yes", "unknown")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"%PDF-1.7\n",
        lambda data: licence(FIELDS),
        lambda data: b"",
    ],
    ids=["head", "no papers", "empty"],
)
def test_a_file_that_is_no_derived_copy_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DecodeError):
        report(made(), damage(made().copy) or b" ")


def _in_a_ring(document: pikepdf.Pdf) -> None:
    """Fields that are each other's kids, twice: walked through, they never end."""
    first = document.make_indirect(pikepdf.Dictionary(T=pikepdf.String("a")))
    second = document.make_indirect(pikepdf.Dictionary(T=pikepdf.String("b"), Kids=[first, first]))
    first[pikepdf.Name.Kids] = pikepdf.Array([second, second])
    document.Root.AcroForm.Fields.append(first)


def _too_many(document: pikepdf.Pdf) -> None:
    field = document.make_indirect(pikepdf.Dictionary(FT=pikepdf.Name.Tx, T=pikepdf.String("a")))
    document.Root.AcroForm.Fields.extend([field] * FIELDS_MAX)


@pytest.mark.parametrize("deform", [_in_a_ring, _too_many])
def test_no_copy_is_made_where_signatures_could_stay_behind(
    deform: Callable[[pikepdf.Pdf], None],
) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(made().original)) as document:
        deform(document)
        document.save(out)
    with pytest.raises(VerificationFailed, match="form fields"):
        derived_copy(out.getvalue(), made().papers, made().signer)


def test_a_signature_that_the_library_gives_up_on_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def gives_up(*_: object, **__: object) -> None:
        raise NotImplementedError("a filter that nobody knows")

    monkeypatch.setattr(copy_checks, "validate_pdf_signature", gives_up)
    found = report(made())
    assert answers(found) == ("yes", "no", "yes")
    assert "nobody knows" in found.copy.en


def test_no_copy_is_made_of_what_is_no_pdf() -> None:
    with pytest.raises(VerificationFailed):
        derived_copy(b"%PDF-1.7 nothing", made().papers, made().signer)
    with pytest.raises(MediaUnsupported):
        marked(b"GIF89a", "image/gif")


def test_a_key_must_belong_to_its_certificate() -> None:
    certificate, _ = identity("one")
    _, key = identity("other")
    for pair in ((certificate, key), (b"", key), (certificate, b"no key")):
        with pytest.raises(DecodeError):
            CopySigner(*pair)


def test_the_papers_are_named_as_the_check_expects_them() -> None:
    with pikepdf.open(io.BytesIO(made().copy)) as document:
        assert {STATEMENT, PRESENTATION} < set(document.attachments)


def test_papers_are_written_from_proofs_that_hold_and_fit_each_other() -> None:
    case = made()
    names = {"released_by_name": "a", "grantee_name": "b"}
    forged = case.papers.presentation.replace("杭州示例".encode(), "杭州伪造".encode())
    for presentation, receipt, attachment in (
        (forged, case.papers.release_receipt, "scan"),
        (case.papers.presentation, case.papers.release_receipt, "other"),
        (
            case.papers.presentation,
            presentations.from_json(case.papers.presentation).receipt.encode(),
            "scan",
        ),
    ):
        with pytest.raises(VerificationFailed):
            papers_of(presentation, receipt, case.trust, attachment=attachment, **names)


def test_a_copy_is_made_and_checked_on_the_command_line(tmp_path: Path) -> None:
    case = made()
    certificate, key = identity("市政务数据局")
    files = {
        "marked.pdf": marked(case.original, "application/pdf"),
        "shown.json": case.papers.presentation,
        "release.json": case.papers.release_receipt,
        "office.pem": certificate,
        "key.pem": key,
        "trust.json": trust_to_json(case.trust).encode(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    place = {name: str(tmp_path / name) for name in (*files, "copy.pdf")}
    make = ["copy", "make", place["marked.pdf"], place["copy.pdf"], "--presentation", place["shown.json"]]
    make += [
        "--receipt",
        place["release.json"],
        "--attachment",
        "scan",
        "--by",
        "市政务数据局",
        "--for",
        "示例银行",
    ]
    make += [
        "--certificate",
        place["office.pem"],
        "--signing-key",
        place["key.pem"],
        "--trust",
        place["trust.json"],
    ]
    assert CliRunner().invoke(cli.app, make).exit_code == 0
    assert (tmp_path / "copy.pdf").read_bytes() == case.copy
    check = ["--json", "copy", "check", place["copy.pdf"], "--trust", place["trust.json"]]
    trusted = CliRunner().invoke(cli.app, [*check, "--certificate", place["office.pem"]])
    assert trusted.exit_code == 0, trusted.output
    assert json.loads(trusted.output)["holds"]
    unknown = CliRunner().invoke(cli.app, check)
    assert unknown.exit_code == 1
    assert json.loads(unknown.output)["copy"]["answer"] == "unknown"
