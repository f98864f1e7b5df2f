"""An archive proves itself from a trust point, and nothing that is changed in one goes through, whoever changed it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.state import ACCOUNTS
from ledger import codec
from ledger.archive import (
    FRAME_SIZE_BYTES_MAX,
    OPENING_SIZE_BYTES_MAX,
    ArchivedBlob,
    ArchivedBlock,
    ArchiveReader,
    ArchiveRejected,
    ArchiveWriter,
    Closing,
    EpochEnd,
    Founding,
    Opening,
    SnapshotListed,
    SnapshotPiece,
    sign_manifest,
)
from ledger.errors import LimitExceeded
from ledger.light import is_seal
from ledger.types import Trust, ValidatorSet
from ledger.verdicts import ProofRejected
from tests.unit.archive_world import Frames, archived, forged, frames_of, maker, verified
from tests.unit.contracts_world import NODES, SUITE

F = TypeVar("F")


def refusal(data: bytes, trust: Trust | None = None) -> ArchiveRejected:
    with pytest.raises(ArchiveRejected) as caught:
        verified(data, trust or archived()[1])
    assert caught.value.message("zh") != caught.value.message("en")
    return caught.value


def check_of(change: Callable[[Frames], Frames]) -> str:
    return str(refusal(forged(change)).fields["check"])


def of_kind(frames: Frames, kind: type[F]) -> list[tuple[int, F]]:
    return [(at, frame) for at, frame in enumerate(frames) if isinstance(frame, kind)]


def swap(frames: Frames, at: int, other: object) -> Frames:
    return [*frames[:at], other, *frames[at + 1 :]]  # type: ignore[list-item]


# --- what holds -----------------------------------------------------------------------------------------------------


def test_an_archive_holds_from_the_trust_point_of_genesis_across_epochs() -> None:
    data, trust = archived()
    proven = verified(data, trust)
    assert proven.trust.validators.epoch == 2
    assert proven.manifest.contents.epochs == 1
    assert proven.manifest.contents.blocks == proven.manifest.opening.last_height == 11
    assert proven.head is not None
    assert proven.head.height == 11
    assert (proven.manifest.contents.blobs, proven.manifest.contents.blob_bytes) == (3, 6)


def test_a_trust_point_of_a_later_epoch_is_met_on_the_way() -> None:
    data, trust = archived()
    later = verified(data, trust).trust
    assert verified(data, later).trust == later
    other = replace(trust, validators=replace(trust.validators, epoch=2))
    assert refusal(data, other).fields["check"] == "trust"


def test_an_archive_of_later_blocks_holds_by_way_of_the_epochs_before_them() -> None:
    data, trust = archived(first_height=10)
    frames = frames_of(data)
    assert isinstance(frames[2], EpochEnd)
    proven = verified(data, trust)
    assert proven.manifest.opening.first_height == 10
    assert proven.manifest.contents.blocks == 2


def test_without_every_certificate_the_last_one_proves_all_by_the_links() -> None:
    data, trust = archived()
    assert verified(data, trust, every_certificate=False).head == verified(data, trust).head

    def other_time(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlock)[3]
        header = replace(frame.finalized.block.header, time_ms=frame.finalized.block.header.time_ms + 1)
        block = replace(frame.finalized.block, header=header)
        return swap(frames, at, replace(frame, finalized=replace(frame.finalized, block=block)))

    with pytest.raises(ArchiveRejected):
        verified(forged(other_time), trust, every_certificate=False)


# --- bytes ----------------------------------------------------------------------------------------------------------


def test_every_byte_of_the_first_and_last_frames_counts() -> None:
    data, _ = archived()
    for at in [*range(400), *range(len(data) - 300, len(data))]:
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(ArchiveRejected):
            frames_of(bytes(changed))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_found_in_the_frame_that_holds_it(draw: st.DataObject) -> None:
    data, _ = archived()
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= 1 << draw.draw(st.integers(0, 7))
    error = refusal(bytes(changed))
    starts = frame_starts(data)
    number = max(n for n, start in enumerate(starts) if start <= at)
    assert (error.fields["frame"], error.fields["offset"]) == (number, starts[number])


def frame_starts(data: bytes) -> list[int]:
    reader = ArchiveReader(BytesIO(data).read)
    return [0, *(placed.offset for placed in reader.frames_after_opening())]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_archive_that_is_cut_short_or_goes_on_is_refused(draw: st.DataObject) -> None:
    data, _ = archived()
    cut = draw.draw(st.integers(0, len(data) - 1))
    assert refusal(data[:cut]).fields["check"] in {"truncated", "format"}
    assert refusal(data + draw.draw(st.binary(min_size=1, max_size=5))).fields["check"] == "format"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4096))
def test_bytes_from_anywhere_are_no_archive(data: bytes) -> None:
    with pytest.raises(ArchiveRejected):
        verified(data, None)


def test_a_length_is_refused_before_anything_of_it_is_read() -> None:
    data, _ = archived()
    asked: list[int] = []
    opening = frame_starts(data)[1]
    source = BytesIO(data[:opening] + b"\x92\xc6\xff\xff\xff\xff")

    def read(size: int) -> bytes:
        asked.append(size)
        return source.read(size)

    reader = ArchiveReader(read)
    with pytest.raises(ArchiveRejected) as caught:
        list(reader.frames_after_opening())
    assert caught.value.fields["check"] == "frame_size"
    assert max(asked) <= OPENING_SIZE_BYTES_MAX
    with pytest.raises(ArchiveRejected):
        ArchiveReader(BytesIO(b"\x92\xc5\x04\x01" + bytes(2000)).read)


def test_a_length_has_one_way_to_be_written() -> None:
    data, _ = archived()
    start = frame_starts(data)[0]
    assert data[start : start + 2] == b"\x92\xc4"
    longer = b"\x92\xc5\x00" + data[2:]
    assert refusal(longer).fields["check"] == "format"


def test_a_frame_that_no_reader_would_take_is_not_written() -> None:
    writer = ArchiveWriter(SUITE)
    with pytest.raises(LimitExceeded):
        writer.frame(ArchivedBlob(name=bytes(32), data=bytes(FRAME_SIZE_BYTES_MAX + 1)))


def test_an_archive_of_another_version_format_or_suite_is_refused() -> None:
    opening = frames_of(archived()[0])[0]
    assert isinstance(opening, Opening)
    for changed, check in (
        (replace(opening, version=2), "version"),
        (replace(opening, format="other"), "format"),
        (replace(opening, suite="none"), "suite"),
    ):
        data = ArchiveWriter(SUITE).frame(changed)
        with pytest.raises(ArchiveRejected) as caught:
            ArchiveReader(BytesIO(data).read)
        assert caught.value.fields["check"] == check


# --- what an operator with a key might forge ------------------------------------------------------------------------


def test_what_is_only_linked_and_signed_anew_still_holds() -> None:
    assert verified(forged(lambda frames: frames), archived()[1]).head is not None


def test_blocks_must_be_the_certified_ones() -> None:
    def fewer_transactions(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlock)[0]
        block = replace(frame.finalized.block, transactions=())
        return swap(frames, at, replace(frame, finalized=replace(frame.finalized, block=block)))

    def other_results(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlock)[0]
        wrong = tuple(replace(result, code="denied") for result in frame.results)
        return swap(frames, at, replace(frame, results=wrong))

    def other_certificate(frames: Frames) -> Frames:
        (at, frame), (_, other) = of_kind(frames, ArchivedBlock)[:2]
        final = replace(frame.finalized, certificate=other.finalized.certificate)
        return swap(frames, at, replace(frame, finalized=final))

    def too_few_signers(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlock)[0]
        certificate = replace(frame.finalized.certificate, signers=b"\x03")
        return swap(frames, at, replace(frame, finalized=replace(frame.finalized, certificate=certificate)))

    assert check_of(fewer_transactions) == "transactions"
    assert check_of(other_results) == "results"
    assert check_of(other_certificate) == "certificate_subject"
    assert check_of(too_few_signers) == "certificate_signers"


def test_no_block_is_missing_twice_there_or_out_of_order() -> None:
    def without(index: int) -> Callable[[Frames], Frames]:
        return lambda frames: [
            frame for at, frame in enumerate(frames) if at != of_kind(frames, ArchivedBlock)[index][0]
        ]

    def twice(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlock)[0]
        return [*frames[: at + 1], frame, *frames[at + 1 :]]

    def shorter(frames: Frames) -> Frames:
        opening = frames[0]
        assert isinstance(opening, Opening)
        return [replace(opening, last_height=opening.last_height - 1), *frames[1:]]

    assert check_of(without(0)) == "height"
    assert check_of(without(-1)) == "blocks_missing"
    assert check_of(twice) == "height"
    assert check_of(shorter) == "height"


def test_an_epoch_ends_exactly_behind_its_seal() -> None:
    def seal(frames: Frames) -> int:
        return next(at for at, one in of_kind(frames, ArchivedBlock) if is_seal(one.finalized.block.header))

    def without_its_end(frames: Frames) -> Frames:
        return [frame for frame in frames if not isinstance(frame, EpochEnd)]

    def too_early(frames: Frames) -> Frames:
        at = seal(frames)
        return [*frames[:at], frames[at + 1], frames[at], *frames[at + 2 :]]

    def twice(frames: Frames) -> Frames:
        at = seal(frames) + 1
        return [*frames[: at + 1], frames[at], *frames[at + 1 :]]

    def other_set(frames: Frames) -> Frames:
        at, frame = of_kind(frames, EpochEnd)[0]
        members = frame.change.validators.validators
        fewer = ValidatorSet(epoch=2, validators=members[:3])
        return swap(frames, at, EpochEnd(change=replace(frame.change, validators=fewer)))

    assert check_of(without_its_end) == "epoch_missing"
    assert check_of(too_early) == "epoch_place"
    assert check_of(twice) == "epoch_place"
    assert check_of(other_set) == "next_validators"


def test_genesis_is_the_one_of_the_chain_id() -> None:
    def other_genesis(frames: Frames) -> Frames:
        at, frame = of_kind(frames, Founding)[0]
        return swap(frames, at, Founding(genesis=replace(frame.genesis, time_ms=frame.genesis.time_ms + 1)))

    def no_genesis(frames: Frames) -> Frames:
        return [frames[0], *frames[2:]]

    assert check_of(other_genesis) == "genesis"
    assert check_of(no_genesis) == "order"
    data, trust = archived()
    assert refusal(data, replace(trust, chain_id=bytes(32))).fields["check"] == "chain"
    assert refusal(data, replace(trust, network="other")).fields["check"] == "network"


def test_a_trust_point_that_is_not_sound_is_no_ground_to_verify_on() -> None:
    data, trust = archived()
    members = trust.validators.validators
    twice = replace(trust, validators=replace(trust.validators, validators=(members[0], members[0])))
    with pytest.raises(ProofRejected):
        verified(data, twice)


def test_the_snapshot_is_whole_and_of_the_last_block() -> None:
    def without(kind: type[object]) -> Callable[[Frames], Frames]:
        return lambda frames: [frame for frame in frames if not isinstance(frame, kind)]

    def damaged(frames: Frames) -> Frames:
        at, frame = of_kind(frames, SnapshotPiece)[0]
        return swap(frames, at, replace(frame, data=frame.data[:-1] + b"!"))

    def other_header(frames: Frames) -> Frames:
        at, frame = of_kind(frames, SnapshotListed)[0]
        blocks = of_kind(frames, ArchivedBlock)
        manifest = replace(frame.manifest, header=blocks[-2][1].finalized.block.header)
        return swap(frames, at, SnapshotListed(manifest=manifest))

    def last_piece_first(frames: Frames) -> Frames:
        (first, one), (second, two) = of_kind(frames, SnapshotPiece)
        return swap(swap(frames, first, two), second, one)

    assert check_of(without(SnapshotPiece)) == "pieces_missing"
    assert check_of(without(SnapshotListed)) == "order"
    assert check_of(damaged) == "snapshot_chunk"
    assert check_of(other_header) == "snapshot_height"
    assert check_of(last_piece_first) == "piece_order"


def test_ciphertext_hashes_to_its_name_and_comes_once() -> None:
    def damaged(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlob)[0]
        return swap(frames, at, replace(frame, data=frame.data + b"!"))

    def twice(frames: Frames) -> Frames:
        at, frame = of_kind(frames, ArchivedBlob)[0]
        return [*frames[: at + 1], frame, *frames[at + 1 :]]

    assert check_of(damaged) == "blob"
    assert check_of(twice) == "blob_order"


def test_the_manifest_is_signed_by_a_key_of_the_network() -> None:
    def other_facts(frames: Frames) -> Frames:
        closing = frames[-1]
        assert isinstance(closing, Closing)
        return [*frames[:-1], replace(closing, manifest=replace(closing.manifest, head=bytes(32)))]

    def stranger(frames: Frames) -> Frames:
        closing = frames[-1]
        assert isinstance(closing, Closing)
        secret, signer = SUITE.generate_signer()
        assert secret
        manifest = replace(closing.manifest, public_key=signer.public_key, standing=None)
        return [*frames[:-1], sign_manifest(signer, manifest)]

    def other_account(frames: Frames) -> Frames:
        closing = frames[-1]
        assert isinstance(closing, Closing)
        manifest = closing.manifest
        assert manifest.standing is not None
        assert manifest.standing.key == ACCOUNTS.key(manifest.account)
        return [*frames[:-1], replace(closing, manifest=replace(manifest, account=NODES[1].account))]

    assert check_of(other_facts) == "manifest"
    assert check_of(stranger) == "signature"  # re-signed by the maker's key, which the manifest does not name
    assert check_of(other_account) == "signer"
    assert refusal(forged(lambda frames: frames, signer=maker(1))).fields["check"] == "signature"


def test_a_frame_has_one_encoding() -> None:
    for frame in frames_of(archived()[0]):
        data = codec.encode(frame)
        assert codec.encode(codec.decode(data, type(frame), size_bytes_max=FRAME_SIZE_BYTES_MAX)) == data
