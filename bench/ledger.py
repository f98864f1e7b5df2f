"""What authenticated state costs as it grows: `make bench-ledger`.

For each size a store is built by the bulk loader, and updated in blocks of 300 by a process of its own, so that
its memory is that of this size. What is counted, and of what, is told in `bench/ledger_measure.py`; the blocks
are described in `bench/ledger_state.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.ledger_measure import measure
from bench.ledger_state import BATCH, DELETED, INSERTED, KINDS, OVERWRITTEN, RETENTION, build
from bench.machine import fdatasync_ms_median, machine, memory_bytes
from ledger.crypto.registry import load_suite

RESULTS: Final = Path(__file__).parent / "results" / "ledger.json"
SIZES: Final = (10**4, 10**5, 10**6, 10**7)
BLOCKS: Final = 40
SEED: Final = 4
LOWER, UPPER = 10**5, 10**7
UPDATE_COST_RATIO_MAX: Final = 1.6
WALL_RATIO_GOAL: Final = 3.0
Row = dict[str, Any]


def child(part: str, store: Path, asked: argparse.Namespace, size: int) -> Row:
    """Do one part in a process of its own."""
    command = [sys.executable, "-m", "bench.ledger", "--part", part, "--store", str(store)]
    command += ["--sizes", str(size), "--blocks", str(asked.blocks), "--suite", asked.suite]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: Row = json.loads(done.stdout)
    return found


def part(asked: argparse.Namespace) -> Row:
    """What such a process does."""
    suite, size = load_suite(asked.suite), asked.sizes[0]
    if asked.part == "measure":
        return measure(asked.store, suite, size, asked.blocks, SEED)
    started = time.perf_counter()
    build(asked.store, suite, size, SEED)
    return {"build_s": round(time.perf_counter() - started, 1), "build_memory_bytes": memory_bytes()}


def ratios(rows: list[Row]) -> Row:
    """How much more an update costs in the largest state than in one of a hundredth."""
    by_size = {row["size"]: row for row in rows}
    if LOWER not in by_size or UPPER not in by_size:
        return {}
    few, many = by_size[LOWER], by_size[UPPER]
    counted = {
        name: round(many["per_update"][name] / few["per_update"][name], 3)
        for name in few["per_update"]
        if name in many["per_update"]
    }
    return {
        "update_cost_ratio_1e7_1e5": max(counted["nodes_hashed"], counted["bytes_written"]),
        "wall_ratio_1e7_1e5": round(many["wall_ms_per_block"] / few["wall_ms_per_block"], 2),
        "ratios_1e7_1e5": counted,
    }


def show(rows: list[Row], found: Row) -> None:
    """The table."""
    columns = ("nodes_hashed", "nodes_stored", "tree_bytes", "bytes_written", "page_bytes")
    head = ("entries", "hashed", "stored", "tree B", "bytes", "page B", "tree ms", "wall ms", "keys/s")
    print("per update (of 300 in a block):".ljust(56) + "per block:")
    print(
        "".join(f"{name:>10}" for name in (*head, "proof B", "prove µs", "verify µs", "own MiB", "file MiB"))
    )
    for row in rows:
        figures = [row["size"], *(row["per_update"].get(name, "-") for name in columns)]
        figures += [row["tree_ms_per_block"], row["wall_ms_per_block"], row["keys_per_s"]]
        figures += [row["proof_bytes"], row["prove_us"], row["verify_us"]]
        figures += [row["memory_bytes"].get("own", 0) >> 20, row["file_bytes"] >> 20]
        print("".join(f"{figure:>10}" for figure in figures))
    if found:
        print(
            f"1e7 against 1e5: update cost ×{found['update_cost_ratio_1e7_1e5']} (at most {UPDATE_COST_RATIO_MAX}), "
            f"wall time ×{found['wall_ratio_1e7_1e5']} (goal {WALL_RATIO_GOAL})"
        )


def main() -> int:
    """Measure, print a table, write the results; 1 when the update cost grows faster than it may."""
    parser = argparse.ArgumentParser(description="What authenticated state costs as it grows")
    parser.add_argument("--sizes", type=lambda text: int(float(text)), nargs="+", default=list(SIZES))
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="measured for each size")
    parser.add_argument("--suite", default="intl", help="crypto suite")
    parser.add_argument("--scratch", type=Path, help="folder for the stores, on the disk to be measured")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--part", choices=("build", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps(part(asked)))
        return 0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        syncs = fdatasync_ms_median(Path(folder))
        for size in asked.sizes:
            store = Path(folder) / f"{size}"
            print(f"{size} entries …", file=sys.stderr, flush=True)
            rows.append(child("build", store, asked, size) | child("measure", store, asked, size))
            (store / "data.mdb").unlink()
    found = ratios(rows)
    results = {
        "command": "make bench-ledger"
        if asked.sizes == list(SIZES)
        else " ".join(("python -m bench.ledger", *sys.argv[1:])),
        "machine": machine(),
        "suite": asked.suite,
        "fdatasync_ms_median": syncs,
        "block": {"updates": BATCH, "overwritten": OVERWRITTEN, "inserted": INSERTED, "deleted": DELETED},
        "kinds": [
            {"prefix": prefix.decode(), "value_bytes": size, "percent": share}
            for prefix, size, share in KINDS
        ],
        "proof_blocks": RETENTION.proof_blocks,
        **found,
        "rows": rows,
    }
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(results, indent=1) + "\n")
    show(rows, found)
    return int(found.get("update_cost_ratio_1e7_1e5", 0) > UPDATE_COST_RATIO_MAX)


if __name__ == "__main__":
    sys.exit(main())
