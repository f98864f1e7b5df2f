"""`make api-fuzz`: schemathesis against the OpenAPI document of a running devnet, as everybody who may have a session.

Rule: whatever is sent, the node answers it: no 5xx but 503, by which it says that something is away or full. Ids that
exist are in the requests, so that more than the first check of each route is reached.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.schemas import APIOperation

from node.devnet import Devnet
from tests.e2e.cities import IDENTITY, READY_S, SUITE, City, Holder, found_city
from zhenglian import Client

EXAMPLES = 25
# The session that is used here has no end.
LEFT_OUT = {("DELETE", "/v1/sessions")}
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


@dataclass
class Asker:
    """Somebody who asks one node, and what went wrong for him."""

    base: str
    who: str
    headers: dict[str, str]
    ids: dict[str, list[str]]
    examples: int
    faults: list[str] = field(default_factory=list)

    def ask_all(self) -> None:
        """Every route of the node's own document."""
        for outcome in schemathesis.openapi.from_url(self.base + "/openapi.json").get_all_operations():
            operation = outcome.ok()
            # A stream has no end.
            endless = operation.path.endswith("/stream")
            if not endless and (operation.method.upper(), operation.path) not in LEFT_OUT:
                self.ask(operation)
                sys.stderr.write(f"{self.who:>14} {operation.method.upper():6} {operation.path}\n")

    def ask(self, operation: APIOperation[Any, Any]) -> None:
        """One route, as often as there are examples."""

        @settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def once(case: Case) -> None:
            seeded(case, self.ids)
            answer = case.call(base_url=self.base, headers=self.headers, timeout=TIMEOUT_S)
            if answer.status_code >= 500 and answer.status_code != 503:
                shown = f"{case.method.upper()} {case.formatted_path} -> {answer.status_code}: {answer.text[:300]}"
                self.faults.append(f"{self.who}: {shown}\n    {case.as_curl_command()[:600]}")

        once()


def seeded(case: Case, ids: dict[str, list[str]]) -> None:
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
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                asker = Asker(devnet.url(1), who, headers, ids, asked.examples)
                asker.ask_all()
                faults += asker.faults
            holder.client.close()
        alive = [n for n in devnet.numbers if devnet.status(n) is None]
        faults += [f"node {n} does not answer any more" for n in alive]
    for fault in faults:
        sys.stdout.write(fault + "\n")
    sys.stdout.write(msgspec.json.encode({"faults": len(faults)}).decode() + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
