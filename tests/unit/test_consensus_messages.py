"""Consensus messages decode strictly: one encoding each, bounded, and nothing else gets through."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.core.messages import (
    CERTIFICATES_MAX,
    GAP_CERTIFICATES_MAX,
    MESSAGE_SIZE_BYTES_MAX,
    RANGE_BLOCKS_MAX,
    VOTES_MAX,
    Certificates,
    FetchBlock,
    FetchCertificates,
    FetchedBlock,
    FetchFinalized,
    FinalizedRange,
    Message,
    Propose,
    Status,
    Votes,
    decode_message,
    encode_message,
)
from ledger.errors import DecodeError, LimitExceeded
from ledger.types import Block, FinalizedBlock, Header, QuorumCertificate, Vote, VoteKind

HEADER = Header(
    version=1,
    chain_id=bytes(32),
    epoch=1,
    view=2,
    height=2,
    parent=b"\x01" * 32,
    time_ms=5,
    proposer=bytes(16),
    transactions_root=bytes(32),
    results_root=bytes(32),
    state_root=bytes(32),
    validators_hash=bytes(32),
    next_validators_hash=bytes(32),
)
BLOCK = Block(header=HEADER, transactions=())
VOTE = Vote(kind=VoteKind.NOTARIZE, epoch=1, view=2, digest=b"\x02" * 32, validator=1, signature=b"\x03" * 96)
CERTIFICATE = QuorumCertificate(
    kind=VoteKind.NULLIFY, epoch=1, view=1, digest=bytes(32), signers=b"\x07", signature=b"\x04" * 96
)
FINALIZED = FinalizedBlock(block=BLOCK, path=(HEADER,), certificate=CERTIFICATE)
MESSAGES: tuple[Message, ...] = (
    Propose(block=BLOCK, vote=VOTE, parent=None, nullifications=(CERTIFICATE,)),
    Propose(block=BLOCK, vote=VOTE, parent=CERTIFICATE, nullifications=()),
    Votes(votes=(VOTE, VOTE), admitted_by=CERTIFICATE),
    Certificates(certificates=(CERTIFICATE,)),
    Status(epoch=1, view=7, height=3, finalization=None),
    FetchBlock(epoch=1, height=4, digest=bytes(32)),
    FetchedBlock(block=BLOCK),
    FetchCertificates(epoch=1, first_view=2, last_view=9),
    FetchFinalized(first_height=1),
    FinalizedRange(first_height=1, blocks=(FINALIZED,)),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was_sent(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_shorter_prefix_and_every_trailing_byte_is_refused(message: Message) -> None:
    data = encode_message(message)
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            decode_message(data[:end])
    with pytest.raises(DecodeError):
        decode_message(data + b"\x00")


@given(st.sampled_from(MESSAGES), st.data())
def test_a_flipped_bit_is_another_message_or_none_but_never_another_encoding(
    message: Message, data: st.DataObject
) -> None:
    encoded = bytearray(encode_message(message))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_message(bytes(encoded))
    except DecodeError:
        return
    assert encode_message(found) == bytes(encoded)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_the_decoding_errors(data: bytes) -> None:
    with suppress(DecodeError, LimitExceeded):
        decode_message(data)


def too_long() -> list[Message]:
    return [
        Votes(votes=(VOTE,) * (VOTES_MAX + 1)),
        Certificates(certificates=(CERTIFICATE,) * (CERTIFICATES_MAX + 1)),
        Propose(
            block=BLOCK, vote=VOTE, parent=None, nullifications=(CERTIFICATE,) * (GAP_CERTIFICATES_MAX + 1)
        ),
        FinalizedRange(first_height=1, blocks=(FINALIZED,) * (RANGE_BLOCKS_MAX + 1)),
    ]


@pytest.mark.parametrize("message", too_long(), ids=lambda message: type(message).__name__)
def test_a_list_one_longer_than_its_bound_is_refused(message: Message) -> None:
    with pytest.raises(DecodeError):
        decode_message(encode_message(message))


@pytest.mark.parametrize("message", [Votes(votes=()), Certificates(certificates=())])
def test_an_empty_list_that_says_nothing_is_refused(message: Message) -> None:
    with pytest.raises(DecodeError):
        decode_message(encode_message(message))


def test_a_message_above_the_size_bound_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LimitExceeded):
        decode_message(bytes(MESSAGE_SIZE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "value",
    [
        [0, 1],
        [10, 1],
        ["4", 1, 7, 3, None, False],
        [4, 1, 7, 3],
        [4, 1, 7, 3, None],
        [4, 1, 7, 3, None, None],
        [4, 1, 7, 3, None, False, False],
        [4, -1, 7, 3, None, False],
        [4, 1, 2**53, 3, None, False],
        [4, 1, "7", 3, None, False],
        [5, 1, 4, bytes(31)],
        {"epoch": 1},
        None,
    ],
)
def test_unknown_tags_wrong_types_ranges_and_field_counts_are_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        decode_message(msgspec.msgpack.encode(value))


def test_an_integer_longer_than_needed_is_refused() -> None:
    data = encode_message(FetchFinalized(first_height=1))
    assert data == b"\x92\x08\x01"
    with pytest.raises(DecodeError):
        decode_message(b"\x92\x08\xcc\x01")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode_message(b"\x91" * 100_000)
