"""A small honest ledger behind the API's routes, for tests of the SDK: real signatures, blocks, certificates, receipts.

It has no contracts and no peers: whatever is signed by the one key it knows is final in a block of its own, except
what a test tells it to refuse, to lose or to answer late.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.calls import CALLS, Args, ReleasesAcknowledge, ReleasesPrepare, ReleasesRequest, TracesRequest
from contracts.records import KeyRole, PreparedFile
from ledger import codec, domains
from ledger.hashing import (
    block_digest,
    genesis_header,
    results_root,
    transaction_id,
    transactions_root,
    validators_hash,
    verify_transaction_signature,
)
from ledger.receipts import build_receipt, epochs_to_json, receipt_to_json, trust_to_json
from ledger.types import Block, FinalizedBlock, Header, Result, Transaction, TransactionBody
from tests.suites import scheme_under_test
from tests.unit.ledger_world import NETWORK, SUITE, World, fixed
from zhenglian import KeyFile, api
from zhenglian.deposits import commitment_of

NOW = datetime(2026, 9, 21, tzinfo=UTC)
OPERATOR = fixed("operator", size=16)
KEY = KeyFile.generate(SUITE, account=fixed("account", size=16), role=KeyRole.OFFICER, label="0042")
NODE_KEY = KeyFile.generate(SUITE, account=OPERATOR, role=KeyRole.NODE, label="node")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Ledger:
    """What happened so far, and what is to go wrong next.

    Attributes:
        refuse: result code for the next calls of a method, by "contract.method".
        lose_answer: how many answers to a route (method and path prefix) are cut off after the work was done.
        answer: status and headers given instead of an answer, once each, by route.
        seen: how often each route was asked.
    """

    world: World = field(default_factory=World)
    receipts: dict[str, str] = field(default_factory=dict)
    proofs: dict[str, str] = field(default_factory=dict)
    views: dict[str, api.TransactionView] = field(default_factory=dict)
    accepted: list[tuple[str, bytes]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    lose_answer: Counter[str] = field(default_factory=Counter)
    answer: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    pending_looks: int = 0
    false_root: bool = False
    candidates: list[tuple[str, str]] = field(default_factory=list)
    verdict: str = "none"
    challenges: set[str] = field(default_factory=set)
    heads: list[Header] = field(default_factory=list)
    streams_cut_after: int = 2

    def __post_init__(self) -> None:
        self.head = genesis_header(SUITE, self.world.genesis, bytes(32))

    def commit(self, transaction: Transaction) -> api.TransactionView:
        """Make the transaction final in a block of its own; the same again gives what it gave."""
        name = transaction_id(SUITE, transaction.body).hex()
        if name in self.views:
            return self.views[name]
        call = transaction.body.call
        method = f"{call.contract}.{call.method}"
        self.accepted.append((method, codec.encode(transaction)))
        code = self.refuse.get(method, "ok")
        args = codec.decode(call.args, CALLS[call.contract, call.method], size_bytes_max=60_000)
        output = self._carry_out(args, bytes.fromhex(name)) if code == "ok" else b""
        result = Result(
            transaction_id=bytes.fromhex(name), code=code, fields=(("cap", "fields"),), output=output
        )
        header = self._block(transaction, result)
        time = datetime.fromtimestamp(header.time_ms / 1000, UTC)
        self.views[name] = api.TransactionView(
            transaction_id=name,
            status="finalized",
            height=header.height,
            time=time,
            result=api.ResultView(
                code=code,
                message_zh="超出上限" if code != "ok" else "成功",
                message_en="over the cap" if code != "ok" else "done",
                fields={"cap": "fields"} if code != "ok" else {},
                output=output.hex(),
                events=[],
            ),
        )
        return self.views[name]

    def _block(self, transaction: Transaction, result: Result) -> Header:
        validators = validators_hash(SUITE, self.world.validators)
        header = Header(
            version=1,
            chain_id=self.world.chain,
            epoch=1,
            view=self.head.view + 1,
            height=self.head.height + 1,
            parent=block_digest(SUITE, self.head),
            time_ms=self.head.time_ms + 1000,
            proposer=self.world.validators.validators[0].account,
            transactions_root=transactions_root(SUITE, (transaction,)),
            results_root=results_root(SUITE, (result,)),
            state_root=bytes(32),
            validators_hash=validators,
            next_validators_hash=validators,
        )
        block = Block(header=header, transactions=(transaction,))
        final = FinalizedBlock(block=block, path=(), certificate=self.world.certify(header))
        receipt = build_receipt(SUITE, NETWORK, final, (result,), 0)
        self.receipts[result.transaction_id.hex()] = receipt_to_json(receipt)
        self.head = header
        self.heads.append(header)
        return header

    def _carry_out(self, args: Args, name: bytes) -> bytes:
        if isinstance(args, ReleasesRequest):
            release_id = SUITE.hash(domains.RELEASE_ID, name)[:8]
            self._prepare(release_id, args, name)
            return codec.encode(release_id)
        if isinstance(args, ReleasesAcknowledge):
            self.releases[args.release_id.hex()]["state"] = "delivered"
            return b""
        return codec.encode(name[:16])

    def _prepare(self, release_id: bytes, args: ReleasesRequest, name: bytes) -> None:
        data = f"rows of {release_id.hex()}".encode()
        self.files[release_id.hex()] = data
        file = PreparedFile(
            media_type="text/csv",
            size_bytes=len(data),
            file_hash=SUITE.digest(data),
            mark_commitment=fixed("mark"),
        )
        self.releases[release_id.hex()] = {
            "request": name.hex(),
            "state": "prepared",
            "file": file,
            "args": args,
        }

    def node_transaction(self, args: Args) -> Transaction:
        """Something that the node itself signs."""
        from contracts.calls import call
        from ledger.hashing import sign_transaction

        body = TransactionBody(
            chain_id=self.world.chain,
            account=OPERATOR,
            key_id=bytes.fromhex(NODE_KEY.key_id),
            nonce=fixed("node", len(self.accepted), size=16),
            valid_until_ms=self.head.time_ms + 60_000,
            call=call(args),
        )
        return sign_transaction(SUITE, NODE_KEY.signer(), body)

    def release_view(self, release_id: str) -> api.ReleaseView:
        """The release as the API shows it; prepares it on the ledger when first asked."""
        found = self.releases[release_id]
        if "prepare" not in found:
            prepare = ReleasesPrepare(release_id=bytes.fromhex(release_id), files=(found["file"],))
            found["prepare"] = self.commit(self.node_transaction(prepare)).transaction_id
        file: PreparedFile = found["file"]
        args: ReleasesRequest = found["args"]
        return api.ReleaseView(
            release_id=release_id,
            grant_id=args.grant_id.hex(),
            pii_principal_id=fixed("person", size=16).hex(),
            grantee=KEY.account,
            grantee_name="银行",
            officer=KEY.key_id,
            officer_label="0042",
            released_by=OPERATOR.hex(),
            released_by_name="运营方",
            purpose="loan",
            outputs=[],
            state=found["state"],
            requested=NOW,
            deadline=NOW,
            prepared=NOW,
            delivered=None,
            failure="",
            files=[
                api.FileView(
                    media_type=file.media_type,
                    size_bytes=file.size_bytes,
                    file_hash=file.file_hash.hex(),
                    mark_commitment=file.mark_commitment.hex(),
                    url=f"/v1/releases/{release_id}/files/0",
                )
            ],
            request_transaction=found["request"],
            prepare_transaction=found["prepare"],
            status_url=f"/v1/releases/{release_id}",
        )


class Routes:
    """The API's routes over a `Ledger`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def application(self) -> web.Application:
        """The application, with the faults that a test asked for in front of it."""
        app = web.Application(middlewares=[self.faults], client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.get("/v1/status", self.status),
                web.get("/v1/network", self.network),
                web.get("/v1/trust", self.trust),
                web.get("/v1/epochs", self.epochs),
                web.post("/v1/sessions/challenges", self.challenge),
                web.post("/v1/sessions", self.log_in),
                web.delete("/v1/sessions", self.log_out),
                web.get("/v1/organizations", self.organizations),
                web.post("/v1/transactions", self.submit),
                web.get("/v1/transactions/{id}", self.transaction),
                web.get("/v1/transactions/{id}/receipt", self.receipt),
                web.get("/v1/certificates/{id}/proof", self.proof),
                web.get("/v1/grants/{id}/proof", self.proof),
                web.get("/v1/releases/{id}/proof", self.proof),
                web.get("/v1/state/{key}", self.proof),
                web.post("/v1/deposits/drafts", self.deposit),
                web.post("/v1/releases", self.request_release),
                web.get("/v1/releases/{id}", self.release),
                web.get("/v1/releases/{id}/files/{n}", self.file),
                web.post("/v1/traces/candidates", self.find_trace),
                web.get("/v1/traces/looks", self.trace_looks),
                web.post("/v1/traces", self.trace),
                web.get("/v1/traces/{id}", self.trace_view),
                web.get("/v1/blocks/stream", self.stream),
            ]
        )
        return app

    @web.middleware
    async def faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count, then answer, lose or refuse as the test wants."""
        route = f"{request.method} {request.path}"
        self.ledger.seen[route] += 1
        planned = self.ledger.answer.get(route)
        if planned:
            status, headers = planned.pop(0)
            return problem(status, "busy", headers)
        response = await handler(request)
        if self.ledger.lose_answer[route] > 0:
            self.ledger.lose_answer[route] -= 1
            assert request.transport is not None
            request.transport.abort()
        return response

    async def status(self, _: web.Request) -> web.Response:
        head = self.ledger.head
        return reply(
            api.NodeStatus(
                network=NETWORK,
                chain_id=self.ledger.world.chain.hex(),
                account=OPERATOR.hex(),
                name="运营方",
                release="0",
                height=head.height,
                block_time=NOW,
                head=block_digest(SUITE, head).hex(),
                view=head.view,
                leader="运营方",
                validators=4,
                quorum=3,
                peers=[],
                pending_transactions=0,
                syncing=False,
                voting=True,
                started=NOW,
                clock=NOW,
            )
        )

    async def network(self, _: web.Request) -> web.Response:
        chain = self.ledger.world.chain.hex()
        return reply(
            api.NetworkView(network=NETWORK, suite=SUITE.name, chain_id=chain, epoch=1, validators=[])
        )

    async def epochs(self, _: web.Request) -> web.Response:
        return web.Response(text=epochs_to_json(()), content_type="application/json")

    async def trust(self, _: web.Request) -> web.Response:
        return web.Response(text=trust_to_json(self.ledger.world.trust), content_type="application/json")

    async def challenge(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=api.ChallengeRequest)
        made = (
            self.ledger.world.chain.hex()
            + asked.account
            + asked.key_id
            + fixed("challenge", len(self.ledger.challenges)).hex()
        )
        self.ledger.challenges.add(made)
        return reply(api.Challenge(challenge=made, expires=datetime.now(UTC) + timedelta(minutes=1)), 201)

    async def log_in(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=api.SessionRequest)
        signed = SUITE.verify(
            scheme_under_test(),
            bytes.fromhex(KEY.public_key),
            domains.SESSION,
            bytes.fromhex(asked.challenge),
            bytes.fromhex(asked.signature),
        )
        if not signed or asked.challenge not in self.ledger.challenges or asked.key_id != KEY.key_id:
            return problem(401, "signature_invalid")
        token = fixed("token", len(self.ledger.challenges)).hex()
        self.ledger.tokens.add(token)
        expires = datetime.now(UTC) + timedelta(minutes=10)
        session = api.Session(
            token=token, expires=expires, account=KEY.account, kind="enterprise", role="officer"
        )
        return reply(session, 201)

    async def log_out(self, request: web.Request) -> web.Response:
        self.ledger.tokens.discard(_token(request))
        return web.Response(status=204)

    async def organizations(self, request: web.Request) -> web.Response:
        start = int(request.query.get("cursor", "0"))
        one = api.AccountView(
            account=fixed("org", start, size=16).hex(),
            kind="department",
            status="active",
            name=f"部门 {start}",
            credit_code="",
            issues=[],
            created=NOW,
            keys=[],
        )
        headers = {"Link": f'</v1/organizations?cursor={start + 1}>; rel="next"'} if start < 2 else {}
        return reply([one], headers=headers)

    async def submit(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=api.TransactionRequest)
        return self._committed(asked.transaction)

    def _committed(self, text: str) -> web.Response:
        transaction = decoded(text)
        if transaction is None:
            return problem(401, "signature_invalid")
        view = self.ledger.commit(transaction)
        if self.ledger.pending_looks > 0:
            return reply(
                msgspec.structs.replace(view, status="pending", height=None, time=None, result=None), 202
            )
        return reply(view)

    async def transaction(self, request: web.Request) -> web.Response:
        view = self.ledger.views.get(request.match_info["id"])
        if view is None:
            return problem(404, "not_found")
        self.ledger.pending_looks -= 1
        if self.ledger.pending_looks > 0:
            return reply(msgspec.structs.replace(view, status="pending", height=None, time=None, result=None))
        # Who asks without a session is told how it stands, and nothing else.
        return reply(
            view if _token(request) in self.ledger.tokens else msgspec.structs.replace(view, result=None)
        )

    async def receipt(self, request: web.Request) -> web.Response:
        if _token(request) not in self.ledger.tokens:
            return problem(404, "not_found")
        return web.Response(
            text=self.ledger.receipts[request.match_info["id"]], content_type="application/json"
        )

    async def proof(self, request: web.Request) -> web.Response:
        if _token(request) not in self.ledger.tokens:
            return problem(401, "session_needed")
        text = self.ledger.proofs.get(request.path_qs)
        if text is None:
            return problem(410, "height_not_provable")
        return web.Response(text=text, content_type="application/json")

    async def deposit(self, request: web.Request) -> web.Response:
        if _token(request) not in self.ledger.tokens:
            return problem(401, "session_needed")
        asked = msgspec.json.decode(await request.read(), type=api.DepositRequest)
        root = fixed("other") if self.ledger.false_root else commitment_of(SUITE, asked)
        return reply(
            api.DepositDraft(
                certificate_id=asked.certificate_id,
                certificate_type=asked.certificate_type,
                type_version=1,
                commitment_root=root.hex(),
                payload_hash=fixed("payload").hex(),
                fields=list(asked.fields),
                attachments=[upload.name for upload in asked.attachments],
                replicas=4,
                expires=NOW,
            ),
            201,
        )

    async def request_release(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=api.TransactionRequest)
        assert request.headers["Idempotency-Key"]
        transaction = decoded(asked.transaction)
        if _token(request) not in self.ledger.tokens or transaction is None:
            return problem(401, "session_needed")
        view = self.ledger.commit(transaction)
        assert view.result is not None
        if view.result.code != "ok":
            return problem(403, view.result.code)
        release_id = SUITE.hash(domains.RELEASE_ID, bytes.fromhex(view.transaction_id))[:8].hex()
        return reply(self.ledger.release_view(release_id))

    async def release(self, request: web.Request) -> web.Response:
        if _token(request) not in self.ledger.tokens:
            return problem(401, "session_needed")
        if request.match_info["id"] not in self.ledger.releases:
            return problem(404, "not_found")
        return reply(self.ledger.release_view(request.match_info["id"]))

    async def file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.ledger.files[request.match_info["id"]], content_type="text/csv")

    async def find_trace(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=api.TraceFindRequest)
        return reply(
            api.TraceCandidatesView(
                file_hash=SUITE.digest(base64.b64decode(asked.file)).hex(),
                candidates=[
                    api.TraceCandidate(certificate=certificate, found_by=[way])
                    for certificate, way in self.ledger.candidates
                ],
                more=False,
                partial=False,
                notes=[],
            )
        )

    async def trace_looks(self, request: web.Request) -> web.Response:
        found = [api.TraceCandidate(certificate=name, found_by=[way]) for name, way in self.ledger.candidates]
        look = api.TraceLookView(
            time_ms=0, account="a1" * 16, key_id="b2" * 16, file_hash="c3" * 32, size_bytes=4, found=found
        )
        return reply([look])

    async def trace(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=api.TraceRequest)
        transaction = decoded(asked.transaction)
        assert transaction is not None
        args = codec.decode(transaction.body.call.args, TracesRequest, size_bytes_max=60_000)
        if SUITE.digest(base64.b64decode(asked.file)) != args.file_hash:
            return problem(422, "file_mismatch")
        view = self.ledger.commit(transaction)
        assert view.result is not None
        if view.result.code != "ok":
            return problem(403, view.result.code)
        return reply(_trace(args, view.transaction_id[:32], "open", 0.5), 202)

    async def trace_view(self, request: web.Request) -> web.Response:
        for _, data in self.ledger.accepted:
            transaction = codec.decode(data, Transaction, size_bytes_max=65_536)
            args = codec.decode(transaction.body.call.args, TracesRequest, size_bytes_max=60_000)
            return reply(_trace(args, request.match_info["id"], self.ledger.verdict, 1.0))
        return problem(404, "not_found")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n: heartbeat\n\n")
        after = int(request.headers.get("Last-Event-ID", "0"))
        for header in self.ledger.heads[after : after + self.ledger.streams_cut_after]:
            data = msgspec.json.encode(_block(header))
            await response.write(b"id: %d\nevent: block\ndata: %s\n\n" % (header.height, data))
        return response


def decoded(text: str) -> Transaction | None:
    """The transaction, if the key that it names signed it."""
    transaction = codec.decode(base64.b64decode(text), Transaction, size_bytes_max=65_536)
    public_key = bytes.fromhex(KEY.public_key)
    return (
        transaction
        if verify_transaction_signature(SUITE, scheme_under_test(), public_key, transaction)
        else None
    )


def reply(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    """A problem document."""
    document = api.Problem(
        type=f"urn:{code}",
        title=code,
        status=status,
        code=code,
        detail=code,
        detail_zh=f"中文 {code}",
        detail_en=f"english {code}",
        fields={"id": "7"},
    )
    return web.Response(
        body=msgspec.json.encode(document),
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


SOURCE: Final = api.TraceSource(
    release_id="ab" * 8,
    grantee="cd" * 16,
    grantee_name="银行一",
    officer="ef" * 16,
    officer_label="007",
    released_by=OPERATOR.hex(),
    purpose="loan",
    prepared=NOW,
)


def _trace(args: TracesRequest, trace_id: str, verdict: str, progress: float) -> api.TraceView:
    return api.TraceView(
        trace_id=trace_id,
        file_hash=args.file_hash.hex(),
        auditor=KEY.account,
        officer=KEY.key_id,
        performed_by=OPERATOR.hex(),
        reason=args.reason,
        certificates=[certificate.hex() for certificate in args.certificates],
        verdict=verdict,
        progress=progress,
        matches=[],
        candidates=3,
        phantom_best_log10_np=None,
        notes=[],
        unnamed=[SOURCE] if verdict == "untraceable" else [],
        unnamed_total=2 if verdict == "untraceable" else 0,
        requested=NOW,
        approved_by="ab" * 16 if verdict != "open" else None,
        approver="cd" * 16 if verdict != "open" else None,
        approved=NOW if verdict != "open" else None,
        concluded=None,
        status_url=f"/v1/traces/{trace_id}",
    )


def _block(header: Header) -> api.BlockView:
    return api.BlockView(
        height=header.height,
        digest=block_digest(SUITE, header).hex(),
        parent=header.parent.hex(),
        view=header.view,
        time=NOW,
        proposer=header.proposer.hex(),
        proposer_name="运营方",
        transactions=0,
        transactions_root=header.transactions_root.hex(),
        results_root=header.results_root.hex(),
        state_root=header.state_root.hex(),
        signers=[],
    )


@asynccontextmanager
async def serving(ledger: Ledger) -> AsyncIterator[str]:
    """The ledger's URL while it serves."""
    server = TestServer(Routes(ledger).application())
    await server.start_server()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.close()


async def in_thread(work: Callable[[], object]) -> Any:
    """Run blocking work beside the server."""
    return await asyncio.to_thread(work)
