"""Who may use which route, and who may see which object: from the table itself, over real HTTP."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.records import AccountKind, GrantState, KeyRole
from node.http.access import Access, RouteTableInvalid, check_table, opens, require
from node.http.errors import SessionRequired, WrongRole
from node.http.routes import ROUTES
from node.http.routing import Idempotency, Route
from node.services.ports import Caller
from tests.unit import http_world as w

PATH_VALUES = {
    "webhook": "00" * 16,
    "account": w.BANK.account.hex(),
    "certificate": w.CERTIFICATE_ID.hex(),
    "grant": w.GRANT_ID.hex(),
    "release": w.RELEASE_ID.hex(),
    "trace": w.TRACE_ID.hex(),
    "proposal": w.PROPOSAL_ID.hex(),
    "transaction": "00" * 32,
    "height": "1",
    "file": "0",
    "code": "loan",
    "state_key": "6c",
    "region": "00" * 32,
    "recognition": "00" * 16,
    "job": "00" * 16,
    "key": "00" * 16,
    "ticket": "00" * 16,
    "mandate": "00" * 16,
    "version": "1",
    "count": "00" * 16,
}
EVERYBODY = [
    Caller(account=b"a" * 16, key_id=b"k" * 16, kind=kind, role=role)
    for kind, role in itertools.product(AccountKind, KeyRole)
]


def filled(route: Route) -> str:
    return route.path.format(**PATH_VALUES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_lets_exactly_its_kinds_and_roles_pass(route: Route) -> None:
    for caller in EVERYBODY:
        listed = caller.kind in route.access.kinds and caller.role in route.access.roles
        if route.access.public or listed:
            require(route.access, caller)
        else:
            with pytest.raises(WrongRole):
                require(route.access, caller)
    if route.access.public:
        require(route.access, None)
    else:
        with pytest.raises(SessionRequired):
            require(route.access, None)


async def test_every_closed_route_answers_401_without_and_403_with_the_wrong_session(tmp_path: Path) -> None:
    closed = [route for route in ROUTES if not route.access.public]
    assert closed
    async with w.served(tmp_path) as world:
        sessions = {actor: world.log_in(actor) for actor in w.ACTORS}
        for route in closed:
            anonymous = await world.request(route.method, filled(route))
            assert anonymous.status == 401, route.path
            assert anonymous.headers["WWW-Authenticate"].startswith("Bearer")
            for actor, headers in sessions.items():
                if actor.kind in route.access.kinds and actor.role in route.access.roles:
                    continue
                refused = await world.request(route.method, filled(route), headers=headers)
                assert refused.status == 403, (route.path, actor.name)
                problem = await refused.json()
                assert problem["code"] == "route_not_allowed"
                assert problem["fields"] == {"kind": actor.kind.value, "role": actor.role.value}
        assert not world.deposits.seen


async def test_a_refusal_comes_before_the_body_is_looked_at(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        refused = await world.request("POST", "/v1/deposits/drafts", actor=w.AUDITOR, data=b"{not json")
        assert refused.status == 403


async def test_a_bad_token_is_refused_on_public_routes_too(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for value in ("Bearer nonsense", "Bearer ", "Basic abc", "Bearer " + "x" * 2000, "Bearer ☃"):
            answer = await world.request("GET", "/v1/status", headers={"Authorization": value})
            assert answer.status in {400, 401}, value


def test_a_route_without_an_access_rule_is_not_served() -> None:
    route = ROUTES[0]
    bare = Route(
        method="GET",
        path="/v1/secret",
        access=None,  # type: ignore[arg-type]
        handler=route.handler,
        summary_zh="密",
        summary_en="secret",
    )
    with pytest.raises(RouteTableInvalid) as refused:
        check_table((*ROUTES, bare))
    assert refused.value.fields["route"] == "GET /v1/secret"


def test_a_route_that_nobody_may_use_or_that_comes_twice_is_not_served() -> None:
    nobody = Route(
        method="GET",
        path="/v1/x",
        access=Access(frozenset(), frozenset()),
        handler=ROUTES[0].handler,
        summary_zh="无",
        summary_en="none",
    )
    with pytest.raises(RouteTableInvalid):
        check_table((nobody,))
    with pytest.raises(RouteTableInvalid):
        check_table((ROUTES[0], ROUTES[0]))


def test_every_route_that_writes_under_a_session_takes_idempotency_keys() -> None:
    required = {route.path for route in ROUTES if route.idempotency is Idempotency.REQUIRED}
    assert required == {"/v1/deposits/drafts", "/v1/releases", "/v1/traces"}


async def test_a_persons_account_is_seen_by_itself_overseers_and_departments_only(tmp_path: Path) -> None:
    path = f"/v1/accounts/{w.PERSON.account.hex()}"
    async with w.served(tmp_path) as world:
        assert (await world.request("GET", path)).status == 404
        for actor in w.ACTORS:
            answer = await world.request("GET", path, actor=actor)
            allowed = actor in {w.PERSON, w.OPERATOR, w.AUDITOR, w.DEPARTMENT}
            assert answer.status == (200 if allowed else 404), actor.name
        public = await world.request("GET", f"/v1/accounts/{w.BANK.account.hex()}")
        assert (await public.json())["name"] == "bank"


async def _with_certificate_and_grant(world: w.World, state: GrantState, kind: str = "id_card") -> None:
    chain = world.chain
    chain.records.certificates[w.CERTIFICATE_ID] = w.certificate()
    chain.records.grants[w.GRANT_ID] = w.grant(state=state, kind=kind)
    issue = chain.transaction(w.DEPARTMENT, "certificates", "issue")
    ask = chain.transaction(w.BANK, "grants", "request")
    await world.finalize(
        (issue, (w.event("certificates.issued", w.CERTIFICATE_ID, w.PERSON.account, w.DEPARTMENT.account),)),
        (ask, (w.event("grants.requested", w.GRANT_ID, w.PERSON.account, w.BANK.account),)),
    )


@pytest.mark.parametrize(
    ("state", "kind", "bank_sees"),
    [
        (GrantState.ACTIVE, "id_card", True),
        (GrantState.ACTIVE, "driving_licence", False),
        (GrantState.REVOKED, "id_card", False),
        (GrantState.PAUSED, "id_card", False),
        (GrantState.REQUESTED, "id_card", False),
    ],
)
async def test_a_certificate_is_seen_by_its_parties_and_by_grantees_while_the_grant_is_active(
    tmp_path: Path, state: GrantState, kind: str, bank_sees: bool
) -> None:
    async with w.served(tmp_path) as world:
        await _with_certificate_and_grant(world, state, kind)
        seers = {w.PERSON, w.DEPARTMENT, w.OPERATOR, w.AUDITOR} | ({w.BANK} if bank_sees else set())
        for actor in w.ACTORS:
            one = await world.request("GET", f"/v1/certificates/{w.CERTIFICATE_ID.hex()}", actor=actor)
            assert one.status == (200 if actor in seers else 404), actor.name
            listed = await world.request(
                "GET", f"/v1/certificates?holder={w.PERSON.account.hex()}", actor=actor
            )
            assert len(await listed.json()) == (1 if actor in seers else 0), actor.name
            history = await world.request("GET", f"/v1/events?subject={w.CERTIFICATE_ID.hex()}", actor=actor)
            assert history.status == (200 if actor in seers else 403), actor.name


async def test_grants_releases_and_their_events_are_for_their_parties_and_overseers(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _with_certificate_and_grant(world, GrantState.ACTIVE)
        world.chain.records.releases[w.RELEASE_ID] = w.release()
        ask = world.chain.transaction(w.BANK, "releases", "request")
        subjects = (w.GRANT_ID, w.PERSON.account, w.BANK.account)
        await world.finalize((ask, (w.event("releases.requested", w.RELEASE_ID, *subjects),)))
        seers = {w.PERSON, w.BANK, w.OPERATOR, w.AUDITOR}
        for actor in w.ACTORS:
            session = world.log_in(actor)
            for path in (
                f"/v1/grants/{w.GRANT_ID.hex()}",
                f"/v1/releases/{w.RELEASE_ID.hex()}",
                f"/v1/events?subject={w.GRANT_ID.hex()}",
                f"/v1/events?subject={w.RELEASE_ID.hex()}",
            ):
                refused = 403 if "?subject=" in path else 404
                expected = 200 if actor in seers else refused
                assert (await world.request("GET", path, headers=session)).status == expected, (
                    actor.name,
                    path,
                )
            for path in ("/v1/grants", "/v1/releases", f"/v1/releases?grant={w.GRANT_ID.hex()}"):
                listed = await (await world.request("GET", path, headers=session)).json()
                assert len(listed) == (1 if actor in seers else 0), (actor.name, path)


async def test_only_an_officer_of_the_grantee_gets_the_bytes(tmp_path: Path) -> None:
    path = f"/v1/releases/{w.RELEASE_ID.hex()}/files/0"
    async with w.served(tmp_path) as world:
        world.chain.records.releases[w.RELEASE_ID] = w.release()
        for actor in w.ACTORS:
            answer = await world.request("GET", path, actor=actor)
            assert (answer.status == 200) is (actor is w.BANK), actor.name
            assert answer.status in {200, 403, 404}, actor.name
        assert (await world.request("GET", path)).status == 401


async def test_events_of_others_are_closed_and_ones_own_are_the_default(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _with_certificate_and_grant(world, GrantState.ACTIVE)
        other = await world.request("GET", f"/v1/events?subject={w.PERSON.account.hex()}", actor=w.BANK)
        assert other.status == 403
        own = await (await world.request("GET", "/v1/events", actor=w.BANK)).json()
        assert [item["kind"] for item in own["items"]] == ["grants.requested"]
        everything = await (await world.request("GET", "/v1/events", actor=w.AUDITOR)).json()
        assert [item["kind"] for item in everything["items"]] == ["grants.requested", "certificates.issued"]


async def test_a_trace_is_for_operators_and_the_auditor_who_asked(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        path = f"/v1/traces/{w.TRACE_ID.hex()}"
        world.chain.records.traces[w.TRACE_ID] = replace(
            w.trace(), approved_ms=w.NOW_MS, approved_by=w.OPERATOR.account, approver=w.OPERATOR.key_id
        )
        for actor in w.ACTORS:
            answer = await world.request("GET", path, actor=actor)
            assert answer.status == (200 if actor in {w.AUDITOR, w.OPERATOR} else 403), actor.name


def test_a_grant_opens_a_certificate_only_while_active_and_for_its_parties_items_and_grantee() -> None:
    certificate = w.certificate()
    for state in GrantState:
        assert opens(w.grant(state=state), certificate, w.BANK.account) is (state is GrantState.ACTIVE)
    assert not opens(w.grant(), certificate, w.OTHER_BANK.account)
    assert not opens(w.grant(), w.certificate(holder=w.STRANGER), w.BANK.account)
    assert not opens(w.grant(), w.certificate(kind="passport"), w.BANK.account)
    item = w.grant().items[0]
    named = replace(w.grant(), items=(replace(item, certificate=certificate.certificate_id),))
    assert opens(named, certificate, w.BANK.account)
    assert not opens(named, w.certificate("another"), w.BANK.account)
    declined = replace(w.grant(), items=(replace(item, fields=(), declined=item.fields),))
    assert not opens(declined, certificate, w.BANK.account)
