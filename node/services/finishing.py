"""What a marked file gets besides its mark before it is handed out: a PDF becomes a derived copy (授权副本).

Rule: a finish holds proofs of one moment. It is decided once and kept beside the file; from the same finish follow the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Struct

from contracts.records import Certificate, Output, OutputFormat, Release
from contracts.state import CERTIFICATES, RELEASES
from ledger.commitments import decode_value
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import VerificationFailed
from ledger.receipts import state_receipt_to_json
from node.chain import Chain
from node.services.copy_papers import Papers, statement_of
from node.vault.records import Unlocked
from watermark import Marked, Words
from zhenglian import disclosures, presentations
from zhenglian.api_regions import DISCLOSURE_FORMAT, Disclosure

FINISH_SIZE_BYTES_MAX: Final = 64 * 1024 * 1024
HOLDER: Final = "证照持有人 the holder"

_COPY: Final = Words(
    zh="此为授权副本：每页页眉写明提供方、取得方与时间；原件的电子签名已移除，改由提供方签名；附签发方承诺与下链的账本证明",
    en="this is an authorised copy: every page is headed with who made it for whom and when; the original's signatures are "
    "removed and the releasing organisation has signed; the ledger's proofs of the issuer's commitment and of the release are "
    "attached",
)

Derive = Callable[[bytes, Papers], bytes]


class Finish(Struct, frozen=True, kw_only=True):
    """What was decided for one file.

    Attributes:
        papers: of the derived copy.
    """

    papers: Papers


class Finisher:
    """Decides on the finish of files, and gives it to them.

    Args:
        suite: crypto suite.
        chain: what proves certificates and releases.
        derive: makes a derived copy of a marked PDF and signs it; raises VerificationFailed, Unavailable.
    """

    def __init__(self, *, suite: CryptoSuite, chain: Chain, derive: Derive) -> None:
        self._suite = suite
        self._chain = chain
        self._derive = derive

    def finishes(self, output: Output) -> bool:
        """Whether the file of an output gets a finish: a marked PDF that was deposited as one."""
        return bool(output.attachment) and output.format is OutputFormat.PDF

    async def decide(
        self, release: Release, output: Output, certificate: Certificate, unlocked: Unlocked
    ) -> Finish:
        """The finish of an output's file, as of this node's last block.

        The copy brings proofs of the fields that the same release hands out of the certificate, and of no other.

        Args:
            release: as the ledger has it.
            output: one that `finishes`.
            certificate: that it names.
            unlocked: every part that the release's outputs need.

        Raises:
            Unavailable: a ciphertext is nowhere.
            VerificationFailed: what was opened is not what the ledger committed to.
        """
        name = certificate.certificate_id
        attachment = await unlocked.attachment(name, output.attachment)
        content_hash = self._suite.digest(attachment.content)
        opened = [
            await unlocked.field(name, field)
            for field in sorted(
                {field for other in release.outputs if other.certificate == name for field in other.fields}
            )
        ]
        disclosure = Disclosure(
            format=DISCLOSURE_FORMAT,
            chain_id=unlocked.chain_id.hex(),
            certificate_id=name.hex(),
            fields=[
                disclosures.disclosed_field(
                    plain.name, decode_value(plain.value), unlocked.proof(name, plain)
                )
                for plain in opened
            ],
            attachments=[
                disclosures.disclosed_attachment(
                    attachment.name, attachment.media_type, content_hash, unlocked.proof(name, attachment)
                )
            ],
        )
        height = self._chain.height
        presentation = presentations.present(
            disclosure,
            disclosures.part_names(disclosure),
            self._receipt(self._chain.record_key(CERTIFICATES, name, height), height),
        )
        return Finish(
            papers=Papers(
                statement=statement_of(
                    unlocked.chain_id,
                    release,
                    certificate,
                    attachment=output.attachment,
                    original_hash=content_hash.hex(),
                    released_by_name=self._name(release.released_by),
                    grantee_name=self._name(release.grantee),
                ),
                presentation=presentations.to_json(presentation),
                release_receipt=self._receipt(
                    self._chain.record_key(RELEASES, release.release_id, height), height
                ).encode(),
                made_ms=release.requested_ms,
            )
        )

    def give(self, marked: Marked, finish: Finish) -> Marked:
        """The file with its finish. Tenths of a second; run it in a worker thread.

        Raises:
            VerificationFailed: no copy can be made of this PDF.
            Unavailable: the certificate that signs copies has ended.
        """
        manifest = replace(marked.manifest, differences=(*marked.manifest.differences, _COPY))
        return Marked(data=self._derive(marked.data, finish.papers), manifest=manifest)

    def _receipt(self, key: bytes, height: int) -> str:
        return state_receipt_to_json(self._chain.state_receipt(key, height))

    def _name(self, account_id: bytes) -> str:
        """As it is printed: people have no name on the ledger."""
        account = self._chain.records.account(account_id)
        return (account.name if account is not None else "") or HOLDER


def encode_finish(finish: Finish) -> bytes:
    """The form in which it is kept."""
    return msgspec.json.encode(finish)


def decode_finish(data: bytes) -> Finish:
    """What was kept. Raises VerificationFailed."""
    try:
        return decode_json(data, Finish)
    except msgspec.MsgspecError as error:
        raise VerificationFailed(reason=f"a kept finish cannot be read: {error}"[:200]) from None
