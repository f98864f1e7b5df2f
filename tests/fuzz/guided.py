"""Coverage-guided fuzzing of one target by atheris, in a process of its own: `python -m tests.fuzz.guided TARGET …`.

atheris (libFuzzer for Python) is no part of the environment; `make fuzz` puts it into build/fuzz/engine. Our modules are
instrumented as they are imported, so this file must import none of them before.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

ENGINE: Final = Path("build") / "fuzz" / "engine"
FOUND: Final = Path("build") / "fuzz" / "found"
INSTRUMENTED: Final = ["ledger", "consensus", "contracts", "network", "node", "watermark", "zhenglian"]
FINDING_EXIT_CODE: Final = 9
RESIDENT_MB_MAX: Final = 1024
PATIENCE_S: Final = 120
_STATE: Final = re.compile(rb"(INITED|DONE|pulse|NEW|REDUCE)\s+cov: (\d+)")
_RUNS: Final = re.compile(rb"stat::number_of_executed_units: (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a guided run gave.

    Attributes:
        inputs: how many were run.
        edges: reached by seeds and kept corpus; `new_edges` by what was found beyond them.
        found: folder of the inputs that reached them.
        failed: what the engine said, when it ended by anything but its time.
        finding: whether it ended with a finding, which lies among the crashes.
    """

    inputs: int
    edges: int
    new_edges: int
    found: Path
    failed: str
    finding: bool


def available() -> bool:
    """Whether the engine is installed for this Python."""
    return (
        subprocess.run(
            [sys.executable, "-c", "import atheris"],
            env={**os.environ, "PYTHONPATH": str(ENGINE.resolve())},
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


def _child(name: str, seconds: int, *options: str) -> tuple[int, bytes]:
    """Exit code and what the engine said; a child that does not end is killed."""
    path = os.pathsep.join([str(Path.cwd()), str(Path.cwd() / "clients"), str(ENGINE.resolve())])
    command = [sys.executable, "-m", "tests.fuzz.guided", name, "--seconds", str(seconds), *options]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            code = child.wait(seconds + PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        said.seek(0)
        return code, said.read()


def run(name: str, seconds: int, number: int) -> Outcome:
    """Run a target in a process of its own."""
    code, said = _child(name, seconds, "--seed", str(number))
    states = [(kind, int(edges)) for kind, edges in _STATE.findall(said)]
    begun = next((edges for kind, edges in states if kind == b"INITED"), 0)
    runs = _RUNS.search(said)
    finding = code == FINDING_EXIT_CODE
    failed = "" if finding or runs else f"exit code {code}\n" + said[-3000:].decode("utf-8", "replace")
    return Outcome(
        inputs=int(runs.group(1)) if runs else 0,
        edges=begun,
        new_edges=max([edges for _, edges in states], default=begun) - begun,
        found=FOUND / name,
        failed=failed,
        finding=finding,
    )


def main() -> None:
    """The child process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    atheris: Any = __import__("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz import corpus
        from tests.fuzz.mutate import mutated
        from tests.fuzz.registry import TARGETS
        from tests.fuzz.watch import GROWTH_BYTES_MAX, Finding, Watch, resident_bytes, say
    target = TARGETS[arguments.target]
    watch = Watch(target, measure=False)
    grown = {"at": 0}

    def one_input(data: bytes) -> None:
        try:
            watch.run(data)
            if watch.inputs == 2000:
                grown["at"] = resident_bytes()
            elif watch.inputs % 2000 == 0 and resident_bytes() - grown["at"] > GROWTH_BYTES_MAX:
                raise Finding(
                    target.name, data, f"memory grew by more than {GROWTH_BYTES_MAX} bytes in a run"
                )
        except Finding as finding:
            finding.save()
            say(f"{finding}")
            sys.stdout.flush()
            os._exit(FINDING_EXIT_CODE)

    def mutate(data: bytes, size_bytes_max: int, number: int) -> bytes:
        random = Random(number)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, size_bytes_max))
        return mutated(data, target.grammar, random, size_bytes_max)

    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as folder:
        for data in corpus.inputs(target):
            corpus.save(Path(folder), data)
        (FOUND / target.name).mkdir(parents=True, exist_ok=True)
        found = str(FOUND / target.name)
        options = [f"-max_len={target.size_bytes_max}", "-timeout=0", f"-rss_limit_mb={RESIDENT_MB_MAX}"]
        options += [f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed}", "-print_final_stats=1"]
        options += [found, folder]
        atheris.Setup([sys.argv[0], *options], one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
