"""Key files that somebody else wrote: opened with the right passphrase, they say what was sealed or nothing.

Rule: reading costs what the reader allows, whatever the file asks for; what opens has every public part as it was sealed.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path

import msgspec

from contracts.records import KeyRole
from ledger.crypto.at_rest import COST_LEAST, MEMORY_KIB_MAX, WORK_KIB_MAX
from ledger.crypto.registry import load_suite
from tests.fuzz.target import Grammar, Target, require
from zhenglian.keyfile import KeyFile, PublicKeyFile, read_public
from zhenglian.keyring import (
    ByPassphrase,
    Keyring,
    PassphraseLock,
    open_keyring,
    read_keyring_file,
    read_secret_file,
)
from zhenglian.pkcs11_uri import TokenKey, parse_token_key
from zhenglian.unlocking import Passphrase, Sources

WORDS = "only for the fuzzer"
NAME = Path("keyring.json")
# The least that a file can cost; others are read, not opened, so that an input takes no seconds.
PAID = msgspec.json.encode(COST_LEAST)


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="zhenglian-fuzz-"))


@cache
def key() -> KeyFile:
    return KeyFile.generate(load_suite("intl"), role=KeyRole.OFFICER, label="0042")


@cache
def keyring() -> Keyring:
    return Keyring.create()


def _private(data: bytes, name: str = "key.json") -> Path:
    path = folder() / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def key_files() -> list[bytes]:
    """One of every lock."""
    made = []
    for lock in ("passphrase", "keyring", "none", "pkcs11"):
        path = folder() / f"seed-{lock}-{os.getpid()}.json"
        path.unlink(missing_ok=True)
        if lock == "pkcs11":
            named = msgspec.structs.replace(key(), secret=None, uri=str(TokenKey("t", "o")))
            named.save(path)
        else:
            key().save(
                path,
                passphrase=WORDS if lock == "passphrase" else None,
                keyring=keyring() if lock == "keyring" else None,
                unencrypted=lock == "none",
                cost=COST_LEAST,
            )
        made.append(path.read_bytes())
    return made


def run_key_file(data: bytes) -> None:
    """Read it, and open it if that is cheap."""
    path = _private(data)
    public, lock = read_public(path)
    if lock == "passphrase":
        cost = json.loads(data)["lock"]["cost"]
        require(cost["memory_kib"] <= MEMORY_KIB_MAX, "no file takes more memory than it may")
        require(cost["memory_kib"] * cost["passes"] <= WORK_KIB_MAX, "nor more work")
        if msgspec.json.encode(msgspec.convert(cost, type(COST_LEAST))) != PAID:
            return
    opened = KeyFile.load(path, WORDS, using=Sources(environment={}))
    names = PublicKeyFile.__struct_fields__
    require(all(getattr(opened, name) == getattr(public, name) for name in names), "it is as it was shown")
    if lock == "passphrase":
        require(opened == key(), "what opens is what was sealed")


def run_keyring(data: bytes) -> None:
    """The same of a keyring."""
    file = read_keyring_file(data, NAME)
    if isinstance(file.lock, PassphraseLock) and file.lock.cost == COST_LEAST:
        opened = open_keyring(
            _private(data, "keyring.json"), Sources(environment={}), passphrase=Passphrase(WORDS)
        )
        require(opened.id == keyring().id, "what opens is what was locked")


def run_secret(data: bytes) -> None:
    """A secret opens only as the kind, and with the public half, that it was sealed with."""
    secret = keyring().unseal(data, "vote-key", NAME)
    file = read_secret_file(data, NAME)
    require((secret, file.public) == (b"secret", b"public".hex()), "what opens is what was sealed")


def run_uri(data: bytes) -> None:
    """A name that is understood is written as itself."""
    named = parse_token_key(data.decode("utf-8", "replace"))
    require(parse_token_key(str(named)) == named, "a name means one key")


TARGETS = (
    Target(name="keys.file", run=run_key_file, seeds=key_files, grammar=Grammar.JSON),
    Target(
        name="keys.keyring",
        run=run_keyring,
        seeds=lambda: [keyring().locked(ByPassphrase(Passphrase(WORDS), COST_LEAST))],
        grammar=Grammar.JSON,
    ),
    Target(
        name="keys.secret",
        run=run_secret,
        seeds=lambda: [keyring().seal("vote-key", b"public", b"secret")],
        grammar=Grammar.JSON,
    ),
    Target(
        name="keys.uri",
        run=run_uri,
        seeds=lambda: [
            str(TokenKey("市局 1", "node")).encode(),
            str(TokenKey("t", "k", "secret-key")).encode(),
        ],
        size_bytes_max=1024,
    ),
)
