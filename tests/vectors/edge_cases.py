"""Signatures at the edges of what may hold, with the verdict that every implementation must give."""

from __future__ import annotations

from ledger.crypto import bls, ed25519
from ledger.domains import TRANSACTION_SIGN
from tests.unit.ledger_world import fixed
from tests.vectors import edwards as ed

Case = dict[str, str | bool]
BLS_FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB


def _case(name: str, key: bytes, message: bytes, signature: bytes, valid: bool) -> Case:
    return {
        "name": name,
        "public_key": key.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "valid": valid,
    }


def _with_challenge(a: bytes, r_point: ed.Point, message: bytes, divisible: bool) -> bytes:
    """The message, varied until its challenge is, or is not, divisible by 8."""
    r = ed.encode(r_point)
    while (ed.challenge(r, a, message) % 8 == 0) != divisible:
        message = fixed("next", message.hex())
    return message


def ed25519_cases() -> list[Case]:
    secret, nonce = (int.from_bytes(fixed("edge", what), "little") % ed.L for what in ("secret", "nonce"))
    message = fixed("edge message")
    key_point, nonce_point = ed.multiply(secret, ed.BASE), ed.multiply(nonce, ed.BASE)
    a, r = ed.encode(key_point), ed.encode(nonce_point)
    good = ed.sign(secret, nonce, message, a=a, r=r)
    s = int.from_bytes(good[32:], "little")
    signer = ed25519.Ed25519Signer(fixed("edge seed"))
    tagged = ed25519.tagged(TRANSACTION_SIGN, b"body")
    cases = [
        _case("good", a, message, good, True),
        _case("good, tagged digest", signer.public_key, tagged, signer.sign(TRANSACTION_SIGN, b"body"), True),
        _case("empty message", a, b"", ed.sign(secret, nonce, b"", a=a, r=r), True),
        _case("other message", a, fixed("other"), good, False),
        _case("S + L", a, message, r + (s + ed.L).to_bytes(32, "little"), False),
        _case("S = L", a, message, r + ed.L.to_bytes(32, "little"), False),
        _case("S with its highest bit", a, message, r + (s | 1 << 255).to_bytes(32, "little"), False),
        _case("R flipped in sign", a, message, bytes((*r[:31], r[31] ^ 0x80)) + good[32:], False),
        _case("key flipped in sign", bytes((*a[:31], a[31] ^ 0x80)), message, good, False),
        _case("short key", a[:31], message, good, False),
        _case("short signature", a, message, good[:63], False),
        _case("long signature", a, message, good + b"\0", False),
        _case("empty signature", a, message, b"", False),
        _case("all zero", bytes(32), bytes(32), bytes(64), False),
    ]
    mixed_r = ed.encode(ed.add(nonce_point, ed.TORSION))
    signature = ed.sign(secret, nonce, message, a=a, r=mixed_r)
    cases.append(_case("R with torsion: only cofactored verification takes it", a, message, signature, False))
    mixed_a = ed.encode(ed.add(key_point, ed.TORSION))
    for divisible in (False, True):
        varied = _with_challenge(mixed_a, nonce_point, message, divisible)
        signature = ed.sign(secret, nonce, varied, a=mixed_a, r=r)
        name = f"key with torsion, challenge {'' if divisible else 'not '}divisible by 8"
        cases.append(_case(name, mixed_a, varied, signature, divisible))
    return cases + _small_order_cases(secret, nonce, message, a, r)


def _small_order_cases(secret: int, nonce: int, message: bytes, a: bytes, r: bytes) -> list[Case]:
    """Every encoding, canonical or not, of the eight points of small order, as A and as R."""
    encodings: dict[str, bytes] = {}
    for i in range(8):
        encodings[f"{i}T"] = ed.encode(ed.multiply(i, ed.TORSION))
    for name, y in (("0", 0), ("1", 1), ("-1", ed.P - 1), ("0 + p", ed.P), ("1 + p", ed.P + 1)):
        for sign in (0, 1):
            encodings[f"y = {name}, sign {sign}"] = (y | sign << 255).to_bytes(32, "little")
    encodings["y = 2^255 - 1"] = ((1 << 255) - 1).to_bytes(32, "little")
    cases = []
    for name, encoded in encodings.items():
        as_key = ed.sign(0, nonce, message, a=encoded, r=r)
        as_r = ed.sign(secret, 0, message, a=a, r=encoded)
        cases.append(_case(f"small order key {name}", encoded, message, as_key, False))
        cases.append(_case(f"small order R {name}", a, message, as_r, False))
    return cases


def _bls_point_with_small_x() -> bytes:
    """A public key whose x coordinate plus the field's modulus still fits into 381 bits."""
    for i in range(10_000):
        key = bls.SecretKey(b"\0" + fixed("small x", i)[1:]).public_key
        x = int.from_bytes(bytes((key[0] & 0x1F, *key[1:])), "big")
        if x + BLS_FIELD < 1 << 381:
            return key
    raise AssertionError("no such key found")


def _bls_outside_subgroup() -> bytes:
    """A point of the G1 curve y² = x³ + 4 that is not in the subgroup of prime order."""
    x = 1
    while True:
        square = (x**3 + 4) % BLS_FIELD
        if pow(square, (BLS_FIELD - 1) // 2, BLS_FIELD) == 1:
            return bytes((0x80,)) + x.to_bytes(48, "big")[1:]
        x += 1


def bls_cases() -> list[Case]:
    keys = [bls.SecretKey(b"\0" + fixed("bls edge", i)[1:]) for i in range(4)]
    message = b"vote"
    key, good = keys[0].public_key, keys[0].sign(message)
    together = b"".join(k.public_key for k in keys)
    aggregate = bls.aggregate([k.sign(message) for k in keys])
    scalar = int.from_bytes(b"\0" + fixed("bls edge", 0)[1:], "big")
    opposite = bls.SecretKey((bls.ORDER - scalar).to_bytes(32, "big"))
    infinity_1, infinity_2 = b"\xc0" + bytes(47), b"\xc0" + bytes(95)
    small = _bls_point_with_small_x()
    x = int.from_bytes(bytes((small[0] & 0x1F, *small[1:])), "big") + BLS_FIELD
    unreduced = bytearray(x.to_bytes(48, "big"))
    unreduced[0] |= small[0] & 0xE0
    outside_2 = b"\x80" + bytes(95)
    return [
        _case("good", key, message, good, True),
        _case("good aggregate of four", together, message, aggregate, True),
        _case("good aggregate, keys in another order", together[48:] + key, message, aggregate, True),
        _case("aggregate without one key", together[48:], message, aggregate, False),
        _case("other message", key, b"veto", good, False),
        _case("proof of possession is no vote", key, message, keys[0].prove_possession(message), False),
        _case("opposite signature", key, message, bytes((good[0] ^ 0x20, *good[1:])), False),
        _case("identity key, identity signature", infinity_1, message, infinity_2, False),
        _case("identity signature", key, message, infinity_2, False),
        _case("identity key", infinity_1, message, good, False),
        _case("keys that cancel out", key + opposite.public_key, message, infinity_2, False),
        _case("keys that cancel out, a real signature", key + opposite.public_key, message, good, False),
        _case("identity with stray bits", b"\xe0" + bytes(47), message, infinity_2, False),
        _case("x coordinate not reduced", bytes(unreduced), message, good, False),
        _case("key outside the subgroup", _bls_outside_subgroup(), message, good, False),
        _case("signature not on the curve or outside the subgroup", key, message, outside_2, False),
        _case("key without compression flag", bytes((key[0] & 0x7F, *key[1:])), message, good, False),
        _case("short key", key[:47], message, good, False),
        _case("no key", b"", message, good, False),
        _case("short signature", key, message, good[:95], False),
        _case("long signature", key, message, good + b"\0", False),
        _case("empty signature", key, message, b"", False),
    ]
