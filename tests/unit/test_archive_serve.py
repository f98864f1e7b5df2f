"""An auditor reads an archived ledger by the usual client, with its own key, and changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts.calls import DeadlinesTick
from contracts.records import KeyRole
from ledger.archive import ArchivedBlock
from ledger.receipts import receipt_from_json, verify_receipt
from node.archive_import import import_archive
from node.archive_serve import ArchiveSite
from node.home import FileUnusable, Home
from tests.unit.archive_world import archived, frames_of, quiet
from tests.unit.contracts_world import AUDITOR, SUITE, identity
from zhenglian import ApiError, Client, KeyFile


def no_fault(error: BaseException) -> None:
    raise error


def test_a_folder_without_a_ledger_is_not_served(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create_folders()
    with pytest.raises(FileUnusable):
        ArchiveSite(home, "127.0.0.1", 0, on_fatal=no_fault)


async def test_the_usual_client_reads_an_imported_ledger_and_cannot_change_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create_folders()
    file = tmp_path / "city.archive"
    file.write_bytes(archived()[0])
    import_archive(file, home, archived()[1], trust_snapshot=False, progress=quiet)
    site = ArchiveSite(home, "127.0.0.1", 0, on_fatal=no_fault)
    await site.start()
    try:
        await asyncio.to_thread(read, site.url)
    finally:
        await site.stop()


def read(url: str) -> None:
    with Client(url, auditor()) as client:
        status = client.status()
        assert (status.height, status.voting, status.peers) == (11, False, [])
        assert client.network().epoch == 2
        assert client.events(kind="governance").items
        blocks = [frame for frame in frames_of(archived()[0]) if isinstance(frame, ArchivedBlock)]
        names = [result.transaction_id.hex() for block in blocks for result in block.results]
        assert client.transaction(names[0]).height == 1
        receipt = receipt_from_json(client.receipt(names[0]))
        verify_receipt(archived()[1], receipt)
        with pytest.raises(ApiError) as caught:
            client.submit(DeadlinesTick())
        assert caught.value.code == "read_only"


def auditor() -> KeyFile:
    secret = identity("auditor/officer", 32)
    assert SUITE.load_signer(secret).public_key == AUDITOR.signer.public_key
    return KeyFile(
        account=AUDITOR.account.hex(),
        scheme=AUDITOR.signer.scheme,
        public_key=AUDITOR.signer.public_key.hex(),
        key_id=AUDITOR.key_id.hex(),
        role=KeyRole.OFFICER,
        label="auditor",
        secret=secret.hex(),
    )
