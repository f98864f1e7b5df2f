"""One node with all its services in this process, whose chain moves by itself; see `node_replica.py` for the chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from contracts.calls import (
    Args,
    CertificatesIssue,
    GrantsApprove,
    GrantsRequest,
    ReleasesRequest,
)
from contracts.records import (
    ConsentMode,
    FetchType,
    GrantItem,
    Output,
)
from ledger import domains
from ledger.hashing import transaction_id
from ledger.types import (
    Limits,
    Result,
    Transaction,
)
from node import gossip_messages
from node.exchange import BlobExchange
from node.execution import FinalizedExecution
from node.gossip_messages import Push
from node.index.follower import catch_up, follow
from node.index.sqlite import SqliteIndex
from node.mempool import PoolLimits
from node.poollog import PoolLog
from node.services.deposits import Deposits, Place
from node.services.finding import Finding
from node.services.finishing import Copies, Finisher
from node.services.keeper import Keeper
from node.services.leak_index import LeakIndex
from node.services.leak_notes import LeakNotes
from node.services.leak_reader import LeakReader
from node.services.making import ReleaseMaker
from node.services.marking import Renderer
from node.services.node_account import NodeAccount
from node.services.ports import AttachmentInput, DepositInput, Draft, FieldValue
from node.services.releases import Releases
from node.services.spool import Spool
from node.services.submission import Submission
from node.services.traces import Traces
from node.vault.blobs import LocalBlobStore
from node.vault.custody import Custody
from node.vault.holdings import Holdings
from node.vault.records import RecordReader
from tests.unit.contracts_world import (
    DAY_MS,
    DEPARTMENT,
    LI,
    NODES,
    OPERATORS,
    START_MS,
    SUITE,
    Actor,
    identity,
)
from tests.unit.node_replica import CARD, OFFICER, Replica, spec_of
from tests.unit.vault_world import Operators, replica_of


async def nobody(_peer: bytes, _payload: bytes, _timeout_s: float) -> bytes:
    raise AssertionError("there is no peer")


# Long enough for a machine that others use too: a trace of pages takes some seconds of two idle cores.
BLOCK_S: Final = 120.0
EVENTUALLY_S: Final = 60.0
# Short beside what is waited for.
LOOK_AGAIN_S: Final = 0.002


class Node(Replica):
    """A replica with its services; `running` gives one whose chain moves by itself."""

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        pool: PoolLimits | None = None,
        at: int = 0,
        copies: Copies | None = None,
    ) -> None:
        self.services: list[Callable[[FinalizedExecution], None]] = []
        super().__init__(folder, limits, pool, at)
        self.wanted = asyncio.Event()
        self.frozen = False
        self.to_peers: list[tuple[bytes, bytes]] = []
        self.pool_log = PoolLog(folder / "pool.log")
        self.submission = Submission(
            suite=SUITE,
            chain=self.chain,
            mempool=self.mempool,
            pool_log=self.pool_log,
            verify=self.verify,
            clock_ms=self.clock_ms,
            account=OPERATORS[at].account,
            send=self.send_to_peer,
            wake=self.wanted.set,
            spread_timeout_s=0.001,
        )
        self.peers = [OPERATORS[(at + step) % 4].account for step in (1, 2)]
        for peer in self.peers:
            self.submission.connected(peer)
        self.index = SqliteIndex(folder / "index.sqlite", self.store.chain_id)
        self.blobs = LocalBlobStore(folder / "blobs", SUITE)
        self.custody = Custody(
            store=self.blobs, holdings=Holdings(folder / "holdings.sqlite"), clock_ms=self.clock_ms
        )
        self.exchange = BlobExchange(suite=SUITE, custody=self.custody, request=nobody, peers=lambda: ())
        # The other holders see what this node's replica sees; tests of replicas that differ bring their own.
        self.operators = Operators([replica_of(self.chain)] * 4, at)
        self.keys = self.operators.sealer
        self.reader = RecordReader(
            suite=SUITE,
            chain_id=self.store.chain_id,
            keys=self.operators.opener,
            store=self.blobs,
            fetch=self.exchange.fetch,
        )
        self.renderer = Renderer(SUITE, self.reader)
        self.seeds = self.operators.seeds_of(at)
        self.leaks = LeakIndex(folder / "leaks.sqlite", SUITE, bytes(32))
        self.notes = LeakNotes(self.leaks, self.clock_ms)
        self.maker = ReleaseMaker(
            suite=SUITE,
            chain=self.chain,
            renderer=self.renderer,
            seeds=self.seeds,
            notes=self.notes,
            finisher=Finisher(
                suite=SUITE,
                chain=self.chain,
                sign=partial(NODES[at].signer.sign, domains.COPY_CODE),
                copies=copies,
            ),
        )
        self.finding = Finding(
            suite=SUITE,
            chain=self.chain,
            index=self.index,
            leaks=self.leaks,
            reader=LeakReader(),
            clock_ms=self.clock_ms,
        )
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
            maker=self.maker,
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
            maker=self.maker,
            seeds=self.seeds,
            spool=self.spool,
            clock_ms=self.clock_ms,
        )
        self.deposits = self.deposits_with(self.place)
        self.services = [
            self.submission.block_finalized,
            self.releases.block_finalized,
            self.traces.block_finalized,
            self.finding.block_finalized,
        ]

    def clock_ms(self) -> int:
        return self.now_ms

    def send_to_peer(self, peer: bytes, payload: bytes) -> bool:
        self.to_peers.append((peer, payload))
        return True

    @property
    def spread(self) -> list[bytes]:
        """Encoded transactions that were pushed to the first of its two peers."""
        sent = [gossip_messages.decode(payload) for peer, payload in self.to_peers if peer == self.peers[0]]
        return [item for message in sent if isinstance(message, Push) for item in message.transactions]

    async def place(self, certificate: bytes, blobs: Mapping[bytes, bytes]) -> int:
        """Keep a record here alone; tests of the other nodes' copies use a `Keeper`."""
        await self.custody.keep(certificate, blobs, peer=self.account.account)
        return 0

    def keeper_with(self, custody: Custody, exchange: BlobExchange, copies: int = 0) -> Keeper:
        return Keeper(
            suite=SUITE,
            chain=self.chain,
            custody=custody,
            exchange=exchange,
            node=self.account,
            copies=copies,
            walk_every_s=3600,
            clock_ms=self.clock_ms,
        )

    def deposits_with(self, place: Place) -> Deposits:
        return Deposits(
            suite=SUITE,
            chain=self.chain,
            keys=self.keys,
            place=place,
            clock_ms=self.clock_ms,
            notes=self.notes,
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
        await self.issue(content, draft)
        return draft

    async def issue(self, content: DepositInput, draft: Draft) -> None:
        """Put a draft on the ledger."""
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

    async def grant(
        self, who: Actor, draft: Draft, uses_max: int = 9, *, body_commitment: bytes = b""
    ) -> bytes:
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
                body_commitment=body_commitment,
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
            assert await self.chain.wait_height_above(height, BLOCK_S) > height, "nothing more happens"


async def eventually(holds: Callable[[], bool]) -> None:
    """Let everything else run until something is so.

    It looks again after a pause: one that spins keeps from the other threads what it waits for.
    """
    async with asyncio.timeout(EVENTUALLY_S):
        while not holds():  # noqa: ASYNC110  # a thread tells nobody
            await asyncio.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def running(
    folder: Path,
    *,
    populated: bool = False,
    frozen: bool = False,
    pool: PoolLimits | None = None,
    copies: Copies | None = None,
) -> AsyncIterator[Node]:
    """A node whose chain and index move; opened again over the same folder, it is the same node after a restart.

    Args:
        folder: its home.
        populated: begin with the story of `Replica.populate`.
        frozen: no block is made until `Node.thaw`.
        pool: limits of its pool.
        copies: makes its derived copies.
    """
    node = Node(folder, pool=pool, copies=copies)
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
        await node.finding.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.submission.stop()
        node.operators.close()
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
