"""Recognitions: certificates of other regions that hold here, on the strength of proofs alone (跨省互认).

Rule: a recognition says what the home chain said of a certificate at a height, and for how long that is good here.
Only a later proof changes it, and never to what was before; what ends a certificate for good ends its recognition
for good. A proof is of the trust point that is held now (`regions.py`), of the key that this file derives, and read
as the type that is stored under that key; nothing in it is taken on anybody's word.

Whether a recognition holds *now* is never written down but computed, from its record, its region's and the block
time (`why_not_recognized`): time passes and trust ends without a transaction on each recognition.
"""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from contracts import regions
from contracts.certificates import FINAL, STOPPING, holding_states, why_not_valid
from contracts.denials import Denied
from contracts.methods import GRANTEE_OFFICER, CallContext, method
from contracts.records import Account, AccountKind, Certificate, CertificateState
from contracts.region_calls import RecognitionsRecognize, RecognitionsRefresh
from contracts.region_records import (
    SHOWN_VALUE_BYTES_MAX,
    CertificateEvidence,
    FinalHeader,
    Recognition,
    RecognitionState,
    Region,
    RegionState,
    ShownEntry,
)
from contracts.regions import MESSENGERS
from contracts.state import ACCOUNTS, CERTIFICATES, CONTRACTS, RECOGNITIONS, StateReader
from contracts.upgrade_records import ContractSchedule
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.domains import RECOGNITION_ID
from ledger.errors import DecodeError, LimitExceeded
from ledger.state_tree import verify_state
from ledger.types import Header, Wire

# The version of another network's contract `certificates` that this version of ours reads.
HOME_CONTRACT_VERSION: Final = 1
HOME_CONTRACT_VERSION_FIRST: Final = 1
# Two networks' clocks may each be off by what their own rules allow.
CLOCKS_APART: Final = 2
_ENDING: Final = {RecognitionState.REVOKED, RecognitionState.ABSENT}

R = TypeVar("R", bound=Wire)


# --- reading ------------------------------------------------------------------------------------------------


def recognition(state: StateReader, recognition_id: bytes) -> Recognition | None:
    """One record."""
    return RECOGNITIONS.get(state, recognition_id)


def recognition_id(suite: CryptoSuite, region: bytes, certificate_id: bytes) -> bytes:
    """The id that a certificate of a region has here; 16 bytes. Whoever was shown the certificate can compute it."""
    return suite.hash(RECOGNITION_ID, region + certificate_id)[:16]


def why_not_recognized(home: Region, record: Recognition, time_ms: int) -> str:
    """Empty if the recognition holds at block time `time_ms`, else why not, in one word."""
    if home.state is not RegionState.TRUSTED:
        return f"region_{home.state.value}"
    if record.state is not RecognitionState.ACTIVE:
        return next((one.value for one in record.home_states if one in STOPPING), record.state.value)
    if record.certificate_type not in home.types:
        return "type_not_recognized"
    if time_ms < record.valid_from_ms:
        return "not_yet"
    if record.valid_until_ms != 0 and time_ms >= record.valid_until_ms:
        return "ended"
    if record.term != home.term or time_ms >= record.home_time_ms + home.recognition_life_ms:
        return "proof_needed"
    return ""


# --- proofs -------------------------------------------------------------------------------------------------


@method(
    RecognitionsRecognize,
    callers=GRANTEE_OFFICER,
    cost=80,
    concerns=lambda _state, args: (args.certificate_id, args.region),
    extra_cost=lambda args: regions.finality_cost(args.evidence.final),
)
def recognize(context: CallContext, args: RecognitionsRecognize) -> bytes:
    """Recognise a certificate that is valid at home."""
    home = regions.trusted(context.state, args.region)
    identity = recognition_id(context.block.suite, args.region, args.certificate_id)
    if RECOGNITIONS.get(context.state, identity) is not None:
        raise Denied("recognition_exists", recognition=identity.hex())
    shown = args.evidence
    _require_fresh(context, home, shown.final.header)
    suite = regions.require_final(context, home, shown.final)
    found = _shown_certificate(suite, shown, args.certificate_id)
    if found is None:
        raise Denied("home_entry_absent", certificate=args.certificate_id.hex())
    if found.certificate_type not in home.types:
        raise Denied("type_not_recognized", type=found.certificate_type)
    reason = why_not_valid(found, context.time_ms)
    if reason:
        raise Denied("certificate_not_valid", certificate=args.certificate_id.hex(), state=reason)
    record = _read(context, home, args, identity, found, _issuer_name(suite, shown, found))
    RECOGNITIONS.put(context.state, identity, record)
    _emit(context, "recognitions.recognized", record)
    return identity


@method(
    RecognitionsRefresh,
    callers=MESSENGERS,
    cost=80,
    concerns=lambda _state, args: (args.recognition_id,),
    extra_cost=lambda args: regions.finality_cost(args.evidence.final),
)
def refresh(context: CallContext, args: RecognitionsRefresh) -> None:
    """Write down what a later proof says; one that ends the certificate is never too old."""
    record = RECOGNITIONS.get(context.state, args.recognition_id)
    if record is None:
        raise Denied("unknown_recognition", recognition=args.recognition_id.hex())
    if record.state in _ENDING:
        raise Denied("recognition_ended", recognition=args.recognition_id.hex(), state=record.state.value)
    home = regions.trusted(context.state, record.region)
    header = args.evidence.final.header
    # A fork or a lost trust may have had us follow a chain that was higher than the one that is trusted now.
    if record.term == home.term and header.height <= record.home_height:
        raise Denied("proof_not_later", height=header.height, held=record.home_height)
    _require_not_ahead(context, header)
    suite = regions.require_final(context, home, args.evidence.final)
    found = _shown_certificate(suite, args.evidence, record.certificate_id)
    changed = _after(record, found)
    if changed.state not in _ENDING:
        _require_fresh(context, home, header)
    same = changed.state is record.state
    record = replace(
        changed,
        term=home.term,
        epoch=header.epoch,
        state_since_ms=record.state_since_ms if same else context.time_ms,
        home_height=header.height,
        home_time_ms=header.time_ms,
        refreshed_by=context.account.account_id,
        refreshed_ms=context.time_ms,
    )
    RECOGNITIONS.put(context.state, record.recognition_id, record)
    _emit(context, "recognitions.refreshed", record)


def _require_fresh(context: CallContext, home: Region, header: Header) -> None:
    _require_not_ahead(context, header)
    age_ms = context.time_ms - header.time_ms
    if age_ms > home.proof_age_ms_max:
        raise Denied("proof_too_old", age_ms=age_ms, maximum_ms=home.proof_age_ms_max)


def _require_not_ahead(context: CallContext, header: Header) -> None:
    ahead_ms = header.time_ms - context.time_ms
    maximum_ms = CLOCKS_APART * context.block.limits.clock_drift_ms_max
    if ahead_ms > maximum_ms:
        raise Denied("proof_ahead", ahead_ms=ahead_ms, maximum_ms=maximum_ms)


def _shown_certificate(
    suite: CryptoSuite, shown: CertificateEvidence, certificate_id: bytes
) -> Certificate | None:
    """The certificate as its home has it; None if it is proven that there is none."""
    schedule = _shown(
        suite, shown.final, CONTRACTS.key("certificates"), shown.contract, ContractSchedule, "contract"
    )
    # A network that writes no versions down has the first of each.
    version = HOME_CONTRACT_VERSION_FIRST if schedule is None else schedule.version
    if version != HOME_CONTRACT_VERSION:
        # A later version may keep its records under other keys: absence here would say nothing.
        raise Denied("home_contract_unknown", version=version, known=HOME_CONTRACT_VERSION)
    key = CERTIFICATES.key(certificate_id)
    found = _shown(suite, shown.final, key, shown.certificate, Certificate, "certificate")
    if found is not None and found.certificate_id != certificate_id:
        raise Denied("home_record_unreadable", what="certificate")
    return found


def _issuer_name(suite: CryptoSuite, shown: CertificateEvidence, found: Certificate) -> str:
    """The public name of who issued it, where that is shown too; organisations' names are public, people's are not."""
    if shown.issuer is None:
        return ""
    account = _shown(suite, shown.final, ACCOUNTS.key(found.issuer), shown.issuer, Account, "issuer")
    if account is None or account.account_id != found.issuer or account.kind is not AccountKind.DEPARTMENT:
        raise Denied("home_issuer_other")
    return account.name


def _shown(
    suite: CryptoSuite, final: FinalHeader, key: bytes, shown: ShownEntry, kind: type[R], what: str
) -> R | None:
    """The record that a final state holds under a key, or None if it is proven that there is none."""
    if not verify_state(suite, final.header.state_root, key, shown.value, shown.proof):
        raise Denied("home_entry_rejected", what=what)
    if shown.value is None:
        return None
    try:
        return codec.decode(shown.value, kind, size_bytes_max=SHOWN_VALUE_BYTES_MAX)
    except (DecodeError, LimitExceeded):
        raise Denied("home_record_unreadable", what=what) from None


# --- records ------------------------------------------------------------------------------------------------


def _read(
    context: CallContext,
    home: Region,
    args: RecognitionsRecognize,
    identity: bytes,
    found: Certificate,
    issuer_name: str,
) -> Recognition:
    return Recognition(
        recognition_id=identity,
        region=args.region,
        term=home.term,
        epoch=args.evidence.final.header.epoch,
        certificate_id=found.certificate_id,
        certificate_type=found.certificate_type,
        type_version=found.type_version,
        issuer=found.issuer,
        issuer_name=issuer_name,
        commitment_root=found.commitment_root,
        fields=found.fields,
        attachments=found.attachments,
        valid_from_ms=found.valid_from_ms,
        valid_until_ms=found.valid_until_ms,
        home_states=_holding(found),
        state=RecognitionState.ACTIVE,
        state_since_ms=context.time_ms,
        home_height=args.evidence.final.header.height,
        home_time_ms=args.evidence.final.header.time_ms,
        recognized_by=context.account.account_id,
        officer=context.key.key_id,
        recognized_ms=context.time_ms,
        lawful_basis=args.lawful_basis,
        consent_hash=args.consent_hash,
        refreshed_by=context.account.account_id,
        refreshed_ms=context.time_ms,
    )


def _after(record: Recognition, found: Certificate | None) -> Recognition:
    """The record after a later proof, as far as it follows from the certificate alone.

    Raises:
        Denied: recognition_differs, if it is not the certificate that was recognised.
    """
    if found is None:
        return replace(record, state=RecognitionState.ABSENT, home_states=())
    recognised = (record.certificate_type, record.issuer, record.commitment_root)
    if (found.certificate_type, found.issuer, found.commitment_root) != recognised:
        raise Denied("recognition_differs", recognition=record.recognition_id.hex())
    states = _holding(found)
    return replace(
        record,
        valid_from_ms=found.valid_from_ms,
        valid_until_ms=found.valid_until_ms,
        home_states=states,
        state=_state(states),
    )


def _holding(found: Certificate) -> tuple[CertificateState, ...]:
    """The states that hold at home, each once."""
    return tuple(dict.fromkeys(holding_states(found)))


def _state(states: tuple[CertificateState, ...]) -> RecognitionState:
    if any(one in FINAL for one in states):
        return RecognitionState.REVOKED
    return RecognitionState.SUSPENDED if CertificateState.SUSPENDED in states else RecognitionState.ACTIVE


def _emit(context: CallContext, kind: str, record: Recognition) -> None:
    context.emit(
        kind,
        record.recognition_id,
        (record.region, record.certificate_id, record.recognized_by),
        type=record.certificate_type,
        state=record.state.value,
        home_height=record.home_height,
    )


METHODS: Final = (recognize, refresh)
