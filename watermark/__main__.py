"""The command line of the engine alone: `python -m watermark embed …` and `python -m watermark detect …`.

Rule: one key file is the only secret; layout key and seeds come from it by HMAC, bound to the original's bytes. Exit
code 0 means that a file was marked, or a leak judged (whatever the verdict); 2 means that an input could not be read,
with the reason in zh and en on standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from watermark import (
    AssetKey,
    Policy,
    PolicyInvalid,
    Verdict,
    codeword_seed,
    detect,
    embed,
    phantom_seeds,
    sniff,
)
from watermark.errors import KeyInvalid, MediaMalformed, WatermarkError
from watermark.keys import RELEASE_ID_BYTES
from watermark.limits import CANDIDATES_MAX, FILE_BYTES_MAX, PHANTOMS_MAX, within

SCHEMA_BYTES_MAX: Final = 1 << 20
KEY_FILE_BYTES_MAX: Final = 4096
IDS_BYTES_MAX: Final = 17 * CANDIDATES_MAX
EXIT_UNREADABLE: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _embed(options) if options.command == "embed" else _detect(options)
    except WatermarkError as error:
        sys.stderr.write(f"{error.message('zh')}\n{error.message('en')}\n")
        return EXIT_UNREADABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m watermark", description="Mark files and trace leaks.")
    commands = parser.add_subparsers(dest="command", required=True)
    marking = commands.add_parser("embed", help="write the mark of one release into a file")
    tracing = commands.add_parser("detect", help="name the releases whose mark a leak carries")
    for command in (marking, tracing):
        command.add_argument("--key-file", type=Path, required=True, help="32 bytes or more, or their hex")
        command.add_argument("--schema", type=Path, help="JSON: what may be changed in the file")
    marking.add_argument("--release-id", required=True, help="16 hex digits")
    marking.add_argument("original", type=Path, metavar="ORIGINAL")
    marking.add_argument("marked", type=Path, metavar="MARKED")
    tracing.add_argument("--original", type=Path, required=True)
    tracing.add_argument("--candidates", type=Path, required=True, help="release ids, one a line")
    tracing.add_argument("--json", action="store_true", help="print the verdict as JSON")
    tracing.add_argument("leak", type=Path, metavar="LEAK")
    return parser


def _embed(options: argparse.Namespace) -> int:
    original = _read(options.original, FILE_BYTES_MAX)
    keys = AssetKey.from_master(_master(options.key_file), original)
    seed = codeword_seed(keys.mark, _release_id(options.release_id))
    marked = embed(
        original, sniff(original), layout_key=keys.layout, seed=seed, policy=_policy(options.schema)
    )
    try:
        options.marked.write_bytes(marked.data)
    except OSError as error:
        raise MediaMalformed(what=str(options.marked), reason=str(error.strerror)) from error
    sys.stdout.write(json.dumps(marked.manifest.to_json(), ensure_ascii=False) + "\n")
    return 0


def _detect(options: argparse.Namespace) -> int:
    original = _read(options.original, FILE_BYTES_MAX)
    leak = _read(options.leak, FILE_BYTES_MAX)
    keys = AssetKey.from_master(_master(options.key_file), original)
    lines = _text(options.candidates, IDS_BYTES_MAX).split()
    ids = {_release_id(line) for line in lines}
    verdict = detect(
        leak,
        original,
        sniff(original),
        layout_key=keys.layout,
        candidates={release_id: codeword_seed(keys.mark, release_id) for release_id in sorted(ids)},
        phantoms=phantom_seeds(keys.layout, leak, PHANTOMS_MAX),
        policy=_policy(options.schema),
        candidates_total=len(ids),
    )
    sys.stdout.write(
        json.dumps(verdict.to_json(), ensure_ascii=False) + "\n" if options.json else _in_words(verdict)
    )
    return 0


def _in_words(verdict: Verdict) -> str:
    lines = [f"verdict: {verdict.verdict.value}", f"alignment: {verdict.alignment}"]
    lines += [
        f"release {match.release_id.hex()}: log10(N*p) = {match.log10_np:.1f} ({', '.join(match.channels)})"
        for match in verdict.matches
    ]
    if verdict.phantom_best_log10_np is not None:
        lines.append(f"best of the ids never issued: log10(N*p) = {verdict.phantom_best_log10_np:.1f}")
    lines += [f"{note.zh} / {note.en}" for note in verdict.notes]
    return "\n".join(lines) + "\n"


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        within(str(path.name), bytes_max, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise MediaMalformed(what=str(path), reason=str(error.strerror)) from error


def _text(path: Path, bytes_max: int) -> str:
    try:
        return _read(path, bytes_max).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MediaMalformed(what=str(path), reason="not UTF-8 text") from error


def _master(path: Path) -> bytes:
    data = _read(path, KEY_FILE_BYTES_MAX)
    try:
        return bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        return data


def _release_id(text: str) -> bytes:
    try:
        release_id = bytes.fromhex(text)
    except ValueError as error:
        raise KeyInvalid(what="release id", reason=f"{text[:40]!r} is not hex") from error
    if len(release_id) != RELEASE_ID_BYTES:
        raise KeyInvalid(what="release id", reason=f"{2 * RELEASE_ID_BYTES} hex digits expected")
    return release_id


def _policy(path: Path | None) -> Policy:
    if path is None:
        return Policy()
    try:
        document = json.loads(_text(path, SCHEMA_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise PolicyInvalid(reason="the schema is not JSON") from error
    if not isinstance(document, dict):
        raise PolicyInvalid(reason="the schema is not a JSON object")
    return Policy.from_json(document)


if __name__ == "__main__":
    sys.exit(main())
