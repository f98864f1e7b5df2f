"""Making the files of a release: open what its outputs need, check, select, mark.

Rule: the same release gives the same bytes whenever it is made. Everything that it needs is opened in one go; files are made
one after the other, so that only a few are in memory in the clear at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from contracts.questions import answer_of
from contracts.records import Certificate, Output, Release
from contracts.state import CERTIFICATE_TYPE_VERSIONS
from ledger.crypto.suite import CryptoSuite
from ledger.errors import VerificationFailed
from node.chain import Chain
from node.services.marking import MarkedFile, Renderer, mark_file
from node.vault.keys import Authority, AuthorityKind
from node.vault.records import Unlocked
from zhenglian.catalogue import CertificateTypeSpec, decode_schema

# Files in the clear in memory, of whichever releases.
FILES_AT_ONCE: Final = 2


class ReleaseMaker:
    """Makes files of releases, and unmarked ones for traces."""

    def __init__(self, *, suite: CryptoSuite, chain: Chain, renderer: Renderer) -> None:
        self._suite = suite
        self._chain = chain
        self._renderer = renderer
        self._at_once = asyncio.Semaphore(FILES_AT_ONCE)

    async def unlock(self, release: Release, outputs: Sequence[Output]) -> Unlocked:
        """Have everything opened that these outputs of a release need.

        Raises:
            KeyRefused: the ledger does not allow it (any more).
            Unavailable: too few holders, or a ciphertext is nowhere.
            VerificationFailed: what was sealed is not what the ledger says.
        """
        authority = Authority(kind=AuthorityKind.RELEASE, record_id=release.release_id)
        certificates = tuple(self._certificate(output) for output in outputs)
        return await self._renderer.unlock(authority, certificates, outputs)

    async def make(self, release: Release, output: Output, unlocked: Unlocked) -> MarkedFile:
        """One file. Raises Unavailable, VerificationFailed, WatermarkError."""
        certificate = self._certificate(output)
        async with self._at_once:
            rendering, keys = await self._renderer.render(
                unlocked, certificate, self.schema(certificate), output, self.as_of_ms(release, output)
            )
            return await asyncio.to_thread(mark_file, self._suite, rendering, keys, release.release_id)

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
