"""Who is not a peer of this network does not get in, and the node says why and goes on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from network.errors import (
    ChainMismatch,
    FrameInvalid,
    NodeMismatch,
    PinMismatch,
    TlsFailed,
    TlsIdentityInvalid,
    VersionMismatch,
)
from network.frames import Channel, Frame, FrameKind, encode_frame
from network.peers import HANDSHAKES_PENDING_MAX, TlsIdentity
from network.tls import (
    CERTIFICATE_VALIDITY_DAYS,
    certificate_expires_at_ms,
    client_context,
    issue_certificate,
    load_certificate,
)
from tests.unit.network_cluster import NOW_MS, QUICK, WAIT_S, Member, RawPeer

SLOW_TO_DIAL = replace(QUICK, dial_grace_ms=60_000)


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for member in members:
            if member.network is not None:
                await member.network.stop()


def trusting(own: Member, target: Member) -> ssl.SSLContext:
    return client_context(own.tls, [load_certificate(target.certificate_pem, source=target.name)])


async def still_serves(target: Member, friend: Member) -> None:
    """The rejected one has harmed nobody: a true peer gets in."""
    raw = await RawPeer.dial(friend, target)
    raw.hello(friend)
    await target.connected(friend)
    await raw.close()


async def test_plain_bytes_are_rejected(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await own.rejected(TlsFailed.code)
        async with asyncio.timeout(WAIT_S):
            await reader.read()
        writer.close()
        await still_serves(own, friend)


async def test_a_silent_caller_is_hung_up_on(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=replace(SLOW_TO_DIAL, handshake_timeout_ms=30))
        reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
        await own.rejected("unavailable")
        async with asyncio.timeout(WAIT_S):
            await reader.read()
        writer.close()


async def test_connections_that_are_only_held_keep_no_peer_out(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=replace(SLOW_TO_DIAL, handshake_timeout_ms=60_000))
        held = [
            await asyncio.open_connection("127.0.0.1", own.port) for _ in range(HANDSHAKES_PENDING_MAX + 1)
        ]
        await own.rejected("busy")
        async with asyncio.timeout(WAIT_S):
            await held[0][0].read()
        await still_serves(own, friend)
        for _, writer in held:
            writer.close()


async def test_a_peer_that_never_says_hello_is_hung_up_on(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=replace(SLOW_TO_DIAL, handshake_timeout_ms=500))
        raw = await RawPeer.dial(friend, own)
        await raw.ended()
        await own.rejected("unavailable")
        await raw.close()


async def test_tls_1_2_is_rejected(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        context = trusting(friend, own)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, OSError)):
            await RawPeer.dial(friend, own, context)
        await own.rejected(TlsFailed.code)
        await still_serves(own, friend)


async def test_a_caller_without_a_certificate_is_rejected(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=own.certificate_pem)
        raw = await RawPeer.dial(friend, own, context)
        await own.rejected(TlsFailed.code)
        await raw.ended()
        await raw.close()


async def test_a_strangers_certificate_is_rejected_even_with_a_peers_name_in_it(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    (tmp_path / "other").mkdir()
    impostor = Member(tmp_path / "other", 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        raw = await RawPeer.dial(impostor, own)
        await own.rejected(TlsFailed.code)
        await raw.ended()
        await raw.close()
        await still_serves(own, friend)


async def test_an_expired_certificate_is_rejected_and_named(tmp_path: Path) -> None:
    long_ago_ms = NOW_MS - (CERTIFICATE_VALIDITY_DAYS + 400) * 86_400_000
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2, now_ms=long_ago_ms)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        raw = await RawPeer.dial(friend, own)
        await own.rejected(TlsFailed.code)
        await raw.ended()
        await raw.close()
        await own.log.until(lambda: own.log.named("peer.rejected"))
        assert "certificate has expired" in own.log.named("peer.rejected")[0]["reason"]
        assert own.net.status()[0].certificate_expires_at_ms < NOW_MS


async def test_one_peer_cannot_answer_at_another_peers_address(tmp_path: Path) -> None:
    own, second, third = Member(tmp_path, 1), Member(tmp_path, 2), Member(tmp_path, 3)
    async with running(own, second, third):
        await third.start(own.address(), timings=SLOW_TO_DIAL)
        await own.start(second.address(port=third.port), third.address(port=1))
        await own.log.until(lambda: own.net.status()[0].last_error == PinMismatch.code)
        assert own.net.connected() == ()


async def test_a_certificate_that_is_not_the_pinned_key_never_gets_so_far(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    with pytest.raises(PinMismatch) as refused:
        await own.start(friend.address(spki=own.spki))
    assert own.spki.hex() in refused.value.message()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"chain_id": b"\x08" * 32}, ChainMismatch.code),
        ({"node": b"\x03" * 16}, NodeMismatch.code),
        ({"version_min": 7, "version_max": 9}, VersionMismatch.code),
        ({"chain_id": b"short"}, "malformed"),
    ],
)
async def test_a_hello_that_does_not_fit_is_rejected_by_name(
    tmp_path: Path, changes: dict[str, bytes | int], code: str
) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        raw = await RawPeer.dial(friend, own)
        raw.hello(friend, **changes)
        await raw.ended()
        await own.rejected(code)
        await raw.close()
        assert own.log.named("test.connect") == []
        await still_serves(own, friend)


async def test_two_nodes_of_different_networks_both_learn_why(tmp_path: Path) -> None:
    one, two = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(one, two):
        await two.start(one.address(), chain=b"\x09" * 32, timings=SLOW_TO_DIAL)
        await one.start(two.address())
        await two.rejected(ChainMismatch.code)
        await one.log.until(lambda: one.net.status()[0].last_error == ChainMismatch.code)


async def test_a_message_before_hello_is_rejected(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        raw = await RawPeer.dial(friend, own)
        raw.say(encode_frame(Frame(FrameKind.MESSAGE, Channel.VOTES, payload=b"x")))
        await raw.ended()
        await own.rejected(FrameInvalid.code)
        await raw.close()
        assert own.messages == []


async def test_a_peer_that_turns_to_garbage_is_dropped(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    async with running(own):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        raw = await RawPeer.dial(friend, own)
        raw.hello(friend)
        await own.connected(friend)
        raw.say(b"\xff" * 100)
        await raw.ended()
        await own.log.until(lambda: own.log.named("test.disconnect"))
        assert own.net.status()[0].last_error == FrameInvalid.code
        await raw.close()


def test_own_key_and_certificate_must_be_a_pair(tmp_path: Path) -> None:
    one, two = Member(tmp_path, 1), Member(tmp_path, 2)
    mixed = TlsIdentity(certificate_path=one.tls.certificate_path, key_path=two.tls.key_path)
    missing = TlsIdentity(certificate_path=tmp_path / "none.pem", key_path=two.tls.key_path)
    for identity in (mixed, missing):
        with pytest.raises(TlsIdentityInvalid):
            client_context(identity, [])


def test_a_certificate_lasts_long_and_says_how_long() -> None:
    pem, _ = issue_certificate("x", now_ms=NOW_MS)
    certificate = load_certificate(pem, source="x")
    assert certificate_expires_at_ms(certificate) == NOW_MS + CERTIFICATE_VALIDITY_DAYS * 86_400_000
    for bad in ("", "no certificate", pem + pem, pem.replace("MII", "AAA", 1), "x" * 20_000):
        with pytest.raises(TlsIdentityInvalid):
            load_certificate(bad, source="x")
