"""Views of the network, blocks, events and transactions.

Rule: an event looks the same whether it comes from the index, the stream or a transaction's result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contracts.denials import denial_message
from contracts.passkeys import facts
from ledger.errors import invariant
from ledger.hashing import block_digest
from ledger.types import RESULT_OK, FinalizedBlock, Header, Result, Transaction, quorum_size
from node.http.views.common import Names, instant
from node.index.ports import IndexedEvent, cursor_of
from node.services.facts import NodeFacts, PeerFacts
from node.services.ports import Chain, TransactionStatus
from node.upgrades import coming
from zhenglian import api


def node_status(chain: Chain, facts: NodeFacts, names: Names) -> api.NodeStatus:
    """How this node and its network are."""
    height = chain.height
    head = _header(chain, height)
    validators = chain.validators.validators
    by_account = {validator.account: validator.name for validator in validators}
    return api.NodeStatus(
        network=chain.genesis.network,
        chain_id=chain.chain_id.hex(),
        account=facts.account.hex(),
        name=by_account.get(facts.account) or names.account(facts.account),
        release=facts.release,
        height=height,
        block_time=instant(head.time_ms),
        head=block_digest(chain.suite, head).hex(),
        view=facts.view,
        leader=by_account.get(facts.leader, facts.leader.hex()),
        validators=len(validators),
        quorum=quorum_size(len(validators)),
        peers=[peer(facts_of_peer) for facts_of_peer in facts.peers],
        pending_transactions=facts.pending_transactions,
        syncing=facts.syncing,
        voting=facts.voting,
        started=instant(facts.started_ms),
        clock=instant(facts.clock_ms),
        keys_ready=chain.shared_keys().ready,
        missing_shares=list(facts.missing_shares),
        upgrades=[
            api.UpgradeView(
                contract=one.contract or None,
                version=one.version,
                height=one.height,
                supported=one.supported,
            )
            for one in coming(
                chain.pending_protocol(), chain.pending_upgrades(), known=chain.contract_versions
            )
        ],
    )


def peer(facts: PeerFacts) -> api.PeerView:
    """Another node."""
    return api.PeerView(
        account=facts.account.hex(),
        name=facts.name,
        connected=facts.connected,
        height=facts.height,
        round_trip_ms=facts.round_trip_ms,
        bad_shares=facts.bad_shares,
    )


def network(chain: Chain) -> api.NetworkView:
    """What the network is and who votes in it."""
    validators = chain.validators
    return api.NetworkView(
        network=chain.genesis.network,
        suite=chain.genesis.suite,
        chain_id=chain.chain_id.hex(),
        epoch=validators.epoch,
        validators=[
            api.ValidatorView(
                account=validator.account.hex(), name=validator.name, vote_key=validator.vote_key.hex()
            )
            for validator in validators.validators
        ],
    )


def block(chain: Chain, names: Names, height: int) -> api.BlockView | None:
    """A finalized block, genesis included; None where there is none."""
    header = chain.header(height)
    if header is None:
        return None
    finalized = chain.finalized(height) if height > 0 else None
    return api.BlockView(
        height=height,
        digest=block_digest(chain.suite, header).hex(),
        parent=header.parent.hex(),
        view=header.view,
        time=instant(header.time_ms),
        proposer=header.proposer.hex(),
        proposer_name=names.account(header.proposer),
        transactions=len(chain.results(height)),
        transactions_root=header.transactions_root.hex(),
        results_root=header.results_root.hex(),
        state_root=header.state_root.hex(),
        signers=signers(chain, finalized) if finalized else [],
    )


def signers(chain: Chain, finalized: FinalizedBlock) -> list[str]:
    """Names of the validators whose votes made the block final."""
    certificate = finalized.certificate
    voters = chain.validator_set(certificate.epoch)
    known = voters.validators if voters is not None else ()
    indexes = [
        index
        for index in range(len(certificate.signers) * 8)
        if certificate.signers[index // 8] >> (index % 8) & 1
    ]
    return [known[index].name if index < len(known) else f"#{index}" for index in indexes]


def event(indexed: IndexedEvent, names: Names) -> api.EventView:
    """An event with the names of who acted."""
    return api.EventView(
        cursor=str(indexed.cursor),
        kind=indexed.kind,
        object_id=indexed.object_id.hex(),
        subjects=[subject.hex() for subject in indexed.subjects],
        data=dict(indexed.data),
        height=indexed.height,
        time=instant(indexed.time_ms),
        transaction_id=indexed.transaction_id.hex(),
        account=indexed.account.hex(),
        account_name=names.account(indexed.account),
        key_id=indexed.key_id.hex(),
        key_label=names.key(indexed.account, indexed.key_id),
        code=indexed.code,
    )


def transaction(
    status: TransactionStatus,
    chain: Chain,
    names: Names,
    seen: Callable[[Transaction, Result, Header, int], tuple[Sequence[IndexedEvent], bool]],
) -> api.TransactionView:
    """How a transaction stands, with its result once it is final.

    Args:
        status: where it is.
        chain: what is final.
        names: of accounts.
        seen: which of its events the asker sees, and whether he sees the whole; who sees nothing is told how it stands alone.
    """
    location = status.location
    result: api.ResultView | None = None
    passkey: api.PasskeyFactsView | None = None
    time_ms = status.time_ms
    if location is not None and status.result is not None:
        finalized = chain.finalized(location.height)
        # Its block may have been pruned since it was found.
        if finalized is not None:
            header = finalized.block.header
            time_ms = header.time_ms
            signed = finalized.block.transactions[location.index]
            events, whole = seen(signed, status.result, header, location.index)
            passkey = _passkey(signed.signature) if whole else None
            if whole or events:
                result = _result(status.result, [event(one, names) for one in events], whole=whole)
    return api.TransactionView(
        transaction_id=status.transaction_id.hex(),
        status=status.standing.value,
        height=location.height if location else None,
        time=instant(time_ms) if time_ms is not None else None,
        result=result,
        passkey=passkey,
    )


def _passkey(signature: bytes) -> api.PasskeyFactsView | None:
    """What stands beside a passkey's signature; a plain one is no such structure."""
    said = facts(signature)
    if said is None:
        return None
    return api.PasskeyFactsView(counter=said.counter, backed_up=said.backed_up, origin=said.origin)


def _result(result: Result, events: list[api.EventView], *, whole: bool) -> api.ResultView:
    fields = dict(result.fields)
    return api.ResultView(
        code=result.code,
        message_zh="成功" if result.code == RESULT_OK else denial_message(result.code, fields, "zh"),
        message_en="ok" if result.code == RESULT_OK else denial_message(result.code, fields, "en"),
        fields=fields,
        output=result.output.hex() if whole else "",
        events=events,
    )


def events_of(header: Header, index: int, transaction: Transaction, result: Result) -> list[IndexedEvent]:
    """The events of a transaction, as the index has them."""
    body = transaction.body
    return [
        IndexedEvent(
            cursor=cursor_of(header.height, index, number),
            kind=happened.kind,
            object_id=happened.object_id,
            subjects=happened.subjects,
            data=happened.data,
            height=header.height,
            time_ms=header.time_ms,
            transaction_id=result.transaction_id,
            account=body.account,
            key_id=body.key_id,
            code=result.code,
        )
        for number, happened in enumerate(result.events)
    ]


def _header(chain: Chain, height: int) -> Header:
    header = chain.header(height)
    invariant(header is not None, "the head has a header")
    assert header is not None  # noqa: S101  # for the type checker; the line above is the check
    return header
