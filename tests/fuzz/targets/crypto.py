"""Points, signatures and boxes as a stranger may write them.

Rule: a verdict is a verdict, never an exception; and what verifies was made by who holds the key, byte for byte.
"""

from __future__ import annotations

from functools import lru_cache

from ledger import codec
from ledger.crypto import bls, ed25519, sealing
from ledger.errors import DecodeError, LimitExceeded, VerificationFailed
from ledger.quorum import bitmap, signers
from ledger.types import QuorumCertificate, Vote, VoteKind
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Script, Target, require
from tests.unit import ledger_world

MALFORMED = (DecodeError, LimitExceeded)
MESSAGE = b"message"


@lru_cache(maxsize=1)
def secrets() -> tuple[bls.SecretKey, ...]:
    return tuple(bls.SecretKey(ledger_world.vote_secret(index)) for index in range(3))


@lru_cache(maxsize=1)
def world() -> ledger_world.World:
    return ledger_world.World()


def run_bls(data: bytes) -> None:
    """Key and signature of a stranger: a verdict about each and about their sum with good ones."""
    script = Script(data)
    good = secrets()
    key, signature = script.some(48), script.some(96)
    signed = good[0].sign(MESSAGE)
    if bls.verify(good[0].public_key, MESSAGE, signature):
        require(signature == signed, "a second signature of one key over one message")
    if key != good[0].public_key:
        require(not bls.verify(key, MESSAGE, signed), "a signature holds under another key")
    bls.fast_aggregate_verify([good[1].public_key, key], MESSAGE, signature)
    bls.verify_possession(key, MESSAGE, signature)
    sum_of_both = bls.aggregate([signed, signature])
    require(len(sum_of_both) == bls.SIGNATURE_SIZE_BYTES, "an aggregate of another size")


def bls_seeds() -> list[bytes]:
    good = secrets()
    order_point = good[0].sign(MESSAGE)
    flags = [bytes([first]) + order_point[1:] for first in (0x00, 0x20, 0x40, 0x80, 0xC0, 0xE0)]
    pairs = [good[1].public_key + one.sign(MESSAGE) for one in good]
    return [
        *pairs,
        *(good[1].public_key + one for one in flags),
        bytes([0xC0]) + bytes(47) + bytes([0xC0]) + bytes(95),
    ]


@lru_cache(maxsize=1)
def certificate() -> QuorumCertificate:
    made = ledger_world.World()
    block, _, _ = made.next_block({})
    return made.certify(block.header)


def run_certificate(data: bytes) -> None:
    """Of all certificates for one thing only that one verifies which its signers made."""
    one = codec.decode(data, QuorumCertificate, size_bytes_max=16 * 1024)
    here = world()
    if ledger_world.SUITE.quorum.verify_certificate(here.chain, here.validators, one):
        require(one == certificate(), "a certificate that nobody made")
    n = len(here.validators.validators)
    indices = signers(one.signers, n)
    require(bitmap(indices, n) == one.signers, "a bitmap has a second form")


@lru_cache(maxsize=1)
def vote() -> Vote:
    return world().vote(2, VoteKind.NULLIFY, 5)


def run_vote(data: bytes) -> None:
    one = codec.decode(data, Vote, size_bytes_max=8192)
    here = world()
    if ledger_world.SUITE.quorum.verify_vote(here.chain, here.validators, one):
        require(one == vote(), "a vote that nobody cast")
    ledger_world.SUITE.quorum.aggregate(here.validators, (vote(), one)) if _same(one) else None


def _same(one: Vote) -> bool:
    """Whether a vote may be aggregated with the good one."""
    good, n = vote(), len(world().validators.validators)
    same = (one.kind, one.epoch, one.view, one.digest) == (good.kind, good.epoch, good.view, good.digest)
    return same and one.validator != good.validator and one.validator < n


SEED = b"s" * 32


def run_ed25519(data: bytes) -> None:
    script = Script(data)
    key, signature = script.some(32), script.rest()
    signer = ed25519.Ed25519Signer(SEED)
    ed25519.verify(key, MESSAGE, signature)
    ed25519.verify(signature, MESSAGE, key)
    good = raw_signature()
    if ed25519.verify(signer.public_key, MESSAGE, signature):
        require(signature == good, "a second signature of one key over one message")
    if key != signer.public_key:
        require(not ed25519.verify(key, MESSAGE, good), "a signature holds under another key")


@lru_cache(maxsize=1)
def raw_signature() -> bytes:
    """Over MESSAGE itself, as `verify` takes it."""
    from nacl.signing import SigningKey

    return SigningKey(SEED).sign(MESSAGE).signature


def ed25519_seeds() -> list[bytes]:
    key, good = ed25519.Ed25519Signer(SEED).public_key, raw_signature()
    plus_order = (
        int.from_bytes(good[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    ).to_bytes(32, "little")
    small = [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", b"\xed" + b"\xff" * 30 + b"\x7f"]
    return [key + good, key + good[:32] + plus_order, *(point + point + bytes(32) for point in small)]


BOX_KEY = b"k" * 32


def run_sealed(data: bytes) -> None:
    """What opens was sealed here, so nothing does."""
    script = Script(data)
    if script.below(2):
        sealing.unseal(BOX_KEY, script.rest(), b"")
    else:
        sealing.unwrap(BOX_KEY, script.rest())
    require(data[1:] in {one[1:] for one in sealed_seeds()}, "forged ciphertext opens")


@lru_cache(maxsize=1)
def sealed_seeds() -> tuple[bytes, ...]:
    from nacl.public import PrivateKey

    public = PrivateKey(BOX_KEY).public_key.encode()
    return (b"\1" + sealing.seal(BOX_KEY, b"plain", b""), b"\0" + sealing.wrap(public, b"secret"))


TARGETS = (
    Target(name="crypto.bls", run=run_bls, seeds=bls_seeds, errors=(DecodeError,), size_bytes_max=160),
    Target(
        name="crypto.certificate",
        run=run_certificate,
        seeds=lambda: [codec.encode(certificate())],
        examples=lambda: encodings(QuorumCertificate),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
        size_bytes_max=512,
    ),
    Target(
        name="crypto.vote",
        run=run_vote,
        seeds=lambda: [codec.encode(vote())],
        examples=lambda: encodings(Vote),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
        size_bytes_max=512,
    ),
    Target(name="crypto.ed25519", run=run_ed25519, seeds=ed25519_seeds, errors=(), size_bytes_max=128),
    Target(
        name="crypto.sealed",
        run=run_sealed,
        seeds=sealed_seeds,
        errors=(VerificationFailed,),
        size_bytes_max=256,
    ),
)
