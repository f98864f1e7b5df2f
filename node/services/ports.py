"""What the HTTP routes ask of the node: one Protocol per use case, with typed structs in and out.

Rule: ids are raw bytes and times are milliseconds here; hex, base64 and RFC 3339 exist only in `node/http`. A
port raises `LedgerError`s only; what the chain refused is `Denied`, which carries the certified result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from contracts.body_records import Body, BodyKind
from contracts.erasure_records import Erasure
from contracts.form_records import Form
from contracts.grant_records import Deletion, DeletionDuty, GrantRules
from contracts.people_records import Recovery
from contracts.portal_records import Portal
from contracts.question_records import CountRecord
from contracts.records import (
    Account,
    AccountKind,
    Certificate,
    CertificateType,
    EvidenceRecord,
    Grant,
    KeyRole,
    NodeRecord,
    PreparedFile,
    Proposal,
    PurposeTemplate,
    Release,
    Trace,
)
from contracts.region_records import Recognition, Region
from contracts.representation_records import Mandate
from contracts.state import Table
from contracts.upgrades import ContractStatus, PendingUpgrade
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError
from ledger.state_receipts import StateReceipt
from ledger.types import (
    EpochChange,
    FinalizedBlock,
    Genesis,
    Header,
    Receipt,
    Result,
    Transaction,
    Trust,
    ValidatorSet,
    WebAuthn,
)
from node.index.ports import Index
from node.services.facts import Location, NodeFacts, SharedKeysFacts
from node.services.leak_index import Look
from node.services.people_ports import People as People  # noqa: PLC0414  # a room of these ports
from zhenglian.evidence import ComparedAsset
from zhenglian.grant_bodies import GrantBody

if TYPE_CHECKING:
    from node.deposits.bulk import BulkDeposits
    from node.services.agents import Agents
    from node.services.fetches import Fetches
    from node.services.logins import Logins
    from node.services.notices import Notices
    from node.services.webhooks import Webhooks

K = TypeVar("K")
V = TypeVar("V")


class Denied(LedgerError):
    """The transaction was finalized and its contract refused it. `code` and `fields` are the result's own."""

    category = Category.FORBIDDEN

    def __init__(self, result: Result) -> None:
        super().__init__(**dict(result.fields))
        self.result = result


class SignIn(StrEnum):
    """How a session was opened. One by an identity provider may read and do nothing else."""

    KEY = "key"
    PASSKEY = "passkey"
    OIDC = "oidc"


# --- who asks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is behind a session: re-read from the finalized state at every request."""

    account: bytes
    key_id: bytes
    kind: AccountKind
    role: KeyRole
    by: SignIn = SignIn.KEY


# --- the chain, read only -----------------------------------------------------------------------------------


class Records(Protocol):
    """The records of the state at the finalized head; None where there is none."""

    def account(self, account_id: bytes) -> Account | None: ...

    def certificate(self, certificate_id: bytes) -> Certificate | None: ...

    def erasure(self, certificate_id: bytes) -> Erasure | None: ...

    def grant(self, grant_id: bytes) -> Grant | None: ...

    def release(self, release_id: bytes) -> Release | None: ...

    def trace(self, trace_id: bytes) -> Trace | None: ...

    def proposal(self, proposal_id: bytes) -> Proposal | None: ...

    def certificate_type(self, code: str) -> CertificateType | None:
        """The newest version."""
        ...

    def certificate_types(self) -> tuple[CertificateType, ...]:
        """All, newest version each, by number."""
        ...

    def purpose(self, code: str) -> PurposeTemplate | None: ...

    def purposes(self) -> tuple[PurposeTemplate, ...]:
        """All, by code."""
        ...

    def certificate_type_version(self, code: str, version: int) -> CertificateType | None: ...

    def form(self, code: str) -> Form | None:
        """The version in use."""
        ...

    def forms(self) -> tuple[Form, ...]:
        """All, the version in use each, by code."""
        ...

    def count(self, count_id: bytes) -> CountRecord | None: ...

    def region(self, chain_id: bytes) -> Region | None: ...

    def regions(self) -> tuple[Region, ...]:
        """Every other network that operators have decided on, in the order in which they came."""
        ...

    def recognition(self, recognition_id: bytes) -> Recognition | None: ...

    def mandate(self, mandate_id: bytes) -> Mandate | None: ...

    def deletion(self, release_id: bytes) -> Deletion | None:
        """What a recipient has to delete of a release."""
        ...

    def deletion_duty(self, grant_id: bytes) -> DeletionDuty | None:
        """What a grant's recipient still has to delete."""
        ...

    def recovery(self, account_id: bytes) -> Recovery | None:
        """The latest of a person's account."""
        ...

    def grant_rules(self) -> GrantRules:
        """Who may act without the holder, or in his place."""
        ...


class Chain(Protocol):
    """The finalized chain of this node."""

    @property
    def suite(self) -> CryptoSuite: ...

    @property
    def genesis(self) -> Genesis: ...

    @property
    def chain_id(self) -> bytes: ...

    @property
    def height(self) -> int:
        """Height of the finalized head; 0 when only genesis is there."""
        ...

    def shared_keys(self) -> SharedKeysFacts:
        """Keys that the operators hold together, at the finalized head."""
        ...

    @property
    def first_height(self) -> int:
        """Lowest height whose block is held; above 1 at a node that began with a snapshot."""
        ...

    def epoch_changes(self, from_epoch: int, limit: int) -> tuple[EpochChange, ...]:
        """How epochs ended, from that one on, at most `limit`; durable ones only."""
        ...

    @property
    def validators(self) -> ValidatorSet:
        """The set that votes on the head's successor."""
        ...

    def validator_set(self, epoch: int) -> ValidatorSet | None:
        """The set of an epoch up to the present one, or the one that a seal has decided; None for any other."""
        ...

    def nodes(self) -> tuple[NodeRecord, ...]:
        """Every node of the peer network, in the order of admission."""
        ...

    def evidence_count(self) -> int:
        """How many proofs of conflicting votes are on record."""
        ...

    def evidence(self, first: int, limit: int) -> tuple[EvidenceRecord, ...]:
        """Proofs by number, from `first` on upwards, at most `limit`."""
        ...

    @property
    def webauthn(self) -> WebAuthn:
        """Where passkeys are used, at the head."""
        ...

    def portals(self) -> tuple[Portal, ...]:
        """The web applications that operators have approved."""
        ...

    @property
    def protocol_version(self) -> int:
        """Of the block after the head."""
        ...

    def pending_protocol(self) -> tuple[int, int] | None:
        """(version, height) of a protocol version that is set and not in force at the head."""
        ...

    def contracts(self) -> tuple[ContractStatus, ...]:
        """The versions of every contract at the head: in force, set, being migrated to, and what became of others."""
        ...

    @property
    def contract_versions(self) -> Mapping[str, int]:
        """The latest version of every contract that this release has."""
        ...

    def pending_upgrades(self) -> tuple[PendingUpgrade, ...]:
        """Versions of contracts that are set and not in force at the head."""
        ...

    @property
    def head_time_ms(self) -> int:
        """Block time of the finalized head."""
        ...

    @property
    def records(self) -> Records: ...

    def status(self) -> NodeFacts: ...

    def header(self, height: int) -> Header | None:
        """Header of a finalized block, genesis (height 0) included."""
        ...

    @property
    def damage(self) -> str:
        """What this node has found damaged of its own store, and does not serve; empty while nothing was."""
        ...

    def finalized(self, height: int) -> FinalizedBlock | None:
        """A finalized block from height 1 on."""
        ...

    def results(self, height: int) -> tuple[Result, ...]:
        """Results of a finalized block, one per transaction, in order; empty where there is no block."""
        ...

    def locate(self, transaction_id: bytes) -> Location | None: ...

    def receipt(self, transaction_id: bytes) -> Receipt:
        """Raises NotFound unless the transaction is final here; NotHeld where that was perhaps before a snapshot."""
        ...

    def state_receipt(self, key: bytes, height: int | None = None) -> StateReceipt:
        """What the state held under a key after a block, or that it held nothing, with the proof of it.

        Args:
            key: state key, 1 … 511 bytes.
            height: of the block; the finalized head where None.

        Raises:
            HeightNotProvable, HeightNotFinal: no proof can be made here for that height.
        """
        ...

    def record_key(self, table: Table[K, V], key: K, height: int | None = None) -> bytes:
        """The state key under which a contract kept a record of a table after a block; its versions may differ in that.

        Raises:
            HeightNotProvable, HeightNotFinal: that height is not held here.
        """
        ...

    def trust(self) -> Trust: ...

    async def wait_height_above(self, height: int, timeout_s: float) -> int:
        """Wait until the head is above `height` or the time is over; the head's height then."""
        ...


# --- transactions -------------------------------------------------------------------------------------------


class Standing(StrEnum):
    """How a transaction stands at this node."""

    PENDING = "pending"
    FINALIZED = "finalized"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStatus:
    """`location`, `time_ms` (block time) and `result` are there exactly when it is finalized."""

    transaction_id: bytes
    standing: Standing
    location: Location | None = None
    time_ms: int | None = None
    result: Result | None = None


class Submission(Protocol):
    """From a signed transaction to its result."""

    async def submit(self, transaction: Transaction, *, wait_s: float) -> TransactionStatus:
        """Accept a transaction durably; submitting the same one again is not an error.

        Args:
            transaction: strictly decoded, not yet verified.
            wait_s: how long to wait for finality, 0 to 60 s.

        Raises:
            Busy: the pool is full.
            LedgerError: what makes it inadmissible (signature, unknown key, window, size).
        """
        ...

    def status(self, transaction_id: bytes) -> TransactionStatus:
        """Raises NotFound when this node has never seen it."""
        ...


# --- deposits ----------------------------------------------------------------------------------------------

FieldValue = str | int | list[dict[str, str | int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentInput:
    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositInput:
    """Plaintext of a certificate; salts are derived from `salt_seed` (32 bytes)."""

    certificate_id: bytes
    certificate_type: str
    holder: bytes
    fields: dict[str, FieldValue]
    salt_seed: bytes
    attachments: tuple[AttachmentInput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was sealed and replicated: the issuer's arguments of `certificates.issue`."""

    certificate_id: bytes
    certificate_type: str
    type_version: int
    commitment_root: bytes
    payload_hash: bytes
    fields: tuple[str, ...]
    attachments: tuple[str, ...]
    replicas: int
    expires_ms: int


class Deposits(Protocol):
    async def prepare(self, deposit: DepositInput, caller: Caller) -> Draft:
        """Check against the type, seal, replicate. Raises LedgerError naming the member that is wrong."""
        ...


# --- releases and traces ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTransactions:
    """Ids of the transactions that requested and prepared a release."""

    request: bytes
    prepare: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedFile:
    data: bytes
    prepared: PreparedFile


class Releases(Protocol):
    async def request(self, transaction: Transaction, *, wait_s: float) -> Release:
        """Submit a signed `releases.request`, await finality, then ≤ `wait_s` until PREPARED or FAILED.

        Raises:
            Denied: the contract refused.
            Unavailable: not final in time; asking again with the same transaction is safe.
            LedgerError: inadmissible, or it does not name this node as `released_by`.
        """
        ...

    async def file(self, release_id: bytes, index: int) -> ReleasedFile:
        """The marked bytes, the same at every call.

        Raises:
            NotFound: no such release or file at this node.
            LedgerError: of category CONFLICT before PREPARED, of category GONE after the keep window.
        """
        ...

    async def marks(self, release_id: bytes, index: int) -> bytes | None:
        """What was done to a file, as JSON (`watermark.Manifest`); None where this node does not keep it."""
        ...

    async def transactions_of(self, release_id: bytes) -> ReleaseTransactions:
        """From the audit index, once it is as high as the chain. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchFacts:
    """A release whose mark the leak carries; `log10_np`: common logarithm of candidates × p-value.

    `seed` is that of its mark, by which anybody who has leak, original and layout key finds the same again, and which fits the
    commitment on the ledger. Who knows it could write that one mark: it is for evidence alone.
    """

    release_id: bytes
    certificate: bytes
    output: int
    log10_np: float
    channels: tuple[str, ...]
    seed: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReport:
    """What is known of a trace.

    Attributes:
        progress: from 0 to 1.
        unnamed: of a leak that no mark can trace, the releases that it may come from, oldest first.
    """

    progress: float
    matches: tuple[MatchFacts, ...]
    candidates: int
    phantom_best_log10_np: float | None
    notes: tuple[str, ...]
    assets: tuple[ComparedAsset, ...] = ()
    unnamed: tuple[bytes, ...] = ()


class Traces(Protocol):
    async def request(self, transaction: Transaction, file: bytes) -> Trace:
        """Submit a signed `traces.request`, wait for its finality, start the work.

        Raises:
            Denied: the contract refused.
            LedgerError: the file is not the one that the transaction names, or another node is to do it.
        """
        ...

    def kept_report(self, trace_id: bytes) -> bytes | None:
        """The very bytes whose hash is on the ledger; None while it is open, or where another node has them. Blocks on disk."""
        ...

    def report(self, trace_id: bytes) -> TraceReport:
        """What is known so far; an empty report with progress 0 where another node does the work."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakSource:
    """A certificate that a leak may come from, and what led to it, the surest first (`node/services/finding.py`)."""

    certificate: bytes
    ways: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakSources:
    """What a leaked file leads to.

    Attributes:
        file_hash: of the file.
        sources: the surest first, no more than a trace may name.
        more: there are others.
        partial: not everything in the file was looked at.
        notes: what was not looked at, and why.
    """

    file_hash: bytes
    sources: tuple[LeakSource, ...]
    more: bool
    partial: bool
    notes: tuple[str, ...]


class Finding(Protocol):
    async def find(self, file: bytes, caller: Caller) -> LeakSources:
        """The certificates that a leak may come from; who looked is written down before it is told.

        Raises:
            LimitExceeded: the file is too large.
            Busy, Unavailable: later.
        """
        ...

    async def looks(self, limit: int, before: int | None = None) -> tuple[Look, ...]:
        """Who looked at this node, newest first, of those with a number below `before`. Raises Unavailable."""
        ...


class GrantBodies(Protocol):
    """Bodies of grants (`node/services/grant_bodies.py`)."""

    def body(self, name: bytes) -> Body | None: ...

    def bodies_of(self, grant_id: bytes) -> tuple[Body, ...]: ...

    async def seal(self, grant_id: bytes, kind: BodyKind, body: GrantBody) -> bytes:
        """Raises NotFound, VerificationFailed (another body than the grant's), Unavailable."""
        ...

    async def open(self, transaction: Transaction) -> tuple[Body, GrantBody]:
        """Raises WrongCall, NotPerformedHere, Denied, KeyRefused, Unavailable, VerificationFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the HTTP layer needs of the node."""

    chain: Chain
    submission: Submission
    deposits: Deposits
    people: People
    releases: Releases
    traces: Traces
    index: Index
    logins: Logins | None = None
    bulk: BulkDeposits | None = None
    agents: Agents | None = None
    fetches: Fetches | None = None
    notices: Notices | None = None
    webhooks: Webhooks | None = None
    bodies: GrantBodies | None = None
    finding: Finding | None = None
