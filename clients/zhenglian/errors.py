"""What can go wrong for a user of the SDK, as one small flat tree.

Rule: every fault that the SDK raises is a `ledger.errors.LedgerError`, so a program that uses it
catches one base class, reads one stable `code`, and has a message in zh and en.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.decoders import decode_json
from ledger.errors import Category, LedgerError
from zhenglian.api import Problem, TransactionView

_CATEGORIES: Final = {
    401: Category.UNAUTHENTICATED,
    403: Category.FORBIDDEN,
    404: Category.MISSING,
    409: Category.CONFLICT,
    410: Category.GONE,
    412: Category.CONFLICT,
    413: Category.TOO_LARGE,
    429: Category.BUSY,
}


class ApiError(LedgerError):
    """The node answered with a problem (RFC 9457). `code`, `category` and `fields` are the problem's own."""

    code = "api_error"

    def __init__(self, problem: Problem) -> None:
        super().__init__(**problem.fields)
        self.problem = problem
        category = _CATEGORIES.get(problem.status)
        if category is None:
            category = Category.UNAVAILABLE if problem.status >= 500 else Category.INVALID
        # The base class has one code per class; a problem brings its own, so it shadows them on the instance.
        vars(self).update(code=problem.code, category=category)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    def message(self, language: str = "en") -> str:
        return self.problem.detail_zh if language == "zh" else self.problem.detail_en


class Denied(LedgerError):
    """The ledger refused, and recorded that. `code` and `fields` are the denial's."""

    code = "denied"
    category = Category.FORBIDDEN

    def __init__(self, transaction: TransactionView) -> None:
        result = transaction.result
        super().__init__(**(result.fields if result else {}))
        self.transaction = transaction
        self.message_zh = result.message_zh if result else ""
        self.message_en = result.message_en if result else ""
        vars(self).update(code=result.code if result else "denied")

    def message(self, language: str = "en") -> str:
        return self.message_zh if language == "zh" else self.message_en


class NotReachable(LedgerError):
    """No node answered, however often it was tried. Fields: nodes, reason."""

    code = "not_reachable"
    category = Category.UNAVAILABLE
    zh = "无法连接节点 {nodes}：{reason}。请检查地址（--node）和节点是否在运行。"
    en = "Cannot reach {nodes}: {reason}. Check the address (--node) and that the node is running."


class NotFinal(LedgerError):
    """Accepted, but not final within the time given; it may still become final. Fields: transaction_id."""

    code = "not_final"
    category = Category.UNAVAILABLE
    zh = "交易 {transaction_id} 在等待时间内尚未最终确认，之后仍可能确认；请稍后查询。"
    en = "Transaction {transaction_id} is not final yet and may still become so; ask again later."


class TransactionExpired(LedgerError):
    """Its time window passed before a block took it up; it never takes effect. Fields: transaction_id."""

    code = "transaction_expired"
    category = Category.GONE
    zh = "交易 {transaction_id} 已过有效期，不会再生效；可以重新发起。"
    en = "Transaction {transaction_id} expired and will never take effect; start again."


class ReleaseFailed(LedgerError):
    """The release ended FAILED; the use was returned to the grant. Fields: release_id, reason."""

    code = "release_failed"
    category = Category.UNAVAILABLE
    zh = "下链 {release_id} 失败：{reason}；使用次数已退回，可以重新申请。"
    en = "Release {release_id} failed: {reason}; the use was returned, so you can request again."


class NotPrepared(LedgerError):
    """The release is not prepared in time; the same id can be fetched later. Fields: release_id."""

    code = "not_prepared"
    category = Category.UNAVAILABLE
    zh = "下链 {release_id} 尚未就绪；稍后用同一编号继续，不会再次扣减次数。"
    en = "Release {release_id} is not prepared yet; go on later with the same id, at no second use."


class ReleaseInterrupted(LedgerError):
    """A release was under way when its node went away. Going on with the same id costs no second use.

    Fields: release_id, reason.
    """

    code = "release_interrupted"
    category = Category.UNAVAILABLE
    zh = "下链 {release_id} 中断：{reason}。用同一编号继续，不会再次扣减次数。"
    en = "Release {release_id} was interrupted: {reason}. Go on with the same id, at no second use."


class Mismatch(LedgerError):
    """What a node gave is not what was recorded or sent. Fields: what, expected, actual."""

    code = "mismatch"
    category = Category.INVALID
    zh = "{what}与账本记录不符：应为 {expected}，实际 {actual}；数据未被采用。"
    en = "{what} does not match: expected {expected}, got {actual}; it was not used."


class NodeUnknown(LedgerError):
    """None of the client's nodes is that operator's. Fields: operator, nodes."""

    code = "node_unknown"
    zh = "{nodes} 中没有运营方 {operator} 的节点；请用 --node 给出它的地址。"
    en = "None of {nodes} is the node of operator {operator}; give its address with --node."


class UnexpectedAnswer(LedgerError):
    """The node's answer is not what the API promises. Fields: url, reason."""

    code = "unexpected_answer"
    category = Category.UNAVAILABLE
    zh = "节点 {url} 的回答不符合接口约定：{reason}"
    en = "Unexpected answer from {url}: {reason}"


class KeyNeeded(LedgerError):
    """This operation is signed, and no key was given."""

    code = "key_needed"
    category = Category.UNAUTHENTICATED
    zh = "此操作需要密钥文件：请用 --key 指定，或设置 ZHENGLIAN_KEY。"
    en = "This needs a key file: give --key FILE or set ZHENGLIAN_KEY."


class KeyFileUnusable(LedgerError):
    """A key file cannot be used. Fields: path, reason."""

    code = "key_file_unusable"
    zh = "密钥文件 {path} 不可用：{reason}"
    en = "Key file {path} cannot be used: {reason}"


class WrongNetwork(LedgerError):
    """The key file is bound to another network than the node's. Fields: expected, actual."""

    code = "wrong_network"
    zh = "密钥属于网络 {expected}，而节点属于 {actual}；为避免误签，已停止。"
    en = "The key belongs to network {expected}, the node to {actual}; nothing was signed."


def problem_from(status: int, body: bytes, url: str) -> LedgerError:
    """The error that a refused request stands for; bodies that are no problem document become a plain one."""
    try:
        return ApiError(decode_json(body, Problem))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return UnexpectedAnswer(url=url, reason=f"HTTP {status} without a problem document")


class PassphraseNeeded(LedgerError):
    """A secret is locked, and nothing says with which passphrase. Fields: what."""

    code = "passphrase_needed"
    category = Category.UNAUTHENTICATED
    zh = (
        "需要 {what} 的口令：请使用 --passphrase-file，或设置 ZHENGLIAN_PASSPHRASE_FILE，"
        "或提供 systemd 凭据 zhenglian-passphrase，或在终端中运行"
    )
    en = (
        "A passphrase is needed for {what}: give --passphrase-file, set ZHENGLIAN_PASSPHRASE_FILE, pass the systemd "
        "credential zhenglian-passphrase, or run on a terminal"
    )


class NewPassphraseNeeded(PassphraseNeeded):
    """A secret is to be locked, and nothing says how. Fields: what."""

    zh = PassphraseNeeded.zh + "；若确要明文保存密钥，请加 --unencrypted"
    en = PassphraseNeeded.en + "; to leave the key readable on purpose, add --unencrypted"


class PassphraseWrong(LedgerError):
    """A box does not open. Fields: path."""

    code = "passphrase_wrong"
    category = Category.UNAUTHENTICATED
    zh = "口令不正确，或文件 {path} 已被改动"
    en = "The passphrase is wrong, or {path} was changed"


class PassphraseUnusable(LedgerError):
    """No passphrase can be had from there, or it is none to rely on. Fields: source, reason_zh, reason_en."""

    code = "passphrase_unusable"
    zh = "{source} 中的口令不可用：{reason_zh}"
    en = "Cannot use the passphrase from {source}: {reason_en}"


class PinNeeded(LedgerError):
    """A token is to be used, and nothing says its PIN. Fields: token."""

    code = "pin_needed"
    category = Category.UNAUTHENTICATED
    zh = "需要密码设备 {token} 的 PIN：请使用 --pin-file，或设置 ZHENGLIAN_PIN_FILE，或提供凭据 zhenglian-pin，或在终端运行"
    en = (
        "The token {token} needs its PIN: give --pin-file, set ZHENGLIAN_PIN_FILE, pass the systemd credential zhenglian-pin, "
        "or run on a terminal"
    )


class ModuleNeeded(LedgerError):
    """A key is in a token, and nothing says which library reaches it. Fields: token."""

    code = "pkcs11_module_needed"
    zh = (
        "密钥在密码设备 {token} 中：请使用 --pkcs11-module 或 ZHENGLIAN_PKCS11_MODULE 给出其 PKCS#11 库，"
        "节点则在 config.toml 中设置 keys.pkcs11_module"
    )
    en = (
        "The key is in the token {token}: name its PKCS#11 library with --pkcs11-module or ZHENGLIAN_PKCS11_MODULE; for a "
        "node, with keys.pkcs11_module in config.toml"
    )
