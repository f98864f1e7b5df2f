"""Plans about the chain itself: status, blocks, accounts, events, receipts."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

from zhenglian import exchange
from zhenglian.api import AccountView, BlockView, CertificateTypeView, NodeStatus, Page, PurposeView, Session
from zhenglian.api_keys import SharedKeysView
from zhenglian.errors import UnexpectedAnswer
from zhenglian.exchange import Answer, Core, Plan, Request, decode, get

PAGES_MAX: Final = 200


def query(**parameters: str | int | None) -> str:
    """A query string of what is given; empty when nothing is."""
    given = {name: value for name, value in parameters.items() if value not in {None, ""}}
    return "?" + urlencode(given) if given else ""


def status(core: Core, *, base: str | None = None) -> Plan[NodeStatus]:
    """How the node (at `base`, or the first that answers) and its network are."""
    return (yield from get(core, "/v1/status", NodeStatus, base=base))


def shared_keys(core: Core, *, base: str | None = None) -> Plan[SharedKeysView]:
    """Keys that the operators hold together, as the node (at `base`, or the first that answers) has them."""
    return (yield from get(core, "/v1/shared-keys", SharedKeysView, base=base))


def trust(core: Core) -> Plan[str]:
    """What a verifier needs, as a file. Compare it once with another source, then keep it."""
    answer = yield from exchange.exchange(core, Request(method="GET", path="/v1/trust"))
    return text(answer)


def epochs(core: Core) -> Plan[str]:
    """How the validator set changed over time, as a file; whoever gave it, the trust point proves it."""
    answer = yield from exchange.exchange(core, Request(method="GET", path="/v1/epochs"))
    return text(answer)


def login(core: Core) -> Plan[Session]:
    """Open a session now. Every operation that needs one does this by itself."""
    yield from exchange.network(core)
    return (yield from exchange.login(core))


def logout(core: Core) -> Plan[None]:
    """End the session at every node that has one."""
    for base in tuple(core.sessions):
        yield from exchange.exchange(
            core, Request(method="DELETE", path="/v1/sessions", session=True, base=base)
        )
        core.sessions.pop(base, None)


def blocks(core: Core, *, cursor: str = "", limit: int = 20) -> Plan[list[BlockView]]:
    """Blocks, newest first; `cursor` is the height below which to go on."""
    return (yield from get(core, "/v1/blocks" + query(cursor=cursor, limit=limit), list[BlockView]))


def block(core: Core, height: int) -> Plan[BlockView]:
    """The block at `height`. Raises ApiError (not_found) above the head."""
    return (yield from get(core, f"/v1/blocks/{height}", BlockView))


def account(core: Core, account_id: str) -> Plan[AccountView]:
    """An account. People's only for themselves, operators, auditors and departments."""
    return (yield from get(core, f"/v1/accounts/{account_id}", AccountView, session=core.key is not None))


def organizations(core: Core, *, kind: str = "") -> Plan[list[AccountView]]:
    """All organisations, or those of one kind (operator, department, enterprise, auditor)."""
    return (
        yield from pages(
            core, "/v1/organizations", list[AccountView], session=False, query_text=query(kind=kind)
        )
    )


def certificate_types(core: Core) -> Plan[list[CertificateTypeView]]:
    """The catalogue of certificate types in force."""
    return (yield from pages(core, "/v1/certificate-types", list[CertificateTypeView], session=False))


def certificate_type(core: Core, code: str) -> Plan[CertificateTypeView]:
    """One certificate type."""
    return (yield from get(core, f"/v1/certificate-types/{quote(code, safe='')}", CertificateTypeView))


def purposes(core: Core) -> Plan[list[PurposeView]]:
    """What may be asked for, and at most how much, by purpose."""
    return (yield from pages(core, "/v1/purposes", list[PurposeView], session=False))


def events(core: Core, *, subject: str = "", kind: str = "", cursor: str = "", limit: int = 50) -> Plan[Page]:
    """Events about `subject` (account, certificate, grant or release), by kind prefix."""
    path = "/v1/events" + query(subject=subject, kind=kind, cursor=cursor, limit=limit)
    return (yield from get(core, path, Page, session=True))


def receipt(core: Core, transaction_id: str) -> Plan[str]:
    """The offline-verifiable proof, as the file that `zhenglian.verify` reads; for whom the transaction concerns."""
    path = f"/v1/transactions/{transaction_id}/receipt"
    answer = yield from exchange.exchange(
        core, Request(method="GET", path=path, session=core.key is not None)
    )
    return text(answer)


def pages(
    core: Core, path: str, kind: type[list[exchange.T]], *, session: bool, query_text: str = ""
) -> Plan[list[exchange.T]]:
    """Everything behind a paged list: follows `Link: rel="next"`, at most PAGES_MAX pages."""
    items: list[exchange.T] = []
    following: str = path + query_text
    for _ in range(PAGES_MAX):
        answer = yield from exchange.exchange(core, Request(method="GET", path=following, session=session))
        items.extend(decode(answer, kind))
        following = _next_path(answer)
        if not following:
            break
    return items


def _next_path(answer: Answer) -> str:
    """The path of `Link: <…>; rel="next"` (RFC 8288), empty at the end; never at another host."""
    for link in answer.headers.get("link", "").split(","):
        target, _, parameters = link.strip().partition(";")
        if 'rel="next"' not in parameters.replace("rel=next", 'rel="next"'):
            continue
        url = target.strip().removeprefix("<").removesuffix(">")
        path = url.removeprefix(answer.base)
        if not path.startswith("/v1/"):
            raise UnexpectedAnswer(url=answer.url, reason="the next page lies outside the API")
        return path
    return ""


def text(answer: Answer) -> str:
    """The body as it came: proofs are compared letter by letter."""
    try:
        return answer.body.decode()
    except UnicodeDecodeError as error:
        raise UnexpectedAnswer(url=answer.url, reason=str(error)) from None
