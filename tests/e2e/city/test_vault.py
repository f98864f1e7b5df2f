"""Stolen disks: four real operators made their key themselves; fewer than the threshold of their homes open nothing."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest

from contracts.records import OutputFormat
from contracts.shared_key_records import KeyPurpose
from ledger.errors import DecodeError, LedgerError
from node.devnet import Devnet
from node.holders.share_file import open_shares, read_shares
from node.home import Home
from node.identity import load_identity
from node.vault.blobs import LocalBlobStore
from node.vault.keys import PartKind
from node.vault.records import Manifest, decode_manifest
from tests.e2e.cities import IDENTITY, SUITE, City, Holder
from tests.unit.vault_opening import Loot

THRESHOLD = 3


class StolenHome:
    """One operator's home, as a thief has it: its files, and what unlocks them."""

    def __init__(self, devnet: Devnet, n: int, folder: Path, chain_id: bytes) -> None:
        root = folder / f"stolen-{n}"
        shutil.copytree(devnet.home(n), root, ignore=shutil.ignore_patterns("*.lock", "lock", "store"))
        home = Home(root)
        identity = load_identity(home, SUITE)
        held = read_shares(open_shares(home, SUITE, identity.wrap_secret), chain_id, identity.account)
        self.secrets = [identity.wrap_secret, *(share.secret for share in held.shares)]
        (vault,) = [share for share in held.shares if share.purpose is KeyPurpose.VAULT]
        self.holder = vault.holder
        self.share = int.from_bytes(vault.secret, "big")
        self.blobs = LocalBlobStore(home.blobs, SUITE)


@pytest.fixture(scope="module")
def record(city: City, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[StolenHome], Loot]:
    """A certificate of which one field was released by the first node, and then all homes."""
    folder = tmp_path_factory.mktemp("stolen")
    holder = Holder(city)
    bank = city.banks[0].client
    output = holder.output(IDENTITY, OutputFormat.JSON, "name")
    first = city.devnet.account(1)
    got = bank.retrieve(holder.granted(bank), [output], folder / "got", node=first)
    assert got.release.state == "delivered"
    chain_id = bytes.fromhex(holder.client.status().chain_id)
    homes = [StolenHome(city.devnet, n, folder, chain_id) for n in (1, 2, 3, 4)]
    blobs: dict[bytes, bytes] = {}
    for home in homes:
        for name in home.blobs.names():
            blobs[name] = home.blobs.get(name) or b""
    certificate = bytes.fromhex(holder.certificates[IDENTITY])
    holder.client.close()
    return homes, Loot(SUITE, chain_id, manifest_of(certificate, blobs), blobs)


def manifest_of(certificate: bytes, blobs: dict[bytes, bytes]) -> Manifest:
    for data in blobs.values():
        try:
            manifest = decode_manifest(data)
        except (DecodeError, LedgerError):
            continue
        if manifest.certificate_id == certificate:
            return manifest
    raise AssertionError("no home has the manifest")


def test_the_threshold_of_homes_opens_everything(record: tuple[list[StolenHome], Loot]) -> None:
    """So that the next tests can fail; the docs say what so many operators can do together."""
    homes, loot = record
    for thieves in combinations(homes, THRESHOLD):
        shares = {home.holder: home.share for home in thieves}
        assert all(loot.opens(part, shares) for part in loot.manifest.parts)


def test_fewer_homes_with_all_their_keys_open_nothing(record: tuple[list[StolenHome], Loot]) -> None:
    homes, loot = record
    assert len({home.holder for home in homes}) == 4
    for thieves in combinations(homes, THRESHOLD - 1):
        shares = {home.holder: home.share for home in thieves}
        for part in loot.manifest.parts:
            assert not loot.opens(part, shares)
            for home in thieves:
                assert not loot.opens(part, {home.holder: home.share})
                assert not any(loot.opens_with_key(part, secret) for secret in home.secrets)


def test_after_a_one_field_release_its_node_and_an_accomplice_open_no_second_field(
    record: tuple[list[StolenHome], Loot],
) -> None:
    """They have two homes and, for the field and the mark, what every holder answered."""
    homes, loot = record
    released = [
        part
        for part in loot.manifest.parts
        if part.kind is PartKind.MARK or (part.kind, part.name) == (PartKind.FIELD, "name")
    ]
    assert len(released) == 2
    keys, answers = [], []
    for part in released:
        given = {home.holder: loot.base(part).times(home.share) for home in homes}
        answers.append(given)
        keys.append(loot.key_from(part, {holder: given[holder] for holder in list(given)[:THRESHOLD]}))
        assert loot.opens_with_key(part, keys[-1])
    thieves = homes[:2]
    for part in loot.manifest.parts:
        if part in released:
            continue
        assert not any(loot.opens_with_key(part, key) for key in keys)
        own = {home.holder: loot.base(part).times(home.share) for home in thieves}
        for given in answers:
            for helper in set(given) - set(own):
                assert not loot.opens_with_key(part, loot.key_from(part, own | {helper: given[helper]}))
