"""Key files: private, whole, and never what they are not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts.records import KeyRole
from ledger import domains
from ledger.errors import LimitExceeded
from tests.suites import scheme_under_test
from tests.unit.ledger_world import SUITE
from zhenglian import KeyFile, KeyFileUnusable
from zhenglian.deposits import attachment_salt, field_salt, require_attachment_size
from zhenglian.keyfile import KEY_FILE_SIZE_BYTES_MAX


@pytest.fixture
def key() -> KeyFile:
    return KeyFile.generate(SUITE, role=KeyRole.OFFICER, label="0042")


def test_a_key_comes_back_as_it_was_written_and_signs(key: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "officer.json"
    key.save(path, unencrypted=True)
    loaded = KeyFile.load(path)
    assert loaded == key
    signature = loaded.signer().sign(domains.SESSION, b"message")
    assert SUITE.verify(
        scheme_under_test(), bytes.fromhex(key.public_key), domains.SESSION, b"message", signature
    )


def test_a_key_file_is_for_its_owner_only(key: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    key.save(path, unencrypted=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_read_or_change_is_refused(key: KeyFile, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k.json"
    key.save(path, unencrypted=True)
    path.chmod(mode)
    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        KeyFile.load(path)


def test_a_key_is_never_overwritten(key: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    key.save(path, unencrypted=True)
    other = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="")
    with pytest.raises(KeyFileUnusable, match="exists"):
        other.save(path, unencrypted=True)
    assert KeyFile.load(path) == key
    assert list(tmp_path.iterdir()) == [path]


def test_the_secret_is_in_no_representation(key: KeyFile) -> None:
    assert key.secret not in f"{key!r}{key}"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[1]", b"\xff\xfe", b'{"account": "00"}', b" " * (KEY_FILE_SIZE_BYTES_MAX + 1)],
    ids=["empty", "no members", "a list", "no text", "a short id", "too large"],
)
def test_what_is_no_key_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path / "k.json", data)
    with pytest.raises(KeyFileUnusable, match=r"k\.json"):
        KeyFile.load(path)


@pytest.mark.parametrize("member", ["secret", "public_key", "key_id"])
def test_parts_that_do_not_belong_together_are_refused(key: KeyFile, tmp_path: Path, member: str) -> None:
    other = KeyFile.generate(SUITE, role=KeyRole.OFFICER, label="")
    mixed = msgspec.structs.replace(key, **{member: getattr(other, member)})
    with pytest.raises(KeyFileUnusable, match="belong together"):
        KeyFile.load(written(tmp_path / "k.json", msgspec.json.encode(mixed)))


def test_an_unknown_scheme_is_refused(key: KeyFile, tmp_path: Path) -> None:
    foreign = msgspec.structs.replace(key, scheme="rsa")
    with pytest.raises(KeyFileUnusable, match="rsa"):
        KeyFile.load(written(tmp_path / "k.json", msgspec.json.encode(foreign)))


def test_salts_differ_by_seed_kind_and_name() -> None:
    seeds = (bytes(32), bytes(31) + b"\1")
    salts = {
        made(SUITE, seed, name) for made in (field_salt, attachment_salt) for seed in seeds for name in "ab"
    }
    assert len(salts) == 8
    assert {len(salt) for salt in salts} == {16}


def test_an_attachment_of_the_largest_size_passes_and_one_byte_more_does_not() -> None:
    require_attachment_size("scan", 10, 10)
    with pytest.raises(LimitExceeded):
        require_attachment_size("scan", 11, 10)
