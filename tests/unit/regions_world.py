"""Another network, as far as this one ever sees it: blocks, votes, proofs. Its state is what a test writes there.

Everything is derived from labels, as in `contracts_world`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from contracts.records import Account, AccountKind, AccountStatus, Certificate, CertificateState, StateEntry
from contracts.region_actions import TrustRegion
from contracts.region_calls import RecognitionsRecognize, RecognitionsRefresh, RegionsFollow
from contracts.region_records import CertificateEvidence, FinalHeader, Region, ShownEntry
from contracts.regions import region
from contracts.state import ACCOUNTS, CERTIFICATES, CONTRACTS
from contracts.upgrade_records import ContractSchedule
from ledger import codec, state_tree
from ledger.commitments import FieldProof, commitment_root, encode_value, leaf, prove_field
from ledger.crypto.suite import VoteSigner
from ledger.hashing import ZERO_HASH, block_digest, results_root, transactions_root, validators_hash
from ledger.types import (
    EpochChange,
    Header,
    QuorumCertificate,
    Trust,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    quorum_size,
)
from tests.suites import NAME, suite_under_test
from tests.unit.contracts_world import DAY_MS, DEGREE, START_MS, World, identity

NETWORK: Final = "邻省 neighbour"
ISSUER: Final = identity("their department")
HOLDER: Final = identity("their citizen")
CERTIFICATE: Final = identity("their degree")
FIELDS: Final = {"name": "王小明", "school": "邻省大学", "major": "法学"}
CONTRACT_KEY: Final = CONTRACTS.key("certificates")
EVIDENCE: Final = CertificateEvidence.__struct_fields__
PROOF_AGE_MS: Final = 600_000
LIFE_MS: Final = 30 * DAY_MS


@lru_cache(maxsize=256)
def voter(suite_name: str, label: str) -> VoteSigner:
    return suite_under_test(suite_name).load_vote_signer(b"\0" + identity(label, 31))


@lru_cache(maxsize=256)
def validator(suite_name: str, label: str) -> Validator:
    signer = voter(suite_name, label)
    account = identity(f"validator {label}")
    return Validator(
        account=account,
        name=label[:64],
        vote_key=signer.public_key,
        possession=signer.prove_possession(NETWORK, account),
    )


def voters(epoch: int, count: int = 4, suite_name: str = NAME, label: str = "home") -> ValidatorSet:
    """The set of an epoch: one member has another key in each."""
    names = [f"{label} {n}" for n in range(count - 1)] + [f"{label} {count - 1} of epoch {epoch}"]
    return ValidatorSet(epoch=epoch, validators=tuple(validator(suite_name, name) for name in names))


class Home:
    """The other network. `time_ms` is the block time of its head."""

    def __init__(self, suite_name: str = NAME, count: int = 4, chain: str = "home chain") -> None:
        self.suite = suite_under_test(suite_name)
        self.count = count
        self.chain_id = identity(chain, 32)
        self.voters = voters(1, count, suite_name)
        self.sets = {1: self.voters}
        self.nodes: dict[bytes, bytes] = {}
        self.entries: dict[bytes, bytes] = {}
        self.time_ms = START_MS
        self.entries[CONTRACT_KEY] = codec.encode(ContractSchedule(version=1))
        tree = state_tree.update(self.suite, self.reader, None, self.entries, 0)
        self.nodes.update(tree.nodes)
        self.head = Header(
            version=1,
            chain_id=self.chain_id,
            epoch=1,
            view=1,
            height=0,
            parent=ZERO_HASH,
            time_ms=self.time_ms,
            proposer=self.voters.validators[0].account,
            transactions_root=transactions_root(self.suite, ()),
            results_root=results_root(self.suite, ()),
            state_root=tree.root,
            validators_hash=validators_hash(self.suite, self.voters),
            next_validators_hash=validators_hash(self.suite, self.voters),
        )

    @property
    def reader(self) -> state_tree.NodeMap:
        return state_tree.NodeMap(self.nodes)

    @property
    def trust(self) -> Trust:
        """The point of the epoch that its head is in."""
        return Trust(
            version=1,
            network=NETWORK,
            suite=self.suite.name,
            chain_id=self.chain_id,
            validators=self.voters,
        )

    # --- blocks ---

    def child(self, parent: Header, /, **changes: object) -> Header:
        """A block above `parent`, of the present epoch."""
        of_epoch = parent.epoch == self.voters.epoch
        made: dict[str, object] = {
            "epoch": self.voters.epoch,
            "view": parent.view + 1 if of_epoch else 1,
            "height": parent.height + 1,
            "parent": block_digest(self.suite, parent),
            "time_ms": parent.time_ms + 1000,
            "transactions_root": identity(f"transactions {parent.height}", 32),
            "validators_hash": validators_hash(self.suite, self.voters),
            "next_validators_hash": validators_hash(self.suite, self.voters),
        }
        return replace(parent, **{**made, **changes})

    def grow(self, writes: dict[bytes, bytes | None] | None = None, /, **changes: object) -> Header:
        """The next block, with what it writes."""
        height = self.head.height + 1
        tree = state_tree.update(self.suite, self.reader, self.head.height, writes or {}, height)
        self.nodes.update(tree.nodes)
        for key, value in (writes or {}).items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        self.head = self.child(self.head, state_root=tree.root, **changes)
        self.time_ms = self.head.time_ms
        return self.head

    def at(self, time_ms: int) -> Header:
        """A block of this time."""
        return self.grow(time_ms=time_ms)

    def filler(self, parent: Header, /, **changes: object) -> Header:
        filled: dict[str, object] = {
            "view": parent.view + 1,
            "parent": block_digest(self.suite, parent),
            "time_ms": parent.time_ms + 1000,
            "transactions_root": transactions_root(self.suite, ()),
            "results_root": results_root(self.suite, ()),
        }
        return replace(parent, **{**filled, **changes})

    def certify(
        self, header: Header, kind: VoteKind = VoteKind.FINALIZE, signers: Sequence[int] | None = None
    ) -> QuorumCertificate:
        members = self.sets[header.epoch]
        digest = block_digest(self.suite, header)
        indices = range(quorum_size(self.count)) if signers is None else signers
        votes = []
        for index in indices:
            vote = Vote(
                kind=kind,
                epoch=header.epoch,
                view=header.view,
                digest=digest,
                validator=index,
                signature=b"-",
            )
            signer = voter(self.suite.name, members.validators[index].name)
            votes.append(replace(vote, signature=signer.sign_vote(self.chain_id, vote)))
        return self.suite.quorum.aggregate(members, tuple(votes))

    def final(self, header: Header | None = None, path: Sequence[Header] = ()) -> FinalHeader:
        header = header or self.head
        certified = path[-1] if path else header
        return FinalHeader(header=header, path=tuple(path), certificate=self.certify(certified))

    def seal(self, fillers: int = 0, label: str = "home", at: int = 0) -> EpochChange:
        """End the epoch; the next one's set is then the one that votes."""
        following = voters(self.voters.epoch + 1, self.count, self.suite.name, label)
        header = self.grow(next_validators_hash=validators_hash(self.suite, following))
        path: list[Header] = []
        for _ in range(fillers):
            path.append(self.filler(path[-1] if path else header))
        certificate = self.certify(path[-1] if path else header)
        self.voters = following
        self.sets[following.epoch] = following
        return EpochChange(header=header, path=tuple(path), certificate=certificate, validators=following)

    # --- state ---

    def deposit(self, certificate: Certificate) -> Header:
        return self.grow({CERTIFICATES.key(certificate.certificate_id): codec.encode(certificate)})

    def entry(self, key: bytes, height: int | None = None, value: bytes | None = None) -> ShownEntry:
        """What the state has under a key, at the head or, with the value it had, at a height."""
        at = self.head.height if height is None else height
        shown = self.entries.get(key) if height is None else value
        return ShownEntry(value=shown, proof=state_tree.prove(self.suite, self.reader, at, key))

    def shown(self, certificate_id: bytes = CERTIFICATE) -> ShownEntry:
        return self.entry(CERTIFICATES.key(certificate_id))

    def department(self, **changes: object) -> Account:
        made = Account(
            account_id=ISSUER,
            kind=AccountKind.DEPARTMENT,
            status=AccountStatus.ACTIVE,
            name="邻省教育厅",
            credit_code="",
            issues=(DEGREE,),
            created_ms=START_MS,
            keys=(),
        )
        return replace(made, **changes)

    def evidence(self, **changes: object) -> CertificateEvidence:
        """What the head says of the certificate."""
        made = CertificateEvidence(
            final=self.final(),
            contract=self.entry(CONTRACT_KEY),
            certificate=self.shown(),
            issuer=None,
        )
        return replace(made, **changes)

    def recognizing(self, **changes: object) -> RecognitionsRecognize:
        """A call that brings what the head says of the certificate; changes of the evidence are made in it."""
        of_evidence = {name: changes.pop(name) for name in EVIDENCE if name in changes}
        made = RecognitionsRecognize(
            region=self.chain_id,
            certificate_id=CERTIFICATE,
            evidence=self.evidence(**of_evidence),
            lawful_basis="consent",
            consent_hash=identity("consent", 32),
        )
        return replace(made, **changes)

    def refreshing(self, recognition_id: bytes, **changes: object) -> RecognitionsRefresh:
        return RecognitionsRefresh(recognition_id=recognition_id, evidence=self.evidence(**changes))

    def following(self, *changes: EpochChange) -> RegionsFollow:
        return RegionsFollow(region=self.chain_id, changes=changes)


def salt(name: str) -> bytes:
    return identity(f"salt {name}")


def _leaves(home: Home) -> tuple[bytes, ...]:
    return tuple(
        leaf(home.suite, salt(name), name, encode_value(value)) for name, value in sorted(FIELDS.items())
    )


def commitment(home: Home) -> bytes:
    return commitment_root(home.suite, _leaves(home))


def field_proof(home: Home, name: str) -> FieldProof:
    return prove_field(home.suite, _leaves(home), sorted(FIELDS).index(name), salt(name))


def degree(home: Home, *states: CertificateState, **changes: object) -> Certificate:
    """Their certificate, with these states holding."""
    made = Certificate(
        certificate_id=CERTIFICATE,
        certificate_type=DEGREE,
        type_version=1,
        holder=HOLDER,
        issuer=ISSUER,
        issued_by=identity("their officer"),
        commitment_root=commitment(home),
        payload_hash=bytes(32),
        fields=tuple(FIELDS),
        attachments=(),
        issued_ms=START_MS,
        valid_from_ms=START_MS,
        valid_until_ms=0,
        supersedes=b"",
        superseded_by=b"",
        states=tuple(
            StateEntry(
                state=state,
                since_ms=START_MS,
                until_ms=0,
                reason="test",
                key_id=identity("their officer"),
            )
            for state in states
        ),
    )
    return replace(made, **changes)


def account_key(account: bytes) -> bytes:
    return ACCOUNTS.key(account)


def trusting(home: Home, **changes: object) -> TrustRegion:
    made = TrustRegion(
        trust=home.trust, types=(DEGREE,), proof_age_ms_max=PROOF_AGE_MS, recognition_life_ms=LIFE_MS
    )
    return replace(made, **changes)


def held(world: World, home: Home) -> Region:
    found = region(world, home.chain_id)
    assert found is not None
    return found


@lru_cache(maxsize=1)
def _prepared() -> tuple[dict[bytes, bytes], int, int, int]:
    world = World().populate()
    return world.entries, world.time_ms, world.height, world.sent


def prepared() -> World:
    """A populated world; a fresh copy at every call."""
    world = World()
    entries, world.time_ms, world.height, world.sent = _prepared()
    world.entries = dict(entries)
    return world


def neighbours(suite_name: str = NAME, **changes: object) -> tuple[World, Home]:
    """This network and one that it trusts, in which there is a certificate."""
    world, home = prepared(), Home(suite_name)
    world.vote(trusting(home, **changes))
    home.deposit(degree(home))
    level(world, home)
    return world, home


def level(world: World, home: Home) -> None:
    """Their next block is of our time."""
    home.at(max(world.time_ms, home.time_ms + 1))
    world.time_ms = max(world.time_ms, home.time_ms)
