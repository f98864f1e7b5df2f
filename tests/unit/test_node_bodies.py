"""Bodies of grants at a node: sealed under the grant's commitment, read by the signer of an opening, and by nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.bodies import OPENING_LIFE_MS, body_id
from contracts.body_calls import BodiesErase, BodiesKeep, BodiesOpen
from contracts.body_records import BodyKind
from contracts.calls import GrantsPause, GrantsRevoke
from contracts.grant_tables import BODIES, BODY_OPENINGS
from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.errors import NotFound, VerificationFailed
from ledger.types import RESULT_OK, Transaction
from node.holders.errors import KeyRefused
from node.holders.ports import ShareAsk, ShareRefusal
from node.holders.server import decode_answer
from node.services.grant_bodies import GrantBodies
from node.services.ports import Denied
from node.services.releases import NotPerformedHere, WrongCall
from node.vault.bodies import BodyReader, body_part, seal_body
from node.vault.keys import Authority, AuthorityKind, WantedKey
from node.vault.opening import OpenParts
from node.vault.records import decode_manifest
from tests.unit.contracts_world import BANK, LI, OPERATORS, SHOP, SUITE, Actor, identity
from tests.unit.node_world import Node, card, running
from zhenglian.grant_bodies import GrantBody

BODY = GrantBody({"note": "住房贷款", "case_number": "(2026)0417"}, bytes(range(32)))


@dataclass
class Office:
    """A node at which the bank has asked Li for something, with its reasons committed to."""

    node: Node
    bodies: GrantBodies
    grant: bytes

    async def run(self, who: Actor, args: object) -> str:
        status = await self.node.submission.submit(self.node.sign(who, args), wait_s=30)  # type: ignore[arg-type]
        assert status.result is not None
        return status.result.code

    async def keep(self) -> bytes:
        payload_hash = await self.bodies.seal(self.grant, BodyKind.BODY, BODY)
        args = BodiesKeep(grant_id=self.grant, kind=BodyKind.BODY, payload_hash=payload_hash)
        assert await self.run(BANK, args) == RESULT_OK
        return body_id(SUITE, self.grant, BodyKind.BODY)

    def asking(self, who: Actor, at: int = 0) -> Transaction:
        name = body_id(SUITE, self.grant, BodyKind.BODY)
        return self.node.sign(who, BodiesOpen(body_id=name, performed_by=OPERATORS[at].account))


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with running(tmp_path, populated=True) as node:
        draft = await node.deposit(card("card"))
        grant = await node.grant(BANK, draft, body_commitment=BODY.commitment(SUITE))
        bodies = GrantBodies(
            suite=SUITE,
            chain=node.chain,
            submission=node.submission,
            account=OPERATORS[0].account,
            keys=node.operators.sealer,
            place=node.place,
            reader=BodyReader(
                suite=SUITE,
                chain_id=node.chain.chain_id,
                keys=node.operators.opener,
                store=node.blobs,
                fetch=node.exchange.fetch,
            ),
        )
        yield Office(node, bodies, grant)


async def test_the_parties_read_what_was_sealed(office: Office) -> None:
    name = await office.keep()
    for reader in (LI, BANK):
        body, read = await office.bodies.open(office.asking(reader))
        assert (body.body_id, dict(read.texts)) == (name, dict(BODY.texts))
    assert [body.body_id for body in office.bodies.bodies_of(office.grant)] == [name]


async def test_the_same_opening_reads_again_and_another_account_is_denied(office: Office) -> None:
    await office.keep()
    asked = office.asking(LI)
    await office.bodies.open(asked)
    assert (await office.bodies.open(asked))[1] == BODY
    with pytest.raises(Denied) as caught:
        await office.bodies.open(office.asking(SHOP))
    assert caught.value.result.code == "body_of_others"


async def test_only_the_body_that_the_grant_commits_to_is_sealed(office: Office) -> None:
    with pytest.raises(VerificationFailed):
        await office.bodies.seal(office.grant, BodyKind.BODY, GrantBody({"note": "another"}, BODY.salt))
    with pytest.raises(VerificationFailed):
        await office.bodies.seal(office.grant, BodyKind.CASE, BODY)
    with pytest.raises(NotFound):
        await office.bodies.seal(identity("none"), BodyKind.BODY, BODY)
    first = await office.keep()
    kept = office.bodies.body(first)
    assert kept is not None
    assert await office.bodies.seal(office.grant, BodyKind.BODY, BODY) == kept.payload_hash


async def test_a_call_for_another_node_or_of_another_kind_is_not_served(office: Office) -> None:
    await office.keep()
    with pytest.raises(NotPerformedHere):
        await office.bodies.open(office.asking(LI, at=1))
    with pytest.raises(WrongCall):
        await office.bodies.open(office.node.sign(LI, GrantsPause(grant_id=office.grant)))


async def test_what_was_sealed_as_another_body_is_refused_by_the_reader_and_by_holders(
    office: Office,
) -> None:
    """A grantee that signs the hash of foreign ciphertext has nothing of it opened."""
    stolen = await office.bodies.seal(office.grant, BodyKind.BODY, BODY)
    other = seal_body(SUITE, office.node.operators.sealer, identity("other"), BODY.to_json())
    await office.node.place(identity("other"), other)
    args = BodiesKeep(grant_id=office.grant, kind=BodyKind.BODY, payload_hash=next(iter(other)))
    assert await office.run(BANK, args) == RESULT_OK
    with pytest.raises(VerificationFailed):
        await office.bodies.open(office.asking(LI))
    assert stolen != next(iter(other))


async def test_another_text_under_the_right_id_is_not_taken_for_the_body(office: Office) -> None:
    forged = GrantBody({"note": "forged"}, BODY.salt).to_json()
    name = body_id(SUITE, office.grant, BodyKind.BODY)
    sealed = seal_body(SUITE, office.node.operators.sealer, name, forged)
    await office.node.place(name, sealed)
    args = BodiesKeep(grant_id=office.grant, kind=BodyKind.BODY, payload_hash=next(iter(sealed)))
    assert await office.run(BANK, args) == RESULT_OK
    with pytest.raises(VerificationFailed, match="commits"):
        await office.bodies.open(office.asking(LI))


async def test_after_erasure_no_holder_gives_a_share(office: Office) -> None:
    name = await office.keep()
    asked = office.asking(LI)
    await office.bodies.open(asked)
    assert await office.run(LI, GrantsRevoke(grant_id=office.grant)) == RESULT_OK
    assert await office.run(BANK, BodiesErase(body_id=name)) == RESULT_OK
    with pytest.raises(KeyRefused, match="body_erased"):
        await office.bodies.open(asked)


async def test_holders_serve_the_named_node_for_an_hour_and_this_body_alone(office: Office) -> None:
    name = await office.keep()
    body = office.bodies.body(name)
    assert body is not None
    await office.bodies.open(office.asking(LI))
    [opening_id] = office.node.chain.ids(BODY_OPENINGS, b"", 9)
    manifest = office.node.blobs.get(body.payload_hash)
    assert manifest is not None
    payload = OpenParts(height=0, manifests=(manifest,), parts=(body_part(name),))
    ask = ShareAsk(
        kind="body",
        record_id=opening_id,
        purpose=KeyPurpose.VAULT,
        version=1,
        renewal=0,
        payload=codec.encode(payload),
    )
    server = office.node.operators.holders[1].server

    async def refused(changed: ShareAsk, sender: bytes = OPERATORS[0].account) -> str:
        answer = decode_answer(await server.serve(sender, codec.encode(changed)))
        assert isinstance(answer, ShareRefusal)
        return answer.reason

    assert await refused(ask, OPERATORS[2].account) == "not_entrusted"
    assert await refused(replace(ask, record_id=bytes(16))) == "unknown_opening"
    assert await refused(replace(ask, kind="release")) == "unknown_release"
    other = replace(payload, parts=(body_part(identity("other")),))
    assert await refused(replace(ask, payload=codec.encode(other))) == "part_not_named"
    swapped = replace(decode_manifest(manifest), version=9)
    forged = replace(payload, manifests=(codec.encode(swapped),))
    assert await refused(replace(ask, payload=codec.encode(forged))) == "other_manifest"
    office.node.now_ms += OPENING_LIFE_MS
    await office.run(LI, GrantsPause(grant_id=office.grant))
    assert await refused(ask) == "opening_over"
    wanted = WantedKey(
        part=body_part(name), header=decode_manifest(manifest).parts[0].header, manifest=manifest
    )
    authority = Authority(kind=AuthorityKind.BODY, record_id=opening_id)
    with pytest.raises(KeyRefused, match="opening_over"):
        await office.node.operators.opener.open(authority, (wanted,))
    assert BODIES.get(office.node.chain.records.state(), name) == body
