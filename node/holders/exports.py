"""A node's shares on offline media: one file, under a passphrase of its own.

    {"format": "zhenglian-key-shares", "version": 1, "network", "suite", "chain_id", "account", "name", "made_ms", "shares",
     "lock", "cipher", "sealed"}

Rule: who has the file and not the passphrase learns whose shares it holds and nothing of them; what stands beside the box is bound
to it. A file is never overwritten. What is in it is believed only as far as it fits the public half that it names.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.crypto import at_rest
from ledger.crypto.at_rest import COST_DEFAULT, SALT_SIZE_BYTES, KdfCost
from ledger.decoders import decode_json
from ledger.errors import Category, DecodeError, LedgerError, VerificationFailed
from ledger.types import Count, Name
from node.holders.keeping import fits_own
from node.holders.share_file import SHARES_FILE_BYTES_MAX, SHARES_MAX, HeldShare, HeldShares
from node.home import FileUnusable, Home, read_file, write_file
from zhenglian.api import Hex16, Hex32
from zhenglian.errors import PassphraseWrong
from zhenglian.keyring import CIPHER, PassphraseLock, header_of, to_json
from zhenglian.unlocking import Passphrase

EXPORT_FORMAT: Final = "zhenglian-key-shares"
EXPORT_BYTES_MAX: Final = 1024 * 1024
_BOX_PURPOSE: Final = "key-shares"


class ExportUnusable(LedgerError):
    """A file of exported shares cannot be used. Fields: path, reason_zh, reason_en."""

    code = "export_unusable"
    zh = "导出的密钥份额文件 {path} 不可用：{reason_zh}"
    en = "Cannot use the exported key shares {path}: {reason_en}"


class NothingToExport(LedgerError):
    """The node holds no share. Fields: path."""

    code = "nothing_to_export"
    category = Category.CONFLICT
    zh = "{path} 中没有密钥份额；共管密钥生成完成后再导出，或用 zhenglian status 查看本节点缺少哪些份额"
    en = "{path} has no key share; export once the operators have made their keys; zhenglian status names what is missing"


class ExportedShare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which share is in the box."""

    purpose: KeyPurpose
    version: Count
    renewal: Count
    holder: Count


class ExportFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file.

    Attributes:
        network, suite, chain_id: of which network.
        account, name: whose.
        made_ms: when, Unix milliseconds.
        shares: what is in the box.
        lock: how the passphrase becomes its key.
        sealed: the box.
    """

    format: Literal["zhenglian-key-shares"] = EXPORT_FORMAT
    version: Annotated[int, Meta(ge=1, le=1)] = 1
    network: Name
    suite: Name
    chain_id: Hex32
    account: Hex16
    name: Name
    made_ms: Count
    shares: Annotated[tuple[ExportedShare, ...], Meta(max_length=SHARES_MAX)]
    lock: PassphraseLock
    cipher: Literal["xchacha20-poly1305"] = CIPHER
    sealed: Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*$", max_length=2 * SHARES_FILE_BYTES_MAX + 1024)]


def write_export(
    path: Path,
    held: HeldShares,
    *,
    network: str,
    suite: str,
    name: str,
    made_ms: int,
    passphrase: Passphrase,
    cost: KdfCost = COST_DEFAULT,
) -> ExportFile:
    """Write shares under a passphrase; gives the file.

    Raises:
        FileUnusable: the file exists, or cannot be written.
        Unavailable: there is not memory enough for the passphrase's cost.
    """
    if path.exists():
        raise FileUnusable(path=str(path), reason="it exists already; exported shares are never overwritten")
    lock = PassphraseLock(cost=cost, salt=secrets.token_hex(SALT_SIZE_BYTES))
    file = ExportFile(
        network=network,
        suite=suite,
        chain_id=held.chain_id.hex(),
        account=held.account.hex(),
        name=name,
        made_ms=made_ms,
        shares=tuple(
            ExportedShare(purpose=one.purpose, version=one.version, renewal=one.renewal, holder=one.holder)
            for one in held.shares
        ),
        lock=lock,
        sealed="",
    )
    key = at_rest.subkey(lock.key(passphrase), _BOX_PURPOSE)
    file = replace(file, sealed=at_rest.seal(key, codec.encode(held), header_of(file)).hex())
    write_file(path, to_json(file), secret=True, replace=False)
    return file


def read_export(path: Path) -> ExportFile:
    """What a file says of itself, without opening it.

    Raises:
        FileUnusable: it cannot be read. ExportUnusable: it is no such file.
    """
    data = read_file(path, size_bytes_max=EXPORT_BYTES_MAX)
    try:
        return decode_json(data, ExportFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExportUnusable(path=str(path), reason_zh=str(error), reason_en=str(error)) from None


def open_export(path: Path, file: ExportFile, passphrase: Passphrase) -> HeldShares:
    """The shares; every one fits its own public half.

    Raises:
        PassphraseWrong: that is not its passphrase, or the file was changed.
        ExportUnusable: what is in the box is not what the file says.
        Unavailable: there is not memory enough for the passphrase's cost.
    """
    key = at_rest.subkey(file.lock.key(passphrase), _BOX_PURPOSE)
    try:
        opened = at_rest.unseal(key, bytes.fromhex(file.sealed), header_of(replace(file, sealed="")))
        held = codec.decode(opened, HeldShares, size_bytes_max=SHARES_FILE_BYTES_MAX, what="exported shares")
    except VerificationFailed:
        raise PassphraseWrong(path=str(path)) from None
    except DecodeError as error:
        reason = str(error.fields["reason"])
        raise ExportUnusable(path=str(path), reason_zh=reason, reason_en=reason) from None
    if not same_shares(file, held.shares) or not all(fits_own(one) for one in held.shares):
        raise ExportUnusable(
            path=str(path),
            reason_zh="内容与文件所述不符，或份额与公钥不符",
            reason_en="what is in it is not what it says, or does not fit its public half",
        )
    return held


def note_export(home: Home, file: ExportFile) -> None:
    """Remember what was exported at which renewal, for `node doctor`. Raises FileUnusable."""
    said = {f"{one.purpose.value} {one.version}": one.renewal for one in file.shares}
    write_file(home.shares_exported, msgspec.json.encode(said) + b"\n")


def exported_renewals(home: Home) -> dict[str, int]:
    """Renewal of the last export by purpose and version; empty if nobody has exported, or nobody can tell."""
    try:
        return decode_json(read_file(home.shares_exported), dict[str, int])
    except (FileUnusable, msgspec.MsgspecError):
        return {}


def same_shares(file: ExportFile, shares: Sequence[HeldShare]) -> bool:
    """Whether the file says that it holds just these."""
    named = [(one.purpose, one.version, one.renewal, one.holder) for one in file.shares]
    return named == [(one.purpose, one.version, one.renewal, one.holder) for one in shares]
