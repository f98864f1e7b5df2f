"""`make api-fuzz`: schemathesis against the OpenAPI document of a running devnet, as everybody who may have a session.

Rule: whatever is sent, the node answers as its own program: no 5xx but 503, by which it says that something is away or full. Ids that
exist are in the requests, so that more than the first check of each route is reached.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from node.devnet import Devnet
from tests.e2e.cities import IDENTITY, READY_S, SUITE, City, Holder, found_city
from zhenglian import Client

EXAMPLES = 25
# Streams have no end; the session that is used here should have none either.
LEFT_OUT = {("GET", "/v1/blocks/stream"), ("GET", "/v1/events/stream"), ("DELETE", "/v1/sessions")}
TIMEOUT_S = 60.0


def tokens(devnet: Devnet, city: City, holder: Holder) -> Iterator[tuple[str, str]]:
    """A session of everybody, and of nobody."""
    yield "nobody", ""
    keys = {
        "officer": city.police.officer,
        "administrator": city.police.admin,
        "bank": city.banks[0].officer,
        "auditor": city.auditor.officer,
        "operator": devnet.admin(1),
        "person": holder.client.core.key,
    }
    for name, key in keys.items():
        with Client(devnet.url(1), key) as client:
            yield name, client.login().token


def known(city: City, holder: Holder) -> dict[str, list[str]]:
    """Ids that exist, by the name of the placeholder or parameter that takes them."""
    officer = city.police.officer
    grant = holder.granted(city.banks[0].client)
    return {
        "account": [holder.account, officer.account],
        "holder": [holder.account],
        "certificate": list(holder.certificates.values()),
        "grant": [grant],
        "key": [officer.key_id],
        "code": [IDENTITY, "loan"],
        "type": [IDENTITY],
        "height": ["1"],
    }


def fuzz(base: str, who: str, token: str, ids: dict[str, list[str]], examples: int) -> list[str]:
    """Ask every route as one of them; what went wrong."""
    faults: list[str] = []
    schema = schemathesis.openapi.from_url(base + "/openapi.json")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for outcome in schema.get_all_operations():
        operation = outcome.ok()
        method, path = operation.method.upper(), operation.path
        if (method, path) in LEFT_OUT:
            continue

        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @schemathesis_given(operation)
        def ask(case: schemathesis.Case) -> None:
            seeded(case, ids)
            answer = case.call(base_url=base, headers=headers, timeout=TIMEOUT_S)
            if answer.status_code >= 500 and answer.status_code != 503:
                faults.append(
                    f"{who}: {method} {case.formatted_path} -> {answer.status_code}: {answer.text[:300]}\n"
                    f"    {case.as_curl_command()[:600]}"
                )

        ask()
        sys.stderr.write(f"{who:>14} {method:6} {path}\n")
    return faults


def schemathesis_given(operation: schemathesis.schemas.APIOperation):  # type: ignore[no-untyped-def]
    """Hypothesis' `given` over the requests that an operation's description allows."""
    from hypothesis import given

    return given(case=operation.as_strategy())


def seeded(case: schemathesis.Case, ids: dict[str, list[str]]) -> None:
    """Put ids that exist in every other request."""
    if len(repr(case.path_parameters) + repr(case.query)) % 2:
        return
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            for name in place:
                if name in ids:
                    place[name] = ids[name][len(repr(place)) % len(ids[name])]


def main() -> int:
    """Exit status 1 when anything answered 5xx."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="requests a route and session")
    asked = parser.parse_args()
    faults: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Devnet.create(Path(folder) / "devnet", suite=SUITE.name) as devnet,
    ):
        devnet.start_all()
        devnet.wait_ready(READY_S)
        with found_city(devnet) as city:
            holder = Holder(city)
            with Client(devnet.url(1), city.police.admin) as admin:
                admin.create_agent()
            ids = known(city, holder)
            for who, token in tokens(devnet, city, holder):
                faults += fuzz(devnet.url(1), who, token, ids, asked.examples)
            holder.client.close()
        alive = [n for n in devnet.numbers if devnet.status(n) is None]
        faults += [f"node {n} does not answer any more" for n in alive]
    for fault in faults:
        sys.stdout.write(fault + "\n")
    sys.stdout.write(msgspec.json.encode({"faults": len(faults)}).decode() + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
