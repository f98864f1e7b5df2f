"""Other networks as this one knows them, and what it has recognised of theirs: records, and what proves them.

Rule: as in `records.py`: no attribute value, no person's name, no identity number. A holder of another region is
not in here at all, not even by an account id: whoever was shown a certificate's fields links it to a person by
their proofs against `commitment_root`, off the chain.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.records import (
    AttachmentNames,
    CertificateState,
    Code,
    FieldNames,
    TypeCode,
)
from ledger.state_tree import StateProof
from ledger.types import (
    AccountId,
    Count,
    DayMs,
    Hash,
    Header,
    Id16,
    KeyId,
    QuorumCertificate,
    Text,
    TimeMs,
    Trust,
    Wire,
)

REGIONS_MAX: Final = 64
TYPES_PER_REGION_MAX: Final = 128
SHOWN_VALUE_BYTES_MAX: Final = 40 * 1024
SHOWN_PATH_HEADERS_MAX: Final = 48
STATES_MAX: Final = len(CertificateState)

RegionTypes = Annotated[tuple[TypeCode, ...], Meta(min_length=1, max_length=TYPES_PER_REGION_MAX)]


class RegionState(StrEnum):
    """Only of a trusted region is anything accepted.

    A region is forked once two of its blocks, final both and excluding each other, were shown; only a vote ends it.
    """

    TRUSTED = "trusted"
    DISTRUSTED = "distrusted"
    FORKED = "forked"


class Region(Wire):
    """Another network whose certificates this one recognises (跨省互认).

    Attributes:
        trust: the point that is held now: network, chain, suite, and the validators of its latest epoch that was shown.
        types: codes of the certificate types, as that network calls them, that are recognised.
        proof_age_ms_max: how old a proof may be when it is brought: our block time above that of its block.
        recognition_life_ms: how long after its proof's block time a recognition holds without another proof.
        state, state_since_ms: whether anything of it is accepted, and since when.
        term: counts how often trust was given anew after it was lost; recognitions of an earlier term do not hold.
        voted_ms: when operators last decided on it.
        followed_ms: when it last moved on to a later epoch; 0 if it never did.
        forked_epoch: latest epoch of which a fork was shown; 0 if none ever was. Its validators are not trusted again.
    """

    trust: Trust
    types: RegionTypes
    proof_age_ms_max: TimeMs
    recognition_life_ms: TimeMs
    state: RegionState
    state_since_ms: TimeMs
    term: Count
    voted_ms: TimeMs
    followed_ms: TimeMs
    forked_epoch: Count


class RegionList(Wire):
    """Chain ids of every region there is a record of, in the order in which they came."""

    chain_ids: Annotated[tuple[Hash, ...], Meta(max_length=REGIONS_MAX)]


class FinalHeader(Wire):
    """A block of another network, and that it is final there.

    Attributes:
        header: of the block.
        path: headers from its child to the certified one; at most `SHOWN_PATH_HEADERS_MAX` are looked at.
        certificate: the Finalization.
    """

    header: Header
    path: tuple[Header, ...]
    certificate: QuorumCertificate


class ShownEntry(Wire):
    """What a state holds under a key that both sides know: its value, or None for its absence, and the proof."""

    value: Annotated[bytes, Meta(max_length=SHOWN_VALUE_BYTES_MAX)] | None
    proof: StateProof


class CertificateEvidence(Wire):
    """What another network says of one of its certificates, whole: entries of its state after one block.

    Attributes:
        final: the block.
        contract: the version of its contract `certificates`: it says under which keys records lie, and what they mean.
        certificate: the certificate's record, or its absence.
        issuer: the account that issued it, if its public name is to be known here.
    """

    final: FinalHeader
    contract: ShownEntry
    certificate: ShownEntry
    issuer: ShownEntry | None


class RecognitionState(StrEnum):
    """What the latest proof said.

    Revoked (whichever state ended the certificate at home) and absent never end.
    """

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    ABSENT = "absent"


class Recognition(Wire):
    """A certificate of another region that this network recognises, as it was proven last.

    Attributes:
        recognition_id: derived from region and certificate; there is one for each certificate.
        region, term, epoch: chain id of its home; our term of trust and the home's epoch at the last proof.
        certificate_id, certificate_type, type_version: as its home has them.
        issuer: account of who issued it, there; `issuer_name` is that account's name there, empty if it was not proven.
        commitment_root: against which disclosed fields are checked.
        fields, attachments: which it has (names, never values).
        valid_from_ms, valid_until_ms: its dates; until 0 means without end.
        home_states: its states that held at the last proof.
        state, state_since_ms: what follows from them here.
        home_height, home_time_ms: of the block that the last proof is of.
        recognized_by, officer: who brought the first proof; `recognized_ms` when.
        lawful_basis, consent_hash: on what ground, and the hash of the holder's consent, which is kept off the chain.
        refreshed_by, refreshed_ms: who brought the last proof, and when.
    """

    recognition_id: Id16
    region: Hash
    term: Count
    epoch: Count
    certificate_id: Id16
    certificate_type: TypeCode
    type_version: Count
    issuer: AccountId
    issuer_name: Text
    commitment_root: Hash
    fields: FieldNames
    attachments: AttachmentNames
    valid_from_ms: DayMs
    valid_until_ms: DayMs
    home_states: Annotated[tuple[CertificateState, ...], Meta(max_length=STATES_MAX)]
    state: RecognitionState
    state_since_ms: TimeMs
    home_height: Count
    home_time_ms: TimeMs
    recognized_by: AccountId
    officer: KeyId
    recognized_ms: TimeMs
    lawful_basis: Code
    consent_hash: Hash
    refreshed_by: AccountId
    refreshed_ms: TimeMs
