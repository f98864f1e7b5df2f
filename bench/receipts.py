"""Receipts at 31 validators: how large they are, and how long it takes to verify one here and in a browser.

    python -m bench.receipts

Rule: each receipt is of a block of its own, and what a process remembers of earlier ones is forgotten before it is
timed, so a figure is that of somebody who checks one receipt: file in, verdict out. Written to
`bench/results/receipts.json`. The browser is Chromium (`CHROMIUM=` names another one), driven headless; where there
is none, its figures are left out and that is said.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ledger import codec, state_tree
from ledger.crypto import bls
from ledger.crypto.registry import SUITES
from ledger.receipts import (
    build_receipt,
    build_state_receipt,
    proof_from_json,
    receipt_to_json,
    state_receipt_to_json,
    trust_from_json,
    trust_to_json,
    verify_proof,
)
from tests.suites import VARIABLE
from tests.unit.ledger_world import NETWORK, SUITE, World, fixed

ROOT: Final = Path(__file__).parent.parent
VERIFIER: Final = ROOT / "clients" / "verifier"
RESULTS: Final = ROOT / "bench" / "results" / "receipts.json"
VALIDATORS: Final = 31
TRANSACTIONS: Final = 100
STATE_ENTRIES: Final = 100_000
VALUE_SIZE_BYTES: Final = 300
SAMPLES: Final = 15
GOALS_MS: Final = {"python": 10, "browser": 100}


def samples() -> dict[str, dict[str, Any]]:
    """Receipts of both kinds under the suite of this process, with their trust point."""
    world = World(n=VALIDATORS)
    entries = {b"grants/" + fixed("g", i, size=16): fixed("v", i, size=8) for i in range(STATE_ENTRIES)}
    world.next_block(entries, transactions=1)
    transactions: list[str] = []
    states: list[str] = []
    for number in range(SAMPLES):
        key = b"grants/" + fixed("g", number, size=16)
        value = fixed("value", number, size=VALUE_SIZE_BYTES)
        block = world.committed({key: value}, transactions=TRANSACTIONS)
        index = 7 * number % TRANSACTIONS
        receipt = build_receipt(SUITE, NETWORK, block.finalized, block.results, index)
        transactions.append(receipt_to_json(receipt))
        proof = state_tree.prove(SUITE, world.reader, block.finalized.block.header.height, key)
        states.append(state_receipt_to_json(build_state_receipt(NETWORK, block.finalized, key, value, proof)))
    trust = trust_to_json(world.trust)
    return {
        "transaction": {"trust": trust, "receipts": transactions},
        "state": {"trust": trust, "receipts": states},
    }


def forget() -> None:
    """Everything that this process has learned of keys, messages and signatures."""
    for function in (bls._key, bls._message):
        function.cache_clear()
    if SUITE.name == "sm":
        from ledger.crypto import sm2

        for value in vars(sm2).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def milliseconds(group: dict[str, Any]) -> list[float]:
    """What verifying each receipt of a group takes in this process."""
    taken = []
    for text in group["receipts"]:
        forget()
        start = time.perf_counter()
        verify_proof(trust_from_json(group["trust"]), proof_from_json(text))
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def sizes(group: dict[str, Any]) -> dict[str, int]:
    """Bytes of a group's median receipt, as a file and encoded."""
    texts: Sequence[str] = group["receipts"]
    return {
        "file": round(statistics.median(len(text.encode()) for text in texts)),
        "encoded": round(statistics.median(len(codec.encode(proof_from_json(text))) for text in texts)),
    }


def this_suite(folder: Path) -> dict[str, Any]:
    """The figures of this process, and its samples for the browser."""
    groups = samples()
    (folder / f"{SUITE.name}.json").write_text(json.dumps(groups))
    return {
        kind: {"bytes": sizes(group), "python_ms": summary(milliseconds(group))}
        for kind, group in groups.items()
    }


def summary(taken: Sequence[float]) -> dict[str, float]:
    """The first, the median of all, and the slowest."""
    return {
        "first": round(taken[0], 2),
        "median": round(statistics.median(taken), 2),
        "slowest": round(max(taken), 2),
    }


def chromium() -> str | None:
    """The browser, where there is one with what drives it."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    return found if found and (VERIFIER / "node_modules").is_dir() else None


def in_browser(folder: Path, browser: str) -> dict[str, Any]:
    """The same receipts in a browser, by suite and kind."""
    esbuild = VERIFIER / "node_modules" / ".bin" / "esbuild"
    bundle, driver = folder / "verifier.js", VERIFIER / "bench" / "browser.bundle.mjs"
    common = ("--bundle", "--format=esm", "--target=es2022", "--log-level=warning")
    subprocess.run(
        [esbuild, VERIFIER / "src" / "index.ts", *common, "--minify", f"--outfile={bundle}"], check=True
    )
    # The driver finds its dependency from where it is.
    node = ("--platform=node", "--packages=external", f"--outfile={driver}")
    subprocess.run([esbuild, VERIFIER / "bench" / "browser.ts", *common, *node], check=True)
    figures: dict[str, Any] = {"bundle_bytes": bundle.stat().st_size}
    try:
        for suite in SUITES:
            command = ("node", driver, bundle, folder / f"{suite}.json", browser)
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            told = json.loads(ran.stdout)
            figures["browser"] = told["browser"]
            figures[suite] = {kind: summary(taken) for kind, taken in told["milliseconds"].items()}
    finally:
        driver.unlink()
    return figures


def table(results: dict[str, Any]) -> str:
    """The figures for people."""
    rows = [f"{'suite':6}{'receipt':13}{'file':>8}{'encoded':>9}{'Python ms':>12}{'browser ms':>12}"]
    for suite in SUITES:
        for kind, row in results["suites"][suite].items():
            browser = row.get("browser_ms", {}).get("median", "-")
            rows.append(
                f"{suite:6}{kind:13}{row['bytes']['file']:>8}{row['bytes']['encoded']:>9}"
                f"{row['python_ms']['median']:>12}{browser:>12}"
            )
    return "\n".join(rows)


def main() -> int:
    """Measure, write, print; leave with 1 where a goal is missed."""
    results: dict[str, Any] = {
        "validators": VALIDATORS,
        "transactions_per_block": TRANSACTIONS,
        "state_entries": STATE_ENTRIES,
        "value_bytes": VALUE_SIZE_BYTES,
        "goals_ms": GOALS_MS,
        "suites": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suite in SUITES:
            command = (sys.executable, "-m", "bench.receipts", "--this-suite", str(folder))
            environment = {**os.environ, VARIABLE: suite}
            ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            results["suites"][suite] = json.loads(ran.stdout)
        browser = chromium()
        if browser is None:
            sys.stdout.write("No Chromium, or no `npm ci` in clients/verifier: no figures of a browser.\n")
        else:
            told = in_browser(folder, browser)
            results["browser"] = told["browser"]
            results["browser_bundle_bytes"] = told["bundle_bytes"]
            for suite in SUITES:
                for kind, row in results["suites"][suite].items():
                    row["browser_ms"] = told[suite][kind]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(table(results) + "\n")
    return 1 if missed(results) else 0


def missed(results: dict[str, Any]) -> bool:
    """Whether a median is over its goal; says which."""
    over = False
    for suite in SUITES:
        for kind, row in results["suites"][suite].items():
            for where, goal_ms in GOALS_MS.items():
                median = row.get(f"{where}_ms", {}).get("median", 0)
                if median > goal_ms:
                    over = True
                    sys.stdout.write(f"{suite} {kind} in {where}: {median} ms, goal {goal_ms} ms\n")
    return over


if __name__ == "__main__":
    if sys.argv[1:2] == ["--this-suite"]:
        sys.stdout.write(json.dumps(this_suite(Path(sys.argv[2]))))
        sys.exit(0)
    sys.exit(main())
