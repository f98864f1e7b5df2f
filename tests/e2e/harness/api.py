"""One HTTP request at a time to one node: the clients of the fault tests retry, fail over and give up themselves.

Rule: an answer is returned, silence is `Silent`; nothing is retried here, so that the history says exactly what was asked
and told.
"""

from __future__ import annotations

from typing import Final, Self, TypeVar

import httpx
import msgspec

from tests.e2e.harness.history import Fate
from zhenglian.api import AccountView, BlockView, NetworkView, NodeStatus, TransactionView
from zhenglian.api_network import NodeView
from zhenglian.plans.transactions import Signed

T = TypeVar("T")
ANSWER_TIMEOUT_S: Final = 3.0


class Silent(Exception):
    """No answer came, or one that says "not now" (429, 503)."""


class Told(msgspec.Struct, frozen=True):
    """What a node said of a transaction."""

    fate: Fate
    height: int = -1
    code: str = ""


class Api:
    """A node's API; close it, or use it as a context manager. For one thread."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, verify=False, trust_env=False, timeout=ANSWER_TIMEOUT_S)  # noqa: S501

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def status(self) -> NodeStatus:
        return self._get("/v1/status", NodeStatus)

    def network(self) -> NetworkView:
        return self._get("/v1/network", NetworkView)

    def nodes(self) -> list[NodeView]:
        """Every node that the ledger names."""
        return self._get("/v1/nodes", list[NodeView])

    def block(self, height: int) -> BlockView:
        return self._get(f"/v1/blocks/{height}", BlockView)

    def labels(self, account: str) -> tuple[str, ...]:
        """The labels of an account's keys, in order; empty when the node does not know the account."""
        answer = self._ask("GET", f"/v1/accounts/{account}")
        if answer.status_code == 404:
            return ()
        return tuple(key.label for key in _decoded(answer, AccountView).keys)

    def metrics(self) -> str:
        return self._ask("GET", "/metrics").text

    def submit(self, signed: Signed, wait_s: int) -> Told:
        """Hand a transaction in, and wait for so long that it is final."""
        headers = {"content-type": "application/json"} | ({"prefer": f"wait={wait_s}"} if wait_s else {})
        return _judged(self._ask("POST", "/v1/transactions", signed.body(), headers, wait_s))

    def transaction(self, transaction_id: str) -> Told:
        """Ask how a transaction stands."""
        return _judged(self._ask("GET", f"/v1/transactions/{transaction_id}"))

    def _get(self, path: str, kind: type[T]) -> T:
        return _decoded(self._ask("GET", path), kind)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        wait_s: int = 0,
    ) -> httpx.Response:
        try:
            answer = self._http.request(
                method, path, content=body or None, headers=headers, timeout=ANSWER_TIMEOUT_S + wait_s
            )
        except httpx.HTTPError as error:
            raise Silent(f"{type(error).__name__}: {error}") from None
        if answer.status_code in {429, 500, 502, 503}:
            raise Silent(f"{answer.status_code}: {answer.text[:200]}")
        return answer


def _decoded(answer: httpx.Response, kind: type[T]) -> T:
    if answer.status_code != 200:
        raise Silent(f"{answer.status_code}: {answer.text[:200]}")
    return msgspec.json.decode(answer.content, type=kind)


def _judged(answer: httpx.Response) -> Told:
    if answer.status_code == 404:
        return Told(Fate.UNKNOWN)
    if answer.status_code >= 400:
        code = msgspec.json.decode(answer.content, type=dict[str, object]).get("code", "")
        return Told(Fate.REJECTED, code=str(code))
    view = msgspec.json.decode(answer.content, type=TransactionView)
    match view.status:
        case "pending":
            return Told(Fate.ACCEPTED)
        case "expired":
            return Told(Fate.EXPIRED)
        case "finalized":
            assert view.height is not None
            assert view.result is not None
            return Told(Fate.FINALIZED, view.height, view.result.code)
