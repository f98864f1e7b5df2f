"""The documents against the code: links lead somewhere, tables say what the code says, commands exist.

Rule: nothing is run but the command line's own parser.
"""

from __future__ import annotations

import re
import shlex
import struct
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from contracts.grants import TRANSITIONS
from contracts.registry import METHODS
from ledger import domains, types
from ledger.quorum import possession_message, vote_message
from network import handshake, rpc
from node import cli
from node.vault import keys, records

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
PROTOCOL: Final = ROOT / "docs" / "protocol.md"
DOCUMENTS: Final = (README, *sorted((ROOT / "docs").rglob("*.md")))
NO_FOLDERS_OF_OURS: Final = frozenset({"build", "dist", "node_modules"})
BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND_BLOCKS: Final = ("sh", "console")


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def rows(document: Path, heading: str) -> list[list[str]]:
    """Cells of the table whose heading row begins with `heading`."""
    lines = document.read_text().splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")]
    assert len(at) == 1, f"{name_of(document)} has {len(at)} tables of {heading}"
    body = takewhile(lambda line: line.startswith("|"), lines[at[0] + 2 :])
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in body]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- links --------------------------------------------------------------------------------------------------


def links(text: str) -> list[str]:
    return re.findall(r"\[[^\]\n]*\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text)))


def anchors(text: str) -> set[str]:
    """What a heading is linked by: its words in lowercase, joined by hyphens."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{name_of(document)} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{name_of(document)} links to {link}"


@pytest.mark.parametrize("heading", ["folder", "目录"])
def test_the_readme_names_exactly_the_folders_there_are(heading: str) -> None:
    there = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith((".", "_")) and path.suffix != ".egg-info"
    }
    named = [quoted(row[0])[0].rstrip("/") for row in rows(README, heading)]
    assert sorted(named) == sorted(there - NO_FOLDERS_OF_OURS)


# --- the protocol's tables ----------------------------------------------------------------------------------


def value_of(name: str, modules: list[str]) -> Any:
    """The one value that a name like `LIMIT` or `Defaults.limit` has in these modules."""
    first, _, member = name.partition(".")
    found = [getattr(module, first) for module in map(import_module, modules) if hasattr(module, first)]
    assert found, f"{name} is in none of {modules}"
    return getattr(found[0](), member) if member else found[0]


def test_every_limit_in_the_protocol_is_that_of_the_code() -> None:
    limits = [
        (name, modules, int(value.replace(",", "")))
        for _, modules, cell in rows(PROTOCOL, "of")
        for name, value in re.findall(r"`([\w.]+)` ([0-9]+(?:,[0-9]{3})*)", cell)
    ]
    assert len(limits) > 50
    for name, modules, value in limits:
        assert value_of(name, quoted(modules)) == value, name


def test_every_struct_in_the_protocol_has_the_members_of_the_code() -> None:
    homes = (
        types,
        records,
        keys,
        handshake,
        rpc,
        import_module("ledger.state_tree"),
        import_module("ledger.snapshot"),
        import_module("node.vault.records"),
        import_module("contracts.passkeys"),
    )
    listed = {quoted(row[0])[0]: row[1].split(", ") for row in rows(PROTOCOL, "struct")}
    for name, members in listed.items():
        kind = next(getattr(home, name) for home in homes if hasattr(home, name))
        assert members == list(kind.__struct_fields__), name
        assert kind.__struct_config__.array_like
    assert {"Transaction", "Header", "Receipt", "Manifest", "Hello"} <= listed.keys()


def test_every_domain_is_in_the_protocol_and_written_as_it_says() -> None:
    there = {name: value for name, value in vars(domains).items() if isinstance(value, bytes)}
    listed = [name for row in rows(PROTOCOL, "domain") for name in quoted(row[0])]
    assert sorted(listed) == sorted(there)
    for name, value in there.items():
        assert value == f"zhenglian/{name.lower().replace('_', '-')}/1".encode()


def test_every_method_in_the_protocol_has_the_callers_and_the_cost_of_the_code() -> None:
    listed = {}
    for names, callers, cost in rows(PROTOCOL, "methods"):
        pairs = set()
        for part in callers.split(", "):
            kind, _, role = part.partition(" ")
            pairs.add((kind, role or callers.rpartition(" ")[2]))
        listed.update(dict.fromkeys(quoted(names), (pairs, int(cost))))
    assert listed == {
        ".".join(name): ({(caller.kind.value, caller.role.value) for caller in method.callers}, method.cost)
        for name, method in METHODS.items()
    }


def test_every_transition_of_a_grant_is_in_the_protocol() -> None:
    listed = {
        (state, *re.split(r" → ", step))
        for state, steps in rows(PROTOCOL, "state")
        for step in steps.split(", ")
    }
    assert listed == {
        (state.value, step.value, target.value) for (state, step), target in TRANSITIONS.items()
    }


def test_what_votes_and_possession_sign_is_laid_out_as_the_protocol_says() -> None:
    text = PROTOCOL.read_text()
    digest, chain, account, key = b"\x01" * 32, b"\x02" * 32, b"\x03" * 16, b"\x04" * 48
    (size, domain), (other_size, other) = re.findall(r'`u8\((\d+)\) ‖ "([^"]+)" ‖', text)
    head = bytes((int(size),)) + domain.encode()
    vote = head + chain + struct.pack(">QBQ", 5, types.VoteKind.FINALIZE, 7) + digest
    assert vote == vote_message(chain, types.VoteKind.FINALIZE, 5, 7, digest)
    head = bytes((int(other_size),)) + other.encode()
    assert head + b"\x00\x03net" + account + key == possession_message("net", account, key)


# --- the command line ---------------------------------------------------------------------------------------


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of every `zhenglian …` in the text, be it in a block of commands or within a line."""
    blocks = [body for language, body in BLOCK.findall(text) if language in COMMAND_BLOCKS]
    inline = re.findall(r"`(zhenglian [a-z][^`\n]*)`", BLOCK.sub("", text))
    for line in [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + inline:
        found = re.match(r"\s*(?:\$ )?(?:\S*/)?zhenglian (.*)", line)
        if found is None:
            continue
        words = shlex.split(found[1], comments=True)
        end = next((at for at, word in enumerate(words) if word in {"|", "<", ">", ">>", "&&"}), len(words))
        yield words[:end]


@cache
def hollow() -> tuple[Any, list[bool]]:
    """The program, which reads a command line and does nothing where the command would begin but say so."""
    reached: list[bool] = []

    def emptied(group: Any) -> None:
        for command in group.commands.values():
            if hasattr(command, "commands"):
                emptied(command)
            else:
                command.callback = lambda **_options: reached.append(True)

    root = typer.main.get_command(cli.app)
    emptied(root)
    return root, reached


def parse(words: list[str]) -> None:
    """Have the program read a command line.

    Raises:
        click.UsageError: no such command, no such option, or an argument too many or missing.
    """
    root, reached = hollow()
    reached.clear()
    root.main(list(words), prog_name="zhenglian", standalone_mode=False)
    assert reached, "the line ends before a command"


LINES: Final = [
    pytest.param(words, id=f"{name_of(document)}: {' '.join(words)}")
    for document in DOCUMENTS
    for words in command_lines(document.read_text())
]


@pytest.mark.parametrize("words", LINES)
def test_every_command_line_is_one_that_the_program_reads(words: list[str]) -> None:
    parse(words)


def test_command_lines_are_found_in_the_readme_and_the_manual() -> None:
    assert {"README.md", "docs/operations.md"} <= {str(line.id).partition(":")[0] for line in LINES}


@pytest.mark.parametrize(
    "line",
    [
        "node start",
        "node run --hom x",
        "status now",
        "node genesis --out x",
        "nothing",
        "verify",
        "gov --deep",
    ],
)
def test_a_command_line_that_the_program_does_not_read_is_noticed(line: str) -> None:
    with pytest.raises(Exception) as caught:  # click's own class may come with typer
        parse(next(command_lines(f"```sh\n$ zhenglian {line}  # comment\n```\n")))
    assert type(caught.value).__name__ in {"UsageError", "NoSuchOption", "MissingParameter"}


def test_broken_links_and_anchors_are_noticed() -> None:
    assert links("[a](b.md#c) `[x](y)`\n```\n[x](z)\n```\n") == ["b.md#c"]
    assert anchors("# Results and events\n```\n# no\n```\n## A, b") == {"results-and-events", "a-b"}
