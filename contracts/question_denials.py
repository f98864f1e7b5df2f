"""Denials about questions, counts, classes and forms; a part of `denials.DENIALS`.

Rule: as there.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

_INVALID = Category.INVALID
_FORBIDDEN = Category.FORBIDDEN
_MISSING = Category.MISSING
_CONFLICT = Category.CONFLICT
_TOO_LARGE = Category.TOO_LARGE

QUESTION_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    # questions
    "questions_missing": (
        _INVALID,
        "仅提问（query）的授权须列明要问的问题",
        "A grant of mode query must say what is asked",
    ),
    "questions_unexpected": (
        _INVALID,
        "{mode} 方式的授权不能带提问，请改用 query",
        "A grant of mode {mode} has no questions; use query",
    ),
    "question_not_declared": (
        _INVALID,
        "证照类型没有声明这一提问 {question}，请查看该类型的提问清单",
        "The certificate type does not declare the question {question}; see which it has",
    ),
    "question_declaration": (
        _INVALID,
        "证照类型 {type} 的提问 {question} 声明有误：valid_on 不读字段、没有参数，其余提问两者皆须有，counted 不是提问",
        "Question {question} of type {type} is declared wrongly: valid_on reads no field and has no parameters, others have both",
    ),
    "subject_differs": (
        _INVALID,
        "证照类型 {type} 的字段 {field} 只能属于一个事项，不能另记为 {subject}",
        "Field {field} of type {type} has one subject for all questions and partitions, not {subject} besides",
    ),
    "question_parameter": (
        _INVALID,
        "提问 {question} 的参数不在声明范围内，可用：{allowed}",
        "The parameter of {question} is none that is declared; there are: {allowed}",
    ),
    "question_without_item": (
        _INVALID,
        "提问 {question} 读取的字段 {field} 不在授权项目中",
        "The question {question} reads the field {field}, which no item of the grant has",
    ),
    "question_twice": (
        _INVALID,
        "一项授权对同一事项 {subject} 只能问一次：{question}",
        "One grant asks about {subject} only once: {question}",
    ),
    "question_asked_otherwise": (
        _FORBIDDEN,
        "贵单位已就 {subject} 向该持证人提过问（参数 {asked}），不能另问 {question}；{open_from_ms} 起方可（0 表示不再开放）",
        "Your organisation has asked about {subject} with {asked}, not {question}; possible from {open_from_ms} (0: never)",
    ),
    "question_not_granted": (
        _FORBIDDEN,
        "授权 {grant} 未准许提问 {question}",
        "Grant {grant} does not allow the question {question}",
    ),
    # counts
    "partition_not_declared": (
        _INVALID,
        "证照类型 {type} 没有声明分组 {partition}（或版本不同）",
        "Certificate type {type} does not declare the partition {partition}, or another version of it does",
    ),
    "unknown_count": (_MISSING, "没有统计 {count}", "There is no count {count}"),
    "not_own_count": (_FORBIDDEN, "统计 {count} 不是本机构的", "Count {count} is another organisation's"),
    "count_repeated": (
        _FORBIDDEN,
        "本机构在 {period} 已就 {subject} 做过统计 {count}，每期只能统计一次；结果见账本",
        "Your organisation has counted by {subject} in {period} already, as {count}; once a period is all",
    ),
    "counted_already": (
        _FORBIDDEN,
        "该持证人在 {period} 已计入按 {subject} 的统计 {count}，同期不得重复计入",
        "This holder is in count {count} by {subject} for {period} already, and in no other of that period",
    ),
    "not_to_be_counted": (
        _FORBIDDEN,
        "授权 {grant} 未同意计入分组 {partition} 的统计",
        "Grant {grant} does not allow to count by {partition}",
    ),
    "count_full": (_TOO_LARGE, "一次统计最多 {maximum} 份证照", "A count has at most {maximum} certificates"),
    "count_too_small": (
        _FORBIDDEN,
        "统计只有 {contributions} 份，少于最小群体 {minimum}，不得统计",
        "The count has {contributions} certificates, fewer than the smallest group of {minimum}",
    ),
    "count_overdue": (
        _CONFLICT,
        "统计 {count} 已过期限 {deadline_ms}，请重新发起",
        "Count {count} is past its deadline {deadline_ms}; open another",
    ),
    "count_not_as_declared": (
        _INVALID,
        "统计结果不符合分组的舍入与隐藏规则（{check}）",
        "The numbers are not rounded and suppressed as the partition demands ({check})",
    ),
    # classes
    "class_asker": (
        _FORBIDDEN,
        "按数据分类分级，{kind} 类机构不得申请 {type} 的 {name}",
        "By its class, {name} of {type} may not be asked for by an organisation of kind {kind}",
    ),
    "class_purpose": (
        _FORBIDDEN,
        "按数据分类分级，{type} 的 {name} 不得用于 {purpose}",
        "By its class, {name} of {type} may not be asked for the purpose {purpose}",
    ),
    "class_kept_too_long": (
        _FORBIDDEN,
        "按数据分类分级，{type} 的 {name} 最多保存 {maximum} 毫秒，申请 {asked} 毫秒",
        "By its class, {name} of {type} may be kept for {maximum} ms at most, and {asked} ms are asked",
    ),
    "consent_not_separate": (
        _INVALID,
        "{part} 属敏感个人信息，须由本人单独同意",
        "{part} is sensitive and needs a consent of its own",
    ),
    "consent_separate_unknown": (
        _INVALID,
        "{part} 不在本次同意之内，或无须单独同意",
        "{part} is not given by this consent, or needs none of its own",
    ),
    # forms
    "form_of_another": (
        _FORBIDDEN,
        "表单 {form} 由 {owner} 登记，只有它能更新",
        "Form {form} is {owner}'s; only that department brings another version",
    ),
}
