"""A node whose keys are in a token or sealed by it: its folder without the token is nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ledger.crypto.registry import load_suite
from ledger.crypto.token import TokenKeyExists, TokenUnavailable
from ledger.errors import VerificationFailed
from network.tls import client_context
from node.cli import app
from node.config import load_config
from node.home import Home
from node.identity import InToken, create_identity, load_identity
from node.keystore import PRIVATE_KEY_READABLE, KeyFiles
from node.relock import LockedByToken, readable_secrets, set_passphrase
from node.rotation import make_next_certificate, retire_vote_key, rotate_vote_key, switch_certificate
from tests.hsm.conftest import LABEL, Slot
from tests.keeping import WORDS
from zhenglian import KeyFile, KeyFileUnusable
from zhenglian.unlocking import Passphrase, Sources

NOW_MS = 1_735_689_600_000
SUITES = ("intl", "sm")


def create(folder: Path, sources: Sources, suite: str = "intl", prefix: str = "zhenglian") -> Home:
    home = Home(folder)
    create_identity(
        home,
        network="test",
        name="局",
        suite=load_suite(suite),
        peer_host="127.0.0.1",
        peer_port=9000,
        http_host="127.0.0.1",
        http_port=8000,
        now_ms=NOW_MS,
        keeping=InToken(sources.token(LABEL), prefix),
    )
    return home


@pytest.mark.parametrize("suite", SUITES)
def test_a_node_in_a_token_loads_signs_and_renews(
    tmp_path: Path, own_sources: Sources, slot: Slot, suite: str
) -> None:
    chosen = load_suite(suite)
    home = create(tmp_path / "home", own_sources, suite)
    assert load_config(home.config).keys.pkcs11_module == str(slot.module)
    # The library is then the one that the configuration names.
    using = Sources(pin_file=slot.pin_file, environment={})
    rotate_vote_key(home, chosen, using)
    make_next_certificate(home, now_ms=NOW_MS, using=using)
    identity = load_identity(home, chosen, using)
    assert type(identity.node_signer).__name__ == ("TokenSigner" if suite == "intl" else "Sm2Signer")
    assert identity.vote_signer_next is not None
    assert retire_vote_key(home, chosen, identity.vote_signer_next.public_key)
    switch_certificate(home, using)
    client_context(load_identity(home, chosen, using).tls, [])
    KeyFile.load(KeyFiles(home).admin, using=own_sources).signer(own_sources)
    assert readable_secrets(home) == []
    everything = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    for secret in (identity.wrap_secret, WORDS.encode()):
        assert secret not in everything
        assert secret.hex().encode() not in everything
    assert PRIVATE_KEY_READABLE not in everything


@pytest.mark.parametrize("suite", SUITES)
def test_without_its_token_the_folder_is_nothing(
    tmp_path: Path, own_sources: Sources, slot: Slot, suite: str
) -> None:
    home = create(tmp_path / "home", own_sources, suite)
    slot.pull_out()
    fresh = Sources(pin_file=slot.pin_file, module=slot.module, environment={})
    with pytest.raises(TokenUnavailable, match=LABEL):
        load_identity(home, load_suite(suite), fresh)
    slot.put_back()
    load_identity(home, load_suite(suite), fresh)


def test_another_token_does_not_open_it(tmp_path: Path, own_sources: Sources, slot: Slot) -> None:
    home = create(tmp_path / "home", own_sources)
    token = own_sources.token(LABEL)
    token.generate_sealing_key("other-seal")
    path = KeyFiles(home).keyring
    path.write_text(path.read_text().replace("zhenglian-seal", "other-seal"))
    with pytest.raises((KeyFileUnusable, VerificationFailed), match="open"):
        load_identity(home, load_suite("intl"), Sources(pin_file=slot.pin_file, environment={}))


def test_two_nodes_share_a_token_under_two_prefixes(tmp_path: Path, own_sources: Sources) -> None:
    create(tmp_path / "a", own_sources)
    with pytest.raises(TokenKeyExists):
        create(tmp_path / "b", own_sources)
    assert not (tmp_path / "b" / "card.json").exists()
    create(tmp_path / "b", own_sources, prefix="second")


def test_a_keyring_in_a_token_has_no_passphrase(tmp_path: Path, own_sources: Sources) -> None:
    home = create(tmp_path / "home", own_sources)
    with pytest.raises(LockedByToken, match="pkcs11:"):
        set_passphrase(home, Passphrase(WORDS), own_sources)


def run(*arguments: object) -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["--json", *map(str, arguments)], env={"ZHENGLIAN_LANG": "en"})
    assert "Traceback" not in result.output
    return result.exit_code, json.loads(result.stdout)


def test_the_commands_make_keys_in_the_token(tmp_path: Path, slot: Slot) -> None:
    token = ("--pkcs11-module", slot.module, "--pin-file", slot.pin_file, "--token-label", LABEL)
    home = tmp_path / "home"
    init = ("node", "init", "--name", "n", "--network", "t", "--peer-host", "127.0.0.1", "--home", home)
    assert run(*init, *token)[0] == 0
    path = tmp_path / "officer.json"
    status, said = run("keys", "new", path, *token, "--key-label", "officer")
    assert (status, said["lock"]) == (0, "pkcs11")
    status, said = run("keys", "list", home / "keys", "--json")
    assert {Path(row["path"]).name: row.get("lock") for row in said if "lock" in row} == {
        "admin.json": "pkcs11",
        "node.json": "pkcs11",
    }
    status, said = run("keys", "new", tmp_path / "again.json", *token, "--key-label", "officer")
    assert (status, said["error"]["code"]) == (1, "token_key_exists")
    wrong = tmp_path / "wrong"
    wrong.write_text("00000000")
    wrong.chmod(0o600)
    status, said = run("keys", "new", tmp_path / "k.json", *token, "--key-label", "k", "--pin-file", wrong)
    assert (status, said["error"]["code"]) == (4, "token_pin_refused")


def test_a_node_whose_token_is_away_ends_at_once_and_says_so(
    tmp_path: Path, own_sources: Sources, slot: Slot
) -> None:
    home = create(tmp_path / "home", own_sources)
    slot.pull_out()
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "node", "rotate-key", "--home", str(home.root)],
        env={**os.environ, "ZHENGLIAN_PIN_FILE": str(slot.pin_file), "ZHENGLIAN_LANG": "en"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
