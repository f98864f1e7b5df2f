"""The finalized chain as the rest of the node reads it, and waits on it.

Rule: only finalized things are ever shown. `Chain` implements the port of that name in `node/services/ports.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from contracts import (
    evidence,
    membership,
    portals,
    protocol_versions,
    regions,
    shared_key_rounds,
    shared_keys,
    upgrades,
)
from contracts.erasure_records import Erasure
from contracts.form_records import Form
from contracts.forms import form
from contracts.grant_records import Deletion, DeletionDuty, GrantRules
from contracts.grant_tables import DELETION_DUTIES, DELETIONS, MANDATES
from contracts.people_records import Recovery
from contracts.portal_records import Portal
from contracts.question_records import CountRecord
from contracts.records import (
    Account,
    Certificate,
    CertificateType,
    EvidenceRecord,
    Grant,
    NodeRecord,
    Proposal,
    PurposeTemplate,
    Release,
    Trace,
)
from contracts.region_records import Recognition, Region
from contracts.representation_records import Mandate
from contracts.shared_key_records import KeyPurpose
from contracts.state import (
    ACCOUNTS,
    CERTIFICATE_TYPE_VERSIONS,
    CERTIFICATE_TYPES,
    CERTIFICATES,
    COUNTS,
    ERASURES,
    FORMS,
    GRANT_RULES,
    GRANTS,
    PROPOSALS,
    PURPOSES,
    RECOGNITIONS,
    RECOVERIES,
    RELEASES,
    SHARED_KEYS_IN_USE,
    TRACES,
    Table,
    certificate_type,
    present,
)
from contracts.upgrades import ContractStatus, PendingUpgrade
from contracts.versions import Reading
from ledger.crypto.suite import CryptoSuite
from ledger.errors import NotFound
from ledger.receipts import build_receipt
from ledger.state_receipts import StateReceipt
from ledger.store_records import NotHeld
from ledger.types import (
    EpochChange,
    FinalizedBlock,
    Genesis,
    Header,
    Receipt,
    Result,
    Trust,
    ValidatorSet,
    WebAuthn,
)
from node.execution import Execution
from node.overlays import LayeredState
from node.servedstore import ServedState, ServedStore
from node.services.facts import HeightNotFinal, Location, NodeFacts, SharedKeysFacts
from node.stateproofs import StateProofs

CODES_MAX: Final = 10_000

K = TypeVar("K")
V = TypeVar("V")


class StateRecords:
    """Records of the finalized state, decoded; implements the port `Records`."""

    def __init__(self, execution: Execution, store: ServedStore) -> None:
        self._execution = execution
        self._store = store
        self._proven = ServedState(store)

    def get(self, key: bytes) -> bytes | None:
        """Implements `contracts.state.StateReader` at the finalized head, whatever that is at the time of the call."""
        return self.state().get(key)

    def state(self) -> LayeredState:
        """State at the finalized head, proven value by value. A short-lived view: take a new one for each use."""
        return LayeredState(self._proven, self._execution.state().layers)

    def reading(self) -> Reading:
        """State at the finalized head as contracts read it. Short-lived, like `state`."""
        state = self.state()
        return Reading(state, self._execution.contracts(state))

    def record(self, table: Table[K, V], key: K) -> V | None:
        """A record of whichever contract, wherever the version that holds at the finalized head keeps it."""
        state = self.state()
        return self._execution.contracts(state).record(state, table, key)

    def account(self, account_id: bytes) -> Account | None:
        return ACCOUNTS.get(self, account_id)

    def certificate(self, certificate_id: bytes) -> Certificate | None:
        return self.record(CERTIFICATES, certificate_id)

    def erasure(self, certificate_id: bytes) -> Erasure | None:
        return self.record(ERASURES, certificate_id)

    def grant(self, grant_id: bytes) -> Grant | None:
        return self.record(GRANTS, grant_id)

    def release(self, release_id: bytes) -> Release | None:
        return self.record(RELEASES, release_id)

    def trace(self, trace_id: bytes) -> Trace | None:
        return self.record(TRACES, trace_id)

    def proposal(self, proposal_id: bytes) -> Proposal | None:
        return self.record(PROPOSALS, proposal_id)

    def certificate_type(self, code: str) -> CertificateType | None:
        return certificate_type(self, code)

    def certificate_types(self) -> tuple[CertificateType, ...]:
        kinds = (certificate_type(self, code) for code in self._codes(CERTIFICATE_TYPES.key("")))
        return tuple(
            sorted((kind for kind in kinds if kind is not None), key=lambda kind: (kind.number, kind.code))
        )

    def purpose(self, code: str) -> PurposeTemplate | None:
        return PURPOSES.get(self, code)

    def purposes(self) -> tuple[PurposeTemplate, ...]:
        found = (PURPOSES.get(self, code) for code in sorted(self._codes(PURPOSES.key(""))))
        return tuple(purpose for purpose in found if purpose is not None)

    def certificate_type_version(self, code: str, version: int) -> CertificateType | None:
        return CERTIFICATE_TYPE_VERSIONS.get(self, (code, version))

    def form(self, code: str) -> Form | None:
        return form(self, code)

    def forms(self) -> tuple[Form, ...]:
        found = (form(self, code) for code in sorted(self._codes(FORMS.key(""))))
        return tuple(one for one in found if one is not None)

    def count(self, count_id: bytes) -> CountRecord | None:
        return self.record(COUNTS, count_id)

    def region(self, chain_id: bytes) -> Region | None:
        return regions.region(self, chain_id)

    def regions(self) -> tuple[Region, ...]:
        return regions.regions(self._execution.state())

    def recognition(self, recognition_id: bytes) -> Recognition | None:
        return self.record(RECOGNITIONS, recognition_id)

    def mandate(self, mandate_id: bytes) -> Mandate | None:
        return self.record(MANDATES, mandate_id)

    def deletion(self, release_id: bytes) -> Deletion | None:
        return self.record(DELETIONS, release_id)

    def deletion_duty(self, grant_id: bytes) -> DeletionDuty | None:
        return self.record(DELETION_DUTIES, grant_id)

    def recovery(self, account_id: bytes) -> Recovery | None:
        return RECOVERIES.get(self, account_id)

    def grant_rules(self) -> GrantRules:
        return GRANT_RULES.get(self, None) or GrantRules()

    def _codes(self, prefix: bytes) -> list[str]:
        """Codes under a table's prefix at the finalized head: what is durable, and what the overlays add."""
        keys = {key for key, _ in self._store.scan(prefix, limit=CODES_MAX)}
        for layer in self._execution.state().layers:
            keys.update(key for key in layer.writes if key.startswith(prefix))
        return [key.removeprefix(prefix).decode() for key in keys]


class UnprovenRecords(StateRecords):
    """The same records as execution reads them: for the index, of which nothing is decided, and which reads many."""

    def state(self) -> LayeredState:
        return self._execution.state()


class _StateAt:
    """State as a finalized block left it."""

    def __init__(self, proofs: StateProofs, height: int) -> None:
        self._proofs = proofs
        self._height = height

    def get(self, key: bytes) -> bytes | None:
        return self._proofs.value(key, self._height)


class Chain:
    """Reads and waits on the finalized chain of this node."""

    def __init__(
        self, *, suite: CryptoSuite, store: ServedStore, execution: Execution, facts: Callable[[], NodeFacts]
    ) -> None:
        self._suite = suite
        self._store = store
        self._execution = execution
        self._facts = facts
        self._grown = asyncio.Event()
        self._proofs = StateProofs(suite, store, state=execution.state, block=self.finalized)
        self.records = StateRecords(execution, store)

    @property
    def suite(self) -> CryptoSuite:
        return self._suite

    @property
    def genesis(self) -> Genesis:
        return self._store.genesis

    @property
    def chain_id(self) -> bytes:
        return self._store.chain_id

    @property
    def height(self) -> int:
        return self._execution.finalized_height()

    @property
    def first_height(self) -> int:
        """Lowest height whose block is held here."""
        return self._store.first_height

    def epoch_changes(self, from_epoch: int, limit: int) -> tuple[EpochChange, ...]:
        """How epochs ended, from that one on."""
        return self._store.epoch_changes(from_epoch, limit=limit)

    @property
    def head_time_ms(self) -> int:
        """Block time of the finalized head."""
        return self._execution.head()[1].time_ms

    @property
    def validators(self) -> ValidatorSet:
        """The set that votes on the successor of the finalized head."""
        return membership.validators(self.records.state())

    @property
    def epoch(self) -> int:
        """Of the finalized head's successor."""
        return self._execution.validators().epoch

    def executed_state(self) -> LayeredState:
        """State at the finalized head as execution reads it, unproven. A short-lived view: take a new one for each use."""
        return self._execution.state()

    def ids(self, table: Table[bytes, Any], after: bytes, limit: int) -> tuple[bytes, ...]:
        """Ids of a table's records on the ledger, in ascending order from the first above `after`, at most `limit`."""
        prefix = table.prefix
        page = self._execution.state().scan(
            prefix, start=prefix + after + b"\0" if after else b"", limit=limit
        )
        return tuple(key.removeprefix(prefix) for key, _ in page)

    def validator_set(self, epoch: int) -> ValidatorSet | None:
        """The set of an epoch, past or present, or the one that a seal has decided."""
        return membership.validator_set(self.records, epoch)

    def shared_keys(self) -> SharedKeysFacts:
        """Keys that the operators hold together, at the finalized head."""
        state = self.records.state()
        used = ((purpose, SHARED_KEYS_IN_USE.get(state, purpose)) for purpose in KeyPurpose)
        return SharedKeysFacts(
            ready=shared_keys.ready(state),
            keys=shared_key_rounds.keys_made(state),
            in_use=frozenset((purpose, version) for purpose, version in used if version is not None),
            rounds=shared_key_rounds.open_rounds(state),
        )

    def nodes(self) -> tuple[NodeRecord, ...]:
        """Every node of the peer network, in the order of admission."""
        return membership.nodes(self.records.state())

    def evidence_count(self) -> int:
        """How many proofs of conflicting votes are on record."""
        return evidence.count(self.records)

    def evidence(self, first: int, limit: int) -> tuple[EvidenceRecord, ...]:
        """Proofs by number, from `first` on upwards, at most `limit`."""
        state = self.records.state()
        numbers = range(max(first, 0), min(max(first, 0) + limit, evidence.count(state)))
        return tuple(present(evidence.record(state, number), "numbered evidence") for number in numbers)

    @property
    def webauthn(self) -> WebAuthn:
        """Where passkeys are used, at the head."""
        return portals.webauthn(self.records)

    def portals(self) -> tuple[Portal, ...]:
        """The web applications that operators have approved."""
        return portals.portals(self.records)

    @property
    def protocol_version(self) -> int:
        """Of the block after the finalized head."""
        return protocol_versions.protocol_version(self.records.state(), self.height + 1)

    def pending_protocol(self) -> tuple[int, int] | None:
        """(version, height) of a protocol version that is set and not yet in force."""
        return self._execution.pending_protocol()

    def contracts(self) -> tuple[ContractStatus, ...]:
        """What the finalized head says of every contract's versions."""
        return upgrades.contracts(self.records.state())

    def pending_upgrades(self) -> tuple[PendingUpgrade, ...]:
        """Versions of contracts that are set and not in force at the finalized head."""
        return self._execution.pending_upgrades()

    @property
    def contract_versions(self) -> Mapping[str, int]:
        """The latest version of every contract that this release has."""
        return self._execution.registry.known

    def status(self) -> NodeFacts:
        return self._facts()

    def header(self, height: int) -> Header | None:
        if height == 0:
            return self._store.header(0)
        finalized = self.finalized(height)
        return finalized.block.header if finalized is not None else None

    def finalized(self, height: int) -> FinalizedBlock | None:
        return self._execution.block(height) if 0 < height <= self.height else None

    def contents(self, height: int) -> FinalizedBlock | None:
        """The block for who needs no proof of it: the certificate's signature is not verified."""
        if height <= self._store.height:
            return self._store.contents(height) if height > 0 else None
        return self.finalized(height)

    @property
    def damage(self) -> str:
        """What this node has found damaged of its own store, and does not serve; empty while nothing was."""
        return self._store.damage

    def results(self, height: int) -> tuple[Result, ...]:
        return self._execution.results(height) or ()

    def locate(self, transaction_id: bytes) -> Location | None:
        found = self._execution.locate(transaction_id)
        return Location(height=found[0], index=found[1]) if found is not None else None

    def receipt(self, transaction_id: bytes) -> Receipt:
        location = self.locate(transaction_id)
        finalized = self.finalized(location.height) if location is not None else None
        if location is None or finalized is None:
            if self.first_height > 1:
                name = transaction_id.hex()
                raise NotHeld(what="finalized transaction", id=name, first_height=self.first_height)
            raise NotFound(what="finalized transaction", id=transaction_id.hex())
        return build_receipt(
            self._suite, self.genesis.network, finalized, self.results(location.height), location.index
        )

    def state_receipt(self, key: bytes, height: int | None = None) -> StateReceipt:
        """Implements the port; reads a few nodes of the tree, so it is called on the loop like any other read."""
        wanted = self.height if height is None else height
        if wanted > self.height:
            raise HeightNotFinal(height=wanted, last_height=self.height)
        with self._store.watched(f"proof of {key.hex()}"):
            return self._proofs.receipt(key, wanted)

    def record_key(self, table: Table[K, V], key: K, height: int | None = None) -> bytes:
        """Implements the port: by the versions of contracts that held after that block."""
        wanted = self.height if height is None else height
        if wanted > self.height:
            raise HeightNotFinal(height=wanted, last_height=self.height)
        with self._store.watched("versions of contracts"):
            return self._execution.contracts(_StateAt(self._proofs, wanted)).key(table, key)

    def trust(self) -> Trust:
        """The trust point of genesis: with the epoch changes since, it proves what any epoch finalized."""
        genesis = self.genesis
        return Trust(
            version=1,
            network=genesis.network,
            suite=genesis.suite,
            chain_id=self.chain_id,
            validators=genesis.validators,
        )

    async def wait_height_above(self, height: int, timeout_s: float) -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.height <= height:
                    await self._grown.wait()
        return self.height

    def wake(self) -> None:
        """Wake everybody who waits for the chain to grow; the block is visible already."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
