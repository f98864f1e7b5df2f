"""Names, bounds and words that records of several rooms share.

Rule: nothing here knows a record; so every room of records can build on it, and none needs another for its words.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

FIELDS_PER_TYPE_MAX: Final = 64
ATTACHMENTS_PER_TYPE_MAX: Final = 16

FieldName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
FieldNames = Annotated[tuple[FieldName, ...], Meta(max_length=FIELDS_PER_TYPE_MAX)]
AttachmentName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
AttachmentNames = Annotated[tuple[AttachmentName, ...], Meta(max_length=ATTACHMENTS_PER_TYPE_MAX)]
TypeCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
Code = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.-]*$")]
OptionalId16 = Annotated[bytes, Meta(max_length=16)]
OptionalHash = Annotated[bytes, Meta(max_length=32)]


class CertificateState(StrEnum):
    """States of C3; several can hold at once. A certificate with none of them is valid within its dates."""

    RENEWAL_DUE = "renewal_due"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    ABOLISHED = "abolished"
    MORTGAGED = "mortgaged"
    PLEDGED = "pledged"
    SUPERSEDED = "superseded"


# States that end a certificate for good, and those that stop its use where nothing else is said.
FINAL_STATES: Final = (
    CertificateState.REVOKED,
    CertificateState.CANCELLED,
    CertificateState.ABOLISHED,
    CertificateState.SUPERSEDED,
)
STOPPING_STATES: Final = (CertificateState.SUSPENDED, *FINAL_STATES)
