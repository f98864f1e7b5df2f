"""Real processes under real faults: the quick ones of `python -m tests.e2e.faults`, and that nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import tests.e2e.faults
from tests.e2e.cities import until
from tests.e2e.harness.scenario import SCENARIOS, Row

assert tests.e2e.faults.__all__
QUICK = [each.name for each in SCENARIOS.values() if each.quick_s is not None]
ALL_OF_THEM_S = 600.0
NODES = 4


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.e2e.faults", *arguments]


def perform(request: pytest.FixtureRequest, file: Path, *arguments: str) -> dict[str, Row]:
    """Run faults and show the table; its rows by fault."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write("\n")
        sys.stdout.flush()
        subprocess.run(command(*arguments, "--json", str(file)), check=False, timeout=ALL_OF_THEM_S)
    return {row.fault: row for row in msgspec.json.decode(file.read_bytes(), type=list[Row])}


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    return perform(request, tmp_path_factory.mktemp("faults") / "rows.json", "--quick")


@pytest.mark.parametrize("fault", QUICK)
def test_survived_with_nothing_lost_and_nothing_doubled(rows: dict[str, Row], fault: str) -> None:
    row = rows[fault]
    assert row.outcome == "passed", row.why
    assert row.seconds_to_recover is not None
    assert row.seconds_to_recover <= SCENARIOS[fault].recovery_s_max
    assert row.finalized > 0
    assert (row.lost, row.doubled) == (0, 0)


def test_without_namespaces_faults_go_through_relays(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    row = perform(request, tmp_path / "rows.json", "halves", "--quick", "--loopback")["halves"]
    assert (row.outcome, row.network) == ("passed", "loopback"), row.why


def test_a_loss_that_was_planted_is_found(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    ran = subprocess.run(
        command("planted-amnesia", "--json", str(file)),
        check=False,
        capture_output=True,
        text=True,
        timeout=ALL_OF_THEM_S,
    )
    [row] = msgspec.json.decode(file.read_bytes(), type=list[Row])
    assert ran.returncode == 1
    assert "FAILED" in ran.stdout
    assert row.outcome == "failed"
    assert row.lost > 0
    # Named for what was lost first: what was accepted, or what was final already.
    assert "does not know it any more" in row.why or "is in no ledger" in row.why


def processes_of(folder: Path) -> list[int]:
    """Processes with a file of that folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in line:
                found.append(int(entry.name))
    return found


def shell_status(process: subprocess.Popen[bytes]) -> int:
    """The status a shell sees: 128 + the signal for a process that one ended.

    Python that is interrupted while it runs source made at runtime (an import of a dataclass is enough) ends
    itself by SIGINT, whatever it does about the exception afterwards.
    """
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The faults at work, in a folder of their own; what is still there of them in the end is killed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = subprocess.Popen(
            command(*arguments),
            env=os.environ | {"TMPDIR": name},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until(lambda: len(processes_of(folder)) >= NODES, "the nodes run")
            yield process, folder
        finally:
            process.kill()
            process.wait()
            for left in processes_of(folder):
                os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("mode", [(), ("--loopback",)])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_after_ctrl_c_or_a_kill(mode: tuple[str, ...], how: signal.Signals) -> None:
    with running("pause", *mode) as (process, folder):
        if how is signal.SIGINT:
            os.killpg(process.pid, how)
        else:
            process.kill()
        process.wait(60)
        until(lambda: processes_of(folder) == [], "every process has ended")
        if how is signal.SIGINT:
            assert shell_status(process) == 130
            assert list(folder.iterdir()) == []
