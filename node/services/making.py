"""Making the files of a release: open what its outputs need and have their marks' seeds computed, check, select, mark.

Rule: the same release gives the same bytes whenever it is made. Everything that it needs is opened in one go; files are made
one after the other, so that only a few are in memory in the clear at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.questions import answer_of
from contracts.records import Certificate, Output, Release
from contracts.state import CERTIFICATE_TYPE_VERSIONS
from ledger.crypto.suite import CryptoSuite
from ledger.errors import VerificationFailed
from node.chain import Chain
from node.services.leak_notes import LeakNotes
from node.services.marking import MarkedFile, Renderer, mark_file
from node.vault.keys import Authority, AuthorityKind
from node.vault.mark_seeds import MarkSeeds, Seed, copies_of
from node.vault.records import Unlocked
from zhenglian.catalogue import CertificateTypeSpec, decode_schema

# Files in the clear in memory, of whichever releases.
FILES_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRelease:
    """What making files of a release takes.

    Attributes:
        unlocked: the parts of its records.
        seeds: of its marks, one an output.
    """

    unlocked: Unlocked
    seeds: tuple[Seed, ...]


class ReleaseMaker:
    """Makes files of releases, and unmarked ones for traces."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        renderer: Renderer,
        seeds: MarkSeeds,
        notes: LeakNotes | None = None,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._renderer = renderer
        self._seeds = seeds
        self._notes = notes
        self._at_once = asyncio.Semaphore(FILES_AT_ONCE)

    async def open(self, release: Release, outputs: Sequence[Output]) -> OpenedRelease:
        """Have everything opened that these outputs of a release need.

        Raises:
            KeyRefused: the ledger does not allow it (any more).
            Unavailable: too few holders, or a ciphertext is nowhere.
            VerificationFailed: what was sealed is not what the ledger says.
        """
        authority = Authority(kind=AuthorityKind.RELEASE, record_id=release.release_id)
        certificates = tuple(self._certificate(output) for output in outputs)
        unlocked, seeds = await asyncio.gather(
            self._renderer.unlock(authority, certificates, outputs), self._seeds.of_release(release)
        )
        return OpenedRelease(unlocked=unlocked, seeds=seeds)

    async def make(self, release: Release, index: int, opened: OpenedRelease) -> MarkedFile:
        """The file of one output. Raises Unavailable, VerificationFailed, WatermarkError."""
        copy = copies_of(release)[index]
        output, certificate = copy.output, self._certificate(copy.output)
        async with self._at_once:
            schema = self.schema(certificate)
            rendering, layout = await self._renderer.render(
                opened.unlocked, certificate, schema, output, self.as_of_ms(release, output)
            )
            marked = await asyncio.to_thread(
                mark_file, self._suite, rendering, layout, copy, opened.seeds[index]
            )
            if self._notes is not None:
                await self._notes.made(certificate, schema, output, opened.unlocked, rendering, marked.data)
            return marked

    def as_of_ms(self, release: Release, output: Output) -> int:
        """Of when the answer to an output's question is, as the ledger fixed it; 0 where nothing is asked."""
        if output.question is None:
            return 0
        found = answer_of(self._chain.records, release.grant_id, output.certificate, output.question)
        return 0 if found is None else found.as_of_ms

    def schema(self, certificate: Certificate) -> CertificateTypeSpec:
        """The schema of the version of its type that the certificate was issued under. Raises VerificationFailed."""
        version = (certificate.certificate_type, certificate.type_version)
        kind = CERTIFICATE_TYPE_VERSIONS.get(self._chain.records, version)
        if kind is None:
            raise VerificationFailed(reason="the certificate's type is not on the ledger")
        return decode_schema(kind.schema)

    def _certificate(self, output: Output) -> Certificate:
        certificate = self._chain.records.certificate(output.certificate)
        if certificate is None:
            raise VerificationFailed(reason="the release names a certificate that is not on the ledger")
        return certificate
