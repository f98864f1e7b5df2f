"""A node in memory for the tests of the HTTP layer: a real index, real signatures, and ports that do as they are told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from contracts.erasure_records import Erasure
from contracts.form_records import Form
from contracts.grant_records import Deletion, DeletionDuty, GrantRules
from contracts.people_records import LookupLimits, PersonTag, Recovery, Ticket
from contracts.portal_records import Portal
from contracts.question_records import CountRecord
from contracts.records import (
    Account,
    AccountKind,
    AccountStatus,
    Certificate,
    CertificateType,
    ConsentMode,
    EvidenceRecord,
    FetchType,
    Grant,
    GrantItem,
    GrantState,
    Key,
    KeyRole,
    NodeRecord,
    NodeRole,
    Output,
    OutputFormat,
    PreparedFile,
    Proposal,
    PurposeTemplate,
    Release,
    ReleaseState,
    Trace,
    TraceVerdict,
)
from contracts.region_records import Recognition, Region
from contracts.registry import REGISTRY
from contracts.representation_records import Mandate
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import SharedKeyRound
from contracts.state import Table
from contracts.upgrades import ContractStatus, PendingUpgrade
from ledger import codec, domains, state_tree
from ledger.crypto.suite import CryptoSuite, Signer, chain_id, key_id
from ledger.crypto.threshold.equality import EqualityProof
from ledger.crypto.threshold.shares import Share
from ledger.errors import LedgerError, NotFound
from ledger.hashing import genesis_header, results_root, sign_transaction, transaction_id, transactions_root
from ledger.receipts import StateReceipt, build_receipt, build_state_receipt
from ledger.types import (
    Block,
    Call,
    EpochChange,
    Event,
    FinalizedBlock,
    Genesis,
    Header,
    QuorumCertificate,
    Receipt,
    Result,
    Transaction,
    TransactionBody,
    Trust,
    ValidatorSet,
    VoteKind,
    WebAuthn,
)
from node.http.app import SITE, build_app
from node.http.config import HttpConfig
from node.http.routes import ROUTES
from node.http.routing import Route
from node.http.site import Site
from node.http.views.mydata import delivery_body
from node.index.follower import catch_up
from node.index.sqlite import SqliteIndex
from node.observability import Metrics
from node.services.facts import (
    HeightNotFinal,
    HeightNotProvable,
    Location,
    NodeFacts,
    PeerFacts,
    SharedKeysFacts,
)
from node.services.leak_index import Look
from node.services.logins import Logins
from node.services.notices import Notices
from node.services.people_ports import DirectoryFacts, Evaluation
from node.services.ports import (
    Caller,
    DepositInput,
    Draft,
    LeakSource,
    LeakSources,
    ReleasedFile,
    ReleaseTransactions,
    Services,
    Standing,
    TraceReport,
    TransactionStatus,
)
from node.services.webhook_places import PlacePolicy, networks
from node.services.webhook_store import WebhookStore
from node.services.webhooks import Webhooks, WebhookSettings
from tests.suites import scheme_under_test
from tests.unit.holders_world import GROUP, dealt
from tests.unit.ledger_world import GENESIS_TIME_MS, NETWORK, SUITE, fixed, make_genesis

K = TypeVar("K")
V = TypeVar("V")
NOW_MS = GENESIS_TIME_MS + 3_600_000


@dataclass(frozen=True, kw_only=True)
class Actor:
    """An account with one key of one role."""

    name: str
    kind: AccountKind
    role: KeyRole

    @property
    def account(self) -> bytes:
        return fixed("account", self.name, size=16)

    @property
    def signer(self) -> Signer:
        return SUITE.load_signer(fixed("key", self.name))

    @property
    def key_id(self) -> bytes:
        return key_id(SUITE, scheme_under_test(), self.signer.public_key)

    def record(self) -> Account:
        key = Key(
            key_id=self.key_id,
            scheme=scheme_under_test(),
            public_key=self.signer.public_key,
            role=self.role,
            label=f"key of {self.name}",
            valid_from_ms=GENESIS_TIME_MS,
            valid_until_ms=0,
            revoked_ms=0,
        )
        return Account(
            account_id=self.account,
            kind=self.kind,
            status=AccountStatus.ACTIVE,
            name="" if self.kind is AccountKind.PERSON else self.name,
            credit_code="",
            issues=(),
            created_ms=GENESIS_TIME_MS,
            keys=(key,),
        )


OPERATOR = Actor(name="operator", kind=AccountKind.OPERATOR, role=KeyRole.ADMIN)
DEPARTMENT = Actor(name="department", kind=AccountKind.DEPARTMENT, role=KeyRole.OFFICER)
BANK = Actor(name="bank", kind=AccountKind.ENTERPRISE, role=KeyRole.OFFICER)
OTHER_BANK = Actor(name="other bank", kind=AccountKind.ENTERPRISE, role=KeyRole.OFFICER)
AUDITOR = Actor(name="auditor", kind=AccountKind.AUDITOR, role=KeyRole.OFFICER)
PERSON = Actor(name="person", kind=AccountKind.PERSON, role=KeyRole.HOLDER)
STRANGER = Actor(name="stranger", kind=AccountKind.PERSON, role=KeyRole.HOLDER)
ACTORS = (OPERATOR, DEPARTMENT, BANK, OTHER_BANK, AUDITOR, PERSON, STRANGER)

CERTIFICATE_ID = fixed("certificate", size=16)
GRANT_ID = fixed("grant", size=16)
RELEASE_ID = fixed("release", size=8)
TRACE_ID = fixed("trace", size=16)
PROPOSAL_ID = fixed("proposal", size=16)


class FakeRecords:
    """Tables as dictionaries."""

    def __init__(self) -> None:
        self.erasures: dict[bytes, Erasure] = {}
        self.accounts = {actor.account: actor.record() for actor in ACTORS}
        self.certificates: dict[bytes, Certificate] = {}
        self.other_networks: dict[bytes, Region] = {}
        self.recognitions: dict[bytes, Recognition] = {}
        self.grants: dict[bytes, Grant] = {}
        self.releases: dict[bytes, Release] = {}
        self.traces: dict[bytes, Trace] = {}
        self.proposals: dict[bytes, Proposal] = {}
        self.types: dict[str, CertificateType] = {}
        self.templates: dict[str, PurposeTemplate] = {}
        self.mandates: dict[bytes, Mandate] = {}
        self.lost: dict[bytes, Recovery] = {}
        self.rules = GrantRules()
        self.deletions: dict[bytes, Deletion] = {}
        self.duties: dict[bytes, DeletionDuty] = {}
        self.forms_by_code: dict[str, Form] = {}
        self.counts_by_id: dict[bytes, CountRecord] = {}

    def account(self, account_id: bytes) -> Account | None:
        return self.accounts.get(account_id)

    def erasure(self, certificate_id: bytes) -> Erasure | None:
        return self.erasures.get(certificate_id)

    def certificate(self, certificate_id: bytes) -> Certificate | None:
        return self.certificates.get(certificate_id)

    def grant(self, grant_id: bytes) -> Grant | None:
        return self.grants.get(grant_id)

    def release(self, release_id: bytes) -> Release | None:
        return self.releases.get(release_id)

    def trace(self, trace_id: bytes) -> Trace | None:
        return self.traces.get(trace_id)

    def proposal(self, proposal_id: bytes) -> Proposal | None:
        return self.proposals.get(proposal_id)

    def certificate_type(self, code: str) -> CertificateType | None:
        return self.types.get(code)

    def certificate_types(self) -> tuple[CertificateType, ...]:
        return tuple(self.types.values())

    def purpose(self, code: str) -> PurposeTemplate | None:
        return self.templates.get(code)

    def purposes(self) -> tuple[PurposeTemplate, ...]:
        return tuple(self.templates.values())

    def certificate_type_version(self, code: str, version: int) -> CertificateType | None:
        found = self.certificate_type(code)
        return found if found is not None and found.version == version else None

    def form(self, code: str) -> Form | None:
        return self.forms_by_code.get(code)

    def forms(self) -> tuple[Form, ...]:
        return tuple(self.forms_by_code[code] for code in sorted(self.forms_by_code))

    def count(self, count_id: bytes) -> CountRecord | None:
        return self.counts_by_id.get(count_id)

    def region(self, chain_id: bytes) -> Region | None:
        return self.other_networks.get(chain_id)

    def regions(self) -> tuple[Region, ...]:
        return tuple(self.other_networks.values())

    def recognition(self, recognition_id: bytes) -> Recognition | None:
        return self.recognitions.get(recognition_id)

    def mandate(self, mandate_id: bytes) -> Mandate | None:
        return self.mandates.get(mandate_id)

    def recovery(self, account_id: bytes) -> Recovery | None:
        return self.lost.get(account_id)

    def deletion(self, release_id: bytes) -> Deletion | None:
        return self.deletions.get(release_id)

    def deletion_duty(self, grant_id: bytes) -> DeletionDuty | None:
        return self.duties.get(grant_id)

    def grant_rules(self) -> GrantRules:
        return self.rules


class FakeChain:
    """Blocks are appended by hand; their certificates are no proofs."""

    first_height = 1

    def __init__(self) -> None:
        self._genesis = make_genesis()
        self._chain_id = chain_id(SUITE, self._genesis)
        self.records = FakeRecords()
        self.blocks: list[tuple[FinalizedBlock, tuple[Result, ...]]] = []
        self.syncing = False
        self.proofs: list[EvidenceRecord] = []
        self.contracts_there: tuple[ContractStatus, ...] = ()
        self.protocol_to_come: tuple[int, int] | None = None
        self.state: dict[bytes, bytes] = {b"limits": b"\x01"}
        self.first_proven = 1
        self.found_damaged = ""
        self.webauthn = WebAuthn()
        self.portals_there: tuple[Portal, ...] = ()
        self.keys_there: tuple[KeyPurpose, ...] = tuple(KeyPurpose)
        self.key_rounds: tuple[SharedKeyRound, ...] = ()
        self._grown = asyncio.Event()

    @property
    def suite(self) -> CryptoSuite:
        return SUITE

    @property
    def genesis(self) -> Genesis:
        return self._genesis

    @property
    def chain_id(self) -> bytes:
        return self._chain_id

    def shared_keys(self) -> SharedKeysFacts:
        accounts = tuple(validator.account for validator in self.validators.validators)
        keys = tuple(dealt(GROUP, accounts, purpose).key for purpose in self.keys_there)
        return SharedKeysFacts(
            ready=set(self.keys_there) == set(KeyPurpose),
            keys=keys,
            in_use=frozenset((key.purpose, key.version) for key in keys),
            rounds=self.key_rounds,
        )

    def portals(self) -> tuple[Portal, ...]:
        return self.portals_there

    @property
    def height(self) -> int:
        return len(self.blocks)

    @property
    def head_time_ms(self) -> int:
        return GENESIS_TIME_MS + 1000 * self.height

    @property
    def validators(self) -> ValidatorSet:
        return self._genesis.validators

    def validator_set(self, epoch: int) -> ValidatorSet | None:
        return self.validators if epoch == self.validators.epoch else None

    def nodes(self) -> tuple[NodeRecord, ...]:
        return tuple(
            NodeRecord(
                account=operator.account,
                name=operator.name,
                role=NodeRole.VALIDATOR,
                host=operator.host,
                port=operator.port,
                certificates=(operator.certificate,),
                wrap_key=operator.wrap_key,
            )
            for operator in self._genesis.operators
        )

    def evidence_count(self) -> int:
        return len(self.proofs)

    def evidence(self, first: int, limit: int) -> tuple[EvidenceRecord, ...]:
        return tuple(self.proofs[first : first + limit])

    @property
    def protocol_version(self) -> int:
        return 1

    def pending_protocol(self) -> tuple[int, int] | None:
        return self.protocol_to_come

    def contracts(self) -> tuple[ContractStatus, ...]:
        return self.contracts_there

    def pending_upgrades(self) -> tuple[PendingUpgrade, ...]:
        return tuple(
            PendingUpgrade(
                contract=one.name, version=one.schedule.next_version, height=one.schedule.next_height
            )
            for one in self.contracts_there
            if one.schedule.next_height
        )

    @property
    def contract_versions(self) -> Mapping[str, int]:
        return REGISTRY.known

    def record_key(self, table: Table[K, V], key: K, height: int | None = None) -> bytes:
        del height
        return table.key(key)

    def status(self) -> NodeFacts:
        first, second = self.validators.validators[:2]
        return NodeFacts(
            account=first.account,
            release="0.1.0",
            view=self.height + 1,
            leader=second.account,
            peers=(
                PeerFacts(
                    account=second.account, name=second.name, connected=True, height=3, round_trip_ms=1.5
                ),
            ),
            pending_transactions=0,
            syncing=self.syncing,
            voting=True,
            started_ms=NOW_MS,
            clock_ms=NOW_MS,
        )

    def header(self, height: int) -> Header | None:
        if height == 0:
            return genesis_header(SUITE, self._genesis, fixed("state root"))
        found = self.finalized(height)
        return found.block.header if found else None

    def finalized(self, height: int) -> FinalizedBlock | None:
        return self.blocks[height - 1][0] if 0 < height <= self.height else None

    def contents(self, height: int) -> FinalizedBlock | None:
        return self.finalized(height)

    @property
    def damage(self) -> str:
        return self.found_damaged

    def results(self, height: int) -> tuple[Result, ...]:
        return self.blocks[height - 1][1] if 0 < height <= self.height else ()

    def locate(self, transaction: bytes) -> Location | None:
        for height, (_, results) in enumerate(self.blocks, start=1):
            for index, result in enumerate(results):
                if result.transaction_id == transaction:
                    return Location(height=height, index=index)
        return None

    def receipt(self, transaction: bytes) -> Receipt:
        location = self.locate(transaction)
        if location is None:
            raise NotFound(what="finalized transaction", id=transaction.hex())
        finalized, results = self.blocks[location.height - 1]
        return build_receipt(SUITE, NETWORK, finalized, results, location.index)

    def state_receipt(self, key: bytes, height: int | None = None) -> StateReceipt:
        """Of the one state that all heights share; its proof holds, its certificate is none."""
        wanted = self.height if height is None else height
        if wanted > self.height:
            raise HeightNotFinal(height=wanted, last_height=self.height)
        if wanted < self.first_proven:
            raise HeightNotProvable(height=wanted, first_height=self.first_proven, last_height=self.height)
        tree = state_tree.update(SUITE, state_tree.NodeMap({}), None, self.state, 0)
        proof = state_tree.prove(SUITE, state_tree.NodeMap(tree.nodes), 0, key)
        return build_state_receipt(NETWORK, self.blocks[wanted - 1][0], key, self.state.get(key), proof)

    def epoch_changes(self, from_epoch: int, limit: int) -> tuple[EpochChange, ...]:
        del from_epoch, limit
        return ()

    def trust(self) -> Trust:
        return Trust(
            version=1, network=NETWORK, suite=SUITE.name, chain_id=self._chain_id, validators=self.validators
        )

    async def wait_height_above(self, height: int, timeout_s: float) -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.height <= height:
                    await self._grown.wait()
        return self.height

    def transaction(self, actor: Actor, contract: str, method: str, *labels: object) -> Transaction:
        """A transaction signed by `actor`; the labels make it another one."""
        body = TransactionBody(
            chain_id=self._chain_id,
            account=actor.account,
            key_id=actor.key_id,
            nonce=fixed("nonce", *labels, size=16),
            valid_until_ms=NOW_MS + 60_000,
            call=Call(contract=contract, method=method, args=codec.encode([str(label) for label in labels])),
        )
        return sign_transaction(SUITE, actor.signer, body)

    def append(
        self,
        *happened: tuple[Transaction, tuple[Event, ...]],
        code: str = "ok",
        fields: tuple[tuple[str, str | int], ...] = (),
    ) -> int:
        """Finalize a block of these transactions, each with its events; its height."""
        transactions = tuple(transaction for transaction, _ in happened)
        results = tuple(
            Result(
                transaction_id=transaction_id(SUITE, transaction.body),
                code=code,
                fields=fields,
                output=b"\x01",
                events=events,
            )
            for transaction, events in happened
        )
        height = self.height + 1
        header = Header(
            version=1,
            chain_id=self._chain_id,
            epoch=1,
            view=height,
            height=height,
            parent=fixed("parent", height),
            time_ms=GENESIS_TIME_MS + 1000 * height,
            proposer=OPERATOR.account,
            transactions_root=transactions_root(SUITE, transactions),
            results_root=results_root(SUITE, results),
            state_root=fixed("state", height),
            validators_hash=fixed("validators"),
            next_validators_hash=fixed("validators"),
        )
        certificate = QuorumCertificate(
            kind=VoteKind.FINALIZE, epoch=1, view=height, digest=fixed("d"), signers=b"\x0d", signature=b"s"
        )
        block = Block(header=header, transactions=transactions)
        self.blocks.append((FinalizedBlock(block=block, path=(), certificate=certificate), results))
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return height


class FakeSubmission:
    """Finalizes nothing by itself: a transaction is final if the chain has it, else pending."""

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain
        self.waits: list[float] = []
        self.error: BaseException | None = None

    async def submit(self, transaction: Transaction, *, wait_s: float) -> TransactionStatus:
        self.waits.append(wait_s)
        if self.error is not None:
            raise self.error
        return self._standing(transaction_id(SUITE, transaction.body))

    def status(self, transaction: bytes) -> TransactionStatus:
        if self._chain.locate(transaction) is None:
            raise NotFound(what="transaction", id=transaction.hex())
        return self._standing(transaction)

    def _standing(self, transaction: bytes) -> TransactionStatus:
        location = self._chain.locate(transaction)
        if location is None:
            return TransactionStatus(transaction_id=transaction, standing=Standing.PENDING)
        finalized, results = self._chain.blocks[location.height - 1]
        return TransactionStatus(
            transaction_id=transaction,
            standing=Standing.FINALIZED,
            location=location,
            time_ms=finalized.block.header.time_ms,
            result=results[location.index],
        )


class FakeDeposits:
    """Remembers what was deposited. `gate` holds every call back until it is set."""

    def __init__(self) -> None:
        self.seen: list[DepositInput] = []
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def prepare(self, deposit: DepositInput, caller: Caller) -> Draft:
        assert caller.kind is AccountKind.DEPARTMENT
        self.seen.append(deposit)
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Draft(
            certificate_id=deposit.certificate_id,
            certificate_type=deposit.certificate_type,
            type_version=1,
            commitment_root=fixed("root", len(self.seen)),
            payload_hash=fixed("payload"),
            fields=tuple(deposit.fields),
            attachments=tuple(attachment.name for attachment in deposit.attachments),
            replicas=4,
            expires_ms=NOW_MS,
        )


class FakePeople:
    """Knows one ticket, of whoever asks, and one person under every tag."""

    def __init__(self) -> None:
        self.recoveries: dict[bytes, Recovery] = {}

    def directory(self) -> DirectoryFacts:
        return DirectoryFacts(version=None, keys=(), tags=(), limits=LookupLimits())

    def ticket(self, ticket_id: bytes) -> Ticket | None:
        return None if ticket_id != TICKET.ticket_id else TICKET

    def recovery(self, account: bytes) -> Recovery | None:
        return self.recoveries.get(account)

    async def evaluate(
        self, ticket_id: bytes, elements: Sequence[bytes], caller: Caller
    ) -> tuple[Evaluation, ...]:
        proof = EqualityProof(challenge=fixed("challenge"), response=fixed("response"))
        shares = tuple(Share(holder=1, element=element, proof=proof) for element in elements)
        return (Evaluation(version=1, renewal=0, shares={1: shares}),)

    def accounts(
        self, ticket_id: bytes, tags: Sequence[PersonTag], caller: Caller
    ) -> tuple[bytes | None, ...]:
        return tuple(PERSON.account for _ in tags)


TICKET: Final = Ticket(
    ticket_id=fixed("ticket", size=16),
    account=BANK.account,
    officer=BANK.key_id,
    entry=OPERATOR.account,
    count=1,
    elements_hash=fixed("elements"),
    basis="service",
    requested_ms=1,
    expires_ms=2,
)
ACCOUNTS_OF_TICKET: Final = f"/v1/lookups/{TICKET.ticket_id.hex()}/accounts"


class FakeReleases:
    def __init__(self, records: FakeRecords) -> None:
        self._records = records
        self.error: BaseException | None = None
        self.waits: list[float] = []

    async def request(self, transaction: Transaction, *, wait_s: float) -> Release:
        del transaction
        self.waits.append(wait_s)
        if self.error is not None:
            raise self.error
        return self._records.releases[RELEASE_ID]

    async def file(self, release_id: bytes, index: int) -> ReleasedFile:
        release = self._records.releases[release_id]
        if index >= len(release.files):
            raise NotFound(what="file", id=index)
        return ReleasedFile(data=b"marked bytes", prepared=release.files[index])

    async def marks(self, release_id: bytes, index: int) -> bytes | None:
        return None

    async def transactions_of(self, release_id: bytes) -> ReleaseTransactions:
        return ReleaseTransactions(request=fixed("request", release_id), prepare=None)


class FakeTraces:
    def __init__(self, records: FakeRecords) -> None:
        self._records = records
        self.files: list[bytes] = []
        self.found = TraceReport(progress=0.5, matches=(), candidates=3, phantom_best_log10_np=None, notes=())

    async def request(self, transaction: Transaction, file: bytes) -> Trace:
        del transaction
        self.files.append(file)
        return self._records.traces[TRACE_ID]

    def kept_report(self, trace_id: bytes) -> bytes | None:
        return b"{}" if trace_id == TRACE_ID else None

    def report(self, trace_id: bytes) -> TraceReport:
        del trace_id
        return self.found


class FakeFinding:
    def __init__(self) -> None:
        self.files: list[tuple[bytes, bytes]] = []
        self.error: LedgerError | None = None

    async def looks(self, limit: int, before: int | None = None) -> tuple[Look, ...]:
        if self.error is not None:
            raise self.error
        return tuple(
            Look(
                time_ms=NOW_MS + number,
                account=AUDITOR.account,
                key_id=AUDITOR.key_id,
                file_hash=bytes(32),
                size_bytes=number,
                found=f"{CERTIFICATE_ID.hex()}:identifier+qr_code" if number % 2 else "",
                number=number,
            )
            for number in range(5, 0, -1)
            if before is None or number < before
        )[:limit]

    async def find(self, file: bytes, caller: Caller) -> LeakSources:
        if self.error is not None:
            raise self.error
        self.files.append((file, caller.key_id))
        return LeakSources(
            file_hash=SUITE.digest(file),
            sources=(LeakSource(certificate=CERTIFICATE_ID, ways=("identifier", "certificate_number")),),
            more=True,
            partial=True,
            notes=("a note",),
        )


@dataclass
class Clock:
    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class World:
    """A served node."""

    chain: FakeChain
    submission: FakeSubmission
    deposits: FakeDeposits
    people: FakePeople
    releases: FakeReleases
    traces: FakeTraces
    finding: FakeFinding
    index: SqliteIndex
    metrics: Metrics
    clock: Clock
    fatal: list[BaseException] = field(default_factory=list)
    logins: Logins | None = None
    notices: Notices | None = None
    webhooks: Webhooks | None = None
    client: TestClient = field(init=False)
    site: Site = field(init=False)

    @property
    def services(self) -> Services:
        return Services(
            chain=self.chain,
            submission=self.submission,
            deposits=self.deposits,
            people=self.people,
            releases=self.releases,
            traces=self.traces,
            finding=self.finding,
            index=self.index,
            logins=self.logins,
            notices=self.notices,
            webhooks=self.webhooks,
        )

    def log_in(self, actor: Actor) -> dict[str, str]:
        """Headers of a session of `actor`."""
        challenge, _ = self.site.sessions.challenge(actor.account, actor.key_id)
        signature = actor.signer.sign(domains.SESSION, challenge)
        token, _, _ = self.site.sessions.log_in(actor.account, actor.key_id, challenge, signature)
        return {"Authorization": f"Bearer {token}"}

    async def request(
        self, method: str, path: str, *, actor: Actor | None = None, **options: object
    ) -> ClientResponse:
        """A request, with a fresh session of `actor`."""
        headers = dict(options.pop("headers", None) or {})
        if actor is not None:
            headers.update(self.log_in(actor))
        response = await self.client.request(method, path, headers=headers, **options)
        await response.read()
        return response

    async def finalize(self, *happened: tuple[Transaction, tuple[Event, ...]], **result: object) -> int:
        """Append a block and index it; its height."""
        self.chain.append(*happened, **result)
        return await catch_up(self.chain, self.index)

    def base64(self, transaction: Transaction) -> str:
        return base64.b64encode(codec.encode(transaction)).decode()


@asynccontextmanager
async def served(
    folder: Path,
    *,
    config: HttpConfig | None = None,
    routes: tuple[Route, ...] = ROUTES,
    change: Callable[[World], None] | None = None,
) -> AsyncIterator[World]:
    """A world behind a real HTTP server on a loopback port."""
    chain = FakeChain()
    world = World(
        chain=chain,
        submission=FakeSubmission(chain),
        deposits=FakeDeposits(),
        people=FakePeople(),
        releases=FakeReleases(chain.records),
        traces=FakeTraces(chain.records),
        finding=FakeFinding(),
        index=SqliteIndex(folder / "index.sqlite", chain.chain_id),
        metrics=Metrics(),
        clock=Clock(),
    )
    outbox = WebhookStore(folder / "webhooks.sqlite", SUITE, fixed("node secret"))
    world.notices = Notices(chain, world.index, outbox)
    world.webhooks = Webhooks(
        chain=chain,
        index=world.index,
        notices=world.notices,
        store=outbox,
        settings=WebhookSettings(policy=PlacePolicy(http=True, networks=networks(("127.0.0.0/8",)))),
        render=delivery_body,
        clock_ms=world.clock,
    )
    if change is not None:
        change(world)
    app = build_app(
        world.services,
        config or HttpConfig(),
        metrics=world.metrics,
        idempotency_path=folder / "idempotency.sqlite",
        fatal=world.fatal.append,
        clock_ms=world.clock,
        routes=routes,
    )
    world.site = app[SITE]
    async with TestClient(TestServer(app)) as client:
        world.client = client
        yield world
    await outbox.close()
    await world.index.close()


def certificate(label: str = "certificate", *, holder: Actor = PERSON, kind: str = "id_card") -> Certificate:
    return Certificate(
        certificate_id=fixed(label, size=16),
        certificate_type=kind,
        type_version=1,
        holder=holder.account,
        issuer=DEPARTMENT.account,
        issued_by=DEPARTMENT.key_id,
        commitment_root=fixed("root"),
        payload_hash=fixed("payload"),
        fields=("name",),
        attachments=(),
        issued_ms=GENESIS_TIME_MS,
        valid_from_ms=GENESIS_TIME_MS,
        valid_until_ms=0,
        supersedes=b"",
        superseded_by=b"",
        states=(),
    )


def grant(
    label: str = "grant",
    *,
    grantee: Actor = BANK,
    state: GrantState = GrantState.ACTIVE,
    kind: str = "id_card",
) -> Grant:
    item = GrantItem(certificate_type=kind, certificate=b"", fields=("name",), attachments=())
    return Grant(
        grant_id=fixed(label, size=16),
        schema_version=1,
        pii_principal_id=PERSON.account,
        grantee=grantee.account,
        requested_by=grantee.key_id,
        purpose="loan",
        lawful_basis="consent",
        legal_ref="",
        privacy_notice_hash=fixed("notice"),
        language="zh",
        items=(item,),
        requested_items=(item,),
        consent_mode=ConsentMode.STORE,
        fetch_type=FetchType.ONCE,
        uses_max=1,
        uses_left=1,
        requested_ms=GENESIS_TIME_MS,
        consent_start_ms=GENESIS_TIME_MS,
        consent_expiry_ms=NOW_MS + 1000,
        data_life_ms=1000,
        jurisdiction="cn",
        revocable=True,
        state=state,
        state_since_ms=GENESIS_TIME_MS,
        renews=b"",
    )


def release(state: ReleaseState = ReleaseState.PREPARED) -> Release:
    prepared = PreparedFile(
        media_type="text/csv", size_bytes=12, file_hash=fixed("file"), mark_commitment=fixed("mark")
    )
    return Release(
        release_id=RELEASE_ID,
        grant_id=GRANT_ID,
        pii_principal_id=PERSON.account,
        grantee=BANK.account,
        officer=BANK.key_id,
        released_by=OPERATOR.account,
        purpose="loan",
        outputs=(
            Output(certificate=CERTIFICATE_ID, format=OutputFormat.CSV, fields=("name",), attachment=""),
        ),
        state=state,
        requested_ms=GENESIS_TIME_MS,
        deadline_ms=NOW_MS,
        files=() if state is ReleaseState.REQUESTED else (prepared,),
        prepared_ms=0 if state is ReleaseState.REQUESTED else NOW_MS,
        delivered_ms=0,
        failure="",
    )


def trace() -> Trace:
    return Trace(
        trace_id=TRACE_ID,
        auditor=AUDITOR.account,
        officer=AUDITOR.key_id,
        performed_by=OPERATOR.account,
        file_hash=fixed("leak"),
        reason="complaint",
        certificates=(CERTIFICATE_ID,),
        requested_ms=GENESIS_TIME_MS,
        verdict=TraceVerdict.OPEN,
        releases=(),
        report_hash=b"",
        concluded_ms=0,
    )


def event(kind: str, object_id: bytes, *subjects: bytes) -> Event:
    return Event(kind=kind, object_id=object_id, subjects=subjects, data=(("hash", "0102"), ("n", 3)))


def change_key(world: World, actor: Actor, **changes: object) -> None:
    """Change the actor's key in the finalized state."""
    account = world.chain.records.accounts[actor.account]
    key = codec.decode(codec.encode(account.keys[0]), Key, size_bytes_max=4096)
    changed = Key(**{**{name: getattr(key, name) for name in Key.__struct_fields__}, **changes})
    world.chain.records.accounts[actor.account] = Account(
        **{**{name: getattr(account, name) for name in Account.__struct_fields__}, "keys": (changed,)}
    )


def deposit_body(**changes: object) -> dict[str, object]:
    return {
        "certificate_id": CERTIFICATE_ID.hex(),
        "certificate_type": "id_card",
        "holder": PERSON.account.hex(),
        "fields": {"name": "张三"},
        "salt_seed": fixed("seed").hex(),
        "attachments": [],
        **changes,
    }


def of_category(base: type[LedgerError]) -> LedgerError:
    return base(reason="because", what="thing", id="7", limit="l", maximum=1, actual=2, retry_after_s=9)


def narrowed(config: HttpConfig, **changes: object) -> HttpConfig:
    return replace(config, **changes)
