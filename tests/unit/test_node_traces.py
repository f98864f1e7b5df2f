"""From a leaked file to the release it came from: the right one, on record, and nobody told before."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from contracts.admission import TransactionSignatureInvalid
from contracts.calls import Args, GrantsPause, TracesApprove, TracesConclude, TracesRequest
from contracts.grant_calls import GrantsOpenOwn
from contracts.records import UNMARKED, Output, OutputFormat, Trace, TraceVerdict
from contracts.shared_key_records import KeyPurpose
from ledger import codec, domains
from ledger.errors import DecodeError, InvariantViolation, Unavailable
from ledger.hashing import transaction_id
from ledger.types import RESULT_OK, Call, Transaction
from node.holders.errors import KeyRefused
from node.holders.ports import BareShares, ShareAnswer, ShareAsk, ShareRefusal
from node.holders.server import decode_answer
from node.services import trace_reports, traces
from node.services.jobs import Jobs
from node.services.ports import AttachmentInput, Denied, DepositInput, MatchFacts, TraceReport
from node.services.releases import NotPerformedHere, WrongCall
from node.services.rendering import render_fields
from node.services.traces import FileMismatch
from node.vault.keys import Authority, AuthorityKind
from node.vault.mark_seeds import RELEASE_MARKS, TRACE_MARKS, MarksAsk, copies_of
from tests.unit.contracts_world import AUDITOR, BANK, LI, OPERATORS, SUITE, identity
from tests.unit.node_replica import CARD, GRANTEES, spec_of
from tests.unit.node_world import Node, card, eventually, running
from zhenglian_demo.certificates import make_certificate, suits
from zhenglian_demo.leaks import half_sorted, rasterize
from zhenglian_demo.people import make_people

CARD_ID, LONELY_ID = identity("card"), identity("lonely")
FORMATS = (OutputFormat.JSON, OutputFormat.CSV, OutputFormat.PDF)


@dataclass(frozen=True)
class Story:
    """A node's folder in which three organisations have downloaded one card as JSON, CSV and PDF each.

    `files[who][what]` are the copies; `releases[who]` the release ids; `content` is what was deposited.
    """

    folder: Path
    files: tuple[tuple[bytes, ...], ...]
    releases: tuple[bytes, ...]
    outputs: tuple[Output, ...]
    content: DepositInput


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return asyncio.run(_tell(tmp_path_factory.mktemp("story")))


async def _tell(folder: Path) -> Story:
    content = _content()
    plain = tuple(name for name, value in content.fields.items() if not isinstance(value, list))
    wanted = {
        OutputFormat.JSON: (plain, ""),
        OutputFormat.CSV: (("payments",), ""),
        OutputFormat.PDF: ((), "document"),
    }
    outputs = tuple(
        Output(certificate=CARD_ID, format=kind, fields=wanted[kind][0], attachment=wanted[kind][1])
        for kind in FORMATS
    )
    async with running(folder, populated=True) as node:
        draft = await node.deposit(content)
        await node.deposit(card("lonely"))
        files, releases = [], []
        for who in GRANTEES:
            request = node.request_of(who, await node.grant(who, draft), *outputs)
            release = await node.releases.request(request, wait_s=60)
            assert release.files, release.failure
            releases.append(release.release_id)
            files.append(
                tuple([(await node.releases.file(release.release_id, n)).data for n in range(len(outputs))])
            )
    return Story(folder, tuple(files), tuple(releases), outputs, content)


def _content() -> DepositInput:
    spec = spec_of(CARD)
    person = next(person for person in make_people(7, 20) if suits(spec, person))
    made = make_certificate(spec, person, Random(7))
    return DepositInput(
        certificate_id=CARD_ID,
        certificate_type=CARD,
        holder=LI.account,
        fields=dict(made.fields),
        salt_seed=identity("seed", 32),
        attachments=tuple(
            AttachmentInput(name=name, media_type=media_type, data=data)
            for name, media_type, data in made.attachments
            if name == "document"
        ),
    )


@pytest.fixture
async def here(story: Story, tmp_path: Path) -> AsyncIterator[Node]:
    async with running(copied(story, tmp_path)) as node:
        yield node


def copied(story: Story, folder: Path) -> Path:
    return Path(shutil.copytree(story.folder, folder / "node"))


def request_of(
    node: Node, leak: bytes, *certificates: bytes, performed_by: bytes = OPERATORS[0].account
) -> Transaction:
    args = TracesRequest(
        file_hash=SUITE.digest(leak),
        reason="leak",
        certificates=certificates or (CARD_ID,),
        performed_by=performed_by,
    )
    return node.sign(AUDITOR, args)


def record(node: Node, trace_id: bytes) -> Trace:
    trace = node.chain.records.trace(trace_id)
    assert trace is not None
    return trace


async def approve(node: Node, trace_id: bytes) -> None:
    """As an operator does that does not perform it."""
    status = await node.submission.submit(
        node.sign(OPERATORS[2], TracesApprove(trace_id=trace_id)), wait_s=30
    )
    assert status.result is not None
    assert status.result.code == RESULT_OK


async def asked(node: Node, leak: bytes, *certificates: bytes) -> Trace:
    """A trace that is approved."""
    trace = await node.traces.request(request_of(node, leak, *certificates), leak)
    await approve(node, trace.trace_id)
    return trace


async def concluded(node: Node, trace_id: bytes) -> Trace:
    await node.until(lambda: record(node, trace_id).verdict is not TraceVerdict.OPEN)
    return record(node, trace_id)


async def traced(node: Node, leak: bytes, *certificates: bytes) -> Trace:
    """Ask, wait, and check what holds for every trace; the concluded record."""
    trace = await asked(node, leak, *certificates)
    done = await concluded(node, trace.trace_id)
    await eventually(lambda: not node.traces._jobs)
    report = node.traces.report(done.trace_id)
    assert report.progress == 1.0
    assert {match.release_id for match in report.matches} >= set(done.releases)
    (kept,) = [name for name in node.spool.names() if name.startswith(f"report-{done.trace_id.hex()}")]
    data = node.spool.get(kept)
    assert data is not None
    assert SUITE.digest(data) == done.report_hash
    assert msgspec.json.decode(data, type=TraceReport) == report
    assert not [name for name in node.spool.names() if name.startswith("leak-")]
    return done


# --- verdicts ---


@pytest.mark.parametrize(
    ("what", "who"),
    [
        *((OutputFormat.JSON, who) for who in range(3)),
        *((OutputFormat.CSV, who) for who in range(3)),
        (OutputFormat.PDF, 1),
    ],
)
async def test_a_leaked_copy_is_traced_to_the_one_who_downloaded_it(
    here: Node, story: Story, what: OutputFormat, who: int
) -> None:
    leak = story.files[who][FORMATS.index(what)]
    match what:
        case OutputFormat.JSON:
            leak = json.dumps(json.loads(leak), separators=(",", ":")).encode()
        case OutputFormat.CSV:
            leak = half_sorted(leak, seed=who)
        case _:
            leak = rasterize(leak)
    done = await traced(here, leak)
    assert (done.verdict, done.releases) == (TraceVerdict.ACCUSED, (story.releases[who],))
    report = here.traces.report(done.trace_id)
    assert (report.candidates, report.unnamed) == (9, ())
    assert report.matches[0].log10_np <= -9
    assert (report.matches[0].certificate, report.matches[0].output) == (CARD_ID, FORMATS.index(what))


@pytest.mark.parametrize("what", FORMATS)
async def test_a_copy_that_was_never_marked_accuses_nobody(
    here: Node, story: Story, what: OutputFormat
) -> None:
    output = story.outputs[FORMATS.index(what)]
    if output.attachment:
        leak = rasterize(story.content.attachments[0].data)
    else:
        values = {name: story.content.fields[name] for name in output.fields}
        leak = render_fields(spec_of(CARD), CARD_ID, output, values).data
    done = await traced(here, leak)
    assert done.verdict in {TraceVerdict.NONE, TraceVerdict.UNTRACEABLE}
    assert done.releases == ()


async def test_rubbish_accuses_nobody_and_the_report_says_why_and_who_had_a_copy(
    here: Node, story: Story
) -> None:
    for leak in (b"", b"\0" * 1000, b"%PDF-1.7 rubbish", b"{" * 10_000):
        done = await traced(here, leak)
        assert done.verdict in {TraceVerdict.NONE, TraceVerdict.UNTRACEABLE}
        assert done.releases == ()
        report = here.traces.report(done.trace_id)
        assert report.notes
        assert done.verdict is TraceVerdict.NONE or set(report.unnamed) == set(story.releases)


async def test_a_certificate_that_was_never_handed_out_accuses_nobody(here: Node, story: Story) -> None:
    done = await traced(here, story.files[0][0], LONELY_ID)
    assert (done.verdict, done.releases) == (TraceVerdict.UNTRACEABLE, ())
    report = here.traces.report(done.trace_id)
    assert report.candidates == 0
    assert report.notes == ("no release of these certificates was ever prepared",)
    assert report.unnamed == ()


async def test_other_certificates_in_the_question_do_not_change_the_answer(here: Node, story: Story) -> None:
    done = await traced(here, story.files[2][0], LONELY_ID, CARD_ID)
    assert (done.verdict, done.releases) == (TraceVerdict.ACCUSED, (story.releases[2],))


def match_of(release: bytes, log10_np: float) -> MatchFacts:
    return MatchFacts(
        release_id=release, certificate=CARD_ID, output=0, log10_np=log10_np, channels=("pixels",)
    )


def test_beside_the_accused_no_mere_suspect_is_named_and_nobody_twice() -> None:
    found = (match_of(b"a" * 8, -40.0), match_of(b"a" * 8, -9.0), match_of(b"b" * 8, -8.9))
    report = TraceReport(progress=1.0, matches=found, candidates=9, phantom_best_log10_np=-1.0, notes=())
    assert trace_reports.named(TraceVerdict.ACCUSED, report) == (b"a" * 8,)
    assert trace_reports.named(TraceVerdict.INVESTIGATE, report) == (b"a" * 8, b"b" * 8)
    assert trace_reports.named(TraceVerdict.NONE, report) == ()
    assert trace_reports.named(TraceVerdict.UNTRACEABLE, report) == ()
    many = tuple(match_of(n.to_bytes(8, "big"), -20.0) for n in range(99))
    crowd = TraceReport(progress=1.0, matches=many, candidates=99, phantom_best_log10_np=None, notes=())
    assert len(trace_reports.named(TraceVerdict.ACCUSED, crowd)) == 64


async def test_releases_of_unmarked_originals_are_said_to_be_beyond_any_mark(
    here: Node, story: Story
) -> None:
    own = here.sign(LI, GrantsOpenOwn(certificates=(CARD_ID,)))
    status = await here.submission.submit(own, wait_s=30)
    assert status.result is not None
    grant = codec.decode(status.result.output, bytes, size_bytes_max=20)
    original = Output(certificate=CARD_ID, format=OutputFormat.ORIGINAL, fields=(), attachment="document")
    release = await here.releases.request(here.request_of(LI, grant, original), wait_s=60)
    (deposited,) = story.content.attachments
    assert (await here.releases.file(release.release_id, 0)).data == deposited.data
    assert release.files[0].mark_commitment == UNMARKED
    done = await traced(here, deposited.data)
    assert done.verdict in {TraceVerdict.NONE, TraceVerdict.UNTRACEABLE}
    report = here.traces.report(done.trace_id)
    assert report.candidates == 9
    assert any(release.release_id.hex() in note for note in report.notes)


# --- the request ---


async def test_the_file_must_be_the_one_that_the_officer_signed_for(here: Node, story: Story) -> None:
    leak = story.files[0][0]
    with pytest.raises(FileMismatch):
        await here.traces.request(request_of(here, leak), leak + b" ")
    with pytest.raises(NotPerformedHere):
        await here.traces.request(request_of(here, leak, performed_by=OPERATORS[1].account), leak)
    with pytest.raises(WrongCall):
        await here.traces.request(here.sign(LI, GrantsPause(grant_id=bytes(16))), leak)
    call = Call(contract="traces", method="request", args=b"\x90")
    with pytest.raises(DecodeError):
        await here.traces.request(here.sign(AUDITOR, call), leak)
    assert len(here.mempool) == 0
    assert not [name for name in here.spool.names() if name.startswith("leak-")]


async def test_what_is_refused_leaves_no_leak_behind(here: Node, story: Story) -> None:
    leak = story.files[0][0]
    with pytest.raises(Denied) as caught:
        await here.traces.request(request_of(here, leak, bytes(16)), leak)
    assert caught.value.result.code == "unknown_certificate"
    args = TracesRequest(
        file_hash=SUITE.digest(leak),
        reason="leak",
        certificates=(CARD_ID,),
        performed_by=OPERATORS[0].account,
    )
    with pytest.raises(Denied):
        await here.traces.request(here.sign(BANK, args), leak)
    signed = request_of(here, leak)
    forged = Transaction(body=signed.body, signature=b"\1" * 64)
    with pytest.raises(TransactionSignatureInvalid):
        await here.traces.request(forged, leak)
    late = here.sign(AUDITOR, args, lifetime_ms=500)
    with pytest.raises(Unavailable, match="expired"):
        await here.traces.request(late, leak)
    assert not [name for name in here.spool.names() if name.startswith("leak-")]


async def test_asking_again_is_the_same_trace(here: Node, story: Story) -> None:
    leak = story.files[1][0]
    request = request_of(here, leak)
    first, second = await asyncio.gather(*(here.traces.request(request, leak) for _ in range(2)))
    assert first.trace_id == second.trace_id
    await approve(here, first.trace_id)
    done = await concluded(here, first.trace_id)
    await eventually(lambda: not here.traces._jobs)
    assert await here.traces.request(request, leak) == done
    assert not [name for name in here.spool.names() if name.startswith("leak-")]


async def test_nobody_is_told_before_the_verdict_is_on_the_ledger(here: Node, story: Story) -> None:
    leak = story.files[1][0]

    def freeze(_final: object) -> None:
        here.frozen = here.frozen or any(
            event.kind == "traces.approved"
            for result in here.finalized[-1].executed.results
            for event in result.events
        )

    here.services.append(freeze)
    trace = await asked(here, leak)
    await eventually(lambda: len(here.mempool) == 1)
    assert [name for name in here.spool.names() if name.startswith("report-")]
    report = here.traces.report(trace.trace_id)
    assert (report.matches, report.notes, report.candidates) == ((), (), 0)
    assert report.progress < 1.0
    here.thaw()
    await concluded(here, trace.trace_id)
    assert here.traces.report(trace.trace_id).matches


async def test_of_another_nodes_trace_nothing_is_known_here(here: Node, story: Story) -> None:
    elsewhere = request_of(here, story.files[0][0], performed_by=OPERATORS[1].account)
    await here.submission.submit(elsewhere, wait_s=30)
    trace_id = SUITE.hash(domains.TRACE_ID, transaction_id(SUITE, elsewhere.body))[:16]
    assert record(here, trace_id).performed_by == OPERATORS[1].account
    assert here.traces.report(trace_id).progress == 0.0
    assert len(here.traces._jobs) == 0
    assert here.traces.report(bytes(16)).candidates == 0


async def test_nothing_is_opened_before_another_organisation_has_approved(
    here: Node, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = story.files[1][0]
    trace = await here.traces.request(request_of(here, leak), leak)
    here.traces.resume()
    assert not here.traces._jobs
    authority = Authority(kind=AuthorityKind.TRACE, record_id=trace.trace_id)
    card_record = here.chain.records.certificate(CARD_ID)
    assert card_record is not None
    with pytest.raises(KeyRefused, match="trace_not_approved"):
        await here.renderer.unlock(authority, (card_record,), (story.outputs[0],), (story.releases[0],))
    release = here.chain.records.release(story.releases[0])
    assert release is not None
    with pytest.raises(KeyRefused, match="trace_not_approved"):
        await here.seeds.of_trace(trace.trace_id, copies_of(release))
    here.traces.sweep()
    assert [name for name in here.spool.names() if name.startswith("leak-")]
    monkeypatch.setattr(traces, "TRACE_LIFE_MS", 0)
    here.traces.sweep()
    assert not [name for name in here.spool.names() if name.startswith("leak-")]


async def test_a_leak_whose_request_never_came_on_the_ledger_goes_when_it_can_come_no_more(
    here: Node, story: Story, tmp_path: Path
) -> None:
    here.spool.put("leak-" + "00" * 16, story.files[0][0])
    here.spool.put("leak-of nothing", b"not ours")
    path = tmp_path / "node" / "spool" / ("leak-" + "00" * 16)
    now_s = here.clock_ms() / 1000
    os.utime(path, (now_s, now_s))
    here.traces.sweep()
    kept = {"leak-" + "00" * 16, "leak-of nothing"}
    assert kept <= set(here.spool.names())
    put_s = now_s - 2 * here.chain.genesis.limits.transaction_lifetime_ms_max / 1000
    os.utime(path, (put_s, put_s))
    here.traces.resume()
    assert "leak-" + "00" * 16 not in here.spool.names()
    assert "leak-of nothing" in here.spool.names()


# --- seeds ---


async def test_a_mark_made_with_another_seed_is_named_and_never_judged(
    here: Node, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = here.seeds._committed
    other = story.releases[1]
    monkeypatch.setattr(
        here.seeds, "_committed", lambda copy, seed: copy.release_id != other and true(copy, seed)
    )
    done = await traced(here, story.files[1][0])
    assert done.releases == ()
    notes = here.traces.report(done.trace_id).notes
    assert any(other.hex() in note for note in notes)


async def test_a_holder_that_lies_about_seeds_is_found_out_and_named(here: Node, story: Story) -> None:
    liar = here.operators.holders[1].account

    def forge(peer: bytes, _payload: bytes, answer: bytes) -> bytes:
        given = decode_answer(answer)
        if peer == liar and isinstance(given, BareShares):
            return codec.encode(BareShares(elements=tuple(reversed(given.elements))))
        if peer == liar and isinstance(given, ShareAnswer):
            return codec.encode(ShareAnswer(shares=tuple(reversed(given.shares))))
        return answer

    here.operators.between = forge
    done = await traced(here, story.files[2][0])
    assert done.releases == (story.releases[2],)
    assert set(here.operators.accused) == {liar}


async def test_a_seed_is_of_one_release_and_nobody_elses(here: Node, story: Story) -> None:
    first, second = (here.chain.records.release(release_id) for release_id in story.releases[:2])
    assert first is not None
    assert second is not None
    seeds = [seed.value for release in (first, second) for seed in await here.seeds.of_release(release)]
    assert len(set(seeds)) == 2 * len(story.outputs)
    ask = ShareAsk(
        kind=RELEASE_MARKS,
        record_id=first.release_id,
        purpose=KeyPurpose.MARKS,
        version=1,
        renewal=0,
        payload=codec.encode(MarksAsk(height=0, releases=(second.release_id,))),
    )
    server = here.operators.holders[1].server
    for changed, reason in (
        (ask, "release_unrelated"),
        (replace(ask, purpose=KeyPurpose.VAULT), "wrong_key"),
        (replace(ask, record_id=b"nothing"), "unknown_release"),
        (replace(ask, kind=TRACE_MARKS), "unknown_trace"),
    ):
        answer = decode_answer(await server.serve(OPERATORS[0].account, codec.encode(changed)))
        assert answer == ShareRefusal(reason=reason)
    answer = decode_answer(await server.serve(OPERATORS[2].account, codec.encode(ask)))
    assert answer == ShareRefusal(reason="not_entrusted")


# --- interruptions ---


async def test_a_trace_that_was_interrupted_goes_on_after_a_restart(story: Story, tmp_path: Path) -> None:
    folder = copied(story, tmp_path)
    leak = story.files[0][0]
    async with running(folder) as node:
        (folder / "blobs").rename(folder / "away")
        trace = await asked(node, leak)
        assert node.spool.get(f"leak-{trace.trace_id.hex()}") == leak
    (folder / "away").rename(folder / "blobs")
    async with running(folder) as again:
        again.traces.resume()
        done = await concluded(again, trace.trace_id)
        assert done.releases == (story.releases[0],)


async def test_what_cannot_be_reached_now_is_waited_for_and_not_taken_for_untraceable(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(traces, "RETRY_LONGEST_S", 0.001)
    folder = copied(story, tmp_path)
    leak = story.files[0][0]
    async with running(folder) as node:
        (folder / "blobs").rename(folder / "away")
        trace = await asked(node, leak)
        looked: list[None] = []

        def peers() -> tuple[bytes, ...]:
            looked.append(None)
            return ()

        node.exchange._peers = peers
        await eventually(lambda: len(looked) > 2)
        assert record(node, trace.trace_id).verdict is TraceVerdict.OPEN
        (folder / "away").rename(folder / "blobs")
        assert (await concluded(node, trace.trace_id)).verdict is TraceVerdict.ACCUSED


async def test_a_verdict_that_was_lost_on_its_way_is_given_again(
    here: Node, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "RETRY_FIRST_S", 0.001)
    lost: list[Args] = []
    submit = here.account.submit

    async def once(args: Args) -> object:
        if isinstance(args, TracesConclude) and not lost:
            lost.append(args)
            raise Unavailable(what="finality", reason="the node's own transaction is expired")
        return await submit(args)

    monkeypatch.setattr(here.account, "submit", once)
    done = await traced(here, story.files[2][0])
    assert done.releases == (story.releases[2],)
    assert len(lost) == 1


async def test_leaks_of_concluded_traces_are_deleted_at_the_next_start(here: Node, story: Story) -> None:
    done = await traced(here, story.files[0][0])
    here.spool.put(f"leak-{done.trace_id.hex()}", b"left behind")
    here.traces.resume()
    assert not [name for name in here.spool.names() if name.startswith("leak-")]


async def test_a_broken_invariant_in_the_background_reaches_the_event_loop(here: Node) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    broken = InvariantViolation("of ours")

    async def work() -> None:
        raise broken

    jobs = Jobs("trace")
    jobs.start(b"t", work)
    jobs.start(b"t", work)
    await eventually(lambda: not jobs)
    assert told == [broken]
