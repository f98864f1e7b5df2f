"""What a transaction can ask for about people and lookups: see `calls.py`, whose `CALLS` names these.

Rule: who may call is written beside each struct and enforced by the contract. No call carries an identity number; a tag comes
only inside what a registrar has signed, or with a ticket under which it was computed.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.new_keys import NewKey
from contracts.people_records import BATCH_MAX, PersonTag, SignedAssertion
from contracts.vocabulary import Code
from ledger.types import AccountId, Hash, Id16, KeyId, Wire


class LookupsRequest(Args):
    """Officer of a department or enterprise; a person, for its own element only. Output: ticket id (16 bytes).

    See `people_records.Ticket`.
    """

    entry: AccountId
    count: Annotated[int, Meta(ge=1, le=BATCH_MAX)]
    elements_hash: Hash
    basis: Code


class LookupsApprove(Args):
    """Another officer of the organisation that asked."""

    ticket_id: Id16


class PeopleEnroll(Args):
    """Registrar's officer, by another key than the one that signed the assertion.

    Opens a person's account and binds its first key. Output: account id (16 bytes), `people_records.person_account_id`.
    """

    assertion: SignedAssertion
    key: NewKey


class PeopleAddKey(Args):
    """The person, with a valid key."""

    key: NewKey


class PeopleRevokeKey(Args):
    """The person. The last valid key cannot be revoked."""

    key_id: KeyId


class PeopleSetReachable(Args):
    """The person: whether notices arrive."""

    reachable: bool


class PeopleRetag(Args):
    """The person, with a registrar's assertion: takes its tags under every version in force to the own account."""

    assertion: SignedAssertion


class MovedTag(Wire):
    """A tag that has an account, and the same number's tag under another version."""

    known: PersonTag
    new: PersonTag


class PeopleMoveTags(Args):
    """Registrar's officer, under an approved ticket of its organisation: tags of the same people under another version."""

    ticket_id: Id16
    moves: Annotated[tuple[MovedTag, ...], Meta(min_length=1, max_length=BATCH_MAX)]


class RecoveriesOpen(Args):
    """Registrar's officer: a person who has lost every key asks for another one. Output: the person's account."""

    assertion: SignedAssertion
    key: NewKey


class RecoveriesConfirm(Args):
    """Officer of another registrar, who has identified the person too. The delay begins."""

    account: AccountId
    assertion: SignedAssertion


class RecoveriesVeto(Args):
    """The person, with any valid key: that was not me."""


PEOPLE_CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("lookups", "request"): LookupsRequest,
    ("lookups", "approve"): LookupsApprove,
    ("people", "enroll"): PeopleEnroll,
    ("people", "add_key"): PeopleAddKey,
    ("people", "revoke_key"): PeopleRevokeKey,
    ("people", "set_reachable"): PeopleSetReachable,
    ("people", "retag"): PeopleRetag,
    ("people", "move_tags"): PeopleMoveTags,
    ("recoveries", "open"): RecoveriesOpen,
    ("recoveries", "confirm"): RecoveriesConfirm,
    ("recoveries", "veto"): RecoveriesVeto,
}
