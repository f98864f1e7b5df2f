"""Who is not a peer of this network does not get in, and the node says why and goes on."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ledger.types import CERTIFICATE_DER_BYTES_MAX
from network.errors import (
    ChainMismatch,
    FrameInvalid,
    NodeMismatch,
    OwnCertificateExpired,
    PeerCertificateExpired,
    PinMismatch,
    TlsFailed,
    TlsIdentityInvalid,
    VersionMismatch,
)
from network.frames import Channel, Frame, FrameKind, encode_frame
from network.listening import HANDSHAKES_PENDING_MAX
from network.peers import TlsIdentity
from network.tls import (
    CERTIFICATE_LIFE_S,
    certificate_der,
    certificate_expires_at_ms,
    certificate_life_ms,
    client_context,
    issue_certificate,
    load_certificate,
    load_certificate_der,
)
from tests.unit.network_cluster import LONG_AGO_MS, NOW_MS, QUICK, WAIT_S, Member, RawPeer

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
    return client_context(own.tls, [target.certificate])


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
        context.load_verify_locations(cadata=certificate_der(own.certificate))
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


async def test_an_expired_certificate_is_named_on_both_sides_with_the_way_out(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    friend.tls, friend.certificate = friend.make_certificate(now_ms=LONG_AGO_MS)
    async with running(own, friend):
        await own.start(friend.address(), timings=SLOW_TO_DIAL)
        await friend.start(own.address(), timings=replace(QUICK, dial_grace_ms=0))
        await own.rejected(PeerCertificateExpired.code)
        await own.log.until(lambda: own.log.named("peer.rejected"))
        assert friend.name in own.log.named("peer.rejected")[0]["reason"]
        await friend.log.until(lambda: friend.log.named("peer.unreachable"))
        assert "renew-certificate" in friend.log.named("peer.unreachable")[0]["reason"]
        assert friend.net.status()[0].last_error == OwnCertificateExpired.code
        assert own.net.status()[0].certificate_expires_at_ms == LONG_AGO_MS + CERTIFICATE_LIFE_S * 1000


async def test_an_expired_peer_that_is_dialed_is_named(tmp_path: Path) -> None:
    own, friend = Member(tmp_path, 1), Member(tmp_path, 2)
    friend.tls, friend.certificate = friend.make_certificate(now_ms=LONG_AGO_MS)
    async with running(own, friend):
        await friend.start(own.address(), timings=SLOW_TO_DIAL)
        await own.start(friend.address())
        await own.log.until(lambda: own.net.status()[0].last_error == PeerCertificateExpired.code)
        assert friend.name in own.log.named("peer.unreachable")[0]["reason"]


async def test_one_peer_cannot_answer_at_another_peers_address(tmp_path: Path) -> None:
    own, second, third = Member(tmp_path, 1), Member(tmp_path, 2), Member(tmp_path, 3)
    async with running(own, second, third):
        await third.start(own.address(), timings=SLOW_TO_DIAL)
        await own.start(second.address(port=third.port), third.address(port=1))
        await own.log.until(lambda: own.net.status()[0].last_error == PinMismatch.code)
        assert own.net.connected() == ()


async def test_a_key_that_another_node_announces_too_still_belongs_to_who_holds_it(tmp_path: Path) -> None:
    """Certificates are public: a node may name another's as its own, and gains and spoils nothing by it."""
    own, friend, thief = Member(tmp_path, 1), Member(tmp_path, 2), Member(tmp_path, 3)
    async with running(own):
        await own.start(friend.address(), thief.address(friend.certificate), timings=SLOW_TO_DIAL)
        raw = await RawPeer.dial(friend, own)
        raw.hello(friend)
        await own.connected(friend)
        assert own.net.connected() == (friend.node_id,)
        await raw.close()


async def test_a_certificate_that_cannot_be_used_shuts_out_its_own_node_only(tmp_path: Path) -> None:
    own, friend, third = Member(tmp_path, 1), Member(tmp_path, 2), Member(tmp_path, 3)
    async with running(own):
        broken = replace(third.address(), certificates=(b"no certificate",))
        await own.start(broken, friend.address(), timings=SLOW_TO_DIAL)
        assert own.log.named("peer.certificate_unusable")[0]["peer"] == third.name
        assert own.net.status()[0].certificate_expires_at_ms == 0
        await still_serves(own, friend)


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
    (_, key), (certificate, _) = (issue_certificate(now_ms=NOW_MS) for _ in range(2))
    (tmp_path / "mixed.pem").write_text(key + certificate)
    (tmp_path / "bare.pem").write_text(certificate)
    for name in ("mixed.pem", "bare.pem", "none.pem"):
        with pytest.raises(TlsIdentityInvalid):
            client_context(TlsIdentity(tmp_path / name), [])


def test_a_certificate_says_how_long_it_lasts() -> None:
    for life_s in (60, CERTIFICATE_LIFE_S):
        pem, _ = issue_certificate(now_ms=NOW_MS, life_s=life_s)
        certificate = load_certificate(pem, source="x")
        assert certificate_expires_at_ms(certificate) == NOW_MS + life_s * 1000
        assert certificate_life_ms(certificate) == life_s * 1000
        assert load_certificate_der(certificate_der(certificate), source="x") == certificate
    for bad in ("", "no certificate", pem + pem, pem.replace("MII", "AAA", 1), "x" * 20_000):
        with pytest.raises(TlsIdentityInvalid):
            load_certificate(bad, source="x")
    for der in (b"", b"0", certificate_der(certificate)[:-1], bytes(CERTIFICATE_DER_BYTES_MAX + 1)):
        with pytest.raises(TlsIdentityInvalid):
            load_certificate_der(der, source="x")


def foreign_certificate(
    *, named: ec.EllipticCurvePrivateKey, signed: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate with the key and name of `named` that `signed` has signed."""
    spki = named.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hashlib.sha256(spki).hexdigest())])
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(named.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
        .sign(signed, hashes.SHA256())
    )


def test_nobody_makes_a_certificate_that_could_stand_in_anothers_place() -> None:
    """OpenSSL looks trusted certificates up by name, so one with another node's name would keep that node out."""
    victim, thief = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    large = ec.generate_private_key(ec.SECP384R1())
    load_certificate_der(certificate_der(foreign_certificate(named=victim, signed=victim)), source="x")
    for named, signed in ((victim, thief), (large, large)):
        with pytest.raises(TlsIdentityInvalid):
            load_certificate_der(certificate_der(foreign_certificate(named=named, signed=signed)), source="x")
    pem, _ = issue_certificate(now_ms=NOW_MS)
    mine = load_certificate(pem, source="x")
    renamed = (
        x509.CertificateBuilder()
        .subject_name(mine.subject)
        .issuer_name(mine.subject)
        .public_key(thief.public_key())
        .serial_number(1)
        .not_valid_before(mine.not_valid_before_utc)
        .not_valid_after(mine.not_valid_after_utc)
        .sign(thief, hashes.SHA256())
    )
    with pytest.raises(TlsIdentityInvalid):
        load_certificate_der(certificate_der(renamed), source="x")
