"""The arithmetic of SM2 in plain Python integers, written from the standard: for vectors, and to compare the library with.

Rule: nothing here is shared with `ledger.crypto.sm2` but the hash; it is slow, and unfit for secrets that matter.

Source: GB/T 32918.1-2016 (points), 32918.2-2016 (signatures), 32918.4-2016 (encryption), 32918.5-2017 (the curve).
"""

from __future__ import annotations

import hashlib

P = 2**256 - 2**224 - 2**96 + 2**64 - 1
A = P - 3
B = int("28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93", 16)
N = int("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123", 16)
G = (
    int("32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7", 16),
    int("BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0", 16),
)
IDENTITY = b"1234567812345678"

Point = tuple[int, int] | None


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def add(one: Point, other: Point) -> Point:
    """Chord and tangent; None is infinity."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % P == 0:
        return None
    if one == other:
        slope = (3 * one[0] ** 2 + A) * pow(2 * one[1], -1, P) % P
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, P) % P
    x = (slope * slope - one[0] - other[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def multiply(scalar: int, point: Point) -> Point:
    total: Point = None
    for bit in f"{scalar:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def finite(point: Point) -> tuple[int, int]:
    assert point is not None
    return point


def compressed(point: tuple[int, int]) -> bytes:
    return bytes((2 + point[1] % 2,)) + number(point[0])


def uncompressed(point: tuple[int, int]) -> bytes:
    return b"\x04" + number(point[0]) + number(point[1])


def lift(x: int) -> tuple[int, int] | None:
    """The point with that x and an even y, if there is one."""
    square = (x**3 + A * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    return x, y if y % 2 == 0 else P - y


def digest(key: tuple[int, int], message: bytes, identity: bytes = IDENTITY) -> int:
    """e."""
    head = (len(identity) * 8).to_bytes(2, "big") + identity
    z = sm3(head + b"".join(number(one) for one in (A, B, *G, *key)))
    return int.from_bytes(sm3(z + message), "big")


def sign(secret: int, nonce: int, message: bytes, identity: bytes = IDENTITY) -> tuple[int, int]:
    """(r, s), with a nonce k in 1 … n − 1 for which neither is 0 nor r + k = n."""
    e = digest(finite(multiply(secret, G)), message, identity)
    r = (e + finite(multiply(nonce, G))[0]) % N
    return r, pow(1 + secret, -1, N) * (nonce - r * secret) % N


def verify(key: tuple[int, int], message: bytes, r: int, s: int, identity: bytes = IDENTITY) -> bool:
    t = (r + s) % N
    if not (0 < r < N and 0 < s < N and t):
        return False
    found = add(multiply(s, G), multiply(t, key))
    return found is not None and (digest(key, message, identity) + found[0]) % N == r


def encrypt(key: tuple[int, int], nonce: int, message: bytes) -> bytes:
    """C1 ‖ C3 ‖ C2."""
    first, (x, y) = finite(multiply(nonce, G)), finite(multiply(nonce, key))
    stream = b"".join(
        sm3(number(x) + number(y) + counter.to_bytes(4, "big"))
        for counter in range(1, len(message) // 32 + 2)
    )
    masked = bytes(one ^ other for one, other in zip(message, stream, strict=False))
    return uncompressed(first) + sm3(number(x) + message + number(y)) + masked
