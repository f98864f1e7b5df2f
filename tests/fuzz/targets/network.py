"""What comes over a peer connection before anybody knows what it means: frames, HELLO, refusals, and the lanes out."""

from __future__ import annotations

import ssl

from hypothesis import strategies as st
from msgspec.structs import replace

from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from network.errors import ChainMismatch, FrameInvalid, NodeMismatch, TlsIdentityInvalid, VersionMismatch
from network.frames import (
    ERROR_BYTES_MAX,
    FRAGMENT_BYTES_MAX,
    HEADER_SIZE_BYTES,
    REQUEST_ID_MAX,
    Channel,
    Frame,
    FrameKind,
    FrameParser,
    encode_frame,
    payload_bytes_max,
)
from network.handshake import Hello, agree, decode_hello, encode_hello
from network.lanes import CONTROL_LANE, LaneLimit, SendLanes, lane_of
from network.rpc import Refusal
from network.tls import (
    certificate_expires_at_ms,
    certificate_life_ms,
    issue_certificate,
    load_certificate_der,
)
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Script, Target, require

OWN = Hello(
    version_min=1,
    version_max=1,
    chain_id=b"c" * 32,
    node=b"n" * 16,
    release="0.1.0",
    instance=b"i" * 16,
    ledger_version_min=1,
    ledger_version_max=1,
    contracts=(("grants", 2),),
)
THEIRS = b"p" * 16
CERTIFICATE_PEM = issue_certificate(now_ms=1_735_689_600_000)[0]
# A fragment that is not complete, and one unfinished frame a channel.
_KEPT_BYTES_MAX = (
    HEADER_SIZE_BYTES + FRAGMENT_BYTES_MAX + sum(payload_bytes_max(FrameKind.MESSAGE, one) for one in Channel)
)


def hello_frame() -> Frame:
    return Frame(FrameKind.HELLO, payload=encode_hello(OWN))


def frames() -> list[Frame]:
    """One of each kind and channel."""
    found = [hello_frame(), Frame(FrameKind.PING, None, 1), Frame(FrameKind.PONG, None, REQUEST_ID_MAX)]
    for channel in Channel:
        found += [
            Frame(FrameKind.MESSAGE, channel, 0, b"m"),
            Frame(FrameKind.REQUEST, channel, 1, b"q"),
            Frame(FrameKind.RESPONSE, channel, 1, b""),
            Frame(FrameKind.ERROR, channel, 1, codec.encode(Refusal(code="busy", reason="r"))),
        ]
    return found


def run_frames(data: bytes) -> None:
    """The same frames, or the same refusal, in whatever pieces the bytes come; and never much in the buffer."""
    step = 1 + (data[0] if data else 0)
    stream = data[1:]
    whole = parse([stream])
    pieces = parse([stream[at : at + step] for at in range(0, len(stream), step)])
    require(whole[1] == pieces[1], "pieces decide whether bytes are frames")
    require(whole[1] is not None or whole[0] == pieces[0], "pieces decide which frames bytes are")
    encoded = b"".join(map(encode_frame, pieces[0]))
    require(len(encoded) <= len(stream), "frames that take more than came")
    require(parse([encoded])[0] == pieces[0], "frames re-encode to others")
    if whole[1] is not None:
        raise whole[2]


def parse(pieces: list[bytes]) -> tuple[list[Frame], str | None, Exception]:
    """Frames, and what refused the rest."""
    parser, found = FrameParser(), []
    for piece in pieces:
        try:
            found += parser.feed(piece)
        except (FrameInvalid, LimitExceeded) as error:
            require(parser.buffered_bytes == 0, "a parser that failed keeps bytes")
            return found, error.code, error
        require(parser.buffered_bytes <= _KEPT_BYTES_MAX + len(piece), "a parser keeps too much")
    return found, None, ValueError()


def frame_seeds() -> list[bytes]:
    first = encode_frame(hello_frame())
    long = encode_frame(Frame(FrameKind.MESSAGE, Channel.BLOCKS, 0, b"l" * (FRAGMENT_BYTES_MAX + 5)))
    cut = HEADER_SIZE_BYTES + FRAGMENT_BYTES_MAX
    between = encode_frame(Frame(FrameKind.MESSAGE, Channel.VOTES, 0, b"v"))
    return (
        [b"\xff" + first + long, b"\xff" + first + long[:cut] + between + long[cut:]]
        + [b"\0" + b"".join(map(encode_frame, frames()))]
        + [bytes([index]) + first + encode_frame(frame) for index, frame in enumerate(frames()[1:])]
    )


def drawn_frames() -> st.SearchStrategy[bytes]:
    """Streams of good frames after a HELLO."""
    parts = st.lists(st.sampled_from(frames()[1:]), max_size=6).map(
        lambda some: b"".join(map(encode_frame, [hello_frame(), *some]))
    )
    return st.tuples(st.binary(min_size=1, max_size=1), parts, st.binary(max_size=4)).map(b"".join)


def run_hello(data: bytes) -> None:
    hello = decode_hello(data)
    require(encode_hello(hello) == data, "a HELLO re-encodes to other bytes")
    version = agree(OWN, hello, (THEIRS,))
    require(version == agree(hello, OWN, (OWN.node,)) == 1, "the two sides agree on different versions")


def run_refusal(data: bytes) -> None:
    refusal = codec.decode(data, Refusal, size_bytes_max=ERROR_BYTES_MAX)
    require(codec.encode(refusal) == data, "a refusal re-encodes to other bytes")


LANES = tuple(
    LaneLimit(frames_max=3, bytes_max=64, drops_oldest=index in {1, 2}) for index in range(len(Channel) + 1)
)


def run_lanes(data: bytes) -> None:
    """Push and pop by script: every frame pushed is popped or reported, lanes keep their bounds and their order."""
    script, lanes, waiting = Script(data), SendLanes(LANES), list[Frame]()
    choices = frames()
    while not script.ended:
        if script.below(4) == 0:
            popped = lanes.pop(1 + script.below(200))
            require(bool(popped) == bool(waiting), "frames wait and none is taken")
            for fragment in popped:
                if fragment.is_last:
                    waiting.remove(fragment.frame)
        else:
            chosen = choices[script.below(len(choices))]
            frame = Frame(chosen.kind, chosen.channel, chosen.request_id, script.some(script.below(80)))
            waiting.append(frame)
            for dropped in lanes.push(frame):
                waiting.remove(dropped)
        require(len(lanes) == len(waiting), "a frame was lost")
        require(lanes.size_bytes <= sum(one.size_bytes for one in waiting), "bytes are miscounted")
        require(bool(lanes.size_bytes) == bool(waiting), "bytes of no frame")
        for lane in range(CONTROL_LANE, len(LANES)):
            here = [one for one in waiting if lane_of(one) == lane]
            require(len(here) <= LANES[lane].frames_max, "a lane holds too many frames")
            require(
                len(here) < 2 or sum(one.size_bytes for one in here) <= LANES[lane].bytes_max,
                "a lane is too long",
            )


def run_certificate(data: bytes) -> None:
    """What a member says its certificate is, whatever the ledger took for one."""
    certificate = load_certificate_der(data, source="a peer")
    require(certificate_life_ms(certificate) < 2**63, "a life without end")
    require(certificate_expires_at_ms(certificate) >= 0, "it ended before time began")


def certificate_seeds() -> list[bytes]:
    """One of ours; its key, and so its bytes, are new in every process."""
    return [ssl.PEM_cert_to_DER_cert(CERTIFICATE_PEM)]


TARGETS = (
    Target(
        name="network.certificate",
        run=run_certificate,
        seeds=certificate_seeds,
        errors=(TlsIdentityInvalid,),
        size_bytes_max=2200,
    ),
    Target(
        name="network.frames",
        run=run_frames,
        seeds=frame_seeds,
        examples=drawn_frames,
        errors=(FrameInvalid, LimitExceeded),
        size_bytes_max=72 * 1024,
    ),
    Target(
        name="network.hello",
        run=run_hello,
        seeds=lambda: [encode_hello(OWN), encode_hello(replace(OWN, node=THEIRS))],
        examples=lambda: encodings(Hello),
        errors=(DecodeError, LimitExceeded, ChainMismatch, NodeMismatch, VersionMismatch),
        grammar=Grammar.MSGPACK,
        size_bytes_max=1200,
    ),
    Target(
        name="network.refusal",
        run=run_refusal,
        seeds=lambda: [codec.encode(Refusal(code="busy", reason="full", retry_after_s=3))],
        examples=lambda: encodings(Refusal),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=600,
    ),
    Target(
        name="network.lanes",
        run=run_lanes,
        seeds=lambda: [bytes(range(1, 64)), b"\1\3\3\1\3\3\1\3\3\0\1"],
        errors=(),
        size_bytes_max=256,
    ),
)
