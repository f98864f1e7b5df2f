"""Who belongs to the network: the validators of each epoch, the nodes of the peer network, their operators.

Rule: an active account of kind operator, a validator of the set that votes on the next block and a node record of
role validator are three sides of one thing and change together, at most once an epoch, by a vote of the operators;
the block in which it happens is its epoch's last one with transactions. A key that one node has or had, whatever it
was for, is never another's, and a vote key never comes back at all: what was signed with it belongs to its epoch.

Only structure is checked here. Whether a quorum of the new set runs is for the operators to look at before they vote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, assert_never

from msgspec.structs import replace

from contracts import shared_keys
from contracts.actions import (
    AddValidator,
    AdmitReader,
    ChangeValidators,
    RemoveNode,
    RemoveValidator,
    RotateVoteKey,
)
from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.records import (
    NODE_CERTIFICATES_MAX,
    Account,
    AccountKind,
    AccountStatus,
    Key,
    KeyRole,
    NodeRecord,
    NodeRole,
)
from contracts.state import (
    ACCOUNTS,
    KEYS_TAKEN,
    NODE_ACCOUNTS,
    NODES,
    VALIDATOR_SETS,
    VALIDATORS,
    Draft,
    NodeAccounts,
    StateReader,
    network,
    present,
)
from ledger.crypto.suite import CryptoSuite, key_id
from ledger.types import (
    VALIDATORS_MAX,
    Genesis,
    GenesisKey,
    GenesisOperator,
    Validator,
    ValidatorSet,
)

VALIDATORS_REMAINING_MIN: Final = 4
READERS_MAX: Final = 256
KEYS_PER_NODE_MAX: Final = 8
EPOCH_FIRST: Final = 1
# Checking one proof of possession, or one vote, in the cost units of `methods.Method`.
VOTE_KEY_CHECK_COST: Final = 100
NODE_KEY_ROLES: Final = (KeyRole.ADMIN, KeyRole.NODE)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:\-]*[A-Za-z0-9])?|::[A-Fa-f0-9:.]*")

VOTE_KEY: Final = "vote key"
WRAP_KEY: Final = "wrap key"
CERTIFICATE: Final = "certificate"
ACCOUNT_KEY: Final = "account key"


# --- reading ------------------------------------------------------------------------------------------------


def validators(state: StateReader) -> ValidatorSet:
    """The set that votes on the next block."""
    return present(VALIDATORS.get(state, None), "the validator set")


def validator_set(state: StateReader, epoch: int) -> ValidatorSet | None:
    """The set of an epoch, past, present or decided; None if there is none yet."""
    return VALIDATOR_SETS.get(state, epoch)


def operators(state: StateReader) -> tuple[bytes, ...]:
    """Accounts that vote in governance: those of the validators, in the same order."""
    return tuple(validator.account for validator in validators(state).validators)


def nodes(state: StateReader) -> tuple[NodeRecord, ...]:
    """Every node of the peer network, in the order of admission."""
    return tuple(
        present(NODES.get(state, account), "the record of a listed node") for account in _listed(state)
    )


def node(state: StateReader, account: bytes) -> NodeRecord | None:
    """One node's record; None if the account has no node or no longer belongs to the network."""
    return NODES.get(state, account)


# --- genesis ------------------------------------------------------------------------------------------------


def found(suite: CryptoSuite, draft: Draft, genesis: Genesis) -> None:
    """Write the first epoch's set and the operators' accounts and nodes.

    Raises:
        Denied: what is wrong with one of the operators or keys.
    """
    NODE_ACCOUNTS.put(draft, None, NodeAccounts(accounts=()))
    for operator in genesis.operators:
        _admit(suite, draft, operator, NodeRole.VALIDATOR, genesis.time_ms)
    for validator in genesis.validators.validators:
        _take_vote_key(suite, draft, validator.account, validator.vote_key)
    _put_set(draft, genesis.validators)


# --- what operators decide ----------------------------------------------------------------------------------


def change_validators(context: CallContext, action: ChangeValidators) -> None:
    """Replace the set by the next epoch's.

    Raises:
        Denied: epoch_change_pending, duplicate_name, not_a_validator, validators_too_few, validators_too_many,
            possession_invalid, holders_too_few, renewal_under_way, and those of a node that cannot be admitted.
    """
    present_set = validators(context.state)
    if present_set.epoch != context.block.epoch:
        raise Denied("epoch_change_pending", epoch=present_set.epoch)
    epoch = present_set.epoch + 1
    members = {validator.account: validator for validator in present_set.validators}
    changed: list[Validator] = []
    touched: set[bytes] = set()
    for change in action.changes:
        account = change.operator.account if isinstance(change, AddValidator) else change.account
        if account in touched:
            raise Denied("duplicate_name", name=account.hex())
        touched.add(account)
        if not isinstance(change, AddValidator) and account not in members:
            raise Denied("not_a_validator", account=account.hex())
        match change:
            case AddValidator():
                changed.append(_add(context, change, epoch))
                members[account] = changed[-1]
            case RemoveValidator():
                _dismiss(context, account, "validators.removed", epoch=epoch)
                del members[account]
            case RotateVoteKey():
                changed.append(_rotate(context, members[account], change, epoch))
                members[account] = changed[-1]
            case _:
                assert_never(change)
    _check_size(context.state, len(members))
    shared_keys.check_validators(context.state, tuple(members))
    _check_possession(context, changed)
    _put_set(context.state, ValidatorSet(epoch=epoch, validators=tuple(members.values())))
    shared_keys.follow_validators(context.state, context.block.suite)


def admit_reader(context: CallContext, action: AdmitReader) -> None:
    """Let a read node into the peer network.

    Raises:
        Denied: readers_too_many, and those of a node that cannot be admitted.
    """
    readers = len(_listed(context.state)) - sum(
        NODES.get(context.state, account) is not None for account in operators(context.state)
    )
    if readers >= READERS_MAX:
        raise Denied("readers_too_many", maximum=READERS_MAX)
    reader = action.reader
    _admit(context.block.suite, context.state, reader, NodeRole.READER, context.time_ms)
    context.emit("readers.admitted", reader.account, (), name=reader.name)


def remove_node(context: CallContext, action: RemoveNode) -> None:
    """Let a read node go.

    Raises:
        Denied: not_a_reader.
    """
    record = NODES.get(context.state, action.account)
    if record is None or record.role is not NodeRole.READER:
        raise Denied("not_a_reader", account=action.account.hex())
    _dismiss(context, action.account, "readers.removed")


# --- keys ---------------------------------------------------------------------------------------------------


def take_key(suite: CryptoSuite, draft: Draft, account: bytes, purpose: str, key: bytes) -> None:
    """Note that a key is this account's for good; it may be so already.

    Raises:
        Denied: key_taken, by another account.
    """
    digest = _key_digest(suite, purpose, key)
    if KEYS_TAKEN.get(draft, digest) not in {None, account}:
        raise Denied("key_taken", what=purpose, digest=digest.hex())
    KEYS_TAKEN.put(draft, digest, account)


def check_host(host: str) -> None:
    """Raise Denied (host_unusable) unless this is written as a host name or address is."""
    if _HOST.fullmatch(host) is None:
        raise Denied("host_unusable", host=host)


def check_certificates(certificates: Sequence[bytes]) -> None:
    """Raise Denied (duplicate_name) if one comes twice."""
    if len(set(certificates)) != len(certificates):
        raise Denied("duplicate_name", name=CERTIFICATE)


# --- inside -------------------------------------------------------------------------------------------------


def _add(context: CallContext, change: AddValidator, epoch: int) -> Validator:
    operator = change.operator
    suite = context.block.suite
    record = NODES.get(context.state, operator.account)
    if record is not None and record.role is NodeRole.READER:
        _promote(context.state, record, operator)
    else:
        _admit(suite, context.state, operator, NodeRole.VALIDATOR, context.time_ms)
    _take_vote_key(suite, context.state, operator.account, change.vote_key)
    context.emit("validators.added", operator.account, (), name=operator.name, epoch=epoch)
    return Validator(
        account=operator.account,
        name=operator.name,
        vote_key=change.vote_key,
        possession=change.possession,
    )


def _rotate(context: CallContext, validator: Validator, change: RotateVoteKey, epoch: int) -> Validator:
    _take_vote_key(context.block.suite, context.state, change.account, change.vote_key)
    context.emit("validators.key_rotated", change.account, (), epoch=epoch)
    return replace(validator, vote_key=change.vote_key, possession=change.possession)


def _admit(suite: CryptoSuite, draft: Draft, operator: GenesisOperator, role: NodeRole, time_ms: int) -> None:
    """Open the account and the node record of a newcomer."""
    account = operator.account
    if ACCOUNTS.get(draft, account) is not None:
        raise Denied("account_exists", account=account.hex())
    check_host(operator.host)
    keys = _account_keys(suite, operator, role, time_ms)
    for key in keys:
        take_key(suite, draft, account, ACCOUNT_KEY, key.key_id)
    take_key(suite, draft, account, WRAP_KEY, operator.wrap_key)
    take_key(suite, draft, account, CERTIFICATE, operator.certificate)
    opened = Account(
        account_id=account,
        kind=AccountKind.OPERATOR if role is NodeRole.VALIDATOR else AccountKind.READER,
        status=AccountStatus.ACTIVE,
        name=operator.name,
        credit_code="",
        issues=(),
        created_ms=time_ms,
        keys=keys,
    )
    ACCOUNTS.put(draft, account, opened)
    record = NodeRecord(
        account=account,
        name=operator.name,
        role=role,
        host=operator.host,
        port=operator.port,
        certificates=(operator.certificate,),
        wrap_key=operator.wrap_key,
    )
    NODES.put(draft, account, record)
    NODE_ACCOUNTS.put(draft, None, NodeAccounts(accounts=(*_listed(draft), account)))


def _promote(draft: Draft, record: NodeRecord, operator: GenesisOperator) -> None:
    """Make a read node, which follows the chain already, a validator's; it stays where and what it is."""
    account = present(ACCOUNTS.get(draft, record.account), "the account of a read node")
    same_keys = {key.key_id for key in account.keys} == {key.key_id for key in operator.keys}
    if not same_keys or (operator.name, operator.wrap_key) != (record.name, record.wrap_key):
        raise Denied("account_exists", account=record.account.hex())
    _check_roles(account.account_id, account.keys, NODE_KEY_ROLES)
    ACCOUNTS.put(draft, record.account, replace(account, kind=AccountKind.OPERATOR))
    NODES.put(
        draft,
        record.account,
        replace(record, role=NodeRole.VALIDATOR),
    )


def _dismiss(context: CallContext, account: bytes, kind: str, **data: int) -> None:
    """Take an account's membership; the account itself stays."""
    state = context.state
    opened = present(ACCOUNTS.get(state, account), "the account of a member")
    ACCOUNTS.put(state, account, replace(opened, status=AccountStatus.REMOVED))
    NODES.delete(state, account)
    left = tuple(listed for listed in _listed(state) if listed != account)
    NODE_ACCOUNTS.put(state, None, NodeAccounts(accounts=left))
    context.emit(kind, account, (), name=opened.name, **data)


def _account_keys(
    suite: CryptoSuite, operator: GenesisOperator, role: NodeRole, time_ms: int
) -> tuple[Key, ...]:
    if len(operator.keys) > KEYS_PER_NODE_MAX:
        raise Denied("too_many_keys", maximum=KEYS_PER_NODE_MAX)
    keys = tuple(_account_key(suite, key, time_ms) for key in operator.keys)
    ids = [key.key_id for key in keys]
    for position, held in enumerate(ids):
        if held in ids[:position]:
            raise Denied("duplicate_name", name=held.hex())
    needed = NODE_KEY_ROLES if role is NodeRole.VALIDATOR else (KeyRole.NODE,)
    _check_roles(operator.account, keys, needed)
    return keys


def _check_roles(account: bytes, keys: Sequence[Key], needed: Sequence[KeyRole]) -> None:
    for role in needed:
        if not any(key.role is role for key in keys):
            raise Denied("key_role_missing", account=account.hex(), role=role.value)


def _account_key(suite: CryptoSuite, key: GenesisKey, time_ms: int) -> Key:
    if key.role not in NODE_KEY_ROLES:
        allowed = ", ".join(role.value for role in NODE_KEY_ROLES)
        raise Denied("key_role_not_allowed", role=key.role, allowed=allowed)
    if key.scheme not in suite.signature_schemes:
        raise Denied("unknown_scheme", scheme=key.scheme, allowed=", ".join(suite.signature_schemes))
    derived = key_id(suite, key.scheme, key.public_key)
    if key.key_id != derived:
        raise Denied("key_id_mismatch", key_id=key.key_id.hex(), expected=derived.hex())
    return Key(
        key_id=key.key_id,
        scheme=key.scheme,
        public_key=key.public_key,
        role=KeyRole(key.role),
        label=key.label,
        valid_from_ms=time_ms,
        valid_until_ms=0,
        revoked_ms=0,
    )


def _check_size(state: StateReader, size: int) -> None:
    first = present(validator_set(state, EPOCH_FIRST), "the first epoch's set")
    minimum = min(VALIDATORS_REMAINING_MIN, len(first.validators))
    if size < minimum:
        raise Denied("validators_too_few", minimum=minimum, actual=size)
    if size > VALIDATORS_MAX:
        raise Denied("validators_too_many", maximum=VALIDATORS_MAX, actual=size)


def _check_possession(context: CallContext, changed: Sequence[Validator]) -> None:
    """The dear part, last, so that what is wrong otherwise costs little."""
    name = network(context.state).network
    scheme = context.block.suite.quorum
    for one in changed:
        if not scheme.verify_possession(name, one.account, one.vote_key, one.possession):
            raise Denied("possession_invalid", account=one.account.hex())


def _take_vote_key(suite: CryptoSuite, draft: Draft, account: bytes, key: bytes) -> None:
    """Unlike other keys a vote key is taken once, even for its own account."""
    digest = _key_digest(suite, VOTE_KEY, key)
    if KEYS_TAKEN.get(draft, digest) is not None:
        raise Denied("key_taken", what=VOTE_KEY, digest=digest.hex())
    KEYS_TAKEN.put(draft, digest, account)


def _key_digest(suite: CryptoSuite, purpose: str, key: bytes) -> bytes:
    return suite.digest(purpose.encode() + b"\0" + key)


def _put_set(draft: Draft, new: ValidatorSet) -> None:
    VALIDATORS.put(draft, None, new)
    VALIDATOR_SETS.put(draft, new.epoch, new)


def _listed(state: StateReader) -> tuple[bytes, ...]:
    return present(NODE_ACCOUNTS.get(state, None), "the list of nodes").accounts


__all__ = [
    "CERTIFICATE",
    "NODE_CERTIFICATES_MAX",
    "READERS_MAX",
    "VALIDATORS_REMAINING_MIN",
    "VOTE_KEY_CHECK_COST",
    "admit_reader",
    "change_validators",
    "check_certificates",
    "check_host",
    "found",
    "node",
    "nodes",
    "operators",
    "remove_node",
    "take_key",
    "validator_set",
    "validators",
]
