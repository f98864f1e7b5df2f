"""The vault: nothing is opened that a finalized record does not name, and nothing that was altered is believed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from contracts.records import (
    Certificate,
    ConsentMode,
    FetchType,
    Grant,
    GrantState,
    NodeRecord,
    NodeRole,
    Output,
    OutputFormat,
    Release,
    ReleaseState,
    Trace,
    TraceVerdict,
)
from contracts.state import GRANTS, NODE_ACCOUNTS, NODES, RELEASES, TRACES, Draft, NodeAccounts, Table
from ledger import codec, commitments
from ledger.errors import LimitExceeded, StorageDamaged, Unavailable, VerificationFailed
from node.services.spool import Spool
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, DISK_KEPT_FREE_BYTES, LocalBlobStore, blob_hash
from node.vault.keys import Authority, AuthorityKind, KeyNotHeld, KeyRefused, OperatorKeys, PartKind, PartName
from node.vault.records import (
    FIELD_SIZE_BYTES_MAX,
    Manifest,
    PlainAttachment,
    PlainField,
    RecordReader,
    attachment_leaf,
    field_leaf,
    seal_record,
)
from tests.suites import suite_under_test

K = TypeVar("K")
V = TypeVar("V")
SUITE = suite_under_test()
HERE, THERE = b"h" * 16, b"t" * 16
PERSON, BANK = b"p" * 16, b"b" * 16
CERTIFICATE, OTHER_CERTIFICATE = b"c" * 16, b"d" * 16
RELEASE, TRACE, GRANT = b"r" * 8, b"x" * 16, b"g" * 16
NAME = PlainField(name="name", salt=b"1" * 16, value=codec.encode("张三"))
NUMBER = PlainField(name="number", salt=b"2" * 16, value=codec.encode("370502"))
SCAN = PlainAttachment(name="scan", salt=b"3" * 16, media_type="application/pdf", content=b"%PDF-1.7 scan")


class Nothing:
    def get(self, key: bytes) -> bytes | None:
        return None


@dataclass
class World:
    """One operator's replica, blobs and keys, with a sealed certificate in it."""

    state: Records
    store: LocalBlobStore
    keys: OperatorKeys
    certificate: Certificate

    def reader(self, fetched: dict[bytes, bytes] | None = None) -> RecordReader:
        async def fetch(name: bytes) -> bytes | None:
            return (fetched or {}).get(name)

        return RecordReader(SUITE, self.keys, self.store, fetch)


def certificate(payload_hash: bytes) -> Certificate:
    leaves = [field_leaf(SUITE, NAME), field_leaf(SUITE, NUMBER), attachment_leaf(SUITE, SCAN)]
    return Certificate(
        certificate_id=CERTIFICATE,
        certificate_type="resident_identity_card",
        type_version=1,
        holder=PERSON,
        issuer=BANK,
        issued_by=bytes(16),
        commitment_root=commitments.commitment_root(SUITE, leaves),
        payload_hash=payload_hash,
        fields=("name", "number"),
        attachments=("scan",),
        issued_ms=1,
        valid_from_ms=1,
        valid_until_ms=0,
        supersedes=b"",
        superseded_by=b"",
        states=(),
    )


def grant(state: GrantState) -> Grant:
    return Grant(
        grant_id=GRANT,
        schema_version=1,
        pii_principal_id=PERSON,
        grantee=BANK,
        requested_by=bytes(16),
        purpose="loan",
        lawful_basis="consent",
        legal_ref="",
        privacy_notice_hash=bytes(32),
        language="zh-cn",
        items=(),
        requested_items=(),
        consent_mode=ConsentMode.STORE,
        fetch_type=FetchType.ONCE,
        uses_max=1,
        uses_left=0,
        requested_ms=1,
        consent_start_ms=1,
        consent_expiry_ms=10,
        data_life_ms=1,
        jurisdiction="cn",
        revocable=True,
        state=state,
        state_since_ms=1,
        renews=b"",
    )


def release(state: ReleaseState, released_by: bytes = HERE) -> Release:
    return Release(
        release_id=RELEASE,
        grant_id=GRANT,
        pii_principal_id=PERSON,
        grantee=BANK,
        officer=bytes(16),
        released_by=released_by,
        purpose="loan",
        outputs=(Output(certificate=CERTIFICATE, format=OutputFormat.JSON, fields=("name",), attachment=""),),
        state=state,
        requested_ms=1,
        deadline_ms=2,
        files=(),
        prepared_ms=0,
        delivered_ms=0,
        failure="",
    )


def trace(verdict: TraceVerdict, performed_by: bytes = HERE, named: bytes = CERTIFICATE) -> Trace:
    return Trace(
        trace_id=TRACE,
        auditor=BANK,
        officer=bytes(16),
        performed_by=performed_by,
        file_hash=bytes(32),
        reason="leak",
        certificates=(named,),
        requested_ms=1,
        verdict=verdict,
        releases=(),
        report_hash=b"",
        concluded_ms=0,
    )


class Records(Draft):
    """State in which every contract has its first version."""

    def record(self, table: Table[K, V], key: K) -> V | None:
        return table.get(self, key)


def admit(state: Draft, account: bytes, wrap_key: bytes, role: NodeRole = NodeRole.VALIDATOR) -> None:
    record = NodeRecord(
        account=account,
        name="op",
        role=role,
        host="node.test",
        port=1,
        certificates=(account,),
        wrap_key=wrap_key,
        directory_wrap=b"",
    )
    NODES.put(state, account, record)
    listed = NODE_ACCOUNTS.get(state, None)
    before = () if listed is None else listed.accounts
    NODE_ACCOUNTS.put(state, None, NodeAccounts(accounts=(*before, account)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    state = Records(Nothing())
    secrets = {operator: SUITE.generate_wrap_key() for operator in (HERE, THERE)}
    for operator, (_, public) in secrets.items():
        admit(state, operator, public)
    keys = OperatorKeys(
        suite=SUITE,
        operator=HERE,
        wrap_secret=secrets[HERE][0],
        state=state,
        time_ms=lambda: 5,
    )
    store = LocalBlobStore(tmp_path / "blobs", SUITE)
    sealed = seal_record(SUITE, keys, CERTIFICATE, (NAME, NUMBER), (SCAN,))
    for blob in sealed.blobs.values():
        store.put(blob)
    return World(state, store, keys, certificate(sealed.payload_hash))


BY_RELEASE = Authority(kind=AuthorityKind.RELEASE, record_id=RELEASE)
BY_TRACE = Authority(kind=AuthorityKind.TRACE, record_id=TRACE)


async def test_a_release_opens_the_field_it_names(world: World) -> None:
    RELEASES.put(world.state, RELEASE, release(ReleaseState.REQUESTED))
    GRANTS.put(world.state, GRANT, grant(GrantState.EXHAUSTED))
    reader = world.reader()
    manifest = await reader.manifest(world.certificate)
    assert await reader.open_field(BY_RELEASE, manifest, "name") == NAME
    assert len(await reader.open_mark(BY_RELEASE, manifest)) == 64


async def test_a_one_field_release_opens_no_second_field_and_no_attachment(world: World) -> None:
    RELEASES.put(world.state, RELEASE, release(ReleaseState.REQUESTED))
    GRANTS.put(world.state, GRANT, grant(GrantState.ACTIVE))
    reader = world.reader()
    manifest = await reader.manifest(world.certificate)
    with pytest.raises(KeyRefused):
        await reader.open_field(BY_RELEASE, manifest, "number")
    with pytest.raises(KeyRefused):
        await reader.open_attachment(BY_RELEASE, manifest, "scan")


async def test_without_a_finalized_record_nothing_opens(world: World) -> None:
    reader = world.reader()
    manifest = await reader.manifest(world.certificate)
    for authority in (BY_RELEASE, BY_TRACE):
        with pytest.raises(KeyRefused):
            await reader.open_field(authority, manifest, "name")


@pytest.mark.parametrize(
    "state", [GrantState.PAUSED, GrantState.REVOKED, GrantState.EXPIRED, GrantState.REJECTED]
)
async def test_a_grant_that_no_longer_holds_closes_the_release(world: World, state: GrantState) -> None:
    RELEASES.put(world.state, RELEASE, release(ReleaseState.REQUESTED))
    GRANTS.put(world.state, GRANT, grant(state))
    reader = world.reader()
    with pytest.raises(KeyRefused):
        await reader.open_field(BY_RELEASE, await reader.manifest(world.certificate), "name")


async def test_a_grant_past_its_end_closes_the_release_before_anybody_ticks(world: World) -> None:
    RELEASES.put(world.state, RELEASE, release(ReleaseState.REQUESTED))
    GRANTS.put(world.state, GRANT, msgspec.structs.replace(grant(GrantState.ACTIVE), consent_expiry_ms=5))
    reader = world.reader()
    with pytest.raises(KeyRefused):
        await reader.open_field(BY_RELEASE, await reader.manifest(world.certificate), "name")


@pytest.mark.parametrize(
    "other",
    [release(ReleaseState.FAILED), release(ReleaseState.DELIVERED), release(ReleaseState.REQUESTED, THERE)],
)
async def test_a_release_that_is_over_or_another_nodes_opens_nothing(world: World, other: Release) -> None:
    RELEASES.put(world.state, RELEASE, other)
    GRANTS.put(world.state, GRANT, grant(GrantState.ACTIVE))
    reader = world.reader()
    with pytest.raises(KeyRefused):
        await reader.open_field(BY_RELEASE, await reader.manifest(world.certificate), "name")


async def test_an_open_trace_opens_the_certificates_it_names(world: World) -> None:
    TRACES.put(world.state, TRACE, trace(TraceVerdict.OPEN))
    reader = world.reader()
    manifest = await reader.manifest(world.certificate)
    assert await reader.open_attachment(BY_TRACE, manifest, "scan") == SCAN


@pytest.mark.parametrize(
    "other",
    [
        trace(TraceVerdict.ACCUSED),
        trace(TraceVerdict.OPEN, performed_by=THERE),
        trace(TraceVerdict.OPEN, named=OTHER_CERTIFICATE),
    ],
)
async def test_a_trace_that_is_concluded_or_not_about_it_opens_nothing(world: World, other: Trace) -> None:
    TRACES.put(world.state, TRACE, other)
    reader = world.reader()
    with pytest.raises(KeyRefused):
        await reader.open_attachment(BY_TRACE, await reader.manifest(world.certificate), "scan")


async def test_a_part_lifted_into_another_record_is_refused(world: World) -> None:
    TRACES.put(world.state, TRACE, trace(TraceVerdict.OPEN, named=OTHER_CERTIFICATE))
    manifest = await world.reader().manifest(world.certificate)
    lifted = Manifest(version=1, certificate_id=OTHER_CERTIFICATE, parts=manifest.parts)
    with pytest.raises(VerificationFailed):
        await world.reader().open_field(BY_TRACE, lifted, "name")


async def test_who_joined_after_a_record_was_sealed_holds_no_key_of_it_and_says_so(world: World) -> None:
    part = PartName(certificate_id=CERTIFICATE, kind=PartKind.FIELD, name="name")
    sealed_before = world.keys.wrap(part, key := os.urandom(32))
    secret, public = SUITE.generate_wrap_key()
    newcomer = OperatorKeys(
        suite=SUITE, operator=b"n" * 16, wrap_secret=secret, state=world.state, time_ms=lambda: 5
    )
    admit(world.state, b"n" * 16, public)
    TRACES.put(world.state, TRACE, trace(TraceVerdict.OPEN, performed_by=b"n" * 16))
    with pytest.raises(KeyNotHeld) as refused:
        await newcomer.release(BY_TRACE, part, sealed_before)
    assert "joined" in refused.value.message("en")
    sealed_after = world.keys.wrap(part, key)
    assert [entry.operator for entry in sealed_after.keys] == sorted((HERE, THERE, b"n" * 16))
    assert await newcomer.release(BY_TRACE, part, sealed_after) == key


async def test_records_are_sealed_for_present_operators_only_and_not_for_readers(world: World) -> None:
    part = PartName(certificate_id=CERTIFICATE, kind=PartKind.FIELD, name="name")
    admit(world.state, b"r" * 16, SUITE.generate_wrap_key()[1], NodeRole.READER)
    admit(world.state, b"u" * 16, bytes(32))
    NODES.delete(world.state, THERE)
    listed = NODE_ACCOUNTS.get(world.state, None)
    assert listed is not None
    left = tuple(account for account in listed.accounts if account != THERE)
    NODE_ACCOUNTS.put(world.state, None, NodeAccounts(accounts=left))
    assert [entry.operator for entry in world.keys.wrap(part, os.urandom(32)).keys] == [HERE]
    NODE_ACCOUNTS.put(world.state, None, NodeAccounts(accounts=(b"u" * 16,)))
    with pytest.raises(Unavailable):
        world.keys.wrap(part, os.urandom(32))


async def test_a_header_made_for_another_operator_only_is_refused(world: World) -> None:
    stranger = OperatorKeys(
        suite=SUITE,
        operator=b"s" * 16,
        wrap_secret=SUITE.generate_wrap_key()[0],
        state=world.state,
        time_ms=lambda: 5,
    )
    part = PartName(certificate_id=CERTIFICATE, kind=PartKind.FIELD, name="name")
    TRACES.put(world.state, TRACE, trace(TraceVerdict.OPEN, performed_by=b"s" * 16))
    with pytest.raises(KeyRefused):
        await stranger.release(BY_TRACE, part, world.keys.wrap(part, os.urandom(32)))


async def test_a_manifest_that_is_not_what_the_issuer_signed_for_is_refused(world: World) -> None:
    other = seal_record(SUITE, world.keys, CERTIFICATE, (NUMBER,), ())
    for blob in other.blobs.values():
        world.store.put(blob)
    with pytest.raises(VerificationFailed):
        await world.reader().manifest(certificate(other.payload_hash))


async def test_a_missing_blob_is_fetched_and_a_blob_nobody_has_is_a_clear_error(world: World) -> None:
    name = world.certificate.payload_hash
    data = world.store.get(name)
    assert data is not None
    world.store.delete(name)
    assert (await world.reader({name: data}).manifest(world.certificate)).certificate_id == CERTIFICATE
    with pytest.raises(Unavailable):
        await world.reader().manifest(world.certificate)


def test_a_field_above_its_bound_is_refused(world: World) -> None:
    large = PlainField(name="name", salt=bytes(16), value=bytes(FIELD_SIZE_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        seal_record(SUITE, world.keys, CERTIFICATE, (large,), ())


def test_a_blob_is_found_by_its_hash_and_damage_is_noticed(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path, SUITE)
    name = store.put(b"ciphertext")
    assert name == blob_hash(SUITE, b"ciphertext")
    assert store.put(b"ciphertext") == name
    assert store.get(name) == b"ciphertext"
    assert store.get(bytes(32)) is None
    (tmp_path / name.hex()[:2] / name.hex()[2:]).write_bytes(b"ciphertexT")
    with pytest.raises(StorageDamaged):
        store.get(name)
    assert store.delete(name)
    assert not store.delete(name)


def test_a_blob_above_its_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded):
        LocalBlobStore(tmp_path, SUITE).put(bytes(BLOB_SIZE_BYTES_MAX + 1))


def test_blobs_leave_room_for_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any peer may ask every node to hold blobs without end; a full disk would have stopped them all at once."""
    store = LocalBlobStore(tmp_path, SUITE)
    known = store.put(b"known")
    usage = shutil.disk_usage(tmp_path)._replace(free=DISK_KEPT_FREE_BYTES + 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    store.put(b"four")
    with pytest.raises(Unavailable):
        store.put(b"fifth")
    assert not store.has(blob_hash(SUITE, b"fifth"))
    assert store.put(b"known") == known


def test_the_spool_is_encrypted_bound_to_its_names_and_tells_of_changes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SUITE, b"k" * 32)
    spool.put("release-1", b"plain text of a citizen")
    assert b"citizen" not in (tmp_path / "release-1").read_bytes()
    assert Spool(tmp_path, SUITE, b"k" * 32).get("release-1") == b"plain text of a citizen"
    (tmp_path / "release-1").rename(tmp_path / "release-2")
    with pytest.raises(VerificationFailed):
        spool.get("release-2")
    assert spool.get("release-1") is None
    assert spool.names() == ["release-2"]
    spool.delete("release-2")
    assert spool.names() == []
