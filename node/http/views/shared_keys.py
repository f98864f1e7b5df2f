"""Views of keys that the operators hold together.

Rule: what the ledger says, and which of its own shares this node lacks; never a share.
"""

from __future__ import annotations

from contracts.shared_key_records import SharedKey
from contracts.shared_key_round_records import RoundPhase, SharedKeyRound
from contracts.shared_key_rounds import awaited_checks
from node.http.views.common import Names, instant, instant_or_none
from node.services.facts import SharedKeysFacts
from zhenglian import api_keys


def shared_keys(
    facts: SharedKeysFacts, missing_here: tuple[str, ...], names: Names
) -> api_keys.SharedKeysView:
    """Every key and every round."""
    return api_keys.SharedKeysView(
        ready=facts.ready,
        keys=[_key(key, (key.purpose, key.version) in facts.in_use, names) for key in facts.keys],
        rounds=[_round(one, names) for one in facts.rounds],
        missing_here=list(missing_here),
    )


def _key(key: SharedKey, in_use: bool, names: Names) -> api_keys.SharedKeyView:
    holders = zip(key.holders, key.keys.share_keys, strict=True)
    return api_keys.SharedKeyView(
        purpose=key.purpose.value,
        version=key.version,
        renewal=key.renewal,
        group=key.group,
        threshold=key.keys.threshold,
        public_key=key.keys.public_key.hex(),
        holders=[
            api_keys.KeyHolderView(
                number=number, account=account.hex(), name=names.account(account), share_key=share_key.hex()
            )
            for number, (account, share_key) in enumerate(holders, start=1)
        ],
        in_use=in_use,
        since=instant(key.since_ms),
    )


def _round(one: SharedKeyRound, names: Names) -> api_keys.KeyRoundView:
    return api_keys.KeyRoundView(
        purpose=one.purpose.value,
        version=one.version,
        renewal=one.renewal,
        attempt=one.attempt,
        phase=one.phase.value,
        until=instant_or_none(one.until_ms),
        waiting_for=[names.account(account) for account in _awaited(one)],
        excluded=[names.account(one.dealers[dealer - 1]) for dealer in one.excluded],
    )


def _awaited(one: SharedKeyRound) -> list[bytes]:
    """Whose turn it is; empty where it is anybody's."""
    match one.phase:
        case RoundPhase.DEALING:
            return [one.dealers[dealer - 1] for dealer in one.expected if dealer not in one.dealt]
        case RoundPhase.CHECKING:
            return [one.holders[holder - 1] for holder in awaited_checks(one) if holder not in one.checked]
        case RoundPhase.ANSWERING:
            accused = {complaint.dealer for complaint in one.complaints if not complaint.answered}
            return [one.dealers[dealer - 1] for dealer in sorted(accused)]
        case RoundPhase.REVEALING:
            return [one.dealers[dealer - 1] for dealer in one.qualified if dealer not in one.revealed]
        case RoundPhase.CONFIRMING:
            return [one.holders[holder - 1] for holder in one.checked if holder not in one.confirmed]
        case RoundPhase.OPENING | RoundPhase.CONCLUDING | RoundPhase.DONE:
            return []
