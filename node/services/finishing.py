"""What a marked file gets besides its mark before it is handed out: words and a code where its type says so (可见水印), and a PDF
becomes a derived copy (授权副本).

Rule: a finish holds proofs of one moment. It is decided once and kept beside the file; from the same finish follow the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from contracts.records import Certificate, Output, OutputFormat, Release
from contracts.state import CERTIFICATES, RELEASES
from ledger.commitments import decode_value
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import decode_json
from ledger.errors import Unavailable, VerificationFailed
from ledger.receipts import state_receipt_to_json
from node.chain import Chain
from node.services.copy_papers import Papers, statement_of
from node.services.rendering import MEDIA_TYPES
from node.vault.records import Unlocked
from watermark import Marked, WatermarkError, Words
from watermark.limits import VISIBLE_WORDS_CHARS_MAX
from watermark.visible import VISIBLE_MEDIA, VisibleTier, with_tier
from zhenglian import disclosures, presentations
from zhenglian.api_regions import DISCLOSURE_FORMAT, Disclosure
from zhenglian.catalogue import CertificateTypeSpec
from zhenglian.copy_codes import CopyCode, code_message, code_text

_SHORT_CODE_DIGITS: Final = 8
HOLDER: Final = "证照持有人 the holder"
_PERSON: Final = "个人 a person"

_COPY: Final = Words(
    zh="此为授权副本：每页页眉写明提供方、取得方与时间；原件的电子签名已移除，改由提供方签名；附签发方承诺与下链的账本证明",
    en="this is an authorised copy: every page is headed with who made it for whom and when; the original's signatures are "
    "removed and the releasing organisation has signed; the ledger's proofs of the issuer's commitment and of the release are "
    "attached",
)


class Copies(Protocol):
    """Makes derived copies. Calls block for tenths of a second."""

    def headed(self, marked: bytes, papers: Papers) -> bytes:
        """A copy before it is signed. Raises VerificationFailed (none can be made of this PDF)."""
        ...

    def signed(self, headed: bytes, papers: Papers) -> bytes:
        """The copy. Raises Unavailable (the certificate has ended)."""
        ...


class Finish(Struct, frozen=True, kw_only=True):
    """What was decided for one file.

    Attributes:
        tier: what is drawn on it; None for nothing.
        papers: of the derived copy; None if it becomes none.
    """

    tier: VisibleTier | None = None
    papers: Papers | None = None


class Finisher:
    """Decides on the finish of files, and gives it to them.

    Args:
        suite: crypto suite.
        chain: what proves certificates and releases.
        sign: this node's signature under a code (`domains.COPY_CODE`).
        copies: makes derived copies; None where none are made.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        sign: Callable[[bytes], bytes],
        copies: Copies | None = None,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._sign = sign
        self._copies = copies

    def finishes(self, output: Output, spec: CertificateTypeSpec) -> bool:
        """Whether the file of an output gets a finish."""
        return self._is_copied(output) or self._is_drawn_on(output, spec)

    def _is_copied(self, output: Output) -> bool:
        """A marked PDF that was deposited as one."""
        return self._copies is not None and bool(output.attachment) and output.format is OutputFormat.PDF

    def _is_drawn_on(self, output: Output, spec: CertificateTypeSpec) -> bool:
        return MEDIA_TYPES.get(output.format) in VISIBLE_MEDIA and spec.marks_of(output.attachment).visible

    async def decide(
        self,
        release: Release,
        output: Output,
        certificate: Certificate,
        spec: CertificateTypeSpec,
        unlocked: Unlocked,
    ) -> Finish:
        """The finish of an output's file, as of this node's last block.

        Args:
            release: as the ledger has it.
            output: one that `finishes`.
            certificate: that it names.
            spec: the certificate's version of its type.
            unlocked: every part that the release's outputs need.

        Raises:
            Unavailable: a ciphertext is nowhere.
            VerificationFailed: what was opened is not what the ledger committed to.
        """
        return Finish(
            tier=self._tier(release) if self._is_drawn_on(output, spec) else None,
            papers=await self._papers(release, output, certificate, unlocked)
            if self._is_copied(output)
            else None,
        )

    def _tier(self, release: Release) -> VisibleTier:
        """Who got the copy and when, and a code that leads to the release."""
        made = datetime.fromtimestamp(release.requested_ms / 1000, UTC)
        short = release.release_id.hex()[:_SHORT_CODE_DIGITS]
        rest = f" · {made:%Y-%m-%d %H:%M} UTC · {short}"
        name = "".join(char for char in self._name(release.grantee, release) if char.isprintable())
        signature = self._sign(code_message(self._chain.chain_id, release.release_id))
        code = CopyCode(release_id=release.release_id, signature=signature)
        return VisibleTier(words=name[: VISIBLE_WORDS_CHARS_MAX - len(rest)] + rest, code=code_text(code))

    async def _papers(
        self, release: Release, output: Output, certificate: Certificate, unlocked: Unlocked
    ) -> Papers:
        """Proofs of the original and of the fields that the same release hands out of the certificate, and of no other."""
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
        return Papers(
            statement=statement_of(
                unlocked.chain_id,
                release,
                certificate,
                attachment=output.attachment,
                original_hash=content_hash.hex(),
                released_by_name=self._name(release.released_by, release),
                grantee_name=self._name(release.grantee, release),
            ),
            presentation=presentations.to_json(presentation),
            release_receipt=self._receipt(
                self._chain.record_key(RELEASES, release.release_id, height), height
            ).encode(),
            made_ms=release.requested_ms,
        )

    def give(self, marked: Marked, media_type: str, finish: Finish) -> Marked:
        """The file with its finish. Tenths of a second; run it in a worker thread.

        Raises:
            VerificationFailed: no copy can be made of this PDF.
            Unavailable: the certificate that signs copies has ended, or none is there any more.
            WatermarkError: nothing can be drawn on this file.
        """
        if finish.papers is None:
            return marked if finish.tier is None else with_tier(marked, media_type, finish.tier)
        if self._copies is None:
            raise Unavailable(what="copy signing certificate", reason="this node has none any more")
        manifest = replace(marked.manifest, differences=(*marked.manifest.differences, _COPY))
        headed = Marked(data=self._copies.headed(marked.data, finish.papers), manifest=manifest)
        if finish.tier is not None:
            # On what the copy shows of its own, and before it is signed.
            headed = with_tier(headed, media_type, finish.tier)
        return Marked(data=self._copies.signed(headed.data, finish.papers), manifest=headed.manifest)

    def _receipt(self, key: bytes, height: int) -> str:
        return state_receipt_to_json(self._chain.state_receipt(key, height))

    def _name(self, account_id: bytes, release: Release) -> str:
        """As it is printed: people have no name on the ledger."""
        account = self._chain.records.account(account_id)
        if account is not None and account.name:
            return account.name
        return HOLDER if account_id == release.pii_principal_id else f"{_PERSON} {account_id.hex()[:8]}"


def encode_finish(finish: Finish) -> bytes:
    """The form in which it is kept."""
    return msgspec.json.encode(finish)


def decode_finish(data: bytes) -> Finish:
    """What was kept. Raises VerificationFailed."""
    try:
        return decode_json(data, Finish)
    except (msgspec.MsgspecError, WatermarkError) as error:
        raise VerificationFailed(reason=f"a kept finish cannot be read: {error}"[:200]) from None
