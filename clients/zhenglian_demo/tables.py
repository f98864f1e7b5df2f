"""The tables inside synthetic certificates: contributions, properties, readings, measurements, donations.

Rule: one maker a `rows` field, named after it; each row has exactly the columns that the catalogue declares.
Money is counted in fen and readings in hundredths, as integers, so that no value depends on how floats are
printed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Final

from zhenglian_demo.people import OrganizationForm, Person, make_organization
from zhenglian_demo.places import ESTATES, ROADS

Row = dict[str, str | int]
Rows = list[Row]

PAYMENT_MONTHS: Final = 48
READING_DAYS: Final = 180

# Insurance → share of the base paid by the person and by the employer, in hundredths of a percent.
_INSURANCES: Final = {
    "企业职工基本养老保险": (800, 1600),
    "职工基本医疗保险": (200, 700),
    "失业保险": (30, 70),
    "工伤保险": (0, 40),
    "生育保险": (0, 100),
}
_MEASUREMENTS: Final = (
    ("灯光远光发光强度", "ZH-LG", 168, 342, "百坎德拉"),
    ("一轴制动率", "ZH-ZD", 6100, 7400, "%"),
    ("二轴制动率", "ZH-ZD", 5900, 7200, "%"),
    ("整车制动率", "ZH-ZD", 6200, 7600, "%"),
    ("驻车制动率", "ZH-ZD", 2100, 3300, "%"),
    ("一轴制动不平衡率", "ZH-ZD", 120, 1800, "%"),
    ("侧滑量", "ZH-CH", 30, 420, "m/km"),
    ("排气一氧化碳", "ZH-WQ", 2, 28, "%"),
    ("排气碳氢化合物", "ZH-WQ", 1100, 6900, "ppm"),
    ("车速表示值", "ZH-SD", 3650, 4030, "km/h"),
)


def make_payments(person: Person, rng: Random, as_of: date) -> Rows:
    """Social-insurance contributions of the last `PAYMENT_MONTHS` months, one row a month and insurance."""
    employer = make_organization(person, OrganizationForm("石油装备有限公司")).name
    base_fen = rng.randrange(420_000, 1_180_000, 100)
    month = _months_before(as_of, PAYMENT_MONTHS)
    rows: Rows = []
    for elapsed in range(PAYMENT_MONTHS, 0, -1):
        if month.month == 7:
            base_fen = base_fen * rng.randint(1020, 1080) // 100_000 * 100
        arrival = month + timedelta(days=rng.randint(9, 24))
        for insurance, (personal, employers) in _INSURANCES.items():
            own, theirs = base_fen * personal // 10_000, base_fen * employers // 10_000
            indexed_fen = base_fen + base_fen * elapsed * 38 // 10_000 + rng.randint(0, 9_999)
            interest_fen = (own + theirs) * 24 * elapsed // 10_000 + rng.randint(10, 60)
            rows.append(
                {
                    "row_reference": _reference(rng),
                    "month": f"{month:%Y-%m}",
                    "insurance": insurance,
                    "employer": employer,
                    "base": hundredths(base_fen),
                    "personal_amount": hundredths(own),
                    "employer_amount": hundredths(theirs),
                    "arrival_date": arrival.isoformat(),
                    "interest_estimate": hundredths(interest_fen),
                    "indexed_base_estimate": hundredths(indexed_fen),
                }
            )
        month = _months_before(month, -1)
    return rows


def make_properties(person: Person, rng: Random, as_of: date) -> Rows:
    """One to four homes in the person's name."""
    rows: Rows = []
    for number in range(rng.choice((1, 1, 2, 2, 3, 4))):
        area = rng.randint(6_200, 18_600)
        parcel = f"370502{rng.randrange(10**6):06d}GB{rng.randrange(10**5):05d}"
        place = f"{rng.choice(ROADS)}{rng.randint(1, 300)}号{rng.choice(ESTATES)}{rng.randint(1, 38)}号楼"
        rows.append(
            {
                "row_reference": _reference(rng),
                "unit_number": f"{parcel}F{number + 1:08d}",
                "location": f"东营市{person.district}{place}{rng.randint(1, 4)}单元{rng.randint(1, 18)}01室",
                "right_type": "国有建设用地使用权/房屋所有权",
                "share": rng.choice(("单独所有", "共同共有")),
                "floor_area_m2": hundredths(area),
                "registered_on": (as_of - timedelta(days=rng.randint(90, 5000))).isoformat(),
                "encumbrance": rng.choice(("无抵押、无查封", "无抵押、无查封", "已抵押")),
                "valuation_estimate": hundredths(area * rng.randint(62, 118) // 100),
            }
        )
    return rows


def make_readings(_person: Person, rng: Random, as_of: date) -> Rows:
    """Daily meter readings of two abstraction points over the last `READING_DAYS` days."""
    rows: Rows = []
    for back in range(READING_DAYS, 0, -1):
        for meter in ("一号取水泵站", "二号取水泵站"):
            flow = rng.randint(4_200, 9_800)
            rows.append(
                {
                    "row_reference": _reference(rng),
                    "day": (as_of - timedelta(days=back)).isoformat(),
                    "meter": meter,
                    "volume_m3": hundredths(flow * rng.randint(190, 236) // 10),
                    "flow_m3_per_hour": hundredths(flow),
                    "temperature_c": hundredths(rng.randint(420, 2_480)),
                }
            )
    return rows


def make_measurements(_person: Person, rng: Random, _as_of: date) -> Rows:
    """What a vehicle's yearly inspection measured."""
    return [
        {
            "row_reference": _reference(rng),
            "item": item,
            "instrument": f"{instrument}-{rng.randint(1, 6):02d}",
            "value": hundredths(rng.randint(low, high)),
            "unit": unit,
            "verdict": "合格",
        }
        for item, instrument, low, high, unit in _MEASUREMENTS
    ]


def make_donations(_person: Person, rng: Random, as_of: date) -> Rows:
    """One to eight blood donations, at least half a year apart, the latest not after `as_of`."""
    rows: Rows = []
    day = as_of
    for _ in range(rng.randint(1, 8)):
        rows.append(
            {
                "row_reference": _reference(rng),
                "donation_date": day.isoformat(),
                "donation_kind": "全血",
                "volume_ml": rng.choice((200, 300, 400)),
                "place": rng.choice(("东营市中心血站", "万达广场献血屋", "西城流动献血车")),
            }
        )
        day -= timedelta(days=rng.randint(183, 420))
    return rows[::-1]


TABLES: Final[dict[str, Callable[[Person, Random, date], Rows]]] = {
    "payments": make_payments,
    "properties": make_properties,
    "readings": make_readings,
    "measurements": make_measurements,
    "donations": make_donations,
}


def hundredths(value: int) -> str:
    """A non-negative count of hundredths, as a decimal with two places."""
    return f"{value // 100}.{value % 100:02d}"


def _reference(rng: Random) -> str:
    return f"R{rng.getrandbits(48):012X}"


def _months_before(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 - months
    return date(index // 12, index % 12 + 1, 1)
