"""`python -m tests.e2e.faults`: break a network of real processes on purpose, and see what it does to those who use it.

    --all            every fault, in full length       --quick   the selection that is part of `make test`
    NAME …           these faults                      --list    what there is
    --loopback       no namespaces, even where they can be made
    --keep-logs      the nodes' logs in build/e2e-faults, not only those of a fault that was not survived
    --json [FILE]    the rows as JSON too, by default build/e2e-faults.json

Exit status: 0 all that ran passed, 1 a fault was not survived, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

import tests.e2e.faults
from tests.e2e.harness import sandbox
from tests.e2e.harness.cluster import Cluster
from tests.e2e.harness.scenario import SCENARIOS, Row, Runner, Scenario
from tests.e2e.harness.wires import Loopback, Namespaces, Wires

assert tests.e2e.faults.__all__
NODES_MAX: Final = 6
JSON_DEFAULT: Final = Path("build/e2e-faults.json")
LOGS: Final = Path("build/e2e-faults")
MODULE: Final = "tests.e2e.faults"
COLUMNS: Final = ("fault", "recover s", "accepted", "finalized", "lost", "doubled")


def say(text: str) -> None:
    """A line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to run, see --list")
    parser.add_argument("--all", action="store_true", help="every fault, in full length")
    parser.add_argument("--quick", action="store_true", help="the selection that is part of `make test`")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, even where they can be made")
    parser.add_argument("--keep-logs", action="store_true", help=f"keep the nodes' logs in {LOGS}, always")
    parser.add_argument(
        "--json", nargs="?", type=Path, const=JSON_DEFAULT, help="write the rows to this file"
    )
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return given


def choose(given: argparse.Namespace) -> list[Scenario]:
    """The faults to run: those named, or all, or the quick ones."""
    if given.names:
        return [SCENARIOS[name] for name in given.names]
    if given.all:
        return [each for each in SCENARIOS.values() if not each.planted]
    return [each for each in SCENARIOS.values() if each.quick_s is not None]


def perform(given: argparse.Namespace, kind: str) -> int:
    """Run what was chosen, print the table, write the JSON; the exit status."""
    quick = given.quick or not (given.all or given.names)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="zhenglian-faults-") as folder:

        def make(at: Path) -> Cluster:
            wires: Wires = Namespaces(NODES_MAX) if kind == "namespaces" else Loopback(NODES_MAX)
            try:
                return Cluster(at, wires)
            except BaseException:
                wires.close()
                raise

        runner = Runner(Path(folder), LOGS, make, keep_logs=given.keep_logs)
        try:
            say(line(*COLUMNS))
            for each in choose(given):
                rows.append(runner.run(each, quick=quick))
                show(rows[-1])
        finally:
            runner.close()
            if given.json is not None:
                given.json.parent.mkdir(parents=True, exist_ok=True)
                given.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    return conclude(rows, kind)


def line(fault: str, *numbers: str) -> str:
    """A line of the table."""
    return f"{fault:<24}" + "".join(f"{number:>11}" for number in numbers)


def show(row: Row) -> None:
    """A row, and below it what there is to say."""
    if row.outcome == "skipped":
        say(line(row.fault, "not run") + f"  {row.why}")
        return
    recover = "-" if row.seconds_to_recover is None else f"{row.seconds_to_recover:.1f}"
    judged = row.outcome == "passed" or row.finalized > 0
    counts = [
        str(number) if judged else "-" for number in (row.accepted, row.finalized, row.lost, row.doubled)
    ]
    say(line(row.fault, recover, *counts) + ("" if row.outcome == "passed" else "  FAILED"))
    if row.expired:
        say(f"    {row.expired} expired, as they should: no block could take them in time")
    for note in row.notes:
        say(f"    {note}")
    for text in row.why.splitlines():
        say(f"    {text}")


def conclude(rows: Sequence[Row], kind: str) -> int:
    """The last line; the exit status."""
    counts = {
        outcome: sum(row.outcome == outcome for row in rows) for outcome in ("passed", "failed", "skipped")
    }
    lost, doubled = sum(row.lost for row in rows), sum(row.doubled for row in rows)
    say(
        f"faults ({kind}): {counts['passed']} survived, {counts['failed']} failed, {counts['skipped']} not run;"
        f" {lost} lost, {doubled} doubled"
    )
    return 1 if counts["failed"] else 0


def main(arguments: Sequence[str]) -> int:
    """Go into a sandbox if there can be one, and run."""
    given = parse(arguments)
    if given.list:
        for each in SCENARIOS.values():
            mark = "" if each.quick_s is None else " (quick)"
            say(f"{each.name:<24} {each.what}{mark}")
        return 0
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # What a shell starts in the background inherits that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sandbox.inside():
        sandbox.live_as_long_as_the_parent()
        return perform(given, "namespaces")
    try:
        if given.loopback:
            raise sandbox.SandboxImpossible("--loopback asks for it")
        sandbox.possible()
    except sandbox.SandboxImpossible as error:
        say(
            f"无法使用网络命名空间（{error}），改用本机回环与 TCP 中继：丢包以重传延迟代替，磁盘写满不测。\n"
            f"No network namespaces here ({error}): processes on loopback with TCP relays instead. Loss becomes the"
            " delay of a retransmission, and a full disk is not tried."
        )
        return perform(given, "loopback")
    return sandbox.enter(MODULE, arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
