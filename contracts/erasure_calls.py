"""What a transaction can ask for about erasing a certificate's data: see `calls.py`, whose `CALLS` names these.

Rule: the person asks, the issuer decides and answers for it, every node states what it did.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.vocabulary import Code
from ledger.types import Id16

CERTIFICATES_PER_STATEMENT_MAX: Final = 32


class CertificatesRequestErasure(Args):
    """The person, or an enterprise's admin, who holds the certificate.

    The issuer has to answer within `erasures.ANSWER_MS`. May be asked again after a refusal.
    """

    certificate_id: Id16
    reason: Code


class CertificatesDeclineErasure(Args):
    """Issuer's officer. Refuses a request, with a reason such as a duty to keep the record."""

    certificate_id: Id16
    reason: Code


class CertificatesErase(Args):
    """Issuer's officer, asked or not. Final: the ciphertext is destroyed on every node, the tombstone stays."""

    certificate_id: Id16
    reason: Code


class CertificatesStateDestruction(Args):
    """Any node of the network, node key: this node holds no ciphertext of these erased certificates any more.

    What it has stated before is passed over.
    """

    certificates: Annotated[tuple[Id16, ...], Meta(min_length=1, max_length=CERTIFICATES_PER_STATEMENT_MAX)]


ERASURE_CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("certificates", "request_erasure"): CertificatesRequestErasure,
    ("certificates", "decline_erasure"): CertificatesDeclineErasure,
    ("certificates", "erase"): CertificatesErase,
    ("certificates", "state_destruction"): CertificatesStateDestruction,
}
