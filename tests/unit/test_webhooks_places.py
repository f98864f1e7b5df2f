"""Nothing inside the operator's networks is reached through a webhook, whatever a URL or a name says."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.webhook_places import AddressRefused, CheckedResolver, PlacePolicy, networks
from node.services.webhook_records import URL_LENGTH_MAX, WebhookUrlRefused

STRICT = PlacePolicy()
INNER = (
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",  # noqa: S104
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "ff02::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2001:db8::1",
)


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused_however_it_is_written(address: str) -> None:
    assert not STRICT.allows(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(WebhookUrlRefused):
        STRICT.check_url(f"https://{host}/hook")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "203.119.1.1", "2400:3200::1", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert STRICT.allows(ip_address(address))


def test_the_operator_can_allow_a_network_and_only_that() -> None:
    policy = PlacePolicy(networks=networks(("10.1.0.0/16", "::1/128")))
    assert policy.allows(ip_address("10.1.2.3"))
    assert policy.allows(ip_address("::1"))
    for address in ("10.2.0.1", "127.0.0.1", "::ffff:10.1.2.3"):
        assert not policy.allows(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https:///path",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org/#fragment",
        "https://example.org\\@evil.example/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://exam ple.org/",
        "https://example.org/\r\nHost: x",
        "https://例子.example/",
        "https://[::1%25lo]/",
        "https://example.org/" + "a" * URL_LENGTH_MAX,
        "javascript:alert(1)",
        # Addresses to the system's resolver, spelled so that they do not look like one.
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0x7f.1/",
        "https://0X7F000001/",
        "https://127.0.0.1./",
        "https://example.0/",
        "",
    ],
)
def test_a_url_that_may_not_be_used_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(WebhookUrlRefused) as refused:
        STRICT.check_url(url)
    assert "{" not in refused.value.message("zh") + refused.value.message("en")


@given(st.text(max_size=60))
def test_no_text_makes_the_check_fail_otherwise(text: str) -> None:
    try:
        parts = PlacePolicy(http=True).check_url(text)
    except WebhookUrlRefused:
        return
    assert parts.hostname


def _answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def found(_host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (kind, socket.SOCK_STREAM, 6, "", (address, port))
            for kind, address in zip(kinds, addresses, strict=True)
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


async def test_a_name_is_resolved_to_the_addresses_that_were_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, "8.8.8.8", "2400:3200::1")
    found = await CheckedResolver(STRICT).resolve("hooks.example", 443)
    assert [one["host"] for one in found] == ["8.8.8.8", "2400:3200::1"]
    assert all(one["flags"] & socket.AI_NUMERICHOST for one in found)


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.7", "fd00::1", "::ffff:192.168.0.1"])
async def test_a_name_that_also_has_an_inner_address_is_refused_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    _answers(monkeypatch, "8.8.8.8", inner)
    with pytest.raises(AddressRefused):
        await CheckedResolver(STRICT).resolve("rebind.example", 443)
