"""Attacks at the HTTP doors: replay, roles, sessions, injection, guessing."""

from __future__ import annotations

import secrets
from typing import Final

import httpx
import msgspec

from contracts.calls import GrantsApprove, ReleasesRequest
from contracts.records import OutputFormat
from ledger import codec
from ledger.types import Transaction
from tests.attacks.scene import Scene, token_of
from tests.attacks.table import attack, must
from tests.e2e.cities import IDENTITY
from zhenglian import Client, Denied
from zhenglian.plans.transactions import Signed, sign

GUESSES: Final = 400
HOSTILE_PATHS: Final = (
    "/v1/certificates/../../config.toml",
    "/v1/certificates/..%2f..%2fconfig.toml",
    "/v1/certificates/%2e%2e/%2e%2e/keys/node.key",
    "/..%5c..%5ckeys",
    "/v1//certificates",
    "/v1/certificates/%00",
    "/v1/certificates/" + "a" * 8000,
    "/v1/certificates/{certificate}",
    "/v1/releases/0000000000000000/files/-1",
    "/v1/releases/0000000000000000/files/99999999999999999999",
    "/v1/blocks/-1",
    "/v1/blocks/1e3",
    "/v1/blocks/٣",
    "/v1/state/zz",
    "/v1/events?cursor=' OR 1=1 --",
    "/v1/certificates?holder=' OR 1=1 --",
    "/v1/certificates?type=%0d%0aSet-Cookie:x=1",
    "/%0d%0aSet-Cookie:%20x=1",
    "/docs/../../../etc/passwd",
)
HOSTILE_HEADERS: Final = (
    {"x-forwarded-for": "127.0.0.1", "x-original-url": "/metrics", "x-http-method-override": "DELETE"},
    {"idempotency-key": "a" * 129},
    {"idempotency-key": "key\x7f"},
    {"authorization": "Bearer " + "A" * 900},
    {"authorization": "Basic YWRtaW46YWRtaW4="},
    {"accept-language": "zh;q=" + "9" * 500},
    {"prefer": "wait=99999999999999999999"},
    {"prefer": "wait=-1"},
    {"range": "bytes=0-" + "9" * 400},
    {"if-match": '"' * 500},
    {"last-event-id": "../../x"},
    {"host": "evil.example\t"},
    {"content-length": "-1"},
    {"transfer-encoding": "chunked, identity"},
)


def _signed(client: Client, args: object) -> Signed:
    """A transaction that the client signs and does not send."""
    return client.run(sign(client.core, args))  # type: ignore[arg-type]


def _send(http: httpx.Client, signed: Signed) -> httpx.Response:
    return http.post(
        "/v1/transactions",
        content=signed.body(),
        headers={"content-type": "application/json", "prefer": "wait=30"},
    )


@attack(
    "replayed request",
    attacker="copied a bank's signed release request off the wire",
    expected="one release and one use, whoever sends it again, to whichever node",
    quick=True,
)
def replayed_request(scene: Scene) -> str:
    bank, holder = scene.city.banks[0].client, scene.holder()
    grant = holder.granted(bank, uses_max=5)
    performer = bytes.fromhex(scene.devnet.status(1).account)  # type: ignore[union-attr]
    asked = _signed(
        bank,
        ReleasesRequest(
            grant_id=bytes.fromhex(grant),
            outputs=(holder.output(IDENTITY, OutputFormat.JSON, "name"),),
            released_by=performer,
        ),
    )
    answers: list[int] = []
    for _ in range(3):
        for n in scene.devnet.numbers:
            with scene.http(n) as http:
                answers.append(_send(http, asked).status_code)
    must(all(status < 500 for status in answers), f"a node answered {max(answers)}")
    left = holder.client.grant(grant).uses_left
    must(left == 4, f"{5 - left} uses are gone")
    releases = [view for view in bank.releases() if view.grant_id == grant]
    must(len(releases) == 1, f"{len(releases)} releases")
    body = codec.decode(asked.data, Transaction, size_bytes_max=65536)
    other = msgspec.structs.replace(
        body, body=msgspec.structs.replace(body.body, nonce=secrets.token_bytes(16))
    )
    with scene.http(2) as http:
        forged = _send(http, Signed(transaction_id=bytes(32), data=codec.encode(other)))
    must(
        forged.status_code in {400, 401, 403}, f"another nonce under the old signature: {forged.status_code}"
    )
    return f"{len(answers)} sendings, 1 release, 1 use; another nonce: {forged.status_code}"


@attack(
    "over-ask",
    attacker="a bank's officer",
    expected="a request beyond the purpose's template and a release beyond the grant are denied, naming the cap",
    quick=True,
)
def over_ask(scene: Scene) -> str:
    bank, holder = scene.city.banks[0].client, scene.holder()
    grant = holder.granted(bank)
    denied: list[str] = []
    wanted = holder.output(IDENTITY, OutputFormat.JSON, "name", "identity_number")
    try:
        bank.request_release(grant, [wanted])
        must(False, "a field outside the grant was released")
    except Denied as refusal:
        denied.append(refusal.code)
    try:
        holder.granted(bank, uses_max=11)
        must(False, "more uses than the template allows were granted")
    except Denied as refusal:
        denied.append(refusal.code)
    must(denied == ["field_not_granted", "over_ask"], f"denied as {denied}")
    return f"denied: {', '.join(denied)}"


@attack(
    "role confusion",
    attacker="everybody, with a key of the wrong role",
    expected="every call by a wrong kind of account or role is denied, and every route of another's is closed",
    quick=True,
)
def role_confusion(scene: Scene) -> str:
    bank, holder, police = scene.city.banks[0], scene.holder(), scene.city.police
    grant = bank.client.request_grant(
        person=holder.account,
        purpose="loan",
        items=holder.asked(),
        uses_max=1,
        consent_expiry_ms=scene.in_days(1),
    )
    codes: list[str] = []
    approve = GrantsApprove(
        grant_id=bytes.fromhex(grant), items=holder.asked(), uses_max=1, consent_expiry_ms=scene.in_days(1)
    )
    for who in (bank.client, police.client, scene.city.auditor.client, scene.holder().client):
        try:
            who.submit(approve)
            must(False, "somebody else approved a person's grant")
        except Denied as refusal:
            codes.append(refusal.code)
    stranger = scene.holder().client
    closed = 0
    token = token_of(stranger)
    with scene.http(1, token) as http:
        for path in (
            f"/v1/certificates/{holder.certificates[IDENTITY]}",
            f"/v1/certificates?holder={holder.account}",
            f"/v1/grants/{grant}",
        ):
            answer = http.get(path)
            open_list = answer.status_code == 200 and answer.json() == []
            must(answer.status_code in {401, 403, 404} or open_list, f"{path}: {answer.status_code}")
            closed += 1
        # Figures are for everybody (`node/http/routes/system.py`); nobody but operators may be told from them.
        figures = http.get("/metrics").text
        must(holder.account not in figures and grant not in figures, "figures name a person or a grant")
    return f"{len(codes)} calls denied ({', '.join(sorted(set(codes)))}), {closed} routes closed"


@attack(
    "expired session",
    attacker="has the session token of an officer whose key was revoked since",
    expected="401 at once, at every node; a token of one node is none at another",
    quick=True,
)
def expired_session(scene: Scene) -> str:
    officer = scene.officer(scene.city.banks[1])
    token = token_of(officer)
    node = next(n for n, url in enumerate(scene.devnet.urls, 1) if url in officer.core.sessions)
    with scene.http(node, token) as http:
        must(http.get("/v1/releases").status_code == 200, "the token never worked")
        other = scene.devnet.numbers[node % len(scene.devnet.numbers)]
        with scene.http(other, token) as elsewhere:
            must(elsewhere.get("/v1/releases").status_code == 401, "a token is good at another node")
        scene.revoke(scene.city.banks[1], officer)
        scene.settled()
        after = http.get("/v1/releases").status_code
    must(after == 401, f"the token of a revoked key still works: {after}")
    return "401 elsewhere, 401 after revocation"


@attack(
    "path and header injection",
    attacker="anybody with HTTP",
    expected="an error or the ordinary answer, no file's content, no header of the attacker's, never 5xx",
    quick=True,
)
def injection(scene: Scene) -> str:
    seen: dict[int, int] = {}
    token = token_of(scene.city.auditor.client)
    for n, headers in enumerate(({}, {"authorization": f"Bearer {token}"})):
        for path in HOSTILE_PATHS:
            status, text = scene.raw(f"GET {path} HTTP/1.1", {"host": "localhost", **headers})
            _judge(path, status, text)
            seen[status] = seen.get(status, 0) + 1
        for hostile in HOSTILE_HEADERS:
            status, text = scene.raw("GET /v1/grants HTTP/1.1", {"host": "localhost", **headers, **hostile})
            _judge(str(hostile), status, text)
            seen[status] = seen.get(status, 0) + 1
        assert n < 2
    return ", ".join(f"{count} × {status}" for status, count in sorted(seen.items()))


def _judge(what: str, status: int, text: str) -> None:
    head = text.partition("\r\n\r\n")[0].lower()
    must(status < 500, f"{what[:80]}: {status}")
    must("set-cookie: x" not in head, f"{what[:80]} put a header into the answer")
    must("root:" not in text and "[node]" not in text, f"{what[:80]} showed a file")


@attack(
    "enumeration of pseudonyms",
    attacker="a citizen who guesses ids",
    expected="nothing found in random guesses of 128 bits; one answer for what is not there and what is not theirs",
)
def pseudonyms(scene: Scene) -> str:
    victim, stranger = scene.holder(), scene.holder().client
    token = token_of(stranger)
    answers: dict[int, int] = {}
    with scene.http(1, token) as http:
        theirs = http.get(f"/v1/grants/{victim.granted(scene.city.banks[0].client)}")
        nobody = http.get(f"/v1/grants/{secrets.token_hex(16)}")
        for _ in range(GUESSES):
            answer = http.get(f"/v1/accounts/{secrets.token_hex(16)}")
            answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
        own = http.get(f"/v1/accounts/{victim.account}")
    must(200 not in answers, "a random guess found an account")
    must(
        own.status_code in {403, 404} or "name" not in own.text or own.json().get("name") == "",
        "a name is told",
    )
    told = ", ".join(sorted(f"{count} × {status}" for status, count in answers.items()))
    missed = []
    if theirs.status_code != nobody.status_code:
        missed.append(f"another's grant is told from no grant: {theirs.status_code}, {nobody.status_code}")
    must(not missed, f"{'; '.join(missed)} (guesses: {told})")
    return f"guesses: {told}; another's grant and no grant: {nobody.status_code}"
