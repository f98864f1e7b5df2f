"""Two nodes that do not belong together find out before anything else is said, and name the same reason."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import DecodeError, LimitExceeded
from network.errors import ChainMismatch, NodeMismatch, VersionMismatch
from network.handshake import Hello, agree, decode_hello, encode_hello

OWN = Hello(
    version_min=2,
    version_max=4,
    chain_id=b"c" * 32,
    node=b"a" * 16,
    release="1.2",
    instance=b"i" * 16,
    ledger_version_min=1,
    ledger_version_max=2,
    contracts=(("grants", 2),),
)
THEIRS = msgspec.structs.replace(OWN, node=b"b" * 16)


def with_versions(hello: Hello, low: int, high: int) -> Hello:
    return msgspec.structs.replace(hello, version_min=low, version_max=high)


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_both_sides_come_to_the_same_version_or_both_refuse(a: int, b: int, c: int, d: int) -> None:
    own, theirs = with_versions(OWN, min(a, b), max(a, b)), with_versions(THEIRS, min(c, d), max(c, d))
    common = set(range(min(a, b), max(a, b) + 1)) & set(range(min(c, d), max(c, d) + 1))
    if common:
        assert agree(own, theirs, [THEIRS.node]) == agree(theirs, own, [OWN.node]) == max(common)
        return
    for one, other in ((own, theirs), (theirs, own)):
        with pytest.raises(VersionMismatch):
            agree(one, other, [other.node])


def test_an_empty_version_range_is_refused() -> None:
    with pytest.raises(VersionMismatch):
        agree(OWN, with_versions(THEIRS, 4, 2), [THEIRS.node])


def test_another_network_is_named_with_both_ids() -> None:
    with pytest.raises(ChainMismatch) as refused:
        agree(OWN, msgspec.structs.replace(THEIRS, chain_id=b"d" * 32), [THEIRS.node])
    assert (b"d" * 32).hex() in refused.value.message("zh")
    assert (b"c" * 32).hex() in refused.value.message("en")


def test_a_claim_to_be_somebody_else_than_the_key_says_is_refused() -> None:
    with pytest.raises(NodeMismatch):
        agree(OWN, THEIRS, [b"x" * 16, b"y" * 16])


def test_a_key_that_two_nodes_announce_belongs_to_who_claims_it() -> None:
    assert agree(OWN, THEIRS, [b"x" * 16, THEIRS.node]) == 4


def test_two_releases_without_a_common_version_are_both_named() -> None:
    newer = msgspec.structs.replace(with_versions(THEIRS, 5, 6), release="9.0")
    for language in ("zh", "en"):
        with pytest.raises(VersionMismatch) as refused:
            agree(OWN, newer, [THEIRS.node])
        text = refused.value.message(language)
        assert all(part in text for part in ("1.2", "2–4", "9.0", "5–6"))


def test_hello_survives_encoding_and_nothing_else_decodes() -> None:
    payload = encode_hello(OWN)
    assert decode_hello(payload) == OWN
    for bad in (b"", payload[:-1], payload + b"\0", msgspec.msgpack.encode([1, 1]), b"\x91" * 500):
        with pytest.raises(DecodeError):
            decode_hello(bad)
    with pytest.raises(LimitExceeded):
        decode_hello(bytes(5000))
    with pytest.raises(DecodeError):
        decode_hello(encode_hello(msgspec.structs.replace(OWN, chain_id=b"short")))
