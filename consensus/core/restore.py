"""Bringing the core back from its journal.

Rule: replay ends where the node had spoken from, or later; never earlier. Votes come back into the tally and into the memory of
what was voted; nothing is verified again, since the journal's checksums have vouched for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from consensus.core.machine import Machine
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.core.settings import Hashing
from ledger.types import QuorumCertificate, Vote, VoteKind


def restore(machine: Machine, records: Iterable[Record], hashing: Hashing) -> None:
    """Feed a journal's records, in order, to a new machine.

    Args:
        machine: made with the application's durable head; nothing has been handled yet.
        records: everything the journal still has of the machine's epoch.
        hashing: the network's hashes.
    """
    votes: list[Vote] = []
    certificates: list[QuorumCertificate] = []
    proofs: dict[bytes, FinalizationRecord] = {}
    for record in records:
        match record:
            case BlockRecord(block=block):
                entry = machine.tree.add(block, hashing.block_digest(block.header))
                if entry is not None:
                    entry.persisted = True
            case VoteRecord(vote=vote):
                votes.append(vote)
            case CertificateRecord(certificate=certificate):
                certificates.append(certificate)
            case FinalizationRecord(certificate=certificate, path=path):
                certificates.append(certificate)
                proofs[path[0].parent if path else certificate.digest] = record
    _restore_proofs(machine, proofs)
    _restore_certificates(machine, certificates)
    _restore_votes(machine, votes)
    machine.pace.restart()


def _restore_proofs(machine: Machine, proofs: dict[bytes, FinalizationRecord]) -> None:
    """Every block that was proven final, also where the body of the newest one is missing."""
    bodies = [entry for entry in map(machine.tree.get, proofs) if entry is not None]
    for entry in sorted(bodies, key=lambda entry: entry.header.height):
        machine.finalizer.restore(entry.digest, proofs[entry.digest])


def _restore_certificates(machine: Machine, certificates: list[QuorumCertificate]) -> None:
    rounds = machine.rounds
    for certificate in sorted(certificates, key=lambda one: (one.kind is not VoteKind.FINALIZE, -one.view)):
        if certificate.view <= rounds.finalized.view:
            continue
        held = rounds.at(certificate.view).certificates
        if certificate.kind not in held:
            rounds.store(certificate)
        if certificate.view >= rounds.current:
            rounds.current, rounds.admitted_by = certificate.view + 1, certificate
        if certificate.kind is VoteKind.FINALIZE:
            rounds.finalize(certificate)


def _restore_votes(machine: Machine, votes: list[Vote]) -> None:
    for vote in votes:
        if vote.view <= machine.rounds.finalized.view:
            continue
        found = machine.rounds.at(vote.view)
        found.intended[vote.kind] = vote.digest
        found.own_votes[vote.kind] = vote
        if found.ballots.vote_of(vote.kind, vote.validator) is None:
            machine.counter.count(found.ballots, vote, verified=True, certify=False)
