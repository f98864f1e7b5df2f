"""Where the synthetic people live and were first recorded: Dongying's districts, and divisions of Shandong.

Rule: division codes are those of GB/T 2260 in force when today's adults were first recorded (Kenli was 370521
until 2016); roads are real names, house numbers are not looked up.
"""

from __future__ import annotations

from random import Random
from typing import Final

# District → its sub-districts and towns (街道、镇).
STREETS: Final = {
    "东营区": ("文汇街道", "黄河路街道", "东城街道", "辛店街道", "胜利街道", "胜园街道", "牛庄镇", "史口镇"),
    "河口区": ("河口街道", "六合街道", "义和镇", "仙河镇", "孤岛镇"),
    "垦利区": ("垦利街道", "兴隆街道", "胜坨镇", "郝家镇", "永安镇"),
    "广饶县": ("广饶街道", "乐安街道", "大王镇", "稻庄镇", "李鹊镇"),
    "利津县": ("利津街道", "凤凰城街道", "陈庄镇", "盐窝镇", "汀罗镇"),
}
ROADS: Final = (
    "东三路",
    "西二路",
    "府前大街",
    "黄河路",
    "南一路",
    "济南路",
    "北一路",
    "胜利大街",
    "庐山路",
    "淄博路",
)
ESTATES: Final = (
    "安宁家园",
    "锦华小区",
    "胜利花苑",
    "河畔新城",
    "明月湖小区",
    "众成金湖",
    "玉景苑",
    "紫荆园",
)
DONGYING_DIVISIONS: Final = {
    "东营区": "370502",
    "河口区": "370503",
    "垦利区": "370521",
    "利津县": "370522",
    "广饶县": "370523",
}
OTHER_DIVISIONS: Final = (
    "370102",
    "370202",
    "370303",
    "370305",
    "370602",
    "370702",
    "370783",
    "370811",
    "371002",
    "371302",
    "372301",
    "372328",
)


def draw_address(rng: Random, district: str) -> str:
    """An address in that district of Dongying."""
    street = rng.choice(STREETS[district])
    home = f"{rng.randint(1, 38)}号楼{rng.randint(1, 4)}单元{rng.randint(1, 18)}0{rng.randint(1, 3)}室"
    return (
        f"山东省东营市{district}{street}{rng.choice(ROADS)}{rng.randint(1, 320)}号{rng.choice(ESTATES)}{home}"
    )
