"""How fast four real nodes on this machine finalize: latency one by one, and throughput with many clients at once.

The nodes, the clients and everything else share the machine's cores, so the figures are lower bounds of what four
machines would do. The disk's fdatasync time is measured beside them, because latency follows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.machine import SYNCS, fdatasync_ms, machine
from contracts.calls import OrganizationsAddKey, OrganizationsRevokeKey, RegisterOrganization
from contracts.records import AccountKind, KeyRole
from ledger.crypto.registry import load_suite
from node.devnet import Devnet
from zhenglian import AsyncClient, Client, KeyFile

RESULTS: Final = Path(__file__).parent / "results" / "spine.json"
SUITE: Final = load_suite("intl")
READY_S: Final = 60.0


def organization(devnet: Devnet, name: str) -> KeyFile:
    """An organisation's admin, registered by three operators."""
    admin = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
    action = RegisterOrganization(
        account_id=bytes.fromhex(admin.account),
        kind=AccountKind.ENTERPRISE,
        name=name,
        credit_code="",
        issues=(),
        admin=admin.new_key(),
    )
    with Client(devnet.url(1), devnet.admin(1)) as client:
        proposal = client.propose(action)
        for operator in (2, 3):
            client.core.key = devnet.admin(operator)
            client.approve_proposal(proposal)
    return admin


async def change_keys(client: AsyncClient, admin: KeyFile, until_s: float, latencies_ms: list[float]) -> None:
    """Add and revoke keys, one transaction after the other, until the time is over."""
    account = bytes.fromhex(admin.account)
    while time.perf_counter() < until_s:
        key = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label="bench")
        for args in (
            OrganizationsAddKey(key=key.new_key()),
            OrganizationsRevokeKey(key_id=bytes.fromhex(key.key_id)),
        ):
            started = time.perf_counter()
            await client.submit(args)
            latencies_ms.append((time.perf_counter() - started) * 1000)


async def measure(devnet: Devnet, clients: int, seconds: float) -> dict[str, float]:
    """`clients` at once, each waiting for finality before its next transaction."""
    admins = [organization(devnet, f"bench {clients} {number}") for number in range(clients)]
    connections = [AsyncClient(devnet.url(number % 4 + 1), admin) for number, admin in enumerate(admins)]
    latencies_ms: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(
        *(
            change_keys(client, admin, started + seconds, latencies_ms)
            for client, admin in zip(connections, admins, strict=True)
        )
    )
    took_s = time.perf_counter() - started
    for client in connections:
        await client.aclose()
    ordered = sorted(latencies_ms)
    return {
        "clients": clients,
        "transactions": len(ordered),
        "transactions_per_s": round(len(ordered) / took_s, 1),
        "finality_ms_median": round(statistics.median(ordered), 1),
        "finality_ms_p95": round(ordered[int(len(ordered) * 0.95)], 1),
    }


def main() -> None:
    """Measure, print a table, write the results."""
    parser = argparse.ArgumentParser(description="Finality of four real nodes on this machine")
    parser.add_argument("--seconds", type=float, default=15.0, help="time for each row")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        syncs = fdatasync_ms(Path(folder))
        with Devnet.create(Path(folder) / "devnet") as devnet:
            devnet.start_all()
            devnet.wait_ready(READY_S)
            rows = [asyncio.run(measure(devnet, clients, asked.seconds)) for clients in asked.clients]
    results: dict[str, Any] = {
        "command": "make bench",
        "machine": machine(),
        "fdatasync_ms_median": round(statistics.median(syncs), 3),
        "rows": rows,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"fdatasync: {results['fdatasync_ms_median']} ms (median of {SYNCS})")
    print(f"{'clients':>8} {'tx/s':>8} {'median ms':>10} {'p95 ms':>8}")
    for row in rows:
        print(
            f"{row['clients']:>8} {row['transactions_per_s']:>8} {row['finality_ms_median']:>10} {row['finality_ms_p95']:>8}"
        )


if __name__ == "__main__":
    main()
