"""State receipts of a real store: at the head, at blocks that are not stored yet, and at heights that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.calls import OrganizationsAddKey
from contracts.records import KeyRole
from contracts.state import ACCOUNTS, GRANTS
from ledger.errors import StorageDamaged
from ledger.receipts import VerifiedState, verify_state_receipt
from node.services.facts import HeightNotFinal, HeightNotProvable
from tests.unit.contracts_world import BANK, BANK_ADMIN, actor, new_key
from tests.unit.node_replica import Replica

KEY = ACCOUNTS.key(BANK.account)
NOTHING = GRANTS.key(b"g" * 16)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path).populate()
    yield made
    made.close()


def proven(replica: Replica, key: bytes, height: int | None = None) -> VerifiedState:
    return verify_state_receipt(replica.chain.trust(), replica.chain.state_receipt(key, height))


def grow(replica: Replica, label: str) -> int:
    """A block in which the bank's account changes; its height."""
    key = new_key(actor(label, "officer"), KeyRole.OFFICER)
    replica.done(replica.sign(BANK_ADMIN, OrganizationsAddKey(key=key)))
    return replica.chain.height


def test_the_head_is_proven_before_and_after_it_is_stored(replica: Replica) -> None:
    before = proven(replica, KEY)
    assert before.height == replica.chain.height > replica.store.height
    assert before.value == replica.chain.records.get(KEY)
    while replica.commit():
        pass
    assert replica.store.height == replica.chain.height
    assert proven(replica, KEY).value == before.value
    assert proven(replica, NOTHING).value is None


def test_each_height_has_its_own_value_stored_or_not(replica: Replica) -> None:
    heights = [grow(replica, f"officer {number}") for number in range(3)]
    values = [proven(replica, KEY, height).value for height in heights]
    assert len(set(values)) == 3
    while replica.commit(blocks_max=1) and replica.store.height < heights[1]:
        pass
    assert replica.store.height < replica.chain.height
    assert [proven(replica, KEY, height).value for height in heights] == values
    while replica.commit():
        pass
    assert [proven(replica, KEY, height).value for height in heights] == values
    assert [proven(replica, KEY, height).height for height in heights] == heights
    assert proven(replica, KEY, 1).value is None, "before the organisations were registered"


@pytest.mark.parametrize("stored", [False, True])
def test_a_height_above_the_head_is_told_as_not_final(replica: Replica, stored: bool) -> None:
    while stored and replica.commit():
        pass
    head = replica.chain.height
    with pytest.raises(HeightNotFinal) as caught:
        replica.chain.state_receipt(KEY, head + 1)
    assert caught.value.fields == {"height": head + 1, "last_height": head}


def test_genesis_has_no_certificate_and_is_not_proven(replica: Replica) -> None:
    with pytest.raises(HeightNotProvable) as caught:
        replica.chain.state_receipt(KEY, 0)
    assert caught.value.fields["first_height"] == 1


def test_a_proof_that_does_not_hold_is_damage_and_is_not_handed_out(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    while replica.commit():
        pass
    monkeypatch.setattr(replica.store, "get", lambda key: b"another")
    with pytest.raises(StorageDamaged):
        replica.chain.state_receipt(KEY)
