"""Plans about counts (统计): open one for the period, put certificates in, let it be counted, read what is told.

Rule: whatever a count refuses is refused on the ledger; a plan only carries the calls there, in batches that fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.question_calls import CountsContribute, CountsFail, CountsOpen, CountsRequest
from contracts.question_records import CONTRIBUTIONS_PER_CALL_MAX, Contribution
from zhenglian.api import NodeStatus, TransactionView
from zhenglian.api_questions import CountView
from zhenglian.exchange import Core, Plan, get
from zhenglian.plans import chain, transactions
from zhenglian.plans.chain import pages
from zhenglian.progress import Progress, Report, silent


def open_count(core: Core, certificate_type: str, partition: str, *, node: str = "") -> Plan[str]:
    """Begin a count of the present period over a declared partition. Returns the count id (hex).

    Args:
        certificate_type, partition: as the type declares it.
        node: operator account (hex) of the node that is to count; the first that answers when empty.

    Raises:
        Denied: no such partition, or counted in this period already; on record.
    """
    if not node:
        status: NodeStatus = yield from chain.status(core)
        node = status.account
    args = CountsOpen(
        certificate_type=certificate_type, partition=partition, performed_by=bytes.fromhex(node)
    )
    return transactions.output((yield from transactions.settled(core, args))).hex()


def contribute(
    core: Core, count_id: str, contributions: Sequence[tuple[str, str]], *, report: Report = silent
) -> Plan[int]:
    """Put certificates into a count, each by a grant to be counted. Returns how many were put in.

    Args:
        count_id: hex.
        contributions: (certificate id, grant id), hex.
        report: told after every batch.

    Raises:
        Denied: one of a batch is refused, and with it the whole batch; batches before it stay in.
    """
    size = CONTRIBUTIONS_PER_CALL_MAX
    for start in range(0, len(contributions), size):
        batch = tuple(
            Contribution(certificate=bytes.fromhex(certificate), grant=bytes.fromhex(grant))
            for certificate, grant in contributions[start : start + size]
        )
        args = CountsContribute(count_id=bytes.fromhex(count_id), contributions=batch)
        yield from transactions.settled(core, args)
        report(Progress(stage="count", done=start + len(batch), total=len(contributions), subject=count_id))
    return len(contributions)


def request_count(core: Core, count_id: str) -> Plan[TransactionView]:
    """Let the named node count; nothing more comes in. Raises Denied (count_too_small, …)."""
    return (yield from transactions.settled(core, CountsRequest(count_id=bytes.fromhex(count_id))))


def cancel_count(core: Core, count_id: str, *, reason: str = "cancelled") -> Plan[TransactionView]:
    """Give a count up that is still collecting; its holders can be counted again, the uses are not given back."""
    return (
        yield from transactions.settled(core, CountsFail(count_id=bytes.fromhex(count_id), reason=reason))
    )


def count(core: Core, count_id: str) -> Plan[CountView]:
    """One count, and what it told."""
    return (yield from get(core, f"/v1/counts/{count_id}", CountView))


def counts(core: Core) -> Plan[list[CountView]]:
    """All counts, newest first."""
    return (yield from pages(core, "/v1/counts", list[CountView], session=False))
