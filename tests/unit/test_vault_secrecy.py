"""What is closed to fewer than the threshold of operators, and what a release leaves closed to the node that performs it."""

from __future__ import annotations

from itertools import combinations

import pytest

from ledger import codec
from ledger.crypto.threshold.polynomials import interpolate
from node.vault.keys import VaultSealer
from node.vault.records import PlainAttachment, PlainField, decode_manifest, seal_record
from tests.unit.contracts_world import SUITE
from tests.unit.vault_opening import Loot
from tests.unit.vault_world import GROUP, THRESHOLD, DealtKeys, dealt

CHAIN, CERTIFICATE = b"n" * 32, b"c" * 16
HOLDERS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def loot() -> Loot:
    sealer = VaultSealer(group=GROUP, hash_=SUITE.hash, chain_id=CHAIN, keys=DealtKeys())
    fields = tuple(
        PlainField(name=name, salt=bytes([n]) * 16, value=codec.encode(name))
        for n, name in enumerate(("name", "number", "address"))
    )
    scan = PlainAttachment(name="scan", salt=b"s" * 16, media_type="image/png", content=b"pixels")
    sealed = seal_record(SUITE, sealer, CERTIFICATE, fields, (scan,))
    return Loot(SUITE, CHAIN, decode_manifest(sealed.blobs[sealed.payload_hash]), sealed.blobs)


def shares_of(holders: tuple[int, ...], renewal: int = 0) -> dict[int, int]:
    return {holder: dealt(1, renewal).secrets[holder - 1] for holder in holders}


def test_any_threshold_of_shares_opens_every_part(loot: Loot) -> None:
    """So that the tests below can fail."""
    for holders in combinations(HOLDERS, THRESHOLD):
        assert all(loot.opens(part, shares_of(holders)) for part in loot.manifest.parts)


def test_one_share_fewer_opens_nothing(loot: Loot) -> None:
    for count in range(1, THRESHOLD):
        for holders in combinations(HOLDERS, count):
            assert not any(loot.opens(part, shares_of(holders)) for part in loot.manifest.parts)


def test_shares_of_different_renewals_open_nothing_together(loot: Loot) -> None:
    """Disks stolen one after the other, with a renewal in between."""
    for old in combinations(HOLDERS, THRESHOLD - 1):
        for new in HOLDERS:
            if new not in old:
                mixed = shares_of(old, 0) | shares_of((new,), 1)
                assert not any(loot.opens(part, mixed) for part in loot.manifest.parts)


def test_no_secret_that_fewer_hold_is_itself_a_data_key(loot: Loot) -> None:
    for holders in combinations(HOLDERS, THRESHOLD - 1):
        shares = shares_of(holders)
        guesses = [*shares.values(), interpolate(GROUP.order, shares)]
        keys = [guess.to_bytes(32, "big") for guess in guesses]
        assert not any(loot.opens_with_key(part, key) for part in loot.manifest.parts for key in keys)


def test_with_all_that_a_one_field_release_gave_the_releasing_node_no_second_field_opens(loot: Loot) -> None:
    """It has t − 1 whole shares (its own and an accomplice's), every holder's answer for the field, and that data key."""
    given, *others = loot.manifest.parts
    base = loot.base(given)
    answers = {holder: base.times(secret) for holder, secret in shares_of(HOLDERS).items()}
    data_key = loot.key_from(given, {holder: answers[holder] for holder in (1, 2, 3)})
    assert loot.opens_with_key(given, data_key)
    for part in others:
        assert not loot.opens_with_key(part, data_key)
        for own in combinations(HOLDERS, THRESHOLD - 1):
            elements = {holder: loot.base(part).times(secret) for holder, secret in shares_of(own).items()}
            for helper in HOLDERS:
                if helper not in own:
                    tried = elements | {helper: answers[helper]}
                    assert not loot.opens_with_key(part, loot.key_from(part, tried))
        assert not loot.opens_with_key(part, loot.key_from(part, answers))
