"""Codeword seeds of marks: pseudorandom values of the operators' shared key, which no node computes alone.

    base of a copy   hash to the group of (network, certificate, asset, release id)
    seed of a copy   hash of the base's encoding times the shared secret

Rule: a holder derives the bases itself from the releases on its own replica, so that nobody has any other multiplied; whoever
marks one copy learns one seed. A release's shares come with proofs. A trace asks for thousands, bare: each seed must fit the
commitment that its release left on the ledger before its bytes did, and what does not fit is asked for again with proofs.

Source: the function is that of `ledger/crypto/threshold/prf.py` without blinding, since holders know the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from contracts.assets import asset_of
from contracts.records import Output, OutputFormat, PreparedFile, Release
from contracts.shared_key_records import KeyPurpose
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.group import Element, Group
from ledger.errors import VerificationFailed
from ledger.types import Count, ReleaseId, Wire
from node.holders.ports import (
    ASK_PAYLOAD_BYTES_MAX,
    BASES_PER_ASK_MAX,
    ShareAsk,
    ShareCollector,
    SharedKeys,
)
from node.vault.opening import OwnPermits

RELEASE_MARKS: Final = "release_marks"
TRACE_MARKS: Final = "trace_marks"


class MarksAsk(Wire):
    """Payload of a `ShareAsk` for seeds.

    Attributes:
        height: where the asker sees the authority's record final.
        releases: whose copies' seeds are wanted; for a release its own id alone.
    """

    height: Count
    releases: Annotated[tuple[ReleaseId, ...], Meta(min_length=1, max_length=BASES_PER_ASK_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One file of a release: what a mark names.

    Attributes:
        release_id: of the release.
        index: of its output, from 0.
        output: that output.
        prepared: what the ledger knows of the file; None before it is prepared.
    """

    release_id: bytes
    index: int
    output: Output
    prepared: PreparedFile | None = None

    @property
    def unmarked(self) -> bool:
        """Whether it is handed out as it was issued."""
        return self.output.format is OutputFormat.ORIGINAL


def copies_of(release: Release) -> tuple[Copy, ...]:
    """Every file of a release, in its outputs' order."""
    files: Sequence[PreparedFile | None] = release.files or (None,) * len(release.outputs)
    return tuple(
        Copy(release_id=release.release_id, index=index, output=output, prepared=prepared)
        for index, (output, prepared) in enumerate(zip(release.outputs, files, strict=True))
    )


def copy_name(chain_id: bytes, copy: Copy) -> bytes:
    """What a copy's seed belongs to: network, certificate, asset and release."""
    return codec.encode((chain_id, copy.output.certificate, asset_of(copy.output), copy.release_id))


def base_of(group: Group, chain_id: bytes, copy: Copy) -> Element:
    """What holders multiply for the seed of a copy."""
    return group.hash_to_element(domains.MARK_SEED, copy_name(chain_id, copy))


def marks_context(suite: CryptoSuite, chain_id: bytes, ask: ShareAsk) -> bytes:
    """What the proofs of an ask's shares are bound to: everything but the renewal."""
    named = (chain_id, ask.kind, ask.record_id, ask.purpose, ask.version, ask.payload)
    return suite.hash(domains.MARK_SHARES, codec.encode(named))


def mark_commitment(suite: CryptoSuite, copy: Copy, seed: bytes, file_hash: bytes) -> bytes:
    """What the ledger holds of a mark before any byte leaves: release, asset, seed and marked file."""
    named = (copy.release_id, asset_of(copy.output), seed, file_hash)
    return suite.hash(domains.MARK_COMMITMENT, codec.encode(named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """The seed of a copy.

    Attributes:
        value: 32 bytes.
        version: of the operators' marks key that it comes from.
    """

    value: bytes
    version: int


class MarkSeeds:
    """Has seeds computed by the holders.

    Args:
        suite, group: of the network.
        chain_id: of the network.
        keys: the keys in force.
        server: asks this node's own permit first.
        collector: asks the holders.
        height: of this node's finalized head.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        group: Group,
        chain_id: bytes,
        keys: SharedKeys,
        server: OwnPermits,
        collector: ShareCollector,
        height: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._group = group
        self._chain_id = chain_id
        self._keys = keys
        self._server = server
        self._collector = collector
        self._height = height

    async def of_release(self, release: Release) -> tuple[Seed, ...]:
        """A seed for each output of a release, under the marks key that the ledger names for it, else the one in use.

        Raises:
            KeyRefused: the ledger does not allow it (any more).
            Unavailable: fewer than the threshold of holders answered, or there is no key yet.
        """
        copies = copies_of(release)
        prepared = copies[0].prepared
        version = self._keys.in_use(KeyPurpose.MARKS).version if prepared is None else prepared.marks_version
        found = await self._ask(RELEASE_MARKS, release.release_id, version, (release.release_id,), copies)
        return tuple(Seed(value=found[copy], version=version) for copy in copies)

    async def of_trace(
        self, trace_id: bytes, copies: Sequence[Copy], done: Callable[[int], None] = lambda _count: None
    ) -> Mapping[Copy, bytes]:
        """Seeds of copies that were handed out, without those that are not as committed.

        A copy that is missing was marked by its releasing node with another seed than the operators' key gives, or under a version
        of that key that has been destroyed.

        Args:
            trace_id: of the approved trace in whose name it is asked.
            copies: every copy of the trace's certificates in each of the releases, release by release.
            done: is told how many copies have been asked for.

        Raises:
            KeyRefused, Unavailable: as for `of_release`.
        """
        seeds: dict[Copy, bytes] = {}
        asked = 0
        for version, batch in _batches(copies):
            if self._keys.version(KeyPurpose.MARKS, version) is not None:
                seeds |= await self._of_batch(trace_id, version, batch)
            asked += len(batch)
            done(asked)
        return seeds

    async def _of_batch(self, trace_id: bytes, version: int, batch: Sequence[Copy]) -> dict[Copy, bytes]:
        releases = tuple(dict.fromkeys(copy.release_id for copy in batch))
        found = await self._ask(TRACE_MARKS, trace_id, version, releases, batch, bare=True)
        if not all(copy.unmarked or self._committed(copy, found[copy]) for copy in batch):
            found = await self._ask(TRACE_MARKS, trace_id, version, releases, batch)
        return {copy: found[copy] for copy in batch if self._committed(copy, found[copy])}

    def _committed(self, copy: Copy, seed: bytes) -> bool:
        prepared = copy.prepared
        return prepared is not None and (
            mark_commitment(self._suite, copy, seed, prepared.file_hash) == prepared.mark_commitment
        )

    async def _ask(
        self,
        kind: str,
        record_id: bytes,
        version: int,
        releases: tuple[bytes, ...],
        copies: Sequence[Copy],
        *,
        bare: bool = False,
    ) -> Mapping[Copy, bytes]:
        ask = ShareAsk(
            kind=kind,
            record_id=record_id,
            purpose=KeyPurpose.MARKS,
            version=version,
            renewal=0,
            payload=codec.encode(MarksAsk(height=self._height(), releases=releases)),
            bare=bare,
        )
        permitted = await self._server.permitted(ask)
        if len(permitted.bases) != len(copies):
            raise VerificationFailed(reason="the releases have other outputs than those that are marked")
        combined = await self._collector.collect(ask, permitted)
        return {copy: self._seed(copy, element) for copy, element in zip(copies, combined, strict=True)}

    def _seed(self, copy: Copy, element: Element) -> bytes:
        name = copy_name(self._chain_id, copy)
        return self._suite.hash(domains.MARK_SEED, len(name).to_bytes(4, "big") + name + element.encode())


def _batches(copies: Sequence[Copy]) -> Iterator[tuple[int, list[Copy]]]:
    """As few batches as go into an ask each; a release's copies stay together, and its key's version is one."""
    by_version: dict[int, list[list[Copy]]] = {}
    for copy in copies:
        version = 0 if copy.prepared is None else copy.prepared.marks_version
        groups = by_version.setdefault(version, [])
        if groups and groups[-1][0].release_id == copy.release_id:
            groups[-1].append(copy)
        else:
            groups.append([copy])
    for version, groups in by_version.items():
        batch: list[Copy] = []
        for group in groups:
            if len(batch) + len(group) > BASES_PER_ASK_MAX:
                yield version, batch
                batch = []
            batch += group
        yield version, batch


def decode_marks_ask(payload: bytes) -> MarksAsk:
    """An ask's payload. Raises DecodeError, LimitExceeded."""
    return codec.decode(payload, MarksAsk, size_bytes_max=ASK_PAYLOAD_BYTES_MAX, what="marks ask")
