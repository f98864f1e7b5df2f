"""Bodies of grants at a node: sealed for who asked for data, read for whom the ledger has it opened.

Rule: what is sealed fits the commitment that the grant holds, and what is read is checked against it again. A body is in the clear
here only while it is sealed, and while it is on its way to the one reader who signed for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from contracts.bodies import body_id, commitment_of
from contracts.body_calls import BodiesOpen
from contracts.body_records import Body, BodyKind
from contracts.grant_tables import BODIES, BODY_OPENINGS
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import NotFound, Unavailable, VerificationFailed
from ledger.hashing import transaction_id
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, RESULT_OK, Transaction
from node.chain import Chain
from node.services.ports import Denied, Standing
from node.services.releases import NotPerformedHere, WrongCall
from node.services.submission import Submission
from node.vault.bodies import BodyReader, seal_body
from node.vault.keys import KeySealer
from zhenglian.grant_bodies import GrantBody

FINALITY_WAIT_S: Final = 60.0

# Keeps blobs of a record here and on others (`Keeper.place`).
Place = Callable[[bytes, Mapping[bytes, bytes]], Awaitable[int]]


class GrantBodies:
    """Implements the port `GrantBodies`."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        submission: Submission,
        account: bytes,
        keys: KeySealer,
        place: Place,
        reader: BodyReader,
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._submission = submission
        self._account = account
        self._keys = keys
        self._place = place
        self._reader = reader

    def body(self, name: bytes) -> Body | None:
        """A body as the ledger has it."""
        return self._chain.records.record(BODIES, name)

    def bodies_of(self, grant_id: bytes) -> tuple[Body, ...]:
        """The bodies of a grant that are or were kept."""
        names = (body_id(self._suite, grant_id, kind) for kind in BodyKind)
        return tuple(body for name in names if (body := self.body(name)) is not None)

    async def seal(self, grant_id: bytes, kind: BodyKind, body: GrantBody) -> bytes:
        """Encrypt a body and place it; its payload hash, for the officer to sign `bodies.keep` with."""
        grant = self._chain.records.grant(grant_id)
        if grant is None:
            raise NotFound(what="grant", id=grant_id.hex())
        if commitment_of(grant, kind) != body.commitment(self._suite):
            raise VerificationFailed(reason="the body is not the one that the grant commits to")
        name = body_id(self._suite, grant_id, kind)
        kept = self.body(name)
        if kept is not None:
            return kept.payload_hash
        blobs = seal_body(self._suite, self._keys, name, body.to_json())
        await self._place(name, blobs)
        return next(iter(blobs))

    async def open(self, transaction: Transaction) -> tuple[Body, GrantBody]:
        """Submit a signed `bodies.open`, wait for its finality, and read the body. The same transaction again opens it again."""
        call = transaction.body.call
        if (call.contract, call.method) != ("bodies", "open"):
            raise WrongCall(expected="bodies.open", actual=f"{call.contract}.{call.method}")
        args = codec.decode(call.args, BodiesOpen, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
        if args.performed_by != self._account:
            raise NotPerformedHere(named=args.performed_by.hex(), here=self._account.hex())
        status = await self._submission.submit(transaction, wait_s=FINALITY_WAIT_S)
        if status.standing is not Standing.FINALIZED or status.result is None:
            raise Unavailable(what="finality", reason=f"the request is {status.standing.value}; ask again")
        if status.result.code != RESULT_OK:
            raise Denied(status.result)
        name = self._suite.hash(domains.BODY_OPENING_ID, transaction_id(self._suite, transaction.body))[:16]
        opening = self._chain.records.record(BODY_OPENINGS, name)
        body = None if opening is None else self.body(opening.body_id)
        if opening is None or body is None:
            raise NotFound(what="opening of a body", id=name.hex())
        return body, await self._read(body, opening.opening_id)

    async def _read(self, body: Body, opening_id: bytes) -> GrantBody:
        grant = self._chain.records.grant(body.grant_id)
        read = GrantBody.from_json(await self._reader.read(body, opening_id))
        if grant is None or read.commitment(self._suite) != commitment_of(grant, body.kind):
            raise VerificationFailed(reason="what was sealed is not the body that the grant commits to")
        return read
