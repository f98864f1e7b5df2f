"""Marking an output for one release, and the keys for finding that mark again.

Rule: everything derives from the record's mark secret, which lies sealed beside the record and is opened under a
finalized release or trace only. The layout key belongs to an asset, the seed to one release of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.records import Certificate, Output, PreparedFile
from ledger import codec, domains
from ledger.commitments import FieldValue, decode_value
from ledger.crypto.suite import CryptoSuite
from node.services.rendering import Rendering, render_attachment, render_fields
from node.vault.keys import Authority
from node.vault.records import RecordReader
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

    async def render(
        self, authority: Authority, certificate: Certificate, spec: CertificateTypeSpec, output: Output
    ) -> tuple[Rendering, MarkKeys]:
        """The unmarked file and its mark keys.

        Raises:
            KeyRefused, Unavailable: the parts cannot be opened.
            VerificationFailed: what was opened is not what the ledger committed to.
        """
        manifest = await self._records.manifest(certificate)
        if output.attachment:
            attachment = await self._records.open_attachment(authority, manifest, output.attachment)
            rendering = render_attachment(output, attachment.media_type, attachment.content)
        else:
            values: dict[str, FieldValue] = {}
            for name in output.fields:
                field = await self._records.open_field(authority, manifest, name)
                values[name] = decode_value(field.value)
            rendering = render_fields(spec, certificate.certificate_id, output, values)
        secret = await self._records.open_mark(authority, manifest)
        return rendering, mark_keys(self._suite, secret, rendering.asset)


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
