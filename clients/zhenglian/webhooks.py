"""Webhooks: how a delivery is signed, and how its receiver checks it.

Rule: a receiver that gets `Delivered` from `verify` may rely on it: signed with its own secret, over exactly these bytes, lately.
It keeps the ids it has seen and drops what comes again: a delivery is repeated until it is answered with a status of 200 to 299,
so it may come more than once, and always under the same id.

    webhook-id          id of the message, the same for every repetition
    webhook-timestamp   seconds since the Unix epoch, when this attempt was sent
    webhook-signature   "v1,<base64 of HMAC-SHA256(secret, id.timestamp.body)>", several separated by spaces while a secret changes

Source: the Standard Webhooks specification, “Signature scheme” and “Replay attacks”.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ledger.decoders import decode_json
from ledger.errors import Category, LedgerError

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # not a secret
SECRET_SIZE_BYTES: Final = 32
SECRET_SIZE_BYTES_MIN: Final = 24
SECRET_SIZE_BYTES_MAX: Final = 64
SECRETS_MAX: Final = 4
SIGNATURES_MAX: Final = 16
HEADER_LENGTH_MAX: Final = 2048
BODY_SIZE_BYTES_MAX: Final = 256 * 1024
TOLERANCE_S: Final = 300
ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
_VERSION: Final = "v1"
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SECONDS: Final = re.compile(r"0|[1-9][0-9]{0,11}")


class WebhookInvalid(LedgerError):
    """What came is not a delivery that can be relied on. Fields: reason."""

    code = "webhook_invalid"
    category = Category.UNAUTHENTICATED
    zh = "回调不可信：{reason}。请勿处理，返回 400"
    en = "This delivery cannot be relied on: {reason}. Do not act on it; answer 400"


class SecretInvalid(LedgerError):
    """A webhook's secret is not one. Fields: reason."""

    code = "webhook_secret_invalid"
    zh = "回调密钥格式不正确：{reason}；应为创建时显示的 whsec_ 开头的整串文字"
    en = "Not a webhook's secret: {reason}; give the whole text that begins with whsec_, as it was shown once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A delivery that was checked.

    Attributes:
        message_id: the same at every repetition; what to drop doubles by.
        time_s: when it was sent, seconds since the Unix epoch.
        kind: what happened, as "grants.requested".
        data: the body's `data`: a notice (`zhenglian.api_mydata.NoticeView`) as JSON values.
        body: the bytes as they came.
    """

    message_id: str
    time_s: int
    kind: str
    data: dict[str, Any]
    body: bytes


class _Body(msgspec.Struct, frozen=True):
    """What every delivery's JSON has; it may grow."""

    type: str
    data: dict[str, Any]


def new_secret(random: bytes) -> str:
    """A secret as it is shown, of `SECRET_SIZE_BYTES` random bytes."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def secret_bytes(secret: str) -> bytes:
    """The bytes of a secret.

    Raises:
        SecretInvalid: no text of `new_secret`.
    """
    text = secret.strip()
    if not text.startswith(SECRET_PREFIX):
        raise SecretInvalid(reason=f"it does not begin with {SECRET_PREFIX}")
    try:
        data = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SecretInvalid(reason="it is no base64") from None
    if not SECRET_SIZE_BYTES_MIN <= len(data) <= SECRET_SIZE_BYTES_MAX:
        raise SecretInvalid(reason=f"{SECRET_SIZE_BYTES_MIN} to {SECRET_SIZE_BYTES_MAX} bytes are expected")
    return data


def signature(secret: bytes, message_id: str, time_s: int, body: bytes) -> str:
    """One signature as it stands in the header."""
    signed = f"{message_id}.{time_s}.".encode() + body
    return f"{_VERSION}," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def sign(secrets: Sequence[bytes], message_id: str, time_s: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery, signed with every secret that is in use."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(time_s),
        SIGNATURE_HEADER: " ".join(signature(secret, message_id, time_s, body) for secret in secrets),
    }


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float | None = None,
    tolerance_s: int = TOLERANCE_S,
) -> Delivered:
    """Check a delivery before anything in it is believed.

    Args:
        secret: as shown when the webhook was made; several while it changes.
        headers: of the request, in any spelling of their names.
        body: of the request, byte for byte as it came.
        now_s: the time, seconds since the Unix epoch; the clock's if left out.
        tolerance_s: how far the time of sending may be from it, in either direction, seconds.

    Raises:
        WebhookInvalid: no signature of these secrets holds, the time is too far off, or something is malformed.
        SecretInvalid: the receiver's own secret is none.
    """
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not 1 <= len(secrets) <= SECRETS_MAX:
        raise SecretInvalid(reason=f"1 to {SECRETS_MAX} secrets are expected")
    keys = [secret_bytes(one) for one in secrets]
    if len(body) > BODY_SIZE_BYTES_MAX:
        raise WebhookInvalid(reason=f"its body has more than {BODY_SIZE_BYTES_MAX} bytes")
    message_id = _header(headers, ID_HEADER)
    if not _ID.fullmatch(message_id):
        raise WebhookInvalid(reason=f"{ID_HEADER} is malformed")
    time_s = _time(_header(headers, TIMESTAMP_HEADER))
    given = _header(headers, SIGNATURE_HEADER).split(" ")[:SIGNATURES_MAX]
    expected = [signature(key, message_id, time_s, body).encode() for key in keys]
    # Every pair is compared, each in constant time, so that the time taken tells nothing about which one fits.
    matches = [hmac.compare_digest(one.encode(), wanted) for one in given for wanted in expected]
    if not any(matches):
        raise WebhookInvalid(reason="no signature holds")
    now = time.time() if now_s is None else now_s
    if abs(now - time_s) > tolerance_s:
        raise WebhookInvalid(reason=f"it was sent more than {tolerance_s} s from now")
    try:
        decoded = decode_json(body, _Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WebhookInvalid(reason="its body is not the JSON of a delivery") from None
    return Delivered(message_id=message_id, time_s=time_s, kind=decoded.type, data=decoded.data, body=body)


def _header(headers: Mapping[str, str], name: str) -> str:
    found = [value for key, value in headers.items() if key.lower() == name]
    if len(found) != 1:
        raise WebhookInvalid(reason=f"one {name} header is expected")
    (value,) = found
    if len(value) > HEADER_LENGTH_MAX or not value.isascii():
        raise WebhookInvalid(reason=f"{name} is malformed")
    return value


def _time(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise WebhookInvalid(reason=f"{TIMESTAMP_HEADER} is malformed")
    return int(text)
