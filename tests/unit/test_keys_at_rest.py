"""Keys at rest: what locks them, what opens them, what a hostile file can ask for, and where passphrases come from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import KeyRole
from ledger import domains
from ledger.crypto import at_rest
from ledger.crypto.at_rest import COST_DEFAULT, COST_LEAST, MEMORY_KIB_MAX, PASSES_MAX, KdfCost
from ledger.errors import DecodeError, LedgerError, VerificationFailed
from tests.keeping import WORDS, passphrase_file, sources_with
from tests.unit.ledger_world import SUITE
from zhenglian import KeyFile, KeyFileUnusable
from zhenglian.errors import NewPassphraseNeeded, PassphraseNeeded, PassphraseUnusable, PassphraseWrong
from zhenglian.keyfile import read_public
from zhenglian.keyring import ByPassphrase, Keyring, open_keyring, read_keyring_file
from zhenglian.pkcs11_uri import TokenKey, parse_token_key
from zhenglian.private_files import write_private
from zhenglian.unlocking import PASSPHRASE_SIZE_BYTES_MAX, Passphrase, Sources, read_passphrase

NOTHING = Sources(environment={})


@pytest.fixture
def key() -> KeyFile:
    return KeyFile.generate(SUITE, role=KeyRole.OFFICER, label="0042")


@pytest.fixture
def locked(key: KeyFile, tmp_path: Path) -> Path:
    path = tmp_path / "k.json"
    key.save(path, passphrase=WORDS, cost=COST_LEAST)
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    return path


# --- key files ---


def test_a_locked_key_opens_with_its_passphrase_and_signs(key: KeyFile, locked: Path) -> None:
    assert KeyFile.load(locked, WORDS) == key
    assert KeyFile.load(locked, Passphrase(WORDS)) == key
    assert KeyFile.load(locked, using=sources_with(passphrase_file(locked.parent))) == key
    signature = KeyFile.load(locked, WORDS).signer().sign(domains.SESSION, b"m")
    assert SUITE.verify(key.scheme, bytes.fromhex(key.public_key), domains.SESSION, b"m", signature)
    assert locked.stat().st_mode & 0o777 == 0o600


def test_a_locked_file_holds_the_secret_in_no_form(key: KeyFile, locked: Path) -> None:
    assert key.secret is not None
    secret = bytes.fromhex(key.secret)
    assert not any(form in locked.read_bytes() for form in (secret, secret.hex().encode()))
    assert "secret" not in json.loads(locked.read_bytes())


def test_what_is_public_is_read_without_the_passphrase(key: KeyFile, locked: Path) -> None:
    public, lock = read_public(locked)
    assert (public.account, public.public_key, lock) == (key.account, key.public_key, "passphrase")


def test_a_key_is_saved_readable_only_when_that_is_said(key: KeyFile, tmp_path: Path) -> None:
    with pytest.raises(NewPassphraseNeeded):
        key.save(tmp_path / "k.json")
    with pytest.raises(PassphraseUnusable):
        key.save(tmp_path / "k.json", passphrase="short")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_passphrase_is_told_and_nothing_else(locked: Path) -> None:
    with pytest.raises(PassphraseWrong) as refused:
        KeyFile.load(locked, WORDS + "x")
    assert str(locked) in refused.value.message("zh")
    assert WORDS not in str(refused.value)
    with pytest.raises(PassphraseNeeded):
        KeyFile.load(locked, using=NOTHING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "11" * 16),
        ("role", "admin"),
        ("label", "0043"),
        ("network", "22" * 32),
        ("key_id", "33" * 16),
        ("public_key", "44" * 32),
    ],
)
def test_a_seal_covers_all_that_the_file_says(locked: Path, name: str, value: str) -> None:
    changed(locked, lambda document: document.update({name: value}))
    with pytest.raises(PassphraseWrong):
        KeyFile.load(locked, WORDS)


def test_any_changed_byte_of_the_box_is_noticed(locked: Path) -> None:
    size = len(json.loads(locked.read_bytes())["sealed"])
    for at in (0, 48, size - 2):
        flipped = changed(
            locked,
            lambda document, at=at: document.update(  # type: ignore[misc]
                sealed=document["sealed"][:at]
                + f"{int(document['sealed'][at : at + 2], 16) ^ 1:02x}"
                + document["sealed"][at + 2 :]
            ),
        )
        with pytest.raises(PassphraseWrong):
            KeyFile.load(flipped, WORDS)


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "64 GiB": lambda d: d["lock"]["cost"].update(memory_kib=64 << 20),
    "one more than the maximum": lambda d: d["lock"]["cost"].update(memory_kib=MEMORY_KIB_MAX + 1),
    "too cheap": lambda d: d["lock"]["cost"].update(memory_kib=8),
    "too many passes": lambda d: d["lock"]["cost"].update(passes=PASSES_MAX + 1),
    "no pass": lambda d: d["lock"]["cost"].update(passes=0),
    "too much of both": lambda d: d["lock"]["cost"].update(memory_kib=MEMORY_KIB_MAX, passes=5),
    "lanes": lambda d: d["lock"]["cost"].update(lanes=4),
    "another kdf": lambda d: d["lock"].update(kdf="md5"),
    "another method": lambda d: d["lock"].update(method="rot13"),
    "short salt": lambda d: d["lock"].update(salt="00"),
    "no box": lambda d: d.pop("sealed"),
    "no lock": lambda d: d.pop("lock"),
    "a secret too": lambda d: d.update(secret="00" * 32),
    "a later version": lambda d: d.update(version=3),
    "an earlier version": lambda d: d.update(version=1),
    "something unknown": lambda d: d.update(hint="my dog"),
    "a large box": lambda d: d.update(sealed="00" * 5000),
    "a keyring that is not there": lambda d: d.update(lock={"method": "keyring", "keyring": "00" * 16}),
    "a library to load": lambda d: (
        d.pop("sealed"),
        d.update(
            lock={
                "method": "pkcs11",
                "uri": "pkcs11:token=t;object=o;type=private?module-path=/tmp/evil.so",
            }
        ),
    ),
}


@pytest.mark.parametrize("spoilt", HOSTILE)
def test_a_hostile_file_is_refused_before_it_costs_anything(
    locked: Path, spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_rest.pwhash.argon2id, "kdf", lambda *_: pytest.fail("it was paid for"))
    with pytest.raises(KeyFileUnusable):
        KeyFile.load(changed(locked, HOSTILE[spoilt]), WORDS)


def test_a_machine_without_the_memory_says_so(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(at_rest.pwhash.argon2id, "kdf", full)
    with pytest.raises(LedgerError, match="memory"):
        KeyFile.load(locked, WORDS)


def test_replacing_a_file_overwrites_what_it_held_unless_another_name_has_it(tmp_path: Path) -> None:
    path, other = tmp_path / "k", tmp_path / "other"
    write_private(path, b"secret")
    with path.open("rb") as former:
        write_private(path, b"new", replace=True)
        assert former.read() == bytes(6)
    other.hardlink_to(path)
    write_private(path, b"newer", replace=True)
    assert (path.read_bytes(), other.read_bytes()) == (b"newer", b"new")
    assert {one.name for one in tmp_path.iterdir()} == {"k", "other"}


# --- derivation ---


def test_the_default_cost_is_rfc_9106s_second_choice_and_least_and_most_are_accepted() -> None:
    assert KdfCost(memory_kib=65536, passes=3) == COST_DEFAULT
    KdfCost(memory_kib=MEMORY_KIB_MAX, passes=4)
    with pytest.raises(ValueError):
        KdfCost(memory_kib=MEMORY_KIB_MAX, passes=5)


def test_a_key_depends_on_passphrase_salt_and_cost() -> None:
    dearer = KdfCost(memory_kib=COST_LEAST.memory_kib, passes=2)
    inputs = [
        (b"a", bytes(16), COST_LEAST),
        (b"b", bytes(16), COST_LEAST),
        (b"a", b"\1" * 16, COST_LEAST),
        (b"a", bytes(16), dearer),
    ]
    keys = {at_rest.derive_key(*one) for one in inputs}
    assert len(keys) == 4
    # Argon2id, version 1.3, m = 8 MiB, t = 1, p = 1: as the reference implementation gives it.
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    reference = Argon2id(salt=bytes(16), length=32, iterations=1, lanes=1, memory_cost=8192).derive(b"a")
    assert at_rest.derive_key(*inputs[0]) == reference


@given(secret=st.binary(max_size=200), header=st.binary(max_size=50), other=st.binary(max_size=50))
def test_a_box_opens_under_its_own_header_only(secret: bytes, header: bytes, other: bytes) -> None:
    key = bytes(range(32))
    box = at_rest.seal(key, secret, header)
    assert at_rest.unseal(key, box, header) == secret
    if other != header:
        with pytest.raises(VerificationFailed):
            at_rest.unseal(key, box, other)
    with pytest.raises(VerificationFailed):
        at_rest.unseal(at_rest.subkey(key, "x"), box, header)


# --- keyrings ---


@pytest.fixture
def ring(tmp_path: Path) -> tuple[Path, Keyring]:
    keyring, path = Keyring.create(), tmp_path / "keyring.json"
    write_private(path, keyring.locked(ByPassphrase(Passphrase(WORDS), COST_LEAST)))
    return path, keyring


def test_a_keyring_opens_once_for_many_secrets(
    ring: tuple[Path, Keyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, keyring = ring
    using, paid = sources_with(passphrase_file(path.parent)), []
    derive = at_rest.derive_key
    monkeypatch.setattr(at_rest, "derive_key", lambda *given: paid.append(1) or derive(*given))
    data = keyring.seal("vote-key", b"public", b"secret")
    for _ in range(3):
        assert open_keyring(path, using).unseal(data, "vote-key", path) == b"secret"
    assert paid == [1]


def test_a_secret_is_of_one_kind_and_one_keyring(ring: tuple[Path, Keyring]) -> None:
    path, keyring = ring
    data = keyring.seal("vote-key", b"public", b"secret")
    with pytest.raises(KeyFileUnusable, match="vote-key"):
        keyring.unseal(data, "wrap-key", path)
    renamed = data.replace(b'"vote-key"', b'"wrap-key"')
    with pytest.raises(KeyFileUnusable, match="changed"):
        keyring.unseal(renamed, "wrap-key", path)
    with pytest.raises(KeyFileUnusable, match="changed"):
        keyring.unseal(data.replace(b"public".hex().encode(), b"PUBLIC".hex().encode()), "vote-key", path)
    with pytest.raises(KeyFileUnusable, match="keyring"):
        Keyring.create().unseal(data, "vote-key", path)
    with pytest.raises(KeyFileUnusable, match="changed"):
        Keyring(keyring.id, bytes(32)).unseal(data, "vote-key", path)


def test_an_account_key_opens_with_the_keyring_beside_it(
    ring: tuple[Path, Keyring], key: KeyFile, tmp_path: Path
) -> None:
    path, keyring = ring
    key.save(path.parent / "node.json", keyring=keyring)
    assert KeyFile.load(path.parent / "node.json", WORDS, using=NOTHING) == key
    moved = tmp_path / "elsewhere" / "node.json"
    write_private(moved, (path.parent / "node.json").read_bytes())
    with pytest.raises(KeyFileUnusable, match=r"keyring\.json"):
        KeyFile.load(moved, WORDS)


def test_a_keyring_file_is_read_strictly(ring: tuple[Path, Keyring]) -> None:
    path, _keyring = ring
    good = path.read_bytes()
    for bad in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, good.replace(b'"version": 1', b'"version": 2')):
        with pytest.raises(KeyFileUnusable):
            read_keyring_file(bad, path)
    for bad in (
        good.replace(b"xchacha20-poly1305", b"aes-256-gcm"),
        good.replace(b'"passes": 1', b'"passes": 17'),
    ):
        with pytest.raises(KeyFileUnusable):
            read_keyring_file(bad, path)
    path.write_bytes(good.replace(b'"passes": 1', b'"passes": 2'))
    with pytest.raises(PassphraseWrong):
        open_keyring(path, sources_with(passphrase_file(path.parent)))


# --- where passphrases come from ---


def test_the_sources_are_asked_in_their_order(tmp_path: Path) -> None:
    named = passphrase_file(tmp_path, "from the option", "1")
    environment = {"ZHENGLIAN_PASSPHRASE_FILE": str(passphrase_file(tmp_path, "from the variable", "2"))}
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    passphrase_file(tmp_path, "from the manager", "zhenglian-passphrase")

    def said(sources: Sources) -> bytes:
        return sources.passphrase("k").reveal()

    def ask(_zh: str, _en: str) -> str:
        return "typed"

    both = {**environment, **credentials}
    assert said(Sources(passphrase_file=named, environment=both, ask=ask)) == b"from the option"
    assert said(Sources(environment=both, ask=ask)) == b"from the variable"
    assert said(Sources(environment=credentials, ask=ask)) == b"from the manager"
    assert said(Sources(environment={}, ask=ask)) == b"typed"
    with pytest.raises(PassphraseNeeded, match="ZHENGLIAN_PASSPHRASE_FILE"):
        said(NOTHING)
    gone = Sources(environment={"ZHENGLIAN_PASSPHRASE_FILE": str(tmp_path / "gone"), **credentials}, ask=ask)
    with pytest.raises(PassphraseUnusable, match="gone"):
        said(gone)


def test_a_new_passphrase_is_typed_twice_and_long_enough(tmp_path: Path) -> None:
    def answering(*answers: str) -> Sources:
        waiting = list(answers)
        return Sources(environment={}, ask=lambda _zh, _en: waiting.pop(0))

    assert answering(WORDS, WORDS).new_passphrase("k").reveal() == WORDS.encode()
    with pytest.raises(PassphraseUnusable, match="two ways"):
        answering(WORDS, WORDS + "x").new_passphrase("k")
    with pytest.raises(PassphraseUnusable, match="at least"):
        answering("elevenchars").new_passphrase("k")
    with pytest.raises(NewPassphraseNeeded, match="--unencrypted"):
        NOTHING.new_passphrase("k")
    with pytest.raises(PassphraseUnusable, match="at least"):
        sources_with(passphrase_file(tmp_path, "elevenchars")).new_passphrase("k")


def test_a_passphrase_file_is_private_short_and_text(tmp_path: Path) -> None:
    path = passphrase_file(tmp_path)
    assert read_passphrase(path).reveal() == WORDS.encode()
    path.write_bytes(b"  spaces count  \r\n")
    assert read_passphrase(path).reveal() == b"  spaces count  "
    path.write_bytes("e\u0301".encode())
    assert read_passphrase(path).reveal() == "\u00e9".encode()
    for bad in (b"", b"\n", b"\xff\xfe", b"x" * (PASSPHRASE_SIZE_BYTES_MAX + 1)):
        path.write_bytes(bad)
        with pytest.raises(PassphraseUnusable):
            read_passphrase(path)
    path.write_text(WORDS)
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(PassphraseUnusable, match="chmod 600"):
            read_passphrase(path)


def test_the_service_managers_credential_may_show_its_access_list_as_a_group_right(tmp_path: Path) -> None:
    path = passphrase_file(tmp_path, name="zhenglian-passphrase")
    path.chmod(0o440)
    using = Sources(environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert using.passphrase("k").reveal() == WORDS.encode()
    path.chmod(0o444)
    with pytest.raises(PassphraseUnusable):
        using.passphrase("k")


def test_a_pipe_hands_over_a_passphrase() -> None:
    reader, writer = os.pipe()
    os.write(writer, WORDS.encode() + b"\n")
    os.close(writer)
    assert read_passphrase(Path(f"/dev/fd/{reader}")).reveal() == WORDS.encode()
    os.close(reader)


def test_a_passphrase_shows_itself_nowhere_and_is_wiped() -> None:
    passphrase = Passphrase(WORDS)
    assert WORDS not in f"{passphrase!r}{passphrase}"
    passphrase.wipe()
    assert set(passphrase.reveal()) == {0}


# --- names of keys in tokens ---


labels = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@given(token=labels, label=labels)
def test_a_tokens_key_is_named_and_read_back(token: str, label: str) -> None:
    named = TokenKey(token, label)
    assert parse_token_key(str(named)) == named
    assert str(named).isascii()


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://x",
        "pkcs11:",
        "pkcs11:token=t",
        "pkcs11:token=t;object=o;type=cert",
        "pkcs11:token=t;token=u;object=o;type=private",
        "pkcs11:token=t;object=o;type=private;slot-id=1",
        "pkcs11:token=t;object=o;type=private?pin-value=1234",
        "pkcs11:token=t;object=%ff;type=private",
        "pkcs11:token=t;object=;type=private",
        "pkcs11:token=t;object=" + "o" * 33 + ";type=private",
        "pkcs11:" + "x" * 600,
    ],
)
def test_what_names_no_key_or_more_than_a_key_is_refused(uri: str) -> None:
    with pytest.raises(DecodeError):
        parse_token_key(uri)
