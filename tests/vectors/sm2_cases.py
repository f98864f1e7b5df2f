"""SM2 signatures and keys at the edges of what may hold, with the verdict that every implementation must give."""

from __future__ import annotations

from ledger.domains import TRANSACTION_SIGN
from tests.unit.ledger_world import fixed
from tests.vectors import sm2_math as math

Case = dict[str, str | bool]
MESSAGE = fixed("sm2 message")
SECRET, NONCE = (int.from_bytes(fixed("sm2", what), "big") % (math.N - 2) + 1 for what in ("secret", "nonce"))
KEY = math.finite(math.multiply(SECRET, math.G))


def _case(name: str, key: bytes, message: bytes, signature: bytes, valid: bool) -> Case:
    return {
        "name": name,
        "public_key": key.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "valid": valid,
    }


def pair(r: int, s: int) -> bytes:
    return math.number(r) + math.number(s)


def signed(secret: int, message: bytes, *, nonce: int = NONCE, identity: bytes = math.IDENTITY) -> bytes:
    return pair(*math.sign(secret, nonce, message, identity))


def _standard() -> list[Case]:
    """The example on the recommended curve, GB/T 32918.5-2017, annex A.2."""
    secret = int("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8", 16)
    signature = bytes.fromhex(
        "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
        "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
    )
    key = math.compressed(math.finite(math.multiply(secret, math.G)))
    return [
        _case("the standard's example", key, b"message digest", signature, True),
        _case("the standard's example, another message", key, b"message digesu", signature, False),
    ]


def _ranges(key: bytes, good: bytes) -> list[Case]:
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    return [
        _case("r = 0", key, MESSAGE, pair(0, s), False),
        _case("s = 0", key, MESSAGE, pair(r, 0), False),
        _case("r = n", key, MESSAGE, pair(math.N, s), False),
        _case("s = n", key, MESSAGE, pair(r, math.N), False),
        _case("r = n + 1", key, MESSAGE, pair(math.N + 1, s), False),
        _case("r and s = 2^256 - 1", key, MESSAGE, b"\xff" * 64, False),
        _case("t = r + s = n", key, MESSAGE, pair(r, math.N - r), False),
        _case("s negated", key, MESSAGE, pair(r, math.N - s), False),
        _case("r and s exchanged", key, MESSAGE, pair(s, r), False),
        _case("all zero", key, MESSAGE, bytes(64), False),
        _case("short signature", key, MESSAGE, good[:63], False),
        _case("long signature", key, MESSAGE, good + b"\0", False),
        _case("empty signature", key, MESSAGE, b"", False),
    ]


def _infinity() -> Case:
    """s and t for which s · G + t · P is infinity: s = -t d."""
    t = NONCE
    s = -t * SECRET % math.N
    return _case("the sum is infinity", math.compressed(KEY), MESSAGE, pair((t - s) % math.N, s), False)


def _keys(good: bytes) -> list[Case]:
    """Bytes that are no key, or another, with a signature that is good for KEY."""
    key, x = math.compressed(KEY), math.number(KEY[0])
    lacking = next(x for x in range(1, 100) if math.lift(x) is None)
    small = next(point for point in map(math.lift, range(1, 100)) if point is not None)
    keys = {
        "the key's opposite": bytes((key[0] ^ 1,)) + x,
        "the key uncompressed": math.uncompressed(KEY),
        "x alone": x,
        "key with prefix 04": b"\x04" + x,
        "key with prefix 00": b"\x00" + x,
        "key with prefix 06": b"\x06" + x,
        "infinity, one byte": b"\0",
        "infinity, 33 bytes": bytes(33),
        "x with no point": b"\x02" + math.number(lacking),
        "x = p": b"\x02" + math.number(math.P),
        "x not reduced": b"\x02" + math.number(small[0] + math.P),
        "x = 2^256 - 1": b"\x03" + b"\xff" * 32,
        "short key": key[:32],
        "long key": key + b"\0",
        "empty key": b"",
        "another key": math.compressed(math.G),
    }
    cases = [_case(name, encoded, MESSAGE, good, False) for name, encoded in keys.items()]
    off = (KEY[0], (KEY[1] + 1) % math.P)
    cases.append(_case("a point off the curve, uncompressed", math.uncompressed(off), MESSAGE, good, False))
    return cases


def sm2_cases() -> list[Case]:
    key, good = math.compressed(KEY), signed(SECRET, MESSAGE)
    one, last = math.compressed(math.G), math.compressed(math.finite(math.multiply(math.N - 2, math.G)))
    prefix = bytes((len(TRANSACTION_SIGN),)) + TRANSACTION_SIGN
    return [
        *_standard(),
        _case("good", key, MESSAGE, good, True),
        _case("good, another nonce", key, MESSAGE, signed(SECRET, MESSAGE, nonce=NONCE + 1), True),
        _case(
            "good, in the transaction's domain", key, prefix + b"body", signed(SECRET, prefix + b"body"), True
        ),
        _case("good, without the domain", key, b"body", signed(SECRET, prefix + b"body"), False),
        _case("good, empty message", key, b"", signed(SECRET, b""), True),
        _case("good, message of 1,024 bytes", key, MESSAGE * 32, signed(SECRET, MESSAGE * 32), True),
        _case("good, secret 1", one, MESSAGE, signed(1, MESSAGE), True),
        _case("good, secret n - 2", last, MESSAGE, signed(math.N - 2, MESSAGE), True),
        _case("other message", key, fixed("other"), good, False),
        _case(
            "another identity", key, MESSAGE, signed(SECRET, MESSAGE, identity=b"ALICE123@YAHOO.COM"), False
        ),
        _case("no identity", key, MESSAGE, signed(SECRET, MESSAGE, identity=b""), False),
        _case("first bit flipped", key, MESSAGE, bytes((good[0] ^ 0x80,)) + good[1:], False),
        _case("last bit flipped", key, MESSAGE, good[:63] + bytes((good[63] ^ 1,)), False),
        *_ranges(key, good),
        _infinity(),
        *_keys(good),
    ]
