"""Agent keys of organisations that this node keeps, so that their officers need none at hand.

Rule: a key is made here at the request of an organisation's administrator, and means nothing until he has put it on the ledger with
his own; he ends it there, at once, without asking this node. At rest it is sealed under a secret of the node. It signs only what an
authenticated officer of its organisation asked for in this very session, and says so.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from contracts.calls import Args, call
from contracts.keys import usable
from contracts.records import KeyRole
from ledger import domains
from ledger.crypto.suite import CryptoSuite, Signer, key_id
from ledger.errors import Category, LedgerError, LimitExceeded, NotFound
from ledger.hashing import sign_transaction
from ledger.types import NONCE_SIZE_BYTES, Transaction, TransactionBody
from node.chain import Chain
from node.home import write_file
from node.services.ports import Caller

AGENTS_PER_ORGANIZATION_MAX: Final = 4
LIFETIME_MS: Final = 300_000
_LABEL: Final = b"agents"
_NAME: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})\.agent")

log = structlog.get_logger()


class AgentMissing(LedgerError):
    """No usable agent key of the organisation is here. Fields: account."""

    code = "agent_missing"
    category = Category.CONFLICT
    zh = (
        "本节点没有机构 {account} 可用的代签密钥：请机构管理员执行 zhenglian org agent create 授权本节点代签，"
        "或改用 zhenglian up / zhenglian down 在本机签名"
    )
    en = (
        "This node keeps no usable agent key of organisation {account}: its administrator grants one with zhenglian org agent "
        "create; or sign at your own machine with zhenglian up and zhenglian down"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """The public half of an agent key. `standing`: offered (not on the ledger yet), active or ended."""

    key_id: bytes
    scheme: str
    public_key: bytes
    standing: str


class Agents:
    """The agent keys in one folder.

    Args:
        suite: crypto suite.
        chain: says which keys count.
        folder: where; made if it is missing.
        node_secret: a secret of this node; what seals the keys derives from it.
        clock_ms: wall clock.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain: Chain,
        folder: Path,
        node_secret: bytes,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain = chain
        self._folder = folder
        self._seal_key = suite.mac(node_secret, domains.AGENT_KEY, _LABEL)
        self._clock_ms = clock_ms
        self._signers: dict[bytes, tuple[bytes, Signer]] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(folder.iterdir()):
            if (match := _NAME.fullmatch(path.name)) is not None:
                self._load(path, bytes.fromhex(match[1]), bytes.fromhex(match[2]))

    def _load(self, path: Path, account: bytes, name: bytes) -> None:
        try:
            secret = self._suite.open(self._seal_key, path.read_bytes(), account + name)
        except (LedgerError, OSError) as error:
            log.error("an agent key cannot be used", key_id=name.hex(), reason=str(error))
            return
        self._signers[name] = (account, self._suite.load_signer(secret))

    # --- for the organisation's administrator ---

    async def create(self, account: bytes) -> AgentKey:
        """Make a key; the administrator then adds it on the ledger.

        Raises:
            LimitExceeded: the organisation has as many here as it may.
            FileUnusable: it cannot be written.
        """
        await asyncio.to_thread(self._forget_ended, account)
        if len(self.of(account)) >= AGENTS_PER_ORGANIZATION_MAX:
            raise LimitExceeded(
                limit="AGENTS_PER_ORGANIZATION_MAX",
                maximum=AGENTS_PER_ORGANIZATION_MAX,
                actual=AGENTS_PER_ORGANIZATION_MAX + 1,
            )
        secret, signer = self._suite.generate_signer()
        name = key_id(self._suite, signer.scheme, signer.public_key)
        sealed = self._suite.seal(self._seal_key, secret, account + name)
        await asyncio.to_thread(write_file, self._path(account, name), sealed, secret=True)
        self._signers[name] = (account, signer)
        return self._described(account, name, signer)

    def of(self, account: bytes) -> tuple[AgentKey, ...]:
        """The organisation's keys that are here."""
        return tuple(
            self._described(account, name, signer)
            for name, (owner, signer) in sorted(self._signers.items())
            if owner == account
        )

    async def destroy(self, account: bytes, name: bytes) -> None:
        """Destroy a key. Raises NotFound."""
        if self._signers.get(name, (b"", None))[0] != account:
            raise NotFound(what="agent key", id=name.hex())
        del self._signers[name]
        await asyncio.to_thread(self._path(account, name).unlink, missing_ok=True)

    # --- for its officers ---

    def sign(self, caller: Caller, args: Args) -> Transaction:
        """Sign a call that names the caller as its officer.

        Raises:
            AgentMissing: no key of his organisation is here that counts.
        """
        found = self._usable(caller.account)
        if found is None:
            raise AgentMissing(account=caller.account.hex())
        name, signer = found
        lifetime_ms = min(LIFETIME_MS, self._chain.genesis.limits.transaction_lifetime_ms_max // 2)
        body = TransactionBody(
            chain_id=self._chain.chain_id,
            account=caller.account,
            key_id=name,
            nonce=os.urandom(NONCE_SIZE_BYTES),
            valid_until_ms=max(self._clock_ms(), self._chain.head_time_ms) + lifetime_ms,
            call=call(args),
        )
        return sign_transaction(self._suite, signer, body)

    def require(self, account: bytes) -> None:
        """Raises AgentMissing unless `sign` would sign for the organisation now."""
        if self._usable(account) is None:
            raise AgentMissing(account=account.hex())

    def _usable(self, account: bytes) -> tuple[bytes, Signer] | None:
        record = self._chain.records.account(account)
        for key in () if record is None else record.keys:
            owner, signer = self._signers.get(key.key_id, (b"", None))
            if (
                owner == account
                and signer is not None
                and self._counts(key.role, usable(key, self._time_ms()))
            ):
                return key.key_id, signer
        return None

    @staticmethod
    def _counts(role: KeyRole, valid: bool) -> bool:
        return role is KeyRole.AGENT and valid

    def _time_ms(self) -> int:
        return max(self._clock_ms(), self._chain.head_time_ms)

    def _described(self, account: bytes, name: bytes, signer: Signer) -> AgentKey:
        record = self._chain.records.account(account)
        key = next((key for key in record.keys if key.key_id == name), None) if record is not None else None
        counts = key is not None and self._counts(key.role, usable(key, self._time_ms()))
        standing = "active" if counts else "offered" if key is None else "ended"
        return AgentKey(key_id=name, scheme=signer.scheme, public_key=signer.public_key, standing=standing)

    def _forget_ended(self, account: bytes) -> None:
        """A key that the ledger has ended is of no use to anybody."""
        for key in self.of(account):
            if key.standing == "ended":
                self._signers.pop(key.key_id, None)
                self._path(account, key.key_id).unlink(missing_ok=True)

    def _path(self, account: bytes, name: bytes) -> Path:
        return self._folder / f"{account.hex()}-{name.hex()}.agent"
