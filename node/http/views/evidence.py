"""The evidence of a trace, put together from the report and the ledger.

Rule: nothing in it is this node's word: the report hashes to what the ledger has, and each act has its receipt.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.records import Trace
from ledger.receipts import receipt_to_json
from node.services.ports import Services
from zhenglian import api
from zhenglian.evidence import FORMAT

_OF_TRACE: Final = ("requested", "approved", "concluded")
_OF_RELEASE: Final = ("requested", "prepared", "delivered")


async def evidence_of(record: Trace, report: bytes, services: Services) -> api.EvidenceView:
    """What the auditor who asked is given."""
    return api.EvidenceView(
        format=FORMAT,
        trace_id=record.trace_id.hex(),
        report=report.decode(),
        receipts=await _receipts(services, "traces", record.trace_id, _OF_TRACE),
        releases=[
            api.EvidenceRelease(
                release_id=release_id.hex(),
                receipts=await _receipts(services, "releases", release_id, _OF_RELEASE),
            )
            for release_id in record.releases
        ],
    )


async def _receipts(
    services: Services, contract: str, object_id: bytes, acts: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Receipts of what was done to a record, by the act; without those that were never done."""
    found: dict[str, dict[str, Any]] = {}
    for act in acts:
        events = await services.index.events(subject=object_id, kind_prefix=f"{contract}.{act}", limit=1)
        if events:
            receipt = receipt_to_json(services.chain.receipt(events[0].transaction_id))
            found[act] = msgspec.json.decode(receipt)
    return found
