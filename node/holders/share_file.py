"""This node's shares of the operators' keys, in one file.

    shares/own        the shares that are in force, and those that are about to be
    shares/round-…    what a round needs to be remembered until it is done (`round_files.py`)

Rule: a share is in this folder and nowhere else: not in the ledger, not in a backup, not in a log. The file is sealed under a key
that the node's wrap key gives, replaced whole and durably, and what it replaces is overwritten as far as the disk allows.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from contracts.shared_key_records import KeyPurpose
from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.equality import Scalar
from ledger.crypto.threshold.polynomials import HOLDERS_MAX
from ledger.crypto.threshold.shares import HolderKeys
from ledger.errors import Category, LedgerError, VerificationFailed
from ledger.types import AccountId, Count, Hash, Name, Wire
from node.holders.ports import OwnShare
from node.home import FileUnusable, Home, destroy_former, read_file, supersede, write_file

OWN_NAME: Final = "own"
SHARES_MAX: Final = 32
SHARES_FILE_BYTES_MAX: Final = 256 * 1024
_KEY_LABEL: Final = b"shares"
_FOLDER_MODE: Final = 0o700


class HeldShare(Wire):
    """A share: of which key at which renewal, as which holder; the key's public half lies beside it, for whoever has no ledger."""

    purpose: KeyPurpose
    version: Count
    renewal: Count
    group: Name
    keys: HolderKeys
    holder: Annotated[int, Meta(ge=1, le=HOLDERS_MAX)]
    secret: Scalar

    def __repr__(self) -> str:
        return f"HeldShare({self.purpose.value}, {self.version}, {self.renewal}, {self.holder})"


class HeldShares(Wire):
    """What the file holds: of one network, for one account."""

    chain_id: Hash
    account: AccountId
    shares: Annotated[tuple[HeldShare, ...], Meta(max_length=SHARES_MAX)]


def sealing_key(suite: CryptoSuite, wrap_secret: bytes) -> bytes:
    """The key that seals what is in the folder of shares."""
    return suite.mac(wrap_secret, domains.KEY_SHARES, _KEY_LABEL)


class SharesUnreadable(LedgerError):
    """A file of the folder was changed, or sealed under another node's key. Fields: path."""

    code = "shares_unreadable"
    category = Category.CONFLICT
    zh = (
        "密钥份额文件 {path} 已损坏，或属于另一节点；请将其移走后启动，节点会请求更新份额，"
        "也可用 zhenglian keys import-share 导入离线副本"
    )
    en = (
        "The key shares in {path} are damaged or another node's; move the file away and start: the node asks for a renewal, "
        "or import the offline copy with zhenglian keys import-share"
    )


class SealedFolder:
    """Small secret files of one folder, each sealed and bound to its name. Calls block, and are short.

    Args:
        folder: made if it is missing, for the owner only.
        suite: crypto suite.
        key: 32 bytes, of `sealing_key`.
    """

    def __init__(self, folder: Path, suite: CryptoSuite, key: bytes) -> None:
        self._folder = folder
        self._suite = suite
        self._key = key

    def prepare(self) -> None:
        """Make the folder, and finish what a crash cut short.

        Raises:
            FileUnusable: it cannot be made or written.
        """
        try:
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            for torn in self._folder.glob(".*.part"):
                torn.unlink()
            for former in self._folder.glob("*.former"):
                destroy_former(former.with_suffix(""))
            for waiting in self._folder.glob("*.next"):
                waiting.unlink()
        except OSError as error:
            raise FileUnusable(path=str(self._folder), reason=error.strerror or str(error)) from None

    def read(self, name: str) -> bytes | None:
        """What is in a file, None if there is none.

        Raises:
            FileUnusable, SecretExposed: it cannot be read. SharesUnreadable: it was changed, or sealed elsewhere.
        """
        path = self._folder / name
        if not path.exists():
            return None
        data = read_file(path, size_bytes_max=SHARES_FILE_BYTES_MAX, secret=True)
        try:
            return self._suite.open(self._key, data, name.encode())
        except VerificationFailed:
            raise SharesUnreadable(path=str(path)) from None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file durably and overwrite what it was.

        Raises:
            FileUnusable: it cannot be written; then it is as before.
        """
        path = self._folder / name
        sealed = self._suite.seal(self._key, data, name.encode())
        if not path.exists():
            write_file(path, sealed, secret=True)
            return
        waiting = path.with_name(f"{name}.next")
        write_file(waiting, sealed, secret=True)
        supersede(waiting, path)

    def destroy(self, name: str) -> None:
        """Overwrite a file and remove it; nothing if there is none.

        Raises:
            FileUnusable: it cannot be written.
        """
        path = self._folder / name
        if not path.exists():
            return
        try:
            path.rename(path.with_name(f"{name}.former"))
        except OSError as error:
            raise FileUnusable(path=str(path), reason=error.strerror or str(error)) from None
        destroy_former(path)

    def names(self) -> list[str]:
        """Of every whole file."""
        return sorted(path.name for path in self._folder.glob("[!.]*") if "." not in path.name)


class ShareFile:
    """Implements `ports.OwnShares`: read once, and every change is on disk before it counts. Safe to read from other threads.

    Args:
        files: the folder.
        chain_id: the network's; shares of another are refused.
        account: this node's.

    Raises:
        FileUnusable, SecretExposed, SharesUnreadable, DecodeError: the file cannot be used.
        SharesOfAnother: it is of another node or network.
    """

    def __init__(self, files: SealedFolder, chain_id: bytes, account: bytes) -> None:
        self._files = files
        self._chain_id = chain_id
        self._account = account
        self._lock = threading.Lock()
        self._shares = self._read()

    def share(self, purpose: KeyPurpose, version: int, renewal: int) -> OwnShare | None:
        held = self._shares.get((purpose, version, renewal))
        return (
            None if held is None else OwnShare(holder=held.holder, secret=int.from_bytes(held.secret, "big"))
        )

    def held(self) -> tuple[HeldShare, ...]:
        """Every share there is."""
        return tuple(self._shares.values())

    def change(self, *, keep: tuple[HeldShare, ...] = (), drop: tuple[HeldShare, ...] = ()) -> None:
        """Take shares in and let others go, in one durable step; those that go are overwritten.

        Raises:
            FileUnusable: the file cannot be written; then nothing has changed.
        """
        with self._lock:
            shares = {name: held for name, held in self._shares.items() if held not in drop}
            shares |= {(held.purpose, held.version, held.renewal): held for held in keep}
            if shares == self._shares:
                return
            file = HeldShares(chain_id=self._chain_id, account=self._account, shares=tuple(shares.values()))
            self._files.write(OWN_NAME, codec.encode(file))
            self._shares = shares

    def _read(self) -> dict[tuple[KeyPurpose, int, int], HeldShare]:
        shares = read_shares(self._files, self._chain_id, self._account).shares
        return {(held.purpose, held.version, held.renewal): held for held in shares}


def read_shares(files: SealedFolder, chain_id: bytes, account: bytes) -> HeldShares:
    """What the file holds, nothing if there is none; changes nothing, so that a running node is not disturbed.

    Raises:
        FileUnusable, SecretExposed, SharesUnreadable, DecodeError: the file cannot be used.
        SharesOfAnother: it is of another node or network.
    """
    data = files.read(OWN_NAME)
    if data is None:
        return HeldShares(chain_id=chain_id, account=account, shares=())
    file = codec.decode(data, HeldShares, size_bytes_max=SHARES_FILE_BYTES_MAX, what="share file")
    if (file.chain_id, file.account) != (chain_id, account):
        raise SharesOfAnother(account=file.account.hex())
    return file


class SharesOfAnother(LedgerError):
    """The shares are of another node, or of another network. Fields: account."""

    code = "shares_of_another"
    zh = "密钥份额属于另一节点或另一网络（账户 {account}），不能在此使用"
    en = "These key shares are of another node or another network (account {account}) and are no use here"


def open_shares(home: Home, suite: CryptoSuite, wrap_secret: bytes) -> SealedFolder:
    """The folder of shares of a node's home, ready.

    Raises:
        FileUnusable: it cannot be made or written.
    """
    files = SealedFolder(home.shares, suite, sealing_key(suite, wrap_secret))
    files.prepare()
    return files
