"""The faults of the watermark library, a small tree of its own.

Rule: whatever a file, a key or a policy does wrong becomes a `WatermarkError` with a stable `code` and a message in
zh and en; no exception of a decoder, of numpy or of a PDF library ever leaves the package.
"""

from __future__ import annotations

from typing import ClassVar


class WatermarkError(Exception):
    """Base of every fault that the caller's input can cause.

    Attributes:
        code: stable, lower_snake_case, part of the API.
        zh: message template in Chinese; `{name}` takes the field of that name.
        en: message template in English.
        fields: the values that the templates name.
    """

    code: ClassVar[str] = "watermark_error"
    zh: ClassVar[str] = "水印处理出错：{reason}"
    en: ClassVar[str] = "Watermark error: {reason}"

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


class MediaUnsupported(WatermarkError):
    """No codec for this kind of file, or for this variant of it. Fields: what."""

    code = "media_unsupported"
    zh = "不支持的文件类型：{what}"
    en = "Unsupported file type: {what}"


class MediaMalformed(WatermarkError):
    """The file is truncated, damaged or not what it says it is. Fields: what, reason."""

    code = "media_malformed"
    zh = "文件已损坏或格式不正确（{what}）：{reason}"
    en = "Damaged or malformed {what}: {reason}"


class MediaTooLarge(WatermarkError):
    """A named limit of `watermark.limits` was passed. Fields: limit, maximum, actual."""

    code = "media_too_large"
    zh = "超过上限 {limit}：最多 {maximum}，实际 {actual}"
    en = "Limit {limit} exceeded: at most {maximum}, got {actual}"


class PolicyInvalid(WatermarkError):
    """The policy or schema contradicts itself or the file. Fields: reason."""

    code = "policy_invalid"
    zh = "水印策略不正确：{reason}"
    en = "Invalid watermark policy: {reason}"


class KeyInvalid(WatermarkError):
    """A key, seed or release id has the wrong form. Fields: what, reason."""

    code = "key_invalid"
    zh = "密钥或编号不正确（{what}）：{reason}"
    en = "Invalid {what}: {reason}"


class FileRefused(WatermarkError):
    """A file named on the command line cannot be read or written. Fields: what, reason."""

    code = "file_refused"
    zh = "无法读取或写入文件 {what}：{reason}"
    en = "Cannot read or write {what}: {reason}"


class MemoryShort(WatermarkError):
    """The file asks for more memory than this process may take."""

    code = "memory_short"
    zh = "内存不足：在允许的内存内无法处理该文件"
    en = "Out of memory: the file cannot be handled within the memory allowed"


class ToolMissing(WatermarkError):
    """A package that this needs is not installed. Fields: what, package."""

    code = "tool_missing"
    zh = "{what}需要 {package}：请执行 pip install zhenglian[report]"
    en = "{what} needs {package}: pip install zhenglian[report]"
