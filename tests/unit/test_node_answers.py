"""Answers and counts by real holders of a shared key: only what the question reads is opened, and only yes or no leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.calls import (
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsRequest,
    GrantsRevoke,
    RegisterCertificateTypes,
    RegisterPurposes,
    SetIssuance,
)
from contracts.grant_records import ConsentMode, FetchType, GrantItem, PurposeTemplate, TemplateItem
from contracts.question_calls import CountsContribute, CountsOpen, CountsRequest
from contracts.question_records import Contribution, CountState, PeriodUnit, Question, QuestionKind
from contracts.records import Output, OutputFormat, Release, ReleaseState
from contracts.shared_key_records import KeyPurpose
from ledger import codec, domains
from ledger.hashing import transaction_id
from node.holders.errors import KeyRefused
from node.holders.ports import ShareAsk
from node.services.counts import Counts
from node.services.ports import DepositInput, Draft, FieldValue
from node.vault.keys import Authority, AuthorityKind, PartKind, PartName
from node.vault.opening import decode_open_parts
from tests.unit.contracts_world import (
    BANK,
    DAY_MS,
    DEPARTMENT,
    LI,
    SUITE,
    Actor,
    enrolment,
    identity,
    person,
)
from tests.unit.node_replica import CARD, OFFICER, spec_of, type_of
from tests.unit.node_world import Node, card, running
from zhenglian.api_questions import AnswerFile
from zhenglian.catalogue import CertificateTypeSpec, FieldKind, FieldSpec
from zhenglian.catalogue_questions import CellSpec, PartitionSpec
from zhenglian.plans.questions import read_answer

SPEC = spec_of(CARD)
GROUP_MIN = 10


def asked(name: str, parameter: str) -> Question:
    spec = next(one for one in SPEC.questions if one.name == name)
    return Question(
        certificate_type=CARD,
        name=name,
        kind=spec.kind,
        field=spec.field,
        subject=spec.subject,
        parameter=parameter,
    )


OLDER = asked("older_than", "18")
BASE = asked("contribution_base_at_least", "8000")
VALID = asked("valid_on", "2027-01-20")


@dataclass
class Asked:
    """A node with Li's card on it, about which a bank may ask."""

    node: Node
    draft: Draft
    grant_id: bytes

    def output(self, question: Question) -> Output:
        return Output(
            certificate=self.draft.certificate_id,
            format=OutputFormat.ANSWER,
            fields=(),
            attachment="",
            question=question,
        )

    async def release(self, question: Question) -> Release:
        transaction = self.node.request_of(BANK, self.grant_id, self.output(question))
        release = await self.node.releases.request(transaction, wait_s=30)
        assert release.state is ReleaseState.PREPARED, release.failure
        return release

    async def answer(self, question: Question) -> AnswerFile:
        release = await self.release(question)
        return read_answer((await self.node.releases.file(release.release_id, 0)).data)

    def opened(self) -> set[tuple[PartKind, str]]:
        return opened(self.node)


def opened(node: Node) -> set[tuple[PartKind, str]]:
    """Every part that the other holders were asked to open."""
    found: set[tuple[PartKind, str]] = set()
    for _, payload in node.operators.asked:
        ask = codec.decode(payload[1:], ShareAsk, size_bytes_max=1 << 20)
        if ask.purpose is KeyPurpose.VAULT:
            found |= {(part.kind, part.name) for part in decode_open_parts(ask.payload).parts}
    return found


async def query_grant(
    node: Node,
    holder: Actor,
    questions: tuple[Question, ...],
    fields: tuple[str, ...],
    code: str = CARD,
    purpose: str = "loan",
) -> bytes:
    item = GrantItem(certificate_type=code, certificate=b"", fields=fields, attachments=())
    request = node.sign(
        BANK,
        GrantsRequest(
            pii_principal_id=holder.account,
            purpose=purpose,
            lawful_basis="consent",
            legal_ref="",
            privacy_notice_hash=bytes(32),
            language="zh",
            items=(item,),
            consent_mode=ConsentMode.QUERY,
            fetch_type=FetchType.PERIODIC,
            uses_max=9,
            consent_expiry_ms=node.now_ms + DAY_MS,
            data_life_ms=DAY_MS,
            jurisdiction="cn",
            revocable=True,
            renews=b"",
            questions=questions,
        ),
    )
    status = await node.submission.submit(request, wait_s=30)
    assert status.result is not None
    assert status.result.code == "ok", (status.result.code, status.result.fields)
    grant_id = SUITE.hash(domains.GRANT_ID, transaction_id(SUITE, request.body))[:16]
    await node.send(
        holder,
        GrantsApprove(
            grant_id=grant_id, items=(item,), uses_max=9, consent_expiry_ms=node.now_ms + DAY_MS // 2
        ),
    )
    return grant_id


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Asked]:
    async with running(tmp_path, populated=True) as node:
        draft = await node.deposit(card_with(birth_date="1999-12-31"))
        grant = await query_grant(node, LI, (OLDER, BASE, VALID), ("birth_date", "payments"))
        yield Asked(node, draft, grant)


def card_with(**values: FieldValue) -> DepositInput:
    """Li's card, with other values of some fields."""
    whole = card()
    return replace(whole, fields={**whole.fields, **values})


async def test_only_yes_or_no_leaves(bank: Asked) -> None:
    release = await bank.release(OLDER)
    data = (await bank.node.releases.file(release.release_id, 0)).data
    told = read_answer(data)
    assert told.answer is True
    assert (told.question, told.parameter, told.certificate_id) == (
        "older_than",
        "18",
        bank.draft.certificate_id.hex(),
    )
    assert b"1999" not in data
    assert set(json.loads(data)) == set(AnswerFile.__struct_fields__)


async def test_the_key_of_the_read_field_is_all_that_is_opened(bank: Asked) -> None:
    await bank.release(OLDER)
    assert bank.opened() == {(PartKind.FIELD, "birth_date"), (PartKind.MARK, "mark")}


async def test_a_question_of_the_ledger_alone_opens_no_field(bank: Asked) -> None:
    assert (await bank.answer(VALID)).answer is True
    assert bank.opened() == {(PartKind.MARK, "mark")}


async def test_with_a_question_in_hand_no_field_comes_out_of_the_holders(bank: Asked) -> None:
    """The performing node itself asks for more than the question reads."""
    release = await bank.release(OLDER)
    certificate = bank.node.chain.records.certificate(bank.draft.certificate_id)
    assert certificate is not None
    authority = Authority(kind=AuthorityKind.RELEASE, record_id=release.release_id)
    for name in ("identity_number", "payments"):
        part = PartName(certificate_id=certificate.certificate_id, kind=PartKind.FIELD, name=name)
        with pytest.raises(KeyRefused):
            await bank.node.reader.unlock(authority, (certificate,), (part,))


async def test_a_narrowed_question_is_refused_by_the_holders(bank: Asked) -> None:
    release = await bank.release(OLDER)
    grant = bank.node.chain.records.grant(bank.grant_id)
    certificate = bank.node.chain.records.certificate(bank.draft.certificate_id)
    assert grant is not None
    assert certificate is not None
    await bank.node.send(
        LI,
        GrantsNarrow(
            grant_id=grant.grant_id,
            items=grant.items,
            uses_left=grant.uses_left,
            consent_expiry_ms=grant.consent_expiry_ms,
            questions=(VALID,),
        ),
    )
    authority = Authority(kind=AuthorityKind.RELEASE, record_id=release.release_id)
    part = PartName(certificate_id=certificate.certificate_id, kind=PartKind.FIELD, name="birth_date")
    with pytest.raises(KeyRefused):
        await bank.node.reader.unlock(authority, (certificate,), (part,))


async def test_asking_again_gives_the_recorded_answer(bank: Asked) -> None:
    first = await bank.answer(OLDER)
    bank.node.now_ms += DAY_MS // 4
    second = await bank.answer(OLDER)
    assert (first.answer, first.as_of, first.nonce) == (second.answer, second.as_of, second.nonce)
    assert first.copy_reference != second.copy_reference


async def test_the_same_release_gives_the_same_bytes_when_its_file_is_lost(bank: Asked) -> None:
    release = await bank.release(BASE)
    data = (await bank.node.releases.file(release.release_id, 0)).data
    for name in bank.node.spool.names():
        bank.node.spool.delete(name)
    assert (await bank.node.releases.file(release.release_id, 0)).data == data
    assert read_answer(data).answer is False


async def test_a_value_that_cannot_be_read_fails_the_release_and_gives_the_use_back(tmp_path: Path) -> None:
    async with running(tmp_path, populated=True) as node:
        draft = await node.deposit(card_with(payments=[]))
        grant = await query_grant(node, LI, (BASE,), ("payments",))
        one = Asked(node, draft, grant)
        transaction = node.request_of(BANK, grant, one.output(BASE))
        release = await node.releases.request(transaction, wait_s=30)
        await node.until(lambda: state_of(node, release) is ReleaseState.FAILED)
        record = node.chain.records.grant(grant)
        assert record is not None
        assert (record.uses_left, record.uses_reserved) == (9, 0)


def state_of(node: Node, release: Release) -> ReleaseState:
    found = node.chain.records.release(release.release_id)
    assert found is not None
    return found.state


# --- counts ---

PROOF = "schooling"
LEVELS = PartitionSpec(
    name="by_level",
    name_zh="按学历",
    field="level",
    subject="person.education_level",
    cells=(
        CellSpec(name="bachelor", name_zh="本科", values=("本科",)),
        CellSpec(name="other", name_zh="其他"),
    ),
    period=PeriodUnit.YEAR,
    base=5,
    group_min=GROUP_MIN,
)
SCHOOLING = CertificateTypeSpec(
    number=400,
    code=PROOF,
    name_zh="学历说明",
    name_en="Schooling",
    issuers_zh=("教育部门",),
    level_zh="市级",
    holder=SPEC.holder,
    validity_years=None,
    certificate_number_field="number",
    fields=(
        FieldSpec(name="number", name_zh="编号", kind=FieldKind.TEXT, class_level=2, required=True),
        FieldSpec(name="level", name_zh="学历", kind=FieldKind.TEXT, class_level=2, required=True),
    ),
    attachments=(),
    partitions=(LEVELS,),
)
COUNTED = Question(
    certificate_type=PROOF,
    name="by_level",
    kind=QuestionKind.COUNTED,
    field="level",
    subject="person.education_level",
    parameter="",
)
CITIZENS = [person(f"citizen {n}") for n in range(2 * GROUP_MIN + 2)]


@dataclass
class Crowd:
    """A node with citizens who let the bank count them."""

    node: Node
    service: Counts
    pairs: list[Contribution]
    count_id: bytes = b""

    async def open(self) -> bytes:
        request = self.node.sign(
            BANK,
            CountsOpen(certificate_type=PROOF, partition="by_level", performed_by=self.node.account.account),
        )
        await self.node.submission.submit(request, wait_s=30)
        self.count_id = SUITE.hash(domains.COUNT_ID, transaction_id(SUITE, request.body))[:16]
        for start in range(0, len(self.pairs), 8):
            batch = tuple(self.pairs[start : start + 8])
            await self.node.send(BANK, CountsContribute(count_id=self.count_id, contributions=batch))
        return self.count_id

    def state(self) -> CountState:
        return self.service.count(self.count_id).state


async def crowd(node: Node, people: list[Actor]) -> Crowd:
    node.vote(RegisterCertificateTypes(types=(type_of(SCHOOLING),)))
    node.vote(SetIssuance(account_id=DEPARTMENT.account, issues=(CARD, PROOF)))
    item = TemplateItem(certificate_type=PROOF, fields=("number", "level"), attachments=())
    node.vote(
        RegisterPurposes(
            purposes=(
                PurposeTemplate(
                    code="statistics",
                    name_zh="统计",
                    name_en="Statistics",
                    items=(item,),
                    uses_max=9,
                    period_ms_max=30 * DAY_MS,
                    data_life_ms_max=DAY_MS,
                ),
            )
        )
    )
    node.done(*(node.sign(DEPARTMENT, enrolment(who, node.store.chain_id, node.now_ms)) for who in people))
    service = Counts(chain=node.chain, index=node.index, node=node.account, records=node.reader)
    node.services.append(service.block_finalized)
    pairs = []
    for number, who in enumerate(people):
        content = DepositInput(
            certificate_id=identity(f"schooling {number}"),
            certificate_type=PROOF,
            holder=who.account,
            fields={"number": str(number), "level": "本科" if number % 2 else "博士"},
            salt_seed=identity(f"seed {number}", 32),
            attachments=(),
        )
        draft = await node.deposits.prepare(content, OFFICER)
        await node.issue(content, draft)
        grant = await query_grant(node, who, (COUNTED,), ("level",), PROOF, "statistics")
        pairs.append(Contribution(certificate=draft.certificate_id, grant=grant))
    return Crowd(node, service, pairs)


async def test_a_count_opens_one_field_of_each_and_tells_rounded_numbers(tmp_path: Path) -> None:
    async with running(tmp_path, populated=True) as node:
        group = await crowd(node, CITIZENS)
        await group.open()
        node.operators.asked.clear()
        await node.send(BANK, CountsRequest(count_id=group.count_id))
        await node.until(lambda: group.state() is CountState.PUBLISHED)
        found = group.service.count(group.count_id)
        assert [(cell.cell, cell.count, cell.suppressed) for cell in found.cells] == [
            ("bachelor", 10, False),
            ("other", 10, False),
        ]
        assert opened(node) == {(PartKind.FIELD, "level")}
        await group.service.stop()


async def test_whoever_revokes_before_the_count_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path, populated=True) as node:
        group = await crowd(node, CITIZENS[: GROUP_MIN + 1])
        await group.open()
        await node.send(CITIZENS[0], GrantsRevoke(grant_id=group.pairs[0].grant))
        await node.send(CITIZENS[1], GrantsPause(grant_id=group.pairs[1].grant))
        await node.send(BANK, CountsRequest(count_id=group.count_id))
        await node.until(lambda: group.state() is CountState.PUBLISHED)
        found = group.service.count(group.count_id)
        assert found.left_out == 2
        assert all(cell.suppressed for cell in found.cells)
        await group.service.stop()


async def test_holders_open_for_a_count_what_is_in_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, populated=True) as node:
        group = await crowd(node, CITIZENS[:GROUP_MIN])
        outside = await node.deposit(card("outside"))
        await group.open()
        monkeypatch.setattr(Counts, "_start", lambda *_: None)
        certificate = node.chain.records.certificate(group.pairs[0].certificate)
        other = node.chain.records.certificate(outside.certificate_id)
        assert certificate is not None
        assert other is not None
        authority = Authority(kind=AuthorityKind.COUNT, record_id=group.count_id)
        level = PartName(certificate_id=certificate.certificate_id, kind=PartKind.FIELD, name="level")
        with pytest.raises(KeyRefused) as refused:
            await node.reader.unlock(authority, (certificate,), (level,))
        assert refused.value.reason == "count_collecting"
        await node.send(BANK, CountsRequest(count_id=group.count_id))
        for part, record in (
            (
                PartName(certificate_id=certificate.certificate_id, kind=PartKind.FIELD, name="number"),
                certificate,
            ),
            (
                PartName(certificate_id=certificate.certificate_id, kind=PartKind.MARK, name="mark"),
                certificate,
            ),
            (PartName(certificate_id=other.certificate_id, kind=PartKind.FIELD, name="name"), other),
        ):
            with pytest.raises(KeyRefused):
                await node.reader.unlock(authority, (record,), (part,))
        unlocked = await node.reader.unlock(authority, (certificate,), (level,))
        assert (await unlocked.field(certificate.certificate_id, "level")).value
        nobody = Authority(kind=AuthorityKind.COUNT, record_id=bytes(16))
        with pytest.raises(KeyRefused):
            await node.reader.unlock(nobody, (certificate,), (level,))


async def test_a_count_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, populated=True) as node:
        group = await crowd(node, CITIZENS[:GROUP_MIN])
        await group.open()
        node.services.remove(group.service.block_finalized)
        await node.send(BANK, CountsRequest(count_id=group.count_id))
        assert group.state() is CountState.REQUESTED
        await node.index.wait_height(node.chain.height, 30)
        again = Counts(chain=node.chain, index=node.index, node=node.account, records=node.reader)
        await again.resume()
        await node.until(lambda: group.state() is CountState.PUBLISHED)
        await again.stop()
