"""The replicas of a network in this process, as far as blocks are concerned: real stores, contracts, keys, certificates.

The only thing made up is consensus: a test proposes what is in a pool and has a quorum of real vote keys sign it. Time
is a number that moves by a second a block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from consensus.application import ProposalContext
from contracts.calls import (
    Action,
    Args,
    GovernanceApprove,
    GovernancePropose,
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterOrganization,
    RegisterPurposes,
    call,
)
from contracts.genesis import genesis_state
from contracts.records import (
    AccountKind,
    CertificateType,
    KeyRole,
    PurposeTemplate,
    TemplateItem,
)
from contracts.registry import REGISTRY
from contracts.versions import Registry
from ledger import domains
from ledger.crypto.suite import QuorumScheme, VoteSigner
from ledger.hashing import PROTOCOL_VERSION_MAX, block_digest, sign_transaction, transaction_id
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
    quorum_size,
)
from node.chain import Chain
from node.execution import Execution, FinalizedExecution
from node.mempool import Mempool, PoolLimits, SignatureCache
from node.servedstore import ServedStore
from node.services.facts import NodeFacts
from node.services.ports import Caller
from tests.suites import suite_under_test
from tests.unit.contracts_world import (
    AUDITOR,
    AUDITOR_ADMIN,
    BANK,
    BANK_ADMIN,
    CLERK,
    DAY_MS,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    NODES,
    OPERATORS,
    REGISTRAR,
    SHOP,
    SHOP_ADMIN,
    START_MS,
    SUITE,
    VOTERS,
    Actor,
    actor,
    directory_entries,
    enrolment,
    identity,
    new_key,
    registration,
    voter,
)
from zhenglian.catalogue import CertificateTypeSpec, load_catalogue
from zhenglian.type_records import certificate_type_of

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
# Secrets of every vote key that occurs in these tests, by public key.
SIGNERS: Final[dict[bytes, VoteSigner]] = {
    signer.public_key: signer for signer in (*VOTERS, voter("vote fifth"), voter("second vote"))
}
WRAPS: Final = tuple(SUITE.generate_wrap_key() for _ in range(4))


def spec_of(code: str) -> CertificateTypeSpec:
    return next(spec for spec in load_catalogue() if spec.code == code)


def type_of(spec: CertificateTypeSpec) -> CertificateType:
    """As the ledger registers it, without classes: no part of it needs a consent of its own."""
    return replace(certificate_type_of(spec), classes=())


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
                vote_key=VOTERS[n].public_key,
                possession=VOTERS[n].prove_possession("test", admin.account),
            )
        )
        operators.append(
            GenesisOperator(
                account=admin.account,
                name=f"op{n}",
                keys=keys,
                wrap_key=WRAPS[n][1],
                host=f"node-{n}.test",
                port=7000 + n,
                certificate=identity(f"certificate {n}", 32),
            )
        )
    return Genesis(
        network="test",
        suite=suite_under_test().name,
        time_ms=START_MS,
        validators=ValidatorSet(epoch=1, validators=tuple(validators)),
        operators=tuple(operators),
        limits=limits or Limits(),
    )


class Replica:
    """A ledger with its pool, as far as blocks are concerned."""

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        pool: PoolLimits | None = None,
        at: int = 0,
        protocol_version_max: int = PROTOCOL_VERSION_MAX,
        registry: Registry = REGISTRY,
        dealt: bool = True,
    ) -> None:
        self.folder = folder
        self.dealt = dealt
        self.at = at
        document = make_genesis(limits)
        path = folder / "store"
        exists = path.exists()
        self.store = (
            ServedStore.open(path, SUITE)
            if exists
            else ServedStore.create(path, SUITE, document, founded(document, dealt=dealt))
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
            clock_ms=lambda: self.now_ms,
            protocol_version_max=protocol_version_max,
            registry=registry,
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
            epoch=self.chain.validators.epoch,
            view=view or self.execution.finalized_height() + 1,
            height=0,
            time_ms=time_ms or self.now_ms,
            proposer=OPERATORS[self.at].account,
        )
        block = self.execution.propose(parent, context)
        assert block is not None
        return block, block_digest(SUITE, block.header)

    def finalize(self, block: Block) -> None:
        final = finalization(self.store.chain_id, block, self.chain.validators)
        self.execution.finalize(final, block_digest(SUITE, block.header))

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
        """One certificate type, a purpose for all of it, organisations with officers, and Li where there is a directory key."""
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
        if self.dealt:
            self.vote(REGISTRAR)
            clerk = OrganizationsAddKey(key=new_key(CLERK, KeyRole.OFFICER))
            self.done(self.sign(DEPARTMENT_ADMIN, clerk))
            self.done(self.sign(DEPARTMENT, enrolment(LI, self.store.chain_id, self.now_ms)))
        else:
            self.step()
        return self


def founded(document: Genesis, *, dealt: bool = True) -> dict[bytes, bytes]:
    """The state at height 0; with a directory key dealt in advance, so that people can be enrolled, unless `dealt` is off."""
    return genesis_state(SUITE, document) | (directory_entries() if dealt else {})


def finalization(chain_id: bytes, block: Block, validators: ValidatorSet | None = None) -> FinalizedBlock:
    """The block with a Finalization that a quorum of the set, genesis' if none is given, has really signed."""
    validators = validators or make_genesis().validators
    digest = block_digest(SUITE, block.header)
    votes = []
    for index, validator in enumerate(validators.validators[: quorum_size(len(validators.validators))]):
        vote = Vote(
            kind=VoteKind.FINALIZE,
            epoch=validators.epoch,
            view=block.header.view,
            digest=digest,
            validator=index,
            signature=b"-",
        )
        votes.append(replace(vote, signature=SIGNERS[validator.vote_key].sign_vote(chain_id, vote)))
    return FinalizedBlock(block=block, path=(), certificate=QUORUM.aggregate(validators, tuple(votes)))
