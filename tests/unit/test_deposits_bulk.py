"""Many rows in one call: every good one on the ledger exactly once, every bad one told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.records import KeyRole
from ledger.errors import Busy, LedgerError, LimitExceeded, NotFound
from node.deposits import limits
from node.deposits.errors import ContentTooLarge, JobConflict, OffsetWrong
from node.deposits.records import JobState, RowState
from node.services.agents import AGENTS_PER_ORGANIZATION_MAX, AgentMissing
from node.services.deposits import NotIssuer
from node.services.ports import Caller
from tests.unit.contracts_world import BANK, DEPARTMENT_ADMIN, LI
from tests.unit.deposits_world import Depot, agent_options, chunks, depot, lines, row
from tests.unit.node_replica import OFFICER
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
    file.write_bytes(b"x" + file.read_bytes()[1:])
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
