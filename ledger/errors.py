"""The exception tree of the whole project, and `invariant()`.

Rule: a peer's, a user's or a disk's fault is a `LedgerError` with a stable `code`, typed fields and a message
in zh and en that says what was wrong; our own broken promise is an `InvariantViolation`, which stops the node
loudly and is never caught to go on.

Each class states its `category`; `node/http/problems.py` is the one place that turns a category into an HTTP
status.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Category(Enum):
    """What kind of fault it is, in the terms of no protocol in particular."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    CONFLICT = "conflict"
    GONE = "gone"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"


class LedgerError(Exception):
    """Base of every fault that is not our own.

    Attributes:
        code: stable, lower_snake_case, part of the API.
        category: decides the HTTP status and the CLI's exit code.
        zh: message template in Chinese; `{name}` takes the field of that name.
        en: message template in English.
        fields: the values that the templates name and that machines read.
    """

    code: ClassVar[str] = "error"
    category: ClassVar[Category] = Category.INVALID
    zh: ClassVar[str] = "出错：{reason}"
    en: ClassVar[str] = "Error: {reason}"

    def __init__(self, **fields: str | int) -> None:
        super().__init__(fields)
        self.fields = fields

    def message(self, language: str = "en") -> str:
        """The message in `language` ("zh" or "en"), with its fields filled in."""
        template = self.zh if language == "zh" else self.en
        try:
            return template.format(**self.fields)
        except (KeyError, IndexError):
            return template

    def __str__(self) -> str:
        return f"{self.code}: {self.message('en')}"


class DecodeError(LedgerError):
    """Bytes that are not the one canonical encoding of the expected type, or that pass a bound."""

    code = "malformed"
    zh = "数据格式不正确（{what}）：{reason}"
    en = "Malformed {what}: {reason}"


class LimitExceeded(LedgerError):
    """A named limit was passed. Fields: limit (its name), maximum, actual."""

    code = "limit_exceeded"
    category = Category.TOO_LARGE
    zh = "超过上限 {limit}：最多 {maximum}，实际 {actual}"
    en = "Limit {limit} exceeded: at most {maximum}, got {actual}"


class SignatureInvalid(LedgerError):
    """A signature does not verify under the stated key."""

    code = "signature_invalid"
    category = Category.UNAUTHENTICATED
    zh = "签名无效（{what}）"
    en = "Invalid signature on {what}"


class VerificationFailed(LedgerError):
    """A proof, receipt or certificate does not hold. Fields: reason."""

    code = "verification_failed"
    zh = "验证不通过：{reason}"
    en = "Verification failed: {reason}"


class NotFound(LedgerError):
    """Nothing under that name here. Fields: what, id."""

    code = "not_found"
    category = Category.MISSING
    zh = "没有找到{what}：{id}"
    en = "No {what} {id}"


class Busy(LedgerError):
    """A bounded queue is full; try again later. Fields: what, retry_after_s."""

    code = "busy"
    category = Category.BUSY
    zh = "{what}已满，请在 {retry_after_s} 秒后重试"
    en = "{what} is full; try again in {retry_after_s} s"


class Unavailable(LedgerError):
    """Something this node needs cannot be reached now. Fields: what, reason."""

    code = "unavailable"
    category = Category.UNAVAILABLE
    zh = "{what}暂不可用：{reason}"
    en = "{what} is unavailable: {reason}"


class StorageDamaged(LedgerError):
    """What was read from disk is not what was written. Fields: what, reason."""

    code = "storage_damaged"
    category = Category.UNAVAILABLE
    zh = "存储已损坏（{what}）：{reason}"
    en = "Damaged storage in {what}: {reason}"


class InvariantViolation(BaseException):
    """A promise of our own code is broken.

    Not an `Exception`, so that no broad handler keeps the node running.
    """


def invariant(condition: object, message: str) -> None:
    """Stop loudly unless `condition` holds.

    Args:
        condition: what must be true.
        message: what is broken when it is not; no personal data.

    Raises:
        InvariantViolation: when the condition is false.
    """
    if not condition:
        raise InvariantViolation(message)
