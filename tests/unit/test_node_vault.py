"""The vault: nothing is opened that a finalized record does not name, and nothing that was altered is believed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from contracts.records import (
    Account,
    AccountKind,
    AccountStatus,
    Certificate,
    CertificateState,
    ConsentMode,
    FetchType,
    Grant,
    GrantItem,
    GrantState,
    Output,
    OutputFormat,
    Release,
    ReleaseState,
    StateEntry,
    Trace,
    TraceVerdict,
)
from contracts.registry import REGISTRY
from contracts.state import ACCOUNTS, CERTIFICATES, GRANTS, RELEASES, TRACES, Draft, Table
from contracts.versions import Reading
from ledger import codec, commitments
from ledger.errors import LimitExceeded, StorageDamaged, Unavailable, VerificationFailed
from node.holders import waiting
from node.holders.errors import KeyRefused
from node.holders.ports import BASES_PER_ASK_MAX
from node.holders.server import decode_ask
from node.services.spool import Spool
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, DISK_KEPT_FREE_BYTES, LocalBlobStore, blob_hash
from node.vault.keys import Authority, AuthorityKind, PartKind, PartName, VaultSealer, WantedKey
from node.vault.opening import OpenParts, batches
from node.vault.parts import MARK
from node.vault.permits import ReleasePermit, Replica
from node.vault.records import (
    FIELD_SIZE_BYTES_MAX,
    Body,
    Manifest,
    PlainAttachment,
    PlainField,
    RecordReader,
    Sealed,
    Unlocked,
    attachment_leaf,
    blobs_of,
    decode_manifest,
    field_leaf,
    record_root,
    seal_record,
)
from tests.suites import suite_under_test
from tests.unit.contracts_world import identity
from tests.unit.vault_world import ACCOUNTS as OPERATORS
from tests.unit.vault_world import GROUP, DealtKeys
from tests.unit.vault_world import Operators as Holders

K = TypeVar("K")
V = TypeVar("V")
SUITE = suite_under_test()
HERE, THERE = OPERATORS[0], OPERATORS[1]
CHAIN, OTHER_CHAIN = b"n" * 32, b"o" * 32
PERSON, BANK, ISSUER = b"p" * 16, b"b" * 16, b"i" * 16
CERTIFICATE, OTHER = b"c" * 16, b"d" * 16
RELEASE, TRACE, GRANT = b"r" * 8, b"x" * 16, b"g" * 16
NAME = PlainField(name="name", salt=b"1" * 16, value=codec.encode("张三"))
NUMBER = PlainField(name="number", salt=b"2" * 16, value=codec.encode("370502"))
SCAN = PlainAttachment(name="scan", salt=b"3" * 16, media_type="application/pdf", content=b"%PDF-1.7 scan")
NOW_MS = 5
BY_RELEASE = Authority(kind=AuthorityKind.RELEASE, record_id=RELEASE)
BY_TRACE = Authority(kind=AuthorityKind.TRACE, record_id=TRACE)


class Nothing:
    def get(self, key: bytes) -> bytes | None:
        return None


def reading(state: Draft) -> Reading:
    return Reading(state, REGISTRY.in_force(state))


class Records(Draft):
    """State in which every contract has its first version."""

    def record(self, table: Table[K, V], key: K) -> V | None:
        return table.get(self, key)


@dataclass
class Heights:
    """A finalized chain that does not grow while it is waited for, unless told."""

    height: int = 7
    waited: list[int] = field(default_factory=list)

    async def wait_height_above(self, height: int, timeout_s: float) -> int:
        self.waited.append(height)
        return self.height


@dataclass
class World:
    """Four operators with a replica each, and one sealed certificate; the first of them is the node under test."""

    states: list[Records]
    chains: list[Heights]
    holders: Holders
    store: LocalBlobStore
    sealer: VaultSealer
    certificate: Certificate
    sealed: Sealed

    def put(self, table: Table[K, V], key: K, value: V, *, at: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        """What the replicas of these operators have seen."""
        for index in at:
            table.put(self.states[index], key, value)

    def grant(self, state: GrantState = GrantState.ACTIVE, **changes: object) -> None:
        self.put(GRANTS, GRANT, replace(grant(state), **changes))

    def release(self, state: ReleaseState = ReleaseState.REQUESTED, **changes: object) -> None:
        self.put(RELEASES, RELEASE, replace(release(state), **changes))

    def reader(self, fetched: dict[bytes, bytes] | None = None) -> RecordReader:
        async def fetch(name: bytes) -> bytes | None:
            return (fetched or {}).get(name)

        return RecordReader(
            suite=SUITE, chain_id=CHAIN, keys=self.holders.opener, store=self.store, fetch=fetch
        )

    async def unlock(
        self, *parts: PartName, authority: Authority = BY_RELEASE, releases: tuple[bytes, ...] = ()
    ) -> Unlocked:
        return await self.reader().unlock(authority, (self.certificate,), parts, releases)

    async def refused(self, *parts: PartName, authority: Authority = BY_RELEASE, **more: tuple[bytes]) -> str:
        """Why these parts are not opened."""
        with pytest.raises(KeyRefused) as caught:
            await self.unlock(*parts, authority=authority, **more)
        return caught.value.reason

    def keep(self, sealed: Sealed) -> None:
        for blob in sealed.blobs.values():
            self.store.put(blob)


def part(kind: PartKind, name: str, certificate_id: bytes = CERTIFICATE) -> PartName:
    return PartName(certificate_id=certificate_id, kind=kind, name=name)


P_NAME, P_NUMBER = part(PartKind.FIELD, "name"), part(PartKind.FIELD, "number")
P_SCAN, P_MARK = part(PartKind.ATTACHMENT, "scan"), part(PartKind.MARK, MARK)


def certificate(payload_hash: bytes) -> Certificate:
    leaves = [field_leaf(SUITE, NAME), field_leaf(SUITE, NUMBER), attachment_leaf(SUITE, SCAN)]
    return Certificate(
        certificate_id=CERTIFICATE,
        certificate_type="resident_identity_card",
        type_version=1,
        holder=PERSON,
        issuer=ISSUER,
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
    item = GrantItem(
        certificate_type="resident_identity_card",
        certificate=b"",
        fields=("name", "number"),
        attachments=("scan",),
    )
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
        items=(item,),
        requested_items=(item,),
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


def output(*names: str, certificate_id: bytes = CERTIFICATE) -> Output:
    return Output(certificate=certificate_id, format=OutputFormat.JSON, fields=names, attachment="")


def release(state: ReleaseState, released_by: bytes = HERE) -> Release:
    return Release(
        release_id=RELEASE,
        grant_id=GRANT,
        pii_principal_id=PERSON,
        grantee=BANK,
        officer=bytes(16),
        released_by=released_by,
        purpose="loan",
        outputs=(output("name"),),
        state=state,
        requested_ms=1,
        deadline_ms=9,
        files=(),
        prepared_ms=0,
        delivered_ms=0,
        failure="",
        window_ends_ms=9,
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
        approved_by=THERE,
        approver=bytes(16),
        approved_ms=1,
    )


def account(status: AccountStatus = AccountStatus.ACTIVE) -> Account:
    return Account(
        account_id=BANK,
        kind=AccountKind.ENTERPRISE,
        status=status,
        name="bank",
        credit_code="",
        issues=(),
        created_ms=1,
        keys=(),
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    states, chains = [Records(Nothing()) for _ in OPERATORS], [Heights() for _ in OPERATORS]
    replicas = [
        Replica(
            suite=SUITE,
            chain_id=CHAIN,
            state=state,
            reading=partial(reading, state),
            chain=chain,
            time_ms=lambda: NOW_MS,
        )
        for state, chain in zip(states, chains, strict=True)
    ]
    holders = Holders(replicas, 0)
    store = LocalBlobStore(tmp_path / "blobs", SUITE)
    sealed = seal_record(SUITE, holders.sealer, CERTIFICATE, (NAME, NUMBER), (SCAN,))
    issued = certificate(sealed.payload_hash)
    made = World(states, chains, holders, store, holders.sealer, issued, sealed)
    made.keep(sealed)
    made.put(CERTIFICATES, CERTIFICATE, issued)
    made.put(ACCOUNTS, BANK, account())
    yield made
    holders.close()


# --- releases ---


async def test_a_release_opens_the_field_it_names_and_the_mark(world: World) -> None:
    world.release()
    world.grant(GrantState.EXHAUSTED)
    unlocked = await world.unlock(P_NAME, P_MARK)
    assert await unlocked.field(CERTIFICATE, "name") == NAME
    assert len(await unlocked.mark(CERTIFICATE)) == 32


async def test_what_is_opened_comes_with_a_proof_under_the_ledgers_commitment(world: World) -> None:
    world.release(outputs=(output("name", "number"),))
    world.grant()
    unlocked = await world.unlock(P_NAME, P_NUMBER)
    for name in ("name", "number"):
        opened = await unlocked.field(CERTIFICATE, name)
        proof = unlocked.proof(CERTIFICATE, opened)
        root = world.certificate.commitment_root
        assert commitments.verify_field(SUITE, root, name, opened.value, proof)
        assert not commitments.verify_field(SUITE, root, "other", opened.value, proof)


async def test_a_one_field_release_opens_no_second_field_and_no_attachment(world: World) -> None:
    world.release()
    world.grant()
    for other in (P_NUMBER, P_SCAN):
        assert await world.refused(other) == "part_not_named"
        assert await world.refused(P_NAME, other) == "part_not_named"
    unlocked = await world.unlock(P_NAME)
    with pytest.raises(VerificationFailed):
        await unlocked.field(CERTIFICATE, "number")


async def test_without_a_finalized_record_nothing_opens(world: World) -> None:
    assert await world.refused(P_NAME) == "unknown_release"
    assert await world.refused(P_NAME, authority=BY_TRACE) == "unknown_trace"


@pytest.mark.parametrize(
    "state", [GrantState.PAUSED, GrantState.REVOKED, GrantState.EXPIRED, GrantState.REJECTED]
)
async def test_a_grant_that_no_longer_holds_closes_the_release_and_the_reason_says_so(
    world: World, state: GrantState
) -> None:
    world.release()
    world.grant(state)
    assert await world.refused(P_NAME) == f"grant_{state.value}"


async def test_a_grant_past_its_end_closes_the_release_before_anybody_ticks(world: World) -> None:
    world.release()
    world.grant(consent_expiry_ms=NOW_MS)
    assert await world.refused(P_NAME) == "grant_expired"


async def test_what_a_narrowed_grant_no_longer_opens_stays_shut(world: World) -> None:
    world.release()
    (item,) = grant(GrantState.ACTIVE).items
    world.grant(items=(replace(item, fields=("number",)),))
    assert await world.refused(P_NAME) != ""


async def test_a_revoked_certificate_and_a_suspended_recipient_close_the_release(world: World) -> None:
    world.release()
    world.grant()
    revoked = StateEntry(
        state=CertificateState.REVOKED, since_ms=2, until_ms=0, reason="error", key_id=bytes(16)
    )
    world.put(CERTIFICATES, CERTIFICATE, replace(world.certificate, states=(revoked,)))
    assert await world.refused(P_NAME) == "certificate_not_valid"
    world.put(CERTIFICATES, CERTIFICATE, world.certificate)
    world.put(ACCOUNTS, BANK, account(AccountStatus.SUSPENDED))
    assert await world.refused(P_NAME) == "organization_suspended"


async def test_an_erased_certificate_opens_for_nobody(world: World) -> None:
    world.release(ReleaseState.PREPARED)
    world.grant()
    world.put(TRACES, TRACE, trace(TraceVerdict.OPEN))
    world.put(CERTIFICATES, CERTIFICATE, replace(world.certificate, erased_ms=3))
    assert await world.refused(P_NAME) in {"certificate_erased", "certificate_not_valid"}
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(RELEASE,)) == "certificate_erased"


async def test_what_ends_while_a_share_is_made_is_seen_before_it_leaves(world: World) -> None:
    world.release()
    world.grant()
    await world.unlock(P_NAME)
    payload = next(payload for peer, payload in world.holders.asked if peer == THERE)
    ask = decode_ask(payload[1:])
    permitted = await ReleasePermit(
        Replica(
            suite=SUITE,
            chain_id=CHAIN,
            state=world.states[1],
            reading=partial(reading, world.states[1]),
            chain=world.chains[1],
            time_ms=lambda: NOW_MS,
        ),
        world.holders.holders[1].work,
    ).permit(HERE, ask)
    permitted.again()
    for table, key, value, reason in (
        (CERTIFICATES, CERTIFICATE, replace(world.certificate, erased_ms=3), "certificate_erased"),
        (GRANTS, GRANT, grant(GrantState.REVOKED), "grant_revoked"),
        (RELEASES, RELEASE, release(ReleaseState.FAILED), "release_failed"),
    ):
        world.put(table, key, value)
        world.chains[1].height += 1
        with pytest.raises(KeyRefused) as caught:
            permitted.again()
        assert caught.value.reason in {reason, "certificate_not_valid"}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ReleaseState.FAILED, "release_failed"),
        (ReleaseState.DELIVERED, "release_delivered"),
        (ReleaseState.CLOSED, "release_closed"),
    ],
)
async def test_a_release_that_is_over_opens_nothing(world: World, state: ReleaseState, reason: str) -> None:
    world.release(state)
    world.grant()
    assert await world.refused(P_NAME) == reason


@pytest.mark.parametrize("state", [ReleaseState.REQUESTED, ReleaseState.PREPARED])
async def test_a_release_opens_until_its_deadline_and_again_until_its_window_ends(
    world: World, state: ReleaseState
) -> None:
    ends = "deadline_ms" if state is ReleaseState.REQUESTED else "window_ends_ms"
    world.grant()
    world.release(state, **{ends: NOW_MS + 1})
    assert await (await world.unlock(P_NAME)).field(CERTIFICATE, "name") == NAME
    world.release(state, **{ends: NOW_MS})
    assert await world.refused(P_NAME) == "release_overdue"


async def test_another_nodes_release_opens_nothing_here(world: World) -> None:
    world.release(released_by=THERE)
    world.grant()
    assert await world.refused(P_NAME) == "not_entrusted"


async def test_every_holder_decides_by_its_own_replica_and_two_refusals_of_four_are_enough(
    world: World,
) -> None:
    """The releasing node has altered its program, or has not seen the pause yet."""
    world.release()
    world.grant()
    world.put(GRANTS, GRANT, grant(GrantState.PAUSED), at=(3,))
    assert await (await world.unlock(P_NAME)).field(CERTIFICATE, "name") == NAME
    world.put(GRANTS, GRANT, grant(GrantState.PAUSED), at=(2, 3))
    assert await world.refused(P_NAME) == "grant_paused"


async def test_a_holder_that_is_behind_waits_a_moment_and_then_says_so(world: World) -> None:
    world.release()
    world.grant()
    for behind in (2, 3):
        world.chains[behind].height = 6
    world.holders.opener = world.holders.opener_with(collect_s=0.01)
    with pytest.raises(Unavailable) as caught:
        await world.unlock(P_NAME)
    assert "at height 6, not yet at 7" in caught.value.message("en")
    assert world.chains[2].waited[0] == 6
    assert waiting.WAIT_FINAL_S < 8


# --- traces ---


async def test_an_open_trace_opens_what_was_handed_out_of_the_certificates_it_names(world: World) -> None:
    world.release(ReleaseState.CLOSED)
    world.put(TRACES, TRACE, trace(TraceVerdict.OPEN))
    unlocked = await world.unlock(P_NAME, P_MARK, authority=BY_TRACE, releases=(RELEASE,))
    assert await unlocked.field(CERTIFICATE, "name") == NAME


async def test_a_trace_opens_no_part_that_never_left(world: World) -> None:
    world.release(ReleaseState.DELIVERED)
    world.put(TRACES, TRACE, trace(TraceVerdict.OPEN))
    assert await world.refused(P_NUMBER, authority=BY_TRACE, releases=(RELEASE,)) == "part_not_named"
    assert await world.refused(P_NAME, authority=BY_TRACE) == "part_not_named"
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(b"?" * 8,)) == "release_unrelated"
    world.release(ReleaseState.REQUESTED)
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(RELEASE,)) == "release_unrelated"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (trace(TraceVerdict.ACCUSED), "trace_concluded"),
        (trace(TraceVerdict.OPEN, performed_by=THERE), "not_entrusted"),
        (trace(TraceVerdict.OPEN, named=OTHER), "part_not_named"),
    ],
)
async def test_a_trace_that_is_concluded_or_not_about_it_opens_nothing(
    world: World, other: Trace, reason: str
) -> None:
    world.release(ReleaseState.DELIVERED)
    world.put(TRACES, TRACE, other)
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(RELEASE,)) == reason


async def test_a_trace_is_no_standing_permission(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opened for ever, and what was handed out after it began too."""
    asked = trace(TraceVerdict.OPEN)
    world.put(TRACES, TRACE, asked)
    world.release(ReleaseState.DELIVERED, prepared_ms=asked.requested_ms + 1)
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(RELEASE,)) == "release_after_trace"
    world.release(ReleaseState.DELIVERED, prepared_ms=asked.requested_ms)
    await world.unlock(P_NAME, authority=BY_TRACE, releases=(RELEASE,))
    monkeypatch.setattr("contracts.traces.TRACE_LIFE_MS", NOW_MS - asked.approved_ms)
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(RELEASE,)) == "trace_overdue"
    world.put(TRACES, TRACE, replace(asked, approved_ms=0))
    assert await world.refused(P_NAME, authority=BY_TRACE, releases=(RELEASE,)) == "trace_not_approved"


# --- what is lifted, swapped, altered ---


def other_certificate(world: World, manifest: Manifest) -> None:
    """A second certificate of the same person, whose record is that manifest; a release names it."""
    encoded = codec.encode(manifest)
    world.store.put(encoded)
    other = replace(
        world.certificate,
        certificate_id=OTHER,
        payload_hash=blob_hash(SUITE, encoded),
        commitment_root=record_root(SUITE, manifest),
    )
    world.put(CERTIFICATES, OTHER, other)
    world.certificate = other
    world.release(outputs=(output("name", certificate_id=OTHER),))
    world.grant()


def manifest_of(sealed: Sealed) -> Manifest:
    return decode_manifest(sealed.blobs[sealed.payload_hash])


async def test_headers_and_ciphertexts_lifted_into_another_record_are_refused(world: World) -> None:
    lifted = replace(manifest_of(world.sealed), certificate_id=OTHER)
    other_certificate(world, lifted)
    name = part(PartKind.FIELD, "name", OTHER)
    assert await world.refused(name) == "header_of_another_part"


async def test_a_header_swapped_for_another_parts_of_the_same_record_is_refused(world: World) -> None:
    """An officer may have the name; the record is made to give the number under it."""
    manifest = manifest_of(world.sealed)
    first, second, *rest = manifest.parts
    swapped = replace(manifest, parts=(replace(first, header=second.header), second, *rest))
    encoded = codec.encode(swapped)
    world.store.put(encoded)
    world.certificate = replace(world.certificate, payload_hash=blob_hash(SUITE, encoded))
    world.put(CERTIFICATES, CERTIFICATE, world.certificate)
    world.release()
    world.grant()
    assert await world.refused(P_NAME) == "header_of_another_part"


async def test_a_ciphertext_from_another_record_does_not_open_under_this_ones_key(world: World) -> None:
    other = seal_record(SUITE, world.sealer, OTHER, (NAME, NUMBER), ())
    world.keep(other)
    manifest = replace(manifest_of(world.sealed), body=manifest_of(other).body)
    encoded = codec.encode(manifest)
    world.store.put(encoded)
    world.certificate = replace(world.certificate, payload_hash=blob_hash(SUITE, encoded))
    world.put(CERTIFICATES, CERTIFICATE, world.certificate)
    world.release()
    world.grant()
    unlocked = await world.unlock(P_NAME)
    with pytest.raises(VerificationFailed):
        await unlocked.field(CERTIFICATE, "name")


async def test_a_record_of_another_network_under_the_same_keys_is_refused(world: World) -> None:
    abroad = VaultSealer(group=GROUP, hash_=SUITE.hash, chain_id=OTHER_CHAIN, keys=DealtKeys())
    sealed = seal_record(SUITE, abroad, CERTIFICATE, (NAME, NUMBER), (SCAN,))
    world.keep(sealed)
    world.certificate = certificate(sealed.payload_hash)
    world.put(CERTIFICATES, CERTIFICATE, world.certificate)
    world.release()
    world.grant()
    assert await world.refused(P_NAME) == "header_of_another_part"


async def test_a_sound_header_that_the_ledger_does_not_name_is_refused(world: World) -> None:
    """A draft of the same certificate that never came onto the ledger."""
    draft = seal_record(SUITE, world.sealer, CERTIFICATE, (NAME, NUMBER), (SCAN,))
    wanted = WantedKey(
        part=P_NAME,
        header=manifest_of(draft).parts[0].header,
        manifest=draft.blobs[draft.payload_hash],
    )
    world.release()
    world.grant()
    with pytest.raises(KeyRefused) as caught:
        await world.holders.opener.open(BY_RELEASE, (wanted,))
    assert caught.value.reason == "other_manifest"


async def test_a_manifest_that_is_not_what_the_issuer_signed_for_is_refused(world: World) -> None:
    other = seal_record(SUITE, world.sealer, CERTIFICATE, (NUMBER,), ())
    world.keep(other)
    with pytest.raises(VerificationFailed):
        await world.reader().manifest(certificate(other.payload_hash))


async def test_a_body_that_lacks_a_part_is_refused(world: World) -> None:
    manifest = manifest_of(world.sealed)
    short = codec.encode(Body(ciphertexts=(b"",)))
    world.store.put(short)
    encoded = codec.encode(replace(manifest, body=blob_hash(SUITE, short)))
    world.store.put(encoded)
    world.certificate = replace(world.certificate, payload_hash=blob_hash(SUITE, encoded))
    world.put(CERTIFICATES, CERTIFICATE, world.certificate)
    world.release()
    world.grant()
    unlocked = await world.unlock(P_NAME)
    with pytest.raises(VerificationFailed):
        await unlocked.field(CERTIFICATE, "name")


async def test_a_missing_blob_is_fetched_and_a_blob_nobody_has_is_a_clear_error(world: World) -> None:
    name = world.certificate.payload_hash
    data = world.store.get(name)
    assert data is not None
    world.store.delete(name)
    assert (await world.reader({name: data}).manifest(world.certificate)).certificate_id == CERTIFICATE
    with pytest.raises(Unavailable):
        await world.reader().manifest(world.certificate)


# --- sealing, bounds ---


def test_a_record_names_all_its_blobs(world: World) -> None:
    manifest = manifest_of(world.sealed)
    assert set(blobs_of(manifest, world.sealed.payload_hash)) == set(world.sealed.blobs)


def test_nothing_is_sealed_before_the_operators_have_a_key(world: World) -> None:
    world.holders.here.keys.made = False
    with pytest.raises(Unavailable):
        seal_record(SUITE, world.sealer, CERTIFICATE, (NAME,), ())


def test_a_field_above_its_bound_is_refused(world: World) -> None:
    large = PlainField(name="name", salt=bytes(16), value=bytes(FIELD_SIZE_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        seal_record(SUITE, world.sealer, CERTIFICATE, (large,), ())


def test_a_body_or_manifest_above_its_bound_is_refused(world: World) -> None:
    many = tuple(
        PlainField(name=f"f{n}", salt=bytes(16), value=bytes(FIELD_SIZE_BYTES_MAX)) for n in range(10)
    )
    with pytest.raises(LimitExceeded):
        seal_record(SUITE, world.sealer, CERTIFICATE, many, ())
    long = tuple(PlainField(name=f"{n:04}" * 16, salt=bytes(16), value=b"v") for n in range(400))
    with pytest.raises(LimitExceeded):
        seal_record(SUITE, world.sealer, CERTIFICATE, long, ())


def test_parts_are_asked_for_in_as_few_asks_as_they_fit_into(world: World) -> None:
    header = manifest_of(world.sealed).parts[0].header

    def wanted(count: int, size_bytes: int, records: int = 1) -> list[WantedKey]:
        return [
            WantedKey(
                part=part(PartKind.FIELD, f"f{n}", identity(f"record {n % records}")),
                header=header,
                manifest=bytes([n % records]) * size_bytes,
            )
            for n in range(count)
        ]

    assert [len(batch) for batch in batches(wanted(BASES_PER_ASK_MAX, 1000))] == [BASES_PER_ASK_MAX]
    assert [len(batch) for batch in batches(wanted(BASES_PER_ASK_MAX + 1, 1000))] == [BASES_PER_ASK_MAX, 1]
    assert [len(batch) for batch in batches(wanted(4, 60_000, records=4))] == [1, 1, 1, 1]
    assert [len(batch) for batch in batches(wanted(33, 100, records=33))] == [32, 1]
    assert not list(batches([]))
    full = wanted(BASES_PER_ASK_MAX, 96 * 1024)
    (batch,) = batches(full)
    payload = OpenParts(
        height=1,
        manifests=tuple(dict.fromkeys(one.manifest for one in batch)),
        parts=tuple(one.part for one in batch),
        releases=tuple(identity(f"{n}", 8) for n in range(64)),
    )
    assert len(codec.encode(payload)) <= 128 * 1024


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
