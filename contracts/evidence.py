"""Evidence: proof on the ledger that a validator voted for what excludes each other.

Rule: a record names who signed, never who was suspected: each vote is verified by itself against the set of its epoch,
and the two are such that no correct validator signs both, crashes and restarts included. The first proof of a view
is enough; what follows from it is for the operators to decide.
"""

from __future__ import annotations

from typing import Final

from contracts import membership
from contracts.calls import EvidenceReport
from contracts.denials import Denied
from contracts.methods import OPERATOR_NODE, CallContext, method
from contracts.records import EvidenceRecord
from contracts.state import EVIDENCE, EVIDENCE_COUNT, EVIDENCE_COUNTS, EVIDENCE_KNOWN, StateReader
from ledger.types import Validator, ValidatorSet, Vote, VoteKind

EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX: Final = 64


def conflicting(first: Vote, second: Vote) -> bool:
    """Whether no correct validator signs both: two blocks by one kind of vote in a view, or Nullify beside Finalize."""
    if (first.epoch, first.view, first.validator) != (second.epoch, second.view, second.validator):
        return False
    if first.kind is second.kind:
        return first.digest != second.digest
    return {first.kind, second.kind} == {VoteKind.NULLIFY, VoteKind.FINALIZE}


def count(state: StateReader) -> int:
    """How many records there are; their numbers are below it, in the order of their reports."""
    return EVIDENCE_COUNT.get(state, None) or 0


def record(state: StateReader, number: int) -> EvidenceRecord | None:
    """The record of that number."""
    return EVIDENCE.get(state, number)


@method(EvidenceReport, callers=OPERATOR_NODE, cost=25 + 2 * membership.VOTE_KEY_CHECK_COST)
def report(context: CallContext, args: EvidenceReport) -> int:
    """Keep a proof. Output: its number."""
    first, second = args.first, args.second
    if not conflicting(first, second):
        raise Denied("votes_agree")
    voters = membership.validator_set(context.state, first.epoch)
    if voters is None or first.validator >= len(voters.validators):
        raise Denied("unknown_validator", epoch=first.epoch, index=first.validator)
    accused = voters.validators[first.validator]
    number = _next_number(context.state, first, accused)
    for vote in (first, second):
        _check_signature(context, voters, vote)
    _keep(context, number, accused, first, second)
    return number


def _next_number(state: StateReader, vote: Vote, accused: Validator) -> int:
    """The number of a record that is not there yet and may be."""
    if EVIDENCE_KNOWN.get(state, (vote.epoch, vote.view, accused.account)) is not None:
        raise Denied("evidence_known", epoch=vote.epoch, view=vote.view, validator=accused.account.hex())
    if _count_of(state, vote.epoch, accused) >= EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX:
        raise Denied(
            "evidence_enough",
            epoch=vote.epoch,
            validator=accused.account.hex(),
            maximum=EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX,
        )
    return count(state)


def _check_signature(context: CallContext, voters: ValidatorSet, vote: Vote) -> None:
    if not context.block.suite.quorum.verify_vote(context.block.chain_id, voters, vote):
        raise Denied("vote_invalid", kind=vote.kind.name.lower(), epoch=vote.epoch, view=vote.view)


def _keep(context: CallContext, number: int, accused: Validator, first: Vote, second: Vote) -> None:
    state = context.state
    kept = EvidenceRecord(
        epoch=first.epoch,
        view=first.view,
        validator=accused.account,
        first=first,
        second=second,
        reporter=context.account.account_id,
        height=context.block.height,
        time_ms=context.time_ms,
    )
    EVIDENCE.put(state, number, kept)
    EVIDENCE_KNOWN.put(state, (first.epoch, first.view, accused.account), number)
    EVIDENCE_COUNTS.put(state, (first.epoch, accused.account), _count_of(state, first.epoch, accused) + 1)
    EVIDENCE_COUNT.put(state, None, number + 1)
    context.emit(
        "evidence.reported",
        accused.account,
        (),
        name=accused.name,
        epoch=first.epoch,
        view=first.view,
        first=first.kind.name.lower(),
        second=second.kind.name.lower(),
        number=number,
    )


def _count_of(state: StateReader, epoch: int, accused: Validator) -> int:
    return EVIDENCE_COUNTS.get(state, (epoch, accused.account)) or 0


METHODS: Final = (report,)

__all__ = ["EVIDENCE_PER_VALIDATOR_AND_EPOCH_MAX", "METHODS", "conflicting", "count", "record", "report"]
