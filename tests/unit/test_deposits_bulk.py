"""Many rows in one call: every good one on the ledger exactly once, every bad one told."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.calls import CertificatesIssue
from contracts.records import KeyRole
from ledger.errors import Busy, LedgerError, LimitExceeded, NotFound
from node.deposits import bulk, limits, reading
from node.deposits.errors import ContentTooLarge, DraftExpired, JobConflict, OffsetWrong
from node.deposits.records import JobRow, JobState, RowState, SignedBy
from node.services.agents import AGENTS_PER_ORGANIZATION_MAX, AgentMissing
from node.services.deposits import NotIssuer
from node.services.ports import Caller
from tests.unit.contracts_world import BANK, DEPARTMENT, DEPARTMENT_ADMIN, LI
from tests.unit.deposits_world import Depot, agent_options, chunks, depot, lines, row
from tests.unit.node_replica import CARD, OFFICER
from tests.unit.node_world import Node, card, eventually
from zhenglian.tables.limits import STREAMED_BYTES_MAX


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Depot]:
    async with depot(tmp_path) as made:
        yield made


async def test_good_rows_are_on_the_ledger_and_bad_ones_are_told(here: Depot) -> None:
    await here.give_agent()
    job = await here.up(lines(row(1), row(2, identity_number="11010519491231002Y"), row(3)))
    assert job.state is JobState.DONE, job.fault
    assert await here.states(job) == {1: "issued", 2: "invalid", 3: "issued"}
    assert await here.codes(job) == {2: ["identity_number"]}
    assert len(here.issued()) == 2


async def test_the_record_names_the_officer_and_the_agent_that_signed(here: Depot) -> None:
    agent = await here.give_agent()
    job = await here.up(lines(row(1)))
    (found,) = await here.bulk.rows(job.job_id, after=0, limit=1, problems_only=False)
    certificate = here.node.chain.records.certificate(found.certificate_id)
    assert certificate is not None
    assert (certificate.issued_by, certificate.agent, certificate.holder) == (
        OFFICER.key_id,
        agent,
        LI.account,
    )


async def test_nothing_goes_up_without_an_agent_key_that_counts(here: Depot) -> None:
    with pytest.raises(AgentMissing):
        await here.up(lines(row(1)))
    agent = await here.give_agent()
    await here.revoke(agent)
    with pytest.raises(AgentMissing):
        await here.up(lines(row(1)))
    assert here.issued() == []


async def test_a_dry_run_reports_and_puts_nothing_on_the_ledger(here: Depot) -> None:
    job = await here.up(lines(row(1), row(2, name="")), dry_run=True)
    assert job.state is JobState.DONE
    assert await here.states(job) == {1: "ready", 2: "invalid"}
    assert here.issued() == []


async def test_the_same_key_and_content_again_is_the_same_job(here: Depot) -> None:
    await here.give_agent()
    data = lines(row(1), row(2))
    first = await here.up(data)
    again = await here.up(data)
    assert first.job_id == again.job_id
    assert len(here.issued()) == 2


async def test_the_same_key_with_other_content_or_options_is_refused(here: Depot) -> None:
    await here.give_agent()
    await here.up(lines(row(1)))
    with pytest.raises(JobConflict):
        await here.up(lines(row(2)))
    with pytest.raises(JobConflict):
        await here.up(lines(row(1)), holder=LI.account.hex())
    assert len(here.issued()) == 1


async def test_a_job_cut_short_at_any_step_is_finished_after_a_restart_without_double_rows(
    tmp_path: Path,
) -> None:
    data = lines(*(row(number) for number in range(1, 41)))
    async with depot(tmp_path) as before:
        await before.give_agent()
        job = await before.up(data, wait_s=0)
        while not before.issued():
            await before.node.chain.wait_height_above(before.node.chain.height, 30)
    async with depot(tmp_path, populated=False) as after:
        ended = await after.bulk.wait(job.job_id, 60)
        assert ended.state is JobState.DONE, ended.fault
        states = await after.states(ended)
        assert set(states.values()) == {"issued"}
        assert len(states) == 40
        issued = after.issued()
        assert len(issued) == len(set(issued)) == 40


async def test_an_upload_goes_on_where_it_is_durable(tmp_path: Path) -> None:
    data = lines(*(row(number) for number in range(1, 6)))
    options = agent_options()
    async with depot(tmp_path) as before:
        await before.give_agent()
        job, new = await before.bulk.begin(OFFICER, "upload-key", options, size_bytes=len(data))
        assert new
        await before.bulk.receiving.append(OFFICER, job.job_id, 0, chunks(data[:700]))
        with pytest.raises(OffsetWrong):
            await before.bulk.receiving.append(OFFICER, job.job_id, 0, chunks(data))
    async with depot(tmp_path, populated=False) as after:
        found, new = await after.bulk.begin(OFFICER, "upload-key", options, size_bytes=len(data))
        assert (found.job_id, found.received_bytes, new) == (job.job_id, 700, False)
        await after.bulk.receiving.append(OFFICER, job.job_id, 700, chunks(data[700:]))
        ended = await after.bulk.wait(job.job_id, 60)
        assert ended.state is JobState.DONE, ended.fault
        assert len(after.issued()) == 5


async def test_more_than_was_announced_is_refused(here: Depot) -> None:
    await here.give_agent()
    job, _ = await here.bulk.begin(OFFICER, "k", agent_options(), size_bytes=10)
    with pytest.raises(ContentTooLarge):
        await here.bulk.receiving.append(OFFICER, job.job_id, 0, chunks(b"x" * 11))


async def test_a_table_that_is_none_fails_the_job_and_the_key_may_try_again(here: Depot) -> None:
    await here.give_agent()
    job = await here.up(b'{"a": 1}\n{')
    assert job.state is JobState.FAILED
    assert job.fault is not None
    assert job.fault.code in {"columns_invalid", "table_invalid"}
    again = await here.up(lines(row(1)))
    assert again.state is JobState.DONE
    assert again.job_id == job.job_id


async def test_what_failed_midway_goes_on_without_putting_a_row_up_twice(here: Depot) -> None:
    agent = await here.give_agent()
    data = lines(*(row(number) for number in range(1, 31)))
    here.node.frozen = True
    job = await here.up(data, wait_s=0)
    while not (await here.bulk.counts(job.job_id)).get(RowState.SENT):
        await here.bulk.wait(job.job_id, 0.01)
    here.node.thaw()
    await here.bulk.cancel(OFFICER, job.job_id)
    await here.revoke(agent)
    await here.give_agent()
    again = await here.up(data)
    assert again.state is JobState.DONE, again.fault
    assert set((await here.states(again)).values()) <= {"issued", "existing"}
    issued = here.issued()
    assert len(issued) == len(set(issued)) == 30


async def test_what_a_row_said_is_gone_when_it_has_ended(here: Depot) -> None:
    await here.give_agent()
    job = await here.up(lines(row(1), row(2)))
    rows = await here.bulk.rows(job.job_id, after=0, limit=10, problems_only=False)
    assert [(one.content, one.signed) for one in rows] == [(None, b""), (None, b"")]


async def test_jobs_are_their_organisations(here: Depot) -> None:
    await here.give_agent()
    job = await here.up(lines(row(1)))
    bank = Caller(account=BANK.account, key_id=BANK.key_id, kind=OFFICER.kind, role=KeyRole.OFFICER)
    with pytest.raises(NotFound):
        await here.bulk.job(bank, job.job_id)
    with pytest.raises(NotIssuer):
        await here.up(lines(row(1)), caller=bank, key="other")


async def test_open_jobs_of_an_organisation_are_bounded(here: Depot) -> None:
    await here.give_agent()
    for number in range(limits.JOBS_PER_ORGANIZATION_MAX):
        await here.bulk.begin(OFFICER, f"open-{number}", agent_options(), size_bytes=10)
    with pytest.raises(Busy):
        await here.bulk.begin(OFFICER, "one more", agent_options(), size_bytes=10)


async def test_an_idle_upload_expires_and_is_forgotten(here: Depot) -> None:
    await here.give_agent()
    job, _ = await here.bulk.begin(OFFICER, "k", agent_options(), size_bytes=10)
    here.node.now_ms += limits.UPLOAD_IDLE_MS + 1
    await here.bulk.sweep()
    assert (await here.bulk.job(OFFICER, job.job_id)).state is JobState.EXPIRED
    here.node.now_ms += 2 * limits.JOB_LIFETIME_MS
    await here.bulk.sweep()
    with pytest.raises(NotFound):
        await here.bulk.job(OFFICER, job.job_id)


@pytest.mark.parametrize("code", ["no_such_type", "x"])
async def test_an_unknown_type_is_refused_at_once(here: Depot, code: str) -> None:
    with pytest.raises(LedgerError):
        await here.up(lines(row(1)), certificate_type=code)


async def test_every_bound_of_a_job_is_tested_past(here: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.give_agent()
    monkeypatch.setattr(limits, "FILES_PER_JOB_MAX", 1)
    monkeypatch.setattr(limits, "FILE_BYTES_MAX", 4)
    job, _ = await here.bulk.begin(OFFICER, "files", agent_options(), size_bytes=0)
    await here.bulk.receiving.put_file(job, "a.pdf", "application/pdf", b"1234")
    with pytest.raises(LimitExceeded):
        await here.bulk.receiving.put_file(job, "b.pdf", "application/pdf", b"1234")
    with pytest.raises(LimitExceeded):
        await here.bulk.receiving.put_file(job, "a.pdf", "application/pdf", b"12345")
    with pytest.raises(ContentTooLarge):
        await here.bulk.begin(OFFICER, "large", agent_options(), size_bytes=STREAMED_BYTES_MAX + 1)
    with pytest.raises(ContentTooLarge):
        await here.up(b"", key="nothing")
    monkeypatch.setattr(limits, "CONTENT_BYTES_MAX", 10)
    with pytest.raises(Busy):
        await here.bulk.begin(OFFICER, "full", agent_options(), size_bytes=10)


async def test_agent_keys_of_an_organisation_at_a_node_are_bounded(here: Depot) -> None:
    for _ in range(AGENTS_PER_ORGANIZATION_MAX):
        await here.parts.agents.create(DEPARTMENT_ADMIN.account)
    with pytest.raises(LimitExceeded):
        await here.parts.agents.create(DEPARTMENT_ADMIN.account)


async def test_an_agent_key_is_sealed_and_there_after_a_restart(tmp_path: Path) -> None:
    async with depot(tmp_path) as before:
        agent = await before.give_agent()
    (file,) = (tmp_path / "keys" / "agents").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    async with depot(tmp_path, populated=False) as after:
        assert [key.key_id for key in after.parts.agents.of(DEPARTMENT_ADMIN.account)] == [agent]
        await after.up(lines(row(1)))
        assert len(after.issued()) == 1
    sealed = file.read_bytes()
    file.write_bytes(bytes((sealed[0] ^ 1,)) + sealed[1:])
    async with depot(tmp_path, populated=False) as damaged:
        assert damaged.parts.agents.of(DEPARTMENT_ADMIN.account) == ()


async def test_an_upload_lies_sealed_on_disk(here: Depot, tmp_path: Path) -> None:
    await here.give_agent()
    data = lines(row(1))
    job, _ = await here.bulk.begin(OFFICER, "k", agent_options(), size_bytes=len(data) + 1)
    await here.bulk.receiving.append(OFFICER, job.job_id, 0, chunks(data))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "deposits").iterdir())
    assert len(stored) > len(data)
    assert b"11010519491231002X" not in stored


# --- what goes wrong around a job ---


async def test_a_job_begun_twice_at_once_is_one_job_and_its_bound_holds(here: Depot) -> None:
    await here.give_agent()
    options = agent_options()
    both = await asyncio.gather(*(here.bulk.begin(OFFICER, "k", options, size_bytes=10) for _ in range(8)))
    assert {job.job_id for job, _ in both} == {both[0][0].job_id}
    assert [new for _, new in both].count(True) == 1
    many = await asyncio.gather(
        *(here.bulk.begin(OFFICER, f"k{n}", options, size_bytes=10) for n in range(8)), return_exceptions=True
    )
    begun = [one for one in many if not isinstance(one, BaseException)]
    assert len(begun) == limits.JOBS_PER_ORGANIZATION_MAX - 1


async def test_a_node_killed_after_the_last_byte_reads_when_the_same_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry was told that all is here, and nothing ever happened."""
    data = lines(row(1))
    async with depot(tmp_path) as before:
        await before.give_agent()

        async def killed(_name: bytes) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(before.bulk.receiving, "_read", killed)
        with pytest.raises(asyncio.CancelledError):
            await before.up(data)
    async with depot(tmp_path, populated=False) as after:
        job = await after.up(data)
        assert job.state is JobState.DONE, job.fault
        assert len(after.issued()) == 1


async def test_what_a_job_holds_of_people_goes_in_the_step_that_ends_it(
    here: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two left names and numbers for seven days."""
    await here.give_agent()
    here.node.frozen = True
    job = await here.up(lines(row(1), row(2)), wait_s=0)
    while not (await here.bulk.counts(job.job_id)).get(RowState.SENT):
        await here.bulk.wait(job.job_id, 0.01)

    async def killed(_name: bytes) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(here.bulk._working, "look", killed)
    with pytest.raises(asyncio.CancelledError):
        await here.bulk.cancel(OFFICER, job.job_id)
    left = await here.bulk.rows(job.job_id, after=0, limit=10, problems_only=False)
    assert [(one.content, one.signed) for one in left] == [(None, b"")] * 2
    here.node.thaw()


async def test_rows_that_were_under_way_at_the_cancellation_are_reported_as_they_ended(here: Depot) -> None:
    await here.give_agent()
    here.node.frozen = True
    job = await here.up(lines(row(1), row(2)), wait_s=0)
    while (await here.bulk.counts(job.job_id)).get(RowState.SENT) != 2:
        await here.bulk.wait(job.job_id, 0.01)
    await eventually(lambda: len(here.node.mempool) >= 2)
    await here.bulk.cancel(OFFICER, job.job_id)
    assert set((await here.states(job)).values()) == {"sent"}
    here.node.thaw()
    await here.node.until(lambda: len(here.issued()) == 2)
    await here.bulk.sweep()
    assert set((await here.states(job)).values()) == {"issued"}


async def test_a_row_that_was_never_sent_before_its_job_ended_is_not_said_to_be_under_way_for_ever(
    here: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.give_agent()

    async def never(*_: object, **__: object) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setattr(here.bulk._working._submission, "submit", never)
    job = await here.up(lines(row(1)), wait_s=0)
    while not (await here.bulk.counts(job.job_id)).get(RowState.SENT):
        await here.bulk.wait(job.job_id, 0.01)
    await here.bulk.cancel(OFFICER, job.job_id)
    monkeypatch.undo()
    assert await here.states(job) == {1: "sent"}
    here.node.now_ms += here.node.chain.genesis.limits.transaction_lifetime_ms_max + 60_000
    await here.give_agent()
    await here.bulk.sweep()
    assert await here.states(job) == {1: "refused"}
    assert await here.codes(job) == {1: ["expired"]}


async def test_a_fault_inside_the_node_ends_the_job_with_words_and_not_in_silence(
    here: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.give_agent()

    def broken(*_: object) -> object:
        raise OverflowError("int too big")

    monkeypatch.setattr(reading, "check_row", broken)
    job = await here.up(lines(row(1)))
    assert job.state is JobState.FAILED
    assert job.fault is not None
    assert job.fault.code == "internal_error"


async def test_a_disk_that_is_full_for_a_while_delays_a_job_and_does_not_fail_it(
    here: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "RETRY_FIRST_S", 0.001)
    await here.give_agent()
    store = here.bulk._store
    put, tries = store.put_rows, 0

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def put_rows(job: bytes, rows: Sequence[JobRow]) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            await store._run(full)
        await put(job, rows)

    monkeypatch.setattr(store, "put_rows", put_rows)
    job = await here.up(lines(row(1)))
    assert job.state is JobState.DONE, job.fault
    assert tries == 4


async def test_a_job_cancelled_while_its_table_is_read_ends_at_once_and_closes_the_table(
    here: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.give_agent()
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    inside, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def batches(*_: object) -> Iterator[list[object]]:
        try:
            inside.set()
            assert go_on.wait(10)
            yield []
        finally:
            closed.set()

    monkeypatch.setattr(here.bulk._reading, "_batches", batches)
    job = await here.up(lines(row(1)), wait_s=0)
    await asyncio.to_thread(inside.wait, 10)
    cancelled = await here.bulk.cancel(OFFICER, job.job_id)
    assert cancelled.state is JobState.CANCELLED
    assert not closed.is_set()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 10)
    assert unhandled == []


async def test_a_broken_disk_stops_no_sweep_and_strange_files_are_left_alone(
    here: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs beside the node stops it when it raises."""
    (tmp_path / "deposits" / "notes.upload").write_bytes(b"")
    await here.bulk.sweep()
    assert (tmp_path / "deposits" / "notes.upload").exists()
    (tmp_path / "deposits" / f"{'0' * 32}.upload").mkdir()
    tried = asyncio.Event()
    sleep = asyncio.sleep

    async def slept(delay_s: float) -> None:
        tried.set()
        await sleep(delay_s)

    monkeypatch.setattr(asyncio, "sleep", slept)
    running = asyncio.ensure_future(here.bulk.run())
    await tried.wait()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("holder", "state", "code"),
    [
        (LI.account.hex(), "issued", ""),
        ("", "invalid", "holder_lookup"),
        (BANK.account.hex(), "invalid", "value"),
        ("ab" * 16, "invalid", "refused"),
        ("110105194912310021", "invalid", "holder"),
    ],
)
async def test_whose_a_row_is_must_be_said_by_a_persons_account(
    here: Depot, holder: str, state: str, code: str
) -> None:
    """A node that signs as agent looks nobody up by number; the report says so, and what to do."""
    await here.give_agent()
    said = row(1)
    said["@holder"] = holder
    job = await here.up(lines(said))
    assert await here.states(job) == {1: state}
    assert await here.codes(job) == ({1: [code]} if code else {})
    assert len(here.issued()) == (not code)


@pytest.mark.parametrize("state", ["sealed", "sent"])
async def test_a_row_that_was_sealed_long_ago_is_sealed_anew_before_it_goes_up(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ciphertext was a draft that nobody keeps any more: the certificate was on the ledger, and its data nowhere."""
    async with depot(tmp_path) as before:
        await before.give_agent()
        before.node.frozen = True
        job = await before.up(lines(row(1)), wait_s=0)
        while not (await before.bulk.counts(job.job_id)).get(RowState.SENT):
            await before.bulk.wait(job.job_id, 0.01)
        (drafted,) = await before.bulk.rows(job.job_id, after=0, limit=1, problems_only=False)
        if state == "sealed":
            await before.bulk._store.drafted(job.job_id, [replace(drafted, state=RowState.READY, signed=b"")])
        late_ms = before.node.now_ms + limits.SEALED_FOR_MS + 1
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    (tmp_path / "pool.log").unlink()
    monkeypatch.setattr(Node, "clock_ms", lambda node: max(node.now_ms, late_ms))
    async with depot(tmp_path, populated=False) as after:
        after.node.now_ms = late_ms
        ended = await after.bulk.wait(job.job_id, 60)
        assert await after.states(ended) == {1: "issued"}
        certificate = after.node.chain.records.certificate(drafted.certificate_id)
        assert certificate is not None
        assert after.node.blobs.has(certificate.payload_hash)


async def test_a_signature_for_a_row_that_was_sealed_long_ago_is_not_taken(here: Depot) -> None:
    options = agent_options("", signed_by=SignedBy.OFFICER, rows_total=1)
    job, _ = await here.bulk.begin(OFFICER, "own", options, size_bytes=0, seed=bytes(32))
    first = await here.bulk.officer_rows.draft(OFFICER, job.job_id, 1, card())
    again = await here.bulk.officer_rows.draft(OFFICER, job.job_id, 1, card())
    assert first.draft is not None
    assert again.draft == first.draft
    here.node.now_ms += limits.SEALED_FOR_MS + 1
    args = CertificatesIssue(
        certificate_id=first.certificate_id,
        certificate_type=CARD,
        type_version=first.draft.type_version,
        holder=LI.account,
        commitment_root=first.draft.commitment_root,
        payload_hash=first.draft.payload_hash,
        fields=first.draft.fields,
        attachments=first.draft.attachments,
        valid_from_ms=here.node.now_ms,
        valid_until_ms=0,
        supersedes=b"",
    )
    with pytest.raises(DraftExpired):
        await here.bulk.officer_rows.take_signed(OFFICER, job.job_id, [(1, here.node.sign(DEPARTMENT, args))])
    anew = await here.bulk.officer_rows.draft(OFFICER, job.job_id, 1, card())
    assert anew.draft is not None
    assert anew.draft.payload_hash != first.draft.payload_hash
    assert anew.draft.commitment_root == first.draft.commitment_root
