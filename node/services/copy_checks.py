"""Checking a derived copy 授权副本: three questions, three answers, none of which stands for another.

Rule: *data*: is what the copy proves sealed by the issuer on the ledger? *copy*: did the organisation that it names make this
very file for whom it names? *printed*: does the printed text say what the proven fields say? A file that answers one with yes
and another with no says just that. Everything is read offline; nothing in the file is believed that is not proven.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
import pikepdf
import pypdfium2
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

from contracts.state import RELEASES
from ledger.decoders import decode_json
from ledger.errors import DecodeError, LedgerError, VerificationFailed
from ledger.types import Trust
from node.services.copy_papers import CopyStatement
from node.services.derived_copies import PRESENTATION, RELEASE_RECEIPT, STATEMENT, headline
from watermark.errors import MediaTooLarge
from watermark.pdf_streams import decoded
from zhenglian import presentations
from zhenglian.plans.proofs import verify_state
from zhenglian.presentations import VerifiedPresentation

COPY_SIZE_BYTES_MAX: Final = 96 * 1024 * 1024
ATTACHED_SIZE_BYTES_MAX: Final = presentations.PRESENTATION_SIZE_BYTES_MAX
PAGES_READ_MAX: Final = 200
TEXT_CHARS_MAX: Final = 2_000_000
VALUES_COMPARED_MAX: Final = 500
VALUE_CHARS: Final = 200
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


class Answer(StrEnum):
    """`unknown`: the file leaves it open, or what it would take to answer is not at hand."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question, in words.

    Attributes:
        answer: yes, no, or left open.
        zh, en: what was found.
        details: by name, for programs.
    """

    answer: Answer
    zh: str
    en: str
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"answer": self.answer.value, "zh": self.zh, "en": self.en, "details": dict(self.details)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What a derived copy's check found.

    Attributes:
        data: sealed by the issuer?
        copy: made by whom it says, for whom it says, and unchanged since?
        printed: does the text say what is proven?
    """

    data: Finding
    copy: Finding
    printed: Finding

    @property
    def holds(self) -> bool:
        """Whether all three are answered with yes."""
        return all(finding.answer is Answer.YES for finding in (self.data, self.copy, self.printed))

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.data.to_json(),
            "copy": self.copy.to_json(),
            "printed": self.printed.to_json(),
            "holds": self.holds,
        }


def check_copy(
    data: bytes, trust: Trust, *, certificates: Sequence[bytes] = (), epochs: str | bytes | None = None
) -> CopyReport:
    """Check a derived copy offline.

    Args:
        data: the file.
        trust: of the network.
        certificates: PEM files of the organisation's certificate, or of the authority that issued it.
        epochs: epoch changes since the trust file.

    Raises:
        DecodeError: not a PDF, or without the papers of a derived copy.
    """
    if len(data) > COPY_SIZE_BYTES_MAX:
        raise DecodeError(what="derived copy", reason=f"more than {COPY_SIZE_BYTES_MAX} bytes")
    roots = _roots(certificates)
    papers = _papers(data)
    shown = _presented(papers[PRESENTATION], trust, epochs)
    statement = _statement(papers[STATEMENT])
    sealed = _data(shown, statement)
    return CopyReport(
        data=sealed,
        copy=_copy(data, papers, statement, trust, roots, epochs),
        printed=_printed(data, shown, statement),
    )


def _papers(data: bytes) -> dict[str, bytes]:
    """The attached files."""
    try:
        with pikepdf.open(io.BytesIO(data)) as document:
            found: dict[str, bytes] = {}
            for name in (STATEMENT, PRESENTATION, RELEASE_RECEIPT):
                if name not in document.attachments:
                    raise DecodeError(what="derived copy", reason=f"it has no attached {name}")
                found[name] = _bounded(document.attachments[name].obj, name)
            return found
    except (
        pikepdf.PdfError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise DecodeError(what="derived copy", reason=f"unreadable PDF: {error}"[:200]) from None


def _bounded(spec: Any, name: str) -> bytes:
    try:
        plain = decoded(spec.EF.F, ATTACHED_SIZE_BYTES_MAX)
    except MediaTooLarge:
        plain = None
    if plain is None:
        raise DecodeError(what=f"attached {name}", reason="too large, or packed in an unknown way")
    return plain


def _statement(data: bytes) -> CopyStatement:
    try:
        return decode_json(data, CopyStatement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(what=f"attached {STATEMENT}", reason=str(error)) from None


def _presented(data: bytes, trust: Trust, epochs: str | bytes | None) -> VerifiedPresentation | LedgerError:
    try:
        return presentations.verify_presentation(data, trust, epochs)
    except LedgerError as error:
        return error


def _data(shown: VerifiedPresentation | LedgerError, statement: CopyStatement) -> Finding:
    if isinstance(shown, LedgerError):
        return Finding(
            answer=Answer.NO,
            zh=f"数据未获证明：{shown.message('zh')}",
            en=f"the data is not proven: {shown.message('en')}",
            details={},
        )
    certificate = shown.certificate
    details: dict[str, Any] = {
        "certificate_id": certificate.certificate_id.hex(),
        "issuer": certificate.issuer.hex(),
        "fields": [part.name for part in shown.disclosure.fields],
        "height": shown.state.height,
        "valid_then": not shown.why_not_valid,
    }
    if certificate.certificate_id.hex() != statement.certificate_id:
        return Finding(
            answer=Answer.NO,
            zh="所附证明属于另一份证照",
            en="the attached proof is of another certificate",
            details=details,
        )
    original = {part.name: part.content_hash for part in shown.disclosure.attachments}
    if original.get(statement.attachment) != statement.original_hash:
        return Finding(
            answer=Answer.NO,
            zh="副本所述的原件不是签发方承诺的附件",
            en="the original that the copy names is not the attachment that the issuer committed to",
            details=details,
        )
    return Finding(
        answer=Answer.YES,
        zh=f"签发方 {certificate.issuer.hex()} 已在账本上对原件及所列字段作出承诺",
        en=f"the issuer {certificate.issuer.hex()} committed to the original and to these fields on the ledger",
        details=details,
    )


def _copy(
    data: bytes,
    papers: Mapping[str, bytes],
    statement: CopyStatement,
    trust: Trust,
    roots: Sequence[asn1_x509.Certificate],
    epochs: str | bytes | None,
) -> Finding:
    details: dict[str, Any] = {
        "release_id": statement.release_id,
        "released_by": statement.released_by,
        "released_by_name": statement.released_by_name,
        "grantee": statement.grantee,
        "grantee_name": statement.grantee_name,
        "made": statement.made,
    }
    try:
        _same_release(papers[RELEASE_RECEIPT], statement, trust, epochs)
        signer, known = _signature(data, roots)
    except LedgerError as error:
        return Finding(answer=Answer.NO, zh=error.message("zh"), en=error.message("en"), details=details)
    details["signed_by"] = signer
    if not known:
        return Finding(
            answer=Answer.UNKNOWN,
            zh=f"签名完整，但 {signer} 的证书不在所信任的证书之列",
            en=f"the signature is intact, but the certificate of {signer} is not among those that are trusted",
            details=details,
        )
    return Finding(
        answer=Answer.YES,
        zh=f"由 {statement.released_by_name} 为 {statement.grantee_name} 制作，此后未被改动（签名：{signer}）",
        en=f"made by {statement.released_by_name} for {statement.grantee_name}, unchanged since (signed: {signer})",
        details=details,
    )


def _same_release(receipt: bytes, statement: CopyStatement, trust: Trust, epochs: str | bytes | None) -> None:
    """The ledger's record of the release says what the statement says. Raises LedgerError."""
    state = verify_state(receipt, trust, epochs)
    if statement.chain_id != trust.chain_id.hex():
        raise VerificationFailed(reason="the copy is of another network than the one that is trusted")
    try:
        key = RELEASES.key(bytes.fromhex(statement.release_id))
    except ValueError:
        raise VerificationFailed(reason="the release id is not hex") from None
    if state.key != key or state.value is None:
        raise VerificationFailed(reason="the attached receipt is not of the release that the copy names")
    release = RELEASES.decode(state.value)
    said = (statement.released_by, statement.grantee, statement.purpose)
    if said != (release.released_by.hex(), release.grantee.hex(), release.purpose):
        raise VerificationFailed(
            reason="the release on the ledger is for somebody else, by somebody else or for another purpose"
        )
    if not any(
        one.certificate.hex() == statement.certificate_id and one.attachment == statement.attachment
        for one in release.outputs
    ):
        raise VerificationFailed(reason="the release on the ledger does not hand out this attachment")


def _signature(data: bytes, roots: Sequence[asn1_x509.Certificate]) -> tuple[str, bool]:
    """Who signed, and whether the certificate leads to one of those given. Raises VerificationFailed."""
    try:
        reader = PdfFileReader(io.BytesIO(data))
        signatures = reader.embedded_signatures
        if len(signatures) != 1:
            raise VerificationFailed(reason=f"the copy has {len(signatures)} signatures instead of one")
        context = ValidationContext(trust_roots=list(roots), allow_fetching=False)
        usage = KeyUsageConstraints(key_usage=set(), match_all_key_usages=False)
        status = validate_pdf_signature(signatures[0], context, key_usage_settings=usage)
    except VerificationFailed:
        raise
    except Exception as error:  # noqa: BLE001 - what a hostile PDF makes the library raise is not all of one kind
        raise VerificationFailed(reason=f"the copy's signature cannot be read: {error}"[:200]) from None
    if (
        not (status.intact and status.valid)
        or status.coverage is None
        or status.coverage.name != "ENTIRE_FILE"
    ):
        raise VerificationFailed(reason="the copy has been changed since it was signed")
    return str(status.signing_cert.subject.human_friendly), bool(status.trusted)


def _roots(certificates: Sequence[bytes]) -> list[asn1_x509.Certificate]:
    try:
        loaded = [one for pem in certificates for one in x509.load_pem_x509_certificates(pem)]
    except ValueError as error:
        raise DecodeError(what="trusted certificate", reason=str(error)) from None
    return [asn1_x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in loaded]


def _printed(data: bytes, shown: VerifiedPresentation | LedgerError, statement: CopyStatement) -> Finding:
    if isinstance(shown, LedgerError) or not shown.disclosure.fields:
        return Finding(
            answer=Answer.UNKNOWN,
            zh="没有可供核对的已证明字段",
            en="there is no proven field to compare with",
            details={},
        )
    # The line at the top names people and organisations too; it proves nothing of the certificate.
    text = _pattern(headline(statement)).sub(" ", _plain(_text(data)))
    if sum(map(_weight, (part.value for part in shown.disclosure.fields))) > VALUES_COMPARED_MAX:
        return Finding(
            answer=Answer.UNKNOWN,
            zh=f"已证明的值超过 {VALUES_COMPARED_MAX} 个，未逐一核对",
            en=f"more than {VALUES_COMPARED_MAX} values are proven; they were not compared one by one",
            details={},
        )
    printed = {part.name: _says(text, part.value) for part in shown.disclosure.fields}
    absent = [name for name, found in printed.items() if not found]
    details = {"printed": [name for name, found in printed.items() if found], "absent": absent}
    if absent:
        return Finding(
            answer=Answer.NO,
            zh=f"印刷文字中没有这些字段的证明值：{'、'.join(absent)}",
            en=f"the printed text does not say what is proven of: {', '.join(absent)}",
            details=details,
        )
    return Finding(
        answer=Answer.YES,
        zh="印刷文字与全部已证明字段一致",
        en="the printed text says what is proven of every field",
        details=details,
    )


def _text(data: bytes) -> str:
    """The text of the pages. Raises DecodeError."""
    try:
        document = pypdfium2.PdfDocument(data)
        parts: list[str] = []
        length = 0
        for index in range(min(len(document), PAGES_READ_MAX)):
            part = document[index].get_textpage().get_text_range()
            length += len(part)
            if length > TEXT_CHARS_MAX:
                raise DecodeError(
                    what="derived copy", reason=f"more than {TEXT_CHARS_MAX} characters of text"
                )
            parts.append(part)
        document.close()
    except pypdfium2.PdfiumError as error:
        raise DecodeError(what="derived copy", reason=f"its text cannot be read: {error}") from None
    return "\n".join(parts)


def _weight(value: Any) -> int:
    """How many values it is; a long text counts for several."""
    if isinstance(value, str | int):
        return 1 + len(str(value)) // VALUE_CHARS
    return sum(_weight(cell) for row in value for cell in row.values())


def _says(text: str, value: Any) -> bool:
    """Whether the value is printed, and not only as a part of a longer word or number; of rows every cell."""
    if isinstance(value, str | int):
        forms = [form for form in _forms(str(value)) if form.strip()]
        return not forms or any(_pattern(form).search(text) for form in forms)
    return all(_says(text, cell) for row in value for cell in row.values())


def _pattern(value: str) -> re.Pattern[str]:
    """The value, with spaces and line ends wherever setting it may have put them."""
    chars = [re.escape(char) for char in _plain(value) if not char.isspace()]
    return re.compile(r"(?<![0-9A-Za-z])" + r"\s*".join(chars) + r"(?![0-9A-Za-z])")


def _forms(value: str) -> tuple[str, ...]:
    """A value as it may be printed: a date also in Chinese."""
    found = _DATE.fullmatch(value)
    if found is None:
        return (value,)
    year, month, day = found.groups()
    return (
        value,
        f"{year}年{month}月{day}日",
        f"{year}年{int(month)}月{int(day)}日",
        f"{year}.{month}.{day}",
        f"{year}/{month}/{day}",
    )


def _plain(text: str) -> str:
    """Without the differences in width that characters may have."""
    return unicodedata.normalize("NFKC", text)
