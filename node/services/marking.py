"""Marking an output for one release, and the keys for finding that mark again.

Rule: the layout key belongs to an asset; it derives from the record's mark secret, which lies sealed beside the record. The seed
belongs to one copy and comes from the operators together (`node/vault/mark_seeds.py`). Both are opened under a finalized release
or trace only, so that who makes one mark can make no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from contracts.records import UNMARKED, Certificate, Output, PreparedFile
from ledger import domains
from ledger.commitments import FieldValue, decode_value
from ledger.crypto.suite import CryptoSuite
from node.services.answering import render_answer
from node.services.rendering import FieldProofs, Rendering, render_attachment, render_fields
from node.vault.keys import Authority
from node.vault.mark_seeds import Copy, Seed, mark_commitment
from node.vault.parts import parts_of_outputs
from node.vault.records import RecordReader, Unlocked
from watermark import Channel, Manifest, Marked, Policy, embed
from zhenglian.catalogue import CertificateTypeSpec, MarksSpec


def layout_key(suite: CryptoSuite, mark_secret: bytes, asset: str) -> bytes:
    """Which carrier of an asset holds which position of a code; of the record with this mark secret."""
    return suite.mac(mark_secret, domains.MARK_LAYOUT, asset.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedFile:
    """A marked file and what the ledger gets to know of it before it leaves.

    `manifest` says in what it may differ from the original; None for an original.
    """

    data: bytes
    prepared: PreparedFile
    manifest: Manifest | None


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
    ) -> tuple[Rendering, bytes]:
        """The unmarked file and its layout key.

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
        rendering = replace(
            rendering, policy=_as_declared(rendering.policy, spec.marks_of(output.attachment))
        )
        return rendering, layout_key(self._suite, await unlocked.mark(name), rendering.asset)

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


def _as_declared(policy: Policy, marks: MarksSpec) -> Policy:
    """The policy of a rendering, with what the certificate's type says of marks."""
    channels = frozenset(map(Channel, marks.channels)) or policy.channels
    return replace(policy, strength=marks.strength, channels=channels)


def mark_file(
    suite: CryptoSuite,
    rendering: Rendering,
    layout: bytes,
    copy: Copy,
    seed: Seed,
    finish: Callable[[Marked], Marked] = lambda marked: marked,
) -> MarkedFile:
    """Embed a release's mark; an original stays as it is. CPU-bound: tens of milliseconds to a second; run it in a worker thread.

    Args:
        suite: crypto suite.
        rendering: the unmarked file.
        layout: its layout key.
        copy: whose file it becomes.
        seed: of that copy.
        finish: what the marked file gets besides, before it is committed to.
    """
    if copy.unmarked:
        unmarked = PreparedFile(
            media_type=rendering.media_type,
            size_bytes=len(rendering.data),
            file_hash=suite.digest(rendering.data),
            mark_commitment=UNMARKED,
            marks_version=seed.version,
        )
        return MarkedFile(data=rendering.data, prepared=unmarked, manifest=None)
    marked = finish(
        embed(
            rendering.data,
            rendering.media_type,
            layout_key=layout,
            seed=seed.value,
            policy=rendering.policy,
        )
    )
    file_hash = suite.digest(marked.data)
    return MarkedFile(
        data=marked.data,
        prepared=PreparedFile(
            media_type=rendering.media_type,
            size_bytes=len(marked.data),
            file_hash=file_hash,
            mark_commitment=mark_commitment(suite, copy, seed.value, file_hash),
            marks_version=seed.version,
        ),
        manifest=marked.manifest,
    )
