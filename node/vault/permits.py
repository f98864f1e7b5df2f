"""Whether this node's share may open parts of records: what its own replica says of the release or trace that asks.

Rule: nothing that an asker sends is believed. The release is final here and names the asker, its grant still opens every output,
the manifests hash to what the ledger says, the parts are among those that the outputs need, and each key header was made for
just that part. Whatever this replica has seen of a pause, a revocation or an erasure refuses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.grant_uses import check_data
from contracts.grants import standing
from contracts.records import (
    CERTIFICATES_PER_TRACE_MAX,
    Grant,
    GrantState,
    Release,
    ReleaseState,
    Trace,
    TraceVerdict,
)
from contracts.shared_key_records import KeyPurpose
from contracts.state import CERTIFICATES, GRANTS, RELEASES, TRACES, StateReader, Table
from contracts.traces import BYTES_EXISTED, check_performed
from contracts.versions import Reading
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.encryption import SealedKey
from ledger.crypto.threshold.group import Element
from node.holders.errors import KeyRefused
from node.holders.ports import Permitted, ShareAsk
from node.holders.waiting import Heights, wait_final
from node.vault.blobs import blob_hash
from node.vault.keys import KeyHeader, PartKind, PartName, part_label
from node.vault.opening import OpenParts, context_of, decode_open_parts
from node.vault.parts import parts_of_outputs
from node.vault.records import MANIFEST_VERSION, Manifest, decode_manifest

K = TypeVar("K")
V = TypeVar("V")

Headers = Mapping[tuple[PartKind, str], KeyHeader]

# While a file waits for its recipient, it is made again if it is lost.
OPENABLE: Final = (ReleaseState.REQUESTED, ReleaseState.PREPARED)


class Records(StateReader, Protocol):
    """The finalized state, with records as the versions of contracts in force give them."""

    def record(self, table: Table[K, V], key: K) -> V | None: ...


class HeaderChecks(Protocol):
    """Off the event loop (`node.holders.work.ShareWork`)."""

    async def check_headers(
        self, headers: Sequence[tuple[SealedKey, bytes]]
    ) -> tuple[Element | None, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """This node's own replica, as far as it is asked.

    Attributes:
        suite: crypto suite.
        chain_id: of the network.
        state: the finalized state.
        reading: gives it as contracts read it.
        chain: the finalized chain.
        time_ms: block time of its head, or its clock where that is later.
    """

    suite: CryptoSuite
    chain_id: bytes
    state: Records
    reading: Callable[[], Reading]
    chain: Heights
    time_ms: Callable[[], int]


class _PartsPermit(ABC):
    """What releases and traces have in common.

    Args:
        replica: this node's.
        work: checks headers.
    """

    def __init__(self, replica: Replica, work: HeaderChecks) -> None:
        self._replica = replica
        self._suite = replica.suite
        self._chain_id = replica.chain_id
        self._state: Records = replica.state
        self._work = work

    async def permit(self, sender: bytes, ask: ShareAsk) -> Permitted:
        """Implements `node.holders.ports.Permit`."""
        asked = decode_open_parts(ask.payload)
        if ask.purpose is not KeyPurpose.VAULT:
            raise KeyRefused(reason="wrong_key")
        if len(set(asked.parts)) != len(asked.parts):
            raise KeyRefused(reason="part_named_twice")
        await wait_final(self._replica.chain, asked.height)
        height = self._look()
        allowed = self._allowed(sender, ask.record_id, asked)
        if not allowed.issuperset(asked.parts):
            raise KeyRefused(reason="part_not_named")
        headers = self._headers(ask, asked)
        sealed = [
            (header.sealed, part_label(self._chain_id, part))
            for header, part in zip(headers, asked.parts, strict=True)
        ]
        bases = await self._work.check_headers(sealed)
        sound = tuple(base for base in bases if base is not None)
        if len(sound) != len(bases):
            raise KeyRefused(reason="header_of_another_part")

        def again() -> None:
            if self._look() != height:
                self._allowed(sender, ask.record_id, asked)
                self._headers(ask, asked)

        # That took a moment, in which this replica may have seen a revocation.
        again()
        return Permitted(
            bases=sound, context=context_of(self._suite, self._chain_id, ask, headers), again=again
        )

    def _look(self) -> int:
        """Read from the finalized head of now on, until the next look, which comes after whatever is waited for; its height."""
        self._state = self._replica.reading()
        return self._replica.chain.height

    @abstractmethod
    def _allowed(self, sender: bytes, record_id: bytes, asked: OpenParts) -> frozenset[PartName]:
        """The parts that the ledger opens to the sender, of which the ask must be. Raises KeyRefused."""
        ...

    def _headers(self, ask: ShareAsk, asked: OpenParts) -> list[KeyHeader]:
        manifests = dict(map(self._manifest, asked.manifests))
        return [self._header(ask, manifests, part) for part in asked.parts]

    def _manifest(self, data: bytes) -> tuple[bytes, Headers]:
        """Certificate and headers of a manifest that is the one on the ledger."""
        manifest: Manifest = decode_manifest(data)
        certificate = self._state.record(CERTIFICATES, manifest.certificate_id)
        if certificate is None:
            raise KeyRefused(reason="unknown_certificate")
        if certificate.erased_ms:
            raise KeyRefused(reason="certificate_erased")
        if blob_hash(self._suite, data) != certificate.payload_hash or manifest.version != MANIFEST_VERSION:
            raise KeyRefused(reason="other_manifest")
        headers = {(part.kind, part.name): part.header for part in manifest.parts}
        if len(headers) != len(manifest.parts):
            raise KeyRefused(reason="other_manifest")
        return manifest.certificate_id, headers

    def _header(self, ask: ShareAsk, manifests: Mapping[bytes, Headers], part: PartName) -> KeyHeader:
        header = manifests.get(part.certificate_id, {}).get((part.kind, part.name))
        if header is None or header.version != ask.version:
            raise KeyRefused(reason="part_not_in_manifest")
        return header


class ReleasePermit(_PartsPermit):
    """For a release: its parts, for the node that performs it, while it is requested or waits for its recipient."""

    def _allowed(self, sender: bytes, record_id: bytes, asked: OpenParts) -> frozenset[PartName]:
        release = self._state.record(RELEASES, record_id)
        if release is None:
            raise KeyRefused(reason="unknown_release")
        if release.released_by != sender:
            raise KeyRefused(reason="not_entrusted")
        reason = self._refusal(release)
        if reason:
            raise KeyRefused(reason=reason)
        return frozenset(parts_of_outputs(release.outputs))

    def _refusal(self, release: Release) -> str:
        time_ms = self._replica.time_ms()
        if release.state not in OPENABLE:
            return f"release_{release.state.value}"
        ends_ms = release.deadline_ms if release.state is ReleaseState.REQUESTED else release.window_ends_ms
        if time_ms >= ends_ms:
            return "release_overdue"
        grant = self._state.record(GRANTS, release.grant_id)
        if grant is None:
            return "unknown_grant"
        return self._grant_refusal(grant, release, time_ms)

    def _grant_refusal(self, grant: Grant, release: Release, time_ms: int) -> str:
        """As the contract would judge it now, but that the use is reserved or made already."""
        held = standing(grant, time_ms)
        if held not in {GrantState.ACTIVE, GrantState.EXHAUSTED}:
            return f"grant_{held.value}"
        in_use = replace(grant, state=GrantState.ACTIVE)
        try:
            check_data(self._replica.reading(), in_use, release.outputs, time_ms)
        except Denied as denied:
            return denied.code
        return ""


class TracePermit(_PartsPermit):
    """For a trace: what was ever handed out of the certificates that it names, for the node that performs it."""

    def _allowed(self, sender: bytes, record_id: bytes, asked: OpenParts) -> frozenset[PartName]:
        trace = self._state.record(TRACES, record_id)
        if trace is None:
            raise KeyRefused(reason="unknown_trace")
        if trace.performed_by != sender:
            raise KeyRefused(reason="not_entrusted")
        if trace.verdict is not TraceVerdict.OPEN:
            raise KeyRefused(reason="trace_concluded")
        try:
            check_performed(trace, self._replica.time_ms())
        except Denied as denied:
            raise KeyRefused(reason=denied.code) from None
        return frozenset(
            part for release_id in asked.releases for part in self._handed_out(trace, release_id)
        )

    def _handed_out(self, trace: Trace, release_id: bytes) -> tuple[PartName, ...]:
        release = self._state.record(RELEASES, release_id)
        if release is None or release.state not in BYTES_EXISTED:
            raise KeyRefused(reason="release_unrelated")
        # A leak is of what was handed out before somebody looked for its source; a trace is no standing permission.
        if release.prepared_ms > trace.requested_ms:
            raise KeyRefused(reason="release_after_trace")
        named = trace.certificates[:CERTIFICATES_PER_TRACE_MAX]
        return tuple(part for part in parts_of_outputs(release.outputs) if part.certificate_id in named)
