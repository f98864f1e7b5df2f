"""Typed decoders are made by one thread at a time: msgspec ends a process whose threads make two at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from ledger.decoders import convert, decode_json, decode_msgpack

ROOT: Final = Path(__file__).parents[2]
ROOM: Final = ROOT / "ledger" / "decoders.py"
PACKAGES: Final = ("bench", "clients", "consensus", "contracts", "ledger", "network", "node", "watermark")

# Threads that all use types for the first time; without the rule this ends with a segmentation fault.
FIRST_USE: Final = """
import sys, threading
import msgspec
from ledger.decoders import convert, decode_json, decode_msgpack
sys.setswitchinterval(1e-6)
KINDS = '''
class Leaf(msgspec.Struct):
    number: "int"
    text: "tuple[str, ...]"
class Branch(msgspec.Struct):
    leaf: "Leaf"
    leaves: "tuple[Leaf, ...]"
class Tree(msgspec.Struct):
    branch: "Branch"
    leaf: "Leaf"
'''
for turn in range(100):
    exec(KINDS)
    leaf = Leaf(1, ("a",))
    tree = Tree(Branch(leaf, (leaf, leaf)), leaf)
    packed, written, plain = msgspec.msgpack.encode(tree), msgspec.json.encode(tree), msgspec.to_builtins(tree)
    ways = [
        lambda: decode_msgpack(packed, Tree),
        lambda: decode_json(written, Tree),
        lambda: convert(plain, Tree),
        lambda: decode_json(msgspec.json.encode(tree.branch), Branch),
    ]
    begin, read = threading.Barrier(len(ways)), []
    def use(way):
        begin.wait()
        read.append(way())
    threads = [threading.Thread(target=use, args=(way,)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read.count(tree) == 3, read
    assert read.count(tree.branch) == 1, read
print("whole")
"""


def test_threads_may_all_be_the_first_to_use_a_type() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr


def _names_a_type(call: ast.Call) -> bool:
    """Whether a call has msgspec make a decoder, or a description, of a type."""
    match call.func:
        case ast.Attribute(attr="Decoder" | "convert", value=value) if "msgspec" in ast.dump(value):
            return True
        case ast.Attribute(attr="decode", value=ast.Attribute(value=ast.Name(id="msgspec"))):
            return any(keyword.arg == "type" for keyword in call.keywords)
        case _:
            return False


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_but_the_decoders_names_a_type_to_msgspec(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / package).rglob("*.py")
        if path != ROOM
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _names_a_type(node)
    ]
    assert found == []


def test_the_check_sees_what_it_is_for() -> None:
    calls = [node for node in ast.walk(ast.parse(ROOM.read_text())) if isinstance(node, ast.Call)]
    assert sum(map(_names_a_type, calls)) == 3


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    tag: bytes = b""


@pytest.mark.parametrize("read", [decode_json, decode_msgpack])
def test_decoding_is_strict(read: Any) -> None:
    encode = msgspec.json.encode if read is decode_json else msgspec.msgpack.encode
    assert read(encode({"x": 1}), Point) == Point(1)
    for wrong in ({"x": "1"}, {"x": 1, "y": 2}, {}):
        with pytest.raises(msgspec.ValidationError):
            read(encode(wrong), Point)


def test_conversion_is_as_strict_as_it_is_told() -> None:
    assert convert({"x": "1"}, Point, strict=False) == Point(1)
    assert convert({"x": 1, "tag": b"a"}, Point, builtin_types=(bytes,)) == Point(1, b"a")
    with pytest.raises(msgspec.ValidationError):
        convert({"x": "1"}, Point)
