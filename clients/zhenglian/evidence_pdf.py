"""Evidence that was checked, as a document for people (追溯证据报告): Chinese and English beside each other.

Rule: it says nothing but what `zhenglian.evidence.check_evidence` proved or what the report on the ledger says, and how to check it
again. It holds no key of any mark, so that it can be shown. The same evidence gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module, resources
from io import BytesIO
from typing import Any, Final

from ledger.errors import Unavailable
from zhenglian.evidence import CheckedEvidence, CheckedRelease, ComparedAsset

UNNAMED_SHOWN_MAX: Final = 200
MARGIN: Final = 54.0
SIZE: Final = 9.5
LEADING: Final = 14.0
VERDICTS: Final[Mapping[str, tuple[str, str]]] = {
    "accused": (
        "指认：泄露文件带有下列下发件的标记",
        "accused: the leak carries the mark of the copies named below",
    ),
    "investigate": ("线索：不足以认定", "investigate: a lead that is not enough to accuse"),
    "none": ("无人吻合：读到标记，但与任何下发件都不符", "none: marks were read, and no copy fits"),
    "untraceable": ("无法追溯：剩余标记不足以指认任何人", "untraceable: too little is left of any mark"),
}
_FONT: Final = "ZhenglianReport"
# A Latin word with the space behind it, in pieces that fit a line however long it is; or any one character.
_TOKEN: Final = re.compile(r"[!-~]{1,48} ?|.", re.DOTALL)

Line = tuple[str, float, bool]


def evidence_pdf(checked: CheckedEvidence, names: Mapping[bytes, str] | None = None) -> bytes:
    """Draw the document.

    Args:
        checked: what was proven.
        names: of accounts, where the reader knows them; the ids stand in any case.

    Raises:
        Unavailable: reportlab and the font are not installed (`pip install zhenglian[report]`).
    """
    try:
        canvas_module: Any = import_module("reportlab.pdfgen.canvas")
        metrics: Any = import_module("reportlab.pdfbase.pdfmetrics")
        fonts: Any = import_module("reportlab.pdfbase.ttfonts")
        font = str(resources.files("paperang_p2_fonts_cjk") / "fonts" / "wqy-microhei.ttc")
    except ImportError as error:
        reason = f"{error.name} is not installed: pip install zhenglian[report]"
        raise Unavailable(what="evidence as PDF", reason=reason) from None
    metrics.registerFont(fonts.TTFont(_FONT, font, subfontIndex=0))
    data = BytesIO()
    page: Any = canvas_module.Canvas(data, pagesize=(595.28, 841.89), invariant=1)
    page.setTitle(f"追溯证据报告 Evidence of trace {checked.trace_id.hex()}")
    top = 0.0
    for text, size, gap in _lines(checked, names or {}):
        for line in _wrapped(metrics, text, size):
            if top < MARGIN + LEADING:
                if top:
                    page.showPage()
                top = 841.89 - MARGIN
            page.setFont(_FONT, size)
            page.drawString(MARGIN, top, line)
            top -= LEADING * size / SIZE
        if gap:
            top -= LEADING / 2
    page.showPage()
    page.save()
    return data.getvalue()


def _lines(checked: CheckedEvidence, names: Mapping[bytes, str]) -> Iterator[Line]:
    zh, en = VERDICTS.get(checked.verdict, (checked.verdict, checked.verdict))
    yield "追溯证据报告  Evidence of a trace", 16, True
    yield f"结论 Verdict：{zh}", 11, False
    yield en, 11, True
    for label, value in (
        ("追溯编号 Trace", checked.trace_id.hex()),
        ("原因 Reason", checked.reason),
        ("泄露文件哈希 Hash of the leak", checked.file_hash.hex()),
        ("申请方 Asked by", _account(checked.auditor, names)),
        ("批准方 Approved by", _account(checked.approved_by, names)),
        ("执行节点 Performed by", _account(checked.performed_by, names)),
        ("申请时间 Asked", _time(checked.requested_ms)),
        ("结论时间 Concluded", _time(checked.concluded_ms)),
        ("账本上的报告哈希 Hash of the report on the ledger", checked.report_hash.hex()),
    ):
        yield f"{label}：{value}", SIZE, False
    yield "", SIZE, False
    yield "被指认的下发件  Copies that are named", 12, True
    if not checked.releases:
        yield "无 none", SIZE, True
    for one in checked.releases:
        yield from _release(one, names)
    if checked.unnamed:
        yield from _unnamed(checked.unnamed)
    yield "比对过程  What was compared", 12, True
    for asset in checked.assets:
        yield from _asset(asset)
    yield from _statistics(checked)


def _release(one: CheckedRelease, names: Mapping[bytes, str]) -> Iterator[Line]:
    yield f"下链编号 Release {one.release_id.hex()}", SIZE, False
    yield (
        f"接收方 Recipient：{_account(one.recipient, names)}；经办密钥 officer's key {one.officer.hex()}",
        SIZE,
        False,
    )
    yield f"出件节点 Made by：{_account(one.releasing, names)}", SIZE, False
    times = f"申请 requested {_time(one.requested_ms)}；制成 prepared {_time(one.prepared_ms)}"
    signed = "接收方已签收 acknowledged by the recipient" if one.acknowledged else "未签收 not acknowledged"
    yield f"{times}；{signed}", SIZE, False
    yield f"log10(N·p) = {one.log10_np:.1f}；通道 channels：{', '.join(one.channels)}", SIZE, False
    if one.detected_log10_np is not None:
        yield (
            f"以泄露文件与原件重新检测 detected again from leak and original：{one.detected_log10_np:.1f}",
            SIZE,
            False,
        )
    yield "该件只有接收方与出件节点持有过；出件前节点已在账本上承诺标记种子，回执可核验。", SIZE, False
    held = "Only the recipient and the node that made it ever held this copy; that node had committed to its seed"
    yield f"{held} on the ledger before a byte left.", SIZE, True


def _unnamed(releases: Sequence[bytes]) -> Iterator[Line]:
    yield "可能的来源（不构成指认）  Where it may come from, which accuses nobody", 12, False
    yield (
        f"标记无法区分下列 {len(releases)} 次下发 no mark tells these {len(releases)} releases apart：",
        SIZE,
        False,
    )
    shown = " ".join(name.hex() for name in releases[:UNNAMED_SHOWN_MAX])
    rest = len(releases) - UNNAMED_SHOWN_MAX
    yield shown if rest <= 0 else f"{shown} … 另有 and {rest} more", SIZE, True


def _asset(asset: ComparedAsset) -> Iterator[Line]:
    yield f"证照 Certificate {asset.certificate.hex()}，{asset.asset} {asset.media_type}", SIZE, False
    read = "，".join(f"{name} {count}" for name, count in asset.carriers.items()) or "0"
    outcome = asset.verdict or "未能比对 could not be compared"
    yield f"比对 {asset.candidates} 份 copies judged；{outcome}；读到载体 carriers read：{read}", SIZE, False
    if asset.alignment:
        yield f"对齐 Alignment：{asset.alignment}", SIZE, False
    for name in asset.not_judged:
        yield (
            f"未判定 not judged：{name.hex()}（标记种子与承诺不符 its seed is not the operators' one）",
            SIZE,
            False,
        )
    for note in asset.notes:
        yield note, SIZE, False
    yield "", SIZE, False


def _statistics(checked: CheckedEvidence) -> Iterator[Line]:
    best = "–" if checked.phantom_best_log10_np is None else f"{checked.phantom_best_log10_np:.1f}"
    yield "如何理解  How to read this", 12, True
    yield f"N = {checked.candidates}：本次比对的全部下发件。", SIZE, False
    yield "N·p 是无辜者中任何一人得到如此高分的概率上界，与文件被怎样改动无关；", SIZE, False
    yield (
        f"log10(N·p) ≤ −9 方可指认，≤ −6 为线索。从未签发的种子中最高者为 {best}，用于检验刻度。",
        SIZE,
        False,
    )
    compared = f"{checked.candidates} copies were compared. N·p bounds the chance that any innocent one scores so high,"
    yield compared, SIZE, False
    scale = (
        f"whatever was done to the file; −9 accuses, −6 is a lead. Seeds never issued reached {best} at best."
    )
    yield scale, SIZE, True
    yield (
        "核验 To check：zhenglian trace check evidence.json --trust trust.json --leak FILE --original FILE",
        SIZE,
        False,
    )


def _account(account: bytes, names: Mapping[bytes, str]) -> str:
    known = names.get(account)
    return account.hex() if known is None else f"{known}（{account.hex()}）"


def _time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _wrapped(metrics: Any, text: str, size: float) -> list[str]:
    """Lines that fit the page: broken between any two Chinese characters, and between Latin words."""
    lines, line = [], ""
    for token in _TOKEN.findall(text):
        if line and metrics.stringWidth(line + token.rstrip(), _FONT, size) > 595.28 - 2 * MARGIN:
            lines.append(line.rstrip())
            line = ""
        line += token
    return [*lines, line.rstrip()]
