"""What operators hand each other to restart a network of which every machine was lost; pure.

    offer      of each operator: its new vote key and addresses, and its declaration that nothing later was final
    plan       of one of them: all offers, and the proposal that gives the validators these keys
    approval   of each: governance's vote for the proposal
    block      the one block with exactly these transactions
    vote       of each: a Finalize vote for it by the old vote key
    restart    the block with a quorum of them: an ordinary finalized block

Rule: everything follows from the last block that the archive has and from what operators signed, so all of them make the same
block, byte for byte. The block is the seal of its epoch: whoever followed the chain before follows it on by the usual
proof of an epoch change, and contracts judge it like any other.

Its view is one that no run of consensus reaches, so no forgotten vote can be of that view, and a vote for it contradicts
none. A key that votes for it never votes again in that epoch, and votes for one such block only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from contracts.actions import ChangeValidators, RotateVoteKey
from contracts.calls import (
    CALLS,
    GovernanceApprove,
    GovernancePropose,
    NodesSetAddress,
    NodesSetCertificates,
    call,
)
from contracts.records import Account
from ledger import codec, domains, readable
from ledger.crypto.suite import CryptoSuite, Signer
from ledger.errors import Category, LedgerError
from ledger.hashing import transaction_id, validators_hash
from ledger.types import (
    VALIDATORS_MAX,
    AccountId,
    Block,
    Call,
    Count,
    FinalizedBlock,
    Hash,
    KeyId,
    Name,
    PublicKey,
    Signature,
    Text,
    TimeMs,
    Transaction,
    ValidatorSet,
    Vote,
    Wire,
    quorum_size,
)

RESTART_VERSION: Final = 1
# Views begin at 1 in every epoch; one a millisecond would take a hundred thousand years to come here.
RESTART_VIEW: Final = 2**52
PAPER_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
DECLARATION: Final = "The machines of this network are lost or stopped for good, and to our knowledge no later block was final."
OWN_TRANSACTIONS_MAX: Final = 2

P = TypeVar("P", bound=Wire)


class RestartRefused(LedgerError):
    """The network cannot be restarted like this. Fields: reason_zh, reason_en."""

    code = "restart_refused"
    category = Category.CONFLICT
    zh = "不能这样重启网络：{reason_zh}"
    en = "The network cannot be restarted like this: {reason_en}"


class RestartBase(Wire):
    """Where the chain goes on: the last block that all operators have.

    Attributes:
        network, chain_id: which network.
        epoch: of the next block.
        height, head, time_ms: height, digest and block time of the last one.
    """

    network: Name
    chain_id: Hash
    epoch: Count
    height: Count
    head: Hash
    time_ms: TimeMs


class OfferBody(Wire):
    """What an operator offers.

    Attributes:
        version: 1.
        base: where its own ledger ends.
        declaration: `DECLARATION`.
        account: who offers.
        vote_key, possession: of its next vote key.
        transactions: its node's new address and certificate, where they are new.
        key_id: the account's key that signs the offer.
    """

    version: Count
    base: RestartBase
    declaration: Text
    account: AccountId
    vote_key: PublicKey
    possession: Signature
    transactions: Annotated[tuple[Transaction, ...], Meta(max_length=OWN_TRANSACTIONS_MAX)]
    key_id: KeyId


class Offer(Wire):
    """An offer, signed under the domain RESTART by a key of the account."""

    body: OfferBody
    signature: Signature


class Plan(Wire):
    """All offers, in the order of the validators, and the proposal for the keys in them."""

    base: RestartBase
    offers: Annotated[tuple[Offer, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]
    proposal: Transaction


class Approval(Wire):
    """Governance's vote of one operator for the plan's proposal."""

    transaction: Transaction


class Sealing(Wire):
    """The block to vote on."""

    block: Block


class Ballot(Wire):
    """One old key's vote."""

    vote: Vote


class Restart(Wire):
    """The block, final."""

    finalized: FinalizedBlock


def refuse(zh: str, en: str) -> RestartRefused:
    return RestartRefused(reason_zh=zh, reason_en=en)


# --- files ------------------------------------------------------------------------------------------------------------


def to_json(paper: Wire) -> bytes:
    """A paper for people to read."""
    return readable.render(readable.to_tree(paper, type(paper))).encode()


def from_json(data: bytes, kind: type[P], name: str) -> P:
    """Read a paper. Raises RestartRefused when it is none."""
    try:
        tree = readable.parse(data, name, size_bytes_max=PAPER_SIZE_BYTES_MAX)
        return readable.from_tree(tree, kind, name, size_bytes_max=PAPER_SIZE_BYTES_MAX)
    except LedgerError as error:
        raise refuse(
            f"{name} 无法使用（{error.message('zh')}）", f"{name} cannot be used ({error.message()})"
        ) from None


# --- offers and plan ----------------------------------------------------------------------------------------------------


def sign_offer(signer: Signer, body: OfferBody) -> Offer:
    return Offer(body=body, signature=signer.sign(domains.RESTART, codec.encode(body)))


def check_offer(suite: CryptoSuite, base: RestartBase, account: Account, offer: Offer) -> None:
    """Whether the operator of `account` makes this offer for `base`.

    Raises:
        RestartRefused: it ends elsewhere, is not signed by the account, or holds what no offer holds.
    """
    body, name = offer.body, account.name
    if body.version != RESTART_VERSION or body.declaration != DECLARATION:
        raise refuse(f"{name} 的提议版本不受支持", f"the offer of {name} is of another version")
    if body.base != base:
        other, own = body.base.height, base.height
        raise refuse(
            f"{name} 的账本到高度 {other}，本节点到 {own}；全部运营方须导入同一归档，取高度最大者",
            f"the ledger of {name} ends at height {other} and this one at {own}: all have to import the same archive, the "
            "one that goes furthest",
        )
    key = next((one for one in account.keys if one.key_id == body.key_id and not one.revoked_ms), None)
    signed = key is not None and suite.verify(
        key.scheme, key.public_key, domains.RESTART, codec.encode(body), offer.signature
    )
    if body.account != account.account_id or not signed:
        raise refuse(f"{name} 的提议签名无效", f"the offer of {name} is not signed by it")
    if not suite.quorum.verify_possession(base.network, body.account, body.vote_key, body.possession):
        raise refuse(f"{name} 未证明持有新投票密钥", f"{name} does not prove possession of its next vote key")
    for transaction in body.transactions:
        made = transaction.body
        kind = CALLS.get((made.call.contract, made.call.method))
        if made.account != body.account or kind not in {NodesSetAddress, NodesSetCertificates}:
            raise refuse(
                f"{name} 的提议含有不应有的交易",
                f"the offer of {name} holds a transaction that has no place in it",
            )


def rotation(offers: Sequence[Offer]) -> ChangeValidators:
    """What governance decides: every offered key."""
    return ChangeValidators(
        changes=tuple(
            RotateVoteKey(
                account=offer.body.account, vote_key=offer.body.vote_key, possession=offer.body.possession
            )
            for offer in offers
        )
    )


def next_validators(validators: ValidatorSet, offers: Sequence[Offer]) -> ValidatorSet:
    """The set after the restart."""
    keys = {offer.body.account: offer.body for offer in offers}
    return ValidatorSet(
        epoch=validators.epoch + 1,
        validators=tuple(
            msgspec.structs.replace(
                one, vote_key=keys[one.account].vote_key, possession=keys[one.account].possession
            )
            if one.account in keys
            else one
            for one in validators.validators
        ),
    )


def check_plan(suite: CryptoSuite, base: RestartBase, validators: ValidatorSet, plan: Plan) -> None:
    """Whether a plan, whose offers were checked one by one, is one for these validators.

    Raises:
        RestartRefused: too few offers, out of order, or another proposal than the one that follows from them.
    """
    if plan.base != base:
        raise refuse(
            "计划所依据的区块与本节点的最后区块不同",
            "the plan goes on from another block than this ledger's last",
        )
    order = [one.account for one in validators.validators]
    places = [order.index(offer.body.account) for offer in plan.offers if offer.body.account in order]
    if len(places) != len(plan.offers) or places != sorted(set(places)):
        raise refuse("计划中的提议有误", "the plan's offers are not those of validators in their order")
    needed = quorum_size(len(order))
    if len(places) < needed:
        raise refuse(
            f"至少需要 {needed} 个运营方的提议，只有 {len(places)} 个",
            f"the offers of {needed} operators are needed, and there are {len(places)}",
        )
    if plan.proposal.body.call != call(GovernancePropose(action=rotation(plan.offers))):
        raise refuse("计划中的提案与各方提议不符", "the plan's proposal is not the one of its offers")


def proposal_id(suite: CryptoSuite, plan: Plan) -> bytes:
    """The id that the plan's proposal gets."""
    return suite.hash(domains.PROPOSAL_ID, transaction_id(suite, plan.proposal.body))[:16]


def approving(suite: CryptoSuite, plan: Plan) -> Call:
    """The call that approves the plan."""
    return call(GovernanceApprove(proposal_id=proposal_id(suite, plan)))


# --- the block ------------------------------------------------------------------------------------------------------------


def block_time_ms(base: RestartBase) -> int:
    """Block time of the restart: the least there is, so that nobody has to agree on a clock."""
    return base.time_ms + 1


def transactions_of(plan: Plan, approvals: Sequence[Transaction]) -> tuple[Transaction, ...]:
    """The block's transactions in their order."""
    own = tuple(transaction for offer in plan.offers for transaction in offer.body.transactions)
    return (*own, plan.proposal, *approvals)


def check_block(suite: CryptoSuite, validators: ValidatorSet, plan: Plan, block: Block) -> None:
    """Whether a block is the one that the plan leads to, as far as can be told without executing it.

    Raises:
        RestartRefused: it holds something else.
    """
    header, base = block.header, plan.base
    approvals = block.transactions[len(transactions_of(plan, ())) :]
    facts = (
        (header.chain_id, header.epoch, header.height, header.parent)
        == (base.chain_id, base.epoch, base.height + 1, base.head),
        header.view == RESTART_VIEW and header.time_ms == block_time_ms(base),
        block.transactions == transactions_of(plan, approvals),
        all(transaction.body.call == approving(suite, plan) for transaction in approvals),
        header.next_validators_hash == validators_hash(suite, next_validators(validators, plan.offers)),
    )
    if not all(facts):
        raise refuse("该区块不是计划所得的区块", "the block is not the one that the plan leads to")
