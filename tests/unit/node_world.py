"""One node, or the replicas of a network, in this process: real stores, contracts, keys and certificates.

The only thing made up is consensus: a loop that proposes whatever is in the pool and has a quorum of real vote keys
sign it. Time is a number that moves by a second a block.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from consensus.application import ProposalContext
from contracts.calls import (
    Action,
    Args,
    CertificatesIssue,
    GovernanceApprove,
    GovernancePropose,
    GrantsApprove,
    GrantsRequest,
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterOrganization,
    RegisterPurposes,
    ReleasesRequest,
    call,
)
from contracts.genesis import genesis_state
from contracts.records import (
    AccountKind,
    CertificateType,
    ConsentMode,
    FetchType,
    GrantItem,
    KeyRole,
    Output,
    PurposeTemplate,
    TemplateItem,
)
from ledger import domains
from ledger.crypto.suite import QuorumScheme
from ledger.errors import LedgerError
from ledger.hashing import block_digest, sign_transaction, transaction_id
from ledger.store import Store
from ledger.types import (
    Block,
    Call,
    FinalizedBlock,
    Genesis,
    GenesisKey,
    GenesisOperator,
    Limits,
    Result,
    Transaction,
    TransactionBody,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
)
from node.chain import Chain
from node.exchange import BlobExchange
from node.execution import Execution, FinalizedExecution
from node.index.follower import catch_up, follow
from node.index.sqlite import SqliteIndex
from node.mempool import Mempool, PoolLimits, SignatureCache
from node.poollog import PoolLog
from node.services.deposits import Deposits
from node.services.marking import Renderer
from node.services.node_account import NodeAccount
from node.services.ports import AttachmentInput, Caller, DepositInput, Draft, FieldValue, NodeFacts
from node.services.releases import Releases
from node.services.spool import Spool
from node.services.submission import Submission
from node.services.traces import Traces
from node.vault.blobs import LocalBlobStore
from node.vault.keys import OperatorKeys
from node.vault.records import RecordReader
from tests.unit.contracts_world import (
    AUDITOR,
    AUDITOR_ADMIN,
    BANK,
    BANK_ADMIN,
    DAY_MS,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    NODES,
    OPERATORS,
    SHOP,
    SHOP_ADMIN,
    START_MS,
    SUITE,
    Actor,
    actor,
    enrolment,
    identity,
    new_key,
    registration,
)
from zhenglian.catalogue import CertificateTypeSpec, Holder, encode_schema, load_catalogue

QUORUM: Final[QuorumScheme] = SUITE.quorum
CARD: Final = "social_security_card"
OFFICE: Final = actor("office", "officer")
OFFICE_ADMIN: Final = actor("office", "admin")
GRANTEES: Final = (BANK, SHOP, OFFICE)
ORGANIZATIONS: Final = (
    (DEPARTMENT_ADMIN, DEPARTMENT, AccountKind.DEPARTMENT),
    (BANK_ADMIN, BANK, AccountKind.ENTERPRISE),
    (SHOP_ADMIN, SHOP, AccountKind.ENTERPRISE),
    (OFFICE_ADMIN, OFFICE, AccountKind.ENTERPRISE),
    (AUDITOR_ADMIN, AUDITOR, AccountKind.AUDITOR),
)
OFFICER: Final = Caller(
    account=DEPARTMENT.account, key_id=DEPARTMENT.key_id, kind=AccountKind.DEPARTMENT, role=KeyRole.OFFICER
)
_VOTERS: Final = tuple(SUITE.load_vote_signer(b"\0" + identity(f"vote {n}", 31)) for n in range(4))
_WRAPS: Final = tuple(SUITE.generate_wrap_key() for _ in range(4))


def spec_of(code: str) -> CertificateTypeSpec:
    return next(spec for spec in load_catalogue() if spec.code == code)


def type_of(spec: CertificateTypeSpec) -> CertificateType:
    return CertificateType(
        code=spec.code,
        version=1,
        number=spec.number,
        name_zh=spec.name_zh,
        name_en=spec.name_en,
        issuers_zh=spec.issuers_zh,
        level_zh=spec.level_zh,
        holder=AccountKind.PERSON if spec.holder is Holder.PERSON else AccountKind.ENTERPRISE,
        fields=tuple(field.name for field in spec.fields),
        attachments=tuple(attachment.name for attachment in spec.attachments),
        schema=encode_schema(spec),
    )


def make_genesis(limits: Limits | None = None) -> Genesis:
    validators, operators = [], []
    for n, (admin, node) in enumerate(zip(OPERATORS, NODES, strict=True)):
        keys = tuple(
            GenesisKey(
                key_id=who.key_id,
                scheme=who.signer.scheme,
                public_key=who.signer.public_key,
                role=role,
                label=role,
            )
            for who, role in ((admin, "admin"), (node, "node"))
        )
        validators.append(
            Validator(
                account=admin.account,
                name=f"op{n}",
                vote_key=_VOTERS[n].public_key,
                possession=_VOTERS[n].prove_possession("test", admin.account),
            )
        )
        operators.append(
            GenesisOperator(
                account=admin.account,
                name=f"op{n}",
                keys=keys,
                wrap_key=_WRAPS[n][1],
                tls_spki=bytes(32),
                directory_wrap=b"",
            )
        )
    return Genesis(
        network="test",
        suite="intl",
        time_ms=START_MS,
        validators=ValidatorSet(epoch=1, validators=tuple(validators)),
        operators=tuple(operators),
        limits=limits or Limits(),
    )


class Replica:
    """A ledger with its pool, as far as blocks are concerned."""

    def __init__(
        self, folder: Path, limits: Limits | None = None, pool: PoolLimits | None = None, at: int = 0
    ) -> None:
        self.folder = folder
        self.at = at
        document = make_genesis(limits)
        path = folder / "store"
        exists = path.exists()
        self.store = (
            Store.open(path, SUITE)
            if exists
            else Store.create(path, SUITE, document, genesis_state(SUITE, document))
        )
        self.mempool = Mempool(pool or PoolLimits())
        self.verify = SignatureCache(SUITE)
        self.finalized: list[FinalizedExecution] = []
        self.execution = Execution(
            suite=SUITE,
            store=self.store,
            mempool=self.mempool,
            verify=self.verify,
            on_finalized=self.on_finalized,
        )
        self.chain = Chain(suite=SUITE, store=self.store, execution=self.execution, facts=self.facts)
        self.now_ms = max(START_MS, self.store.head.time_ms)
        self.sent = 0

    def on_finalized(self, final: FinalizedExecution) -> None:
        self.finalized.append(final)
        self.chain.wake()

    def facts(self) -> NodeFacts:
        raise AssertionError("nobody asks in these tests")

    def close(self) -> None:
        self.store.close()

    # --- transactions ---

    def sign(self, who: Actor, what: Args | Call, *, lifetime_ms: int = 60_000) -> Transaction:
        self.sent += 1
        body = TransactionBody(
            chain_id=self.store.chain_id,
            account=who.account,
            key_id=who.key_id,
            nonce=identity(f"{self.folder}/{self.now_ms}/{self.sent}"),
            valid_until_ms=self.now_ms + lifetime_ms,
            call=call(what) if isinstance(what, Args) else what,
        )
        return sign_transaction(SUITE, who.signer, body)

    def pool(self, *transactions: Transaction) -> None:
        for transaction in transactions:
            self.mempool.add(transaction_id(SUITE, transaction.body), transaction)

    # --- blocks ---

    def propose(self, parent: bytes | None = None, *, view: int = 0, time_ms: int = 0) -> tuple[Block, bytes]:
        """A block of what the pool holds on `parent`, the head if none is given."""
        parent = parent or self.execution.head()[0]
        self.now_ms += 1000
        context = ProposalContext(
            epoch=1,
            view=view or self.execution.finalized_height() + 1,
            height=0,
            time_ms=time_ms or self.now_ms,
            proposer=OPERATORS[self.at].account,
        )
        block = self.execution.propose(parent, context)
        assert block is not None
        return block, block_digest(SUITE, block.header)

    def finalize(self, block: Block) -> None:
        self.execution.finalize(finalization(self.store.chain_id, block), block_digest(SUITE, block.header))

    def step(self) -> FinalizedExecution:
        """Propose what the pool holds and make it final."""
        block, _ = self.propose()
        self.finalize(block)
        return self.finalized[-1]

    def run(self, *transactions: Transaction) -> tuple[Result, ...]:
        """These transactions in a block; all must be taken."""
        self.pool(*transactions)
        done = self.step()
        assert len(done.executed.results) == len(transactions)
        return done.executed.results

    def done(self, *transactions: Transaction) -> None:
        for result in self.run(*transactions):
            assert result.code == "ok", (result.code, result.fields)

    def commit(self, blocks_max: int = 16) -> int:
        """Commit one group; how many blocks it had."""
        group = self.execution.next_group(blocks_max)
        if group:
            self.store.commit(group)
            self.execution.group_committed()
        return len(group)

    # --- the story so far ---

    def vote(self, *actions: Action) -> None:
        proposals = [self.sign(OPERATORS[0], GovernancePropose(action=action)) for action in actions]
        self.done(*proposals)
        names = [
            SUITE.hash(domains.PROPOSAL_ID, transaction_id(SUITE, proposal.body))[:16]
            for proposal in proposals
        ]
        approvals = [
            self.sign(OPERATORS[n], GovernanceApprove(proposal_id=name)) for name in names for n in (1, 2)
        ]
        self.done(*approvals)

    def populate(self, code: str = CARD) -> Replica:
        """One certificate type, a purpose for all of it, organisations with officers, and Li."""
        kind = type_of(spec_of(code))
        self.vote(RegisterCertificateTypes(types=(kind,)))
        purpose = PurposeTemplate(
            code="loan",
            name_zh="贷款",
            name_en="Loan",
            items=(TemplateItem(certificate_type=code, fields=kind.fields, attachments=kind.attachments),),
            uses_max=100,
            period_ms_max=30 * DAY_MS,
            data_life_ms_max=30 * DAY_MS,
        )
        organizations: list[RegisterOrganization] = [
            registration(admin, kind, (code,) if kind is AccountKind.DEPARTMENT else ())
            for admin, _, kind in ORGANIZATIONS
        ]
        self.vote(RegisterPurposes(purposes=(purpose,)), *organizations)
        self.done(
            *(
                self.sign(admin, OrganizationsAddKey(key=new_key(officer, KeyRole.OFFICER)))
                for admin, officer, _ in ORGANIZATIONS
            )
        )
        self.done(self.sign(DEPARTMENT, enrolment(LI)))
        return self


def finalization(chain_id: bytes, block: Block) -> FinalizedBlock:
    """The block with a Finalization that three of the four validators have really signed."""
    validators = make_genesis().validators
    digest = block_digest(SUITE, block.header)
    votes = []
    for n in range(3):
        vote = Vote(
            kind=VoteKind.FINALIZE,
            epoch=1,
            view=block.header.view,
            digest=digest,
            validator=n,
            signature=b"-",
        )
        signature = _VOTERS[n].sign_vote(chain_id, vote)
        votes.append(
            Vote(
                kind=vote.kind,
                epoch=1,
                view=vote.view,
                digest=digest,
                validator=n,
                signature=signature,
            )
        )
    return FinalizedBlock(block=block, path=(), certificate=QUORUM.aggregate(validators, tuple(votes)))


async def nobody(_peer: bytes, _payload: bytes, _timeout_s: float) -> bytes:
    raise AssertionError("there is no peer")


class Node(Replica):
    """A replica with its services; `running` gives one whose chain moves by itself."""

    def __init__(
        self, folder: Path, limits: Limits | None = None, pool: PoolLimits | None = None, at: int = 0
    ) -> None:
        self.services: list[Callable[[FinalizedExecution], None]] = []
        super().__init__(folder, limits, pool, at)
        self.wanted = asyncio.Event()
        self.frozen = False
        self.spread: list[bytes] = []
        self.pool_log = PoolLog(folder / "pool.log")
        self.submission = Submission(
            suite=SUITE,
            chain=self.chain,
            mempool=self.mempool,
            pool_log=self.pool_log,
            verify=self.verify,
            clock_ms=self.clock_ms,
            spread=self.spread.append,
            wake=self.wanted.set,
        )
        self.index = SqliteIndex(folder / "index.sqlite", self.store.chain_id)
        self.blobs = LocalBlobStore(folder / "blobs", SUITE)
        self.exchange = BlobExchange(suite=SUITE, store=self.blobs, request=nobody, peers=lambda: ())
        self.keys = OperatorKeys(
            suite=SUITE,
            operator=OPERATORS[at].account,
            wrap_secret=_WRAPS[at][0],
            wrap_keys={OPERATORS[n].account: _WRAPS[n][1] for n in range(4)},
            state=self.chain.records,
            time_ms=lambda: self.chain.head_time_ms,
        )
        self.renderer = Renderer(SUITE, RecordReader(SUITE, self.keys, self.blobs, self.exchange.fetch))
        self.account = NodeAccount(
            suite=SUITE,
            account=OPERATORS[at].account,
            signer=NODES[at].signer,
            chain=self.chain,
            submission=self.submission,
            clock_ms=self.clock_ms,
        )
        self.spool = Spool(folder / "spool", SUITE, bytes(32))
        self.releases = Releases(
            suite=SUITE,
            chain=self.chain,
            index=self.index,
            submission=self.submission,
            node=self.account,
            renderer=self.renderer,
            spool=self.spool,
            clock_ms=self.clock_ms,
        )
        self.traces = Traces(
            suite=SUITE,
            chain=self.chain,
            index=self.index,
            submission=self.submission,
            node=self.account,
            renderer=self.renderer,
            spool=self.spool,
        )
        self.deposits = self.deposits_with(self.exchange, 0)
        self.services = [
            self.submission.block_finalized,
            self.releases.block_finalized,
            self.traces.block_finalized,
        ]

    def clock_ms(self) -> int:
        return self.now_ms

    def deposits_with(self, exchange: BlobExchange, replicas_min: int) -> Deposits:
        return Deposits(
            suite=SUITE,
            chain=self.chain,
            keys=self.keys,
            blobs=self.blobs,
            exchange=exchange,
            replicas_min=replicas_min,
            clock_ms=self.clock_ms,
        )

    def on_finalized(self, final: FinalizedExecution) -> None:
        super().on_finalized(final)
        for told in self.services:
            told(final)

    async def consensus(self) -> None:
        """Empty the pool into final blocks whenever somebody says that there is work, unless frozen."""
        while True:
            await self.wanted.wait()
            self.wanted.clear()
            while self.execution.has_work() and not self.frozen:
                final = self.step()
                if final.executed.header.height % 3 == 0:
                    self.commit()
                await asyncio.sleep(0)

    def thaw(self) -> None:
        self.frozen = False
        self.wanted.set()

    # --- calls that must succeed ---

    async def send(self, who: Actor, what: Args) -> Result:
        status = await self.submission.submit(self.sign(who, what), wait_s=30)
        assert status.result is not None, status.standing
        assert status.result.code == "ok", (status.result.code, status.result.fields)
        return status.result

    async def deposit(self, content: DepositInput) -> Draft:
        """Put a certificate's data into the vault and on the ledger."""
        draft = await self.deposits.prepare(content, OFFICER)
        issue = CertificatesIssue(
            certificate_id=draft.certificate_id,
            certificate_type=draft.certificate_type,
            type_version=draft.type_version,
            holder=content.holder,
            commitment_root=draft.commitment_root,
            payload_hash=draft.payload_hash,
            fields=draft.fields,
            attachments=draft.attachments,
            valid_from_ms=START_MS,
            valid_until_ms=0,
            supersedes=b"",
        )
        await self.send(DEPARTMENT, issue)
        return draft

    async def grant(self, who: Actor, draft: Draft, uses_max: int = 9) -> bytes:
        """Li's consent to all that the certificate says."""
        item = GrantItem(
            certificate_type=draft.certificate_type,
            certificate=b"",
            fields=draft.fields,
            attachments=draft.attachments,
        )
        asked = self.sign(
            who,
            GrantsRequest(
                pii_principal_id=LI.account,
                purpose="loan",
                lawful_basis="consent",
                legal_ref="",
                privacy_notice_hash=bytes(32),
                language="zh",
                items=(item,),
                consent_mode=ConsentMode.STORE,
                fetch_type=FetchType.PERIODIC,
                uses_max=uses_max,
                consent_expiry_ms=self.now_ms + DAY_MS,
                data_life_ms=DAY_MS,
                jurisdiction="cn",
                revocable=True,
                renews=b"",
            ),
        )
        status = await self.submission.submit(asked, wait_s=30)
        assert status.result is not None
        assert status.result.code == "ok", status.result
        grant_id = SUITE.hash(domains.GRANT_ID, transaction_id(SUITE, asked.body))[:16]
        approval = GrantsApprove(
            grant_id=grant_id,
            items=(item,),
            uses_max=uses_max,
            consent_expiry_ms=self.now_ms + DAY_MS // 2,
        )
        await self.send(LI, approval)
        return grant_id

    def request_of(self, who: Actor, grant_id: bytes, *outputs: Output, at: int | None = None) -> Transaction:
        performer = OPERATORS[self.at if at is None else at].account
        return self.sign(who, ReleasesRequest(grant_id=grant_id, outputs=outputs, released_by=performer))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait, block by block, for something that the chain will show."""
        while not holds():
            height = self.chain.height
            assert await self.chain.wait_height_above(height, 30) > height, "nothing more happens"


async def eventually(holds: Callable[[], bool]) -> None:
    """Let everything else run until something is so."""
    async with asyncio.timeout(30):
        while True:
            if holds():
                return
            await asyncio.sleep(0)


@asynccontextmanager
async def running(
    folder: Path, *, populated: bool = False, frozen: bool = False, pool: PoolLimits | None = None
) -> AsyncIterator[Node]:
    """A node whose chain and index move; opened again over the same folder, it is the same node after a restart.

    Args:
        folder: its home.
        populated: begin with the story of `Replica.populate`.
        frozen: no block is made until `Node.thaw`.
        pool: limits of its pool.
    """
    node = Node(folder, pool=pool)
    node.frozen = frozen
    if populated:
        node.populate()
    if node.submission.recover(node.pool_log.recovered()):
        node.wanted.set()
    await catch_up(node.chain, node.index)
    tasks = [asyncio.create_task(node.consensus()), asyncio.create_task(follow(node.chain, node.index))]
    try:
        yield node
    finally:
        await node.releases.stop()
        await node.traces.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.submission.stop()
        while node.commit():
            pass
        await node.index.close()
        node.pool_log.close()
        node.close()


ROWS: Final[tuple[str, ...]] = ("养老", "医疗", "失业", "工伤", "生育")


def payments(count: int) -> list[dict[str, str | int]]:
    """Rows of a social security card, each of another month and insurance."""
    return [
        {
            "row_reference": identity(f"row {n}", 8).hex(),
            "month": f"{2000 + n // 60}-{n // 5 % 12 + 1:02}",
            "insurance": ROWS[n % 5],
            "employer": "东营石油装备有限公司",
            "base": f"{5000 + n}.00",
            "personal_amount": f"{400 + n}.00",
            "employer_amount": f"{800 + n}.00",
            "arrival_date": f"2024-{n % 12 + 1:02}-15",
            "interest_estimate": f"{n * 37 % 97}.{n * 13 % 100:02}",
            "indexed_base_estimate": f"{5200 + n * 29 % 301}.{n * 7 % 100:02}",
        }
        for n in range(count)
    ]


def card_fields(rows: int = 3) -> dict[str, FieldValue]:
    """Every field of a social security card."""
    fields: dict[str, FieldValue] = {}
    for field in spec_of(CARD).fields:
        match field.kind.value:
            case "rows":
                fields[field.name] = payments(rows)
            case "identity_number":
                fields[field.name] = "11010519491231002X"
            case "date":
                fields[field.name] = "2024-02-29"
            case "integer":
                fields[field.name] = 3
            case "decimal":
                fields[field.name] = f"0.{'0' * field.decimals}" if field.decimals else "0"
            case _:
                fields[field.name] = f"某{field.name}"
    return fields


def card(label: str = "card", *, rows: int = 3, attachments: Iterable[AttachmentInput] = ()) -> DepositInput:
    """Li's social security card, ready to be deposited."""
    return DepositInput(
        certificate_id=identity(label),
        certificate_type=CARD,
        holder=LI.account,
        fields=card_fields(rows),
        salt_seed=identity(f"seed of {label}", 32),
        attachments=tuple(attachments),
    )


# --- peers that exchange blobs ---

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


class Net:
    """Exchanges joined in memory, and peers that do as they please."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exchanges: dict[bytes, BlobExchange] = {}
        self.stores: dict[bytes, LocalBlobStore] = {}
        self.rogues: dict[bytes, Rogue] = {}
        self.asked: list[tuple[bytes, bytes]] = []

    def join(self, name: bytes) -> BlobExchange:
        async def request(peer: bytes, payload: bytes, timeout_s: float) -> bytes:
            assert timeout_s > 0
            self.asked.append((peer, payload))
            if peer in self.rogues:
                return self.rogues[peer].answer(payload)
            return await self.exchanges[peer].serve(name, payload)

        def peers() -> tuple[bytes, ...]:
            return tuple(peer for peer in (*self.rogues, *self.exchanges) if peer != name)

        self.stores[name] = LocalBlobStore(self.folder / name.decode(), SUITE)
        self.exchanges[name] = BlobExchange(
            suite=SUITE, store=self.stores[name], request=request, peers=peers
        )
        return self.exchanges[name]


class Rogue:
    """Answers with the chunks it was given, one after the other, the last one for ever."""

    def __init__(self, *answers: bytes | LedgerError) -> None:
        self.answers = list(answers)
        self.count = 0

    def answer(self, _payload: bytes) -> bytes:
        self.count += 1
        assert self.count < 100, "asked without end"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, LedgerError):
            raise answer
        return answer
