"""What is noted of a record when this node seals it or hands it out, so that a leak of it can be found (`leak_index.py`).

Rule: noting never fails what it accompanies; what could not be noted is logged and found by other ways.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from contracts.records import Certificate, Output, OutputFormat
from ledger.commitments import FieldValue, decode_value
from ledger.errors import Unavailable
from node.services.leak_index import LeakIndex
from node.services.rendering import COPY_REFERENCE_OF_ORIGINAL, Rendering
from node.vault.records import Unlocked
from zhenglian.catalogue import CertificateTypeSpec

_JSON: Final = "application/json"
_CSV: Final = "text/csv"
log = structlog.get_logger()


class LeakNotes:
    """Notes into the index of this node."""

    def __init__(self, leaks: LeakIndex, clock_ms: Callable[[], int]) -> None:
        self._leaks = leaks
        self._clock_ms = clock_ms

    async def sealed(
        self,
        certificate: bytes,
        root: bytes,
        spec: CertificateTypeSpec,
        fields: Mapping[str, FieldValue],
        attachments: Iterable[bytes],
    ) -> None:
        """A record was sealed here; it may never be issued."""
        number = _text(fields.get(spec.certificate_number_field))
        await self._note(certificate, root, number=number, originals=tuple(attachments))

    async def made(
        self,
        certificate: Certificate,
        spec: CertificateTypeSpec,
        output: Output,
        unlocked: Unlocked,
        rendering: Rendering,
        handed_out: bytes,
    ) -> None:
        """A file of a release was made here, perhaps from a record that another node sealed."""
        number = ""
        if spec.certificate_number_field in output.fields:
            plain = await unlocked.field(certificate.certificate_id, spec.certificate_number_field)
            number = _text(decode_value(plain.value))
        await self._note(
            certificate.certificate_id,
            certificate.commitment_root,
            number=number,
            originals=(rendering.data,) if output.attachment else (),
            references=() if output.format is OutputFormat.ORIGINAL else references_of(rendering, handed_out),
        )

    async def _note(
        self,
        certificate: bytes,
        root: bytes,
        *,
        number: str,
        originals: tuple[bytes, ...] = (),
        references: tuple[str, ...] = (),
    ) -> None:
        try:
            await self._leaks.note(
                certificate,
                root,
                now_ms=self._clock_ms(),
                number=number,
                originals=originals,
                references=references,
            )
        except Unavailable as error:
            log.warning(
                "a record is not noted for finding leaks", certificate=certificate.hex(), reason=str(error)
            )


def references_of(rendering: Rendering, handed_out: bytes) -> tuple[str, ...]:
    """The opaque references in a file that this node made, which differ by copy."""
    column = rendering.policy.table.reference
    if column is None:
        return ()
    if rendering.media_type == _JSON:
        found = [json.loads(handed_out).get(column)]
    elif rendering.media_type == _CSV:
        found = [row.get(column) for row in csv.DictReader(io.StringIO(handed_out.decode()))]
    else:
        return ()
    return tuple(
        one for one in dict.fromkeys(found) if isinstance(one, str) and one != COPY_REFERENCE_OF_ORIGINAL
    )


def _text(value: FieldValue | None) -> str:
    return str(value) if isinstance(value, str | int) else ""
