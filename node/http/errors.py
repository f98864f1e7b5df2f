"""Faults that only the HTTP layer finds.

Rule: each names the member, parameter or header that is wrong.
"""

from __future__ import annotations

from ledger.errors import Category, LedgerError


class BodyInvalid(LedgerError):
    """Fields: member (JSON path), reason, reason_zh."""

    code = "body_invalid"
    zh = "请求正文不正确（{member}）：{reason_zh}"
    en = "Invalid request body at {member}: {reason}"


class BodyTooLarge(LedgerError):
    """Fields: maximum (bytes)."""

    code = "body_too_large"
    category = Category.TOO_LARGE
    zh = "请求正文过大：最多 {maximum} 字节"
    en = "The request body is too large: at most {maximum} bytes"


class BodyIncomplete(LedgerError):
    """The body broke off, or took too long. Fields: reason."""

    code = "body_incomplete"
    zh = "请求正文不完整：{reason}"
    en = "The request body is incomplete: {reason}"


class ParameterInvalid(LedgerError):
    """A path or query parameter. Fields: parameter, reason, reason_zh."""

    code = "parameter_invalid"
    zh = "参数 {parameter} 不正确：{reason_zh}"
    en = "Invalid parameter {parameter}: {reason}"


class HeaderInvalid(LedgerError):
    """Fields: header, reason."""

    code = "header_invalid"
    zh = "请求头 {header} 不正确：{reason}"
    en = "Invalid header {header}: {reason}"


class IdempotencyKeyRequired(LedgerError):
    """The route needs an Idempotency-Key."""

    code = "idempotency_key_required"
    zh = "此操作需要请求头 Idempotency-Key（1–128 个可见 ASCII 字符）"
    en = "This operation needs an Idempotency-Key header of 1 to 128 visible ASCII characters"


class IdempotencyConflict(LedgerError):
    """The key was used for another request."""

    code = "idempotency_conflict"
    category = Category.CONFLICT
    zh = "该 Idempotency-Key 已用于另一个不同的请求"
    en = "That Idempotency-Key was used for a different request"


class SessionRequired(LedgerError):
    """No session, or one that has ended."""

    code = "session_required"
    category = Category.UNAUTHENTICATED
    zh = "需要有效的会话：没有令牌，或令牌已失效"
    en = "A valid session is needed: the token is missing or has ended"


class ChallengeInvalid(LedgerError):
    """Not made here for this key, expired, or used."""

    code = "challenge_invalid"
    category = Category.UNAUTHENTICATED
    zh = "登录质询无效、已过期或已使用，请重新获取"
    en = "The challenge is not ours, has expired or was used; ask for a new one"


class LoginRefused(LedgerError):
    """Account, key or signature is wrong; not said which, so that nobody learns who is enrolled."""

    code = "login_refused"
    category = Category.UNAUTHENTICATED
    zh = "登录被拒绝：账户、密钥或签名无效"
    en = "Login refused: account, key or signature is not valid"


class WrongRole(LedgerError):
    """The route is for others. Fields: kind, role (the caller's)."""

    code = "route_not_allowed"
    category = Category.FORBIDDEN
    zh = "此操作不允许账户类型 {kind}、密钥角色 {role} 使用"
    en = "Not open to an account of kind {kind} with a key of role {role}"


class SessionTooWeak(LedgerError):
    """A session by an identity provider may read and nothing else."""

    code = "session_too_weak"
    category = Category.FORBIDDEN
    zh = "此登录方式只能查看；办理请用通行密钥或账户密钥登录"
    en = "This kind of login may only read; log in with a passkey or an account key to act"


class NotYours(LedgerError):
    """The caller is no party to the object. Fields: what."""

    code = "not_yours"
    category = Category.FORBIDDEN
    zh = "您不是该{what}的当事方，无权查看"
    en = "You are not a party to this {what}"


class NotTheSigner(LedgerError):
    """The transaction was signed by another key than the session's."""

    code = "not_the_signer"
    category = Category.FORBIDDEN
    zh = "交易的签名者不是当前会话的账户与密钥"
    en = "The transaction was not signed by this session's account and key"


class WrongCall(LedgerError):
    """The transaction asks for something else than this route. Fields: expected, actual."""

    code = "wrong_call"
    zh = "此接口需要 {expected} 交易，收到的是 {actual}"
    en = "This route takes a {expected} transaction, got {actual}"


class RateLimited(LedgerError):
    """Fields: retry_after_s."""

    code = "rate_limited"
    category = Category.BUSY
    zh = "请求过于频繁，请在 {retry_after_s} 秒后重试"
    en = "Too many requests; try again in {retry_after_s} s"


class AccountRestricted(LedgerError):
    """An account that was recovered lately gives nothing away. Fields: until."""

    code = "account_restricted"
    category = Category.FORBIDDEN
    zh = "账户刚刚找回，{until} 前不能导出或取回数据；如非本人找回，请到办理窗口"
    en = "This account was recovered lately and gives out nothing until {until}; if that was not you, go to a service window"
