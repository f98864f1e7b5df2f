"""A table of two hundred rows, put up by an agent key on real nodes: the node dies midway, and every good row is there once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx

from node.devnet import Devnet
from tests.e2e.cities import COMMAND_S, IDENTITY, READY_S, City, Holder, until
from zhenglian import Client
from zhenglian.api_deposits import DepositJob

ROWS = 200
BAD = {7: "identity_number", 50: "date", 199: "required"}
PATIENCE_S = 120.0


def table(holder: Holder) -> bytes:
    """JSON Lines, a row of which says nothing else than the next, but for three."""
    fields = {**holder.contents[IDENTITY].fields, "holder": holder.account}
    rows = [dict(fields) for _ in range(ROWS)]
    rows[6]["identity_number"] = "110105194912310021"
    rows[49]["birth_date"] = "三月五日"
    rows[198]["name"] = ""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def ask(client: httpx.Client, method: str, path: str, **more: object) -> httpx.Response:
    answer = client.request(method, path, **more)  # type: ignore[arg-type]
    assert answer.status_code < 400, answer.text
    return answer


def status(devnet: Devnet, city: City, job: str) -> DepositJob:
    with Client(devnet.url(1), city.police.officer) as client:
        return client.deposit_job(job)


def test_a_node_that_dies_midway_puts_every_good_row_up_exactly_once(devnet: Devnet, city: City) -> None:
    holder = Holder(city)
    with Client(devnet.url(1), city.police.admin) as admin:
        agent = admin.create_agent()
    data = table(holder)
    job = begun(devnet, city, data)
    until(lambda: status(devnet, city, job).rows.issued >= 20, "the first rows are final")
    before = status(devnet, city, job)
    assert before.state == "working", "the node is killed in the middle"
    devnet.kill(1)
    devnet.start(1)
    devnet.wait_ready(READY_S)
    until(lambda: status(devnet, city, job).state == "done", "the job is done after the restart")
    ended = status(devnet, city, job)
    assert ended.fault is None
    assert (ended.rows.total, ended.rows.issued, ended.rows.invalid) == (ROWS, ROWS - len(BAD), len(BAD))
    with Client(devnet.url(1), city.police.officer) as client:
        report = client.deposit_report(job)
        assert {row.row: row.problems[0].code for row in report if row.problems} == BAD
        certificates = [row.certificate_id for row in report if row.state == "issued"]
    with Client(devnet.url(2), city.police.officer) as other:
        until(lambda: len(mine(other, holder)) >= ROWS - len(BAD), "another node knows them all")
        found = Counter(mine(other, holder))
    assert set(found.values()) == {1}
    # Holder has put one up himself before.
    assert set(found) - {holder.certificates[IDENTITY]} == set(certificates)
    with Client(devnet.url(1), city.police.admin) as admin:
        admin.revoke_agent(agent.key_id)
        assert admin.agents() == []
    holder.client.close()


def mine(client: Client, holder: Holder) -> list[str]:
    return [
        one.certificate_id for one in client.certificates(holder=holder.account, certificate_type=IDENTITY)
    ]


def begun(devnet: Devnet, city: City, data: bytes) -> str:
    """Upload in two pieces, as a department's program would, with nothing but a token; the job."""
    with Client(devnet.url(1), city.police.officer) as client:
        token = client.login().token
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=devnet.url(1), headers=headers, timeout=60, trust_env=False) as http:
        job = ask(
            http,
            "POST",
            "/v1/deposits/uploads",
            headers={"Idempotency-Key": "two-hundred"},
            json={
                "certificate_type": IDENTITY,
                "signed_by": "agent",
                "media_type": "application/x-ndjson",
                "size_bytes": len(data),
            },
        ).json()["job"]
        half = len(data) // 2
        for start, part in ((0, data[:half]), (half, data[half:])):
            ask(
                http,
                "PATCH",
                f"/v1/deposits/{job}/content",
                content=part,
                headers={"Content-Type": "application/octet-stream", "Upload-Offset": str(start)},
            )
    return str(job)


def test_the_commands_put_a_table_up_and_fetch_it_again(devnet: Devnet, city: City, folder: Path) -> None:
    holder = Holder(city)
    fields = holder.contents[IDENTITY].fields
    day = str(fields["birth_date"])
    written = f"{day[:4]}年{int(day[5:7])}月{int(day[8:])}日"
    names = [*fields, "持证人账户"]
    values = [written if name == "birth_date" else str(value) for name, value in fields.items()]
    text = ",".join(names) + "\n" + ",".join(f'"{one}"' for one in [*values, holder.account]) + "\n"
    (folder / "table.csv").write_bytes(text.encode("gb18030"))
    city.police.officer.save(folder / "officer.key", unencrypted=True)
    for expected in (1, 1):
        done = command(devnet, folder, "up", str(folder / "table.csv"), "--type", IDENTITY)
        assert (done["good"], done["bad"]) == (expected, 0)
    assert done["rows"][0]["notes"][0]["rule"] == "date_written"
    assert len(mine(city.police.client, holder)) == 2
    bank = city.banks[0]
    grant = holder.granted(bank.client)
    bank.officer.save(folder / "officer.key", unencrypted=True, replace=True)
    got = command(devnet, folder, "down", grant, "--format", "all", "--to", str(folder / "down"))
    assert got["state"] == "delivered"
    assert all(Path(one).is_file() for one in got["files"])
    holder.client.close()


def command(devnet: Devnet, folder: Path, *arguments: str) -> dict[str, object]:
    nodes = [part for url in devnet.urls for part in ("--node", url)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "node.cli",
            "--json",
            "--key",
            str(folder / "officer.key"),
            *nodes,
            *arguments,
        ],
        capture_output=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)  # type: ignore[no-any-return]
