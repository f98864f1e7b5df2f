"""What a holder opens for a count: the partition's field of each certificate that is in it, and nothing else.

Rule: as in `permits.py`. A contribution whose grant opens nothing any more is left out by the node that counts, and refused here.
"""

from __future__ import annotations

from contracts.certificates import why_not_valid
from contracts.counts import contribution_of
from contracts.denials import Denied
from contracts.grant_uses import check_field_state
from contracts.grants import standing
from contracts.question_records import Contribution, CountRecord, CountState, QuestionKind
from contracts.questions import covers
from contracts.records import AccountStatus, Certificate, GrantState
from contracts.state import ACCOUNTS, CERTIFICATES, COUNTS, GRANTS
from node.holders.errors import KeyRefused
from node.vault.keys import PartKind, PartName
from node.vault.opening import OpenParts
from node.vault.permits import Records, _PartsPermit


def why_not_counted(state: Records, count: CountRecord, contribution: Contribution, time_ms: int) -> str:
    """Empty if a contribution may be opened for its count now, else a stable code.

    Args:
        state: the finalized state.
        count: that it is in.
        contribution: as the ledger has it.
        time_ms: block time of the state's head.
    """
    certificate = state.record(CERTIFICATES, contribution.certificate)
    if certificate is None or certificate.erased_ms:
        return "certificate_erased"
    if why_not_valid(certificate, time_ms):
        return "certificate_not_valid"
    return _why_grant_stops(state, count, contribution, certificate, time_ms)


def _why_grant_stops(
    state: Records, count: CountRecord, contribution: Contribution, certificate: Certificate, time_ms: int
) -> str:
    grant = state.record(GRANTS, contribution.grant)
    if grant is None:
        return "unknown_grant"
    held = standing(grant, time_ms)
    if held not in {GrantState.ACTIVE, GrantState.EXHAUSTED}:
        return f"grant_{held.value}"
    grantee = ACCOUNTS.get(state, grant.grantee)
    if grantee is None or grantee.status is AccountStatus.SUSPENDED:
        return "organization_suspended"
    wanted = (QuestionKind.COUNTED, count.certificate_type, count.partition.name, count.partition.subject)
    asked = any((one.kind, one.certificate_type, one.name, one.subject) == wanted for one in grant.questions)
    if not asked or not covers(grant.items, certificate, count.partition.field):
        return "certificate_not_granted"
    try:
        check_field_state(grant.items, certificate, count.partition.field, time_ms)
    except Denied as denial:
        return denial.code
    return ""


class CountPermit(_PartsPermit):
    """For a count: the field of its contributions, for the node that counts, while that is asked of it."""

    def _allowed(self, sender: bytes, record_id: bytes, asked: OpenParts) -> frozenset[PartName]:
        count = self._state.record(COUNTS, record_id)
        if count is None:
            raise KeyRefused(reason="unknown_count")
        if count.performed_by != sender:
            raise KeyRefused(reason="not_entrusted")
        if count.state is not CountState.REQUESTED:
            raise KeyRefused(reason=f"count_{count.state.value}")
        time_ms = self._replica.time_ms()
        if time_ms >= count.deadline_ms:
            raise KeyRefused(reason="count_overdue")
        return frozenset(part for part in asked.parts if self._is_counted(count, part, time_ms))

    def _is_counted(self, count: CountRecord, part: PartName, time_ms: int) -> bool:
        if (part.kind, part.name) != (PartKind.FIELD, count.partition.field):
            return False
        certificate = self._state.record(CERTIFICATES, part.certificate_id)
        if certificate is None:
            return False
        contribution = contribution_of(self._state, count, certificate.holder)
        if contribution is None or contribution.certificate != part.certificate_id:
            return False
        reason = why_not_counted(self._state, count, contribution, time_ms)
        if reason:
            raise KeyRefused(reason=reason)
        return True
