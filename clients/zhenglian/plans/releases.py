"""Plans about releases (下链): request, wait, download, check against the ledger, acknowledge.

Rule: a release is bound to the node that performs it, and its id follows from the signed request, so it
is known before anything is sent. Whatever breaks on the way, going on with that id gives the same bytes
and costs no second use. A file is kept only when its hash is the one in the receipt of
`releases.prepare`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.calls import ReleasesAcknowledge, ReleasesPrepare, ReleasesRequest
from contracts.records import Output, PreparedFile, ReleaseState
from ledger import codec, domains
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, RELEASE_ID_SIZE_BYTES
from zhenglian import exchange
from zhenglian.api import WAIT_S_MAX, NodeStatus, ReleaseView, TransactionView
from zhenglian.errors import (
    ApiError,
    Mismatch,
    NodeUnknown,
    NotPrepared,
    NotReachable,
    ReleaseFailed,
    ReleaseInterrupted,
)
from zhenglian.exchange import Core, Keep, Pause, Plan, Request, decode, get
from zhenglian.plans import chain, proofs, transactions
from zhenglian.plans.chain import pages, query
from zhenglian.plans.transactions import Signed
from zhenglian.progress import Progress, Report, silent

PATIENCE_S: Final = 120
_POLL_S: Final = 0.4
# Answers of a node that is starting, stopping or full; a fault of its own (500) is not waited out.
_PASSING: Final = frozenset((429, 502, 503, 504))
_SUFFIXES: Final = {
    "application/json": "json",
    "text/csv": "csv",
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """A release in hand.

    Attributes:
        release: its state after the last step.
        files: where the files are, in the order of the outputs.
        receipt: proof that the ledger recorded these files before they left, as a file.
        acknowledged: the acknowledgement, or None when it was not asked for or had been given before.
    """

    release: ReleaseView
    files: tuple[Path, ...]
    receipt: str
    acknowledged: TransactionView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A signed request for a release, the id that it will have, and the one node that can perform it."""

    signed: Signed
    release_id: str
    base: str


def request_release(
    core: Core, grant_id: str, outputs: Sequence[Output], *, node: str = "", report: Report = silent
) -> Plan[ReleaseView]:
    """Ask for data under a grant, and wait up to a minute until it is prepared.

    Args:
        grant_id: hex.
        outputs: one for each file wanted.
        node: operator account (hex) of the node that is to do it; the first that answers when empty.
        report: told of each step; the first carries the release id, before anything is sent.

    Raises:
        Denied: the contract refused; on record.
        ReleaseInterrupted: the node went away; go on with `retrieve_again` and the same id.
    """
    asked = yield from _ask(core, grant_id, outputs, node)
    report(Progress(stage="request", done=0, total=1, subject=asked.release_id))
    return (yield from _send(core, asked))


def release(core: Core, release_id: str) -> Plan[ReleaseView]:
    """One release, for its parties, operators and auditors."""
    return (yield from get(core, f"/v1/releases/{release_id}", ReleaseView, session=True))


def releases(core: Core, *, grant: str = "") -> Plan[list[ReleaseView]]:
    """The caller's releases, all or of one grant."""
    return (
        yield from pages(core, "/v1/releases", list[ReleaseView], session=True, query_text=query(grant=grant))
    )


def download(
    core: Core, release_id: str, to_dir: Path, *, patience_s: int = PATIENCE_S, report: Report = silent
) -> Plan[Retrieved]:
    """Wait until a release is prepared, fetch its files and check them against the ledger.

    Nothing is acknowledged yet.

    Args:
        release_id: hex.
        to_dir: folder for `<release id>-<n>.<suffix>`; made when missing.
        patience_s: for how long a node that is away, or a file that is not ready, is waited for, in seconds.
        report: told of each step.

    Raises:
        ReleaseFailed: it failed; the use was returned.
        NotPrepared, ReleaseInterrupted: not within `patience_s`; the same call can be made again.
        Mismatch: a file is not the one that the ledger recorded; it was not kept.
    """
    deadline_ms = core.clock_ms() + patience_s * 1000
    view = yield from _patiently(
        core, release_id, deadline_ms, lambda: _until_prepared(core, release_id, deadline_ms)
    )
    proof, recorded = yield from _patiently(core, release_id, deadline_ms, lambda: _recorded(core, view))
    base = yield from _patiently(core, release_id, deadline_ms, lambda: node_base(core, view.released_by))
    paths: list[Path] = []
    for number, file in enumerate(recorded):
        report(Progress(stage="download", done=number, total=len(recorded), subject=release_id))
        path = to_dir / f"{release_id}-{number}.{_SUFFIXES.get(file.media_type, 'bin')}"
        fetch = _fetcher(core, release_id, number, file, base, path)
        yield from _patiently(core, release_id, deadline_ms, fetch)
        paths.append(path)
    report(Progress(stage="download", done=len(recorded), total=len(recorded), subject=release_id))
    return Retrieved(release=view, files=tuple(paths), receipt=proof, acknowledged=None)


def acknowledge(core: Core, view: ReleaseView) -> Plan[TransactionView | None]:
    """State on the ledger that the files have come; None when that was stated before."""
    if view.state == ReleaseState.DELIVERED:
        return None
    args = ReleasesAcknowledge(
        release_id=bytes.fromhex(view.release_id),
        file_hashes=tuple(bytes.fromhex(file.file_hash) for file in view.files),
    )
    return (yield from transactions.settled(core, args))


def retrieve(
    core: Core,
    grant_id: str,
    outputs: Sequence[Output],
    to_dir: Path,
    *,
    node: str = "",
    patience_s: int = PATIENCE_S,
    report: Report = silent,
) -> Plan[Retrieved]:
    """Request, wait, download, check, acknowledge: data in one call.

    Arguments and errors are those of `request_release` and `download`. A node that goes away is waited for.
    """
    asked = yield from _ask(core, grant_id, outputs, node)
    report(Progress(stage="request", done=0, total=1, subject=asked.release_id))
    deadline_ms = core.clock_ms() + patience_s * 1000
    yield from _patiently(core, asked.release_id, deadline_ms, lambda: _send(core, asked))
    report(Progress(stage="request", done=1, total=1, subject=asked.release_id))
    return (yield from retrieve_again(core, asked.release_id, to_dir, patience_s=patience_s, report=report))


def retrieve_again(
    core: Core, release_id: str, to_dir: Path, *, patience_s: int = PATIENCE_S, report: Report = silent
) -> Plan[Retrieved]:
    """Go on with a release requested before: `download`, then acknowledge. The same bytes, no second use."""
    got = yield from download(core, release_id, to_dir, patience_s=patience_s, report=report)
    report(Progress(stage="acknowledge", done=0, total=1, subject=release_id))
    acknowledged = yield from acknowledge(core, got.release)
    final = yield from release(core, release_id)
    report(Progress(stage="acknowledge", done=1, total=1, subject=release_id))
    return Retrieved(release=final, files=got.files, receipt=got.receipt, acknowledged=acknowledged)


def node_base(core: Core, operator: str) -> Plan[str]:
    """The URL, among the client's, of an operator's node.

    Raises:
        NodeUnknown: none of them is that operator's.
        NotReachable: one that may be is away.
    """
    reason = ""
    for base in core.bases:
        if base not in core.operators:
            try:
                core.operators[base] = (yield from chain.status(core, base=base)).account
            except NotReachable as error:
                reason = str(error.fields["reason"])
        if core.operators.get(base) == operator:
            return base
    nodes = ", ".join(core.bases)
    if reason:
        raise NotReachable(nodes=nodes, reason=reason)
    raise NodeUnknown(operator=operator, nodes=nodes)


def any_node(core: Core) -> Plan[tuple[str, str]]:
    """(URL, operator account) of the first node that answers."""
    answer = yield from exchange.exchange(core, Request(method="GET", path="/v1/status"))
    operator = decode(answer, NodeStatus).account
    core.operators[answer.base] = operator
    return answer.base, operator


def _ask(core: Core, grant_id: str, outputs: Sequence[Output], node: str) -> Plan[_Asked]:
    if node:
        base, operator = (yield from node_base(core, node)), node
    else:
        base, operator = yield from any_node(core)
    args = ReleasesRequest(
        grant_id=bytes.fromhex(grant_id), outputs=tuple(outputs), released_by=bytes.fromhex(operator)
    )
    signed = yield from transactions.sign(core, args)
    suite = yield from exchange.suite(core)
    release_id = suite.hash(domains.RELEASE_ID, signed.transaction_id)[:RELEASE_ID_SIZE_BYTES].hex()
    return _Asked(signed=signed, release_id=release_id, base=base)


def signed_request(
    core: Core, grant_id: str, outputs: Sequence[Output], *, node: str = ""
) -> Plan[tuple[Signed, str]]:
    """A signed request for a release, not sent yet, and the URL of the one node that can perform it."""
    asked = yield from _ask(core, grant_id, outputs, node)
    return asked.signed, asked.base


def _send(core: Core, asked: _Asked) -> Plan[ReleaseView]:
    request = Request(
        method="POST",
        path="/v1/releases",
        body=asked.signed.body(),
        headers=(("idempotency-key", core.random_bytes(16).hex()),),
        session=True,
        base=asked.base,
        wait_s=WAIT_S_MAX,
    )
    try:
        return decode((yield from exchange.exchange(core, request)), ReleaseView)
    except NotReachable as error:
        raise ReleaseInterrupted(release_id=asked.release_id, reason=error.message()) from None
    except ApiError as error:
        yield from transactions.raise_denial(core, asked.signed)
        raise error from None


def _until_prepared(core: Core, release_id: str, deadline_ms: int) -> Plan[ReleaseView]:
    while True:
        view = yield from release(core, release_id)
        if view.state == ReleaseState.FAILED:
            raise ReleaseFailed(release_id=release_id, reason=view.failure)
        if view.state != ReleaseState.REQUESTED and view.prepare_transaction is not None:
            return view
        if core.clock_ms() >= deadline_ms:
            raise NotPrepared(release_id=release_id)
        yield Pause(seconds=_POLL_S)


def _recorded(core: Core, view: ReleaseView) -> Plan[tuple[str, tuple[PreparedFile, ...]]]:
    """What the ledger itself says was prepared: the receipt of `releases.prepare`, checked."""
    document = yield from chain.receipt(core, view.prepare_transaction or "")
    verified = yield from proofs.check_receipt(core, document)
    call = verified.receipt.transaction.body.call
    if (call.contract, call.method) != ("releases", "prepare"):
        raise Mismatch(what="receipt", expected="releases.prepare", actual=f"{call.contract}.{call.method}")
    args = codec.decode(call.args, ReleasesPrepare, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
    if args.release_id.hex() != view.release_id:
        raise Mismatch(what="release id", expected=view.release_id, actual=args.release_id.hex())
    return document, args.files


def _fetcher(
    core: Core, release_id: str, number: int, file: PreparedFile, base: str, path: Path
) -> Callable[[], Plan[None]]:
    def fetch() -> Plan[None]:
        request = Request(
            method="GET",
            path=f"/v1/releases/{release_id}/files/{number}",
            headers=(("accept", "*/*"),),
            session=True,
            base=base,
        )
        answer = yield from exchange.exchange(core, request)
        suite = yield from exchange.suite(core)
        actual = suite.digest(answer.body)
        if actual != file.file_hash:
            raise Mismatch(what="file hash", expected=file.file_hash.hex(), actual=actual.hex())
        yield Keep(path=path, data=answer.body)

    return fetch


def _patiently(
    core: Core, release_id: str, deadline_ms: int, step: Callable[[], Plan[exchange.T]]
) -> Plan[exchange.T]:
    """Carry out a step that may be repeated, waiting for a node that is away."""
    while True:
        try:
            return (yield from step())
        except (NotReachable, ReleaseInterrupted) as error:
            reason = str(error.fields.get("reason", ""))
            if core.clock_ms() >= deadline_ms:
                raise ReleaseInterrupted(release_id=release_id, reason=reason) from None
        except ApiError as error:
            if error.status not in _PASSING:
                raise
            if core.clock_ms() >= deadline_ms:
                raise ReleaseInterrupted(release_id=release_id, reason=error.message()) from None
        yield Pause(seconds=1.0)
