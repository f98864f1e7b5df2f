"""Who may have a data key: the key-release seam and the simplest sound holder.

Every part of a sealed record has a data key of its own. A `KeyHeader` holds that key wrapped to the own wrap key of each
operator of the day it was sealed. `OperatorKeys` unwraps with this operator's secret, and only after it has seen, in its own
replica, a finalized release or trace that names this node and this part. An operator that joined later holds no keys of
earlier records, and says so.

What that does not give: an operator who alters its own program can unwrap what is wrapped to it. The README says so.
Threshold release, where fewer than t operators together open nothing, takes this seam's place.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final, Protocol, TypeVar

from msgspec import Meta

from contracts import membership
from contracts.grants import standing
from contracts.records import (
    CERTIFICATES_PER_TRACE_MAX,
    GrantState,
    NodeRecord,
    NodeRole,
    ReleaseState,
    TraceVerdict,
)
from contracts.state import GRANTS, RELEASES, TRACES, StateReader, Table
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, Unavailable, VerificationFailed
from ledger.types import VALIDATORS_MAX, AccountId, Id16, Name, Wire

K = TypeVar("K")
V = TypeVar("V")

DATA_KEY_SIZE_BYTES: Final = 32
_BINDING_SIZE_BYTES: Final = 32


class PartKind(StrEnum):
    """A field, an attachment, or the record's mark secret, from which watermark layout and seeds derive."""

    FIELD = "field"
    ATTACHMENT = "attachment"
    MARK = "mark"


class PartName(Wire):
    """Which part of which record. Bound into key header and ciphertext, so that neither can be lifted into another."""

    certificate_id: Id16
    kind: PartKind
    name: Name


class WrappedKey(Wire):
    """A data key, encrypted to one operator."""

    operator: AccountId
    wrapped: Annotated[bytes, Meta(max_length=256)]


class KeyHeader(Wire):
    """A data key for every operator of the network."""

    keys: Annotated[tuple[WrappedKey, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]


class AuthorityKind(StrEnum):
    RELEASE = "release"
    TRACE = "trace"


class Authority(Wire):
    """The finalized ledger record in whose name a key is asked for: a release id or a trace id."""

    kind: AuthorityKind
    record_id: bytes


class KeyRefused(LedgerError):
    """No finalized record allows this key to be released here. Fields: part, reason."""

    code = "key_refused"
    category = Category.FORBIDDEN
    zh = "拒绝释放“{part}”的密钥：{reason}"
    en = "Key of “{part}” not released: {reason}"


class KeyNotHeld(KeyRefused):
    """The record was sealed for others: this operator joined later, or its wrap key was unusable. Fields: part."""

    code = "key_not_held"
    category = Category.UNAVAILABLE
    zh = "本节点没有“{part}”的密钥（该记录封存时本运营方尚未加入）；请由封存时已在网络中的运营方办理"
    en = "This node holds no key of “{part}”: the record was sealed before its operator joined; let one do it that was there"


class KeyRelease(Protocol):
    """The seam between the vault and whoever can open data keys."""

    def wrap(self, part: PartName, data_key: bytes) -> KeyHeader:
        """A header from which `data_key` can later be released."""
        ...

    async def release(self, authority: Authority, part: PartName, header: KeyHeader) -> bytes:
        """The data key. Raises KeyRefused when the ledger does not allow it, VerificationFailed for a foreign header."""
        ...


class Records(StateReader, Protocol):
    """The finalized state, with records as the versions of contracts in force give them."""

    def record(self, table: Table[K, V], key: K) -> V | None: ...


class OperatorKeys:
    """Key release by this operator alone, after a look at its own replica.

    Args:
        suite: crypto suite of the network.
        operator: this node's operator account.
        wrap_secret: secret of this operator's wrap key.
        state: the finalized state of this node's replica; says who the operators are and what their wrap keys.
        time_ms: block time of its finalized head.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        operator: bytes,
        wrap_secret: bytes,
        state: Records,
        time_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._operator = operator
        self._wrap_secret = wrap_secret
        self._state = state
        self._time_ms = time_ms

    def wrap(self, part: PartName, data_key: bytes) -> KeyHeader:
        bound = data_key + self._binding(part)
        operators = [node for node in membership.nodes(self._state) if node.role is NodeRole.VALIDATOR]
        wrapped = [self._wrapped(node, bound) for node in sorted(operators, key=lambda node: node.account)]
        keys = tuple(entry for entry in wrapped if entry is not None)
        if not keys:
            raise Unavailable(what="key wrapping", reason="no operator has a usable wrap key")
        return KeyHeader(keys=keys)

    async def release(self, authority: Authority, part: PartName, header: KeyHeader) -> bytes:
        refusal = refusal_reason(self._state, self._time_ms(), self._operator, authority, part)
        if refusal:
            raise KeyRefused(part=part.name, reason=refusal)
        for entry in header.keys:
            if entry.operator == self._operator:
                bound = self._suite.unwrap(self._wrap_secret, entry.wrapped)
                if bound[DATA_KEY_SIZE_BYTES:] != self._binding(part):
                    raise VerificationFailed(
                        reason=f"the key header of {part.name} was made for another part"
                    )
                return bound[:DATA_KEY_SIZE_BYTES]
        raise KeyNotHeld(part=part.name)

    def _wrapped(self, node: NodeRecord, bound: bytes) -> WrappedKey | None:
        """None for an operator whose wrap key is none: its mistake must not keep everybody's records out of the vault."""
        try:
            return WrappedKey(operator=node.account, wrapped=self._suite.wrap(node.wrap_key, bound))
        except LedgerError:
            return None

    def _binding(self, part: PartName) -> bytes:
        return self._suite.hash(domains.RECORD_PART, codec.encode(part))[:_BINDING_SIZE_BYTES]


def new_data_key() -> bytes:
    """A fresh random data key."""
    return os.urandom(DATA_KEY_SIZE_BYTES)


def refusal_reason(
    state: Records, time_ms: int, operator: bytes, authority: Authority, part: PartName
) -> str:
    """Why `state` does not allow `operator` to open `part` in the name of `authority`; empty when it does."""
    match authority.kind:
        case AuthorityKind.RELEASE:
            return _release_refusal(state, time_ms, operator, authority.record_id, part)
        case AuthorityKind.TRACE:
            return _trace_refusal(state, operator, authority.record_id, part)


def _release_refusal(state: Records, time_ms: int, operator: bytes, release_id: bytes, part: PartName) -> str:
    release = state.record(RELEASES, release_id)
    if release is None:
        return "no such release is final"
    if release.released_by != operator:
        return "another operator performs this release"
    if release.state not in {ReleaseState.REQUESTED, ReleaseState.PREPARED}:
        return f"the release is {release.state}"
    grant = state.record(GRANTS, release.grant_id)
    if grant is None or standing(grant, time_ms) not in {GrantState.ACTIVE, GrantState.EXHAUSTED}:
        return "the grant does not hold any more"
    for output in release.outputs:
        if output.certificate != part.certificate_id:
            continue
        if part.kind is PartKind.MARK:
            return ""
        if part.kind is PartKind.FIELD and part.name in output.fields:
            return ""
        if part.kind is PartKind.ATTACHMENT and part.name == output.attachment:
            return ""
    return "the release does not name this part"


def _trace_refusal(state: Records, operator: bytes, trace_id: bytes, part: PartName) -> str:
    trace = state.record(TRACES, trace_id)
    if trace is None:
        return "no such trace is final"
    if trace.performed_by != operator:
        return "another operator performs this trace"
    if trace.verdict is not TraceVerdict.OPEN:
        return "the trace is concluded"
    if part.certificate_id not in trace.certificates[:CERTIFICATES_PER_TRACE_MAX]:
        return "the trace does not name this certificate"
    return ""
