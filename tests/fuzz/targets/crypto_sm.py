"""SM2 keys, signatures, ciphertexts and lists of signatures as a stranger may write them.

Rule: a verdict is a verdict, never an exception; what verifies was made by who holds the key; and the verdict is that of the
arithmetic written from the standard.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from ledger import codec
from ledger.crypto import sm2, sm4
from ledger.errors import DecodeError, LimitExceeded, VerificationFailed
from ledger.quorum_list import SignatureListQuorumScheme
from ledger.types import QuorumCertificate, Validator, ValidatorSet, Vote, VoteKind
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Script, Target, require
from tests.suites import suite_under_test
from tests.vectors import sm2_math

MESSAGE = b"message"
CHAIN, DIGEST = b"c" * 32, b"d" * 32
SECRETS = tuple(bytes((number,)) * 32 for number in (1, 2, 3, 4))
SCHEME = SignatureListQuorumScheme()


@lru_cache(maxsize=1)
def keys() -> tuple[sm2.SecretKey, ...]:
    return tuple(sm2.SecretKey(secret) for secret in SECRETS)


def signature_of(secret: bytes, *, nonce: int = 7) -> bytes:
    return b"".join(map(sm2_math.number, sm2_math.sign(int.from_bytes(secret, "big"), nonce, MESSAGE)))


@lru_cache(maxsize=1)
def good() -> tuple[bytes, ...]:
    return tuple(signature_of(secret) for secret in SECRETS)


def run_signature(data: bytes) -> None:
    script = Script(data)
    key, signature = script.some(33), script.rest()
    if sm2.verify(keys()[0].public_key, MESSAGE, signature):
        require(signature == good()[0], "a signature that nobody made")
    if key != keys()[0].public_key:
        require(not sm2.verify(key, MESSAGE, good()[0]), "a signature holds under another key")
    x = int.from_bytes(key[1:], "big")
    point = sm2_math.lift(x) if len(key) == 33 and key[0] in {2, 3} and x < sm2_math.P else None
    if point is None:
        require(not sm2.verify(key, MESSAGE, signature), "a signature holds under what is no key")
    elif len(signature) == 64:
        signed = point if point[1] % 2 == key[0] - 2 else (x, sm2_math.P - point[1])
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        verdict = sm2.verify(key, MESSAGE, signature)
        require(verdict == sm2_math.verify(signed, MESSAGE, r, s), "another verdict than the arithmetic's")


def signature_seeds() -> list[bytes]:
    first, n = keys()[0].public_key, sm2_math.number(sm2_math.N)
    r, s = good()[0][:32], good()[0][32:]
    negated = sm2_math.number(sm2_math.N - int.from_bytes(r, "big"))
    pairs = (good()[0], bytes(32) + s, r + bytes(32), n + s, r + n, r + negated, s + r)
    points = (bytes(33), b"\x02" + b"\xff" * 32, b"\x02" + sm2_math.number(sm2_math.P), b"\x04" + first[1:])
    return [
        *(first + pair for pair in pairs),
        *(key.public_key + one for key, one in zip(keys(), good(), strict=True)),
        *(point + good()[0] for point in points),
    ]


def run_wrapped(data: bytes) -> None:
    """What opens was wrapped or sealed here, so nothing else does."""
    script = Script(data)
    if script.below(2):
        sm4.unseal(SECRETS[0], script.rest(), b"")
    else:
        sm2.decrypt(SECRETS[0], script.rest())
    require(data[1:] in {one[1:] for one in wrapped_seeds()}, "forged ciphertext opens")


@lru_cache(maxsize=1)
def wrapped_seeds() -> tuple[bytes, ...]:
    point = sm2_math.finite(sm2_math.multiply(int.from_bytes(SECRETS[0], "big"), sm2_math.G))
    nonce = b"n" * 24
    return (
        b"\1" + nonce + sm4.seal_with(nonce, SECRETS[0], b"plain", b""),
        b"\0" + sm2_math.encrypt(point, 7, b"secret"),
    )


@lru_cache(maxsize=1)
def validators() -> ValidatorSet:
    return ValidatorSet(
        epoch=1,
        validators=tuple(
            Validator(account=bytes((at,)) * 16, name=f"v{at}", vote_key=key.public_key, possession=b"\1")
            for at, key in enumerate(keys())
        ),
    )


@lru_cache(maxsize=1)
def votes() -> tuple[Vote, ...]:
    suite, unsigned = (
        suite_under_test("sm"),
        Vote(kind=VoteKind.FINALIZE, epoch=1, view=1, digest=DIGEST, validator=0, signature=b"\0"),
    )
    return tuple(
        replace(unsigned, validator=at, signature=suite.load_vote_signer(secret).sign_vote(CHAIN, unsigned))
        for at, secret in enumerate(SECRETS)
    )


def run_list(data: bytes) -> None:
    """A certificate holds if it lists good signatures of who it names, and then they are those that were made."""
    one = codec.decode(data, QuorumCertificate, size_bytes_max=16 * 1024)
    whole = SCHEME.verify_certificate(CHAIN, validators(), one)
    if SCHEME.verify_part(CHAIN, validators(), one):
        named = tuple(vote for vote in votes() if one.signers[0] >> vote.validator & 1)
        require(one == SCHEME.aggregate(validators(), named), "a part that nobody made")
        require(whole == (len(named) >= 3), "a quorum by another count")
    else:
        require(not whole, "a whole whose parts do not hold")


def list_seeds() -> list[bytes]:
    subsets = (votes(), votes()[:3], votes()[1:], votes()[:2], votes()[:1])
    return [codec.encode(SCHEME.aggregate(validators(), subset)) for subset in subsets]


TARGETS = (
    Target(name="crypto.sm2", run=run_signature, seeds=signature_seeds, errors=(), size_bytes_max=128),
    Target(
        name="crypto.sm_wrapped",
        run=run_wrapped,
        seeds=wrapped_seeds,
        errors=(VerificationFailed,),
        size_bytes_max=256,
    ),
    Target(
        name="crypto.signature_list",
        run=run_list,
        seeds=list_seeds,
        examples=lambda: encodings(QuorumCertificate),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=1024,
    ),
)
