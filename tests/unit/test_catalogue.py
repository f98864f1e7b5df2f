"""The catalogue holds the city's 60 types exactly, and refuses a catalogue that contradicts itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.records import SCHEMA_SIZE_BYTES_MAX
from ledger.errors import LimitExceeded
from watermark import Channel
from zhenglian.catalogue import (
    CATALOGUE_SIZE_BYTES_MAX,
    MARK_CHANNELS,
    TYPES_MAX,
    CatalogueInvalid,
    ColumnKind,
    FieldKind,
    Holder,
    MarksSpec,
    decode_catalogue,
    decode_schema,
    encode_schema,
    load_catalogue,
)

# Number, name, departments that may issue it, level of government that answers for the data.
CITY_LIST = """
1|居民身份证|公安部门|省级
2|临时身份证明|公安部门|市级
3|机动车行驶证|公安部门|省级
4|机动车驾驶证|公安部门|省级
5|居住证|公安部门|市级
6|机动车检验合格标志|公安部门|省级
7|户籍注销证明|公安部门|市级
8|学历证明|教育部门|省级
9|学历证书|教育部门|省级
10|学位证明|教育部门|省级
11|就业报到证|人力资源社会保障部门、教育部门|省级
12|社会保障卡|人力资源社会保障部门|省级
13|就业创业证|人力资源社会保障部门|省级
14|专业技术人员职业资格证书|人力资源社会保障部门|省级
15|婚姻登记记录证明|民政部门|省级
16|结婚证|民政部门|省级
17|离婚证|民政部门|省级
18|火化(殡葬)证明|民政部门|市级
19|慈善组织公开募捐资格证书|民政部门|市县
20|社会团体法人登记证书|民政部门、行政审批服务部门|省级
21|民办非企业单位法人登记证书|民政部门、行政审批服务部门|省级
22|医保电子凭证|医保部门|省级
23|出生医学证明|卫生健康部门|省级
24|无偿献血证|卫生健康部门|省级
25|老年人优待证|卫生健康部门|省级
26|计划生育服务手册|卫生健康部门|市级
27|死亡医学证明|卫生健康部门|市级
28|医师执业证书|卫生健康部门、行政审批服务部门|省级
29|母婴保健技术服务执业许可证|卫生健康部门、行政审批服务部门|省级
30|医疗机构执业许可证|卫生健康部门、行政审批服务部门|省级
31|卫生许可证|卫生健康部门、行政审批服务部门|市级
32|健康证明|县级以上医疗卫生机构|市级
33|特种作业操作证|应急管理部门|省级
34|安全生产知识和管理能力考核合格证|应急管理部门|省级
35|危险化学品经营许可证|应急管理部门、行政审批服务部门|市级
36|不动产登记证明|自然资源部门|省级
37|不动产权证书|自然资源部门|省级
38|采矿许可证|自然资源部门|省级
39|不动产登记信息查询证明|自然资源部门|市级
40|建设工程规划许可证|行政审批服务部门、自然资源部门|市级
41|营业执照|行政审批服务部门、市场监管部门|省级
42|食品生产许可证|行政审批服务部门、市场监管部门|省级
43|食品经营许可证|行政审批服务部门、市场监管部门|省级
44|药品经营许可证|行政审批服务部门、市场监管部门|省级
45|企业名称变更、住所或地址名称变更证明|行政审批服务部门、市场监管部门|市级
46|护士执业证书|行政审批服务部门|市县
47|全国工业产品生产许可证|行政审批服务部门|市级
48|特种设备检验检测机构核准证|行政审批服务部门|市级
49|山东省食品小作坊小餐饮登记证|行政审批服务部门|市级
50|中医诊所备案证|行政审批服务部门|县级
51|建筑施工企业安全生产许可证|住建部门、行政审批服务部门|市级
52|建筑业企业资质证书|住建部门、行政审批服务部门|省级、市级
53|房地产开发企业资质证书|住建部门、行政审批服务部门|省级、市级
54|建设工程质量检测机构资质证书|住建部门、行政审批服务部门|省级、市级
55|工程勘察资质证书|住建部门、行政审批服务部门|省级、市级
56|工程监理企业资质许可证|住建部门|省级
57|律师执业证|司法部门|省级
58|律师事务所执业许可证|司法部门|省级
59|残疾人证|残联|省级
60|中华人民共和国取水许可证|水务部门|市级
"""


def _type(**changes: Any) -> dict[str, Any]:
    field = {"name": "number", "name_zh": "编号", "kind": "text", "class_level": 2, "required": True}
    table = {
        "name": "entries",
        "name_zh": "明细",
        "kind": "rows",
        "class_level": 2,
        "required": False,
        "natural_key": ["day"],
        "columns": [
            {"name": "day", "name_zh": "日期", "kind": "date"},
            {"name": "value", "name_zh": "读数", "kind": "decimal", "decimals": 2, "tolerance": "0.05"},
        ],
    }
    base: dict[str, Any] = {
        "number": 1,
        "code": "sample",
        "name_zh": "样例",
        "name_en": "Sample",
        "issuers_zh": ["样例部门"],
        "level_zh": "市级",
        "holder": "person",
        "validity_years": None,
        "certificate_number_field": "number",
        "fields": [field, table],
        "attachments": [],
    }
    return base | changes


def _catalogue(*types: dict[str, Any]) -> bytes:
    return json.dumps(types).encode()


def _with_column(**changes: Any) -> dict[str, Any]:
    sample = _type()
    sample["fields"][1]["columns"][1] |= changes
    return sample


def _with_table(**changes: Any) -> dict[str, Any]:
    sample = _type()
    sample["fields"][1] |= changes
    return sample


def test_all_sixty_types_of_the_city_are_there_with_their_issuers_and_levels() -> None:
    expected = [line.split("|") for line in CITY_LIST.split()]
    assert len(expected) == 60
    shipped = [[str(t.number), t.name_zh, "、".join(t.issuers_zh), t.level_zh] for t in load_catalogue()]
    assert shipped == expected


def test_every_type_has_a_plausible_schema_and_a_pdf() -> None:
    for spec in load_catalogue():
        assert 6 <= len(spec.fields) <= 14, spec.code
        assert spec.name_en.isascii()
        assert spec.field(spec.certificate_number_field) is not None
        assert spec.attachments[0].media_type == "application/pdf"
        assert spec.attachment("document") is spec.attachments[0]
        holder_field = FieldKind.ORGANIZATION_CODE if spec.holder is Holder.ORGANIZATION else None
        assert holder_field is None or any(field.kind is holder_field for field in spec.fields), spec.code


def test_tables_declare_reference_key_order_and_only_honest_tolerances() -> None:
    tables = {(t.number, f.name): f for t in load_catalogue() for f in t.fields if f.kind is FieldKind.ROWS}
    assert {(12, "payments"), (39, "properties"), (60, "readings")} <= tables.keys()
    for field in tables.values():
        assert [column.name for column in field.columns if column.reference] == ["row_reference"]
        assert field.natural_key
    payments = tables[12, "payments"]
    assert payments.unordered
    tolerant = {column.name for column in payments.columns if column.tolerance is not None}
    assert tolerant == {"interest_estimate", "indexed_base_estimate"}
    paid = {"base", "personal_amount", "employer_amount"}
    assert all(c.kind is ColumnKind.DECIMAL and c.decimals == 2 for c in payments.columns if c.name in paid)


def test_a_schema_survives_the_ledger_and_fits_its_bound() -> None:
    for spec in load_catalogue():
        data = encode_schema(spec)
        assert len(data) <= SCHEMA_SIZE_BYTES_MAX
        assert decode_schema(data) == spec
        assert encode_schema(decode_schema(data)) == data


def test_a_well_formed_catalogue_of_another_city_is_read() -> None:
    (spec,) = decode_catalogue(_catalogue(_type()))
    assert spec.code == "sample"
    assert spec.field("absent") is None
    assert spec.attachment("absent") is None


def test_a_type_says_how_its_copies_are_marked_and_an_attachment_may_say_otherwise() -> None:
    assert set(MARK_CHANNELS) == {channel.value for channel in Channel}
    (plain,) = decode_catalogue(_catalogue(_type()))
    assert (plain.marks, plain.marks_of("scan")) == (MarksSpec(), MarksSpec())
    scan = {"name": "scan", "name_zh": "扫描件", "media_type": "image/png", "class_level": 2}
    faint = {"strength": 0.5, "channels": ["pixels"]}
    sample = _type(marks={"strength": 1.5}, attachments=[{**scan, "marks": faint}, {**scan, "name": "photo"}])
    (spec,) = decode_catalogue(_catalogue(sample))
    assert spec.marks_of("scan") == MarksSpec(strength=0.5, channels=("pixels",))
    assert spec.marks_of("photo") == spec.marks_of("") == MarksSpec(strength=1.5)
    assert decode_schema(encode_schema(spec)) == spec


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (_type(marks={"strength": 0.4}), "0.5"),
        (_type(marks={"strength": 2.5}), "2"),
        (_type(marks={"channels": ["sound"]}), "sound"),
        (_type(marks={"channels": ["pixels"] * 11}), "10"),
        (_type(certificate_number_field="absent"), "certificate_number_field"),
        (_type(certificate_number_field="entries"), "certificate_number_field"),
        (_type(surprise=1), "surprise"),
        (_type(code="Bad-Code"), "regex"),
        (_type(holder="robot"), "robot"),
        (_type(validity_years=0), ">= 1"),
        (_type(fields=[_type()["fields"][0]] * 2), "appears twice"),
        (_with_table(columns=[]), "columns belong"),
        (_with_table(kind="text"), "columns belong"),
        (_with_table(natural_key=["absent"]), "natural_key"),
        (_with_table(natural_key=["value"]), "key column"),
        (_with_table(natural_key=["day", "day"]), "appears twice"),
        (_with_column(kind="text", decimals=0), "tolerance"),
        (_with_column(kind="integer"), "decimals"),
        (_with_column(tolerance="-1"), "regex"),
        (_with_column(name="day"), "appears twice"),
    ],
)
def test_a_contradictory_type_is_refused_with_its_reason(sample: dict[str, Any], reason: str) -> None:
    with pytest.raises(CatalogueInvalid) as caught:
        decode_catalogue(_catalogue(sample))
    assert reason in caught.value.message("en")
    assert caught.value.message("zh").startswith("证照目录有误")


@pytest.mark.parametrize("field", ["number", "code", "name_zh"])
def test_two_types_cannot_share_an_identity(field: str) -> None:
    other = {"number": 2, "code": "other", "name_zh": "另一种"}
    del other[field]
    with pytest.raises(CatalogueInvalid, match=f"{field} .* appears twice"):
        decode_catalogue(_catalogue(_type(), _type(**other)))


def test_what_is_no_json_or_too_large_is_refused() -> None:
    for data in (b"", b"{}", b"[1]", b"\xff", b"[" * 100_000):
        with pytest.raises(CatalogueInvalid):
            decode_catalogue(data)
    with pytest.raises(LimitExceeded):
        decode_catalogue(b" " * (CATALOGUE_SIZE_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        decode_schema(b" " * (SCHEMA_SIZE_BYTES_MAX + 1))
    many = [_type(number=1, code=f"t{index}", name_zh=f"样{index}") for index in range(TYPES_MAX + 1)]
    with pytest.raises(LimitExceeded):
        decode_catalogue(_catalogue(*many))
