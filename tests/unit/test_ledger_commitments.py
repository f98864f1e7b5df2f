"""Commitments: one field can be shown, the others stay hidden, and nothing else can be claimed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import commitments
from ledger.commitments import FieldProof, FieldValue, decode_value, encode_value
from ledger.errors import DecodeError, InvariantViolation, LimitExceeded
from tests.unit.ledger_world import SUITE, fixed

integers = st.integers(-commitments.INTEGER_MAX, commitments.INTEGER_MAX)
rows = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | integers, max_size=4), max_size=5)
values = st.text(max_size=20) | integers | rows
names = st.from_regex(r"\A[a-z][a-z0-9_]{0,8}\Z")


def salt(name: str) -> bytes:
    return fixed("salt", name, size=16)


def leaf(name: str, value: FieldValue) -> bytes:
    return commitments.leaf(SUITE, salt(name), name, encode_value(value))


@given(values)
def test_a_value_has_one_encoding(value: FieldValue) -> None:
    data = encode_value(value)
    assert decode_value(data) == value
    with pytest.raises(DecodeError):
        decode_value(data + b"\0")


def test_the_order_of_a_rows_members_does_not_matter() -> None:
    assert encode_value([{"a": 1, "b": 2}]) == encode_value([{"b": 2, "a": 1}])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.5,
        b"bytes",
        2**53,
        -(2**53),
        2**70,
        ["text"],
        [[1]],
        [{"a": [1]}],
        [{"a": None}],
        [{1: "a"}],
        {"a": 1},
        "\ud800",
        [{}] * (commitments.ROWS_PER_VALUE_MAX + 1),
        object(),
    ],
)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        encode_value(value)  # type: ignore[arg-type]


def test_a_value_of_the_largest_size_is_taken_and_one_byte_more_is_not() -> None:
    largest = "x" * (commitments.VALUE_SIZE_BYTES_MAX - 5)
    assert len(encode_value(largest)) == commitments.VALUE_SIZE_BYTES_MAX
    with pytest.raises(LimitExceeded):
        encode_value(largest + "x")


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\xc3", b"\xcd\x00\x01", b"\x91" * 3000, b"\x82\xa1a\x01\xa1a\x02"]
)
def test_bytes_that_are_no_canonical_value_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_value(data)


@given(st.dictionaries(names, values, min_size=1, max_size=12), st.data())
def test_every_field_can_be_disclosed_and_nothing_else(
    fields: dict[str, FieldValue], data: st.DataObject
) -> None:
    scan = commitments.attachment_leaf(SUITE, salt("scan"), "scan", "application/pdf", fixed("content"))
    leaves = commitments.ordered_leaves(
        {name: leaf(name, value) for name, value in fields.items()}, {"scan": scan}
    )
    root = commitments.commitment_root(SUITE, leaves)
    name = data.draw(st.sampled_from(sorted(fields)))
    encoded = encode_value(fields[name])
    proof = commitments.prove_field(SUITE, leaves, sorted(fields).index(name), salt(name))
    verify = commitments.verify_field
    assert verify(SUITE, root, name, encoded, proof)
    assert not verify(SUITE, root, name + "x", encoded, proof)
    assert not verify(SUITE, root, name, encoded + b"\0", proof)
    assert not verify(SUITE, fixed("root"), name, encoded, proof)
    assert not verify(SUITE, root, name, encoded, msgspec.structs.replace(proof, salt=bytes(16)))
    moved = msgspec.structs.replace(proof.proof, index=proof.proof.index + 1)
    assert not verify(SUITE, root, name, encoded, FieldProof(salt=proof.salt, proof=moved))


def test_an_attachment_can_be_disclosed_and_is_no_field() -> None:
    content = fixed("content")
    scan = commitments.attachment_leaf(SUITE, salt("scan"), "scan", "image/png", content)
    leaves = commitments.ordered_leaves({"name": leaf("name", "张三")}, {"scan": scan})
    root = commitments.commitment_root(SUITE, leaves)
    proof = commitments.prove_field(SUITE, leaves, 1, salt("scan"))
    verify = commitments.verify_attachment
    assert verify(SUITE, root, "scan", "image/png", content, proof)
    assert not verify(SUITE, root, "scan", "image/jpeg", content, proof)
    assert not verify(SUITE, root, "photo", "image/png", content, proof)
    assert not verify(SUITE, root, "scan", "image/png", fixed("other"), proof)
    assert not commitments.verify_field(SUITE, root, "scan", content, proof)


def test_leaves_come_in_one_order() -> None:
    fields, attachments = {"b": b"2", "a": b"1"}, {"d": b"4", "c": b"3"}
    assert commitments.ordered_leaves(fields, attachments) == (b"1", b"2", b"3", b"4")


def test_equal_values_under_different_salts_look_different() -> None:
    encoded = encode_value("1990")
    assert commitments.leaf(SUITE, salt("a"), "year", encoded) != commitments.leaf(
        SUITE, salt("b"), "year", encoded
    )


def test_a_short_salt_is_our_own_fault() -> None:
    with pytest.raises(InvariantViolation):
        commitments.leaf(SUITE, b"short", "name", b"")
