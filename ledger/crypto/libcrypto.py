"""The SM2 curve's group, and signing with a secret key, from the libcrypto that Python's `ssl` module runs on.

Rule: the library adds and multiplies points and signs with secrets, in constant time; it judges nothing. Numbers come in as
32 bytes big-endian, whether they are in range has been checked, and every call either succeeds or is an `InvariantViolation`,
except decoding a point. Nothing here prints, and the library's error queue, which `ssl` shares, is left empty.

Only functions that OpenSSL 3 keeps are used. Each call releases the GIL; groups, points and keys are never changed once made, so
that threads may share them.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_ulong, c_void_p
from functools import cache
from typing import Any, Final

from ledger.crypto.suite import SuiteUnavailable
from ledger.errors import invariant

POINT_SIZE_BYTES: Final = 33
POINT_UNCOMPRESSED_SIZE_BYTES: Final = 65

_VERSION_MIN: Final = 0x30000000
_CURVE_OID: Final = b"1.2.156.10197.1.301"
_COMPRESSED: Final = 2
_UNCOMPRESSED: Final = 4
_DER_SIGNATURE_SIZE_BYTES_MAX: Final = 72
# PrivateKeyInfo (RFC 5208) of an ECPrivateKey (RFC 5915) on this curve, up to the 32 bytes of the secret.
_PRIVATE_KEY_HEAD: Final = bytes.fromhex(
    "3041020100301306072a8648ce3d020106082a811ccf5501822d042730250201010420"
)

_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "OpenSSL_version_num": (c_ulong, ()),
    "OpenSSL_version": (c_char_p, (c_int,)),
    "ERR_clear_error": (None, ()),
    "OBJ_txt2nid": (c_int, (c_char_p,)),
    "BN_bin2bn": (c_void_p, (c_char_p, c_int, c_void_p)),
    "BN_clear_free": (None, (c_void_p,)),
    "EC_GROUP_new_by_curve_name": (c_void_p, (c_int,)),
    "EC_POINT_new": (c_void_p, (c_void_p,)),
    "EC_POINT_clear_free": (None, (c_void_p,)),
    "EC_POINT_oct2point": (c_int, (c_void_p, c_void_p, c_char_p, c_size_t, c_void_p)),
    "EC_POINT_point2oct": (c_size_t, (c_void_p, c_void_p, c_int, c_char_p, c_size_t, c_void_p)),
    "EC_POINT_mul": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "EC_POINT_is_at_infinity": (c_int, (c_void_p, c_void_p)),
    "d2i_AutoPrivateKey": (c_void_p, (c_void_p, POINTER(c_char_p), c_long)),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_new": (c_void_p, (c_void_p, c_void_p)),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_sign_init": (c_int, (c_void_p,)),
    "EVP_PKEY_sign": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
}


class _Library:
    """The functions of `_SIGNATURES`, with their types, and the curve's group."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        """Bind every function.

        Raises:
            AttributeError: one of them is not there.
            OSError: the library is too old or does not have the curve.
        """
        self.functions: Final[dict[str, Callable[..., Any]]] = {}
        for name, (result, arguments) in _SIGNATURES.items():
            function = loaded[name]
            function.restype, function.argtypes = result, arguments
            self.functions[name] = function
        if self.functions["OpenSSL_version_num"]() < _VERSION_MIN:
            raise OSError("older than OpenSSL 3.0")
        self.version: Final[str] = self.functions["OpenSSL_version"](0).decode("ascii", "replace")
        nid = self.functions["OBJ_txt2nid"](_CURVE_OID)
        self.group: Final = self.functions["EC_GROUP_new_by_curve_name"](nid) if nid else None
        if not self.group:
            self.functions["ERR_clear_error"]()
            raise OSError(f"{self.version} is built without SM2")


def _places() -> tuple[str | None, ...]:
    """Where to look: what Python's own modules are linked with, the interpreter itself, the system's library."""
    import _hashlib
    import _ssl

    linked = (getattr(module, "__file__", None) for module in (_ssl, _hashlib))
    return (*(path for path in linked if path), None, "libcrypto.so.3")


@cache
def _library() -> _Library:
    reasons: list[str] = []
    for place in _places():
        try:
            found = _Library(ctypes.CDLL(place))
        except (OSError, AttributeError) as error:
            reasons.append(f"{place or 'python'}: {error}")
        else:
            return found
    raise SuiteUnavailable(suite="sm", reason="; ".join(reasons)[:512])


def require() -> str:
    """Find the library.

    Returns:
        Its version, as it calls itself.

    Raises:
        SuiteUnavailable: there is none with SM2, or it has no SM3.
    """
    library = _library()
    if "sm3" not in hashlib.algorithms_available:
        raise SuiteUnavailable(suite="sm", reason=f"{library.version} is built without SM3")
    return library.version


def _call(name: str, *arguments: object) -> Any:
    return _library().functions[name](*arguments)


class Number:
    """A number of the library's, wiped when it is no longer used."""

    __slots__ = ("_free", "handle")

    def __init__(self, value: bytes) -> None:
        """Take 32 bytes big-endian."""
        self._free = _library().functions["BN_clear_free"]
        self.handle: int | None = _call("BN_bin2bn", value, len(value), None)
        invariant(self.handle, "libcrypto had no memory for a number")

    def __del__(self) -> None:
        self._free(self.handle)


class Point:
    """A point of the curve, infinity included; wiped when it is no longer used."""

    __slots__ = ("_free", "handle")

    def __init__(self) -> None:
        self._free = _library().functions["EC_POINT_clear_free"]
        self.handle: int | None = _call("EC_POINT_new", _library().group)
        invariant(self.handle, "libcrypto had no memory for a point")

    def __del__(self) -> None:
        self._free(self.handle)

    def coordinates(self) -> bytes | None:
        """x ‖ y, 64 bytes; None for infinity."""
        group, out = _library().group, ctypes.create_string_buffer(POINT_UNCOMPRESSED_SIZE_BYTES)
        if _call("EC_POINT_is_at_infinity", group, self.handle):
            return None
        written = _call("EC_POINT_point2oct", group, self.handle, _UNCOMPRESSED, out, len(out), None)
        invariant(written == len(out), "libcrypto did not encode a point")
        return out.raw[1:]


def uncompressed(coordinates: bytes) -> bytes:
    """65 bytes: `04` ‖ x ‖ y."""
    return bytes((_UNCOMPRESSED,)) + coordinates


def compressed(coordinates: bytes) -> bytes:
    """33 bytes: `02` for an even y or `03` for an odd one, ‖ x."""
    return bytes((_COMPRESSED + (coordinates[-1] & 1),)) + coordinates[:32]


def decode_point(encoded: bytes) -> Point | None:
    """The point that 33 or 65 bytes stand for; None if they stand for none or are not its one encoding of that form."""
    if len(encoded) not in {POINT_SIZE_BYTES, POINT_UNCOMPRESSED_SIZE_BYTES}:
        return None
    point = Point()
    if not _call("EC_POINT_oct2point", _library().group, point.handle, encoded, len(encoded), None):
        _call("ERR_clear_error")
        return None
    coordinates = point.coordinates()
    encode = compressed if len(encoded) == POINT_SIZE_BYTES else uncompressed
    return point if coordinates is not None and encode(coordinates) == encoded else None


def multiply(scalar: bytes, point: Point | None = None) -> Point:
    """scalar · point, or scalar · G; takes equal time for every scalar."""
    result, number = Point(), Number(scalar)
    group = _library().group
    if point is None:
        done = _call("EC_POINT_mul", group, result.handle, number.handle, None, None, None)
    else:
        done = _call("EC_POINT_mul", group, result.handle, None, point.handle, number.handle, None)
    invariant(done == 1, "libcrypto did not multiply a point")
    return result


def multiply_sum(scalar_g: bytes, scalar_p: bytes, point: Point) -> Point:
    """scalar_g · G + scalar_p · point, for scalars that are no secret."""
    result, s, t = Point(), Number(scalar_g), Number(scalar_p)
    done = _call("EC_POINT_mul", _library().group, result.handle, s.handle, point.handle, t.handle, None)
    invariant(done == 1, "libcrypto did not add points")
    return result


def read_der_signature(der: bytes) -> tuple[int, int]:
    """The two numbers of the signature that `SecretKey.sign` got, each below 2²⁵⁶."""
    first = 4 + der[3]
    r, s = der[4:first], der[first + 2 :]
    invariant(der[0] == 0x30 and len(s) == der[first + 1], "libcrypto wrote another signature than DER")
    return int.from_bytes(r, "big"), int.from_bytes(s, "big")


class SecretKey:
    """A secret of the library's, which signs with it; d is in 1 … n − 2, which the caller has checked."""

    __slots__ = ("_free", "_handle")

    def __init__(self, secret: bytes) -> None:
        """Take 32 bytes big-endian."""
        encoded = _PRIVATE_KEY_HEAD + secret
        self._free = _library().functions["EVP_PKEY_free"]
        self._handle: int | None = _call("d2i_AutoPrivateKey", None, byref(c_char_p(encoded)), len(encoded))
        invariant(self._handle, "libcrypto did not take an SM2 secret")

    def __del__(self) -> None:
        self._free(self._handle)

    def sign(self, digest: bytes) -> tuple[int, int]:
        """(r, s) over e, 32 bytes, with a nonce of the library's."""
        context = _call("EVP_PKEY_CTX_new", self._handle, None)
        invariant(context, "libcrypto had no memory for a signature")
        try:
            invariant(_call("EVP_PKEY_sign_init", context) == 1, "libcrypto cannot sign with SM2")
            out = ctypes.create_string_buffer(_DER_SIGNATURE_SIZE_BYTES_MAX)
            size = c_size_t(_DER_SIGNATURE_SIZE_BYTES_MAX)
            done = _call("EVP_PKEY_sign", context, out, byref(size), digest, len(digest))
            invariant(done == 1, "libcrypto did not sign")
        finally:
            _call("EVP_PKEY_CTX_free", context)
        return read_der_signature(out.raw[: size.value])
