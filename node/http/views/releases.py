"""Views of releases and traces.

Rule: a file of a release is shown with the hash that is final on the ledger, never with one computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from contracts.records import Release, Trace
from ledger.decoders import decode_json
from ledger.receipts import receipt_to_json
from node.http.views import grants
from node.http.views.common import Names, hex_or_none, instant, instant_or_none
from node.services.ports import MatchFacts, ReleaseTransactions, Services, TraceReport
from zhenglian import api

UNNAMED_SHOWN_MAX: Final = 100


def release(
    record: Release,
    transactions: ReleaseTransactions,
    names: Names,
    marks: Sequence[api.MarksView | None] = (),
) -> api.ReleaseView:
    """A release, and where its files are; with what was done to each, where that is known."""
    url = f"/v1/releases/{record.release_id.hex()}"
    return api.ReleaseView(
        release_id=record.release_id.hex(),
        grant_id=record.grant_id.hex(),
        pii_principal_id=record.pii_principal_id.hex(),
        grantee=record.grantee.hex(),
        grantee_name=names.account(record.grantee),
        officer=record.officer.hex(),
        officer_label=names.key(record.grantee, record.officer),
        released_by=record.released_by.hex(),
        released_by_name=names.account(record.released_by),
        purpose=record.purpose,
        outputs=[
            api.OutputView(
                certificate=output.certificate.hex(),
                format=output.format.value,
                fields=list(output.fields),
                attachment=output.attachment,
                question=None if output.question is None else grants.question(output.question),
            )
            for output in record.outputs
        ],
        state=record.state.value,
        requested=instant(record.requested_ms),
        deadline=instant(record.deadline_ms),
        prepared=instant_or_none(record.prepared_ms),
        delivered=instant_or_none(record.delivered_ms),
        failure=record.failure,
        files=[
            api.FileView(
                media_type=file.media_type,
                size_bytes=file.size_bytes,
                file_hash=file.file_hash.hex(),
                mark_commitment=file.mark_commitment.hex(),
                url=f"{url}/files/{number}",
                marks=marks[number] if marks else None,
            )
            for number, file in enumerate(record.files)
        ],
        request_transaction=transactions.request.hex(),
        prepare_transaction=hex_or_none(transactions.prepare or b""),
        status_url=url,
    )


async def trace(record: Trace, report: TraceReport, services: Services, names: Names) -> api.TraceView:
    """A trace with what was found."""
    matches = [
        found for facts in report.matches if (found := await match(facts, services, names)) is not None
    ]
    return api.TraceView(
        trace_id=record.trace_id.hex(),
        file_hash=record.file_hash.hex(),
        auditor=record.auditor.hex(),
        officer=record.officer.hex(),
        performed_by=record.performed_by.hex(),
        reason=record.reason,
        certificates=[certificate.hex() for certificate in record.certificates],
        verdict=record.verdict.value,
        progress=report.progress,
        matches=matches,
        candidates=report.candidates,
        phantom_best_log10_np=report.phantom_best_log10_np,
        notes=list(report.notes),
        unnamed=[
            source(had, names)
            for release_id in report.unnamed[:UNNAMED_SHOWN_MAX]
            if (had := services.chain.records.release(release_id)) is not None
        ],
        unnamed_total=len(report.unnamed),
        requested=instant(record.requested_ms),
        approved_by=hex_or_none(record.approved_by),
        approver=hex_or_none(record.approver),
        approved=instant_or_none(record.approved_ms),
        concluded=instant_or_none(record.concluded_ms),
        status_url=f"/v1/traces/{record.trace_id.hex()}",
    )


def source(record: Release, names: Names) -> api.TraceSource:
    """A release whose copy a leak without marks may be."""
    return api.TraceSource(
        release_id=record.release_id.hex(),
        grantee=record.grantee.hex(),
        grantee_name=names.account(record.grantee),
        officer=record.officer.hex(),
        officer_label=names.key(record.grantee, record.officer),
        released_by=record.released_by.hex(),
        purpose=record.purpose,
        prepared=instant(record.prepared_ms),
    )


async def match(facts: MatchFacts, services: Services, names: Names) -> api.TraceMatch | None:
    """A release that the leak points to, with the receipt of the request that its officer signed."""
    record = services.chain.records.release(facts.release_id)
    if record is None:
        return None
    transactions = await services.releases.transactions_of(facts.release_id)
    receipt = receipt_to_json(services.chain.receipt(transactions.request))
    return api.TraceMatch(
        release_id=facts.release_id.hex(),
        certificate=facts.certificate.hex(),
        output=facts.output,
        log10_np=facts.log10_np,
        channels=list(facts.channels),
        release=release(record, transactions, names),
        receipt=decode_json(receipt, dict[str, Any]),
    )
