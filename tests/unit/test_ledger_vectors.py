"""The golden vectors are what the code gives today; a difference is a changed protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger import codec
from ledger.receipts import epochs_from_json, receipt_from_json, trust_from_json, verify_receipt
from ledger.snapshot import SnapshotManifest, check_manifest
from tests.suites import NAME, vector
from tests.unit.ledger_world import SUITE
from tests.vectors import generate


def golden_files() -> dict[Path, str]:
    """Those of the suite under test; those of `sm` come from a module that sets its own process to it."""
    if NAME == "intl":
        return generate.files()
    from tests.vectors import generate_sm

    return generate_sm.files()


FILES = golden_files()
ROOT = Path(generate.__file__).parent.parent.parent


@pytest.mark.parametrize("path", list(FILES), ids=lambda path: str(path.relative_to(ROOT)))
def test_golden_vectors_are_unchanged(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "the protocol changed: if so, `make vectors`"


def test_the_golden_receipt_verifies_against_the_golden_trust_point() -> None:
    trust = trust_from_json(vector("trust.json").read_bytes())
    receipt = receipt_from_json(vector("receipt.json").read_bytes())
    assert verify_receipt(trust, receipt).height == 1


def test_the_golden_receipt_of_the_next_epoch_verifies_by_way_of_the_golden_change() -> None:
    trust = trust_from_json(vector("trust.json").read_bytes())
    changes = epochs_from_json(vector("epochs.json").read_bytes())
    receipt = receipt_from_json(vector("receipt_epoch_2.json").read_bytes())
    assert verify_receipt(trust, receipt, changes).height == 2


def test_the_golden_snapshot_verifies_against_the_golden_trust_point() -> None:
    trust = trust_from_json(vector("trust.json").read_bytes())
    golden = json.loads(vector("snapshot.json").read_text())
    manifest = codec.decode(bytes.fromhex(golden["manifest"]), SnapshotManifest, size_bytes_max=20_000)
    snapshot = check_manifest(SUITE, trust, manifest)
    assert snapshot.id.hex() == golden["id"]
    assert snapshot.piece_count == len(golden["pieces"]) == 3
    for index, piece in enumerate(golden["pieces"]):
        snapshot.check_piece(SUITE, index, bytes.fromhex(piece))
