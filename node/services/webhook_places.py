"""Where webhooks may be sent: which URLs, and which addresses.

Rule: a node is inside networks that the outside must not reach through it. So a URL is https on a public host unless the operator's
configuration says otherwise; names are resolved anew for every attempt, every address found is checked, and the connection goes to
a checked address and nowhere else. A name that answers first with a public and then with a private address gains nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from node.services.webhook_records import URL_LENGTH_MAX, WebhookUrlRefused

ADDRESSES_MAX: Final = 16
HOST_LENGTH_MAX: Final = 253
# IPv6 addresses that stand for an IPv4 address: NAT64 by its well-known and its local prefix.
_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))

# 2130706433, 127.1, 0x7f.1 and 0177.0.0.1 are names to us and addresses to others. No public name ends in a number.
_NUMERIC_END: Final = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressRefused(Exception):
    """A name has an address that nothing is sent to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacePolicy:
    """What the operator allows beyond https and public addresses.

    Attributes:
        http: whether plain http may be used.
        networks: private networks that may be reached.
    """

    http: bool = False
    networks: tuple[Network, ...] = ()

    def check_url(self, url: str) -> SplitResult:
        """The parts of a URL that may be used.

        Raises:
            WebhookUrlRefused: scheme, length, host or form.
        """
        if not url.isascii() or len(url) > URL_LENGTH_MAX or any(character <= " " for character in url):
            raise _refused(
                f"应为至多 {URL_LENGTH_MAX} 个 ASCII 字符，且不含空白",
                f"at most {URL_LENGTH_MAX} ASCII characters without spaces are expected",
            )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _refused("格式不正确", "it is malformed") from None
        if parts.scheme != "https" and not (self.http and parts.scheme == "http"):
            raise _refused("须使用 https", "https is required")
        if not host or len(host) > HOST_LENGTH_MAX or port == 0 or "%" in host:
            raise _refused("缺少主机名", "it has no host")
        if parts.username is not None or parts.password is not None:
            raise _refused("不得包含用户名或口令", "it must not hold a user name or password")
        if parts.fragment or "\\" in url:
            raise _refused("不得包含 # 片段或反斜杠", "it must not hold a fragment or backslash")
        literal = as_address(host)
        if literal is None and _NUMERIC_END.search(host):
            raise _refused(
                "数字主机须写成标准的 IP 地址", "a host of numbers has to be an address in its usual form"
            )
        if literal is not None and not self.allows(literal):
            raise _refused(
                f"不得发往内部地址 {host}；如确需要，请在配置 [webhooks] allow_networks 中允许",
                f"{host} is an inner address; if that is meant, the operator allows it in [webhooks] allow_networks",
            )
        return parts

    def allows(self, address: Address) -> bool:
        """Whether anything may be sent to the address."""
        if any(address.version == network.version and address in network for network in self.networks):
            return True
        return all(_is_public(one) for one in _meant(address))


def as_address(host: str) -> Address | None:
    """The address that a host literally is, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as the operator writes them. Raises ValueError for anything else."""
    return tuple(ip_network(text) for text in texts)


def _meant(address: Address) -> Sequence[Address]:
    """The address itself, and the IPv4 addresses that it stands for."""
    if isinstance(address, IPv4Address):
        return (address,)
    inner: list[Address] = [address]
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner += address.teredo
    if any(address in network for network in _NAT64) or int(address) >> 32 == 0:
        inner.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return inner


def _is_public(address: Address) -> bool:
    """Whether it is an address of one machine in the public network."""
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return isinstance(address, IPv6Address) and address in _NAT64[0]
    return not (isinstance(address, IPv6Address) and address.is_site_local)


def _refused(zh: str, en: str) -> WebhookUrlRefused:
    return WebhookUrlRefused(reason_zh=zh, reason_en=en)


class CheckedResolver(AbstractResolver):
    """Resolves names for one HTTP client, which then connects to one of these addresses."""

    def __init__(self, policy: PlacePolicy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of a name.

        Raises:
            AddressRefused: one of them is not allowed. A name that also has a private address is not half trusted.
            OSError: the name is not known.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        results: list[ResolveResult] = []
        for kind, _, protocol, _, place in found[:ADDRESSES_MAX]:
            address = as_address(str(place[0]))
            if address is None or not self._policy.allows(address):
                raise AddressRefused(host)
            results.append(
                ResolveResult(
                    hostname=host, host=str(address), port=port, family=kind, proto=protocol, flags=_NUMERIC
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
