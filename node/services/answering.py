"""The file of an answer: yes or no, about what and as of when, and nothing of the value.

Rule: the value is read, answered and forgotten here, in the node that performs the release; the file has no proof and
no salt of any field in it. A nonce that only the record's mark secret gives keeps the file's hash, which is on the
ledger, from telling yes from no; and both are files of one size, which is on the ledger too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from contracts.assets import asset_of
from contracts.question_records import Question
from contracts.records import Certificate, Output
from ledger import domains
from ledger.commitments import FieldValue
from ledger.crypto.suite import CryptoSuite
from ledger.errors import VerificationFailed
from node.services.rendering import (
    COPY_REFERENCE,
    COPY_REFERENCE_OF_ORIGINAL,
    MEDIA_TYPES,
    Rendering,
)
from watermark import Policy
from watermark.policy import TableSchema
from zhenglian.answers import answer
from zhenglian.api_questions import ANSWER_FORMAT
from zhenglian.catalogue import CertificateTypeSpec

NONCE_SIZE_BYTES: Final = 16
# `true` is one character less than `false`.
_YES_PADDING: Final = "--"
_NO_PADDING: Final = "-"


def render_answer(
    suite: CryptoSuite,
    chain_id: bytes,
    certificate: Certificate,
    spec: CertificateTypeSpec,
    output: Output,
    values: Mapping[str, FieldValue],
    *,
    as_of_ms: int,
    mark_secret: bytes,
) -> Rendering:
    """The unmarked file of an answer.

    Args:
        suite: the network's.
        chain_id: of the network.
        certificate: as the ledger has it.
        spec: the certificate's own version of its type.
        output: with a question.
        values: of the field that the question reads, if it reads one.
        as_of_ms: block time that the answer speaks of.
        mark_secret: the record's.

    Raises:
        VerificationFailed: the question is none of the type, or the value cannot be read.
    """
    question = _question(output)
    if as_of_ms == 0:
        raise VerificationFailed(reason="the ledger does not say of when the answer is")
    asset = asset_of(output)
    secret = suite.mac(mark_secret, domains.ANSWER_NONCE, f"{asset}:{as_of_ms}".encode())
    said = answer(spec, certificate, question, values, as_of_ms)
    document = {
        "format": ANSWER_FORMAT,
        "chain_id": chain_id.hex(),
        "certificate_id": certificate.certificate_id.hex(),
        "certificate_type": spec.code,
        "certificate_type_name": spec.name_zh,
        "question": question.name,
        "question_kind": question.kind.value,
        "parameter": question.parameter,
        "answer": said,
        "as_of": _instant(as_of_ms),
        "nonce": secret[:NONCE_SIZE_BYTES].hex(),
        "padding": _YES_PADDING if said else _NO_PADDING,
        COPY_REFERENCE: COPY_REFERENCE_OF_ORIGINAL,
    }
    return Rendering(
        data=json.dumps(document, ensure_ascii=False, indent=1).encode(),
        media_type=MEDIA_TYPES[output.format],
        policy=Policy(table=TableSchema(reference=COPY_REFERENCE)),
        asset=asset,
    )


def _question(output: Output) -> Question:
    if output.question is None:
        raise VerificationFailed(reason="the output asks no question")
    return output.question


def _instant(time_ms: int) -> str:
    """RFC 3339, milliseconds."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
