"""Shares on offline media: out, back in, and tried out; and what the doctor says of a node that lacks some."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from typer.testing import CliRunner

from contracts.genesis import genesis_state
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import KeyName, SharedKeyIndex
from contracts.state import SHARED_KEY_INDEX, SHARED_KEYS, Draft
from ledger.crypto.at_rest import COST_LEAST
from ledger.crypto.suite import chain_id
from ledger.store import Store
from node import backup_format
from node.cli import app
from node.doctor import examine
from node.holders import exports
from node.holders.drill import drill
from node.holders.share_file import HeldShare, ShareFile, open_shares
from node.home import Home
from node.http.views import shared_keys as views
from node.http.views.common import Names
from node.identity import load_identity
from node.lock import HomeLock
from node.services.facts import SharedKeysFacts
from tests.keeping import passphrase_file
from tests.unit.holders_world import GROUP, Dealt, dealt
from tests.unit.node_homes import NOW_MS, SUITE, begin_journal, found_homes


class Ran:
    def __init__(self, *arguments: object, language: str = "en") -> None:
        environment = {"ZHENGLIAN_LANG": language, "ZHENGLIAN_NODE": "", "ZHENGLIAN_KEY": ""}
        given = ["--json", *map(str, arguments)]
        result = CliRunner().invoke(app, given, env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        self.code = result.exit_code
        said: Any = json.loads(result.stdout)
        self.json: Any = said.get("error", said)


class Operators:
    """Four homes whose nodes hold dealt keys."""

    def __init__(self, folder: Path) -> None:
        self.homes, self.genesis = found_homes(folder)
        accounts = tuple(one.account for one in self.genesis.validators.validators)
        self.dealt = {purpose: dealt(GROUP, accounts, purpose) for purpose in KeyPurpose}
        for number in range(1, 5):
            self.keep(number, *self.dealt.values())

    @property
    def chain_id(self) -> bytes:
        return chain_id(SUITE, self.genesis)

    def shares(self, number: int) -> ShareFile:
        identity = load_identity(self.home(number), SUITE)
        files = open_shares(self.home(number), SUITE, identity.wrap_secret)
        return ShareFile(files, self.chain_id, identity.account)

    def home(self, number: int) -> Home:
        return self.homes[number - 1]

    def keep(self, number: int, *keys: Dealt) -> None:
        self.shares(number).change(keep=tuple(share_of(one, number) for one in keys))


def share_of(one: Dealt, holder: int) -> HeldShare:
    return HeldShare(
        purpose=one.key.purpose,
        version=one.key.version,
        renewal=one.key.renewal,
        group=one.key.group,
        keys=one.key.keys,
        holder=holder,
        secret=one.secrets[holder - 1].to_bytes(32, "big"),
    )


@pytest.fixture
def operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operators:
    # What a guess costs is tested where passphrases are; here it would be time alone.
    monkeypatch.setattr(exports.write_export, "__kwdefaults__", {"cost": COST_LEAST})
    return Operators(tmp_path)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return passphrase_file(tmp_path, name="media")


def exported(operators: Operators, words: Path, number: int) -> Path:
    path = operators.home(number).root.parent / f"media-{number}.json"
    ran = Ran(
        "keys", "export-share", path, "--home", operators.home(number).root, "--export-passphrase-file", words
    )
    assert ran.code == 0, ran.json
    return path


def test_an_export_holds_every_share_says_whose_it_is_and_shows_none(
    operators: Operators, words: Path
) -> None:
    path = exported(operators, words, 1)
    data = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    said = json.loads(data)
    assert said["account"] == operators.genesis.validators.validators[0].account.hex()
    assert {one["purpose"] for one in said["shares"]} == set(KeyPurpose)
    for one in operators.dealt.values():
        secret = one.secrets[0].to_bytes(32, "big")
        assert secret not in data
        assert secret.hex().encode() not in data


def test_an_export_overwrites_nothing_and_does_not_lie_in_the_home(operators: Operators, words: Path) -> None:
    path = exported(operators, words, 1)
    before = path.read_bytes()
    again = Ran(
        "keys", "export-share", path, "--home", operators.home(1).root, "--export-passphrase-file", words
    )
    assert (again.code, again.json["code"]) == (3, "file_unusable")
    assert path.read_bytes() == before
    inside = operators.home(1).root / "media.json"
    ran = Ran(
        "keys", "export-share", inside, "--home", operators.home(1).root, "--export-passphrase-file", words
    )
    assert ran.json["code"] == "file_unusable"
    assert not inside.exists()


def test_an_export_needs_a_passphrase_of_some_length_and_something_to_export(
    operators: Operators, tmp_path: Path, words: Path
) -> None:
    short = passphrase_file(tmp_path, "short", name="short")
    home = operators.home(1)
    path = tmp_path / "media.json"
    ran = Ran("keys", "export-share", path, "--home", home.root, "--export-passphrase-file", short)
    assert ran.json["code"] == "passphrase_unusable"
    (home.shares / "own").unlink()
    ran = Ran("keys", "export-share", path, "--home", home.root, "--export-passphrase-file", words)
    assert (ran.code, ran.json["code"]) == (1, "nothing_to_export")
    assert not path.exists()


def test_exports_of_enough_operators_open_what_is_sealed_to_the_public_key(
    operators: Operators, words: Path
) -> None:
    files = [exported(operators, words, number) for number in (1, 2, 3, 4)]
    enough = Ran("keys", "drill", *files[1:], "--export-passphrase-file", words)
    assert (enough.code, enough.json["holds"]) == (0, True)
    assert {tuple(one["holders"]) for one in enough.json["keys"]} == {(2, 3, 4)}
    assert all(one["opened"] for one in enough.json["keys"])
    every = Ran("keys", "drill", *files, "--export-passphrase-file", words)
    assert every.json["holds"] is True
    few = Ran("keys", "drill", *files[:2], "--export-passphrase-file", words)
    assert (few.code, few.json["holds"]) == (1, False)
    assert [one["opened"] for one in few.json["keys"]] == [None] * 3


def test_a_wrong_passphrase_a_changed_file_and_no_file_at_all_are_told_apart(
    operators: Operators, words: Path, tmp_path: Path
) -> None:
    path = exported(operators, words, 1)
    wrong = passphrase_file(tmp_path, "quite another passphrase", name="wrong")
    assert Ran("keys", "drill", path, "--offline", "--export-passphrase-file", wrong).json["code"] == (
        "passphrase_wrong"
    )
    said = json.loads(path.read_bytes())
    said["name"] = "somebody else"
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(said))
    assert Ran("keys", "drill", changed, "--offline", "--export-passphrase-file", words).json["code"] == (
        "passphrase_wrong"
    )
    for data in (b"", b"{}", b"[" * 100_000, b'{"format": "zhenglian-key-shares"}', b"\xff" * 100):
        changed.write_bytes(data)
        ran = Ran("keys", "drill", changed, "--offline", "--export-passphrase-file", words)
        assert (ran.code, ran.json["code"]) == (2, "export_unusable")
    ran = Ran("keys", "drill", tmp_path / "none", "--offline", "--export-passphrase-file", words)
    assert ran.json["code"] == "file_unusable"


def test_a_share_that_does_not_fit_its_own_public_half_is_found_out(
    operators: Operators, words: Path
) -> None:
    one = operators.dealt[KeyPurpose.VAULT]
    wrong = replace(share_of(one, 1), secret=one.secrets[1].to_bytes(32, "big"))
    operators.shares(1).change(keep=(wrong,))
    path = exported(operators, words, 1)
    ran = Ran("keys", "drill", path, "--offline", "--export-passphrase-file", words)
    assert (ran.code, ran.json["code"]) == (2, "export_unusable")


def test_shares_of_one_key_with_different_public_halves_do_not_pass_for_one(operators: Operators) -> None:
    one = operators.dealt[KeyPurpose.VAULT]
    other = dealt(GROUP, one.key.holders, KeyPurpose.VAULT, 7)
    other_key = Dealt(replace(other.key, version=1), other.secrets)
    mixed = (share_of(one, 1), share_of(one, 2), share_of(other_key, 3))
    assert [(found.holders, found.opened) for found in drill(SUITE, mixed)] == [((1, 2), None), ((3,), None)]


def test_a_lost_share_comes_back_from_the_export(operators: Operators, words: Path) -> None:
    path, home = exported(operators, words, 2), operators.home(2)
    before = set(operators.shares(2).held())
    (home.shares / "own").unlink()
    ran = Ran("keys", "import-share", path, "--home", home.root, "--export-passphrase-file", words)
    assert (ran.code, len(ran.json["imported"])) == (0, 3)
    assert set(operators.shares(2).held()) == before
    again = Ran("keys", "import-share", path, "--home", home.root, "--export-passphrase-file", words)
    assert (again.json["imported"], again.json["kept"]) == ([], 3)


def test_an_import_takes_nothing_that_the_node_has_in_a_later_renewal(
    operators: Operators, words: Path
) -> None:
    path = exported(operators, words, 2)
    one = operators.dealt[KeyPurpose.VAULT]
    later = replace(share_of(one, 2), renewal=1)
    operators.shares(2).change(keep=(later,), drop=(share_of(one, 2),))
    ran = Ran(
        "keys", "import-share", path, "--home", operators.home(2).root, "--export-passphrase-file", words
    )
    assert ran.json["imported"] == []
    assert later in operators.shares(2).held()


def test_an_import_is_for_the_own_node_while_it_stands_still(operators: Operators, words: Path) -> None:
    path = exported(operators, words, 2)
    ran = Ran(
        "keys", "import-share", path, "--home", operators.home(1).root, "--export-passphrase-file", words
    )
    assert (ran.code, ran.json["code"]) == (2, "input_unusable")
    lock = HomeLock(operators.home(2).root / "lock")
    try:
        ran = Ran(
            "keys", "import-share", path, "--home", operators.home(2).root, "--export-passphrase-file", words
        )
    finally:
        lock.release()
    assert ran.json["code"] == "home_in_use"


class Ledger:
    """Answers what a node answers about these keys."""

    def __init__(self, operators: Operators, keys: tuple[SharedKey, ...]) -> None:
        self.operators, self.keys = operators, keys

    async def status(self, _request: web.Request) -> web.Response:
        moment = "2026-09-21T00:00:00Z"
        said: dict[str, object] = dict.fromkeys(
            ("height", "view", "validators", "quorum", "pending_transactions"), 0
        )
        said |= {
            "network": "test",
            "chain_id": self.operators.chain_id.hex(),
            "account": "00" * 16,
            "name": "n",
        }
        said |= {"release": "0", "block_time": moment, "head": "00" * 32, "leader": "n", "peers": []}
        said |= {"syncing": False, "voting": True, "started": moment, "clock": moment}
        return web.json_response(said)

    async def shared_keys(self, _request: web.Request) -> web.Response:
        facts = SharedKeysFacts(ready=True, keys=self.keys, in_use=frozenset(), rounds=())
        view = views.shared_keys(facts, (), Names(Nobody()))  # type: ignore[arg-type]
        return web.Response(body=msgspec.json.encode(view), content_type="application/json")

    async def drill(self, path: Path, words: Path) -> Ran:
        application = web.Application()
        application.add_routes(
            [web.get("/v1/status", self.status), web.get("/v1/shared-keys", self.shared_keys)]
        )
        server = TestServer(application)
        await server.start_server()
        try:
            url = f"http://127.0.0.1:{server.port}"
            command = ("--node", url, "keys", "drill", path, "--export-passphrase-file", words)
            return await asyncio.to_thread(Ran, *command)
        finally:
            await server.close()


class Nobody:
    def account(self, _account_id: bytes) -> None:
        return None


async def test_a_single_export_is_held_against_the_ledger(operators: Operators, words: Path) -> None:
    path = exported(operators, words, 1)
    keys = tuple(one.key for one in operators.dealt.values())
    ran = await Ledger(operators, keys).drill(path, words)
    assert (ran.code, ran.json["holds"]) == (0, True)
    assert {one["on_chain"] for one in ran.json["files"][0]["shares"]} == {"fits"}
    later = tuple(replace(key, renewal=1) for key in keys)
    other = dealt(GROUP, keys[0].holders, keys[0].purpose, 9).key
    for shown, said in ((later, {"renewed"}), ((), {"unknown"})):
        ran = await Ledger(operators, shown).drill(path, words)
        assert (ran.code, ran.json["holds"]) == (1, False)
        assert {one["on_chain"] for one in ran.json["files"][0]["shares"]} == said
    differing = (replace(keys[0], keys=other.keys), *keys[1:])
    ran = await Ledger(operators, differing).drill(path, words)
    assert (ran.code, ran.json["files"][0]["shares"][0]["on_chain"]) == (1, "differs")


# --- the doctor -----------------------------------------------------------------------------------------------


def findings(home: Home) -> dict[str, str]:
    found = examine(home.root, now_ms=NOW_MS).findings
    return {one.code: str(one.fields.get("names", "")) for one in found if one.code.startswith("share")}


@pytest.fixture
def in_force(operators: Operators, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operators:
    """The keys are in the ledgers' state from genesis on."""
    for home in operators.homes:
        for path in home.store.iterdir():
            path.unlink()
        home.store.rmdir()
        state = genesis_state(SUITE, operators.genesis)
        draft = Draft(_State(state))
        for one in operators.dealt.values():
            SHARED_KEYS.put(draft, (one.key.purpose, 1), one.key)
        names = tuple(KeyName(purpose=purpose, version=1) for purpose in KeyPurpose)
        SHARED_KEY_INDEX.put(draft, None, SharedKeyIndex(keys=names, latest=names))
        state |= {key: value for key, value in draft.writes.items() if value is not None}
        Store.create(home.store, SUITE, operators.genesis, state).close()
        home.store.chmod(0o700)
        begin_journal(home)
    return operators


class _State:
    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self._entries = entries

    def get(self, key: bytes) -> bytes | None:
        return self._entries.get(key)


def test_the_doctor_names_what_is_missing_what_is_not_exported_and_what_cannot_be_read(
    in_force: Operators, words: Path
) -> None:
    home = in_force.home(1)
    assert findings(home) == {"share_not_exported": "vault 1, directory 1, marks 1"}
    exported(in_force, words, 1)
    assert findings(home) == {}
    marks = share_of(in_force.dealt[KeyPurpose.MARKS], 1)
    wrong = replace(share_of(in_force.dealt[KeyPurpose.VAULT], 1), secret=marks.secret)
    in_force.shares(1).change(keep=(wrong,), drop=(marks,))
    assert findings(home) == {"share_missing": "vault 1, marks 1"}
    (home.shares / "own").write_bytes(b"no share")
    assert list(findings(home)) == ["shares_unreadable"]


@pytest.mark.parametrize(
    "path", ["shares/own", "shares/round-00", "shares-exported.json", "keys/../shares/own"]
)
def test_no_backup_has_a_path_for_a_share(path: str) -> None:
    assert backup_format._PATH.fullmatch(path) is None
