"""Another passphrase for a home that is locked, or the first for one that is readable.

Rule: the master key stays, so that another passphrase is one rename of `keyring.json`. A readable home is sealed file by file, each
by a rename, once the keyring is durable; wherever that is cut short, every file is whole and opens, and another try finishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ledger.crypto.at_rest import COST_DEFAULT, KdfCost
from ledger.crypto.registry import load_suite
from ledger.errors import Category, LedgerError, invariant
from network.tls import encrypt_private_key
from node.cards import read_card
from node.home import SECRET_FILE_BYTES_MAX, Home, destroy_former, read_file
from node.keystore import (
    PRIVATE_KEY_READABLE,
    VOTE_KIND,
    WRAP_KIND,
    KeyFiles,
    is_sealed,
    public_vote_key,
    read_secret,
    tls_password,
)
from node.lock import HomeLock
from zhenglian.errors import PassphraseWrong
from zhenglian.keyfile import KeyFile, read_public
from zhenglian.keyring import ByPassphrase, Keyring, TokenLock, open_keyring, read_keyring_file
from zhenglian.private_files import read_private, write_private
from zhenglian.unlocking import Passphrase, Sources


class LockedByToken(LedgerError):
    """A token locks the keyring, so it has no passphrase. Fields: path, uri."""

    code = "locked_by_token"
    category = Category.CONFLICT
    zh = "{path} 由密码设备中的密钥锁定（{uri}），没有口令可更换；PIN 请用设备自带的工具更换"
    en = "{path} is locked by a key in a token ({uri}) and has no passphrase; change the PIN with the token's own tool"


@dataclass(slots=True)
class Relocked:
    """What was done.

    Attributes:
        changed: the keyring has another passphrase.
        sealed: files that were readable and are so no more.
    """

    changed: bool = False
    sealed: list[Path] = field(default_factory=list)


def readable_secrets(home: Home) -> list[Path]:
    """The secrets of a home that whoever has the file has.

    Raises:
        FileUnusable, SecretExposed, KeyFileUnusable: one cannot be read.
    """
    files = KeyFiles(home)
    readable: list[tuple[Path, Callable[[Path], bool]]] = [
        *(
            (path, lambda path: not is_sealed(_bytes(path)))
            for path in (files.vote, files.vote_next, files.wrap)
        ),
        *(
            (path, lambda path: PRIVATE_KEY_READABLE in _bytes(path))
            for path in (files.tls.path, files.tls_next.path)
        ),
        *((path, lambda path: read_public(path)[1] == "none") for path in (files.node, files.admin)),
    ]
    return [path for path, is_readable in readable if path.exists() and is_readable(path)]


def set_passphrase(home: Home, new: Passphrase, using: Sources, cost: KdfCost = COST_DEFAULT) -> Relocked:
    """Lock the home with another passphrase; one that is readable, with its first.

    Args:
        home: the node's folder. A readable one must not be running.
        new: the passphrase from now on.
        using: sources of the present one.
        cost: what a guess at the new one takes.

    Raises:
        LockedByToken: a token locks it.
        HomeInUse: it is readable, and its node runs.
        PassphraseNeeded, PassphraseWrong: the present one.
        FileUnusable, SecretExposed, KeyFileUnusable, TlsIdentityInvalid, IdentityInvalid: a file.
    """
    files, done = KeyFiles(home, using), Relocked()
    readable = readable_secrets(home)
    if files.keyring.exists():
        keyring = _present(files, new if readable else None, using)
        write_private(files.keyring, keyring.locked(ByPassphrase(new, cost)), replace=True)
        done.changed = True
    if not readable:
        return done
    lock = HomeLock(home.root / "lock")
    try:
        if not files.keyring.exists():
            write_private(files.keyring, Keyring.create().locked(ByPassphrase(new, cost)))
        # Opened again from the disk: what is sealed next can be opened by what is really there.
        keyring = open_keyring(files.keyring, Sources(environment={}), passphrase=new)
        for path in readable:
            _seal(path, files, keyring, new, cost)
            done.sealed.append(path)
        for path in (files.vote, files.tls.path):
            destroy_former(path)
    finally:
        lock.release()
    return done


def _present(files: KeyFiles, retried: Passphrase | None, using: Sources) -> Keyring:
    """The keyring as it is; when sealing was cut short, it has the new passphrase already."""
    lock = read_keyring_file(read_private(files.keyring), files.keyring).lock
    if isinstance(lock, TokenLock):
        raise LockedByToken(path=str(files.keyring), uri=lock.uri)
    if retried is not None:
        try:
            return open_keyring(files.keyring, using, passphrase=retried)
        except PassphraseWrong:
            pass
    # What was opened before is no proof of knowing the passphrase now.
    using.keyrings.clear()
    return open_keyring(files.keyring, using)


def _seal(path: Path, files: KeyFiles, keyring: Keyring, new: Passphrase, cost: KdfCost) -> None:
    card = read_card(files.home.card)
    if path in {files.node, files.admin}:
        key = KeyFile.load(path)
        if path == files.admin:
            key.save(path, passphrase=new, cost=cost, replace=True)
        else:
            key.save(path, keyring=keyring, replace=True)
        return
    if path in {files.tls.path, files.tls_next.path}:
        data = encrypt_private_key(_bytes(path), tls_password(keyring) or b"", source=str(path))
        write_private(path, data, replace=True)
        return
    if path == files.wrap:
        kind, public = WRAP_KIND, bytes.fromhex(card.wrap_key)
    else:
        kind, public = VOTE_KIND, public_vote_key(path, load_suite(card.suite))
    secret = read_secret(path, kind, lambda: keyring)
    sealed = keyring.seal(kind, public, secret)
    invariant(keyring.unseal(sealed, kind, path) == secret, "what was sealed opens to what it was")
    write_private(path, sealed, replace=True)


def _bytes(path: Path) -> bytes:
    return read_file(path, size_bytes_max=SECRET_FILE_BYTES_MAX, secret=True)
