"""Requests, retries, failover and sessions, without any input or output of their own.

Rule: whatever the SDK does is a *plan*: a generator that yields what it wants done (`Send`, `Pause`,
`Keep`, `Work`) and receives the outcome. `zhenglian.client` has the only two drivers, one for threads and one
for asyncio; they decide nothing.

A request is retried on a connection error and on 429 and 503, honouring Retry-After, at the next node
of the list where any will do. What is sent again is byte for byte what was sent before: a transaction
keeps its nonce, a POST keeps its idempotency key, so nothing is ever carried out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ledger import domains
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.group import Group
from ledger.crypto.threshold.shares import Holders
from ledger.decoders import decode_json
from ledger.types import Trust
from zhenglian.api import (
    WAIT_S_MAX,
    Challenge,
    ChallengeRequest,
    NetworkView,
    Session,
    SessionRequest,
)
from zhenglian.errors import ApiError, KeyNeeded, NotReachable, UnexpectedAnswer, WrongNetwork, problem_from
from zhenglian.keyfile import KeyFile

T = TypeVar("T")

# A node may hear of a finalized account or key a moment after the node that answered first; it is asked again.
NOT_HEARD_YET: Final = frozenset({"unknown_account", "unknown_key", "login_refused"})
HEARD_SOON_S: Final = (0.1, 0.3, 0.6)
ANSWER_SIZE_BYTES_MAX: Final = 32 * 1024 * 1024
RETRY_AFTER_S_MAX: Final = 30
SESSION_RENEWAL_MS: Final = 30_000
TRANSACTION_LIFETIME_MS: Final = 300_000
ERROR_BODY_SIZE_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of the API, before it is known which node answers it.

    Attributes:
        method, path: as in the API; `path` begins with "/v1" and carries its query.
        body: JSON bytes, or empty.
        headers: beyond those that every request has.
        session: whether it needs a session.
        base: the one node that can answer, or None for any of the list.
        wait_s: how long the node may take before it answers, 0 to 60 s.
    """

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    session: bool = False
    base: str | None = None
    wait_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Wanted: send this to this URL; outcome `Answer | Unreached`."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wanted: wait."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Wanted: write this file, whole or not at all."""

    path: Path
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Wanted: do this, which waits for a disk or a child process; what it gives, it keeps itself."""

    run: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a node said. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """No (whole) answer came."""

    reason: str


Outcome = Answer | Unreached | None
Wanted = Send | Pause | Keep | Work
Plan = Generator[Wanted, Outcome, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to try.

    Attributes:
        attempts_max: tries per request, over all nodes together.
        pause_s, pause_s_max: the back-off doubles from the first to the second.
        timeout_s: time for one answer, beyond what the request asked the node to wait.
    """

    attempts_max: int = 8
    pause_s: float = 0.2
    pause_s_max: float = 5.0
    timeout_s: float = 20.0


@dataclass(slots=True)
class Core:
    """What all plans of one client share.

    Attributes:
        bases: URLs of the nodes, without a final slash, tried in turn.
        key: who acts, or None for what is public.
        language: "zh" or "en", for the node's messages.
        policy: retries.
        clock_ms: wall clock.
        random_bytes: cryptographic randomness.
        preferred: index of the node that is asked first.
        sessions, operators: open session, and operator account, by URL.
        network: what the network said it is.
        trust: the validators that receipts are held against; when None, those that the first node names.
        directory_keys: proven public halves of the directory key, by version and renewal.
    """

    bases: tuple[str, ...]
    key: KeyFile | None
    language: str
    policy: RetryPolicy
    clock_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    preferred: int = 0
    sessions: dict[str, Session] = field(default_factory=dict)
    network: NetworkView | None = None
    trust: Trust | None = None
    operators: dict[str, str] = field(default_factory=dict)
    directory_keys: dict[tuple[int, int], tuple[Group, Holders]] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return self.bases[self.preferred % len(self.bases)]

    def signer(self) -> KeyFile:
        """The key. Raises KeyNeeded when there is none."""
        if self.key is None:
            raise KeyNeeded
        return self.key


def exchange(core: Core, request: Request) -> Plan[Answer]:
    """Send `request` until it is answered with a success.

    Raises:
        ApiError: the node refused it.
        NotReachable: nobody answered within the policy's attempts.
        UnexpectedAnswer: an answer that is no problem document where one was due.
    """
    policy = core.policy
    renewed = False
    behind = 0
    reason = "no attempt was made"
    for attempt in range(policy.attempts_max):
        base = request.base or core.base
        outcome = yield from _once(core, request, base)
        if isinstance(outcome, Unreached):
            reason = outcome.reason
            _turn_away(core, request)
            if attempt + 1 < policy.attempts_max:
                yield Pause(seconds=backoff_s(policy, attempt, 1 if request.base else len(core.bases)))
            continue
        if outcome.status < 400:
            return replace(outcome, base=base)
        if outcome.status == 401 and request.session and not renewed:
            renewed = True
            core.sessions.pop(base, None)
            continue
        problem = problem_from(outcome.status, outcome.body[:ERROR_BODY_SIZE_BYTES_MAX], outcome.url)
        if isinstance(problem, ApiError) and problem.code in NOT_HEARD_YET and behind < len(HEARD_SOON_S):
            yield Pause(seconds=HEARD_SOON_S[behind])
            behind += 1
            continue
        if outcome.status not in {429, 503} or attempt + 1 == policy.attempts_max:
            raise problem
        if outcome.status == 503:
            _turn_away(core, request)
        yield Pause(seconds=_retry_after_s(outcome, backoff_s(policy, attempt, len(core.bases))))
    raise NotReachable(nodes=request.base or ", ".join(core.bases), reason=reason)


def _turn_away(core: Core, request: Request) -> None:
    """Ask the next node from now on, unless the request is for one node only."""
    if request.base is None:
        core.preferred += 1


def _once(core: Core, request: Request, base: str) -> Plan[Answer | Unreached]:
    headers = {"accept": "application/json", "accept-language": core.language}
    headers.update(request.headers)
    if request.body:
        headers["content-type"] = "application/json"
    if request.wait_s:
        headers["prefer"] = f"wait={min(request.wait_s, WAIT_S_MAX)}"
    if request.session:
        session = yield from session_at(core, base)
        if not isinstance(session, Session):
            return session
        headers["authorization"] = f"Bearer {session.token}"
    return (
        yield from send(
            core,
            request.method,
            base + request.path,
            headers,
            request.body,
            core.policy.timeout_s + request.wait_s,
        )
    )


def send(
    core: Core, method: str, url: str, headers: dict[str, str], body: bytes, timeout_s: float
) -> Plan[Answer | Unreached]:
    """One attempt, without judgement of what comes back."""
    outcome = yield Send(method=method, url=url, headers=headers, body=body, timeout_s=timeout_s)
    assert outcome is not None  # noqa: S101  # the driver's promise, for the type checker
    return outcome


def session_at(core: Core, base: str) -> Plan[Session | Answer | Unreached]:
    """The session at this node: cached, or opened by signing the node's challenge."""
    cached = core.sessions.get(base)
    if cached and cached.expires.timestamp() * 1000 - SESSION_RENEWAL_MS > core.clock_ms():
        return cached
    key = core.signer()
    asked = yield from _post(
        core, base + "/v1/sessions/challenges", ChallengeRequest(account=key.account, key_id=key.key_id)
    )
    if isinstance(asked, Unreached) or asked.status >= 400:
        return asked
    challenge = decode(asked, Challenge)
    # A challenge names the network and the key that it is for; nothing else is ever signed under this domain.
    ours = (yield from network(core)).chain_id
    if not challenge.challenge.startswith(ours) or key.account + key.key_id not in challenge.challenge:
        raise UnexpectedAnswer(url=base, reason="its challenge is for another network or key")
    signature = key.signer().sign(domains.SESSION, bytes.fromhex(challenge.challenge))
    answered = yield from _post(
        core,
        base + "/v1/sessions",
        SessionRequest(
            account=key.account, key_id=key.key_id, challenge=challenge.challenge, signature=signature.hex()
        ),
    )
    if isinstance(answered, Unreached) or answered.status >= 400:
        return answered
    session = decode(answered, Session)
    core.sessions[base] = session
    return session


def login(core: Core) -> Plan[Session]:
    """A session at the preferred node, opened if there is none.

    Raises:
        ApiError: key unknown, revoked or expired, account suspended.
        NotReachable: nobody answered.
    """
    core.signer()
    answer = yield from exchange(core, Request(method="GET", path="/v1/status", session=True))
    return core.sessions[answer.base]


def _post(core: Core, url: str, body: Any) -> Plan[Answer | Unreached]:
    headers = {
        "accept": "application/json",
        "accept-language": core.language,
        "content-type": "application/json",
    }
    return (yield from send(core, "POST", url, headers, msgspec.json.encode(body), core.policy.timeout_s))


def backoff_s(policy: RetryPolicy, attempt: int, nodes: int) -> float:
    """The first round over the nodes is immediate; each further one waits twice as long as the one before."""
    if attempt + 1 < nodes:
        return 0.0
    return min(policy.pause_s * 2.0 ** (attempt // max(nodes, 1)), policy.pause_s_max)


def _retry_after_s(answer: Answer, otherwise: float) -> float:
    text = answer.headers.get("retry-after", "")
    return float(min(int(text), RETRY_AFTER_S_MAX)) if text.isascii() and text.isdigit() else otherwise


def decode(answer: Answer, kind: type[T]) -> T:
    """The typed contents of an answer. Raises UnexpectedAnswer when they are not what the API promises."""
    try:
        return decode_json(answer.body, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(url=answer.url, reason=str(error)) from None


def get(core: Core, path: str, kind: type[T], *, session: bool = False, base: str | None = None) -> Plan[T]:
    """GET `path` and decode what comes."""
    answer = yield from exchange(core, Request(method="GET", path=path, session=session, base=base))
    return decode(answer, kind)


def network(core: Core) -> Plan[NetworkView]:
    """The network's view of itself, asked once; it fixes suite and chain id for everything that is signed.

    Raises:
        WrongNetwork: the key is bound to another network.
    """
    if core.network is None:
        view = yield from get(core, "/v1/network", NetworkView)
        if core.key and core.key.network and core.key.network != view.chain_id:
            raise WrongNetwork(expected=core.key.network, actual=view.chain_id)
        core.network = view
    return core.network


def suite(core: Core) -> Plan[CryptoSuite]:
    """The network's crypto suite. Raises UnknownSuite."""
    view = yield from network(core)
    return load_suite(view.suite)
