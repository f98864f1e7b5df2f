"""What a thief can try on a sealed record with the shares that he has: exactly the holders' arithmetic, without their permits."""

from __future__ import annotations

from collections.abc import Mapping

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.encryption import check_sealed, open_sealed
from ledger.crypto.threshold.group import Element, combination
from ledger.crypto.threshold.groups import group_of
from ledger.crypto.threshold.polynomials import weights_at
from ledger.errors import LedgerError
from node.vault.blobs import BLOB_SIZE_BYTES_MAX
from node.vault.keys import PartName, part_label
from node.vault.records import Body, Manifest, SealedPart


class Loot:
    """A record's manifest and ciphertexts, which every operator has."""

    def __init__(
        self, suite: CryptoSuite, chain_id: bytes, manifest: Manifest, blobs: Mapping[bytes, bytes]
    ) -> None:
        self.suite = suite
        self.group = group_of(suite)
        self.chain_id = chain_id
        self.manifest = manifest
        body = codec.decode(blobs[manifest.body], Body, size_bytes_max=BLOB_SIZE_BYTES_MAX)
        inline = iter(body.ciphertexts)
        self.ciphertexts = {
            (part.kind, part.name): blobs[part.blob] if part.blob else next(inline) for part in manifest.parts
        }

    def label(self, part: SealedPart) -> bytes:
        name = PartName(certificate_id=self.manifest.certificate_id, kind=part.kind, name=part.name)
        return part_label(self.chain_id, name)

    def base(self, part: SealedPart) -> Element:
        base = check_sealed(self.group, self.suite.hash, part.header.sealed, self.label(part))
        assert base is not None
        return base

    def opens_with_key(self, part: SealedPart, data_key: bytes) -> bool:
        try:
            self.suite.open(data_key, self.ciphertexts[(part.kind, part.name)], self.label(part))
        except LedgerError:
            return False
        return True

    def key_from(self, part: SealedPart, elements: Mapping[int, Element]) -> bytes:
        """The data key that these elements give, as if they were enough and of this part."""
        weights = weights_at(self.group.order, tuple(elements))
        combined = combination([(element, weights[holder]) for holder, element in elements.items()])
        return open_sealed(self.suite.hash, part.header.sealed, combined)

    def opens(self, part: SealedPart, shares: Mapping[int, int]) -> bool:
        """Whether the part opens with these holders' shares."""
        base = self.base(part)
        elements = {holder: base.times(secret) for holder, secret in shares.items()}
        return self.opens_with_key(part, self.key_from(part, elements))
