"""Plans about other networks: whom this one trusts, and the proofs that move its trust on.

Rule: proofs come as files, from wherever; no plan ever asks the other network.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.region_calls import FOLLOW_CHANGES_MAX, RegionsFollow, RegionsReportFork
from contracts.region_records import SHOWN_PATH_HEADERS_MAX, FinalHeader
from contracts.regions import CHECK_COST_MAX, follow_cost
from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.epochs import trust_at
from ledger.errors import DecodeError, LimitExceeded
from ledger.receipts import StateReceipt, epochs_from_json, trust_from_json
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, EpochChange, Receipt, Trust
from zhenglian import exchange
from zhenglian.api import TransactionView
from zhenglian.api_regions import RegionView
from zhenglian.exchange import Core, Plan, Request, get
from zhenglian.plans import chain, transactions


def regions(core: Core) -> Plan[list[RegionView]]:
    """Every other network that operators have decided on."""
    return (yield from get(core, "/v1/regions", list[RegionView]))


def region(core: Core, chain_id: str) -> Plan[RegionView]:
    """One other network, as it is held here."""
    return (yield from get(core, f"/v1/regions/{chain_id}", RegionView))


def region_trust(core: Core, chain_id: str) -> Plan[str]:
    """The trust point that is held of another network, as the file that `zhenglian.verify` reads."""
    answer = yield from exchange.exchange(core, Request(method="GET", path=f"/v1/regions/{chain_id}/trust"))
    return chain.text(answer)


def present_trust(core: Core) -> Plan[Trust]:
    """This network's own trust point at its present epoch, for another network to vote on.

    Raises:
        ProofRejected: the node's epoch changes do not follow from its genesis.
    """
    trust = trust_from_json((yield from chain.trust(core)))
    changes = epochs_from_json((yield from chain.epochs(core)))
    if not changes:
        return trust
    return trust_at(load_suite(trust.suite), trust, changes, changes[-1].header.epoch + 1)


def follow_region(core: Core, changes: Sequence[EpochChange]) -> Plan[list[TransactionView]]:
    """Bring the ends of another network's epochs that are not known here yet, in as few transactions as they fit.

    Args:
        core: the client.
        changes: consecutive, of one network, from whomever: they are proven by what is held.

    Returns:
        The transactions; none where everything is known already.

    Raises:
        DecodeError: there are none, or of several networks.
        LimitExceeded: a change does not fit any transaction.
        Denied: a proof does not hold.
    """
    chain_ids = {change.header.chain_id for change in changes}
    if len(chain_ids) != 1:
        raise DecodeError(what="epoch changes", reason="changes of just one network are expected")
    chain_id = chain_ids.pop()
    held = yield from region(core, chain_id.hex())
    new = [change for change in changes if change.header.epoch >= held.epoch]
    done: list[TransactionView] = []
    for args in follow_calls(chain_id, new):
        view = yield from transactions.settled(core, args)
        done.append(view)
    return done


def follow_calls(chain_id: bytes, changes: Sequence[EpochChange]) -> list[RegionsFollow]:
    """The calls that bring these changes, each within what a transaction and its checks may be.

    Raises:
        LimitExceeded: one change alone is too large.
    """
    calls: list[RegionsFollow] = []
    for change in changes:
        alone = RegionsFollow(region=chain_id, changes=(change,))
        _require_fitting(alone)
        together = RegionsFollow(region=chain_id, changes=(*calls[-1].changes, change)) if calls else alone
        if calls and _fits(together):
            calls[-1] = together
        else:
            calls.append(alone)
    return calls


def _fits(args: RegionsFollow) -> bool:
    return (
        len(args.changes) <= FOLLOW_CHANGES_MAX
        and follow_cost(args) <= CHECK_COST_MAX
        and len(codec.encode(args)) <= CALL_ARGS_SIZE_BYTES_MAX
    )


def _require_fitting(args: RegionsFollow) -> None:
    path = max(len(change.path) for change in args.changes)
    size_bytes = len(codec.encode(args))
    for limit, maximum, actual in (
        ("SHOWN_PATH_HEADERS_MAX", SHOWN_PATH_HEADERS_MAX, path),
        ("CHECK_COST_MAX", CHECK_COST_MAX, follow_cost(args)),
        ("CALL_ARGS_SIZE_BYTES_MAX", CALL_ARGS_SIZE_BYTES_MAX, size_bytes),
    ):
        if actual > maximum:
            raise LimitExceeded(limit=limit, maximum=maximum, actual=actual)


def report_fork(
    core: Core, first: Receipt | StateReceipt, second: Receipt | StateReceipt
) -> Plan[TransactionView]:
    """Show two receipts of another network whose blocks exclude each other; it is no longer trusted then."""
    args = RegionsReportFork(
        region=first.header.chain_id, first=final_header(first), second=final_header(second)
    )
    return (yield from transactions.settled(core, args))


def final_header(receipt: Receipt | StateReceipt) -> FinalHeader:
    """The block of a receipt, with its finality."""
    return FinalHeader(header=receipt.header, path=receipt.path, certificate=receipt.certificate)
