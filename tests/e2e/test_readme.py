"""README's commands, run as they stand but for folders, names and ports."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

from tests.e2e.cities import COMMAND_S, READY_S, until

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).with_name("zhenglian"))
OPERATORS = 4


def commands(text: str) -> list[list[str]]:
    """Every `zhenglian` command line of README's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("zhenglian ")]


def put(command: list[str], option: str, value: str) -> None:
    command[command.index(option) + 1] = value


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        [PROGRAM, *command[1:]], cwd=folder, check=False, capture_output=True, text=True, timeout=COMMAND_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_network_on_four_machines_is_founded_as_readme_says(tmp_path: Path) -> None:
    by_name = {
        command[2]: command for command in commands((ROOT / "README.md").read_text()) if command[1] == "node"
    }
    assert set(by_name) == {"init", "genesis", "join", "run"}
    ports = free_ports(2 * OPERATORS)
    homes = [tmp_path / letter for letter in "abcd"]
    for number, home in enumerate(homes):
        init = list(by_name["init"])
        for option, value in {
            "--home": str(home),
            "--name": f"Data bureau {number}",
            "--peer-host": "127.0.0.1",
            "--peer-port": str(ports[2 * number]),
            "--http-port": str(ports[2 * number + 1]),
        }.items():
            put(init, option, value)
        run(init, tmp_path)
    run(by_name["genesis"], tmp_path)
    processes = []
    try:
        for home in homes:
            join, start = list(by_name["join"]), list(by_name["run"])
            put(join, "--home", str(home))
            put(start, "--home", str(home))
            run(join, tmp_path)
            with (home / "logs" / "process.log").open("wb") as log:
                processes.append(
                    subprocess.Popen([PROGRAM, *start[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        nodes = [part for port in ports[1::2] for part in ("--node", f"http://127.0.0.1:{port}")]

        def together() -> bool:
            done = subprocess.run(
                [PROGRAM, *nodes, "--json", "status"],
                check=False,
                capture_output=True,
                text=True,
                timeout=COMMAND_S,
            )
            return done.returncode == 0 and all(
                node["reachable"] and node["status"]["voting"] for node in json.loads(done.stdout)
            )

        until(together, "four nodes that vote", READY_S)
    finally:
        for process in processes:
            process.terminate()
        ends = [process.wait(30) for process in processes]
    assert ends == [0] * OPERATORS


def test_status_is_json_that_programs_can_read(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "--json", "--node", "http://127.0.0.1:9", "status"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == 3
    assert json.loads(done.stdout or done.stderr)
