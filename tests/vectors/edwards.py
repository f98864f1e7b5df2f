"""Edwards25519 in plain integers, slow and exact: makes the signatures that no library would make.

Source: RFC 8032, section 5.1.
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def _x_of(y: int, odd: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return x if x & 1 == odd else P - x


def add(a: Point, b: Point) -> Point:
    k = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P) % P


def multiply(n: int, point: Point) -> Point:
    total = NEUTRAL
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def _base() -> Point:
    y = 4 * pow(5, -1, P) % P
    x = _x_of(y, 0)
    assert x is not None
    return x, y


def _order_8() -> Point:
    y = 2
    while True:
        x = _x_of(y, 0)
        if x is not None:
            point = multiply(L, (x, y))
            if multiply(4, point) != NEUTRAL:
                return point
        y += 1


BASE = _base()
TORSION = _order_8()


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def sign(secret: int, nonce: int, message: bytes, *, a: bytes, r: bytes) -> bytes:
    """R ‖ S with S = nonce + challenge · secret, for any encodings of A and R."""
    s = (nonce + challenge(r, a, message) * secret) % L
    return r + s.to_bytes(32, "little")
