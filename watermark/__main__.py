"""The command line of the engine alone: `python -m watermark embed …` and `python -m watermark detect …`.

Rule: one key file is the only secret; layout key and seeds come from it by HMAC, bound to the original's bytes. Exit
code 0 means that a file was marked, or a leak judged (whatever the verdict); 2 means that an input could not be read,
with the reason in zh and en on standard error. The process bounds its own memory before it reads a byte.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from contextlib import suppress
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
from watermark.errors import FileRefused, KeyInvalid, MediaMalformed, WatermarkError
from watermark.files import check_output, read_file, write_file
from watermark.keys import RELEASE_ID_BYTES
from watermark.limits import CANDIDATES_MAX, FILE_BYTES_MAX, PHANTOMS_MAX, within
from watermark.visible import VisibleTier, with_tier

SCHEMA_BYTES_MAX: Final = 1 << 20
KEY_FILE_BYTES_MAX: Final = 4096
IDS_BYTES_MAX: Final = 18 * CANDIDATES_MAX + 1024
"""Sixteen digits and a line end of two characters each, and a mark of the encoding."""
MEMORY_BYTES_MAX: Final = 6 << 30
"""Data that the command keeps in memory; a file that asks for more is refused."""
EXIT_UNREADABLE: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _say(_embed(options) if options.command == "embed" else _detect(options))
    except WatermarkError as error:
        for language in ("zh", "en"):
            # One line each, whatever a file's own words hold.
            sys.stderr.write(" ".join(error.message(language).split()) + "\n")
        return EXIT_UNREADABLE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m watermark", description="Mark files and trace leaks.")
    commands = parser.add_subparsers(dest="command", required=True)
    marking = commands.add_parser("embed", help="write the mark of one release into a file")
    tracing = commands.add_parser("detect", help="name the releases whose mark a leak carries")
    for command in (marking, tracing):
        command.add_argument("--key-file", type=Path, required=True, help="32 bytes or more, or their hex")
        command.add_argument("--schema", type=Path, help="JSON: what may be changed in the file")
    marking.add_argument("--release-id", required=True, help="16 hex digits")
    marking.add_argument("--visible", metavar="WORDS", help="also tile these words faintly over every page")
    marking.add_argument(
        "--visible-code", metavar="TEXT", default="", help="with --visible: also a QR code of this text"
    )
    marking.add_argument("original", type=Path, metavar="ORIGINAL")
    marking.add_argument("marked", type=Path, metavar="MARKED")
    tracing.add_argument("--original", type=Path, required=True)
    tracing.add_argument("--candidates", type=Path, required=True, help="release ids, one a line")
    tracing.add_argument("--json", action="store_true", help="print the verdict as JSON")
    tracing.add_argument("leak", type=Path, metavar="LEAK")
    return parser


def _embed(options: argparse.Namespace) -> str:
    check_output(options.marked, (options.original, options.key_file, options.schema))
    original = read_file(options.original, "FILE_BYTES_MAX", FILE_BYTES_MAX)
    keys = AssetKey.from_master(_master(options.key_file), original)
    seed = codeword_seed(keys.mark, _release_id(options.release_id))
    media_type = sniff(original)
    tier = _tier(options)
    marked = embed(original, media_type, layout_key=keys.layout, seed=seed, policy=_policy(options.schema))
    if tier is not None:
        marked = with_tier(marked, media_type, tier)
    write_file(options.marked, marked.data)
    return json.dumps(marked.manifest.to_json(), ensure_ascii=False)


def _tier(options: argparse.Namespace) -> VisibleTier | None:
    if options.visible is None:
        if options.visible_code:
            raise PolicyInvalid(reason="--visible-code needs --visible")
        return None
    return VisibleTier(words=options.visible, code=options.visible_code)


def _detect(options: argparse.Namespace) -> str:
    original = read_file(options.original, "FILE_BYTES_MAX", FILE_BYTES_MAX)
    leak = read_file(options.leak, "FILE_BYTES_MAX", FILE_BYTES_MAX)
    keys = AssetKey.from_master(_master(options.key_file), original)
    lines = _text(options.candidates, "IDS_BYTES_MAX", IDS_BYTES_MAX).split()
    ids = {_release_id(line) for line in lines}
    within("CANDIDATES_MAX", CANDIDATES_MAX, len(ids))
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
    return json.dumps(verdict.to_json(), ensure_ascii=False) if options.json else _in_words(verdict)


def _in_words(verdict: Verdict) -> str:
    lines = [f"verdict: {verdict.verdict.value}", f"alignment: {verdict.alignment}"]
    lines += [
        f"release {match.release_id.hex()}: log10(N*p) = {match.log10_np:.1f} ({', '.join(match.channels)})"
        for match in verdict.matches
    ]
    if verdict.phantom_best_log10_np is not None:
        lines.append(f"best of the ids never issued: log10(N*p) = {verdict.phantom_best_log10_np:.1f}")
    lines += [f"{note.zh} / {note.en}" for note in verdict.notes]
    return "\n".join(lines)


def _say(text: str) -> None:
    """Print a result; what the terminal's encoding lacks is escaped, as JSON escapes it."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = (
            json.dumps(json.loads(text)) if text.startswith("{") else text.encode("ascii", "replace").decode()
        )
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):
            # The interpreter would try once more at its end, and exit with a code of its own.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise FileRefused(what="standard output", reason=error.strerror or str(error)) from error


def _text(path: Path, limit: str, bytes_max: int) -> str:
    try:
        return read_file(path, limit, bytes_max).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaMalformed(what=str(path), reason="not UTF-8 text") from error


def _master(path: Path) -> bytes:
    data = read_file(path, "KEY_FILE_BYTES_MAX", KEY_FILE_BYTES_MAX)
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
        document = json.loads(
            _text(path, "SCHEMA_BYTES_MAX", SCHEMA_BYTES_MAX), object_pairs_hook=_without_doubles
        )
    except (ValueError, RecursionError) as error:
        raise PolicyInvalid(reason="the schema is not JSON") from error
    if not isinstance(document, dict):
        raise PolicyInvalid(reason="the schema is not a JSON object")
    return Policy.from_json(document)


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise PolicyInvalid(reason="a name stands twice in one object of the schema")
    return members


def _bound_memory() -> None:
    """No file, whatever it unpacks to, takes more than `MEMORY_BYTES_MAX` of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([MEMORY_BYTES_MAX, *known]), hard))


def _keep_errors_apart() -> None:
    """Decoders in C write to standard error as they please; what this program has to say goes there alone."""
    ours = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(ours, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")


if __name__ == "__main__":
    _keep_errors_apart()
    _bound_memory()
    sys.exit(main())
