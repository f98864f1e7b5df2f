"""Names of what a release hands out: equal for equal content, whoever gets it.

Rule: marks, their seeds and their commitments are bound to this name, so it follows from the output on the ledger alone.
"""

from __future__ import annotations

from contracts.records import Output


def asset_of(output: Output) -> str:
    """Name of the asset that an output is a copy of: equal for equal content, whoever gets it."""
    if output.question is not None:
        question = output.question
        return f"{output.format.value}:{question.certificate_type}.{question.name}:{question.parameter}"
    what = output.attachment or ",".join(sorted(output.fields))
    return f"{output.format.value}:{what}"
