"""What can be wrong with a node's folder, in words, and what to do about each.

Rule: a code is stable and has one severity and one remedy; what is particular to a case is in its fields. A note is nothing to
be done about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of finding: what it is and what to do, in both languages."""

    severity: Severity
    zh: str
    en: str
    remedy_zh: str
    remedy_en: str


_START = ("无需处理。", "Nothing; it is put right at the next start.")
_BACKUP = (
    "从备份恢复该文件，或联系其他运营方补发公开文件。",
    "Restore it from the backup; ask another operator for public files.",
)

KINDS: Final[dict[str, Kind]] = {
    "running": Kind(
        Severity.NOTE,
        "节点正在运行，未检查其正在写入的文件（日志、交易暂存、端口）",
        "The node is running; what it is writing to (journal, pool log, ports) was not looked at",
        "停止节点后再次检查可得到完整结果。",
        "Stop it and look again for the whole picture.",
    ),
    "never_started": Kind(
        Severity.NOTE, "节点尚未启动过", "The node has never been started", "无需处理。", "Nothing."
    ),
    "file_missing": Kind(Severity.ERROR, "缺少文件 {path}", "{path} is missing", *_BACKUP),
    "permissions": Kind(
        Severity.ERROR,
        "{path} 对其他用户开放（权限 {mode}）",
        "Others may open {path} (mode {mode})",
        "执行 chmod {wanted} {path}；若可能已泄露，请通过治理更换密钥。",
        "Run chmod {wanted} {path}; if it may have been read, have the key rotated.",
    ),
    "config": Kind(
        Severity.ERROR,
        "{zh}",
        "{en}",
        "更正 config.toml 中的该项设置。",
        "Correct that setting in config.toml.",
    ),
    "genesis": Kind(
        Severity.ERROR,
        "网络文件不可用：{zh}",
        "The network document cannot be used: {en}",
        "向其他运营方索取 network.json，再执行 zhenglian node join。",
        "Ask another operator for network.json and run zhenglian node join.",
    ),
    "identity": Kind(Severity.ERROR, "{zh}", "{en}", *_BACKUP),
    "keys_locked": Kind(
        Severity.NOTE,
        "密钥已加密，未核对：{zh}",
        "The keys are locked and were not looked at: {en}",
        "给出口令或 PIN 后再次检查可得到完整结果。",
        "Look again with passphrase or PIN for the whole picture.",
    ),
    "keys_readable": Kind(
        Severity.WARNING,
        "密钥以明文存放：{names}",
        "Secrets lie readable: {names}",
        "停止节点，执行 zhenglian node passphrase。",
        "Stop the node and run zhenglian node passphrase.",
    ),
    "journal_missing": Kind(
        Severity.WARNING,
        "没有日志，节点可能忘记了已投的票；启动后将只跟随、不投票",
        "There is no journal, so votes may be forgotten; the node will follow without voting",
        "执行 zhenglian node resync，然后通过治理更换投票密钥。切勿恢复旧日志。",
        "Run zhenglian node resync, then have the vote key rotated. Never put back an old journal.",
    ),
    "journal_damaged": Kind(
        Severity.ERROR,
        "日志已损坏：{reason}",
        "The journal is damaged: {reason}",
        "执行 zhenglian node resync，节点将只跟随、不投票，直到通过治理更换投票密钥。",
        "Run zhenglian node resync; the node then follows without voting until its vote key is rotated.",
    ),
    "journal_torn": Kind(
        Severity.NOTE,
        "日志末尾有 {size_bytes} 字节未写完（断电或崩溃所致，未曾生效）",
        "The journal's last {size_bytes} bytes are a write that a crash cut short; nothing depended on it",
        *_START,
    ),
    "journal_unclean": Kind(
        Severity.NOTE,
        "上次不是正常停止",
        "The node did not stop in good order last time",
        *_START,
    ),
    "vote_key_silenced": Kind(
        Severity.WARNING,
        "本节点的投票密钥已静默，只跟随、不投票",
        "This node's vote key is silenced: it follows without voting",
        "通过治理更换投票密钥，然后重新启动。",
        "Have the vote key rotated by governance, then start again.",
    ),
    "shares_unreadable": Kind(
        Severity.ERROR,
        "密钥份额文件不可用：{zh}",
        "The file of key shares cannot be used: {en}",
        "停止节点，将 shares 目录移走后重新启动；节点会请求更新份额，或用 zhenglian keys import-share 导入离线副本。",
        "Stop the node, move its folder shares away and start it again: it asks for a renewal; or zhenglian keys import-share.",
    ),
    "share_missing": Kind(
        Severity.WARNING,
        "本节点缺少密钥份额：{names}",
        "This node lacks key shares that it should hold: {names}",
        "节点运行时会自行请求更新份额；也可停止节点后用 zhenglian keys import-share 导入离线副本。",
        "While it runs the node asks for a renewal by itself; or stop it and run zhenglian keys import-share.",
    ),
    "share_not_exported": Kind(
        Severity.NOTE,
        "密钥份额更新后尚未导出到离线介质：{names}",
        "Key shares were not exported to offline media since they were renewed: {names}",
        "执行 zhenglian keys export-share FILE，再用 zhenglian keys drill FILE 演练。",
        "Run zhenglian keys export-share FILE, and try it out with zhenglian keys drill FILE.",
    ),
    "store_empty": Kind(
        Severity.NOTE,
        "账本为空，将从其他节点获取",
        "The store is empty; it will be filled from peers",
        "无需处理。",
        "Nothing.",
    ),
    "store_damaged": Kind(
        Severity.ERROR,
        "账本存储已损坏：{reason}",
        "The store is damaged: {reason}",
        "执行 zhenglian node resync，从其他节点重建。",
        "Run zhenglian node resync to rebuild it from peers.",
    ),
    "pool_damaged": Kind(
        Severity.ERROR,
        "交易暂存文件在第 {offset_bytes} 字节处有 {size_bytes} 字节损坏，其中已受理的交易可能丢失",
        "The pool log is damaged at byte {offset_bytes} ({size_bytes} bytes); accepted transactions in it may be lost",
        "启动节点会保留损坏文件的副本并继续；请客户端查询并重新提交未上链的交易。检查磁盘。",
        "The node keeps a copy and goes on; clients that find no result should send again. Check the disk.",
    ),
    "pool_torn": Kind(
        Severity.NOTE,
        "交易暂存文件末尾有 {size_bytes} 字节未写完",
        "The pool log's last {size_bytes} bytes are no transaction, as after a crash",
        *_START,
    ),
    "index_damaged": Kind(
        Severity.WARNING,
        "审计索引不可用：{reason}",
        "The audit index cannot be used: {reason}",
        "停止节点，删除 {path}（及其 -wal、-shm），启动时会自动重建。",
        "Stop the node and delete {path} with its -wal and -shm; it is rebuilt at the next start.",
    ),
    "disk_full": Kind(
        Severity.ERROR,
        "磁盘剩余空间仅 {free_mib} MiB",
        "Only {free_mib} MiB are free on the disk",
        "清理或扩容磁盘；空间不足时节点停止参与，不会丢失数据。",
        "Make room; without space the node stops taking part and loses nothing.",
    ),
    "disk_low": Kind(
        Severity.WARNING,
        "磁盘剩余空间 {free_mib} MiB",
        "{free_mib} MiB are free on the disk",
        "尽快清理或扩容磁盘。",
        "Make room soon.",
    ),
    "clock_behind": Kind(
        Severity.ERROR,
        "本机时钟比最新区块的时间早 {behind_s} 秒",
        "This machine's clock is {behind_s} s behind the newest block",
        "校准时钟（如 chrony），再启动节点。",
        "Set the clock, with chrony for one, and start again.",
    ),
    "certificate_expired": Kind(
        Severity.ERROR,
        "节点间证书 {path} 已过期",
        "The peer certificate {path} has expired",
        "更新证书（见运维手册），其他节点已不再接受它。",
        "Renew it (see the operations page); peers no longer accept it.",
    ),
    "certificate_expiring": Kind(
        Severity.WARNING,
        "节点间证书 {path} 将在 {days} 天后过期",
        "The peer certificate {path} expires in {days} days",
        "在过期前更新证书（见运维手册）。",
        "Renew it before (see the operations page).",
    ),
    "copies_unusable": Kind(
        Severity.ERROR,
        "授权副本无法签名：{zh}",
        "Derived copies cannot be signed: {en}",
        "更正 config.toml 的 [copies]，或放回证书与私钥文件（私钥权限 600）。",
        "Correct [copies] in config.toml, or put certificate and key back (the key with mode 600).",
    ),
    "copies_certificate_expired": Kind(
        Severity.ERROR,
        "签署授权副本的证书 {path} 已过期，PDF 下链将等待至期限",
        "The certificate {path} that signs derived copies has expired; releases of PDFs wait until their deadline",
        "换上新证书与私钥，再重新启动节点。",
        "Put a new certificate and key in place and start the node again.",
    ),
    "copies_certificate_expiring": Kind(
        Severity.WARNING,
        "签署授权副本的证书 {path} 将在 {days} 天后过期",
        "The certificate {path} that signs derived copies expires in {days} days",
        "在过期前换上新证书与私钥，再重新启动节点。",
        "Put a new certificate and key in place before, and start the node again.",
    ),
    "port_in_use": Kind(
        Severity.ERROR,
        "{what}地址 {address} 无法监听：{reason}",
        "Cannot listen at {address} ({what}): {reason}",
        "停止占用端口的程序，或在 config.toml 中更换地址。",
        "Stop what uses it, or choose another address in config.toml.",
    ),
    "release_lacks_version": Kind(
        Severity.ERROR,
        "网络将自区块 {height} 起使用 {what} 的版本 {version}，本软件最高支持 {supported}",
        "From block {height} on the network has version {version} of {what}; this release knows {supported} at most",
        "在该高度之前升级 zhenglian，否则节点届时停止。",
        "Upgrade zhenglian before that height, or the node stops there.",
    ),
    "unreadable": Kind(
        Severity.ERROR,
        "{path} 无法读取：{reason}",
        "{path} cannot be read: {reason}",
        "检查权限与磁盘。",
        "Check permissions and the disk.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found.

    Attributes:
        code: a key of `KINDS`.
        fields: what the texts name; `zh` and `en` where a text is another error's message.
    """

    code: str
    fields: dict[str, str | int] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        return KINDS[self.code].severity

    def text(self, language: str) -> str:
        kind = KINDS[self.code]
        return (kind.zh if language == "zh" else kind.en).format(**self.fields)

    def remedy(self, language: str) -> str:
        kind = KINDS[self.code]
        return (kind.remedy_zh if language == "zh" else kind.remedy_en).format(**self.fields)

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message_zh": self.text("zh"),
            "message_en": self.text("en"),
            "remedy_zh": self.remedy("zh"),
            "remedy_en": self.remedy("en"),
            "fields": self.fields,
        }
