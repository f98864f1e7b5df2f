"""One attempt to deliver a webhook, over HTTP.

Rule: whatever the other side does, an attempt ends within its time and reads a bounded answer; redirects are not followed, proxies
of the environment are not used, nothing of the answer's body is kept.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from node.services.webhook_places import AddressRefused, CheckedResolver, PlacePolicy
from node.services.webhook_records import WebhookUrlRefused

TIMEOUT_S: Final = 15.0
CONNECT_TIMEOUT_S: Final = 5.0
# So much of an answer is read, so that the other side sees its request through.
ANSWER_READ_BYTES_MAX: Final = 4096
HEADER_SIZE_BYTES_MAX: Final = 8190
RETRY_AFTER_S_MAX: Final = 24 * 3600
CONNECTIONS_MAX: Final = 32
USER_AGENT: Final = "zhenglian-webhooks/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt came to.

    Attributes:
        status: of the answer; 0 where none came.
        error: stable code; empty for a success.
        retry_after_s: what the other side asks for; 0 where it does not.
    """

    status: int = 0
    error: str = ""
    retry_after_s: int = 0

    @property
    def through(self) -> bool:
        return not self.error


class Sender:
    """Sends to places that the policy allows. To be made inside a running event loop.

    Args:
        policy: where to.
        ca_file: further certificate authorities, PEM.
        timeout_s: for one attempt, seconds.
    """

    def __init__(
        self, policy: PlacePolicy, *, ca_file: Path | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._policy = policy
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(cafile=str(ca_file))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=CheckedResolver(policy),
                use_dns_cache=False,
                force_close=True,
                limit=CONNECTIONS_MAX,
                ssl=context,
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=HEADER_SIZE_BYTES_MAX,
            max_field_size=HEADER_SIZE_BYTES_MAX,
        )

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """Send once."""
        try:
            # A literal address never reaches the resolver, and what is allowed may have changed since the webhook was made.
            self._policy.check_url(url)
            async with self._session.post(
                url,
                data=body,
                headers={**headers, "Content-Type": "application/json", "User-Agent": USER_AGENT},
                allow_redirects=False,
            ) as response:
                await response.content.read(ANSWER_READ_BYTES_MAX)
                return _judged(response.status, response.headers.get("Retry-After", ""))
        except WebhookUrlRefused:
            return Outcome(error="url_refused")
        except AddressRefused:
            return Outcome(error="address_refused")
        except TimeoutError:
            return Outcome(error="timeout")
        except aiohttp.ClientConnectorDNSError:
            return Outcome(error="name_unknown")
        except aiohttp.ClientSSLError:
            return Outcome(error="tls_failed")
        except aiohttp.ClientConnectorError:
            return Outcome(error="not_connected")
        except (aiohttp.ClientError, OSError, ValueError):
            return Outcome(error="broken_answer")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _judged(status: int, retry_after: str) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status=status)
    waits = (
        int(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8 else 0
    )
    match status:
        case 410:
            error = "gone"
        case _ if 300 <= status < 400:
            error = "redirected"
        case _:
            error = "refused"
    return Outcome(status=status, error=error, retry_after_s=min(waits, RETRY_AFTER_S_MAX))
