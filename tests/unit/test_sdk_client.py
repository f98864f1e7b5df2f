"""The two clients against a small ledger with real signatures, blocks and receipts, and faults on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.calls import GrantsRevoke
from contracts.records import Output, OutputFormat
from ledger.errors import DecodeError, LimitExceeded
from tests.unit.ledger_world import World, fixed
from tests.unit.sdk_ledger import KEY, OPERATOR, Ledger, in_thread, serving
from zhenglian import (
    ApiError,
    AsyncClient,
    Attachment,
    Client,
    Denied,
    Mismatch,
    NodeUnknown,
    NotReachable,
    Progress,
    RetryPolicy,
    given_items,
)
from zhenglian.api import ATTACHMENT_SIZE_BYTES_MAX, LEAK_SIZE_BYTES_MAX, GrantItemView

REVOKE = GrantsRevoke(grant_id=fixed("grant", size=16))
QUICK = RetryPolicy(attempts_max=4, pause_s=0.0, pause_s_max=0.0, timeout_s=5.0)
OUTPUT = Output(
    certificate=fixed("certificate", size=16), format=OutputFormat.CSV, fields=("name",), attachment=""
)
AWAY = "http://127.0.0.1:9"


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def url(ledger: Ledger) -> AsyncIterator[str]:
    async with serving(ledger) as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url, KEY, policy=QUICK) as made:
        yield made


async def test_both_clients_do_the_same(url: str, client: AsyncClient) -> None:
    def work() -> tuple[str, int | None, list[str]]:
        with Client(url, KEY, policy=QUICK) as blocking:
            view = blocking.submit(REVOKE)
            return view.status, view.height, [org.name for org in blocking.organizations()]

    status, height, names = await in_thread(work)
    view = await client.submit(REVOKE)
    assert (status, height) == ("finalized", 1)
    assert (view.status, view.height) == ("finalized", 2)
    assert names == [org.name for org in await client.organizations()] == ["部门 0", "部门 1", "部门 2"]


async def test_a_denial_is_an_exception_with_the_ledgers_code(ledger: Ledger, client: AsyncClient) -> None:
    ledger.refuse["grants.revoke"] = "over_ask"
    with pytest.raises(Denied) as caught:
        await client.submit(REVOKE)
    assert (caught.value.code, caught.value.fields) == ("over_ask", {"cap": "fields"})
    assert (caught.value.message("zh"), caught.value.message("en")) == ("超出上限", "over the cap")
    assert caught.value.transaction.height == 1


async def test_a_lost_answer_never_submits_twice(ledger: Ledger, url: str, client: AsyncClient) -> None:
    ledger.lose_answer["POST /v1/transactions"] = 2
    view = await client.submit(REVOKE)
    assert view.status == "finalized"
    assert ledger.seen["POST /v1/transactions"] == 3
    assert len(ledger.accepted) == 1


async def test_it_goes_on_at_another_node(ledger: Ledger, url: str) -> None:
    async with AsyncClient([AWAY, url], KEY, policy=QUICK) as client:
        assert (await client.submit(REVOKE)).status == "finalized"


async def test_a_pending_transaction_is_looked_at_until_it_is_final(
    ledger: Ledger, client: AsyncClient
) -> None:
    ledger.pending_looks = 2
    view = await client.submit(REVOKE)
    assert view.status == "finalized"
    # The id says that it is final; what came of it is told to whoever has the bytes, which are the same.
    assert view.result is not None
    assert ledger.seen["POST /v1/transactions"] == 2
    assert len(ledger.accepted) == 1


async def test_without_waiting_it_is_returned_as_pending(ledger: Ledger, client: AsyncClient) -> None:
    ledger.pending_looks = 5
    assert (await client.submit(REVOKE, wait_s=0)).status == "pending"


async def test_two_equal_calls_are_two_transactions(ledger: Ledger, client: AsyncClient) -> None:
    first, second = await client.submit(REVOKE), await client.submit(REVOKE)
    assert first.transaction_id != second.transaction_id


async def test_the_receipt_of_a_transaction_holds_offline(url: str, client: AsyncClient) -> None:
    from zhenglian import verify

    view = await client.submit(REVOKE)
    verified = verify(await client.receipt(view.transaction_id), await client.trust())
    assert verified.transaction_id.hex() == view.transaction_id


async def test_issuing_deposits_checks_and_signs(ledger: Ledger, client: AsyncClient) -> None:
    issued = await client.issue_certificate(
        certificate_type="business_license",
        holder=fixed("person", size=16).hex(),
        fields={"name": "张三", "rows": [{"place": "北京", "count": 2}]},
        attachments=[Attachment(name="scan", media_type="image/png", content=b"\x89PNG")],
    )
    assert [method for method, _ in ledger.accepted] == ["certificates.issue"]
    assert issued.draft.certificate_id == issued.certificate_id


async def test_data_that_the_node_changed_is_never_signed(ledger: Ledger, client: AsyncClient) -> None:
    ledger.false_root = True
    with pytest.raises(Mismatch):
        await client.issue_certificate(certificate_type="x", holder="00" * 16, fields={"name": "张三"})
    assert ledger.accepted == []


async def test_too_large_an_attachment_is_refused_before_it_is_sent(
    ledger: Ledger, client: AsyncClient
) -> None:
    big = Attachment(name="scan", media_type="image/png", content=bytes(ATTACHMENT_SIZE_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        await client.issue_certificate(certificate_type="x", holder="00" * 16, fields={}, attachments=[big])
    assert not ledger.seen


async def test_a_release_is_downloaded_checked_and_acknowledged(
    ledger: Ledger, client: AsyncClient, tmp_path: Path
) -> None:
    steps: list[Progress] = []
    got = await client.retrieve("00" * 16, [OUTPUT], tmp_path, report=steps.append)
    assert [path.read_bytes() for path in got.files] == [f"rows of {got.release.release_id}".encode()]
    assert got.release.state == "delivered"
    assert [method for method, _ in ledger.accepted] == [
        "releases.request",
        "releases.prepare",
        "releases.acknowledge",
    ]
    assert steps[0].stage == "request"
    assert steps[0].subject == got.release.release_id, "the id is known before anything is sent"


async def test_a_lost_answer_to_a_release_costs_no_second_use(
    ledger: Ledger, client: AsyncClient, tmp_path: Path
) -> None:
    ledger.lose_answer["POST /v1/releases"] = 1
    await client.retrieve("00" * 16, [OUTPUT], tmp_path)
    assert [method for method, _ in ledger.accepted].count("releases.request") == 1


async def test_a_release_can_be_gone_on_with_by_its_id(
    ledger: Ledger, client: AsyncClient, tmp_path: Path
) -> None:
    first = await client.request_release("00" * 16, [OUTPUT])
    one = await client.retrieve_again(first.release_id, tmp_path / "one")
    two = await client.retrieve_again(first.release_id, tmp_path / "two")
    assert one.files[0].read_bytes() == two.files[0].read_bytes()
    assert two.acknowledged is None
    assert [method for method, _ in ledger.accepted].count("releases.request") == 1


async def test_a_file_that_is_not_the_recorded_one_is_not_kept(
    ledger: Ledger, client: AsyncClient, tmp_path: Path
) -> None:
    first = await client.request_release("00" * 16, [OUTPUT])
    ledger.files[first.release_id] = b"something else"
    with pytest.raises(Mismatch):
        await client.download(first.release_id, tmp_path)
    assert _kept(tmp_path) == []


async def test_the_recorded_hash_comes_from_a_receipt_under_the_clients_trust(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    other = World(n=7).trust
    async with AsyncClient(url, KEY, policy=QUICK, trust=other) as client:
        first = await client.request_release("00" * 16, [OUTPUT])
        with pytest.raises(Exception, match="verification_failed"):
            await client.download(first.release_id, tmp_path)
    assert _kept(tmp_path) == []


async def test_a_release_denied_on_the_ledger_is_told_from_a_nodes_refusal(
    ledger: Ledger, client: AsyncClient, tmp_path: Path
) -> None:
    ledger.refuse["releases.request"] = "grant_revoked"
    with pytest.raises(Denied) as caught:
        await client.retrieve("00" * 16, [OUTPUT], tmp_path)
    assert caught.value.code == "grant_revoked"
    assert caught.value.transaction.height == 1


async def test_a_release_names_the_operator_of_the_node_that_is_asked(
    ledger: Ledger, client: AsyncClient
) -> None:
    view = await client.request_release("00" * 16, [OUTPUT])
    assert view.released_by == OPERATOR.hex()
    assert ledger.releases[view.release_id]["args"].released_by == OPERATOR


async def test_a_fault_inside_the_node_is_reported_and_not_waited_out(
    ledger: Ledger, client: AsyncClient, tmp_path: Path
) -> None:
    ledger.answer["POST /v1/releases"] = [(500, {})]
    with pytest.raises(ApiError):
        await client.retrieve("00" * 16, [OUTPUT], tmp_path)
    assert ledger.seen["POST /v1/releases"] == 1


async def test_a_full_queue_is_waited_for(ledger: Ledger, client: AsyncClient, tmp_path: Path) -> None:
    ledger.answer["POST /v1/releases"] = [(503, {"Retry-After": "0"}), (429, {"Retry-After": "0"})]
    got = await client.retrieve("00" * 16, [OUTPUT], tmp_path)
    assert got.release.state == "delivered"


async def test_an_operator_whose_node_is_not_among_them_is_said_so_at_once(
    ledger: Ledger, client: AsyncClient
) -> None:
    with pytest.raises(NodeUnknown):
        await client.request_release("00" * 16, [OUTPUT], node="ab" * 16)
    assert ledger.accepted == []


async def test_a_trace_reports_its_progress(ledger: Ledger, client: AsyncClient) -> None:
    steps: list[Progress] = []
    view = await client.trace(b"leak", ["00" * 16], report=steps.append)
    assert view.verdict == "none"
    assert [step.stage for step in steps] == ["upload", "upload", "approval", "compare"]
    assert steps[-1].done == 1.0


async def test_too_large_a_leak_is_refused_before_anything_is_signed(
    ledger: Ledger, client: AsyncClient
) -> None:
    with pytest.raises(LimitExceeded):
        await client.trace(bytes(LEAK_SIZE_BYTES_MAX + 1), ["00" * 16])
    assert not ledger.seen


async def test_nodes_are_asked_for_a_leaks_record_until_one_knows_something() -> None:
    unknowing, knowing, unasked = Ledger(), Ledger(), Ledger()
    knowing.candidates = [("ab" * 16, "file_hash")]
    path = "POST /v1/traces/candidates"
    async with serving(unknowing) as one, serving(knowing) as two, serving(unasked) as three:
        async with AsyncClient([AWAY, one, two, three], KEY, policy=QUICK) as client:
            steps: list[Progress] = []
            view = await client.find_trace(b"leak", report=steps.append)
        assert [one.certificate for one in view.candidates] == ["ab" * 16]
        assert [ledger.seen[path] for ledger in (unknowing, knowing, unasked)] == [1, 1, 0]
        assert steps[-1].done == steps[-1].total == 4
        async with AsyncClient([one], KEY, policy=QUICK) as client:
            assert (await client.find_trace(b"leak")).candidates == []
            with pytest.raises(LimitExceeded):
                await client.find_trace(bytes(LEAK_SIZE_BYTES_MAX + 1))
        assert unknowing.seen[path] == 2
    async with AsyncClient([AWAY], KEY, policy=QUICK) as client:
        with pytest.raises(NotReachable):
            await client.find_trace(b"leak")


async def test_a_stream_goes_on_where_it_broke_off(ledger: Ledger, url: str, client: AsyncClient) -> None:
    for _ in range(5):
        await client.submit(REVOKE)
    heights: list[int] = []
    stream = client.stream_blocks()
    async for block in stream:
        heights.append(block.height)
        if len(heights) == 5:
            break
    await _close(stream)
    assert heights == [1, 2, 3, 4, 5]
    assert ledger.seen["GET /v1/blocks/stream"] == 3

    def work() -> list[int]:
        with Client(url, policy=QUICK) as blocking:
            found: list[int] = []
            for block in blocking.stream_blocks(after=1):
                found.append(block.height)
                if len(found) == 4:
                    return found
            return found

    assert await in_thread(work) == [2, 3, 4, 5]


def _kept(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def _close(stream: Any) -> None:
    await stream.aclose()


@pytest.mark.parametrize("address", ["ftp://x", "127.0.0.1:80", "http://", "http://x/?a=b"])
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    with pytest.raises(DecodeError):
        Client(address)


def test_what_is_declined_falls_away_and_empty_items_with_it() -> None:
    views = [
        GrantItemView(
            certificate_type="a", certificate=None, fields=["x", "y"], attachments=["z"], declined=[]
        ),
        GrantItemView(certificate_type="b", certificate="ab" * 16, fields=["x"], attachments=[], declined=[]),
    ]
    left = given_items(views, without=["x", "z"])
    assert [(item.certificate_type, item.fields, item.attachments) for item in left] == [("a", ("y",), ())]
