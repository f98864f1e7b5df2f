"""Typed tables over the flat key-value state, and the overlay that collects a block's writes.

Rule: every key is a readable ASCII prefix and a typed key of fixed encoding, so that no key of one table is a
key of another, and nothing outside this file builds a state key. A table answers point reads only: nothing
here iterates over the state, so that the cost of a call never depends on how much others have stored.

| prefix | key | value |
|---|---|---|
| `network` | | `records.Network` |
| `validators` | | the `ValidatorSet` that votes on the next block |
| `validator_sets/` | epoch (8 bytes) | the `ValidatorSet` of that epoch |
| `nodes/` | account id | `records.NodeRecord` |
| `node_accounts` | | `NodeAccounts`: who has such a record, in order of admission |
| `keys_taken/` | digest of purpose and key | account id of the node that has or had it |
| `protocol` | | `records.ProtocolSchedule` |
| `contracts/` | name | `upgrade_records.ContractSchedule` |
| `contract_index` | | `upgrade_records.ContractIndex` |
| `contract_changes/` | name, `/`, number (8 bytes) from 0 | `upgrade_records.ContractChange` |
| `contract_migrations/` | name | `upgrade_records.ContractMigration`, while one goes on |
| `evidence/` | number (8 bytes) from 0 | `records.EvidenceRecord` |
| `evidence_known/` | epoch, view (8 bytes each), account id | number |
| `evidence_counts/` | epoch (8 bytes), account id | how many of that validator and epoch |
| `evidence_count` | | how many in all |
| `accounts/` | account id | `records.Account` |
| `person_tags/` | version (8 bytes), tag | account id |
| `person_tag_counts/` | version (8 bytes) | how many tags there are under it |
| `persons/` | account id | `people_records.Person` |
| `registrars/` | account id | `people_records.Registrar` |
| `recoveries/` | account id | `people_records.Recovery`: the latest |
| `tickets/` | id | `people_records.Ticket` |
| `lookup_counts/` | kind of quota, `/`, account, key or node id | `people_records.LookupCount` |
| `lookup_limits` | | `people_records.LookupLimits` |
| `certificate_types/` | code | version in use |
| `certificate_type_versions/` | code, `/`, version (8 bytes) | `records.CertificateType` |
| `purposes/` | code | `records.PurposeTemplate` |
| `purpose_templates/` | template id | every `PurposeTemplate` there ever was |
| `grant_rules` | | `grant_records.GrantRules` |
| `portals` | | `portal_records.Portals` |
| `identity_services` | | `portal_records.IdentityServices` |
| `face_uses/` | account id of the service | `portal_records.FaceUses` |
| `erasures/` | certificate id | `erasure_records.Erasure` |
| `certificates/` `grants/` `releases/` `traces/` `proposals/` | id | the record |
| `regions/` | chain id of another network | `region_records.Region` |
| `region_list` | | `region_records.RegionList` |
| `region_sets/` | chain id, epoch (8 bytes) | that network's `ValidatorSet`, of the held epoch and the one before |
| `recognitions/` | id | `region_records.Recognition` |
| `shared_keys/` | purpose, `/`, version (8 bytes) | `shared_key_records.SharedKey` |
| `shared_keys_in_use/` | purpose | version for what is new |
| `shared_key_index` | | `shared_key_round_records.SharedKeyIndex` |
| `shared_key_rounds/` | purpose, `/`, version (8 bytes) | `SharedKeyRound`: the latest |
| `shared_key_dealings/` | round id, dealer (8 bytes) | `Dealing` |
| `shared_key_sums/` | round id | `RoundSums` |
| `answers/` | grant, certificate, name of the question | `question_records.Answer` |
| `question_lines/` | grantee, holder, subject | `question_records.QuestionLine` |
| `question_answers/` | grantee, holder, certificate, name of the question | the latest `Answer` under any grant |
| `counts/` | id | `question_records.CountRecord` |
| `counts_taken/` | organisation, period, `/`, subject | id of its count |
| `count_contributions/` | count, number (8 bytes) from 0 | `question_records.Contribution` |
| `counted/` | holder, period, `/`, subject | `question_records.Counted`: where he is counted |
| `forms/` | code | version in use |
| `form_versions/` | code, `/`, version (8 bytes) | `form_records.Form` |
| `included/` | transaction id | height of the block that holds it |
| `included_blocks/` | height (8 bytes) | `IncludedBlock`, for pruning |
| `included_cursor` | | lowest height not yet pruned |
| `deadlines/` `deadline_buckets/` `deadline_index/` | see `schedule.py` | |
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

from contracts.erasure_records import Erasure
from contracts.form_records import Form
from contracts.grant_records import GrantRules
from contracts.people_records import LookupCount, LookupLimits, Person, Recovery, Registrar, Ticket
from contracts.portal_records import FaceUses, IdentityServices, Portals
from contracts.question_records import Answer, Contribution, Counted, CountRecord, QuestionLine
from contracts.records import (
    Account,
    Certificate,
    CertificateType,
    EvidenceRecord,
    Grant,
    Network,
    NodeRecord,
    Proposal,
    ProtocolSchedule,
    PurposeTemplate,
    Release,
    Trace,
)
from contracts.region_records import Recognition, Region, RegionList
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import Dealing, RoundSums, SharedKeyIndex, SharedKeyRound
from contracts.upgrade_records import ContractChange, ContractIndex, ContractMigration, ContractSchedule
from ledger import codec
from ledger.errors import InvariantViolation, LedgerError, invariant
from ledger.types import AccountId, Count, Hash, TimeMs, ValidatorSet, Wire

STATE_VALUE_SIZE_BYTES_MAX: Final = 256 * 1024
DECODED_RECORDS_CACHED_MAX: Final = 2048

K = TypeVar("K")
V = TypeVar("V")


class StateReader(Protocol):
    """Whatever holds state: the store, an unfinalized block's overlay, or a `Draft`."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        ...


class OrderedState(StateReader, Protocol):
    """State that can be gone through in the order of its keys, as migrations must."""

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` entries whose keys begin with `prefix`, from the key `start` on, sorted by key."""
        ...


class Draft:
    """An overlay that reads through to `base` and keeps what is written.

    A draft over a draft is a transaction inside a block: `merge` hands its writes down, and forgetting it
    drops them.

    Attributes:
        writes: what changed, None for what was deleted.
    """

    __slots__ = ("_base", "writes")

    def __init__(self, base: StateReader) -> None:
        self._base = base
        self.writes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value under `key` as this draft has it."""
        if key in self.writes:
            return self.writes[key]
        return self._base.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set `value` under `key`."""
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove what is under `key`, if anything."""
        self.writes[key] = None

    def merge(self, child: Draft) -> None:
        """Take over what `child`, a draft over this one, has written."""
        self.writes.update(child.writes)

    def net_writes(self) -> dict[bytes, bytes | None]:
        """The writes sorted by key, without those that leave the base as it is."""
        return {
            key: value
            for key, value in sorted(self.writes.items())
            if value is not None or self._base.get(key) is not None
        }


class Table(Generic[K, V]):
    """Records of one kind.

    Args:
        prefix: what its keys begin with.
        kind: type of the value.
        key: fixed encoding of the typed key.
        hot: whether decoded values are worth keeping (small, read by most transactions).
    """

    __slots__ = ("_decode", "_key", "_kind", "_prefix")

    def __init__(self, prefix: str, kind: type[V], key: Callable[[K], bytes], *, hot: bool = False) -> None:
        self._prefix = prefix.encode("ascii")
        self._kind = kind
        self._key = key
        # Keyed by the bytes themselves and giving an immutable struct, so that a hit can never be stale.
        self._decode = lru_cache(maxsize=DECODED_RECORDS_CACHED_MAX)(self._read) if hot else self._read

    @property
    def prefix(self) -> bytes:
        """What its keys begin with."""
        return self._prefix

    def decode(self, data: bytes) -> V:
        """A value of this table, from whomever.

        Raises:
            LedgerError: it is none.
        """
        return self._read(data)

    def key(self, key: K) -> bytes:
        """The state key of `key`, for proofs."""
        return self._prefix + self._key(key)

    def get(self, state: StateReader, key: K) -> V | None:
        """The record, or None."""
        data = state.get(self.key(key))
        if data is None:
            return None
        try:
            return self._decode(data)
        except LedgerError as error:
            raise InvariantViolation(f"unreadable state under {self._prefix!r}: {error}") from None

    def _read(self, data: bytes) -> V:
        return codec.decode(data, self._kind, size_bytes_max=STATE_VALUE_SIZE_BYTES_MAX)

    def put(self, draft: Draft, key: K, value: V) -> None:
        """Write the record."""
        data = codec.encode(value)
        invariant(len(data) <= STATE_VALUE_SIZE_BYTES_MAX, f"record too large under {self._prefix!r}")
        draft.put(self.key(key), data)

    def delete(self, draft: Draft, key: K) -> None:
        """Remove the record."""
        draft.delete(self.key(key))


class IncludedBlock(Wire):
    """Ids that one block included, and the block time after which none of them could come again."""

    until_ms: TimeMs
    transaction_ids: tuple[Hash, ...]


class DeadlineKind(StrEnum):
    """What a deadline is about; its id is that record's id."""

    GRANT = "grant"
    RELEASE = "release"
    PROPOSAL = "proposal"
    ERASURE = "erasure"
    DELETION = "deletion"
    MANDATE = "mandate"
    RECOVERY = "recovery"
    SHARED_KEY = "shared_key"
    COUNT = "count"


class Deadline(Wire):
    """Look at this record again.

    Whether it is overdue is for the record to say: it may have changed since.
    """

    kind: DeadlineKind
    object_id: bytes


class DeadlineBucket(Wire):
    """A queue of one minute's deadlines: the entries from `head` up to, not including, `tail`."""

    head: Count
    tail: Count


class NodeAccounts(Wire):
    """Accounts of all nodes, validators and readers, in the order of their admission."""

    accounts: tuple[AccountId, ...]


def _raw(key: bytes) -> bytes:
    return key


def _code(key: str) -> bytes:
    return key.encode()


def _number(key: int) -> bytes:
    return key.to_bytes(8, "big")


def _named(key: tuple[KeyPurpose, int]) -> bytes:
    return key[0].value.encode() + b"/" + _number(key[1])


def _single(_key: None) -> bytes:
    return b""


NETWORK: Final = Table[None, Network]("network", Network, _single, hot=True)
VALIDATORS: Final = Table[None, ValidatorSet]("validators", ValidatorSet, _single, hot=True)
VALIDATOR_SETS: Final = Table[int, ValidatorSet]("validator_sets/", ValidatorSet, _number)
NODES: Final = Table[bytes, NodeRecord]("nodes/", NodeRecord, _raw, hot=True)
NODE_ACCOUNTS: Final = Table[None, NodeAccounts]("node_accounts", NodeAccounts, _single, hot=True)
KEYS_TAKEN: Final = Table[bytes, bytes]("keys_taken/", bytes, _raw)
PROTOCOL: Final = Table[None, ProtocolSchedule]("protocol", ProtocolSchedule, _single, hot=True)
CONTRACTS: Final = Table[str, ContractSchedule]("contracts/", ContractSchedule, _code, hot=True)
CONTRACT_INDEX: Final = Table[None, ContractIndex]("contract_index", ContractIndex, _single, hot=True)
CONTRACT_CHANGES: Final = Table[tuple[str, int], ContractChange](
    "contract_changes/", ContractChange, lambda key: _code(key[0]) + b"/" + _number(key[1])
)
MIGRATIONS: Final = Table[str, ContractMigration]("contract_migrations/", ContractMigration, _code)
EVIDENCE: Final = Table[int, EvidenceRecord]("evidence/", EvidenceRecord, _number)
EVIDENCE_KNOWN: Final = Table[tuple[int, int, bytes], int](
    "evidence_known/", int, lambda key: _number(key[0]) + _number(key[1]) + key[2]
)
EVIDENCE_COUNTS: Final = Table[tuple[int, bytes], int](
    "evidence_counts/", int, lambda key: _number(key[0]) + key[1]
)
EVIDENCE_COUNT: Final = Table[None, int]("evidence_count", int, _single)
ACCOUNTS: Final = Table[bytes, Account]("accounts/", Account, _raw, hot=True)
PERSON_TAGS: Final = Table[tuple[int, bytes], bytes](
    "person_tags/", bytes, lambda key: _number(key[0]) + key[1]
)
PERSON_TAG_COUNTS: Final = Table[int, int]("person_tag_counts/", int, _number)
PERSONS: Final = Table[bytes, Person]("persons/", Person, _raw)
REGISTRARS: Final = Table[bytes, Registrar]("registrars/", Registrar, _raw, hot=True)
RECOVERIES: Final = Table[bytes, Recovery]("recoveries/", Recovery, _raw)
TICKETS: Final = Table[bytes, Ticket]("tickets/", Ticket, _raw)
LOOKUP_COUNTS: Final = Table[tuple[str, bytes], LookupCount](
    "lookup_counts/", LookupCount, lambda key: _code(key[0]) + b"/" + key[1]
)
LOOKUP_LIMITS: Final = Table[None, LookupLimits]("lookup_limits", LookupLimits, _single, hot=True)
CERTIFICATE_TYPES: Final = Table[str, int]("certificate_types/", int, _code)
CERTIFICATE_TYPE_VERSIONS: Final = Table[tuple[str, int], CertificateType](
    "certificate_type_versions/",
    CertificateType,
    lambda key: _code(key[0]) + b"/" + _number(key[1]),
    hot=True,
)
PURPOSES: Final = Table[str, PurposeTemplate]("purposes/", PurposeTemplate, _code, hot=True)
PURPOSE_TEMPLATES: Final = Table[bytes, PurposeTemplate](
    "purpose_templates/", PurposeTemplate, _raw, hot=True
)
GRANT_RULES: Final = Table[None, GrantRules]("grant_rules", GrantRules, _single, hot=True)
CERTIFICATES: Final = Table[bytes, Certificate]("certificates/", Certificate, _raw)
PORTALS: Final = Table[None, Portals]("portals", Portals, _single)
IDENTITY_SERVICES: Final = Table[None, IdentityServices]("identity_services", IdentityServices, _single)
FACE_USES: Final = Table[bytes, FaceUses]("face_uses/", FaceUses, _raw)
ERASURES: Final = Table[bytes, Erasure]("erasures/", Erasure, _raw)
GRANTS: Final = Table[bytes, Grant]("grants/", Grant, _raw)
RELEASES: Final = Table[bytes, Release]("releases/", Release, _raw)
TRACES: Final = Table[bytes, Trace]("traces/", Trace, _raw)
PROPOSALS: Final = Table[bytes, Proposal]("proposals/", Proposal, _raw)
REGIONS: Final = Table[bytes, Region]("regions/", Region, _raw, hot=True)
REGION_LIST: Final = Table[None, RegionList]("region_list", RegionList, _single)
REGION_SETS: Final = Table[tuple[bytes, int], ValidatorSet](
    "region_sets/", ValidatorSet, lambda key: key[0] + _number(key[1])
)
RECOGNITIONS: Final = Table[bytes, Recognition]("recognitions/", Recognition, _raw)
SHARED_KEYS: Final = Table[tuple[KeyPurpose, int], SharedKey]("shared_keys/", SharedKey, _named, hot=True)
SHARED_KEYS_IN_USE: Final = Table[KeyPurpose, int]("shared_keys_in_use/", int, lambda key: _code(key.value))
SHARED_KEY_INDEX: Final = Table[None, SharedKeyIndex]("shared_key_index", SharedKeyIndex, _single, hot=True)
SHARED_KEY_ROUNDS: Final = Table[tuple[KeyPurpose, int], SharedKeyRound](
    "shared_key_rounds/", SharedKeyRound, _named
)
SHARED_KEY_DEALINGS: Final = Table[tuple[bytes, int], Dealing](
    "shared_key_dealings/", Dealing, lambda key: key[0] + _number(key[1])
)
SHARED_KEY_SUMS: Final = Table[bytes, RoundSums]("shared_key_sums/", RoundSums, _raw)
ANSWERS: Final = Table[tuple[bytes, bytes, str], Answer](
    "answers/", Answer, lambda key: key[0] + key[1] + _code(key[2])
)
QUESTION_LINES: Final = Table[tuple[bytes, bytes, str], QuestionLine](
    "question_lines/", QuestionLine, lambda key: key[0] + key[1] + _code(key[2])
)
QUESTION_ANSWERS: Final = Table[tuple[bytes, bytes, bytes, str], Answer](
    "question_answers/", Answer, lambda key: key[0] + key[1] + key[2] + _code(key[3])
)
COUNTS: Final = Table[bytes, CountRecord]("counts/", CountRecord, _raw)
COUNTS_TAKEN: Final = Table[tuple[bytes, str, str], bytes](
    "counts_taken/", bytes, lambda key: key[0] + _code(key[1]) + b"/" + _code(key[2])
)
COUNT_CONTRIBUTIONS: Final = Table[tuple[bytes, int], Contribution](
    "count_contributions/", Contribution, lambda key: key[0] + _number(key[1])
)
COUNTED: Final = Table[tuple[bytes, str, str], Counted](
    "counted/", Counted, lambda key: key[0] + _code(key[1]) + b"/" + _code(key[2])
)
FORMS: Final = Table[str, int]("forms/", int, _code)
FORM_VERSIONS: Final = Table[tuple[str, int], Form](
    "form_versions/", Form, lambda key: _code(key[0]) + b"/" + _number(key[1])
)
INCLUDED: Final = Table[bytes, int]("included/", int, _raw)
INCLUDED_BLOCKS: Final = Table[int, IncludedBlock]("included_blocks/", IncludedBlock, _number)
INCLUDED_CURSOR: Final = Table[None, int]("included_cursor", int, _single)
DEADLINES: Final = Table[tuple[int, int], Deadline](
    "deadlines/", Deadline, lambda key: _number(key[0]) + b"/" + _number(key[1])
)
DEADLINE_BUCKETS: Final = Table[int, DeadlineBucket]("deadline_buckets/", DeadlineBucket, _number)
DEADLINE_INDEX: Final = Table[bytes, bytes]("deadline_index/", bytes, _raw)


# Tables whose records are one contract's alone; all others are the ground, which no migration touches (`versions.py`).
_OWNED: Final = (
    CERTIFICATES,
    ERASURES,
    GRANTS,
    RELEASES,
    TRACES,
    PROPOSALS,
    RECOGNITIONS,
    COUNTS,
    COUNTS_TAKEN,
    COUNT_CONTRIBUTIONS,
    COUNTED,
    FORMS,
    FORM_VERSIONS,
)


@lru_cache(maxsize=1)
def ground_prefixes() -> frozenset[bytes]:
    """What the keys of the network's ground begin with."""
    tables = [table for table in globals().values() if isinstance(table, Table)]
    return frozenset(table.prefix for table in tables) - {table.prefix for table in _OWNED}


def present(record: V | None, what: str) -> V:
    """The record, which our own rules say is there.

    Raises:
        InvariantViolation: it is not.
    """
    if record is None:
        raise InvariantViolation(f"the state lacks {what}")
    return record


def network(state: StateReader) -> Network:
    """The network's own record, which genesis always writes."""
    return present(NETWORK.get(state, None), "the network record")


def certificate_type(state: StateReader, code: str) -> CertificateType | None:
    """The version of a certificate type that is in use now."""
    version = CERTIFICATE_TYPES.get(state, code)
    return None if version is None else CERTIFICATE_TYPE_VERSIONS.get(state, (code, version))
