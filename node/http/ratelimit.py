"""Token buckets: how often one account or one address may use a class of routes.

Rule: a refusal says when to come back, and the memory that callers can make us use is bounded.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from node.http.config import Rate, RateClass
from node.http.errors import RateLimited

IPV6_PREFIX_BITS: Final = 64


def address_of(remote: str | None) -> str:
    """What stands for a network address: an IPv6 caller commands a whole /64, so that counts as one."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_PREFIX_BITS), strict=False))
    return str(address)


class RateLimits:
    """The buckets of one node.

    Args:
        rates: the bucket of each class.
        buckets_max: above it the bucket that was used longest ago is forgotten, which is the fullest as well.
        clock_s: monotonic clock, in seconds.
    """

    def __init__(
        self, rates: Mapping[RateClass, Rate], buckets_max: int, clock_s: Callable[[], float]
    ) -> None:
        self._rates = rates
        self._buckets_max = buckets_max
        self._clock_s = clock_s
        self._buckets: OrderedDict[tuple[RateClass, str], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, kind: RateClass, who: str) -> None:
        """Take one token.

        Raises:
            RateLimited: there is none; says in how many seconds there will be.
        """
        rate = self._rates[kind]
        now_s = self._clock_s()
        tokens, since_s = self._buckets.pop((kind, who), (float(rate.burst), now_s))
        tokens = min(float(rate.burst), tokens + (now_s - since_s) * rate.per_s)
        allowed = tokens >= 1.0
        self._buckets[kind, who] = (tokens - 1.0 if allowed else tokens, now_s)
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        if not allowed:
            raise RateLimited(retry_after_s=max(1, math.ceil((1.0 - tokens) / rate.per_s)))
