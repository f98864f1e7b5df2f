"""The golden vectors are what the code gives today; a difference is a changed protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.receipts import receipt_from_json, trust_from_json, verify_receipt
from tests.vectors import generate

FILES = generate.files()
ROOT = Path(generate.__file__).parent.parent.parent


@pytest.mark.parametrize("path", list(FILES), ids=lambda path: str(path.relative_to(ROOT)))
def test_golden_vectors_are_unchanged(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "the protocol changed: if so, `make vectors`"


def test_the_golden_receipt_verifies_against_the_golden_trust_point() -> None:
    trust = trust_from_json((generate.HERE / "trust.json").read_bytes())
    receipt = receipt_from_json((generate.HERE / "receipt.json").read_bytes())
    assert verify_receipt(trust, receipt).height == 1
