"""An operator's part in restarting a network of which every machine was lost; the papers: `restart_papers.py`.

Rule: one step at a time, and only the step that the papers in the common folder allow. Nothing is believed because it lies there.
Before a vote is given out the old key is silenced, durably, and the vote is noted in the home: a key votes for one such block in an
epoch, whatever is asked of it later. A home whose own journal knows of a later final block takes no part.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from consensus.application import ProposalContext
from contracts.calls import Args, GovernancePropose, NodesSetAddress, NodesSetCertificates, call
from contracts.membership import node as node_record
from contracts.membership import validators
from contracts.records import Account
from contracts.state import ACCOUNTS, present
from ledger.crypto.suite import CryptoSuite, Signer
from ledger.hashing import block_digest, sign_transaction, transaction_id
from ledger.light import TRUST_VERSION, check_finality
from ledger.store import Store
from ledger.types import (
    NONCE_SIZE_BYTES,
    Block,
    Call,
    FinalizedBlock,
    Transaction,
    TransactionBody,
    Trust,
    Vote,
    VoteKind,
    Wire,
    quorum_size,
)
from node.archive_import import Replay
from node.execution import Execution
from node.home import Home, read_file, write_file
from node.identity import NodeIdentity
from node.mempool import Mempool, PoolLimits, SignatureCache
from node.restart_memory import note_vote, refuse_if_later_is_known, silence
from node.restart_papers import (
    DECLARATION,
    PAPER_SIZE_BYTES_MAX,
    RESTART_VERSION,
    RESTART_VIEW,
    Approval,
    Ballot,
    Offer,
    OfferBody,
    Plan,
    Restart,
    RestartBase,
    Sealing,
    approving,
    block_time_ms,
    check_block,
    check_offer,
    check_plan,
    from_json,
    refuse,
    rotation,
    sign_offer,
    to_json,
    transactions_of,
)
from node.rotation import certificate_of, rotate_vote_key

P = TypeVar("P", bound=Wire)


class Waiting(StrEnum):
    """What the others still have to do."""

    OFFERS = "offers"
    APPROVALS = "approvals"
    VOTES = "votes"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How far it has come.

    Attributes:
        did: the papers that this call wrote.
        waiting: what is awaited; NOTHING once this home's ledger has gone on.
        present, needed: how many operators have done that, of how many.
        height: of this home's ledger.
    """

    did: tuple[str, ...]
    waiting: Waiting
    present: int
    needed: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who takes part with this home; None in its place for a home that only follows.

    Attributes:
        identity: the node's keys.
        admin_key_id, admin: the key of governance votes.
        host, port: where peers reach the new machine; None to leave it as the ledger has it.
        close: go on without the operators that have made no offer.
    """

    identity: NodeIdentity
    admin_key_id: bytes
    admin: Signer
    host: str | None
    port: int | None
    close: bool


def advance(home: Home, folder: Path, suite: CryptoSuite, operator: Operator | None) -> Progressed:
    """Do whatever this home can do now; the caller holds its lock.

    Args:
        home: with the imported ledger, and a journal where it has an identity.
        folder: of the papers, common to all operators.
        suite: the network's.
        operator: who takes part; None to take only the result.

    Raises:
        RestartRefused: a paper is not what it should be, or this home must not take part.
        LedgerError: the home cannot be read or written.
    """
    with Store.open(home.store, suite) as store:
        part = _Part(home, folder, suite, store, operator)
        waiting, done, needed = part.go_on()
        return Progressed(
            did=tuple(part.did), waiting=waiting, present=done, needed=needed, height=store.height
        )


class _Part:
    """One call of `advance`."""

    def __init__(
        self, home: Home, folder: Path, suite: CryptoSuite, store: Store, operator: Operator | None
    ) -> None:
        self._home = home
        self._folder = folder
        self._suite = suite
        self._store = store
        self._operator = operator
        self._set = validators(store)
        self._base = RestartBase(
            network=store.genesis.network,
            chain_id=store.chain_id,
            epoch=self._set.epoch,
            height=store.height,
            head=store.head_digest,
            time_ms=store.head.time_ms,
        )
        self.did: list[str] = []

    def go_on(self) -> tuple[Waiting, int, int]:
        """One step after the other, until others are awaited."""
        restart = self._read("restart.json", Restart)
        if restart is not None:
            return self._apply(restart.finalized)
        operator = self._operator
        plan = self._read("plan.json", Plan)
        if plan is None:
            offers = self._offers()
            if operator is not None and self._index(operator.identity.account) is not None:
                offers = self._with_own(operator, offers)
            plan = self._make_plan(operator, offers)
            if plan is None:
                return Waiting.OFFERS, len(offers), len(self._set.validators)
        self._check(plan)
        if operator is None or self._index(operator.identity.account) is None:
            return Waiting.VOTES, 0, self._quorum
        self._require_own_key(operator, plan)
        block = self._sealing(operator, plan)
        if block is None:
            return Waiting.APPROVALS, len(self._approvals(plan)) + 1, self._quorum
        votes = self._votes(operator, plan, block)
        if len(votes) < self._quorum:
            return Waiting.VOTES, len(votes), self._quorum
        certificate = self._suite.quorum.aggregate(self._set, votes)
        final = FinalizedBlock(block=block, path=(), certificate=certificate)
        self._write("restart.json", Restart(finalized=final))
        return self._apply(final)

    @property
    def _quorum(self) -> int:
        return quorum_size(len(self._set.validators))

    def _index(self, account: bytes) -> int | None:
        order = [one.account for one in self._set.validators]
        return order.index(account) if account in order else None

    # --- offers -----------------------------------------------------------------------------------------------------

    def _offers(self) -> list[Offer]:
        """The offers that lie there, in the order of the validators."""
        found: list[Offer] = []
        for one in self._set.validators:
            offer = self._read(f"offer-{one.account.hex()}.json", Offer)
            if offer is not None:
                check_offer(self._suite, self._base, self._account(one.account), offer)
                found.append(offer)
        return found

    def _with_own(self, operator: Operator, offers: list[Offer]) -> list[Offer]:
        account = operator.identity.account
        if any(offer.body.account == account for offer in offers):
            return offers
        refuse_if_later_is_known(self._home, self._store)
        card = rotate_vote_key(self._home, self._suite)
        body = OfferBody(
            version=RESTART_VERSION,
            base=self._base,
            declaration=DECLARATION,
            account=account,
            vote_key=bytes.fromhex(card.vote_key),
            possession=bytes.fromhex(card.possession),
            transactions=tuple(self._own_transactions(operator)),
            key_id=operator.identity.node_key_id,
        )
        offer = sign_offer(operator.identity.node_signer, body)
        check_offer(self._suite, self._base, self._account(account), offer)
        self._write(f"offer-{account.hex()}.json", offer)
        return self._offers()

    def _own_transactions(self, operator: Operator) -> Iterator[Transaction]:
        """Address and certificate of the new machine, as far as the ledger has others."""
        identity = operator.identity
        record = present(node_record(self._store, identity.account), "the record of a validator's node")
        key_id, signer = identity.node_key_id, identity.node_signer
        address = (operator.host or record.host, operator.port or record.port)
        if address != (record.host, record.port):
            moved = NodesSetAddress(host=address[0], port=address[1])
            yield self._signed(identity, key_id, signer, moved)
        certificate = certificate_of(identity.tls)
        if certificate not in record.certificates:
            shown = NodesSetCertificates(certificates=(certificate,))
            yield self._signed(identity, key_id, signer, shown)

    def _account(self, account: bytes) -> Account:
        return present(ACCOUNTS.get(self._store, account), "the account of a validator")

    # --- plan and approvals -----------------------------------------------------------------------------------------

    def _make_plan(self, operator: Operator | None, offers: Sequence[Offer]) -> Plan | None:
        if operator is None or self._index(operator.identity.account) is None:
            return None
        if len(offers) < (self._quorum if operator.close else len(self._set.validators)):
            return None
        proposal = self._signed(
            operator.identity,
            operator.admin_key_id,
            operator.admin,
            GovernancePropose(action=rotation(offers)),
        )
        plan = Plan(base=self._base, offers=tuple(offers), proposal=proposal)
        self._check(plan)
        self._write("plan.json", plan)
        return plan

    def _check(self, plan: Plan) -> None:
        for offer in plan.offers:
            if self._index(offer.body.account) is None:
                raise refuse(
                    "计划中有非验证者的提议", "the plan has the offer of somebody who is no validator"
                )
            check_offer(self._suite, self._base, self._account(offer.body.account), offer)
        check_plan(self._suite, self._base, self._set, plan)

    def _require_own_key(self, operator: Operator, plan: Plan) -> None:
        """The key that the plan gives this node is one that this home holds."""
        account = operator.identity.account
        own = next((offer.body for offer in plan.offers if offer.body.account == account), None)
        if own is not None and own.vote_key.hex() != rotate_vote_key(self._home, self._suite).vote_key:
            raise refuse(
                "计划中本节点的新投票密钥不在此目录中；请在当初提议的目录中继续，或全部重新开始",
                "the plan's next vote key of this node is not the one in this folder: go on in the folder that made the "
                "offer, or begin anew with all",
            )

    def _approvals(self, plan: Plan) -> list[Transaction]:
        """Others' approvals that lie there, in the order of the validators, as many as are needed beside the proposer's."""
        found: list[Transaction] = []
        wanted, proposer = approving(self._suite, plan), plan.proposal.body.account
        for one in self._set.validators:
            paper = self._read(f"approval-{one.account.hex()}.json", Approval)
            if paper is None or one.account == proposer:
                continue
            body = paper.transaction.body
            if (body.account, body.call) != (one.account, wanted):
                raise refuse(
                    f"{one.name} 的批准不属于此计划", f"the approval of {one.name} is not of this plan"
                )
            found.append(paper.transaction)
        return found[: self._quorum - 1]

    def _sealing(self, operator: Operator, plan: Plan) -> Block | None:
        """The block to vote on, made if it can be; None while approvals are missing."""
        paper = self._read("block.json", Sealing)
        if paper is not None:
            check_block(self._suite, self._set, plan, paper.block)
            return paper.block
        identity = operator.identity
        name = f"approval-{identity.account.hex()}.json"
        if plan.proposal.body.account != identity.account and not (self._folder / name).exists():
            refuse_if_later_is_known(self._home, self._store)
            transaction = self._sign(
                identity, operator.admin_key_id, operator.admin, approving(self._suite, plan)
            )
            self._write(name, Approval(transaction=transaction))
        approvals = self._approvals(plan)
        # One maker, so that copies of the folder cannot lead to two blocks that share the votes.
        if plan.proposal.body.account != identity.account or len(approvals) < self._quorum - 1:
            return None
        block = self._build(plan, approvals)
        self._write("block.json", Sealing(block=block))
        return block

    def _build(self, plan: Plan, approvals: Sequence[Transaction]) -> Block:
        pool = Mempool(PoolLimits())
        execution = self._execution(pool)
        wanted = transactions_of(plan, approvals)
        for transaction in wanted:
            pool.add(transaction_id(self._suite, transaction.body), transaction)
        context = ProposalContext(
            epoch=self._base.epoch,
            view=RESTART_VIEW,
            height=self._base.height + 1,
            time_ms=block_time_ms(self._base),
            proposer=plan.proposal.body.account,
        )
        block = execution.propose(self._base.head, context)
        if block is None or block.transactions != wanted:
            raise refuse(
                "其中有交易不能进入区块（签名、密钥或有效期）",
                "a transaction in it cannot be in a block: its signature, key or time does not hold",
            )
        check_block(self._suite, self._set, plan, block)
        return block

    def _execution(self, pool: Mempool) -> Execution:
        return Execution(
            suite=self._suite,
            store=self._store,
            mempool=pool,
            verify=SignatureCache(self._suite),
            on_finalized=lambda _final: None,
            clock_ms=lambda: 0,
        )

    # --- votes ------------------------------------------------------------------------------------------------------

    def _votes(self, operator: Operator, plan: Plan, block: Block) -> tuple[Vote, ...]:
        """Everybody's votes, the own one given if it was not."""
        digest = block_digest(self._suite, block.header)
        own = self._index(operator.identity.account)
        name = f"vote-{operator.identity.account.hex()}.json"
        if own is not None and not (self._folder / name).exists():
            self._give_vote(operator.identity, own, block, digest, name)
        found: list[Vote] = []
        for index, one in enumerate(self._set.validators):
            paper = self._read(f"vote-{one.account.hex()}.json", Ballot)
            if paper is None:
                continue
            vote = paper.vote
            named = (vote.kind, vote.epoch, vote.view, vote.digest, vote.validator)
            if named != (VoteKind.FINALIZE, self._base.epoch, RESTART_VIEW, digest, index):
                raise refuse(
                    f"{one.name} 的投票不是给此区块的", f"the vote of {one.name} is not for this block"
                )
            if not self._suite.quorum.verify_vote(self._base.chain_id, self._set, vote):
                raise refuse(f"{one.name} 的投票签名无效", f"the vote of {one.name} is not signed by its key")
            found.append(vote)
        return tuple(found)

    def _give_vote(self, identity: NodeIdentity, index: int, block: Block, digest: bytes, name: str) -> None:
        """Vote with the old key, for the last time."""
        signer = identity.vote_signers.get(self._set.validators[index].vote_key)
        if signer is None:
            raise refuse(
                "此目录没有账本所载的投票密钥，不能投票",
                "this folder does not have the vote key that the ledger names",
            )
        if not self._execution(Mempool(PoolLimits())).verify(block, digest):
            raise refuse("重新执行该区块的结果不同", "executing the block gives something else than it says")
        refuse_if_later_is_known(self._home, self._store)
        silence(self._home, signer.public_key)
        note_vote(self._home, self._base.epoch, digest)
        vote = Vote(
            kind=VoteKind.FINALIZE,
            epoch=self._base.epoch,
            view=RESTART_VIEW,
            digest=digest,
            validator=index,
            signature=b"-",
        )
        signed = msgspec.structs.replace(vote, signature=signer.sign_vote(self._base.chain_id, vote))
        self._write(name, Ballot(vote=signed))

    # --- the end ----------------------------------------------------------------------------------------------------

    def _apply(self, final: FinalizedBlock) -> tuple[Waiting, int, int]:
        """Put the block into this home's ledger, if it is not there already."""
        digest = block_digest(self._suite, final.block.header)
        if self._store.height_of(digest) is None:
            trust = Trust(
                version=TRUST_VERSION,
                network=self._base.network,
                suite=self._suite.name,
                chain_id=self._base.chain_id,
                validators=self._set,
            )
            check_finality(self._suite, trust, final.block.header, final.path, final.certificate)
            taking = Replay(self._suite, self._store)
            taking.add(final)
            taking.flush()
            self.did.append("ledger")
        return Waiting.NOTHING, self._quorum, self._quorum

    # --- papers -----------------------------------------------------------------------------------------------------

    def _signed(self, identity: NodeIdentity, key_id: bytes, signer: Signer, args: Args) -> Transaction:
        return self._sign(identity, key_id, signer, call(args))

    def _sign(self, identity: NodeIdentity, key_id: bytes, signer: Signer, what: Call) -> Transaction:
        lifetime_ms = self._store.genesis.limits.transaction_lifetime_ms_max
        body = TransactionBody(
            chain_id=self._base.chain_id,
            account=identity.account,
            key_id=key_id,
            nonce=secrets.token_bytes(NONCE_SIZE_BYTES),
            valid_until_ms=block_time_ms(self._base) + min(lifetime_ms, 1000),
            call=what,
        )
        return sign_transaction(self._suite, signer, body)

    def _read(self, name: str, kind: type[P]) -> P | None:
        path = self._folder / name
        if not path.exists():
            return None
        return from_json(read_file(path, size_bytes_max=PAPER_SIZE_BYTES_MAX), kind, name)

    def _write(self, name: str, paper: Wire) -> None:
        write_file(self._folder / name, to_json(paper), replace=False)
        self.did.append(name)
