"""A small network made of fixed keys, for tests and golden vectors: the same bytes on every run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from ledger import codec, state_tree
from ledger.crypto.suite import Signer, VoteSigner, chain_id, key_id
from ledger.hashing import (
    ZERO_HASH,
    block_digest,
    genesis_header,
    results_root,
    sign_transaction,
    transaction_id,
    transactions_root,
    validators_hash,
)
from ledger.store_records import CommittedBlock
from ledger.types import (
    Block,
    Call,
    Event,
    FinalizedBlock,
    Genesis,
    GenesisKey,
    GenesisOperator,
    Header,
    Limits,
    QuorumCertificate,
    Result,
    Transaction,
    TransactionBody,
    Trust,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    quorum_size,
)
from tests.suites import scheme_under_test, suite_under_test, wrap_key_under_test

SUITE = suite_under_test()
SCHEME = scheme_under_test()
NETWORK = "测试网 test-net"
GENESIS_TIME_MS = 1_790_000_000_000
GENESIS_STATE = {b"limits": b"\x01", b"validators": b"\x02"}


def fixed(*names: object, size: int = 32) -> bytes:
    """Bytes that depend on the names alone."""
    label = "/".join(str(name) for name in names).encode()
    return hashlib.shake_256(b"zhenglian test/" + label).digest(size)


def vote_secret(index: int) -> bytes:
    return b"\x00" + fixed("vote", index)[1:]


def make_genesis(n: int = 4) -> Genesis:
    validators, operators = [], []
    for i in range(n):
        account = fixed("operator", i, size=16)
        vote_signer = SUITE.load_vote_signer(vote_secret(i))
        key = SUITE.load_signer(fixed("node key", i)).public_key
        validators.append(
            Validator(
                account=account,
                name=f"节点 {i}",
                vote_key=vote_signer.public_key,
                possession=vote_signer.prove_possession(NETWORK, account),
            )
        )
        operators.append(
            GenesisOperator(
                account=account,
                name=f"Operator {i}",
                keys=(
                    GenesisKey(
                        key_id=key_id(SUITE, SCHEME, key),
                        scheme=SCHEME,
                        public_key=key,
                        role="node",
                        label="n",
                    ),
                ),
                wrap_key=wrap_key_under_test(fixed("wrap", i)),
                host="127.0.0.1",
                port=9440 + i,
                certificate=fixed("certificate", i),
            )
        )
    return Genesis(
        network=NETWORK,
        suite=SUITE.name,
        time_ms=GENESIS_TIME_MS,
        validators=ValidatorSet(epoch=1, validators=tuple(validators)),
        operators=tuple(operators),
        limits=Limits(),
    )


@dataclass
class World:
    """A chain in the making, its state and tree in memory."""

    n: int = 4
    genesis: Genesis = field(init=False)
    vote_signers: list[VoteSigner] = field(init=False)
    signer: Signer = field(init=False)
    chain: bytes = field(init=False)
    parent: Header = field(init=False)
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    sets: dict[int, ValidatorSet] = field(default_factory=dict)
    signers_by_key: dict[bytes, VoteSigner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.genesis = make_genesis(self.n)
        self.vote_signers = [SUITE.load_vote_signer(vote_secret(i)) for i in range(self.n)]
        self.signers_by_key = {signer.public_key: signer for signer in self.vote_signers}
        self.sets[1] = self.genesis.validators
        self.signer = SUITE.load_signer(fixed("account key"))
        self.chain = chain_id(SUITE, self.genesis)
        tree = state_tree.update(SUITE, self.reader, None, GENESIS_STATE, 0)
        self.nodes.update(tree.nodes)
        self.parent = genesis_header(SUITE, self.genesis, tree.root)

    @property
    def reader(self) -> state_tree.NodeMap:
        return state_tree.NodeMap(self.nodes)

    @property
    def validators(self) -> ValidatorSet:
        """The set that votes on the next block."""
        return self.sets[max(self.sets)]

    def rotated(self, index: int = 0) -> ValidatorSet:
        """The next epoch's set, in which one validator has another vote key."""
        old = self.validators
        signer = SUITE.load_vote_signer(vote_secret(1000 * (old.epoch + 1) + index))
        self.signers_by_key[signer.public_key] = signer
        members = list(old.validators)
        member = members[index]
        members[index] = Validator(
            account=member.account,
            name=member.name,
            vote_key=signer.public_key,
            possession=signer.prove_possession(NETWORK, member.account),
        )
        return ValidatorSet(epoch=old.epoch + 1, validators=tuple(members))

    @property
    def trust(self) -> Trust:
        return Trust(
            version=1, network=NETWORK, suite=SUITE.name, chain_id=self.chain, validators=self.sets[1]
        )

    def transaction(self, *names: object) -> Transaction:
        body = TransactionBody(
            chain_id=self.chain,
            account=fixed("account", size=16),
            key_id=key_id(SUITE, SCHEME, self.signer.public_key),
            nonce=fixed("nonce", *names, size=16),
            valid_until_ms=GENESIS_TIME_MS + 600_000,
            call=Call(contract="grants", method="approve", args=codec.encode([*map(str, names)])),
        )
        return sign_transaction(SUITE, self.signer, body)

    def result(self, tx: Transaction) -> Result:
        event = Event(
            kind="grants.approved",
            object_id=fixed("grant", size=16),
            subjects=(tx.body.account,),
            data=(("count", 3), ("id", "0102"), ("purpose", "loan")),
        )
        return Result(
            transaction_id=transaction_id(SUITE, tx.body),
            code="ok",
            fields=(("limit", 7), ("what", "字段")),
            output=b"\x01",
            events=(event,),
        )

    def next_block(
        self,
        writes: Mapping[bytes, bytes | None],
        *,
        transactions: int = 2,
        next_validators: ValidatorSet | None = None,
    ) -> tuple[Block, tuple[Result, ...], state_tree.TreeUpdate]:
        """The child of the newest block; with `next_validators` it seals its epoch."""
        parent = self.parent
        height = parent.height + 1
        txs = tuple(self.transaction(height, i) for i in range(transactions))
        results = tuple(self.result(tx) for tx in txs)
        tree = state_tree.update(SUITE, self.reader, parent.height, writes, height)
        self.nodes.update(tree.nodes)
        validators = validators_hash(SUITE, self.validators)
        header = Header(
            version=1,
            chain_id=self.chain,
            epoch=self.validators.epoch,
            view=parent.view + 1 if parent.epoch == self.validators.epoch else 1,
            height=height,
            parent=block_digest(SUITE, parent),
            time_ms=parent.time_ms + 1000,
            proposer=self.validators.validators[height % self.n].account,
            transactions_root=transactions_root(SUITE, txs),
            results_root=results_root(SUITE, results),
            state_root=tree.root,
            validators_hash=validators,
            next_validators_hash=validators_hash(SUITE, next_validators or self.validators),
        )
        self.parent = header
        if next_validators is not None:
            self.sets[next_validators.epoch] = next_validators
        return Block(header=header, transactions=txs), results, tree

    def vote(self, index: int, kind: VoteKind, view: int, digest: bytes = ZERO_HASH, epoch: int = 1) -> Vote:
        vote = Vote(kind=kind, epoch=epoch, view=view, digest=digest, validator=index, signature=b"\0")
        members = self.sets.get(epoch, self.validators)
        signer = self.signers_by_key[members.validators[index].vote_key]
        signature = signer.sign_vote(self.chain, vote)
        return Vote(kind=kind, epoch=epoch, view=view, digest=digest, validator=index, signature=signature)

    def certify(
        self, header: Header, kind: VoteKind = VoteKind.FINALIZE, signers: tuple[int, ...] | None = None
    ) -> QuorumCertificate:
        """A certificate for a header, by a bare quorum where no signers are named."""
        indices = range(quorum_size(self.n)) if signers is None else signers
        digest = block_digest(SUITE, header)
        votes = tuple(self.vote(i, kind, header.view, digest, header.epoch) for i in indices)
        return SUITE.quorum.aggregate(self.sets[header.epoch], votes)

    def committed(
        self,
        writes: Mapping[bytes, bytes | None],
        *,
        transactions: int = 2,
        certificate: QuorumCertificate | None = None,
        next_validators: ValidatorSet | None = None,
        fillers: int = 0,
    ) -> CommittedBlock:
        """The next block, certified, as the store takes it; a seal by way of so many fillers."""
        block, results, tree = self.next_block(
            writes, transactions=transactions, next_validators=next_validators
        )
        path: list[Header] = []
        for _ in range(fillers):
            path.append(self.filler(path[-1] if path else block.header))
        certified = path[-1] if path else block.header
        finalized = FinalizedBlock(
            block=block, path=tuple(path), certificate=certificate or self.certify(certified)
        )
        return CommittedBlock(
            finalized=finalized,
            results=results,
            writes=writes,
            nodes=tree.nodes,
            stale=tree.stale,
            next_validators=next_validators,
        )

    def filler(self, parent: Header, /, **changes: object) -> Header:
        """A child of a seal, or of a filler above it."""
        filled: dict[str, object] = {
            "view": parent.view + 1,
            "parent": block_digest(SUITE, parent),
            "time_ms": parent.time_ms + 1000,
            "transactions_root": transactions_root(SUITE, ()),
            "results_root": results_root(SUITE, ()),
        }
        return replace(parent, **{**filled, **changes})

    def finalized_with_path(self, length: int) -> tuple[FinalizedBlock, tuple[Result, ...]]:
        """The next block, final through the certificate of a descendant `length` blocks above."""
        block, results, _ = self.next_block({b"k": b"v"}, transactions=5)
        path = tuple(self.next_block({})[0].header for _ in range(length))
        certified = path[-1] if path else block.header
        return FinalizedBlock(block=block, path=path, certificate=self.certify(certified)), results
