"""A node's home under one lock: nothing secret lies in it, its passphrase changes in one step, and a readable one is sealed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ledger.crypto.at_rest import COST_DEFAULT, COST_LEAST
from ledger.errors import LedgerError
from network.errors import TlsIdentityInvalid
from network.tls import client_context
from node import relock
from node.cli import app
from node.home import Home
from node.identity import Keeping, create_identity, load_identity
from node.keystore import PRIVATE_KEY_READABLE, KeyFiles
from node.lock import HomeInUse, HomeLock
from node.relock import readable_secrets, set_passphrase
from node.rotation import make_next_certificate, retire_vote_key, rotate_vote_key, switch_certificate
from tests.keeping import KEEPING, WORDS, passphrase_file, sources_with
from tests.suites import suite_under_test
from zhenglian.errors import KeyFileUnusable, PassphraseNeeded, PassphraseWrong
from zhenglian.keyfile import KeyFile
from zhenglian.unlocking import Passphrase, Sources

SUITE = suite_under_test()
NOW_MS = 1_735_689_600_000
NEW_WORDS = "an entirely different one"
SEALED = {"vote.key", "vote-next.key", "wrap.key", "tls.pem", "tls-next.pem", "node.json", "admin.json"}


def create(folder: Path, keeping: Keeping) -> Home:
    home = Home(folder)
    create_identity(
        home,
        network="test",
        name="局",
        suite=SUITE,
        peer_host="127.0.0.1",
        peer_port=9000,
        http_host="127.0.0.1",
        http_port=8000,
        now_ms=NOW_MS,
        keeping=keeping,
    )
    return home


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return passphrase_file(tmp_path)


@pytest.fixture
def using(words: Path) -> Sources:
    return sources_with(words)


@pytest.fixture
def locked(tmp_path: Path, using: Sources) -> Home:
    """Every secret that a home can have, one of them waiting and one replaced."""
    home = create(tmp_path / "locked", KEEPING)
    rotate_vote_key(home, SUITE, using)
    make_next_certificate(home, now_ms=NOW_MS, using=using)
    return home


@pytest.fixture
def readable(tmp_path: Path) -> Home:
    home = create(tmp_path / "readable", None)
    rotate_vote_key(home, SUITE)
    make_next_certificate(home, now_ms=NOW_MS)
    return home


def secrets_of(home: Home, using: Sources) -> dict[str, bytes]:
    """Everything secret, in the open."""
    files = KeyFiles(home, using)
    identity = load_identity(home, SUITE, using)
    keyring = files.open()
    found = {"wrap": identity.wrap_secret}
    for name in ("vote.key", "vote-next.key"):
        data = (home.keys / name).read_bytes()
        found[name] = (
            bytes.fromhex(data.decode())
            if keyring is None
            else keyring.unseal(data, "vote-key", home.keys / name)
        )
    for path in (files.node, files.admin):
        secret = KeyFile.load(path, using=using).secret
        assert secret is not None
        found[path.name] = bytes.fromhex(secret)
    if keyring is not None:
        found["password"] = keyring.password("tls-key")
    return found


def contents(home: Home) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def test_nothing_secret_lies_in_a_locked_home_in_any_form(locked: Home, using: Sources) -> None:
    secrets = {**secrets_of(locked, using), "passphrase": WORDS.encode()}
    assert len(secrets) == 7
    for path, data in contents(locked).items():
        for name, secret in secrets.items():
            assert secret not in data, (name, path)
            assert secret.hex().encode() not in data.lower(), (name, path)
        assert PRIVATE_KEY_READABLE not in data, path
        if path.parent == locked.keys:
            assert path.stat().st_mode & 0o777 == 0o600, path
    assert readable_secrets(locked) == []


def test_the_same_search_finds_what_lies_readable(readable: Home, using: Sources) -> None:
    secrets = secrets_of(readable, using)
    everything = b"".join(contents(readable).values())
    assert all(secret.hex().encode() in everything for secret in secrets.values())
    assert PRIVATE_KEY_READABLE in everything
    assert {path.name for path in readable_secrets(readable)} == SEALED


def test_a_locked_home_opens_with_its_passphrase_only(locked: Home, using: Sources, tmp_path: Path) -> None:
    identity = load_identity(locked, SUITE, using)
    client_context(identity.tls, [])
    assert identity.vote_signer_next is not None
    with pytest.raises(PassphraseNeeded):
        load_identity(locked, SUITE, Sources(environment={}))
    with pytest.raises(PassphraseWrong):
        load_identity(locked, SUITE, sources_with(passphrase_file(tmp_path, NEW_WORDS, "wrong")))


def test_keys_are_rotated_and_certificates_renewed_under_the_lock(locked: Home, using: Sources) -> None:
    before = load_identity(locked, SUITE, using)
    assert before.vote_signer_next is not None
    assert retire_vote_key(locked, SUITE, before.vote_signer_next.public_key), "needs no passphrase"
    after = load_identity(locked, SUITE, using)
    assert after.vote_signer.public_key == before.vote_signer_next.public_key
    with pytest.raises(LedgerError):
        switch_certificate(locked)
    switch_certificate(locked, using)
    client_context(load_identity(locked, SUITE, using).tls, [])
    assert readable_secrets(locked) == []


def test_a_key_of_another_home_does_not_open_here(locked: Home, using: Sources, tmp_path: Path) -> None:
    other = create(tmp_path / "other", KEEPING)
    for name in ("vote.key", "wrap.key", "node.json"):
        before = (locked.keys / name).read_bytes()
        shutil.copy2(other.keys / name, locked.keys / name)
        with pytest.raises(KeyFileUnusable, match="keyring"):
            load_identity(locked, SUITE, using)
        (locked.keys / name).write_bytes(before)
    shutil.copy2(locked.keys / "wrap.key", locked.keys / "vote.key")
    with pytest.raises(KeyFileUnusable, match="wrap-key"):
        load_identity(locked, SUITE, using)


def test_a_tls_key_of_another_home_is_no_key(locked: Home, using: Sources, tmp_path: Path) -> None:
    other = create(tmp_path / "other", KEEPING)
    shutil.copy2(other.keys / "tls.pem", locked.keys / "tls.pem")
    with pytest.raises(TlsIdentityInvalid):
        client_context(KeyFiles(locked, using).tls, [])


def test_another_passphrase_is_one_file(locked: Home, using: Sources, tmp_path: Path) -> None:
    before = contents(locked)
    secrets = secrets_of(locked, using)
    done = set_passphrase(locked, Passphrase(NEW_WORDS), using, COST_LEAST)
    assert (done.changed, done.sealed) == (True, [])
    after = contents(locked)
    assert {path.name for path in after if after[path] != before.get(path)} == {"keyring.json"}
    with pytest.raises(PassphraseWrong):
        load_identity(locked, SUITE, sources_with(passphrase_file(tmp_path)))
    new = sources_with(passphrase_file(tmp_path, NEW_WORDS, "new"))
    identity = load_identity(locked, SUITE, new)
    assert identity.wrap_secret == secrets["wrap"]


def test_the_present_passphrase_is_needed_for_another(locked: Home, tmp_path: Path) -> None:
    before = contents(locked)
    for sources, error in (
        (Sources(environment={}), PassphraseNeeded),
        (sources_with(passphrase_file(tmp_path, "not the passphrase", "w")), PassphraseWrong),
    ):
        with pytest.raises(error):
            set_passphrase(locked, Passphrase(NEW_WORDS), sources, COST_LEAST)
    assert contents(locked) == before


def test_having_opened_the_keys_once_is_not_knowing_the_passphrase(
    locked: Home, using: Sources, words: Path
) -> None:
    load_identity(locked, SUITE, using)
    words.write_text("not the passphrase")
    with pytest.raises(PassphraseWrong):
        set_passphrase(locked, Passphrase(NEW_WORDS), using, COST_LEAST)


def test_a_readable_home_is_sealed_in_one_step(readable: Home, using: Sources, tmp_path: Path) -> None:
    secrets = secrets_of(readable, using)
    done = set_passphrase(readable, Passphrase(NEW_WORDS), using, COST_LEAST)
    assert {path.name for path in done.sealed} == SEALED
    new = sources_with(passphrase_file(tmp_path, NEW_WORDS, "new"))
    sealed = secrets_of(readable, new)
    assert {name: sealed[name] for name in secrets} == secrets
    everything = b"".join(contents(readable).values())
    assert not any(secret.hex().encode() in everything for secret in secrets.values())
    assert PRIVATE_KEY_READABLE not in everything
    client_context(load_identity(readable, SUITE, new).tls, [])


@pytest.mark.parametrize("writes", range(8))
def test_sealing_cut_short_leaves_a_home_that_opens_and_another_try_finishes_it(
    readable: Home, using: Sources, tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = secrets_of(readable, using)
    left, write = [writes], relock.write_private

    class Cut(Exception):
        pass

    def counting(path: Path, data: bytes, *, replace: bool = False) -> None:
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        write(path, data, replace=replace)

    monkeypatch.setattr(relock, "write_private", counting)
    monkeypatch.setattr("zhenglian.keyfile.write_private", counting)
    with pytest.raises(Cut):
        set_passphrase(readable, Passphrase(NEW_WORDS), using, COST_LEAST)
    monkeypatch.undo()
    new = sources_with(passphrase_file(tmp_path, NEW_WORDS, "new"))
    between = secrets_of_any(readable, new)
    assert between == secrets["wrap"]
    set_passphrase(readable, Passphrase(NEW_WORDS), Sources(environment={}), COST_LEAST)
    assert readable_secrets(readable) == []
    assert secrets_of(readable, new)["vote-next.key"] == secrets["vote-next.key"]


def secrets_of_any(home: Home, using: Sources) -> bytes:
    """What proves that a home, sealed in part, opens."""
    identity = load_identity(home, SUITE, using)
    client_context(identity.tls, [])
    return identity.wrap_secret


def test_a_running_node_is_not_sealed_under_its_feet_but_its_passphrase_changes(
    readable: Home, locked: Home, using: Sources
) -> None:
    for home in (readable, locked):
        lock = HomeLock(home.root / "lock")
        try:
            if home is readable:
                with pytest.raises(HomeInUse):
                    set_passphrase(home, Passphrase(NEW_WORDS), using, COST_LEAST)
            else:
                identity = load_identity(home, SUITE, using)
                set_passphrase(home, Passphrase(NEW_WORDS), sources_with(using._passphrase_file), COST_LEAST)
                # The node that runs has its keyring open, and goes on with it.
                client_context(identity.tls, [])
                make_next_certificate(home, now_ms=NOW_MS, using=using)
        finally:
            lock.release()
    assert not KeyFiles(readable).keyring.exists()


def run(*arguments: object) -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--json", *map(str, arguments)], env={"ZHENGLIAN_LANG": "en"})
    assert "Traceback" not in result.output
    return result.exit_code, json.loads(result.stdout)


INIT = ("node", "init", "--name", "n", "--network", "t", "--peer-host", "127.0.0.1", "--home")


def test_init_asks_for_a_passphrase_or_for_the_word_that_there_be_none(tmp_path: Path, words: Path) -> None:
    status, said = run(*INIT, tmp_path / "a")
    assert (status, said["error"]["code"]) == (4, "passphrase_needed")
    assert "--unencrypted" in said["error"]["message_zh"]
    assert not (tmp_path / "a").exists()
    assert run(*INIT, tmp_path / "b", "--passphrase-file", words)[0] == 0
    ring = json.loads((tmp_path / "b" / "keys" / "keyring.json").read_bytes())
    cost = ring["lock"]["cost"]
    assert (cost["memory_kib"], cost["passes"]) == (COST_DEFAULT.memory_kib, COST_DEFAULT.passes)
    assert run(*INIT, tmp_path / "c", "--unencrypted")[0] == 0
    assert len(readable_secrets(Home(tmp_path / "c"))) == 5


def test_the_command_seals_a_readable_home_and_changes_its_passphrase(tmp_path: Path, words: Path) -> None:
    home = create(tmp_path / "home", None)
    new = passphrase_file(tmp_path, NEW_WORDS, "new")
    command = ("node", "passphrase", "--home", home.root)
    assert run(*command)[0] == 4, "nobody can be asked"
    status, said = run(*command, "--new-passphrase-file", words)
    assert (status, said["changed"], set(said["sealed"])) == (
        0,
        False,
        SEALED - {"vote-next.key", "tls-next.pem"},
    )
    status, said = run(*command, "--new-passphrase-file", new)
    assert (status, said["error"]["code"]) == (4, "passphrase_needed")
    status, said = run(*command, "--new-passphrase-file", new, "--passphrase-file", words)
    assert (status, said["changed"], said["sealed"]) == (0, True, [])
    load_identity(home, SUITE, sources_with(new))
    assert run("node", "passphrase", "--home", tmp_path / "nothing", "--new-passphrase-file", new)[0] == 3
