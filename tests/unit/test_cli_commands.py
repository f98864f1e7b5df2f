"""The command line: stable JSON, exit codes that mean something, no stack trace for a user's fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ledger.errors import DecodeError
from ledger.receipts import build_receipt, epochs_to_json, receipt_to_json, trust_to_json
from node.cli import app, hoisted
from node.commands.release import parse_output
from tests.keeping import passphrase_file
from tests.suites import vector
from tests.unit.ledger_world import SUITE, World
from tests.unit.sdk_ledger import KEY, Ledger, in_thread, serving
from zhenglian import KeyFile, exchange

AWAY = "http://127.0.0.1:9"
RELEASE_OF = "00" * 16


class Ran:
    """One run of the command line."""

    def __init__(self, arguments: Sequence[object], language: str = "en", stdin: str | None = None) -> None:
        environment = {
            "ZHENGLIAN_LANG": language,
            "ZHENGLIAN_NODE": "",
            "ZHENGLIAN_KEY": "",
            "COLUMNS": "200",
        }
        result = CliRunner().invoke(app, [str(item) for item in arguments], env=environment, input=stdin)
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in self.out + self.err

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value that it must be."""
        return json.loads(self.out)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "officer.json"
    KEY.save(path, unencrypted=True)
    return path


# --- verify ---


def test_a_good_receipt_is_told_with_exit_0() -> None:
    ran = Ran(["verify", "--trust", vector("trust.json"), vector("receipt.json"), "--json"])
    assert ran.code == 0
    assert ran.json["valid"] is True
    assert set(ran.json) == {
        "valid",
        "network",
        "transaction_id",
        "call",
        "account",
        "key_id",
        "result",
        "height",
        "time",
        "block",
        "signers",
        "validators",
    }


def test_the_trust_beside_the_receipt_is_taken_when_none_is_named() -> None:
    assert Ran(["verify", vector("receipt.json")]).code == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"result": "ok"', '"result": "no"'),
        ('"block_height": 1', '"block_height": 2'),
        ('"method": "approve"', '"method": "revoke"'),
        ('"code": "ok"', '"code": "over_ask"'),
        ('"validators_signed": 3', '"validators_signed": 4'),
        ('"version": 1', '"version": 2'),
    ],
)
def test_any_change_to_a_receipt_is_told_with_exit_1_and_a_reason(tmp_path: Path, old: str, new: str) -> None:
    text = vector("receipt.json").read_text()
    assert old in text
    changed = tmp_path / "receipt.json"
    changed.write_text(text.replace(old, new, 1))
    ran = Ran(["--json", "verify", "--trust", vector("trust.json"), changed])
    assert ran.code == 1
    assert ran.json["valid"] is False
    assert ran.json["check"]
    assert ran.json["message_zh"] != ran.json["message_en"]


def test_a_receipt_under_somebody_elses_trust_does_not_hold(tmp_path: Path) -> None:
    text = vector("trust.json").read_text()
    place = text.index('"vote_key": "') + len('"vote_key": "')
    end = text.index('"', place)
    other = text[:place] + text[place:end][::-1] + text[end:]
    (tmp_path / "trust.json").write_text(other)
    assert Ran(["verify", "--trust", tmp_path / "trust.json", vector("receipt.json")]).code == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff\xff", b"[" * 5000])
def test_a_file_that_is_no_receipt_is_rejected_and_no_trust_is_bad_input(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert Ran(["verify", "--trust", vector("trust.json"), tmp_path / "x.json"]).code == 1
    assert Ran(["verify", "--trust", tmp_path / "x.json", vector("receipt.json")]).code == 2


def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    ran = Ran(["verify", "--trust", vector("trust.json"), tmp_path / "none.json", "--json"])
    assert ran.code == 2
    assert ran.json["error"]["code"] == "input_unusable"


# --- global options, languages, errors ---


def test_global_options_may_stand_anywhere_but_behind_the_dashes() -> None:
    assert hoisted(["tx", "show", "--json", "x", "--node", "u", "--lang=zh"]) == [
        "--json",
        "--node",
        "u",
        "--lang=zh",
        "tx",
        "show",
        "x",
    ]
    assert hoisted(["keys", "--", "--json"]) == ["keys", "--", "--json"]


@pytest.mark.parametrize(("language", "word"), [("zh", "密钥文件"), ("en", "key file")])
def test_errors_speak_the_users_language_and_say_what_to_do(language: str, word: str) -> None:
    ran = Ran(["grant", "list"], language)
    assert ran.code == 4
    assert word in ran.err
    assert "--key" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tx", "show", "zz"], 2),
        (["tx", "send", "grants.fly"], 2),
        (["tx", "send", "grants.revoke", "{"], 2),
        (["tx", "send", "grants.revoke", "{}"], 2),
        (["tx", "show", "00" * 32, "--node", AWAY], 3),
        (["tx", "show", "00" * 32, "--node", "nowhere"], 2),
        (["status", "--node", AWAY], 3),
        (["cert", "show", "00" * 16], 4),
        (["keys", "show", "/nonexistent"], 2),
        (["nonsense"], 2),
        (["--lang", "fr", "status"], 2),
        (["devnet", "status", "--dir", "/nonexistent"], 1),
        (["grant", "list", "--role", "owner"], 2),
    ],
)
def test_exit_codes_mean_something(arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhenglian.client.time.sleep", lambda _: None)
    assert Ran(arguments).code == code


def test_an_error_in_json_has_code_texts_and_fields() -> None:
    ran = Ran(["tx", "show", "zz", "--json"])
    assert set(ran.json["error"]) == {"code", "message_zh", "message_en", "fields"}
    assert ran.json["error"]["code"] == "malformed"


# --- keys ---


def test_a_new_key_is_private_and_its_secret_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    made = Ran(["keys", "new", path, "--role", "holder", "--label", "phone", "--json", "--unencrypted"])
    assert made.code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    secret = json.loads(path.read_text())["secret"]
    shown = Ran(["keys", "show", path, "--json"])
    assert shown.json == made.json
    assert secret not in made.out + shown.out + Ran(["keys", "list", tmp_path]).out
    assert set(shown.json) == {
        "path",
        "account",
        "key_id",
        "scheme",
        "public_key",
        "role",
        "label",
        "network",
        "lock",
    }
    assert Ran(["keys", "new", path]).code == 2, "never overwritten"


def test_a_key_is_readable_only_when_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "backoff_s", lambda *_: 0.0)
    path, words = tmp_path / "k.json", passphrase_file(tmp_path)
    refused = Ran(["keys", "new", path, "--json"])
    assert (refused.code, refused.json["error"]["code"]) == (4, "passphrase_needed")
    assert "--unencrypted" in refused.json["error"]["message_en"]
    assert not path.exists()
    made = Ran(["keys", "new", path, "--json", "--passphrase-file", words])
    assert (made.code, made.json["lock"]) == (0, "passphrase")
    assert Ran(["keys", "show", path, "--json"]).json == made.json, "what is public needs no passphrase"
    wrong = passphrase_file(tmp_path, "not the passphrase", "wrong")
    ran = Ran(
        ["cert", "show", "00" * 16, "--key", path, "--node", AWAY, "--json", "--passphrase-file", wrong]
    )
    assert (ran.code, ran.json["error"]["code"]) == (4, "passphrase_wrong")
    ran = Ran(
        ["cert", "show", "00" * 16, "--key", path, "--node", AWAY, "--json", "--passphrase-file", words]
    )
    assert ran.json["error"]["code"] == "not_reachable", "the key opened"


def test_a_key_files_passphrase_is_changed(tmp_path: Path) -> None:
    path, words = tmp_path / "k.json", passphrase_file(tmp_path)
    new = passphrase_file(tmp_path, "another passphrase", "new")
    assert Ran(["keys", "new", path, "--unencrypted"]).code == 0
    secret = json.loads(path.read_text())["secret"]
    assert Ran(["keys", "passphrase", path, "--new-passphrase-file", words]).code == 0
    assert Ran(["keys", "passphrase", path, "--new-passphrase-file", new]).code == 4
    short = passphrase_file(tmp_path, "elevenchars", "short")
    ran = Ran(["keys", "passphrase", path, "--passphrase-file", words, "--new-passphrase-file", short])
    assert ran.code == 2
    ran = Ran(["keys", "passphrase", path, "--passphrase-file", words, "--new-passphrase-file", new])
    assert ran.code == 0
    assert KeyFile.load(path, "another passphrase").secret == secret
    assert secret not in path.read_text()


def test_a_key_that_others_may_read_is_refused(key_file: Path) -> None:
    key_file.chmod(0o644)
    ran = Ran(["cert", "show", "00" * 16, "--key", key_file])
    assert ran.code == 2
    assert "chmod 600" in ran.err


def test_a_secret_key_file_is_not_taken_for_a_public_key(key_file: Path) -> None:
    ran = Ran(["org", "add-key", key_file, "--key", key_file, "--node", AWAY, "--json"])
    assert ran.code == 2
    assert "secret" in ran.json["error"]["message_en"]


# --- against a ledger ---


async def run(ledger: Ledger, *arguments: object, key: Path | None = None, stdin: str | None = None) -> Ran:
    async with serving(ledger) as url:
        given = [*arguments, "--node", url, *(["--key", key] if key else [])]
        found = await in_thread(lambda: Ran(given, stdin=stdin))
    assert isinstance(found, Ran)
    return found


async def test_status_tells_of_every_node_named() -> None:
    ran = await run(Ledger(), "status", "--json", "--node", AWAY)
    assert ran.code == 0
    assert [line["reachable"] for line in ran.json] == [False, True]
    assert ran.json[1]["status"]["height"] == 0


async def test_a_transaction_is_sent_and_its_receipt_verified(tmp_path: Path, key_file: Path) -> None:
    ledger = Ledger()
    arguments = json.dumps({"grant_id": "00" * 16})
    sent = await run(ledger, "tx", "send", "grants.revoke", arguments, "--json", key=key_file)
    assert (sent.code, sent.json["status"]) == (0, "finalized")
    receipt = tmp_path / "r.json"
    got = await run(ledger, "tx", "receipt", sent.json["transaction_id"], "--out", receipt, key=key_file)
    assert got.code == 0
    assert Ran(["verify", "--trust", vector("trust.json"), receipt]).code == 0, "the same network's keys"


async def test_a_denied_transaction_exits_1_with_the_ledgers_code(key_file: Path) -> None:
    ledger = Ledger(refuse={"grants.revoke": "not_the_holder"})
    ran = await run(
        ledger, "tx", "send", "grants.revoke", '{"grant_id": "' + "00" * 16 + '"}', "--json", key=key_file
    )
    assert ran.code == 1
    assert ran.json["error"]["code"] == "not_the_holder"


async def test_a_release_is_requested_and_gone_on_with(tmp_path: Path, key_file: Path) -> None:
    ledger = Ledger()
    output = f"{'00' * 16}:csv:name"
    first = await run(
        ledger, "release", "request", RELEASE_OF, "--output", output, "--to", tmp_path, "--json", key=key_file
    )
    assert first.code == 0
    assert set(first.json) == {"release_id", "state", "released_by", "files", "file_hashes", "receipt"}
    assert first.json["state"] == "delivered"
    second = await run(
        ledger, "release", "get", first.json["release_id"], "--to", tmp_path / "again", key=key_file
    )
    assert second.code == 0
    one, two = (next(folder.glob("*-0.csv")) for folder in (tmp_path, tmp_path / "again"))
    assert _same(one, two)
    assert Ran(["verify", "--trust", vector("trust.json"), first.json["receipt"]]).code == 0


def _same(one: Path, two: Path) -> bool:
    return one.read_bytes() == two.read_bytes()


async def test_of_an_untraceable_leak_those_who_had_it_are_listed_as_no_accusation(key_file: Path) -> None:
    leak, ledger = vector("receipt.json"), Ledger(verdict="untraceable")
    request = ("trace", "request", leak, "--certificate", "00" * 16, "--wait", "60")
    ran = await run(ledger, *request, key=key_file)
    assert ran.code == 1
    for part in ("accuses nobody", "ab" * 8, "银行一", "007", "loan", "and 1 more"):
        assert part in ran.out


async def test_a_trace_that_finds_nobody_exits_1(key_file: Path) -> None:
    leak = vector("receipt.json")
    ran = await run(
        Ledger(), "trace", "request", leak, "--certificate", "00" * 16, "--wait", "60", "--json", key=key_file
    )
    assert ran.code == 1
    assert ran.json["verdict"] == "none"


async def test_what_a_leak_leads_to_is_told_and_nothing_found_exits_1(key_file: Path) -> None:
    leak, ledger = vector("receipt.json"), Ledger()
    assert (await run(ledger, "trace", "find", leak, key=key_file)).code == 1
    ledger.candidates = [("ab" * 16, "qr_code")]
    told = await run(ledger, "trace", "find", leak, key=key_file)
    assert told.code == 0
    assert "ab" * 16 in told.out
    assert "a QR code" in told.out
    looked = await run(ledger, "trace", "looks", key=key_file)
    assert looked.code == 0
    assert "1970-01-01" in looked.out
    ran = await run(ledger, "trace", "looks", "--json", key=key_file)
    assert json.loads(ran.out)[0]["account"] == "a1" * 16
    ran = await run(ledger, "trace", "find", leak, "--json", key=key_file)
    assert ran.json["candidates"] == [{"certificate": "ab" * 16, "found_by": ["qr_code"]}]


async def test_a_trace_without_certificates_names_those_found_in_the_surest_way(key_file: Path) -> None:
    leak, ledger = vector("receipt.json"), Ledger()
    ledger.candidates = [
        ("aa" * 16, "identifier"),
        ("bb" * 16, "identifier"),
        ("cc" * 16, "certificate_number"),
    ]
    request = ("trace", "request", leak)
    refused = await run(ledger, *request, key=key_file, stdin="n\n")
    assert refused.code == 1
    assert "aa" * 16 in refused.out
    assert "2" in refused.err
    assert ledger.accepted == []
    unasked = await run(ledger, *request, "--json", key=key_file)
    assert unasked.code == 2
    assert ledger.accepted == []
    sure = await run(ledger, *request, "--json", "--yes", "--wait", "60", key=key_file)
    assert (sure.code, sure.json["certificates"]) == (1, ["aa" * 16, "bb" * 16])
    ledger.accepted.clear()
    every = await run(ledger, *request, "--all", "--wait", "60", "--json", "--yes", key=key_file)
    assert every.json["certificates"] == ["aa" * 16, "bb" * 16, "cc" * 16]


async def test_a_trace_of_a_leak_that_leads_nowhere_is_not_asked_for(key_file: Path) -> None:
    ledger = Ledger()
    ran = await run(ledger, "trace", "request", vector("receipt.json"), "--yes", key=key_file)
    assert ran.code == 1
    assert "--certificate" in ran.out
    assert ledger.accepted == []


async def test_the_trust_file_is_written_only_when_the_nodes_agree(tmp_path: Path) -> None:
    out = tmp_path / "trust.json"
    async with (
        serving(Ledger()) as one,
        serving(Ledger()) as same,
        serving(Ledger(world=World(n=7))) as other,
    ):
        agreed = await in_thread(lambda: Ran(["trust", "--out", out, "--node", one, "--node", same]))
        assert agreed.code == 0
        assert Ran(["verify", "--trust", out, vector("receipt.json")]).code == 0
        differing = await in_thread(
            lambda: Ran(["trust", "--out", tmp_path / "2.json", "--node", one, "--node", other, "--json"])
        )
    assert differing.code == 1
    assert differing.json["error"]["code"] == "mismatch"


async def test_lists_follow_every_page() -> None:
    ran = await run(Ledger(), "org", "list", "--json")
    assert [view["name"] for view in ran.json] == ["部门 0", "部门 1", "部门 2"]


# --- small readers ---


@pytest.mark.parametrize(
    "text", ["", "x:json:a", "00:json:a", f"{'00' * 16}:xml:a", f"{'00' * 16}:pdf:a,b", f"{'00' * 16}:json:"]
)
def test_an_output_that_is_not_of_the_form_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_output(text)


def test_a_receipt_of_a_later_epoch_needs_the_changes_between(tmp_path: Path) -> None:
    world = World()
    sealed = world.committed({b"s": b"1"}, next_validators=world.rotated()).epoch_change
    assert sealed is not None
    later = world.committed({b"a": b"1"})
    receipt = build_receipt(SUITE, world.genesis.network, later.finalized, later.results, 0)
    (tmp_path / "receipt.json").write_text(receipt_to_json(receipt))
    (tmp_path / "trust.json").write_text(trust_to_json(world.trust))
    ran = Ran(["verify", tmp_path / "receipt.json", "--json"])
    assert (ran.code, ran.json["check"]) == (1, "epoch")
    (tmp_path / "changes.json").write_text(epochs_to_json((sealed,)))
    assert Ran(["verify", tmp_path / "receipt.json", "--epochs", tmp_path / "changes.json"]).code == 0
    (tmp_path / "changes.json").rename(tmp_path / "epochs.json")
    assert Ran(["verify", tmp_path / "receipt.json"]).code == 0
    (tmp_path / "epochs.json").write_text("{}")
    assert Ran(["verify", tmp_path / "receipt.json"]).code == 1
