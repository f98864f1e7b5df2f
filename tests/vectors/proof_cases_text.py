"""Files that were changed as text: summaries, other ways of writing the same, what is no such file, and sizes."""

from __future__ import annotations

from tests.vectors.proof_builder import MIB, VALID, Builder, Splice
from tests.vectors.proof_files import KEY


def summaries(b: Builder) -> None:
    def case(name: str, verdict: str, old: str, new: str, base: str = "receipt") -> None:
        b.add(f"file: {name}", verdict, base, receipt=b.text(base, old, new))

    case("a changed summary", "summary", '"result": "ok"', '"result": "no"')
    case("a changed time", "summary", '"block_time": "2026', '"block_time": "2027')
    case("a text for a number", "summary", '"block_height": 1', '"block_height": "1"')
    case("true for 1", "not_canonical", '"block_height": 1', '"block_height": true')
    case("presence called absence", "summary", '"state": "present"', '"state": "absent"', "state_present")
    case("a half of a pair in the summary", "summary", '"result": "ok"', '"result": "\\ud800"')
    text = b.files["receipt.json"]
    lines = text.split("\n")
    at = next(index for index, line in enumerate(lines) if '"network"' in line)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    b.add("file: the summary in another order", "not_canonical", receipt="\n".join(lines))
    b.add("file: no final newline", "not_canonical", receipt=text.rstrip("\n"))
    b.add("file: a newline more", "not_canonical", receipt=text + "\n")
    b.add("file: a space before", "not_canonical", receipt=" " + text)
    b.add("file: packed", "not_canonical", receipt=text.replace("\n", "").replace("  ", ""))
    b.add("file: escaped characters", "not_canonical", receipt=text.replace("测", "\\u6d4b"))
    b.add("file: an escaped letter", "not_canonical", receipt=text.replace('"ok"', '"o\\u006b"', 1))
    small = b.files["small_receipt.json"]
    b.add(
        "file: minus nought",
        "not_canonical",
        "small_receipt",
        trust="small_trust",
        receipt=small.replace('"index": 0', '"index": -0'),
    )
    b.add("file: the format last", "not_canonical", receipt=_format_last(text))


def _format_last(text: str) -> str:
    first = '  "format": "zhenglian-receipt-1",\n'
    assert first in text
    return text.replace(first, "").removesuffix("\n}\n") + ',\n  "format": "zhenglian-receipt-1"\n}\n'


def formats(b: Builder) -> None:
    text = b.files["receipt.json"]

    def case(name: str, old: str, new: str, base: str = "receipt") -> None:
        b.add(f"format: {name}", "format", base, receipt=b.text(base, old, new))

    for name, data in {
        "empty": b"",
        "a space": b" ",
        "an empty object": b"{}",
        "an empty list": b"[]",
        "null": b"null",
        "a text": b'"zhenglian-receipt-1"',
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "no UTF-8": text.encode().replace("测".encode(), b"\xff\xfe\xfd"),
        "a surrogate in UTF-8": text.encode().replace("测".encode(), b"\xed\xa0\x80"),
        "UTF-16": text.encode("utf-16-le"),
        "cut": text.encode()[:-100],
        "something behind": text.encode() + b"x",
        "a second object behind": text.encode() + b"{}",
        "a zero byte behind": text.encode() + b"\x00",
    }.items():
        b.add(f"format: {name}", "format", receipt=data)
    for other in ("trust", "epochs"):
        b.add(f"format: the {other} file", "format", receipt=other)
    case("another version of the format", "zhenglian-receipt-1", "zhenglian-receipt-2")
    case("a receipt that calls itself a state receipt", "zhenglian-receipt-1", "zhenglian-state-receipt-1")
    case(
        "a state receipt that calls itself a receipt",
        "zhenglian-state-receipt-1",
        "zhenglian-receipt-1",
        "state_present",
    )
    case("a number for the format", '"zhenglian-receipt-1"', "1")
    case("a member twice", '"summary": {', '"summary": {}, "summary": {')
    case("a member twice, deep", '"view": ', '"view": 0, "view": ')
    case("an unknown member", '"summary": {', '"extra": 1, "summary": {')
    case("an unknown member, deep", '"parent": ', '"extra": 1, "parent": ')
    case("a misspelt member", '"parent"', '"Parent"')
    case("a fraction", '"block_height": 1', '"block_height": 1.0')
    case("an exponent", '"block_height": 1', '"block_height": 1e0')
    case("no number", '"block_height": 1', '"block_height": NaN')
    case("infinity", '"block_height": 1', '"block_height": -Infinity')
    case("a leading nought", '"block_height": 1', '"block_height": 01')
    case("a leading plus", '"block_height": 1', '"block_height": +1')
    case("a number too long", '"block_height": 1', '"block_height": ' + "1" * 21)
    case("a number of 5,000 digits", '"block_height": 1', '"block_height": ' + "1" * 5000)
    case("a number above 2^53", '"view": 1,', f'"view": {2**53},')
    case("a number above 2^64", '"view": 1,', f'"view": {2**64},')
    case("a negative number", '"view": 1,', '"view": -1,')
    case("a truth for a number", '"view": 1,', '"view": true,')
    case("a text for a number", '"view": 1,', '"view": "1",')
    case("null for a number", '"view": 1,', '"view": null,')
    case("a number for bytes", '"output": "01"', '"output": 1')
    case("capital hex", '"output": "01"', '"output": "0A"')
    case("half a byte", '"output": "01"', '"output": "012"')
    case("no hex", '"output": "01"', '"output": "0g"')
    case("hex with a space", '"output": "01"', '"output": "01 "')
    case("an unknown kind of vote", '"kind": "finalize"', '"kind": "Finalize"')
    case("a kind of vote by its number", '"kind": "finalize"', '"kind": 3')
    case("a text too long", '"contract": "grants"', f'"contract": "{"g" * 65}"')
    case("a text too long in characters", '"contract": "grants"', f'"contract": "{"𠮷" * 65}"')
    case("an empty text", '"contract": "grants"', '"contract": ""')
    case("half a pair", '"contract": "grants"', '"contract": "\\ud800"')
    case("the other half of a pair", '"contract": "grants"', '"contract": "\\udc00x"')
    case("an unknown escape", '"contract": "grants"', '"contract": "\\x67rants"')
    case("a cut escape", '"contract": "grants"', '"contract": "\\u67"')
    case("a tab in a text", '"contract": "grants"', '"contract": "gr\tants"')
    case("a newline in a text", '"contract": "grants"', '"contract": "gr\nants"')
    case("single quotes", '"contract": "grants"', "\"contract\": 'grants'")
    case("a comma at the end", '"validators_signed": 3\n', '"validators_signed": 3,\n')
    case("a comment", '"summary": {', '/* */ "summary": {')
    case("no colon", '"summary": {', '"summary" {')
    case("a list for an object", '"receipt": {', '"receipt": [], "x": {')
    case("a pair of three", '"limit",\n          7', '"limit",\n          7,\n          8')
    case("a fact that is a list", '"limit",\n          7', '"limit",\n          [7]')
    case("a fact that is true", '"limit",\n          7', '"limit",\n          true')
    case("a fact above 2^64", '"limit",\n          7', f'"limit",\n          {2**64}')
    case("null for a leaf's hash", '"value_hash": "', '"value_hash": null, "x": "', "state_present")
    case("false for nothing", '"value": null', '"value": false', "state_absent")
    case("an empty key", f'"key": "{KEY.hex()}",\n    "value"', '"key": "",\n    "value"', "state_present")
    case(
        "a key of 512 bytes",
        f'"key": "{KEY.hex()}",\n    "value"',
        f'"key": "{"6b" * 512}",\n    "value"',
        "state_present",
    )
    case("a name of the prototype", '"summary": {', '"__proto__": {}, "summary": {')
    b.add("format: a text that is not ended", "format", receipt=text[:200] + '\\"' * 50)
    siblings = '"siblings": [\n        "'
    zeros = '"siblings": [\n        ' + f'"{"00" * 32}",\n        ' * 65 + '"'
    b.add("format: too many siblings", "format", receipt=text.replace(siblings, zeros, 1))


def sizes(b: Builder) -> None:
    text = b.files["receipt.json"].encode()
    huge = Splice(offset=len(text), remove=0, insert=b" ", times=16 * MIB)
    b.add("size: 16 MiB of space", "limit_exceeded", receipt=huge)
    output = text.index(b'"output": "01"') + len(b'"output": "01')
    b.add(
        "size: an output of 4 MiB",
        "limit_exceeded",
        receipt=Splice(offset=output, remove=0, insert=b"00", times=4 * MIB),
    )
    b.add("size: a value of 1 MiB and a byte", "format", "state_present", receipt=_value(b, MIB + 1))
    b.add("size: a value of 1 MiB", "state_proof", "state_present", receipt=_value(b, MIB))
    for name, opening in {"lists": b"[", "objects": b'{"a":'}.items():
        b.add(
            f"size: a million nested {name}",
            "format",
            receipt=Splice(offset=0, remove=len(text), insert=opening, times=10**6),
        )
    nested = text.index(b'"block_height": 1,') + len(b'"block_height": ')
    b.add(
        "size: nested 33 deep",
        "format",
        receipt=Splice(offset=nested, remove=1, insert=b"[" * 31 + b"]" * 31),
    )
    b.add(
        "size: nested 32 deep",
        "summary",
        receipt=Splice(offset=nested, remove=1, insert=b"[" * 30 + b"]" * 30),
    )
    b.add(
        "size: two million escaped quotes that are not ended",
        "format",
        receipt=Splice(offset=0, remove=len(text), insert=b'"' + b'\\"' * 1000, times=1000),
    )
    trust = b.files["trust.json"].encode()
    b.add(
        "size: a trust file of 1 MiB of space",
        "limit_exceeded",
        trust=Splice(offset=len(trust), remove=0, insert=b"\n", times=MIB),
    )
    b.add(
        "size: a trust file of much space",
        VALID,
        trust=Splice(offset=len(trust), remove=0, insert=b"\n", times=MIB - len(trust)),
    )
    epoch_text = b.files["epochs.json"].encode()
    b.add(
        "size: 48 MiB of space in the changes",
        "limit_exceeded",
        epochs=Splice(offset=len(epoch_text), remove=0, insert=b" ", times=48 * MIB),
    )


def _value(b: Builder, size: int) -> Splice:
    text = b.files["state_present.json"].encode()
    marker = b'"value": "'
    value = b"issued".hex().encode()
    at = text.index(marker) + len(marker)
    assert text[at:].startswith(value)
    return Splice(offset=at, remove=len(value), insert=b"00", times=size)
