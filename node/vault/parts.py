"""Which parts of a record an output of a release is made of.

Rule: one answer for whoever renders the output and for every holder that is asked to open it; nothing else is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.records import Output
from node.vault.keys import PartKind, PartName

MARK: Final = "mark"


def parts_of_output(output: Output) -> tuple[PartName, ...]:
    """The parts that the output needs, its record's mark secret last."""
    certificate = output.certificate
    read = (output.question.field,) if output.question is not None and output.question.field else ()
    fields = [
        PartName(certificate_id=certificate, kind=PartKind.FIELD, name=name) for name in output.fields + read
    ]
    attachments = (
        [PartName(certificate_id=certificate, kind=PartKind.ATTACHMENT, name=output.attachment)]
        if output.attachment
        else []
    )
    return (*fields, *attachments, PartName(certificate_id=certificate, kind=PartKind.MARK, name=MARK))


def parts_of_outputs(outputs: Iterable[Output]) -> tuple[PartName, ...]:
    """The parts that the outputs need together, each once."""
    return tuple(dict.fromkeys(part for output in outputs for part in parts_of_output(output)))
