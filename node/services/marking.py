"""Marking an output for one release, and the keys for finding that mark again.

Rule: everything derives from the record's mark secret, which lies sealed beside the record and is opened under a
finalized release or trace only. The layout key belongs to an asset, the seed to one release of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.records import Certificate, Output, PreparedFile
from ledger import codec, domains
from ledger.commitments import FieldValue, decode_value
from ledger.crypto.suite import CryptoSuite
from node.services.answering import render_answer
from node.services.rendering import FieldProofs, Rendering, render_attachment, render_fields
from node.vault.keys import Authority
from node.vault.parts import parts_of_outputs
from node.vault.records import RecordReader, Unlocked
from watermark import embed
from zhenglian.catalogue import CertificateTypeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkKeys:
    """What watermark needs for one asset: its layout key, and the root of its releases' seeds."""

    layout_key: bytes
    seed_root: bytes


def mark_keys(suite: CryptoSuite, mark_secret: bytes, asset: str) -> MarkKeys:
    """Keys of one asset of the record with this 64-byte mark secret."""
    return MarkKeys(
        layout_key=suite.mac(mark_secret[:32], domains.MARK_LAYOUT, asset.encode()),
        seed_root=suite.mac(mark_secret[32:], domains.MARK_SEED, asset.encode()),
    )


def release_seed(suite: CryptoSuite, keys: MarkKeys, release_id: bytes) -> bytes:
    """The codeword seed of one release of the asset."""
    return suite.mac(keys.seed_root, domains.MARK_SEED, release_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedFile:
    """A marked file and what the ledger gets to know of it before it leaves."""

    data: bytes
    prepared: PreparedFile


class Renderer:
    """Opens what an output names, under an authority, checks it against the chain and renders it."""

    def __init__(self, suite: CryptoSuite, records: RecordReader) -> None:
        self._suite = suite
        self._records = records

    async def unlock(
        self,
        authority: Authority,
        certificates: Sequence[Certificate],
        outputs: Sequence[Output],
        releases: tuple[bytes, ...] = (),
    ) -> Unlocked:
        """Have everything opened that these outputs need, in one go.

        Args:
            authority: in whose name.
            certificates: that the outputs name.
            outputs: what is to be rendered.
            releases: for a trace, the releases that handed the outputs out.

        Raises:
            KeyRefused, Unavailable: the parts cannot be opened.
            VerificationFailed: a record is not the one on the ledger, or lacks a part.
        """
        return await self._records.unlock(authority, certificates, parts_of_outputs(outputs), releases)

    async def render(
        self,
        unlocked: Unlocked,
        certificate: Certificate,
        spec: CertificateTypeSpec,
        output: Output,
        as_of_ms: int = 0,
    ) -> tuple[Rendering, MarkKeys]:
        """The unmarked file and its mark keys.

        Args:
            unlocked: has the output's parts.
            certificate: as the ledger has it.
            spec: the certificate's own version of its type.
            output: what is wanted.
            as_of_ms: for a question, of when the answer is.

        Raises:
            Unavailable: a ciphertext is nowhere.
            VerificationFailed: what was opened is not what the ledger committed to.
        """
        name = certificate.certificate_id
        if output.attachment:
            attachment = await unlocked.attachment(name, output.attachment)
            rendering = render_attachment(output, attachment.media_type, attachment.content)
        elif output.question is not None:
            rendering = await self._answer(unlocked, certificate, spec, output, as_of_ms)
        else:
            opened = {field: await unlocked.field(name, field) for field in output.fields}
            proofs = {field: unlocked.proof(name, plain) for field, plain in opened.items()}
            rendering = render_fields(
                spec,
                name,
                output,
                {field: decode_value(plain.value) for field, plain in opened.items()},
                FieldProofs(chain_id=unlocked.chain_id, proofs=proofs),
            )
        return rendering, mark_keys(self._suite, await unlocked.mark(name), rendering.asset)

    async def _answer(
        self,
        unlocked: Unlocked,
        certificate: Certificate,
        spec: CertificateTypeSpec,
        output: Output,
        as_of_ms: int,
    ) -> Rendering:
        name = certificate.certificate_id
        values: dict[str, FieldValue] = {}
        if output.question is not None and output.question.field:
            field = output.question.field
            values[field] = decode_value((await unlocked.field(name, field)).value)
        return render_answer(
            self._suite,
            unlocked.chain_id,
            certificate,
            spec,
            output,
            values,
            as_of_ms=as_of_ms,
            mark_secret=await unlocked.mark(name),
        )


def mark_file(suite: CryptoSuite, rendering: Rendering, keys: MarkKeys, release_id: bytes) -> MarkedFile:
    """Embed a release's mark. CPU-bound: tens of milliseconds to a second; run it in a worker thread."""
    seed = release_seed(suite, keys, release_id)
    marked = embed(
        rendering.data, rendering.media_type, layout_key=keys.layout_key, seed=seed, policy=rendering.policy
    )
    file_hash = suite.digest(marked.data)
    commitment = suite.hash(
        domains.MARK_COMMITMENT, codec.encode((release_id, rendering.asset, seed, file_hash))
    )
    return MarkedFile(
        data=marked.data,
        prepared=PreparedFile(
            media_type=rendering.media_type,
            size_bytes=len(marked.data),
            file_hash=file_hash,
            mark_commitment=commitment,
        ),
    )
