"""How a case is written down: good files, at most one splice in each, and the verdict.

Rule: a case names the files that it starts from and says what every verifier must answer: `valid`, the code of the
check that fails, or the code of the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.errors import LedgerError
from ledger.receipts import (
    StateReceipt,
    epochs_to_json,
    receipt_to_json,
    state_receipt_to_json,
    trust_to_json,
)
from ledger.types import Receipt, Trust
from ledger.verdicts import ProofRejected
from tests.vectors.proof_files import Proofs
from zhenglian import verify_any

VALID = "valid"
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Splice:
    """At `offset`, `remove` bytes give way to `insert`, `times` over."""

    offset: int
    remove: int
    insert: bytes
    times: int = 1

    def apply(self, data: bytes) -> bytes:
        return data[: self.offset] + self.insert * self.times + data[self.offset + self.remove :]

    def plain(self) -> dict[str, object]:
        return {
            "offset": self.offset,
            "remove": self.remove,
            "insert": self.insert.hex(),
            "times": self.times,
        }


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files by name, splices by part, and the verdict."""

    name: str
    verdict: str
    receipt: str
    trust: str = "trust.json"
    epochs: str | None = None
    splices: dict[str, Splice] = field(default_factory=dict)

    def data(self, files: dict[str, str]) -> tuple[bytes, bytes, bytes | None]:
        """Receipt, trust and epochs as the verifier gets them."""
        return (
            self._part(files, "receipt", self.receipt),
            self._part(files, "trust", self.trust),
            None if self.epochs is None else self._part(files, "epochs", self.epochs),
        )

    def _part(self, files: dict[str, str], part: str, name: str) -> bytes:
        data = files[name].encode()
        return self.splices[part].apply(data) if part in self.splices else data

    def plain(self) -> dict[str, object]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "receipt": self.receipt,
            "trust": self.trust,
            "epochs": self.epochs,
            "splices": {part: splice.plain() for part, splice in self.splices.items()},
        }


def verdict_of(receipt: bytes, trust: bytes | Trust, epochs: bytes | None) -> str:
    """What the Python verifier says."""
    try:
        verify_any(receipt, trust, epochs)
    except ProofRejected as error:
        return str(error.fields["check"])
    except LedgerError as error:
        return error.code
    return VALID


def difference(before: bytes, after: bytes) -> Splice:
    """The one splice that makes `after` of `before`."""
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return Splice(offset=start, remove=len(before) - start - end, insert=after[start : len(after) - end])


class Builder:
    """Collects cases.

    Attributes:
        proofs: what they start from.
        files: the good files, by name.
        cases: so far.
    """

    def __init__(self, proofs: Proofs) -> None:
        self.proofs = proofs
        self.files = proofs.files()
        self.cases: list[Case] = []

    def add(self, name: str, verdict: str, base: str = "receipt", **parts: Any) -> None:
        """A case: `receipt`, `trust` and `epochs` are file names without ending, structs, texts or splices."""
        names = {"receipt": f"{base}.json", "trust": "trust.json", "epochs": None}
        splices: dict[str, Splice] = {}
        for part, value in parts.items():
            if isinstance(value, str) and f"{value}.json" in self.files:
                names[part] = f"{value}.json"
                continue
            start = names[part] or "epochs.json"
            names[part] = start
            splices[part] = (
                value
                if isinstance(value, Splice)
                else difference(self.files[start].encode(), as_bytes(value))
            )
        receipt, trust = names["receipt"], names["trust"]
        assert receipt is not None
        assert trust is not None
        self.cases.append(
            Case(
                name=name,
                verdict=verdict,
                receipt=receipt,
                trust=trust,
                epochs=names["epochs"],
                splices=splices,
            )
        )

    def text(self, name: str, old: str, new: str, count: int = 1) -> str:
        """A good file with one text replaced."""
        text = self.files[f"{name}.json"]
        assert old in text, (name, old)
        return text.replace(old, new, count)


def as_bytes(value: object) -> bytes:
    """A struct as its file, a text as its bytes."""
    match value:
        case Receipt():
            return receipt_to_json(value).encode()
        case StateReceipt():
            return state_receipt_to_json(value).encode()
        case Trust():
            return trust_to_json(value).encode()
        case str():
            return value.encode()
        case bytes():
            return value
        case _:
            assert isinstance(value, Sequence)
            return epochs_to_json(value).encode()
