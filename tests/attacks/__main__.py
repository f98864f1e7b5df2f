"""`python -m tests.attacks`: attack a city of four real nodes, and print what came of it.

    NAME …        these attacks          --quick    the selection that is part of `make test`
    --list        what there is          --json [FILE]    the rows as JSON, by default build/attacks.json

Exit status: 0 every attack was withstood, 1 one was not, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.attacks import doors, file_attacks, people_attacks, race_attacks, scene, vault_attacks
from tests.attacks.table import ATTACKS, Attack, Row, Succeeded, render

# Attacks put themselves into the table when their room is imported.
ROOMS: Final = (doors, vault_attacks, race_attacks, file_attacks, people_attacks)
JSON_DEFAULT: Final = Path("build/attacks.json")
REASON_LENGTH_MAX: Final = 600


def say(text: str) -> None:
    """A line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.attacks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json", nargs="?", type=Path, const=JSON_DEFAULT)
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in ATTACKS]
    if unknown:
        parser.error(f"no such attack: {', '.join(unknown)}; there are {', '.join(ATTACKS)}")
    return given


def perform(attack: Attack, city: scene.Scene) -> Row:
    """Try one attack. An error of our own is not a success of the attacker, but no proof that it was withstood either."""
    begun = time.monotonic()
    try:
        got, held = attack.attempt(city), True
    except Succeeded as error:
        got, held = f"the attack succeeded: {error}", False
    except Exception as error:  # noqa: BLE001  # whatever it is, the table says it and goes on
        got, held = f"not decided: {type(error).__name__}: {error}"[:REASON_LENGTH_MAX], False
    return Row(attack.name, attack.attacker, attack.expected, got, held, round(time.monotonic() - begun, 2))


def main(arguments: Sequence[str]) -> int:
    """Run the program; the exit status."""
    given = parse(arguments)
    if given.list:
        for each in ATTACKS.values():
            say(f"{each.name:<40} {'quick' if each.quick else '':<6} {each.attacker}")
        return 0
    chosen = [ATTACKS[name] for name in given.names] or [
        each for each in ATTACKS.values() if each.quick or not given.quick
    ]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="zhenglian-attacks-") as folder, scene.city(Path(folder)) as city:
        for number, each in enumerate(chosen, 1):
            say(f"[{number}/{len(chosen)}] {each.name}")
            rows.append(perform(each, city))
    say("\n" + render(rows))
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    broken = [row.attack for row in rows if not row.held]
    say(
        f"{len(rows) - len(broken)} of {len(rows)} attacks withstood"
        + (f"; BROKEN: {', '.join(broken)}" if broken else "")
    )
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
