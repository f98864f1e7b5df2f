"""What can be wrong about a job as a whole."""

from __future__ import annotations

from ledger.errors import Category, LedgerError


class JobConflict(LedgerError):
    """The idempotency key began another job. Fields: job."""

    code = "deposit_conflict"
    category = Category.CONFLICT
    zh = "此 Idempotency-Key 已用于另一次上链（任务 {job}），内容或选项不同；请换一个键"
    en = "This Idempotency-Key began another deposit (job {job}) with other content or options; use another key"


class JobClosed(LedgerError):
    """The job takes nothing more of that kind. Fields: job, state."""

    code = "deposit_closed"
    category = Category.CONFLICT
    zh = "上链任务 {job} 的状态是 {state}，不再接收此类内容"
    en = "Deposit job {job} is {state} and takes nothing more of that kind"


class OffsetWrong(LedgerError):
    """Fields: expected, actual (bytes)."""

    code = "upload_offset"
    category = Category.CONFLICT
    zh = "上传位置不对：本节点已可靠保存 {expected} 字节，请从该处继续（实际 {actual}）"
    en = "Wrong upload offset: {expected} bytes are durable here, go on from there (got {actual})"


class ContentTooLarge(LedgerError):
    """Fields: maximum (bytes)."""

    code = "deposit_too_large"
    category = Category.TOO_LARGE
    zh = "内容须为 1 至 {maximum} 字节；更大的数据请拆成几个文件（CSV 与 JSON Lines 允许更大）"
    en = "The content must have 1 to {maximum} bytes; split it (CSV and JSON Lines may be larger)"


class OfficerCannotAct(LedgerError):
    """The officer who began the job can act no more. Fields: officer."""

    code = "deposit_officer_ended"
    category = Category.FORBIDDEN
    zh = "发起任务的经办人密钥 {officer} 已失效，剩余各行未上链；请由在任经办人重新上传（已上链的行不会重复）"
    en = "The officer key {officer} that began the job may act no more; another officer uploads the rest (no row goes up twice)"


class RowUnknown(LedgerError):
    """Fields: row."""

    code = "deposit_row_unknown"
    category = Category.MISSING
    zh = "任务中没有可签名的第 {row} 行"
    en = "The job has no row {row} to be signed"


class DraftExpired(LedgerError):
    """The row was sealed so long ago that its ciphertext is kept no longer. Fields: row."""

    code = "deposit_draft_expired"
    category = Category.GONE
    zh = "第 {row} 行的草稿已过期，密文可能已清除；请重新提交该行，再签名"
    en = "The draft of row {row} is too old and its ciphertext may be gone; send the row again and sign that"


class SignatureOfOther(LedgerError):
    """Fields: row."""

    code = "deposit_signature_other"
    zh = "第 {row} 行的交易不是对该行草稿的 certificates.issue，未被接受"
    en = "The transaction for row {row} is no certificates.issue of that row's draft; it was not taken"
