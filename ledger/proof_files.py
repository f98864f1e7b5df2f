"""What the files of proofs have in common, and two of them: trust points and epoch changes.

Rule: a file has one content and says what it is in its first member. A trust point's and the epoch changes'
may differ in white space, which people and tools add to files they keep; a receipt's may not
(`ledger.receipts`, `ledger.state_receipts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta

from ledger import readable
from ledger.errors import DecodeError, LimitExceeded
from ledger.types import EpochChange, QuorumCertificate, Trust, Wire
from ledger.verdicts import Check, rejected

RECEIPT_SIZE_BYTES_MAX: Final = 4 * 1024 * 1024
RECEIPT_FILE_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
TRUST_FORMAT: Final = "zhenglian-trust-1"
EPOCHS_FORMAT: Final = "zhenglian-epochs-1"
TRUST_SIZE_BYTES_MAX: Final = 256 * 1024
TRUST_FILE_SIZE_BYTES_MAX: Final = 1024 * 1024
EPOCHS_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
EPOCHS_FILE_SIZE_BYTES_MAX: Final = 48 * 1024 * 1024
EPOCH_CHANGES_MAX: Final = 4096

S = TypeVar("S", bound=Wire)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_WRITABLE_TIME_MS: Final = 253_402_300_799_999


def read_file(text: bytes | str) -> dict[str, Any]:
    """The members of a receipt's file.

    Raises:
        LimitExceeded: more than 16 MiB of text.
        ProofRejected: FORMAT.
    """
    try:
        return readable.parse(text, "receipt", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None


def read_exact(tree: dict[str, Any], file_format: str, kind: type[S]) -> S:
    """The struct in a receipt's file; `check_exact` compares the rest of it.

    Raises:
        LimitExceeded: more than 4 MiB once encoded.
        ProofRejected: FORMAT.
    """
    expect_members(tree, file_format, ("format", "summary", "receipt"))
    try:
        return readable.from_tree(tree["receipt"], kind, "receipt", size_bytes_max=RECEIPT_SIZE_BYTES_MAX)
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None


def check_exact(text: bytes | str, found: Any, tree: dict[str, readable.Tree]) -> None:
    """Whether a receipt's file is the one way to write what is in it.

    Args:
        text: the file.
        found: its summary, as read.
        tree: what the file would be, made from the receipt in it.

    Raises:
        ProofRejected: SUMMARY, or NOT_CANONICAL.
    """
    if found != tree["summary"]:
        raise rejected(Check.SUMMARY)
    if (text if isinstance(text, str) else text.decode()) != readable.render(tree):
        raise rejected(Check.NOT_CANONICAL)


def time_text(time_ms: int) -> str:
    """UTC as ISO 8601 with milliseconds; the bare number of milliseconds after the year 9999."""
    if time_ms > _LAST_WRITABLE_TIME_MS:
        return f"{time_ms} ms"
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03}Z"


def signer_count(certificate: QuorumCertificate) -> int:
    """How many signers a certificate names, for a summary."""
    return int.from_bytes(certificate.signers, "little").bit_count()


def expect_members(tree: dict[str, Any], file_format: str, members: tuple[str, ...]) -> None:
    """Whether a file is of that format and has just these members.

    Raises:
        ProofRejected: FORMAT.
    """
    if tree.get("format") != file_format:
        raise rejected(Check.FORMAT, f"not {file_format}")
    for member in (*tree, *members):
        if member not in tree:
            raise rejected(Check.FORMAT, f"member {member} is missing")
        if member not in members:
            raise rejected(Check.FORMAT, f"unknown member {member}")


def _trust_tree(trust: Trust) -> readable.Tree:
    return {"format": TRUST_FORMAT, "trust": readable.to_tree(trust, Trust)}


def trust_to_json(trust: Trust) -> str:
    """The file form of a trust point."""
    return readable.render(_trust_tree(trust))


def trust_from_json(text: bytes | str) -> Trust:
    """Read a trust point's file; what it says is trusted, not proven.

    Raises:
        LimitExceeded: more than 1 MiB of text, or 256 KiB once encoded.
        ProofRejected: FORMAT or NOT_CANONICAL.
    """
    try:
        tree = readable.parse(text, "trust", size_bytes_max=TRUST_FILE_SIZE_BYTES_MAX)
        expect_members(tree, TRUST_FORMAT, ("format", "trust"))
        trust = readable.from_tree(tree["trust"], Trust, "trust", size_bytes_max=TRUST_SIZE_BYTES_MAX)
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None
    if not readable.same_but_for_space(text, _trust_tree(trust)):
        raise rejected(Check.NOT_CANONICAL)
    return trust


class _Changes(Wire, frozen=True):
    """The `epochs` file's content."""

    changes: Annotated[tuple[EpochChange, ...], Meta(max_length=EPOCH_CHANGES_MAX)]


def _epochs_tree(changes: tuple[EpochChange, ...]) -> readable.Tree:
    return {"format": EPOCHS_FORMAT, "epochs": readable.to_tree(_Changes(changes=changes), _Changes)}


def epochs_to_json(changes: Sequence[EpochChange]) -> str:
    """The file form of epoch changes.

    Raises:
        LimitExceeded: more than 4,096 of them.
    """
    if len(changes) > EPOCH_CHANGES_MAX:
        raise LimitExceeded(limit="epoch changes", maximum=EPOCH_CHANGES_MAX, actual=len(changes))
    return readable.render(_epochs_tree(tuple(changes)))


def epochs_from_json(text: bytes | str) -> tuple[EpochChange, ...]:
    """Read a file of epoch changes. Proves nothing yet.

    Raises:
        LimitExceeded: more than 48 MiB of text, or 16 MiB once encoded.
        ProofRejected: FORMAT or NOT_CANONICAL.
    """
    try:
        tree = readable.parse(text, "epochs", size_bytes_max=EPOCHS_FILE_SIZE_BYTES_MAX)
        expect_members(tree, EPOCHS_FORMAT, ("format", "epochs"))
        found = readable.from_tree(tree["epochs"], _Changes, "epochs", size_bytes_max=EPOCHS_SIZE_BYTES_MAX)
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None
    if not readable.same_but_for_space(text, _epochs_tree(found.changes)):
        raise rejected(Check.NOT_CANONICAL)
    return found.changes
