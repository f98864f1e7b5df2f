"""Calls about grants and all that hangs on them, on a ledger that holds one of everything.

Rule: an input is a course of calls, each one that has been made there, by somebody else, later, with a few of its arguments
changed for others that mean something. Whatever it is, it succeeds or is denied (`contracts.judge`); every tick after it is
carried out; and what grants open and count stays what was asked for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from msgspec.inspect import StructType, Type, VarTupleType, type_info
from msgspec.structs import replace

from contracts.calls import (
    CALLS,
    CertificatesSetState,
    DeadlinesTick,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsResume,
    GrantsRevoke,
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterPurposes,
    ReleasesAcknowledge,
    ReleasesFail,
    SetIssuance,
)
from contracts.erasure_calls import (
    CertificatesErase,
    CertificatesRequestErasure,
    CertificatesStateDestruction,
)
from contracts.form_records import FormEntry
from contracts.grant_actions import SetGrantRules
from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsEndAccess,
    GrantsExtendNotice,
    GrantsOpenOwn,
    GrantsReview,
    GrantsStateDeletion,
    RepresentationAccept,
    RepresentationAppoint,
    RepresentationAssist,
    RepresentationEnd,
)
from contracts.grant_records import ConsentMode, GrantState, RepresentationBasis, ReviewVerdict
from contracts.grant_tables import ASSISTANCES, MANDATES
from contracts.question_calls import CountsContribute, CountsFail, CountsOpen, CountsRequest, FormsRegister
from contracts.question_records import Contribution
from contracts.records import AccountKind, CertificateState, KeyRole, ReleaseState
from contracts.state import ACCOUNTS, CERTIFICATES, COUNTS, GRANTS, RELEASES
from contracts.window_calls import GrantsApproveAtWindow
from ledger.errors import DecodeError, LimitExceeded
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call, Transaction
from tests.fuzz.target import Script, Target, require
from tests.fuzz.targets.contracts import execute, judge
from tests.unit import contracts_world as world
from tests.unit.grants_world import (
    COURT,
    COURT_ADMIN,
    GUARDIANSHIP,
    GUARDIANSHIP_TYPE,
    INQUIRY,
    POLICE,
    POLICE_ADMIN,
    RULES,
    TAX,
    TAX_ADMIN,
    access,
    emergency,
)
from tests.unit.questions_world import BUREAU, CARD, LICENCE, Questions, older, people, question

STEPS_MAX: Final = 10
CHANGES_MAX: Final = 3
TICKS: Final = 3
CONTRACTS: Final = frozenset(
    {"grants", "representation", "releases", "certificates", "counts", "forms", "bodies", "deadlines"}
)
CROWD: Final = people(3)
ACTORS: Final = (
    world.LI,
    world.WANG,
    world.BANK,
    world.BANK_ADMIN,
    world.SHOP,
    world.SHOP_ADMIN,
    world.DEPARTMENT,
    world.AUDITOR,
    BUREAU,
    POLICE,
    COURT,
    TAX,
    world.NODES[0],
    world.NODES[1],
    world.OPERATORS[0],
    *CROWD,
)
LATER_MS: Final = (
    0,
    0,
    1,
    60_000,
    3_600_000,
    world.DAY_MS,
    8 * world.DAY_MS,
    91 * world.DAY_MS,
    4000 * world.DAY_MS,
)
NUMBERS: Final = (0, 1, -1, 2, 32, 60_000, 2**31, 2**53 - 1, 2**53, 2**64 - 1)
TEXTS: Final = (
    "",
    "a",
    "name",
    "birth_date",
    "older_than",
    "18",
    "60",
    "by_age",
    "own_data",
    "consent",
    CARD,
    "证" * 80,
)


class Story(Questions):
    """A world that remembers the calls that its story is made of."""

    def __init__(self) -> None:
        self.told: list[tuple[world.Actor, Call]] = []
        super().__init__()

    def sign(self, who: world.Actor, what: Any, **changes: object) -> Transaction:
        signed = super().sign(who, what, **changes)
        if signed.body.call.contract in CONTRACTS:
            self.told.append((who, signed.body.call))
        return signed

    def all_of_it(self) -> Story:
        """One of everything, in every state that is quick to reach."""
        self.populate()
        self.vote(RegisterCertificateTypes(types=(GUARDIANSHIP_TYPE,)))
        self.vote(RegisterPurposes(purposes=(INQUIRY,)))
        issues = (world.DEGREE, world.LICENCE, GUARDIANSHIP)
        self.vote(SetIssuance(account_id=world.DEPARTMENT.account, issues=issues))
        for admin, officer in ((POLICE_ADMIN, POLICE), (COURT_ADMIN, COURT), (TAX_ADMIN, TAX)):
            self.vote(world.registration(admin, AccountKind.DEPARTMENT))
            self.done(admin, OrganizationsAddKey(key=world.new_key(officer, KeyRole.OFFICER)))
        self.vote(SetGrantRules(rules=RULES))
        self.degree = self.issue("degree of li")
        self.consents()
        self.accesses()
        self.mandates()
        self.answers_and_counts()
        self.erasures()
        self.done(world.NODES[0], DeadlinesTick())
        return self

    def consents(self) -> None:
        own = self.done(world.LI, GrantsOpenOwn(certificates=(self.degree,), uses_max=2))
        self.done(world.LI, world.asking_release(own, world.json_of(self.degree, "name")))
        stored = self.grant()
        released = self.release(stored, self.degree)
        self.prepare(released)
        hashes = (world.identity("file 0", 32),)
        self.done(world.BANK, ReleasesAcknowledge(release_id=released, file_hashes=hashes))
        failed = self.release(stored, self.degree)
        self.done(world.NODES[1], ReleasesFail(release_id=failed, reason="test"))
        again = self.release(stored, self.degree)
        self.prepare(again)
        self.done(
            world.BANK,
            GrantsStateDeletion(grant_id=stored, releases=(released,), statement=bytes(32)),
        )
        other = self.grant(uses_max=3)
        self.release(other, self.degree)
        record = self.grant_record(other)
        self.done(
            world.LI,
            GrantsNarrow(
                grant_id=other,
                items=(replace(record.items[0], attachments=(), declined=()),),
                uses_left=1,
                consent_expiry_ms=record.consent_expiry_ms - 1,
            ),
        )
        self.done(world.LI, GrantsPause(grant_id=other))
        self.done(world.LI, GrantsResume(grant_id=other))
        self.done(world.LI, GrantsReject(grant_id=self.done(world.BANK, self.asking(renews=other))))
        ended = self.grant()
        self.prepare(self.release(ended, self.degree))
        self.done(world.LI, GrantsRevoke(grant_id=ended))
        self.run(
            world.DEPARTMENT,
            GrantsApproveAtWindow(
                consent=self.approval(self.done(world.BANK, self.asking())), place="hall", face=b"x"
            ),
        )

    def accesses(self) -> None:
        shown = self.done(POLICE, access(self, notice_after_ms=0, consent_mode=ConsentMode.STORE))
        self.done(COURT, GrantsDecideAccess(grant_id=shown, approve=True))
        self.prepare(self.done(POLICE, world.asking_release(shown, world.json_of(self.degree, "name"))))
        silent = self.done(POLICE, access(self, renews=shown))
        self.done(COURT, GrantsDecideAccess(grant_id=silent, approve=True))
        later_ms = self.time_ms + 80 * world.DAY_MS
        self.done(TAX, GrantsExtendNotice(grant_id=silent, notice_after_ms=later_ms))
        self.done(COURT, GrantsEndAccess(grant_id=silent))
        self.done(POLICE, access(self))
        at_once = self.done(POLICE, emergency(self))
        self.done(world.AUDITOR, GrantsReview(grant_id=at_once, verdict=ReviewVerdict.JUSTIFIED))
        self.done(POLICE, emergency(self))

    def mandates(self) -> None:
        shown = self.issue(
            "guardianship", certificate_type=GUARDIANSHIP, fields=("ward", "guardian"), attachments=()
        )
        above = self._mandate(
            world.DEPARTMENT, world.WANG, RepresentationBasis.GUARDIAN, credential=shown, depth_max=2
        )
        self._mandate(world.WANG, world.SHOP_ADMIN, RepresentationBasis.MANDATE, parent=above, depth_max=1)
        ended = self._mandate(world.LI, world.BANK_ADMIN, RepresentationBasis.MANDATE)
        self.done(world.LI, RepresentationEnd(mandate_id=ended))
        asked = self.done(world.BANK, self.asking(purpose="inquiry", frequency=INQUIRY.frequency_max))
        self.done(
            world.DEPARTMENT,
            RepresentationAssist(principal=world.LI.account, grant_id=asked, place="hall"),
        )
        self.done(world.WANG, self.approval(asked, mandate=above))
        self.done(world.WANG, GrantsPause(grant_id=asked, mandate=above))
        self.done(world.WANG, GrantsResume(grant_id=asked, mandate=above))
        record = self.grant_record(asked)
        less = GrantsNarrow(
            grant_id=asked,
            items=record.items,
            uses_left=1,
            consent_expiry_ms=record.consent_expiry_ms,
            mandate=above,
        )
        self.done(world.WANG, less)
        self.done(world.WANG, GrantsRevoke(grant_id=asked, mandate=above))
        refused = self.done(world.BANK, self.asking(purpose="inquiry", frequency=INQUIRY.frequency_max))
        self.done(world.WANG, GrantsReject(grant_id=refused, mandate=above))

    def _mandate(
        self, by: world.Actor, to: world.Actor, basis: RepresentationBasis, **changes: object
    ) -> bytes:
        values: dict[str, object] = {
            "principal": world.LI.account,
            "representative": to.account,
            "basis": basis,
            "credential": b"",
            "parent": b"",
            "purposes": (),
            "depth_max": 0,
            "until_ms": world.START_MS + 60 * world.DAY_MS,
        }
        mandate_id = self.done(by, RepresentationAppoint(**{**values, **changes}))  # type: ignore[arg-type]
        self.done(to, RepresentationAccept(mandate_id=mandate_id))
        return mandate_id

    def answers_and_counts(self) -> None:
        card, licence = self.certify("card"), self.certify("licence", kind=LICENCE)
        self.release_of(self.allow(older(18)), card, older(18))
        self.release_of(self.allow(older(18, LICENCE)), licence, older(18, LICENCE))
        by_age = question(CARD, "by_age")
        count = self._count("by_age")
        for number, person in enumerate(CROWD):
            self.enroll(person)
            held = self.certify(f"card {number}", person)
            one = Contribution(certificate=held, grant=self.allow(by_age, of=person, uses_max=1))
            self.done(world.BANK, CountsContribute(count_id=count, contributions=(one,)))
        self.run(world.BANK, CountsRequest(count_id=count))
        self.done(world.BANK, CountsFail(count_id=self._count("by_sex"), reason="test"))
        entries = (FormEntry(name="n", label_zh="名", label_en="n", term="person.name", required=True),)
        form = FormsRegister(
            code="enrolment", name_zh="表", name_en="form", purpose="asking", dictionary=1, entries=entries
        )
        self.done(world.DEPARTMENT, form)

    def _count(self, partition: str) -> bytes:
        asked = CountsOpen(certificate_type=CARD, partition=partition, performed_by=world.NODES[1].account)
        return self.done(world.BANK, asked)

    def erasures(self) -> None:
        erased = self.issue("erased degree")
        self.done(world.LI, CertificatesRequestErasure(certificate_id=erased, reason="test"))
        self.done(world.DEPARTMENT, CertificatesErase(certificate_id=erased, reason="test"))
        self.done(world.NODES[0], CertificatesStateDestruction(certificates=(erased,)))
        self.done(world.LI, CertificatesRequestErasure(certificate_id=self.degree, reason="test"))
        pledged = CertificatesSetState(
            certificate_id=self.degree, state=CertificateState.PLEDGED, holds=True, reason="test"
        )
        self.done(world.DEPARTMENT, pledged)


@lru_cache(maxsize=1)
def story() -> Story:
    return Story().all_of_it()


# What a member of a call's arguments names, by its own name.
NAMED: Final = {
    "grant_id": GRANTS.prefix,
    "grant": GRANTS.prefix,
    "renews": GRANTS.prefix,
    "mandate": MANDATES.prefix,
    "mandate_id": MANDATES.prefix,
    "parent": MANDATES.prefix,
    "assistance": ASSISTANCES.prefix,
    "certificate": CERTIFICATES.prefix,
    "certificate_id": CERTIFICATES.prefix,
    "certificates": CERTIFICATES.prefix,
    "credential": CERTIFICATES.prefix,
    "supersedes": CERTIFICATES.prefix,
    "release_id": RELEASES.prefix,
    "releases": RELEASES.prefix,
    "count_id": COUNTS.prefix,
    "principal": ACCOUNTS.prefix,
    "pii_principal_id": ACCOUNTS.prefix,
    "representative": ACCOUNTS.prefix,
    "holder": ACCOUNTS.prefix,
    "released_by": ACCOUNTS.prefix,
    "performed_by": ACCOUNTS.prefix,
}


class Words:
    """What arguments are changed for.

    Attributes:
        calls: who called and with which arguments, by method.
        ids: what there is, by the table that has it.
        by_size: any bytes of the story, by their number.
    """

    def __init__(self, told: Story) -> None:
        grouped: dict[tuple[str, str], list[tuple[world.Actor, Any]]] = {}
        found: dict[bytes, None] = {}
        for who, call in told.told:
            tree = msgspec.msgpack.decode(call.args)
            grouped.setdefault((call.contract, call.method), []).append((who, tree))
            _ids_of(tree, found)
        self.calls: Final = tuple(grouped.items())
        self.ids: Final = {
            prefix: sorted(key[len(prefix) :] for key in told.entries if key.startswith(prefix))
            for prefix in set(NAMED.values())
        }
        self.by_size: Final[dict[int, list[bytes]]] = {}
        for one in found | dict.fromkeys(one for ids in self.ids.values() for one in ids):
            self.by_size.setdefault(len(one), []).append(one)


@lru_cache(maxsize=1)
def words() -> Words:
    return Words(story())


def _ids_of(tree: Any, found: dict[bytes, None]) -> None:
    if isinstance(tree, bytes):
        found[tree] = None
    elif isinstance(tree, list):
        for one in tree:
            _ids_of(one, found)


def run_course(data: bytes) -> None:
    """Calls one after the other; then as many ticks as find something to do, however late."""
    script = Script(data)
    here = world.World.__new__(world.World)
    here.__dict__.update(story().__dict__)
    here.entries = dict(story().entries)
    for _ in range(STEPS_MAX):
        if script.ended:
            break
        (contract, method), made = words().calls[script.below(len(words().calls))]
        who, tree = made[script.below(len(made))]
        if script.below(4) == 0:
            who = ACTORS[script.below(len(ACTORS))]
        here.time_ms += LATER_MS[script.below(len(LATER_MS))]
        for _ in range(script.below(CHANGES_MAX + 1)):
            tree = _otherwise(tree, _shape(contract, method), script, here.time_ms)
        args = _encoded(tree)
        if args is not None:
            judge(here, here.sign(who, Call(contract=contract, method=method, args=args)))
    _tick(here, script)


def _encoded(tree: Any) -> bytes | None:
    try:
        args = msgspec.msgpack.encode(tree)
    except OverflowError:
        return None
    return args if len(args) <= CALL_ARGS_SIZE_BYTES_MAX else None


def _tick(here: world.World, script: Script) -> None:
    for _ in range(TICKS):
        here.time_ms += LATER_MS[script.below(len(LATER_MS))]
        outcome = execute(here, here.sign(world.NODES[1], DeadlinesTick()))
        if outcome is None:
            return
        code = outcome.results[0].code
        require(code == "ok", f"a tick is denied, and would be for ever: {code}")
        here.apply(outcome)
    _check_books(here)


def _check_books(here: world.World) -> None:
    """Every grant opens no more than was asked for, and its uses add up to what its releases say."""
    reserved: dict[bytes, int] = {}
    for key, value in here.entries.items():
        if key.startswith(RELEASES.prefix):
            release = RELEASES.decode(value)
            if release.state is ReleaseState.REQUESTED:
                reserved[release.grant_id] = reserved.get(release.grant_id, 0) + 1
    for key, value in here.entries.items():
        if not key.startswith(GRANTS.prefix):
            continue
        grant = GRANTS.decode(value)
        require(grant.uses_reserved == reserved.get(grant.grant_id, 0), "uses are reserved by no release")
        require(grant.uses_left + grant.uses_reserved <= grant.uses_max, "more uses are left than were given")
        require(len(grant.items) in {0, len(grant.requested_items)}, "items that nobody asked for")
        for opened, asked in zip(grant.items, grant.requested_items, strict=False):
            wider = {*opened.fields, *opened.attachments} - {*asked.fields, *asked.attachments}
            require(
                not wider and opened.certificate_type == asked.certificate_type, "a field nobody asked for"
            )
        require(set(grant.questions) <= set(grant.requested_questions), "a question that nobody asked")
        opens = grant.state in {GrantState.ACTIVE, GrantState.PAUSED}
        approved = grant.access is None or grant.access.kind == "emergency" or grant.access.approvers
        require(not opens or approved, "an access that nobody else approved")


def _otherwise(tree: Any, kind: Any, script: Script, time_ms: int) -> Any:
    """Arguments with one member changed; one that names something mostly names another of its kind."""
    if isinstance(kind, VarTupleType) and isinstance(tree, list) and tree and script.below(8):
        at = script.below(len(tree))
        return [*tree[:at], _otherwise(tree[at], kind.item_type, script, time_ms), *tree[at + 1 :]]
    if not isinstance(kind, StructType) or not isinstance(tree, list) or not tree or script.below(16) == 0:
        return _changed(tree, script, time_ms)
    at = script.below(min(len(tree), len(kind.fields)))
    member = kind.fields[at]
    ids = words().ids.get(NAMED.get(member.name, b""), [])
    if ids and isinstance(tree[at], bytes) and script.below(8):
        changed: Any = ids[script.below(len(ids))]
    else:
        changed = _otherwise(tree[at], member.type, script, time_ms)
    return [*tree[:at], changed, *tree[at + 1 :]]


@lru_cache(maxsize=128)
def _shape(contract: str, method: str) -> Type:
    return type_info(CALLS[contract, method])


def _changed(tree: Any, script: Script, time_ms: int) -> Any:
    """The tree with one leaf, or one list, changed."""
    if isinstance(tree, list) and tree and script.below(8):
        at = script.below(len(tree))
        return [*tree[:at], _changed(tree[at], script, time_ms), *tree[at + 1 :]]
    match tree:
        case list():
            return ([], [*tree, *tree], tree[::-1], tree[1:], tree * 33)[script.below(5)]
        case bool():
            return not tree
        case int():
            near = (*NUMBERS, tree + 1, tree - 1, time_ms, time_ms + 1, time_ms + world.DAY_MS)
            return near[script.below(len(near))]
        case bytes():
            alike = words().by_size.get(len(tree) or 16, [tree])
            return (b"", tree[:-1], tree + b"\0", *alike)[script.below(3 + len(alike))]
        case str():
            texts = (tree, *TEXTS)
            return texts[script.below(len(texts))]
        case _:
            return (None, 0, b"", "", [])[script.below(5)]


def seeds() -> list[bytes]:
    """Every method alone, as it was called first, and all of them in a row."""
    alone = [bytes((number, 0, 1, 0, 0)) for number in range(len(words().calls))]
    rows = [b"".join(alone[at : at + STEPS_MAX]) for at in range(0, len(alone), STEPS_MAX)]
    return [*alone, *rows]


TARGETS: Final = (
    Target(
        name="contracts.course",
        run=run_course,
        seeds=seeds,
        examples=lambda: st.binary(min_size=4, max_size=160),
        errors=(DecodeError, LimitExceeded),
    ),
)
