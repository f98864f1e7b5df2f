"""The name of a key in a token, as key files carry it: `pkcs11:token=…;object=…;type=private`.

Rule: a name says which key and nothing else. What would have a program load a library or read a PIN from somewhere is refused, so
that a file can do neither.

Source: RFC 7512, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from ledger.crypto.token import LABEL_SIZE_MAX
from ledger.errors import DecodeError

SCHEME: Final = "pkcs11:"
URI_SIZE_MAX: Final = 512
TYPES: Final = ("private", "secret-key")
_ATTRIBUTES: Final = ("token", "object", "type")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key in a token.

    Attributes:
        token: the token's label, 1 to 32 bytes.
        label: the key's, 1 to 32 bytes.
        kind: "private" for an account key, "secret-key" for one that seals.
    """

    token: str
    label: str
    kind: str = "private"

    def __post_init__(self) -> None:
        for what, text in (("token", self.token), ("object", self.label)):
            if not 1 <= len(text.encode()) <= LABEL_SIZE_MAX or not text.isprintable():
                raise DecodeError(what=f"PKCS#11 {what} label", reason=f"1 to {LABEL_SIZE_MAX} bytes of text")
        if self.kind not in TYPES:
            raise DecodeError(what="PKCS#11 type", reason=f"one of {', '.join(TYPES)}")

    def __str__(self) -> str:
        parts = zip(_ATTRIBUTES, (self.token, self.label, self.kind), strict=True)
        return SCHEME + ";".join(f"{name}={quote(value, safe='')}" for name, value in parts)


def parse_token_key(uri: str) -> TokenKey:
    """Read a name as `str(TokenKey(…))` writes it, or another program with the same attributes.

    Raises:
        DecodeError: another scheme, an attribute that is unknown, missing or given twice, or anything that is no name.
    """
    if len(uri) > URI_SIZE_MAX or not uri.startswith(SCHEME):
        raise DecodeError(
            what="PKCS#11 URI", reason=f"at most {URI_SIZE_MAX} characters that begin with {SCHEME}"
        )
    if "?" in uri:
        raise DecodeError(what="PKCS#11 URI", reason="it names a library or a PIN; a key file may not")
    found: dict[str, str] = {}
    for part in uri.removeprefix(SCHEME).split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _ATTRIBUTES or name in found:
            raise DecodeError(what="PKCS#11 URI", reason=f"{', '.join(_ATTRIBUTES)} are expected, each once")
        try:
            found[name] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise DecodeError(what="PKCS#11 URI", reason=f"{name} is not UTF-8") from None
    if found.keys() != set(_ATTRIBUTES):
        raise DecodeError(what="PKCS#11 URI", reason=f"{', '.join(_ATTRIBUTES)} are expected, each once")
    return TokenKey(found["token"], found["object"], found["type"])
