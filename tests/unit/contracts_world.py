"""A small network for the contracts' tests: real keys, real signatures, one block for each call.

Everything in it is derived from labels, so that two worlds that did the same hold the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.actions import AddValidator, AdmitReader, RotateVoteKey
from contracts.calls import (
    Action,
    Args,
    CertificatesIssue,
    GovernanceApprove,
    GovernancePropose,
    GrantsApprove,
    GrantsRequest,
    NewKey,
    OrganizationsAddKey,
    PeopleEnroll,
    RegisterCertificateTypes,
    RegisterOrganization,
    RegisterPurposes,
    ReleasesPrepare,
    ReleasesRequest,
    call,
)
from contracts.membership import validators
from contracts.passkeys import verify_transaction
from contracts.people_actions import SetRegistrar
from contracts.people_records import (
    HOUR_MS,
    AssertionMethod,
    AssertionUse,
    IdentityAssertion,
    PersonTag,
    SignedAssertion,
    person_account_id,
)
from contracts.records import (
    AccountKind,
    CertificateType,
    ConsentMode,
    FetchType,
    Grant,
    GrantItem,
    KeyRole,
    Output,
    OutputFormat,
    PreparedFile,
    PurposeTemplate,
    Release,
    TemplateItem,
)
from contracts.registry import REGISTRY
from contracts.runtime import BlockContext, BlockExecution, BlockOutcome, genesis_state
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.state import GRANTS, RELEASES, SHARED_KEYS, SHARED_KEYS_IN_USE, Draft
from ledger import codec, domains
from ledger.crypto.suite import Signer, VoteSigner, chain_id, key_id
from ledger.crypto.threshold.dealing import commit, generated_keys
from ledger.crypto.threshold.groups import group_of
from ledger.crypto.threshold.polynomials import value_at
from ledger.hashing import sign_transaction, transaction_id
from ledger.types import (
    Call,
    Genesis,
    GenesisKey,
    GenesisOperator,
    Limits,
    Result,
    Transaction,
    TransactionBody,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    WebAuthn,
    quorum_size,
)
from tests.suites import suite_under_test

SUITE: Final = suite_under_test()
GROUP: Final = group_of(SUITE)
START_MS: Final = 1_800_000_000_000
DAY_MS: Final = 86_400_000
LICENCE: Final = "business_licence"
DEGREE: Final = "degree"


def identity(label: str, size_bytes: int = 16) -> bytes:
    """Bytes that only this label has."""
    return hashlib.sha256(label.encode()).digest()[:size_bytes]


@dataclass(frozen=True)
class Actor:
    """An account acting by one of its keys."""

    account: bytes
    signer: Signer

    @property
    def key_id(self) -> bytes:
        return key_id(SUITE, self.signer.scheme, self.signer.public_key)


def actor(account: str, key: str) -> Actor:
    return Actor(identity(account), SUITE.load_signer(identity(f"{account}/{key}", 32)))


def person(label: str, key: str = "phone") -> Actor:
    """Somebody whose account commits to that key."""
    signer = SUITE.load_signer(identity(f"{label}/{key}", 32))
    return Actor(person_account_id(SUITE, key_id(SUITE, signer.scheme, signer.public_key)), signer)


def voter(label: str) -> VoteSigner:
    return SUITE.load_vote_signer(b"\0" + identity(label, 31))


def new_key(who: Actor, role: KeyRole, until_ms: int = 0) -> NewKey:
    return NewKey(
        scheme=who.signer.scheme,
        public_key=who.signer.public_key,
        role=role,
        label=who.key_id.hex()[:8],
        valid_until_ms=until_ms,
    )


OPERATORS: Final = tuple(actor(f"operator {n}", "admin") for n in range(4))
NODES: Final = tuple(actor(f"operator {n}", "node") for n in range(4))
VOTERS: Final = tuple(voter(f"vote {n}") for n in range(4))
READER_ADMIN: Final = actor("reader", "admin")
READER_NODE: Final = actor("reader", "node")
DEPARTMENT: Final = actor("department", "officer")
DEPARTMENT_ADMIN: Final = actor("department", "admin")
BANK: Final = actor("bank", "officer")
BANK_ADMIN: Final = actor("bank", "admin")
SHOP: Final = actor("shop", "officer")
SHOP_ADMIN: Final = actor("shop", "admin")
AUDITOR: Final = actor("auditor", "officer")
AUDITOR_ADMIN: Final = actor("auditor", "admin")
CLERK: Final = actor("department", "clerk")
LI: Final = person("li")
WANG: Final = person("wang")

ORGANIZATIONS: Final = (
    (DEPARTMENT_ADMIN, DEPARTMENT, AccountKind.DEPARTMENT),
    (BANK_ADMIN, BANK, AccountKind.ENTERPRISE),
    (SHOP_ADMIN, SHOP, AccountKind.ENTERPRISE),
    (AUDITOR_ADMIN, AUDITOR, AccountKind.AUDITOR),
)


def operator_of(account: str, **changes: object) -> GenesisOperator:
    """A newcomer to the network as its card describes it; its keys are those of `actor(account, role)`."""
    keys = tuple(
        GenesisKey(
            key_id=who.key_id,
            scheme=who.signer.scheme,
            public_key=who.signer.public_key,
            role=role,
            label=role,
        )
        for role, who in ((role, actor(account, role)) for role in ("admin", "node"))
    )
    values: dict[str, object] = {
        "account": identity(account),
        "name": account[:64],
        "keys": keys,
        "wrap_key": identity(f"wrap {account}", 32),
        "host": "node.test",
        "port": 7000,
        "certificate": identity(f"certificate {account}", 32),
    }
    return GenesisOperator(**{**values, **changes})  # type: ignore[arg-type]


def newcomer(account: str, vote: str = "", **changes: object) -> AddValidator:
    """A new validator whose vote key has the label `vote`, that of its account if none is given."""
    signer = voter(vote or f"vote {account}")
    return AddValidator(
        operator=operator_of(account, **changes),
        vote_key=signer.public_key,
        possession=signer.prove_possession("test", identity(account)),
    )


def rotation(account: bytes, vote: str) -> RotateVoteKey:
    signer = voter(vote)
    return RotateVoteKey(
        account=account, vote_key=signer.public_key, possession=signer.prove_possession("test", account)
    )


def ballot(
    index: int, view: int, kind: VoteKind, block: str = "block", *, epoch: int = 1, key: str = ""
) -> Vote:
    """A signed vote of the validator that genesis has at `index`."""
    digest = bytes(32) if kind is VoteKind.NULLIFY else identity(block, 32)
    vote = Vote(kind=kind, epoch=epoch, view=view, digest=digest, validator=index, signature=b"-")
    signature = voter(key or f"vote {index}").sign_vote(chain_id(SUITE, genesis()), vote)
    return Vote(kind=kind, epoch=epoch, view=view, digest=digest, validator=index, signature=signature)


def genesis(limits: Limits | None = None, operators: int = 4) -> Genesis:
    def keys(n: int) -> tuple[GenesisKey, ...]:
        pairs = ((actor(f"operator {n}", role), role) for role in ("admin", "node"))
        return tuple(
            GenesisKey(
                key_id=who.key_id,
                scheme=who.signer.scheme,
                public_key=who.signer.public_key,
                role=role,
                label=role,
            )
            for who, role in pairs
        )

    voting = tuple(
        Validator(
            account=identity(f"operator {n}"),
            name=f"op{n}",
            vote_key=voter(f"vote {n}").public_key,
            possession=voter(f"vote {n}").prove_possession("test", identity(f"operator {n}")),
        )
        for n in range(operators)
    )
    return Genesis(
        network="test",
        suite=SUITE.name,
        time_ms=START_MS,
        validators=ValidatorSet(epoch=1, validators=voting),
        operators=tuple(
            GenesisOperator(
                account=identity(f"operator {n}"),
                name=f"op{n}",
                keys=keys(n),
                wrap_key=identity(f"wrap {n}", 32),
                host=f"node-{n}.test",
                port=7000 + n,
                certificate=identity(f"certificate {n}", 32),
            )
            for n in range(operators)
        ),
        limits=limits or Limits(),
    )


DEGREE_TYPE: Final = CertificateType(
    code=DEGREE,
    version=1,
    number=1,
    name_zh="学历",
    name_en="Degree",
    issuers_zh=("教育部门",),
    level_zh="市级",
    holder=AccountKind.PERSON,
    fields=("name", "school", "major", "grade"),
    attachments=("scan", "photo"),
    schema=b"{}",
)
LICENCE_TYPE: Final = CertificateType(
    code=LICENCE,
    version=1,
    number=2,
    name_zh="营业执照",
    name_en="Business licence",
    issuers_zh=("市场监管部门",),
    level_zh="市级",
    holder=AccountKind.ENTERPRISE,
    fields=("title", "address"),
    attachments=("scan",),
    schema=b"{}",
)
HIRING: Final = PurposeTemplate(
    code="hiring",
    name_zh="招聘",
    name_en="Hiring",
    items=(
        TemplateItem(certificate_type=DEGREE, fields=("name", "school", "major"), attachments=("scan",)),
        TemplateItem(certificate_type=LICENCE, fields=("title",), attachments=()),
    ),
    uses_max=5,
    period_ms_max=30 * DAY_MS,
    data_life_ms_max=90 * DAY_MS,
)


class World:
    """A state, a clock, and one block for each call."""

    def __init__(self, limits: Limits | None = None, operators: int = 4) -> None:
        document = genesis(limits, operators)
        self.chain_id = chain_id(SUITE, document)
        self.limits = document.limits
        self.entries: dict[bytes, bytes] = genesis_state(SUITE, document)
        self.registry = REGISTRY
        self.time_ms = START_MS
        self.height = 0
        self.sent = 0

    # --- blocks ---

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        keys = sorted(key for key in self.entries if key.startswith(prefix) and key >= start)
        return [(key, self.entries[key]) for key in keys[:limit]]

    def context(self) -> BlockContext:
        return BlockContext(
            chain_id=self.chain_id,
            suite=SUITE,
            height=self.height + 1,
            time_ms=self.time_ms,
            epoch=validators(self).epoch,
            proposer=OPERATORS[0].account,
            limits=self.limits,
        )

    def execution(self) -> BlockExecution:
        return BlockExecution(self, self.context(), verify, self.registry)

    def sign(self, who: Actor, what: Args | Call, **changes: object) -> Transaction:
        self.sent += 1
        body = TransactionBody(
            chain_id=self.chain_id,
            account=who.account,
            key_id=who.key_id,
            nonce=identity(f"nonce {self.sent}"),
            valid_until_ms=self.time_ms + 60_000,
            call=call(what) if isinstance(what, Args) else what,
        )
        for name, value in changes.items():
            body = TransactionBody(**{**{f: getattr(body, f) for f in body.__struct_fields__}, name: value})
        return sign_transaction(SUITE, who.signer, body)

    def apply(self, outcome: BlockOutcome) -> None:
        for key, value in outcome.writes.items():
            if value is None:
                del self.entries[key]
            else:
                self.entries[key] = value
        self.height += 1

    def block(self, transactions: Iterable[Transaction]) -> BlockOutcome:
        execution = self.execution()
        for transaction in transactions:
            execution.add(transaction, transaction_id(SUITE, transaction.body))
        outcome = execution.finish()
        self.apply(outcome)
        return outcome

    def run(self, who: Actor, what: Args | Call) -> Result:
        """One call in a block of its own; a second passes."""
        result = self.block([self.sign(who, what)]).results[0]
        self.time_ms += 1000
        return result

    def done(self, who: Actor, what: Args | Call) -> bytes:
        """A call that must succeed; its output, when that is an id."""
        result = self.run(who, what)
        assert result.code == "ok", (result.code, result.fields)
        return codec.decode(result.output, bytes, size_bytes_max=64) if result.output[:1] == b"\xc4" else b""

    def refused(self, who: Actor, what: Args | Call, code: str) -> dict[str, str | int]:
        """A call that must be denied with `code`, leave a record and change nothing; the denial's fields."""
        before = {key: value for key, value in self.entries.items() if not key.startswith(b"included")}
        result = self.run(who, what)
        after = {key: value for key, value in self.entries.items() if not key.startswith(b"included")}
        assert result.code == code, (result.code, result.fields)
        assert [event.kind.rpartition(".")[2] for event in result.events] == ["refused"]
        assert before == after
        return dict(result.fields)

    # --- the story so far ---

    def vote(self, action: Action) -> bytes:
        proposal = self.done(OPERATORS[0], GovernancePropose(action=action))
        self.done(OPERATORS[1], GovernanceApprove(proposal_id=proposal))
        self.done(OPERATORS[2], GovernanceApprove(proposal_id=proposal))
        return proposal

    def populate(self) -> World:
        """Types, a purpose, organisations with officers, and two people."""
        self.vote(RegisterCertificateTypes(types=(DEGREE_TYPE, LICENCE_TYPE)))
        self.vote(RegisterPurposes(purposes=(HIRING,)))
        for admin, officer, kind in ORGANIZATIONS:
            issues = (DEGREE, LICENCE) if kind is AccountKind.DEPARTMENT else ()
            self.vote(registration(admin, kind, issues))
            self.done(admin, OrganizationsAddKey(key=new_key(officer, KeyRole.OFFICER)))
        self.register()
        for who in (LI, WANG):
            self.enroll(who)
        self.vote(AdmitReader(reader=operator_of("reader")))
        return self

    def register(self) -> None:
        """The directory key is in force, and the department's clerk says who people are."""
        self.entries.update(directory_entries())
        self.done(DEPARTMENT_ADMIN, OrganizationsAddKey(key=new_key(CLERK, KeyRole.OFFICER)))
        self.vote(REGISTRAR)

    def enroll(self, who: Actor) -> bytes:
        return self.done(DEPARTMENT, enrolment(who, self.chain_id, self.time_ms))

    def issue(self, label: str, holder: Actor = LI, /, **changes: object) -> bytes:
        return self.done(DEPARTMENT, issuance(label, holder, **changes))

    def grant(self, label: str = "", **changes: object) -> bytes:
        """An active grant of Li to the bank for name, school and scan of any degree."""
        asked = self.asking(**changes)
        grant_id = self.done(BANK, asked)
        self.done(LI, self.approval(grant_id))
        return grant_id

    def asking(self, **changes: object) -> GrantsRequest:
        values: dict[str, object] = {
            "pii_principal_id": LI.account,
            "purpose": "hiring",
            "lawful_basis": "consent",
            "legal_ref": "",
            "privacy_notice_hash": bytes(32),
            "language": "zh",
            "items": (item(("name", "school"), ("scan",)),),
            "consent_mode": ConsentMode.STORE,
            "fetch_type": FetchType.PERIODIC,
            "uses_max": 2,
            "consent_expiry_ms": self.time_ms + DAY_MS,
            "data_life_ms": DAY_MS,
            "jurisdiction": "cn",
            "revocable": True,
            "renews": b"",
        }
        return GrantsRequest(**{**values, **changes})  # type: ignore[arg-type]

    def approval(self, grant_id: bytes, **changes: object) -> GrantsApprove:
        grant = self.grant_record(grant_id)
        values: dict[str, object] = {
            "grant_id": grant_id,
            "items": grant.requested_items,
            "uses_max": grant.uses_max,
            "consent_expiry_ms": grant.consent_expiry_ms,
        }
        return GrantsApprove(**{**values, **changes})  # type: ignore[arg-type]

    def grant_record(self, grant_id: bytes) -> Grant:
        grant = self.registry.in_force(self).record(self, GRANTS, grant_id)
        assert grant is not None
        return grant

    def release_record(self, release_id: bytes) -> Release:
        release = RELEASES.get(self, release_id)
        assert release is not None
        return release

    def release(self, grant_id: bytes, certificate: bytes) -> bytes:
        """A requested release of the name."""
        return self.done(BANK, asking_release(grant_id, json_of(certificate, "name")))

    def prepare(self, release_id: bytes) -> None:
        self.done(NODES[1], preparation(release_id))


def verify(scheme: str, public_key: bytes, transaction: Transaction, webauthn: WebAuthn) -> bool:
    return verify_transaction(SUITE, scheme, public_key, transaction, webauthn)


def registration(admin: Actor, kind: AccountKind, issues: tuple[str, ...] = ()) -> RegisterOrganization:
    return RegisterOrganization(
        account_id=admin.account,
        kind=kind,
        name="机构",
        credit_code="",
        issues=issues,
        admin=new_key(admin, KeyRole.ADMIN),
    )


def tag_of(who: Actor, version: int = 1) -> PersonTag:
    """What the directory function would give for that person's number."""
    return PersonTag(version=version, tag=identity(f"tag {version} {who.account.hex()}", 32))


def own_element(who: Actor) -> bytes:
    """The person's own blinded element."""
    return GROUP.hash_to_element(domains.PERSON_TAG, who.account).encode()


def assertion(
    who: Actor,
    chain: bytes = b"",
    time_ms: int = START_MS,
    /,
    *,
    by: Actor = CLERK,
    **changes: object,
) -> SignedAssertion:
    """A clerk's word on who holds the person's key; `changes` are of its members."""
    values: dict[str, object] = {
        "chain_id": chain or chain_id(SUITE, genesis()),
        "issuer": by.account,
        "use": AssertionUse.ENROLL,
        "method": AssertionMethod.CLERK,
        "key_id": who.key_id,
        "tags": (tag_of(who),),
        "own_element": own_element(who),
        "reachable": True,
        "evidence": bytes(32),
        "issued_ms": time_ms,
        "expires_ms": time_ms + HOUR_MS,
    }
    said = IdentityAssertion(**{**values, **changes})  # type: ignore[arg-type]
    signature = by.signer.sign(domains.IDENTITY_ASSERTION, codec.encode(said))
    return SignedAssertion(assertion=said, key_id=by.key_id, signature=signature)


def enrolment(
    who: Actor,
    chain: bytes = b"",
    time_ms: int = START_MS,
    /,
    *,
    key: NewKey | None = None,
    **changes: object,
) -> PeopleEnroll:
    return PeopleEnroll(
        assertion=assertion(who, chain, time_ms, **changes),  # type: ignore[arg-type]
        key=key or new_key(who, KeyRole.HOLDER),
    )


def directory_key(version: int = 1, operators: int = 4) -> tuple[SharedKey, tuple[int, ...]]:
    """A dealt directory key in the operators' hands, and their shares."""
    threshold = quorum_size(operators)
    coefficients = tuple(
        int.from_bytes(identity(f"directory {version} {power}", 32), "big") % GROUP.order
        for power in range(threshold)
    )
    keys = generated_keys(GROUP, [commit(GROUP, coefficients)], operators)
    shared = SharedKey(
        purpose=KeyPurpose.DIRECTORY,
        version=version,
        renewal=0,
        group=GROUP.name,
        holders=tuple(one.account for one in OPERATORS[:operators]),
        keys=keys,
        since_ms=START_MS,
    )
    return shared, tuple(value_at(GROUP.order, coefficients, holder) for holder in range(1, operators + 1))


def directory_entries(version: int = 1, *, in_use: bool = True) -> dict[bytes, bytes]:
    """The state's entries of that key."""
    draft = Draft(EMPTY)
    SHARED_KEYS.put(draft, (KeyPurpose.DIRECTORY, version), directory_key(version)[0])
    if in_use:
        SHARED_KEYS_IN_USE.put(draft, KeyPurpose.DIRECTORY, version)
    return {key: value for key, value in draft.writes.items() if value is not None}


class _Empty:
    def get(self, _key: bytes) -> bytes | None:
        return None


EMPTY: Final = _Empty()
REGISTRAR: Final = SetRegistrar(
    account_id=DEPARTMENT.account, methods=tuple(AssertionMethod), uses=tuple(AssertionUse)
)


def issuance(label: str, holder: Actor = LI, /, **changes: object) -> CertificatesIssue:
    values: dict[str, object] = {
        "certificate_id": identity(label),
        "certificate_type": DEGREE,
        "type_version": 1,
        "holder": holder.account,
        "commitment_root": bytes(32),
        "payload_hash": bytes(32),
        "fields": ("name", "school", "major"),
        "attachments": ("scan",),
        "valid_from_ms": START_MS,
        "valid_until_ms": 0,
        "supersedes": b"",
    }
    return CertificatesIssue(**{**values, **changes})  # type: ignore[arg-type]


def item(
    fields: tuple[str, ...], attachments: tuple[str, ...] = (), kind: str = DEGREE, certificate: bytes = b""
) -> GrantItem:
    return GrantItem(certificate_type=kind, certificate=certificate, fields=fields, attachments=attachments)


def json_of(certificate: bytes, *fields: str) -> Output:
    return Output(certificate=certificate, format=OutputFormat.JSON, fields=fields, attachment="")


def pdf_of(certificate: bytes, attachment: str) -> Output:
    return Output(certificate=certificate, format=OutputFormat.PDF, fields=(), attachment=attachment)


def asking_release(grant_id: bytes, *outputs: Output, by: bytes = NODES[1].account) -> ReleasesRequest:
    return ReleasesRequest(grant_id=grant_id, outputs=outputs, released_by=by)


def preparation(release_id: bytes, files: int = 1) -> ReleasesPrepare:
    made = tuple(
        PreparedFile(
            media_type="application/json",
            size_bytes=1,
            file_hash=identity(f"file {n}", 32),
            mark_commitment=b"\x07" * 32,
        )
        for n in range(files)
    )
    return ReleasesPrepare(release_id=release_id, files=made)
