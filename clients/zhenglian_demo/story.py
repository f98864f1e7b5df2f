"""The story: consent in part, a refused over-ask, a node killed in the middle, three copies, two leaks, one source each."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from contracts.records import GrantItem, Output, OutputFormat
from ledger.errors import Category
from node.devnet import Devnet
from watermark import Policy, embed
from zhenglian.client import AsyncClient
from zhenglian.errors import ApiError, Denied
from zhenglian.plans.grants import given_items
from zhenglian.plans.releases import Retrieved
from zhenglian.progress import Progress
from zhenglian_demo.cast import DAY_MS, Citizen, Organization
from zhenglian_demo.leaks import half_sorted, pdf_text, rasterize
from zhenglian_demo.setting import Issued, Setting
from zhenglian_demo.steps import Steps, expect

T = TypeVar("T")

IDENTITY: Final = "resident_identity_card"
INSURANCE: Final = "social_security_card"
EDUCATION: Final = "education_certificate"
GRANTED_IDENTITY: Final = ("name", "sex", "birth_date")
GRANTED_INSURANCE: Final = ("name", "insured_place", "payments")
KILLED_NODE: Final = 3
SETTLE_S: Final = 60.0


@dataclass
class Story:
    """Tells the story on a running network.

    Attributes:
        steps: prints and counts.
        setting: who and what there is.
        devnet: the four node processes.
        folder: where files are left (`build/demo`).
    """

    steps: Steps
    setting: Setting
    devnet: Devnet
    folder: Path
    grants: list[str] = field(default_factory=list)
    retrieved: list[Retrieved] = field(default_factory=list)

    async def tell(self) -> None:
        await self._over_ask_is_refused()
        await self._consent_in_part()
        await self._more_than_granted_is_refused()
        await self._kill_between_request_and_delivery()
        await self._three_copies()
        await self._leaked_pdf()
        await self._leaked_table()
        await self._innocents()
        await self._revocation()
        await self._same_chain_everywhere()
        await self._receipt()

    # --- who ---

    @property
    def citizen(self) -> Citizen:
        """The first citizen who has both an identity card and a social security card."""
        held = self.setting.held
        return next(
            c
            for c in self.setting.cast.citizens
            if {IDENTITY, INSURANCE, EDUCATION} <= set(held.get(c.account, {}))
        )

    def issued(self, code: str) -> Issued:
        return self.setting.certificate(self.citizen, code)

    def attachment(self, code: str, media_type: str) -> str:
        return next(a.name for a in self.issued(code).spec.attachments if a.media_type == media_type)

    # --- asking ---

    def items(self, *, identity: Sequence[str], insurance: Sequence[str]) -> list[GrantItem]:
        """Some fields of two certificates, and the documents of a third, which print nothing else of the citizen."""
        education = self.issued(EDUCATION).spec
        return [
            GrantItem(certificate_type=IDENTITY, certificate=b"", fields=tuple(identity), attachments=()),
            GrantItem(certificate_type=INSURANCE, certificate=b"", fields=tuple(insurance), attachments=()),
            GrantItem(
                certificate_type=EDUCATION,
                certificate=b"",
                fields=(),
                attachments=tuple(attachment.name for attachment in education.attachments),
            ),
        ]

    async def request(self, bank: Organization, items: Sequence[GrantItem]) -> str:
        number = self.citizen.person.identity_number
        found = await bank.officer.client.find_person(number, basis="loan.counter")
        expect(found == self.citizen.account, "the bank finds the account of the person at its counter")
        return await bank.officer.client.request_grant(
            person=self.citizen.account,
            purpose="loan.application",
            items=items,
            uses_max=4,
            consent_expiry_ms=time.time_ns() // 1_000_000 + 90 * DAY_MS,
        )

    async def _over_ask_is_refused(self) -> None:
        with self.steps.step(
            "银行索要超出用途上限的字段，被拒并留痕",
            "A bank asks for more than the purpose allows: refused, and on record",
        ):
            bank = self.setting.banks[0]
            items = self.items(identity=["name"], insurance=["name", "bank_account"])
            denied = await refused(lambda: self.request(bank, items))
            expect(denied.code == "over_ask", f"refused as over-asking, not {denied.code}")
            self.steps.tell(denied.message("zh"))
            events = await self.citizen.actor.client.events(
                subject=self.citizen.account, kind="grants.refused"
            )
            expect(events.items, "the refused attempt stands in the citizen's own timeline")

    async def _consent_in_part(self) -> None:
        with self.steps.step(
            "三家银行申请，市民只同意其中一部分字段",
            "Three banks ask; the citizen consents to some of the fields only",
        ):
            declined: set[str] = set()
            wanted_identity = (*GRANTED_IDENTITY, "identity_number", "address")
            wanted_insurance = (*GRANTED_INSURANCE, "insured_status")
            for bank in self.setting.banks:
                declined = await self._consent_to(bank, wanted_identity, wanted_insurance)
                expect("identity_number" in declined, "what was withheld is marked as the person's choice")
            self.steps.tell("withheld: " + ", ".join(sorted(declined)))

    async def _consent_to(
        self, bank: Organization, identity: Sequence[str], insurance: Sequence[str]
    ) -> set[str]:
        """Request by the bank and consent in part by the citizen; the fields that were withheld."""
        grant_id = await self.request(bank, self.items(identity=identity, insurance=insurance))
        citizen = self.citizen.actor.client
        pending = await eventually(lambda: citizen.grant(grant_id), lambda _: True, "visible to the citizen")
        expect(pending.state == "requested", "nothing is granted by asking")
        without = {*identity, *insurance} - {*GRANTED_IDENTITY, *GRANTED_INSURANCE}
        await citizen.approve_grant(grant_id, items=given_items(pending.requested_items, without=without))
        active = await eventually(
            lambda: bank.officer.client.grant(grant_id),
            lambda view: view.state == "active",
            "active after consent",
        )
        self.grants.append(grant_id)
        return {name for item in active.items for name in item.declined}

    async def _more_than_granted_is_refused(self) -> None:
        with self.steps.step(
            "银行下链未获授权的字段，被拒并留痕",
            "A bank retrieves a field that was not granted: refused, and on record",
        ):
            bank = self.setting.banks[0]
            output = self.output(IDENTITY, OutputFormat.JSON, ("name", "identity_number"))
            denied = await refused(lambda: bank.officer.client.request_release(self.grants[0], [output]))
            expect(denied.code == "field_not_granted", f"refused as not granted, not {denied.code}")
            self.steps.tell(denied.message("zh"))
            grant = await bank.officer.client.grant(self.grants[0])
            expect(grant.uses_left == 4, "a refused attempt costs no use")

    # --- retrieving ---

    def output(
        self, code: str, kind: OutputFormat, fields: Sequence[str] = (), attachment: str = ""
    ) -> Output:
        certificate = bytes.fromhex(self.issued(code).certificate_id)
        return Output(certificate=certificate, format=kind, fields=tuple(fields), attachment=attachment)

    def outputs(self) -> list[Output]:
        """The same for every bank: a record, a table, a document and a picture."""
        return [
            self.output(IDENTITY, OutputFormat.JSON, GRANTED_IDENTITY),
            self.output(INSURANCE, OutputFormat.CSV, ("payments",)),
            self.output(EDUCATION, OutputFormat.PDF, (), self.attachment(EDUCATION, "application/pdf")),
            self.output(EDUCATION, OutputFormat.JPEG, (), self.attachment(EDUCATION, "image/jpeg")),
        ]

    async def _kill_between_request_and_delivery(self) -> None:
        with self.steps.step(
            "请求与交付之间 kill −9 一个节点：网络继续，节点恢复后交付同一份文件，且只计一次使用",
            "kill −9 a node between request and delivery: the network goes on, the node comes back and delivers once",
        ):
            bank = self.setting.banks[0]
            operator = self.devnet.account(KILLED_NODE)
            known: list[str] = []

            def note(progress: Progress) -> None:
                if progress.subject and not known:
                    known.append(progress.subject)

            client = bank.officer.client
            asked: asyncio.Future[Retrieved] = asyncio.ensure_future(
                client.retrieve(
                    self.grants[0], self.outputs(), self.folder / "released", node=operator, report=note
                )
            )
            await self._until_final(known)
            self.devnet.kill(KILLED_NODE)
            self.steps.tell(
                f"node {KILLED_NODE} killed with SIGKILL after the request of release {known[0]} was final"
            )
            before = await self._height()
            await self.citizen.actor.client.pause_grant(self.grants[1])
            await self.citizen.actor.client.resume_grant(self.grants[1])
            after = await self._height()
            expect(after > before, "three of four nodes go on finalizing")
            self.steps.tell(f"meanwhile the other three finalized blocks {before + 1} to {after}")
            self.devnet.start(KILLED_NODE)
            got = await asyncio.wait_for(asked, SETTLE_S * 2)
            expect(got.release.state == "delivered", f"delivered, not {got.release.state}")
            again = await client.retrieve_again(known[0], self.folder / "again")
            same = [
                one.read_bytes() == two.read_bytes() for one, two in zip(got.files, again.files, strict=True)
            ]
            expect(all(same), "asking again gives the same bytes")
            grant = await client.grant(self.grants[0])
            expect(grant.uses_left == 3, f"one use was taken, {4 - grant.uses_left} are missing")
            self.retrieved.append(got)

    async def _until_final(self, known: list[str]) -> None:
        """Wait until another node's replica shows the request as final; the release's id comes with the first report."""
        watcher = self.setting.cast.operators[0].client
        async with asyncio.timeout(SETTLE_S):
            async for event in watcher.stream_events(kind="releases.requested", after="0"):
                if known and event.object_id == known[0]:
                    return

    async def _height(self) -> int:
        return (await self.setting.cast.operators[0].client.status()).height

    async def _three_copies(self) -> None:
        with self.steps.step(
            "同一证照、同一表格发给三家机构，各带各的隐形水印",
            "The same certificate and the same rows go to three organisations, each copy with its own invisible mark",
        ):
            for bank, grant_id in zip(self.setting.banks[1:], self.grants[1:], strict=True):
                got = await bank.officer.client.retrieve(grant_id, self.outputs(), self.folder / "released")
                self.retrieved.append(got)
            for number in range(len(self.outputs())):
                copies = {got.files[number].read_bytes() for got in self.retrieved}
                expect(len(copies) == 3, f"three different copies of output {number}")
            for bank, got in zip(self.setting.banks, self.retrieved, strict=True):
                names = ", ".join(path.name for path in got.files)
                self.steps.tell(f"{bank.name}: {names}")
            record = json.loads(self.retrieved[0].files[0].read_bytes())
            expect(
                set(record["fields"]) == set(GRANTED_IDENTITY), "exactly the granted fields are in the record"
            )
            expect(record["fields"]["name"] == self.citizen.person.name, "and they are the citizen's")
            self._withheld_is_nowhere()
            rows = list(csv.reader(io.StringIO(self.retrieved[0].files[1].read_text())))
            expected = len(self._table())
            expect(len(rows) == expected + 1, f"{expected} rows and a header, got {len(rows)}")

    def _withheld_is_nowhere(self) -> None:
        """Neither identity number nor address stands in anything that was handed out, PDF text included."""
        person = self.citizen.person
        for path in (path for got in self.retrieved for path in got.files):
            text = (
                pdf_text(path.read_bytes())
                if path.suffix == ".pdf"
                else path.read_bytes().decode(errors="replace")
            )
            for withheld in (person.identity_number, person.address):
                expect(withheld not in text, f"nothing that was withheld is in {path.name}")

    def _table(self) -> list[object]:
        value = self.issued(INSURANCE).content.fields["payments"]
        return list(value) if isinstance(value, list) else []

    # --- leaks ---

    async def trace(self, name: str, leak: bytes, code: str) -> tuple[str, list[str]]:
        """(verdict, accused organisations) for a leaked copy of a certificate."""
        path = self.folder / "leaked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(leak)
        auditor = self.setting.auditor
        expect(auditor is not None, "there is an auditor")
        assert auditor is not None  # noqa: S101
        asked = await auditor.officer.client.request_trace(leak, [self.issued(code).certificate_id])
        others = (one for one in self.setting.cast.operators if one.account != asked.performed_by)
        await next(others).client.approve_trace(asked.trace_id)
        view = await auditor.officer.client.wait_for_trace(asked.trace_id)
        names = [match.release.grantee_name for match in view.matches]
        for match in view.matches:
            self.steps.tell(
                f"{name}: {match.release.grantee_name}, officer {match.release.officer_label}, "
                f"purpose {match.release.purpose}, {match.release.requested:%Y-%m-%d %H:%M:%S}, "
                f"release {match.release_id}, log10(N·p) = {match.log10_np:.1f}"
            )
        return view.verdict, names

    async def _leaked_pdf(self) -> None:
        with self.steps.step(
            "泄露的 PDF 去除元数据并以 JPEG 75 栅格化，仍追溯到第二家机构",
            "A leaked PDF, stripped of metadata and rasterised at JPEG 75, is traced to the second organisation",
        ):
            leak = rasterize(self.retrieved[1].files[2].read_bytes())
            verdict, names = await self.trace("certificate.jpg", leak, EDUCATION)
            expect((verdict, names) == ("accused", [self.setting.banks[1].name]), f"{verdict}: {names}")

    async def _leaked_table(self) -> None:
        with self.steps.step(
            "泄露的 CSV 被排序并删去一半行，仍追溯到第三家机构",
            "A leaked CSV, sorted and with half its rows gone, is traced to the third organisation",
        ):
            leak = half_sorted(self.retrieved[2].files[1].read_bytes(), seed=1)
            verdict, names = await self.trace("payments.csv", leak, INSURANCE)
            expect((verdict, names) == ("accused", [self.setting.banks[2].name]), f"{verdict}: {names}")

    async def _innocents(self) -> None:
        with self.steps.step(
            "无水印的对照件与从未签发的编号：不指认任何人",
            "An unmarked control and a never-issued id accuse nobody",
        ):
            original = next(
                data
                for _, media_type, data in self.issued(EDUCATION).content.attachments
                if media_type == "application/pdf"
            )
            verdict, names = await self.trace("control.jpg", rasterize(original), EDUCATION)
            expect(
                verdict in {"none", "untraceable"} and not names, f"the unmarked control: {verdict} {names}"
            )
            stranger = embed(
                original, "application/pdf", layout_key=os.urandom(32), seed=os.urandom(32), policy=Policy()
            )
            verdict, names = await self.trace("never-issued.jpg", rasterize(stranger.data), EDUCATION)
            expect(
                verdict in {"none", "untraceable"} and not names, f"the never-issued id: {verdict} {names}"
            )

    # --- control and proof ---

    async def _revocation(self) -> None:
        with self.steps.step(
            "市民撤回授权，下一次下链立即被拒", "The citizen revokes; the next download is refused at once"
        ):
            bank = self.setting.banks[0]
            await self.citizen.actor.client.revoke_grant(self.grants[0])
            await self.citizen.actor.client.revoke_grant(self.grants[0])
            output = self.output(IDENTITY, OutputFormat.JSON, GRANTED_IDENTITY)
            denied = await refused(lambda: bank.officer.client.request_release(self.grants[0], [output]))
            expect(denied.code == "grant_not_active", f"refused because revoked, not {denied.code}")
            self.steps.tell(denied.message("zh"))

    async def _same_chain_everywhere(self) -> None:
        with self.steps.step("四个节点的区块完全相同", "All four nodes hold the same blocks"):
            heights: list[int] = []
            for url in self.setting.cast.urls:
                async with AsyncClient(url) as client:
                    heights.append((await client.status()).height)
            common = min(heights)
            expect(common > 0 and max(heights) - common <= 5, f"all four are together: {heights}")
            digests = set()
            for url in self.setting.cast.urls:
                async with AsyncClient(url) as client:
                    digests.add((await client.block(common)).digest)
            expect(len(digests) == 1, f"one block at height {common}, found {len(digests)}")
            self.steps.tell(f"height {common}, block {digests.pop()[:16]}…")

    async def _receipt(self) -> None:
        with self.steps.step(
            "回执离线验证通过；改动一个字符即被拒",
            "The receipt verifies offline; a tampered one is rejected",
        ):
            receipt = self.folder / "receipt.json"
            trust = self.folder / "trust.json"
            client = self.setting.cast.operators[0].client
            trust.write_text(await client.trust())
            document = self.retrieved[0].receipt
            receipt.write_text(document)
            good = verify(trust, receipt)
            expect(
                good.returncode == 0, f"the good receipt: exit {good.returncode} {good.stderr or good.stdout}"
            )
            tampered = self.folder / "receipt-tampered.json"
            tampered.write_text(document.replace(self.retrieved[0].release.release_id, "0" * 16, 1))
            expect(tampered.read_text() != document, "the tampered receipt differs")
            bad = verify(trust, tampered)
            expect(bad.returncode == 1, f"the tampered receipt: exit {bad.returncode}")
            self.steps.tell("rejected: " + (bad.stdout + bad.stderr).strip().splitlines()[-1])


def verify(trust: Path, receipt: Path) -> subprocess.CompletedProcess[str]:
    """What anybody would run, in a process of its own that knows no node."""
    command = [
        str(Path(sys.executable).with_name("zhenglian")),
        "verify",
        "--trust",
        str(trust),
        str(receipt),
    ]
    environment = {**os.environ, "ZHENGLIAN_NODE": "", "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


async def eventually(read: Callable[[], Awaitable[T]], accept: Callable[[T], bool], what: str) -> T:
    """Read until it is so: another node hears of a finalized block a moment after the one that answered first."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            seen = await read()
            if accept(seen):
                return seen
        except ApiError as error:
            if error.category is not Category.MISSING:
                raise
        expect(time.monotonic() < deadline, what)
        await asyncio.sleep(0.05)


async def refused(attempt: Callable[[], Awaitable[object]]) -> Denied:
    """The denial that `attempt` must end in."""
    try:
        await attempt()
    except Denied as denied:
        return denied
    expect(False, "the ledger refuses this")
    raise AssertionError
