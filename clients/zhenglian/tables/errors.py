"""What can be wrong with a file as a whole; what is wrong in a row is `zhenglian.rows.problems`.

Rule: every error says what to do about it, in zh and en, and names no value of the file.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Category, InvariantViolation, LedgerError

# reason → zh, en
REASONS: Final[dict[str, tuple[str, str]]] = {
    "empty": ("文件没有内容，请检查是否选错文件", "the file is empty; check that it is the right one"),
    "unknown_kind": (
        "无法识别的文件；请使用 CSV、JSON、JSON Lines 或 XLSX",
        "it is no kind of file that is known here; use CSV, JSON, JSON Lines or XLSX",
    ),
    "other_kind": (
        "文件内容是 {found}，与所说的 {stated} 不符；请更正扩展名或内容类型后重试",
        "its content is {found} and not {stated} as stated; mend the extension or content type and try again",
    ),
    "old_workbook": (
        "这是旧版 Excel（.xls）或加密的工作簿；请在 Excel 中另存为不加密的 .xlsx",
        "it is an old Excel workbook (.xls) or an encrypted one; save it as .xlsx without a password",
    ),
    "markup": (
        "这是网页或 XML 而不是表格（有的系统把网页存成 .xls）；请用 Excel 打开并另存为 .xlsx",
        "it is a web page or XML and no table (some systems save pages as .xls); open it in Excel and save it as .xlsx",
    ),
    "encoding": (
        "文字编码无法识别；请另存为 UTF-8（也接受 GB18030 与 UTF-16）",
        "its text encoding is not known; save it as UTF-8 (GB18030 and UTF-16 are accepted too)",
    ),
    "nul": ("文件含有空字符（NUL），不是文本表格", "it holds NUL characters and is no text table"),
    "quote": (
        "第 {line} 行引号不配对，无法分列；请从原系统重新导出",
        "a quote in line {line} has no partner, so cells cannot be told apart; export the file again",
    ),
    "header_empty": ("第一行没有列名", "the first row holds no column names"),
    "header_twice": (
        "列名“{column}”出现两次；请改名或删去一列",
        "column {column} comes twice; rename or remove one",
    ),
    "json": (
        "第 {line} 行不是正确的 JSON：{detail}",
        "line {line} is not proper JSON: {detail}",
    ),
    "json_twice": (
        "同一对象中成员“{column}”出现两次，无法判断以哪个为准",
        "member {column} comes twice in one object, so nobody can tell which one is meant",
    ),
    "json_shape": (
        "应为对象的数组（每个对象是一行），或含 rows 数组的对象",
        "an array of objects, one a row, or an object with such an array under rows is expected",
    ),
    "workbook": (
        "工作簿无法读取：{detail}；请在 Excel 中另存一份再试",
        "the workbook cannot be read: {detail}; save a copy in Excel and try that",
    ),
    "row_numbers": (
        "工作表的行号重复或倒退，无法逐行报告；请在 Excel 中另存一份再试",
        "its row numbers repeat or go back; save a copy in Excel and try that",
    ),
    "no_rows": ("只有列名，没有数据行", "there are column names, and no rows"),
    "too_long": (
        "读取未能在 {seconds} 秒和允许的内存内完成；请拆成几个较小的文件",
        "it was not read within {seconds} s and the memory allowed; split it into smaller files",
    ),
}


class TableInvalid(LedgerError):
    """A file that is no table that can be read. Fields: reason (a key of `REASONS`), and those that its words name."""

    code = "table_invalid"

    def __init__(self, reason: str, /, **fields: str | int) -> None:
        if reason not in REASONS:
            raise InvariantViolation(f"reason {reason} has no words")
        super().__init__(reason=reason, **fields)
        zh, en = REASONS[reason]
        self.__dict__.update(zh="文件无法读取：" + zh, en="The file cannot be read: " + en)


class TableTooLarge(LedgerError):
    """A file beyond a limit. Fields: limit (its name in `zhenglian.tables.limits`), maximum."""

    code = "table_too_large"
    category = Category.TOO_LARGE
    zh = "文件超过上限 {limit}（{maximum}）；请拆成几个较小的文件"
    en = "The file is beyond the limit {limit} ({maximum}); split it into smaller files"
