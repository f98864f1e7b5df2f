"""Fetching in one call (下链): from what an officer wants to a request that his organisation's agent signs.

Rule: what is signed under an idempotency key is durable before it is sent, and is sent again for the same key, so that a retry, a
restart or a lost answer never costs a second use. What is wanted is only what the grant opens; the contract decides anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.calls import ReleasesAcknowledge, ReleasesRequest
from contracts.certificates import why_not_valid
from contracts.records import Certificate, Grant, GrantState, Output, Release
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, NotFound
from ledger.hashing import transaction_id
from ledger.types import RELEASE_ID_SIZE_BYTES, RESULT_OK, TRANSACTION_SIZE_BYTES_MAX, Transaction
from node.chain import Chain
from node.deposits.store import JobStore
from node.index.ports import Index
from node.services.agents import Agents
from node.services.ports import Caller, Denied, Standing, Submission
from zhenglian.catalogue import decode_schema
from zhenglian.fetching import Held, NothingToFetch, Opened, outputs_of

CERTIFICATES_LOOKED_AT_MAX: Final = 1_000
ACKNOWLEDGE_WAIT_S: Final = 30.0
_PAGE: Final = 200


class FetchConflict(LedgerError):
    """The idempotency key asked for something else before."""

    code = "fetch_conflict"
    category = Category.CONFLICT
    zh = "此 Idempotency-Key 已用于另一次下链申请；请换一个键"
    en = "This Idempotency-Key asked for another release; use another key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an officer wants: a grant, or purpose and holder of one; a format; perhaps one certificate and some fields."""

    grant: bytes
    purpose: str
    holder: bytes
    certificate: bytes
    file_format: str
    fields: tuple[str, ...]


class Fetches:
    """Implements the port `Fetches`."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        index: Index,
        store: JobStore,
        agents: Agents,
        submission: Submission,
        operator: bytes,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._index = index
        self._store = store
        self._agents = agents
        self._submission = submission
        self._operator = operator
        self._clock_ms = clock_ms

    async def signed(self, wanted: Wanted, caller: Caller, key: str) -> Transaction:
        """The request for what is wanted, signed by the organisation's agent; the same for the same key.

        Raises:
            AgentMissing, NotFound, NothingToFetch, FetchConflict.
        """
        digest = self._suite.digest(msgspec.msgpack.encode(wanted))
        known = await self._store.fetch(caller.account, key)
        before = b""
        if known is not None:
            transaction = _remembered(known, digest)
            if not self._expired(transaction):
                return transaction
            before = known[1]
        args = ReleasesRequest(
            grant_id=(grant := await self._grant(wanted, caller)).grant_id,
            outputs=await self._outputs(wanted, grant),
            released_by=self._operator,
            officer=caller.key_id,
        )
        signed = codec.encode(self._agents.sign(caller, args))
        return _remembered(
            await self._store.put_fetch(
                caller.account, key, digest, signed, self._clock_ms(), instead_of=before
            ),
            digest,
        )

    async def acknowledge(self, release: Release, hashes: tuple[bytes, ...], caller: Caller) -> None:
        """State on the ledger that the files have come.

        Raises:
            AgentMissing, Denied.
        """
        args = ReleasesAcknowledge(release_id=release.release_id, file_hashes=hashes, officer=caller.key_id)
        status = await self._submission.submit(self._agents.sign(caller, args), wait_s=ACKNOWLEDGE_WAIT_S)
        if status.result is not None and status.result.code != RESULT_OK:
            raise Denied(status.result)

    def _expired(self, transaction: Transaction) -> bool:
        """Whether it can never be included any more, so that another one is due."""
        name = transaction_id(self._suite, transaction.body)
        release_id = self._suite.hash(domains.RELEASE_ID, name)[:RELEASE_ID_SIZE_BYTES]
        if self._chain.records.release(release_id) is not None:
            # The block that has it may be pruned here.
            return False
        try:
            standing = self._submission.status(name).standing
        except LedgerError:
            return transaction.body.valid_until_ms < self._chain.head_time_ms
        return standing is Standing.EXPIRED

    async def _grant(self, wanted: Wanted, caller: Caller) -> Grant:
        if wanted.grant:
            grant = self._chain.records.grant(wanted.grant)
            if grant is None or grant.grantee != caller.account:
                raise NotFound(what="grant", id=wanted.grant.hex())
            return grant
        after: int | None = None
        for _ in range(0, CERTIFICATES_LOOKED_AT_MAX, _PAGE):
            page = await self._index.objects(
                "grants.requested", subject=wanted.holder, after=after, limit=_PAGE, newest_first=True
            )
            for found in page:
                grant = self._chain.records.grant(found.object_id)
                if (
                    grant is not None
                    and grant.state is GrantState.ACTIVE
                    and (grant.grantee, grant.pii_principal_id, grant.purpose)
                    == (caller.account, wanted.holder, wanted.purpose)
                ):
                    return grant
            if len(page) < _PAGE:
                break
            after = page[-1].cursor
        raise NothingToFetch(
            grant="—",
            reason_zh=f"没有持证人对用途 {wanted.purpose} 的有效授权，请先申请授权",
            reason_en=f"there is no active grant of this person for {wanted.purpose}; request one first",
        )

    async def _outputs(self, wanted: Wanted, grant: Grant) -> tuple[Output, ...]:
        items = [
            Opened(
                certificate_type=item.certificate_type,
                certificate=item.certificate.hex(),
                fields=item.fields,
                attachments=item.attachments,
            )
            for item in grant.items
        ]
        held = [self._held(certificate) for certificate in await self._certificates(wanted, grant)]
        return outputs_of(
            grant.grant_id.hex(), items, held, file_format=wanted.file_format, fields=wanted.fields
        )

    async def _certificates(self, wanted: Wanted, grant: Grant) -> list[Certificate]:
        """The holder's certificates that the grant is about: valid ones, oldest first."""
        names = {item.certificate for item in grant.items if item.certificate}
        types = {item.certificate_type for item in grant.items}
        if wanted.certificate:
            names, types = {wanted.certificate}, set()
        elif all(item.certificate for item in grant.items):
            types = set()
        found = {name: self._chain.records.certificate(name) for name in sorted(names)}
        after: int | None = None
        looked = 0
        while types and looked < CERTIFICATES_LOOKED_AT_MAX:
            page = await self._index.objects(
                "certificates.issued",
                subject=grant.pii_principal_id,
                after=after,
                limit=_PAGE,
                newest_first=True,
            )
            for one in page:
                record = self._chain.records.certificate(one.object_id)
                if record is not None and record.certificate_type in types:
                    found[one.object_id] = record
            looked += len(page)
            if len(page) < _PAGE:
                break
            after = page[-1].cursor
        time_ms = self._chain.head_time_ms
        valid = [one for one in found.values() if one is not None and not why_not_valid(one, time_ms)]
        return sorted(valid, key=lambda one: (one.issued_ms, one.certificate_id))

    def _held(self, certificate: Certificate) -> Held:
        kind = self._chain.records.certificate_type(certificate.certificate_type)
        spec = None if kind is None else decode_schema(kind.schema)
        return Held(
            certificate=certificate.certificate_id.hex(),
            certificate_type=certificate.certificate_type,
            fields=certificate.fields,
            attachments=certificate.attachments,
            media_types={} if spec is None else {one.name: one.media_type for one in spec.attachments},
        )


def _remembered(known: tuple[bytes, bytes], wanted: bytes) -> Transaction:
    """What was signed under a key. Raises FetchConflict where it was for something else."""
    if known[0] != wanted:
        raise FetchConflict
    return codec.decode(known[1], Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
