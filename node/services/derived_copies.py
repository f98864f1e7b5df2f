"""Derived copies 授权副本: what a marked PDF becomes before it is handed out.

Rule: a marked copy never passes for the signed original. It is headed 授权副本 on every page, carries no field and no value of
an earlier signature, is signed by the organisation that releases it (PAdES), and brings along what proves its data without
that signature: the issuer's commitment on the ledger, the opened fields with their proofs, the ledger's record of the
release. The same arguments give the same bytes.

Source: ISO 32000-2, 12.8 (digital signatures), 14.13 (associated files); ETSI EN 319 142-1 (PAdES); RFC 6979.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pikepdf
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from pikepdf import Array, Dictionary, Name, Stream
from pyhanko.pdf_utils.generic import ArrayObject, ByteStringObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.pdf_signer import PdfSigningSession
from pyhanko_certvalidator.registry import SimpleCertificateStore

from ledger.errors import DecodeError, Unavailable, VerificationFailed
from node.home import Home, read_file
from node.services.copy_papers import CopyStatement, Papers
from watermark.pdf_chips import displayed_points, free_name, square_to_page
from watermark.pdf_text import times

STATEMENT: Final = "zhenglian-copy.json"
PRESENTATION: Final = "zhenglian-presentation.json"
RELEASE_RECEIPT: Final = "zhenglian-release.receipt.json"
SIGNATURE_FIELD: Final = "ZhenglianCopy"
FIELDS_MAX: Final = 10_000
FIELD_DEPTH_MAX: Final = 32
SIGNATURE_SIZE_BYTES: Final = 16 * 1024
_HEADER_POINTS: Final = 6.5
_MARGIN_POINTS: Final = 10.0


class CopySigner:
    """The key with which an organisation signs its copies, until `ends_ms`. Its signatures are deterministic.

    Args:
        certificate_pem: the certificate, followed by those that lead to its root, if any.
        key_pem: its key, PKCS #8: RSA, P-256, P-384 or Ed25519.

    Raises:
        DecodeError: they cannot be read, do not belong together, or the key is of another kind.
    """

    def __init__(self, certificate_pem: bytes, key_pem: bytes) -> None:
        try:
            chain = x509.load_pem_x509_certificates(certificate_pem)
            key = load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise DecodeError(what="copy signing certificate or key", reason=str(error)) from None
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise DecodeError(what="copy signing key", reason="it is neither RSA nor ECDSA nor Ed25519")
        if not chain or chain[0].public_key() != key.public_key():
            raise DecodeError(what="copy signing key", reason="it does not belong to the certificate")
        self.ends_ms = int(chain[0].not_valid_after_utc.timestamp() * 1000)
        self._chain = [asn1_x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in chain]
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._key = asn1_keys.PrivateKeyInfo.load(plain)

    def sign(self, data: bytes, *, reason: str, name: str, made_ms: int) -> bytes:
        """Append the signature to a PDF.

        Args:
            data: without any signature.
            reason: shown with it.
            name: of the organisation.
            made_ms: the time that it states.

        Raises:
            Unavailable: by then the certificate has ended.
        """
        if made_ms > self.ends_ms:
            ended = datetime.fromtimestamp(self.ends_ms / 1000, UTC).isoformat()
            raise Unavailable(what="copy signing certificate", reason=f"it ended at {ended}")
        registry = SimpleCertificateStore.from_certs(self._chain)  # type: ignore[no-untyped-call]
        meta = signers.PdfSignatureMetadata(
            field_name=SIGNATURE_FIELD,
            md_algorithm="sha256",
            reason=reason,
            name=name,
            subfilter=SigSeedSubFilter.PADES,
            certify=True,
            docmdp_permissions=fields.MDPPerm.NO_CHANGES,
        )
        signer = _Deterministic(signing_cert=self._chain[0], signing_key=self._key, cert_registry=registry)
        made = datetime.fromtimestamp(made_ms / 1000, UTC)
        out = io.BytesIO()
        _AtATime(meta, signer, made).sign_pdf(
            _Repeatable(io.BytesIO(data)), output=out, bytes_reserved=SIGNATURE_SIZE_BYTES
        )
        return out.getvalue()


def load_signer(home: Home, certificate: str, key: str) -> CopySigner:
    """The signer that a node's settings name.

    Args:
        home: of the node.
        certificate, key: files, from the home if they are not absolute.

    Raises:
        FileUnusable, SecretExposed: one cannot be read, or others can read the key.
        DecodeError: they are none, or do not belong together.
    """
    return CopySigner(read_file(home.root / certificate), read_file(home.root / key, secret=True))


class _Deterministic(signers.SimpleSigner):
    """ECDSA with nonces from key and message (RFC 6979), so that making a copy again gives the same bytes."""

    def sign_raw(self, data: bytes, digest_algorithm: str) -> bytes:
        if self.signing_key.algorithm != "ec":
            return bytes(super().sign_raw(data, digest_algorithm))
        key = ec_key(self.signing_key.dump())
        return key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))


class _AtATime(signers.PdfSigner):
    """Signs with a time that is given."""

    def __init__(self, meta: signers.PdfSignatureMetadata, signer: signers.Signer, made: datetime) -> None:
        super().__init__(meta, signer)
        self._made = made

    def init_signing_session(self, pdf_out: Any, existing_fields_only: bool = False) -> PdfSigningSession:
        session = super().init_signing_session(pdf_out, existing_fields_only)
        session.system_time = self._made
        return session


class _Repeatable(IncrementalPdfFileWriter):
    """Draws no identifier and reads no clock; the second half of the file's identifier follows from the first."""

    def _update_meta(self) -> None:
        """Leave the document's own dates alone."""

    @classmethod
    def _handle_id(cls, prev: Any) -> ArrayObject:
        first = prev.trailer["/ID"][0]
        plain = bytes(getattr(first, "original_bytes", first))
        return ArrayObject([ByteStringObject(plain), ByteStringObject(hashlib.sha256(plain).digest()[:16])])


def ec_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    """An elliptic-curve key from PKCS #8."""
    key = load_der_private_key(der, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DecodeError(what="copy signing key", reason="it is no elliptic-curve key")
    return key


@dataclass(frozen=True, slots=True)
class DerivedCopies:
    """Makes derived copies: first all that is seen and attached, then the signature. Implements `finishing.Copies`.

    Attributes:
        signer: of the releasing organisation.
    """

    signer: CopySigner

    def headed(self, marked: bytes, papers: Papers) -> bytes:
        """The copy before it is signed.

        Args:
            marked: the marked PDF; signatures in it are of the original and no longer hold.
            papers: what it brings along.

        Raises:
            VerificationFailed: the file is no PDF that can be made a copy of.
        """
        line = headline(papers.statement)
        try:
            with pikepdf.open(io.BytesIO(marked)) as document:
                remove_signatures(document)
                font = document.make_indirect(_header_font())
                for page in document.pages:
                    _head(document, page, font, line)
                _attach(document, papers)
                out = io.BytesIO()
                document.save(out, deterministic_id=True, min_version="1.7")
                return out.getvalue()
        except (pikepdf.PdfError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise VerificationFailed(reason=f"no copy can be made of this PDF: {error}"[:200]) from None

    def signed(self, headed: bytes, papers: Papers) -> bytes:
        """The copy.

        Args:
            headed: as `headed` gave it, or with more drawn on it.
            papers: that it brings along.

        Raises:
            Unavailable: the certificate that signs has ended.
        """
        return self.signer.sign(
            headed,
            reason=f"授权副本 {papers.statement.release_id}",
            name=papers.statement.released_by_name,
            made_ms=papers.made_ms,
        )


def derived_copy(marked: bytes, papers: Papers, signer: CopySigner) -> bytes:
    """Make a derived copy; raises as `DerivedCopies` does."""
    copies = DerivedCopies(signer)
    return copies.signed(copies.headed(marked, papers), papers)


def headline(statement: CopyStatement) -> str:
    """What stands at the top of every page."""
    return (
        f"授权副本 Authorised copy · 提供方 {statement.released_by_name} → 取得方 {statement.grantee_name} · "
        f"{statement.made[:16].replace('T', ' ')} UTC · {statement.release_id} · 原件签名不随副本保留"
    )


def remove_signatures(document: pikepdf.Pdf) -> int:
    """Take out every signature field with its value, and what refers to one; its picture on the page stays as a picture.

    Returns:
        How many fields there were.

    Raises:
        ValueError: more form fields than `FIELDS_MAX`, or deeper than `FIELD_DEPTH_MAX`.
    """
    root = document.Root
    removed: set[tuple[int, int]] = set()
    form = root.get(Name.AcroForm)
    if isinstance(form, Dictionary):
        looked_at = itertools.count()
        kept = [item for item in _listed(form.get(Name.Fields)) if not _without(item, removed, looked_at, 0)]
        form[Name.Fields] = Array(kept)
        if Name.SigFlags in form:
            del form[Name.SigFlags]
        if not kept and Name.XFA not in form:
            del root[Name.AcroForm]
    for page in document.pages:
        annotations = _listed(page.obj.get(Name.Annots))
        stay = []
        for item in annotations:
            if isinstance(item, Dictionary) and (item.objgen in removed or item.get(Name.FT) == Name.Sig):
                removed.add(item.objgen)
                _keep_picture(page, item)
            else:
                stay.append(item)
        if len(stay) != len(annotations):
            page.obj[Name.Annots] = Array(stay)
    for name in (Name.Perms, Name.DSS):
        if name in root:
            del root[name]
    return len(removed)


def _without(field: Any, removed: set[tuple[int, int]], looked_at: Iterator[int], depth: int) -> bool:
    """Whether the field is a signature; signatures among its kids are taken out of it.

    Raises:
        ValueError: `FIELDS_MAX` or `FIELD_DEPTH_MAX` is passed, and a signature could stay behind.
    """
    if next(looked_at) >= FIELDS_MAX or depth > FIELD_DEPTH_MAX:
        raise ValueError(
            f"more than {FIELDS_MAX} form fields, or more than {FIELD_DEPTH_MAX} within each other"
        )
    if not isinstance(field, Dictionary):
        return False
    kids = _listed(field.get(Name.Kids))
    if field.get(Name.FT) == Name.Sig:
        removed.add(field.objgen)
        removed.update(kid.objgen for kid in kids if isinstance(kid, Dictionary))
        return True
    stay = [kid for kid in kids if not _without(kid, removed, looked_at, depth + 1)]
    if len(stay) == len(kids):
        return False
    field[Name.Kids] = Array(stay)
    return not stay


def _keep_picture(page: pikepdf.Page, widget: Any) -> None:
    """Draw a signature's appearance as part of the page, as a photocopy would have it."""
    appearance = widget.get(Name.AP)
    shown = appearance.get(Name.N) if isinstance(appearance, Dictionary) else None
    hidden = int(widget.get(Name.F, 0)) & 0b100010
    if not isinstance(shown, Stream) or hidden or Name.Rect not in widget:
        return
    x0, y0, x1, y1 = (float(value) for value in widget[Name.Rect])
    box = [float(value) for value in shown.get(Name.BBox, [0, 0, 1, 1])]
    width, height = abs(box[2] - box[0]), abs(box[3] - box[1])
    if min(abs(x1 - x0), abs(y1 - y0), width, height) < 1e-6 or Name.Matrix in shown:
        return
    shown[Name.Type], shown[Name.Subtype] = Name.XObject, Name.Form
    name = page.add_resource(shown, Name.XObject, free_name(page, Name.XObject, "ZhenglianSeal"))
    a, d = abs(x1 - x0) / width, abs(y1 - y0) / height
    e, f = min(x0, x1) - min(box[0], box[2]) * a, min(y0, y1) - min(box[1], box[3]) * d
    page.contents_add(b"q\n", prepend=True)
    page.contents_add(f"\nQ\nq {a:.5f} 0 0 {d:.5f} {e:.4f} {f:.4f} cm {name} Do Q\n".encode("ascii"))


def _header_font() -> Dictionary:
    """A named Chinese font, which viewers have: nothing needs embedding."""
    descendant = Dictionary(
        Type=Name.Font,
        Subtype=Name.CIDFontType0,
        BaseFont=Name("/STSong-Light"),
        CIDSystemInfo=Dictionary(
            Registry=pikepdf.String("Adobe"), Ordering=pikepdf.String("GB1"), Supplement=4
        ),
        FontDescriptor=Dictionary(
            Type=Name.FontDescriptor,
            FontName=Name("/STSong-Light"),
            Flags=6,
            FontBBox=[-25, -254, 1000, 880],
            ItalicAngle=0,
            Ascent=880,
            Descent=-120,
            CapHeight=880,
            StemV=93,
        ),
        DW=1000,
        W=[1, [207, 270, 342, 467, 462, 797, 710, 239, 374], 10, [374, 423, 605, 238, 375, 238], 16, 26, 462],
    )
    return Dictionary(
        Type=Name.Font,
        Subtype=Name.Type0,
        BaseFont=Name("/STSong-Light-UniGB-UTF16-H"),
        Encoding=Name("/UniGB-UTF16-H"),
        DescendantFonts=[descendant],
    )


def _head(document: pikepdf.Pdf, page: pikepdf.Page, font: Any, line: str) -> None:
    """Write the line along the upper edge of the page as it is displayed."""
    width, height = displayed_points(page)
    to_page = times((1 / width, 0, 0, 1 / height, 0, 0), square_to_page(page))
    size = min(_HEADER_POINTS, (width - 2 * _MARGIN_POINTS) / max(1, _units(line)))
    name = page.add_resource(font, Name.Font, free_name(page, Name.Font, "ZhenglianHeader"))
    matrix = " ".join(f"{value:.6f}" for value in to_page)
    text = line.encode("utf-16-be").hex()
    page.contents_add(b"q\n", prepend=True)
    page.contents_add(
        (
            f"\nQ\nq {matrix} cm BT /{str(name).lstrip('/')} {size:.3f} Tf 0.6 0 0 rg "
            f"{_MARGIN_POINTS:g} {height - _MARGIN_POINTS:.3f} Td <{text}> Tj ET Q\n"
        ).encode("ascii")
    )


def _units(line: str) -> float:
    """Width of a line in sizes of its font."""
    return sum(1.0 if char > "⺀" else 0.55 for char in line)


def _attach(document: pikepdf.Pdf, papers: Papers) -> None:
    """Embed the papers as associated files."""
    stamp = datetime.fromtimestamp(papers.made_ms / 1000, UTC).strftime("D:%Y%m%d%H%M%SZ")
    files = (
        (STATEMENT, "谁为谁制作的副本 / who made the copy for whom", msgspec.json.encode(papers.statement)),
        (
            PRESENTATION,
            "签发方的承诺、已开启字段及其证明 / issuer's commitment and proofs",
            papers.presentation,
        ),
        (RELEASE_RECEIPT, "账本对下链的证明 / the ledger's proof of the release", papers.release_receipt),
    )
    for name, description, data in files:
        spec = pikepdf.AttachedFileSpec(
            document,
            data,
            filename=name,
            description=description,
            mime_type="application/json",
            creation_date=stamp,
            mod_date=stamp,
        )
        spec.obj[Name.AFRelationship] = Name.Supplement if name == STATEMENT else Name.Data
        document.attachments[name] = spec  # which lists it as associated with the document, too


def _listed(items: Any) -> list[Any]:
    return list(items) if isinstance(items, Array) else []
