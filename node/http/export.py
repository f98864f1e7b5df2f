"""The export of an account's own data: a ZIP with everything as JSON, and with what a third party needs to check it.

    README.md                what is in here, and how to check it (zh, en)
    manifest.json            network, account, as of which block, hash of every file, what is missing
    trust.json, epochs.json  the validators at genesis and how they changed: what receipts and proofs are held against
    data/<section>.json      certificates, grants, accesses, requests, representations
    receipts/<id>.json       for every access, and for what made a certificate or grant: the transaction and its result
    proofs/<kind>-<id>.json  for every certificate and grant: its record at the head

Rule: the same content gives the same bytes: entries in the order of their names, with no times of their own. An archive is bounded;
where there were more accesses it says where the next archive begins. Whatever is missing is named, never left out in silence.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from contracts.records import KeyRole
from contracts.state import CERTIFICATES, GRANTS
from ledger.errors import LedgerError, NotFound
from ledger.receipts import (
    EPOCH_CHANGES_MAX,
    epochs_to_json,
    receipt_to_json,
    state_receipt_to_json,
    trust_to_json,
)
from ledger.types import Receipt
from node.http.decode import json_bytes
from node.http.routes.visibility import sight
from node.http.views import mydata as views
from node.http.views.common import instant
from node.index.dossiers import Section
from node.services.mydata import Found, MyData, Scope
from node.services.ports import Caller, Chain, Services
from zhenglian.api_mydata import ExportPart

FORMAT: Final = "zhenglian-export/1"
# Of one archive; the next one begins behind them.
ACCESSES_MAX: Final = 500
# Nobody has so many of anything else; whoever does finds the rest through the API, and the manifest says so.
OTHERS_MAX: Final = 2_000
PAGE: Final = 100
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)

_README: Final = """# 我的数据 / My data

账户 {account}，网络 {network}，截至区块 {height}（{as_of}）。
Account {account}, network {network}, as of block {height} ({as_of}).

## 内容 / Contents

- `data/certificates.json` 本人的证照（字段名称与状态）/ my certificates: names of fields, states
- `data/grants.json` 本人数据上的授权 / grants on my data
- `data/accesses.json` 谁查看过，含被拒绝的尝试 / who looked, refused attempts too
- `data/requests.json` 等待本人处理的事项 / what waits for me
- `data/representations.json` 代理关系 / who acts for whom
- `receipts/` 交易收据，`proofs/` 状态证明 / receipts of transactions, proofs of records
- `trust.json`、`epochs.json` 创世验证者及其变更，验证的依据 / the validators at genesis and their changes
- `manifest.json` 每个文件的哈希，以及缺少的内容 / hash of every file, and what is missing

## 如何验证 / How to check

无需联网 / no network is needed:

    zhenglian verify receipts/<id>.json --trust trust.json --epochs epochs.json
    zhenglian verify proofs/<name>.json --trust trust.json --epochs epochs.json

请先从多个运营方核对 `trust.json` 的内容，再据此验证。
Compare `trust.json` with what several operators publish before you rely on it.

## 数值 / Values

{values}
"""
_NO_VALUES: Final = """证照的数值不在此文件中：任何数值只能经账本记录的下链打开，本人也不例外。
用 `zhenglian me export FILE --values FOLDER` 由本人签名打开，另存到该目录。
The values of the certificates are not in here: a value is opened only by a release that the ledger records, for
its holder too. `zhenglian me export FILE --values FOLDER` opens them with your signature and writes them there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One archive; `next` is the cursor of the following one, None at the end."""

    name: str
    data: bytes
    next: int | None


@dataclass(slots=True)
class _Making:
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


async def build(services: Services, scope: Scope, *, cursor: int | None) -> Archive:
    """An archive of what `scope` covers.

    Args:
        services: where it is read.
        scope: whose data, for which purposes.
        cursor: of the accesses, where the archive before this one ended; None for the first.
    """
    chain = services.chain
    making = _Making()
    following: int | None = None
    # As of one block, as far as that can be: what is read later may know a little more.
    height, as_of = chain.height, instant(chain.head_time_ms)
    for section in Section:
        if cursor is not None and section is not Section.ACCESSES:
            continue
        ended = await _section(services, scope, making, section, cursor)
        if section is Section.ACCESSES:
            following = ended
    making.files["trust.json"] = trust_to_json(chain.trust()).encode()
    making.files["epochs.json"] = (await asyncio.to_thread(_epochs, services)).encode()
    readme = _README.format(
        account=scope.account.hex(),
        network=chain.genesis.network,
        height=height,
        as_of=as_of.isoformat(),
        values=_NO_VALUES,
    )
    making.files["README.md"] = readme.encode()
    manifest = ExportPart(
        format=FORMAT,
        network=chain.genesis.network,
        chain_id=chain.chain_id.hex(),
        account=scope.account.hex(),
        height=height,
        as_of=as_of,
        complete_from_height=services.index.first_height,
        values=False,
        files={name: chain.suite.digest(data).hex() for name, data in sorted(making.files.items())},
        missing=making.missing,
        next="" if following is None else str(following),
    )
    making.files["manifest.json"] = _pretty(manifest)
    data = await asyncio.to_thread(zipped, making.files)
    return Archive(name=f"zhenglian-{scope.account.hex()[:8]}-{height}.zip", data=data, next=following)


def zipped(files: dict[str, bytes]) -> bytes:
    """The files as a ZIP whose bytes depend on nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return buffer.getvalue()


async def _section(
    services: Services, scope: Scope, making: _Making, section: Section, cursor: int | None
) -> int | None:
    """Add a section with its receipts and proofs; where the next archive goes on, if there is more."""
    maximum = ACCESSES_MAX if section is Section.ACCESSES else OTHERS_MAX
    found, following = await _all(services, scope, section, cursor, maximum)
    if following is not None and section is not Section.ACCESSES:
        making.missing.append(
            f"data/{section.value}.json: only the newest {maximum}; see /v1/me/{section.value}"
        )
    shown = views.Shown(services, scope)
    show: dict[Section, Callable[[Found], Any]] = {
        Section.CERTIFICATES: shown.certificate,
        Section.GRANTS: shown.grant,
        Section.ACCESSES: shown.access,
        Section.REQUESTS: shown.request,
        Section.REPRESENTATIONS: shown.representation,
    }
    making.files[f"data/{section.value}.json"] = _pretty([show[section](one) for one in found])
    for one in found:
        _receipt(services, making, scope.account, one)
        if one.certificate is not None:
            key = services.chain.record_key(CERTIFICATES, one.certificate.certificate_id)
            _proof(services, making, f"certificate-{one.certificate.certificate_id.hex()}", key)
        if section is Section.GRANTS and one.grant is not None:
            key = services.chain.record_key(GRANTS, one.grant.grant_id)
            _proof(services, making, f"grant-{one.grant.grant_id.hex()}", key)
        # Each of these reads the store; others are answered in between.
        await asyncio.sleep(0)
    return following


async def _all(
    services: Services, scope: Scope, section: Section, cursor: int | None, maximum: int
) -> tuple[list[Found], int | None]:
    mine = MyData(services.chain, services.index)
    items: list[Found] = []
    after = cursor
    while len(items) < maximum:
        page = await mine.page(scope, section, after=after, limit=min(PAGE, maximum - len(items)))
        items += page.items
        after = page.next
        if after is None:
            break
    return items, after


def _epochs(services: Services) -> str:
    """How the validators changed since genesis; with it, trust at genesis proves what any epoch finalized."""
    first = services.chain.genesis.validators.epoch
    return epochs_to_json(services.chain.epoch_changes(first, EPOCH_CHANGES_MAX))


def _receipt(services: Services, making: _Making, reader: bytes, found: Found) -> None:
    transaction_id = found.event.transaction_id
    name = f"receipts/{transaction_id.hex()}.json"
    if name not in making.files:
        _kept(making, name, lambda: receipt_to_json(_own_receipt(services.chain, reader, transaction_id)))


def _own_receipt(chain: Chain, reader: bytes, transaction_id: bytes) -> Receipt:
    """A receipt in which nobody else stands. Raises NotFound for one that tells of others, as that of a count does."""
    found = chain.receipt(transaction_id)
    account = chain.records.account(reader)
    if account is None:
        raise NotFound(what="account", id=reader.hex())
    caller = Caller(account=reader, key_id=b"", kind=account.kind, role=KeyRole.HOLDER)
    if not sight(chain, caller, found.transaction, found.result, found.header).whole:
        raise NotFound(what="receipt of the account alone", id=transaction_id.hex())
    return found


def _proof(services: Services, making: _Making, what: str, key: bytes) -> None:
    _kept(making, f"proofs/{what}.json", lambda: state_receipt_to_json(services.chain.state_receipt(key)))


def _kept(making: _Making, name: str, make: Callable[[], str]) -> None:
    try:
        making.files[name] = make().encode()
    except LedgerError as error:
        making.missing.append(f"{name}: {error.code}")


def _pretty(value: object) -> bytes:
    return msgspec.json.format(json_bytes(value), indent=2) + b"\n"
