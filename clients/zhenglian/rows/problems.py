"""What can be wrong with a value, and which rules change one: every sentence, in zh and en.

Rule: a problem's code is stable; it says what is wrong and what to do, and names no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ledger.errors import InvariantViolation

# code → what is wrong zh, what to do zh, what is wrong en, what to do en
PROBLEMS: Final[dict[str, tuple[str, str, str, str]]] = {
    "required": ("必填项为空", "请补填", "required and empty", "fill it in"),
    "cell_kind": (
        "内容类型不对（如真假值、嵌套对象）",
        "请改为文字或数字",
        "it is of a kind that no field has, such as true, false or an object",
        "write text or a number",
    ),
    "cell_error": (
        "单元格是公式错误（如 #REF!）",
        "请改正公式或直接填写",
        "the cell shows a formula's error, such as #REF!",
        "mend the formula or write the value",
    ),
    "formula_unknown": (
        "公式没有保存计算结果",
        "请在 Excel 中打开、重新计算并保存",
        "the formula's result is not stored in the file",
        "open the file in Excel, let it calculate and save it",
    ),
    "cell_without_column": (
        "本行有内容不在任何列名之下",
        "请删除多余单元格，或补上列名",
        "something stands under no column name",
        "delete it or name its column",
    ),
    "date": (
        "不是可识别的日期",
        "请写成 2024-03-05 或 2024年3月5日",
        "it is no day that can be read",
        "write it as 2024-03-05",
    ),
    "date_order": (
        "年月日顺序不明确",
        "请写成 2024-03-05",
        "the order of year, month and day is not certain",
        "write it as 2024-03-05",
    ),
    "date_none": (
        "日历上没有这一天",
        "请核对日期",
        "there is no such day in the calendar",
        "check the date",
    ),
    "date_unknown": (
        "表格里的日期带有时间或无法换算",
        "请把单元格设为文本，写成 2024-03-05",
        "the workbook's date has a time of day, or is none",
        "format the cell as text and write 2024-03-05",
    ),
    "date_endless": (
        "“长期”不是日期，而此项必填",
        "请填写具体日期，或使用无期限的证照类型",
        "“without end” is no day, and this field needs one",
        "write a day",
    ),
    "number": ("不是数字", "请只写数字，如 1234.50", "it is no number", "write digits only, such as 1234.50"),
    "number_grouping": (
        "千位分隔符的位置不对，无法判断数值",
        "请去掉分隔符",
        "its thousands separators are out of place, so its value is not certain",
        "leave the separators out",
    ),
    "number_whole": (
        "应为整数",
        "请核对，不自动取整",
        "a whole number is expected",
        "check it; nothing is rounded for you",
    ),
    "number_places": (
        "小数位多于 {decimals} 位",
        "请核对，不自动四舍五入",
        "it has more than {decimals} decimal places",
        "check it; nothing is rounded for you",
    ),
    "number_large": ("数值超出允许范围", "请核对", "the number is too large", "check it"),
    "number_zeros": (
        "以 0 开头，更像编号而不是数值",
        "如果确是数值，请去掉前面的 0",
        "it begins with 0 and looks like a code",
        "leave the zeros out if it is a number",
    ),
    "number_mangled": (
        "Excel 把长号码存成了数字，后面的数位已经丢失",
        "请把该列设为文本格式后重新填写或导出",
        "Excel has kept a long code as a number, and its last digits are lost",
        "format the column as text and enter or export it again",
    ),
    "identity_number": (
        "不是有效的公民身份号码（位数、行政区划、出生日期或校验码不对）",
        "请对照证件核对",
        "it is no valid identity number: length, division, birth date or check digit is wrong",
        "check it against the document",
    ),
    "organization_code": (
        "不是有效的统一社会信用代码",
        "请对照营业执照核对",
        "it is no valid unified social credit code",
        "check it against the licence",
    ),
    "text_long": (
        "文字超过 {maximum} 个字符",
        "请缩短",
        "the text is longer than {maximum} characters",
        "shorten it",
    ),
    "text_invisible": (
        "含有控制字符或不可见字符",
        "请重新录入",
        "it holds control or invisible characters",
        "type it again",
    ),
    "rows": (
        "应为明细表（JSON 数组，每个对象一行）",
        "请按类型说明的列填写",
        "a table is expected: a JSON array with an object a row",
        "give the columns that the type describes",
    ),
    "rows_columns": (
        "明细表第 {line} 行缺少或多出列：{column}",
        "请与类型说明核对",
        "row {line} of the table lacks or adds the column {column}",
        "compare it with the type's description",
    ),
    "rows_many": ("明细表超过 {maximum} 行", "请核对", "the table has more than {maximum} rows", "check it"),
    "value": (
        "不符合此项的要求：{reason_zh}",
        "请核对",
        "it is not what the field asks for: {reason}",
        "check it",
    ),
    "holder_missing": (
        "不知道证照归谁所有",
        "请增加“持证人账户”列",
        "it does not say whose certificate this is",
        "add a column “holder” with the account",
    ),
    "holder": (
        "持证人账户格式不对，应为 32 位十六进制",
        "请核对",
        "the holder's account is 32 hexadecimal digits",
        "check it",
    ),
    "holder_unknown": (
        "没有找到持证人",
        "请先为其开户，或核对号码",
        "no holder was found",
        "enrol him first, or check the number",
    ),
    "holder_lookup": (
        "经由节点代签时，不能按身份号码查找个人",
        "请给出“持证人账户”列，或改用 zhenglian up（在本机查找）",
        "a node that signs as agent does not look people up by identity number",
        "add a column “holder”, or use zhenglian up, which looks them up itself",
    ),
    "supersedes": (
        "被替换证照的编号应为 32 位十六进制",
        "请核对",
        "the id of the replaced certificate is 32 hexadecimal digits",
        "check it",
    ),
    "validity": ("失效日期不晚于生效日期", "请核对", "it ends before it begins", "check both dates"),
    "attachment_missing": (
        "找不到附件文件",
        "请把文件放入同一请求或 --files 目录，名称与表格一致",
        "the attachment's file is not there",
        "put it into the same request or the folder given by --files, under the name that the table says",
    ),
    "attachment": (
        "附件不合格：{reason_zh}",
        "请换一个文件",
        "the attachment is not accepted: {reason}",
        "use another file",
    ),
    "row_size": (
        "本行内容超过 {maximum} 字节",
        "请拆分",
        "the row is larger than {maximum} bytes",
        "split it",
    ),
    "nothing": ("本行没有任何内容", "请删除该行", "the row holds nothing", "delete it"),
    "refused": (
        "账本拒绝：{reason_zh}",
        "请按说明处理后重新上链本行",
        "the ledger refused it: {reason}",
        "see to that and deposit the row again",
    ),
    "expired": (
        "签名在入块前过期",
        "请重新上链本行",
        "its signature ended before a block took it up",
        "deposit the row again",
    ),
    "on_ledger": (
        "此行编号的证照此前已在账本上，本次没有重复上链",
        "如果是另一批数据，请换一个 Idempotency-Key",
        "a certificate under this row's id is on the ledger already; it was not put there twice",
        "use another Idempotency-Key if these are other data",
    ),
}

# rule → what it did, zh and en
RULES: Final[dict[str, tuple[str, str]]] = {
    "trimmed": ("去掉首尾空白", "outer blanks removed"),
    "full_width": ("全角字符改为半角", "full-width characters made plain"),
    "date_written": ("日期改写为 YYYY-MM-DD", "the date written as YYYY-MM-DD"),
    "workbook_date": ("Excel 日期改写为 YYYY-MM-DD", "the workbook's date written as YYYY-MM-DD"),
    "workbook_precision": (
        "Excel 数值按其 15 位有效数字读取",
        "the workbook's number read to the 15 digits it keeps",
    ),
    "formula_result": ("采用公式的计算结果", "the formula's result taken"),
    "separators": ("去掉千位分隔符", "thousands separators removed"),
    "currency": ("去掉货币符号", "the currency sign removed"),
    "whole": ("去掉小数点后的 0", "zeros after the point removed"),
    "places": ("小数位补 0 或去掉多余的 0", "zeros added or removed after the point"),
    "number_text": ("数字改为文字", "a number written as text"),
    "check_x": ("身份号码末位 x 改为 X", "the identity number's x written as X"),
    "upper": ("字母改为大写", "letters made upper case"),
    "code_blanks": ("去掉号码中的空格或引号", "blanks or a quote in the code removed"),
    "invisible": ("去掉不可见字符", "invisible characters removed"),
    "line_ends": ("换行符统一", "line ends made alike"),
    "endless": ("“长期”按无期限处理，不填日期", "“without end”: no day is written"),
    "day_end": ("有效期截止日按当天 24 时（北京时间）", "valid until the end of that day, China time"),
    "holder_found": ("按号码找到持证人", "the holder found by the number"),
}


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something wrong in a row: where, what, and what to do. `fields` are what the words name."""

    code: str
    column: str = ""
    field: str = ""
    fields: dict[str, str | int] = {}

    def words(self) -> tuple[str, str, str, str]:
        """What is wrong and what to do, in zh and then in en."""
        zh, zh_do, en, en_do = PROBLEMS[self.code]
        return _filled(zh, self.fields), zh_do, _filled(en, self.fields), en_do


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that changed a value."""

    rule: str
    column: str = ""
    field: str = ""


def problem(code: str, column: str = "", field: str = "", /, **fields: str | int) -> Problem:
    """A problem of a known code."""
    if code not in PROBLEMS:
        raise InvariantViolation(f"problem {code} has no words")
    return Problem(code=code, column=column, field=field, fields=fields)


def _filled(template: str, fields: Mapping[str, str | int]) -> str:
    try:
        return template.format(**fields)
    except (KeyError, IndexError):
        return template
