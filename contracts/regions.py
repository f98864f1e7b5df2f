"""Regions: other networks whose certificates this one recognises, and how trust in them begins, moves on and ends.

Rule: operators vote whom to trust; from there on nothing but proofs moves it. A region's trust point goes from epoch
to epoch as `ledger/epochs.py` says and never back, whoever brings the proof; nobody is ever asked. Two blocks that
are final both and exclude each other end trust at once, until a vote.

What a check costs is bounded and paid for before it runs: each signature and header counts, and a call that asks
for more than `CHECK_COST_MAX` is denied without a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from contracts import protocol_versions
from contracts.denials import Denied
from contracts.methods import AUDITOR_OFFICER, GRANTEE_OFFICER, NODE, CallContext, method
from contracts.region_actions import DistrustRegion, TrustRegion
from contracts.region_calls import RegionsFollow, RegionsReportFork
from contracts.region_records import (
    REGIONS_MAX,
    SHOWN_PATH_HEADERS_MAX,
    FinalHeader,
    Region,
    RegionList,
    RegionState,
)
from contracts.state import REGION_LIST, REGION_SETS, REGIONS, StateReader, present
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, SuiteUnavailable, UnknownSuite
from ledger.epochs import advance_trust
from ledger.errors import InvariantViolation, VerificationFailed
from ledger.hashing import block_digest, results_root, transactions_root
from ledger.light import check_finality, check_trust, is_seal
from ledger.types import VALIDATORS_MAX, EpochChange, Header, QuorumCertificate, Trust

# Proving a new key, or checking one signature of a list; a signer's known key; a header.
KEY_CHECK_COST: Final = 100
SIGNER_COST: Final = 10
HEADER_CHECK_COST: Final = 5
# One aggregate signature is a little dearer than one of a list, which have this size each.
CERTIFICATE_CHECK_COST_MIN: Final = 2 * KEY_CHECK_COST
LISTED_SIGNATURE_SIZE_BYTES: Final = 64
FINALITY_COST_MAX: Final = (
    CERTIFICATE_CHECK_COST_MIN
    + VALIDATORS_MAX * (SIGNER_COST + KEY_CHECK_COST)
    + (1 + SHOWN_PATH_HEADERS_MAX) * HEADER_CHECK_COST
)
# One change between the largest sets that there are, or two blocks of one.
CHECK_COST_MAX: Final = 2 * FINALITY_COST_MAX

MESSENGERS: Final = (*NODE, *GRANTEE_OFFICER, *AUDITOR_OFFICER)


# --- reading ------------------------------------------------------------------------------------------------


def region(state: StateReader, chain_id: bytes) -> Region | None:
    """A region's record, trusted or not."""
    return REGIONS.get(state, chain_id)


def regions(state: StateReader) -> tuple[Region, ...]:
    """Every region there is a record of, in the order in which they came."""
    listed = REGION_LIST.get(state, None)
    chain_ids = listed.chain_ids if listed is not None else ()
    return tuple(present(REGIONS.get(state, one), "the record of a listed region") for one in chain_ids)


def suites_needed(state: StateReader) -> tuple[str, ...]:
    """Suites that a node has to be able to do, besides its network's own, to judge what regions prove."""
    return tuple(dict.fromkeys(one.trust.suite for one in regions(state)))


def trusted(state: StateReader, chain_id: bytes) -> Region:
    """A region that is trusted now.

    Raises:
        Denied: unknown_region, region_distrusted, region_forked.
    """
    found = REGIONS.get(state, chain_id)
    if found is None:
        raise Denied("unknown_region", region=chain_id.hex())
    if found.state is RegionState.FORKED:
        raise Denied("region_forked", region=chain_id.hex())
    if found.state is not RegionState.TRUSTED:
        raise Denied("region_distrusted", region=chain_id.hex())
    return found


# --- votes --------------------------------------------------------------------------------------------------


def trust_cost(action: TrustRegion) -> int:
    """What proving the keys of a trust point costs; done once, when it is proposed."""
    return KEY_CHECK_COST * len(action.trust.validators.validators)


def prove_trust(action: TrustRegion) -> None:
    """Check a trust point in itself. It cannot change between proposal and approval, so once is enough.

    Raises:
        Denied: region_suite_unknown, region_trust_invalid.
    """
    try:
        check_trust(_suite(action.trust), action.trust)
    except VerificationFailed as error:
        raise Denied("region_trust_invalid", check=str(error.fields.get("check", ""))) from None


def trust_region(context: CallContext, action: TrustRegion) -> None:
    """Trust a network from a point on.

    Raises:
        Denied: region_suite_unknown, region_is_own, region_other_network, region_backward, region_forked_epoch,
            region_other_set, regions_too_many.
    """
    state, trust = context.state, action.trust
    _suite(trust)
    if trust.chain_id == context.block.chain_id:
        raise Denied("region_is_own")
    known = REGIONS.get(state, trust.chain_id)
    _list(context, trust.chain_id)
    again = known is not None and known.state is not RegionState.TRUSTED
    if known is not None:
        _check_later(known, trust)
    kept = Region(
        trust=trust,
        types=action.types,
        proof_age_ms_max=action.proof_age_ms_max,
        recognition_life_ms=action.recognition_life_ms,
        state=RegionState.TRUSTED,
        state_since_ms=context.time_ms if known is None or again else known.state_since_ms,
        term=1 if known is None else known.term + again,
        voted_ms=context.time_ms,
        followed_ms=0 if known is None else known.followed_ms,
        forked_epoch=0 if known is None else known.forked_epoch,
    )
    if known is not None and (again or known.trust.validators != trust.validators):
        _forget_sets(context, known)
    REGIONS.put(state, trust.chain_id, kept)
    REGION_SETS.put(state, (trust.chain_id, trust.validators.epoch), trust.validators)
    _emit(context, "regions.trusted", kept, types=len(kept.types))


def distrust_region(context: CallContext, action: DistrustRegion) -> None:
    """Accept nothing more of a network.

    Raises:
        Denied: unknown_region, region_distrusted.
    """
    known = REGIONS.get(context.state, action.chain_id)
    if known is None:
        raise Denied("unknown_region", region=action.chain_id.hex())
    if known.state is RegionState.DISTRUSTED:
        raise Denied("region_distrusted", region=action.chain_id.hex())
    kept = replace(
        known, state=RegionState.DISTRUSTED, state_since_ms=context.time_ms, voted_ms=context.time_ms
    )
    REGIONS.put(context.state, action.chain_id, kept)
    _emit(context, "regions.distrusted", kept, reason=action.reason)


def _check_later(known: Region, trust: Trust) -> None:
    """A later point, or the held one for other terms; never validators of an epoch that forked."""
    held = known.trust
    epoch, held_epoch = trust.validators.epoch, held.validators.epoch
    if (trust.network, trust.suite) != (held.network, held.suite):
        raise Denied("region_other_network", network=held.network, suite=held.suite)
    if epoch < held_epoch:
        raise Denied("region_backward", epoch=epoch, held=held_epoch)
    if epoch <= known.forked_epoch:
        raise Denied("region_forked_epoch", epoch=epoch, forked=known.forked_epoch)
    if known.state is RegionState.TRUSTED and epoch == held_epoch and trust.validators != held.validators:
        raise Denied("region_other_set", epoch=held_epoch)


def _list(context: CallContext, chain_id: bytes) -> None:
    listed = REGION_LIST.get(context.state, None) or RegionList(chain_ids=())
    if chain_id in listed.chain_ids:
        return
    if len(listed.chain_ids) >= REGIONS_MAX:
        raise Denied("regions_too_many", maximum=REGIONS_MAX)
    REGION_LIST.put(context.state, None, RegionList(chain_ids=(*listed.chain_ids, chain_id)))


def _forget_sets(context: CallContext, known: Region) -> None:
    """What was followed before a vote says nothing about what comes after it."""
    chain_id, epoch = known.trust.chain_id, known.trust.validators.epoch
    for old in (epoch - 1, epoch):
        REGION_SETS.delete(context.state, (chain_id, max(old, 0)))


# --- proofs -------------------------------------------------------------------------------------------------


def certificate_cost(certificate: QuorumCertificate) -> int:
    """What checking a quorum certificate costs at most, whatever its suite: by its signers, and by the size of its signature."""
    signers = int.from_bytes(certificate.signers, "little").bit_count()
    listed = -(-len(certificate.signature) // LISTED_SIGNATURE_SIZE_BYTES)
    return CERTIFICATE_CHECK_COST_MIN + signers * SIGNER_COST + listed * KEY_CHECK_COST


def finality_cost(*shown: FinalHeader) -> int:
    """What checking blocks costs; 0 where it is more than a call may cost, as `require_judgeable` denies that unchecked."""
    return _bounded(_finality_cost(shown))


def _finality_cost(shown: Sequence[FinalHeader | EpochChange]) -> int:
    return sum(certificate_cost(one.certificate) + (1 + len(one.path)) * HEADER_CHECK_COST for one in shown)


def _bounded(cost: int) -> int:
    return cost if cost <= CHECK_COST_MAX else 0


def follow_cost(args: RegionsFollow) -> int:
    """What checking these changes costs, above `CHECK_COST_MAX` too."""
    keys = sum(len(change.validators.validators) for change in args.changes)
    return _finality_cost(args.changes) + keys * KEY_CHECK_COST


def require_judgeable(context: CallContext, cost: int, shown: Sequence[FinalHeader | EpochChange]) -> None:
    """Stop before any check that was not paid for, or that two releases of this network could do differently.

    Raises:
        Denied: region_path_too_long, region_work_too_much, region_version_unknown.
    """
    longest = max(len(one.path) for one in shown)
    if longest > SHOWN_PATH_HEADERS_MAX:
        raise Denied("region_path_too_long", actual=longest, maximum=SHOWN_PATH_HEADERS_MAX)
    if cost > CHECK_COST_MAX:
        raise Denied("region_work_too_much", actual=cost, maximum=CHECK_COST_MAX)
    # A later release knows later versions, but all of them know what is in force here.
    known = protocol_versions.protocol_version(context.state, context.block.height)
    latest = max(header.version for one in shown for header in (one.header, *one.path))
    if latest > known:
        raise Denied("region_version_unknown", version=latest, known=known)


def require_final(context: CallContext, held: Region, shown: FinalHeader) -> CryptoSuite:
    """Check that a block is final for who holds this region's trust point; gives the region's suite.

    Raises:
        Denied: as for `require_judgeable`; region_behind, region_proof_stale, region_proof_rejected.
    """
    require_judgeable(context, _finality_cost((shown,)), (shown,))
    epoch = held.trust.validators.epoch
    if shown.header.chain_id == held.trust.chain_id and shown.header.epoch > epoch:
        raise Denied("region_behind", epoch=shown.header.epoch, held=epoch)
    if shown.header.chain_id == held.trust.chain_id and shown.header.epoch < epoch:
        raise Denied("region_proof_stale", epoch=shown.header.epoch, held=epoch)
    suite = _suite(held.trust)
    _check_final(suite, held.trust, shown)
    return suite


def _check_final(suite: CryptoSuite, trust: Trust, shown: FinalHeader) -> None:
    try:
        check_finality(suite, trust, shown.header, shown.path, shown.certificate)
    except VerificationFailed as error:
        raise _rejected(error) from None


def _rejected(error: VerificationFailed) -> Denied:
    # The check's name is stable; its words are for whoever verifies off the chain.
    return Denied("region_proof_rejected", check=str(error.fields.get("check", "")))


@method(
    RegionsFollow,
    callers=MESSENGERS,
    cost=60,
    concerns=lambda _state, args: (args.region,),
    extra_cost=lambda args: _bounded(follow_cost(args)),
)
def follow(context: CallContext, args: RegionsFollow) -> int:
    """Move on to the latest epoch that the changes lead to. Output: that epoch."""
    held = trusted(context.state, args.region)
    require_judgeable(context, follow_cost(args), args.changes)
    new = [change for change in args.changes if change.header.epoch >= held.trust.validators.epoch]
    if not new:
        latest = args.changes[-1].header.epoch + 1
        raise Denied("region_not_later", epoch=latest, held=held.trust.validators.epoch)
    suite, trust = _suite(held.trust), held.trust
    for change in new:
        before = trust.validators
        try:
            trust = advance_trust(suite, trust, change)
        except VerificationFailed as error:
            raise _rejected(error) from None
        _keep_sets(context, trust, before.epoch)
    moved = replace(held, trust=trust, followed_ms=context.time_ms)
    REGIONS.put(context.state, args.region, moved)
    _emit(context, "regions.followed", moved, before=held.trust.validators.epoch)
    return trust.validators.epoch


def _keep_sets(context: CallContext, trust: Trust, before: int) -> None:
    """The set of this epoch beside the one before; older ones are let go: their keys prove nothing any more."""
    REGION_SETS.put(context.state, (trust.chain_id, trust.validators.epoch), trust.validators)
    if before > 0:
        REGION_SETS.delete(context.state, (trust.chain_id, before - 1))


@method(
    RegionsReportFork,
    callers=MESSENGERS,
    cost=60,
    concerns=lambda _state, args: (args.region,),
    extra_cost=lambda args: finality_cost(args.first, args.second),
)
def report_fork(context: CallContext, args: RegionsReportFork) -> None:
    """End trust in a region that has finalized two blocks of which no chain can have both."""
    held = trusted(context.state, args.region)
    shown = (args.first, args.second)
    require_judgeable(context, _finality_cost(shown), shown)
    suite = _suite(held.trust)
    first, second = args.first.header, args.second.header
    if not excluding(suite, first, second):
        raise Denied("not_a_fork", height=first.height)
    voters = REGION_SETS.get(context.state, (args.region, first.epoch))
    if voters is None:
        raise Denied("fork_not_judged", epoch=first.epoch, held=held.trust.validators.epoch)
    for one in shown:
        _check_final(suite, replace(held.trust, validators=voters), one)
    forked = replace(held, state=RegionState.FORKED, state_since_ms=context.time_ms, forked_epoch=first.epoch)
    REGIONS.put(context.state, args.region, forked)
    _emit(
        context,
        "regions.forked",
        forked,
        height=first.height,
        first=block_digest(suite, first),
        second=block_digest(suite, second),
    )


def excluding(suite: CryptoSuite, first: Header, second: Header) -> bool:
    """Whether no chain has both blocks: another one at the same height, unless it fills the time above a seal."""
    if (first.epoch, first.height) != (second.epoch, second.height) or first == second:
        return False
    low, high = sorted((first, second), key=lambda header: header.view)
    return not _may_fill(suite, low, high)


def _may_fill(suite: CryptoSuite, seal: Header, filler: Header) -> bool:
    """Whether the later block can be one of those above the earlier, which end its epoch and carry nothing."""
    return (
        is_seal(seal)
        and seal.view < filler.view
        and seal.time_ms < filler.time_ms
        and seal.parent != filler.parent
        and filler.version == seal.version
        and filler.state_root == seal.state_root
        and filler.validators_hash == seal.validators_hash
        and filler.next_validators_hash == seal.next_validators_hash
        and filler.transactions_root == transactions_root(suite, ())
        and filler.results_root == results_root(suite, ())
    )


def _suite(trust: Trust) -> CryptoSuite:
    try:
        return load_suite(trust.suite)
    except UnknownSuite:
        raise Denied("region_suite_unknown", suite=trust.suite) from None
    except SuiteUnavailable as error:
        # Other computers of this network may well have it and go on: this one must not have an opinion of its own.
        raise InvariantViolation(f"this computer cannot judge what a region says: {error}") from None


def _emit(context: CallContext, kind: str, about: Region, **data: str | int | bytes) -> None:
    context.emit(
        kind,
        about.trust.chain_id,
        (),
        network=about.trust.network,
        epoch=about.trust.validators.epoch,
        state=about.state.value,
        **data,
    )


METHODS: Final = (follow, report_fork)
