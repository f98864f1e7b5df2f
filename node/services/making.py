"""Making the files of a release: open what its outputs need and have their marks' seeds computed, check, select, mark, finish.

Rule: the same release and finish give the same bytes whenever they are made. Everything that it needs is opened in one go; files
are made one after the other, so that only a few are in memory in the clear at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.questions import answer_of
from contracts.records import Certificate, Output, Release
from contracts.state import CERTIFICATE_TYPE_VERSIONS
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Unavailable, VerificationFailed
from node.chain import Chain
from node.services.finishing import Finish, Finisher
from node.services.leak_notes import LeakNotes
from node.services.marking import MarkedFile, Renderer, mark_file
from node.vault.keys import Authority, AuthorityKind
from node.vault.mark_seeds import MarkSeeds, Seed, copies_of
from node.vault.records import Unlocked
from watermark import Marked
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
    """Makes files of releases, and unmarked ones for traces.

    Args:
        suite: crypto suite.
        chain: the ledger as this node has it.
        renderer: opens and renders.
        seeds: of marks.
        notes: where files that are made are noted, to be found again by.
        finisher: gives files their finish; None for none.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        renderer: Renderer,
        seeds: MarkSeeds,
        notes: LeakNotes | None = None,
        finisher: Finisher | None = None,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._renderer = renderer
        self._seeds = seeds
        self._notes = notes
        self._finisher = finisher
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

    def finishes(self, output: Output) -> bool:
        """Whether the file of an output is made with a finish."""
        return self._finisher is not None and self._finisher.finishes(
            output, self.schema(self._certificate(output))
        )

    async def finish_of(self, release: Release, index: int, opened: OpenedRelease) -> Finish | None:
        """Decide on the finish of one file, by what the ledger says now; None where it gets none.

        Args:
            release: which.
            index: of its output.
            opened: for all outputs of the release.

        Raises:
            Unavailable: a ciphertext is nowhere.
            VerificationFailed: what was opened is not what the ledger says.
        """
        output = release.outputs[index]
        certificate = self._certificate(output)
        schema = self.schema(certificate)
        if self._finisher is None or not self._finisher.finishes(output, schema):
            return None
        return await self._finisher.decide(release, output, certificate, schema, opened.unlocked)

    async def make(
        self, release: Release, index: int, opened: OpenedRelease, finish: Finish | None = None
    ) -> MarkedFile:
        """The file of one output.

        Args:
            release: which.
            index: of its output.
            opened: for this output at least.
            finish: of this file; one that was decided before gives the bytes that were made before.

        Raises:
            Unavailable, VerificationFailed, WatermarkError.
        """
        copy = copies_of(release)[index]
        output, certificate = copy.output, self._certificate(copy.output)
        async with self._at_once:
            schema = self.schema(certificate)
            rendering, layout = await self._renderer.render(
                opened.unlocked, certificate, schema, output, self.as_of_ms(release, output)
            )
            marked = await asyncio.to_thread(
                mark_file,
                self._suite,
                rendering,
                layout,
                copy,
                opened.seeds[index],
                self._giving(rendering.media_type, finish),
            )
            if self._notes is not None:
                await self._notes.made(certificate, schema, output, opened.unlocked, rendering, marked.data)
            return marked

    def _giving(self, media_type: str, finish: Finish | None) -> Callable[[Marked], Marked]:
        finisher = self._finisher
        if finish is None:
            return lambda marked: marked
        if finisher is None:
            raise Unavailable(what="finish", reason="this node gives files none")
        return lambda marked: finisher.give(marked, media_type, finish)

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
