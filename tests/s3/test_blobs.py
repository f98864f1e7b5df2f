"""The bucket keeps the same promises as the folder: every test here runs on both."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import LedgerError, LimitExceeded, StorageDamaged, Unavailable
from node.home import SecretExposed
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, BlobStore, LocalBlobStore, blob_hash
from node.vault.blobs_s3 import S3BlobStore, S3Settings
from tests.s3.conftest import BUCKET, SECRET, Service
from tests.suites import suite_under_test

SUITE = suite_under_test()
SIZES = [0, 1, 1000, 6 * 1024 * 1024]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, service: Service) -> BlobStore:
    if request.param == "folder":
        return LocalBlobStore(tmp_path / "blobs", SUITE)
    return S3BlobStore(service.settings, SUITE)


def damage(store: BlobStore, tmp_path: Path, name: bytes, data: bytes) -> None:
    """Put other bytes under a blob's name, behind the store's back."""
    text = name.hex()
    path = Path(text[:2]) / text[2:]
    local = tmp_path / "blobs" / path
    target = local if local.exists() else tmp_path / "data" / BUCKET / "node-1" / path
    assert target.exists()
    target.write_bytes(data)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_there_under_its_hash(store: BlobStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    name = store.put(data)
    assert name == blob_hash(SUITE, data) == store.put(data)
    assert store.get(name) == data
    assert store.has(name)


def test_what_is_not_there_is_none(store: BlobStore) -> None:
    assert store.get(bytes(32)) is None
    assert not store.has(bytes(32))
    assert not store.delete(bytes(32))
    assert list(store.listing()) == []


def test_what_is_deleted_is_gone_and_the_rest_stays(store: BlobStore) -> None:
    first, second = store.put(b"first"), store.put(b"second")
    assert store.delete(first)
    assert not store.delete(first)
    assert store.get(first) is None
    assert [listed.name for listed in store.listing()] == [second]


def test_other_things_that_lie_there_are_passed_over(store: BlobStore, tmp_path: Path) -> None:
    """One name of 64 letters that are no digits ended the walk, and with it the node."""
    name = store.put(b"ciphertext")
    local = tmp_path / "blobs"
    root = local if local.exists() else tmp_path / "data" / BUCKET / "node-1"
    (root / "zz").mkdir()
    (root / "zz" / ("z" * 62)).write_bytes(b"x")
    (root / name.hex()[:2] / "notes.txt").write_bytes(b"x")
    assert [listed.name for listed in store.listing()] == [name]


def test_more_blobs_than_one_page_are_all_listed(store: BlobStore) -> None:
    names = {store.put(number.to_bytes(2, "big")) for number in range(1100)}
    listed = list(store.listing())
    assert {entry.name for entry in listed} == names
    assert all(entry.written_ms > 1_600_000_000_000 for entry in listed)


@pytest.mark.parametrize("data", [b"other bytes", b"", b"x" * (BLOB_SIZE_BYTES_MAX + 1)])
def test_a_damaged_copy_is_none_and_is_replaced(store: BlobStore, tmp_path: Path, data: bytes) -> None:
    name = store.put(b"ciphertext")
    damage(store, tmp_path, name, data)
    with pytest.raises(StorageDamaged):
        store.get(name)
    assert not store.has(name)
    assert store.put(b"ciphertext") == name
    assert store.get(name) == b"ciphertext"


def test_too_large_a_blob_is_refused(store: BlobStore) -> None:
    with pytest.raises(LimitExceeded):
        store.put(bytes(BLOB_SIZE_BYTES_MAX + 1))


def test_two_nodes_in_one_bucket_do_not_see_each_other(service: Service) -> None:
    here = S3BlobStore(service.settings, SUITE)
    there = S3BlobStore(_with(service, prefix="node-2"), SUITE)
    name = here.put(b"mine")
    assert there.get(name) is None
    assert list(there.listing()) == []


def test_a_service_that_is_gone_is_said_to_be_and_works_again_when_it_is_back(service: Service) -> None:
    store = S3BlobStore(service.settings, SUITE)
    name = store.put(b"ciphertext")
    service.end()
    for call in (lambda: store.get(name), lambda: store.put(b"more"), lambda: list(store.listing())):
        with pytest.raises(Unavailable) as caught:
            call()
        assert BUCKET in str(caught.value)
    service.begin()
    assert store.get(name) == b"ciphertext"


def test_wrong_credentials_are_an_error_that_does_not_show_them(service: Service, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("operator\nsomething-else\n")
    wrong.chmod(0o600)
    store = S3BlobStore(_with(service, credentials=wrong), SUITE)
    with pytest.raises(Unavailable) as caught:
        store.put(b"ciphertext")
    assert "something-else" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "one", "one two three"])
def test_a_file_of_credentials_that_is_none_is_refused(service: Service, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(LedgerError):
        S3BlobStore(_with(service, credentials=path), SUITE)


def test_credentials_that_others_may_read_are_refused(service: Service, tmp_path: Path) -> None:
    service.credentials.chmod(0o644)
    with pytest.raises(SecretExposed) as caught:
        S3BlobStore(service.settings, SUITE)
    assert SECRET not in str(caught.value)


def test_no_tls_must_be_asked_for(service: Service) -> None:
    with pytest.raises(Unavailable):
        S3BlobStore(_with(service, allow_http=False), SUITE).put(b"ciphertext")


def test_a_bucket_that_is_not_there_is_named(service: Service, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data" / BUCKET)
    with pytest.raises(Unavailable, match=BUCKET):
        S3BlobStore(service.settings, SUITE).put(b"ciphertext")


def _with(service: Service, **changes: object) -> S3Settings:
    return replace(service.settings, **changes)  # type: ignore[arg-type]
