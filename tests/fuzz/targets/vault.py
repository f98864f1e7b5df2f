"""What faces whoever asks for the use of a key share, and whoever answers: asks, their payloads, answers, key headers.

Rule: a share is given for exactly what the ledger opens, whatever the ask says; an answer counts only if honest holders made it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from structlog.testing import capture_logs

from contracts.records import GrantState, ReleaseState
from contracts.shared_key_records import KeyPurpose
from contracts.state import ACCOUNTS, CERTIFICATES, GRANTS, RELEASES
from ledger import codec
from ledger.crypto.threshold.encryption import check_sealed
from ledger.crypto.threshold.shares import make_share
from ledger.errors import DecodeError, LedgerError, LimitExceeded
from node.holders.channel import ShareChannel, ShareMessage, framed
from node.holders.ports import OwnShare, Permitted, ShareAnswer, ShareAsk, ShareRefusal, ShareRenewed
from node.holders.server import ShareServer, decode_answer
from node.holders.work import ShareWork
from node.vault.keys import KeyHeader, PartName, VaultSealer, part_label
from node.vault.opening import OpenParts, decode_open_parts
from node.vault.permits import ReleasePermit, Replica
from node.vault.records import decode_manifest, seal_record
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Target, require
from tests.unit import test_node_vault as vault
from tests.unit.vault_world import GROUP, DealtKeys, HolderShares, dealt

T = TypeVar("T")
MALFORMED = (DecodeError, LimitExceeded)
ALLOWED = frozenset({vault.P_NAME, vault.P_MARK})
CONTEXT = b"fuzz"


class InlineWork(ShareWork):
    """No threads, so that the order of things is the input's alone."""

    async def _run(self, step: str, one: Callable[..., T], items: Sequence[object]) -> tuple[T, ...]:
        return tuple(one(item) for item in items)


@lru_cache(maxsize=1)
def runner() -> asyncio.Runner:
    return asyncio.Runner()


class Asked:
    """A holder whose ledger opens one field of one record to one node."""

    def __init__(self) -> None:
        state = vault.Records(vault.Nothing())
        replica = Replica(
            suite=vault.SUITE,
            chain_id=vault.CHAIN,
            state=state,
            reading=lambda: vault.reading(state),
            chain=vault.Heights(),
            time_ms=lambda: vault.NOW_MS,
        )
        sealer = VaultSealer(group=GROUP, hash_=vault.SUITE.hash, chain_id=vault.CHAIN, keys=DealtKeys())
        sealed = seal_record(
            vault.SUITE, sealer, vault.CERTIFICATE, (vault.NAME, vault.NUMBER), (vault.SCAN,)
        )
        self.manifest = sealed.blobs[sealed.payload_hash]
        CERTIFICATES.put(state, vault.CERTIFICATE, vault.certificate(sealed.payload_hash))
        ACCOUNTS.put(state, vault.BANK, vault.account())
        GRANTS.put(state, vault.GRANT, vault.grant(GrantState.ACTIVE))
        RELEASES.put(state, vault.RELEASE, vault.release(ReleaseState.REQUESTED))
        self.work = InlineWork(GROUP, vault.SUITE.hash)
        server = ShareServer(
            account=vault.THERE,
            keys=DealtKeys(),
            shares=HolderShares(vault.THERE),
            permits={"release": ReleasePermit(replica, self.work)},
            work=self.work,
        )
        self.channel = ShareChannel({ShareMessage.ASK: server.serve})

    def ask(self, *parts: PartName, manifest: bytes = b"") -> bytes:
        payload = OpenParts(height=7, manifests=(manifest or self.manifest,), parts=parts)
        ask = ShareAsk(
            kind="release",
            record_id=vault.RELEASE,
            purpose=KeyPurpose.VAULT,
            version=1,
            renewal=0,
            payload=codec.encode(payload),
        )
        return framed(ShareMessage.ASK, codec.encode(ask))


@lru_cache(maxsize=1)
def asked() -> Asked:
    return Asked()


def run_ask(data: bytes) -> None:
    with capture_logs():
        answer = decode_answer(runner().run(asked().channel.serve(vault.HERE, data)))
    if not isinstance(answer, ShareAnswer):
        return
    ask = codec.decode(data[1:], ShareAsk, size_bytes_max=len(data))
    payload = decode_open_parts(ask.payload)
    require((ask.kind, ask.record_id) == ("release", vault.RELEASE), "a share in the name of no release")
    require(ALLOWED.issuperset(payload.parts), "a share for a part that the release does not name")
    require(set(payload.manifests) == {asked().manifest}, "a share for a record that is not on the ledger")
    require(len(answer.shares) == len(payload.parts), "not one share for each part")


def ask_seeds() -> Iterable[bytes]:
    made = asked()
    return [
        made.ask(vault.P_NAME),
        made.ask(vault.P_NAME, vault.P_MARK),
        made.ask(vault.P_NAME, vault.P_NUMBER),
        made.ask(vault.P_NAME, manifest=made.manifest[:-1]),
        b"",
        b"\2",
    ]


@lru_cache(maxsize=1)
def given() -> tuple[Permitted, ShareAnswer]:
    """What a holder gives for two elements."""
    permitted = Permitted(bases=(GROUP.generator.times(2), GROUP.generator.times(3)), context=CONTEXT)
    own = OwnShare(holder=2, secret=dealt(1, 0).secrets[1])
    shares = tuple(
        make_share(
            GROUP,
            vault.SUITE.hash,
            base,
            holder=own.holder,
            secret=own.secret,
            context=CONTEXT,
            draw=GROUP.random_scalar,
        )
        for base in permitted.bases
    )
    return permitted, ShareAnswer(shares=shares)


def run_answer(data: bytes) -> None:
    answer = decode_answer(data)
    require(codec.encode(answer) == data, "an answer re-encodes to other bytes")
    if not isinstance(answer, ShareAnswer):
        return
    permitted, honest = given()
    key = DealtKeys().version(KeyPurpose.VAULT, 1)
    require(key is not None, "there is a key")
    if key is not None:
        taken = runner().run(asked().work.check(key, 2, permitted, answer.shares))
        honest_elements = [share.element for share in honest.shares]
        require(
            taken is None or [share.element for share in answer.shares] == honest_elements,
            "shares that nobody made are taken",
        )


def answer_seeds() -> Iterable[bytes]:
    _, honest = given()
    short = ShareAnswer(shares=honest.shares[:1])
    others: list[Any] = [honest, short, ShareRefusal(reason="grant_paused"), ShareRenewed(renewal=3)]
    return [codec.encode(one) for one in others]


def run_header(data: bytes) -> None:
    """A header is sound for one part only: that which it was made for."""
    header = codec.decode(data, KeyHeader, size_bytes_max=4096)
    made = decode_manifest(asked().manifest)
    for part in made.parts:
        name = vault.part(part.kind, part.name)
        label = part_label(vault.CHAIN, name)
        if check_sealed(GROUP, vault.SUITE.hash, header.sealed, label) is not None:
            require(header.sealed == part.header.sealed, "a header that nobody made for this part is sound")


def header_seeds() -> Iterable[bytes]:
    return [codec.encode(part.header) for part in decode_manifest(asked().manifest).parts[:2]]


TARGETS = (
    Target(
        name="vault.ask",
        run=run_ask,
        seeds=ask_seeds,
        examples=lambda: encodings(ShareAsk).map(lambda ask: framed(ShareMessage.ASK, ask)),
        errors=(LedgerError,),
        grammar=Grammar.MSGPACK,
        size_bytes_max=4096,
    ),
    Target(
        name="vault.answer",
        run=run_answer,
        seeds=answer_seeds,
        examples=lambda: encodings(ShareAnswer),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
        size_bytes_max=2048,
    ),
    Target(
        name="vault.header",
        run=run_header,
        seeds=header_seeds,
        examples=lambda: encodings(KeyHeader),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
        size_bytes_max=1024,
    ),
)
