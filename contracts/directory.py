"""The person directory: from an identity number to an account, with nobody able to compute the way alone.

The tag of a number is F(k, number): a pseudorandom function whose key k the operators hold together
(`ledger/crypto/threshold/prf.py`). State maps (version of k, tag) to an account. Whoever looks somebody up blinds the number's
element; the holders evaluate the blinded element of a finalized ticket, and nothing else.

A person keeps a secret factor s and has E = s·H(number) in its record. The holders evaluate nothing for a person but E: only who
knows s can make a tag of it, and of no other number, because nobody knows a factor from another number's element to E.

Rule: pure functions of the state and of bytes; whoever asks is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.denials import Denied
from contracts.people_records import PersonTag
from contracts.shared_key_records import KeyPurpose
from contracts.state import PERSON_TAGS, SHARED_KEYS, SHARED_KEYS_IN_USE, StateReader
from ledger import domains
from ledger.crypto.suite import CryptoSuite


def version_in_use(state: StateReader) -> int | None:
    """The version of the directory key for what is new; None before one was made."""
    return SHARED_KEYS_IN_USE.get(state, KeyPurpose.DIRECTORY)


def versions_in_force(state: StateReader) -> tuple[int, ...]:
    """The versions under which people are found, ascending: the one in use, and its neighbours as long as they exist."""
    used = version_in_use(state)
    if used is None:
        return ()
    near = range(max(used - 1, 1), used + 2)
    return tuple(
        version for version in near if SHARED_KEYS.get(state, (KeyPurpose.DIRECTORY, version)) is not None
    )


def person_of(state: StateReader, tags: Sequence[PersonTag]) -> bytes | None:
    """The account that stands under the first of these tags that has one."""
    found = (PERSON_TAGS.get(state, (one.version, one.tag)) for one in tags)
    return next((account for account in found if account is not None), None)


def check_versions(state: StateReader, tags: Sequence[PersonTag]) -> None:
    """Check that there is one tag under each version in force, ascending.

    Raises:
        Denied: directory_not_ready, tag_version.
    """
    versions = versions_in_force(state)
    if not versions:
        raise Denied("directory_not_ready")
    if tuple(one.version for one in tags) != versions:
        given = ", ".join(str(one.version) for one in tags)
        raise Denied("tag_version", version=given, current=", ".join(map(str, versions)))


def elements_hash(suite: CryptoSuite, elements: Sequence[bytes]) -> bytes:
    """What a ticket says of its blinded elements. They are of one length, so the hash is of one sequence only."""
    return suite.hash(domains.LOOKUP_ELEMENTS, len(elements).to_bytes(4, "big") + b"".join(elements))


def share_context(chain_id: bytes, ticket_id: bytes, version: int) -> bytes:
    """What the proofs of shares given under a ticket are bound to."""
    return chain_id + ticket_id + version.to_bytes(8, "big")
