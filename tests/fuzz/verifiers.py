"""The two verifiers against each other: files that were tampered with, and the verdict of both, which must be one.

    python -m tests.fuzz.verifiers --seconds 60
    python -m tests.fuzz.verifiers --runs 300 --seed 1

Rule: what is asked depends on the seed alone; a difference is printed with the files that show it, which are kept.
Node 20 and `npm ci` in `clients/verifier` are needed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from ledger import readable
from ledger.errors import LedgerError
from ledger.receipts import receipt_to_json, state_receipt_to_json
from ledger.state_receipts import StateReceipt
from ledger.types import Receipt
from tests.vectors.proof_builder import VALID, verdict_of

ROOT: Final = Path(__file__).parent.parent.parent
VERIFIER: Final = ROOT / "clients" / "verifier"
PROOFS: Final = ROOT / "tests" / "vectors" / "proofs"
SIZE_BYTES_MAX: Final = 1 << 20
NONE: Final = b"\xff\xff\xff\xff"

Question = tuple[bytes, bytes, bytes | None]


class Answers:
    """The TypeScript verifier as a process that answers."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self._questions = questions
        self._answers = answers

    def ask(self, question: Question) -> str:
        """Its verdict."""
        for part in question:
            self._questions.write(NONE if part is None else len(part).to_bytes(4, "big") + part)
        self._questions.flush()
        return self._answers.readline().decode().strip() or "no answer"


@contextmanager
def typescript() -> Iterator[Answers]:
    """The TypeScript verifier, built and running."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "answer.mjs"
        options = ("--bundle", "--platform=node", "--format=esm", "--target=es2022", "--log-level=warning")
        bundler = VERIFIER / "node_modules" / ".bin" / "esbuild"
        subprocess.run(
            [bundler, VERIFIER / "test" / "answer.ts", *options, f"--outfile={module}"], check=True
        )
        with subprocess.Popen(
            [shutil.which("node") or "node", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield Answers(process.stdin, process.stdout)
            process.stdin.close()


class Tamperer:
    """Makes questions.

    Args:
        seed: decides all of them.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        suites = sorted(folder for folder in PROOFS.iterdir() if folder.is_dir())
        self._files = [
            {path.stem: path.read_bytes() for path in sorted(folder.glob("*.json")) if path.stem != "cases"}
            for folder in suites
        ]

    def question(self) -> Question:
        """Some receipt, some trust, some changes, one of them tampered with."""
        rng = self._random
        files = rng.choice(self._files)
        receipts = [
            name for name in files if name.startswith(("receipt", "state", "small_")) and "trust" not in name
        ]
        receipt = files[rng.choice(receipts)]
        small = receipt in {files["small_receipt"], files["small_state"]}
        trust = files["small_trust" if small else rng.choice(["trust", "trust", "trust_epoch_2"])]
        epochs = files["epochs"] if rng.random() < 0.7 else None
        match rng.randrange(8):
            case 0:
                trust = self._tamper(trust, files)
            case 1 if epochs is not None:
                epochs = self._tamper(epochs, files)
            case _:
                receipt = self._tamper(receipt, files)
        return receipt[:SIZE_BYTES_MAX], trust, epochs

    def _tamper(self, data: bytes, files: dict[str, bytes]) -> bytes:
        rng = self._random
        if rng.random() < 0.6:
            return self._tree(data, files)
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            data = rng.choice([_flip, _splice, _repeat, _token])(rng, data)
        return data

    def _tree(self, data: bytes, files: dict[str, bytes]) -> bytes:
        """Another member or item somewhere, in a file that is written as it should be."""
        rng = self._random
        tree = json.loads(data)
        donor = json.loads(rng.choice(list(files.values())))
        for _ in range(rng.choice([1, 1, 2])):
            _change(rng, tree, donor)
        return _rewritten(tree).encode("utf-8", "surrogatepass")


def _rewritten(tree: Any) -> str:
    """The file with the summary that belongs to it, where there can be one."""
    kinds: dict[str, tuple[type[Any], Callable[[Any], str]]] = {
        "zhenglian-receipt-1": (Receipt, receipt_to_json),
        "zhenglian-state-receipt-1": (StateReceipt, state_receipt_to_json),
    }
    found = kinds.get(str(tree.get("format"))) if isinstance(tree, dict) else None
    if found is not None and "receipt" in tree:
        kind, write = found
        try:
            return write(readable.from_tree(tree["receipt"], kind, "receipt", size_bytes_max=SIZE_BYTES_MAX))
        except (LedgerError, AttributeError, TypeError):
            pass
    return readable.render(tree)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, member or index) below a tree."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        entries = (
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        )
        for name, item in entries:
            found.append((node, name))
            waiting.append(item)
    return found


def _change(rng: random.Random, tree: Any, donor: Any) -> None:
    places = _places(tree)
    if not places:
        return
    node, name = rng.choice(places)
    value = node[name]
    match rng.randrange(9):
        case 0 | 1 | 2 if isinstance(value, str) and value:
            at = rng.randrange(len(value))
            node[name] = value[:at] + rng.choice("0123456789abcdefgA测") + value[at + 1 :]
        case 3 if isinstance(value, int):
            node[name] = value + rng.choice([-1, 1, 2, 2**32, 2**53, 2**64, -(2**63)])
        case 4 if isinstance(node, list):
            node.insert(rng.randrange(len(node) + 1), value)
        case 5 if isinstance(node, list):
            del node[name]
        case 6 if isinstance(node, dict):
            others = [other for other, item in node.items() if type(item) is type(value)]
            node[name] = node[rng.choice(others)]
        case 7:
            same = [
                item
                for place, item_name in _places(donor)
                if item_name == name
                for item in (place[item_name],)
            ]
            node[name] = rng.choice(same) if same else value
        case _:
            node[name] = rng.choice([None, 0, 1, -1, "", "00", [], {}, True, value, "\ud800", 2**63])


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(8 * len(data)) if data else 0
    return bytes(byte ^ (1 << (at & 7)) if index == at >> 3 else byte for index, byte in enumerate(data))


def _splice(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    insert = rng.choice(
        [b"", b" ", b"\n", b"0", b"\x00", b'"', b"{", b"]", b"\xff", b"\\u0000", b"-", b".0", b"1e1"]
    )
    return data[:at] + insert + data[at + rng.choice([0, 0, 1, 2, 30]) :]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice([1, 10, 100, 1000]))
    return data[:end] + data[start:end] * rng.choice([1, 2, 50]) + data[end:]


def _token(rng: random.Random, data: bytes) -> bytes:
    old, new = rng.choice(
        [
            (b"1", b"2"),
            (b"0", b"1"),
            (b"true", b"1"),
            (b'"ok"', b'"no"'),
            (b": ", b":"),
            (b"finalize", b"notarize"),
            (b"null", b'""'),
            (b"  ", b"\t"),
            (b",\n", b", \n"),
        ]
    )
    count = data.count(old)
    if not count:
        return data
    at = -1
    for _ in range(rng.randrange(min(count, 40)) + 1):
        at = data.find(old, at + 1)
    return data[:at] + new + data[at + len(old) :]


def keep(question: Question, folder: Path) -> Path:
    """Write the files of a difference."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in zip(("receipt", "trust", "epochs"), question, strict=True):
        if part is not None:
            (folder / f"{name}.json").write_bytes(part)
    return folder


def compare(seed: int, *, runs: int, seconds: float, answers: Answers) -> tuple[Counter[str], list[Question]]:
    """Ask both until `runs` or `seconds` are over; how often each verdict was given, and the differences."""
    tamperer = Tamperer(seed)
    verdicts: Counter[str] = Counter()
    differences: list[Question] = []
    end = time.monotonic() + seconds
    while verdicts.total() < runs and time.monotonic() < end and len(differences) < 10:
        question = tamperer.question()
        expected, actual = verdict_of(*question), answers.ask(question)
        verdicts[expected] += 1
        if actual != expected:
            differences.append(question)
            sys.stdout.write(f"Python: {expected}; TypeScript: {actual}\n")
    return verdicts, differences


def main() -> int:
    """Run, print, and leave with 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--runs", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with typescript() as answers:
        verdicts, differences = compare(
            options.seed, runs=options.runs, seconds=options.seconds, answers=answers
        )
    for index, question in enumerate(differences):
        sys.stdout.write(f"kept in {keep(question, ROOT / 'build' / 'fuzz' / 'verifiers' / str(index))}\n")
    shown = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
    sys.stdout.write(f"{verdicts.total()} files, {len(differences)} differences: {shown}\n")
    missing = [] if verdicts[VALID] and len(verdicts) > 5 else ["too few kinds of verdict to mean anything"]
    for reason in missing:
        sys.stdout.write(reason + "\n")
    return 1 if differences or missing else 0


if __name__ == "__main__":
    sys.exit(main())
